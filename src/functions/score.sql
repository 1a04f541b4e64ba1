-- How likely a model finds a text.

CREATE FUNCTION llm.token_logprobs(model text, input text, options jsonb DEFAULT NULL)
RETURNS TABLE("position" integer, token_id integer, token text, logprob double precision, rank integer)
AS 'MODULE_PATHNAME', 'llm_token_logprobs'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 100;
COMMENT ON FUNCTION llm.token_logprobs(text, text, jsonb) IS
'the log-probability of each token of a text after those before it, and how many tokens were likelier; the first token has none';

CREATE FUNCTION llm.cross_entropy(model text, input text, options jsonb DEFAULT NULL)
RETURNS double precision
AS 'MODULE_PATHNAME', 'llm_cross_entropy'
LANGUAGE C STABLE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION llm.cross_entropy(text, text, jsonb) IS
'the mean negative log-probability, in nats, of the tokens of a text after the first';

CREATE FUNCTION llm.perplexity(model text, input text, options jsonb DEFAULT NULL)
RETURNS double precision
AS 'MODULE_PATHNAME', 'llm_perplexity'
LANGUAGE C STABLE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION llm.perplexity(text, text, jsonb) IS
'among how many equally likely tokens a text was as hard to predict: e to the power of its cross-entropy';

CREATE FUNCTION llm.score(model text, prompt text, continuation text, options jsonb DEFAULT NULL)
RETURNS double precision
AS 'MODULE_PATHNAME', 'llm_score'
LANGUAGE C STABLE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION llm.score(text, text, text, jsonb) IS
'the log-probability of a continuation after a prompt: the sum over its tokens, which are those of the continuation alone';
