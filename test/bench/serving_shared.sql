-- For pgbench: sessions whose prompts begin alike.
SELECT llm.generate(i.body || q.body, options => '{"max_tokens": 2}')
FROM instruction i, question q WHERE q.id = :client_id + 1;
