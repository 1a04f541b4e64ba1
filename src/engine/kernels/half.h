/*-------------------------------------------------------------------------
 *
 * half.h
 *	  f16 and bf16 to and from f32, bit by bit.
 *
 * The same results as the F16C instructions: to f16 rounds to nearest even,
 * keeps subnormals, overflows to infinity; NaN becomes a quiet NaN with the
 * upper bits of its payload.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_HALF_H
#define ENGINE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float
f16_to_f32(uint16_t h)
{
	uint32_t	sign = (uint32_t) (h & 0x8000) << 16;
	uint32_t	exponent = (h >> 10) & 0x1f;
	uint32_t	mantissa = h & 0x3ff;
	uint32_t	bits;
	float		x;

	if (exponent == 0)
	{
		/* zero or subnormal: mantissa * 2^-24 is exact */
		x = (float) mantissa * 0x1p-24f;
		memcpy(&bits, &x, sizeof(bits));
		bits |= sign;
	}
	else if (exponent == 31)
		bits = sign | 0x7f800000 | (mantissa << 13) |
			(mantissa != 0 ? 0x00400000 : 0);
	else
		bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
	memcpy(&x, &bits, sizeof(x));
	return x;
}

/* Round away the low shift bits of m, to nearest even. */
static inline uint32_t
round_off_bits(uint32_t m, int shift)
{
	uint32_t	half = UINT32_C(1) << (shift - 1);

	return (m + (half - 1) + ((m >> shift) & 1)) >> shift;
}

static inline uint16_t
f32_to_f16(float x)
{
	uint32_t	bits;
	uint32_t	sign;
	uint32_t	magnitude;
	int			exponent;

	memcpy(&bits, &x, sizeof(bits));
	sign = (bits >> 16) & 0x8000;
	magnitude = bits & 0x7fffffff;
	exponent = (int) (magnitude >> 23) - 127;

	if (magnitude > 0x7f800000)
		return (uint16_t) (sign | 0x7e00 | ((magnitude >> 13) & 0x1ff));
	if (exponent > 15)
		return (uint16_t) (sign | 0x7c00);
	if (exponent >= -14)		/* a carry runs into the exponent, as wanted */
		return (uint16_t) (sign |
						   (round_off_bits(magnitude, 13) - (112 << 10)));
	if (exponent < -25)			/* less than half of the smallest */
		return (uint16_t) sign;
	return (uint16_t) (sign |
					   round_off_bits((magnitude & 0x7fffff) | 0x800000,
									  -exponent - 1));
}

static inline float
bf16_to_f32(uint16_t h)
{
	uint32_t	bits = (uint32_t) h << 16;
	float		x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

#endif							/* ENGINE_HALF_H */
