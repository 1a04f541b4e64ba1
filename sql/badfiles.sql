--
-- Hostile model files: each is a clean error, and the next query is right
--
\getenv data LLM_TEST_DATA
\set llama :data/tiny-llama.gguf
SET client_min_messages = warning;

-- little-endian numbers, strings, keys and tensors of GGUF
CREATE FUNCTION le(value numeric, size int) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
	result bytea := '';
BEGIN
	FOR i IN 1..size LOOP
		result := result || set_byte('\x00', 0, mod(value, 256)::int);
		value := div(value, 256);
	END LOOP;
	RETURN result;
END $$;
CREATE FUNCTION str(value text) RETURNS bytea LANGUAGE sql AS
$$ SELECT le(octet_length(value), 8) || convert_to(value, 'UTF8') $$;
CREATE FUNCTION kv_u32(key text, value numeric) RETURNS bytea LANGUAGE sql AS
$$ SELECT str(key) || le(4, 4) || le(value, 4) $$;
CREATE FUNCTION kv_str(key text, value text) RETURNS bytea LANGUAGE sql AS
$$ SELECT str(key) || le(8, 4) || str(value) $$;
CREATE FUNCTION tensor(name text, dims numeric[], type numeric, at numeric)
RETURNS bytea LANGUAGE sql AS
$$ SELECT str(name) || le(cardinality(dims), 4) ||
	coalesce((SELECT string_agg(le(d, 8), ''::bytea ORDER BY n)
		FROM unnest(dims) WITH ORDINALITY AS u(d, n)), '') ||
	le(type, 4) || le(at, 8) $$;
CREATE FUNCTION gguf(keys bytea[], tensors bytea[], version numeric = 3,
	n_keys numeric = NULL, n_tensors numeric = NULL)
RETURNS bytea LANGUAGE sql AS
$$ SELECT convert_to('GGUF', 'UTF8') || le(version, 4) ||
	le(coalesce(n_tensors, cardinality(tensors)), 8) ||
	le(coalesce(n_keys, cardinality(keys)), 8) ||
	coalesce((SELECT string_agg(k, ''::bytea ORDER BY n)
		FROM unnest(keys) WITH ORDINALITY AS u(k, n)), '') ||
	coalesce((SELECT string_agg(t, ''::bytea ORDER BY n)
		FROM unnest(tensors) WITH ORDINALITY AS u(t, n)), '') $$;

CREATE FUNCTION attempt(file bytea) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM llm.load_model('hostile', file);
	PERFORM llm.drop_model('hostile');
	RETURN 'loaded';
EXCEPTION WHEN OTHERS THEN
	RETURN sqlstate || ' ' || sqlerrm;
END $$;

SELECT name FROM llm.load_model('good', :'llama');
CREATE TEMP TABLE answer AS SELECT * FROM llm.next_token('good', 'Once', 3);

CREATE TEMP TABLE hostile (id serial, name text, file bytea);
INSERT INTO hostile (name, file) VALUES
	('empty', ''),
	('magic only', 'GGUF'),
	('not a model', 'PK\003\004 this is something else entirely'),
	('version 0', gguf('{}', '{}', version => 0)),
	('version 1', gguf('{}', '{}', version => 1)),
	('version 4', gguf('{}', '{}', version => 4)),
	('big endian', gguf('{}', '{}', version => 50331648)),
	('no keys', gguf('{}', '{}')),
	('2^63 keys', gguf('{}', '{}', n_keys => 9223372036854775808)),
	('2^64-1 keys', gguf('{}', '{}', n_keys => 18446744073709551615)),
	('65537 keys', gguf('{}', '{}', n_keys => 65537)),
	('2^63 tensors', gguf('{}', '{}', n_tensors => 9223372036854775808)),
	('2^64-1 tensors', gguf('{}', '{}', n_tensors => 18446744073709551615)),
	('key of no length', gguf(ARRAY[kv_u32('', 1)], '{}')),
	('key of 2^64-1 bytes', gguf(ARRAY[le(18446744073709551615, 8) || 'x'::bytea], '{}')),
	('value type 13', gguf(ARRAY[str('a') || le(13, 4) || le(0, 8)], '{}')),
	('value type 2^32-1', gguf(ARRAY[str('a') || le(4294967295, 4) || le(0, 8)], '{}')),
	('array of arrays', gguf(ARRAY[str('a') || le(9, 4) || le(9, 4) || le(1, 8) || le(4, 4) || le(1, 8) || le(0, 4)], '{}')),
	('2^63 bytes of array', gguf(ARRAY[str('a') || le(9, 4) || le(0, 4) || le(9223372036854775808, 8)], '{}')),
	('array product wraps', gguf(ARRAY[str('a') || le(9, 4) || le(10, 4) || le(2305843009213693952, 8)], '{}')),
	('string length wraps', gguf(ARRAY[str('a') || le(8, 4) || le(18446744073709551615, 8)], '{}')),
	('same key twice', gguf(ARRAY[kv_u32('a', 1), kv_u32('a', 1)], '{}')),
	('alignment 0', gguf(ARRAY[kv_u32('general.alignment', 0)], '{}')),
	('alignment 3', gguf(ARRAY[kv_u32('general.alignment', 3)], '{}')),
	('alignment 2^31', gguf(ARRAY[kv_u32('general.alignment', 2147483648)], '{}')),
	('alignment as text', gguf(ARRAY[kv_str('general.alignment', '32')], '{}')),
	('no architecture', gguf(ARRAY[kv_u32('a', 1)], '{}')),
	('architecture as number', gguf(ARRAY[kv_u32('general.architecture', 1)], '{}')),
	('unknown architecture', gguf(ARRAY[kv_str('general.architecture', 'perceptron')], '{}')),
	('no dimensions', gguf('{}', ARRAY[tensor('t', '{}', 0, 0)])),
	('5 dimensions', gguf('{}', ARRAY[tensor('t', '{1,1,1,1,1}', 0, 0)])),
	('2^32-1 dimensions', gguf('{}', ARRAY[str('t') || le(4294967295, 4)])),
	('dimension 0', gguf('{}', ARRAY[tensor('t', '{32,0}', 0, 0)])),
	('dimension -1', gguf('{}', ARRAY[tensor('t', '{18446744073709551615}', 0, 0)])),
	('product wraps', gguf('{}', ARRAY[tensor('t', '{4294967296,4294967296}', 0, 0)])),
	('rows wrap', gguf('{}', ARRAY[tensor('t', '{32,1099511627776,1099511627776}', 2, 0)])),
	('part of a block', gguf('{}', ARRAY[tensor('t', '{33}', 2, 0)])),
	('type -1', gguf('{}', ARRAY[tensor('t', '{32}', 4294967295, 0)])),
	('type removed', gguf('{}', ARRAY[tensor('t', '{32}', 4, 0)])),
	('type with codebook', gguf('{}', ARRAY[tensor('t', '{256}', 16, 0)])),
	('offset beyond the end', gguf('{}', ARRAY[tensor('t', '{32}', 0, 1048576)]) || decode(repeat('00', 512), 'hex')),
	('offset 2^64-32', gguf('{}', ARRAY[tensor('t', '{32}', 0, 18446744073709551584)]) || decode(repeat('00', 512), 'hex')),
	('offset not aligned', gguf('{}', ARRAY[tensor('t', '{32}', 0, 1)]) || decode(repeat('00', 512), 'hex')),
	('same tensor twice', gguf('{}', ARRAY[tensor('t', '{32}', 0, 0), tensor('t', '{32}', 0, 128)]) || decode(repeat('00', 512), 'hex')),
	('overlapping tensors', gguf('{}', ARRAY[tensor('t', '{32}', 0, 0), tensor('u', '{32}', 0, 64)]) || decode(repeat('00', 512), 'hex'));
SELECT name, attempt(file) FROM hostile ORDER BY id;

-- a good file with one value replaced
CREATE FUNCTION with_u32(file bytea, key text, value numeric) RETURNS bytea
LANGUAGE plpgsql AS $$
DECLARE
	at int := position(str(key) IN file);
BEGIN
	IF at = 0 THEN
		RAISE EXCEPTION 'no key %', key;
	END IF;
	RETURN overlay(file PLACING le(value, 4)
		FROM at + 8 + octet_length(key) + 4);
END $$;
SELECT key, value, attempt(with_u32(pg_read_binary_file(:'llama'), key, value))
FROM (VALUES
	('llama.block_count', 0), ('llama.block_count', 3),
	('llama.block_count', 513), ('llama.block_count', 2147483648),
	('llama.attention.head_count', 0), ('llama.attention.head_count', 3),
	('llama.attention.head_count_kv', 0), ('llama.attention.head_count_kv', 3),
	('llama.attention.head_count_kv', 8),
	('llama.embedding_length', 0), ('llama.embedding_length', 65),
	('llama.feed_forward_length', 4294967295),
	('llama.context_length', 0), ('llama.context_length', 4294967295),
	('llama.rope.dimension_count', 3), ('llama.rope.dimension_count', 64),
	('llama.vocab_size', 2147483647),
	('tokenizer.ggml.bos_token_id', 300),
	('tokenizer.ggml.eos_token_id', 4294967295)) AS v(key, value)
WHERE position(str(key) IN pg_read_binary_file(:'llama')) > 0;

-- weights that are not finite: nothing stays behind
SELECT count(*) AS objects FROM pg_largeobject_metadata \gset
SELECT attempt(overlay(f PLACING '\x0000c07f' FROM octet_length(f) - 3))
FROM pg_read_binary_file(:'llama') AS f;
SELECT attempt(overlay(f PLACING '\x000080ff' FROM octet_length(f) - 3))
FROM pg_read_binary_file(:'llama') AS f;
SELECT count(*) - :objects AS left_behind FROM pg_largeobject_metadata;

-- every truncation of the header, and some of the data
CREATE FUNCTION truncations(file bytea) RETURNS TABLE(tried bigint, loaded bigint)
LANGUAGE plpgsql AS $$
BEGIN
	tried := 0;
	loaded := 0;
	FOR n IN 0..octet_length(file) - 1 BY 1 LOOP
		CONTINUE WHEN n > 500 AND n % 97 <> 0;
		tried := tried + 1;
		IF attempt(substr(file, 1, n)) = 'loaded' THEN
			loaded := loaded + 1;
		END IF;
	END LOOP;
	RETURN NEXT;
END $$;
SELECT * FROM truncations(pg_read_binary_file(:'llama'));

-- random bytes in the header: loaded or refused, and the server stays up
CREATE FUNCTION mutations(file bytea, n int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	state bigint := 42;
	mutated bytea;
	done int := 0;
BEGIN
	FOR i IN 1..n LOOP
		mutated := file;
		FOR j IN 1..3 LOOP
			state := (state * 1103515245 + 12345) % 2147483648;
			mutated := set_byte(mutated, (state / 8 % 4000)::int,
				(state / 65536 % 256)::int);
		END LOOP;
		PERFORM attempt(mutated);
		done := done + 1;
	END LOOP;
	RETURN done;
END $$;
SELECT mutations(pg_read_binary_file(:'llama'), 500);

-- the next query is right
SELECT count(*) AS same FROM answer
JOIN llm.next_token('good', 'Once', 3) USING (rank, token_id, logprob);
SELECT llm.drop_model('good');
SELECT count(*) FROM pg_largeobject_metadata;

DROP FUNCTION mutations, truncations, with_u32, attempt, gguf, tensor, kv_str,
	kv_u32, str, le;
