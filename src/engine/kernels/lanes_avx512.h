/*-------------------------------------------------------------------------
 *
 * lanes_avx512.h
 *	  Sixteen f32 lanes as one AVX-512 register.
 *
 * lanes_avx512.h and lanes_avx2.h give the same names to both instruction
 * sets, so that kernels are written once, in the *_simd.h files.  Everything
 * after the first include is compiled for the set's target; a file that
 * includes this one ends with target_end.h.
 *
 *-------------------------------------------------------------------------
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <immintrin.h>

#define KERNEL_SET avx512
#define MATHF_HARDWARE_FMA

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target( \
	"avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")
#endif

#include "kernels/half.h"
#include "kernels/mathf.h"
#include "kernels/sets.h"

#define LANES 16
#define LANES_INLINE static inline __attribute__((always_inline))

typedef __m512 Lanes;
typedef __mmask16 LaneMask;

/* Panels that are computed together with a number of rows: registers */
#define TILE_ROWS 6
#define TILE_PANELS(rows) ((rows) == 1 ? 8 : 4)

#define lanes_zero() _mm512_setzero_ps()
#define lanes_set(x) _mm512_set1_ps(x)
#define lanes_load(p) _mm512_loadu_ps(p)
#define lanes_store(p, x) _mm512_storeu_ps(p, x)
#define lanes_add(a, b) _mm512_add_ps(a, b)
#define lanes_sub(a, b) _mm512_sub_ps(a, b)
#define lanes_mul(a, b) _mm512_mul_ps(a, b)
#define lanes_div(a, b) _mm512_div_ps(a, b)
#define lanes_fma(a, b, c) _mm512_fmadd_ps(a, b, c)
/* b when either is NaN */
#define lanes_min(a, b) _mm512_min_ps(a, b)
#define lanes_max(a, b) _mm512_max_ps(a, b)
#define lanes_less(a, b) _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ)
/* true for NaN */
#define lanes_not_at_most(a, b) _mm512_cmp_ps_mask(a, b, _CMP_NLE_UQ)
#define lanes_equal(a, b) _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ)
#define lanes_is_nan(a) _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q)
/* mask ? a : b */
#define lanes_select(mask, a, b) _mm512_mask_blend_ps(mask, b, a)
/* one bit per lane */
#define lane_bits(mask) ((unsigned int) (mask))

/* Lanes begin <= i < end */
LANES_INLINE LaneMask
lane_range(int begin, int end)
{
	begin = begin < 0 ? 0 : begin > LANES ? LANES : begin;
	end = end < 0 ? 0 : end > LANES ? LANES : end;
	return (LaneMask) (((1u << end) - 1) & ~((1u << begin) - 1));
}

/* The first n floats (n <= 16), +0 beyond */
LANES_INLINE Lanes
lanes_load_n(const float *p, int n)
{
	return _mm512_maskz_loadu_ps(lane_range(0, n), p);
}

LANES_INLINE void
lanes_store_n(float *p, Lanes x, int n)
{
	_mm512_mask_storeu_ps(p, lane_range(0, n), x);
}

/* p[i / 2]: 8 floats (n / 2 of them exist), each twice */
LANES_INLINE Lanes
lanes_load_twice(const float *p, int n)
{
	const __m512i index = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4,
										   3, 3, 2, 2, 1, 1, 0, 0);

	return _mm512_permutexvar_ps(index, lanes_load_n(p, n / 2));
}

/*
 * Rotate pairs (x0, x1) in neighbouring lanes:
 * fma(x0, c, -(x1 * s)), fma(x0, s, x1 * c).
 */
LANES_INLINE Lanes
lanes_rotate_pairs(Lanes x, Lanes c, Lanes s)
{
	Lanes		x0 = _mm512_moveldup_ps(x);
	Lanes		x1 = _mm512_movehdup_ps(x);
	Lanes		cs = _mm512_mask_blend_ps(0xaaaa, c, s);
	Lanes		sc = _mm512_mask_blend_ps(0xaaaa, s, c);

	return _mm512_fmaddsub_ps(x0, cs, _mm512_mul_ps(x1, sc));
}

LANES_INLINE Lanes
lanes_load_f16(const uint16_t *p)
{
	return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) p));
}

LANES_INLINE Lanes
lanes_load_f16_n(const uint16_t *p, int n)
{
	return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lane_range(0, n), p));
}

LANES_INLINE Lanes
lanes_load_bf16(const uint16_t *p)
{
	__m256i		halves = _mm256_loadu_si256((const __m256i *) p);
	__m512i		wide = _mm512_cvtepu16_epi32(halves);

	return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

/* 16 halves, rounded to nearest even */
LANES_INLINE void
lanes_store_f16(uint16_t *p, Lanes x)
{
	_mm256_storeu_si256((__m256i *) p,
						_mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT |
										_MM_FROUND_NO_EXC));
}

LANES_INLINE Lanes
lanes_abs(Lanes x)
{
	return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), x);
}

/* Sign bits of sign into x, which has none */
LANES_INLINE Lanes
lanes_with_sign(Lanes x, Lanes sign)
{
	return _mm512_or_ps(x, _mm512_and_ps(_mm512_set1_ps(-0.0f), sign));
}

LANES_INLINE Lanes
lanes_negate(Lanes x)
{
	return _mm512_xor_ps(_mm512_set1_ps(-0.0f), x);
}

/* Integer addition to the bits of p of those of t, shifted left by 23 */
LANES_INLINE Lanes
lanes_add_exponent(Lanes p, Lanes t)
{
	__m512i		n = _mm512_slli_epi32(_mm512_castps_si512(t), 23);

	return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), n));
}

/* Larger bits as unsigned integers */
LANES_INLINE Lanes
lanes_max_bits(Lanes a, Lanes b)
{
	return _mm512_castsi512_ps(_mm512_max_epu32(_mm512_castps_si512(a),
												_mm512_castps_si512(b)));
}

/* |first + lane| as floats */
LANES_INLINE Lanes
lanes_distance(int32_t first)
{
	const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8,
										  7, 6, 5, 4, 3, 2, 1, 0);
	__m512i		i = _mm512_add_epi32(_mm512_set1_epi32(first), lane);

	return _mm512_cvtepi32_ps(_mm512_abs_epi32(i));
}

/* Both halves: lanes i and i + 8 */
LANES_INLINE __m256
lanes_upper(Lanes x)
{
	return _mm512_extractf32x8_ps(x, 1);
}

LANES_INLINE __m256
lanes_lower(Lanes x)
{
	return _mm512_castps512_ps256(x);
}

#include "kernels/lanes_fold.h"
