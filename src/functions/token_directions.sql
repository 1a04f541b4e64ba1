-- Vectors read as tokens.

CREATE FUNCTION llm.neuron_tokens(model text, layer integer, neuron integer, top_k integer DEFAULT 10)
RETURNS TABLE(rank integer, token_id integer, token text, score double precision)
AS 'MODULE_PATHNAME', 'llm_neuron_tokens'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION llm.neuron_tokens(text, integer, integer, integer) IS
'the tokens that a neuron writes: its value vector (column of the down projection) times the weights of the norms behind it, without their division, dot the row of each token in the output matrix; models without one: value vector dot token embedding';

CREATE FUNCTION llm.nearest_tokens(model text, vector real[], top_k integer DEFAULT 10)
RETURNS TABLE(rank integer, token_id integer, token text, score double precision)
AS 'MODULE_PATHNAME', 'llm_nearest_tokens'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION llm.nearest_tokens(text, real[], integer) IS
'the tokens whose embeddings have the largest cosine with a vector, the score';
