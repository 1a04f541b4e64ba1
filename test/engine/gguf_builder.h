/*-------------------------------------------------------------------------
 *
 * gguf_builder.h
 *	  Makes GGUF files in memory, right ones and wrong ones, for tests and
 *	  fuzzers.
 *
 * The builder itself checks nothing.  It fails only for lack of memory, and
 * then it aborts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GGUF_BUILDER_H
#define GGUF_BUILDER_H

#include "formats/gguf.h"

typedef struct Bytes
{
	uint8_t    *data;
	size_t		size;
	size_t		capacity;
} Bytes;

extern void bytes_put(Bytes *bytes, const void *data, size_t size);
extern void bytes_number(Bytes *bytes, uint64_t value, size_t size);
extern void bytes_f32(Bytes *bytes, float value);
extern void bytes_string(Bytes *bytes, const char *text);	/* with length */
extern void bytes_free(Bytes *bytes);

/* Overwrite size bytes at offset with value, little endian. */
extern void bytes_patch(Bytes *bytes, size_t offset, uint64_t value,
						size_t size);

typedef struct GgufBuilder
{
	uint32_t	version;
	uint64_t	n_keys;
	uint64_t	n_tensors;
	size_t		alignment;
	const char *const *skip;	/* names that are left out, NULL at the end */
	Bytes		keys;
	Bytes		infos;
	Bytes		data;
} GgufBuilder;

extern void builder_init(GgufBuilder *builder);
extern void builder_free(GgufBuilder *builder);

/*
 * A key whose value the caller appends to builder->keys; false when the name
 * is to be left out.
 */
extern bool builder_key(GgufBuilder *builder, const char *name,
						uint32_t type);
extern void builder_u32(GgufBuilder *builder, const char *name,
						uint32_t value);
extern void builder_f32(GgufBuilder *builder, const char *name, float value);
extern void builder_bool(GgufBuilder *builder, const char *name, int value);
extern void builder_text(GgufBuilder *builder, const char *name,
						 const char *value);
extern void builder_u32_array(GgufBuilder *builder, const char *name,
							  int count, const uint32_t *values);
extern void builder_text_array(GgufBuilder *builder, const char *name,
							   int count, const char *const *values);

/*
 * A tensor with dims[0] = k and dims[1] = n (0: one dimension only), filled
 * with small finite weights that depend on its name.
 */
extern void builder_tensor(GgufBuilder *builder, const char *name,
						   TensorType type, uint64_t k, uint64_t n);

/* The file; the last tensor's data is padded too. */
extern void builder_finish(const GgufBuilder *builder, Bytes *file);

/* Where the length-prefixed name ends in file; aborts if it is not there. */
extern size_t file_find(const Bytes *file, const char *name);

/*
 * Keys and tensors of a complete model of one architecture.  Widths are
 * multiples of 256 for types that need it.
 */
typedef struct ModelShape
{
	const char *architecture;
	TensorType	type;			/* of all matrices */
	TensorType	vector_type;
	int			layers;
	int			embedding;
	int			heads;
	int			kv_heads;
	int			feed_forward;
	int			vocabulary;
	int			context;
	bool		output;			/* an output matrix of its own */
} ModelShape;

extern const ModelShape small_llama;

extern void builder_model(GgufBuilder *builder, const ModelShape *shape);

#endif							/* GGUF_BUILDER_H */
