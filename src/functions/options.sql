-- Options of functions, from the table that reads them.

CREATE FUNCTION llm._options(
	OUT name text, OUT type text, OUT "default" text, OUT "range" text,
	OUT applies_to text, OUT description text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'llm_options'
LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 25;
COMMENT ON FUNCTION llm._options() IS
'the rows of the view llm.options';

CREATE VIEW llm.options AS
SELECT o.name, o.type, o."default", o."range", o.applies_to, o.description
FROM llm._options() AS o;
COMMENT ON VIEW llm.options IS
'the options of functions: type, default, range and where they apply';

GRANT SELECT ON llm.options TO PUBLIC;
