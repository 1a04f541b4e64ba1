--
-- Experiments: parts of the forward pass switched off, replaced or pushed
--
\getenv data LLM_TEST_DATA
\set llama :data/tiny-llama.gguf
\set gpt2 :data/tiny-gpt2.gguf
\set qwen3 :data/tiny-qwen3.gguf
SELECT name FROM llm.load_model('tiny-llama', :'llama');
SELECT name FROM llm.load_model('tiny-gpt2', :'gpt2');
SELECT name FROM llm.load_model('tiny-qwen3', :'qwen3');

-- what hooks in transformers make of the same models
CREATE TEMP TABLE golden AS
SELECT row_number() OVER () AS n, m->>'model' AS model, c->>'case' AS name,
	c->>'text' AS text, ARRAY(SELECT jsonb_array_elements_text(c->'ids')::int) AS ids,
	c->'options' AS options,
	ARRAY(SELECT jsonb_array_elements_text(c->'logprobs')::float8) AS logprobs,
	ARRAY(SELECT jsonb_array_elements_text(c->'next')::int) AS next
FROM jsonb_array_elements(pg_read_file(current_setting('llm_test.data') || '/experiments.json')::jsonb->'models') AS m,
	jsonb_array_elements(m->'cases') AS c;
SELECT model, count(*), count(*) FILTER (WHERE llm.tokenize(model, text) = ids) AS same_ids
FROM golden GROUP BY model ORDER BY model COLLATE "C";

-- at most 2.7e-5 was seen
SELECT name, count(*) AS models, bool_and(tokens = 300) AS all_tokens,
	bool_and(difference < 1e-4) AS near, bool_and(effect > 0.05) AS has_effect
FROM (SELECT g.n, g.model, g.name, count(*) AS tokens,
		max(abs(t.logprob - g.logprobs[t.token_id + 1])) AS difference,
		max(abs(t.logprob - p.logprob)) AS effect
	FROM golden AS g, LATERAL llm.next_token(g.model, g.text, NULL::int, g.options) AS t,
		LATERAL llm.next_token(g.model, g.text, NULL::int) AS p
	WHERE p.token_id = t.token_id
	GROUP BY g.n, g.model, g.name) AS d
GROUP BY name ORDER BY min(n);
SELECT count(*) AS cases, count(*) FILTER (WHERE next =
	ARRAY(SELECT token_id FROM llm.generate_stream(model, text, options || '{"max_tokens": 8}')
		ORDER BY "position")) AS same
FROM golden;

-- every way to the same text
SELECT count(*) AS cases,
	count(*) FILTER (WHERE g = llm.detokenize(model, next)) AS generated,
	count(*) FILTER (WHERE g = llm.completion(model, text, o)->>'text') AS completed,
	count(*) FILTER (WHERE ARRAY[g, g, g] =
		ARRAY(SELECT output FROM llm.generate_batch(model, ARRAY[text, text, text], o))) AS batched
FROM golden, LATERAL (SELECT options || '{"max_tokens": 8}' AS o OFFSET 0) AS o,
	LATERAL (SELECT llm.generate(model, text, o) AS g OFFSET 0) AS g;

-- sequences of different lengths together, and a prompt of several chunks
SELECT count(*) AS prompts, count(*) FILTER (WHERE output =
	llm.generate(model, prompts[b."position" + 1], o)) AS same
FROM golden, LATERAL (SELECT ARRAY[text, text || text, left(text, 9) || 'x', repeat(text, 20)] AS prompts,
	options || '{"max_tokens": 5}' AS o) AS p,
	llm.generate_batch(model, prompts, o) AS b
WHERE name = 'all';

SET llm.default_model = 'tiny-llama';
SELECT options AS one FROM golden WHERE model = 'tiny-llama' AND name = 'a vector' \gset
SELECT llm.generate('ABC', :'one'::jsonb) = llm.generate('tiny-llama', 'ABC', :'one') AS generate,
	llm.ask('ABC', :'one'::jsonb) = llm.ask('tiny-llama', 'ABC', :'one') AS ask,
	llm.ask('ABC', :'one'::jsonb) <> llm.ask('ABC') AS ask_changes,
	llm.chat('[{"role": "user", "content": "ABC"}]'::jsonb, :'one'::jsonb) =
	llm.ask('ABC', :'one'::jsonb) AS chat,
	(SELECT array_agg(t) FROM llm.next_token('ABC', 3) AS t) =
	(SELECT array_agg(t) FROM llm.next_token('tiny-llama', 'ABC', 3, NULL) AS t) AS next_token;

-- an encoder, whose states after the last block are compared; at most 3.4e-6
-- was seen
\set bert :data/hf/bert
SELECT name FROM llm.load_model('bert', :'bert');
CREATE TEMP TABLE encoder AS
SELECT row_number() OVER () AS n, c->>'case' AS name, e->>'text' AS text, c->'options' AS options,
	c->'states' AS states
FROM (SELECT pg_read_file(current_setting('llm_test.data') || '/experiments.json')::jsonb->'encoder' AS e) AS e,
	jsonb_array_elements(e->'cases') AS c;
SELECT name, count(*) AS tokens, max(difference) < 1e-4 AS near, max(effect) > 0.05 AS has_effect
FROM (SELECT c.n, c.name, h."position", max(abs(s - g::real)) AS difference, max(abs(s - q)) AS effect
	FROM encoder AS c, LATERAL llm.hidden_states('bert', text, 1, options) AS h
	JOIN LATERAL llm.hidden_states('bert', text, 1) AS p USING ("position"),
		ROWS FROM (unnest(h.state), unnest(p.state), jsonb_array_elements_text(states->h."position")) AS v(s, q, g)
	GROUP BY c.n, c.name, h."position") AS d
GROUP BY n, name ORDER BY n;
SELECT llm.drop_model('bert');

-- no edit, no difference; nor does a vector of nothing make one
SELECT o, (SELECT array_agg(t) FROM llm.next_token('tiny-llama', 'ABC', NULL::int, o) AS t) =
	(SELECT array_agg(t) FROM llm.next_token('tiny-llama', 'ABC', NULL::int) AS t) AS same
FROM (VALUES (NULL::jsonb), ('{}'), ('{"ablate": [], "patch": [], "steer": []}'),
	('{"ablate": null}')) AS v(o);
SELECT (SELECT array_agg(t) FROM llm.next_token('tiny-llama', 'ABC', NULL::int,
		jsonb_build_object('steer', jsonb_build_array(jsonb_build_object('layer', 0,
			'vector', to_jsonb(array_fill(1::real, ARRAY[64])), 'scale', 0)))) AS t) =
	(SELECT array_agg(t) FROM llm.next_token('tiny-llama', 'ABC', NULL::int) AS t) AS nothing_added;

-- the last of two patches of one place stays, and steering comes after both
CREATE FUNCTION top(options jsonb) RETURNS text LANGUAGE sql
RETURN (SELECT string_agg(format('%s %s', token_id, logprob), ' ' ORDER BY rank)
	FROM llm.next_token('tiny-llama', 'ABC', 5, options));
CREATE FUNCTION constant(n int, x real) RETURNS jsonb LANGUAGE sql
RETURN to_jsonb(array_fill(x, ARRAY[n]));
CREATE FUNCTION state(x real) RETURNS jsonb LANGUAGE sql
RETURN jsonb_build_object('layer', 1, 'position', 2, 'state', constant(64, x));
CREATE FUNCTION vector(x real) RETURNS jsonb LANGUAGE sql
RETURN jsonb_build_object('layer', 1, 'vector', constant(64, x));
SELECT top(jsonb_build_object('patch', jsonb_build_array(state(1), state(2)))) =
		top(jsonb_build_object('patch', jsonb_build_array(state(2)))) AS last_patch,
	top(jsonb_build_object('patch', jsonb_build_array(state(1)), 'steer', jsonb_build_array(vector(3)))) =
		top(jsonb_build_object('patch', jsonb_build_array(state(4)))) AS patch_then_steer,
	top(jsonb_build_object('patch', jsonb_build_array(state(1)))) <> top('{}') AS changes;

-- the functions that look inside see what the experiment left
SELECT count(*) AS cases, count(*) FILTER (WHERE (SELECT array_agg((token_id, probability) ORDER BY rank)
		FROM llm.logit_lens(model, text, 300, options) WHERE layer = 1 AND "position" = 8) =
	(SELECT array_agg((token_id, probability) ORDER BY rank)
		FROM llm.next_token(model, text, 300, options))) AS lens_is_next_token
FROM golden;
SELECT count(*) AS patches, count(*) FILTER (WHERE state =
	ARRAY(SELECT jsonb_array_elements_text(p->'state')::real)) AS seen
FROM golden, jsonb_array_elements(options->'patch') AS p,
	llm.hidden_states(model, text, (p->>'layer')::int, jsonb_build_object('patch', options->'patch')) AS h
WHERE h."position" = (p->>'position')::int;

-- a state in its own place changes no bit, all states of another text give its
-- prediction, and steering adds
CREATE FUNCTION states(text text, layer int) RETURNS jsonb LANGUAGE sql
RETURN (SELECT jsonb_build_object('patch', jsonb_agg(jsonb_build_object('layer', h.layer,
		'position', h."position", 'state', to_jsonb(h.state))))
	FROM llm.hidden_states('tiny-llama', text, layer) AS h);
SELECT layer, top(states('ABC', layer)) = top('{}') AS own_states,
	top(states('XYZ', layer)) = (SELECT string_agg(format('%s %s', token_id, logprob), ' ' ORDER BY rank)
		FROM llm.next_token('tiny-llama', 'XYZ', 5)) AS of_another
FROM generate_series(-1, 1) AS layer;
SELECT max(abs(a - b - 0.5)) < 1e-6 AS added
FROM llm.hidden_states('tiny-llama', 'ABC', 1, jsonb_build_object('steer', jsonb_build_array(vector(0.5)))) AS h
JOIN llm.hidden_states('tiny-llama', 'ABC', 1) AS p USING ("position"),
	unnest(h.state, p.state) AS v(a, b);

-- what is switched off is 0 and adds nothing (what others add goes through the
-- same final norm); what comes before it does not change
\set head '{"ablate": [{"layer": 1, "head": 2}]}'
SELECT layer, head, h.contribution = 0 AS nothing
FROM llm.head_contributions('tiny-llama', 'ABC', 11, :'head') AS h
JOIN llm.head_contributions('tiny-llama', 'ABC', 11) AS p USING (layer, head)
WHERE h.contribution <> p.contribution;
SELECT count(*), bool_and(neuron = 9 AND n.activation = 0) AS off
FROM llm.neurons('tiny-llama', 'ABC', 1, 72, '{"ablate": [{"layer": 1, "neuron": 9}]}') AS n
JOIN llm.neurons('tiny-llama', 'ABC', 1, 72) AS p USING ("position", neuron)
WHERE n.activation <> p.activation;
\set first '{"ablate": [{"layer": 0, "head": 2}]}'
SELECT layer, bool_and(a.weight = p.weight) AS same
FROM llm.attention('tiny-llama', 'ABC', NULL, NULL, :'first') AS a
JOIN llm.attention('tiny-llama', 'ABC') AS p USING (layer, head, query, key)
GROUP BY layer ORDER BY layer;
SELECT layer, bool_and(e.entropy = p.entropy) AS same
FROM llm.attention_heads('tiny-llama', 'ABC', :'first') AS e
JOIN llm.attention_heads('tiny-llama', 'ABC') AS p USING (layer, head)
GROUP BY layer ORDER BY layer;
SELECT layer, llm.attention_matrix('tiny-llama', 'ABC', layer, 0, :'first') =
		llm.attention_matrix('tiny-llama', 'ABC', layer, 0) AS matrix,
	(SELECT array_agg(p) FROM llm.projections('tiny-llama', 'ABC', layer, 0, :'first') AS p) =
	(SELECT array_agg(p) FROM llm.projections('tiny-llama', 'ABC', layer, 0) AS p) AS projections,
	(SELECT array_agg(r) FROM llm.residuals('tiny-llama', 'ABC', :'first') AS r
		WHERE r.layer = l.layer AND sublayer = 'attention') =
	(SELECT array_agg(r) FROM llm.residuals('tiny-llama', 'ABC') AS r
		WHERE r.layer = l.layer AND sublayer = 'attention') AS residuals
FROM generate_series(0, 1) AS l(layer);

-- scores of texts
SELECT abs(llm.cross_entropy('tiny-llama', 'ABCDEF', :'first') + avg(logprob)) < 1e-12 AS cross_entropy,
	abs(ln(llm.perplexity('tiny-llama', 'ABCDEF', :'first')) + avg(logprob)) < 1e-12 AS perplexity,
	abs(llm.score('tiny-llama', 'ABC', 'DEF', :'first') - sum(logprob) FILTER (WHERE "position" >= 3)) < 1e-12 AS score,
	abs(llm.score('tiny-llama', 'ABC', 'DEF') - sum(logprob) FILTER (WHERE "position" >= 3)) > 0.01 AS changed
FROM llm.token_logprobs('tiny-llama', 'ABCDEF', :'first');
SELECT llm.cross_entropy('tiny-llama', 'ABCDEFGHIJ', :'first'::jsonb || '{"window": 5}') <>
	llm.cross_entropy('tiny-llama', 'ABCDEFGHIJ', '{"window": 5}') AS windows;
SELECT llm.cross_entropy('tiny-llama', 'ABCDEFGHIJ', states('ABCDEFG', 0) || '{"window": 5}');
SELECT count(*) FROM llm.hidden_states('tiny-llama', 'AB', 0, states('ABC', 0));
SELECT count(*) FROM llm.hidden_states('tiny-llama', 'AB', 0, '{"max_tokens": 1}');
SELECT count(*) FROM llm.hidden_states('tiny-llama', 'AB', 0, '{"window": 5}');

-- errors
CREATE FUNCTION try(options jsonb, model text DEFAULT 'tiny-llama') RETURNS text LANGUAGE plpgsql AS $$
DECLARE detail text;
BEGIN
	PERFORM llm.generate(model, 'ABC', '{"max_tokens": 1}' || options);
	RETURN 'ok';
EXCEPTION WHEN invalid_parameter_value THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN sqlerrm || coalesce(nullif('; ' || detail, '; '), '');
END $$;
\pset format unaligned
SELECT options, try(options) FROM unnest(ARRAY[
	'{"ablate": 1}', '{"ablate": {}}', '{"ablate": [1]}', '{"ablate": [[]]}', '{"ablate": [{}]}',
	'{"ablate": [{"layer": 0}]}', '{"ablate": [{"head": 0}]}',
	'{"ablate": [{"layer": 0, "head": null}]}',
	'{"ablate": [{"layer": 0, "head": 0, "neuron": null}]}',
	'{"ablate": [{"layer": 0, "head": 0}, {"layer": 0, "head": 0, "neuron": 0}]}',
	'{"ablate": [{"layer": 1, "head": 3}, {"layer": 1, "neuron": 71}]}',
	'{"ablate": [{"layer": 0, "head": 0, "scale": 1}]}',
	'{"ablate": [{"layer": "0", "head": 0}]}', '{"ablate": [{"layer": 0.5, "head": 0}]}',
	'{"ablate": [{"layer": 1.0, "head": 0}]}',
	'{"ablate": [{"layer": 3000000000, "head": 0}]}', '{"ablate": [{"layer": -1, "head": 0}]}',
	'{"ablate": [{"layer": 2, "head": 0}]}', '{"ablate": [{"layer": 0, "head": 4}]}',
	'{"ablate": [{"layer": 0, "head": -1}]}', '{"ablate": [{"layer": 0, "neuron": 72}]}',
	'{"ablate": [{"layer": 0, "head": 1e400}]}',
	'{"patch": [{"layer": 0, "position": 0}]}', '{"patch": [{"layer": 0, "state": []}]}',
	'{"patch": [{"layer": 0, "position": 0, "state": [1, 2]}]}',
	'{"patch": [{"layer": 0, "position": 0, "state": 1}]}',
	'{"patch": [{"layer": 0, "position": 0, "state": {}}]}',
	'{"patch": [{"layer": 0, "position": 0, "state": [1, null]}]}',
	'{"patch": [{"layer": 0, "position": 0, "state": ["NaN"]}]}',
	'{"patch": [{"layer": 0, "position": 0, "state": [1e39]}]}',
	'{"steer": [{"layer": 0, "vector": [1]}]}', '{"steer": [{"layer": 0, "scale": 1}]}',
	'{"steer": [{"layer": 0, "vector": [1], "scale": "1"}]}',
	'{"steer": [{"layer": 0, "vector": [1], "scale": 1e400}]}',
	'{"steer": [{"layer": 0, "vector": [1e38], "scale": 100}]}']::jsonb[]) AS options;
SELECT n, try(jsonb_build_object('patch', jsonb_build_array(jsonb_build_object('layer', layer,
	'position', "position", 'state', constant(n, 1)))))
FROM (VALUES (64, -2, 0), (64, -1, 0), (64, 1, 2), (64, 2, 0), (64, 0, -1), (64, 0, 3), (63, 0, 0), (65, 0, 0))
	AS v(n, layer, "position");
SELECT n, try(jsonb_build_object('steer', jsonb_build_array(jsonb_build_object('layer', layer,
	'vector', constant(n, 0.1), 'scale', -1))))
FROM (VALUES (64, -2), (64, -1), (64, 1), (64, 2), (32, 0), (0, 0)) AS v(n, layer);
SELECT try(jsonb_build_object(repeat('é', 1), 1)),
	try(jsonb_build_object('steer', jsonb_build_array(jsonb_build_object(repeat('é', 60), 1))));
SELECT n, try(jsonb_build_object('ablate', (SELECT jsonb_agg('{"layer": 0, "head": 1}'::jsonb)
		FROM generate_series(1, n)), 'steer', jsonb_build_array(vector(1))))
FROM unnest('{9999,10000}'::int[]) AS n;

-- what is finite may still be too much
SELECT llm.generate('tiny-llama', 'ABC', jsonb_build_object('steer', jsonb_build_array(vector(3e38), vector(3e38))));

-- a batch is checked before anything is computed: the second prompt is short
SELECT count(*) FROM llm.generate_batch('tiny-llama', ARRAY['ABC', 'AB'],
	jsonb_build_object('patch', jsonb_build_array(state(1))));

-- no model keeps an experiment
SELECT llm.alter_model('tiny-llama', '{"ablate": [{"layer": 0, "head": 0}]}');
SELECT name FROM llm.load_model('other', :'llama', '{"steer": []}');
SELECT llm.tokenize('tiny-llama', 'a', '{"patch": []}');
SELECT count(*) FROM llm.next_token('tiny-llama', 'a', 1, '{"max_tokens": 1}');
\pset format aligned

-- the options of next_token besides
SELECT (SELECT token_id FROM llm.next_token('tiny-llama', '<|im_end|>', 1, '{"parse_special": true}')) =
	(SELECT token_id FROM llm.generate_stream('tiny-llama', '<|im_end|>', '{"parse_special": true, "max_tokens": 1}'))
	AS same;

-- a call site keeps its last result only for the same experiment
SELECT count(DISTINCT llm.generate('tiny-llama', 'ABC', CASE WHEN i % 2 = 0 THEN NULL ELSE :'one'::jsonb END))
FROM generate_series(1, 6) AS i;

DROP FUNCTION try(jsonb, text), states(text, int), top(jsonb), state(real), vector(real), constant(int, real);
SELECT llm.drop_model(name) FROM unnest(ARRAY['tiny-llama', 'tiny-gpt2', 'tiny-qwen3']) AS name;
