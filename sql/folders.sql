--
-- Folders in the format of Hugging Face: directories and tar archives
--
\getenv data LLM_TEST_DATA
\set llama_file :data/tiny-llama.gguf
\set hf :data/hf
\set bert :hf/bert
\set llama :hf/llama

-- every tiny folder is converted, and what it is made of shows
CREATE TEMP TABLE loaded AS
SELECT m.* FROM pg_ls_dir(:'hf') AS folder,
	LATERAL llm.load_model(folder, :'hf' || '/' || folder) AS m;
SELECT name, architecture, quantization, context_length AS context,
	embedding_length AS embedding, layers, heads, kv_heads, vocabulary,
	capabilities
FROM loaded ORDER BY name;
SELECT name, options FROM loaded ORDER BY name;

-- what was stored is a GGUF file
SELECT count(*) AS other_files FROM llm.models
WHERE substr(lo_get(large_object), 1, 4) <> 'GGUF'
	OR digest <> sha256(lo_get(large_object))
	OR size <> length(lo_get(large_object));
SELECT key, value FROM llm.model_metadata('bert')
WHERE key ~ '^(general.architecture|bert\.|llm\.)' ORDER BY key;
SELECT name, type, shape FROM llm.model_tensors('bert')
WHERE name !~ '^blk.1' ORDER BY name;
SELECT array_dims(llm.tensor('bert', 'token_embd.weight', 3, 2));
SELECT count(*) > 10 AS dropped FROM (SELECT llm.drop_model(name) FROM loaded
	WHERE name NOT IN ('bert', 'llama')) AS d;
SELECT count(*) FROM llm.next_token('llama', 'Once upon', 5);

-- tar archives, as POSIX describes them
CREATE FUNCTION tar_field(value text, size int) RETURNS bytea LANGUAGE sql AS
$$ SELECT substr(convert_to(value, 'UTF8') || decode(repeat('00', size), 'hex'), 1, size) $$;
CREATE FUNCTION tar_sum(header bytea) RETURNS bytea LANGUAGE sql AS
$$ SELECT overlay(header PLACING
	tar_field(lpad(to_octal, 6, '0'), 7) || ' '::bytea FROM 149)
	FROM (SELECT string_agg((sum >> (3 * i) & 7)::text, '' ORDER BY i DESC) AS to_octal
		FROM (SELECT sum(get_byte(overlay(header PLACING '        '::bytea FROM 149), b))::int AS sum
			FROM generate_series(0, 511) AS b) AS s, generate_series(0, 5) AS i) AS o $$;
CREATE FUNCTION octal(value bigint, digits int) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg((value >> (3 * i) & 7)::text, '' ORDER BY i DESC)
	FROM generate_series(0, digits - 1) AS i $$;
CREATE FUNCTION tar_member(name text, content bytea, type text = '0',
	size bytea = NULL, magic bytea = 'ustar\00000', link text = '')
RETURNS bytea LANGUAGE sql AS
$$ SELECT tar_sum(tar_field(name, 100) || tar_field('0000644', 8) ||
		tar_field('0000000', 8) || tar_field('0000000', 8) ||
		coalesce(size, tar_field(octal(length(content), 11), 12)) ||
		tar_field('00000000000', 12) || tar_field('', 8) ||
		tar_field(type, 1) || tar_field(link, 100) || magic ||
		tar_field('', 247)) ||
	content || decode(repeat('00', (512 - length(content) % 512) % 512), 'hex') $$;
CREATE FUNCTION tar_end() RETURNS bytea LANGUAGE sql AS
$$ SELECT decode(repeat('00', 1024), 'hex') $$;

-- all files of a folder but one, their names with something in front
CREATE FUNCTION tar_folder(folder text, prefix text = './', without text = '',
	magic bytea = 'ustar\00000')
RETURNS bytea LANGUAGE sql AS
$$ SELECT string_agg(tar_member(prefix || file,
		pg_read_binary_file(folder || '/' || file), magic => magic),
		''::bytea ORDER BY file COLLATE "C")
	FROM (SELECT file FROM pg_ls_dir(folder) AS file
			WHERE NOT (pg_stat_file(folder || '/' || file)).isdir
		UNION ALL
		SELECT dir || '/' || file FROM pg_ls_dir(folder) AS dir,
			LATERAL (SELECT pg_ls_dir(folder || '/' || dir) AS file
				WHERE (pg_stat_file(folder || '/' || dir)).isdir) AS d) AS f
	WHERE file <> without $$;

CREATE FUNCTION attempt(file bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	SELECT CASE WHEN m.digest = l.digest THEN 'same' ELSE 'other' END
	INTO STRICT result
	FROM llm.load_model('attempt', file) AS m, loaded AS l
	WHERE l.name = 'bert';
	PERFORM llm.drop_model('attempt');
	RETURN result;
EXCEPTION WHEN OTHERS THEN
	RETURN sqlstate || ' ' || sqlerrm;
END $$;

CREATE TEMP TABLE archive AS
SELECT tar_folder(:'bert') AS members,
	tar_folder(:'bert', without => 'config.json') AS others,
	pg_read_binary_file(:'bert' || '/config.json') AS config;
SELECT what, attempt(file)
FROM archive, LATERAL (VALUES
	(1, 'names begin with ./', members || tar_end()),
	(2, 'plain names', tar_folder(:'bert', '') || tar_end()),
	(3, 'one directory', tar_member('bert/', '', '5')
		|| tar_folder(:'bert', 'bert/') || tar_end()),
	(4, 'one directory, with ./', tar_folder(:'bert', './bert/') || tar_end()),
	(5, 'too deep', tar_folder(:'bert', 'a/b/') || tar_end()),
	(6, 'GNU', tar_folder(:'bert', magic => 'ustar  \000') || tar_end()),
	(7, 'one block at the end', members || substr(tar_end(), 1, 512)),
	(8, 'many blocks at the end', members || tar_end() || tar_end()),
	(9, 'no end', members),
	(10, 'cut in a header', members || substr(tar_member('x', ''), 1, 300)),
	(11, 'cut in data', substr(members, 1, 1000)),
	(12, 'something after the end', members || substr(tar_end(), 1, 512) || members),
	(13, 'other files', members || tar_member('./.gitattributes', 'x')
		|| tar_member('./notes.md', 'x') || tar_member('./onnx/model.onnx', 'x')
		|| tar_member('./a/b/c/d/e', 'x') || tar_member('./fifo', '', '6')
		|| tar_member('./a directory/', '', '5') || tar_member('./ä', 'x') || tar_end()),
	(14, 'names that lead out', tar_member('../config.json', 'x')
		|| tar_member('/etc/passwd', 'x') || tar_member('a/../config.json', 'x')
		|| tar_member('1_Pooling/../config.json', 'x') || tar_member('..', 'x')
		|| tar_member('', 'x') || tar_member('./', 'x') || members || tar_end()),
	(15, 'twice', members || tar_member('config.json', '{}') || tar_end()),
	(16, 'a link that nobody asks for', members
		|| tar_member('other.json', '', '2', link => '/etc/passwd') || tar_end()),
	(17, 'a link', others
		|| tar_member('config.json', '', '2', link => '/etc/passwd') || tar_end()),
	(18, 'a hard link', others
		|| tar_member('config.json', '', '1', link => 'x') || tar_end()),
	(19, 'a directory named like a file', others
		|| tar_member('config.json', '', '5') || tar_end()),
	(20, 'no model', tar_member('x', '') || tar_end()),
	(21, '2^60 bytes', tar_member('x', '', size => '\x800000001000000000000000') || tar_end()),
	(22, '2^63 bytes', tar_member('x', '', size => '\x800000008000000000000000') || tar_end()),
	(23, '2^64-1 bytes', tar_member('x', '', size => '\x80000000ffffffffffffffff') || tar_end()),
	(24, '2^64 bytes', tar_member('x', '', size => '\x800000010000000000000000') || tar_end()),
	(25, '-1 bytes', tar_member('x', '', size => '\xffffffffffffffffffffffff') || tar_end()),
	(26, 'no size', tar_member('x', '', size => '            ') || tar_end()),
	(27, 'decimal size', tar_member('x', '', size => '00000000009 ') || tar_end()),
	(28, 'size in base 256', others
		|| tar_member('config.json', config, size => '\x80000000' || int8send(length(config)))
		|| tar_end()),
	(29, 'wrong checksum', set_byte(members, 0, 65) || tar_end()),
	(30, 'wrong magic', members || tar_member('x', '', magic => 'other\00000') || tar_end()),
	(31, 'a sparse file', members || tar_member('x', '', 'S') || tar_end()),
	(32, 'pax: name', others || tar_member('pax', E'20 path=config.json\n', 'x')
		|| tar_member('x', config) || tar_end()),
	(33, 'pax: size', others
		|| tar_member('pax', convert_to(format(E'%s size=%s\n', 9 + length(length(config)::text),
			length(config)), 'UTF8'), 'x')
		|| tar_member('config.json', config, size => tar_field('0', 12)) || tar_end()),
	(34, 'pax: name of another', members || tar_member('pax', E'23 path=../config.json\n', 'x')
		|| tar_member('x', 'x') || tar_end()),
	(35, 'pax: a comment for all', tar_member('pax', E'14 comment=hi\n', 'g') || members || tar_end()),
	(36, 'pax: a name for all', tar_member('pax', E'20 path=config.json\n', 'g') || members || tar_end()),
	(37, 'pax: length too large', tar_member('pax', E'99 path=x\n', 'x') || members || tar_end()),
	(38, 'pax: length too small', tar_member('pax', E'3 path=x\n', 'x') || members || tar_end()),
	(39, 'pax: no length', tar_member('pax', E'path=x\n', 'x') || members || tar_end()),
	(40, 'pax: size wraps', tar_member('pax', E'30 size=99999999999999999999\n\n', 'x')
		|| members || tar_end()),
	(41, 'GNU: long name', others || tar_member('././@LongLink', 'config.json\000', 'L')
		|| tar_member('x', config) || tar_end()),
	(42, 'GNU: very long name', tar_member('././@LongLink', convert_to(repeat('x', 20000), 'UTF8'), 'L')
		|| members || tar_end()),
	(43, 'headers without a member', tar_member('l', 'x', 'L') || tar_member('l', 'x', 'L')
		|| tar_member('l', 'x', 'L') || tar_member('l', 'x', 'L') || tar_member('l', 'x', 'L')
		|| members || tar_end()),
	(44, 'too many members', (SELECT string_agg(m, '') FROM
		(SELECT tar_member('x', '') AS m) AS one, generate_series(1, 4097)) || tar_end()),
	(45, 'compressed', '\x1f8b0800' || tar_end())
	) AS v(n, what, file)
ORDER BY n;

-- every length of a small archive
CREATE FUNCTION truncations(file bytea, step int) RETURNS TABLE(tried bigint, loaded bigint)
LANGUAGE sql AS
$$ SELECT count(*), count(*) FILTER (WHERE attempt(substr(file, 1, n)) IN ('same', 'other'))
	FROM generate_series(0, octet_length(file) - 1, step) AS n $$;
SELECT loaded FROM archive, truncations(members, 499);

-- a large object with an archive: the model gets an object of its own
SELECT lo_from_bytea(0, members || tar_end()) AS tar_object FROM archive \gset
SET client_min_messages = warning;
SELECT m.large_object <> :tar_object AS other_object, m.digest = l.digest AS same
FROM llm.load_model('tar', :tar_object::oid) AS m, loaded AS l WHERE l.name = 'bert';
RESET client_min_messages;

-- a folder gives a model its bytes back, and so does an archive
SELECT lo_unlink(large_object) FROM llm.models WHERE name = 'tar';
\set VERBOSITY terse
SELECT llm.attach_model('tar', :'llama') IS NULL;
\set VERBOSITY default
SELECT state FROM llm.attach_model('tar', :'bert');
SELECT lo_unlink(large_object) FROM llm.models WHERE name = 'tar';
SET client_min_messages = warning;
SELECT state FROM llm.attach_model('tar', :tar_object::oid);
RESET client_min_messages;
SELECT count(*) FROM llm.model_tensors('tar');
SELECT llm.drop_model('tar');
SELECT lo_unlink(:tar_object);

-- quantization
\set VERBOSITY terse
SELECT llm.load_model('q', :'bert', '{"quantization": "q9_0"}');
SELECT llm.load_model('q', :'llama_file', '{"quantization": "q8_0"}');
\set VERBOSITY default
SELECT llm.load_model('q', :'llama_file', '{"quantization": "q8_0"}');
SELECT options FROM llm.load_model('q', :'llama_file', '{"quantization": "keep"}');
SELECT llm.drop_model('q');
CREATE TEMP TABLE quantized AS
SELECT choice, m.*
FROM llm.options, regexp_split_to_table(range, ', ') AS choice,
	LATERAL llm.load_model('q_' || choice, :'llama',
		jsonb_build_object('quantization', choice)) AS m
WHERE llm.options.name = 'quantization';
SELECT choice, quantization, options, array_agg(DISTINCT t.type ORDER BY t.type) AS types
FROM quantized AS q, LATERAL llm.model_tensors(q.name) AS t
GROUP BY choice, quantization, options ORDER BY choice;
SELECT q.digest = m.digest AS kept FROM quantized AS q, llm.models AS m
WHERE q.choice = 'keep' AND m.name = 'llama';
SELECT count(*) AS work FROM quantized AS q,
	LATERAL llm.next_token(q.name, 'Once upon', 1);
-- the type is known when the bytes come back, from a folder or a GGUF file
SELECT lo_get(large_object) AS q8_0 FROM quantized WHERE choice = 'q8_0' \gset
SELECT lo_unlink(large_object) FROM quantized WHERE choice = 'q8_0';
SELECT state FROM llm.attach_model('q_q8_0', :'llama');
SELECT lo_unlink(large_object) FROM llm.models WHERE name = 'q_q8_0';
SELECT state FROM llm.attach_model('q_q8_0', :'q8_0'::bytea);
SELECT count(*) FROM (SELECT llm.drop_model(name) FROM quantized) AS d;

-- options: those given, over those of the folder
CREATE FUNCTION options_of(folder text, given jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
	row llm.models;
BEGIN
	row := llm.load_model('options', folder, given);
	PERFORM llm.drop_model('options');
	RETURN row.capabilities::text || ' ' || row.options;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN sqlstate || ' ' || sqlerrm || coalesce(nullif('; ' || hint, '; '), '');
END $$;
SELECT given, options_of(:'bert', given)
FROM (VALUES ('{}'::jsonb), ('{"pooling": "cls"}'), ('{"normalize": false}'),
	('{"normalize": null}'), ('{"prompts": {}}'), ('{"prompts": {"q": "find: "}}'),
	('{"default_prompt": "query"}'), ('{"default_prompt": "q"}'),
	('{"prompts": {"q": "find: "}, "default_prompt": "q"}'),
	('{"prompts": {"q": "find: "}, "default_prompt": "query"}'),
	('{"max_length": 96}'), ('{"max_length": 97}'), ('{"max_length": 1}'),
	('{"max_length": 0}'), ('{"activation_bits": 8}')) AS v(given);
SELECT given, options_of(:'llama', given)
FROM (VALUES ('{}'::jsonb), ('{"pooling": "last"}'), ('{"normalize": true}'),
	('{"prompts": {"q": "find: "}}'), ('{"max_length": 10}'),
	('{"pooling": "mean", "normalize": false, "max_length": 10}'),
	('{"pooling": "rank"}'), ('{"pooling": null}')) AS v(given);
SELECT given, options_of(:'hf' || '/cross-encoder', given)
FROM (VALUES ('{}'::jsonb), ('{"max_length": 10}'), ('{"normalize": true}'),
	('{"prompts": {"q": "find: "}}')) AS v(given);

-- a path needs the right to read server files, its bytes do not
CREATE ROLE regress_llm_folders;
GRANT EXECUTE ON FUNCTION llm.load_model(text, text, jsonb),
	llm.load_model(text, bytea, jsonb), llm.load_model(text, oid, jsonb)
	TO regress_llm_folders;
SELECT lo_from_bytea(0, members || tar_end()) AS tar_object FROM archive \gset
GRANT SELECT ON archive TO regress_llm_folders;
SET ROLE regress_llm_folders;
SELECT llm.load_model('mine', :'bert');
SELECT llm.load_model('mine', :'hf');
SELECT llm.load_model('mine', '/nonexistent');
\set VERBOSITY sqlstate
SELECT llm.load_model('mine', :tar_object::oid);
\set VERBOSITY default
SELECT owner FROM llm.load_model('mine', (SELECT members || decode(repeat('00', 1024), 'hex') FROM archive));
SELECT llm.drop_model('mine');
RESET ROLE;
GRANT pg_read_server_files TO regress_llm_folders;
SET ROLE regress_llm_folders;
SELECT owner FROM llm.load_model('mine', :'bert');
SELECT llm.drop_model('mine');
RESET ROLE;
SELECT lo_unlink(:tar_object);
REVOKE ALL ON FUNCTION llm.load_model(text, text, jsonb),
	llm.load_model(text, bytea, jsonb), llm.load_model(text, oid, jsonb)
	FROM regress_llm_folders;
DROP TABLE archive;
DROP ROLE regress_llm_folders;

-- directories that are no models
\set VERBOSITY terse
DO $$
BEGIN
	PERFORM llm.load_model('none', current_setting('data_directory'));
EXCEPTION WHEN undefined_file THEN
	RAISE NOTICE '%', replace(sqlerrm, current_setting('data_directory'), '...');
END $$;
DO $$
DECLARE
	hint text;
BEGIN
	PERFORM llm.load_model('none', current_setting('llm_test.data') || '//');
EXCEPTION WHEN undefined_file THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RAISE NOTICE '%: %', replace(sqlerrm, current_setting('llm_test.data'), '...'),
		replace(hint, current_setting('llm_test.data'), '...');
END $$;
\set VERBOSITY default

-- nor is one of the files
SELECT llm.load_model('none', :'bert' || '/model.safetensors');
SELECT llm.load_model('none', :'bert' || '/config.json');

SELECT llm.drop_model('bert'), llm.drop_model('llama');
SELECT count(*) FROM llm.models;
SELECT count(*) FROM pg_largeobject_metadata;
DROP FUNCTION options_of, truncations, attempt, tar_folder, tar_end, tar_member,
	octal, tar_sum, tar_field;
