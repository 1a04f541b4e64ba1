-- All heads of a model on one page.

CREATE FUNCTION llm.attention_report(model text, input text)
RETURNS text
AS 'MODULE_PATHNAME', 'llm_attention_report'
LANGUAGE C STABLE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION llm.attention_report(text, text) IS
'an HTML page with the attention of all heads, each to be enlarged (also by a link that ends in #L3H2), and what every layer would predict';
