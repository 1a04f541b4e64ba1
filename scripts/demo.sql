-- The statements of scripts/demo
CREATE EXTENSION llm;
SELECT llm.load_model('smollm2', :'model');
SELECT llm.generate('The capital of France is');
SELECT * FROM llm.next_token('smollm2', 'The capital of France is');
