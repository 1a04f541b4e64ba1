/*-------------------------------------------------------------------------
 *
 * mathf.h
 *	  Scalar f32 arithmetic of the numerics contract: fma, exp, tanh, erf
 *	  and the activations made of them.
 *
 * This file is the definition: one written sequence of + - * / fma and
 * integer operations, which every kernel set repeats lane by lane
 * (mathf_lanes.h).  A changed coefficient or operation is a new
 * NUMERICS_VERSION.
 *
 * The same source serves processors with and without FMA.  A file that is
 * compiled for an FMA target defines MATHF_HARDWARE_FMA before it includes
 * this one (clang tells no file by a macro what its target attribute says);
 * MATHF_SOFT_FMA asks for the software form everywhere.  When neither is
 * defined, hardware is used only if every processor of the target has it.
 *
 * Errors are the largest over all finite floats, against double precision
 * (test/engine/kernels_float_test.c); results for NaN are NaN.  Coefficients
 * are minimax polynomials whose coefficients are f32, found with Sollya's
 * fpminimax and remez.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_MATHF_H
#define ENGINE_MATHF_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Every processor of the target has FMA, and the compiler uses it. */
#if defined(__FP_FAST_FMAF) || defined(__aarch64__)
#define MATHF_FMA_IN_TARGET
#endif

#if !defined(MATHF_SOFT_FMA) && \
	(defined(MATHF_HARDWARE_FMA) || defined(MATHF_FMA_IN_TARGET))
#define f32_fma(a, b, c) __builtin_fmaf(a, b, c)
#else
#define f32_fma(a, b, c) f32_soft_fma(a, b, c)
#endif

#define F32_INFINITY __builtin_inff()

/* exp: x * log2(e) is rounded to an integer by adding 1.5 * 2^23 */
#define EXP_LOWEST -87.0f		/* below: +0 */
#define EXP_HIGHEST 88.72283f	/* the largest float with a finite exp */
#define EXP_LOG2E 0x1.715476p0f
#define EXP_ROUND 0x1.8p23f
#define EXP_LN2_HIGH 0x1.62e4p-1f	/* 14 bits: n * this is exact */
#define EXP_LN2_LOW 0x1.7f7d1cp-20f
#define EXP_C6 0x1.6d5f54p-10f
#define EXP_C5 0x1.123c06p-7f
#define EXP_C4 0x1.5554d8p-5f
#define EXP_C3 0x1.55548ep-3f
#define EXP_C2 0.5f

/* tanh: odd polynomial below TANH_SMALL, else by exp */
#define TANH_SMALL 0.625f
#define TANH_C11 -0x1.6e44cep-8f
#define TANH_C9 0x1.50781ap-6f
#define TANH_C7 -0x1.b7fb6ap-5f
#define TANH_C5 0x1.11053ep-3f
#define TANH_C3 -0x1.55552ap-2f

/* erf: x + x * polynomial in x^2 below ERF_SMALL; else 1 - exp(polynomial
 * of log erfc); from ERF_ONE on the result is 1 */
#define ERF_SMALL 0.92f
#define ERF_ONE 3.95f
#define ERF_C13 0x1.537e6p-14f
#define ERF_C11 -0x1.a7344cp-11f
#define ERF_C9 0x1.54682ap-8f
#define ERF_C7 -0x1.b8039ap-6f
#define ERF_C5 0x1.ce2d76p-4f
#define ERF_C3 -0x1.81274p-2f
#define ERF_C1 0x1.06eba8p-3f
#define ERFC_C7 -0x1.5ecd7p-16f
#define ERFC_C6 0x1.c54d2cp-12f
#define ERFC_C5 -0x1.10a9fap-8f
#define ERFC_C4 0x1.9b195p-6f
#define ERFC_C3 -0x1.bb564ep-4f
#define ERFC_C2 -0x1.444b42p-1f
#define ERFC_C1 -0x1.212698p0f
#define ERFC_C0 0x1.65abb6p-13f

#define GELU_SQRT_2_OVER_PI 0x1.988454p-1f
#define GELU_CUBIC 0.044715f
#define GELU_SQRT_HALF 0x1.6a09e6p-1f

static inline uint32_t
f32_bits(float x)
{
	uint32_t	bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

static inline float
f32_from_bits(uint32_t bits)
{
	float		x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

static inline bool
f32_is_finite(float x)
{
	return (f32_bits(x) & 0x7fffffff) < 0x7f800000;
}

static inline float
f32_abs(float x)
{
	return f32_from_bits(f32_bits(x) & 0x7fffffff);
}

/* |magnitude| with the sign of sign; magnitude is not negative. */
static inline float
f32_with_sign(float magnitude, float sign)
{
	return f32_from_bits(f32_bits(magnitude) | (f32_bits(sign) & 0x80000000));
}

/*
 * a * b + c, rounded once, without FMA hardware.
 *
 * The product of two floats is exact in double.  Their sum with c is rounded
 * to odd (the exact error comes from Knuth's TwoSum): 53 bits are at least
 * 24 + 2, so that rounding to float afterwards gives what one rounding would
 * have given (Boldo & Melquiond, "Emulation of FMA and correctly rounded
 * sums: proved algorithms using rounding to odd", 2008), subnormal results
 * included.
 */
static inline float
f32_soft_fma(float a, float b, float c)
{
	double		product = (double) a * (double) b;
	double		addend = c;
	double		sum = product + addend;
	double		part = sum - product;
	double		error = (product - (sum - part)) + (addend - part);
	uint64_t	bits;

	memcpy(&bits, &sum, sizeof(bits));
	if ((bits & 1) == 0 && (error < 0 || error > 0))
	{
		/* away from zero when the error has the sign of the sum */
		bits = ((error > 0) == (sum > 0)) ? bits + 1 : bits - 1;
		memcpy(&sum, &bits, sizeof(sum));
	}
	return (float) sum;
}

/* <= 1.03 ulp for x >= -87; below, +0; above 88.72283, infinity */
static inline float
f32_exp(float x)
{
	float		t = f32_fma(x, EXP_LOG2E, EXP_ROUND);
	float		n = t - EXP_ROUND;
	float		r = f32_fma(n, -EXP_LN2_HIGH, x);
	float		p;

	r = f32_fma(n, -EXP_LN2_LOW, r);
	p = f32_fma(EXP_C6, r, EXP_C5);
	p = f32_fma(p, r, EXP_C4);
	p = f32_fma(p, r, EXP_C3);
	p = f32_fma(p, r, EXP_C2);
	p = f32_fma(p, r * r, r) + 1.0f;

	/* times 2^n: n stands in the low bits of t */
	p = f32_from_bits(f32_bits(p) + (f32_bits(t) << 23));
	if (x < EXP_LOWEST)
		p = 0.0f;
	if (!(x <= EXP_HIGHEST))
		p = x + F32_INFINITY;	/* infinity, or NaN for NaN */
	return p;
}

/* <= 1.34 ulp */
static inline float
f32_tanh(float x)
{
	float		a = f32_abs(x);
	float		y;

	if (a < TANH_SMALL)
	{
		float		u = a * a;
		float		p = f32_fma(TANH_C11, u, TANH_C9);

		p = f32_fma(p, u, TANH_C7);
		p = f32_fma(p, u, TANH_C5);
		p = f32_fma(p, u, TANH_C3);
		y = f32_fma(p * u, a, a);
	}
	else
		y = 1.0f - 2.0f / (f32_exp(a + a) + 1.0f);
	return f32_with_sign(y, x);
}

/* <= 1.11 ulp */
static inline float
f32_erf(float x)
{
	float		a = f32_abs(x);
	float		y;
	float		p;

	if (a < ERF_SMALL)
	{
		float		u = a * a;

		p = f32_fma(ERF_C13, u, ERF_C11);
		p = f32_fma(p, u, ERF_C9);
		p = f32_fma(p, u, ERF_C7);
		p = f32_fma(p, u, ERF_C5);
		p = f32_fma(p, u, ERF_C3);
		p = f32_fma(p, u, ERF_C1);
		y = f32_fma(p, a, a);
	}
	else
	{
		a = ERF_ONE < a ? ERF_ONE : a;
		p = f32_fma(ERFC_C7, a, ERFC_C6);
		p = f32_fma(p, a, ERFC_C5);
		p = f32_fma(p, a, ERFC_C4);
		p = f32_fma(p, a, ERFC_C3);
		p = f32_fma(p, a, ERFC_C2);
		p = f32_fma(p, a, ERFC_C1);
		p = f32_fma(p, a, ERFC_C0);
		y = 1.0f - f32_exp(p);
	}
	return f32_with_sign(y, x);
}

/* x * sigmoid(x) */
static inline float
f32_silu(float x)
{
	return x / (1.0f + f32_exp(-x));
}

/* x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))) */
static inline float
f32_gelu_tanh(float x)
{
	float		inner = (x * GELU_SQRT_2_OVER_PI) *
		f32_fma(x * x, GELU_CUBIC, 1.0f);

	return (x * 0.5f) * (1.0f + f32_tanh(inner));
}

/* x/2 * (1 + erf(x / sqrt 2)) */
static inline float
f32_gelu_erf(float x)
{
	return (x * 0.5f) * (1.0f + f32_erf(x * GELU_SQRT_HALF));
}

#endif							/* ENGINE_MATHF_H */
