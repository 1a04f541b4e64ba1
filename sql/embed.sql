--
-- Texts to vectors
--
\getenv data LLM_TEST_DATA
\set bert :data/hf/bert
\set llama :data/tiny-llama.gguf
SELECT name, capabilities, options FROM llm.load_model('emb', :'bert');
SELECT name, capabilities FROM llm.load_model('emb_llama', :'llama');
SET extra_float_digits = 0;

-- vectors of transformers and sentence-transformers; the prompts and the cut
-- are options, no prompt is asked for where a model has a default one
CREATE FUNCTION reference(folder text, OUT texts bigint, OUT ids_differ bigint, OUT close boolean)
LANGUAGE sql AS $$
SELECT count(*),
	count(*) FILTER (WHERE (t->'ids') <> to_jsonb(llm.tokenize('ref', coalesce(t->>'prefix', '') || (t->>'text')))
		AND NOT t ? 'truncate'),
	max((SELECT max(abs(a - b)) FROM unnest(ARRAY(SELECT jsonb_array_elements_text(t->'embedding')::float8),
		llm.embed('ref', t->>'text', jsonb_build_object('prompt', t->'prompt',
		'prefix', CASE WHEN NOT t ? 'prompt' THEN '' END, 'truncate', CASE WHEN t ? 'truncate' THEN 'end' END))) AS v(a, b))) < 1e-4
FROM jsonb_array_elements(pg_read_file(current_setting('llm_test.data') || '/hf-' || folder || '.json')::jsonb->'texts') AS t
WHERE t ? 'embedding'
$$;
CREATE FUNCTION compared(folder text, OUT texts bigint, OUT ids_differ bigint, OUT close boolean)
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM llm.load_model('ref', current_setting('llm_test.data') || '/hf/' || folder);
	SELECT * INTO texts, ids_differ, close FROM reference(folder);
	PERFORM llm.drop_model('ref');
END $$;
SELECT folder, c.* FROM unnest(ARRAY['bert', 'bert-cls-dense', 'distilbert', 'roberta', 'xlm-roberta',
	'nomic-bert', 'modern-bert', 'qwen3', 'gemma-embedding']) AS folder, compared(folder) AS c;
DROP FUNCTION compared(text), reference(text);

-- a vector has length 1
CREATE FUNCTION length(real[]) RETURNS numeric LANGUAGE sql AS
$$ SELECT round(sqrt(sum(x::float8 * x))::numeric, 6) FROM unnest($1) AS x $$;
SELECT array_length(e, 1), length(e), pg_typeof(e) FROM llm.embed('emb', 'the model') AS e;
SELECT t, length(llm.embed('emb', t)) FROM unnest(ARRAY['', ' ', 'é日本😀', E'a\nb']) AS t;
SELECT llm.embed('emb', '') = llm.embed('emb', '   ') AS empty;

-- the default model
SELECT llm.embed('the model') = llm.embed('emb', 'the model') AS same;
SELECT llm.embed('the model', options => '{"dimensions": 2}') =
	llm.embed('emb', 'the model', '{"dimensions": 2}') AS same;
SELECT name FROM llm.load_model('emb_2', :'bert');
SELECT llm.embed('the model');
SET llm.default_embedding_model = 'emb';
SELECT llm.embed('the model') = llm.embed('emb', 'the model') AS same;
SET llm.default_embedding_model = 'emb_llama';
SELECT llm.embed('the model');
SELECT llm.embed('the model', options => '{"pooling": "cls"}') =
	llm.embed('emb_llama', 'the model', '{"pooling": "cls"}') AS same;
SET llm.default_embedding_model = 'nobody';
SELECT llm.embed('the model');
RESET llm.default_embedding_model;
SELECT llm.drop_model('emb_2');

-- NULL
SELECT llm.embed('emb', NULL) IS NULL AS a, llm.embed(NULL::text, 'x') IS NULL AS b,
	llm.embed(NULL) IS NULL AS c, llm.embed('emb', 'a', NULL) IS NULL AS d,
	llm.similarity('emb', NULL, 'a') IS NULL AS e, llm.similarity('emb', 'a', NULL) IS NULL AS f,
	llm.cosine_similarity(NULL, '{1}') IS NULL AS g;
SELECT count(*) FROM llm.embed_batch('emb', NULL);
SELECT count(*) FROM llm.embed_batch(NULL, '{a}');
SELECT count(*) FROM llm.embed_batch('emb', '{}');
SELECT count(*), count(embedding) FROM llm.embed_batch('emb', '{NULL,NULL}');
SELECT "position", embedding IS NULL AS is_null FROM llm.embed_batch('emb', '{b,NULL,a,b}');

-- prompts
SELECT llm.embed('emb', 'a', '{"prompt": "query"}') = llm.embed('emb', 'query: a') AS prompt,
	llm.embed('emb', 'a', '{"prefix": "of it: "}') = llm.embed('emb', 'of it: a') AS prefix,
	llm.embed('emb', 'a', '{"prefix": ""}') = llm.embed('emb', 'a') AS no_prefix,
	llm.embed('emb', 'a', '{"prompt": null}') = llm.embed('emb', 'a') AS no_prompt;
SELECT llm.embed('emb', 'a', '{"prompt": "question"}');
SELECT llm.embed('emb', 'a', '{"prompt": "query", "prefix": "x"}');
SELECT llm.embed('emb_llama', 'a', '{"prompt": "query", "pooling": "mean"}');
SELECT options FROM llm.load_model('emb_prompts', :'bert',
	'{"prompts": {"ask": "the question is ", "Frage «é»": "é "}, "default_prompt": "ask"}');
SELECT llm.embed('emb_prompts', 'a') = llm.embed('emb', 'the question is a') AS default_prompt,
	llm.embed('emb_prompts', 'a', '{"prompt": "Frage «é»"}') = llm.embed('emb', 'é a') AS prompt,
	llm.embed('emb_prompts', 'a', '{"prefix": ""}') = llm.embed('emb', 'a') AS none;
SELECT llm.embed('emb_prompts', 'a', '{"prompt": "x"}');
SELECT llm.alter_model('emb_prompts', '{"default_prompt": "x"}');
SELECT llm.drop_model('emb_prompts');

-- dimensions: a cut, and length 1 again
SELECT array_length(e, 1), length(e) FROM llm.embed('emb', 'the model', '{"dimensions": 5}') AS e;
SELECT llm.cosine_similarity(llm.embed('emb', 'the model', '{"dimensions": 5}'),
	(llm.embed('emb', 'the model'))[1:5])::numeric(8, 6) AS cosine;
SELECT llm.embed('emb', 'the model', '{"dimensions": 32}') = llm.embed('emb', 'the model') AS all;
SELECT llm.embed('emb', 'the model', '{"dimensions": 33}');
SELECT llm.embed('emb', 'the model', '{"dimensions": 0}');

-- length, pooling
SELECT length(e) <> 1 AS differs, llm.cosine_similarity(e, llm.embed('emb', 'the model'))::numeric(8, 6) AS cosine
FROM llm.embed('emb', 'the model', '{"normalize": false}') AS e;
SELECT (llm.embed('emb', 'the model', '{"normalize": false}'))[1:4] =
	llm.embed('emb', 'the model', '{"normalize": false, "dimensions": 4}') AS cut_only;
SELECT count(DISTINCT llm.embed('emb', 'the model', jsonb_build_object('pooling', pooling))) AS ways,
	bool_or(llm.embed('emb', 'the model', jsonb_build_object('pooling', pooling)) = llm.embed('emb', 'the model')) AS own
FROM unnest(ARRAY['mean', 'cls', 'last']) AS pooling;
SELECT llm.embed('emb', 'the model', '{"pooling": "max"}');

-- options of the model are its own settings
SELECT options FROM llm.load_model('emb_own', :'bert',
	'{"normalize": false, "pooling": "cls", "max_length": 8, "truncate": "end"}');
SELECT llm.embed('emb_own', 'the model') =
	llm.embed('emb', 'the model', '{"normalize": false, "pooling": "cls"}') AS own,
	llm.embed('emb_own', 'the model', '{"normalize": true, "pooling": "mean"}') =
	llm.embed('emb', 'the model') AS given;
SELECT llm.embed('emb_own', repeat('model ', 20)) =
	llm.embed('emb', repeat('model ', 6), '{"normalize": false, "pooling": "cls"}') AS cut,
	llm.similarity('emb_own', repeat('model ', 20), repeat('model ', 6)) AS same;
SELECT llm.embed('emb_own', repeat('model ', 20), '{"truncate": "error"}');
SELECT llm.alter_model('emb_own', jsonb_build_object(o, null))
FROM unnest(ARRAY['pooling', 'normalize', 'prompts', 'max_length']) AS o;
SELECT llm.alter_model('emb_own', '{"pooling": null}');
SELECT llm.drop_model('emb_own');
SELECT llm.load_model('x', :'bert', '{"prompts": ["query: "]}');
SELECT llm.load_model('x', :'bert', '{"prompts": {"query": 1}}');
SELECT llm.load_model('x', :'bert', '{"max_length": 0}');
SELECT llm.load_model('x', :'bert', '{"pooling": "sum"}');

-- too long: an error, or a cut that keeps the tokens at both ends
SELECT llm.embed('emb', repeat('model ', 62)) IS NOT NULL AS fits;
SELECT llm.embed('emb', repeat('model ', 63));
SELECT llm.embed('emb', repeat('model ', 63) || 'memory', '{"truncate": "error"}');
SELECT llm.embed('emb', repeat('model ', 62) || repeat('memory ', 10000), '{"truncate": "end"}') =
	llm.embed('emb', repeat('model ', 62)) AS end_is_cut,
	llm.embed('emb', repeat('memory ', 10000) || repeat('model ', 62), '{"truncate": "start"}') =
	llm.embed('emb', repeat('model ', 62)) AS start_is_cut,
	llm.embed('emb', repeat('model ', 62), '{"truncate": "start"}') =
	llm.embed('emb', repeat('model ', 62)) AS nothing_is_cut,
	llm.embed('emb', repeat('model ', 100), '{"truncate": "end", "prompt": "query"}') =
	llm.embed('emb', 'query: ' || repeat('model ', 60)) AS with_prompt;
SELECT llm.embed('emb', 'a', '{"truncate": "middle"}');
SELECT "position" FROM llm.embed_batch('emb', ARRAY['a', NULL, repeat('model ', 63)]);
SELECT llm.similarity('emb', 'a', repeat('model ', 63));

-- limits that a superuser sets
SET llm.max_context = 8;
SELECT llm.embed('emb', repeat('model ', 7));
SELECT llm.embed('emb', repeat('model ', 7), '{"truncate": "end"}') = llm.embed('emb', repeat('model ', 6)) AS cut;
SET llm.max_context = 2;
SELECT llm.embed('emb', 'model', '{"truncate": "end"}');
SELECT llm.embed('emb', '') IS NOT NULL AS empty;
RESET llm.max_context;
SET llm.max_tokens_per_call = 10;
SELECT llm.embed('emb', repeat('model ', 8)) IS NOT NULL AS fits;
SELECT llm.embed('emb', repeat('model ', 9));
SELECT count(*) FROM llm.embed_batch('emb', '{model,model,model}');
SELECT count(*) FROM llm.embed_batch('emb', '{model,model,model,model}');
SELECT llm.similarity('emb', 'model model model', 'model model model model');
RESET llm.max_tokens_per_call;

-- models that do not embed by themselves
SELECT llm.embed('emb_llama', 'the model');
SELECT count(*) FROM llm.embed_batch('emb_llama', '{a}');
SELECT llm.similarity('emb_llama', 'a', 'b');
SELECT array_length(e, 1), length(e) FROM llm.embed('emb_llama', 'the model', '{"pooling": "last"}') AS e;
SELECT llm.embed('emb_llama', '', '{"pooling": "last"}');
SELECT llm.embed('emb_llama', repeat('a', 512), '{"pooling": "mean"}') =
	llm.embed('emb_llama', repeat('a', 512) || 'b', '{"pooling": "mean", "truncate": "end"}') AS end_is_cut,
	llm.embed('emb_llama', repeat('a', 512), '{"pooling": "mean"}') =
	llm.embed('emb_llama', 'b' || repeat('a', 512), '{"pooling": "mean", "truncate": "start"}') AS start_is_cut;
SELECT capabilities, options FROM llm.load_model('emb_pooled', :'llama', '{"pooling": "last"}');
SELECT llm.embed('emb_pooled', 'the model') = llm.embed('emb_llama', 'the model', '{"pooling": "last"}') AS same,
	llm.similarity('emb_pooled', 'a b', 'a b') AS one;
SELECT llm.drop_model('emb_pooled');

-- other errors
SELECT llm.embed('no such model', 'a');
SELECT llm.embed('a', '{"dimensions": 2}');
SELECT llm.embed('emb', 'a', '{"dims": 2}');
SELECT llm.embed('emb', 'a', '{"max_tokens": 2}');
SELECT llm.embed('emb', 'a', '{"max_length": 2}');
SELECT llm.embed('emb', 'a', '[]');
SELECT llm.embed_batch('emb', '{{a,b},{c,d}}');

-- a text alone and in any batch: the same bytes, in the order of the array
CREATE TEMP TABLE txt AS
SELECT i, CASE WHEN i % 17 = 0 THEN NULL WHEN i % 5 = 0 THEN 'the same text'
	ELSE 'text ' || i || repeat(' the model', i % 27) END AS t
FROM generate_series(0, 5999) AS i;
SELECT count(*), count(embedding), count(*) FILTER (WHERE embedding IS DISTINCT FROM llm.embed('emb', t)) AS different,
	bool_and((embedding IS NULL) = (t IS NULL)) AS nulls
FROM llm.embed_batch('emb', ARRAY(SELECT t FROM txt ORDER BY i)) AS b JOIN txt ON i = b."position";
SELECT bool_and("position" = n - 1) AS ordered
FROM (SELECT "position", row_number() OVER () AS n
	FROM llm.embed_batch('emb', ARRAY(SELECT t FROM txt ORDER BY i))) AS b;
SELECT count(*) AS different FROM llm.embed_batch('emb_llama', ARRAY(SELECT t FROM txt WHERE i < 300 ORDER BY i),
	'{"pooling": "last", "dimensions": 7}') AS b
JOIN txt ON i = b."position"
WHERE embedding IS DISTINCT FROM llm.embed('emb_llama', t, '{"pooling": "last", "dimensions": 7}');
SELECT count(*) AS different FROM llm.embed_batch('emb', ARRAY[repeat('model ', 500), 'a', repeat('the ', 70)],
	'{"truncate": "end", "prompt": "query"}') AS b
WHERE embedding <> llm.embed('emb', (ARRAY[repeat('model ', 500), 'a', repeat('the ', 70)])["position" + 1],
	'{"truncate": "end", "prompt": "query"}');

-- the same on every kernel set
CREATE FUNCTION on_set(name text) RETURNS real[] LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('llm.kernel_set', name, false);
	RETURN llm.embed('emb', 'the model and the memory');
END $$;
SELECT on_set('') = on_set('reference') AND on_set('') = on_set('reference-soft') AS same;
RESET llm.kernel_set;
DROP FUNCTION on_set(text);

-- a constant call is computed once for all rows: only a computation uses the
-- weights in the cache
CREATE FUNCTION uses(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	before bigint := (SELECT hits FROM llm.stat_cache WHERE model = 'emb');
BEGIN
	EXECUTE query;
	RETURN (SELECT hits FROM llm.stat_cache WHERE model = 'emb') - before;
END $$;
SELECT uses($$SELECT count(llm.embed('emb', 'the model')) FROM generate_series(1, 1000)$$) AS constant,
	uses($$SELECT count(llm.embed('emb', 'the model ' || i / 500)) FROM generate_series(0, 999) AS i$$) AS two_texts,
	uses($$SELECT count(llm.embed('emb', 'the model ' || i % 2)) FROM generate_series(0, 999) AS i$$) AS in_turn,
	uses($$SELECT count(embedding) FROM llm.embed_batch('emb', array_fill('the model'::text, ARRAY[5000]))$$) AS batch;
DROP FUNCTION uses(text);
SELECT o, (llm.embed('emb', t, o::jsonb))[1] = (llm.embed('emb', t))[1] AS same
FROM unnest(ARRAY['a', 'a', 'b', 'b', 'a'], ARRAY[NULL, '{}', '{}', '{"prefix": "x "}', '{"prefix": ""}']) AS v(t, o);

-- rights
CREATE ROLE llm_embed_user;
SET ROLE llm_embed_user;
SELECT llm.embed('emb', 'a');
SELECT llm.embed('a');
SELECT llm.cosine_similarity('{1,2}', '{2,4}');
RESET ROLE;
SELECT llm.grant_model('emb', 'llm_embed_user');
SET ROLE llm_embed_user;
SELECT llm.embed('a') IS NOT NULL AS default_model, llm.similarity('emb', 'a', 'a') AS similarity;
RESET ROLE;
SELECT llm.revoke_model('emb', 'llm_embed_user');
DROP ROLE llm_embed_user;

-- parameters without a type, views, functions of tables
PREPARE embed_text AS SELECT llm.embed($1, $2) = llm.embed('emb', 'the model') AS same;
EXECUTE embed_text('emb', 'the model');
PREPARE embed_options AS SELECT array_length(llm.embed($1, $2, $3), 1);
EXECUTE embed_options('emb', 'the model', '{"dimensions": 3}');
PREPARE embed_array AS SELECT count(*) FROM llm.embed_batch($1, $2);
EXECUTE embed_array('emb', '{a,b}');
PREPARE alike AS SELECT llm.similarity($1, $2, $3);
EXECUTE alike('emb', 'a', 'a');
PREPARE cosine AS SELECT llm.cosine_similarity($1, $2);
EXECUTE cosine('{1,0}', '{0,1}');
DEALLOCATE ALL;
CREATE VIEW embed_view AS SELECT i, llm.embed('emb', t) AS e FROM (VALUES (1, 'a'), (2, 'b')) AS v(i, t);
SELECT i, e = llm.embed('emb', CASE i WHEN 1 THEN 'a' ELSE 'b' END) AS same FROM embed_view;
DROP VIEW embed_view;
SELECT i, array_agg("position") FROM (VALUES (1, ARRAY['a', 'b']), (2, ARRAY['c'])) AS v(i, a),
	llm.embed_batch('emb', a) GROUP BY i ORDER BY i;

-- similarity
SELECT llm.similarity('emb', 'the model', 'memory')::numeric(8, 6) = llm.cosine_similarity(llm.embed('emb', 'the model'),
	llm.embed('emb', 'memory'))::numeric(8, 6) AS same;
SELECT llm.cosine_similarity('{1,2,3}', '{2,4,6}') AS parallel, llm.cosine_similarity('{1,2}', '{-2,1}') AS right_angle,
	llm.cosine_similarity('{1,2}', '{-1,-2}') AS opposite, llm.cosine_similarity('{3}', '{-1}') AS one;
SELECT llm.cosine_similarity('{0,0}', '{1,2}') AS zero, llm.cosine_similarity('{NaN,1}', '{1,2}') AS nan,
	llm.cosine_similarity('{Infinity,1}', '{1,2}') AS infinity,
	llm.cosine_similarity('{3e38,3e38}', '{3e38,3e38}') AS large, llm.cosine_similarity('{1e-44,1e-44}', '{1e-44,0}')::numeric(8, 6) AS small;
SELECT n, abs(llm.cosine_similarity(a, b) - (SELECT sum(x::float8 * y) / sqrt(sum(x::float8 * x) * sum(y::float8 * y))
	FROM unnest(a, b) AS v(x, y))) < 1e-14 AS close
FROM generate_series(1, 9) AS n, LATERAL (SELECT array_agg(sin(i * 7)::real) AS a, array_agg(cos(i * 5 + n)::real) AS b
	FROM generate_series(1, n) AS i) AS v;
SELECT llm.cosine_similarity('{1,2}', '{1,2,3}');
SELECT llm.cosine_similarity('{1,2}', '{}');
SELECT llm.cosine_similarity('{1,NULL}', '{1,2}');
SELECT llm.cosine_similarity('{1,2}', '{{1,2},{3,4}}');
SELECT llm.cosine_similarity('[0:1]={1,2}', '{1,2}') AS other_bounds;

-- arrays as they come: toasted, compressed, expanded
CREATE TEMP TABLE vec (e real[]);
ALTER TABLE vec ALTER e SET STORAGE EXTERNAL;
INSERT INTO vec SELECT array_agg((i % 7)::real) FROM generate_series(1, 5000) AS i;
ALTER TABLE vec ALTER e SET STORAGE EXTENDED;
INSERT INTO vec SELECT array_agg((i % 7)::real) FROM generate_series(1, 5000) AS i;
SELECT llm.cosine_similarity(a.e, b.e) FROM vec AS a, vec AS b;
DO $$
DECLARE a real[] := '{}';
BEGIN
	FOR i IN 1 .. 50 LOOP a[i] := i; END LOOP;
	IF llm.cosine_similarity(a, a) <> 1 THEN RAISE EXCEPTION 'expanded'; END IF;
END $$;
SELECT provolatile, proparallel, proisstrict, proname FROM pg_proc
WHERE pronamespace = 'llm'::regnamespace AND proname IN ('embed', 'embed_batch', 'similarity', 'cosine_similarity')
ORDER BY proname, pronargs;

DROP FUNCTION length(real[]);
SELECT llm.drop_model('emb');
SELECT llm.drop_model('emb_llama');
