--
-- Generating text
--
\getenv data LLM_TEST_DATA
\set llama :data/tiny-llama.gguf
\set qwen :data/tiny-qwen2.gguf
\set gpt2 :data/tiny-gpt2.gguf
SELECT name FROM llm.load_model('gen', :'llama');
SELECT name FROM llm.load_model('gen8', :'llama', '{"activation_bits": 8}');
SELECT name FROM llm.load_model('gen_qwen', :'qwen');
SELECT name FROM llm.load_model('gen_gpt2', :'gpt2');
SET llm.default_model = 'gen';

-- tiny models know nothing, but always the same
SELECT llm.generate('gen', 'the model', '{"max_tokens": 16}');
SELECT model, llm.tokenize(model, llm.generate(model, 'the', '{"max_tokens": 8}'))
FROM unnest(ARRAY['gen', 'gen8', 'gen_qwen', 'gen_gpt2']) AS model;
SELECT llm.generate('the model', options => '{"max_tokens": 16}') =
	llm.generate('gen', 'the model', '{"max_tokens": 16}') AS same;
SELECT rank, token_id, token, round(logprob::numeric, 5) AS logprob,
	round(probability::numeric, 5) AS probability
FROM llm.next_token('gen', 'the model', 3);
SELECT count(*), round(sum(probability)::numeric, 9) AS sum, count(DISTINCT token_id)
FROM llm.next_token('gen', 'the model', 1000000);
SELECT count(*) FROM llm.next_token('the model');
SELECT count(*) FROM llm.next_token('the model', 4);
SELECT count(*) FROM llm.next_token('gen', 'the model', NULL);

-- every way to the same text
CREATE TEMP TABLE prompt AS
SELECT i, 'the ' || repeat('model and ', i) || 'text' AS prompt,
	jsonb_build_object('max_tokens', 5 + 3 * i) AS options
FROM generate_series(0, 19) AS i;
SELECT count(*) AS different
FROM prompt
WHERE llm.generate('gen', prompt, options) <>
		(SELECT string_agg(token, '' ORDER BY "position")
		 FROM llm.generate_stream('gen', prompt, options))
	OR llm.generate('gen', prompt, options) <>
		llm.completion('gen', prompt, options)->>'text';
SELECT count(*) AS prompts, count(*) FILTER (WHERE output <>
	llm.generate('gen', prompt, '{"max_tokens": 12}')) AS different
FROM llm.generate_batch('gen', ARRAY(SELECT prompt FROM prompt ORDER BY i),
	'{"max_tokens": 12}') AS b
JOIN prompt ON i = b."position";
SELECT count(*) FILTER (WHERE output <> llm.generate('gen', prompt,
	'{"max_tokens": 12, "temperature": 1.5, "top_p": 0.9, "seed": 7}')) AS different
FROM llm.generate_batch('gen', ARRAY(SELECT prompt FROM prompt ORDER BY i),
	'{"max_tokens": 12, "temperature": 1.5, "top_p": 0.9, "seed": 7}') AS b
JOIN prompt ON i = b."position";
SELECT count(*) AS different FROM prompt
WHERE (SELECT token_id FROM llm.next_token('gen', prompt, 1)) <>
	(SELECT token_id FROM llm.generate_stream('gen', prompt, '{"max_tokens": 1}'));

-- the same on every kernel set
CREATE FUNCTION on_set(name text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('llm.kernel_set', name, false);
	RETURN (SELECT string_agg(token_id || ' ' || logprob, ',' ORDER BY "position")
		FROM llm.generate_stream('gen', 'the model and', '{"max_tokens": 24}'));
END $$;
SELECT on_set('') = on_set('reference') AND on_set('') = on_set('reference-soft')
	AS same;
RESET llm.kernel_set;
DROP FUNCTION on_set(text);

-- batches: NULL, empty, none
SELECT "position", output IS NULL AS is_null
FROM llm.generate_batch('gen', ARRAY['the', NULL, 'a', ''], '{"max_tokens": 2}');
SELECT count(*) FROM llm.generate_batch('gen', '{}');
SELECT count(*) FROM llm.generate_batch('gen', NULL);
SELECT llm.generate_batch('gen', '{{a,b},{c,d}}');

-- completion
SELECT c - 'timings' FROM llm.completion('gen', 'the model', '{"max_tokens": 3}') AS c;
SELECT jsonb_object_agg(key, value::numeric >= 0)
FROM jsonb_each(llm.completion('gen', 'the model', '{"max_tokens": 3}')->'timings');
SELECT jsonb_array_length(c->'logprobs'->'content') AS tokens,
	bool_and(jsonb_array_length(e->'top_logprobs') = 2) AS two_each,
	bool_and(e->'token_id' = e->'top_logprobs'->0->'token_id') AS greedy,
	bool_and((e->'logprob')::float8 <= 0) AS negative
FROM llm.completion('gen', 'the', '{"max_tokens": 4, "logprobs": 2}') AS c,
	jsonb_array_elements(c->'logprobs'->'content') AS e
GROUP BY c;
SELECT c ? 'logprobs' AS asked, c->'logprobs'->'content'->0->'top_logprobs' AS none
FROM llm.completion('the', options => '{"max_tokens": 1, "logprobs": 0}') AS c;

-- a seed makes chance repeatable, and completion tells which one it was
SELECT count(DISTINCT llm.generate('gen', 'the', '{"temperature": 1, "seed": 5}'))
FROM generate_series(1, 5);
SELECT count(DISTINCT llm.generate('gen', 'the', '{"temperature": 1}')) > 1 AS varies
FROM generate_series(1, 5);
SELECT c->>'text' = llm.generate('gen', 'the', jsonb_build_object('temperature', 1,
	'max_tokens', 20, 'seed', c->'seed')) AS same
FROM llm.completion('gen', 'the', '{"temperature": 1, "max_tokens": 20}') AS c;

-- ends: stop texts, end tokens, length
\set eos '{"logit_bias": {"2": 100}, "max_tokens": 5}'
SELECT c->>'text' AS text, c->>'finish_reason' AS finish_reason, (c->'usage') - 'cached_tokens' AS usage
FROM llm.completion('gen', 'the', :'eos') AS c;
SELECT count(*) FROM llm.generate_stream('gen', 'the', :'eos');
SELECT c->>'finish_reason' AS finish_reason, c->'usage'->'completion_tokens' AS tokens
FROM llm.completion('gen', 'the',
	'{"logit_bias": {"2": 100}, "max_tokens": 5, "ignore_eos": true}') AS c;
\set abc '{"logit_bias": {"105": 100}, "max_tokens": 5}'
SELECT llm.generate('gen', 'the', :'abc') AS text;
SELECT stop, c->>'text' AS text, c->>'finish_reason' AS finish_reason,
	c->'usage'->'completion_tokens' AS tokens,
	(SELECT array_agg(token ORDER BY "position")
	 FROM llm.generate_stream('gen', 'the', :'abc'::jsonb || stop)) AS stream
FROM (VALUES ('{"stop": "aaa"}'::jsonb), ('{"stop": ["b", "aa"]}'), ('{"stop": "ab"}'),
	('{"stop": []}')) AS v(stop),
	llm.completion('gen', 'the', :'abc'::jsonb || stop) AS c;

-- characters in pieces: held back, then whole; what never becomes one, replaced
SELECT array_agg(token ORDER BY "position") AS stream
FROM llm.generate_stream('gen', 'the',
	'{"logit_bias": {"203": 100}, "presence_penalty": 2, "max_tokens": 3}');
SELECT octet_length(llm.generate('gen', 'the', '{"logit_bias": {"238": 100}, "max_tokens": 1}'))
	AS replacement;

-- penalties and bias
SELECT llm.tokenize('gen', llm.generate('gen', 'the model',
	'{"max_tokens": 6, "repeat_penalty": 1.5, "frequency_penalty": 1}'));

-- the empty prompt starts from BOS; special tokens of a prompt are text unless asked for
SELECT (llm.completion('gen', '', '{"max_tokens": 1}')->'usage'->>'prompt_tokens')::int;
SELECT (llm.completion('gen', '<|im_end|>', '{"max_tokens": 1}')
		->'usage'->>'prompt_tokens')::int AS text,
	(llm.completion('gen', '<|im_end|>', '{"max_tokens": 1, "parse_special": true}')
		->'usage'->>'prompt_tokens')::int AS special;

-- the context: 512 tokens
SELECT llm.generate('gen', repeat('a', 513));
SELECT c->>'finish_reason' AS finish_reason, (c->'usage') - 'cached_tokens' AS usage
FROM llm.completion('gen', repeat('a', 510), '{"max_tokens": 100}') AS c;
SELECT (llm.completion('gen', repeat('a', 600), o::jsonb)->'usage') - 'cached_tokens' AS usage
FROM unnest(ARRAY['{"truncate": "start"}', '{"truncate": "end", "max_tokens": 3}',
	'{"truncate": "start", "max_tokens": 500}', '{"truncate": "end", "add_special": true}']) AS o;
SELECT llm.generate('gen', repeat('b', 300) || repeat('a', 509), '{"truncate": "start", "max_tokens": 3}') =
	llm.generate('gen', repeat('a', 509), '{"max_tokens": 3}') AS start_is_cut,
	llm.generate('gen', repeat('a', 509) || repeat('b', 300), '{"truncate": "end", "max_tokens": 3}') =
	llm.generate('gen', repeat('a', 509), '{"max_tokens": 3}') AS end_is_cut;
SELECT count(*) FROM llm.next_token('gen', repeat('a', 513));

-- limits that a superuser sets
SET llm.max_context = 16;
SELECT llm.generate('gen', repeat('a', 17));
SELECT llm.generate('gen', 'a', '{"max_tokens": 17}');
SELECT (llm.completion('gen', repeat('a', 15))->'usage') - 'cached_tokens' AS usage;
RESET llm.max_context;
SET llm.max_tokens_per_call = 20;
SELECT llm.generate('gen', repeat('a', 20));
SELECT llm.generate('gen', 'a', '{"max_tokens": 21}');
SELECT (llm.completion('gen', repeat('a', 15))->'usage') - 'cached_tokens' AS usage;
SELECT count(*) FROM llm.generate_batch('gen', '{a,b,c}', '{"max_tokens": 6}');
SELECT count(*) FROM llm.generate_batch('gen', '{a,b,c}', '{"max_tokens": 5}');
RESET llm.max_tokens_per_call;

-- a model's own defaults, under those of the call
SELECT llm.alter_model('gen', '{"max_tokens": 2, "logprobs": 0}');
SELECT jsonb_array_length(llm.completion('gen', 'the')->'logprobs'->'content') AS two,
	llm.completion('gen', 'the', '{"max_tokens": 3}')->'usage'->'completion_tokens' AS three,
	(SELECT count(*) FROM llm.generate_stream('gen', 'the')) AS two_again;
SELECT llm.alter_model('gen', '{"max_tokens": null, "logprobs": null}');

-- NULL
SELECT llm.generate('gen', NULL) IS NULL AS a, llm.generate(NULL) IS NULL AS b,
	llm.completion('gen', NULL) IS NULL AS c, llm.generate('gen', 'a', NULL) IS NULL AS d;
SELECT count(*) FROM llm.generate_stream('gen', NULL);
SELECT count(*) FROM llm.next_token('gen', NULL);

-- errors
SELECT llm.generate('nothing', 'the');
SELECT llm.generate('the', '{"max_tokens": 3}');
SELECT count(*) FROM llm.next_token('gen', 'the', 0);
\set VERBOSITY sqlstate
SELECT llm.generate('nothing', 'the');
SELECT llm.generate('gen', repeat('a', 513));
SELECT llm.generate('gen', 'a', '{"max_tokens": 0}');
\set VERBOSITY default

-- interrupts: a long generation ends when its time is over
SET statement_timeout = '200ms';
SELECT count(llm.generate('gen', 'the', ('{"ignore_eos": true, "max_tokens": 500, "seed": '
	|| i || ', "temperature": 1}')::jsonb)) FROM generate_series(1, 100000) AS i;
RESET statement_timeout;

SELECT llm.drop_model(name) FROM unnest(ARRAY['gen', 'gen8', 'gen_qwen', 'gen_gpt2']) AS name;
