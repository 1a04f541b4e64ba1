-- What each head of a model looks at in a text.

CREATE FUNCTION llm.attention_heads(model text, input text, options jsonb DEFAULT NULL)
RETURNS TABLE(layer integer, head integer, entropy double precision, previous_token double precision, first_token double precision, self double precision, max_key_token text)
AS 'MODULE_PATHNAME', 'llm_attention_heads'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 100;
COMMENT ON FUNCTION llm.attention_heads(text, text, jsonb) IS
'for each head, averages over the queries: entropy of the weights in nats, weight on the previous token, on the first token and on the token itself, and the other token that gets most';
