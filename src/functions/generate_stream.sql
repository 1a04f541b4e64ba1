-- The continuation of a prompt, token by token.  The function that users call
-- is inlined (hence STABLE, and neither STRICT nor with settings of its own),
-- which keeps the one that computes in a select list, where rows are passed on
-- as they come.

CREATE FUNCTION llm._stream(
	model text, prompt text, options jsonb,
	OUT "position" integer, OUT token_id integer, OUT token text,
	OUT logprob double precision)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'llm_stream'
LANGUAGE C VOLATILE PARALLEL SAFE COST 10000 ROWS 100;
COMMENT ON FUNCTION llm._stream(text, text, jsonb) IS
'the tokens of llm.generate_stream()';

CREATE FUNCTION llm.generate_stream(model text, prompt text, options jsonb DEFAULT NULL)
RETURNS TABLE("position" integer, token_id integer, token text, logprob double precision)
LANGUAGE sql STABLE PARALLEL SAFE COST 10000 ROWS 100
BEGIN ATOMIC
	SELECT (q.s)."position", (q.s).token_id, (q.s).token, (q.s).logprob
	FROM (SELECT llm._stream(model, prompt, options) AS s) AS q;
END;
COMMENT ON FUNCTION llm.generate_stream(text, text, jsonb) IS
'continue a prompt; tokens arrive one by one';
