-- How well documents answer a query.

CREATE FUNCTION llm.rerank(model text, query text, documents text[], options jsonb DEFAULT NULL)
RETURNS TABLE("position" integer, score double precision)
AS 'MODULE_PATHNAME', 'llm_rerank'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 100;
COMMENT ON FUNCTION llm.rerank(text, text, text[], jsonb) IS
'how well documents answer a query, by a cross-encoder: 0 to 1, higher is better; positions count from 0';
