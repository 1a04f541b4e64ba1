-- What a model expects to follow a prompt.

CREATE FUNCTION llm.next_token(model text, prompt text, top_k integer DEFAULT 10, options jsonb DEFAULT NULL)
RETURNS TABLE(rank integer, token_id integer, token text, logprob double precision, probability double precision)
AS 'MODULE_PATHNAME', 'llm_next_token'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION llm.next_token(text, text, integer, jsonb) IS
'the most likely tokens after a prompt, with natural logarithms of their probabilities';

CREATE FUNCTION llm.next_token(prompt text, top_k integer DEFAULT 10)
RETURNS TABLE(rank integer, token_id integer, token text, logprob double precision, probability double precision)
AS 'MODULE_PATHNAME', 'llm_next_token_default'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION llm.next_token(text, integer) IS
'the most likely tokens after a prompt for the default model, with natural logarithms of their probabilities';
