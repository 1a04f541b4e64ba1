-- Queries, keys and values.

CREATE FUNCTION llm.projections(model text, input text, layer integer, head integer, options jsonb DEFAULT NULL)
RETURNS TABLE("position" integer, token text, kv_head integer, query real[], key real[], value real[])
AS 'MODULE_PATHNAME', 'llm_projections'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 100;
COMMENT ON FUNCTION llm.projections(text, text, integer, integer, jsonb) IS
'query, key and value of each token of a text in one head, after rotation and as the cache stores them; query heads may share a kv_head';
