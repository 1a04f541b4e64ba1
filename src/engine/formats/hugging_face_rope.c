/*-------------------------------------------------------------------------
 *
 * hugging_face_rope.c
 *	  Rotary position embedding: its parameters in config.json, and the
 *	  divisors of Llama 3.1's scaling.
 *
 * transformers up to version 4 writes rope_theta and rope_scaling; later it
 * writes rope_parameters with both, one such object for each type of layer
 * in Gemma 3 and ModernBERT.  Models that keep their code in their own
 * repository (Nomic) have names of their own.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/hugging_face_rope.h"

#include "base/math64.h"

#include <string.h>

#define TWO_PI 6.283185307179586476925
#define SMALLEST_BASE 2			/* what the reader of GGUF files accepts */
#define LARGEST_BASE 1e15

bool
hf_rotates(HfFamily family)
{
	return family != HF_GPT2 && family != HF_BERT &&
		family != HF_DISTILBERT && family != HF_ROBERTA;
}

/* Families whose layers with a window have another base. */
static bool
has_local_base(HfFamily family)
{
	return family == HF_GEMMA3 || family == HF_GEMMA_EMBEDDING ||
		family == HF_MODERN_BERT;
}

static EngineCode
get_base(const HfObject *object, const char *key, double *base)
{
	return hf_get_float(object, key, SMALLEST_BASE, LARGEST_BASE, base);
}

/* The bases that a family has when config.json says nothing. */
static void
default_bases(HfFamily family, HfRope *rope)
{
	rope->base = 10000;
	if (family == HF_GEMMA3 || family == HF_GEMMA_EMBEDDING)
		rope->base = 1e6;
	if (family == HF_MODERN_BERT)
		rope->base = 160000;
	if (family == HF_NOMIC_BERT)
		rope->base = 1000;
	rope->local_base = has_local_base(family) ? 10000 : 0;
}

/* Names before transformers 5 */
static EngineCode
read_old_bases(const HfModel *model, const HfObject *config, HfRope *rope)
{
	ENGINE_TRY(get_base(config, "rope_theta", &rope->base));
	if (model->family == HF_NOMIC_BERT)
		ENGINE_TRY(get_base(config, "rotary_emb_base", &rope->base));
	if (model->family == HF_MODERN_BERT)
	{
		const JsonNode *local = json_member(config->node, "local_rope_theta");

		ENGINE_TRY(get_base(config, "global_rope_theta", &rope->base));
		if (local != NULL && local->type == JSON_NULL)
			rope->local_base = rope->base;
		return get_base(config, "local_rope_theta", &rope->local_base);
	}
	if (has_local_base(model->family))
		return get_base(config, "rope_local_base_freq", &rope->local_base);
	return ENGINE_OK;
}

/* Layers with a window are never scaled. */
static EngineCode
read_local(const HfObject *parameters, HfRope *rope)
{
	HfObject	local;
	const char *type = "default";

	ENGINE_TRY(hf_get_object(parameters, "sliding_attention", &local));
	ENGINE_TRY(get_base(&local, "rope_theta", &rope->local_base));
	ENGINE_TRY(hf_get_text(&local, "rope_type", &type));
	if (strcmp(type, "default") != 0)
		return hf_unsupported(&local, "rope_type", type);
	return ENGINE_OK;
}

/*
 * The object that holds type and factors, and the bases.  scaling->node is
 * NULL when there is none.
 */
static EngineCode
find_scaling(const HfModel *model, const HfObject *config, HfRope *rope,
			 HfObject *scaling)
{
	HfObject	parameters;

	default_bases(model->family, rope);
	ENGINE_TRY(read_old_bases(model, config, rope));
	ENGINE_TRY(hf_get_object(config, "rope_parameters", &parameters));
	if (parameters.node == NULL)
		return hf_get_object(config, "rope_scaling", scaling);
	*scaling = parameters;
	if (hf_member(&parameters, "full_attention") != NULL ||
		hf_member(&parameters, "sliding_attention") != NULL)
	{
		if (!has_local_base(model->family))
			return hf_unsupported(config, "rope_parameters",
								  "full_attention, sliding_attention");
		ENGINE_TRY(hf_get_object(&parameters, "full_attention", scaling));
		ENGINE_TRY(read_local(&parameters, rope));
	}
	return get_base(scaling, "rope_theta", &rope->base);
}

/* A factor that has to be there, unless *value is not 0. */
static EngineCode
need_number(const HfObject *scaling, const char *key, double min, double max,
			double *value)
{
	ENGINE_TRY(hf_get_float(scaling, key, min, max, value));
	if (*value == 0)
		return engine_fail(scaling->status, ENGINE_CORRUPT,
						   "\"%s\" of the RoPE scaling in %s is missing", key,
						   scaling->file);
	return ENGINE_OK;
}

static EngineCode
read_yarn(const HfModel *model, const HfObject *scaling, HfRope *rope)
{
	rope->original = model->context_length;
	ENGINE_TRY(hf_get_float(scaling, "original_max_position_embeddings", 1,
							1 << 24, &rope->original));
	if (hf_member(scaling, "factor") == NULL)
		rope->factor = model->context_length / rope->original;
	ENGINE_TRY(need_number(scaling, "factor", 1, 1e6, &rope->factor));
	rope->beta_fast = 32;
	rope->beta_slow = 1;
	ENGINE_TRY(hf_get_float(scaling, "beta_fast", 1e-3, 1e6,
							&rope->beta_fast));
	ENGINE_TRY(hf_get_float(scaling, "beta_slow", 1e-3, 1e6,
							&rope->beta_slow));
	ENGINE_TRY(hf_get_float(scaling, "attention_factor", 1e-3, 1e3,
							&rope->attention_factor));
	ENGINE_TRY(hf_refuse_bool(scaling, "truncate", true));
	if (rope->attention_factor == 0 && hf_member(scaling, "mscale") != NULL &&
		hf_member(scaling, "mscale_all_dim") != NULL)
		return engine_fail(scaling->status, ENGINE_UNSUPPORTED,
						   "\"mscale_all_dim\" in %s is not supported",
						   scaling->file);
	return ENGINE_OK;
}

static EngineCode
read_llama3(const HfObject *scaling, HfRope *rope)
{
	ENGINE_TRY(need_number(scaling, "factor", 1e-3, 1e6, &rope->factor));
	ENGINE_TRY(need_number(scaling, "low_freq_factor", 1e-3, 1e6,
						   &rope->low_factor));
	ENGINE_TRY(need_number(scaling, "high_freq_factor", 1e-3, 1e6,
						   &rope->high_factor));
	ENGINE_TRY(need_number(scaling, "original_max_position_embeddings", 1,
						   1 << 24, &rope->original));
	if (!(rope->high_factor > rope->low_factor))
		return engine_fail(scaling->status, ENGINE_CORRUPT,
						   "\"high_freq_factor\" in %s is not above "
						   "\"low_freq_factor\"", scaling->file);
	return ENGINE_OK;
}

static EngineCode
read_scaling(const HfModel *model, const HfObject *scaling, HfRope *rope)
{
	const char *type = "default";

	ENGINE_TRY(hf_get_text(scaling, "type", &type));
	ENGINE_TRY(hf_get_text(scaling, "rope_type", &type));
	if (strcmp(type, "default") == 0)
		return ENGINE_OK;
	if (strcmp(type, "linear") == 0)
	{
		rope->scaling = HF_ROPE_LINEAR;
		return need_number(scaling, "factor", 1e-3, 1e6, &rope->factor);
	}
	if (strcmp(type, "yarn") == 0)
	{
		rope->scaling = HF_ROPE_YARN;
		return read_yarn(model, scaling, rope);
	}
	if (strcmp(type, "llama3") == 0)
	{
		rope->scaling = HF_ROPE_LLAMA3;
		return read_llama3(scaling, rope);
	}
	return hf_unsupported(scaling, "rope_type", type);
}

/*
 * How much of a head is rotated.  The rows of Llama are permuted by whole
 * heads, so there it must be all.
 */
static EngineCode
read_n_rot(const HfModel *model, const HfObject *config,
		   const HfObject *scaling, HfRope *rope)
{
	double		part = 1;

	ENGINE_TRY(hf_get_float(config, "partial_rotary_factor", 1e-3, 1, &part));
	ENGINE_TRY(hf_get_float(scaling, "partial_rotary_factor", 1e-3, 1,
							&part));
	if (model->family == HF_NOMIC_BERT)
		ENGINE_TRY(hf_get_float(config, "rotary_emb_fraction", 1e-3, 1,
								&part));
	rope->n_rot = (int32_t) (model->key_length * part);
	if (part != 1 && model->family == HF_LLAMA)
		return engine_fail(config->status, ENGINE_UNSUPPORTED,
						   "\"partial_rotary_factor\" in %s is not supported "
						   "for this architecture", config->file);
	if (rope->n_rot < 2 || rope->n_rot % 2 != 0)
		return engine_fail(config->status, ENGINE_CORRUPT,
						   "RoPE cannot rotate %d values of heads of %d",
						   (int) rope->n_rot, (int) model->key_length);
	return ENGINE_OK;
}

EngineCode
hf_read_rope(HfModel *model, HfRope *rope)
{
	HfObject	config = {model->config, "config.json", model->status};
	HfObject	scaling;

	memset(rope, 0, sizeof(*rope));
	ENGINE_TRY(find_scaling(model, &config, rope, &scaling));
	ENGINE_TRY(read_scaling(model, &scaling, rope));
	return read_n_rot(model, &config, &scaling, rope);
}

/*
 * Llama 3.1: long waves are stretched by factor, short ones not at all, and
 * those between by a mix.  Source: transformers,
 * modeling_rope_utils.py.
 */
static double
llama3_divisor(const HfRope *rope, int32_t i)
{
	double		wave = TWO_PI * math_pow(rope->base,
										 2.0 * i / rope->n_rot);
	double		smooth;

	if (wave < rope->original / rope->high_factor)
		return 1;
	if (wave > rope->original / rope->low_factor)
		return rope->factor;
	smooth = (rope->original / wave - rope->low_factor) /
		(rope->high_factor - rope->low_factor);
	return 1 / ((1 - smooth) / rope->factor + smooth);
}

EngineCode
hf_rope_divisors(HfModel *model, const float **divisors, int32_t *n)
{
	HfRope		rope;
	float	   *values;

	*divisors = NULL;
	*n = 0;
	if (!hf_rotates(model->family))
		return ENGINE_OK;
	ENGINE_TRY(hf_read_rope(model, &rope));
	if (rope.scaling != HF_ROPE_LLAMA3)
		return ENGINE_OK;
	*n = rope.n_rot / 2;
	values = engine_alloc(model->arena, (size_t) *n, sizeof(float),
						  model->status);
	if (values == NULL)
		return model->status->code;
	for (int32_t i = 0; i < *n; i++)
		values[i] = (float) llama3_divisor(&rope, i);
	*divisors = values;
	return ENGINE_OK;
}
