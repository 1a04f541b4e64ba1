-- Neurons of the feed-forward network.

CREATE FUNCTION llm.neurons(model text, input text, layer integer, top_k integer DEFAULT 10, options jsonb DEFAULT NULL)
RETURNS TABLE(layer integer, "position" integer, token_id integer, token text, neuron integer, activation real)
AS 'MODULE_PATHNAME', 'llm_neurons'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 1000;
COMMENT ON FUNCTION llm.neurons(text, text, integer, integer, jsonb) IS
'for each token of a text the neurons of a feed-forward network with the largest absolute activations, in every layer if layer is NULL';
