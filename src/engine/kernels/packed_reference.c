/*-------------------------------------------------------------------------
 *
 * packed_reference.c
 *	  Packed products in plain C: what every other set is compared with.
 *
 * The same source is compiled twice: with the processor's FMA, and with one
 * made of double-precision operations for processors without ("soft").  The
 * compiler must be told that FMA exists, else it calls libm.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "kernels/packed.h"

#include "tensor/panel.h"

static inline uint32_t
float_bits(float x)
{
	uint32_t	bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

static inline float
bits_float(uint32_t bits)
{
	float		x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

/*
 * a * b is exact in a double.  Its sum with c is rounded to odd (the bits that
 * are lost set the last one that is kept), which makes the second rounding, to
 * f32, the only one that counts (Boldo, Melquiond: "Emulation of FMA and
 * correctly rounded sums", 2008).
 */
static inline float
soft_fma(float a, float b, float c)
{
	double		product = (double) a * (double) b;
	double		addend = c;
	double		sum = product + addend;
	double		part = sum - product;
	double		lost = (product - (sum - part)) + (addend - part);
	uint64_t	bits;

	memcpy(&bits, &sum, sizeof(bits));
	if (lost != 0.0 && (bits & 1) == 0 &&
		(bits & 0x7ff0000000000000u) != 0x7ff0000000000000u)
	{
		/* away from zero when the exact sum is larger in magnitude */
		bits = (lost > 0.0) == (sum > 0.0) ? bits + 1 : bits - 1;
		memcpy(&sum, &bits, sizeof(sum));
	}
	return (float) sum;
}

#define SET(name) name##_soft
#define TARGET
#define FMA(a, b, c) soft_fma(a, b, c)
#include "kernels/packed_reference_body.h"
#undef SET
#undef TARGET
#undef FMA

#define SET(name) name##_reference
#if defined(__x86_64__)
#define TARGET __attribute__((target("fma")))
#else
#define TARGET
#endif
#define FMA(a, b, c) __builtin_fmaf(a, b, c)
#include "kernels/packed_reference_body.h"
