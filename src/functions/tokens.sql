-- Texts and tokens.

CREATE FUNCTION llm.tokenize(model text, input text, options jsonb DEFAULT NULL)
RETURNS integer[]
AS 'MODULE_PATHNAME', 'llm_tokenize'
LANGUAGE C STABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION llm.tokenize(text, text, jsonb) IS
'the ids of the tokens of a text';

CREATE FUNCTION llm.tokenize(input text, options jsonb DEFAULT NULL)
RETURNS integer[]
AS 'MODULE_PATHNAME', 'llm_tokenize_default'
LANGUAGE C STABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION llm.tokenize(text, jsonb) IS
'the ids of the tokens of a text for the default model';

CREATE FUNCTION llm.count_tokens(model text, input text, options jsonb DEFAULT NULL)
RETURNS integer
AS 'MODULE_PATHNAME', 'llm_count_tokens'
LANGUAGE C STABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION llm.count_tokens(text, text, jsonb) IS
'the number of tokens of a text';

CREATE FUNCTION llm.count_tokens(input text, options jsonb DEFAULT NULL)
RETURNS integer
AS 'MODULE_PATHNAME', 'llm_count_tokens_default'
LANGUAGE C STABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION llm.count_tokens(text, jsonb) IS
'the number of tokens of a text for the default model';

CREATE FUNCTION llm.tokens(model text, input text)
RETURNS TABLE("position" integer, token_id integer, token text, special boolean)
AS 'MODULE_PATHNAME', 'llm_tokens'
LANGUAGE C STABLE PARALLEL SAFE COST 1000 ROWS 100;
COMMENT ON FUNCTION llm.tokens(text, text) IS
'the tokens of a text; bytes of a part of a character show as <0xE6>';

CREATE FUNCTION llm.tokens(input text)
RETURNS TABLE("position" integer, token_id integer, token text, special boolean)
AS 'MODULE_PATHNAME', 'llm_tokens_default'
LANGUAGE C STABLE PARALLEL SAFE COST 1000 ROWS 100;
COMMENT ON FUNCTION llm.tokens(text) IS
'the tokens of a text for the default model; bytes of a part of a character show as <0xE6>';

CREATE FUNCTION llm.detokenize(model text, tokens integer[])
RETURNS text
AS 'MODULE_PATHNAME', 'llm_detokenize'
LANGUAGE C STABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION llm.detokenize(text, integer[]) IS
'the text of tokens, control tokens included';
