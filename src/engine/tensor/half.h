/*-------------------------------------------------------------------------
 *
 * half.h
 *	  16-bit floating point as weights use it: to f32, exactly.
 *
 * Integer and exact float operations only, so that every processor gives the
 * same bits; quiet NaNs keep their payload.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TENSOR_HALF_H
#define ENGINE_TENSOR_HALF_H

#include <stdint.h>
#include <string.h>

/* IEEE binary16 */
static inline float
half_to_float(uint16_t half)
{
	uint32_t	sign = (uint32_t) (half & 0x8000) << 16;
	uint32_t	rest = (uint32_t) (half & 0x7fff) << 13;
	uint32_t	bits;
	float		value;

	if (rest >= 0x0f800000u)	/* infinity, NaN: the largest exponent */
	{
		bits = rest | 0x7f800000u;
		if (rest > 0x0f800000u)
			bits |= 0x00400000u;
	}
	else if (rest < 0x00800000u)	/* zero, subnormal: a multiple of 2^-24 */
	{
		value = (float) (half & 0x7fff) * 0x1p-24f;
		memcpy(&bits, &value, sizeof(bits));
	}
	else
		bits = rest + ((uint32_t) (127 - 15) << 23);

	bits |= sign;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* bfloat16: the upper half of an f32 */
static inline float
bfloat_to_float(uint16_t bfloat)
{
	uint32_t	bits = (uint32_t) bfloat << 16;
	float		value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

#endif							/* ENGINE_TENSOR_HALF_H */
