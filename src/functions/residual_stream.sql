-- The residual stream of a text.

CREATE FUNCTION llm.hidden_states(model text, input text, layer integer DEFAULT NULL, options jsonb DEFAULT NULL)
RETURNS TABLE(layer integer, "position" integer, token text, state real[])
AS 'MODULE_PATHNAME', 'llm_hidden_states'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 1000;
COMMENT ON FUNCTION llm.hidden_states(text, text, integer, jsonb) IS
'the residual stream of a text after each block of a model; layer -1 is the embedding before the first';

CREATE FUNCTION llm.residuals(model text, input text, options jsonb DEFAULT NULL)
RETURNS TABLE(layer integer, sublayer text, "position" integer, token text, norm_in real, norm_added real, norm_out real, cosine real)
AS 'MODULE_PATHNAME', 'llm_residuals'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 1000;
COMMENT ON FUNCTION llm.residuals(text, text, jsonb) IS
'Euclidean norms of the residual stream before a sublayer, of what it adds, and of the stream after it, which in post-norm models is normalised; cosine of the stream before and what is added';
