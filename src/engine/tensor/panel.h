/*-------------------------------------------------------------------------
 *
 * panel.h
 *	  The inside of panels: what pack.c writes and the kernels read.
 *
 * A panel of a quantised type is a run of panel blocks: 16 rows x 32 weights,
 * or 16 rows x 256 for the types whose file blocks have 256.  A panel block is
 *
 *		codes of sub-block 0, 1, ..		(a sub-block is 16 rows x 32 weights)
 *		f16 d[16]						unless MXFP4
 *		f16 m[16]						types with a minimum
 *		integers of sub-block 0, 1, ..	u8[16], or two such arrays
 *
 * The integers are the scales of 32 weights (MXFP4: exponents), or the scales
 * and then the minima of 32 weights, or the scale bytes of the first and of
 * the second 16 weights.
 *
 * The codes of a sub-block are planes, in each of which the bytes of one row
 * that belong together are adjacent: they are one 32-bit lane.  Let c(g) be
 * the four codes 4g .. 4g+3 of row r, one in each byte.  Byte r*4 + i of
 *
 *		8-bit plane, piece g of 8		is byte i of c(g)
 *		4-bit plane, piece j of 4		c(j) low nibble, c(j+4) high nibble
 *		2-bit plane, piece p of 2		c(4p+s) in bits 2s, 2s+1
 *		1-bit plane, the only piece		c(g) in bit g
 *
 * A piece is 64 bytes.  The base plane (low bits of the codes) comes first,
 * then the extra plane (high bits) if the type has one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TENSOR_PANEL_H
#define ENGINE_TENSOR_PANEL_H

#include "tensor/blocks.h"
#include "tensor/pack.h"

/*
 * X(NAME, lower, base bits, extra bits, sub-blocks of a panel block,
 *	 ScaleForm, code book or NULL, zero point)
 *
 * u is the code minus the zero point, or the book's value; u plus the zero
 * point is an unsigned byte, which is what the integer dot products of
 * processors want on one side.
 */
#define PANEL_TYPES(X) \
	X(Q4_0, q4_0, 4, 0, 1, SCALE_D, NULL, 8) \
	X(Q4_1, q4_1, 4, 0, 1, SCALE_D_M, NULL, 0) \
	X(Q5_0, q5_0, 4, 1, 1, SCALE_D, NULL, 16) \
	X(Q5_1, q5_1, 4, 1, 1, SCALE_D_M, NULL, 0) \
	X(Q8_0, q8_0, 8, 0, 1, SCALE_D, NULL, 128) \
	X(Q2_K, q2_k, 2, 0, 8, SCALE_MINIMUM_PER_16, NULL, 0) \
	X(Q3_K, q3_k, 2, 1, 8, SCALE_PER_16, NULL, 4) \
	X(Q4_K, q4_k, 4, 0, 8, SCALE_MINIMUM_PER_32, NULL, 0) \
	X(Q5_K, q5_k, 4, 1, 8, SCALE_MINIMUM_PER_32, NULL, 0) \
	X(Q6_K, q6_k, 4, 2, 8, SCALE_PER_16, NULL, 32) \
	X(IQ4_NL, iq4_nl, 4, 0, 1, SCALE_D, iq4_values, 128) \
	X(IQ4_XS, iq4_xs, 4, 0, 8, SCALE_PER_32, iq4_values, 128) \
	X(MXFP4, mxfp4, 4, 0, 1, SCALE_EXPONENT, mxfp4_values, 12)

/* Bytes of the codes of one sub-block. */
#define PANEL_CODE_BYTES(base, extra) (64 * ((base) + (extra)))

/* Bytes of the f16 arrays of a panel block. */
#define PANEL_HALF_BYTES(form) \
	((form) == SCALE_EXPONENT ? 0 : \
	 (form) == SCALE_D_M || (form) == SCALE_MINIMUM_PER_32 || \
	 (form) == SCALE_MINIMUM_PER_16 ? 64 : 32)

/* Bytes of the integers of one sub-block. */
#define PANEL_INTEGER_BYTES(form) \
	((form) == SCALE_D || (form) == SCALE_D_M ? 0 : \
	 (form) == SCALE_EXPONENT || (form) == SCALE_PER_32 ? 16 : 32)

enum
{
#define X(NAME, lower, base, extra, subs, form, book, zero) \
	PANEL_SUBS_##NAME = (subs), \
	PANEL_BYTES_##NAME = (subs) * PANEL_CODE_BYTES(base, extra) + \
		PANEL_HALF_BYTES(form) + (subs) * PANEL_INTEGER_BYTES(form),
	PANEL_TYPES(X)
#undef X
};

#define PANEL_BLOCK_VALUES(NAME) (32 * PANEL_SUBS_##NAME)
#define PANEL_BLOCK_BYTES(NAME) ((size_t) PANEL_BYTES_##NAME)

/* Row row of sub-block sub of a panel block, as numbers. */
extern void panel_block_values(TensorType type, const uint8_t *block, int sub,
							   int row, BlockValues *values);

/* Weights that share s and t: 16 or 32; 0 for types that are not quantised. */
extern int	panel_group(TensorType type);
extern bool panel_has_minimum(TensorType type);

/* What the table of types (types.c) points to. */
#define X(NAME, lower, base, extra, subs, form, book, zero) \
	extern void dequantise_##lower(const void *blocks, float *out, int64_t n); \
	extern bool finite_##lower(const void *blocks, int64_t n); \
	extern void pack_##lower(const void *const rows[PANEL_ROWS], void *panel, \
							 int64_t k); \
	extern void unpack_##lower(const void *panel, int row, float *out, \
							   int64_t k);
PANEL_TYPES(X)
X(F32, f32, 0, 0, 0, 0, 0, 0)
X(F16, f16, 0, 0, 0, 0, 0, 0)
X(BF16, bf16, 0, 0, 0, 0, 0, 0)
#undef X

#endif							/* ENGINE_TENSOR_PANEL_H */
