--
-- States, norms, projections, neurons and contributions
--
\getenv data LLM_TEST_DATA
\set llama :data/tiny-llama.gguf
\set mixed :data/tiny-mixed-1.gguf
\set bert :data/hf/bert
\set gpt2 :data/hf/gpt2
\set gemma2 :data/hf/gemma2
\set odd :data/tiny-llama-odd.gguf
\set qwen3 :data/tiny-qwen3.gguf
SELECT name FROM llm.load_model('in_llama', :'llama');
SELECT name FROM llm.load_model('in_mixed', :'mixed');
SELECT name FROM llm.load_model('in_bert', :'bert');
SELECT name FROM llm.load_model('in_gpt2', :'gpt2');
SELECT name FROM llm.load_model('in_gemma2', :'gemma2');
SELECT name FROM llm.load_model('in_odd', :'odd');
SELECT name FROM llm.load_model('in_qwen3', :'qwen3');

CREATE FUNCTION norm(real[]) RETURNS float8 LANGUAGE sql AS $$ SELECT sqrt(sum(x::float8 * x)) FROM unnest($1) AS x $$;
CREATE FUNCTION dot(real[], real[]) RETURNS float8 LANGUAGE sql AS $$ SELECT sum(a::float8 * b) FROM unnest($1, $2) AS v(a, b) $$;

-- states are those of transformers; llama's weights are bf16, its keys and
-- values f16 (observed: 0.0048; the others: 2.5e-5)
CREATE FUNCTION compared(folder text, OUT ids_same boolean, OUT states bigint, OUT difference real)
LANGUAGE plpgsql AS $$
DECLARE
	golden jsonb := pg_read_file(current_setting('llm_test.data') || '/hf-states.json')::jsonb->'models'->folder;
BEGIN
	PERFORM llm.load_model('ref', current_setting('llm_test.data') || '/hf/' || folder);
	SELECT golden->'ids' = to_jsonb(llm.tokenize('ref', golden->>'text')), count(d.difference), max(d.difference)
	INTO ids_same, states, difference
	FROM llm.hidden_states('ref', golden->>'text') AS h
	JOIN jsonb_array_elements_text(golden->'positions') WITH ORDINALITY AS p("position", i) ON h."position" = p."position"::int,
	LATERAL (SELECT max(abs(a - b)) AS difference
		FROM unnest(h.state, ARRAY(SELECT jsonb_array_elements_text(golden->'states'->(layer + 1)->(i::int - 1))::real)) AS v(a, b)
		HAVING count(a) = count(*) AND count(b) = count(*)) AS d;
	PERFORM llm.drop_model('ref');
END $$;
SELECT folder, ids_same, states, difference < CASE folder WHEN 'llama' THEN 1e-2 ELSE 1e-4 END AS close
FROM unnest(ARRAY['bert', 'distilbert', 'roberta', 'nomic-bert', 'modern-bert',
	'gpt2', 'llama', 'qwen2', 'qwen3', 'gemma2', 'gemma3']) AS folder, compared(folder);
DROP FUNCTION compared(text);

-- every layer, position and value, in that order, or one layer
SELECT layer, "position", token, array_length(state, 1) AS d FROM llm.hidden_states('in_bert', 'the model');
SELECT layer, count(*), bool_and(h.state = one.state) AS same
FROM llm.hidden_states('in_llama', 'the model') AS h
JOIN generate_series(-1, 1) AS l(layer) USING (layer)
JOIN LATERAL llm.hidden_states('in_llama', 'the model', layer) AS one USING (layer, "position", token)
GROUP BY layer ORDER BY layer;
SELECT layer, "position" FROM llm.hidden_states('in_llama', 'a', -1);

-- a long text, which goes through the blocks in parts
CREATE FUNCTION long() RETURNS text LANGUAGE sql AS $$ SELECT repeat(' the model', 100) $$;
SELECT count(*) > 300 AS long, bool_and("position" = nth) AS ordered
FROM (SELECT "position", row_number() OVER () - 1 AS nth FROM llm.hidden_states('in_llama', long(), 1)) AS h;
SELECT count(*), bool_and(a.state = b.state) AS same
FROM llm.hidden_states('in_llama', ' the model the model') AS a
JOIN llm.hidden_states('in_llama', long()) AS b USING (layer, "position", token);

-- the residual stream: norms are those of the states
SELECT layer, sublayer, count(*), min("position"), max("position") FROM llm.residuals('in_gpt2', 'the model') GROUP BY 1, 2 ORDER BY 1, 2;
SELECT model, max(abs(r.norm_out / norm(h.state) - 1)) < 1e-6 AS states, max(abs(r.norm_in / b.norm_out - 1)) < 1e-6 AS sublayers
FROM unnest(ARRAY['in_llama', 'in_mixed', 'in_bert', 'in_gpt2', 'in_gemma2']) AS model,
LATERAL llm.residuals(model, 'the model') AS r
JOIN LATERAL llm.hidden_states(model, 'the model') AS h USING (layer, "position", token)
JOIN LATERAL llm.residuals(model, 'the model') AS b USING (layer, "position")
WHERE r.sublayer = 'feed_forward' AND b.sublayer = 'attention'
GROUP BY model ORDER BY model;
SELECT model, count(*), max(abs(r.norm_in / norm(h.state) - 1)) < 1e-6 AS embedding
FROM unnest(ARRAY['in_llama', 'in_bert']) AS model,
LATERAL llm.residuals(model, 'the model') AS r JOIN LATERAL llm.hidden_states(model, 'the model', -1) AS h USING ("position", token)
WHERE r.layer = 0 AND sublayer = 'attention'
GROUP BY model ORDER BY model;
-- out = in + added, unless it is normalised (post-norm); observed: 7.5e-8
SELECT model, max(abs(sqrt(norm_in ^ 2 + norm_added ^ 2 + 2 * cosine * norm_in * norm_added) / norm_out - 1)) < 1e-5 AS is_sum
FROM unnest(ARRAY['in_llama', 'in_mixed', 'in_bert', 'in_gpt2', 'in_gemma2']) AS model, llm.residuals(model, 'the model')
GROUP BY model ORDER BY model;
-- longer than a part
SELECT count(*), max(abs(r.norm_out / norm(h.state) - 1)) < 1e-6 AS states
FROM llm.residuals('in_llama', long()) AS r JOIN llm.hidden_states('in_llama', long()) AS h USING (layer, "position")
WHERE sublayer = 'feed_forward';

-- projections: GPT-2 does not rotate, so they are products with its weights
CREATE FUNCTION layer_norm(x real[], w real[], b real[]) RETURNS real[] LANGUAGE sql AS $$
SELECT array_agg(((x - mean) / sqrt(var + 1e-5) * w + b)::real ORDER BY i)
FROM (SELECT *, avg(x::float8) OVER () AS mean, var_pop(x::float8) OVER () AS var
	FROM unnest(x, w, b) WITH ORDINALITY AS v(x, w, b, i)) AS v
$$;
WITH p AS (SELECT * FROM llm.projections('in_gpt2', 'the model', 0, 1)),
shape AS (SELECT array_length(query, 1) AS n, array_length(llm.tensor('in_gpt2', 'blk.0.attn_qkv.weight'), 2) AS d FROM p LIMIT 1),
input AS (SELECT "position", layer_norm(state, llm.tensor('in_gpt2', 'blk.0.attn_norm.weight'),
	llm.tensor('in_gpt2', 'blk.0.attn_norm.bias')) AS x FROM llm.hidden_states('in_gpt2', 'the model', -1))
SELECT count(*), max(abs(got - (dot(x, llm.tensor('in_gpt2', 'blk.0.attn_qkv.weight', r, 1)) +
	(llm.tensor('in_gpt2', 'blk.0.attn_qkv.bias'))[1][r + 1]))) < 1e-5 AS close
FROM shape, p JOIN input USING ("position"),
unnest(query || key || value) WITH ORDINALITY AS v(got, i),
LATERAL (SELECT ((i - 1) / n * d + n + (i - 1) % n)::int AS r) AS r;

-- heads share keys and values
SELECT head, kv_head, array_length(query, 1) AS query, array_length(key, 1) AS key, array_length(value, 1) AS value,
	key = first_value(key) OVER w AS same_key, value = first_value(value) OVER w AS same_value, query = first_value(query) OVER w AS same_query
FROM generate_series(0, 3) AS head, llm.projections('in_llama', 'the model', 1, head)
WHERE "position" = 3
WINDOW w AS (PARTITION BY kv_head ORDER BY head)
ORDER BY head;
-- f16 in the cache of models that are not f32
SELECT bool_and(x * 2 ^ 24 = trunc(x * 2 ^ 24)) AS key_is_half, bool_and(q * 2 ^ 24 = trunc(q * 2 ^ 24)) AS query_is_half
FROM llm.projections('in_mixed', 'the model', 0, 0), unnest(key, query) AS v(x, q);

-- logit lens: the last layer is next_token, to the bit
SELECT model, count(*), bool_and(l.probability = n.probability AND l.rank = n.rank AND l.token = n.token) AS same
FROM unnest(ARRAY['in_llama', 'in_mixed', 'in_gpt2', 'in_gemma2']) AS model,
LATERAL llm.next_token(model, 'the model', 1000) AS n
LEFT JOIN LATERAL (SELECT *, max("position") OVER () AS last, max(layer) OVER () AS top FROM llm.logit_lens(model, 'the model', NULL)) AS l
ON l.token_id = n.token_id AND "position" = last AND layer = top
GROUP BY model ORDER BY model;
SELECT count(*), bool_and(l.probability = n.probability) AS same
FROM llm.next_token('in_llama', long(), 5) AS n LEFT JOIN (SELECT *, max("position") OVER () AS last FROM llm.logit_lens('in_llama', long(), 5)) AS l
ON l.token_id = n.token_id AND "position" = last AND layer = 1;
-- a shorter text is the beginning of a longer one
SELECT count(*), bool_and(a.token_id = b.token_id AND a.probability = b.probability) AS same
FROM llm.logit_lens('in_mixed', ' the model the model', 3) AS a JOIN llm.logit_lens('in_mixed', long(), 3) AS b USING (layer, "position", rank);
SELECT layer, "position", count(*), count(DISTINCT token_id) AS tokens, round(sum(probability)::numeric, 9) AS sum, min(rank), max(rank)
FROM llm.logit_lens('in_llama', 'a', NULL) GROUP BY 1, 2 ORDER BY 1, 2;
SELECT layer, "position", rank FROM llm.logit_lens('in_llama', 'a', 2) LIMIT 5;
SELECT count(*) FROM llm.logit_lens('in_llama', 'the model');

-- neurons: the largest of all
SELECT count(*) AS all_neurons, bool_and(rank > 2 OR t.activation = a.activation) AS top FROM (
	SELECT *, row_number() OVER (PARTITION BY layer, "position" ORDER BY abs(activation) DESC, neuron) AS rank
	FROM llm.neurons('in_llama', 'the model', NULL, NULL)) AS a
LEFT JOIN llm.neurons('in_llama', 'the model', NULL, 2) AS t USING (layer, "position", token_id, token, neuron);
SELECT layer, "position", token_id, token, count(*), count(DISTINCT neuron) AS neurons FROM llm.neurons('in_bert', 'the model', 1) GROUP BY 1, 2, 3, 4 ORDER BY 2;
-- what all of them write is what the network adds
SELECT "position", abs(norm_added / sqrt(sum(written ^ 2)) - 1) < 1e-5 AS same
FROM (SELECT "position", row, sum(activation::float8 * w) AS written
	FROM generate_series(1, array_length(llm.tensor('in_llama', 'blk.1.ffn_down.weight'), 1)) AS row,
	LATERAL unnest(llm.tensor('in_llama', 'blk.1.ffn_down.weight', row - 1, 1)) WITH ORDINALITY AS t(w, i)
	JOIN llm.neurons('in_llama', 'the model', 1, NULL) ON neuron = i - 1
	GROUP BY 1, 2) AS added
JOIN llm.residuals('in_llama', 'the model') AS r USING ("position")
WHERE layer = 1 AND sublayer = 'feed_forward'
GROUP BY "position", norm_added ORDER BY "position";

-- what a neuron writes
CREATE FUNCTION head_tensor(model text) RETURNS text LANGUAGE sql AS $$
SELECT name FROM llm.model_tensors(model) WHERE name IN ('output.weight', 'token_embd.weight') ORDER BY name LIMIT 1
$$;
CREATE FUNCTION column_of(model text, tensor text, number int) RETURNS real[] LANGUAGE sql AS $$
SELECT array_agg(x ORDER BY i) FROM (SELECT array_length(t, 2) AS n, t FROM llm.tensor(model, tensor) AS t) AS t,
unnest(t) WITH ORDINALITY AS v(x, i) WHERE (i - 1) % n = number
$$;
CREATE FUNCTION times(real[], real[]) RETURNS real[] LANGUAGE sql AS $$
SELECT array_agg(a * coalesce(b, 1) ORDER BY i) FROM unnest($1, $2) WITH ORDINALITY AS v(a, b, i)
$$;
SELECT model, count(*), max(abs(score - dot(v, llm.tensor(model, head_tensor(model), token_id, 1)))) < 1e-5 AS close,
	bool_and(score <= before) AS descending
FROM (SELECT model, t.*, lag(score, 1, 'infinity') OVER (PARTITION BY model ORDER BY rank) AS before,
		times(times(column_of(model, format('blk.%s.ffn_down.weight', layer), 3),
			CASE model WHEN 'in_gemma2' THEN llm.tensor(model, 'blk.1.post_ffw_norm.weight') END),
			CASE WHEN model <> 'in_bert' THEN llm.tensor(model, 'output_norm.weight') END) AS v
	FROM unnest(ARRAY['in_llama', 'in_mixed', 'in_bert', 'in_gpt2', 'in_gemma2']) AS model,
	LATERAL (SELECT (model <> 'in_mixed')::int AS layer) AS l, llm.neuron_tokens(model, layer, 3, 20) AS t) AS t
GROUP BY model ORDER BY model;
SELECT count(*), min(rank), max(rank) FROM llm.neuron_tokens('in_llama', 0, 0);
SELECT count(*), count(DISTINCT token_id) FROM llm.neuron_tokens('in_llama', 0, 0, NULL);

-- the nearest tokens: that of the vector first, whatever its length
SELECT model, n.rank, n.token_id = id AS itself, round(n.score::numeric, 6) AS score
FROM unnest(ARRAY['in_llama', 'in_mixed', 'in_bert']) AS model, LATERAL (SELECT (llm.tokenize(model, 'the model'))[2] AS id) AS i,
LATERAL llm.nearest_tokens(model, ARRAY(SELECT x * 7::real FROM unnest(llm.tensor(model, 'token_embd.weight', id, 1)) AS x), 1) AS n;
SELECT count(*), max(abs(score - dot(v, e) / (norm(v) * norm(e)))) < 1e-6 AS cosines, bool_and(rank = nth) AS ordered
FROM (SELECT array_agg(sin(i)::real ORDER BY i) AS v FROM generate_series(1, 64) AS i) AS v,
LATERAL (SELECT *, row_number() OVER (ORDER BY score DESC) - 1 AS nth FROM llm.nearest_tokens('in_llama', v, NULL)) AS n,
LATERAL llm.tensor('in_llama', 'token_embd.weight', token_id, 1) AS e;

-- contributions: with the embedding and the biases they sum to the logit
-- (observed: 4.4e-5 where the embedding is 79 times the logit, else 1e-6)
CREATE FUNCTION through_norm(x real[], final real[], w real[], u real[], centred boolean) RETURNS float8 LANGUAGE sql AS $$
SELECT sum((x - CASE WHEN centred THEN mean_x ELSE 0 END) * w * u) /
	sqrt(sum((f - CASE WHEN centred THEN mean_f ELSE 0 END) ^ 2) / count(*) + 1e-5)
FROM (SELECT x::float8, f::float8, w::float8, u::float8, avg(x::float8) OVER () AS mean_x, avg(f::float8) OVER () AS mean_f
	FROM unnest(x, final, w, u) AS v(x, f, w, u)) AS v
$$;
CREATE FUNCTION last_state(model text, layer int) RETURNS real[] LANGUAGE sql AS $$
SELECT state FROM llm.hidden_states(model, 'the model', layer) ORDER BY "position" DESC LIMIT 1
$$;
CREATE FUNCTION parts(model text, token int, OUT contributions float8, OUT embedding float8, OUT biases float8, OUT logit float8) LANGUAGE sql AS $$
SELECT (SELECT sum(contribution) FROM llm.head_contributions(model, 'the model', token)),
	through_norm(last_state(model, -1), final, w, u, centred),
	(SELECT coalesce(sum(through_norm(llm.tensor(model, name), final, w, u, centred)), 0)
		FROM llm.model_tensors(model) WHERE name LIKE 'blk.%.attn_output.bias'),
	through_norm(final, final, w, u, centred)
FROM (SELECT last_state(model, 1) AS final, llm.tensor(model, 'output_norm.weight') AS w,
		llm.tensor(model, head_tensor(model), token, 1) AS u, model = 'in_gpt2' AS centred) AS t
$$;
SELECT model, token, abs((contributions + embedding + biases) / logit - 1) < 1e-4 AS sums, abs(embedding / logit) > 1e-3 AS needs_embedding,
	biases <> 0 AS has_biases
FROM unnest(ARRAY['in_llama', 'in_gpt2', 'in_gemma2', 'in_odd', 'in_qwen3']) AS model, unnest(ARRAY[5, 17]) AS token, parts(model, token);
-- and the difference of two logits is that of log-probabilities
SELECT abs((b.contributions + b.embedding) - (a.contributions + a.embedding) - (n.logprob - m.logprob)) < 1e-4 AS same
FROM llm.next_token('in_llama', 'the model', NULL::int) AS n, llm.next_token('in_llama', 'the model', NULL::int) AS m,
	parts('in_llama', 5) AS a, parts('in_llama', 17) AS b
WHERE n.token_id = 17 AND m.token_id = 5;
SELECT layer, head FROM llm.head_contributions('in_llama', 'the model');
SELECT bool_and(p.contribution = t.contribution) AS predicted
FROM llm.next_token('in_llama', 'the model', 1), LATERAL llm.head_contributions('in_llama', 'the model', token_id) AS t
JOIN llm.head_contributions('in_llama', 'the model') AS p ON p.layer = t.layer AND p.head IS NOT DISTINCT FROM t.head;

-- NULL: nothing is asked
SELECT (SELECT count(*) FROM llm.hidden_states(NULL, 'a')) + (SELECT count(*) FROM llm.hidden_states('in_llama', NULL)) +
	(SELECT count(*) FROM llm.residuals(NULL, 'a')) + (SELECT count(*) FROM llm.residuals('in_llama', NULL)) +
	(SELECT count(*) FROM llm.projections('in_llama', 'a', NULL, 0)) + (SELECT count(*) FROM llm.projections('in_llama', 'a', 0, NULL)) +
	(SELECT count(*) FROM llm.logit_lens('in_llama', NULL)) + (SELECT count(*) FROM llm.neurons('in_llama', NULL, 0)) +
	(SELECT count(*) FROM llm.neuron_tokens('in_llama', NULL, 0)) + (SELECT count(*) FROM llm.neuron_tokens('in_llama', 0, NULL)) +
	(SELECT count(*) FROM llm.nearest_tokens('in_llama', NULL)) + (SELECT count(*) FROM llm.head_contributions(NULL, 'a')) AS rows;

-- errors
SELECT * FROM llm.hidden_states('no such model', 'a');
SELECT * FROM llm.hidden_states('in_llama', 'a', -2);
SELECT * FROM llm.hidden_states('in_llama', 'a', 2);
SELECT * FROM llm.projections('in_llama', 'a', 2, 0);
SELECT * FROM llm.projections('in_llama', 'a', 0, 4);
SELECT * FROM llm.logit_lens('in_llama', 'a', 0);
SELECT * FROM llm.logit_lens('in_bert', 'a');
SELECT * FROM llm.neurons('in_llama', 'a', -1);
SELECT * FROM llm.neurons('in_llama', 'a', 0, 0);
SELECT * FROM llm.neuron_tokens('in_llama', 2, 0);
SELECT * FROM llm.neuron_tokens('in_llama', 0, -1);
SELECT * FROM llm.neuron_tokens('in_llama', 0, 0, 0);
SELECT * FROM llm.nearest_tokens('in_bert', '{1,2,3}');
SELECT * FROM llm.nearest_tokens('in_bert', '{}');
SELECT * FROM llm.nearest_tokens('in_bert', '{{1},{2}}');
SELECT * FROM llm.nearest_tokens('in_bert', array_fill(NULL::real, '{32}'));
SELECT * FROM llm.nearest_tokens('in_bert', array_fill(0::real, '{32}'));
SELECT * FROM llm.nearest_tokens('in_bert', array_fill('NaN'::real, '{32}'));
SELECT * FROM llm.nearest_tokens('in_bert', array_fill(1::real, '{32}'), 0);
SELECT * FROM llm.head_contributions('in_bert', 'a');
SELECT * FROM llm.head_contributions('in_llama', 'a', -1);
SELECT * FROM llm.head_contributions('in_llama', 'a', 1000000);
SELECT count(*) FROM llm.hidden_states('in_llama', '');
SELECT * FROM llm.residuals('in_llama', repeat('the model', 1000));

SELECT provolatile, proparallel, count(*) FROM pg_proc
WHERE pronamespace = 'llm'::regnamespace AND proname IN ('hidden_states', 'residuals', 'projections', 'logit_lens',
	'neurons', 'neuron_tokens', 'nearest_tokens', 'head_contributions') AND obj_description(oid, 'pg_proc') IS NOT NULL
GROUP BY 1, 2;

DROP FUNCTION parts(text, int), last_state(text, int), through_norm(real[], real[], real[], real[], boolean),
	times(real[], real[]), column_of(text, text, int), head_tensor(text), layer_norm(real[], real[], real[]), long(),
	dot(real[], real[]), norm(real[]);
SELECT llm.drop_model(name) FROM unnest(ARRAY['in_llama', 'in_mixed', 'in_bert', 'in_gpt2', 'in_gemma2', 'in_odd', 'in_qwen3']) AS name;
