/*-------------------------------------------------------------------------
 *
 * architecture_table.c
 *	  The architectures that we run, and the tensors that they are made of.
 *
 * A new architecture is a row of architectures[], and a slot for each kind of
 * tensor that no row had before.  Names of tensors are those that GGUF files
 * use (ggml-org/ggml, docs/gguf.md); README.md of the engine lists them.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "model/architecture_table.h"

#include <stdio.h>
#include <string.h>

#define GLOBAL(slot_name, slot_form, slot_rows, slot_columns, slot_field) \
	{.name = slot_name, .form = slot_form, .rows = slot_rows, \
	 .columns = slot_columns, .field = offsetof(ImageHeader, slot_field)}

#define GLOBAL_VECTOR(slot_name, length, slot_field) \
	GLOBAL(slot_name, FORM_VECTOR, LENGTH_ONE, length, slot_field)

#define MATRIX(slot_name, slot_rows, slot_columns, slot_field) \
	{.name = slot_name, .in_layer = true, .form = FORM_PANELS, \
	 .rows = slot_rows, .columns = slot_columns, \
	 .field = offsetof(ImageLayer, slot_field)}

#define VECTOR(slot_name, length, slot_field) \
	{.name = slot_name, .in_layer = true, .form = FORM_VECTOR, \
	 .rows = LENGTH_ONE, .columns = length, \
	 .field = offsetof(ImageLayer, slot_field)}

const TensorSlot tensor_slots[N_SLOTS] = {
	[SLOT_TOKEN_EMBD] =
	GLOBAL("token_embd.weight", FORM_EMBEDDING, LENGTH_VOCABULARY,
		   LENGTH_EMBEDDING, token_embd),
	[SLOT_POSITION_EMBD] =
	GLOBAL("position_embd.weight", FORM_ROWS, LENGTH_CONTEXT,
		   LENGTH_EMBEDDING, position_embd),
	[SLOT_TOKEN_TYPES] =
	GLOBAL("token_types.weight", FORM_ROWS, LENGTH_TOKEN_TYPES,
		   LENGTH_EMBEDDING, token_types),
	[SLOT_TOKEN_EMBD_NORM] =
	GLOBAL_VECTOR("token_embd_norm.weight", LENGTH_EMBEDDING,
				  token_embd_norm),
	[SLOT_TOKEN_EMBD_NORM_BIAS] =
	GLOBAL_VECTOR("token_embd_norm.bias", LENGTH_EMBEDDING,
				  token_embd_norm_bias),
	[SLOT_OUTPUT_NORM] =
	GLOBAL_VECTOR("output_norm.weight", LENGTH_EMBEDDING, output_norm),
	[SLOT_OUTPUT_NORM_BIAS] =
	GLOBAL_VECTOR("output_norm.bias", LENGTH_EMBEDDING, output_norm_bias),
	[SLOT_OUTPUT] =
	GLOBAL("output.weight", FORM_PANELS, LENGTH_VOCABULARY,
		   LENGTH_EMBEDDING, output),
	[SLOT_OUTPUT_BIAS] =
	GLOBAL_VECTOR("output.bias", LENGTH_VOCABULARY, output_bias),
	[SLOT_ROPE_FREQS] =
	GLOBAL("rope_freqs.weight", FORM_DIVISORS, LENGTH_ONE,
		   LENGTH_ROPE_PAIRS, rope_divisor),
	[SLOT_DENSE_2] =
	GLOBAL("dense_2.weight", FORM_PANELS, LENGTH_DENSE_2, LENGTH_EMBEDDING,
		   dense_2),
	[SLOT_DENSE_2_BIAS] =
	GLOBAL_VECTOR("dense_2.bias", LENGTH_DENSE_2, dense_2_bias),
	[SLOT_DENSE_3] =
	GLOBAL("dense_3.weight", FORM_PANELS, LENGTH_DENSE_3, LENGTH_DENSE_2,
		   dense_3),
	[SLOT_DENSE_3_BIAS] =
	GLOBAL_VECTOR("dense_3.bias", LENGTH_DENSE_3, dense_3_bias),
	[SLOT_CLS] =
	GLOBAL("cls.weight", FORM_PANELS, LENGTH_EMBEDDING, LENGTH_EMBEDDING,
		   cls),
	[SLOT_CLS_BIAS] =
	GLOBAL_VECTOR("cls.bias", LENGTH_EMBEDDING, cls_bias),
	[SLOT_CLS_NORM] =
	GLOBAL_VECTOR("cls.norm.weight", LENGTH_EMBEDDING, cls_norm),
	[SLOT_CLS_NORM_BIAS] =
	GLOBAL_VECTOR("cls.norm.bias", LENGTH_EMBEDDING, cls_norm_bias),
	[SLOT_CLS_OUTPUT] =
	GLOBAL("cls.output.weight", FORM_PANELS, LENGTH_LABELS, LENGTH_EMBEDDING,
		   cls_output),
	[SLOT_CLS_OUTPUT_BIAS] =
	GLOBAL_VECTOR("cls.output.bias", LENGTH_LABELS, cls_output_bias),

	[SLOT_ATTN_NORM] =
	VECTOR("attn_norm.weight", LENGTH_EMBEDDING, attn_norm),
	[SLOT_ATTN_NORM_BIAS] =
	VECTOR("attn_norm.bias", LENGTH_EMBEDDING, attn_norm_bias),
	[SLOT_ATTN_QKV] =
	MATRIX("attn_qkv.weight", LENGTH_QKV, LENGTH_EMBEDDING, attn_qkv),
	[SLOT_ATTN_QKV_BIAS] =
	VECTOR("attn_qkv.bias", LENGTH_QKV, attn_qkv_bias),
	[SLOT_ATTN_Q] =
	MATRIX("attn_q.weight", LENGTH_QUERY, LENGTH_EMBEDDING, attn_q),
	[SLOT_ATTN_K] =
	MATRIX("attn_k.weight", LENGTH_KEY, LENGTH_EMBEDDING, attn_k),
	[SLOT_ATTN_V] =
	MATRIX("attn_v.weight", LENGTH_VALUE, LENGTH_EMBEDDING, attn_v),
	[SLOT_ATTN_OUTPUT] =
	MATRIX("attn_output.weight", LENGTH_EMBEDDING, LENGTH_HEADS,
		   attn_output),
	[SLOT_ATTN_Q_BIAS] =
	VECTOR("attn_q.bias", LENGTH_QUERY, attn_q_bias),
	[SLOT_ATTN_K_BIAS] =
	VECTOR("attn_k.bias", LENGTH_KEY, attn_k_bias),
	[SLOT_ATTN_V_BIAS] =
	VECTOR("attn_v.bias", LENGTH_VALUE, attn_v_bias),
	[SLOT_ATTN_OUTPUT_BIAS] =
	VECTOR("attn_output.bias", LENGTH_EMBEDDING, attn_output_bias),
	[SLOT_ATTN_Q_NORM] =
	VECTOR("attn_q_norm.weight", LENGTH_HEAD_KEY, attn_q_norm),
	[SLOT_ATTN_K_NORM] =
	VECTOR("attn_k_norm.weight", LENGTH_HEAD_KEY, attn_k_norm),
	[SLOT_ATTN_OUTPUT_NORM] =
	VECTOR("attn_output_norm.weight", LENGTH_EMBEDDING, attn_post_norm),
	[SLOT_ATTN_OUTPUT_NORM_BIAS] =
	VECTOR("attn_output_norm.bias", LENGTH_EMBEDDING, attn_post_norm_bias),
	[SLOT_POST_ATTENTION_NORM] =
	VECTOR("post_attention_norm.weight", LENGTH_EMBEDDING, attn_post_norm),
	[SLOT_FFN_NORM] =
	VECTOR("ffn_norm.weight", LENGTH_EMBEDDING, ffn_norm),
	[SLOT_FFN_NORM_BIAS] =
	VECTOR("ffn_norm.bias", LENGTH_EMBEDDING, ffn_norm_bias),
	[SLOT_FFN_GATE] =
	MATRIX("ffn_gate.weight", LENGTH_FEED_FORWARD, LENGTH_EMBEDDING,
		   ffn_gate),
	[SLOT_FFN_UP] =
	MATRIX("ffn_up.weight", LENGTH_FEED_FORWARD, LENGTH_EMBEDDING, ffn_up),
	[SLOT_FFN_GATE_AND_UP] =
	MATRIX("ffn_up.weight", LENGTH_GATE_AND_UP, LENGTH_EMBEDDING, ffn_up),
	[SLOT_FFN_DOWN] =
	MATRIX("ffn_down.weight", LENGTH_EMBEDDING, LENGTH_FEED_FORWARD,
		   ffn_down),
	[SLOT_FFN_GATE_BIAS] =
	VECTOR("ffn_gate.bias", LENGTH_FEED_FORWARD, ffn_gate_bias),
	[SLOT_FFN_UP_BIAS] =
	VECTOR("ffn_up.bias", LENGTH_FEED_FORWARD, ffn_up_bias),
	[SLOT_FFN_DOWN_BIAS] =
	VECTOR("ffn_down.bias", LENGTH_EMBEDDING, ffn_down_bias),
	[SLOT_LAYER_OUTPUT_NORM] =
	VECTOR("layer_output_norm.weight", LENGTH_EMBEDDING, ffn_post_norm),
	[SLOT_LAYER_OUTPUT_NORM_BIAS] =
	VECTOR("layer_output_norm.bias", LENGTH_EMBEDDING, ffn_post_norm_bias),
	[SLOT_POST_FFW_NORM] =
	VECTOR("post_ffw_norm.weight", LENGTH_EMBEDDING, ffn_post_norm),
};

/* What every pre-norm model has, with gate and up apart */
#define DECODER \
	(SLOT_BIT(SLOT_TOKEN_EMBD) | SLOT_BIT(SLOT_OUTPUT_NORM) | \
	 SLOT_BIT(SLOT_ATTN_NORM) | SLOT_BIT(SLOT_ATTN_OUTPUT) | \
	 SLOT_BIT(SLOT_FFN_NORM) | SLOT_BIT(SLOT_FFN_UP) | \
	 SLOT_BIT(SLOT_FFN_DOWN))

/* What every post-norm encoder has */
#define POST_NORM_ENCODER \
	(SLOT_BIT(SLOT_TOKEN_EMBD) | \
	 SLOT_BIT(SLOT_TOKEN_EMBD_NORM) | SLOT_BIT(SLOT_TOKEN_EMBD_NORM_BIAS) | \
	 SLOT_BIT(SLOT_ATTN_OUTPUT) | \
	 SLOT_BIT(SLOT_ATTN_OUTPUT_NORM) | \
	 SLOT_BIT(SLOT_ATTN_OUTPUT_NORM_BIAS) | \
	 SLOT_BIT(SLOT_FFN_UP) | SLOT_BIT(SLOT_FFN_DOWN) | \
	 SLOT_BIT(SLOT_LAYER_OUTPUT_NORM) | \
	 SLOT_BIT(SLOT_LAYER_OUTPUT_NORM_BIAS))

#define GEMMA \
	(DECODER | SEPARATE_QKV | SLOT_BIT(SLOT_FFN_GATE))

#define SANDWICH_NORMS \
	(SLOT_BIT(SLOT_POST_ATTENTION_NORM) | SLOT_BIT(SLOT_POST_FFW_NORM))

#define HEAD_NORMS \
	(SLOT_BIT(SLOT_ATTN_Q_NORM) | SLOT_BIT(SLOT_ATTN_K_NORM))

/* What may follow the hidden states of models that embed or rank */
#define DENSE_LAYERS \
	(SLOT_BIT(SLOT_DENSE_2) | SLOT_BIT(SLOT_DENSE_2_BIAS) | \
	 SLOT_BIT(SLOT_DENSE_3) | SLOT_BIT(SLOT_DENSE_3_BIAS))

#define CLASSIFIER \
	(SLOT_BIT(SLOT_CLS) | SLOT_BIT(SLOT_CLS_BIAS) | \
	 SLOT_BIT(SLOT_CLS_OUTPUT) | SLOT_BIT(SLOT_CLS_OUTPUT_BIAS))

#define HEADS (DENSE_LAYERS | CLASSIFIER)

#define SEPARATE_QKV \
	(SLOT_BIT(SLOT_ATTN_Q) | SLOT_BIT(SLOT_ATTN_K) | SLOT_BIT(SLOT_ATTN_V))

#define QKV_BIASES \
	(SLOT_BIT(SLOT_ATTN_Q_BIAS) | SLOT_BIT(SLOT_ATTN_K_BIAS) | \
	 SLOT_BIT(SLOT_ATTN_V_BIAS))

#define FFN_BIASES \
	(SLOT_BIT(SLOT_FFN_GATE_BIAS) | SLOT_BIT(SLOT_FFN_UP_BIAS) | \
	 SLOT_BIT(SLOT_FFN_DOWN_BIAS))

#define OUTPUT_AND_ROPE \
	(SLOT_BIT(SLOT_OUTPUT) | SLOT_BIT(SLOT_ROPE_FREQS) | DENSE_LAYERS)

static const Architecture architectures[] = {
	{
		.name = "gpt2",
		.norm = NORM_LAYER,
		.rope = ROPE_NONE,
		.feed_forward = FFN_GELU_TANH,
		.learned_positions = true,
		.needs = DECODER | SLOT_BIT(SLOT_POSITION_EMBD) |
		SLOT_BIT(SLOT_OUTPUT_NORM_BIAS) | SLOT_BIT(SLOT_ATTN_NORM_BIAS) |
		SLOT_BIT(SLOT_ATTN_QKV) | SLOT_BIT(SLOT_ATTN_QKV_BIAS) |
		SLOT_BIT(SLOT_ATTN_OUTPUT_BIAS) | SLOT_BIT(SLOT_FFN_NORM_BIAS) |
		SLOT_BIT(SLOT_FFN_UP_BIAS) | SLOT_BIT(SLOT_FFN_DOWN_BIAS),
		.may_have = SLOT_BIT(SLOT_OUTPUT) | DENSE_LAYERS,
	},
	{
		.name = "llama",		/* Mistral and SmolLM2 too */
		.norm = NORM_RMS,
		.rope = ROPE_NORM,
		.feed_forward = FFN_SILU_GATED,
		.window = WINDOW_ALL,
		.needs = DECODER | SEPARATE_QKV | SLOT_BIT(SLOT_FFN_GATE),
		.may_have = OUTPUT_AND_ROPE | QKV_BIASES | FFN_BIASES |
		SLOT_BIT(SLOT_ATTN_OUTPUT_BIAS),
	},
	{
		.name = "qwen2",
		.norm = NORM_RMS,
		.rope = ROPE_NEOX,
		.feed_forward = FFN_SILU_GATED,
		.needs = DECODER | SEPARATE_QKV | QKV_BIASES |
		SLOT_BIT(SLOT_FFN_GATE),
		.may_have = OUTPUT_AND_ROPE | SLOT_BIT(SLOT_OUTPUT_BIAS),
	},
	{
		.name = "qwen3",
		.norm = NORM_RMS,
		.rope = ROPE_NEOX,
		.feed_forward = FFN_SILU_GATED,
		.needs = DECODER | SEPARATE_QKV | SLOT_BIT(SLOT_FFN_GATE) |
		HEAD_NORMS,
		.may_have = OUTPUT_AND_ROPE,
	},
	{
		.name = "gemma",
		.norm = NORM_RMS,
		.rope = ROPE_NEOX,
		.feed_forward = FFN_GELU_TANH_GATED,
		.scale_embedding = true,
		.needs = GEMMA,
		.may_have = DENSE_LAYERS,
	},
	{
		.name = "gemma2",
		.norm = NORM_RMS,
		.rope = ROPE_NEOX,
		.feed_forward = FFN_GELU_TANH_GATED,
		.scale_embedding = true,
		.window = WINDOW_PERIOD,
		.window_default = 4096,
		.window_period = 2,
		.window_global = 1,
		.needs = GEMMA | SANDWICH_NORMS,
		.may_have = DENSE_LAYERS,
	},
	{
		.name = "gemma3",
		.norm = NORM_RMS,
		.rope = ROPE_NEOX,
		.feed_forward = FFN_GELU_TANH_GATED,
		.scale_embedding = true,
		.window = WINDOW_PERIOD,
		.window_period = 6,
		.window_global = 5,
		.rope_local = true,
		.needs = GEMMA | SANDWICH_NORMS | HEAD_NORMS,
		.may_have = SLOT_BIT(SLOT_OUTPUT) | DENSE_LAYERS,
	},
	{
		.name = "gemma-embedding",
		.norm = NORM_RMS,
		.rope = ROPE_NEOX,
		.feed_forward = FFN_GELU_TANH_GATED,
		.encoder = true,
		.scale_embedding = true,
		.window = WINDOW_PERIOD,
		.window_period = 6,
		.window_global = 5,
		.rope_local = true,
		.needs = GEMMA | SANDWICH_NORMS | HEAD_NORMS,
		.may_have = DENSE_LAYERS,
	},
	{
		.name = "bert",			/* DistilBERT, RoBERTa, XLM-RoBERTa too */
		.norm = NORM_LAYER,
		.rope = ROPE_NONE,
		.feed_forward = FFN_GELU_ERF,
		.learned_positions = true,
		.encoder = true,
		.post_norm = true,
		.needs = POST_NORM_ENCODER | SLOT_BIT(SLOT_POSITION_EMBD) |
		SEPARATE_QKV | QKV_BIASES | SLOT_BIT(SLOT_ATTN_OUTPUT_BIAS) |
		SLOT_BIT(SLOT_FFN_UP_BIAS) | SLOT_BIT(SLOT_FFN_DOWN_BIAS),
		.may_have = SLOT_BIT(SLOT_TOKEN_TYPES) | HEADS,
	},
	{
		.name = "nomic-bert",
		.norm = NORM_LAYER,
		.rope = ROPE_NEOX,
		.feed_forward = FFN_SILU_GATED,
		.encoder = true,
		.post_norm = true,
		.needs = POST_NORM_ENCODER | SLOT_BIT(SLOT_ATTN_QKV) |
		SLOT_BIT(SLOT_FFN_GATE),
		.may_have = SLOT_BIT(SLOT_TOKEN_TYPES) |
		SLOT_BIT(SLOT_ATTN_QKV_BIAS) | SLOT_BIT(SLOT_ATTN_OUTPUT_BIAS) |
		FFN_BIASES | HEADS,
	},
	{
		.name = "modern-bert",
		.norm = NORM_LAYER,
		.rope = ROPE_NEOX,
		.feed_forward = FFN_GELU_ERF_GATED,
		.encoder = true,
		.window = WINDOW_PERIOD,
		.window_period = 3,
		.window_global = 0,
		.rope_local = true,
		.needs = SLOT_BIT(SLOT_TOKEN_EMBD) |
		SLOT_BIT(SLOT_TOKEN_EMBD_NORM) | SLOT_BIT(SLOT_OUTPUT_NORM) |
		SLOT_BIT(SLOT_ATTN_NORM) | SLOT_BIT(SLOT_ATTN_QKV) |
		SLOT_BIT(SLOT_ATTN_OUTPUT) | SLOT_BIT(SLOT_FFN_NORM) |
		SLOT_BIT(SLOT_FFN_GATE_AND_UP) | SLOT_BIT(SLOT_FFN_DOWN),
		.may_have = SLOT_BIT(SLOT_TOKEN_EMBD_NORM_BIAS) |
		SLOT_BIT(SLOT_OUTPUT_NORM_BIAS) | SLOT_BIT(SLOT_ATTN_NORM_BIAS) |
		SLOT_BIT(SLOT_FFN_NORM_BIAS) | SLOT_BIT(SLOT_ATTN_QKV_BIAS) |
		SLOT_BIT(SLOT_ATTN_OUTPUT_BIAS) | SLOT_BIT(SLOT_FFN_DOWN_BIAS) |
		SLOT_BIT(SLOT_CLS_NORM) | SLOT_BIT(SLOT_CLS_NORM_BIAS) | HEADS,
	},
};

#define N_ARCHITECTURES (sizeof(architectures) / sizeof(architectures[0]))

const Architecture *
architecture_find(const char *name)
{
	for (size_t i = 0; i < N_ARCHITECTURES; i++)
	{
		if (strcmp(architectures[i].name, name) == 0)
			return &architectures[i];
	}
	return NULL;
}

const char *
architecture_names(void)
{
	return "bert, gemma, gemma2, gemma3, gemma-embedding, gpt2, llama, "
		"modern-bert, nomic-bert, qwen2, qwen3";
}

const char *
architecture_key(const Architecture *architecture, const char *suffix,
				 char *buf, size_t size)
{
	snprintf(buf, size, "%s.%s", architecture->name, suffix);
	return buf;
}
