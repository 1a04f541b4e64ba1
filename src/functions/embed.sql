-- Texts to vectors, and how alike they are.

CREATE FUNCTION llm.embed(model text, input text, options jsonb DEFAULT NULL)
RETURNS real[]
AS 'MODULE_PATHNAME', 'llm_embed'
LANGUAGE C STABLE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION llm.embed(text, text, jsonb) IS
'the vector of a text';

CREATE FUNCTION llm.embed(input text, options jsonb DEFAULT NULL)
RETURNS real[]
AS 'MODULE_PATHNAME', 'llm_embed_default'
LANGUAGE C STABLE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION llm.embed(text, jsonb) IS
'the vector of a text by the default embedding model';

CREATE FUNCTION llm.embed_batch(model text, inputs text[], options jsonb DEFAULT NULL)
RETURNS TABLE("position" integer, embedding real[])
AS 'MODULE_PATHNAME', 'llm_embed_batch'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 100;
COMMENT ON FUNCTION llm.embed_batch(text, text[], jsonb) IS
'the vectors of many texts, computed together; positions count from 0';

CREATE FUNCTION llm.similarity(model text, a text, b text)
RETURNS double precision
AS 'MODULE_PATHNAME', 'llm_similarity'
LANGUAGE C STABLE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION llm.similarity(text, text, text) IS
'how alike two texts are: the cosine of the angle between their vectors, -1 to 1';

CREATE FUNCTION llm.cosine_similarity(real[], real[])
RETURNS double precision
AS 'MODULE_PATHNAME', 'llm_cosine_similarity'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION llm.cosine_similarity(real[], real[]) IS
'the cosine of the angle between two vectors, -1 to 1';
