--
-- Calls that workers compute: the same bytes as in the session
-- (streams in time, limits, servers without workers: test/t/090_serving.pl)
--
\getenv data LLM_TEST_DATA
\set llama :data/tiny-llama.gguf
\set qwen :data/tiny-qwen2.gguf
\set gpt2 :data/tiny-gpt2.gguf
\set bert :data/hf/bert
\set qwen3 :data/hf/qwen3
\set cross :data/hf/cross-encoder
SELECT name FROM llm.load_model('srv', :'llama');
SELECT name FROM llm.load_model('srv8', :'llama', '{"activation_bits": 8}');
SELECT name FROM llm.load_model('srv_qwen', :'qwen');
SELECT name FROM llm.load_model('srv_gpt2', :'gpt2');
SELECT name FROM llm.load_model('srv_bert', :'bert');
SELECT name FROM llm.load_model('srv_qwen3', :'qwen3');
SELECT name FROM llm.load_model('srv_cross', :'cross');

-- a worker may take a moment to start
DO $$
BEGIN
	SET LOCAL llm.execution = 'worker';
	FOR i IN 1 .. 600 LOOP
		BEGIN
			PERFORM llm.generate('srv', 'the', '{"max_tokens": 1}');
			EXIT;
		EXCEPTION WHEN object_not_in_prerequisite_state THEN
			PERFORM pg_sleep(0.05);
		END;
	END LOOP;
END $$;

-- The value of an expression over $1, which stands for each of the options,
-- by every setting of llm.execution; differing ones are returned.
CREATE FUNCTION differing(expression text, many jsonb[] DEFAULT '{NULL}')
RETURNS TABLE(options jsonb, execution text, alone text, value text) LANGUAGE plpgsql AS $$
BEGIN
	FOREACH options IN ARRAY many LOOP
		PERFORM set_config('llm.execution', 'backend', true);
		EXECUTE format('SELECT (%s)::text', expression) INTO STRICT alone USING options;
		IF alone IS NULL THEN
			RAISE EXCEPTION 'nothing to compare for %', options;
		END IF;
		FOREACH execution IN ARRAY ARRAY['worker', 'auto', 'worker'] LOOP
			PERFORM set_config('llm.execution', execution, true);
			EXECUTE format('SELECT (%s)::text', expression) INTO STRICT value USING options;
			IF value IS DISTINCT FROM alone THEN
				RETURN NEXT;
			END IF;
		END LOOP;
	END LOOP;
	PERFORM set_config('llm.execution', 'auto', true);
END $$;

SELECT count(*) FROM differing('random()');

CREATE TABLE serving_options (options jsonb);
INSERT INTO serving_options VALUES
	(NULL),
	('{"max_tokens": 1}'),
	('{"max_tokens": 40}'),
	('{"max_tokens": 500}'),
	('{"max_tokens": 30, "ignore_eos": true}'),
	('{"max_tokens": 30, "temperature": 1, "seed": 1}'),
	('{"max_tokens": 30, "temperature": 2.5, "top_k": 20, "seed": 2}'),
	('{"max_tokens": 30, "temperature": 1.5, "top_p": 0.8, "seed": 9223372036854775807}'),
	('{"max_tokens": 30, "temperature": 1.5, "typical_p": 0.7, "min_p": 0.01, "seed": 0}'),
	('{"max_tokens": 30, "repeat_penalty": 1.7, "repeat_last_n": -1}'),
	('{"max_tokens": 30, "repeat_penalty": 0.5, "repeat_last_n": 3}'),
	('{"max_tokens": 30, "presence_penalty": 2, "frequency_penalty": 1.5}'),
	('{"max_tokens": 30, "frequency_penalty": -2, "temperature": 1, "seed": 3}'),
	('{"max_tokens": 30, "logit_bias": {"5": 100}}'),
	('{"max_tokens": 30, "logit_bias": {"5": -100, "25": -100, "276": 7.5}}'),
	('{"max_tokens": 60, "stop": "e"}'),
	('{"max_tokens": 60, "stop": ["not there", "del", "ell"]}'),
	('{"max_tokens": 60, "temperature": 2, "seed": 4, "stop": ["a", "b", "c", "d", "e"]}'),
	('{"max_tokens": 20, "add_special": false}');

-- generate, in models of every kind
SELECT model, prompt, d.*
FROM unnest(ARRAY['srv', 'srv8', 'srv_qwen', 'srv_gpt2']) AS model,
	unnest(ARRAY['the model', 'a', repeat('the model says ', 30)]) AS prompt,
	differing(format('llm.generate(%L, %L, $1)', model, prompt),
		ARRAY(SELECT options FROM serving_options)) AS d;

-- completion: reasons, counts and log-probabilities as well
SELECT model, d.*
FROM unnest(ARRAY['srv', 'srv_qwen']) AS model,
	differing(format('llm.completion(%L, ''the model'', $1) - ''timings'' #- ''{usage,cached_tokens}''', model),
		ARRAY(SELECT coalesce(options, '{}') || extra FROM serving_options,
			unnest(ARRAY['{}', '{"logprobs": 0}', '{"logprobs": 5}', '{"logprobs": 20}']::jsonb[]) AS extra)) AS d;

-- ask and chat
SELECT model, d.*
FROM unnest(ARRAY['srv', 'srv_qwen']) AS model,
	differing(format('llm.ask(%L, ''Who?'', $1)', model),
		ARRAY[NULL, '{"max_tokens": 30}', '{"max_tokens": 30, "system": "Be kind."}']::jsonb[]) AS d;
SELECT * FROM differing('llm.chat(''srv'', jsonb_build_array(jsonb_build_object(
		''role'', ''user'', ''content'', repeat(''the '', 40))), $1)',
	ARRAY[NULL, '{"max_tokens": 30, "temperature": 1, "seed": 5}']::jsonb[]);

-- streams: positions, pieces and log-probabilities
SELECT model, d.*
FROM unnest(ARRAY['srv', 'srv8', 'srv_gpt2']) AS model,
	differing(format('SELECT coalesce(jsonb_agg(s), ''[]'') FROM llm.generate_stream(%L, ''the model'', $1) AS s', model),
		ARRAY(SELECT options FROM serving_options)) AS d;

-- two streams at once, one in the other, calls beside one that is open
SELECT * FROM differing('SELECT jsonb_agg(jsonb_build_array(a, b))
	FROM llm.generate_stream(''srv'', ''the'', $1) AS a,
		LATERAL (SELECT * FROM llm.generate_stream(''srv'', ''the '' || a.token_id, $1) LIMIT 3) AS b',
	ARRAY['{"max_tokens": 12, "ignore_eos": true}']::jsonb[]);
SELECT * FROM differing('SELECT jsonb_agg(jsonb_build_array(token_id, llm.generate(''srv_qwen'', ''the '' || token_id, ''{"max_tokens": 3}'')))
	FROM llm.generate_stream(''srv'', ''the'', $1)',
	ARRAY['{"max_tokens": 12, "ignore_eos": true}']::jsonb[]);

-- batches, with NULLs, longer than what is on its way at a time
SELECT * FROM differing('SELECT jsonb_agg(b) FROM llm.generate_batch(''srv'',
		ARRAY(SELECT CASE WHEN i % 7 <> 3 THEN ''the '' || repeat(''model '', i % 11) || i END
			FROM generate_series(1, 150) AS i), $1) AS b',
	ARRAY(SELECT options FROM serving_options WHERE options->'max_tokens' < '41'));
SELECT * FROM llm.generate_batch('srv', '{NULL,NULL}');
SELECT count(*) FROM llm.generate_batch('srv', '{}');

-- vectors: one text, short and long, and many; equal ones; no text
SELECT model, d.*
FROM unnest(ARRAY['srv_bert', 'srv_qwen3']) AS model,
	unnest(ARRAY['the model', '', repeat('the model and ', 12)]) AS input,
	differing(format('llm.embed(%L, %L, $1)', model, input),
		ARRAY[NULL, '{"normalize": false}', '{"dimensions": 5}', '{"pooling": "cls"}', '{"pooling": "last", "normalize": false}']::jsonb[]) AS d;
SELECT model, d.*
FROM unnest(ARRAY['srv_bert', 'srv_qwen3', 'srv_gpt2']) AS model,
	differing(format('SELECT jsonb_agg(e) FROM llm.embed_batch(%L,
			ARRAY(SELECT CASE WHEN i %% 10 <> 4 THEN repeat(''the '', i %% 40) || i %% 300 END
				FROM generate_series(1, 700) AS i), $1) AS e', model),
		ARRAY['{"pooling": "mean"}', '{"pooling": "last", "dimensions": 7}']::jsonb[]) AS d;
SELECT * FROM differing('SELECT jsonb_agg(e) FROM llm.embed_batch(''srv_bert'', ''{NULL,NULL}'') AS e');
SELECT * FROM differing('llm.similarity(''srv_bert'', ''a model'', ''the models'')');
SELECT * FROM differing('SELECT jsonb_agg(r) FROM llm.rerank(''srv_cross'', ''the model'',
	ARRAY(SELECT CASE WHEN i % 10 <> 4 THEN repeat(''the '', i % 25) || i % 50 END
		FROM generate_series(1, 120) AS i)) AS r');
-- vectors while a stream of the session is open
SELECT * FROM differing('SELECT jsonb_agg(jsonb_build_array(token_id, llm.embed(''srv_bert'', repeat(''the '', 20) || token_id)))
	FROM llm.generate_stream(''srv'', ''the'', $1)', ARRAY['{"max_tokens": 8, "ignore_eos": true}']::jsonb[]);

-- triggers
CREATE TABLE serving_rows (id int PRIMARY KEY, body text, execution text, a real[], b real[]);
CREATE TRIGGER serving_a BEFORE INSERT OR UPDATE ON serving_rows
FOR EACH ROW EXECUTE FUNCTION llm.embed_trigger('a', 'srv_bert', 'body');
CREATE TRIGGER serving_b AFTER INSERT ON serving_rows
REFERENCING NEW TABLE AS new
FOR EACH STATEMENT EXECUTE FUNCTION llm.embed_statement_trigger('b', 'srv_bert', 'body');
SET llm.execution = 'backend';
INSERT INTO serving_rows SELECT i, 'the model ' || i % 40, 'backend' FROM generate_series(0, 79) AS i;
SET llm.execution = 'worker';
INSERT INTO serving_rows SELECT 100 + i, 'the model ' || i % 40, 'worker' FROM generate_series(0, 79) AS i;
RESET llm.execution;
INSERT INTO serving_rows SELECT 200 + i, 'the model ' || i % 40, 'auto' FROM generate_series(0, 79) AS i;
SELECT count(*), count(DISTINCT body) AS bodies, count(DISTINCT (body, a)) AS a, count(DISTINCT (body, b)) AS b,
	count(*) FILTER (WHERE a = b) AS same FROM serving_rows;
DROP TABLE serving_rows;

-- it was a worker: the beginning of a prompt is known to it; experiments are
-- always computed in the session
SET llm.execution = 'worker';
SELECT (c->'usage'->'cached_tokens')::int > 100 AS cached, (c->'timings'->'prompt_ms')::float8 >= 0 AS prompt_ms,
	(c->'timings'->'generate_ms')::float8 >= 0 AS generate_ms
FROM unnest(ARRAY[repeat('tell me ', 30), repeat('tell me ', 30) || 'more', repeat('tell me ', 30) || 'again']) AS prompt,
	llm.completion('srv', prompt, '{"max_tokens": 3}') AS c
OFFSET 1;
SELECT c->'usage'->'cached_tokens' AS cached, c->>'text' <> llm.generate('srv', repeat('tell me ', 30), '{"max_tokens": 9}') AS differs
FROM llm.completion('srv', repeat('tell me ', 30), '{"max_tokens": 9, "ablate": [{"layer": 0, "head": 0}]}') AS c;
RESET llm.execution;

-- limits hold everywhere, before anything is computed
SET llm.execution = 'worker';
SET llm.max_tokens_per_call = 40;
SELECT llm.generate('srv', 'the model', '{"max_tokens": 41}');
SELECT c->'usage'->'completion_tokens' AS tokens, c->'finish_reason' AS finish_reason
FROM llm.completion('srv', 'the model', '{"ignore_eos": true}') AS c;
SELECT count(*) FROM llm.generate_batch('srv', '{a,b,c,d}', '{"max_tokens": 10}');
SELECT count(*) FROM llm.embed_batch('srv_bert', ARRAY(SELECT 'text ' || i FROM generate_series(1, 20) AS i));
RESET llm.max_tokens_per_call;
SET llm.max_context = 20;
SELECT llm.generate('srv', repeat('the ', 30));
SELECT c->'usage'->'prompt_tokens' AS prompt, c->'usage'->'completion_tokens' AS completion
FROM llm.completion('srv', 'the model', '{"ignore_eos": true}') AS c;
SELECT llm.embed('srv_bert', repeat('the ', 30));
RESET llm.max_context;

-- nothing is left when calls end early, by whatever
CREATE FUNCTION left_pins() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	held bigint;
BEGIN
	FOR i IN 1 .. 600 LOOP
		SELECT sum(s.pins) INTO held FROM llm.stat_cache AS s JOIN llm.models AS m USING (digest) WHERE m.name = 'srv';
		EXIT WHEN held = 0;
		PERFORM pg_sleep(0.05);
	END LOOP;
	RETURN held;
END $$;
BEGIN;
DECLARE c CURSOR FOR SELECT "position" FROM llm.generate_stream('srv', 'the', '{"ignore_eos": true}');
FETCH 2 FROM c;
SAVEPOINT s;
SELECT 1 / 0;
ROLLBACK TO s;
FETCH 2 FROM c;
SAVEPOINT s;
DECLARE d CURSOR FOR SELECT "position" FROM llm.generate_stream('srv', 'a', '{"ignore_eos": true}');
FETCH 1 FROM d;
ROLLBACK TO s;
FETCH 1 FROM d;
ROLLBACK TO s;
FETCH 1 FROM c;
CLOSE c;
SELECT left_pins();
DECLARE c CURSOR FOR SELECT "position" FROM llm.generate_stream('srv', 'a', '{"ignore_eos": true}');
FETCH 1 FROM c;
ROLLBACK;
SELECT left_pins();
SELECT count(*) FROM (SELECT * FROM llm.generate_stream('srv', 'the', '{"ignore_eos": true}') LIMIT 2) AS s;
SELECT left_pins();
SELECT 1 / (2 - "position") FROM llm.generate_stream('srv', 'the', '{"ignore_eos": true}');
SELECT left_pins();
DECLARE c CURSOR WITH HOLD FOR SELECT "position" FROM llm.generate_stream('srv', 'the', '{"max_tokens": 4, "ignore_eos": true}');
FETCH 2 FROM c;
SELECT left_pins();
FETCH ALL FROM c;
CLOSE c;
RESET llm.execution;

DROP FUNCTION left_pins(), differing(text, jsonb[]);
DROP TABLE serving_options;
SELECT count(llm.drop_model(name)) FROM llm.models WHERE name LIKE 'srv%';
