/*-------------------------------------------------------------------------
 *
 * gguf.h
 *	  Bounded reader of GGUF files (versions 2 and 3, little endian).
 *
 * gguf_read() walks the header of an untrusted file once, checks everything
 * that can be checked without knowing the architecture, and leaves a plain
 * description: keys, tensors, where arrays and data lie.  Arrays are not
 * copied; they are read from the source when somebody walks them, so a header
 * costs memory by the number of keys and tensors, not by its bytes.
 *
 * Caps (security.md sections 0 and 1): see gguf.c.
 *
 * Format: https://github.com/ggml-org/ggml, docs/gguf.md.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_GGUF_H
#define ENGINE_GGUF_H

#include "base/arena.h"
#include "base/source.h"
#include "tensor/types.h"

typedef enum GgufValueType
{
	GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32,
	GGUF_BOOL, GGUF_STRING, GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64
} GgufValueType;

typedef struct GgufKey
{
	char	   *name;			/* printable ASCII, unique in the file */
	GgufValueType type;
	GgufValueType element;		/* of an array, never GGUF_ARRAY */
	uint64_t	count;			/* elements of an array, else 1 */
	uint64_t	offset;			/* file offset of the (first) value */
	uint64_t	end;			/* file offset after the value */
	uint64_t	bits;			/* scalars: the value's bits, zero-extended */
	const char *string;			/* strings up to 1 MiB, else NULL */
	uint64_t	length;			/* bytes of a string */
} GgufKey;

typedef struct GgufTensor
{
	char	   *name;			/* printable ASCII, unique, 1..63 bytes */
	TensorType	type;			/* has an entry in the type table */
	int			n_dims;			/* 1..4 */
	int64_t		dims[4];		/* dims[0] is the row length; unused are 1 */
	uint64_t	offset;			/* from the start of the file */
	uint64_t	bytes;			/* exactly what type and dims need */
} GgufTensor;

typedef struct GgufFile
{
	uint32_t	version;
	uint64_t	size;			/* of the file */
	uint64_t	alignment;
	uint64_t	data_offset;	/* start of the tensor data section */
	uint32_t	n_keys;
	GgufKey    *keys;			/* file order */
	uint32_t	n_tensors;
	GgufTensor *tensors;		/* file order = ascending offset */
	uint32_t   *key_index;		/* sorted by name, private to the reader */
	uint32_t   *tensor_index;
} GgufFile;

/*
 * Read and check the header.  Everything lives in arena.  A tensor type that
 * we refuse (codebook types, removed types) is an error here that names the
 * tensor and the type.
 */
extern EngineCode gguf_read(ByteSource *source, EngineArena *arena,
							const EngineHost *host, GgufFile *file,
							EngineStatus *status);

/* NULL when absent. */
extern const GgufKey *gguf_find_key(const GgufFile *file, const char *name);
extern const GgufTensor *gguf_find_tensor(const GgufFile *file,
										  const char *name);

/*
 * Typed scalars.  An absent key leaves *value as it is (the caller's default)
 * and is ENGINE_OK; any integer type is accepted for an integer within
 * min..max, f32 and f64 for a float, which must be finite; anything else is
 * ENGINE_CORRUPT and names the key.  A string too long to be kept (see
 * GgufKey) is ENGINE_LIMIT.
 */
extern EngineCode gguf_get_int(const GgufFile *file, const char *name,
							   int64_t min, int64_t max, int64_t *value,
							   EngineStatus *status);
extern EngineCode gguf_get_float(const GgufFile *file, const char *name,
								 double *value, EngineStatus *status);
extern EngineCode gguf_get_bool(const GgufFile *file, const char *name,
								bool *value, EngineStatus *status);
extern EngineCode gguf_get_string(const GgufFile *file, const char *name,
								  const char **value, size_t *length,
								  EngineStatus *status);

/*
 * The same check for the bits of one integer of key, scalar or element.
 */
extern EngineCode gguf_integer(const GgufKey *key, GgufValueType type,
							   uint64_t bits, int64_t min, int64_t max,
							   int64_t *value, EngineStatus *status);
extern bool gguf_is_integer(GgufValueType type);

/*
 * A buffered view of the bytes [position, end) of a source; see gguf_window.h
 * for what is done with it.
 */
typedef struct GgufWindow
{
	ByteSource *source;
	uint64_t	position;		/* file offset of the next byte */
	uint64_t	end;			/* bytes from here on do not exist */
	uint8_t    *bytes;			/* GGUF_WINDOW bytes */
	uint64_t	start;			/* file offset of bytes[0] */
	size_t		used;			/* bytes that were read */
} GgufWindow;

/* Strings of arrays are read in one piece, so none can be longer. */
#define GGUF_WINDOW 65536

/*
 * Walk an array.  gguf_cursor_open checks the element type; the walk never
 * leaves the array, and asking for more elements than there are is an error.
 * Walkers of long arrays poll the host themselves.
 */
typedef struct GgufCursor
{
	GgufWindow	window;
	const GgufKey *key;
	uint64_t	left;			/* elements not yet read */
} GgufCursor;

extern EngineCode gguf_cursor_open(ByteSource *source, const GgufKey *key,
								   GgufValueType element, EngineArena *arena,
								   GgufCursor *cursor, EngineStatus *status);

/*
 * The next string (valid until the next call, not NUL-terminated); at most
 * max_length bytes, which is at most GGUF_WINDOW.
 */
extern EngineCode gguf_next_string(GgufCursor *cursor, size_t max_length,
								   const char **text, size_t *length,
								   EngineStatus *status);

/* The bits of the next scalar element, zero-extended. */
extern EngineCode gguf_next_scalar(GgufCursor *cursor, uint64_t *bits,
								   EngineStatus *status);

/* "u32", "array", ... for error texts; also for types that do not exist. */
extern const char *gguf_type_name(uint32_t type);

#endif							/* ENGINE_GGUF_H */
