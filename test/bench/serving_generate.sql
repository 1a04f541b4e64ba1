-- For pgbench: a prompt of 128 tokens that nobody has had yet, 64 generated.
SELECT llm.generate(body,
	options => '{"max_tokens": 64, "ignore_eos": true}')
FROM prompt WHERE id = (SELECT nextval('next_prompt'));
