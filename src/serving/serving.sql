-- Workers, their requests, and what was used.

CREATE FUNCTION llm._stat_requests(
	OUT pid integer, OUT database name, OUT role name, OUT model text,
	OUT phase text, OUT prompt_tokens bigint, OUT cached_tokens bigint,
	OUT output_tokens bigint, OUT max_tokens bigint, OUT age interval)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'llm_stat_requests'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION llm._stat_requests() IS
'the rows of the view llm.stat_requests';

CREATE VIEW llm.stat_requests WITH (security_barrier) AS
SELECT s.pid, s.database, s.role, s.model, s.phase, s.prompt_tokens,
	s.cached_tokens, s.output_tokens, s.max_tokens, s.age
FROM llm._stat_requests() AS s;
COMMENT ON VIEW llm.stat_requests IS
'calls that are with the workers or wait for them, of the current role or, with pg_read_all_stats, of all; the model is named in its own database to who may use it';
GRANT SELECT ON llm.stat_requests TO PUBLIC;

CREATE FUNCTION llm._stat_workers(
	OUT pid integer, OUT threads integer, OUT instruction_set text,
	OUT model text, OUT rows_last_step bigint, OUT kv_pages_used bigint,
	OUT kv_pages_total bigint, OUT steps bigint, OUT tokens bigint,
	OUT preemptions bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'llm_stat_workers'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 2;
COMMENT ON FUNCTION llm._stat_workers() IS
'the rows of the view llm.stat_workers';

CREATE VIEW llm.stat_workers WITH (security_barrier) AS
SELECT s.pid, s.threads, s.instruction_set, s.model, s.rows_last_step,
	s.kv_pages_used, s.kv_pages_total, s.steps, s.tokens, s.preemptions
FROM llm._stat_workers() AS s;
COMMENT ON VIEW llm.stat_workers IS
'background workers that run; the model of the last step is named in its own database to who may use it';
GRANT SELECT ON llm.stat_workers TO PUBLIC;

CREATE FUNCTION llm._stat_usage(
	OUT database name, OUT role name, OUT model text, OUT calls bigint,
	OUT prompt_tokens bigint, OUT cached_tokens bigint,
	OUT output_tokens bigint, OUT errors bigint, OUT seconds double precision)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'llm_stat_usage'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION llm._stat_usage() IS
'the rows of the view llm.stat_usage';

CREATE VIEW llm.stat_usage WITH (security_barrier) AS
SELECT s.database, s.role, s.model, s.calls, s.prompt_tokens,
	s.cached_tokens, s.output_tokens, s.errors, s.seconds
FROM llm._stat_usage() AS s;
COMMENT ON VIEW llm.stat_usage IS
'what the current role or, with pg_read_all_stats, all have used since llm.reset_stats(), kept over restarts; the model is named in its own database to who may use it';
GRANT SELECT ON llm.stat_usage TO PUBLIC;

CREATE FUNCTION llm.reset_stats()
RETURNS void
AS 'MODULE_PATHNAME', 'llm_reset_stats'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION llm.reset_stats() IS
'start the counters of llm.stat_usage and llm.stat_workers from zero';
REVOKE EXECUTE ON FUNCTION llm.reset_stats() FROM PUBLIC;

CREATE FUNCTION llm._debug_serving(OUT name text, OUT value bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'llm_debug_serving'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 5;
COMMENT ON FUNCTION llm._debug_serving() IS
'what calls hold in shared memory and in the workers: all 0 when none is in progress';
REVOKE EXECUTE ON FUNCTION llm._debug_serving() FROM PUBLIC;
