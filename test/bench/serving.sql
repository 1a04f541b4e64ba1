-- Models, prompts and helpers for serving.py.  Run by psql with the variables
-- smollm2, minilm, tiny (files) and text (a file with English of some 30 kB).
\set QUIET on
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET llm.execution = backend;	-- nothing comes into the prefix cache
CREATE EXTENSION llm;

SELECT llm.load_model('bench16', :'smollm2'),
	llm.load_model('bench8', :'smollm2', '{"activation_bits": 8}'),
	llm.load_model('tiny', :'tiny'),
	llm.load_model('minilm', :'minilm', '{"quantization": "q8_0"}')
	\g /dev/null

CREATE TABLE text_tokens AS
SELECT llm.tokenize('bench16', pg_read_file(:'text')) AS ids;

-- A part of the text that has exactly so many tokens, NULL if cutting there
-- gives others.
CREATE FUNCTION part(first int, n int) RETURNS text
LANGUAGE sql STABLE AS $$
	SELECT body
	FROM text_tokens, llm.detokenize('bench16', ids[first:first + n - 1]) body
	WHERE first + n - 1 <= cardinality(ids) AND
		llm.tokenize('bench16', body) = ids[first:first + n - 1]
$$;

-- The next part of that length.
CREATE FUNCTION part_from(start int, n int) RETURNS text
LANGUAGE sql STABLE AS $$
	SELECT part(first, n) FROM generate_series(start, start + 200) first
	WHERE part(first, n) IS NOT NULL LIMIT 1
$$;

-- Prompts of 128 tokens, no two with the same beginning.  Each is used once.
CREATE TABLE prompt AS
SELECT row_number() OVER (ORDER BY first) AS id, body
FROM (
	SELECT DISTINCT ON (ids[first:first + 3]) first, part(first, 128) AS body
	FROM text_tokens, generate_series(1, cardinality(ids)) first
	ORDER BY ids[first:first + 3], first) distinct_beginnings
WHERE body IS NOT NULL;
ALTER TABLE prompt ADD PRIMARY KEY (id);
CREATE SEQUENCE next_prompt;

-- Rows with a question each, for an instruction that they share.
CREATE TABLE instruction (body text);
CREATE TABLE question AS
SELECT id, E'\nArticle ' || id || E' is about:' AS body
FROM generate_series(1, 100) id;
ALTER TABLE question ADD PRIMARY KEY (id);

-- Texts of 16 words, all different
CREATE TABLE short_text (id bigint PRIMARY KEY, body text NOT NULL);
CREATE PROCEDURE make_short_texts(n bigint) LANGUAGE sql AS $$
	SELECT setseed(0.5);
	INSERT INTO short_text
	SELECT id, string_agg(words[1 + floor(random() *
		array_length(words, 1))], ' ' ORDER BY word)
	FROM generate_series(1, n) id, generate_series(1, 16) word,
		string_to_array('time people water house work night hand world '
			'school country city family group state story point home room '
			'money book eye job word business issue side kind head service '
			'friend father power hour game line end member law car company '
			'market child day week month year way thing man woman life part '
			'place case system program question government number area '
			'mother result change morning', ' ') words
	GROUP BY id;
$$;

-- Seconds of a statement, the best of so many times; $1 is another text each
-- time, for calls whose results would be kept else.
CREATE FUNCTION seconds_of(statement text, repetitions int DEFAULT 1)
RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
	began timestamptz;
	best double precision := 'infinity';
BEGIN
	FOR i IN 1..repetitions LOOP
		began := clock_timestamp();
		EXECUTE statement USING i::text;
		best := least(best,
			extract(epoch FROM clock_timestamp() - began));
	END LOOP;
	RETURN best;
END
$$;

-- What is measured must be what is said.
DO $$
DECLARE
	shortest int;
	longest int;
BEGIN
	SELECT min(n), max(n) INTO shortest, longest
	FROM (SELECT (llm.completion('bench16', body, '{"max_tokens": 1}')
		#>> '{usage,prompt_tokens}')::int AS n FROM prompt LIMIT 4) p;
	IF shortest <> 128 OR longest <> 128 THEN
		RAISE EXCEPTION 'prompts have % to % tokens', shortest, longest;
	END IF;
	IF (SELECT count(*) FROM prompt) < 1000 THEN
		RAISE EXCEPTION 'too few prompts';
	END IF;
END
$$;
SELECT llm.preload(name) FROM llm.models \g /dev/null
