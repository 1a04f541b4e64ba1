/*-------------------------------------------------------------------------
 *
 * rope_scaling.c
 *	  Frequencies of rotary position embedding, with the scalings that
 *	  stretch them to longer contexts.
 *
 * Pair i of n = n_rot / 2 turns by position * frequency[i] / divisor[i].
 *
 *	none	frequency = base^(-2i / n_rot), divisor 1
 *	linear	divisor = factor (Chen et al. 2023, "Extending Context Window")
 *	llama3	divisors come from the file, tensor rope_freqs.weight
 *	yarn	a mix of the frequency and the one divided by factor, by how often
 *			a pair turns within the original context; cosine and sine are
 *			multiplied by a magnitude (Peng et al. 2023, YaRN, section 3)
 *
 * All of it in double precision with functions of our own, since these
 * numbers are part of the image and so have to be the same bits everywhere.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "model/architecture_table.h"

#include "base/math64.h"

#include <inttypes.h>
#include <string.h>

#define TWO_PI 6.283185307179586476925

typedef enum RopeScaling
{
	SCALING_NONE,
	SCALING_LINEAR,
	SCALING_YARN
} RopeScaling;

typedef struct RopeKeys
{
	RopeScaling scaling;
	double		base;
	double		factor;
	double		attention_factor;
	double		original_context;
	double		beta_fast,
				beta_slow;
	double		extrapolation;
} RopeKeys;

/* A number of the file that has to lie within [min, max]. */
static EngineCode
rope_number(const GgufFile *file, const Architecture *architecture,
			const char *suffix, double min, double max, double *value,
			EngineStatus *status)
{
	char		name[96];

	architecture_key(architecture, suffix, name, sizeof(name));
	ENGINE_TRY(gguf_get_float(file, name, value, status));
	if (*value >= min && *value <= max)
		return ENGINE_OK;
	engine_fail(status, ENGINE_CORRUPT,
				"GGUF key \"%s\" is %g, which is out of range", name, *value);
	engine_detail(status, "The value must be between %g and %g.", min, max);
	return ENGINE_CORRUPT;
}

static EngineCode
unknown_scaling(const char *type, size_t length, EngineStatus *status)
{
	char		text[64];

	engine_fail(status, ENGINE_UNSUPPORTED,
				"RoPE scaling of type \"%s\" is not supported",
				engine_printable(type, length, text, sizeof(text)));
	engine_detail(status, "Supported are none, linear and yarn, and divisors "
				  "in the tensor rope_freqs.weight (llama3).");
	if (length == 8 && memcmp(type, "longrope", 8) == 0)
		engine_hint(status, "Use a variant of the model with the original, "
					"short context.");
	return ENGINE_UNSUPPORTED;
}

/* The type; a factor without a type means linear. */
static EngineCode
read_scaling_type(const GgufFile *file, const Architecture *architecture,
				  RopeKeys *keys, EngineStatus *status)
{
	char		name[96];
	const char *type = "linear";
	size_t		length = 6;

	architecture_key(architecture, "rope.scaling.type", name, sizeof(name));
	ENGINE_TRY(gguf_get_string(file, name, &type, &length, status));
	if (length == 4 && memcmp(type, "none", 4) == 0)
		keys->scaling = SCALING_NONE;
	else if (length == 6 && memcmp(type, "linear", 6) == 0)
		keys->scaling = SCALING_LINEAR;
	else if (length == 4 && memcmp(type, "yarn", 4) == 0)
		keys->scaling = SCALING_YARN;
	else
		return unknown_scaling(type, length, status);
	return ENGINE_OK;
}

static EngineCode
read_factor(const GgufFile *file, const Architecture *architecture,
			RopeKeys *keys, EngineStatus *status)
{
	keys->factor = 1;
	ENGINE_TRY(rope_number(file, architecture, "rope.scale_linear", 0, 1e6,
						   &keys->factor, status));
	ENGINE_TRY(rope_number(file, architecture, "rope.scaling.factor", 0, 1e6,
						   &keys->factor, status));
	/* writers that know no factor store 0 */
	if (keys->factor == 0)
		keys->factor = 1;
	if (keys->factor < 1e-6)
		return engine_fail(status, ENGINE_CORRUPT,
						   "RoPE scaling factor is %g, which is out of range",
						   keys->factor);
	return ENGINE_OK;
}

static EngineCode
read_yarn(const GgufFile *file, const Architecture *architecture,
		  const Hyper *hyper, RopeKeys *keys, EngineStatus *status)
{
	char		name[96];
	int64_t		original = hyper->context_length;
	double		log_multiplier = 0;

	architecture_key(architecture, "rope.scaling.original_context_length",
					 name, sizeof(name));
	ENGINE_TRY(gguf_get_int(file, name, 1, 1 << 24, &original, status));
	keys->original_context = (double) original;

	keys->attention_factor = 1;
	ENGINE_TRY(rope_number(file, architecture, "rope.scaling.attn_factor",
						   1e-3, 1e3, &keys->attention_factor, status));
	ENGINE_TRY(rope_number(file, architecture,
						   "rope.scaling.yarn_attn_factor", 1e-3, 1e3,
						   &keys->attention_factor, status));
	keys->extrapolation = 1;
	ENGINE_TRY(rope_number(file, architecture, "rope.scaling.yarn_ext_factor",
						   0, 1, &keys->extrapolation, status));
	keys->beta_fast = 32;
	ENGINE_TRY(rope_number(file, architecture, "rope.scaling.yarn_beta_fast",
						   1e-3, 1e6, &keys->beta_fast, status));
	keys->beta_slow = 1;
	ENGINE_TRY(rope_number(file, architecture, "rope.scaling.yarn_beta_slow",
						   1e-3, 1e6, &keys->beta_slow, status));
	return rope_number(file, architecture,
					   "rope.scaling.yarn_log_multiplier", 0, 0,
					   &log_multiplier, status);
}

static EngineCode
read_rope_keys(const GgufFile *file, const Architecture *architecture,
			   const Hyper *hyper, RopeKeys *keys, EngineStatus *status)
{
	memset(keys, 0, sizeof(*keys));
	keys->base = 10000;
	ENGINE_TRY(rope_number(file, architecture, "rope.freq_base", 2, 1e15,
						   &keys->base, status));
	ENGINE_TRY(read_scaling_type(file, architecture, keys, status));
	if (keys->scaling != SCALING_NONE)
		ENGINE_TRY(read_factor(file, architecture, keys, status));
	if (keys->scaling == SCALING_YARN)
		ENGINE_TRY(read_yarn(file, architecture, hyper, keys, status));
	return ENGINE_OK;
}

/* The pair that turns beta times within the original context. */
static double
yarn_pair(const RopeKeys *keys, int n_rot, double beta)
{
	return n_rot * math_log(keys->original_context / (beta * TWO_PI)) /
		(2 * math_log(keys->base));
}

static void
yarn_frequencies(const RopeKeys *keys, int n_rot, double *frequency)
{
	double		low = math_floor(yarn_pair(keys, n_rot, keys->beta_fast));
	double		high = -math_floor(-yarn_pair(keys, n_rot, keys->beta_slow));
	double		width;

	if (low < 0)
		low = 0;
	if (high > n_rot - 1)
		high = n_rot - 1;
	width = high - low < 0.001 ? 0.001 : high - low;

	for (int i = 0; i < n_rot / 2; i++)
	{
		double		ramp = (i - low) / width;
		double		mix;

		ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
		mix = (1 - ramp) * keys->extrapolation;
		frequency[i] = frequency[i] / keys->factor * (1 - mix) +
			frequency[i] * mix;
	}
}

/* Multiply the divisors by those of the file, if it has any. */
static EngineCode
file_divisors(const GgufFile *file, ByteSource *source, int n_pairs,
			  EngineArena *arena, double *divisor, EngineStatus *status)
{
	const char *name = tensor_slots[SLOT_ROPE_FREQS].name;
	const GgufTensor *tensor = gguf_find_tensor(file, name);
	float	   *values;

	if (tensor == NULL)
		return ENGINE_OK;
	if (tensor->type != TYPE_F32 ||
		tensor->bytes != (uint64_t) n_pairs * sizeof(float))
		return engine_fail(status, ENGINE_CORRUPT,
						   "GGUF tensor \"%s\" is not a vector of %d numbers "
						   "of type F32", name, n_pairs);
	values = engine_alloc(arena, n_pairs, sizeof(float), status);
	if (values == NULL)
		return status->code;
	ENGINE_TRY(source->read(source, tensor->offset, values,
							(size_t) tensor->bytes, status));
	for (int i = 0; i < n_pairs; i++)
	{
		/* written so that NaN is refused too */
		if (!(values[i] >= 1e-6f && values[i] <= 1e9f))
			return engine_fail(status, ENGINE_CORRUPT,
							   "value %d of GGUF tensor \"%s\" is %g, which "
							   "is out of range", i, name, (double) values[i]);
		divisor[i] *= (double) values[i];
	}
	return ENGINE_OK;
}

/* Unscaled frequencies of a base; NULL with status filled. */
static double *
base_frequencies(double base, int n_rot, EngineArena *arena,
				 EngineStatus *status)
{
	double	   *frequency = engine_alloc(arena, n_rot / 2, sizeof(double),
										 status);

	for (int i = 0; i < n_rot / 2 && frequency != NULL; i++)
		frequency[i] = math_pow(base, -(2.0 * i) / n_rot);
	return frequency;
}

/* Scaling never applies to the layers that attend within a window. */
static EngineCode
local_frequencies(const GgufFile *file, const Architecture *architecture,
				  const Hyper *hyper, EngineArena *arena, RopeTables *tables,
				  EngineStatus *status)
{
	double		base = 10000;

	if (!hyper->rope_local)
		return ENGINE_OK;
	ENGINE_TRY(rope_number(file, architecture, "rope.freq_base_swa", 2, 1e15,
						   &base, status));
	tables->local_frequency = base_frequencies(base, hyper->n_rot, arena,
											   status);
	return tables->local_frequency == NULL ? status->code : ENGINE_OK;
}

EngineCode
architecture_rope(const GgufFile *file, ByteSource *source,
				  const Architecture *architecture, EngineArena *arena,
				  Hyper *hyper, RopeTables *tables, EngineStatus *status)
{
	int			n_pairs = hyper->n_rot / 2;
	RopeKeys	keys;

	memset(tables, 0, sizeof(*tables));
	hyper->rope_magnitude = 1;
	if (hyper->n_rot == 0)
		return ENGINE_OK;
	ENGINE_TRY(read_rope_keys(file, architecture, hyper, &keys, status));
	tables->frequency = base_frequencies(keys.base, hyper->n_rot, arena,
										 status);
	tables->divisor = engine_alloc(arena, n_pairs, sizeof(double), status);
	if (tables->frequency == NULL || tables->divisor == NULL)
		return status->code;

	for (int i = 0; i < n_pairs; i++)
		tables->divisor[i] = keys.scaling == SCALING_LINEAR ? keys.factor : 1;
	if (keys.scaling == SCALING_YARN)
	{
		yarn_frequencies(&keys, hyper->n_rot, tables->frequency);
		hyper->rope_magnitude = keys.attention_factor;
		if (keys.extrapolation != 0)
			hyper->rope_magnitude *= 1 + 0.1 * math_log(keys.factor);
	}
	ENGINE_TRY(local_frequencies(file, architecture, hyper, arena, tables,
								 status));
	return file_divisors(file, source, n_pairs, arena, tables->divisor,
						 status);
}
