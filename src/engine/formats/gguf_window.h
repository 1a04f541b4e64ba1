/*-------------------------------------------------------------------------
 *
 * gguf_window.h
 *	  The one bounded reader under the GGUF files: private to formats/.
 *
 * Whatever is read from a header passes through gguf_window_take() or
 * gguf_window_skip(), which compare with the bytes left and never add to an
 * offset before that.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_GGUF_WINDOW_H
#define ENGINE_GGUF_WINDOW_H

#include "formats/gguf.h"

/* Over the bytes [position, end) of source; the buffer comes from arena. */
extern EngineCode gguf_window_open(GgufWindow *window, ByteSource *source,
								   uint64_t position, uint64_t end,
								   EngineArena *arena, EngineStatus *status);

/*
 * The next length (<= GGUF_WINDOW) bytes, valid until the next call.  what
 * names them in the error when fewer are left.
 */
extern EngineCode gguf_window_take(GgufWindow *window, size_t length,
								   const char *what, const uint8_t **bytes,
								   EngineStatus *status);

extern EngineCode gguf_window_skip(GgufWindow *window, uint64_t length,
								   const char *what, EngineStatus *status);

extern EngineCode gguf_window_u32(GgufWindow *window, const char *what,
								  uint32_t *value, EngineStatus *status);
extern EngineCode gguf_window_u64(GgufWindow *window, const char *what,
								  uint64_t *value, EngineStatus *status);

/* Bytes of a scalar, 0 for strings, arrays and types that do not exist. */
extern size_t gguf_scalar_bytes(uint32_t type);

/* Little-endian, zero-extended; 1 to 8 bytes. */
extern uint64_t gguf_load(const uint8_t *bytes, size_t length);

#endif							/* ENGINE_GGUF_WINDOW_H */
