--
-- Who may do what: the right to use a model is SELECT on its large object,
-- its owner is the owner of the large object
--
\getenv data LLM_TEST_DATA
\set llama :data/tiny-llama.gguf
\set gpt2 :data/tiny-gpt2.gguf
SELECT lo_import(:'gpt2') AS admin_object \gset

CREATE ROLE regress_llm_owner;
CREATE ROLE regress_llm_user;
CREATE ROLE regress_llm_other;

-- loading is for nobody who was not given it
SET ROLE regress_llm_owner;
SELECT llm.load_model('owned', :'llama');
SELECT llm.load_model('owned', ''::bytea);
SELECT llm.load_model('owned', 1::oid);
SELECT llm.attach_model('owned', :'llama');
SELECT llm.preload('owned');
SELECT * FROM llm.model;
INSERT INTO llm.model VALUES ('x', 1, '', 1, '', 1, '', 1, 1, 1, 1, 1, 1, '{}', '{}', now());
RESET ROLE;
GRANT EXECUTE ON FUNCTION llm.load_model(text, text, jsonb),
	llm.load_model(text, oid, jsonb), llm.load_model(text, bytea, jsonb)
	TO regress_llm_owner;

-- a path needs the right to read server files, an oid its ownership
SET ROLE regress_llm_owner;
SELECT llm.load_model('owned', :'llama');
\set VERBOSITY sqlstate
SELECT llm.load_model('owned', :admin_object::oid);
\set VERBOSITY default
RESET ROLE;
GRANT pg_read_server_files TO regress_llm_owner;
SET ROLE regress_llm_owner;
SELECT name, owner, state FROM llm.load_model('owned', :'llama');
SELECT name, owner FROM llm.models;
SELECT count(*) FROM llm.next_token('owned', 'Once', 5);

-- others see nothing of it: a model that exists is like one that does not
SET ROLE regress_llm_user;
SELECT name FROM llm.models;
SELECT count(*) FROM llm.next_token('owned', 'Once', 5);
SELECT count(*) FROM llm.next_token('absent', 'Once', 5);
SELECT llm.generate('Once');
SELECT * FROM llm.model_metadata('owned');
SELECT llm.tensor('owned', 'token_embd.weight');
SELECT llm.export_model('owned', '/tmp/x');
SELECT llm.drop_model('owned');
SELECT llm.rename_model('owned', 'mine');
SELECT llm.alter_model('owned', '{}');
SELECT llm.grant_model('owned', 'regress_llm_user');
SELECT llm.revoke_model('owned', 'public');
SELECT llm.evict('owned');
SELECT model FROM llm.stat_cache;

-- granted: it may be used, not changed
SET ROLE regress_llm_owner;
SELECT llm.grant_model('owned', 'regress_llm_user');
SELECT llm.grant_model('owned', 'regress_llm_nobody');
SET ROLE regress_llm_user;
SELECT name, owner FROM llm.models;
SELECT count(*) FROM llm.next_token('owned', 'Once', 5);
SELECT count(*) > 0 AS tensors FROM llm.model_tensors('owned');
SELECT model, state FROM llm.stat_cache;
SELECT llm.drop_model('owned');
SELECT llm.rename_model('owned', 'mine');
SELECT llm.alter_model('owned', '{}');
SELECT llm.grant_model('owned', 'regress_llm_other');
SELECT llm.revoke_model('owned', 'regress_llm_user');
SELECT llm.evict('owned');
SELECT llm.export_model('owned', '/tmp/x');

-- the right to use is the right to read, as the documentation says
SELECT length(lo_get(large_object)) = size AS readable FROM llm.models;

-- to export, the right to write server files comes on top
RESET ROLE;
SELECT current_setting('data_directory') || '/llm_privileges_test' AS exported \gset
GRANT pg_write_server_files TO regress_llm_user;
SET ROLE regress_llm_user;
SELECT llm.export_model('owned', :'exported') > 0 AS exported;
RESET ROLE;
COPY (SELECT 1) TO PROGRAM 'rm llm_privileges_test';
SET ROLE regress_llm_other;
SELECT llm.export_model('owned', '/tmp/x');

-- to all, and back; what was granted to a role stays
SET ROLE regress_llm_owner;
SELECT llm.grant_model('owned', 'public');
SET ROLE regress_llm_other;
SELECT count(*) FROM llm.next_token('owned', 'Once', 5);
SET ROLE regress_llm_owner;
SELECT llm.revoke_model('owned', 'public');
SET ROLE regress_llm_other;
SELECT count(*) FROM llm.next_token('owned', 'Once', 5);
SET ROLE regress_llm_user;
SELECT count(*) FROM llm.next_token('owned', 'Once', 5);

-- a repeated call asks for the right each time
CREATE TEMP TABLE calls AS SELECT g FROM generate_series(1, 3) g;
PREPARE ask AS SELECT count(llm.generate('owned', 'Once', '{"max_tokens": 2}')) FROM calls;
EXECUTE ask;
RESET ROLE;
SELECT llm.revoke_model('owned', 'regress_llm_user');
SET ROLE regress_llm_user;
EXECUTE ask;
DROP TABLE calls;
RESET ROLE;

-- the plain command works as well
DO $$
BEGIN
	EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO regress_llm_user',
		(SELECT large_object FROM llm.models WHERE name = 'owned'));
END $$;
SET ROLE regress_llm_user;
SELECT count(*) FROM llm.next_token('owned', 'Once', 5);
RESET ROLE;

-- lo_compat_privileges opens large objects, not models
SET lo_compat_privileges = on;
SET ROLE regress_llm_other;
SELECT count(*) FROM llm.next_token('owned', 'Once', 5);
RESET ROLE;
RESET lo_compat_privileges;

-- the owner changes the model; its members do, too
SET ROLE regress_llm_owner;
SELECT llm.alter_model('owned', '{"max_tokens": 3}');
SELECT llm.rename_model('owned', 'renamed');
SELECT llm.evict('renamed');
RESET ROLE;
GRANT regress_llm_owner TO regress_llm_other;
SET ROLE regress_llm_other;
SELECT llm.rename_model('renamed', 'owned');
RESET ROLE;
REVOKE regress_llm_owner FROM regress_llm_other;

-- the owner cannot be dropped while the model is there
\set VERBOSITY sqlstate
DROP ROLE regress_llm_owner;
\set VERBOSITY default

-- REASSIGN OWNED gives the model away
REASSIGN OWNED BY regress_llm_owner TO regress_llm_other;
SET ROLE regress_llm_owner;
SELECT llm.alter_model('owned', '{"max_tokens": 4}');
SET ROLE regress_llm_other;
SELECT llm.alter_model('owned', '{"max_tokens": 4}');
SELECT name, owner, options FROM llm.models WHERE name = 'owned';
RESET ROLE;

-- DROP OWNED takes the large object: the row belongs to nobody
DROP OWNED BY regress_llm_other;
SELECT name, owner, state FROM llm.models;
SELECT large_object AS lost_object, size AS lost_size FROM llm.models \gset
SET ROLE regress_llm_user;
SELECT count(*) FROM llm.next_token('owned', 'Once', 5);
SELECT name FROM llm.models;

-- also not to whoever makes an object with its number, of the same size
SET ROLE regress_llm_owner;
\set impostor 'decode(repeat(''00'', :lost_size), ''hex'')'
SELECT lo_from_bytea(:lost_object, :impostor) = :lost_object AS made;
SELECT name FROM llm.models WHERE state <> 'ready';
\set VERBOSITY sqlstate
SELECT count(*) FROM llm.next_token('owned', 'Once', 5);
\set VERBOSITY default
SELECT llm.drop_model('owned');
SELECT llm.rename_model('owned', 'mine');
SELECT llm.alter_model('owned', '{}');
RESET ROLE;
SELECT name, owner, state FROM llm.models;

-- nor does the image in the cache make the impostor a model
SELECT lo_unlink(:lost_object);
SELECT state FROM llm.attach_model('owned', :'llama');
SELECT llm.preload('owned');
SELECT large_object AS lost_object FROM llm.models \gset
SELECT lo_unlink(:lost_object);
SET ROLE regress_llm_owner;
SELECT lo_from_bytea(:lost_object, :impostor) = :lost_object AS made;
\set VERBOSITY sqlstate
SELECT count(*) FROM llm.next_token('owned', 'Once', 5);
\set VERBOSITY default
RESET ROLE;
SELECT model, state, pins FROM llm.stat_cache WHERE model = 'owned';
SET client_min_messages = warning;
SELECT llm.drop_model('owned');
RESET client_min_messages;
SELECT lo_unlink(:lost_object), lo_unlink(:admin_object);

REVOKE ALL ON FUNCTION llm.load_model(text, text, jsonb),
	llm.load_model(text, oid, jsonb), llm.load_model(text, bytea, jsonb)
	FROM regress_llm_owner;
DROP ROLE regress_llm_owner, regress_llm_user, regress_llm_other;
SELECT count(*) FROM pg_largeobject_metadata;
