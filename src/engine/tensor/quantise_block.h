/*-------------------------------------------------------------------------
 *
 * quantise_block.h
 *	  What the quantisers share: private to tensor/quantise*.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TENSOR_QUANTISE_BLOCK_H
#define ENGINE_TENSOR_QUANTISE_BLOCK_H

#include "kernels/half.h"

/* quantise_search.c: one block each */
extern void quantise_iq4_nl(const float *x, uint8_t *out);
extern void quantise_q4_k(const float *x, uint8_t *out);
extern void quantise_q5_k(const float *x, uint8_t *out);
extern void quantise_q6_k(const float *x, uint8_t *out);

static inline float
magnitude(float x)
{
	return x < 0.0f ? -x : x;
}

static inline void
put_half(uint8_t *out, float x)
{
	uint16_t	half = f32_to_f16(x);

	memcpy(out, &half, sizeof(half));
}

/* x as a block can store it */
static inline float
as_half(float x)
{
	return f16_to_f32(f32_to_f16(x));
}

#endif							/* ENGINE_TENSOR_QUANTISE_BLOCK_H */
