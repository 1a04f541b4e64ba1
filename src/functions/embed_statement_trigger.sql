-- The vectors of all rows of a statement, together.

CREATE FUNCTION llm.embed_statement_trigger()
RETURNS trigger
AS 'MODULE_PATHNAME', 'llm_embed_statement_trigger'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION llm.embed_statement_trigger() IS
'AFTER INSERT or AFTER UPDATE trigger for each statement, with transition tables; arguments: column of the vector, model, columns of text';
