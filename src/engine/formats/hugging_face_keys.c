/*-------------------------------------------------------------------------
 *
 * hugging_face_keys.c
 *	  Hyper-parameters as keys of a GGUF file.
 *
 * Names are those that other engines read (formats.md section 3).  A value
 * that is the reader's default is left out where other writers leave it out
 * too.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/hugging_face_rope.h"

#include "base/math64.h"

#include <stdio.h>
#include <string.h>

#define GGUF_ALIGNMENT 32
#define QUANTIZATION_VERSION 2	/* of the block formats */

typedef struct KeyWriter
{
	HfModel    *model;
	GgufWriter *writer;
	HfObject	config;
	char		name[96];
} KeyWriter;

/* "llama.block_count" */
static const char *
key_of(KeyWriter *self, const char *suffix)
{
	snprintf(self->name, sizeof(self->name), "%s.%s",
			 self->model->architecture, suffix);
	return self->name;
}

static void
put_size(KeyWriter *self, const char *suffix, int32_t value)
{
	gguf_put_u32(self->writer, key_of(self, suffix), (uint32_t) value);
}

static void
put_number(KeyWriter *self, const char *suffix, double value)
{
	gguf_put_f32(self->writer, key_of(self, suffix), (float) value);
}

/* The last part of the name that the model was published under */
static EngineCode
put_general(KeyWriter *self)
{
	const char *name = NULL;
	const char *slash;

	gguf_put_text(self->writer, "general.architecture",
				  self->model->architecture);
	gguf_put_text(self->writer, "general.type", "model");
	ENGINE_TRY(hf_get_text(&self->config, "_name_or_path", &name));
	slash = name == NULL ? NULL : strrchr(name, '/');
	if (slash != NULL)
		name = slash + 1;
	if (name != NULL && name[0] != '\0')
		gguf_put_text(self->writer, "general.name", name);
	gguf_put_u32(self->writer, "general.file_type",
				 (uint32_t) self->model->file_type);
	gguf_put_u32(self->writer, "general.quantization_version",
				 QUANTIZATION_VERSION);
	gguf_put_u32(self->writer, "general.alignment", GGUF_ALIGNMENT);
	return ENGINE_OK;
}

static void
put_sizes(KeyWriter *self)
{
	const HfModel *model = self->model;

	put_size(self, "context_length", model->context_length);
	put_size(self, "embedding_length", model->embedding_length);
	put_size(self, "block_count", model->n_layers);
	put_size(self, "feed_forward_length", model->feed_forward_length);
	put_size(self, "attention.head_count", model->n_heads);
	put_size(self, "attention.head_count_kv", model->n_kv_heads);
	if ((int64_t) model->key_length * model->n_heads !=
		model->embedding_length)
	{
		put_size(self, "attention.key_length", model->key_length);
		put_size(self, "attention.value_length", model->key_length);
	}
	put_size(self, "vocab_size", model->vocabulary);
	if (!model->causal)
		gguf_put_bool(self->writer, key_of(self, "attention.causal"), false);
}

static bool
has_rms_norm(HfFamily family)
{
	return family == HF_LLAMA || family == HF_QWEN2 || family == HF_QWEN3 ||
		family == HF_GEMMA || family == HF_GEMMA2 || family == HF_GEMMA3 ||
		family == HF_GEMMA_EMBEDDING;
}

/* What each class of transformers has without the member; DistilBERT's is
 * fixed. */
static double
default_epsilon(HfFamily family)
{
	if (has_rms_norm(family))
		return 1e-6;
	if (family == HF_GPT2 || family == HF_MODERN_BERT)
		return 1e-5;
	return 1e-12;
}

static EngineCode
put_epsilon(KeyWriter *self)
{
	HfFamily	family = self->model->family;
	double		epsilon = default_epsilon(family);
	static const char *const names[] = {
		"layer_norm_eps", "layer_norm_epsilon", "norm_eps"
	};

	if (has_rms_norm(family))
	{
		ENGINE_TRY(hf_get_float(&self->config, "rms_norm_eps", 1e-30, 1,
								&epsilon));
		put_number(self, "attention.layer_norm_rms_epsilon", epsilon);
		return ENGINE_OK;
	}
	for (size_t i = 0; i < 3 && family != HF_DISTILBERT; i++)
		ENGINE_TRY(hf_get_float(&self->config, names[i], 1e-30, 1,
								&epsilon));
	put_number(self, "attention.layer_norm_epsilon", epsilon);
	return ENGINE_OK;
}

static void
put_scaling(KeyWriter *self, const HfRope *rope)
{
	if (rope->scaling != HF_ROPE_LINEAR && rope->scaling != HF_ROPE_YARN)
		return;
	gguf_put_text(self->writer, key_of(self, "rope.scaling.type"),
				  rope->scaling == HF_ROPE_LINEAR ? "linear" : "yarn");
	put_number(self, "rope.scaling.factor", rope->factor);
	if (rope->scaling == HF_ROPE_LINEAR)
		return;
	put_size(self, "rope.scaling.original_context_length",
			 (int32_t) rope->original);
	if (rope->beta_fast != 32)
		put_number(self, "rope.scaling.yarn_beta_fast", rope->beta_fast);
	if (rope->beta_slow != 1)
		put_number(self, "rope.scaling.yarn_beta_slow", rope->beta_slow);

	/* readers multiply this with the factor of the paper's formula */
	if (rope->attention_factor != 0)
		put_number(self, "rope.scaling.attn_factor", rope->attention_factor /
				   (1 + 0.1 * math_log(rope->factor)));
}

static EngineCode
put_rope(KeyWriter *self)
{
	HfRope		rope;

	if (!hf_rotates(self->model->family))
		return ENGINE_OK;
	ENGINE_TRY(hf_read_rope(self->model, &rope));
	put_size(self, "rope.dimension_count", rope.n_rot);
	put_number(self, "rope.freq_base", rope.base);
	if (rope.local_base != 0)
		put_number(self, "rope.freq_base_swa", rope.local_base);
	put_scaling(self, &rope);
	return ENGINE_OK;
}

/* Gemma 2's period is fixed, and other engines have no key for it. */
static void
put_window(KeyWriter *self)
{
	const HfModel *model = self->model;

	if (model->window > 0)
		put_size(self, "attention.sliding_window", model->window);
	if (model->window_period > 0 && model->family != HF_GEMMA2)
		put_size(self, "attention.sliding_window_pattern",
				 model->window_period);
}

static EngineCode
put_cap(KeyWriter *self, const char *name, const char *suffix,
		double fallback)
{
	const JsonNode *node = json_member(self->config.node, name);
	double		cap = fallback;

	if (node != NULL && node->type == JSON_NULL)
		cap = 0;
	ENGINE_TRY(hf_get_float(&self->config, name, 0, 1e6, &cap));
	if (cap != 0)
		put_number(self, suffix, cap);
	return ENGINE_OK;
}

/* Soft caps and the scale of scores, which Gemma's later versions have */
static EngineCode
put_attention(KeyWriter *self)
{
	HfFamily	family = self->model->family;
	bool		gemma2 = family == HF_GEMMA2;
	double		scalar = 256;

	if (!gemma2 && family != HF_GEMMA3 && family != HF_GEMMA_EMBEDDING)
		return ENGINE_OK;
	ENGINE_TRY(put_cap(self, "attn_logit_softcapping",
					   "attn_logit_softcapping", gemma2 ? 50 : 0));
	ENGINE_TRY(put_cap(self, "final_logit_softcapping",
					   "final_logit_softcapping", gemma2 ? 30 : 0));
	ENGINE_TRY(hf_get_float(&self->config, "query_pre_attn_scalar", 1e-6,
							1e9, &scalar));
	if (scalar != self->model->key_length)
		gguf_put_f32(self->writer, key_of(self, "attention.scale"),
					 1.0f / __builtin_sqrtf((float) scalar));
	return ENGINE_OK;
}

static void
put_labels(KeyWriter *self)
{
	const HfModel *model = self->model;

	if (model->n_labels == 0)
		return;
	gguf_begin_array(self->writer, key_of(self, "classifier.output_labels"),
					 GGUF_STRING);
	for (int32_t i = 0; i < model->n_labels; i++)
	{
		char		name[24];

		if (model->labels != NULL)
			gguf_add_string(self->writer, model->labels[i]->text,
							model->labels[i]->length);
		else
		{
			int			n = snprintf(name, sizeof(name), "LABEL_%d", (int) i);

			gguf_add_string(self->writer, name, (size_t) n);
		}
	}
	gguf_end_array(self->writer);
}

/*
 * Other engines have the tanh form for all of BERT's family, and no key; ours
 * has the exact form, unless the key says so.
 */
static void
put_activation(KeyWriter *self)
{
	if (self->model->gelu_tanh)
		gguf_put_text(self->writer, "llm.feed_forward.activation",
					  "gelu_tanh");
}

/* llama.cpp does not open files of BERT's family without this key. */
static EngineCode
put_token_types(KeyWriter *self)
{
	HfFamily	family = self->model->family;
	int64_t		count = family == HF_DISTILBERT ? 1 : 2;

	if (family != HF_BERT && family != HF_DISTILBERT &&
		family != HF_ROBERTA && family != HF_NOMIC_BERT)
		return ENGINE_OK;
	ENGINE_TRY(hf_get_int(&self->config, "type_vocab_size", 0, INT32_MAX,
						  &count));
	gguf_put_u32(self->writer, "tokenizer.ggml.token_type_count",
				 (uint32_t) (count < 1 ? 1 : count));
	return ENGINE_OK;
}

EngineCode
hf_put_config(HfModel *model, GgufWriter *writer)
{
	KeyWriter	self = {
		.model = model, .writer = writer,
		.config = {model->config, "config.json", model->status}
	};

	ENGINE_TRY(put_general(&self));
	put_sizes(&self);
	ENGINE_TRY(put_epsilon(&self));
	ENGINE_TRY(put_rope(&self));
	put_window(&self);
	ENGINE_TRY(put_attention(&self));
	ENGINE_TRY(put_token_types(&self));
	put_labels(&self);
	put_activation(&self);
	return writer->code;
}
