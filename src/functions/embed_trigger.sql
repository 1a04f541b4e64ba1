-- The vector of a row, before the row is written.

CREATE FUNCTION llm.embed_trigger()
RETURNS trigger
AS 'MODULE_PATHNAME', 'llm_embed_trigger'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION llm.embed_trigger() IS
'BEFORE INSERT OR UPDATE trigger for each row; arguments: column of the vector, model, columns of text';
