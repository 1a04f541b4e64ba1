/*-------------------------------------------------------------------------
 *
 * packed.h
 *	  Matrix products with quantised weights, one pair of functions for each
 *	  kernel set.  KernelSet (kernels.h) says what they do.
 *
 * The weights of a PackedMatrix given to packed_matmul_*() are of a quantised
 * type; F32, F16 and BF16 have kernels of their own.
 *
 * Contract (DESIGN.md, "Numerics"), per output: acc = +0; for each group of
 * 16 or 32 weights in ascending order
 *
 *		acc = fma(s * d_a, (float) idot, acc)
 *		acc = fma(t, d_a * (float) sum_q, acc)		types with a minimum
 *
 * idot = sum of u * q and sum_q = sum of q are exact integers of that group.
 * They fit: |u| <= 128, |q| <= 32639, 32 terms.
 *
 * The functions of a set must only be called on a processor that has it:
 * avx2: AVX2, FMA, F16C; avx512: AVX512 F, BW, VL, DQ, VNNI; reference: FMA;
 * soft: nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_KERNELS_PACKED_H
#define ENGINE_KERNELS_PACKED_H

#include "kernels/kernels.h"

#define PACKED_SET(set) \
	extern void packed_matmul_##set(const PackedMatrix *w, \
									int64_t panel_begin, int64_t panel_end, \
									const Activations *a, float *out, \
									size_t out_stride); \
	extern void packed_quantise_##set(const float *x, int64_t k, int bits, \
									  int8_t *hi, int8_t *lo, float *d, \
									  int32_t *sums);

PACKED_SET(reference)
PACKED_SET(soft)
#if defined(__x86_64__)
PACKED_SET(avx2)
PACKED_SET(avx512)
#endif

/* |q| of the largest activation of 32, for 16 and 8 bits */
#define ACTIVATION_RANGE_16 32639.0f
#define ACTIVATION_RANGE_8 127.0f

/* Smaller maxima count as zero: their reciprocal would not be finite. */
#define ACTIVATION_TINY 0x1p-100f

/*
 * x + this - this rounds |x| < 2^22 to an integer, ties to even; the integer
 * is the difference of the bits of x + this and of this.
 */
#define ROUNDING_SHIFT 0x1.8p23f
#define ROUNDING_SHIFT_BITS 0x4b400000

#endif							/* ENGINE_KERNELS_PACKED_H */
