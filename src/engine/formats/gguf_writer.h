/*-------------------------------------------------------------------------
 *
 * gguf_writer.h
 *	  Makes the header of a GGUF file (version 3, little endian) in memory.
 *
 * Keys first, then tensors, then gguf_writer_finish(), which gives the bytes
 * up to the start of the tensor data.  The first failure stays: later calls
 * do nothing, and finish returns it, so callers need not look in between.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_GGUF_WRITER_H
#define ENGINE_GGUF_WRITER_H

#include "formats/gguf.h"

typedef struct GgufWriter
{
	EngineArena *arena;
	EngineStatus *status;		/* of the caller */
	EngineCode	code;			/* the first failure */
	uint8_t    *bytes;			/* private: they grow in the arena */
	size_t		n;
	size_t		capacity;
	size_t		array_count;	/* private: where the count stands */
	uint64_t	n_keys;
	uint64_t	n_tensors;
	uint64_t	data_bytes;		/* of all tensors so far, padded */
} GgufWriter;

extern void gguf_writer_init(GgufWriter *writer, EngineArena *arena,
							 EngineStatus *status);

extern void gguf_put_u32(GgufWriter *writer, const char *key, uint32_t value);
extern void gguf_put_f32(GgufWriter *writer, const char *key, float value);
extern void gguf_put_bool(GgufWriter *writer, const char *key, bool value);
extern void gguf_put_string(GgufWriter *writer, const char *key,
							const char *text, size_t length);
extern void gguf_put_text(GgufWriter *writer, const char *key,
						  const char *text);	/* NUL-terminated */

/* An array of elements of one type, put by the functions that follow. */
extern void gguf_begin_array(GgufWriter *writer, const char *key,
							 GgufValueType element);
extern void gguf_add_string(GgufWriter *writer, const char *text,
							size_t length);
extern void gguf_add_f32(GgufWriter *writer, float value);
extern void gguf_add_i32(GgufWriter *writer, int32_t value);
extern void gguf_add_bool(GgufWriter *writer, bool value);
extern void gguf_add_u8s(GgufWriter *writer, const uint8_t *bytes, size_t n);
extern void gguf_end_array(GgufWriter *writer);

/* dims[0] is the row length; the data follows that of the tensor before. */
extern void gguf_put_tensor(GgufWriter *writer, const char *name,
							TensorType type, int n_dims, const int64_t *dims);

/*
 * *header holds data_offset bytes, all that stands before the tensor data,
 * which begins at a multiple of 32; each tensor's data is padded to that.
 */
extern EngineCode gguf_writer_finish(GgufWriter *writer,
									 const uint8_t **header,
									 uint64_t *data_offset);

#endif							/* ENGINE_GGUF_WRITER_H */
