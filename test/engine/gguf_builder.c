/*-------------------------------------------------------------------------
 *
 * gguf_builder.c
 *	  Makes GGUF files in memory.
 *
 *-------------------------------------------------------------------------
 */
#include "gguf_builder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

void
bytes_put(Bytes *bytes, const void *data, size_t size)
{
	if (bytes->capacity - bytes->size < size)
	{
		size_t		capacity = 2 * (bytes->size + size) + 256;

		bytes->data = realloc(bytes->data, capacity);
		if (bytes->data == NULL)
			abort();
		bytes->capacity = capacity;
	}
	if (size > 0)
		memcpy(bytes->data + bytes->size, data, size);
	bytes->size += size;
}

void
bytes_number(Bytes *bytes, uint64_t value, size_t size)
{
	uint8_t		little[8];

	for (size_t i = 0; i < 8; i++)
		little[i] = (uint8_t) (value >> (8 * i));
	bytes_put(bytes, little, size);
}

void
bytes_f32(Bytes *bytes, float value)
{
	uint32_t	bits;

	memcpy(&bits, &value, sizeof(bits));
	bytes_number(bytes, bits, 4);
}

void
bytes_string(Bytes *bytes, const char *text)
{
	bytes_number(bytes, strlen(text), 8);
	bytes_put(bytes, text, strlen(text));
}

void
bytes_free(Bytes *bytes)
{
	free(bytes->data);
	memset(bytes, 0, sizeof(*bytes));
}

void
bytes_patch(Bytes *bytes, size_t offset, uint64_t value, size_t size)
{
	if (offset > bytes->size || size > bytes->size - offset)
		abort();
	for (size_t i = 0; i < size; i++)
		bytes->data[offset + i] = (uint8_t) (value >> (8 * i));
}

void
builder_init(GgufBuilder *builder)
{
	memset(builder, 0, sizeof(*builder));
	builder->version = 3;
	builder->alignment = 32;
}

void
builder_free(GgufBuilder *builder)
{
	bytes_free(&builder->keys);
	bytes_free(&builder->infos);
	bytes_free(&builder->data);
}

static bool
skipped(const GgufBuilder *builder, const char *name)
{
	for (const char *const *skip = builder->skip;
		 skip != NULL && *skip != NULL; skip++)
	{
		if (strcmp(*skip, name) == 0)
			return true;
	}
	return false;
}

bool
builder_key(GgufBuilder *builder, const char *name, uint32_t type)
{
	if (skipped(builder, name))
		return false;
	builder->n_keys++;
	bytes_string(&builder->keys, name);
	bytes_number(&builder->keys, type, 4);
	return true;
}

void
builder_u32(GgufBuilder *builder, const char *name, uint32_t value)
{
	if (builder_key(builder, name, GGUF_U32))
		bytes_number(&builder->keys, value, 4);
}

void
builder_f32(GgufBuilder *builder, const char *name, float value)
{
	if (builder_key(builder, name, GGUF_F32))
		bytes_f32(&builder->keys, value);
}

void
builder_bool(GgufBuilder *builder, const char *name, int value)
{
	if (builder_key(builder, name, GGUF_BOOL))
		bytes_number(&builder->keys, (uint64_t) value, 1);
}

void
builder_text(GgufBuilder *builder, const char *name, const char *value)
{
	if (builder_key(builder, name, GGUF_STRING))
		bytes_string(&builder->keys, value);
}

void
builder_u32_array(GgufBuilder *builder, const char *name, int count,
				  const uint32_t *values)
{
	if (!builder_key(builder, name, GGUF_ARRAY))
		return;
	bytes_number(&builder->keys, GGUF_U32, 4);
	bytes_number(&builder->keys, (uint64_t) count, 8);
	for (int i = 0; i < count; i++)
		bytes_number(&builder->keys, values[i], 4);
}

void
builder_text_array(GgufBuilder *builder, const char *name, int count,
				   const char *const *values)
{
	if (!builder_key(builder, name, GGUF_ARRAY))
		return;
	bytes_number(&builder->keys, GGUF_STRING, 4);
	bytes_number(&builder->keys, (uint64_t) count, 8);
	for (int i = 0; i < count; i++)
		bytes_string(&builder->keys, values[i]);
}

/* Zero bytes up to the next multiple of alignment */
static void
bytes_align(Bytes *bytes, size_t alignment)
{
	while (bytes->size % alignment != 0)
		bytes_number(bytes, 0, 1);
}

static uint32_t
next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 16;
}

/*
 * Random bits are fine for codes.  Clearing bit 6 of every byte clears the
 * highest bit of the exponent of every f16, bf16 or f32 number, wherever it
 * lies in a block: all are finite and below 2.
 */
static void
put_weights(Bytes *data, const char *name, uint64_t size)
{
	uint32_t	state = 1;

	for (const char *c = name; *c != '\0'; c++)
		state = state * 31 + (uint8_t) *c;
	for (uint64_t i = 0; i < size; i++)
		bytes_number(data, next_random(&state) & 0xBF, 1);
}

void
builder_tensor(GgufBuilder *builder, const char *name, TensorType type,
			   uint64_t k, uint64_t n)
{
	if (skipped(builder, name))
		return;
	bytes_align(&builder->data, builder->alignment);
	builder->n_tensors++;
	bytes_string(&builder->infos, name);
	bytes_number(&builder->infos, n == 0 ? 1 : 2, 4);
	bytes_number(&builder->infos, k, 8);
	if (n > 0)
		bytes_number(&builder->infos, n, 8);
	bytes_number(&builder->infos, type, 4);
	bytes_number(&builder->infos, builder->data.size, 8);
	put_weights(&builder->data, name,
				tensor_row_bytes(type, k) * (n == 0 ? 1 : n));
}

void
builder_finish(const GgufBuilder *builder, Bytes *file)
{
	memset(file, 0, sizeof(*file));
	bytes_put(file, "GGUF", 4);
	bytes_number(file, builder->version, 4);
	bytes_number(file, builder->n_tensors, 8);
	bytes_number(file, builder->n_keys, 8);
	bytes_put(file, builder->keys.data, builder->keys.size);
	bytes_put(file, builder->infos.data, builder->infos.size);
	bytes_align(file, builder->alignment);
	bytes_put(file, builder->data.data, builder->data.size);
	bytes_align(file, builder->alignment);
}

size_t
file_find(const Bytes *file, const char *name)
{
	size_t		length = strlen(name);
	Bytes		wanted = {NULL, 0, 0};
	size_t		found = 0;

	bytes_string(&wanted, name);
	for (size_t i = 0; found == 0 && i + wanted.size <= file->size; i++)
	{
		if (memcmp(file->data + i, wanted.data, wanted.size) == 0)
			found = i + wanted.size;
	}
	bytes_free(&wanted);
	if (found < length)
	{
		fprintf(stderr, "no \"%s\" in the file\n", name);
		abort();
	}
	return found;
}

const ModelShape small_llama = {
	.architecture = "llama",
	.type = TYPE_Q8_0,
	.vector_type = TYPE_F32,
	.layers = 2,
	.embedding = 32,
	.heads = 2,
	.kv_heads = 1,
	.feed_forward = 64,
	.vocabulary = 20,
	.context = 64
};

/* "llama.block_count", until the next call */
static const char *
model_key(const char *architecture, const char *suffix)
{
	static char name[128];

	snprintf(name, sizeof(name), "%s.%s", architecture, suffix);
	return name;
}

/* "blk.1.attn_q.weight", until the next call */
static const char *
layer_name(int layer, const char *suffix)
{
	static char name[128];

	snprintf(name, sizeof(name), "blk.%d.%s", layer, suffix);
	return name;
}

#define MODEL_KEY(suffix) model_key(shape->architecture, suffix)
#define IN_LAYER(suffix) layer_name(layer, suffix)

static void
model_keys(GgufBuilder *b, const ModelShape *shape)
{
	bool		gpt2 = strcmp(shape->architecture, "gpt2") == 0;

	builder_text(b, "general.architecture", shape->architecture);
	builder_u32(b, "general.alignment", (uint32_t) b->alignment);
	builder_u32(b, MODEL_KEY("context_length"), shape->context);
	builder_u32(b, MODEL_KEY("embedding_length"), shape->embedding);
	builder_u32(b, MODEL_KEY("block_count"), shape->layers);
	builder_u32(b, MODEL_KEY("feed_forward_length"), shape->feed_forward);
	builder_u32(b, MODEL_KEY("attention.head_count"), shape->heads);
	builder_u32(b, MODEL_KEY("attention.head_count_kv"), shape->kv_heads);
	builder_f32(b, gpt2 ? MODEL_KEY("attention.layer_norm_epsilon") :
				MODEL_KEY("attention.layer_norm_rms_epsilon"), 1e-5f);
}

static void
attention_tensors(GgufBuilder *b, const ModelShape *shape, int layer)
{
	int			d = shape->embedding;
	int			kv = d / shape->heads * shape->kv_heads;

	builder_tensor(b, IN_LAYER("attn_norm.weight"), shape->vector_type, d, 0);
	if (strcmp(shape->architecture, "gpt2") == 0)
	{
		builder_tensor(b, IN_LAYER("attn_norm.bias"), shape->vector_type, d,
					   0);
		builder_tensor(b, IN_LAYER("attn_qkv.weight"), shape->type, d,
					   d + 2 * kv);
		builder_tensor(b, IN_LAYER("attn_qkv.bias"), shape->vector_type,
					   d + 2 * kv, 0);
		builder_tensor(b, IN_LAYER("attn_output.bias"), shape->vector_type,
					   d, 0);
	}
	else
	{
		builder_tensor(b, IN_LAYER("attn_q.weight"), shape->type, d, d);
		builder_tensor(b, IN_LAYER("attn_k.weight"), shape->type, d, kv);
		builder_tensor(b, IN_LAYER("attn_v.weight"), shape->type, d, kv);
	}
	if (strcmp(shape->architecture, "qwen2") == 0)
	{
		builder_tensor(b, IN_LAYER("attn_q.bias"), shape->vector_type, d, 0);
		builder_tensor(b, IN_LAYER("attn_k.bias"), shape->vector_type, kv, 0);
		builder_tensor(b, IN_LAYER("attn_v.bias"), shape->vector_type, kv, 0);
	}
	if (strcmp(shape->architecture, "qwen3") == 0)
	{
		builder_tensor(b, IN_LAYER("attn_q_norm.weight"), shape->vector_type,
					   d / shape->heads, 0);
		builder_tensor(b, IN_LAYER("attn_k_norm.weight"), shape->vector_type,
					   d / shape->heads, 0);
	}
	builder_tensor(b, IN_LAYER("attn_output.weight"), shape->type, d, d);
}

static void
feed_forward_tensors(GgufBuilder *b, const ModelShape *shape, int layer)
{
	int			d = shape->embedding;
	int			ff = shape->feed_forward;

	builder_tensor(b, IN_LAYER("ffn_norm.weight"), shape->vector_type, d, 0);
	if (strcmp(shape->architecture, "gpt2") == 0)
	{
		builder_tensor(b, IN_LAYER("ffn_norm.bias"), shape->vector_type, d,
					   0);
		builder_tensor(b, IN_LAYER("ffn_up.bias"), shape->vector_type, ff, 0);
		builder_tensor(b, IN_LAYER("ffn_down.bias"), shape->vector_type, d,
					   0);
	}
	else
		builder_tensor(b, IN_LAYER("ffn_gate.weight"), shape->type, d, ff);
	builder_tensor(b, IN_LAYER("ffn_up.weight"), shape->type, d, ff);
	builder_tensor(b, IN_LAYER("ffn_down.weight"), shape->type, ff, d);
}

void
builder_model(GgufBuilder *b, const ModelShape *shape)
{
	model_keys(b, shape);
	builder_tensor(b, "token_embd.weight", shape->type, shape->embedding,
				   shape->vocabulary);
	if (strcmp(shape->architecture, "gpt2") == 0)
	{
		builder_tensor(b, "position_embd.weight", shape->type,
					   shape->embedding, shape->context);
		builder_tensor(b, "output_norm.bias", shape->vector_type,
					   shape->embedding, 0);
	}
	for (int layer = 0; layer < shape->layers; layer++)
	{
		attention_tensors(b, shape, layer);
		feed_forward_tensors(b, shape, layer);
	}
	builder_tensor(b, "output_norm.weight", shape->vector_type,
				   shape->embedding, 0);
	if (shape->output)
		builder_tensor(b, "output.weight", shape->type, shape->embedding,
					   shape->vocabulary);
}
