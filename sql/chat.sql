--
-- Chats: templates, messages, truncation
--
\getenv data LLM_TEST_DATA
\set llama :data/tiny-llama.gguf
SELECT name FROM llm.load_model('chat', :'llama');
SET llm.default_model = 'chat';

\set hello '[{"role": "user", "content": "Hello"}]'
\set talk '[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi "}, {"role": "assistant", "content": "Ho"}, {"role": "user", "content": "Bye"}]'

SELECT llm.apply_chat_template('chat', :'hello');
SELECT llm.apply_chat_template('chat', :'talk', '{"add_generation_prompt": false}');
SELECT llm.apply_chat_template('chat',
	'[{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]');

-- every family; what each renders is compared with Hugging Face's in unit tests
SELECT name FROM unnest(ARRAY['chatml', 'phi-4', 'llama-3', 'phi-3', 'zephyr', 'falcon-3',
	'command-r', 'granite', 'gemma', 'mistral-v1', 'mistral-v3', 'mistral-v3-tekken',
	'mistral-v7', 'llama-2', 'vicuna', 'deepseek-3']) AS family,
	llm.load_model(family, current_setting('llm_test.data') || '/tiny-llama.gguf',
		jsonb_build_object('chat_template', family));
\pset format unaligned
SELECT name, llm.apply_chat_template(name, :'talk') AS text
FROM llm.models WHERE options ? 'chat_template' ORDER BY name COLLATE "C";
\pset format aligned
SELECT count(llm.drop_model(name)) FROM llm.models WHERE options ? 'chat_template';

-- ask and chat are generation after the template
SELECT llm.ask('chat', 'Hello', '{"max_tokens": 5}') =
		llm.generate('chat', llm.apply_chat_template('chat', :'hello'),
			'{"max_tokens": 5, "parse_special": true}') AS ask,
	llm.chat('chat', :'talk', '{"max_tokens": 5}') =
		llm.generate('chat', llm.apply_chat_template('chat', :'talk'),
			'{"max_tokens": 5, "parse_special": true}') AS chat,
	llm.ask('chat', 'Hello', '{"max_tokens": 5, "system": "Be kind."}') =
		llm.chat('chat', '[{"role": "system", "content": "Be kind."},
			{"role": "user", "content": "Hello"}]', '{"max_tokens": 5}') AS system;
SELECT llm.ask('Hello', options => '{"max_tokens": 5}') =
		llm.ask('chat', 'Hello', '{"max_tokens": 5}') AS ask,
	llm.chat(:'hello', options => '{"max_tokens": 5}') =
		llm.chat('chat', :'hello', '{"max_tokens": 5}') AS chat;

-- what users write never becomes a control token
SELECT llm.ask('chat', '<|im_end|>', '{"max_tokens": 5}') <>
	llm.generate('chat', llm.apply_chat_template('chat',
		'[{"role": "user", "content": "<|im_end|>"}]'),
		'{"max_tokens": 5, "parse_special": true}') AS differs;

-- too long: an error, or without the oldest messages, the system's kept
CREATE TEMP TABLE talk AS
SELECT jsonb_build_array(jsonb_build_object('role', 'system', 'content', 'S'))
	|| jsonb_agg(jsonb_build_object('role', CASE i % 2 WHEN 1 THEN 'user' ELSE 'assistant' END,
		'content', i || repeat('x', 50)) ORDER BY i) AS messages
FROM generate_series(1, 19) AS i;
SELECT llm.chat('chat', messages) FROM talk;
SELECT llm.chat('chat', messages, '{"truncate": "start", "max_tokens": 8}') =
	llm.chat('chat', jsonb_path_query_array(messages, '$[0, 13 to last]'),
		'{"max_tokens": 8}') AS newest_kept
FROM talk;
SELECT llm.count_tokens('chat', llm.apply_chat_template('chat',
		jsonb_path_query_array(messages, '$[0, 13 to last]')), '{"parse_special": true}') <= 504 AS fits,
	llm.count_tokens('chat', llm.apply_chat_template('chat',
		jsonb_path_query_array(messages, '$[0, 11 to last]')), '{"parse_special": true}') > 504 AS full
FROM talk;
-- one message alone is cut itself, the template around it stays
SELECT llm.ask('chat', repeat('y', 600) || repeat('é', 600), o) =
	llm.ask('chat', CASE o->>'truncate' WHEN 'end' THEN repeat('y', n)
		ELSE repeat('é', n / 2) END, '{"max_tokens": 3}') AS cut
FROM (SELECT jsonb_build_object('truncate', t, 'max_tokens', 3) AS o,
		509 - llm.count_tokens('chat', llm.apply_chat_template('chat',
			'[{"role": "user", "content": ""}]'), '{"parse_special": true}') AS n
	FROM unnest(ARRAY['start', 'end']) AS t) AS v;
SELECT llm.ask('chat', 'a', jsonb_build_object('system', repeat('y', 600), 'truncate', 'end',
	'max_tokens', 3)) IS NOT NULL AS system_alone_too_long;

-- NULL
SELECT llm.ask('chat', NULL) IS NULL AS a, llm.chat('chat', NULL) IS NULL AS b,
	llm.apply_chat_template('chat', NULL) IS NULL AS c;

-- errors
SELECT llm.chat('chat', '[]');
SELECT llm.chat('chat', '"Hello"');
SELECT llm.chat('chat', '["Hello"]');
SELECT llm.chat('chat', '[{"role": "user"}]');
SELECT llm.chat('chat', '[{"content": "Hello"}]');
SELECT llm.chat('chat', '[{"role": "tool", "content": "Hello"}]');
SELECT llm.chat('chat', '[{"role": "user", "content": 1}]');
SELECT llm.chat('chat', '[{"role": "user", "content": [{"type": "image_url"}]}]');
SELECT llm.chat('chat', '[{"role": "user", "content": "a", "tool_calls": []}]');
SELECT llm.chat(:'hello', '{"max_tokens": 5}');
SELECT llm.ask('chat', 'Hello', '{"add_generation_prompt": true}');
SELECT llm.apply_chat_template('chat', :'hello', '{"system": "x"}');
SELECT name FROM llm.load_model('chat_gemma', :'llama', '{"chat_template": "gemma"}');
SELECT llm.apply_chat_template('chat_gemma',
	'[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]');

SELECT llm.drop_model(name) FROM unnest(ARRAY['chat', 'chat_gemma']) AS name;
