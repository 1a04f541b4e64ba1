-- Continuations of many prompts, computed together.

CREATE FUNCTION llm.generate_batch(model text, prompts text[], options jsonb DEFAULT NULL)
RETURNS TABLE("position" integer, output text)
AS 'MODULE_PATHNAME', 'llm_generate_batch'
LANGUAGE C VOLATILE PARALLEL SAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION llm.generate_batch(text, text[], jsonb) IS
'continue many prompts together; positions count from 0';
