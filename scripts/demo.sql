-- The statements of scripts/demo
CREATE EXTENSION llm;
SELECT llm.load_model('smollm2', :'model');
SELECT llm.generate('The capital of France is');
SELECT * FROM llm.next_token('smollm2', 'The capital of France is');

SELECT name, embedding_length, capabilities FROM llm.load_model('minilm', :'minilm');
CREATE TABLE docs (title text, body text, embedding real[]);
CREATE TRIGGER embed BEFORE INSERT OR UPDATE ON docs
    FOR EACH ROW EXECUTE FUNCTION llm.embed_trigger('embedding', 'minilm', 'title', 'body');
INSERT INTO docs VALUES
    ('Sourdough', 'Flour, water and salt ferment overnight before they go into the oven.'),
    ('Puncture', 'How to mend the tyre of a bicycle on the road.'),
    ('Basil', 'The herb wants sun, and water in the morning.');
SELECT title FROM docs
ORDER BY llm.cosine_similarity(embedding, llm.embed('minilm', 'how do I bake bread?')) DESC LIMIT 5;
