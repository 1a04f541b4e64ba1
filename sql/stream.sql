--
-- Streams: rows as they are made, and an end at any time
-- (that they arrive one by one is tested in test/t)
--
\getenv data LLM_TEST_DATA
\set llama :data/tiny-llama.gguf
SELECT name FROM llm.load_model('stream', :'llama');

CREATE FUNCTION pins() RETURNS bigint LANGUAGE sql AS $$
	SELECT coalesce(sum(s.pins), 0) FROM llm.stat_cache AS s
	JOIN llm.models AS m USING (digest) WHERE m.name = 'stream'
$$;

-- the call is inlined, with arguments of any kind that is not volatile
EXPLAIN (COSTS OFF)
SELECT * FROM llm.generate_stream('stream', 'the', '{"max_tokens": 3}');
EXPLAIN (COSTS OFF)
SELECT * FROM unnest(ARRAY['the', 'a']) AS p, llm.generate_stream('stream', p);

SELECT "position", token_id, length(token) > 0 AS text, logprob < 0 AS logprob
FROM llm.generate_stream('stream', 'the', '{"max_tokens": 3}');
SELECT p, count(*), min("position"), max("position")
FROM unnest(ARRAY['the', 'a', NULL]) AS p,
	llm.generate_stream('stream', p, '{"max_tokens": 5}')
GROUP BY p ORDER BY p;

-- in a select list, in two at once, in a sub-select
SELECT (llm.generate_stream('stream', 'the', '{"max_tokens": 3}'))."position";
SELECT (llm.generate_stream('stream', 'the', '{"max_tokens": 2}'))."position" AS a,
	(llm.generate_stream('stream', 'the', '{"max_tokens": 3}'))."position" AS b;
SELECT count(*) FROM llm.generate_stream('stream', (SELECT 'the'), '{"max_tokens": 4}');
SELECT ordinality, "position"
FROM llm.generate_stream('stream', 'the', '{"max_tokens": 2}') WITH ORDINALITY;

-- nothing stays pinned: after the end, LIMIT, an error, a closed cursor
-- (a place at a worker has a pin of its own: test/t/090_serving.pl)
SET llm.execution = 'backend';
SELECT count(*) FROM (SELECT * FROM llm.generate_stream('stream', 'the') LIMIT 2) AS s;
SELECT pins();
SELECT 1 / (2 - "position") FROM llm.generate_stream('stream', 'the');
SELECT pins();
BEGIN;
DECLARE c CURSOR FOR SELECT "position" FROM llm.generate_stream('stream', 'the');
FETCH 2 FROM c;
SELECT pins();
SAVEPOINT s;
SELECT 1 / 0;
ROLLBACK TO s;
FETCH 1 FROM c;
CLOSE c;
SELECT pins();
DECLARE c CURSOR FOR SELECT "position" FROM llm.generate_stream('stream', 'a');
FETCH 1 FROM c;
ROLLBACK;
SELECT pins();
DO $$
DECLARE r record;
BEGIN
	FOR r IN SELECT * FROM llm.generate_stream('stream', 'the') LOOP
		EXIT WHEN r."position" = 1;
	END LOOP;
	BEGIN
		FOR r IN SELECT * FROM llm.generate_stream('stream', 'the') LOOP
			RAISE EXCEPTION 'at %', r."position";
		END LOOP;
	EXCEPTION WHEN raise_exception THEN
		RAISE NOTICE '%', sqlerrm;
	END;
END $$;
SELECT pins();

-- rescans
SELECT a, "position" FROM generate_series(1, 2) AS a,
	LATERAL (SELECT * FROM llm.generate_stream('stream', repeat('the ', a)) LIMIT 2) AS s;
SELECT pins();
RESET llm.execution;

-- errors before the first row
SELECT * FROM llm.generate_stream('stream', 'the', '{"tokens": 1}');
SELECT * FROM llm.generate_stream('nothing', 'the');

DROP FUNCTION pins();
SELECT llm.drop_model('stream');
