-- Many short texts into a table with vectors: by the trigger for rows, by the
-- one for statements, and by embed_batch.  Run by scripts/bench-server with
-- the variables folder, rows and type (of the weights).
\set QUIET on
\set ON_ERROR_STOP on
\pset format aligned
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS llm;

CREATE TABLE measured (way text, rows bigint, seconds numeric,
	first_mb numeric, peak_mb numeric);

-- Memory of this backend alone in kB.  (Private_* of smaps would also count
-- pages of the cache that no other process has looked at yet.)
CREATE FUNCTION private_kb() RETURNS bigint
LANGUAGE sql VOLATILE AS $$
	SELECT (regexp_match(pg_read_file('/proc/self/smaps_rollup'),
		'\nAnonymous: *([0-9]+) kB'))[1]::bigint
$$;

-- Texts of 16 words, all different
CREATE UNLOGGED TABLE source (id bigint PRIMARY KEY, body text NOT NULL);
SELECT setseed(0.5) \g /dev/null
INSERT INTO source
SELECT id, string_agg(words[1 + floor(random() * array_length(words, 1))],
	' ' ORDER BY word)
FROM generate_series(1, :rows) id, generate_series(1, 16) word,
	string_to_array('time people water house work night hand world school '
		'country city family group state story point home room money book eye '
		'job word business issue side kind head service friend father power '
		'hour game line end member law car company market child day week '
		'month year way thing man woman life part place case system program '
		'question government number area mother result change morning', ' ')
		words
GROUP BY id;
VACUUM ANALYZE source;

-- A row in twenty looks at memory, while it is inserted or gets its vector.
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	now_kb bigint := private_kb();
BEGIN
	IF current_setting('bench.first') = '0' THEN
		PERFORM set_config('bench.first', now_kb::text, false);
	END IF;
	PERFORM set_config('bench.peak',
		greatest(current_setting('bench.peak')::bigint, now_kb)::text, false);
	RETURN NEW;
END
$$;

CREATE PROCEDURE measure(way text, trigger_sql text, statement text)
LANGUAGE plpgsql AS $$
DECLARE
	began timestamptz;
	n bigint;
	every bigint;
BEGIN
	DROP TABLE IF EXISTS docs;
	CREATE UNLOGGED TABLE docs (id bigint PRIMARY KEY, body text,
		embedding real[]);
	EXECUTE trigger_sql;
	SELECT greatest(count(*) / 20, 1) INTO every FROM source;
	EXECUTE format('CREATE TRIGGER look BEFORE INSERT OR UPDATE ON docs '
		'FOR EACH ROW WHEN (NEW.id %% %s = 0) EXECUTE FUNCTION look()', every);
	PERFORM set_config('bench.first', '0', false),
		set_config('bench.peak', '0', false);
	PERFORM llm.embed('bench', 'the first call of a connection');
	began := clock_timestamp();
	EXECUTE statement;
	INSERT INTO measured VALUES (way, (SELECT count(*) FROM docs),
		extract(epoch FROM clock_timestamp() - began),
		current_setting('bench.first')::bigint / 1024.0,
		current_setting('bench.peak')::bigint / 1024.0);
	SELECT count(*) INTO n FROM docs WHERE embedding IS NULL;
	IF n > 0 THEN
		RAISE EXCEPTION '%: % rows have no vector', way, n;
	END IF;
END
$$;

SELECT llm.load_model('bench', :'folder',
	jsonb_build_object('quantization', :'type'::text)) \g /dev/null
SELECT llm.preload('bench') \g /dev/null

-- Each in a connection of its own
\c
SET client_min_messages = warning;
CALL measure('row trigger',
	$$CREATE TRIGGER embed BEFORE INSERT OR UPDATE ON docs FOR EACH ROW
	EXECUTE FUNCTION llm.embed_trigger('embedding', 'bench', 'body')$$,
	'INSERT INTO docs (id, body) SELECT id, body FROM source');
\c
SET client_min_messages = warning;
CALL measure('statement trigger',
	$$CREATE TRIGGER embed AFTER INSERT ON docs
	REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
	EXECUTE FUNCTION llm.embed_statement_trigger('embedding', 'bench',
	'body')$$,
	'INSERT INTO docs (id, body) SELECT id, body FROM source');
\c
SET client_min_messages = warning;
CALL measure('embed_batch, 1000 texts a call', '',
	$$INSERT INTO docs
	SELECT ids[position + 1], bodies[position + 1], embedding
	FROM (SELECT array_agg(id ORDER BY id), array_agg(body ORDER BY id)
		FROM source GROUP BY (id - 1) / 1000) part (ids, bodies),
		LATERAL llm.embed_batch('bench', bodies)$$);

-- All of them make the same vectors
CREATE VIEW checked AS
SELECT count(*) AS n FROM docs JOIN source USING (id)
WHERE docs.body <> source.body OR (id <= 5 AND
	embedding <> llm.embed('bench', source.body));
DO $$
BEGIN
	IF (SELECT n FROM checked) > 0 THEN
		RAISE EXCEPTION 'vectors differ';
	END IF;
END
$$;
SELECT llm.drop_model('bench') \g /dev/null
SELECT way, rows, round(rows / seconds, 1) AS rows_per_second,
	round(first_mb, 1) AS first_mb, round(peak_mb, 1) AS peak_mb
FROM measured;
