-- What each layer would predict.

CREATE FUNCTION llm.logit_lens(model text, input text, top_k integer DEFAULT 1, options jsonb DEFAULT NULL)
RETURNS TABLE(layer integer, "position" integer, rank integer, token_id integer, token text, probability double precision)
AS 'MODULE_PATHNAME', 'llm_logit_lens'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 1000;
COMMENT ON FUNCTION llm.logit_lens(text, text, integer, jsonb) IS
'the most likely tokens when final norm and unembedding are applied to the residual stream after each block; layer -1 is the embedding before the first, the last layer is what llm.next_token() gives';
