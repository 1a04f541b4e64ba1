-- Models: the table of those loaded, the view of those that may be used.

CREATE TABLE llm.model (
	name text COLLATE "C" CONSTRAINT model_pkey PRIMARY KEY,
	large_object oid NOT NULL CONSTRAINT model_large_object_key UNIQUE,
	digest bytea NOT NULL,
	size bigint NOT NULL,
	architecture text NOT NULL,
	parameters bigint NOT NULL,
	quantization text NOT NULL,
	context_length integer NOT NULL,
	embedding_length integer NOT NULL,
	layers integer NOT NULL,
	heads integer NOT NULL,
	kv_heads integer NOT NULL,
	vocabulary integer NOT NULL,
	capabilities text[] NOT NULL,
	options jsonb NOT NULL,
	created timestamp with time zone NOT NULL
);

COMMENT ON TABLE llm.model IS
'models as loaded; written by llm.load_model() and its like only, read through the view llm.models';
COMMENT ON COLUMN llm.model.large_object IS
'the large object with the GGUF file; its owner owns the model, SELECT on it is the right to use the model';

REVOKE ALL ON llm.model FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('llm.model', '');

CREATE FUNCTION llm._models(
	OUT name text, OUT architecture text, OUT parameters bigint,
	OUT quantization text, OUT size bigint, OUT context_length integer,
	OUT embedding_length integer, OUT layers integer, OUT heads integer,
	OUT kv_heads integer, OUT vocabulary integer, OUT capabilities text[],
	OUT options jsonb, OUT owner regrole, OUT large_object oid,
	OUT digest bytea, OUT created timestamp with time zone, OUT state text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'llm_models'
LANGUAGE C STABLE PARALLEL SAFE ROWS 10;
COMMENT ON FUNCTION llm._models() IS
'the rows of the view llm.models: the models that the current role may use';

CREATE VIEW llm.models WITH (security_barrier) AS
SELECT m.name, m.architecture, m.parameters, m.quantization, m.size,
	m.context_length, m.embedding_length, m.layers, m.heads, m.kv_heads,
	m.vocabulary, m.capabilities, m.options, m.owner, m.large_object,
	m.digest, m.created, m.state
FROM llm._models() AS m;
COMMENT ON VIEW llm.models IS
'the models that the current role may use; all of them for superusers and the owner of the database';

GRANT SELECT ON llm.models TO PUBLIC;
GRANT USAGE ON SCHEMA llm TO PUBLIC;

CREATE FUNCTION llm.load_model(name text, source text, options jsonb DEFAULT '{}')
RETURNS llm.models
AS 'MODULE_PATHNAME', 'llm_load_model_path'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION llm.load_model(text, text, jsonb) IS
'load a model from a GGUF file or a Hugging Face folder on the server';

CREATE FUNCTION llm.load_model(name text, source oid, options jsonb DEFAULT '{}')
RETURNS llm.models
AS 'MODULE_PATHNAME', 'llm_load_model_oid'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION llm.load_model(text, oid, jsonb) IS
'make a model of a large object that holds a GGUF file, or a tar archive of a Hugging Face folder';

CREATE FUNCTION llm.load_model(name text, source bytea, options jsonb DEFAULT '{}')
RETURNS llm.models
AS 'MODULE_PATHNAME', 'llm_load_model_bytea'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION llm.load_model(text, bytea, jsonb) IS
'load a model from the bytes of a GGUF file, or of a tar archive of a Hugging Face folder';

CREATE FUNCTION llm.attach_model(name text, source text)
RETURNS llm.models
AS 'MODULE_PATHNAME', 'llm_attach_model_path'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION llm.attach_model(text, text) IS
'give a model whose large object is missing or damaged its bytes back, from a file or folder on the server';

CREATE FUNCTION llm.attach_model(name text, source oid)
RETURNS llm.models
AS 'MODULE_PATHNAME', 'llm_attach_model_oid'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION llm.attach_model(text, oid) IS
'give a model whose large object is missing or damaged its bytes back, from another large object';

CREATE FUNCTION llm.attach_model(name text, source bytea)
RETURNS llm.models
AS 'MODULE_PATHNAME', 'llm_attach_model_bytea'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION llm.attach_model(text, bytea) IS
'give a model whose large object is missing or damaged its bytes back, from a value';

REVOKE EXECUTE ON FUNCTION llm.load_model(text, text, jsonb) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION llm.load_model(text, oid, jsonb) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION llm.load_model(text, bytea, jsonb) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION llm.attach_model(text, text) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION llm.attach_model(text, oid) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION llm.attach_model(text, bytea) FROM PUBLIC;

CREATE FUNCTION llm.drop_model(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'llm_drop_model'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION llm.drop_model(text) IS
'remove a model and its large object';

CREATE FUNCTION llm.rename_model(name text, new_name text)
RETURNS void
AS 'MODULE_PATHNAME', 'llm_rename_model'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION llm.rename_model(text, text) IS
'give a model another name';

CREATE FUNCTION llm.alter_model(name text, options jsonb)
RETURNS void
AS 'MODULE_PATHNAME', 'llm_alter_model'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION llm.alter_model(text, jsonb) IS
'change the generation defaults of a model; a NULL value removes one';

CREATE FUNCTION llm.export_model(name text, path text)
RETURNS bigint
AS 'MODULE_PATHNAME', 'llm_export_model'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION llm.export_model(text, text) IS
'write the GGUF file of a model to a new file on the server, and return its bytes';

CREATE FUNCTION llm.grant_model(name text, grantee text)
RETURNS void
AS 'MODULE_PATHNAME', 'llm_grant_model'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION llm.grant_model(text, text) IS
'let a role, or public, use a model: SELECT on its large object';

CREATE FUNCTION llm.revoke_model(name text, grantee text)
RETURNS void
AS 'MODULE_PATHNAME', 'llm_revoke_model'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION llm.revoke_model(text, text) IS
'take the right to use a model from a role, or from public';

CREATE FUNCTION llm.model_metadata(name text, OUT key text, OUT value jsonb)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'llm_model_metadata'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 ROWS 50;
COMMENT ON FUNCTION llm.model_metadata(text) IS
'the metadata of a GGUF file; of long arrays the number of items and the first ones';

CREATE FUNCTION llm.model_tensors(model text, OUT name text, OUT type text, OUT shape bigint[], OUT bytes bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'llm_model_tensors'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000 ROWS 300;
COMMENT ON FUNCTION llm.model_tensors(text) IS
'the tensors of a model in file order; shapes are written rows first';

CREATE FUNCTION llm.tensor(name text, tensor text, first_row integer DEFAULT 0, row_count integer DEFAULT NULL)
RETURNS real[]
AS 'MODULE_PATHNAME', 'llm_tensor'
LANGUAGE C STABLE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION llm.tensor(text, text, integer, integer) IS
'rows of a tensor, dequantised; a vector is one row, dimensions above the second are counted as rows';
