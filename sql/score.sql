--
-- How likely a model finds a text
--
\getenv data LLM_TEST_DATA
\set llama :data/tiny-llama.gguf
\set gpt2 :data/tiny-gpt2.gguf
\set qwen :data/tiny-qwen2.gguf
SELECT name FROM llm.load_model('score', :'llama');
SELECT name FROM llm.load_model('score_gpt2', :'gpt2');
SELECT name FROM llm.load_model('score_qwen', :'qwen');

SELECT "position", token_id, token, round(logprob::numeric, 5) AS logprob, rank
FROM llm.token_logprobs('score', 'the model');
SELECT round(llm.cross_entropy('score', 'the model')::numeric, 5) AS cross_entropy,
	round(llm.perplexity('score', 'the model')::numeric, 2) AS perplexity,
	round(llm.score('score', 'the', ' model')::numeric, 5) AS score;

-- each token as llm.next_token() has it after those before, to the bit; rows
-- are left out where the text of those before would be cut otherwise
CREATE TEMP TABLE scored AS
SELECT m.model, s.*, t.ids[1:s."position"] AS before,
	llm.detokenize(m.model, t.ids[1:s."position"]) AS prompt
FROM unnest(ARRAY['score', 'score_gpt2', 'score_qwen']) AS m(model),
	LATERAL (SELECT repeat('the model and a text, ', 6) || 'é😀' AS input) AS i,
	LATERAL (SELECT array_agg(token_id ORDER BY "position") AS ids
		FROM llm.token_logprobs(m.model, i.input)) AS t,
	llm.token_logprobs(m.model, i.input) AS s;
SELECT model, count(*) > 40 AS many,
	bool_and(n.logprob = s.logprob AND n.rank = s.rank) AS same
FROM scored AS s, llm.next_token(s.model, s.prompt, NULL) AS n
WHERE s."position" > 0 AND llm.tokenize(s.model, s.prompt) = s.before
	AND n.token_id = s.token_id
GROUP BY model ORDER BY model COLLATE "C";
SELECT count(*) AS first, count(logprob) + count(rank) AS known
FROM scored WHERE "position" = 0;
SELECT bool_and(logprob <= 0 AND rank BETWEEN 0 AND 299) AS plausible
FROM scored WHERE "position" > 0;

-- what is made of them
SELECT model,
	abs(llm.cross_entropy(model, input) - mean) < 1e-12 AS entropy,
	abs(ln(llm.perplexity(model, input)) - mean) < 1e-12 AS perplexity
FROM unnest(ARRAY['score', 'score_gpt2', 'score_qwen']) AS model,
	LATERAL (SELECT repeat('the model ', 20) AS input) AS i,
	LATERAL (SELECT -avg(logprob) AS mean FROM llm.token_logprobs(model, input)) AS t;

-- a continuation: its tokens, after those of the prompt
SELECT model, abs(llm.score(model, 'the model', ' and a text') - s.sum) < 1e-12 AS same
FROM unnest(ARRAY['score', 'score_gpt2', 'score_qwen']) AS model,
	LATERAL (SELECT sum(logprob) FROM llm.token_logprobs(model, 'the model and a text')
		WHERE "position" >= llm.count_tokens(model, 'the model')) AS s
WHERE llm.tokenize(model, 'the model') || llm.tokenize(model, ' and a text') =
	llm.tokenize(model, 'the model and a text');
SELECT llm.score('score', 'the m', 'he') = n.logprob AS one_token
FROM llm.next_token('score', 'the m', NULL::integer) AS n
WHERE llm.tokenize('score', 'he') = ARRAY[n.token_id];
SELECT llm.score('score', 'the model', '') AS nothing;
-- cut on its own, though the joined text has a token across the border
SELECT llm.tokenize('score', 'he') AS joined,
	llm.tokenize('score', 'h') || llm.tokenize('score', 'e') AS apart;
SELECT llm.score('score', 'h', 'e') = n.logprob AS apart
FROM llm.next_token('score', 'h', NULL::integer) AS n
WHERE n.token_id = (llm.tokenize('score', 'e'))[1];
-- of two continuations the likelier has the higher score
SELECT bool_and(score >= lead) AS ordered
FROM (SELECT score, lead(score) OVER (ORDER BY rank) AS lead
	FROM (SELECT n.rank, llm.score('score', 'the model', n.token) AS score
		FROM llm.next_token('score', 'the model', 20) AS n
		WHERE llm.tokenize('score', n.token) = ARRAY[n.token_id]) AS s) AS t;

-- windows: each a text of its own, whose second half is scored
CREATE TEMP TABLE long AS
SELECT string_agg('the model and text ' || i, ' ' ORDER BY i) AS input
FROM generate_series(1, 200) AS i;
SELECT llm.count_tokens('score', input) > 512 AS too_long FROM long;
SELECT llm.cross_entropy('score', input, '{"window": 16}') > 0 AS entropy,
	abs(ln(llm.perplexity('score', input, '{"window": 16}')) -
		llm.cross_entropy('score', input, '{"window": 16}')) < 1e-12 AS perplexity
FROM long;
-- the same from the tokens of every window, where its text is cut alike
CREATE TEMP TABLE windows AS
SELECT w, ids, llm.detokenize('score', ids) AS input
FROM (SELECT (t."position" / 16) AS w, array_agg(t.token_id ORDER BY t."position") AS ids
	FROM (SELECT 'the model and a text, ' AS piece) AS p,
		llm.tokens('score', repeat(p.piece, 20)) AS t
	GROUP BY 1 HAVING count(*) = 16) AS g;
SELECT count(*) > 10 AS many, bool_and(llm.tokenize('score', input) = ids) AS alike,
	abs(avg(m.mean) - (SELECT llm.cross_entropy('score',
		repeat('the model and a text, ', 20), '{"window": 16}'))) < 1e-12 AS same
FROM windows, LATERAL (SELECT -avg(logprob) AS mean
	FROM llm.token_logprobs('score', input) WHERE "position" > 8) AS m;
-- what does not fill a window is left out; three tokens are the least
SELECT llm.cross_entropy('score', 'aaaaaaaa', '{"window": 8}') =
	llm.cross_entropy('score', 'aaaaaaaabcd', '{"window": 8}') AS same;
SELECT llm.cross_entropy('score', 'abc', '{"window": 3}') =
	-(SELECT logprob FROM llm.token_logprobs('score', 'abc') WHERE "position" = 2) AS same;

-- too short to have a score, NULL
SELECT llm.cross_entropy('score', 'a') IS NULL AS a,
	llm.perplexity('score', '') IS NULL AS b,
	llm.perplexity('score', NULL) IS NULL AS c,
	llm.cross_entropy(NULL::text, 'a b') IS NULL AS d,
	llm.score('score', NULL, 'a') IS NULL AS e,
	llm.score('score', 'a', NULL) IS NULL AS f,
	llm.perplexity('score', 'a b', NULL) = llm.perplexity('score', 'a b') AS g;
SELECT * FROM llm.token_logprobs('score', 'a');
SELECT count(*) FROM llm.token_logprobs('score', NULL);
SELECT count(*) FROM llm.token_logprobs(NULL, 'a');

-- a constant call is computed once
SELECT count(*), count(DISTINCT p)
FROM (SELECT llm.perplexity('score', repeat('the model ', 40)) AS p
	FROM generate_series(1, 20000)) AS t;
SELECT count(*), count(DISTINCT s)
FROM (SELECT llm.score('score', repeat('the model ', 40), 'a') AS s
	FROM generate_series(1, 20000)) AS t;

-- errors
\set VERBOSITY terse
SELECT llm.perplexity('score', input) FROM long;
SELECT count(*) FROM long, llm.token_logprobs('score', input);
SELECT llm.score('score', input, 'a') FROM long;
SELECT llm.score('score', 'a', input) FROM long;
\set VERBOSITY default
SELECT llm.perplexity('score', 'the model', '{"window": 512}');
SELECT llm.perplexity('score', input, '{"window": 513}') FROM long;
SELECT llm.perplexity('score', 'the model', '{"window": 2}');
SELECT llm.perplexity('score', 'the model', '{"window": "all"}');
SELECT llm.perplexity('score', 'the model', '{"windows": 16}');
SELECT llm.cross_entropy('score', 'the model', '{"temperature": 1}');
SELECT llm.generate('score', 'the model', '{"window": 16}');
SELECT llm.perplexity('no such model', 'the model');
SET llm.max_tokens_per_call = 100;
\set VERBOSITY terse
SELECT llm.perplexity('score', input, '{"window": 16}') FROM long;
\set VERBOSITY default
RESET llm.max_tokens_per_call;

SELECT llm.drop_model('score'), llm.drop_model('score_gpt2'), llm.drop_model('score_qwen');
