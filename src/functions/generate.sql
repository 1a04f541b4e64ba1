-- Plain continuation of a prompt.

CREATE FUNCTION llm.generate(model text, prompt text, options jsonb DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'llm_generate'
LANGUAGE C VOLATILE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION llm.generate(text, text, jsonb) IS
'continue a prompt';

CREATE FUNCTION llm.generate(prompt text, options jsonb DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'llm_generate_default'
LANGUAGE C VOLATILE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION llm.generate(text, jsonb) IS
'continue a prompt with the default model';
