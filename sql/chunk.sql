--
-- A text in pieces that fit a model
--
\getenv data LLM_TEST_DATA
\set llama :data/tiny-llama.gguf
\set bert :data/hf/bert
\set unigram :data/hf/xlm-roberta
SELECT name FROM llm.load_model('chk', :'llama');
SELECT name FROM llm.load_model('chk_bert', :'bert');
SELECT name FROM llm.load_model('chk_unigram', :'unigram');

-- paragraphs, sentences, words
CREATE TEMP TABLE txt (name text, t text);
INSERT INTO txt VALUES ('short', E'The cat sat on the mat. It was warm! Was it? Yes.\n\nA second paragraph begins here, '
	'with more words; and ends there. Then more.');
SELECT c.* FROM txt, llm.chunk('chk', t, 30) AS c;
SELECT c.* FROM txt, llm.chunk('chk', t, 30, 10) AS c;
SELECT c.* FROM txt, llm.chunk('chk', t, 7, 3) AS c;
SELECT c.* FROM txt, llm.chunk('chk_bert', t, 40) AS c;
SELECT chunk FROM llm.chunk('chk', 'He said "stop." Then (later!) he went. e.g. this is no end. It is 3.5 long.', 15);
SELECT chunk FROM llm.chunk('chk', E'one two three\nfour five six\r\n\r\nseven eight nine\n', 16);

-- what a chunk promises, checked: it is that part of the text, its tokens are
-- counted and not too many, nothing but white space lies between two chunks,
-- not more than the overlap is repeated, each goes further than the one before
CREATE FUNCTION broken(model text, input text, max_tokens int, overlap int, OUT chunks bigint, OUT promises text)
LANGUAGE sql AS $$
WITH c AS (
	SELECT *, lag(stop) OVER w AS before, lag(start) OVER w AS start_before
	FROM llm.chunk(model, input, max_tokens, overlap) WINDOW w AS (ORDER BY "position")),
d AS (
	SELECT c.*, CASE
		WHEN chunk IS DISTINCT FROM substr(input, start + 1, stop - start) THEN 'text'
		WHEN chunk <> btrim(chunk, space) OR chunk = '' THEN 'trimmed'
		WHEN tokens IS DISTINCT FROM llm.count_tokens(model, chunk, '{"add_special": false}') THEN 'counted'
		WHEN tokens > max_tokens THEN 'fits'
		WHEN btrim(substr(input, coalesce(before, 0) + 1, greatest(start - coalesce(before, 0), 0)), space) <> '' THEN 'whole'
		WHEN start < before AND llm.count_tokens(model, substr(input, start + 1, before - start), '{"add_special": false}') > overlap THEN 'overlap'
		WHEN start <= start_before OR stop <= before THEN 'advances'
		END AS broken
	FROM c, (VALUES (U&' \0009\000A\000D\00A0\3000\2028\2029')) AS v(space))
SELECT count(*), string_agg(DISTINCT broken, ' ') FROM d
$$;
INSERT INTO txt VALUES
	('prose', repeat('The database keeps the weights, and the model reads them. Nothing is lost!  ', 300)),
	('lines', repeat(E'a line of text\n', 500)),
	('paragraphs', repeat(E'First of all. And second.\n\n', 200)),
	('word', repeat('a', 5000)),
	('words', repeat(repeat('word', 20) || ' ', 200)),
	('Chinese', repeat('日本の首都は東京です。京都ではありません!', 300)),
	('emoji', repeat('👩‍👩‍👧‍👦🇩🇪é', 300)),
	('marks', repeat('e' || repeat(U&'\0301', 200), 20)),
	('space', repeat(repeat(' ', 1000) || 'a', 100)),
	('unusual space', repeat(U&'word\00A0two\3000three\2028four\2029', 100)),
	('Cyrillic', repeat('Это предложение. И ещё одно, подлиннее! ', 100));
SELECT name, max_tokens, overlap, model, b.promises
FROM txt, (VALUES (40, 0), (40, 12), (200, 50), (100000, 99999)) AS v(max_tokens, overlap),
	unnest(ARRAY['chk', 'chk_bert', 'chk_unigram']) AS model, broken(model, t, max_tokens, overlap) AS b
WHERE b.promises IS NOT NULL;
SELECT name, b.chunks FROM txt, broken('chk', t, 60, 10) AS b;

-- one long word, and much white space, take no longer than other texts
SELECT model, count(*) FROM unnest(ARRAY['chk', 'chk_bert', 'chk_unigram']) AS model,
	llm.chunk(model, repeat('abcdefghij', 10000), 50, 10) AS c GROUP BY model ORDER BY model;
SELECT count(*) FROM llm.chunk('chk', repeat(' ', 1000000) || 'a' || repeat(' ', 1000000), 50, 10);

-- as large as fits: no chunk but the last could have taken the next word
SELECT count(*) FILTER (WHERE llm.count_tokens('chk', substr(t, start + 1, stop - start +
		strpos(substr(t, stop + 2) || ' ', ' ')), '{"add_special": false}') <= 40) AS too_small, count(*) > 50 AS many
FROM (SELECT repeat('some words of which none ends a sentence ', 100) AS t) AS t, llm.chunk('chk', t, 40) AS c
WHERE stop < length(t) - 40;

-- a character is never cut, and what belongs to it only when it must be
-- (versions of psql differ in how wide they take it to be)
\pset format unaligned
SELECT * FROM llm.chunk('chk', '👩‍👩‍👧‍👦🇩🇪é', 30);
\pset format aligned
SELECT count(*), bool_and(chunk !~ U&'^[\0301\200D]') FROM llm.chunk('chk', repeat(U&'e\0301', 50), 7);
SELECT chunk FROM llm.chunk('chk', '日本', 3);
SELECT chunk FROM llm.chunk('chk', '日本', 2);

-- nothing to cut
SELECT count(*) FROM llm.chunk('chk', '', 5);
SELECT count(*) FROM llm.chunk('chk', E' \n\t ', 5);
SELECT * FROM llm.chunk('chk', E'  x\n', 5);
SELECT * FROM llm.chunk('chk', 'the model', 2147483647, 2147483646);
SELECT count(*) FROM llm.chunk('chk', NULL, 5);
SELECT count(*) FROM llm.chunk(NULL, 'a', 5);
SELECT count(*) FROM llm.chunk('chk', 'a', 5, NULL);

-- errors
SELECT llm.chunk('chk', 'a', 0);
SELECT llm.chunk('chk', 'a', NULL);
SELECT llm.chunk('chk', 'a', 5, 5);
SELECT llm.chunk('chk', 'a', 5, -1);
SELECT llm.chunk('no such model', 'a', 5);
PREPARE cut AS SELECT count(*) FROM llm.chunk($1, $2, $3, $4);
EXECUTE cut('chk', 'one two', 2, 0);
DEALLOCATE cut;

-- chunks of a table's texts are embedded in one statement
SELECT count(*), bool_and(array_length(llm.embed('chk_bert', chunk), 1) = 32) AS vectors
FROM txt, llm.chunk('chk_bert', t, 50) AS c WHERE name = 'lines';

DROP FUNCTION broken(text, text, int, int);
SELECT llm.drop_model(name) FROM unnest(ARRAY['chk', 'chk_bert', 'chk_unigram']) AS name;
