-- What a server adds to the engine: import, load, the first call of a
-- connection.  Run by scripts/bench-server with the variables file and data.
\set QUIET on
\set ON_ERROR_STOP on
\pset format aligned
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS llm;

CREATE TABLE IF NOT EXISTS measured (item text, value numeric, unit text);
TRUNCATE measured;

-- Memory of this backend alone in kB.  (Private_* of smaps would also count
-- pages of the cache that no other process has looked at yet.)
CREATE OR REPLACE FUNCTION private_kb() RETURNS bigint
LANGUAGE sql VOLATILE AS $$
	SELECT (regexp_match(pg_read_file('/proc/self/smaps_rollup'),
		'\nAnonymous: *([0-9]+) kB'))[1]::bigint
$$;

-- Import: llm.load_model reads, hashes, checks and writes; lo_import writes.
-- Turns, and the best of each.
SELECT set_config('bench.file', :'file', false) \g /dev/null
DO $$
DECLARE
	file text := current_setting('bench.file');
	began timestamptz;
	took numeric;
	ours numeric := 1e9;
	theirs numeric := 1e9;
	object oid;
BEGIN
	SET LOCAL default_toast_compression = 'lz4';
	FOR i IN 1..3 LOOP
		began := clock_timestamp();
		object := lo_import(file);
		took := extract(epoch FROM clock_timestamp() - began);
		theirs := least(theirs, took);
		PERFORM lo_unlink(object);
		began := clock_timestamp();
		PERFORM llm.load_model('bench_import', file);
		took := extract(epoch FROM clock_timestamp() - began);
		ours := least(ours, took);
		PERFORM llm.drop_model('bench_import');
	END LOOP;
	INSERT INTO measured VALUES
		('lo_import', (pg_stat_file(file)).size / theirs / 1e6, 'MB/s'),
		('llm.load_model', (pg_stat_file(file)).size / ours / 1e6, 'MB/s'),
		('llm.load_model : lo_import', theirs / ours, '');
END
$$;

SELECT llm.load_model('bench', :'file') \g /dev/null

-- Load: large object to ready image, into arena pages that nobody touched
-- before, and again into touched ones.
DO $$
DECLARE
	cold numeric;
	warm numeric := 1e9;
	file_size numeric;
BEGIN
	SELECT size INTO file_size FROM llm.models WHERE name = 'bench';
	PERFORM llm.preload('bench');
	SELECT load_ms INTO cold FROM llm.stat_cache WHERE model = 'bench';
	FOR i IN 1..5 LOOP
		PERFORM llm.evict('bench');
		PERFORM llm.preload('bench');
		warm := least(warm, (SELECT load_ms FROM llm.stat_cache
							 WHERE model = 'bench'));
	END LOOP;
	INSERT INTO measured VALUES
		('load, untouched pages', file_size / cold / 1e3, 'MB/s'),
		('load, touched pages', file_size / warm / 1e3, 'MB/s');
END
$$;

-- A new connection, the model being cached: its first call, a warm one, and
-- the memory that it has taken for itself.
\c
SET client_min_messages = warning;
SELECT pg_sleep(1) \g /dev/null -- the last connection gives its memory back
DO $$
DECLARE
	began timestamptz;
	first numeric;
	warm numeric := 1e9;
	before bigint;
BEGIN
	PERFORM count(*) FROM llm.options;	-- the library is loaded
	before := private_kb();
	began := clock_timestamp();
	PERFORM * FROM llm.next_token('bench', 'The capital of France is');
	first := extract(epoch FROM clock_timestamp() - began) * 1000;
	INSERT INTO measured VALUES
		('private memory of a first call', (private_kb() - before) / 1024.0, 'MB');
	FOR i IN 1..10 LOOP
		began := clock_timestamp();
		PERFORM * FROM llm.next_token('bench', 'The capital of France is' || i);
		warm := least(warm, extract(epoch FROM clock_timestamp() - began) * 1000);
	END LOOP;
	INSERT INTO measured VALUES
		('first next_token of a connection', first, 'ms'),
		('a warm next_token', warm, 'ms'),
		('difference', first - warm, 'ms');
END
$$;

-- Prompt and generation in the backend, to be held against engine_bench
DO $$
DECLARE
	timings jsonb;
	prompt_ms numeric := 1e9;
	generate_ms numeric := 1e9;
	prompt text;
	tokens int;
BEGIN
	SELECT string_agg('word' || g, ' ') INTO prompt
	FROM generate_series(1, 60) g;
	prompt := llm.detokenize('bench', (llm.tokenize('bench', repeat(prompt, 3)))[1:512]);
	FOR i IN 1..4 LOOP
		timings := llm.completion('bench', prompt, '{"max_tokens": 1}');
		prompt_ms := least(prompt_ms, (timings #>> '{timings,prompt_ms}')::numeric);
		tokens := (timings #>> '{usage,prompt_tokens}')::int;
		timings := llm.completion('bench', 'Once upon a time there was a',
			'{"max_tokens": 65, "ignore_eos": true}');
		generate_ms := least(generate_ms,
			(timings #>> '{timings,generate_ms}')::numeric);
	END LOOP;
	INSERT INTO measured VALUES
		('prompt of ' || tokens || ' tokens in SQL', tokens / prompt_ms * 1000, 'tokens/s'),
		('generate 64 in SQL', 64 / generate_ms * 1000, 'tokens/s');
END
$$;

SELECT llm.drop_model('bench') \g /dev/null
SELECT item, round(value, 2) AS value, unit FROM measured;
