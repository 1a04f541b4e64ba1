/*-------------------------------------------------------------------------
 *
 * hugging_face_tensors_test.c
 *	  From the tensors of a folder to those of a GGUF file: names, order,
 *	  shapes, types, and every byte of their data.
 *
 * The value of a tensor's element follows from its name and its place, so a
 * row that came from elsewhere shows.  All values are exact in f16 and bf16.
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

#include <cmocka.h>

#include "folder_fixture.h"
#include "formats/hugging_face_model.h"
#include "gguf_builder.h"
#include "kernels/half.h"
#include "tensor/quantise.h"

#define BUDGET ((size_t) 64 << 20)

/* A file of weights while it grows */
typedef struct Weights
{
	Bytes		header;
	Bytes		data;
} Weights;

typedef struct Folder
{
	FolderFixture fixture;
	Weights		weights;
	EngineArena arena;
	EngineStatus status;
	EngineHost	host;
	HfModel		model;
	SafeTensors from;
	HfTensor   *tensors;
	uint32_t	n;
	ByteSource *source;
	uint8_t    *bytes;			/* all of the source */
} Folder;

static const uint8_t some_header[64] = {'h', 'e', 'a', 'd'};

/*
 * Folders in memory.
 */

static float
value_of(const char *name, int64_t i)
{
	uint32_t	x = 2166136261u;

	for (; *name != '\0'; name++)
		x = (x ^ (uint8_t) *name) * 16777619u;
	x = (x ^ (uint32_t) i) * 2654435761u;
	x ^= x >> 15;
	return ((float) (x % 255) - 127.0f) / 32.0f;
}

static void
put_value(Bytes *data, SafeType type, float x)
{
	uint32_t	bits;
	double		wide = x;
	uint64_t	wide_bits;

	memcpy(&bits, &x, sizeof(bits));
	memcpy(&wide_bits, &wide, sizeof(wide_bits));
	if (type == SAFE_F32)
		bytes_number(data, bits, 4);
	else if (type == SAFE_F16)
		bytes_number(data, f32_to_f16(x), 2);
	else if (type == SAFE_BF16)
		bytes_number(data, bits >> 16, 2);
	else
		bytes_number(data, wide_bits, 8);	/* F64, or 8 bytes of I64 */
}

static void
put_text(Bytes *bytes, const char *text)
{
	bytes_put(bytes, text, strlen(text));
}

/* shape is JSON without brackets: "3,4" */
static void
add_shaped(Weights *weights, const char *name, SafeType type,
		   const char *shape, int64_t n)
{
	char		text[256];
	size_t		begin = weights->data.size;

	for (int64_t i = 0; i < n; i++)
		put_value(&weights->data, type, value_of(name, i));
	snprintf(text, sizeof(text), "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],"
			 "\"data_offsets\":[%zu,%zu]}",
			 weights->header.size == 0 ? "{" : ",", name,
			 safetensors_type_name(type), shape, begin, weights->data.size);
	put_text(&weights->header, text);
}

static void
add_matrix(Folder *self, const char *name, SafeType type, int64_t rows,
		   int64_t columns)
{
	char		shape[64];

	snprintf(shape, sizeof(shape), "%d,%d", (int) rows, (int) columns);
	add_shaped(&self->weights, name, type, shape, rows * columns);
}

static void
add_vector(Folder *self, const char *name, SafeType type, int64_t n)
{
	char		shape[64];

	snprintf(shape, sizeof(shape), "%d", (int) n);
	add_shaped(&self->weights, name, type, shape, n);
}

/* Put what was added into a file of the folder. */
static void
write_weights(Folder *self, const char *file)
{
	Bytes		bytes = {0};

	put_text(&self->weights.header,
			 self->weights.header.size == 0 ? "{}" : "}");
	bytes_number(&bytes, self->weights.header.size, 8);
	bytes_put(&bytes, self->weights.header.data, self->weights.header.size);
	bytes_put(&bytes, self->weights.data.data, self->weights.data.size);
	folder_fixture_add(&self->fixture, file, bytes.data, bytes.size);
	bytes_free(&bytes);
	bytes_free(&self->weights.header);
	bytes_free(&self->weights.data);
}

/* A model of two layers, four heads of six, two kv heads, width 8 */
static void
open_folder(Folder *self, HfFamily family, const char *architecture)
{
	memset(self, 0, sizeof(*self));
	folder_fixture_memory(&self->fixture);
	engine_arena_init(&self->arena, &engine_malloc, BUDGET);
	self->model.folder = &self->fixture.folder;
	self->model.arena = &self->arena;
	self->model.host = &self->host;
	self->model.status = &self->status;
	self->model.family = family;
	self->model.architecture = architecture;
	self->model.n_layers = 2;
	self->model.embedding_length = 8;
	self->model.feed_forward_length = 10;
	self->model.n_heads = 4;
	self->model.n_kv_heads = 2;
	self->model.key_length = 6;
	self->model.context_length = 16;
	self->model.vocabulary = 5;
}

static void
close_folder(Folder *self)
{
	engine_arena_free(&self->arena);
	folder_fixture_close(&self->fixture);
	bytes_free(&self->weights.header);
	bytes_free(&self->weights.data);
}

static EngineCode
list_tensors(Folder *self, int quantization)
{
	write_weights(self, "model.safetensors");
	assert_int_equal(safetensors_open(&self->fixture.folder, "",
									  &self->arena, NULL, &self->from,
									  &self->status), ENGINE_OK);
	return hf_list_tensors(&self->model, &self->from, quantization,
						   &self->tensors, &self->n);
}

static void
open_data(Folder *self)
{
	assert_int_equal(hf_open_data(&self->model, self->tensors, self->n,
								  some_header, sizeof(some_header),
								  &self->source), ENGINE_OK);
}

/* Everything: list, then read all bytes in ascending order. */
static void
convert(Folder *self, int quantization)
{
	EngineCode	code = list_tensors(self, quantization);

	if (code != ENGINE_OK)
		fail_msg("%s", self->status.message);
	open_data(self);
	self->bytes = engine_alloc(&self->arena, self->source->size, 1,
							   &self->status);
	assert_non_null(self->bytes);
	code = self->source->read(self->source, 0, self->bytes,
							  self->source->size, &self->status);
	if (code != ENGINE_OK)
		fail_msg("%s", self->status.message);
	assert_memory_equal(self->bytes, some_header, sizeof(some_header));
}

/* The tensor of that name, and where its data begins in the bytes */
static const HfTensor *
find(const Folder *self, const char *name, size_t *offset)
{
	*offset = sizeof(some_header);
	for (uint32_t i = 0; i < self->n; i++)
	{
		const HfTensor *tensor = &self->tensors[i];

		if (strcmp(tensor->name, name) == 0)
			return tensor;
		*offset += (size_t) tensor->rows *
			tensor_row_bytes(tensor->type, (uint64_t) tensor->columns);
		*offset = (*offset + 31) & ~(size_t) 31;
	}
	fail_msg("no tensor %s", name);
	return NULL;
}

static void
expect_failure(Folder *self, int quantization, EngineCode code,
			   const char *words)
{
	EngineCode	found = list_tensors(self, quantization);

	if (found != code || strstr(self->status.message, words) == NULL)
		fail_msg("code %d instead of %d, \"%s\" without \"%s\"", found, code,
				 self->status.message, words);
	close_folder(self);
}

/*
 * What data has to be: value (row, column) of the result is value index(...)
 * of the folder's tensor, plus add.
 */
typedef struct Wanted
{
	const char *name;
	const char *from;
	TensorType	type;
	int64_t		rows;			/* 0: a vector */
	int64_t		columns;
	int64_t		(*index) (int64_t row, int64_t column, int64_t rows,
						  int64_t columns);
	float		add;
} Wanted;

static int64_t
plainly(int64_t row, int64_t column, int64_t rows, int64_t columns)
{
	(void) rows;
	return row * columns + column;
}

static int64_t
transposed(int64_t row, int64_t column, int64_t rows, int64_t columns)
{
	(void) columns;
	return column * rows + row;
}

/* Rows of heads of six: 0 3 1 4 2 5 */
static int64_t
permuted_row(int64_t row)
{
	static const int64_t before[] = {0, 3, 1, 4, 2, 5};

	return row - row % 6 + before[row % 6];
}

static int64_t
permuted(int64_t row, int64_t column, int64_t rows, int64_t columns)
{
	(void) rows;
	return permuted_row(row) * columns + column;
}

static int64_t
permuted_vector(int64_t row, int64_t column, int64_t rows, int64_t columns)
{
	(void) row;
	(void) rows;
	(void) columns;
	return permuted_row(column);
}

static int64_t
two_skipped(int64_t row, int64_t column, int64_t rows, int64_t columns)
{
	(void) rows;
	return (row + 2) * columns + column;
}

static void
expect_tensor(const Folder *self, const Wanted *wanted)
{
	size_t		offset;
	const HfTensor *tensor = find(self, wanted->name, &offset);
	int64_t		rows = wanted->rows == 0 ? 1 : wanted->rows;
	size_t		row_bytes = tensor_row_bytes(wanted->type,
											 (uint64_t) wanted->columns);
	float	   *values = calloc((size_t) wanted->columns, sizeof(float));
	uint8_t    *row = calloc(row_bytes, 1);

	if (tensor->type != wanted->type || tensor->rows != rows ||
		tensor->columns != wanted->columns ||
		tensor->n_dims != (wanted->rows == 0 ? 1 : 2))
		fail_msg("%s has another type or shape", wanted->name);
	for (int64_t i = 0; i < rows; i++)
	{
		for (int64_t j = 0; j < wanted->columns; j++)
			values[j] = value_of(wanted->from,
								 wanted->index(i, j, rows,
											   wanted->columns)) +
				wanted->add;
		quantise_row(wanted->type, values, wanted->columns, row);
		if (memcmp(self->bytes + offset + (size_t) i * row_bytes, row,
				   row_bytes) != 0)
			fail_msg("%s differs in row %d", wanted->name, (int) i);
	}
	free(values);
	free(row);
}

static void
expect_tensors(const Folder *self, const Wanted *wanted, size_t n)
{
	for (size_t i = 0; i < n; i++)
		expect_tensor(self, &wanted[i]);
}

#define EXPECT(self, array) \
	expect_tensors(self, array, sizeof(array) / sizeof((array)[0]))

/*
 * Transforms.
 */

static void
test_llama(void **state)
{
	static const Wanted wanted[] = {
		{"token_embd.weight", "model.embed_tokens.weight", TYPE_BF16, 5, 8,
		plainly, 0},
		{"blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight",
		TYPE_F32, 24, 8, permuted, 0},
		{"blk.0.attn_q.bias", "model.layers.0.self_attn.q_proj.bias",
		TYPE_F32, 0, 24, permuted_vector, 0},
		{"blk.0.attn_k.weight", "model.layers.0.self_attn.k_proj.weight",
		TYPE_F16, 12, 8, permuted, 0},
		{"blk.0.attn_k.bias", "model.layers.0.self_attn.k_proj.bias",
		TYPE_F32, 0, 12, permuted_vector, 0},
		{"blk.0.attn_v.weight", "model.layers.0.self_attn.v_proj.weight",
		TYPE_BF16, 12, 8, plainly, 0},
		{"blk.1.attn_q.weight", "model.layers.1.self_attn.q_proj.weight",
		TYPE_BF16, 24, 8, permuted, 0},
		{"blk.1.ffn_norm.weight",
			"model.layers.1.post_attention_layernorm.weight", TYPE_F32, 0, 8,
		plainly, 0},
		{"output_norm.weight", "model.norm.weight", TYPE_F32, 0, 8, plainly,
		0},
		{"output.weight", "lm_head.weight", TYPE_F32, 5, 8, plainly, 0},
	};
	Folder		self;

	(void) state;
	open_folder(&self, HF_LLAMA, "llama");
	add_matrix(&self, "lm_head.weight", SAFE_F64, 5, 8);
	add_vector(&self, "model.layers.0.self_attn.rotary_emb.inv_freq",
			   SAFE_F32, 3);
	add_matrix(&self, "model.embed_tokens.weight", SAFE_BF16, 5, 8);
	add_matrix(&self, "model.layers.1.self_attn.q_proj.weight", SAFE_BF16,
			   24, 8);
	add_matrix(&self, "model.layers.0.self_attn.q_proj.weight", SAFE_F32, 24,
			   8);
	add_vector(&self, "model.layers.0.self_attn.q_proj.bias", SAFE_F16, 24);
	add_matrix(&self, "model.layers.0.self_attn.k_proj.weight", SAFE_F16, 12,
			   8);
	add_vector(&self, "model.layers.0.self_attn.k_proj.bias", SAFE_F32, 12);
	add_matrix(&self, "model.layers.0.self_attn.v_proj.weight", SAFE_BF16,
			   12, 8);
	add_vector(&self, "model.layers.1.post_attention_layernorm.weight",
			   SAFE_BF16, 8);
	add_vector(&self, "model.norm.weight", SAFE_F32, 8);
	convert(&self, HF_KEEP);
	assert_int_equal(self.n, sizeof(wanted) / sizeof(wanted[0]));
	for (uint32_t i = 0; i < self.n; i++)
		assert_string_equal(self.tensors[i].name, wanted[i].name);
	EXPECT(&self, wanted);
	close_folder(&self);
}

static void
test_llama3_divisors(void **state)
{
	static const char config[] = "{\"rope_theta\":500000.0,\"rope_scaling\":"
		"{\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0,"
		"\"high_freq_factor\":4.0,"
		"\"original_max_position_embeddings\":8192}}";
	Folder		self;
	size_t		offset;
	const HfTensor *tensor;
	float		first;
	float		last;

	(void) state;
	open_folder(&self, HF_LLAMA, "llama");
	self.model.key_length = 64;
	assert_int_equal(json_parse(config, sizeof(config) - 1, 8, 100,
								&self.arena, NULL, &self.model.config,
								&self.status), ENGINE_OK);
	add_matrix(&self, "embed_tokens.weight", SAFE_F32, 5, 8);
	convert(&self, TYPE_F16);
	assert_int_equal(self.n, 2);
	tensor = find(&self, "rope_freqs.weight", &offset);
	assert_int_equal(tensor->transform, HF_CONSTANT);
	assert_int_equal(tensor->type, TYPE_F32);
	assert_int_equal(tensor->columns, 32);
	memcpy(&first, self.bytes + offset, sizeof(first));
	memcpy(&last, self.bytes + offset + 31 * sizeof(last), sizeof(last));
	assert_true(first == 1.0f);
	assert_true(last == 8.0f);
	close_folder(&self);
}

static void
test_gpt2(void **state)
{
	static const Wanted wanted[] = {
		{"token_embd.weight", "wte.weight", TYPE_F32, 5, 8, plainly, 0},
		{"position_embd.weight", "wpe.weight", TYPE_F32, 16, 8, plainly, 0},
		{"blk.0.attn_qkv.weight", "h.0.attn.c_attn.weight", TYPE_F32, 24, 8,
		transposed, 0},
		{"blk.0.attn_qkv.bias", "h.0.attn.c_attn.bias", TYPE_F32, 0, 24,
		plainly, 0},
		{"blk.0.ffn_up.weight", "h.0.mlp.c_fc.weight", TYPE_F16, 1000, 700,
		transposed, 0},
		{"blk.1.ffn_down.weight", "h.1.mlp.c_proj.weight", TYPE_BF16, 8, 10,
		transposed, 0},
		{"output_norm.bias", "ln_f.bias", TYPE_F32, 0, 8, plainly, 0},
	};
	Folder		self;

	(void) state;
	open_folder(&self, HF_GPT2, "gpt2");
	self.model.tied = true;
	add_matrix(&self, "wte.weight", SAFE_F32, 5, 8);
	add_matrix(&self, "lm_head.weight", SAFE_F32, 5, 8);
	add_matrix(&self, "wpe.weight", SAFE_F32, 16, 8);
	add_shaped(&self.weights, "h.0.attn.bias", SAFE_F32, "1,1,2,2", 4);
	add_shaped(&self.weights, "h.1.attn.masked_bias", SAFE_F32, "", 1);
	add_matrix(&self, "h.0.attn.c_attn.weight", SAFE_F32, 8, 24);
	add_vector(&self, "h.0.attn.c_attn.bias", SAFE_F32, 24);
	add_matrix(&self, "h.0.mlp.c_fc.weight", SAFE_F16, 700, 1000);
	add_matrix(&self, "h.1.mlp.c_proj.weight", SAFE_BF16, 10, 8);
	add_vector(&self, "ln_f.bias", SAFE_F32, 8);
	convert(&self, HF_KEEP);
	assert_int_equal(self.n, sizeof(wanted) / sizeof(wanted[0]));
	EXPECT(&self, wanted);
	close_folder(&self);
}

#define IN_LAYER "language_model.model.layers.0."

static void
test_gemma(void **state)
{
	static const Wanted wanted[] = {
		{"blk.0.attn_norm.weight", IN_LAYER "input_layernorm.weight",
		TYPE_F32, 0, 8, plainly, 1},
		{"blk.0.post_attention_norm.weight",
			IN_LAYER "post_attention_layernorm.weight",
		TYPE_F32, 0, 8, plainly, 1},
		{"blk.0.ffn_norm.weight", IN_LAYER "pre_feedforward_layernorm.weight",
		TYPE_F32, 0, 8, plainly, 1},
		{"blk.0.post_ffw_norm.weight",
			IN_LAYER "post_feedforward_layernorm.weight",
		TYPE_F32, 0, 8, plainly, 1},
		{"blk.0.attn_q_norm.weight", IN_LAYER "self_attn.q_norm.weight",
		TYPE_F32, 0, 6, plainly, 1},
		{"blk.0.attn_k_norm.weight", IN_LAYER "self_attn.k_norm.weight",
		TYPE_F32, 0, 6, plainly, 1},
		{"blk.0.attn_q.weight", IN_LAYER "self_attn.q_proj.weight",
		TYPE_F32, 24, 8, plainly, 0},
		{"output_norm.weight", "language_model.model.norm.weight", TYPE_F32,
		0, 8, plainly, 1},
	};
	Folder		self;

	(void) state;
	open_folder(&self, HF_GEMMA3, "gemma3");
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
	{
		if (wanted[i].rows == 0)
			add_vector(&self, wanted[i].from, i % 2 == 0 ? SAFE_BF16 :
					   SAFE_F32, wanted[i].columns);
		else
			add_matrix(&self, wanted[i].from, SAFE_F32, wanted[i].rows,
					   wanted[i].columns);
	}
	add_shaped(&self.weights, "vision_tower.patch.weight", SAFE_F32,
			   "1,2,3,4", 24);
	convert(&self, HF_KEEP);
	assert_int_equal(self.n, sizeof(wanted) / sizeof(wanted[0]));
	EXPECT(&self, wanted);
	close_folder(&self);
}

#define POSITIONS "roberta.embeddings.position_embeddings.weight"

static void
test_roberta(void **state)
{
	static const Wanted converted[] = {
		{"position_embd.weight", POSITIONS, TYPE_F32, 16, 8, two_skipped,
		0},
	};
	Folder		self;

	(void) state;
	for (int i = 0; i < 2; i++)
	{
		open_folder(&self, HF_ROBERTA, "bert");
		self.model.first_position = 2;
		add_matrix(&self, POSITIONS, SAFE_F16, 18, 8);
		convert(&self, i == 0 ? HF_KEEP : TYPE_Q8_0);
		EXPECT(&self, converted);
		close_folder(&self);
	}

	open_folder(&self, HF_ROBERTA, "bert");
	self.model.first_position = 2;
	add_matrix(&self, "embeddings.position_embeddings.weight", SAFE_F16, 2,
			   8);
	expect_failure(&self, HF_KEEP, ENGINE_CORRUPT, "first position");
}

/*
 * Types.
 */

static void
test_types(void **state)
{
	static const struct
	{
		int			quantization;
		int64_t		columns;
		TensorType	type;
	}			cases[] = {
		{HF_KEEP, 8, TYPE_BF16},
		{TYPE_F32, 8, TYPE_F32},
		{TYPE_F16, 8, TYPE_F16},
		{TYPE_BF16, 8, TYPE_BF16},
		{TYPE_Q8_0, 256, TYPE_Q8_0},
		{TYPE_Q8_0, 40, TYPE_F16},
		{TYPE_Q4_0, 32, TYPE_Q4_0},
		{TYPE_Q4_0, 33, TYPE_F16},
		{TYPE_Q4_K, 256, TYPE_Q4_K},
		{TYPE_Q4_K, 96, TYPE_Q5_0},
		{TYPE_Q5_K, 96, TYPE_Q5_1},
		{TYPE_Q6_K, 96, TYPE_Q8_0},
		{TYPE_Q6_K, 100, TYPE_F16},
		{TYPE_IQ4_NL, 96, TYPE_IQ4_NL},
		{TYPE_IQ4_NL, 1, TYPE_F16},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const Wanted wanted[] = {
			{"token_embd.weight", "embeddings.word_embeddings.weight",
			cases[i].type, 5, cases[i].columns, plainly, 0},
			{"token_embd_norm.bias", "embeddings.LayerNorm.bias", TYPE_F32,
			0, 256, plainly, 0},
		};
		Folder		self;

		open_folder(&self, HF_BERT, "bert");
		add_matrix(&self, "embeddings.word_embeddings.weight", SAFE_BF16, 5,
				   cases[i].columns);
		add_vector(&self, "embeddings.LayerNorm.bias", SAFE_BF16, 256);
		convert(&self, cases[i].quantization);
		EXPECT(&self, wanted);
		close_folder(&self);
	}
}

/*
 * Tables of the input and the last layer are F32 always, which is all that
 * other engines read there.
 */
static void
test_fine_types(void **state)
{
	static const char *const names[] = {"position_embd.weight",
	"token_types.weight", "cls.output.weight"};
	static const int cases[] = {
		HF_KEEP, TYPE_F16, TYPE_BF16, TYPE_F32, TYPE_Q8_0, TYPE_Q4_K
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Folder		self;
		size_t		offset;

		open_folder(&self, HF_BERT, "bert");
		self.model.n_labels = 1;
		add_matrix(&self, "bert.embeddings.position_embeddings.weight",
				   SAFE_BF16, 4, 256);
		add_matrix(&self, "bert.embeddings.token_type_embeddings.weight",
				   SAFE_BF16, 2, 256);
		add_matrix(&self, "classifier.weight", SAFE_BF16, 1, 256);
		add_matrix(&self, "bert.pooler.dense.weight", SAFE_BF16, 256, 256);
		convert(&self, cases[i]);
		assert_int_equal(self.n, 4);
		for (int j = 0; j < 3; j++)
			assert_int_equal(find(&self, names[j], &offset)->type, TYPE_F32);
		if (cases[i] != HF_KEEP)
			assert_int_equal(find(&self, "cls.weight", &offset)->type,
							 cases[i]);
		close_folder(&self);
	}
}

static void
test_wrong_types(void **state)
{
	static const int types[] = {-2, 63, 64, 1000, 9, TYPE_MXFP4};
	Folder		self;

	(void) state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
	{
		open_folder(&self, HF_BERT, "bert");
		expect_failure(&self, types[i], ENGINE_INVALID, "cannot be conver");
	}
	open_folder(&self, HF_BERT, "bert");
	add_matrix(&self, "embeddings.word_embeddings.weight", SAFE_I64, 5, 8);
	expect_failure(&self, HF_KEEP, ENGINE_UNSUPPORTED,
				   "word_embeddings.weight\" of the model folder has type "
				   "I64");
}

/*
 * Names.
 */

typedef struct NameCase
{
	HfFamily	family;
	int			n_labels;
	bool		tied;
	const char *from;
	const char *to;				/* "": left out; NULL: no place */
} NameCase;

static const NameCase name_cases[] = {
	{HF_BERT, 0, 0, "embeddings.word_embeddings.weight", "token_embd.weight"},
	{HF_BERT, 0, 0, "bert.embeddings.LayerNorm.gamma",
	"token_embd_norm.weight"},
	{HF_BERT, 0, 0, "bert.encoder.layer.11.output.LayerNorm.beta",
	"blk.11.layer_output_norm.bias"},
	{HF_BERT, 0, 0, "encoder.layer.3.attention.output.dense.weight",
	"blk.3.attn_output.weight"},
	{HF_BERT, 0, 0, "encoder.layer.3.attention.self.query.bias",
	"blk.3.attn_q.bias"},
	{HF_BERT, 0, 0, "encoder.layer.03.attention.self.query.bias", NULL},
	{HF_BERT, 0, 0, "encoder.layer..attention.self.query.bias", NULL},
	{HF_BERT, 0, 0, "encoder.layer.1234567.attention.self.query.bias", NULL},
	{HF_BERT, 0, 0, "encoder.layer.3.attention.self.query", NULL},
	{HF_BERT, 0, 0, "encoder.layer.3.attention.self.query.weight.x", NULL},
	{HF_BERT, 0, 0, "encoder.layer.3.attention.self.query.lora_A", NULL},
	{HF_BERT, 0, 0, "", NULL},
	{HF_BERT, 0, 0, ".", NULL},
	{HF_BERT, 0, 0, "bert.", NULL},
	{HF_BERT, 0, 0, "roberta.embeddings.word_embeddings.weight", NULL},
	{HF_BERT, 0, 0, "embeddings.position_ids", ""},
	{HF_BERT, 0, 0, "pooler.dense.weight", ""},
	{HF_BERT, 0, 0, "bert.pooler.dense.bias", ""},
	{HF_BERT, 0, 0, "cls.predictions.transform.LayerNorm.weight", ""},
	{HF_BERT, 0, 0, "cls.predictions.bias", ""},
	{HF_BERT, 0, 0, "cls.seq_relationship.weight", ""},
	{HF_BERT, 0, 0, "classifier.weight", NULL},
	{HF_BERT, 1, 0, "bert.pooler.dense.weight", "cls.weight"},
	{HF_BERT, 1, 0, "classifier.bias", "cls.output.bias"},
	{HF_ROBERTA, 0, 0, "roberta.embeddings.position_embeddings.weight",
	"position_embd.weight"},
	{HF_ROBERTA, 0, 0, "pooler.dense.weight", ""},
	{HF_ROBERTA, 0, 0, "lm_head.layer_norm.weight", ""},
	{HF_ROBERTA, 0, 0, "lm_head.bias", ""},
	{HF_ROBERTA, 0, 0, "classifier.dense.weight", NULL},
	{HF_ROBERTA, 2, 0, "classifier.dense.weight", "cls.weight"},
	{HF_ROBERTA, 2, 0, "classifier.out_proj.bias", "cls.output.bias"},
	{HF_ROBERTA, 2, 0, "roberta.pooler.dense.weight", ""},
	{HF_DISTILBERT, 0, 0, "distilbert.embeddings.LayerNorm.weight",
	"token_embd_norm.weight"},
	{HF_DISTILBERT, 0, 0, "distilbert.transformer.layer.5.attention.k_lin"
	".bias", "blk.5.attn_k.bias"},
	{HF_DISTILBERT, 0, 0, "transformer.layer.0.attention.out_lin.weight",
	"blk.0.attn_output.weight"},
	{HF_DISTILBERT, 0, 0, "transformer.layer.0.sa_layer_norm.bias",
	"blk.0.attn_output_norm.bias"},
	{HF_DISTILBERT, 0, 0, "transformer.layer.0.output_layer_norm.weight",
	"blk.0.layer_output_norm.weight"},
	{HF_DISTILBERT, 0, 0, "transformer.layer.0.ffn.lin1.weight",
	"blk.0.ffn_up.weight"},
	{HF_DISTILBERT, 0, 0, "transformer.layer.0.ffn.lin2.weight",
	"blk.0.ffn_down.weight"},
	{HF_DISTILBERT, 0, 0, "vocab_transform.weight", ""},
	{HF_DISTILBERT, 0, 0, "vocab_projector.bias", ""},
	{HF_DISTILBERT, 1, 0, "pre_classifier.weight", "cls.weight"},
	{HF_DISTILBERT, 1, 0, "classifier.weight", "cls.output.weight"},
	{HF_NOMIC_BERT, 0, 0, "emb_ln.bias", "token_embd_norm.bias"},
	{HF_NOMIC_BERT, 0, 0, "bert.encoder.layers.2.attn.Wqkv.weight",
	"blk.2.attn_qkv.weight"},
	{HF_NOMIC_BERT, 0, 0, "encoder.layers.2.mlp.fc11.weight",
	"blk.2.ffn_up.weight"},
	{HF_NOMIC_BERT, 0, 0, "encoder.layers.2.mlp.fc12.weight",
	"blk.2.ffn_gate.weight"},
	{HF_NOMIC_BERT, 0, 0, "encoder.layers.2.norm1.weight",
	"blk.2.attn_output_norm.weight"},
	{HF_NOMIC_BERT, 0, 0, "encoder.layers.2.norm2.weight",
	"blk.2.layer_output_norm.weight"},
	{HF_NOMIC_BERT, 0, 0, "encoder.layers.1.mlp.router.layer.weight", NULL},
	{HF_MODERN_BERT, 0, 0, "model.embeddings.tok_embeddings.weight",
	"token_embd.weight"},
	{HF_MODERN_BERT, 0, 0, "embeddings.norm.weight",
	"token_embd_norm.weight"},
	{HF_MODERN_BERT, 0, 0, "layers.1.attn_norm.weight",
	"blk.1.attn_norm.weight"},
	{HF_MODERN_BERT, 0, 0, "layers.1.attn.Wo.weight",
	"blk.1.attn_output.weight"},
	{HF_MODERN_BERT, 0, 0, "layers.1.mlp.Wi.weight", "blk.1.ffn_up.weight"},
	{HF_MODERN_BERT, 0, 0, "layers.1.mlp.Wo.weight",
	"blk.1.ffn_down.weight"},
	{HF_MODERN_BERT, 0, 0, "layers.1.mlp_norm.weight",
	"blk.1.ffn_norm.weight"},
	{HF_MODERN_BERT, 0, 0, "model.final_norm.weight", "output_norm.weight"},
	{HF_MODERN_BERT, 0, 0, "head.dense.weight", ""},
	{HF_MODERN_BERT, 0, 0, "decoder.bias", ""},
	{HF_MODERN_BERT, 3, 0, "head.dense.weight", "cls.weight"},
	{HF_MODERN_BERT, 3, 0, "head.norm.weight", "cls.norm.weight"},
	{HF_MODERN_BERT, 3, 0, "classifier.bias", "cls.output.bias"},
	{HF_LLAMA, 0, 0, "lm_head.weight", "output.weight"},
	{HF_LLAMA, 0, 1, "lm_head.weight", ""},
	{HF_LLAMA, 0, 0, "layers.0.self_attn.q_norm.weight", NULL},
	{HF_LLAMA, 0, 0, "model.layers.7.mlp.gate_proj.weight",
	"blk.7.ffn_gate.weight"},
	{HF_LLAMA, 0, 0, "model.layers.7.self_attn.rotary_emb.inv_freq", ""},
	{HF_QWEN2, 0, 1, "model.layers.7.self_attn.q_proj.bias",
	"blk.7.attn_q.bias"},
	{HF_QWEN3, 0, 1, "layers.7.self_attn.q_norm.weight",
	"blk.7.attn_q_norm.weight"},
	{HF_GPT2, 0, 1, "transformer.h.4.ln_2.bias", "blk.4.ffn_norm.bias"},
	{HF_GPT2, 0, 1, "h.4.attn.c_proj.weight", "blk.4.attn_output.weight"},
	{HF_GPT2, 0, 1, "transformer.h.4.attn.bias", ""},
	{HF_GPT2, 0, 1, "h.4.attn.masked_bias", ""},
	{HF_GEMMA, 0, 1, "model.layers.1.post_attention_layernorm.weight",
	"blk.1.ffn_norm.weight"},
	{HF_GEMMA2, 0, 1, "model.layers.1.post_attention_layernorm.weight",
	"blk.1.post_attention_norm.weight"},
	{HF_GEMMA2, 0, 1, "model.layers.1.self_attn.q_norm.weight", NULL},
	{HF_GEMMA3, 0, 1, "model.language_model.layers.1.self_attn.k_norm.weight",
	"blk.1.attn_k_norm.weight"},
	{HF_GEMMA3, 0, 1, "language_model.lm_head.weight", ""},
	{HF_GEMMA3, 0, 1, "model.multi_modal_projector.mm_soft_emb_norm.weight",
	""},
	{HF_GEMMA_EMBEDDING, 0, 1, "layers.1.post_feedforward_layernorm.weight",
	"blk.1.post_ffw_norm.weight"},
};

static void
test_names(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(name_cases) / sizeof(name_cases[0]); i++)
	{
		const NameCase *c = &name_cases[i];
		HfModel		model = {.family = c->family, .n_labels = c->n_labels,
		.tied = c->tied};
		HfPlace		place;
		char		found[80] = "";

		if (!hf_find_place(&model, c->from, &place))
		{
			if (c->to != NULL)
				fail_msg("\"%s\" has no place", c->from);
			continue;
		}
		if (place.module != NULL && place.layer >= 0)
			snprintf(found, sizeof(found), "blk.%d.%s.%s", place.layer,
					 place.module, place.bias ? "bias" : "weight");
		else if (place.module != NULL)
			snprintf(found, sizeof(found), "%s.%s", place.module,
					 place.bias ? "bias" : "weight");
		if (c->to == NULL || strcmp(found, c->to) != 0)
			fail_msg("\"%s\" became \"%s\"", c->from, found);
	}
}

/* Norms of gemma and rows of llama, by family */
static void
test_transform_of_names(void **state)
{
	static const struct
	{
		HfFamily	family;
		const char *name;
		HfTransform transform;
	}			cases[] = {
		{HF_LLAMA, "layers.0.self_attn.q_proj.weight", HF_PERMUTE_Q},
		{HF_LLAMA, "layers.0.self_attn.k_proj.bias", HF_PERMUTE_K},
		{HF_LLAMA, "layers.0.input_layernorm.weight", HF_PLAIN},
		{HF_QWEN2, "layers.0.self_attn.q_proj.weight", HF_PLAIN},
		{HF_QWEN3, "layers.0.self_attn.k_norm.weight", HF_PLAIN},
		{HF_GEMMA, "layers.0.post_attention_layernorm.weight", HF_ADD_ONE},
		{HF_GEMMA, "norm.weight", HF_ADD_ONE},
		{HF_GEMMA2, "layers.0.pre_feedforward_layernorm.weight", HF_ADD_ONE},
		{HF_GEMMA_EMBEDDING, "layers.0.self_attn.q_norm.weight", HF_ADD_ONE},
		{HF_GEMMA3, "layers.0.self_attn.q_proj.weight", HF_PLAIN},
		{HF_GPT2, "h.0.mlp.c_fc.weight", HF_TRANSPOSE},
		{HF_GPT2, "h.0.mlp.c_fc.bias", HF_PLAIN},
		{HF_GPT2, "wpe.weight", HF_PLAIN},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		HfModel		model = {.family = cases[i].family};
		HfPlace		place;

		assert_true(hf_find_place(&model, cases[i].name, &place));
		assert_int_equal(place.transform, cases[i].transform);
	}
}

/*
 * Dense modules.
 */

static void
open_dense(Folder *self)
{
	static const char *const prefixes[] = {"2_Dense/", "3_Dense/"};

	open_folder(self, HF_BERT, "bert");
	self->model.n_dense = 2;
	for (int i = 0; i < 2; i++)
	{
		HfDense    *dense = &self->model.dense[i];

		snprintf(dense->prefix, sizeof(dense->prefix), "%s", prefixes[i]);
		dense->in_features = i == 0 ? 8 : 12;
		dense->out_features = i == 0 ? 12 : 4;
		dense->bias = i == 1;
	}
	add_matrix(self, "linear.weight", SAFE_F32, 12, 8);
	write_weights(self, "2_Dense/model.safetensors");
	add_vector(self, "linear.bias", SAFE_F32, 4);
	add_matrix(self, "linear.weight", SAFE_F32, 4, 12);
	write_weights(self, "3_Dense/model.safetensors");
	add_matrix(self, "embeddings.word_embeddings.weight", SAFE_F32, 5, 8);
}

static void
test_dense(void **state)
{
	static const Wanted wanted[] = {
		{"token_embd.weight", "embeddings.word_embeddings.weight", TYPE_F16,
		5, 8, plainly, 0},
		{"dense_2.weight", "linear.weight", TYPE_F16, 12, 8, plainly, 0},
		{"dense_3.weight", "linear.weight", TYPE_F16, 4, 12, plainly, 0},
		{"dense_3.bias", "linear.bias", TYPE_F32, 0, 4, plainly, 0},
	};
	Folder		self;

	(void) state;
	open_dense(&self);
	convert(&self, TYPE_F16);
	assert_int_equal(self.n, 4);
	for (uint32_t i = 0; i < 4; i++)
		assert_string_equal(self.tensors[i].name, wanted[i].name);
	EXPECT(&self, wanted);
	close_folder(&self);

	open_dense(&self);
	self.model.dense[0].in_features = 9;
	expect_failure(&self, HF_KEEP, ENGINE_CORRUPT, "does not have the shape");
	open_dense(&self);
	self.model.dense[0].bias = true;
	expect_failure(&self, HF_KEEP, ENGINE_CORRUPT,
				   "no tensor \"linear.bias\"");
	open_dense(&self);
	self.model.dense[1].bias = false;
	expect_failure(&self, HF_KEEP, ENGINE_UNSUPPORTED, "more tensors than");
	open_dense(&self);
	folder_fixture_remove(&self.fixture, "3_Dense/model.safetensors");
	expect_failure(&self, HF_KEEP, ENGINE_CORRUPT,
				   "no file \"3_Dense/model.safetensors\"");
}

/*
 * Folders that are refused.
 */

static void
test_refused(void **state)
{
	Folder		self;

	(void) state;
	open_folder(&self, HF_LLAMA, "llama");
	add_matrix(&self, "model.layers.0.mlp.experts.0.w1.weight", SAFE_F32, 2,
			   2);
	expect_failure(&self, HF_KEEP, ENGINE_UNSUPPORTED,
				   "experts.0.w1.weight\" of the model folder has no place "
				   "in architecture \"llama\"");

	open_folder(&self, HF_LLAMA, "llama");
	add_matrix(&self, "model.layers.2.mlp.up_proj.weight", SAFE_F32, 2, 2);
	expect_failure(&self, HF_KEEP, ENGINE_UNSUPPORTED, "no place");

	open_folder(&self, HF_LLAMA, "llama");
	add_matrix(&self, "embed_tokens.weight", SAFE_F32, 5, 8);
	add_matrix(&self, "model.embed_tokens.weight", SAFE_F32, 5, 8);
	expect_failure(&self, HF_KEEP, ENGINE_CORRUPT, "is there twice");

	open_folder(&self, HF_LLAMA, "llama");
	add_matrix(&self, "layers.0.self_attn.q_proj.weight", SAFE_F32, 23, 8);
	expect_failure(&self, HF_KEEP, ENGINE_CORRUPT,
				   "q_proj.weight\" of the model folder does not consist of "
				   "the heads");

	open_folder(&self, HF_LLAMA, "llama");
	add_matrix(&self, "layers.0.self_attn.k_proj.weight", SAFE_F32, 24, 8);
	expect_failure(&self, HF_KEEP, ENGINE_CORRUPT, "the heads");

	open_folder(&self, HF_LLAMA, "llama");
	add_vector(&self, "layers.0.self_attn.q_proj.bias", SAFE_F32, 12);
	expect_failure(&self, HF_KEEP, ENGINE_CORRUPT, "the heads");

	open_folder(&self, HF_LLAMA, "llama");
	self.model.key_length = 7;
	add_matrix(&self, "layers.0.self_attn.q_proj.weight", SAFE_F32, 28, 8);
	expect_failure(&self, HF_KEEP, ENGINE_CORRUPT, "the heads");

	open_folder(&self, HF_LLAMA, "llama");
	add_shaped(&self.weights, "norm.weight", SAFE_F32, "2,2,2", 8);
	expect_failure(&self, HF_KEEP, ENGINE_UNSUPPORTED,
				   "neither a vector nor a matrix");

	open_folder(&self, HF_LLAMA, "llama");
	add_shaped(&self.weights, "norm.weight", SAFE_F32, "", 1);
	expect_failure(&self, HF_KEEP, ENGINE_UNSUPPORTED,
				   "neither a vector nor a matrix");

	open_folder(&self, HF_LLAMA, "llama");
	add_shaped(&self.weights, "embed_tokens.weight", SAFE_F32, "0,8", 0);
	expect_failure(&self, HF_KEEP, ENGINE_CORRUPT, "is empty");

	open_folder(&self, HF_GPT2, "gpt2");
	add_vector(&self, "h.0.mlp.c_fc.weight", SAFE_F32, 8);
	expect_failure(&self, HF_KEEP, ENGINE_CORRUPT, "is not a matrix");

	open_folder(&self, HF_GEMMA, "gemma");
	add_matrix(&self, "norm.weight", SAFE_F32, 2, 2);
	expect_failure(&self, HF_KEEP, ENGINE_CORRUPT, "is not a vector");
}

/* What would get lost in blocks is found; rows are counted in the result. */
static void
test_not_finite(void **state)
{
	static const uint32_t bad[] = {0x7f800000, 0xff800000, 0x7fc00000,
	0x7fffffff, 0xff800001};

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		Folder		self;
		uint8_t		byte;

		open_folder(&self, HF_BERT, "bert");
		add_matrix(&self, "embeddings.word_embeddings.weight", SAFE_F32, 5,
				   32);
		bytes_patch(&self.weights.data, 4 * (32 * 3 + 7), bad[i], 4);
		assert_int_equal(list_tensors(&self, TYPE_Q8_0), ENGINE_OK);
		open_data(&self);
		assert_int_equal(self.source->read(self.source, sizeof(some_header),
										   &byte, 1, &self.status),
						 ENGINE_NOT_FINITE);
		assert_non_null(strstr(self.status.message,
							   "\"token_embd.weight\" has a value that is "
							   "not finite in row 3"));
		close_folder(&self);
	}
}

/*
 * Reading.
 */

/* Tensors of all kinds, of which some need several pieces */
static void
many_kinds(Folder *self)
{
	open_folder(self, HF_LLAMA, "llama");
	add_matrix(self, "embed_tokens.weight", SAFE_BF16, 3000, 256);
	add_matrix(self, "layers.0.self_attn.q_proj.weight", SAFE_F32, 24, 256);
	add_vector(self, "layers.0.self_attn.q_proj.bias", SAFE_F16, 24);
	add_matrix(self, "layers.0.self_attn.k_proj.weight", SAFE_F32, 12, 96);
	add_matrix(self, "layers.0.self_attn.v_proj.weight", SAFE_F16, 7, 5);
	add_vector(self, "layers.1.input_layernorm.weight", SAFE_BF16, 3);
	add_vector(self, "norm.weight", SAFE_F32, 300000);
	add_matrix(self, "lm_head.weight", SAFE_F16, 3, 270000);
}

static void
test_random_reads(void **state)
{
	static const int types[] = {HF_KEEP, TYPE_F16, TYPE_Q4_0};

	(void) state;
	for (int t = 0; t < 3; t++)
	{
		Folder		self;
		uint8_t    *piece;
		uint32_t	random = 12345;

		many_kinds(&self);
		convert(&self, types[t]);
		piece = malloc(self.source->size);
		for (int i = 0; i < 300; i++)
		{
			uint64_t	offset;
			size_t		length;

			random = random * 1664525u + 1013904223u;
			offset = random % self.source->size;
			random = random * 1664525u + 1013904223u;
			length = (random >> 8) % (i % 10 == 0 ? 1000000 : 300);
			if (length > self.source->size - offset)
				length = self.source->size - offset;
			assert_int_equal(self.source->read(self.source, offset, piece,
											   length, &self.status),
							 ENGINE_OK);
			assert_memory_equal(piece, self.bytes + offset, length);
		}

		/* ascending, with lengths that fit no row */
		for (uint64_t at = 0; at < self.source->size;)
		{
			size_t		length = 65537;

			if (length > self.source->size - at)
				length = self.source->size - at;
			assert_int_equal(self.source->read(self.source, at, piece,
											   length, &self.status),
							 ENGINE_OK);
			assert_memory_equal(piece, self.bytes + at, length);
			at += length;
		}
		assert_int_equal(self.source->read(self.source, self.source->size,
										   piece, 0, &self.status),
						 ENGINE_OK);
		assert_int_equal(self.source->read(self.source, self.source->size,
										   piece, 1, &self.status),
						 ENGINE_CORRUPT);
		assert_int_equal(self.source->read(self.source, 1, piece, SIZE_MAX,
										   &self.status), ENGINE_CORRUPT);
		free(piece);
		close_folder(&self);
	}
}

typedef struct CountedSource
{
	ByteSource	source;
	ByteSource *inner;
	uint64_t	bytes;			/* that were read */
	int			reads_left;		/* before it fails; -1: for ever */
} CountedSource;

static EngineCode
counted_read(ByteSource *source, uint64_t offset, void *buf, size_t length,
			 EngineStatus *status)
{
	CountedSource *counted = source->arg;

	if (counted->reads_left == 0)
		return engine_fail(status, ENGINE_IO, "the disk is gone");
	counted->reads_left--;
	counted->bytes += length;
	return counted->inner->read(counted->inner, offset, buf, length, status);
}

static void
count_reads(Folder *self, CountedSource *counted)
{
	memset(counted, 0, sizeof(*counted));
	counted->inner = self->from.tensors[0].source;
	counted->source.size = counted->inner->size;
	counted->source.read = counted_read;
	counted->source.arg = counted;
	counted->reads_left = -1;
	for (uint32_t i = 0; i < self->from.n; i++)
		self->from.tensors[i].source = &counted->source;
}

/* An ascending reader has every byte of the folder read once. */
static void
test_reads_once(void **state)
{
	static const int types[] = {HF_KEEP, TYPE_Q4_0};

	(void) state;
	for (int t = 0; t < 2; t++)
	{
		Folder		self;
		CountedSource counted;
		uint8_t		piece[997];
		uint64_t	bytes = 0;

		many_kinds(&self);
		assert_int_equal(list_tensors(&self, types[t]), ENGINE_OK);
		count_reads(&self, &counted);
		open_data(&self);
		for (uint64_t at = 0; at < self.source->size; at += sizeof(piece))
		{
			uint64_t	left = self.source->size - at;

			assert_int_equal(self.source->read(self.source, at, piece,
											   left < sizeof(piece) ? left :
											   sizeof(piece), &self.status),
							 ENGINE_OK);
		}
		for (uint32_t i = 0; i < self.from.n; i++)
			bytes += self.from.tensors[i].bytes;
		assert_int_equal(counted.bytes, bytes);
		close_folder(&self);
	}
}

/* A read that failed leaves nothing behind that a later one would use. */
static void
test_source_errors(void **state)
{
	(void) state;
	for (int fail_at = 0; fail_at < 20; fail_at++)
	{
		Folder		self;
		CountedSource counted;
		uint8_t    *bytes;
		uint8_t    *again;
		EngineCode	code;

		many_kinds(&self);
		assert_int_equal(list_tensors(&self, TYPE_Q8_0), ENGINE_OK);
		count_reads(&self, &counted);
		open_data(&self);
		bytes = malloc(self.source->size);
		again = malloc(self.source->size);
		counted.reads_left = fail_at;
		code = self.source->read(self.source, 0, again, self.source->size,
								 &self.status);
		counted.reads_left = -1;
		assert_true(code == ENGINE_IO || (fail_at > 8 && code == ENGINE_OK));
		assert_int_equal(self.source->read(self.source, 0, bytes,
										   self.source->size, &self.status),
						 ENGINE_OK);
		assert_int_equal(self.source->read(self.source, 0, again,
										   self.source->size, &self.status),
						 ENGINE_OK);
		assert_memory_equal(bytes, again, self.source->size);
		free(bytes);
		free(again);
		close_folder(&self);
	}
}

static bool
always(void *arg)
{
	(void) arg;
	return true;
}

static void
test_interrupts(void **state)
{
	static const int types[] = {HF_KEEP, TYPE_Q8_0};

	(void) state;
	for (int t = 0; t < 2; t++)
	{
		Folder		self;
		uint8_t		byte;

		many_kinds(&self);
		assert_int_equal(list_tensors(&self, types[t]), ENGINE_OK);
		open_data(&self);
		self.host.interrupted = always;
		assert_int_equal(self.source->read(self.source, 64, &byte, 1,
										   &self.status), ENGINE_CANCELLED);
		self.host.interrupted = NULL;
		assert_int_equal(self.source->read(self.source, 64, &byte, 1,
										   &self.status), ENGINE_OK);
		close_folder(&self);
	}
}

/* 3000 x 256 bf16 are 3 MB as f32: only pieces of them are in memory. */
static void
test_memory(void **state)
{
	Folder		self;
	size_t		before;

	(void) state;
	many_kinds(&self);
	assert_int_equal(list_tensors(&self, TYPE_Q8_0), ENGINE_OK);
	before = self.arena.used;
	open_data(&self);
	/* 262144 values of 4, 8 and 1.1 bytes: observed 3.4 MB */
	assert_true(self.arena.used - before < 4 << 20);
	close_folder(&self);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_llama),
		cmocka_unit_test(test_llama3_divisors),
		cmocka_unit_test(test_gpt2),
		cmocka_unit_test(test_gemma),
		cmocka_unit_test(test_roberta),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_fine_types),
		cmocka_unit_test(test_wrong_types),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_transform_of_names),
		cmocka_unit_test(test_dense),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_not_finite),
		cmocka_unit_test(test_random_reads),
		cmocka_unit_test(test_reads_once),
		cmocka_unit_test(test_source_errors),
		cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
