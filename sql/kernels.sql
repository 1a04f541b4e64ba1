--
-- The same bytes from every kernel set
--
-- Which sets there are depends on the processor: nothing below shows it.
--
\getenv data LLM_TEST_DATA

-- every architecture, every weight type, both precisions of activations
CREATE TEMP TABLE model AS
SELECT file, bits, format('%s-%s', file, bits) AS name
FROM unnest('{llama,llama-linear,llama-odd,llama-yarn,llama3,qwen2,qwen3,gpt2,mixed-1,mixed-2,mixed-3,mixed-4}'::text[]) AS file,
	unnest('{16,8}'::int[]) AS bits;
SELECT count(llm.load_model(name, :'data' || '/tiny-' || file || '.gguf',
	jsonb_build_object('activation_bits', bits))) AS loaded
FROM model;
SELECT count(DISTINCT type) AS types
FROM model, llm.model_tensors(model.name);

-- prompts of less than a page of keys and values, of several, of several
-- blocks of 64 keys, and of several chunks of rows
CREATE TEMP TABLE prompt AS
SELECT n, left(repeat('the model and the text of a page ', 60), n) AS prompt
FROM unnest('{1,40,300,700}'::int[]) AS n;

CREATE TEMP TABLE result (kernel_set text, name text, what text, value text);

-- numbers as their bytes: text could round
CREATE FUNCTION bytes(float8) RETURNS text LANGUAGE sql IMMUTABLE
RETURN encode(float8send($1), 'hex');

CREATE FUNCTION record_results(kernel_set text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('llm.kernel_set', kernel_set, false);
	INSERT INTO result
	SELECT kernel_set, name, format('next token %s', n),
		(SELECT string_agg(format('%s %s %s', token_id, bytes(logprob), bytes(probability)), ' ' ORDER BY rank)
		 FROM llm.next_token(name, prompt, NULL))
	FROM model, prompt;
	INSERT INTO result
	SELECT kernel_set, name, 'generate',
		llm.generate(name, 'the text', '{"max_tokens": 20}')
	FROM model;
	INSERT INTO result
	SELECT kernel_set, name, 'completion',
		llm.completion(name, 'the text', '{"max_tokens": 20, "logprobs": 5,
			"temperature": 1.2, "typical_p": 0.9, "top_p": 0.95, "seed": 1,
			"repeat_penalty": 1.1, "ignore_eos": true}') - 'timings'
	FROM model;
	INSERT INTO result
	SELECT kernel_set, name, 'stream',
		(SELECT string_agg(format('%s %s', token_id, bytes(logprob)), ' ' ORDER BY "position")
		 FROM llm.generate_stream(name, 'the text', '{"max_tokens": 20, "ignore_eos": true}'))
	FROM model;
	INSERT INTO result
	SELECT kernel_set, name, 'batch',
		(SELECT string_agg(format('%s: %s', "position", output), E'\n' ORDER BY "position")
		 FROM llm.generate_batch(name, ARRAY(SELECT left(prompt, 100) FROM prompt ORDER BY n), '{"max_tokens": 10}'))
	FROM model;
	RETURN (SELECT value FROM llm.system_info() WHERE name = 'instruction_set');
END $$;

SELECT count(*) >= 2 AS several,
	bool_and(record_results(kernel_set) = kernel_set) AS as_told
FROM (SELECT string_to_table(value, ', ') AS kernel_set
	FROM llm.system_info() WHERE name = 'instruction_sets') AS sets;
RESET llm.kernel_set;

-- all of them the same
SELECT name, what, count(DISTINCT value) AS values, count(DISTINCT kernel_set) AS sets
FROM result GROUP BY name, what
HAVING count(DISTINCT value) <> 1 OR count(*) <> (SELECT count(DISTINCT kernel_set) FROM result)
ORDER BY name, what;
SELECT count(DISTINCT (name, what)) AS compared, count(*) FILTER (WHERE value IS NULL) AS missing
FROM result;

-- but not because nothing was computed: models differ, and with quantised
-- weights so do the precisions
SELECT what, count(DISTINCT value) AS different FROM result
WHERE what IN ('next token 300', 'stream') GROUP BY what ORDER BY what;

-- and what can be seen of a set that does not exist
\set VERBOSITY terse
SET llm.kernel_set = 'abacus';
SHOW llm.kernel_set;
CREATE ROLE kernel_user;
SET ROLE kernel_user;
SET llm.kernel_set = 'reference';
RESET ROLE;
DROP ROLE kernel_user;
SELECT count(llm.drop_model(name)) AS dropped FROM model;
DROP FUNCTION record_results, bytes;
