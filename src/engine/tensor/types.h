/*-------------------------------------------------------------------------
 *
 * types.h
 *	  The weight types of GGUF: one table entry each.
 *
 * Block layouts and dequantisation are those of ggml (ggml-common.h,
 * ggml-quants.c); dequantisation is exact f32 as DESIGN.md's numerics contract
 * says: multiply, then add.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TENSOR_TYPES_H
#define ENGINE_TENSOR_TYPES_H

#include "base/status.h"

/* Numbers are those of GGUF. */
typedef enum TensorType
{
	TYPE_F32 = 0,
	TYPE_F16 = 1,
	TYPE_Q4_0 = 2,
	TYPE_Q4_1 = 3,
	TYPE_Q5_0 = 6,
	TYPE_Q5_1 = 7,
	TYPE_Q8_0 = 8,
	TYPE_Q2_K = 10,
	TYPE_Q3_K = 11,
	TYPE_Q4_K = 12,
	TYPE_Q5_K = 13,
	TYPE_Q6_K = 14,
	TYPE_IQ4_NL = 20,
	TYPE_IQ4_XS = 23,
	TYPE_BF16 = 30,
	TYPE_MXFP4 = 39,
	TYPE_LIMIT = 64				/* ids of the table are below this */
} TensorType;

typedef struct TensorTypeInfo
{
	const char *name;			/* "Q4_1"; NULL: the id means nothing to us */
	int			block_values;	/* K must be a multiple; 0: known, refused */
	int			block_bytes;

	/*
	 * Dequantise n values (a multiple of block_values) to f32, exactly.
	 */
	void		(*dequantise) (const void *blocks, float *out, int64_t n);

	/*
	 * False when a scale of these blocks (n values) is not finite, or, for
	 * unquantised types, when a value is not; E8M0 255 counts as such.
	 */
	bool		(*finite) (const void *blocks, int64_t n);

	/*
	 * Panel packing, see pack.h; NULL for types that have none.
	 */
	void		(*pack) (const void *const rows[16], void *panel, int64_t k);
	void		(*unpack_row) (const void *panel, int row, float *out,
							   int64_t k);
	size_t		panel_block_bytes;	/* bytes of 16 rows x panel_block_values */
	int			panel_block_values; /* 32 or 256; 1 for F32/F16/BF16 */
} TensorTypeInfo;

/* NULL for ids outside the table or without a name. */
extern const TensorTypeInfo *tensor_type(uint32_t id);

/* By name, any case ("q4_1"); -1 when unknown. */
extern int	tensor_type_by_name(const char *name);

/*
 * Bytes of one row of n values, 0 if n is not a multiple of the block or the
 * product does not fit.
 */
extern uint64_t tensor_row_bytes(TensorType type, uint64_t n);

#endif							/* ENGINE_TENSOR_TYPES_H */
