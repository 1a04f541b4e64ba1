--
-- What is counted, and who sees it
--
\getenv data LLM_TEST_DATA
\set llama :data/tiny-llama.gguf
SELECT name FROM llm.load_model('stats_model', :'llama');
CREATE ROLE regress_llm_one;
CREATE ROLE regress_llm_two;
SELECT llm.grant_model('stats_model', 'regress_llm_one');
SELECT llm.reset_stats();

SELECT c.relname, string_agg(a.attname || ' ' || format_type(a.atttypid, NULL), ', ' ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.oid IN ('llm.stat_requests'::regclass, 'llm.stat_workers'::regclass,
	'llm.stat_usage'::regclass) GROUP BY c.relname ORDER BY c.relname;

-- computed in the session, so that nothing depends on a worker
SET llm.execution = 'backend';
SET ROLE regress_llm_one;
SELECT llm.generate('stats_model', 'Once upon', '{"max_tokens": 4, "ignore_eos": true}') IS NOT NULL AS generated;
SELECT calls, prompt_tokens = llm.count_tokens('stats_model', 'Once upon') AS prompt, cached_tokens,
	output_tokens, errors, seconds > 0 AS timed
FROM llm.stat_usage WHERE role = current_user;
SELECT database = current_database() AS here, role, model FROM llm.stat_usage;

-- what is refused before a model is needed is no call; one that an error ends is
\set VERBOSITY terse
SELECT llm.generate('stats_model', 'Once upon', '{"max_tokens": 4, "stop": 1}');
\set VERBOSITY default
SELECT calls, errors FROM llm.stat_usage;
BEGIN;
DECLARE pieces CURSOR FOR SELECT token_id FROM llm.generate_stream('stats_model', 'Once', '{"max_tokens": 4, "ignore_eos": true}');
FETCH 1 FROM pieces \gset
SELECT 1 / 0;
ROLLBACK;
SELECT calls, errors FROM llm.stat_usage;

-- a stream that is not read to its end is none
BEGIN;
DECLARE pieces CURSOR FOR SELECT token_id FROM llm.generate_stream('stats_model', 'Once', '{"max_tokens": 4, "ignore_eos": true}');
FETCH 1 FROM pieces \gset
COMMIT;
SELECT calls, errors FROM llm.stat_usage;

-- others see nothing of it
SET ROLE regress_llm_two;
SELECT count(*) FROM llm.stat_usage;
SELECT count(*) FROM llm.stat_requests;
SELECT llm.reset_stats();
SELECT * FROM llm._debug_serving();
SELECT count(model) FROM llm.stat_workers;
RESET ROLE;

-- those who may see all see it, without the name of a model that is not theirs
GRANT pg_read_all_stats TO regress_llm_two;
SET ROLE regress_llm_two;
SELECT role, model, calls > 0 AS calls FROM llm.stat_usage WHERE role = 'regress_llm_one';
RESET ROLE;
SELECT role, model FROM llm.stat_usage WHERE role = 'regress_llm_one';

-- a model and a role that are gone leave what they used
SELECT llm.drop_model('stats_model');
SELECT role, model, calls > 0 AS calls FROM llm.stat_usage WHERE role = 'regress_llm_one';
REVOKE pg_read_all_stats FROM regress_llm_two;
DROP ROLE regress_llm_one;
DROP ROLE regress_llm_two;
SELECT role, model, calls > 0 AS calls FROM llm.stat_usage WHERE output_tokens = 4;

SELECT llm.reset_stats();
SELECT count(*) FROM llm.stat_usage;
SELECT sum(steps) FILTER (WHERE steps > 0), sum(tokens) FILTER (WHERE tokens > 0) FROM llm.stat_workers;

-- nothing is left behind
SELECT * FROM llm._debug_serving();
SELECT count(*) FROM llm.stat_requests;
SELECT value::int BETWEEN 0 AND 64 AS workers FROM llm.system_info() WHERE name = 'workers';
