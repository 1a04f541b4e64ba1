/*-------------------------------------------------------------------------
 *
 * gguf.c
 *	  Reading the header of a GGUF file that nobody vouches for.
 *
 * Order of the checks (each has been a vulnerability of some loader):
 *  - A count is compared with its cap and with the bytes that are left,
 *	  divided by the least size of one item, before anything is allocated.
 *  - A dimension is at least 1 before it is multiplied; products and sums
 *	  are checked step by step, and rounded up only when that cannot wrap.
 *  - Names are compared through an index that is sorted, not hashed, so that
 *	  no choice of names makes it slow.
 *  - Tensor data is contiguous, in order, and ends inside the file; only the
 *	  padding after the last tensor may be missing.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/gguf_window.h"

#include <inttypes.h>
#include <string.h>

#define MAX_FILE_BYTES (UINT64_C(1) << 40)
#define MAX_KEYS 65536
#define MAX_TENSORS 65536
#define MAX_KEY_NAME 65535
#define MAX_TENSOR_NAME 63
#define MAX_STRING (UINT64_C(64) << 20)
#define MAX_KEPT_STRING (UINT64_C(1) << 20)
#define MAX_ELEMENTS (UINT64_C(16) << 20)
#define MAX_DIMENSION (UINT64_C(1) << 40)
#define MIN_ALIGNMENT 8
#define MAX_ALIGNMENT (1 << 20)
#define DEFAULT_ALIGNMENT 32

/* Least bytes of a key: length, one byte of name, type, value. */
#define MIN_KEY_BYTES (8 + 1 + 4 + 1)

/* ... and of a tensor: length, name, n_dims, one dimension, type, offset. */
#define MIN_TENSOR_BYTES (8 + 1 + 4 + 8 + 4 + 8)

/* Elements or keys between two polls of the host. */
#define POLL_INTERVAL 4096

typedef struct HeaderReader
{
	GgufWindow	window;
	GgufFile   *file;
	EngineArena *arena;
	const EngineHost *host;
	EngineStatus *status;
} HeaderReader;

static bool
printable_ascii(const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
	{
		if (bytes[i] < 0x20 || bytes[i] > 0x7E)
			return false;
	}
	return true;
}

/* The name of a key or tensor; what is "key" or "tensor". */
static EngineCode
read_name(HeaderReader *reader, const char *what, uint64_t max,
		  char **result)
{
	EngineStatus *status = reader->status;
	uint64_t	start = reader->window.position;
	const uint8_t *bytes;
	uint64_t	length;

	ENGINE_TRY(gguf_window_u64(&reader->window, "the length of a name",
							   &length, status));
	if (length < 1 || length > max)
	{
		engine_fail(status, ENGINE_CORRUPT,
					"GGUF %s name at byte %" PRIu64 " has %" PRIu64 " bytes",
					what, start, length);
		engine_detail(status, "A name has between 1 and %" PRIu64 " bytes.",
					  max);
		return ENGINE_CORRUPT;
	}
	ENGINE_TRY(gguf_window_take(&reader->window, (size_t) length, "a name",
								&bytes, status));
	if (!printable_ascii(bytes, (size_t) length))
		return engine_fail(status, ENGINE_CORRUPT,
						   "GGUF %s name at byte %" PRIu64
						   " is not printable ASCII", what, start);
	*result = engine_strndup(reader->arena, (const char *) bytes,
							 (size_t) length, status);
	return *result == NULL ? status->code : ENGINE_OK;
}

/* "key" of errors: its name, shortened */
static const char *
key_text(const GgufKey *key, char *buf, size_t size)
{
	return engine_printable(key->name, strlen(key->name), buf, size);
}

static EngineCode
read_string_length(HeaderReader *reader, const GgufKey *key,
				   uint64_t *length)
{
	EngineStatus *status = reader->status;
	uint64_t	start = reader->window.position;
	char		name[96];

	ENGINE_TRY(gguf_window_u64(&reader->window, "the length of a string",
							   length, status));
	if (*length <= reader->window.end - reader->window.position &&
		*length <= MAX_STRING)
		return ENGINE_OK;
	if (*length > reader->window.end - reader->window.position)
		return engine_fail(status, ENGINE_CORRUPT,
						   "string of GGUF key \"%s\" at byte %" PRIu64
						   " has %" PRIu64 " bytes, more than the file has",
						   key_text(key, name, sizeof(name)), start, *length);
	return engine_fail(status, ENGINE_LIMIT,
					   "string of GGUF key \"%s\" at byte %" PRIu64 " has %"
					   PRIu64 " bytes, more than 64 MB",
					   key_text(key, name, sizeof(name)), start, *length);
}

/* Copy the bytes of a string that is kept; it may be larger than a window. */
static EngineCode
copy_string(HeaderReader *reader, GgufKey *key)
{
	EngineStatus *status = reader->status;
	char	   *copy = engine_alloc(reader->arena, (size_t) key->length + 1,
									1, status);
	size_t		done = 0;

	if (copy == NULL)
		return status->code;
	while (done < key->length)
	{
		size_t		piece = (size_t) key->length - done;
		const uint8_t *bytes;

		if (piece > GGUF_WINDOW)
			piece = GGUF_WINDOW;
		ENGINE_TRY(gguf_window_take(&reader->window, piece, "a string",
									&bytes, status));
		memcpy(copy + done, bytes, piece);
		done += piece;
	}
	key->string = copy;
	return ENGINE_OK;
}

static EngineCode
read_string(HeaderReader *reader, GgufKey *key)
{
	ENGINE_TRY(read_string_length(reader, key, &key->length));
	if (key->length <= MAX_KEPT_STRING)
		return copy_string(reader, key);
	return gguf_window_skip(&reader->window, key->length, "a string",
							reader->status);
}

static EngineCode
skip_strings(HeaderReader *reader, const GgufKey *key)
{
	for (uint64_t i = 0; i < key->count; i++)
	{
		uint64_t	length;

		if (i % POLL_INTERVAL == 0 && engine_interrupted(reader->host))
			return engine_cancelled(reader->status);
		ENGINE_TRY(read_string_length(reader, key, &length));
		ENGINE_TRY(gguf_window_skip(&reader->window, length, "a string",
									reader->status));
	}
	return ENGINE_OK;
}

static EngineCode
check_bools(HeaderReader *reader, const GgufKey *key)
{
	uint64_t	left = key->count;
	char		name[96];

	while (left > 0)
	{
		size_t		piece = left < GGUF_WINDOW ? (size_t) left : GGUF_WINDOW;
		const uint8_t *bytes;

		if (engine_interrupted(reader->host))
			return engine_cancelled(reader->status);
		ENGINE_TRY(gguf_window_take(&reader->window, piece, "an array",
									&bytes, reader->status));
		for (size_t i = 0; i < piece; i++)
		{
			if (bytes[i] > 1)
				return engine_fail(reader->status, ENGINE_CORRUPT,
								   "GGUF key \"%s\" has a bool that is %d",
								   key_text(key, name, sizeof(name)),
								   bytes[i]);
		}
		left -= piece;
	}
	return ENGINE_OK;
}

/* Is count within the cap and within the bytes that are left? */
static EngineCode
check_elements(HeaderReader *reader, const GgufKey *key, uint64_t least)
{
	uint64_t	left = reader->window.end - reader->window.position;
	char		name[96];

	if (key->count <= left / least && key->count <= MAX_ELEMENTS)
		return ENGINE_OK;
	if (key->count > left / least)
	{
		engine_fail(reader->status, ENGINE_CORRUPT,
					"array of GGUF key \"%s\" has %" PRIu64
					" elements, more than the file has",
					key_text(key, name, sizeof(name)), key->count);
		engine_detail(reader->status, "%" PRIu64 " bytes are left at byte %"
					  PRIu64 ".", left, reader->window.position);
		return ENGINE_CORRUPT;
	}
	return engine_fail(reader->status, ENGINE_LIMIT,
					   "array of GGUF key \"%s\" has %" PRIu64
					   " elements, more than %" PRIu64,
					   key_text(key, name, sizeof(name)), key->count,
					   MAX_ELEMENTS);
}

static EngineCode
read_array(HeaderReader *reader, GgufKey *key)
{
	EngineStatus *status = reader->status;
	uint64_t	start = reader->window.position;
	uint32_t	element;
	size_t		size;
	char		name[96];

	ENGINE_TRY(gguf_window_u32(&reader->window, "the type of an array",
							   &element, status));
	size = gguf_scalar_bytes(element);
	if (element == GGUF_ARRAY)
		return engine_fail(status, ENGINE_UNSUPPORTED,
						   "GGUF key \"%s\" at byte %" PRIu64
						   " is an array of arrays",
						   key_text(key, name, sizeof(name)), start);
	if (size == 0 && element != GGUF_STRING)
		return engine_fail(status, ENGINE_CORRUPT,
						   "array of GGUF key \"%s\" has unknown type %"
						   PRIu32 " at byte %" PRIu64,
						   key_text(key, name, sizeof(name)), element, start);
	key->element = (GgufValueType) element;

	ENGINE_TRY(gguf_window_u64(&reader->window, "the length of an array",
							   &key->count, status));
	key->offset = reader->window.position;
	ENGINE_TRY(check_elements(reader, key, size > 0 ? size : 8));
	if (element == GGUF_STRING)
		return skip_strings(reader, key);
	if (element == GGUF_BOOL)
		return check_bools(reader, key);
	return gguf_window_skip(&reader->window, key->count * size, "an array",
							status);
}

static EngineCode
read_scalar(HeaderReader *reader, GgufKey *key)
{
	size_t		size = gguf_scalar_bytes(key->type);
	const uint8_t *bytes;
	char		name[96];

	ENGINE_TRY(gguf_window_take(&reader->window, size, "a value", &bytes,
								reader->status));
	key->bits = gguf_load(bytes, size);
	if (key->type == GGUF_BOOL && key->bits > 1)
		return engine_fail(reader->status, ENGINE_CORRUPT,
						   "GGUF key \"%s\" is a bool that is %" PRIu64,
						   key_text(key, name, sizeof(name)), key->bits);
	return ENGINE_OK;
}

static EngineCode
read_key(HeaderReader *reader, GgufKey *key)
{
	EngineStatus *status = reader->status;
	uint64_t	start;
	uint32_t	type;
	char		name[96];

	ENGINE_TRY(read_name(reader, "key", MAX_KEY_NAME, &key->name));
	start = reader->window.position;
	ENGINE_TRY(gguf_window_u32(&reader->window, "the type of a value", &type,
							   status));
	if (type > GGUF_F64)
		return engine_fail(status, ENGINE_CORRUPT,
						   "GGUF key \"%s\" has unknown type %" PRIu32
						   " at byte %" PRIu64,
						   key_text(key, name, sizeof(name)), type, start);
	key->type = (GgufValueType) type;
	key->count = 1;
	key->offset = reader->window.position;
	if (type == GGUF_ARRAY)
		ENGINE_TRY(read_array(reader, key));
	else if (type == GGUF_STRING)
		ENGINE_TRY(read_string(reader, key));
	else
		ENGINE_TRY(read_scalar(reader, key));
	key->end = reader->window.position;
	return ENGINE_OK;
}

/* Merge the sorted runs [begin, middle) and [middle, end) of from. */
static void
merge_runs(const char *const *names, const uint32_t *from, uint32_t *to,
		   uint32_t begin, uint32_t middle, uint32_t end)
{
	uint32_t	left = begin;
	uint32_t	right = middle;

	for (uint32_t i = begin; i < end; i++)
	{
		if (right == end ||
			(left < middle && strcmp(names[from[left]],
									 names[from[right]]) <= 0))
			to[i] = from[left++];
		else
			to[i] = from[right++];
	}
}

/*
 * Numbers of n names in the order of strcmp(), by merging from below; what
 * is for the error when two names are equal.
 */
static EngineCode
sort_names(HeaderReader *reader, const char *const *names, uint32_t n,
		   const char *what, uint32_t **index)
{
	EngineStatus *status = reader->status;
	uint32_t   *from = engine_alloc(reader->arena, n, sizeof(uint32_t),
									status);
	uint32_t   *to = engine_alloc(reader->arena, n, sizeof(uint32_t), status);
	char		name[96];

	if (from == NULL || to == NULL)
		return status->code;
	for (uint32_t i = 0; i < n; i++)
		from[i] = i;
	for (uint32_t run = 1; run < n; run *= 2)
	{
		uint32_t   *swap = from;

		for (uint32_t begin = 0; begin < n; begin += 2 * run)
		{
			uint32_t	middle = n - begin > run ? begin + run : n;
			uint32_t	end = n - middle > run ? middle + run : n;

			merge_runs(names, from, to, begin, middle, end);
		}
		from = to;
		to = swap;
		if (engine_interrupted(reader->host))
			return engine_cancelled(status);
	}
	for (uint32_t i = 1; i < n; i++)
	{
		if (strcmp(names[from[i - 1]], names[from[i]]) == 0)
			return engine_fail(status, ENGINE_CORRUPT,
							   "GGUF %s \"%s\" appears twice", what,
							   engine_printable(names[from[i]],
												strlen(names[from[i]]),
												name, sizeof(name)));
	}
	*index = from;
	return ENGINE_OK;
}

static EngineCode
index_keys(HeaderReader *reader)
{
	GgufFile   *file = reader->file;
	const char **names = engine_alloc(reader->arena, file->n_keys,
									  sizeof(char *), reader->status);

	if (names == NULL)
		return reader->status->code;
	for (uint32_t i = 0; i < file->n_keys; i++)
		names[i] = file->keys[i].name;
	return sort_names(reader, names, file->n_keys, "key", &file->key_index);
}

static EngineCode
index_tensors(HeaderReader *reader)
{
	GgufFile   *file = reader->file;
	const char **names = engine_alloc(reader->arena, file->n_tensors,
									  sizeof(char *), reader->status);

	if (names == NULL)
		return reader->status->code;
	for (uint32_t i = 0; i < file->n_tensors; i++)
		names[i] = file->tensors[i].name;
	return sort_names(reader, names, file->n_tensors, "tensor",
					  &file->tensor_index);
}

static EngineCode
read_keys(HeaderReader *reader)
{
	GgufFile   *file = reader->file;

	file->keys = engine_alloc(reader->arena, file->n_keys, sizeof(GgufKey),
							  reader->status);
	if (file->keys == NULL)
		return reader->status->code;
	for (uint32_t i = 0; i < file->n_keys; i++)
	{
		if (i % POLL_INTERVAL == 0 && engine_interrupted(reader->host))
			return engine_cancelled(reader->status);
		ENGINE_TRY(read_key(reader, &file->keys[i]));
	}
	return index_keys(reader);
}

static EngineCode
read_alignment(HeaderReader *reader)
{
	GgufFile   *file = reader->file;
	const GgufKey *key = gguf_find_key(file, "general.alignment");

	file->alignment = DEFAULT_ALIGNMENT;
	if (key == NULL)
		return ENGINE_OK;
	if (key->type != GGUF_U32)
		return engine_fail(reader->status, ENGINE_CORRUPT,
						   "GGUF key \"general.alignment\" has type %s, "
						   "wanted u32", gguf_type_name(key->type));
	if (key->bits < MIN_ALIGNMENT || key->bits > MAX_ALIGNMENT ||
		(key->bits & (key->bits - 1)) != 0)
	{
		engine_fail(reader->status, ENGINE_CORRUPT,
					"GGUF key \"general.alignment\" is %" PRIu64, key->bits);
		engine_detail(reader->status, "The value at byte %" PRIu64
					  " must be a power of two between %d and %d.",
					  key->offset, MIN_ALIGNMENT, MAX_ALIGNMENT);
		return ENGINE_CORRUPT;
	}
	file->alignment = key->bits;
	return ENGINE_OK;
}

/* Parts of a split model hold only some of the tensors. */
static EngineCode
check_split(HeaderReader *reader)
{
	int64_t		count = 1;

	ENGINE_TRY(gguf_get_int(reader->file, "split.count", 0, UINT16_MAX,
							&count, reader->status));
	if (count <= 1)
		return ENGINE_OK;
	engine_fail(reader->status, ENGINE_UNSUPPORTED,
				"file is one of %" PRId64 " parts of a split GGUF model",
				count);
	engine_hint(reader->status, "Merge the parts into one file first, for "
				"example with llama-gguf-split --merge.");
	return ENGINE_UNSUPPORTED;
}

static EngineCode
read_dimensions(HeaderReader *reader, GgufTensor *tensor)
{
	EngineStatus *status = reader->status;
	uint64_t	start = reader->window.position;
	uint32_t	n_dims;

	ENGINE_TRY(gguf_window_u32(&reader->window, "a number of dimensions",
							   &n_dims, status));
	if (n_dims < 1 || n_dims > 4)
		return engine_fail(status, ENGINE_CORRUPT,
						   "GGUF tensor \"%s\" has %" PRIu32
						   " dimensions at byte %" PRIu64 ", not 1 to 4",
						   tensor->name, n_dims, start);
	tensor->n_dims = (int) n_dims;
	for (uint32_t i = 0; i < 4; i++)
	{
		uint64_t	dimension = 1;

		start = reader->window.position;
		if (i < n_dims)
			ENGINE_TRY(gguf_window_u64(&reader->window, "a dimension",
									   &dimension, status));
		if (dimension < 1 || dimension > MAX_DIMENSION)
			return engine_fail(status, ENGINE_CORRUPT,
							   "dimension %" PRIu32 " of GGUF tensor \"%s\" "
							   "at byte %" PRIu64 " is %" PRIu64,
							   i, tensor->name, start, dimension);
		tensor->dims[i] = (int64_t) dimension;
	}
	return ENGINE_OK;
}

static EngineCode
read_tensor_type(HeaderReader *reader, GgufTensor *tensor)
{
	EngineStatus *status = reader->status;
	uint64_t	start = reader->window.position;
	const TensorTypeInfo *info;
	uint32_t	type;

	ENGINE_TRY(gguf_window_u32(&reader->window, "a tensor type", &type,
							   status));
	info = type < TYPE_LIMIT ? tensor_type(type) : NULL;
	if (info == NULL || info->name == NULL)
		return engine_fail(status, ENGINE_CORRUPT,
						   "GGUF tensor \"%s\" has unknown type %" PRIu32
						   " at byte %" PRIu64, tensor->name, type, start);
	if (info->block_values == 0)
	{
		engine_fail(status, ENGINE_UNSUPPORTED,
					"GGUF tensor \"%s\" has type %s, which is not supported",
					tensor->name, info->name);
		engine_hint(status, "Use a file with another quantization, such as "
					"Q4_K_M, Q8_0 or F16.");
		return ENGINE_UNSUPPORTED;
	}
	if (tensor->dims[0] % info->block_values != 0)
		return engine_fail(status, ENGINE_CORRUPT,
						   "rows of GGUF tensor \"%s\" have %" PRId64
						   " values, not a multiple of %d as type %s needs",
						   tensor->name, tensor->dims[0], info->block_values,
						   info->name);
	tensor->type = (TensorType) type;
	return ENGINE_OK;
}

/* Bytes that shape and type need, with every step checked. */
static EngineCode
tensor_size(HeaderReader *reader, GgufTensor *tensor)
{
	uint64_t	elements = (uint64_t) tensor->dims[0];
	uint64_t	bytes = tensor_row_bytes(tensor->type, elements);
	bool		fits = bytes > 0;

	for (int i = 1; i < 4; i++)
	{
		uint64_t	dimension = (uint64_t) tensor->dims[i];

		fits = fits && checked_mul(elements, dimension, &elements) &&
			checked_mul(bytes, dimension, &bytes);
	}
	if (!fits || elements > INT64_MAX || bytes > reader->file->size)
		return engine_fail(reader->status, ENGINE_CORRUPT,
						   "GGUF tensor \"%s\" of %" PRId64 " x %" PRId64
						   " x %" PRId64 " x %" PRId64
						   " is larger than the file", tensor->name,
						   tensor->dims[0], tensor->dims[1], tensor->dims[2],
						   tensor->dims[3]);
	tensor->bytes = bytes;
	return ENGINE_OK;
}

/*
 * Read one tensor's description.  next is where its data has to begin, from
 * the start of the data section, and is moved past it.
 */
static EngineCode
read_tensor(HeaderReader *reader, GgufTensor *tensor, uint64_t *next)
{
	EngineStatus *status = reader->status;
	uint64_t	start;
	uint64_t	end;

	ENGINE_TRY(read_name(reader, "tensor", MAX_TENSOR_NAME, &tensor->name));
	ENGINE_TRY(read_dimensions(reader, tensor));
	ENGINE_TRY(read_tensor_type(reader, tensor));
	ENGINE_TRY(tensor_size(reader, tensor));

	start = reader->window.position;
	ENGINE_TRY(gguf_window_u64(&reader->window, "an offset", &tensor->offset,
							   status));
	if (tensor->offset != *next)
	{
		engine_fail(status, ENGINE_CORRUPT,
					"data of GGUF tensor \"%s\" begins at %" PRIu64
					", not at %" PRIu64, tensor->name, tensor->offset, *next);
		engine_detail(status, "The offset at byte %" PRIu64 " must be where "
					  "the data before it ends, rounded up to the alignment "
					  "of %" PRIu64 " bytes.", start,
					  reader->file->alignment);
		return ENGINE_CORRUPT;
	}
	if (!checked_add(*next, tensor->bytes, &end) ||
		end > reader->file->size ||
		!checked_align(end, reader->file->alignment, next))
		return engine_fail(status, ENGINE_CORRUPT,
						   "data of GGUF tensor \"%s\" does not fit into "
						   "the file", tensor->name);
	return ENGINE_OK;
}

/* Offsets become those of the file; all data has to lie inside it. */
static EngineCode
place_data(HeaderReader *reader)
{
	GgufFile   *file = reader->file;

	if (!checked_align(reader->window.position, file->alignment,
					   &file->data_offset))
		return engine_fail(reader->status, ENGINE_CORRUPT,
						   "GGUF header is too long");
	for (uint32_t i = 0; i < file->n_tensors; i++)
	{
		GgufTensor *tensor = &file->tensors[i];
		uint64_t	end;

		if (!checked_add(tensor->offset, file->data_offset,
						 &tensor->offset) ||
			!checked_add(tensor->offset, tensor->bytes, &end) ||
			end > file->size)
		{
			engine_fail(reader->status, ENGINE_CORRUPT,
						"file ends inside the data of GGUF tensor \"%s\"",
						tensor->name);
			engine_detail(reader->status, "The data begins at byte %" PRIu64
						  " and has %" PRIu64 " bytes, the file has %" PRIu64
						  ".", tensor->offset, tensor->bytes, file->size);
			engine_hint(reader->status,
						"Was the file copied or downloaded completely?");
			return ENGINE_CORRUPT;
		}
	}
	return ENGINE_OK;
}

static EngineCode
read_tensors(HeaderReader *reader)
{
	GgufFile   *file = reader->file;
	uint64_t	next = 0;

	file->tensors = engine_alloc(reader->arena, file->n_tensors,
								 sizeof(GgufTensor), reader->status);
	if (file->tensors == NULL)
		return reader->status->code;
	for (uint32_t i = 0; i < file->n_tensors; i++)
	{
		if (i % POLL_INTERVAL == 0 && engine_interrupted(reader->host))
			return engine_cancelled(reader->status);
		ENGINE_TRY(read_tensor(reader, &file->tensors[i], &next));
	}
	ENGINE_TRY(index_tensors(reader));
	return place_data(reader);
}

static EngineCode
not_gguf(EngineStatus *status)
{
	engine_fail(status, ENGINE_CORRUPT, "file is not a GGUF file");
	engine_detail(status, "It does not begin with the four bytes \"GGUF\".");
	return ENGINE_CORRUPT;
}

static EngineCode
check_version(HeaderReader *reader)
{
	EngineStatus *status = reader->status;
	uint32_t	version = reader->file->version;

	if (version == 2 || version == 3)
		return ENGINE_OK;
	if (version != 0 && (version & 0xFFFF) == 0)
	{
		engine_fail(status, ENGINE_UNSUPPORTED, "GGUF file is big-endian");
		engine_hint(status, "Convert the file to little-endian.");
	}
	else
	{
		engine_fail(status, version > 3 ? ENGINE_UNSUPPORTED :
					version == 1 ? ENGINE_UNSUPPORTED : ENGINE_CORRUPT,
					"GGUF version %" PRIu32 " is not supported", version);
		engine_detail(status, "Versions 2 and 3 are.");
		if (version == 1)
			engine_hint(status, "Files of version 1 were made for a few "
						"weeks in 2023; use a newer conversion.");
	}
	return status->code;
}

/* A count of the header: within its cap and the bytes left? */
static EngineCode
read_count(HeaderReader *reader, const char *what, uint64_t cap,
		   uint64_t least, uint32_t *count)
{
	EngineStatus *status = reader->status;
	uint64_t	start = reader->window.position;
	uint64_t	left;
	uint64_t	value;

	ENGINE_TRY(gguf_window_u64(&reader->window, "the header", &value,
							   status));
	left = reader->window.end - reader->window.position;
	if (value <= cap && value <= left / least)
	{
		*count = (uint32_t) value;
		return ENGINE_OK;
	}
	if (value > left / least)
	{
		engine_fail(status, ENGINE_CORRUPT,
					"GGUF header at byte %" PRIu64 " announces %" PRIu64
					" %s, more than the file has", start, value, what);
		engine_detail(status, "The file has %" PRIu64 " bytes.",
					  reader->file->size);
		return ENGINE_CORRUPT;
	}
	return engine_fail(status, ENGINE_LIMIT,
					   "GGUF file has %" PRIu64 " %s, more than %" PRIu64,
					   value, what, cap);
}

static EngineCode
read_start(HeaderReader *reader)
{
	EngineStatus *status = reader->status;
	const uint8_t *magic;

	if (reader->file->size < 4)
		return not_gguf(status);
	ENGINE_TRY(gguf_window_take(&reader->window, 4, "the header", &magic,
								status));
	if (memcmp(magic, "GGUF", 4) != 0)
		return not_gguf(status);
	ENGINE_TRY(gguf_window_u32(&reader->window, "the header",
							   &reader->file->version, status));
	ENGINE_TRY(check_version(reader));
	ENGINE_TRY(read_count(reader, "tensors", MAX_TENSORS, MIN_TENSOR_BYTES,
						  &reader->file->n_tensors));
	return read_count(reader, "keys", MAX_KEYS, MIN_KEY_BYTES,
					  &reader->file->n_keys);
}

EngineCode
gguf_read(ByteSource *source, EngineArena *arena, const EngineHost *host,
		  GgufFile *file, EngineStatus *status)
{
	HeaderReader reader;

	memset(file, 0, sizeof(*file));
	file->size = source->size;
	if (source->size > MAX_FILE_BYTES)
		return engine_fail(status, ENGINE_LIMIT,
						   "file of %" PRIu64 " bytes is larger than 1 TB",
						   source->size);
	reader.file = file;
	reader.arena = arena;
	reader.host = host;
	reader.status = status;
	ENGINE_TRY(gguf_window_open(&reader.window, source, 0, source->size,
								arena, status));
	ENGINE_TRY(read_start(&reader));
	ENGINE_TRY(read_keys(&reader));
	ENGINE_TRY(read_alignment(&reader));
	ENGINE_TRY(check_split(&reader));
	return read_tensors(&reader);
}
