--
-- Triggers that embed all rows of a statement
--
\getenv data LLM_TEST_DATA
\set bert :data/hf/bert
SELECT name FROM llm.load_model('ts', :'bert');

CREATE FUNCTION wanted(VARIADIC texts text[]) RETURNS real[] STABLE
BEGIN ATOMIC
	SELECT CASE WHEN array_remove(texts, NULL) <> '{}' THEN
		llm.embed('ts', array_to_string(texts, E'\n')) END;
END;
-- How often the model was used
CREATE FUNCTION uses() RETURNS bigint VOLATILE
RETURN (SELECT coalesce(sum(hits), 0) FROM llm.stat_cache WHERE model = 'ts');

CREATE TABLE doc (id integer PRIMARY KEY, title text, body text,
	embedding real[], note text);
CREATE TRIGGER embed_insert AFTER INSERT ON doc
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION
	llm.embed_statement_trigger('embedding', 'ts', 'title', 'body');
CREATE TRIGGER embed_update AFTER UPDATE ON doc
	REFERENCING OLD TABLE AS "Old" NEW TABLE AS "New Rows"
	FOR EACH STATEMENT EXECUTE FUNCTION
	llm.embed_statement_trigger('embedding', 'ts', 'title', 'body');
CREATE VIEW doc_check AS
SELECT id, title, body, embedding IS NOT NULL AS embedded,
	embedding IS NOT DISTINCT FROM wanted(title, body) AS good
FROM doc;

-- INSERT: NULLs are skipped, an empty text is a text
INSERT INTO doc VALUES (1, 'model', 'the answer'), (2, 'token', NULL),
	(3, NULL, 'search'), (4, NULL, NULL), (5, '', NULL), (6, '', 'x');
SELECT * FROM doc_check ORDER BY id;

-- all rows of a statement are one use of the model
SELECT uses() AS before \gset
INSERT INTO doc (id, title, body)
SELECT i, 'token ' || translate(i::text, '0123456789', 'abcdfgiklm'), 'a text'
FROM generate_series(100, 199) AS i;
SELECT uses() - :before AS uses;
COPY doc (id, title, body) FROM STDIN;
7	search	index
8	search	\N
9	C\\D	a'b
\.
SELECT uses() - :before AS uses;
SELECT count(*), bool_and(good) AS good FROM doc_check;

-- more than one slice
SELECT uses() AS before \gset
INSERT INTO doc (id, title)
SELECT i, translate((i % 10)::text, '0123456789', 'abcdfgiklm')
FROM generate_series(1001, 6000) AS i;
SELECT uses() - :before > 1 AS slices;
SELECT count(*), count(embedding) AS embedded,
	count(DISTINCT embedding) AS kinds
FROM doc WHERE id > 1000;
SELECT bool_and(good) AS good FROM doc_check WHERE id > 5990;
DELETE FROM doc WHERE id > 1000;

-- UPDATE: of one text, to NULL, back; a vector that is removed comes back,
-- one that is given stays until a text changes
UPDATE doc SET title = CASE id WHEN 1 THEN 'memory' WHEN 4 THEN 'machine' END
WHERE id IN (1, 2, 4);
UPDATE doc SET embedding = NULL WHERE id = 3;
UPDATE doc SET embedding = '{1,2}' WHERE id = 5;
INSERT INTO doc VALUES (10, 'weights', NULL, '{3,4}');
SELECT * FROM doc_check WHERE id <= 10 ORDER BY id;
UPDATE doc SET title = title || '!', embedding = '{1,2}' WHERE id IN (5, 10);
SELECT count(*), bool_and(good) AS good FROM doc_check;
-- from '' to NULL
UPDATE doc SET title = '' WHERE id = 2;
SELECT * FROM doc_check WHERE id = 2;
UPDATE doc SET title = NULL WHERE id = 2;
SELECT * FROM doc_check WHERE id = 2;

-- ON CONFLICT, MERGE
INSERT INTO doc VALUES (1, 'a', 'b'), (14, 'c', 'd')
ON CONFLICT (id) DO UPDATE SET title = excluded.title, body = 'other';
MERGE INTO doc USING (VALUES (1, 'nothing'), (15, 'numbers')) AS v (id, title)
	ON doc.id = v.id
WHEN MATCHED THEN UPDATE SET title = v.title
WHEN NOT MATCHED THEN INSERT (id, title) VALUES (v.id, v.title);
SELECT * FROM doc_check WHERE id IN (1, 14, 15) ORDER BY id;

-- a changed key
UPDATE doc SET id = id + 100000 WHERE id = 1;
UPDATE doc SET id = 1 WHERE id = 100001;
SELECT count(*), bool_and(good) AS good FROM doc_check;

-- What is not to be embedded does not touch the model: it is away
SELECT llm.rename_model('ts', 'away');
UPDATE doc SET note = 'x', title = title, body = body;
UPDATE doc SET title = 'x' WHERE false;
INSERT INTO doc VALUES (16, NULL, NULL, NULL), (17, 'weights', NULL, '{5,6}');
UPDATE doc SET embedding = '{7,8}' WHERE id = 17;
UPDATE doc SET title = 'w' WHERE id = 1;
INSERT INTO doc VALUES (18, 'w');
SELECT llm.rename_model('away', 'ts');
DELETE FROM doc WHERE id = 17;
SELECT count(*), bool_and(good) AS good FROM doc_check;

-- Triggers beside ours: one that changes the row after it was written, so that
-- its text is not the one in the table of new rows; one that counts statements
CREATE TABLE updates (n integer);
CREATE FUNCTION extend() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE doc SET title = title || ' machine' WHERE id = new.id;
	RETURN NULL;
END
$$;
CREATE FUNCTION count_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO updates VALUES (1);
	RETURN NULL;
END
$$;
CREATE TRIGGER a_extend AFTER INSERT ON doc FOR EACH ROW
	EXECUTE FUNCTION extend();
INSERT INTO doc VALUES (20, 'text'), (21, 'token');
SELECT * FROM doc_check WHERE id IN (20, 21) ORDER BY id;
DROP TRIGGER a_extend ON doc;
CREATE TRIGGER count AFTER UPDATE ON doc FOR EACH STATEMENT
	EXECUTE FUNCTION count_update();
INSERT INTO doc VALUES (22, 'x'), (23, 'w');
UPDATE doc SET title = 'k' WHERE id = 22;
SELECT count(*) AS updates FROM updates;
DROP TRIGGER count ON doc;
-- one that our UPDATE fires, and that changes another row's text
CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE doc SET title = title || ' model' WHERE id = 23;
	RETURN NULL;
END
$$;
CREATE TRIGGER follow AFTER UPDATE OF embedding ON doc FOR EACH ROW
	WHEN (new.id = 22) EXECUTE FUNCTION follow();
UPDATE doc SET title = 'w' WHERE id = 22;
DROP TRIGGER follow ON doc;
SELECT * FROM doc_check WHERE id IN (22, 23) ORDER BY id;
-- a text that does not fit: the error names the row
INSERT INTO doc VALUES (30, 'short'), (31, repeat('long ', 30000)),
	(32, 'short');
-- after an error nothing of it stays
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql
AS 'BEGIN RAISE EXCEPTION ''no''; END';
CREATE TRIGGER fail BEFORE UPDATE OF embedding ON doc FOR EACH ROW
	EXECUTE FUNCTION fail();
\set VERBOSITY terse
INSERT INTO doc VALUES (24, 'x');
\set VERBOSITY default
DROP TRIGGER fail ON doc;
INSERT INTO doc VALUES (24, 'x');
UPDATE doc SET title = 'w' WHERE id = 24;
SELECT * FROM doc_check WHERE id = 24;
-- two models
ALTER TABLE doc ADD embedding_2 double precision[];
CREATE TRIGGER embed_insert_2 AFTER INSERT ON doc
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION
	llm.embed_statement_trigger('embedding_2', 'ts', 'title');
CREATE TRIGGER embed_update_2 AFTER UPDATE ON doc
	REFERENCING OLD TABLE AS o NEW TABLE AS n
	FOR EACH STATEMENT EXECUTE FUNCTION
	llm.embed_statement_trigger('embedding_2', 'ts', 'title');
INSERT INTO doc VALUES (25, 'x', 'w');
UPDATE doc SET body = 'k' WHERE id = 25;
SELECT embedding = wanted(title, body) AS one, embedding_2 =
	wanted(title)::double precision[] AS two FROM doc WHERE id = 25;
UPDATE doc SET title = 'k' WHERE id = 25;
SELECT embedding = wanted(title, body) AS one, embedding_2 =
	wanted(title)::double precision[] AS two FROM doc WHERE id = 25;

-- Keys of several columns of odd types, names that must be quoted, generated
-- texts
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE "Odd ""Names" ("Ke y" varchar(10), b mood, c integer[],
	"Ti tle" char(10), gone integer, body text,
	doubled text GENERATED ALWAYS AS (body || body) STORED,
	"The Vector" double precision[], PRIMARY KEY (c, "Ke y", b));
ALTER TABLE "Odd ""Names" DROP COLUMN gone;
CREATE TRIGGER i AFTER INSERT ON "Odd ""Names"
	REFERENCING NEW TABLE AS "n o"
	FOR EACH STATEMENT EXECUTE FUNCTION
	llm.embed_statement_trigger('The Vector', 'ts', 'Ti tle', 'doubled');
CREATE TRIGGER u AFTER UPDATE ON "Odd ""Names"
	REFERENCING NEW TABLE AS "n o" OLD TABLE AS "llm vectors"
	FOR EACH STATEMENT EXECUTE FUNCTION
	llm.embed_statement_trigger('The Vector', 'ts', 'Ti tle', 'doubled');
INSERT INTO "Odd ""Names" VALUES ('a', 'sad', '{1}', 'x', 'w'),
	('a', 'ok', '{1}', 'k', 'w'), ('a', 'sad', '{2}', 'x', NULL);
UPDATE "Odd ""Names" SET body = 'numbers' WHERE b = 'ok';
SELECT "Ke y", b, c, "The Vector"::real[] = wanted("Ti tle"::text, doubled)
	AS good FROM "Odd ""Names" ORDER BY c, b;

-- Partitions
CREATE TABLE part (id integer PRIMARY KEY, body text, embedding real[])
	PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100);
CREATE TABLE part_2 (embedding real[], x integer, id integer NOT NULL,
	body text);
ALTER TABLE part_2 DROP COLUMN x;
ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES FROM (100) TO (200);
CREATE TRIGGER i AFTER INSERT ON part REFERENCING NEW TABLE AS n
	FOR EACH STATEMENT EXECUTE FUNCTION
	llm.embed_statement_trigger('embedding', 'ts', 'body');
CREATE TRIGGER u AFTER UPDATE ON part REFERENCING NEW TABLE AS n OLD TABLE AS o
	FOR EACH STATEMENT EXECUTE FUNCTION
	llm.embed_statement_trigger('embedding', 'ts', 'body');
INSERT INTO part VALUES (1, 'model'), (101, 'memory'), (2, 'search'), (102, 'answer');
UPDATE part SET body = body || '!' WHERE id IN (1, 101);
UPDATE part SET id = id + 101, body = 'others' WHERE id = 2;
SELECT tableoid::regclass, id, body, embedding = wanted(body) AS good
FROM part ORDER BY id;

-- Rights: of whoever makes the statement, on the model and on the table
CREATE ROLE regress_llm_inserter;
GRANT INSERT ON part TO regress_llm_inserter;
SET ROLE regress_llm_inserter;
INSERT INTO part VALUES (10, 'x');
RESET ROLE;
SELECT llm.grant_model('ts', 'regress_llm_inserter');
SET ROLE regress_llm_inserter;
\set SHOW_CONTEXT never
INSERT INTO part VALUES (10, 'x');
\set SHOW_CONTEXT errors
RESET ROLE;
GRANT UPDATE (embedding), SELECT (id, body) ON part TO regress_llm_inserter;
SET ROLE regress_llm_inserter;
INSERT INTO part VALUES (10, 'x');
RESET ROLE;
-- policies that hide rows
ALTER TABLE part ENABLE ROW LEVEL SECURITY;
CREATE POLICY write ON part FOR INSERT WITH CHECK (true);
CREATE POLICY read ON part FOR SELECT USING (id < 12);
CREATE POLICY change ON part FOR UPDATE USING (id < 12);
SET ROLE regress_llm_inserter;
INSERT INTO part VALUES (11, 'x');
INSERT INTO part VALUES (12, 'x');
RESET ROLE;
SELECT id, embedding = wanted(body) AS good FROM part WHERE id BETWEEN 10 AND 12
ORDER BY id;

-- search_path has no say
CREATE SCHEMA evil;
CREATE FUNCTION evil.bad(text, text) RETURNS boolean LANGUAGE plpgsql
AS 'BEGIN RAISE EXCEPTION ''called''; END';
CREATE FUNCTION evil.bad(integer, integer) RETURNS boolean LANGUAGE plpgsql
AS 'BEGIN RAISE EXCEPTION ''called''; END';
CREATE FUNCTION evil.bad(boolean, boolean) RETURNS boolean LANGUAGE plpgsql
AS 'BEGIN RAISE EXCEPTION ''called''; END';
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.bad);
CREATE OPERATOR evil.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.bad);
CREATE OPERATOR evil.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil.bad);
CREATE OPERATOR evil.<> (LEFTARG = boolean, RIGHTARG = boolean, FUNCTION = evil.bad);
CREATE FUNCTION evil.array_to_string(text[], text) RETURNS text
LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''called''; END';
CREATE DOMAIN evil.text AS pg_catalog.text CHECK (VALUE IS NULL);
CREATE TABLE evil.part (id integer);
SET search_path = evil, pg_catalog, public;
INSERT INTO public.part VALUES (20, 'x');
UPDATE public.part SET body = 'w' WHERE id OPERATOR(pg_catalog.=) 20;
RESET search_path;
SELECT embedding = wanted(body) AS good FROM part WHERE id = 20;

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
CREATE FUNCTION try_trigger(arguments text,
	timing text = 'AFTER INSERT ON errors REFERENCING NEW TABLE AS n',
	level text = 'STATEMENT', key text = 'PRIMARY KEY')
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('CREATE TABLE errors (id integer %s, body text,
		numbers real[], flag boolean)', key);
	result = try(format('CREATE TRIGGER wrong %s FOR EACH %s EXECUTE FUNCTION
		llm.embed_statement_trigger(%s)', timing, level, arguments));
	IF result = 'no error' THEN
		result = try('INSERT INTO errors (id, body) VALUES (1, ''x'')');
	END IF;
	IF result = 'no error' THEN
		result = try('UPDATE errors SET body = ''x''');
	END IF;
	DROP TABLE errors;
	RETURN result;
END
$$;
\pset format unaligned
\pset tuples_only on
SELECT try_trigger($$'embeding', 'ts', 'body'$$);
SELECT try_trigger($$'numbers', 'ts', 'Body'$$);
SELECT try_trigger($$'flag', 'ts', 'body'$$);
SELECT try_trigger($$'numbers', 'ts', 'flag'$$);
SELECT try_trigger($$'numbers', 'no such model', 'body'$$);
SELECT try_trigger($$'numbers', 'ts'$$);
SELECT try_trigger($$'numbers', 'ts', 'body'$$, key => '');
SELECT try_trigger($$'numbers', 'ts', 'body'$$,
	key => 'PRIMARY KEY DEFERRABLE');
SELECT try_trigger($$'numbers', 'ts', 'body'$$, 'AFTER INSERT ON errors');
SELECT try_trigger($$'numbers', 'ts', 'body'$$,
	'AFTER UPDATE ON errors REFERENCING NEW TABLE AS n');
SELECT try_trigger($$'numbers', 'ts', 'body'$$, 'BEFORE INSERT ON errors');
SELECT try_trigger($$'numbers', 'ts', 'body'$$, level => 'ROW');
SELECT try('SELECT llm.embed_statement_trigger()');
-- what PostgreSQL does not allow: one trigger for both events, or for columns
SELECT try_trigger($$'numbers', 'ts', 'body'$$,
	'AFTER INSERT OR UPDATE ON errors REFERENCING NEW TABLE AS n');
SELECT try_trigger($$'numbers', 'ts', 'body'$$,
	'AFTER UPDATE OF body ON errors REFERENCING OLD TABLE AS o NEW TABLE AS n');
\pset format aligned
\pset tuples_only off

-- Memory does not grow with the rows of a statement.
CREATE TABLE many (id integer PRIMARY KEY, body text, numbers real[]);
CREATE TRIGGER embed AFTER INSERT ON many REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION
	llm.embed_statement_trigger('numbers', 'ts', 'body');
CREATE TABLE memory (bytes bigint);
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO memory SELECT sum(total_bytes)
	FROM pg_backend_memory_contexts WHERE name = 'SPI Proc';
	RETURN NEW;
END
$$;
CREATE TRIGGER look BEFORE UPDATE ON many FOR EACH ROW
	WHEN (NEW.id % 2000 = 0) EXECUTE FUNCTION look();
INSERT INTO many (id, body) SELECT g, 'row ' || g
	FROM generate_series(1, 10000) g;
SELECT count(*) AS looks, max(bytes) < 500000 AS flat FROM memory;
DROP TABLE many, memory;
DROP FUNCTION look;

DROP TABLE doc, updates, "Odd ""Names", part CASCADE;
DROP FUNCTION wanted, uses, try, try_trigger, extend, count_update, follow, fail;
DROP TYPE mood;
SET client_min_messages = warning;
DROP SCHEMA evil CASCADE;
RESET client_min_messages;
SELECT llm.drop_model('ts');
DROP ROLE regress_llm_inserter;
