--
-- Options: what there is, and what is said about what there is not
--
\getenv data LLM_TEST_DATA
\set llama :data/tiny-llama.gguf
SELECT name FROM llm.load_model('opt', :'llama');

SELECT name, type, "default", "range" FROM llm.options;
SELECT applies_to, count(*) FROM llm.options GROUP BY applies_to ORDER BY applies_to COLLATE "C";
SELECT bool_and(description <> '') FROM llm.options;

-- bounds of numbers are allowed, beyond them nothing is
CREATE FUNCTION try(option text, value jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE detail text;
BEGIN
	PERFORM llm.completion('opt', 'the', jsonb_build_object('max_tokens', 1)
		|| jsonb_build_object(option, value));
	RETURN 'ok';
EXCEPTION WHEN invalid_parameter_value OR program_limit_exceeded THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN sqlerrm || coalesce(nullif('; ' || detail, '; '), '');
END $$;
\pset format unaligned
SELECT option, value, try(option, value)
FROM (VALUES
	('max_tokens', '512'::jsonb), ('max_tokens', '513'), ('max_tokens', '0'),
	('max_tokens', '1.5'), ('max_tokens', '2.0'), ('max_tokens', '"1"'),
	('max_tokens', 'null'), ('max_tokens', '1e400'), ('max_tokens', '-1e400'),
	('temperature', '0'), ('temperature', '10'), ('temperature', '10.1'),
	('temperature', '-0.1'), ('temperature', 'true'), ('temperature', '1e-400'),
	('top_k', '0'), ('top_k', '-1'), ('top_k', '3000000000'),
	('top_p', '0'), ('top_p', '1'), ('top_p', '1.0001'),
	('typical_p', '-1'), ('min_p', '2'),
	('repeat_penalty', '0'), ('repeat_penalty', '1.3'), ('repeat_last_n', '-1'),
	('repeat_last_n', '-2'), ('presence_penalty', '2.5'), ('frequency_penalty', '-2'),
	('seed', '9223372036854775807'), ('seed', '9223372036854775808'), ('seed', '-1'),
	('ignore_eos', '1'), ('ignore_eos', 'true'), ('parse_special', '"yes"'),
	('logprobs', '21'), ('logprobs', 'false'), ('truncate', '"middle"'), ('truncate', '1'),
	('stop', '""'), ('stop', '[""]'), ('stop', '1'), ('stop', '{"a": "b"}'), ('stop', '[["a"]]'),
	('stop', '["a", null]'), ('stop', '[]'),
	('logit_bias', '[1]'), ('logit_bias', '{"x": 1}'), ('logit_bias', '{"-1": 1}'),
	('logit_bias', '{"1 ": 1}'), ('logit_bias', '{"": 1}'), ('logit_bias', '{"99999999999": 1}'),
	('logit_bias', '{"300": 1}'), ('logit_bias', '{"1": 101}'), ('logit_bias', '{"1": "a"}'),
	('logit_bias', '{"1": -100}'), ('logit_bias', '{}'),
	('add_special', 'false'), ('add_special', '0')
	) AS v(option, value);
SELECT try('stop', to_jsonb(array_fill('x'::text, ARRAY[16]))) AS sixteen,
	try('stop', to_jsonb(array_fill('x'::text, ARRAY[17]))) AS seventeen,
	try('stop', to_jsonb(repeat('x', 1000))) AS long,
	try('stop', to_jsonb(repeat('x', 1001))) AS too_long;
SELECT try(repeat('long name ', 10), '1');
SELECT try('é' || repeat('日', 50), '1');

-- what is allowed, and where
SELECT llm.generate('opt', 'the', '{"maximum": 1}');
SELECT llm.generate('opt', 'the', '{"logprobs": 1}');
SELECT llm.generate('opt', 'the', '{"system": "x"}');
SELECT llm.generate('opt', 'the', '[]');
SELECT llm.generate('opt', 'the', '"max_tokens"');
SELECT llm.generate('opt', 'the', '{}') IS NOT NULL AS no_options;

-- the last of several equal keys counts, as in any jsonb
SELECT (llm.completion('opt', 'the', '{"max_tokens": 1, "max_tokens": 2}')
	->'usage'->>'completion_tokens')::int AS tokens;

-- the strongest bias against every token leaves a choice
SELECT llm.generate('opt', 'the', (SELECT jsonb_build_object('ignore_eos', true, 'logit_bias',
	jsonb_object_agg(i, -100)) FROM generate_series(0, 299) AS i)) IS NOT NULL AS bias_is_finite;

DROP FUNCTION try(text, jsonb);
SELECT llm.drop_model('opt');
