--
-- Texts and tokens
--
\getenv data LLM_TEST_DATA
\set llama :data/tiny-llama.gguf
SELECT name FROM llm.load_model('tok', :'llama');
SET llm.default_model = 'tok';

SELECT llm.tokenize('tok', 'the model'), llm.count_tokens('tok', 'the model');
SELECT llm.tokenize('the model'), llm.count_tokens('the model');
SELECT * FROM llm.tokens('tok', 'the model');
SELECT * FROM llm.tokens('é日');

-- there and back, whatever the text is
SELECT t, llm.detokenize('tok', llm.tokenize('tok', t)) = t AS same
FROM unnest(ARRAY['', ' ', 'the model', ' two  spaces ', E'tab\tand\nlines',
	'é日本😀', '<|im_end|>', 'a < b | c']) AS t;

-- control tokens are text unless asked for, in either case shown as text
SELECT llm.tokenize('tok', '<|im_end|>'),
	llm.tokenize('tok', '<|im_end|>', '{"parse_special": true}');
SELECT llm.detokenize('tok', '{2,260}'), llm.detokenize('tok', '{}');
SELECT token, special FROM llm.tokens('tok', 'a<|im_end|>')
ORDER BY "position" LIMIT 3;

-- the beginning of a text, as the model wants it, forced, and not
SELECT llm.tokenize('tok', 'a'),
	llm.tokenize('tok', 'a', '{"add_special": true}'),
	llm.tokenize('tok', 'a', '{"add_special": false}'),
	llm.tokenize('tok', '', '{"add_special": true}');

-- bytes that are no text
SELECT llm.detokenize('tok', ARRAY[8 + 230, 8 + 151]) AS unfinished,
	llm.detokenize('tok', ARRAY[8 + 0, 8 + 65]) AS nul_and_a;
SELECT sum(length(token)) > 256 AS shown, bool_and(token <> '') AS all_shown
FROM (SELECT llm.detokenize('tok', ARRAY[id]) AS token
	FROM generate_series(0, 299) AS id) AS t;

-- NULL
SELECT llm.tokenize('tok', NULL) IS NULL AS a,
	llm.tokenize(NULL::text, 'x') IS NULL AS b,
	llm.count_tokens(NULL) IS NULL AS c,
	llm.detokenize('tok', NULL) IS NULL AS d,
	llm.tokenize('tok', 'a', NULL) IS NULL AS e;
SELECT count(*) FROM llm.tokens('tok', NULL);

-- errors
SELECT llm.detokenize('tok', '{0,300}');
SELECT llm.detokenize('tok', '{-1}');
SELECT llm.detokenize('tok', '{1,NULL}');
SELECT llm.tokenize('tok', 'a', '{"max_tokens": 1}');
SELECT llm.tokenize('tok', 'a', '[]');
SELECT llm.tokenize('no such model', 'a');
SELECT llm.tokenize('a text', '{"add_special": true}');
SELECT llm.tokenize('a', options => '{"add_special": true}');

-- one call site, many rows: constant arguments, changing ones, other options
SELECT count(*), min(n), max(n)
FROM (SELECT llm.count_tokens('tok', 'the model') AS n
	FROM generate_series(1, 1000)) AS t;
SELECT i, llm.count_tokens('tok', repeat('a ', i)) AS n
FROM unnest(ARRAY[1, 1, 2, 2, 1]) AS i;
SELECT special, llm.tokenize('tok', 'a', options)
FROM (VALUES (true, '{"add_special": true}'::jsonb), (true, '{"add_special": true}'),
	(false, NULL), (false, '{}')) AS v(special, options);

-- the right is asked for at every call, also of a site that has an answer
CREATE ROLE llm_tokens_reader;
GRANT CREATE ON SCHEMA public TO llm_tokens_reader;
SELECT llm.grant_model('tok', 'llm_tokens_reader');
CREATE FUNCTION count_twice() RETURNS text LANGUAGE plpgsql AS $$
DECLARE n int;
BEGIN
	FOR i IN 1 .. 2 LOOP
		n := llm.count_tokens('tok', 'the model');
		IF i = 1 THEN
			SET ROLE llm_tokens_nobody;
		END IF;
	END LOOP;
	RETURN 'not reached';
EXCEPTION WHEN undefined_object THEN
	RETURN sqlerrm;
END $$;
CREATE ROLE llm_tokens_nobody;
SELECT count_twice();
RESET ROLE;
SET ROLE llm_tokens_reader;
SELECT llm.count_tokens('tok', 'the model');
RESET ROLE;
DROP FUNCTION count_twice();
SELECT llm.revoke_model('tok', 'llm_tokens_reader');
REVOKE CREATE ON SCHEMA public FROM llm_tokens_reader;
DROP ROLE llm_tokens_reader, llm_tokens_nobody;

-- a long word
SELECT llm.count_tokens('tok', repeat('a', 1000000));

SELECT llm.drop_model('tok');
