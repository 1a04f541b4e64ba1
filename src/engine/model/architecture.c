/*-------------------------------------------------------------------------
 *
 * architecture.c
 *	  Hyper-parameters and tensors of an untrusted file, checked against the
 *	  table of architectures.
 *
 * After architecture_read() every size that the transformer multiplies or
 * divides by is at least 1 and bounded, heads divide, and every tensor has
 * the shape that the hyper-parameters say.  A key that would change the
 * result and that we do not act on is refused, never ignored.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "model/architecture_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_CONTEXT (1 << 24)
#define MAX_EMBEDDING 65536
#define MAX_LAYERS 512
#define MAX_HEADS 1024
#define MAX_HEAD_LENGTH 4096
#define MAX_FEED_FORWARD (1 << 20)
#define MAX_VOCABULARY (2 << 20)

typedef struct ModelReader
{
	const GgufFile *file;
	ByteSource *source;
	EngineArena *arena;
	const Architecture *architecture;
	Hyper	   *hyper;
	EngineStatus *status;
} ModelReader;

static EngineCode
missing_key(const char *name, EngineStatus *status)
{
	return engine_fail(status, ENGINE_CORRUPT,
					   "GGUF key \"%s\" is missing", name);
}

/* An integer within 1..max; without fallback (0) it is required. */
static EngineCode
read_size(ModelReader *reader, const char *suffix, int64_t max,
		  int64_t fallback, int32_t *result)
{
	char		name[96];
	int64_t		value = fallback;

	architecture_key(reader->architecture, suffix, name, sizeof(name));
	ENGINE_TRY(gguf_get_int(reader->file, name, 1, max, &value,
							reader->status));
	if (value == 0)
		return missing_key(name, reader->status);
	*result = (int32_t) value;
	return ENGINE_OK;
}

/* The same from an array with one element for each layer, all equal. */
static EngineCode
read_equal_sizes(ModelReader *reader, const GgufKey *key, int64_t max,
				 int32_t *result)
{
	EngineStatus *status = reader->status;
	GgufCursor	cursor;
	int64_t		first = 0;

	if (!gguf_is_integer(key->element))
		return engine_fail(status, ENGINE_CORRUPT,
						   "GGUF key \"%s\" is an array of %s, wanted "
						   "integers", key->name,
						   gguf_type_name(key->element));
	if (key->count != (uint64_t) reader->hyper->n_layers)
		return engine_fail(status, ENGINE_CORRUPT,
						   "GGUF key \"%s\" has %" PRIu64
						   " elements for %d layers", key->name, key->count,
						   reader->hyper->n_layers);
	ENGINE_TRY(gguf_cursor_open(reader->source, key, key->element,
								reader->arena, &cursor, status));
	for (int i = 0; i < reader->hyper->n_layers; i++)
	{
		uint64_t	bits;
		int64_t		value;

		ENGINE_TRY(gguf_next_scalar(&cursor, &bits, status));
		ENGINE_TRY(gguf_integer(key, key->element, bits, 1, max, &value,
								status));
		if (i == 0)
			first = value;
		else if (value != first)
			return engine_fail(status, ENGINE_UNSUPPORTED,
							   "layers that differ in \"%s\" are not "
							   "supported", key->name);
	}
	*result = (int32_t) first;
	return ENGINE_OK;
}

/* A size that is a number or an array by layer. */
static EngineCode
read_layer_size(ModelReader *reader, const char *suffix, int64_t max,
				int64_t fallback, int32_t *result)
{
	char		name[96];
	const GgufKey *key;

	architecture_key(reader->architecture, suffix, name, sizeof(name));
	key = gguf_find_key(reader->file, name);
	if (key != NULL && key->type == GGUF_ARRAY)
		return read_equal_sizes(reader, key, max, result);
	return read_size(reader, suffix, max, fallback, result);
}

/* A float within min..max; *value is the default. */
static EngineCode
read_number(ModelReader *reader, const char *suffix, double min, double max,
			float *value)
{
	char		name[96];
	double		found = *value;

	architecture_key(reader->architecture, suffix, name, sizeof(name));
	ENGINE_TRY(gguf_get_float(reader->file, name, &found, reader->status));
	if (!(found >= min && found <= max))
	{
		engine_fail(reader->status, ENGINE_CORRUPT,
					"GGUF key \"%s\" is %g, which is out of range", name,
					found);
		engine_detail(reader->status,
					  "The value must be between %g and %g.", min, max);
		return ENGINE_CORRUPT;
	}
	*value = (float) found;
	return ENGINE_OK;
}

/* Adapters, projectors and the like are GGUF files, but no models. */
static EngineCode
check_file_type(ModelReader *reader)
{
	const char *type = "model";
	size_t		length = 5;
	char		text[64];

	ENGINE_TRY(gguf_get_string(reader->file, "general.type", &type, &length,
							   reader->status));
	if (length == 5 && memcmp(type, "model", 5) == 0)
		return ENGINE_OK;
	return engine_fail(reader->status, ENGINE_UNSUPPORTED,
					   "GGUF file holds no model, its general.type is \"%s\"",
					   engine_printable(type, length, text, sizeof(text)));
}

static EngineCode
find_architecture(ModelReader *reader)
{
	EngineStatus *status = reader->status;
	const char *name = NULL;
	size_t		length = 0;
	char		text[64];

	ENGINE_TRY(gguf_get_string(reader->file, "general.architecture", &name,
							   &length, status));
	if (name == NULL)
		return missing_key("general.architecture", status);
	if (strlen(name) == length)
		reader->architecture = architecture_find(name);
	if (reader->architecture == NULL)
	{
		engine_fail(status, ENGINE_UNSUPPORTED,
					"architecture \"%s\" is not supported",
					engine_printable(name, length, text, sizeof(text)));
		engine_detail(status, "Supported are: %s.", architecture_names());
		return ENGINE_UNSUPPORTED;
	}
	snprintf(reader->hyper->architecture,
			 sizeof(reader->hyper->architecture), "%s", name);
	return ENGINE_OK;
}

#define SLIDING_WINDOW_PATTERN "attention.sliding_window_pattern"

/*
 * Keys with a meaning that we do not act on, and the value that has no
 * effect.
 */
typedef struct NeutralKey
{
	const char *suffix;
	double		neutral;
} NeutralKey;

static const NeutralKey neutral_keys[] = {
	{"attention.clamp_kqv", 0},
	{"attention.max_alibi_bias", 0},
	{SLIDING_WINDOW_PATTERN, 0},
	{"attention.temperature_length", 0},
	{"attention.temperature_scale", 0},
	{"logit_scale", 1},
	{"residual_scale", 1},
	{"use_parallel_residual", 0},
};

/* Any scalar as a number; false for strings and arrays. */
static bool
scalar_number(const GgufFile *file, const GgufKey *key, double *value)
{
	EngineStatus ignored;
	int64_t		integer;

	if (key->type == GGUF_BOOL)
		*value = key->bits != 0;
	else if (key->type == GGUF_F32 || key->type == GGUF_F64)
		return gguf_get_float(file, key->name, value, &ignored) == ENGINE_OK;
	else if (gguf_integer(key, key->type, key->bits, INT64_MIN, INT64_MAX,
						  &integer, &ignored) == ENGINE_OK)
		*value = (double) integer;
	else
		return false;
	return true;
}

static EngineCode
check_neutral_keys(ModelReader *reader)
{
	size_t		n = sizeof(neutral_keys) / sizeof(neutral_keys[0]);

	for (size_t i = 0; i < n; i++)
	{
		char		name[96];
		const GgufKey *key;
		double		value;

		architecture_key(reader->architecture, neutral_keys[i].suffix, name,
						 sizeof(name));
		key = gguf_find_key(reader->file, name);
		if (key == NULL ||
			(reader->architecture->window == WINDOW_PERIOD &&
			 strcmp(neutral_keys[i].suffix, SLIDING_WINDOW_PATTERN) == 0) ||
			(scalar_number(reader->file, key, &value) &&
			 value == neutral_keys[i].neutral))
			continue;
		return engine_fail(reader->status, ENGINE_UNSUPPORTED,
						   "a model with GGUF key \"%s\" is not supported",
						   name);
	}
	return ENGINE_OK;
}

static EngineCode
check_experts(ModelReader *reader)
{
	char		name[96];
	int64_t		n_experts = 0;

	architecture_key(reader->architecture, "expert_count", name,
					 sizeof(name));
	ENGINE_TRY(gguf_get_int(reader->file, name, 0, 1024, &n_experts,
							reader->status));
	if (n_experts == 0)
		return ENGINE_OK;
	engine_fail(reader->status, ENGINE_UNSUPPORTED,
				"a mixture of %" PRId64 " experts is not supported",
				n_experts);
	engine_hint(reader->status,
				"Use a dense model of the same architecture.");
	return ENGINE_UNSUPPORTED;
}

/* Rows of the token embedding are the vocabulary; vocab_size may lie. */
static EngineCode
read_vocabulary(ModelReader *reader)
{
	const char *name = tensor_slots[SLOT_TOKEN_EMBD].name;
	const GgufTensor *tensor = gguf_find_tensor(reader->file, name);

	if (tensor == NULL)
		return engine_fail(reader->status, ENGINE_CORRUPT,
						   "GGUF tensor \"%s\" is missing", name);
	if (tensor->dims[1] > MAX_VOCABULARY)
		return engine_fail(reader->status, ENGINE_LIMIT,
						   "vocabulary of %" PRId64 " tokens is larger than "
						   "%d", tensor->dims[1], MAX_VOCABULARY);
	reader->hyper->vocabulary = (int32_t) tensor->dims[1];
	return ENGINE_OK;
}

static EngineCode
read_heads(ModelReader *reader)
{
	Hyper	   *hyper = reader->hyper;
	int32_t		share;

	ENGINE_TRY(read_layer_size(reader, "attention.head_count", MAX_HEADS, 0,
							   &hyper->n_heads));
	ENGINE_TRY(read_layer_size(reader, "attention.head_count_kv", MAX_HEADS,
							   hyper->n_heads, &hyper->n_kv_heads));
	/* no size is below 1; NOLINTNEXTLINE(clang-analyzer-core.DivideZero) */
	if (hyper->n_heads % hyper->n_kv_heads != 0)
		return engine_fail(reader->status, ENGINE_CORRUPT,
						   "%d attention heads cannot share %d key-value "
						   "heads", hyper->n_heads, hyper->n_kv_heads);

	/* a share of 0 makes the key required */
	share = hyper->embedding_length / hyper->n_heads;	/* NOLINT */
	if (share * hyper->n_heads != hyper->embedding_length)
		share = 0;
	if (share > MAX_HEAD_LENGTH)
		share = 0;
	ENGINE_TRY(read_size(reader, "attention.key_length", MAX_HEAD_LENGTH,
						 share, &hyper->key_length));
	return read_size(reader, "attention.value_length", MAX_HEAD_LENGTH,
					 share, &hyper->value_length);
}

static EngineCode
read_sizes(ModelReader *reader)
{
	Hyper	   *hyper = reader->hyper;

	ENGINE_TRY(read_size(reader, "context_length", MAX_CONTEXT, 0,
						 &hyper->context_length));
	ENGINE_TRY(read_size(reader, "embedding_length", MAX_EMBEDDING, 0,
						 &hyper->embedding_length));
	ENGINE_TRY(read_size(reader, "block_count", MAX_LAYERS, 0,
						 &hyper->n_layers));
	ENGINE_TRY(read_layer_size(reader, "feed_forward_length",
							   MAX_FEED_FORWARD, 0,
							   &hyper->feed_forward_length));
	ENGINE_TRY(read_heads(reader));
	return read_vocabulary(reader);
}

static EngineCode
read_rotation(ModelReader *reader)
{
	Hyper	   *hyper = reader->hyper;

	hyper->rope_layout = reader->architecture->rope;
	if (hyper->rope_layout == ROPE_NONE)
		return ENGINE_OK;
	ENGINE_TRY(read_size(reader, "rope.dimension_count", MAX_HEAD_LENGTH,
						 hyper->key_length, &hyper->n_rot));
	if (hyper->n_rot % 2 != 0 || hyper->n_rot > hyper->key_length)
		return engine_fail(reader->status, ENGINE_CORRUPT,
						   "RoPE cannot rotate %d values of heads of %d",
						   hyper->n_rot, hyper->key_length);
	return ENGINE_OK;
}

/* Encoders see the whole text; a decoder may be told to. */
static EngineCode
read_causal(ModelReader *reader)
{
	char		name[96];
	bool		causal = !reader->architecture->encoder;

	architecture_key(reader->architecture, "attention.causal", name,
					 sizeof(name));
	ENGINE_TRY(gguf_get_bool(reader->file, name, &causal, reader->status));
	if (causal && reader->architecture->encoder)
		return engine_fail(reader->status, ENGINE_UNSUPPORTED,
						   "a causal model of architecture \"%s\" is not "
						   "supported", reader->architecture->name);
	reader->hyper->causal = causal;
	return ENGINE_OK;
}

/* An array of booleans by layer must be what the period says. */
static EngineCode
check_window_layers(ModelReader *reader, const GgufKey *key)
{
	const Hyper *hyper = reader->hyper;
	GgufCursor	cursor;

	if (key->element != GGUF_BOOL || key->count != (uint64_t) hyper->n_layers)
		return engine_fail(reader->status, ENGINE_CORRUPT,
						   "GGUF key \"%s\" is neither a number nor a "
						   "boolean for each of %d layers", key->name,
						   hyper->n_layers);
	ENGINE_TRY(gguf_cursor_open(reader->source, key, GGUF_BOOL,
								reader->arena, &cursor, reader->status));
	for (int layer = 0; layer < hyper->n_layers; layer++)
	{
		bool		local = layer % hyper->window_period !=
			hyper->window_global;
		uint64_t	bits;

		ENGINE_TRY(gguf_next_scalar(&cursor, &bits, reader->status));
		if ((bits != 0) != local)
			return engine_fail(reader->status, ENGINE_UNSUPPORTED,
							   "the pattern of GGUF key \"%s\" is not "
							   "supported", key->name);
	}
	return ENGINE_OK;
}

/*
 * One layer of each period attends to everything: the last one in Gemma 3, the
 * first one in ModernBERT.  Files say the period, or which layers have the
 * window.
 */
static EngineCode
read_window_period(ModelReader *reader)
{
	const Architecture *architecture = reader->architecture;
	Hyper	   *hyper = reader->hyper;
	bool		last = architecture->window_global > 0;
	int64_t		period = architecture->window_period;
	const GgufKey *key;
	char		name[96];

	architecture_key(architecture, SLIDING_WINDOW_PATTERN, name,
					 sizeof(name));
	key = gguf_find_key(reader->file, name);
	if (key == NULL || key->type != GGUF_ARRAY)
		ENGINE_TRY(gguf_get_int(reader->file, name, 1, MAX_LAYERS, &period,
								reader->status));
	hyper->window_period = (int32_t) period;
	hyper->window_global = last ? (int32_t) period - 1 : 0;
	if (key == NULL || key->type != GGUF_ARRAY)
		return ENGINE_OK;
	return check_window_layers(reader, key);
}

/*
 * A window that reaches through the whole context has no effect, and files of
 * models that never use theirs carry such a value.
 */
static EngineCode
read_window(ModelReader *reader)
{
	const Architecture *architecture = reader->architecture;
	char		name[96];
	int64_t		window = architecture->window_default;
	int64_t		reach;

	architecture_key(architecture, "attention.sliding_window", name,
					 sizeof(name));
	ENGINE_TRY(gguf_get_int(reader->file, name, 0, UINT32_MAX, &window,
							reader->status));
	if (architecture->window == WINDOW_PERIOD)
	{
		if (window == 0)
			return missing_key(name, reader->status);
		reader->hyper->rope_local = architecture->rope_local;
		ENGINE_TRY(read_window_period(reader));
	}
	reach = reader->hyper->causal ? window : window / 2;
	if (window == 0 || reach >= reader->hyper->context_length)
		return ENGINE_OK;
	if (architecture->window == WINDOW_REFUSED)
		return engine_fail(reader->status, ENGINE_UNSUPPORTED,
						   "a sliding window (GGUF key \"%s\") is not "
						   "supported for this architecture", name);
	reader->hyper->window = (int32_t) window;
	return ENGINE_OK;
}

static EngineCode
read_epsilon(ModelReader *reader)
{
	const char *suffix = reader->architecture->norm == NORM_RMS ?
		"attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon";
	char		name[96];

	architecture_key(reader->architecture, suffix, name, sizeof(name));
	if (gguf_find_key(reader->file, name) == NULL)
		return missing_key(name, reader->status);
	return read_number(reader, suffix, 1e-30, 1,
					   &reader->hyper->norm_epsilon);
}

static EngineCode
read_factors(ModelReader *reader)
{
	Hyper	   *hyper = reader->hyper;

	ENGINE_TRY(read_epsilon(reader));
	hyper->attention_scale =
		1.0f / __builtin_sqrtf((float) hyper->key_length);
	ENGINE_TRY(read_number(reader, "attention.scale", 1e-6, 1e6,
						   &hyper->attention_scale));
	ENGINE_TRY(read_number(reader, "attn_logit_softcapping", 0, 1e6,
						   &hyper->attention_softcap));
	ENGINE_TRY(read_number(reader, "final_logit_softcapping", 0, 1e6,
						   &hyper->final_softcap));
	hyper->embedding_scale = !reader->architecture->scale_embedding ? 1 :
		__builtin_sqrtf((float) hyper->embedding_length);
	return read_number(reader, "embedding_scale", 1e-6, 1e6,
					   &hyper->embedding_scale);
}

/* Keys and values are kept in f32 only for models that are f32 themselves. */
static KvType
kv_type(const GgufFile *file)
{
	for (uint32_t i = 0; i < file->n_tensors; i++)
	{
		const GgufTensor *tensor = &file->tensors[i];
		size_t		length = strlen(tensor->name);

		if (tensor->n_dims >= 2 && tensor->type != TYPE_F32 &&
			strncmp(tensor->name, "blk.", 4) == 0 && length > 7 &&
			strcmp(tensor->name + length - 7, ".weight") == 0)
			return KV_F16;
	}
	return KV_F32;
}

static EngineCode
count_parameters(ModelReader *reader)
{
	uint64_t	sum = 0;

	for (uint32_t i = 0; i < reader->file->n_tensors; i++)
	{
		const int64_t *dims = reader->file->tensors[i].dims;

		/* the product was checked by gguf_read() */
		if (!checked_add(sum, (uint64_t) dims[0] * dims[1] * dims[2] *
						 dims[3], &sum) || sum > INT64_MAX)
			return engine_fail(reader->status, ENGINE_CORRUPT,
							   "model has too many parameters");
	}
	reader->hyper->parameters = (int64_t) sum;
	return ENGINE_OK;
}

static int64_t
shape_length(const Hyper *hyper, ShapeLength length)
{
	int64_t		query = (int64_t) hyper->n_heads * hyper->key_length;
	int64_t		key = (int64_t) hyper->n_kv_heads * hyper->key_length;
	int64_t		value = (int64_t) hyper->n_kv_heads * hyper->value_length;

	switch (length)
	{
		case LENGTH_ONE:
			return 1;
		case LENGTH_EMBEDDING:
			return hyper->embedding_length;
		case LENGTH_VOCABULARY:
			return hyper->vocabulary;
		case LENGTH_CONTEXT:
			return hyper->context_length;
		case LENGTH_FEED_FORWARD:
			return hyper->feed_forward_length;
		case LENGTH_GATE_AND_UP:
			return 2 * (int64_t) hyper->feed_forward_length;
		case LENGTH_TOKEN_TYPES:
			return hyper->token_types;
		case LENGTH_LABELS:
			return hyper->n_labels;
		case LENGTH_DENSE_2:
			return hyper->dense_2_length;
		case LENGTH_DENSE_3:
			return hyper->dense_3_length;
		case LENGTH_QUERY:
			return query;
		case LENGTH_KEY:
			return key;
		case LENGTH_VALUE:
			return value;
		case LENGTH_QKV:
			return query + key + value;
		case LENGTH_HEADS:
			return (int64_t) hyper->n_heads * hyper->value_length;
		case LENGTH_HEAD_KEY:
			return hyper->key_length;
		case LENGTH_ROPE_PAIRS:
			return hyper->n_rot / 2;
	}
	return 0;
}

static EngineCode
check_shape(const TensorSlot *slot, const Hyper *hyper,
			const GgufTensor *tensor, EngineStatus *status)
{
	int64_t		columns = shape_length(hyper, slot->columns);
	int64_t		rows = shape_length(hyper, slot->rows);

	if (tensor->dims[0] == columns && tensor->dims[1] == rows &&
		tensor->dims[2] == 1 && tensor->dims[3] == 1)
		return ENGINE_OK;
	engine_fail(status, ENGINE_CORRUPT,
				"GGUF tensor \"%s\" has the wrong shape", tensor->name);
	engine_detail(status, "It has %" PRId64 " x %" PRId64 " x %" PRId64
				  " x %" PRId64 " values, the hyper-parameters say %" PRId64
				  " x %" PRId64 ".", tensor->dims[0], tensor->dims[1],
				  tensor->dims[2], tensor->dims[3], columns, rows);
	return ENGINE_CORRUPT;
}

/* One slot of one layer. */
static EngineCode
match_slot(const GgufFile *file, const Hyper *hyper, SlotId id, int layer,
		   bool needed, TensorUse *uses, EngineStatus *status)
{
	const TensorSlot *slot = &tensor_slots[id];
	const GgufTensor *tensor;
	char		name[64];
	TensorUse  *use;

	if (slot->in_layer)
		snprintf(name, sizeof(name), "blk.%d.%s", layer, slot->name);
	else
		snprintf(name, sizeof(name), "%s", slot->name);
	tensor = gguf_find_tensor(file, name);
	if (tensor == NULL)
	{
		if (!needed)
			return ENGINE_OK;
		return engine_fail(status, ENGINE_CORRUPT,
						   "GGUF tensor \"%s\" is missing", name);
	}
	ENGINE_TRY(check_shape(slot, hyper, tensor, status));
	use = &uses[tensor - file->tensors];
	use->slot = id;
	use->layer = layer;
	use->used = true;
	return ENGINE_OK;
}

/*
 * Where the embedding has a norm already (ModernBERT), that of the first
 * layer may be missing.
 */
EngineCode
architecture_tensors(const GgufFile *file, const Hyper *hyper,
					 EngineArena *arena, TensorUse **result,
					 EngineStatus *status)
{
	const Architecture *architecture =
		architecture_find(hyper->architecture);
	TensorUse  *uses = engine_alloc(arena, file->n_tensors,
									sizeof(TensorUse), status);

	if (uses == NULL)
		return status->code;
	for (int id = 0; id < N_SLOTS; id++)
	{
		bool		needed = (architecture->needs & SLOT_BIT(id)) != 0;
		int			n = tensor_slots[id].in_layer ? hyper->n_layers : 1;
		bool		but_first = id == SLOT_ATTN_NORM &&
			(architecture->needs & SLOT_BIT(SLOT_TOKEN_EMBD_NORM)) != 0;

		if (!needed && (architecture->may_have & SLOT_BIT(id)) == 0)
			continue;
		for (int layer = 0; layer < n; layer++)
			ENGINE_TRY(match_slot(file, hyper, id, layer,
								  needed && !(but_first && layer == 0), uses,
								  status));
	}
	for (uint32_t i = 0; i < file->n_tensors; i++)
	{
		if (!uses[i].used)
			return engine_fail(status, ENGINE_UNSUPPORTED,
							   "GGUF tensor \"%s\" has no place in "
							   "architecture \"%s\"", file->tensors[i].name,
							   architecture->name);
	}
	*result = uses;
	return ENGINE_OK;
}

EngineCode
architecture_read(const GgufFile *file, ByteSource *source,
				  EngineArena *arena, Hyper *hyper, RopeTables *rope,
				  EngineStatus *status)
{
	ModelReader reader = {file, source, arena, NULL, hyper, status};
	TensorUse  *uses;

	memset(hyper, 0, sizeof(*hyper));
	ENGINE_TRY(check_file_type(&reader));
	ENGINE_TRY(find_architecture(&reader));
	ENGINE_TRY(check_neutral_keys(&reader));
	ENGINE_TRY(check_experts(&reader));
	ENGINE_TRY(read_sizes(&reader));
	ENGINE_TRY(read_causal(&reader));
	ENGINE_TRY(read_rotation(&reader));
	ENGINE_TRY(read_window(&reader));
	ENGINE_TRY(read_factors(&reader));
	ENGINE_TRY(architecture_heads(file, reader.architecture, hyper, status));

	hyper->norm = reader.architecture->norm;
	hyper->learned_positions = reader.architecture->learned_positions;
	hyper->post_norm = reader.architecture->post_norm;
	hyper->kv_type = hyper->causal ? kv_type(file) : KV_F32;
	hyper->tied_output = hyper->causal &&
		gguf_find_tensor(file, tensor_slots[SLOT_OUTPUT].name) == NULL;
	ENGINE_TRY(count_parameters(&reader));
	ENGINE_TRY(architecture_tensors(file, hyper, arena, &uses, status));
	return architecture_rope(file, source, reader.architecture, arena, hyper,
							 rope, status);
}
