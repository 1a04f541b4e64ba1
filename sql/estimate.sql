--
-- What a model costs
--
\getenv data LLM_TEST_DATA
\set llama :data/tiny-llama.gguf
\set gpt2 :data/tiny-gpt2.gguf
SELECT name FROM llm.load_model('est', :'llama');
SELECT name FROM llm.load_model('est_gpt2', :'gpt2');

\pset format unaligned
-- by shape: what the keys tell
SELECT * FROM llm.estimate('{"parameters": 70e9, "bits": 16}');
SELECT * FROM llm.estimate('{"parameters": 70e9, "bits": 16, "layers": 80,
	"heads": 64, "kv_heads": 8, "embedding_length": 8192, "context": 4096,
	"batch": 2, "training_tokens": 15e12}');
SELECT * FROM llm.estimate('{"layers": 2, "heads": 4, "kv_heads": 2,
	"embedding_length": 32, "feed_forward_length": 64, "vocabulary": 300}');
SELECT item, value, unit FROM llm.estimate('{"parameters": 7e9, "bits": 4.5, "layers": null}');
SELECT * FROM llm.estimate('{"layers": 80, "heads": 64, "batch": 3}');
SELECT count(*) FROM llm.estimate('{}');
SELECT count(*) FROM llm.estimate(NULL);

-- 6 operations for each parameter and token, when attention is left out
SELECT value FROM llm.estimate('{"parameters": 70e9, "training_tokens": 15e12}')
WHERE item = 'flops_training';
-- the largest values stay exact
SELECT value FROM llm.estimate('{"parameters": 999999999999999999, "training_tokens": 999999999999999999}')
WHERE item = 'flops_training';

-- twice the context: twice the keys and values, four times the attention
SELECT item, b.value / a.value AS ratio
FROM llm.estimate('{"layers": 8, "heads": 8, "embedding_length": 64, "context": 512}') AS a
JOIN llm.estimate('{"layers": 8, "heads": 8, "embedding_length": 64, "context": 1024}') AS b
	USING (item, unit)
WHERE unit = 'bytes';

-- a model
SELECT * FROM llm.estimate('est', 64, 2) WHERE item <> 'weights';
SELECT a.item FROM llm.estimate('est', NULL, NULL) AS a
JOIN llm.models AS m ON m.name = 'est'
JOIN llm.estimate('est', m.context_length, 1) AS b USING (item, value, unit, explanation)
WHERE item IN ('kv_cache', 'flops_per_token') AND unit <> 'GB';
-- weights are what the cache holds
SELECT llm.preload('est'), llm.preload('est_gpt2');
SELECT s.model, e.value = s.bytes AS same
FROM llm.stat_cache AS s, llm.estimate(s.model, 1, 1) AS e
WHERE e.item = 'weights' AND e.unit = 'bytes' AND s.model IN ('est', 'est_gpt2')
ORDER BY s.model COLLATE "C";
-- a table of positions is looked up, the tied table of tokens multiplies
SELECT e.value - substring(e.explanation FROM 'with ([0-9]+)')::numeric
	= m.context_length * m.embedding_length AS same
FROM llm.models AS m, llm.estimate(m.name, 1, 1) AS e
WHERE m.name = 'est_gpt2' AND e.item = 'parameters';
-- a model of f32 keeps keys and values of twice the size
SELECT item, m.value / s.value AS ratio
FROM llm.models AS l, llm.estimate(l.name, 32, 1) AS m
JOIN llm.estimate((SELECT jsonb_build_object('layers', layers, 'heads', heads,
			'kv_heads', kv_heads, 'embedding_length', embedding_length, 'context', 32,
			'parameters', parameters)
		FROM llm.models WHERE name = 'est')) AS s USING (item, unit)
WHERE l.name = 'est' AND unit IN ('bytes', 'FLOP');

-- NULL
SELECT count(*) FROM llm.estimate(NULL, 1, 1);

-- errors
SELECT * FROM llm.estimate('[1]');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM llm.estimate('{"parameter": 1}');
SELECT * FROM llm.estimate('{"parameters": "70B"}');
SELECT * FROM llm.estimate('{"parameters": true}');
SELECT * FROM llm.estimate('{"parameters": [1]}');
SELECT * FROM llm.estimate('{"layers": {"a": 1}}');
SELECT * FROM llm.estimate('{"layers": 1.5}');
SELECT * FROM llm.estimate('{"layers": 0}');
SELECT * FROM llm.estimate('{"layers": -1}');
SELECT * FROM llm.estimate('{"bits": 0}');
SELECT * FROM llm.estimate('{"bits": 65}');
SELECT * FROM llm.estimate('{"training_tokens": 1e400}');
SELECT * FROM llm.estimate('{"heads": 3, "embedding_length": 32}');
SELECT * FROM llm.estimate('{"heads": 4, "kv_heads": 8}');
SELECT * FROM llm.estimate('est', 0, 1);
SELECT * FROM llm.estimate('est', 1000000, 1);
SELECT * FROM llm.estimate('est', 1, 0);
SELECT * FROM llm.estimate('no such model', 1, 1);

SELECT llm.drop_model('est'), llm.drop_model('est_gpt2');
