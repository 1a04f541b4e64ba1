/*-------------------------------------------------------------------------
 *
 * gguf_window.c
 *	  The one bounded reader under the GGUF files.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/gguf_window.h"

#include <inttypes.h>

EngineCode
gguf_window_open(GgufWindow *window, ByteSource *source, uint64_t position,
				 uint64_t end, EngineArena *arena, EngineStatus *status)
{
	window->source = source;
	window->position = position;
	window->end = end;
	window->start = position;
	window->used = 0;
	window->bytes = engine_alloc(arena, GGUF_WINDOW, 1, status);
	return window->bytes == NULL ? status->code : ENGINE_OK;
}

static EngineCode
window_ended(const GgufWindow *window, uint64_t length, const char *what,
			 EngineStatus *status)
{
	engine_fail(status, ENGINE_CORRUPT,
				"GGUF data ends inside %s at byte %" PRIu64, what,
				window->position);
	engine_detail(status, "%" PRIu64 " bytes are needed, %" PRIu64
				  " are left.", length, window->end - window->position);
	return ENGINE_CORRUPT;
}

/* Make the window begin at position. */
static EngineCode
window_fill(GgufWindow *window, EngineStatus *status)
{
	uint64_t	left = window->end - window->position;
	size_t		length = left < GGUF_WINDOW ? (size_t) left : GGUF_WINDOW;

	window->used = 0;
	ENGINE_TRY(window->source->read(window->source, window->position,
									window->bytes, length, status));
	window->start = window->position;
	window->used = length;
	return ENGINE_OK;
}

EngineCode
gguf_window_take(GgufWindow *window, size_t length, const char *what,
				 const uint8_t **bytes, EngineStatus *status)
{
	uint64_t	skipped;

	if (length > window->end - window->position)
		return window_ended(window, length, what, status);
	skipped = window->position - window->start;
	if (skipped > window->used || length > window->used - skipped)
	{
		ENGINE_TRY(window_fill(window, status));
		skipped = 0;
	}
	*bytes = window->bytes + skipped;
	window->position += length;
	return ENGINE_OK;
}

EngineCode
gguf_window_skip(GgufWindow *window, uint64_t length, const char *what,
				 EngineStatus *status)
{
	if (length > window->end - window->position)
		return window_ended(window, length, what, status);
	window->position += length;
	return ENGINE_OK;
}

uint64_t
gguf_load(const uint8_t *bytes, size_t length)
{
	uint64_t	value = 0;

	for (size_t i = 0; i < length; i++)
		value |= (uint64_t) bytes[i] << (8 * i);
	return value;
}

EngineCode
gguf_window_u32(GgufWindow *window, const char *what, uint32_t *value,
				EngineStatus *status)
{
	const uint8_t *bytes;

	ENGINE_TRY(gguf_window_take(window, 4, what, &bytes, status));
	*value = (uint32_t) gguf_load(bytes, 4);
	return ENGINE_OK;
}

EngineCode
gguf_window_u64(GgufWindow *window, const char *what, uint64_t *value,
				EngineStatus *status)
{
	const uint8_t *bytes;

	ENGINE_TRY(gguf_window_take(window, 8, what, &bytes, status));
	*value = gguf_load(bytes, 8);
	return ENGINE_OK;
}

size_t
gguf_scalar_bytes(uint32_t type)
{
	static const uint8_t bytes[] = {
		[GGUF_U8] = 1, [GGUF_I8] = 1, [GGUF_U16] = 2, [GGUF_I16] = 2,
		[GGUF_U32] = 4, [GGUF_I32] = 4, [GGUF_F32] = 4, [GGUF_BOOL] = 1,
		[GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8
	};

	return type < sizeof(bytes) ? bytes[type] : 0;
}

const char *
gguf_type_name(uint32_t type)
{
	static const char *const names[] = {
		"u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string",
		"array", "u64", "i64", "f64"
	};

	if (type >= sizeof(names) / sizeof(names[0]))
		return "unknown";
	return names[type];
}
