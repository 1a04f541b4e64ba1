/*-------------------------------------------------------------------------
 *
 * safetensors.c
 *	  Reading the header of a safetensors file that nobody vouches for.
 *
 * Order of the checks (each has been a vulnerability of some loader):
 *  - The length of the header is compared with its cap and with the file
 *	  before anything is allocated.
 *  - The header is strict JSON that begins with "{"; only spaces follow it.
 *	  A name that appears twice would smuggle in a second definition.
 *  - Every description has exactly a type that we know, a shape whose product
 *	  is formed step by step, and two offsets that are whole numbers, in order
 *	  and inside the file; size and shape agree.
 *  - Sorted by offset, the tensors fill the data section from its first byte
 *	  to its last: no gap hides anything, no two share bytes.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/safetensors_sort.h"

#include <inttypes.h>
#include <string.h>

#include "kernels/half.h"

#define MAX_HEADER UINT64_C(100000000)
#define MAX_TENSORS 65536
#define MAX_NAME 256

/* Key, object, three keys and values, dimensions, offsets: rounded up. */
#define MAX_NODES ((size_t) MAX_TENSORS * 32)

/* The root, a description, its shape. */
#define MAX_DEPTH 3

/* Bytes of a header, or tensors, between two polls of the host. */
#define PIECE ((size_t) 1 << 20)
#define POLL_INTERVAL 1024

typedef struct TypeInfo
{
	const char *name;
	int			bytes;
} TypeInfo;

static const TypeInfo types[] = {
	[SAFE_BOOL] = {"BOOL", 1},
	[SAFE_U8] = {"U8", 1},
	[SAFE_I8] = {"I8", 1},
	[SAFE_F8_E5M2] = {"F8_E5M2", 1},
	[SAFE_F8_E4M3] = {"F8_E4M3", 1},
	[SAFE_I16] = {"I16", 2},
	[SAFE_U16] = {"U16", 2},
	[SAFE_F16] = {"F16", 2},
	[SAFE_BF16] = {"BF16", 2},
	[SAFE_I32] = {"I32", 4},
	[SAFE_U32] = {"U32", 4},
	[SAFE_F32] = {"F32", 4},
	[SAFE_F64] = {"F64", 8},
	[SAFE_I64] = {"I64", 8},
	[SAFE_U64] = {"U64", 8},
};

#define N_TYPES ((int) (sizeof(types) / sizeof(types[0])))

typedef struct SafeReader
{
	ByteSource *source;
	EngineArena *arena;
	const EngineHost *host;
	EngineStatus *status;
	SafeTensors *tensors;
	uint64_t	data_offset;	/* of the data section */
	uint64_t	data_bytes;		/* in it */
} SafeReader;

const char *
safetensors_type_name(SafeType type)
{
	return (int) type >= 0 && (int) type < N_TYPES ? types[type].name :
		"unknown";
}

/* The name of a tensor for errors, shortened */
static const char *
shown(const char *name, char *buf, size_t size)
{
	return engine_printable(name, strlen(name), buf, size);
}

static EngineCode
tensor_error(SafeReader *reader, const SafeTensor *tensor,
			 const char *problem)
{
	char		name[96];

	return engine_fail(reader->status, ENGINE_CORRUPT,
					   "safetensors tensor \"%s\" %s",
					   shown(tensor->name, name, sizeof(name)), problem);
}

/*
 * One description.
 */

static EngineCode
read_type(SafeReader *reader, const JsonNode *node, SafeTensor *tensor)
{
	char		name[96];
	char		type[48];

	if (node == NULL || node->type != JSON_STRING)
		return tensor_error(reader, tensor, "has no type");
	for (int i = 0; i < N_TYPES; i++)
	{
		if (json_is_text(node, types[i].name))
		{
			tensor->type = (SafeType) i;
			return ENGINE_OK;
		}
	}
	return engine_fail(reader->status, ENGINE_UNSUPPORTED,
					   "safetensors tensor \"%s\" has unknown type \"%s\"",
					   shown(tensor->name, name, sizeof(name)),
					   engine_printable(node->text, node->length, type,
										sizeof(type)));
}

/* A whole number without sign */
static bool
natural(const JsonNode *node, int64_t *value)
{
	return json_integer(node, value) && node->text[0] != '-';
}

static EngineCode
read_shape(SafeReader *reader, const JsonNode *node, SafeTensor *tensor)
{
	const JsonNode *at;
	char		name[96];

	if (node == NULL || node->type != JSON_ARRAY)
		return tensor_error(reader, tensor, "has no shape");
	if (node->count > SAFE_MAX_DIMS)
		return engine_fail(reader->status, ENGINE_LIMIT,
						   "safetensors tensor \"%s\" has %" PRIu32
						   " dimensions, more than %d",
						   shown(tensor->name, name, sizeof(name)),
						   node->count, SAFE_MAX_DIMS);
	tensor->n_dims = (int) node->count;
	tensor->n = 1;
	at = json_first(node);
	for (int i = 0; i < tensor->n_dims; i++)
	{
		if (!natural(at, &tensor->dims[i]))
			return tensor_error(reader, tensor, "has a dimension that is not "
								"a whole number");
		if (__builtin_mul_overflow(tensor->n, tensor->dims[i], &tensor->n))
			return tensor_error(reader, tensor, "has too large a shape");
		at = json_after(at);
	}
	return ENGINE_OK;
}

static EngineCode
read_offsets(SafeReader *reader, const JsonNode *node, SafeTensor *tensor)
{
	int64_t		begin;
	int64_t		end;
	uint64_t	bytes;
	char		name[96];

	if (node == NULL || node->type != JSON_ARRAY || node->count != 2 ||
		!natural(json_element(node, 0), &begin) ||
		!natural(json_element(node, 1), &end))
		return tensor_error(reader, tensor, "does not have two whole numbers "
							"as data_offsets");
	if (begin > end)
		return tensor_error(reader, tensor, "ends before it begins");
	if ((uint64_t) end > reader->data_bytes)
		return tensor_error(reader, tensor, "ends beyond the end of the "
							"file");
	if (!checked_mul((uint64_t) tensor->n,
					 (uint64_t) types[tensor->type].bytes, &bytes) ||
		bytes != (uint64_t) (end - begin))
	{
		engine_fail(reader->status, ENGINE_CORRUPT,
					"safetensors tensor \"%s\" has %" PRId64 " bytes, which "
					"its shape contradicts",
					shown(tensor->name, name, sizeof(name)), end - begin);
		engine_detail(reader->status, "Its shape has %" PRId64 " values of "
					  "type %s.", tensor->n, types[tensor->type].name);
		return ENGINE_CORRUPT;
	}
	tensor->source = reader->source;
	tensor->offset = reader->data_offset + (uint64_t) begin;
	tensor->bytes = bytes;
	return ENGINE_OK;
}

static EngineCode
read_name(SafeReader *reader, const JsonNode *key, SafeTensor *tensor)
{
	char		name[96];

	if (key->length < 1 || key->length > MAX_NAME)
		return engine_fail(reader->status, ENGINE_CORRUPT,
						   "name of a safetensors tensor has %zu bytes, not "
						   "1 to %d", key->length, MAX_NAME);
	if (memchr(key->text, '\0', key->length) != NULL)
		return engine_fail(reader->status, ENGINE_CORRUPT,
						   "name \"%s\" of a safetensors tensor has a zero "
						   "byte", engine_printable(key->text, key->length,
													name, sizeof(name)));
	tensor->name = engine_strndup(reader->arena, key->text, key->length,
								  reader->status);
	return tensor->name == NULL ? reader->status->code : ENGINE_OK;
}

static EngineCode
read_tensor(SafeReader *reader, const JsonNode *key, SafeTensor *tensor)
{
	const JsonNode *node = key + 1;

	ENGINE_TRY(read_name(reader, key, tensor));
	if (node->type != JSON_OBJECT)
		return tensor_error(reader, tensor, "is not described by an object");
	ENGINE_TRY(read_type(reader, json_member(node, "dtype"), tensor));
	ENGINE_TRY(read_shape(reader, json_member(node, "shape"), tensor));
	ENGINE_TRY(read_offsets(reader, json_member(node, "data_offsets"),
							tensor));
	if (node->count != 3)
		return tensor_error(reader, tensor, "has more than a type, a shape "
							"and offsets");
	return ENGINE_OK;
}

/*
 * The header of one file.
 */

static EngineCode
check_metadata(SafeReader *reader, const JsonNode *node)
{
	const JsonNode *at = json_first(node);
	bool		good = node->type == JSON_OBJECT;

	for (uint32_t i = 0; good && i < node->count; i++)
	{
		good = at[1].type == JSON_STRING;
		at = json_after(at + 1);
	}
	if (!good)
		return engine_fail(reader->status, ENGINE_CORRUPT,
						   "__metadata__ of a safetensors file is not an "
						   "object of strings");
	return ENGINE_OK;
}

/* Nothing between the tensors, nothing behind them, nothing twice */
static EngineCode
check_tiling(SafeReader *reader)
{
	SafeTensors *tensors = reader->tensors;
	uint64_t	next = reader->data_offset;

	ENGINE_TRY(safetensors_sort(tensors, safetensors_after_by_offset,
								reader->arena, reader->status));
	for (uint32_t i = 0; i < tensors->n; i++)
	{
		const SafeTensor *tensor = &tensors->tensors[i];

		if (tensor->offset < next)
			return tensor_error(reader, tensor, "shares bytes with another");
		if (tensor->offset > next)
			return tensor_error(reader, tensor, "does not begin where the "
								"data before it ends");
		next += tensor->bytes;
	}
	if (next != reader->source->size)
		return engine_fail(reader->status, ENGINE_CORRUPT,
						   "safetensors file has %" PRIu64 " bytes that "
						   "belong to no tensor",
						   reader->source->size - next);
	return ENGINE_OK;
}

static EngineCode
read_tensors(SafeReader *reader, const JsonNode *root)
{
	SafeTensors *tensors = reader->tensors;
	const JsonNode *key = json_first(root);
	uint32_t	n = root->count;

	if (json_member(root, "__metadata__") != NULL)
		n--;
	if (n > MAX_TENSORS)
		return engine_fail(reader->status, ENGINE_LIMIT,
						   "safetensors file has %" PRIu32
						   " tensors, more than %d", n, MAX_TENSORS);
	tensors->tensors = engine_alloc(reader->arena, n, sizeof(SafeTensor),
									reader->status);
	if (tensors->tensors == NULL)
		return reader->status->code;
	for (uint32_t i = 0; i < root->count; i++)
	{
		if (i % POLL_INTERVAL == 0 && engine_interrupted(reader->host))
			return engine_cancelled(reader->status);
		if (json_is_text(key, "__metadata__"))
			ENGINE_TRY(check_metadata(reader, key + 1));
		else
			ENGINE_TRY(read_tensor(reader, key,
								   &tensors->tensors[tensors->n++]));
		key = json_after(key + 1);
	}
	return check_tiling(reader);
}

static EngineCode
read_length(SafeReader *reader, size_t *length)
{
	ByteSource *source = reader->source;
	uint8_t		bytes[8];
	uint64_t	value = 0;

	if (source->size < sizeof(bytes))
		return engine_fail(reader->status, ENGINE_CORRUPT,
						   "file of %" PRIu64 " bytes is not a safetensors "
						   "file", source->size);
	ENGINE_TRY(source->read(source, 0, bytes, sizeof(bytes),
							reader->status));
	for (int i = 0; i < 8; i++)
		value |= (uint64_t) bytes[i] << (8 * i);
	if (value > source->size - sizeof(bytes))
	{
		engine_fail(reader->status, ENGINE_CORRUPT,
					"file is not a safetensors file, or is not complete");
		engine_detail(reader->status, "Its header would have %" PRIu64
					  " bytes, but the file has %" PRIu64 ".", value,
					  source->size);
		return ENGINE_CORRUPT;
	}
	if (value > MAX_HEADER)
		return engine_fail(reader->status, ENGINE_LIMIT,
						   "header of a safetensors file has %" PRIu64
						   " bytes, more than %" PRIu64, value, MAX_HEADER);
	*length = (size_t) value;
	reader->data_offset = sizeof(bytes) + value;
	reader->data_bytes = source->size - reader->data_offset;
	return ENGINE_OK;
}

/* The text of the header, without the spaces behind it */
static EngineCode
read_text(SafeReader *reader, const char **result, size_t *length)
{
	ByteSource *source = reader->source;
	char	   *text;
	size_t		n = 0;

	ENGINE_TRY(read_length(reader, &n));
	text = engine_alloc_raw(reader->arena, n, 1, reader->status);
	if (text == NULL)
		return reader->status->code;
	for (size_t done = 0; done < n;)
	{
		size_t		piece = n - done < PIECE ? n - done : PIECE;

		if (engine_interrupted(reader->host))
			return engine_cancelled(reader->status);
		ENGINE_TRY(source->read(source, 8 + done, text + done, piece,
								reader->status));
		done += piece;
	}
	while (n > 0 && text[n - 1] == ' ')
		n--;
	if (n < 2 || text[0] != '{' || text[n - 1] != '}')
		return engine_fail(reader->status, ENGINE_CORRUPT,
						   "header of a safetensors file is not a JSON "
						   "object that is followed by nothing but spaces");
	*result = text;
	*length = n;
	return ENGINE_OK;
}

EngineCode
safetensors_read(ByteSource *source, EngineArena *arena,
				 const EngineHost *host, SafeTensors *tensors,
				 EngineStatus *status)
{
	SafeReader	reader = {
		.source = source, .arena = arena, .host = host, .status = status,
		.tensors = tensors
	};
	const char *text = NULL;
	size_t		length = 0;
	const JsonNode *root;

	memset(tensors, 0, sizeof(*tensors));
	ENGINE_TRY(read_text(&reader, &text, &length));
	ENGINE_TRY(json_parse(text, length, MAX_DEPTH, MAX_NODES, arena, host,
						  &root, status));
	ENGINE_TRY(read_tensors(&reader, root));
	return safetensors_sort(tensors, safetensors_after_by_name, arena, status);
}

/*
 * Values.
 */

static void
values_from_f16(const char *bytes, int64_t n, float *out)
{
	for (int64_t i = 0; i < n; i++)
	{
		uint16_t	half;

		memcpy(&half, bytes + 2 * i, sizeof(half));
		out[i] = f16_to_f32(half);
	}
}

static void
values_from_bf16(const char *bytes, int64_t n, float *out)
{
	for (int64_t i = 0; i < n; i++)
	{
		uint16_t	half;

		memcpy(&half, bytes + 2 * i, sizeof(half));
		out[i] = bf16_to_f32(half);
	}
}

static void
values_from_f64(const char *bytes, int64_t n, float *out)
{
	for (int64_t i = 0; i < n; i++)
	{
		double		value;

		memcpy(&value, bytes + 8 * i, sizeof(value));
		out[i] = (float) value;
	}
}

EngineCode
safetensors_values(const SafeTensor *tensor, int64_t first, int64_t count,
				   float *out, void *scratch, EngineStatus *status)
{
	size_t		size = (size_t) types[tensor->type].bytes;
	void	   *bytes = tensor->type == SAFE_F32 ? out : scratch;
	char		name[96];

	if (first < 0 || count < 0 || first > tensor->n ||
		count > tensor->n - first)
		return engine_fail(status, ENGINE_INVALID,
						   "values %" PRId64 " and %" PRId64 " more are not "
						   "in a tensor of %" PRId64, first, count,
						   tensor->n);
	if (tensor->type != SAFE_F32 && tensor->type != SAFE_F16 &&
		tensor->type != SAFE_BF16 && tensor->type != SAFE_F64)
		return engine_fail(status, ENGINE_UNSUPPORTED,
						   "tensor \"%s\" has type %s, which is not supported "
						   "for weights",
						   shown(tensor->name, name, sizeof(name)),
						   types[tensor->type].name);
	ENGINE_TRY(tensor->source->read(tensor->source,
									tensor->offset + (uint64_t) first * size,
									bytes, (size_t) count * size, status));
	if (tensor->type == SAFE_F16)
		values_from_f16(bytes, count, out);
	else if (tensor->type == SAFE_BF16)
		values_from_bf16(bytes, count, out);
	else if (tensor->type == SAFE_F64)
		values_from_f64(bytes, count, out);
	return ENGINE_OK;
}
