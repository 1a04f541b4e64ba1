-- A text in pieces that fit a model.

CREATE FUNCTION llm.chunk(model text, input text, max_tokens integer, overlap integer DEFAULT 0)
RETURNS TABLE("position" integer, chunk text, tokens integer, start integer, stop integer)
AS 'MODULE_PATHNAME', 'llm_chunk'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 20;
COMMENT ON FUNCTION llm.chunk(text, text, integer, integer) IS
'cut a text into pieces of at most so many tokens, between paragraphs, sentences or words; chunk = substr(input, start + 1, stop - start)';
