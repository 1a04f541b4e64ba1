--
-- Triggers that embed rows
--
\getenv data LLM_TEST_DATA
\set bert :data/hf/bert
SELECT name FROM llm.load_model('tr', :'bert');

-- What the rows should have: the same bytes as llm.embed() gives
CREATE FUNCTION wanted(VARIADIC texts text[]) RETURNS real[] STABLE
BEGIN ATOMIC
	SELECT CASE WHEN array_remove(texts, NULL) <> '{}' THEN
		llm.embed('tr', array_to_string(texts, E'\n')) END;
END;

-- How often the model was used
CREATE FUNCTION uses() RETURNS bigint VOLATILE
RETURN (SELECT coalesce(sum(hits), 0) FROM llm.stat_cache WHERE model = 'tr');

CREATE TABLE doc (id integer PRIMARY KEY, title text, body text,
	embedding real[], note text);
CREATE TRIGGER embed BEFORE INSERT OR UPDATE ON doc
	FOR EACH ROW EXECUTE FUNCTION
	llm.embed_trigger('embedding', 'tr', 'title', 'body');
CREATE VIEW doc_check AS
SELECT id, title, body, embedding IS NOT NULL AS embedded,
	embedding IS NOT DISTINCT FROM wanted(title, body) AS good
FROM doc;

-- INSERT: NULLs are skipped, an empty text is a text
INSERT INTO doc VALUES (1, 'model', 'the answer'), (2, 'token', NULL),
	(3, NULL, 'search'), (4, NULL, NULL), (5, '', NULL), (6, '', 'x');
SELECT * FROM doc_check ORDER BY id;

-- COPY, INSERT ... SELECT
COPY doc (id, title, body) FROM STDIN;
7	search	index
8	search	\N
\.
INSERT INTO doc (id, title, body)
SELECT i, 'token ' || chr(88 + i), 'a text' FROM generate_series(9, 12) AS i;
SELECT count(*), bool_and(embedded) AS embedded, bool_and(good) AS good
FROM doc_check WHERE id >= 7;

-- UPDATE: of one text, to NULL, back
UPDATE doc SET title = 'memory' WHERE id = 1;
UPDATE doc SET body = NULL WHERE id = 3;
UPDATE doc SET title = 'machine' WHERE id = 4;
SELECT * FROM doc_check WHERE id IN (1, 3, 4) ORDER BY id;

-- a vector that is removed comes back; one that is given stays until a text
-- changes
UPDATE doc SET embedding = NULL WHERE id = 1;
UPDATE doc SET embedding = '{1,2}' WHERE id = 2;
INSERT INTO doc VALUES (13, 'weights', NULL, '{3,4}');
SELECT id, embedding FROM doc WHERE embedding = '{1,2}' OR id = 13
ORDER BY id;
UPDATE doc SET title = 'answers', embedding = '{1,2}' WHERE id IN (2, 13);
SELECT count(*), bool_and(good) AS good FROM doc_check;

-- ON CONFLICT, which fires the trigger twice for a row but embeds a text once;
-- MERGE
SELECT uses() AS before \gset
INSERT INTO doc VALUES (1, 'a', 'b'), (14, 'c', 'd')
ON CONFLICT (id) DO UPDATE SET title = excluded.title, body = 'other';
INSERT INTO doc VALUES (14, 'g', 'f')
ON CONFLICT (id) DO UPDATE SET title = excluded.title, body = excluded.body;
SELECT uses() - :before AS uses;
INSERT INTO doc VALUES (1, 'a', 'b') ON CONFLICT DO NOTHING;
MERGE INTO doc USING (VALUES (1, 'nothing'), (15, 'numbers')) AS v (id, title)
	ON doc.id = v.id
WHEN MATCHED THEN UPDATE SET title = v.title
WHEN NOT MATCHED THEN INSERT (id, title) VALUES (v.id, v.title);
SELECT * FROM doc_check WHERE id IN (1, 14, 15) ORDER BY id;
SELECT count(*), bool_and(good) AS good FROM doc_check;

-- What is not to be embedded does not touch the model: it is away
SELECT llm.rename_model('tr', 'away');
UPDATE doc SET note = 'x', title = title, body = body;
UPDATE doc SET title = 'nothing', embedding = embedding WHERE id = 1;
UPDATE doc SET title = NULL WHERE id = 3;
INSERT INTO doc VALUES (16, NULL, NULL, NULL),
	(17, 'weights', NULL, '{5,6}');
SELECT id, embedding IS NULL AS no_vector FROM doc WHERE id IN (3, 16, 17)
ORDER BY id;
UPDATE doc SET title = 'w' WHERE id = 1;
INSERT INTO doc VALUES (18, 'w');
SELECT llm.rename_model('away', 'tr');
DELETE FROM doc WHERE id = 17;
SELECT count(*), bool_and(good) AS good FROM doc_check;

-- nor does it read texts that are stored out of line
ALTER TABLE doc ALTER body SET STORAGE EXTERNAL;
INSERT INTO doc (id, title, body, embedding)
VALUES (20, 'long', repeat('long ', 10000), '{7,8}');
UPDATE doc SET note = 'w' WHERE id = 20;
SELECT embedding FROM doc WHERE id = 20;
DELETE FROM doc WHERE id = 20;

-- Names that must be quoted; types of text; other kinds of numbers
CREATE DOMAIN sentence AS varchar(100);
CREATE DOMAIN vector8 AS double precision[] CHECK (cardinality(VALUE) > 1);
CREATE TABLE "Odd ""Names" ("Ti tle" varchar(20), padded char(10), gone int,
	"name" name, said sentence, "The Vector" vector8);
ALTER TABLE "Odd ""Names" DROP COLUMN gone;
CREATE TRIGGER "Em Bed" BEFORE INSERT OR UPDATE ON "Odd ""Names"
	FOR EACH ROW EXECUTE FUNCTION
	llm.embed_trigger('The Vector', 'tr', 'Ti tle', 'padded', 'name', 'said');
INSERT INTO "Odd ""Names" VALUES ('a', 'b', 'c', 'd'), (NULL, 'b', NULL, NULL);
SELECT "Ti tle", "The Vector"::real[] =
	wanted("Ti tle", padded::text, name::text, said) AS good
FROM "Odd ""Names";
ALTER TABLE "Odd ""Names" ALTER "The Vector" TYPE numeric(8, 4)[];
UPDATE "Odd ""Names" SET said = 'g';
SELECT "Ti tle", "The Vector" = wanted("Ti tle", padded::text, name::text,
	said)::numeric(8, 4)[] AS good
FROM "Odd ""Names";
ALTER TABLE "Odd ""Names" ALTER "The Vector" TYPE real[];
-- a cast that a user made
CREATE TYPE pair AS (low real, high real);
CREATE FUNCTION pair(real[]) RETURNS pair IMMUTABLE LANGUAGE sql
AS 'SELECT ROW($1[1], $1[2])::pair';
CREATE CAST (real[] AS pair) WITH FUNCTION pair(real[]) AS ASSIGNMENT;
CREATE TABLE pairs (body text, embedding pair);
CREATE TRIGGER embed BEFORE INSERT OR UPDATE ON pairs
	FOR EACH ROW EXECUTE FUNCTION
	llm.embed_trigger('embedding', 'tr', 'body');
INSERT INTO pairs VALUES ('x');
SELECT (embedding).low = (wanted(body))[1] AS low,
	(embedding).high = (wanted(body))[2] AS high FROM pairs;
-- a domain that refuses
ALTER TABLE pairs DROP COLUMN embedding;
CREATE DOMAIN long_vector AS real[] CHECK (cardinality(VALUE) > 100000);
ALTER TABLE pairs ADD embedding long_vector;
INSERT INTO pairs VALUES ('x');

-- Partitions: each has its own column numbers; rows that move keep theirs
CREATE TABLE part (id integer, body text, junk integer, embedding real[])
	PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100);
CREATE TABLE part_2 (embedding real[], x integer, id integer, junk integer,
	body text);
ALTER TABLE part_2 DROP COLUMN x;
ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES FROM (100) TO (200);
CREATE TRIGGER embed BEFORE INSERT OR UPDATE ON part
	FOR EACH ROW EXECUTE FUNCTION llm.embed_trigger('embedding', 'tr', 'body');
ALTER TABLE part DROP COLUMN junk;
INSERT INTO part VALUES (1, 'model'), (101, 'memory'), (2, 'search'), (102, 'answer');
COPY part (id, body) FROM STDIN;
3	token
103	index
4	machine
\.
UPDATE part SET body = body || '!' WHERE id IN (1, 101);
SELECT llm.rename_model('tr', 'away');
UPDATE part SET id = id + 100 WHERE id IN (1, 4);
SELECT llm.rename_model('away', 'tr');
UPDATE part SET id = id - 100, body = 'others' WHERE id = 102;
SELECT tableoid::regclass, id, body, embedding = wanted(body) AS good
FROM part ORDER BY id, body;

-- Replicas: only triggers that are enabled for them
SET session_replication_role = replica;
INSERT INTO doc VALUES (30, 'replica');
ALTER TABLE doc ENABLE ALWAYS TRIGGER embed;
INSERT INTO doc VALUES (31, 'replica');
ALTER TABLE doc ENABLE REPLICA TRIGGER embed;
INSERT INTO doc VALUES (32, 'replica');
RESET session_replication_role;
INSERT INTO doc VALUES (33, 'replica');
ALTER TABLE doc ENABLE TRIGGER embed;
SELECT id, embedded FROM doc_check WHERE id BETWEEN 30 AND 33 ORDER BY id;
DELETE FROM doc WHERE id BETWEEN 30 AND 33;

-- The right to use the model is that of whoever writes the row
CREATE ROLE regress_llm_writer;
GRANT INSERT, SELECT, UPDATE ON doc TO regress_llm_writer;
SET ROLE regress_llm_writer;
INSERT INTO doc VALUES (40, 'x');
RESET ROLE;
SELECT llm.grant_model('tr', 'regress_llm_writer');
SET ROLE regress_llm_writer;
INSERT INTO doc VALUES (40, 'x'), (41, 'x');
RESET ROLE;
SELECT * FROM doc_check WHERE id IN (40, 41) ORDER BY id;

-- search_path has no say
CREATE SCHEMA evil;
CREATE FUNCTION evil.bad(text, text) RETURNS boolean LANGUAGE plpgsql
AS 'BEGIN RAISE EXCEPTION ''called''; END';
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.bad);
CREATE OPERATOR evil.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.bad);
CREATE FUNCTION evil.array_to_string(text[], text) RETURNS text
LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''called''; END';
SET search_path = evil, pg_catalog, public;
INSERT INTO doc VALUES (42, 'x');
UPDATE doc SET title = 'w' WHERE id OPERATOR(pg_catalog.=) 42;
RESET search_path;

-- Errors
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
	detail text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT,
		detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(E'\n', sqlstate || ' ' || sqlerrm, nullif(detail, ''),
		nullif(hint, ''));
END
$$;
\pset format unaligned
\pset tuples_only on
CREATE FUNCTION try_trigger(arguments text,
	timing text = 'BEFORE INSERT OR UPDATE', level text = 'ROW')
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	CREATE TEMP TABLE errors (id integer PRIMARY KEY, body text, doubled text
		GENERATED ALWAYS AS (body || body) STORED, numbers real[],
		more real[] GENERATED ALWAYS AS (ARRAY[1, 2]) STORED, flag boolean);
	EXECUTE format('CREATE TRIGGER wrong %s ON errors FOR EACH %s
		EXECUTE FUNCTION llm.embed_trigger(%s)', timing, level, arguments);
	result = try('INSERT INTO errors (id, body) VALUES (1, ''x'')');
	IF result = 'no error' THEN
		result = try('DELETE FROM errors');
	END IF;
	DROP TABLE errors;
	RETURN result;
END
$$;
SELECT try_trigger($$'embeding', 'tr', 'body'$$);
SELECT try_trigger($$'numbers', 'tr', 'Body'$$);
SELECT try_trigger($$'numbers', 'tr', 'ctid'$$);
SELECT try_trigger($$'flag', 'tr', 'body'$$);
SELECT try_trigger($$'id', 'tr', 'body'$$);
SELECT try_trigger($$'numbers', 'tr', 'body', 'id'$$);
SELECT try_trigger($$'more', 'tr', 'body'$$);
SELECT try_trigger($$'numbers', 'tr', 'doubled'$$);
SELECT try_trigger($$'numbers', 'no such model', 'body'$$);
SELECT try_trigger($$'numbers', 'tr'$$);
SELECT try_trigger('');
SELECT try_trigger($$'numbers', 'tr', 'body'$$, 'AFTER INSERT');
SELECT try_trigger($$'numbers', 'tr', 'body'$$, 'BEFORE INSERT', 'STATEMENT');
SELECT try_trigger($$'numbers', 'tr', 'body'$$, 'BEFORE DELETE');
SELECT try('SELECT llm.embed_trigger()');
\pset format aligned
\pset tuples_only off

-- a model that cannot embed
\set llama :data/tiny-llama.gguf
SELECT name FROM llm.load_model('tr_llama', :'llama');
CREATE TABLE cannot (body text, embedding real[]);
CREATE TRIGGER embed BEFORE INSERT ON cannot
	FOR EACH ROW EXECUTE FUNCTION
	llm.embed_trigger('embedding', 'tr_llama', 'body');
INSERT INTO cannot VALUES ('x');

DROP TABLE doc, "Odd ""Names", pairs, part, cannot CASCADE;
DROP FUNCTION wanted, uses, try, try_trigger, pair CASCADE;
DROP TYPE pair, sentence, vector8, long_vector;
DROP SCHEMA evil CASCADE;
SELECT llm.drop_model(name) FROM llm.models WHERE name LIKE 'tr%';
DROP ROLE regress_llm_writer;
