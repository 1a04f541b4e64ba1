--
-- The mathematics of transformers on arrays
--
\getenv data LLM_TEST_DATA
CREATE SCHEMA math;
SET search_path = math, public;

-- values of torch.nn.functional, rounded
CREATE FUNCTION rounded(real[], digits int DEFAULT 5) RETURNS numeric[] LANGUAGE sql AS
$$ SELECT array_agg(CASE WHEN x IN ('NaN', 'Infinity', '-Infinity') THEN x::text::numeric
	ELSE round(x::numeric, digits) END ORDER BY i) FROM unnest($1) WITH ORDINALITY AS u(x, i) $$;
CREATE FUNCTION distance(a real[], b real[]) RETURNS float8 LANGUAGE sql AS
$$ SELECT CASE WHEN array_dims(a) = array_dims(b) THEN max(abs(x::float8 - y)) END FROM unnest(a, b) AS u(x, y) $$;
SELECT rounded(llm.softmax('{1,2,3}')) AS softmax,
	rounded(llm.softmax('{1000,1001,-Infinity}')) AS large;
SELECT rounded(llm.layer_norm('{1,2,3,6}', NULL, NULL)) AS plain,
	rounded(llm.layer_norm('{1,2,3,6}', '{1,2,0.5,-1}', '{0.1,0.2,0.3,0.4}')) AS affine,
	rounded(llm.layer_norm('{1,2,3,6}', NULL, '{1,1,1,1}', 0.5)) AS eps;
SELECT rounded(llm.rms_norm('{1,2,3,6}', NULL)) AS plain,
	rounded(llm.rms_norm('{1,2,3,6}', '{1,2,0.5,-1}')) AS weighted,
	rounded(llm.rms_norm('{1,2,3,6}', NULL, 0.5)) AS eps;
SELECT rounded(llm.gelu('{-3,-1,-0.5,0,0.5,1,3}'), 4) AS gelu,
	rounded(llm.gelu('{-3,-1,-0.5,0,0.5,1,3}', 'tanh'), 4) AS tanh,
	rounded(llm.silu('{-3,-1,-0.5,0,0.5,1,3}'), 4) AS silu;
SELECT llm.matmul('{{1,2,3},{4,5,6}}', '{{1,0},{0,1},{2,-1}}'), llm.transpose('{{1,2,3},{4,5,6}}');
SELECT rounded(llm.scaled_dot_product_attention('{{1,0},{0,2}}', '{{1,0},{0,1},{1,1}}', '{{1,2},{3,4},{5,7}}')) AS attention,
	rounded(llm.scaled_dot_product_attention('{{1,0},{0,2}}', '{{1,0},{0,1},{1,1}}', '{{1,2},{3,4},{5,7}}', true)) AS causal;
SELECT round(llm.cross_entropy('{1,2,3}', 2)::numeric, 6) AS likely,
	round(llm.cross_entropy('{{1,2,3}}', 0)::numeric, 6) AS unlikely,
	round(llm.cross_entropy('{1000,0}', 1)::numeric, 6) AS large;
SELECT rounded(llm.rope('{{1,2,3,4},{1,2,3,4},{1,2,3,4}}')) AS neighbours;
SELECT rounded(llm.rope('{{1,2,3,4},{1,2,3,4}}', layout => 'halves')) AS halves,
	rounded(llm.rope('{{1,2,1,2},{1,2,1,2}}', 100, heads => 2)) AS heads;
SELECT llm.residual('{1,2}', '{10,20}'), llm.residual('{{1,2},{3,4}}', '{{10,20},{30,40}}'),
	llm.residual('{{1,2},{3,4}}', '{10,20}') AS bias, llm.residual('{{1,2},{3,4}}', '{{10,20}}') AS row;
SELECT activation, rounded(llm.feed_forward('{1,-2}', '{{1,0},{0,1},{1,1}}', '{0.5,0,0}', '{{1,1,1},{1,-1,2}}', '{0,1}', activation)) AS plain,
	rounded(llm.feed_forward('{1,-2}', '{{1,0},{0,1},{1,1}}', NULL, '{{1,1,1},{1,-1,2}}', NULL, activation, '{{2,0},{0,2},{1,0}}')) AS gated
FROM unnest(ARRAY['gelu', 'gelu_tanh', 'relu', 'silu']) AS activation;
SELECT llm.feed_forward('{{1,-2}}', '{{1,0}}', NULL, '{{1},{2},{3}}', '{{1,2,3}}', 'relu'),
	llm.feed_forward('{1,-2}', '{{1,0}}', '{1}', '{{1}}', NULL) =
	llm.feed_forward('{1,-2}', '{{1,0}}', '{1}', '{{1}}', NULL, 'gelu') AS default_is_gelu;

-- one head without projections is scaled dot-product attention
SELECT llm.multi_head_attention(x, i, i, i, i, 1, causal) = llm.scaled_dot_product_attention(x, x, x, causal) AS same
FROM (VALUES (ARRAY[[1,2],[0.5,-1],[3,1]]::real[], ARRAY[[1,0],[0,1]]::real[])) AS v(x, i), (VALUES (true), (false)) AS c(causal);
-- heads are columns; more rows than one slice has; observed 0
WITH m AS MATERIALIZED (SELECT array_agg(ARRAY[sin(i), cos(i * 3), sin(i * 7), cos(i * 11)]::real[] ORDER BY i) AS x,
	ARRAY[[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]::real[] AS one FROM generate_series(1, 1100) AS i)
SELECT causal, distance(y[:][1:2], llm.scaled_dot_product_attention(x[:][1:2], x[:][1:2], x[:][1:2], causal)) < 1e-6 AS first,
	distance(y[:][3:4], llm.scaled_dot_product_attention(x[:][3:4], x[:][3:4], x[:][3:4], causal)) < 1e-6 AS second
FROM m, (VALUES (true), (false)) AS c(causal), llm.multi_head_attention(x, one, one, one, one, 2, causal) AS y;

-- rows do not know each other, higher dimensions and bounds are kept
SELECT llm.softmax('{{1,2},{3,5}}') = ARRAY[llm.softmax('{1,2}'), llm.softmax('{3,5}')] AS softmax,
	llm.rms_norm('{{1,2},{3,5}}', '{{1,2}}') = ARRAY[llm.rms_norm('{1,2}', '{1,2}'), llm.rms_norm('{3,5}', '{1,2}')] AS rms_norm,
	llm.layer_norm('{{1,2},{3,5}}', NULL, '{{1,2}}') = ARRAY[llm.layer_norm('{1,2}', NULL, '{1,2}'), llm.layer_norm('{3,5}', NULL, '{1,2}')] AS layer_norm;
SELECT array_dims(llm.gelu('{{{1,2}},{{3,4}}}')) AS gelu, array_dims(llm.silu('[0:1]={1,2}')) AS silu,
	array_dims(llm.softmax('{{{1,2}},{{3,4}}}')) AS softmax;

-- infinity and NaN are values
SELECT llm.gelu('{-Infinity,NaN,Infinity,1e38,-1e38}') AS gelu, llm.silu('{-Infinity,NaN,Infinity,1e38,-1e38}') AS silu,
	llm.gelu('{-Infinity,NaN,Infinity}', 'tanh') AS tanh;
SELECT llm.softmax('{NaN,1}') AS nan, llm.softmax('{Infinity,1}') AS inf, llm.softmax('{-Infinity,-Infinity}') AS none,
	llm.softmax('{-Infinity,1}') AS one;
SELECT llm.layer_norm('{NaN,1}', NULL, NULL) AS layer, llm.rms_norm('{Infinity,1}', NULL) AS rms,
	llm.rms_norm('{0,0}', NULL) AS zero, llm.layer_norm('{5}', NULL, NULL) AS one;
SELECT llm.cross_entropy('{1,-Infinity}', 1) AS inf, llm.cross_entropy('{1,-Infinity}', 0) AS zero, llm.cross_entropy('{NaN,1}', 1) AS nan,
	llm.cross_entropy('{Infinity,1}', 0) AS infinite, llm.cross_entropy('{-Infinity}', 0) AS none;
SELECT llm.matmul('{{Infinity,1}}', '{{1},{1}}') AS inf, llm.matmul('{{Infinity,1}}', '{{0},{1}}') AS nan, llm.residual('{Infinity}', '{-Infinity}') AS sum;
-- keys that a query does not see do not matter, whatever their value is
SELECT llm.scaled_dot_product_attention('{{1},{1}}', '{{1},{1}}', '{{3},{NaN}}', true) AS value,
	llm.scaled_dot_product_attention('{{1},{1}}', '{{1},{Infinity}}', '{{3},{4}}', true) AS key;

-- empty arrays are no rows
SELECT llm.softmax('{}') AS softmax, llm.gelu('{}') AS gelu, llm.silu('{}') AS silu, llm.layer_norm('{}', '{1}', NULL) AS layer,
	llm.rms_norm('{}', NULL) AS rms, llm.matmul('{}', '{{1}}') AS matmul, llm.transpose('{}') AS transpose, llm.rope('{}') AS rope,
	llm.residual('{}', '{}') AS residual, llm.scaled_dot_product_attention('{}', '{{1}}', '{{1}}') AS attention,
	llm.feed_forward('{}', '{{1}}', NULL, '{{1}}', NULL) AS feed_forward,
	llm.multi_head_attention('{}', '{{1}}', '{{1}}', '{{1}}', '{{1}}', 1, true) AS multi_head;

-- NULL: none where it says so, else the result is NULL
SELECT num_nulls(llm.softmax(NULL), llm.gelu(NULL), llm.gelu('{1}', NULL), llm.silu(NULL), llm.matmul(NULL, '{{1}}'), llm.transpose(NULL),
	llm.rope(NULL), llm.residual('{1}', NULL), llm.cross_entropy('{1}', NULL), llm.layer_norm(NULL, NULL, NULL),
	llm.layer_norm('{1}', NULL, NULL, NULL), llm.rms_norm('{1}', NULL, NULL), llm.scaled_dot_product_attention('{{1}}', '{{1}}', NULL),
	llm.feed_forward('{1}', NULL, NULL, '{{1}}', NULL), llm.feed_forward('{1}', '{{1}}', NULL, '{{1}}', NULL, NULL),
	llm.multi_head_attention('{{1}}', '{{1}}', NULL, '{{1}}', '{{1}}', 1, true),
	llm.multi_head_attention('{{1}}', '{{1}}', '{{1}}', '{{1}}', '{{1}}', 1, NULL)) AS nulls;
SELECT llm.softmax('{1,NULL}');
SELECT llm.layer_norm('{1,2}', '{1,NULL}', NULL);
SELECT llm.matmul('{{1,2}}', '{{1},{NULL}}');
SELECT llm.cross_entropy('{1,NULL}', 0);

-- what does not fit
SELECT llm.layer_norm('{1,2,3}', '{1,2}', NULL);
SELECT llm.layer_norm('{1,2,3}', NULL, '{}');
SELECT llm.rms_norm('{{1,2},{3,4}}', '{{1,2},{3,4}}');
SELECT llm.rms_norm('{1}', '{{{1}}}');
SELECT llm.rms_norm('{1}', NULL, -1);
SELECT llm.layer_norm('{1}', NULL, NULL, 'NaN');
SELECT llm.gelu('{1}', 'exact');
SELECT llm.matmul('{{1,2,3}}', '{{1,2},{3,4}}');
SELECT llm.matmul('{1,2,3}', '{{1},{2},{3}}');
SELECT llm.matmul('{{1}}', '{{{1}}}');
SELECT llm.matmul('{{1}}', '{}');
SELECT llm.transpose('{1,2}');
SELECT llm.residual('{1,2}', '{1,2,3}');
SELECT llm.residual('{{1,2},{3,4}}', '{{1,2},{3,4},{5,6}}');
SELECT llm.residual('{1,2}', '{}');
SELECT llm.scaled_dot_product_attention('{{1,2}}', '{{1,2,3}}', '{{1}}');
SELECT llm.scaled_dot_product_attention('{{1,2}}', '{{1,2}}', '{{1},{2}}');
SELECT llm.scaled_dot_product_attention('{{1,2}}', '{{1,2}}', '{}');
SELECT llm.cross_entropy('{1,2,3}', 3);
SELECT llm.cross_entropy('{1,2,3}', -1);
SELECT llm.cross_entropy('{}', 0);
SELECT llm.cross_entropy('{{1},{2}}', 0);
SELECT llm.rope('{{1,2,3}}');
SELECT llm.rope('{{1,2,3,4}}', heads => 4);
SELECT llm.rope('{{1,2,3,4}}', heads => 3);
SELECT llm.rope('{{1,2}}', heads => 0);
SELECT llm.rope('{{1,2}}', 0);
SELECT llm.rope('{{1,2}}', layout => 'pairs');
SELECT llm.rope('{1,2}');
SELECT llm.feed_forward('{1,2,3}', '{{1,2}}', NULL, '{{1}}', NULL);
SELECT llm.feed_forward('{1,2}', '{{1,2}}', '{1,2}', '{{1}}', NULL);
SELECT llm.feed_forward('{1,2}', '{{1,2}}', NULL, '{{1,2}}', NULL);
SELECT llm.feed_forward('{1,2}', '{{1,2}}', NULL, '{{1}}', '{1,2}');
SELECT llm.feed_forward('{1,2}', '{{1,2}}', NULL, '{{1}}', NULL, 'tanh');
SELECT llm.feed_forward('{1,2}', '{{1,2}}', NULL, '{{1}}', NULL, 'silu', '{{1,2},{3,4}}');
SELECT llm.feed_forward('{1,2}', '{{1,2}}', NULL, '{{1}}', NULL, 'silu', '{{1}}');
CREATE FUNCTION heads(wq int, wk int, wv int, wo int, heads int, bk int DEFAULT NULL, base real DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
SELECT array_dims(llm.multi_head_attention(array_fill(1, ARRAY[2, 4])::real[], array_fill(1, ARRAY[wq, 4])::real[], array_fill(1, ARRAY[wk, 4])::real[],
	array_fill(1, ARRAY[wv, 4])::real[], array_fill(1, ARRAY[5, wo])::real[], heads, false, bk => CASE WHEN bk > 0 THEN array_fill(1, ARRAY[bk])::real[] END, rope_base => base)) $$;
SELECT heads(8, 8, 8, 8, 4), heads(8, 4, 6, 12, 4, bk => 4) AS shared, heads(8, 2, 1, 4, 4, base => 100) AS one;
SELECT heads(8, 8, 8, 8, 3);
SELECT heads(8, 8, 8, 8, 0);
SELECT heads(8, 3, 8, 8, 4);
SELECT heads(8, 6, 6, 8, 4);
SELECT heads(8, 4, 5, 8, 4);
SELECT heads(8, 4, 4, 9, 4);
SELECT heads(8, 8, 8, 8, 4, bk => 7);
SELECT heads(8, 8, 8, 8, 8, base => 10000);
SELECT llm.multi_head_attention('{{1,2}}', '{{1}}', '{{1}}', '{{1}}', '{{1}}', 1, false);
SELECT llm.matmul(array_fill(0, ARRAY[20000, 1])::real[], array_fill(0, ARRAY[1, 20000])::real[]);

-- literals without a type are a model and a text, a number means logits
SELECT llm.cross_entropy('{0,0}', 0) = ln(2::float8) AS number, llm.cross_entropy('{0,0}'::real[], '0') = ln(2::float8) AS literal,
	llm.cross_entropy(ARRAY[0, 0], 1) = ln(2::float8) AS whole, llm.cross_entropy(ARRAY[0.0, 0.0], 1) = ln(2::float8) AS decimal;
SELECT llm.cross_entropy('nobody', 'text');
PREPARE text_loss AS SELECT llm.cross_entropy($1, $2);
EXECUTE text_loss('nobody', 'text');
DEALLOCATE text_loss;
PREPARE loss AS SELECT llm.cross_entropy($1::real[], $2) = ln(2::float8) AS prepared;
EXECUTE loss('{0,0}', 0);
DEALLOCATE loss;

-- a product is the sum of products: random matrices of many shapes; observed 5e-8
CREATE FUNCTION random_matrix(n int, k int) RETURNS real[] LANGUAGE sql VOLATILE AS
$$ SELECT array_agg(row ORDER BY i) FROM (SELECT i, array_agg((random() * 2 - 1)::real ORDER BY j) AS row
	FROM generate_series(1, n) AS i, generate_series(1, k) AS j GROUP BY i) AS r $$;
CREATE FUNCTION product(a real[], b real[]) RETURNS real[] LANGUAGE sql AS
$$ SELECT array_agg(row ORDER BY i) FROM (SELECT i, array_agg(x ORDER BY j) AS row
	FROM (SELECT i, j, sum(a[i][k]::float8 * b[k][j])::real AS x
		FROM generate_series(1, array_length(a, 1)) AS i, generate_series(1, array_length(b, 2)) AS j,
		generate_series(1, array_length(b, 1)) AS k GROUP BY i, j) AS p GROUP BY i) AS r $$;
SELECT setseed(0.5);
SELECT count(*) AS shapes, max(distance(llm.matmul(a, b), product(a, b)) / k) < 1e-6 AS close,
	bool_and(llm.transpose(llm.transpose(a)) = a) AS transposed
FROM (SELECT k, random_matrix(n, k) AS a, random_matrix(k, m) AS b
	FROM (VALUES (1, 1, 1), (1, 7, 5), (6, 1, 4), (5, 9, 1), (17, 33, 31), (3, 700, 2), (40, 5, 60)) AS s(n, k, m)) AS r;
-- tiles: larger than 512 each way; observed 1.8e-5, and 1.2e-7
WITH m AS MATERIALIZED (SELECT random_matrix(530, 2) AS a, random_matrix(2, 530) AS b, random_matrix(530, 530) AS c)
SELECT distance(llm.matmul(c, llm.matmul(a, b)), llm.matmul(llm.matmul(c, a), b)) < 1e-4 AS associative,
	distance(llm.matmul(c, a), llm.transpose(llm.matmul(llm.transpose(a), llm.transpose(c)))) < 1e-4 AS transposed,
	distance(llm.matmul(a, b), product(a, b)) < 1e-6 AS close FROM m;

-- attention by its formula, in slices of several sizes, with and without a mask; observed 6e-8
CREATE FUNCTION attention_row(q real[], k real[], v real[], i int, n int) RETURNS real[] LANGUAGE sql AS
$$ SELECT llm.matmul(ARRAY[llm.softmax((SELECT array_agg((s / sqrt(array_length(q, 2)))::real ORDER BY j)
	FROM unnest(llm.matmul(q[i:i], llm.transpose(k[1:n]))) WITH ORDINALITY AS u(s, j)))], v[1:n]) $$;
WITH m AS MATERIALIZED (SELECT random_matrix(n, 6) AS q, random_matrix(k, 6) AS k, random_matrix(k, 3) AS v, n, k AS keys
	FROM (VALUES (1, 1), (5, 9), (9, 5), (600, 20), (20, 600)) AS s(n, k))
SELECT n, keys, causal, max(distance((llm.scaled_dot_product_attention(q, k, v, causal))[i:i],
	attention_row(q, k, v, i, CASE WHEN causal THEN least(i, keys) ELSE keys END))) < 1e-6 AS close
FROM m, unnest(ARRAY[true, false]) AS causal, generate_series(1, n, greatest(1, n / 10)) AS i GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- models in SQL, against transformers: every step is an expression
CREATE FUNCTION json_matrix(jsonb) RETURNS real[] LANGUAGE sql IMMUTABLE AS $$ SELECT translate($1::text, '[]', '{}')::real[] $$;
CREATE FUNCTION reference(file text) RETURNS jsonb LANGUAGE sql AS
$$ SELECT pg_read_file(current_setting('llm_test.data') || '/' || file || '.json')::jsonb $$;
CREATE FUNCTION t(tensor text, first_row int DEFAULT 0, row_count int DEFAULT NULL) RETURNS real[] LANGUAGE sql AS
$$ SELECT llm.tensor(current_setting('math.model'), tensor, first_row, row_count) $$;
CREATE AGGREGATE stacked(real[]) (SFUNC = array_cat, STYPE = real[]);
CREATE FUNCTION embedding(ids int[]) RETURNS real[] LANGUAGE sql AS
$$ SELECT stacked(t('token_embd.weight', id, 1) ORDER BY i) FROM unnest(ids) WITH ORDINALITY AS u(id, i) $$;
\set gpt2 :data/tiny-gpt2.gguf
\set llama :data/tiny-llama.gguf
\set qwen2 :data/tiny-qwen2.gguf
\set bert :data/hf/bert
SELECT g.name, l.name, q.name, b.name FROM llm.load_model('math_gpt2', :'gpt2') AS g, llm.load_model('math_llama', :'llama') AS l,
	llm.load_model('math_qwen2', :'qwen2') AS q, llm.load_model('math_bert', :'bert') AS b;

CREATE FUNCTION gpt2_block(x real[], blk text) RETURNS real[] LANGUAGE sql AS $$
WITH a AS (SELECT llm.residual(x, llm.multi_head_attention(llm.layer_norm(x, t(blk || 'attn_norm.weight'), t(blk || 'attn_norm.bias')),
		t(blk || 'attn_qkv.weight', 0, 32), t(blk || 'attn_qkv.weight', 32, 32), t(blk || 'attn_qkv.weight', 64), t(blk || 'attn_output.weight'),
		2, true, b[:][1:32], b[:][33:64], b[:][65:96], t(blk || 'attn_output.bias'))) AS x
	FROM t(blk || 'attn_qkv.bias') AS b)
SELECT llm.residual(a.x, llm.feed_forward(llm.layer_norm(a.x, t(blk || 'ffn_norm.weight'), t(blk || 'ffn_norm.bias')),
	t(blk || 'ffn_up.weight'), t(blk || 'ffn_up.bias'), t(blk || 'ffn_down.weight'), t(blk || 'ffn_down.bias'), 'gelu_tanh')) FROM a $$;
CREATE FUNCTION llama_block(x real[], blk text) RETURNS real[] LANGUAGE sql AS $$
WITH a AS (SELECT llm.residual(x, llm.multi_head_attention(llm.rms_norm(x, t(blk || 'attn_norm.weight')),
	t(blk || 'attn_q.weight'), t(blk || 'attn_k.weight'), t(blk || 'attn_v.weight'), t(blk || 'attn_output.weight'), 4, true, rope_base => 100000)) AS x)
SELECT llm.residual(a.x, llm.feed_forward(llm.rms_norm(a.x, t(blk || 'ffn_norm.weight')),
	t(blk || 'ffn_gate.weight'), NULL, t(blk || 'ffn_down.weight'), NULL, 'silu', t(blk || 'ffn_up.weight'))) FROM a $$;
CREATE FUNCTION qwen2_block(x real[], blk text) RETURNS real[] LANGUAGE sql AS $$
WITH a AS (SELECT llm.residual(x, llm.multi_head_attention(llm.rms_norm(x, t(blk || 'attn_norm.weight'), 1e-6),
	t(blk || 'attn_q.weight'), t(blk || 'attn_k.weight'), t(blk || 'attn_v.weight'), t(blk || 'attn_output.weight'), 3, true,
	t(blk || 'attn_q.bias'), t(blk || 'attn_k.bias'), t(blk || 'attn_v.bias'), rope_base => 1e6, rope_layout => 'halves')) AS x)
SELECT llm.residual(a.x, llm.feed_forward(llm.rms_norm(a.x, t(blk || 'ffn_norm.weight'), 1e-6),
	t(blk || 'ffn_gate.weight'), NULL, t(blk || 'ffn_down.weight'), NULL, 'silu', t(blk || 'ffn_up.weight'))) FROM a $$;
CREATE FUNCTION bert_block(x real[], blk text) RETURNS real[] LANGUAGE sql AS $$
WITH a AS (SELECT llm.layer_norm(llm.residual(x, llm.multi_head_attention(x, t(blk || 'attn_q.weight'), t(blk || 'attn_k.weight'),
	t(blk || 'attn_v.weight'), t(blk || 'attn_output.weight'), 2, false, t(blk || 'attn_q.bias'), t(blk || 'attn_k.bias'), t(blk || 'attn_v.bias'),
	t(blk || 'attn_output.bias'))), t(blk || 'attn_output_norm.weight'), t(blk || 'attn_output_norm.bias'), 1e-12) AS x)
SELECT llm.layer_norm(llm.residual(a.x, llm.feed_forward(a.x, t(blk || 'ffn_up.weight'), t(blk || 'ffn_up.bias'), t(blk || 'ffn_down.weight'), t(blk || 'ffn_down.bias'))),
	t(blk || 'layer_output_norm.weight'), t(blk || 'layer_output_norm.bias'), 1e-12) FROM a $$;

-- the residual stream: x the embedding, y and z after the blocks, normed at the end
CREATE FUNCTION gpt2_states(ids int[], OUT x real[], OUT y real[], OUT z real[], OUT normed real[]) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL math.model = 'math_gpt2';
	x := llm.residual(embedding(ids), t('position_embd.weight', 0, cardinality(ids)));
	y := gpt2_block(x, 'blk.0.');
	z := gpt2_block(y, 'blk.1.');
	normed := llm.layer_norm(z, t('output_norm.weight'), t('output_norm.bias'));
END $$;
CREATE FUNCTION llama_states(ids int[], OUT x real[], OUT y real[], OUT z real[], OUT normed real[]) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL math.model = 'math_llama';
	x := embedding(ids);
	y := llama_block(x, 'blk.0.');
	z := llama_block(y, 'blk.1.');
	normed := llm.rms_norm(z, t('output_norm.weight'));
END $$;
CREATE FUNCTION qwen2_states(ids int[], OUT x real[], OUT y real[], OUT z real[], OUT normed real[]) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL math.model = 'math_qwen2';
	x := embedding(ids);
	y := qwen2_block(x, 'blk.0.');
	z := qwen2_block(y, 'blk.1.');
	normed := llm.rms_norm(z, t('output_norm.weight'), 1e-6);
END $$;
CREATE FUNCTION bert_states(ids int[], OUT x real[], OUT y real[], OUT z real[]) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL math.model = 'math_bert';
	x := llm.residual(llm.residual(embedding(ids), t('position_embd.weight', 0, cardinality(ids))), t('token_types.weight', 0, 1));
	x := llm.layer_norm(x, t('token_embd_norm.weight'), t('token_embd_norm.bias'), 1e-12);
	y := bert_block(x, 'blk.0.');
	z := bert_block(y, 'blk.1.');
END $$;
CREATE FUNCTION ids(jsonb) RETURNS int[] LANGUAGE sql AS $$ SELECT translate($1->>'ids', '[]', '{}')::int[] $$;

-- observed 1.2e-5 in states up to 10, and 1.8e-6 behind a norm
SELECT model, cardinality(ids(r)) AS tokens, distance(x, json_matrix(h->0)) < 1e-6 AS embedding, distance(y, json_matrix(h->1)) < 1e-5 AS block_0,
	distance(z, json_matrix(r->'last_block')) < 1e-4 AS block_1, distance(normed, json_matrix(h->2)) < 1e-5 AS normed
FROM (SELECT 'gpt2' AS model, r, s.* FROM reference('tiny-gpt2-inside') AS r, gpt2_states(ids(r)) AS s
	UNION ALL SELECT 'llama', r, s.* FROM reference('tiny-llama-inside') AS r, llama_states(ids(r)) AS s
	UNION ALL SELECT 'qwen2', r, s.* FROM reference('tiny-qwen2-inside') AS r, qwen2_states(ids(r)) AS s) AS m,
	LATERAL (SELECT r->'hidden_states' AS h) AS s;
SELECT count(*) AS texts, count(*) FILTER (WHERE cardinality(ids(text)) = jsonb_array_length(text->'rows')) AS whole,
	max(distance(json_matrix(text->'hidden'), (SELECT stacked(z[row::int + 1:row::int + 1] ORDER BY i)
	FROM jsonb_array_elements_text(text->'rows') WITH ORDINALITY AS u(row, i)))) < 1e-5 AS close
FROM jsonb_array_elements(reference('hf-bert')->'texts') AS text, bert_states(ids(text)) WHERE text ? 'hidden';

-- and the probabilities of llm.next_token(): observed 1.4e-6 and, of the losses, 1.7e-5
CREATE FUNCTION logits(normed real[]) RETURNS real[] LANGUAGE sql AS
$$ SELECT llm.matmul(normed[array_length(normed, 1):array_length(normed, 1)], llm.transpose(t('token_embd.weight'))) $$;
SELECT model, count(*) AS tokens, max(abs(probability - p[1][token_id + 1])) < 1e-5 AS probabilities,
	max(abs(logprob + llm.cross_entropy(l, token_id))) < 1e-4 AS losses
FROM (SELECT 'math_gpt2' AS model, logits(normed) AS l FROM gpt2_states(llm.tokenize('math_gpt2', 'Once upon a time'))
	UNION ALL SELECT 'math_llama', logits(normed) FROM llama_states(llm.tokenize('math_llama', 'Once upon a time'))
	UNION ALL SELECT 'math_qwen2', logits(normed) FROM qwen2_states(llm.tokenize('math_qwen2', 'Once upon a time'))) AS m,
	LATERAL (SELECT llm.softmax(l) AS p) AS s, llm.next_token(model, 'Once upon a time', 1000) GROUP BY model ORDER BY model;

-- softmax is the models' own, to the bit
SELECT count(*) AS queries, bool_and(llm.softmax(scores) = weights) AS same
FROM (SELECT array_agg(score ORDER BY key) AS scores, array_agg(weight ORDER BY key) AS weights
	FROM llm.attention('math_gpt2', 'The quick brown fox jumps') GROUP BY layer, head, query) AS a;

-- softmax, norms and activations are the kernels of models, all sets of them
CREATE FUNCTION all_functions() RETURNS text LANGUAGE sql AS $$
SELECT md5(string_agg((llm.softmax(x) || llm.gelu(x) || llm.gelu(x, 'tanh') || llm.silu(x) || llm.rms_norm(x, x) || llm.layer_norm(x, x, x))::text, ' ' ORDER BY n))
FROM (SELECT n, array_agg((sin(n * 37 + i) * 10)::real ORDER BY i) || '{-Infinity,-90,90}'::real[] AS x
	FROM generate_series(1, 40) AS n, generate_series(1, n) AS i GROUP BY n) AS v $$;
CREATE FUNCTION with_kernels(name text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('llm.kernel_set', name, true);
	RETURN all_functions();
END $$;
SELECT count(DISTINCT with_kernels(kernels)) AS results
FROM llm.system_info() AS i, regexp_split_to_table(value, ', ') AS kernels WHERE i.name = 'instruction_sets';
RESET llm.kernel_set;

SELECT llm.drop_model('math_gpt2'), llm.drop_model('math_llama'), llm.drop_model('math_qwen2'), llm.drop_model('math_bert');
RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA math CASCADE;
RESET client_min_messages;
