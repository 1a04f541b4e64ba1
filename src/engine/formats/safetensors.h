/*-------------------------------------------------------------------------
 *
 * safetensors.h
 *	  Bounded reader of safetensors files, one or sharded.
 *
 * The header of an untrusted file is checked as strictly as the reference
 * reader does, and more: offsets tile the data section without gap or
 * overlap, sizes follow from shapes, duplicate names and unknown types are
 * refused.
 *
 * Format: https://github.com/huggingface/safetensors, README.md.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_SAFETENSORS_H
#define ENGINE_SAFETENSORS_H

#include "formats/folder.h"

typedef enum SafeType
{
	SAFE_BOOL, SAFE_U8, SAFE_I8, SAFE_F8_E5M2, SAFE_F8_E4M3, SAFE_I16,
	SAFE_U16, SAFE_F16, SAFE_BF16, SAFE_I32, SAFE_U32, SAFE_F32, SAFE_F64,
	SAFE_I64, SAFE_U64
} SafeType;

#define SAFE_MAX_DIMS 8

typedef struct SafeTensor
{
	const char *name;			/* as in the file: UTF-8, 1..256 bytes */
	SafeType	type;
	int			n_dims;			/* 0: a scalar */
	int64_t		dims[SAFE_MAX_DIMS];	/* rows first, as in PyTorch */
	int64_t		n;				/* values: the product of dims */
	ByteSource *source;			/* the file that holds it */
	uint64_t	offset;			/* in that file */
	uint64_t	bytes;
} SafeTensor;

typedef struct SafeTensors
{
	uint32_t	n;
	SafeTensor *tensors;		/* sorted by name */
} SafeTensors;

/* One file. */
extern EngineCode safetensors_read(ByteSource *source, EngineArena *arena,
								   const EngineHost *host,
								   SafeTensors *tensors,
								   EngineStatus *status);

/*
 * All tensors of a folder: of "<prefix>model.safetensors", or of the shards
 * that "<prefix>model.safetensors.index.json" names.  prefix is "" or
 * "2_Dense/".  A tensor of the index that its shard lacks, or that two shards
 * have, is ENGINE_CORRUPT.
 */
extern EngineCode safetensors_open(ModelFolder *folder, const char *prefix,
								   EngineArena *arena, const EngineHost *host,
								   SafeTensors *tensors,
								   EngineStatus *status);

/* NULL when absent. */
extern const SafeTensor *safetensors_find(const SafeTensors *tensors,
										  const char *name);

/*
 * Values [first, first + count) as f32 (F32, F16, BF16 exactly; F64 rounded);
 * other types are ENGINE_UNSUPPORTED.  scratch: room for 8 * count bytes.
 */
extern EngineCode safetensors_values(const SafeTensor *tensor, int64_t first,
									 int64_t count, float *out,
									 void *scratch, EngineStatus *status);

extern const char *safetensors_type_name(SafeType type);

#endif							/* ENGINE_SAFETENSORS_H */
