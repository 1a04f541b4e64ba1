--
-- Loading, describing, changing and removing models
--
\getenv data LLM_TEST_DATA
\set llama :data/tiny-llama.gguf
\set gpt2 :data/tiny-gpt2.gguf
\set mixed :data/tiny-mixed-1.gguf

-- from a file of the server; the row is that of llm.models
SELECT name, architecture, parameters, quantization, size, context_length,
	embedding_length, layers, heads, kv_heads, vocabulary, capabilities,
	options, owner = current_user::regrole AS mine, state
FROM llm.load_model('llama', :'llama') \gx

-- an untyped literal is a path, a typed one what it says
SELECT lo_import(:'gpt2') AS gpt2_object \gset
SELECT name, architecture, large_object = :gpt2_object AS adopted, options
FROM llm.load_model('gpt2', :gpt2_object::oid,
	'{"temperature": 0.5, "top_k": null}');
SELECT name, architecture, quantization
FROM llm.load_model('mixed', pg_read_binary_file(:'mixed'));

SELECT name, architecture, quantization, capabilities, state
FROM llm.models ORDER BY name;

-- the large object holds the file byte for byte
SELECT name, lo_get(large_object) = pg_read_binary_file(path) AS same_bytes,
	digest = sha256(pg_read_binary_file(path)) AS same_digest
FROM llm.models
JOIN (VALUES ('llama', :'llama'), ('gpt2', :'gpt2'), ('mixed', :'mixed'))
	AS file(name, path) USING (name)
ORDER BY name;

-- and the model works
SELECT count(*), sum(probability) > 0.9 AS probable
FROM llm.next_token('llama', 'Once', 1000);

-- what cannot be loaded
SELECT llm.load_model('llama', :'gpt2');
SELECT llm.load_model('', :'llama');
SELECT llm.load_model(repeat('x', 256), :'llama');
SELECT llm.load_model(E'a\nb', :'llama');
SELECT llm.load_model(NULL, :'llama');
SELECT llm.load_model('other', NULL::oid);
SELECT llm.load_model('other', '/nonexistent/model.gguf');
SELECT llm.load_model('other', '/dev/null');
SELECT llm.load_model('other', '/dev');
SELECT llm.load_model('other', 0::oid);
DO $$
BEGIN
	PERFORM llm.load_model('other', large_object)
	FROM llm.models WHERE name = 'llama';
EXCEPTION WHEN duplicate_object THEN
	RAISE NOTICE '%', regexp_replace(sqlerrm, '\d+', 'N');
END $$;

-- options
\set VERBOSITY terse
SELECT llm.load_model('other', :'llama', '{"temprature": 1}');
SELECT llm.load_model('other', :'llama', '{"chat_template": "{{ nonsense }}"}');
\set VERBOSITY default
SELECT llm.load_model('other', :'llama', '{"quantization": "q4_0"}');
SELECT llm.load_model('other', :'llama', '{"activation_bits": 12}');
SELECT options FROM llm.load_model('other', :'llama',
	'{"activation_bits": 8, "chat_template": "chatml", "quantization": "keep",
	  "max_tokens": 5}');

-- rename and alter
SELECT llm.rename_model('other', 'llama');
SELECT llm.rename_model('other', 'another');
SELECT llm.alter_model('another', '{"temperature": 1, "stop": ["x"]}');
SELECT options FROM llm.models WHERE name = 'another';
SELECT llm.alter_model('another', '{"temperature": null, "max_tokens": null}');
SELECT options FROM llm.models WHERE name = 'another';
SELECT llm.alter_model('another', '{"activation_bits": 16}');
SELECT llm.alter_model('another', '{"temperature": -1}');
SELECT llm.alter_model('other', '{}');

-- names of the default model
SELECT llm.generate('Once');
SET llm.default_model = 'another';
SELECT llm.generate('Once') IS NOT NULL AS generated;
SET llm.default_model = 'missing';
SELECT llm.generate('Once');
RESET llm.default_model;
SELECT llm.generate('Once', '{"max_tokens": 1}');
SELECT llm.generate('Once', options => '{"max_tokens": 1}');

-- drop takes the large object along
SELECT large_object AS another_object FROM llm.models WHERE name = 'another' \gset
SELECT llm.drop_model('another');
SELECT count(*) FROM pg_largeobject_metadata WHERE oid = :another_object;
SELECT llm.drop_model('another');

-- all of it is transactional
SELECT count(*) AS objects FROM pg_largeobject_metadata \gset
BEGIN;
SELECT name FROM llm.load_model('passing', :'llama');
SELECT llm.drop_model('llama');
SELECT name FROM llm.models ORDER BY name;
SELECT count(*) FROM llm.next_token('passing', 'Once', 5);
ROLLBACK;
SELECT name FROM llm.models ORDER BY name;
SELECT count(*) - :objects AS left_behind FROM pg_largeobject_metadata;
SELECT llm.generate('passing', 'Once');

-- a failed load in a subtransaction leaves nothing
DO $$
BEGIN
	PERFORM llm.load_model('broken',
		substr(lo_get(large_object), 1, (size - 1)::int))
	FROM llm.models WHERE name = 'llama';
EXCEPTION WHEN OTHERS THEN
	RAISE NOTICE '%: %', sqlstate, sqlerrm;
END $$;
SELECT count(*) - :objects AS left_behind FROM pg_largeobject_metadata;

-- what a file says
SELECT key, value FROM llm.model_metadata('llama')
WHERE key ~ '^(general.architecture|llama\.|tokenizer.ggml.tokens)' ORDER BY key;
SELECT * FROM llm.model_tensors('llama')
WHERE name ~ '^(token_embd|output_norm|blk.0.attn)' ORDER BY name;
SELECT count(*), sum(bytes) < max(m.size) AS less_than_file
FROM llm.model_tensors('llama'), llm.models m WHERE m.name = 'llama';
SELECT array_dims(llm.tensor('llama', 'token_embd.weight'));
SELECT array_dims(llm.tensor('llama', 'token_embd.weight', 5));
SELECT array_dims(llm.tensor('llama', 'token_embd.weight', 5, 2));
SELECT array_dims(llm.tensor('llama', 'token_embd.weight', 5, 100000));
SELECT array_dims(llm.tensor('llama', 'output_norm.weight'));
-- the same row, asked for in two ways
SELECT (llm.tensor('llama', 'token_embd.weight'))[6:6]
	= llm.tensor('llama', 'token_embd.weight', 5, 1) AS same;
SELECT llm.tensor('llama', 'nonsense');
SELECT llm.tensor('llama', 'token_embd.weight', -1);
SELECT llm.tensor('llama', 'token_embd.weight', 1000000);
SELECT llm.tensor('llama', 'token_embd.weight', 0, 0);
SELECT llm.tensor(NULL, 'x') IS NULL AS is_null;
SELECT * FROM llm.model_metadata('missing');

-- export gives the file back, and never overwrites
SELECT current_setting('data_directory') || '/llm_export_test' AS exported \gset
SELECT llm.export_model('llama', :'exported') = size AS whole
FROM llm.models WHERE name = 'llama';
SELECT pg_read_binary_file(:'exported') = pg_read_binary_file(:'llama') AS same;
\set VERBOSITY sqlstate
SELECT llm.export_model('llama', :'exported');
\set VERBOSITY default
SELECT llm.export_model('llama', 'relative');
COPY (SELECT 1) TO PROGRAM 'rm llm_export_test';

-- a large object that is gone
SELECT lo_unlink(large_object) FROM llm.models WHERE name = 'llama';
SELECT name, owner, state FROM llm.models ORDER BY name;
\set VERBOSITY terse
SELECT llm.generate('llama', 'Once');
\set VERBOSITY default
SELECT name, state FROM llm.attach_model('llama', :'gpt2');
\set VERBOSITY terse
SELECT llm.attach_model('gpt2', :'llama');
\set VERBOSITY default
SELECT name, state, owner IS NOT NULL AS owned
FROM llm.attach_model('llama', :'llama');
SELECT name, state FROM llm.models ORDER BY name;
SELECT count(*) FROM llm.next_token('llama', 'Once', 5);

-- a large object that was changed: by size, and by content at the next load
SELECT lo_put(large_object, size, 'x') FROM llm.models WHERE name = 'gpt2';
SELECT name, owner, state FROM llm.models WHERE name = 'gpt2';
SELECT lo_put(large_object, size - 100, 'changed') FROM llm.models WHERE name = 'mixed';
SELECT name, state FROM llm.models WHERE name = 'mixed';
DO $$
BEGIN
	PERFORM llm.preload('mixed');
EXCEPTION WHEN data_corrupted THEN
	RAISE NOTICE '%', regexp_replace(sqlerrm, 'object \d+', 'object N');
END $$;
SELECT name, state FROM llm.models WHERE name = 'mixed';
DO $$
BEGIN
	PERFORM llm.export_model('mixed', current_setting('data_directory') || '/llm_not_exported');
EXCEPTION WHEN data_corrupted THEN
	RAISE NOTICE '%', regexp_replace(sqlerrm, 'object \d+', 'object N');
END $$;
SELECT pg_stat_file('llm_not_exported', true) IS NULL AS removed;

-- a damaged object is kept when its model is dropped, and can be repaired
SELECT large_object AS mixed_object FROM llm.models WHERE name = 'mixed' \gset
SELECT lo_put(:mixed_object, 0, pg_read_binary_file(:'mixed'));
SELECT llm.preload('mixed');
SELECT name, state FROM llm.models WHERE name = 'mixed';
SELECT lo_put(:mixed_object, 0, 'GGML');
SET client_min_messages = warning;
SELECT name, state, large_object <> :mixed_object AS moved
FROM llm.attach_model('mixed', lo_from_bytea(0, pg_read_binary_file(:'mixed')));
SELECT lo_unlink(:mixed_object);
SELECT llm.drop_model('gpt2');
RESET client_min_messages;
SELECT lo_unlink(:gpt2_object);
SELECT llm.drop_model('mixed');
SELECT llm.drop_model('llama');
SELECT count(*) FROM llm.models;
SELECT count(*) FROM pg_largeobject_metadata;
