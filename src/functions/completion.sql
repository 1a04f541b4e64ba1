-- The continuation of a prompt, and how it came about.

CREATE FUNCTION llm.completion(model text, prompt text, options jsonb DEFAULT NULL)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'llm_completion'
LANGUAGE C VOLATILE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION llm.completion(text, text, jsonb) IS
'continue a prompt: text, finish_reason, usage, logprobs when asked for, timings';

CREATE FUNCTION llm.completion(prompt text, options jsonb DEFAULT NULL)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'llm_completion_default'
LANGUAGE C VOLATILE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION llm.completion(text, jsonb) IS
'continue a prompt with the default model: text, finish_reason, usage, logprobs when asked for, timings';
