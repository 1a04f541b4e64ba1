--
-- Settings
--
SELECT name, boot_val, unit, context, vartype, min_val, max_val, enumvals
FROM pg_settings WHERE name LIKE 'llm.%' ORDER BY name COLLATE "C";
SELECT name FROM pg_settings
WHERE name LIKE 'llm.%' AND (short_desc = '' OR extra_desc = '');

SET llm.cache_size = '1GB';
SET llm.execution = 'backend';
SET llm.execution = 'worker';
RESET llm.execution;
SET llm.max_context = -1;
SET llm.nonsense = 1;
\set VERBOSITY terse
SET llm.kernel_set = 'abacus';
\set VERBOSITY default
SET llm.kernel_set = 'reference';
SELECT value FROM llm.system_info() WHERE name = 'instruction_set';
RESET llm.kernel_set;

-- what limits others is for superusers; the rest for everybody
CREATE ROLE regress_llm_setter;
SET ROLE regress_llm_setter;
SET llm.max_context = 5;
SET llm.max_tokens_per_call = 5;
SET llm.max_requests_per_role = 5;
SET llm.stream_idle_timeout = 5;
ALTER ROLE regress_llm_setter SET llm.max_context = 5;
ALTER ROLE regress_llm_setter SET llm.max_tokens_per_call = 5;
ALTER ROLE regress_llm_setter SET llm.max_requests_per_role = 5;
SET llm.kernel_set = 'reference';
SET llm.default_model = 'x';
SET llm.default_embedding_model = 'x';
SET llm.execution = 'auto';
RESET ROLE;
RESET llm.default_model;
RESET llm.default_embedding_model;

-- a superuser sets the limits of a role, which cannot get rid of them
ALTER ROLE regress_llm_setter SET llm.max_context = 5;
ALTER ROLE regress_llm_setter SET llm.max_tokens_per_call = 6;
ALTER ROLE regress_llm_setter SET llm.max_requests_per_role = 7;
SET ROLE regress_llm_setter;
ALTER ROLE regress_llm_setter RESET llm.max_requests_per_role;
ALTER ROLE regress_llm_setter RESET ALL;
RESET ROLE;
SELECT unnest(setconfig) FROM pg_db_role_setting
WHERE setrole = 'regress_llm_setter'::regrole;
DROP ROLE regress_llm_setter;
