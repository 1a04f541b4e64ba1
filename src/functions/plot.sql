-- A head's attention as a picture.

CREATE FUNCTION llm.attention_plot(model text, input text, layer integer, head integer)
RETURNS text
AS 'MODULE_PATHNAME', 'llm_attention_plot'
LANGUAGE C STABLE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION llm.attention_plot(text, text, integer, integer) IS
'an SVG heat map of the weights of an attention head (NULL: the mean of all): queries are rows, keys are columns';
