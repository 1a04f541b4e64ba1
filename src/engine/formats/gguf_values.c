/*-------------------------------------------------------------------------
 *
 * gguf_values.c
 *	  Looking up keys and tensors of a GGUF file, and typed values.
 *
 * Every value is asked for with its type and range; a value of another type
 * is an error that names the key, never a cast.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/gguf_window.h"

#include <inttypes.h>
#include <string.h>

const GgufKey *
gguf_find_key(const GgufFile *file, const char *name)
{
	uint32_t	low = 0;
	uint32_t	high = file->n_keys;

	while (low < high)
	{
		uint32_t	middle = low + (high - low) / 2;
		const GgufKey *key = &file->keys[file->key_index[middle]];
		int			order = strcmp(name, key->name);

		if (order == 0)
			return key;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

const GgufTensor *
gguf_find_tensor(const GgufFile *file, const char *name)
{
	uint32_t	low = 0;
	uint32_t	high = file->n_tensors;

	while (low < high)
	{
		uint32_t	middle = low + (high - low) / 2;
		const GgufTensor *tensor =
			&file->tensors[file->tensor_index[middle]];
		int			order = strcmp(name, tensor->name);

		if (order == 0)
			return tensor;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static EngineCode
wrong_type(const GgufKey *key, const char *wanted, EngineStatus *status)
{
	char		name[96];

	return engine_fail(status, ENGINE_CORRUPT,
					   "GGUF key \"%s\" has type %s, wanted %s",
					   engine_printable(key->name, strlen(key->name), name,
										sizeof(name)),
					   gguf_type_name(key->type), wanted);
}

/* The integer a scalar's bits mean; false if it does not fit or is none. */
static bool
integer_value(GgufValueType type, uint64_t bits, int64_t *value)
{
	switch (type)
	{
		case GGUF_I8:
			*value = (int8_t) bits;
			return true;
		case GGUF_I16:
			*value = (int16_t) bits;
			return true;
		case GGUF_I32:
			*value = (int32_t) bits;
			return true;
		case GGUF_U8:
		case GGUF_U16:
		case GGUF_U32:
		case GGUF_U64:
		case GGUF_I64:
			*value = (int64_t) bits;
			return type != GGUF_U64 || bits <= INT64_MAX;
		default:
			return false;
	}
}

bool
gguf_is_integer(GgufValueType type)
{
	int64_t		value;

	return integer_value(type, 0, &value);
}

EngineCode
gguf_integer(const GgufKey *key, GgufValueType type, uint64_t bits,
			 int64_t min, int64_t max, int64_t *value, EngineStatus *status)
{
	char		name[96];
	int64_t		found;
	bool		fits = integer_value(type, bits, &found);

	if (!gguf_is_integer(type))
		return wrong_type(key, "an integer", status);
	if (fits && found >= min && found <= max)
	{
		*value = found;
		return ENGINE_OK;
	}
	engine_printable(key->name, strlen(key->name), name, sizeof(name));
	if (fits)
		engine_fail(status, ENGINE_CORRUPT,
					"GGUF key \"%s\" is %" PRId64 ", which is out of range",
					name, found);
	else
		engine_fail(status, ENGINE_CORRUPT,
					"GGUF key \"%s\" is %" PRIu64 ", which is out of range",
					name, bits);
	engine_detail(status, "The value at byte %" PRIu64 " must be between %"
				  PRId64 " and %" PRId64 ".", key->offset, min, max);
	return ENGINE_CORRUPT;
}

EngineCode
gguf_get_int(const GgufFile *file, const char *name, int64_t min,
			 int64_t max, int64_t *value, EngineStatus *status)
{
	const GgufKey *key = gguf_find_key(file, name);

	if (key == NULL)
		return ENGINE_OK;
	return gguf_integer(key, key->type, key->bits, min, max, value, status);
}

EngineCode
gguf_get_float(const GgufFile *file, const char *name, double *value,
			   EngineStatus *status)
{
	const GgufKey *key = gguf_find_key(file, name);
	double		found;

	if (key == NULL)
		return ENGINE_OK;
	if (key->type == GGUF_F32)
	{
		uint32_t	bits = (uint32_t) key->bits;
		float		narrow;

		memcpy(&narrow, &bits, sizeof(narrow));
		found = narrow;
	}
	else if (key->type == GGUF_F64)
		memcpy(&found, &key->bits, sizeof(found));
	else
		return wrong_type(key, "f32 or f64", status);

	if (!(found - found == 0.0))
		return engine_fail(status, ENGINE_CORRUPT,
						   "GGUF key \"%s\" is not a finite number", name);
	*value = found;
	return ENGINE_OK;
}

EngineCode
gguf_get_bool(const GgufFile *file, const char *name, bool *value,
			  EngineStatus *status)
{
	const GgufKey *key = gguf_find_key(file, name);

	if (key == NULL)
		return ENGINE_OK;
	if (key->type != GGUF_BOOL)
		return wrong_type(key, "bool", status);
	*value = key->bits != 0;
	return ENGINE_OK;
}

EngineCode
gguf_get_string(const GgufFile *file, const char *name, const char **value,
				size_t *length, EngineStatus *status)
{
	const GgufKey *key = gguf_find_key(file, name);

	if (key == NULL)
		return ENGINE_OK;
	if (key->type != GGUF_STRING)
		return wrong_type(key, "string", status);
	if (key->string == NULL)
		return engine_fail(status, ENGINE_LIMIT,
						   "the text of GGUF key \"%s\" has %" PRIu64
						   " bytes, more than 1 MB", name, key->length);
	*value = key->string;
	*length = (size_t) key->length;
	return ENGINE_OK;
}

/*
 * Cursors over arrays
 */

EngineCode
gguf_cursor_open(ByteSource *source, const GgufKey *key,
				 GgufValueType element, EngineArena *arena,
				 GgufCursor *cursor, EngineStatus *status)
{
	char		name[96];

	if (key->type != GGUF_ARRAY)
		return wrong_type(key, "array", status);
	if (key->element != element)
		return engine_fail(status, ENGINE_CORRUPT,
						   "GGUF key \"%s\" is an array of %s, wanted %s",
						   engine_printable(key->name, strlen(key->name),
											name, sizeof(name)),
						   gguf_type_name(key->element),
						   gguf_type_name(element));
	cursor->key = key;
	cursor->left = key->count;
	return gguf_window_open(&cursor->window, source, key->offset, key->end,
							arena, status);
}

/* Count one element off, or fail when there is none. */
static EngineCode
cursor_step(GgufCursor *cursor, EngineStatus *status)
{
	char		name[96];

	if (cursor->left > 0)
	{
		cursor->left--;
		return ENGINE_OK;
	}
	return engine_fail(status, ENGINE_CORRUPT,
					   "GGUF key \"%s\" has only %" PRIu64 " elements",
					   engine_printable(cursor->key->name,
										strlen(cursor->key->name), name,
										sizeof(name)),
					   cursor->key->count);
}

EngineCode
gguf_next_string(GgufCursor *cursor, size_t max_length, const char **text,
				 size_t *length, EngineStatus *status)
{
	const uint8_t *bytes;
	char		name[96];
	uint64_t	found;

	ENGINE_TRY(cursor_step(cursor, status));
	ENGINE_TRY(gguf_window_u64(&cursor->window, "a string", &found, status));
	if (found > max_length || found > GGUF_WINDOW)
		return engine_fail(status, ENGINE_LIMIT,
						   "string %" PRIu64 " of GGUF key \"%s\" has %"
						   PRIu64 " bytes, more than %zu",
						   cursor->key->count - cursor->left - 1,
						   engine_printable(cursor->key->name,
											strlen(cursor->key->name), name,
											sizeof(name)),
						   found, max_length);
	ENGINE_TRY(gguf_window_take(&cursor->window, (size_t) found, "a string",
								&bytes, status));
	*text = (const char *) bytes;
	*length = (size_t) found;
	return ENGINE_OK;
}

EngineCode
gguf_next_scalar(GgufCursor *cursor, uint64_t *bits, EngineStatus *status)
{
	size_t		size = gguf_scalar_bytes(cursor->key->element);
	const uint8_t *bytes;

	ENGINE_TRY(cursor_step(cursor, status));
	if (size == 0)
		return engine_fail(status, ENGINE_CORRUPT,
						   "elements of an array of strings are no scalars");
	ENGINE_TRY(gguf_window_take(&cursor->window, size, "an array", &bytes,
								status));
	*bits = gguf_load(bytes, size);
	return ENGINE_OK;
}
