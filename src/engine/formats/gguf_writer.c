/*-------------------------------------------------------------------------
 *
 * gguf_writer.c
 *	  Makes the header of a GGUF file in memory.
 *
 * The bytes grow by doubling in an arena, so pieces that became too small are
 * lost until the arena is freed; that is at most as much again.  Counts stand
 * before what they count and are patched when it is known.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/gguf_writer.h"

#include <string.h>

#define FIRST_CAPACITY ((size_t) 64 * 1024)
#define ALIGNMENT 32
#define MAX_TENSOR_NAME 63

/* Offsets of the two counts of the header */
#define AT_TENSORS 8
#define AT_KEYS 16

static void
fail(GgufWriter *writer, EngineCode code, const char *problem,
	 const char *name)
{
	char		buf[96];

	if (writer->code == ENGINE_OK)
		writer->code = engine_fail(writer->status, code, "%s \"%s\"",
								   problem,
								   engine_printable(name, strlen(name), buf,
													sizeof(buf)));
}

/* Room for n more bytes; false when something failed, now or before. */
static bool
make_room(GgufWriter *writer, size_t n)
{
	size_t		capacity = writer->capacity;
	uint8_t    *bytes;

	if (writer->code != ENGINE_OK)
		return false;
	if (n <= capacity - writer->n)
		return true;
	if (n > SIZE_MAX / 4 - writer->n)
	{
		fail(writer, ENGINE_LIMIT, "too many bytes for", "GGUF header");
		return false;
	}
	if (capacity < FIRST_CAPACITY)
		capacity = FIRST_CAPACITY;
	while (capacity - writer->n < n)
		capacity *= 2;
	bytes = engine_alloc_raw(writer->arena, capacity, 1, writer->status);
	if (bytes == NULL)
	{
		writer->code = writer->status->code;
		return false;
	}
	if (writer->n > 0)
		memcpy(bytes, writer->bytes, writer->n);
	writer->bytes = bytes;
	writer->capacity = capacity;
	return true;
}

static void
put_bytes(GgufWriter *writer, const void *bytes, size_t n)
{
	if (make_room(writer, n) && n > 0)
	{
		memcpy(writer->bytes + writer->n, bytes, n);
		writer->n += n;
	}
}

static void
store(uint8_t *bytes, uint64_t value, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t) (value >> (8 * i));
}

static uint64_t
load(const uint8_t *bytes, size_t n)
{
	uint64_t	value = 0;

	for (size_t i = 0; i < n; i++)
		value |= (uint64_t) bytes[i] << (8 * i);
	return value;
}

static void
put_number(GgufWriter *writer, uint64_t value, size_t n)
{
	uint8_t		bytes[8];

	store(bytes, value, 8);
	put_bytes(writer, bytes, n);
}

static void
put_text(GgufWriter *writer, const char *text, size_t length)
{
	put_number(writer, length, 8);
	put_bytes(writer, text, length);
}

static uint32_t
float_bits(float value)
{
	uint32_t	bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

void
gguf_writer_init(GgufWriter *writer, EngineArena *arena, EngineStatus *status)
{
	memset(writer, 0, sizeof(*writer));
	writer->arena = arena;
	writer->status = status;
	put_bytes(writer, "GGUF", 4);
	put_number(writer, 3, 4);
	put_number(writer, 0, 8);
	put_number(writer, 0, 8);
}

/* Name and type of a key */
static void
begin_key(GgufWriter *writer, const char *key, GgufValueType type)
{
	if (writer->array_count != 0)
		fail(writer, ENGINE_INVALID, "array has no end before GGUF key", key);
	if (writer->n_tensors != 0)
		fail(writer, ENGINE_INVALID, "tensors stand before GGUF key", key);
	put_text(writer, key, strlen(key));
	put_number(writer, type, 4);
	writer->n_keys++;
}

void
gguf_put_u32(GgufWriter *writer, const char *key, uint32_t value)
{
	begin_key(writer, key, GGUF_U32);
	put_number(writer, value, 4);
}

void
gguf_put_f32(GgufWriter *writer, const char *key, float value)
{
	begin_key(writer, key, GGUF_F32);
	put_number(writer, float_bits(value), 4);
}

void
gguf_put_bool(GgufWriter *writer, const char *key, bool value)
{
	begin_key(writer, key, GGUF_BOOL);
	put_number(writer, value ? 1 : 0, 1);
}

void
gguf_put_string(GgufWriter *writer, const char *key, const char *text,
				size_t length)
{
	begin_key(writer, key, GGUF_STRING);
	put_text(writer, text, length);
}

void
gguf_put_text(GgufWriter *writer, const char *key, const char *text)
{
	gguf_put_string(writer, key, text, strlen(text));
}

void
gguf_begin_array(GgufWriter *writer, const char *key, GgufValueType element)
{
	begin_key(writer, key, GGUF_ARRAY);
	put_number(writer, element, 4);
	writer->array_count = writer->n;
	put_number(writer, 0, 8);
}

/* One more element: is an array of that type open?  Count it. */
static bool
count_elements(GgufWriter *writer, GgufValueType element, uint64_t n)
{
	size_t		at = writer->array_count;

	if (writer->code != ENGINE_OK)
		return false;
	if (at == 0 || load(writer->bytes + at - 4, 4) != element)
	{
		fail(writer, ENGINE_INVALID, "no GGUF array is open for an element "
			 "of type", gguf_type_name(element));
		return false;
	}
	store(writer->bytes + at, load(writer->bytes + at, 8) + n, 8);
	return true;
}

void
gguf_add_string(GgufWriter *writer, const char *text, size_t length)
{
	if (count_elements(writer, GGUF_STRING, 1))
		put_text(writer, text, length);
}

void
gguf_add_f32(GgufWriter *writer, float value)
{
	if (count_elements(writer, GGUF_F32, 1))
		put_number(writer, float_bits(value), 4);
}

void
gguf_add_i32(GgufWriter *writer, int32_t value)
{
	if (count_elements(writer, GGUF_I32, 1))
		put_number(writer, (uint32_t) value, 4);
}

void
gguf_add_bool(GgufWriter *writer, bool value)
{
	if (count_elements(writer, GGUF_BOOL, 1))
		put_number(writer, value ? 1 : 0, 1);
}

void
gguf_add_u8s(GgufWriter *writer, const uint8_t *bytes, size_t n)
{
	if (count_elements(writer, GGUF_U8, n))
		put_bytes(writer, bytes, n);
}

void
gguf_end_array(GgufWriter *writer)
{
	if (writer->array_count == 0)
		fail(writer, ENGINE_INVALID, "no GGUF array is open to be", "ended");
	writer->array_count = 0;
}

/* Bytes of the data of a tensor, padded; false: not a tensor of GGUF */
static bool
padded_bytes(TensorType type, int n_dims, const int64_t *dims,
			 uint64_t *bytes)
{
	if (n_dims < 1 || n_dims > 4 || dims[0] < 1)
		return false;
	*bytes = tensor_row_bytes(type, (uint64_t) dims[0]);
	for (int i = 1; i < n_dims; i++)
	{
		if (dims[i] < 1 || !checked_mul(*bytes, (uint64_t) dims[i], bytes))
			return false;
	}
	return *bytes > 0 && checked_align(*bytes, ALIGNMENT, bytes);
}

void
gguf_put_tensor(GgufWriter *writer, const char *name, TensorType type,
				int n_dims, const int64_t *dims)
{
	size_t		length = strlen(name);
	uint64_t	bytes;
	uint64_t	end;

	if (writer->array_count != 0)
		fail(writer, ENGINE_INVALID, "array has no end before GGUF tensor",
			 name);
	if (length < 1 || length > MAX_TENSOR_NAME ||
		!padded_bytes(type, n_dims, dims, &bytes) ||
		!checked_add(writer->data_bytes, bytes, &end))
	{
		fail(writer, ENGINE_INVALID, "name, type or shape of no GGUF tensor",
			 name);
		return;
	}
	put_text(writer, name, length);
	put_number(writer, (uint32_t) n_dims, 4);
	for (int i = 0; i < n_dims; i++)
		put_number(writer, (uint64_t) dims[i], 8);
	put_number(writer, type, 4);
	put_number(writer, writer->data_bytes, 8);
	writer->data_bytes = end;
	writer->n_tensors++;
}

EngineCode
gguf_writer_finish(GgufWriter *writer, const uint8_t **header,
				   uint64_t *data_offset)
{
	static const uint8_t zeros[ALIGNMENT];

	if (writer->array_count != 0)
		fail(writer, ENGINE_INVALID, "array has no end before", "the data");
	put_bytes(writer, zeros, (ALIGNMENT - writer->n % ALIGNMENT) % ALIGNMENT);
	if (writer->code != ENGINE_OK)
		return writer->code;
	store(writer->bytes + AT_TENSORS, writer->n_tensors, 8);
	store(writer->bytes + AT_KEYS, writer->n_keys, 8);
	*header = writer->bytes;
	*data_offset = writer->n;
	return ENGINE_OK;
}
