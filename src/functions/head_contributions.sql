-- What each head adds to a logit.

CREATE FUNCTION llm.head_contributions(model text, input text, token integer DEFAULT NULL, options jsonb DEFAULT NULL)
RETURNS TABLE(layer integer, head integer, contribution double precision)
AS 'MODULE_PATHNAME', 'llm_head_contributions'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 300;
COMMENT ON FUNCTION llm.head_contributions(text, text, integer, jsonb) IS
'what each head, and each feed-forward network (head NULL), adds directly to the logit (before a softcap) of the token predicted after a text, or of the token given; with the parts of the embedding and of biases, which have no rows, they sum to the logit';
