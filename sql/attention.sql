--
-- What tokens attend to
--
\getenv data LLM_TEST_DATA
\set llama :data/tiny-llama.gguf
\set bert :data/hf/bert
\set gemma :data/hf/gemma3
\set modern :data/hf/modern-bert
SELECT name FROM llm.load_model('att', :'llama');
SELECT name FROM llm.load_model('att_bert', :'bert');
SELECT name FROM llm.load_model('att_gemma', :'gemma');
SELECT name FROM llm.load_model('att_modern', :'modern');
SET extra_float_digits = 0;
SET jit = off;

-- weights of transformers, decoders and encoders, with windows and without
-- (largest difference seen: 2.5e-6, modern-bert); all f32, so that keys and
-- values are kept as f32; a text to embed with qwen3 has an end, a prompt has
-- none
CREATE FUNCTION reference(folder text, OUT layers bigint, OUT weights bigint, OUT close boolean, OUT unseen_are_0 boolean)
LANGUAGE sql AS $$
WITH file AS (SELECT pg_read_file(current_setting('llm_test.data') || '/hf-' || folder || '.json')::jsonb AS j),
wanted AS (SELECT l.key::int AS layer, h.n - 1 AS head, q.n - 1 AS query, k.n - 1 AS key, k.v::float8 AS weight
	FROM file, jsonb_each(j->'attention'->'layers') AS l, jsonb_array_elements(l.value) WITH ORDINALITY AS h(v, n),
		jsonb_array_elements(h.v) WITH ORDINALITY AS q(v, n), jsonb_array_elements_text(q.v) WITH ORDINALITY AS k(v, n)),
attention AS (SELECT a.* FROM file, llm.attention('ref', j->'texts'->(j->'attention'->>'text')::int->>'text') AS a)
SELECT count(DISTINCT layer), count(*), max(abs(w.weight - coalesce(a.weight, 0))) < 1e-5,
	coalesce(max(w.weight) FILTER (WHERE a.weight IS NULL), 0) = 0
FROM wanted AS w LEFT JOIN attention AS a USING (layer, head, query, key)
WHERE query <= (SELECT max(query) FROM attention)
$$;
CREATE FUNCTION compared(folder text, OUT layers bigint, OUT weights bigint, OUT close boolean, OUT unseen_are_0 boolean)
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM llm.load_model('ref', current_setting('llm_test.data') || '/hf/' || folder, '{"quantization": "f32"}');
	SELECT * INTO layers, weights, close, unseen_are_0 FROM reference(folder);
	PERFORM llm.drop_model('ref');
END $$;
SELECT folder, c.* FROM unnest(ARRAY['llama', 'qwen2', 'qwen3', 'gpt2', 'gemma', 'gemma2', 'gemma3', 'bert',
	'bert-cls-dense', 'distilbert', 'roberta', 'xlm-roberta', 'nomic-bert', 'modern-bert', 'gemma-embedding']) AS folder,
	compared(folder) AS c;
DROP FUNCTION compared(text), reference(text);

-- rows: tokens, and only what a query sees
SELECT layer, head, query, query_token, key, key_token, round(score::numeric, 3) AS score, round(weight::numeric, 3) AS weight
FROM llm.attention('att', 'the model') WHERE layer = 1 AND head = 2;
SELECT query, query_token, key, key_token, round(weight::numeric, 3) AS weight
FROM llm.attention('att_bert', 'the model', 1, 0);
SELECT count(*), bool_and(a.query_token = q.token AND a.key_token = k.token) AS tokens
FROM llm.attention('att', 'é日 <|im_end|>') AS a
JOIN llm.tokens('att', 'é日 <|im_end|>') AS q ON q."position" = query
JOIN llm.tokens('att', 'é日 <|im_end|>') AS k ON k."position" = key;

-- of a text that is longer than a chunk of rows
CREATE TEMP TABLE long AS SELECT repeat('the model sees ', 16) AS t;
CREATE TEMP TABLE att AS
SELECT m.model, a.* FROM (VALUES ('att'), ('att_bert'), ('att_gemma'), ('att_modern')) AS m(model), long,
	llm.attention(m.model, CASE m.model WHEN 'att_bert' THEN left(t, 150) ELSE t END) WITH ORDINALITY AS a;
ANALYZE att;
SELECT model, max(query) + 1 AS n, max(layer) + 1 AS layers, max(head) + 1 AS heads, count(*)
FROM att GROUP BY model ORDER BY model;
-- windows of 8: to one side (global layers of gemma3: the sixth), to both (of modern-bert: each third)
SELECT model, layer, min(key - query), max(key - query), count(*) / count(DISTINCT head) AS per_head
FROM att WHERE model IN ('att_gemma', 'att_modern') GROUP BY model, layer ORDER BY model, layer;
-- ordered, and each row once
SELECT model, bool_and(ordinality = place) AS ordered
FROM (SELECT model, ordinality, row_number() OVER (PARTITION BY model ORDER BY layer, head, query, key) AS place FROM att) AS a
GROUP BY model ORDER BY model;
SELECT count(*) = count(DISTINCT (model, layer, head, query, key)) AS once FROM att;
-- weights are the softmax of scores (largest difference seen: 2.7e-7)
SELECT model, bool_and(abs(sum - 1) < 2e-6) AS sum_to_1
FROM (SELECT model, sum(weight::float8) FROM att GROUP BY model, layer, head, query) AS a GROUP BY model ORDER BY model;
SELECT model, max(abs(weight - softmax)) < 2e-6 AS softmax
FROM (SELECT model, weight, exp(score::float8 - max(score) OVER row) / sum(exp(score::float8)) OVER row *
		exp(max(score) OVER row) AS softmax FROM att WINDOW row AS (PARTITION BY model, layer, head, query)) AS a
GROUP BY model ORDER BY model;

-- one layer, one head: the same rows, though the pass ends early
SELECT model, layer, head, bool_and(same) AS same
FROM (VALUES ('att', 0, NULL), ('att', 1, NULL), ('att', NULL, 3), ('att_gemma', 2, 1), ('att_gemma', 5, NULL),
	('att_modern', 4, 0), ('att_modern', NULL, 1), ('att_bert', 1, 1)) AS v(model, layer, head), long,
	LATERAL (SELECT ROW(a.*) IS NOT DISTINCT FROM ROW(b.*) AS same FROM
		(SELECT a.layer, a.head, query, query_token, key, key_token, score, weight FROM att AS a
		WHERE a.model = v.model AND a.layer = coalesce(v.layer, a.layer) AND a.head = coalesce(v.head, a.head)) AS a
		FULL JOIN llm.attention(v.model, CASE v.model WHEN 'att_bert' THEN left(t, 150) ELSE t END, v.layer, v.head) AS b
		USING (layer, head, query, key)) AS c
GROUP BY model, layer, head ORDER BY model, layer, head;

-- as a matrix
SELECT llm.attention_matrix('att', 'a', 1, 0);
SELECT v.model, array_dims(m) AS dims, m = (SELECT array_agg(cells ORDER BY i)
	FROM (SELECT i, array_agg(coalesce(weight, 0::real) ORDER BY j) AS cells
		FROM generate_series(0, array_length(m, 1) - 1) AS i CROSS JOIN generate_series(0, array_length(m, 1) - 1) AS j
		LEFT JOIN (SELECT * FROM att AS a WHERE a.model = v.model AND layer = 1 AND head = 1) AS a ON query = i AND key = j
		GROUP BY i) AS rows) AS same
FROM (VALUES ('att'), ('att_gemma'), ('att_modern')) AS v(model), long, llm.attention_matrix(v.model, t, 1, 1) AS m
ORDER BY v.model;

-- what each head looks at
SELECT layer, head, round(entropy::numeric, 4) AS entropy, round(previous_token::numeric, 4) AS previous_token,
	round(first_token::numeric, 4) AS first_token, round(self::numeric, 4) AS self, max_key_token
FROM llm.attention_heads('att', 'the model sees');
-- a single token: nothing is before it
SELECT * FROM llm.attention_heads('att', 'a') WHERE layer = 1 AND head = 0;
CREATE FUNCTION averages(text, OUT layer int, OUT head int, OUT entropy float8, OUT previous_token float8,
	OUT first_token float8, OUT self float8, OUT max_key_token text) RETURNS SETOF record LANGUAGE sql AS $$
SELECT layer, head, -sum(CASE WHEN weight > 0 THEN weight * ln(weight::float8) ELSE 0 END) / n,
	coalesce(sum(weight::float8) FILTER (WHERE key = query - 1), 0) / (n - 1),
	coalesce(sum(weight::float8) FILTER (WHERE key = 0 AND query > 0), 0) / (n - 1),
	sum(weight::float8) FILTER (WHERE key = query) / n,
	(SELECT key_token FROM att AS k WHERE k.model = $1 AND k.layer = a.layer AND k.head = a.head AND key > 0
		GROUP BY key, key_token ORDER BY avg(weight::float8) DESC, key LIMIT 1)
FROM att AS a, (SELECT max(query) + 1 AS n FROM att WHERE model = $1) AS n
WHERE model = $1 GROUP BY layer, head, n
$$;
-- (largest difference of entropies seen: 7.2e-9)
SELECT model, count(*) AS heads, max(abs(a.entropy - h.entropy)) < 1e-7 AS entropy,
	max(abs(a.previous_token - h.previous_token)) < 1e-12 AS previous_token,
	max(abs(a.first_token - h.first_token)) < 1e-12 AS first_token, max(abs(a.self - h.self)) < 1e-12 AS self,
	bool_and(a.max_key_token = h.max_key_token) AS max_key_token
FROM unnest(ARRAY['att', 'att_gemma', 'att_modern']) AS model, long, averages(model) AS a
	JOIN LATERAL (SELECT * FROM llm.attention_heads(model, t)) AS h USING (layer, head)
GROUP BY model ORDER BY model;
DROP FUNCTION averages(text);
DROP TABLE att, long;

-- empty texts: what begins them
SELECT query_token, key_token, weight FROM llm.attention('att_gemma', '', 0, 0);
SELECT count(*) FROM llm.attention('att_bert', '', 0, 0);

-- NULL
SELECT count(*) FROM llm.attention(NULL, 'a');
SELECT count(*) FROM llm.attention('att', NULL);
SELECT count(*) FROM llm.attention_heads('att', NULL);
SELECT count(*) FROM llm.attention_heads(NULL, 'a');
SELECT llm.attention_matrix(NULL, 'a', 0, 0) IS NULL AS a, llm.attention_matrix('att', NULL, 0, 0) IS NULL AS b,
	llm.attention_matrix('att', 'a', NULL, 0) IS NULL AS c, llm.attention_matrix('att', 'a', 0, NULL) IS NULL AS d;

-- errors
SELECT * FROM llm.attention('att', 'a', 2);
SELECT * FROM llm.attention('att', 'a', -1);
SELECT * FROM llm.attention('att', 'a', 0, 4);
SELECT * FROM llm.attention('att', 'a', head => -1);
SELECT llm.attention_matrix('att', 'a', 2, 0);
SELECT llm.attention_matrix('att', 'a', 0, 4);
SELECT * FROM llm.attention('att', repeat('the ', 1000));
SELECT * FROM llm.attention('no such model', 'a');
SELECT * FROM llm.attention_heads('no such model', 'a');

-- one call site, many texts; in the list of columns
SELECT t, count(*) FROM unnest(ARRAY['a', 'the model', NULL, 'é']) AS t LEFT JOIN LATERAL llm.attention('att', t, 0, 0) ON true
GROUP BY t ORDER BY t COLLATE "C";
SELECT (llm.attention('att', 'a', 0, 0)).weight;

-- rights
CREATE ROLE llm_attention_user;
SET ROLE llm_attention_user;
SELECT count(*) FROM llm.attention('att', 'a');
RESET ROLE;
SELECT llm.grant_model('att', 'llm_attention_user');
SET ROLE llm_attention_user;
SELECT count(*) > 0 AS rows, (SELECT count(*) > 0 FROM llm.attention_heads('att', 'a')) AS heads
FROM llm.attention('att', 'a');
RESET ROLE;
SELECT llm.revoke_model('att', 'llm_attention_user');
DROP ROLE llm_attention_user;

SELECT provolatile, proparallel, proisstrict, procost, prorows, proname FROM pg_proc
WHERE pronamespace = 'llm'::regnamespace AND proname IN ('attention', 'attention_matrix', 'attention_heads') ORDER BY proname;

SELECT llm.drop_model(name) FROM unnest(ARRAY['att', 'att_bert', 'att_gemma', 'att_modern']) AS name;
