-- The mathematics of transformers on arrays.
--
-- Weights of linear layers are [outputs][inputs], as llm.tensor() gives them.

CREATE FUNCTION llm.softmax(x real[])
RETURNS real[]
AS 'MODULE_PATHNAME', 'llm_softmax'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION llm.softmax(real[]) IS
'exp(x) / sum(exp(x)) of a vector, or of each row of a matrix';

CREATE FUNCTION llm.layer_norm(x real[], weight real[], bias real[], eps real DEFAULT 1e-5)
RETURNS real[]
AS 'MODULE_PATHNAME', 'llm_layer_norm'
LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION llm.layer_norm(real[], real[], real[], real) IS
'(x - mean) / sqrt(variance + eps) * weight + bias of a vector, or of each row of a matrix; weight and bias may be NULL';

CREATE FUNCTION llm.rms_norm(x real[], weight real[], eps real DEFAULT 1e-5)
RETURNS real[]
AS 'MODULE_PATHNAME', 'llm_rms_norm'
LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION llm.rms_norm(real[], real[], real) IS
'x / sqrt(mean(x * x) + eps) * weight of a vector, or of each row of a matrix; weight may be NULL';

CREATE FUNCTION llm.gelu(x real[], approximate text DEFAULT 'none')
RETURNS real[]
AS 'MODULE_PATHNAME', 'llm_gelu'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION llm.gelu(real[], text) IS
'x / 2 * (1 + erf(x / sqrt(2))) of each value; approximate "tanh" is the approximation of GPT-2';

CREATE FUNCTION llm.silu(x real[])
RETURNS real[]
AS 'MODULE_PATHNAME', 'llm_silu'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION llm.silu(real[]) IS
'x / (1 + exp(-x)) of each value';

CREATE FUNCTION llm.matmul(a real[], b real[])
RETURNS real[]
AS 'MODULE_PATHNAME', 'llm_matmul'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION llm.matmul(real[], real[]) IS
'the product of two matrices; the last bits may differ between processors';

CREATE FUNCTION llm.transpose(x real[])
RETURNS real[]
AS 'MODULE_PATHNAME', 'llm_transpose'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION llm.transpose(real[]) IS
'a matrix with rows and columns exchanged: a linear layer is llm.matmul(x, llm.transpose(weight))';

CREATE FUNCTION llm.scaled_dot_product_attention(q real[], k real[], v real[],
	causal boolean DEFAULT false)
RETURNS real[]
AS 'MODULE_PATHNAME', 'llm_scaled_dot_product_attention'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION llm.scaled_dot_product_attention(real[], real[], real[], boolean) IS
'softmax(q k^T / sqrt(columns of q)) v; causal: the query of row i sees the keys of rows 0 to i only';

CREATE FUNCTION llm.multi_head_attention(x real[], wq real[], wk real[],
	wv real[], wo real[], heads integer, causal boolean,
	bq real[] DEFAULT NULL, bk real[] DEFAULT NULL, bv real[] DEFAULT NULL,
	bo real[] DEFAULT NULL, rope_base real DEFAULT NULL,
	rope_layout text DEFAULT 'neighbours')
RETURNS real[]
AS 'MODULE_PATHNAME', 'llm_multi_head_attention'
LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION llm.multi_head_attention(real[], real[], real[], real[], real[], integer, boolean, real[], real[], real[], real[], real, text) IS
'self-attention of the rows of x; weights are [outputs][inputs], wk and wv may have fewer heads; bq to bo are biases; with rope_base queries and keys are rotated as llm.rope() does';

CREATE FUNCTION llm.feed_forward(x real[], w1 real[], b1 real[], w2 real[],
	b2 real[], activation text DEFAULT 'gelu', w3 real[] DEFAULT NULL)
RETURNS real[]
AS 'MODULE_PATHNAME', 'llm_feed_forward'
LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION llm.feed_forward(real[], real[], real[], real[], real[], text, real[]) IS
'w2 activation(w1 x + b1) + b2 of a vector, or of each row of a matrix; activation: gelu (exact; GPT-2 has gelu_tanh), gelu_tanh, relu (of the paper) or silu; with w3 (up) the activation (gate, w1) is multiplied by w3 x; biases may be NULL';

CREATE FUNCTION llm.residual(x real[], y real[])
RETURNS real[]
AS 'MODULE_PATHNAME', 'llm_residual'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION llm.residual(real[], real[]) IS
'x + y; a vector y is added to each row of a matrix x';

CREATE FUNCTION llm.cross_entropy(logits real[], target integer)
RETURNS double precision
AS 'MODULE_PATHNAME', 'llm_cross_entropy_logits'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION llm.cross_entropy(real[], integer) IS
'-ln(softmax(logits)[target]); target counts from 0';

CREATE FUNCTION llm.rope(x real[], base real DEFAULT 10000,
	layout text DEFAULT 'neighbours', heads integer DEFAULT 1)
RETURNS real[]
AS 'MODULE_PATHNAME', 'llm_rope'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION llm.rope(real[], real, text, integer) IS
'rotary position embedding: row i is position i; layout: the pairs are "neighbours" (the paper; llama) or "halves" (GPT-NeoX, qwen2); heads: so many vectors lie side by side in a row';
