--
-- The weights cache, as one session sees it (sessions together: isolation
-- tests and TAP)
--
\getenv data LLM_TEST_DATA
\set llama :data/tiny-llama.gguf
\set gpt2 :data/tiny-gpt2.gguf

SELECT name, value FROM llm.system_info()
WHERE name IN ('cache', 'cache_size') ORDER BY name;

SELECT name FROM llm.load_model('cache_a', :'llama');
SELECT name FROM llm.load_model('cache_b', :'gpt2');

CREATE FUNCTION cached(model text, OUT state text, OUT pins int, OUT hits bigint,
	OUT timed boolean)
RETURNS SETOF record LANGUAGE sql AS $$
	SELECT s.state, s.pins, s.hits, loaded_at IS NOT NULL AND load_ms > 0
	FROM llm.stat_cache s JOIN llm.models m ON m.digest = s.digest
	WHERE m.name = cached.model
$$;

SELECT llm.evict('cache_a') IS NOT NULL AS a, llm.evict('cache_b') IS NOT NULL AS b;

-- loading a model does not fill the cache, using it does
SELECT * FROM cached('cache_a');
SELECT count(*) FROM llm.next_token('cache_a', 'Once', 3);
SELECT * FROM cached('cache_a');
SELECT count(*) FROM llm.next_token('cache_a', 'Twice', 3);
SELECT * FROM cached('cache_a');
SELECT llm.preload('cache_b');
SELECT * FROM cached('cache_b');

-- the same bytes under another name are the same image, once they are read
SELECT name FROM llm.load_model('cache_c', :'llama');
SELECT count(*) FROM llm.next_token('cache_c', 'Once', 3);
SELECT count(*) FROM llm.stat_cache s
WHERE digest = (SELECT digest FROM llm.models WHERE name = 'cache_c');
SELECT hits FROM cached('cache_a');

-- evict
SELECT llm.evict('cache_a');
SELECT llm.evict('cache_c');
SELECT * FROM cached('cache_a');
SELECT llm.evict('absent');

-- a cursor over a stream holds a pin while it is open (and its place at a
-- worker another one: test/t/090_serving.pl)
SET llm.execution = 'backend';
BEGIN;
DECLARE tokens CURSOR FOR SELECT * FROM llm.generate_stream('cache_b', 'Once', '{"max_tokens": 5, "ignore_eos": true}');
FETCH 1 FROM tokens \gset
SELECT pins FROM cached('cache_b');
SELECT llm.evict('cache_b');
CLOSE tokens;
SELECT pins FROM cached('cache_b');
COMMIT;

-- an error, also in a subtransaction, leaves no pin
BEGIN;
DECLARE tokens CURSOR FOR SELECT * FROM llm.generate_stream('cache_b', 'Once', '{"max_tokens": 5, "ignore_eos": true}');
FETCH 1 FROM tokens \gset
SELECT 1/0;
ROLLBACK;
SELECT pins FROM cached('cache_b');
DO $$
DECLARE
	answer text;
BEGIN
	SELECT llm.generate('cache_b', 'Once', '{"max_tokens": 2, "temperature": -1}') INTO answer;
EXCEPTION WHEN invalid_parameter_value THEN
	RAISE NOTICE '%', sqlerrm;
END $$;
SELECT pins FROM cached('cache_b');
SELECT count(*) FROM (SELECT * FROM llm.generate_stream('cache_b', 'Once', '{"max_tokens": 5, "ignore_eos": true}') LIMIT 2) x;
SELECT pins FROM cached('cache_b');
RESET llm.execution;
SELECT llm.evict('cache_b');

SELECT llm.preload('absent');
SELECT llm.drop_model('cache_a');
SELECT llm.drop_model('cache_b');
SELECT llm.drop_model('cache_c');
DROP FUNCTION cached;
