-- The cache of model weights.

CREATE FUNCTION llm.preload(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'llm_preload'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION llm.preload(text) IS
'put a model into the weights cache, so that the first call is as fast as the next';
REVOKE EXECUTE ON FUNCTION llm.preload(text) FROM PUBLIC;

CREATE FUNCTION llm.evict(name text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'llm_evict'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION llm.evict(text) IS
'remove a model from the weights cache; false when it was not there or is in use';

CREATE FUNCTION llm._stat_cache(
	OUT digest bytea, OUT model text, OUT state text, OUT bytes bigint,
	OUT pins integer, OUT hits bigint, OUT loaded_at timestamp with time zone,
	OUT load_ms double precision)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'llm_stat_cache'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION llm._stat_cache() IS
'the rows of the view llm.stat_cache';

CREATE VIEW llm.stat_cache WITH (security_barrier) AS
SELECT s.digest, s.model, s.state, s.bytes, s.pins, s.hits, s.loaded_at,
	s.load_ms
FROM llm._stat_cache() AS s;
COMMENT ON VIEW llm.stat_cache IS
'models in the weights cache that the current role may use; with pg_read_all_stats all, unnamed when they are of other databases; bytes are of the image or, while it is loading, those of the file that were read';
GRANT SELECT ON llm.stat_cache TO PUBLIC;

CREATE FUNCTION llm.system_info(OUT name text, OUT value text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'llm_system_info'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION llm.system_info() IS
'what computes and where: instruction set, threads, cache, versions';
