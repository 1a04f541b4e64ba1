/*-------------------------------------------------------------------------
 *
 * image_test.c
 *	  Architectures and images: hyper-parameters, shapes, building.
 *
 * Files come from gguf_builder.c, right ones and hostile ones, and from
 * test/data, which is looked for below the current directory.
 *
 *-------------------------------------------------------------------------
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <math.h>

#include <cmocka.h>

#include "gguf_builder.h"
#include "model/image.h"

#define BUDGET ((size_t) 64 << 20)

/* A file, its plan and its image */
typedef struct Built
{
	Bytes		file;
	ByteSource	source;
	EngineArena arena;
	EngineStatus status;
	ImagePlan	plan;
	ImageHeader *image;			/* exactly plan.size bytes */
} Built;

static void
fill(void *image, uint64_t size, uint32_t pattern)
{
	for (uint64_t i = 0; i < size; i++)
		((uint8_t *) image)[i] = (uint8_t) (pattern + i * 7);
}

static EngineCode
plan_file(Built *built)
{
	memset(&built->status, 0, sizeof(built->status));
	engine_arena_init(&built->arena, &engine_malloc, BUDGET);
	memory_source(&built->source, built->file.data, built->file.size);
	built->image = NULL;
	return image_plan(&built->source, &built->arena, NULL, &built->plan,
					  &built->status);
}

static EngineCode
build_image(Built *built)
{
	built->image = aligned_alloc(64, built->plan.size);
	assert_non_null(built->image);
	fill(built->image, built->plan.size, 0xA5);
	return image_build(&built->plan, &built->source, &built->arena, NULL,
					   NULL, NULL, built->image, &built->status);
}

static void
built_free(Built *built)
{
	engine_arena_free(&built->arena);
	free(built->image);
	bytes_free(&built->file);
}

static void
make_file(Built *built, const ModelShape *shape,
		  void (*more) (GgufBuilder *), const char *const *skip)
{
	GgufBuilder builder;

	builder_init(&builder);
	builder.skip = skip;
	builder_model(&builder, shape);
	builder.skip = NULL;
	if (more != NULL)
		more(&builder);
	builder_finish(&builder, &built->file);
	builder_free(&builder);
}

/* A model that has to be right */
static void
make_built(Built *built, const ModelShape *shape,
		   void (*more) (GgufBuilder *))
{
	make_file(built, shape, more, NULL);
	if (plan_file(built) != ENGINE_OK || build_image(built) != ENGINE_OK)
		fail_msg("%s: %s %s", shape->architecture, built->status.message,
				 built->status.detail);
}

/* Rows of a matrix in the image are those of the file, to the bit. */
static void
assert_matrix(const Built *built, const char *name,
			  const ImageMatrix *matrix)
{
	const GgufTensor *tensor = gguf_find_tensor(&built->plan.file, name);
	const TensorTypeInfo *info;
	uint64_t	row_bytes;
	float	   *wanted;
	float	   *got;

	assert_non_null(tensor);
	assert_int_not_equal(matrix->offset, 0);
	assert_int_equal(matrix->offset % 64, 0);
	assert_true(matrix->offset + matrix->bytes <= built->plan.size);
	assert_int_equal(matrix->k, tensor->dims[0]);
	assert_int_equal(matrix->n, tensor->dims[1]);
	assert_int_equal(matrix->type, tensor->type);
	info = tensor_type(tensor->type);
	row_bytes = tensor_row_bytes(tensor->type, tensor->dims[0]);
	wanted = malloc(tensor->dims[0] * sizeof(float));
	got = malloc(tensor->dims[0] * sizeof(float));
	assert_non_null(wanted);
	assert_non_null(got);
	for (int64_t row = 0; row < matrix->n; row++)
	{
		info->dequantise(built->file.data + tensor->offset +
						 row * row_bytes, wanted, matrix->k);
		image_row(built->image, matrix, row, got);
		assert_memory_equal(got, wanted, matrix->k * sizeof(float));
	}
	free(wanted);
	free(got);
}

static void
assert_vector(const Built *built, const char *name,
			  const ImageVector *vector)
{
	const GgufTensor *tensor = gguf_find_tensor(&built->plan.file, name);
	float	   *wanted;

	assert_non_null(tensor);
	assert_int_not_equal(vector->offset, 0);
	assert_int_equal(vector->offset % 64, 0);
	assert_int_equal(vector->n, tensor->dims[0]);
	wanted = malloc(vector->n * sizeof(float));
	assert_non_null(wanted);
	tensor_type(tensor->type)->dequantise(built->file.data + tensor->offset,
										  wanted, vector->n);
	assert_memory_equal(image_vector(built->image, vector), wanted,
						vector->n * sizeof(float));
	free(wanted);
}

/* All types that matrices may have, and all that vectors may */
static void
test_types(void **state)
{
	static const TensorType vectors[] = {TYPE_F32, TYPE_F16, TYPE_BF16};
	int			n_types = 0;

	(void) state;
	for (uint32_t type = 0; type < TYPE_LIMIT; type++)
	{
		const TensorTypeInfo *info = tensor_type(type);
		ModelShape	shape = small_llama;
		Built		built;
		const ImageLayer *layer;

		if (info == NULL || info->block_values == 0)
			continue;
		shape.type = type;
		shape.vector_type = vectors[n_types % 3];
		shape.embedding = 256;
		shape.feed_forward = 512;
		shape.heads = 4;
		shape.kv_heads = 2;
		shape.output = n_types % 2;
		make_built(&built, &shape, NULL);
		layer = image_layer(built.image, 1);
		assert_matrix(&built, "token_embd.weight", &built.image->token_embd);
		assert_int_equal(built.image->token_embd.file_order, shape.output);
		if (shape.output)
			assert_matrix(&built, "output.weight", &built.image->output);
		else
			assert_memory_equal(&built.image->output,
								&built.image->token_embd,
								sizeof(ImageMatrix));
		assert_matrix(&built, "blk.1.attn_q.weight", &layer->attn_q);
		assert_matrix(&built, "blk.1.attn_k.weight", &layer->attn_k);
		assert_matrix(&built, "blk.1.ffn_down.weight", &layer->ffn_down);
		assert_vector(&built, "blk.1.ffn_norm.weight", &layer->ffn_norm);
		assert_vector(&built, "output_norm.weight",
					  &built.image->output_norm);
		assert_int_equal(built.image->hyper.kv_type,
						 type == TYPE_F32 ? KV_F32 : KV_F16);
		built_free(&built);
		n_types++;
	}
	assert_int_equal(n_types, 16);
}

/* What the rows of the table say arrives in the image. */
static void
test_architectures(void **state)
{
	static const struct
	{
		const char *name;
		int			norm,
					rope,
					feed_forward,
					positions;
	}			wanted[] = {
		{"gpt2", NORM_LAYER, ROPE_NONE, FFN_GELU_TANH, 1},
		{"llama", NORM_RMS, ROPE_NORM, FFN_SILU_GATED, 0},
		{"qwen2", NORM_RMS, ROPE_NEOX, FFN_SILU_GATED, 0},
		{"qwen3", NORM_RMS, ROPE_NEOX, FFN_SILU_GATED, 0},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
	{
		ModelShape	shape = small_llama;
		Built		built;
		const Hyper *hyper;
		const ImageLayer *layer;

		assert_non_null(strstr(architecture_names(), wanted[i].name));
		shape.architecture = wanted[i].name;
		make_built(&built, &shape, NULL);
		hyper = &built.image->hyper;
		layer = image_layer(built.image, 0);
		assert_string_equal(hyper->architecture, wanted[i].name);
		assert_int_equal(hyper->norm, wanted[i].norm);
		assert_int_equal(hyper->rope_layout, wanted[i].rope);
		assert_int_equal(hyper->feed_forward, wanted[i].feed_forward);
		assert_int_equal(hyper->learned_positions, wanted[i].positions);
		assert_int_equal(hyper->n_rot, wanted[i].rope == ROPE_NONE ? 0 : 16);
		assert_int_equal(hyper->key_length, 16);
		assert_int_equal(hyper->value_length, 16);
		assert_int_equal(hyper->vocabulary, 20);
		assert_int_equal(hyper->causal, 1);
		assert_int_equal(hyper->tied_output, 1);
		assert_true(hyper->attention_scale == 0.25f);
		assert_true(hyper->norm_epsilon == 1e-5f);
		assert_int_equal(built.image->magic, IMAGE_MAGIC);
		assert_int_equal(built.image->size, built.plan.size);
		assert_int_equal(built.image->tokenizer, 0);
		assert_int_equal(built.image->chat_template, 0);

		/* a slot is filled exactly where the architecture has it */
		assert_int_equal(layer->attn_qkv.offset != 0, i == 0);
		assert_int_equal(layer->attn_qkv_bias.offset != 0, i == 0);
		assert_int_equal(layer->attn_q.offset != 0, i != 0);
		assert_int_equal(layer->ffn_gate.offset != 0, i != 0);
		assert_int_equal(layer->ffn_up_bias.offset != 0, i == 0);
		assert_int_equal(layer->attn_q_bias.offset != 0, i == 2);
		assert_int_equal(layer->attn_q_norm.offset != 0, i == 3);
		assert_int_equal(built.image->position_embd.file_order, i == 0);
		if (i == 0)
		{
			assert_matrix(&built, "position_embd.weight",
						  &built.image->position_embd);
			assert_matrix(&built, "blk.0.attn_qkv.weight", &layer->attn_qkv);
			assert_vector(&built, "output_norm.bias",
						  &built.image->output_norm_bias);
		}
		built_free(&built);
	}
}

static void
all_llama_biases(GgufBuilder *b)
{
	builder_tensor(b, "blk.0.attn_q.bias", TYPE_F32, 32, 0);
	builder_tensor(b, "blk.0.attn_k.bias", TYPE_F32, 16, 0);
	builder_tensor(b, "blk.0.attn_v.bias", TYPE_F32, 16, 0);
	builder_tensor(b, "blk.0.attn_output.bias", TYPE_F32, 32, 0);
	builder_tensor(b, "blk.0.ffn_gate.bias", TYPE_F32, 64, 0);
	builder_tensor(b, "blk.0.ffn_up.bias", TYPE_F32, 64, 0);
	builder_tensor(b, "blk.0.ffn_down.bias", TYPE_F32, 32, 0);
	builder_text(b, "tokenizer.chat_template", "{{ messages }}");
}

static void
test_optional_parts(void **state)
{
	Built		built;
	const ImageLayer *layer;

	(void) state;
	make_built(&built, &small_llama, all_llama_biases);
	layer = image_layer(built.image, 0);
	assert_vector(&built, "blk.0.attn_q.bias", &layer->attn_q_bias);
	assert_vector(&built, "blk.0.attn_k.bias", &layer->attn_k_bias);
	assert_vector(&built, "blk.0.attn_v.bias", &layer->attn_v_bias);
	assert_vector(&built, "blk.0.attn_output.bias",
				  &layer->attn_output_bias);
	assert_vector(&built, "blk.0.ffn_gate.bias", &layer->ffn_gate_bias);
	assert_vector(&built, "blk.0.ffn_up.bias", &layer->ffn_up_bias);
	assert_vector(&built, "blk.0.ffn_down.bias", &layer->ffn_down_bias);
	assert_int_equal(image_layer(built.image, 1)->attn_q_bias.offset, 0);
	assert_int_equal(built.image->chat_template_length, 14);
	assert_string_equal((const char *) image_at(built.image,
												built.image->chat_template),
						"{{ messages }}");
	built_free(&built);
}

/* The same image, whatever the memory held before. */
static void
test_all_bytes_written(void **state)
{
	static const char *const names[] = {"gpt2", "llama", "qwen2", "qwen3"};

	(void) state;
	for (int i = 0; i < 4; i++)
	{
		ModelShape	shape = small_llama;
		Built		built;
		void	   *again;

		shape.architecture = names[i];
		shape.output = i == 1;
		shape.type = i == 2 ? TYPE_F16 : TYPE_Q5_0;
		make_built(&built, &shape, NULL);
		again = aligned_alloc(64, built.plan.size);
		assert_non_null(again);
		fill(again, built.plan.size, 0x3C);
		assert_int_equal(image_build(&built.plan, &built.source,
									 &built.arena, NULL, NULL, NULL, again,
									 &built.status), ENGINE_OK);
		assert_memory_equal(again, built.image, built.plan.size);
		free(again);
		built_free(&built);
	}
}

/*
 * RoPE
 */

static const double *
rope_table(const Built *built, uint64_t offset)
{
	return image_at(built->image, offset);
}

static void
linear_scaling(GgufBuilder *b)
{
	builder_f32(b, "llama.rope.freq_base", 50000);
	builder_text(b, "llama.rope.scaling.type", "linear");
	builder_f32(b, "llama.rope.scaling.factor", 4);
	builder_u32(b, "llama.rope.dimension_count", 12);
}

static void
put_divisors(GgufBuilder *b, int n)
{
	builder_tensor(b, "rope_freqs.weight", TYPE_F32, n, 0);
	b->data.size -= n * sizeof(float);
	for (int i = 0; i < n; i++)
		bytes_f32(&b->data, 1.0f + (float) i * 0.75f);
}

static void
file_divisors(GgufBuilder *b)
{
	put_divisors(b, 8);
}

static void
large_divisors(GgufBuilder *b)
{
	put_divisors(b, 32);
}

static void
yarn_scaling(GgufBuilder *b)
{
	builder_f32(b, "llama.rope.freq_base", 10000);
	builder_text(b, "llama.rope.scaling.type", "yarn");
	builder_f32(b, "llama.rope.scaling.factor", 8);
	builder_u32(b, "llama.rope.scaling.original_context_length", 1024);
	builder_f32(b, "llama.rope.scaling.attn_factor", 1.5f);
}

static void
assert_near(double got, double wanted)
{
	/* observed: at most 1.3e-16 */
	if (!(fabs(got - wanted) <= 1e-15 * fabs(wanted)))
		fail_msg("%.17g, wanted %.17g", got, wanted);
}

static void
test_rope_linear(void **state)
{
	Built		built;

	(void) state;
	make_built(&built, &small_llama, linear_scaling);
	assert_int_equal(built.image->hyper.n_rot, 12);
	assert_true(built.image->hyper.rope_magnitude == 1);
	for (int i = 0; i < 6; i++)
	{
		assert_near(rope_table(&built, built.image->rope_frequency)[i],
					pow(50000, -2.0 * i / 12));
		assert_true(rope_table(&built, built.image->rope_divisor)[i] == 4);
	}
	built_free(&built);
}

static void
test_rope_divisors(void **state)
{
	Built		built;

	(void) state;
	make_built(&built, &small_llama, file_divisors);
	for (int i = 0; i < 8; i++)
	{
		assert_near(rope_table(&built, built.image->rope_frequency)[i],
					pow(10000, -2.0 * i / 16));
		assert_true(rope_table(&built, built.image->rope_divisor)[i] ==
					1 + i * 0.75);
	}
	built_free(&built);
}

/* Written after the paper, with libm, in another shape than the engine's. */
static void
test_rope_yarn(void **state)
{
	Built		built;
	double		low = floor(16 * log(1024 / (32 * 2 * M_PI)) /
							(2 * log(10000)));
	double		high = ceil(16 * log(1024 / (2 * M_PI)) / (2 * log(10000)));

	(void) state;
	assert_true(low == 1 && high == 5);
	make_built(&built, &small_llama, yarn_scaling);
	assert_near(built.image->hyper.rope_magnitude,
				1.5 * (1 + 0.1 * log(8)));
	for (int i = 0; i < 8; i++)
	{
		double		theta = pow(10000, -2.0 * i / 16);
		double		ramp = fmin(1, fmax(0, (i - low) / (high - low)));

		assert_near(rope_table(&built, built.image->rope_frequency)[i],
					theta / 8 * ramp + theta * (1 - ramp));
		assert_true(rope_table(&built, built.image->rope_divisor)[i] == 1);
	}
	built_free(&built);
}

/* A type of "none" switches a factor off; a factor alone is linear. */
static void
no_scaling(GgufBuilder *b)
{
	builder_text(b, "llama.rope.scaling.type", "none");
	builder_f32(b, "llama.rope.scaling.factor", 4);
}

static void
old_scaling(GgufBuilder *b)
{
	builder_f32(b, "llama.rope.scale_linear", 2);
}

static void
test_rope_defaults(void **state)
{
	Built		built;

	(void) state;
	make_built(&built, &small_llama, no_scaling);
	assert_true(rope_table(&built, built.image->rope_divisor)[3] == 1);
	built_free(&built);
	make_built(&built, &small_llama, old_scaling);
	assert_true(rope_table(&built, built.image->rope_divisor)[3] == 2);
	built_free(&built);
}

/*
 * Hyper-parameters and shapes that have to be refused.  A case leaves names
 * out, adds its own, or patches an integer after the name of its key.
 */

static void
bad_divisor(GgufBuilder *b)
{
	file_divisors(b);
	bytes_patch(&b->data, b->data.size - 4, 0, 4);
}

static void
nan_divisor(GgufBuilder *b)
{
	file_divisors(b);
	bytes_patch(&b->data, b->data.size - 8, 0x7FC00000, 4);
}

static void
short_divisors(GgufBuilder *b)
{
	builder_tensor(b, "rope_freqs.weight", TYPE_F32, 7, 0);
}

static void
half_divisors(GgufBuilder *b)
{
	builder_tensor(b, "rope_freqs.weight", TYPE_F16, 8, 0);
}

static void
longrope(GgufBuilder *b)
{
	builder_text(b, "llama.rope.scaling.type", "longrope");
}

static void
negative_factor(GgufBuilder *b)
{
	builder_f32(b, "llama.rope.scaling.factor", -2);
}

static void
nan_factor(GgufBuilder *b)
{
	builder_f32(b, "llama.rope.scaling.factor", NAN);
}

static void
text_factor(GgufBuilder *b)
{
	builder_text(b, "llama.rope.scaling.factor", "2");
}

static void
base_of_one(GgufBuilder *b)
{
	builder_f32(b, "llama.rope.freq_base", 1);
}

static void
yarn_multiplier(GgufBuilder *b)
{
	yarn_scaling(b);
	builder_f32(b, "llama.rope.scaling.yarn_log_multiplier", 0.1f);
}

static void
odd_rotation(GgufBuilder *b)
{
	builder_u32(b, "llama.rope.dimension_count", 15);
}

static void
wide_rotation(GgufBuilder *b)
{
	builder_u32(b, "llama.rope.dimension_count", 18);
}

static void
zero_rotation(GgufBuilder *b)
{
	builder_u32(b, "llama.rope.dimension_count", 0);
}

static void
experts(GgufBuilder *b)
{
	builder_u32(b, "llama.expert_count", 8);
}

static void
alibi(GgufBuilder *b)
{
	builder_f32(b, "llama.attention.max_alibi_bias", 8);
}

static void
pattern(GgufBuilder *b)
{
	static const uint32_t layers[] = {1, 0};

	builder_u32_array(b, "llama.attention.sliding_window_pattern", 2,
					  layers);
}

static void
zero_epsilon(GgufBuilder *b)
{
	builder_f32(b, "llama.attention.layer_norm_rms_epsilon", 0);
}

static void
double_heads(GgufBuilder *b)
{
	builder_f32(b, "llama.attention.head_count", 2);
}

static void
uneven_layers(GgufBuilder *b)
{
	static const uint32_t lengths[] = {64, 32};

	builder_u32_array(b, "llama.feed_forward_length", 2, lengths);
}

static void
short_layers(GgufBuilder *b)
{
	static const uint32_t lengths[] = {64};

	builder_u32_array(b, "llama.feed_forward_length", 1, lengths);
}

static void
zero_layers(GgufBuilder *b)
{
	static const uint32_t lengths[] = {0, 0};

	builder_u32_array(b, "llama.feed_forward_length", 2, lengths);
}

static void
text_layers(GgufBuilder *b)
{
	static const char *const lengths[] = {"64", "64"};

	builder_text_array(b, "llama.feed_forward_length", 2, lengths);
}

static void
adapter(GgufBuilder *b)
{
	builder_text(b, "general.type", "adapter");
}

static void
other_architecture(GgufBuilder *b)
{
	builder_text(b, "general.architecture", "mamba\xC3\xA9");
}

static void
architecture_with_nul(GgufBuilder *b)
{
	if (builder_key(b, "general.architecture", GGUF_STRING))
	{
		bytes_number(&b->keys, 7, 8);
		bytes_put(&b->keys, "llama\0x", 7);
	}
}

static void
numeric_architecture(GgufBuilder *b)
{
	builder_u32(b, "general.architecture", 1);
}

static void
extra_tensor(GgufBuilder *b)
{
	builder_tensor(b, "blk.0.attn_rot.bias", TYPE_F32, 8, 0);
}

static void
layer_too_many(GgufBuilder *b)
{
	builder_tensor(b, "blk.2.attn_norm.weight", TYPE_F32, 32, 0);
}

static void
leading_zero_layer(GgufBuilder *b)
{
	builder_tensor(b, "blk.01.attn_q.bias", TYPE_F32, 32, 0);
}

static void
qwen_norm(GgufBuilder *b)
{
	builder_tensor(b, "blk.0.attn_q_norm.weight", TYPE_F32, 16, 0);
}

static void
transposed(GgufBuilder *b)
{
	builder_tensor(b, "blk.0.ffn_up.weight", TYPE_Q8_0, 64, 32);
}

static void
wide_norm(GgufBuilder *b)
{
	builder_tensor(b, "output_norm.weight", TYPE_F32, 33, 0);
}

static void
matrix_as_norm(GgufBuilder *b)
{
	builder_tensor(b, "output_norm.weight", TYPE_F32, 32, 32);
}

static void
other_output(GgufBuilder *b)
{
	builder_tensor(b, "output.weight", TYPE_Q8_0, 32, 21);
}

static void
long_template(GgufBuilder *b)
{
	char	   *text = malloc((1 << 20) + 2);

	assert_non_null(text);
	memset(text, 'x', (1 << 20) + 1);
	text[(1 << 20) + 1] = '\0';
	builder_text(b, "tokenizer.chat_template", text);
	free(text);
}

static void
template_array(GgufBuilder *b)
{
	static const char *const parts[] = {"a"};

	builder_text_array(b, "tokenizer.chat_template", 1, parts);
}

typedef struct HostileModel
{
	const char *label;
	const char *without;		/* key or tensor, or NULL */
	void		(*more) (GgufBuilder *);
	const char *patch;			/* u32 key that gets value, or NULL */
	uint32_t	value;
	EngineCode	code;
	const char *message;
} HostileModel;

#define PATCH(key, value, code, message) \
	{key " = " #value, NULL, NULL, "llama." key, value, code, message}
#define WITHOUT(name, message) \
	{"without " name, name, NULL, NULL, 0, ENGINE_CORRUPT, message}
#define MORE(function, code, message) \
	{#function, NULL, function, NULL, 0, code, message}
#define INSTEAD(name, function, code, message) \
	{#function, name, function, NULL, 0, code, message}

static const HostileModel hostile_models[] = {
	PATCH("block_count", 0, ENGINE_CORRUPT, "\"llama.block_count\" is 0"),
	PATCH("block_count", 513, ENGINE_CORRUPT, "\"llama.block_count\" is 513"),
	PATCH("block_count", 0x80000000, ENGINE_CORRUPT, "is 2147483648"),
	PATCH("block_count", 512, ENGINE_CORRUPT,
		  "\"blk.2.attn_norm.weight\" is missing"),
	PATCH("block_count", 1, ENGINE_UNSUPPORTED, "\"blk.1."),
	PATCH("attention.head_count", 0, ENGINE_CORRUPT, "head_count\" is 0"),
	PATCH("attention.head_count", 1025, ENGINE_CORRUPT, "is 1025"),
	PATCH("attention.head_count", 3, ENGINE_CORRUPT,
		  "\"llama.attention.key_length\" is missing"),
	PATCH("attention.head_count", 4, ENGINE_CORRUPT, "attn_k.weight\" has"),
	PATCH("attention.head_count_kv", 0, ENGINE_CORRUPT, "kv\" is 0"),
	PATCH("attention.head_count_kv", 3, ENGINE_CORRUPT,
		  "2 attention heads cannot share 3"),
	PATCH("attention.head_count_kv", 2, ENGINE_CORRUPT,
		  "\"blk.0.attn_k.weight\" has the wrong shape"),
	PATCH("context_length", 0, ENGINE_CORRUPT, "context_length\" is 0"),
	PATCH("context_length", 0xFFFFFFFF, ENGINE_CORRUPT, "is 4294967295"),
	PATCH("embedding_length", 0, ENGINE_CORRUPT, "embedding_length\" is 0"),
	PATCH("embedding_length", 65537, ENGINE_CORRUPT, "is 65537"),
	PATCH("embedding_length", 64, ENGINE_CORRUPT,
		  "\"token_embd.weight\" has the wrong shape"),
	PATCH("feed_forward_length", 0, ENGINE_CORRUPT, "is 0"),
	PATCH("feed_forward_length", 0x7FFFFFFF, ENGINE_CORRUPT, "is 2147483647"),
	PATCH("feed_forward_length", 96, ENGINE_CORRUPT, "wrong shape"),
	WITHOUT("general.architecture", "\"general.architecture\" is missing"),
	WITHOUT("llama.block_count", "\"llama.block_count\" is missing"),
	WITHOUT("llama.context_length", "\"llama.context_length\" is missing"),
	WITHOUT("llama.embedding_length", "is missing"),
	WITHOUT("llama.feed_forward_length", "is missing"),
	WITHOUT("llama.attention.head_count", "is missing"),
	WITHOUT("llama.attention.layer_norm_rms_epsilon", "is missing"),
	WITHOUT("token_embd.weight", "\"token_embd.weight\" is missing"),
	WITHOUT("output_norm.weight", "\"output_norm.weight\" is missing"),
	WITHOUT("blk.1.ffn_gate.weight", "\"blk.1.ffn_gate.weight\" is missing"),
	WITHOUT("blk.0.attn_v.weight", "\"blk.0.attn_v.weight\" is missing"),
	MORE(bad_divisor, ENGINE_CORRUPT, "value 7 of GGUF tensor \"rope_freqs"),
	MORE(nan_divisor, ENGINE_CORRUPT, "value 6 of GGUF tensor \"rope_freqs"),
	MORE(short_divisors, ENGINE_CORRUPT, "\"rope_freqs.weight\" has the wro"),
	MORE(half_divisors, ENGINE_CORRUPT, "8 numbers of type F32"),
	MORE(longrope, ENGINE_UNSUPPORTED, "type \"longrope\""),
	MORE(negative_factor, ENGINE_CORRUPT, "scaling.factor\" is -2"),
	MORE(nan_factor, ENGINE_CORRUPT, "not a finite number"),
	MORE(text_factor, ENGINE_CORRUPT, "has type string"),
	MORE(base_of_one, ENGINE_CORRUPT, "freq_base\" is 1"),
	MORE(yarn_multiplier, ENGINE_CORRUPT, "yarn_log_multiplier"),
	MORE(odd_rotation, ENGINE_CORRUPT, "rotate 15 values"),
	MORE(wide_rotation, ENGINE_CORRUPT, "rotate 18 values of heads of 16"),
	MORE(zero_rotation, ENGINE_CORRUPT, "dimension_count\" is 0"),
	MORE(experts, ENGINE_UNSUPPORTED, "mixture of 8 experts"),
	MORE(alibi, ENGINE_UNSUPPORTED, "max_alibi_bias"),
	MORE(pattern, ENGINE_UNSUPPORTED, "sliding_window_pattern"),
	INSTEAD("llama.attention.layer_norm_rms_epsilon", zero_epsilon,
			ENGINE_CORRUPT, "epsilon\" is 0"),
	INSTEAD("llama.attention.head_count", double_heads, ENGINE_CORRUPT,
			"head_count\" has type f32"),
	INSTEAD("llama.feed_forward_length", uneven_layers, ENGINE_UNSUPPORTED,
			"layers that differ in \"llama.feed_forward_length\""),
	INSTEAD("llama.feed_forward_length", short_layers, ENGINE_CORRUPT,
			"has 1 elements for 2 layers"),
	INSTEAD("llama.feed_forward_length", zero_layers, ENGINE_CORRUPT,
			"feed_forward_length\" is 0"),
	INSTEAD("llama.feed_forward_length", text_layers, ENGINE_CORRUPT,
			"array of string"),
	MORE(adapter, ENGINE_UNSUPPORTED, "general.type is \"adapter\""),
	INSTEAD("general.architecture", other_architecture, ENGINE_UNSUPPORTED,
			"architecture \"mamba\\xC3\\xA9\""),
	INSTEAD("general.architecture", architecture_with_nul,
			ENGINE_UNSUPPORTED, "\"llama\\x00x\""),
	INSTEAD("general.architecture", numeric_architecture, ENGINE_CORRUPT,
			"has type u32"),
	MORE(extra_tensor, ENGINE_UNSUPPORTED, "\"blk.0.attn_rot.bias\" has no"),
	MORE(layer_too_many, ENGINE_UNSUPPORTED, "\"blk.2.attn_norm.weight\""),
	MORE(leading_zero_layer, ENGINE_UNSUPPORTED, "\"blk.01.attn_q.bias\""),
	MORE(qwen_norm, ENGINE_UNSUPPORTED, "\"blk.0.attn_q_norm.weight\""),
	INSTEAD("blk.0.ffn_up.weight", transposed, ENGINE_CORRUPT,
			"\"blk.0.ffn_up.weight\" has the wrong shape"),
	INSTEAD("output_norm.weight", wide_norm, ENGINE_CORRUPT, "wrong shape"),
	INSTEAD("output_norm.weight", matrix_as_norm, ENGINE_CORRUPT,
			"wrong shape"),
	MORE(other_output, ENGINE_CORRUPT, "\"output.weight\" has the wrong"),
	MORE(long_template, ENGINE_LIMIT, "\"tokenizer.chat_template\" has 10485"),
	MORE(template_array, ENGINE_CORRUPT, "has type array"),
};

static bool
model_refused(const HostileModel *hostile)
{
	const char *skip[] = {hostile->without, NULL};
	Built		built;
	EngineCode	code;
	bool		good;

	make_file(&built, &small_llama, hostile->more, skip);
	if (hostile->patch != NULL)
		bytes_patch(&built.file, file_find(&built.file, hostile->patch) + 4,
					hostile->value, 4);
	code = plan_file(&built);
	good = code == hostile->code &&
		strstr(built.status.message, hostile->message) != NULL;
	if (!good)
		print_error("%s: code %d, wanted %d; \"%s\" should contain \"%s\"\n",
					hostile->label, code, hostile->code,
					built.status.message, hostile->message);
	built_free(&built);
	return good;
}

static void
test_hostile_models(void **state)
{
	size_t		n = sizeof(hostile_models) / sizeof(hostile_models[0]);
	int			wrong = 0;

	(void) state;
	for (size_t i = 0; i < n; i++)
	{
		if (!model_refused(&hostile_models[i]))
			wrong++;
	}
	assert_int_equal(wrong, 0);
}

static void
equal_layers(GgufBuilder *b)
{
	static const uint32_t lengths[] = {64, 64};

	builder_u32_array(b, "llama.feed_forward_length", 2, lengths);
}

/* A window shorter than the context counts only for llama. */
static void
llama_window(GgufBuilder *b)
{
	builder_u32(b, "llama.attention.sliding_window", 48);
}

static void
qwen_window(GgufBuilder *b)
{
	builder_u32(b, "qwen2.attention.sliding_window", 48);
}

static void
qwen_long_window(GgufBuilder *b)
{
	builder_u32(b, "qwen2.attention.sliding_window", 64);
}

static void
test_accepted_variants(void **state)
{
	static const char *const skip[] = {"llama.feed_forward_length", NULL};
	ModelShape	qwen = small_llama;
	Built		built;

	(void) state;
	make_file(&built, &small_llama, equal_layers, skip);
	assert_int_equal(plan_file(&built), ENGINE_OK);
	assert_int_equal(built.plan.header.hyper.feed_forward_length, 64);
	built_free(&built);

	make_file(&built, &small_llama, llama_window, NULL);
	assert_int_equal(plan_file(&built), ENGINE_OK);
	assert_int_equal(built.plan.header.hyper.window, 48);
	built_free(&built);

	qwen.architecture = "qwen2";
	make_file(&built, &qwen, qwen_window, NULL);
	assert_int_equal(plan_file(&built), ENGINE_UNSUPPORTED);
	assert_non_null(strstr(built.status.message, "sliding window"));
	built_free(&built);

	make_file(&built, &qwen, qwen_long_window, NULL);
	assert_int_equal(plan_file(&built), ENGINE_OK);
	assert_int_equal(built.plan.header.hyper.window, 0);
	built_free(&built);
}

/*
 * Weights that are not finite
 */

/* Make the last block of row a number or scale that is infinite. */
static void
spoil(Built *built, const GgufTensor *tensor, int64_t row)
{
	uint64_t	bytes = tensor_row_bytes(tensor->type, tensor->dims[0]);
	uint64_t	end = tensor->offset + (row + 1) * bytes;
	int			block = tensor_type(tensor->type)->block_bytes;

	if (tensor->type == TYPE_F32)
		bytes_patch(&built->file, end - 4, 0x7F800000, 4);
	else						/* Q8_0: the scale comes first */
		bytes_patch(&built->file, end - block, 0xFC00, 2);
}

static EngineCode
check_in_pieces(Built *built, size_t piece)
{
	ImageCheck	check;
	size_t		done = 0;

	image_check_init(&check, &built->plan);
	while (done < built->file.size)
	{
		size_t		length = built->file.size - done;

		if (length > piece)
			length = piece;
		ENGINE_TRY(image_check_data(&check, done, built->file.data + done,
									length, &built->status));
		done += length;
	}
	return ENGINE_OK;
}

static void
assert_not_finite(EngineCode code, const Built *built, const char *name,
				  int64_t row)
{
	char		place[64];

	assert_int_equal(code, ENGINE_NOT_FINITE);
	assert_non_null(strstr(built->status.message, name));
	snprintf(place, sizeof(place), "in row %d,", (int) row);
	assert_non_null(strstr(built->status.detail, place));
}

static void
test_not_finite(void **state)
{
	static const size_t pieces[] = {1, 33, 4096, 1 << 20};
	uint32_t	n_tensors = 20;

	(void) state;
	for (uint32_t i = 0; i < n_tensors; i++)
	{
		Built		built;
		const GgufTensor *tensor;
		int64_t		row;

		make_file(&built, &small_llama, NULL, NULL);
		assert_int_equal(plan_file(&built), ENGINE_OK);
		n_tensors = built.plan.file.n_tensors;
		tensor = &built.plan.file.tensors[i];
		row = i % 2 == 0 ? tensor->dims[1] - 1 : tensor->dims[1] / 2;
		for (int p = 0; p < 4; p++)
			assert_int_equal(check_in_pieces(&built, pieces[p]), ENGINE_OK);
		spoil(&built, tensor, row);
		assert_not_finite(build_image(&built), &built, tensor->name, row);
		for (int p = 0; p < 4; p++)
			assert_not_finite(check_in_pieces(&built, pieces[p]), &built,
							  tensor->name, row);
		built_free(&built);
	}
	assert_int_equal(n_tensors, 20);
}

static void
test_check_order(void **state)
{
	Built		built;
	ImageCheck	check;

	(void) state;
	make_file(&built, &small_llama, NULL, NULL);
	assert_int_equal(plan_file(&built), ENGINE_OK);
	image_check_init(&check, &built.plan);
	assert_int_equal(image_check_data(&check, 0, built.file.data, 100,
									  &built.status), ENGINE_OK);
	assert_int_equal(image_check_data(&check, 101, built.file.data + 101, 9,
									  &built.status), ENGINE_INVALID);
	assert_int_equal(image_check_data(&check, 100, built.file.data + 100,
									  built.file.size, &built.status),
					 ENGINE_INVALID);
	built_free(&built);
}

/*
 * The source and the host
 */

typedef struct SpySource
{
	ByteSource	source;			/* first, so that it can be cast */
	const Bytes *file;
	uint64_t	next;			/* where the pass over the file is */
	int			reads;			/* reads that are allowed */
} SpySource;

static EngineCode
spy_read(ByteSource *source, uint64_t offset, void *buf, size_t length,
		 EngineStatus *status)
{
	SpySource  *spy = (SpySource *) source;

	if (spy->reads-- <= 0)
		return engine_fail(status, ENGINE_IO, "disk is gone");
	assert_true(offset <= source->size && length <= source->size - offset);
	assert_in_range(length, 1, 1 << 20);
	if (offset == spy->next)
		spy->next += length;
	memcpy(buf, spy->file->data + offset, length);
	return ENGINE_OK;
}

static void
spy_open(SpySource *spy, const Bytes *file, int reads)
{
	spy->source.size = file->size;
	spy->source.read = spy_read;
	spy->source.arg = NULL;
	spy->file = file;
	spy->next = 0;
	spy->reads = reads;
}

static void
see_progress(void *arg, uint64_t done, uint64_t total)
{
	uint64_t   *last = arg;

	assert_true(done > *last && done <= total);
	*last = done;
}

/* A model of several pieces: 2.3 MB */
static const ModelShape large_llama = {
	.architecture = "llama",
	.type = TYPE_F32,
	.vector_type = TYPE_F32,
	.layers = 1,
	.embedding = 256,
	.heads = 4,
	.kv_heads = 2,
	.feed_forward = 512,
	.vocabulary = 50,
	.context = 64
};

static void
test_one_pass(void **state)
{
	Built		built;
	SpySource	spy;
	uint64_t	last = 0;

	(void) state;
	make_built(&built, &large_llama, large_divisors);
	assert_true(built.file.size > 2 << 20);
	spy_open(&spy, &built.file, 1000);
	assert_int_equal(image_build(&built.plan, &spy.source, &built.arena,
								 NULL, see_progress, &last, built.image,
								 &built.status), ENGINE_OK);
	assert_int_equal(spy.next, built.file.size);
	assert_int_equal(last, built.file.size);
	/* one read for each MB, and none besides */
	assert_int_equal(1000 - spy.reads, (built.file.size >> 20) + 1);
	built_free(&built);
}

static void
test_source_errors(void **state)
{
	Built		built;
	SpySource	spy;
	EngineCode	code;
	int			reads = 0;

	(void) state;
	make_built(&built, &large_llama, large_divisors);
	do
	{
		ImagePlan	plan;

		spy_open(&spy, &built.file, reads++);
		code = image_plan(&spy.source, &built.arena, NULL, &plan,
						  &built.status);
		if (code == ENGINE_OK)
			code = image_build(&plan, &spy.source, &built.arena, NULL, NULL,
							   NULL, built.image, &built.status);
		if (code != ENGINE_OK)
			assert_string_equal(built.status.message, "disk is gone");
	} while (code == ENGINE_IO);
	assert_int_equal(code, ENGINE_OK);
	/* the header, the divisors, three pieces: observed 6 */
	assert_in_range(reads, 5, 8);

	built.source.size--;
	assert_int_equal(image_build(&built.plan, &built.source, &built.arena,
								 NULL, NULL, NULL, built.image,
								 &built.status), ENGINE_CORRUPT);
	built_free(&built);
}

static bool
countdown(void *arg)
{
	int		   *left = arg;

	return (*left)-- <= 0;
}

static void
test_interrupts(void **state)
{
	Built		built;
	EngineCode	code;
	int			polls = 0;

	(void) state;
	make_built(&built, &large_llama, NULL);
	do
	{
		int			left = polls++;
		EngineHost	host = {countdown, &left, NULL};
		ImagePlan	plan;

		code = image_plan(&built.source, &built.arena, &host, &plan,
						  &built.status);
		if (code == ENGINE_OK)
			code = image_build(&plan, &built.source, &built.arena, &host,
							   NULL, NULL, built.image, &built.status);
	} while (code == ENGINE_CANCELLED);
	assert_int_equal(code, ENGINE_OK);
	/* at least one for each piece, and some for the header: observed 14 */
	assert_true(polls > (int) (built.file.size >> 20) + 3);
	built_free(&built);
}

static void *
scarce_alloc(void *arg, size_t size)
{
	int		   *left = arg;

	return (*left)-- > 0 ? malloc(size) : NULL;
}

static void
scarce_free(void *arg, void *pointer)
{
	(void) arg;
	free(pointer);
}

static void
test_no_memory(void **state)
{
	Built		built;
	EngineCode	code;
	int			allowed = 0;

	(void) state;
	make_built(&built, &small_llama, file_divisors);
	do
	{
		int			left = allowed++;
		EngineAllocator allocator = {scarce_alloc, scarce_free, &left};
		EngineArena arena;
		ImagePlan	plan;

		engine_arena_init(&arena, &allocator, 0);
		code = image_plan(&built.source, &arena, NULL, &plan, &built.status);
		if (code == ENGINE_OK)
			code = image_build(&plan, &built.source, &arena, NULL, NULL,
							   NULL, built.image, &built.status);
		engine_arena_free(&arena);
	} while (code == ENGINE_NO_MEMORY);
	assert_int_equal(code, ENGINE_OK);
	assert_true(allowed > 2);
	built_free(&built);
}

/*
 * Random damage
 */

static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void
touch_rows(const ImageHeader *image, const ImageMatrix *matrix)
{
	float	   *row = malloc(matrix->k * sizeof(float));

	assert_non_null(row);
	image_row(image, matrix, 0, row);
	image_row(image, matrix, matrix->n - 1, row);
	free(row);
}

/* Plan, build and use whatever that gives; the sanitiser watches. */
static bool
survive(Built *built)
{
	bool		good = plan_file(built) == ENGINE_OK &&
		build_image(built) == ENGINE_OK;

	if (good)
	{
		touch_rows(built->image, &built->image->token_embd);
		touch_rows(built->image, &image_layer(built->image, 0)->ffn_down);
	}
	else
		assert_true(built->status.message[0] != '\0');
	return good;
}

static void
test_mutations(void **state)
{
	uint64_t	random = UINT64_C(0xD1B54A32D192ED03);
	Built		original;
	size_t		header;
	int			good = 0;

	(void) state;
	make_built(&original, &small_llama, yarn_scaling);
	header = original.plan.file.data_offset;
	for (int round = 0; round < 10000; round++)
	{
		Built		built;
		int			n = 1 + (int) (next_random(&random) % 3);

		memset(&built, 0, sizeof(built));
		bytes_put(&built.file, original.file.data, original.file.size);
		for (int i = 0; i < n; i++)
		{
			/* mostly the header, now and then the weights */
			size_t		range = next_random(&random) % 8 > 0 ? header :
				original.file.size;

			built.file.data[next_random(&random) % range] =
				(uint8_t) next_random(&random);
		}
		good += survive(&built);
		built_free(&built);
	}
	/* observed: 648 */
	assert_in_range(good, 300, 5000);
	built_free(&original);
}

static void
test_truncations(void **state)
{
	Built		original;
	size_t		last;

	(void) state;
	make_built(&original, &small_llama, NULL);
	last = original.plan.file.tensors[19].offset +
		original.plan.file.tensors[19].bytes;
	for (size_t size = 0; size < last; size += size < 4096 ? 1 : 37)
	{
		Built		built;

		memset(&built, 0, sizeof(built));
		built.file.data = malloc(size == 0 ? 1 : size);
		assert_non_null(built.file.data);
		memcpy(built.file.data, original.file.data, size);
		built.file.size = size;
		assert_int_equal(plan_file(&built), ENGINE_CORRUPT);
		built_free(&built);
	}
	built_free(&original);
}

/*
 * Models of test/data
 */

static bool
load_bytes(const char *path, Bytes *bytes)
{
	FILE	   *file = fopen(path, "rb");
	uint8_t		buffer[65536];
	size_t		n;

	memset(bytes, 0, sizeof(*bytes));
	if (file == NULL)
		return false;
	while ((n = fread(buffer, 1, sizeof(buffer), file)) > 0)
		bytes_put(bytes, buffer, n);
	fclose(file);
	return true;
}

static void
test_data_models(void **state)
{
	DIR		   *directory = opendir("test/data");
	struct dirent *entry;
	int			n_models = 0;

	(void) state;
	assert_non_null(directory);
	while ((entry = readdir(directory)) != NULL)
	{
		size_t		length = strlen(entry->d_name);
		char		path[512];
		Built		built;

		if (length < 5 || strcmp(entry->d_name + length - 5, ".gguf") != 0)
			continue;
		snprintf(path, sizeof(path), "test/data/%s", entry->d_name);
		assert_true(load_bytes(path, &built.file));
		if (plan_file(&built) != ENGINE_OK &&
			built.plan.file.n_tensors == 0)
		{
			/* a vocabulary alone */
			built_free(&built);
			continue;
		}
		if (built.status.code != ENGINE_OK ||
			build_image(&built) != ENGINE_OK ||
			check_in_pieces(&built, 1000) != ENGINE_OK)
			fail_msg("%s: %s %s", path, built.status.message,
					 built.status.detail);
		assert_int_not_equal(built.image->tokenizer, 0);
		assert_matrix(&built, "token_embd.weight", &built.image->token_embd);
		built_free(&built);
		n_models++;
	}
	closedir(directory);
	assert_true(n_models >= 8);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_architectures),
		cmocka_unit_test(test_optional_parts),
		cmocka_unit_test(test_all_bytes_written),
		cmocka_unit_test(test_rope_linear),
		cmocka_unit_test(test_rope_divisors),
		cmocka_unit_test(test_rope_yarn),
		cmocka_unit_test(test_rope_defaults),
		cmocka_unit_test(test_hostile_models),
		cmocka_unit_test(test_accepted_variants),
		cmocka_unit_test(test_not_finite),
		cmocka_unit_test(test_check_order),
		cmocka_unit_test(test_one_pass),
		cmocka_unit_test(test_source_errors),
		cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_truncations),
		cmocka_unit_test(test_data_models),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
