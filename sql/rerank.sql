--
-- How well documents answer a query
--
\getenv data LLM_TEST_DATA
\set cross :data/hf/cross-encoder
\set bert :data/hf/bert
SELECT name, capabilities FROM llm.load_model('rer', :'cross');
SELECT name, capabilities FROM llm.load_model('rer_bert', :'bert');
SET extra_float_digits = 0;

-- scores of transformers: the logit through the logistic function
CREATE FUNCTION reference(folder text, OUT pairs bigint, OUT close boolean) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM llm.load_model('ref', current_setting('llm_test.data') || '/hf/' || folder);
	SELECT count(*), max(abs(score - 1 / (1 + exp(-(t->>'logit')::float8)))) < 1e-4
	INTO pairs, close
	FROM jsonb_array_elements(pg_read_file(current_setting('llm_test.data') || '/hf-' || folder || '.json')::jsonb->'texts') AS t,
		llm.rerank('ref', t->>'text', ARRAY[t->>'second'])
	WHERE t ? 'logit';
	PERFORM llm.drop_model('ref');
END $$;
SELECT folder, r.* FROM unnest(ARRAY['cross-encoder', 'cross-roberta']) AS folder, reference(folder) AS r;
DROP FUNCTION reference(text);

-- rows in the order of the documents, NULL for NULL
SELECT "position", score IS NULL AS is_null, score > 0 AND score < 1 AS in_range
FROM llm.rerank('rer', 'the model', ARRAY['memory', NULL, '', 'the model and the memory']);
SELECT count(*) FROM llm.rerank('rer', 'the model', '{}');
SELECT count(*) FROM llm.rerank('rer', 'the model', NULL);
SELECT count(*) FROM llm.rerank('rer', NULL, '{a}');
SELECT count(*) FROM llm.rerank(NULL, 'the model', '{a}');
SELECT count(*), count(score) FROM llm.rerank('rer', '', '{NULL,NULL}');
SELECT score IS NOT NULL AS empty_query FROM llm.rerank('rer', '', '{a}');

-- query and document are not the same
SELECT a.score <> b.score AS differ
FROM llm.rerank('rer', 'the model', '{memory}') AS a, llm.rerank('rer', 'memory', '{the model}') AS b;

-- a document alone and among any others: the same bits
CREATE TEMP TABLE doc AS
SELECT i, CASE WHEN i % 17 = 0 THEN NULL WHEN i % 5 = 0 THEN 'the same text'
	ELSE 'text ' || i || repeat(' the model', i % 27) END AS t
FROM generate_series(0, 4999) AS i;
SELECT count(*), count(r.score), count(*) FILTER (WHERE r.score IS DISTINCT FROM alone.score) AS different
FROM llm.rerank('rer', 'the model', ARRAY(SELECT t FROM doc ORDER BY i)) AS r
JOIN doc ON i = "position", llm.rerank('rer', 'the model', ARRAY[t]) AS alone;
SELECT bool_and("position" = n - 1) AS ordered FROM (SELECT "position", row_number() OVER () AS n
	FROM llm.rerank('rer', 'the model', ARRAY(SELECT t FROM doc ORDER BY i))) AS r;

-- too long: the document is cut, never the query; three tokens are special
SELECT count(*) FROM llm.rerank('rer', 'model', ARRAY[repeat('memory ', 124)]);
SELECT count(*) FROM llm.rerank('rer', 'model', ARRAY['a', repeat('memory ', 125)]);
SELECT a.score = b.score AS end_is_cut
FROM llm.rerank('rer', 'model', ARRAY[repeat('memory ', 124) || repeat('the ', 1000)], '{"truncate": "end"}') AS a,
	llm.rerank('rer', 'model', ARRAY[repeat('memory ', 124)]) AS b;
SELECT a.score = b.score AS start_is_cut
FROM llm.rerank('rer', 'model', ARRAY[repeat('the ', 1000) || repeat('memory ', 124)], '{"truncate": "start"}') AS a,
	llm.rerank('rer', 'model', ARRAY[repeat('memory ', 124)]) AS b;
SELECT count(*) FROM llm.rerank('rer', repeat('model ', 125), '{a}', '{"truncate": "end"}');
SELECT count(*) FROM llm.rerank('rer', repeat('model ', 124), '{memory memory}', '{"truncate": "end"}');
SELECT name, options ? 'max_length' AS has FROM llm.load_model('rer_short', :'cross', '{"max_length": 10, "truncate": "end"}');
SELECT a.score = b.score AS cut
FROM llm.rerank('rer_short', 'the model', ARRAY[repeat('memory ', 6)]) AS a, llm.rerank('rer', 'the model', ARRAY[repeat('memory ', 5)]) AS b;
SELECT count(*) FROM llm.rerank('rer_short', 'the model', ARRAY[repeat('memory ', 6)], '{"truncate": "error"}');
SELECT llm.drop_model('rer_short');

-- limits that a superuser sets
SET llm.max_context = 10;
SELECT count(*) FROM llm.rerank('rer', 'the model', ARRAY[repeat('memory ', 6)]);
RESET llm.max_context;
SET llm.max_tokens_per_call = 10;
SELECT count(*) FROM llm.rerank('rer', 'model', '{memory,the}');
SELECT count(*) FROM llm.rerank('rer', 'model', '{memory,the,a}');
RESET llm.max_tokens_per_call;

-- errors
SELECT llm.rerank('rer_bert', 'a', '{b}');
SELECT llm.rerank('no such model', 'a', '{b}');
SELECT llm.rerank('rer', 'a', '{{b},{c}}');
SELECT llm.rerank('rer', 'a', '{b}', '{"prompt": "query"}');
SELECT llm.rerank('rer', 'a', '{b}', '{"top_n": 1}');
SELECT llm.embed('rer', 'a');
SELECT array_length(llm.embed('rer', 'a', '{"pooling": "cls"}'), 1);
SELECT llm.generate('rer', 'a');

-- parameters without a type; rows of a table
PREPARE rank_documents AS SELECT count(score) FROM llm.rerank($1, $2, $3);
EXECUTE rank_documents('rer', 'the model', '{a,b}');
PREPARE rank_options AS SELECT count(score) FROM llm.rerank($1, $2, $3, $4);
EXECUTE rank_options('rer', 'the model', '{a,b}', '{"truncate": "end"}');
DEALLOCATE ALL;
SELECT i FROM (SELECT i, t, row_number() OVER (ORDER BY i) - 1 AS n FROM doc WHERE i < 9 AND t IS NOT NULL) AS d
JOIN llm.rerank('rer', 'the model', ARRAY(SELECT t FROM doc WHERE i < 9 AND t IS NOT NULL ORDER BY i)) AS r ON r."position" = n
ORDER BY score DESC, i LIMIT 1;

-- the same on every kernel set
CREATE FUNCTION on_set(name text) RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('llm.kernel_set', name, false);
	RETURN (SELECT score FROM llm.rerank('rer', 'the model', '{the memory}'));
END $$;
SELECT on_set('') = on_set('reference') AND on_set('') = on_set('reference-soft') AS same;
RESET llm.kernel_set;
DROP FUNCTION on_set(text);
SELECT llm.drop_model('rer');
SELECT llm.drop_model('rer_bert');
