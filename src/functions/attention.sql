-- What every token of a text attends to.

CREATE FUNCTION llm.attention(model text, input text, layer integer DEFAULT NULL, head integer DEFAULT NULL, options jsonb DEFAULT NULL)
RETURNS TABLE(layer integer, head integer, query integer, query_token text, key integer, key_token text, score real, weight real)
AS 'MODULE_PATHNAME', 'llm_attention'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10000;
COMMENT ON FUNCTION llm.attention(text, text, integer, integer, jsonb) IS
'scores (query times key, scaled) and weights (after softmax) of every query and every key that it sees, by layer and head';

CREATE FUNCTION llm.attention_matrix(model text, input text, layer integer, head integer, options jsonb DEFAULT NULL) RETURNS real[]
AS 'MODULE_PATHNAME', 'llm_attention_matrix'
LANGUAGE C STABLE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION llm.attention_matrix(text, text, integer, integer, jsonb) IS
'attention weights of one head: a row for each query, a column for each key, 0 where the query cannot see the key';
