-- What a model costs.

CREATE FUNCTION llm.estimate(model text, context integer, batch integer)
RETURNS TABLE(item text, value numeric, unit text, explanation text)
AS 'MODULE_PATHNAME', 'llm_estimate_model'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 15;
COMMENT ON FUNCTION llm.estimate(text, integer, integer) IS
'memory and arithmetic of a model for a batch of texts, with the formulas; a NULL context is the model''s, a NULL batch 1';

CREATE FUNCTION llm.estimate(shape jsonb)
RETURNS TABLE(item text, value numeric, unit text, explanation text)
AS 'MODULE_PATHNAME', 'llm_estimate_shape'
LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100 ROWS 15;
COMMENT ON FUNCTION llm.estimate(jsonb) IS
'memory and arithmetic of a model of that shape, as far as its keys tell, with the formulas';
