/*-------------------------------------------------------------------------
 *
 * lanes_avx2.h
 *	  Sixteen f32 lanes as two AVX2 registers; see lanes_avx512.h.
 *
 *-------------------------------------------------------------------------
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <immintrin.h>

#define KERNEL_SET avx2
#define MATHF_HARDWARE_FMA

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), \
	apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif

#include "kernels/half.h"
#include "kernels/mathf.h"
#include "kernels/sets.h"

#define LANES 16
#define LANES_INLINE static inline __attribute__((always_inline))

typedef struct Lanes
{
	__m256		lower;			/* lanes 0 .. 7 */
	__m256		upper;			/* lanes 8 .. 15 */
} Lanes;

typedef Lanes LaneMask;			/* all bits of a lane set or none */

/* Panels that are computed together with a number of rows: registers */
#define TILE_ROWS 6
#define TILE_PANELS(rows) ((rows) == 1 ? 4 : (rows) == 2 ? 2 : 1)

LANES_INLINE Lanes
lanes_pair(__m256 lower, __m256 upper)
{
	Lanes		pair = {lower, upper};

	return pair;
}

#define DEFINE_LANES_2(name, op) \
LANES_INLINE Lanes \
name(Lanes a, Lanes b) \
{ \
	return lanes_pair(op(a.lower, b.lower), op(a.upper, b.upper)); \
}

#define DEFINE_LANES_COMPARE(name, predicate) \
LANES_INLINE LaneMask \
name(Lanes a, Lanes b) \
{ \
	return lanes_pair(_mm256_cmp_ps(a.lower, b.lower, predicate), \
					  _mm256_cmp_ps(a.upper, b.upper, predicate)); \
}

DEFINE_LANES_2(lanes_add, _mm256_add_ps)
DEFINE_LANES_2(lanes_sub, _mm256_sub_ps)
DEFINE_LANES_2(lanes_mul, _mm256_mul_ps)
DEFINE_LANES_2(lanes_div, _mm256_div_ps)
/* b when either is NaN */
DEFINE_LANES_2(lanes_min, _mm256_min_ps)
DEFINE_LANES_2(lanes_max, _mm256_max_ps)
DEFINE_LANES_COMPARE(lanes_less, _CMP_LT_OQ)
/* true for NaN */
DEFINE_LANES_COMPARE(lanes_not_at_most, _CMP_NLE_UQ)
DEFINE_LANES_COMPARE(lanes_equal, _CMP_EQ_OQ)

#define lanes_is_nan(a) lanes_not_at_most(a, a)

LANES_INLINE Lanes
lanes_set(float x)
{
	return lanes_pair(_mm256_set1_ps(x), _mm256_set1_ps(x));
}

#define lanes_zero() lanes_set(0.0f)

LANES_INLINE Lanes
lanes_load(const float *p)
{
	return lanes_pair(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}

LANES_INLINE void
lanes_store(float *p, Lanes x)
{
	_mm256_storeu_ps(p, x.lower);
	_mm256_storeu_ps(p + 8, x.upper);
}

LANES_INLINE Lanes
lanes_fma(Lanes a, Lanes b, Lanes c)
{
	return lanes_pair(_mm256_fmadd_ps(a.lower, b.lower, c.lower),
					  _mm256_fmadd_ps(a.upper, b.upper, c.upper));
}

/* mask ? a : b */
LANES_INLINE Lanes
lanes_select(LaneMask mask, Lanes a, Lanes b)
{
	return lanes_pair(_mm256_blendv_ps(b.lower, a.lower, mask.lower),
					  _mm256_blendv_ps(b.upper, a.upper, mask.upper));
}

/* one bit per lane */
LANES_INLINE unsigned int
lane_bits(LaneMask mask)
{
	return (unsigned int) _mm256_movemask_ps(mask.lower) |
		(unsigned int) _mm256_movemask_ps(mask.upper) << 8;
}

/* Lanes begin <= i < end */
LANES_INLINE LaneMask
lane_range(int begin, int end)
{
	const __m256i low = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
	const __m256i high = _mm256_set_epi32(15, 14, 13, 12, 11, 10, 9, 8);
	__m256i		before = _mm256_set1_epi32(begin - 1);
	__m256i		after = _mm256_set1_epi32(end);
	__m256i		a = _mm256_and_si256(_mm256_cmpgt_epi32(low, before),
									 _mm256_cmpgt_epi32(after, low));
	__m256i		b = _mm256_and_si256(_mm256_cmpgt_epi32(high, before),
									 _mm256_cmpgt_epi32(after, high));

	return lanes_pair(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b));
}

/* The first n floats (n <= 16), +0 beyond */
LANES_INLINE Lanes
lanes_load_n(const float *p, int n)
{
	LaneMask	mask = lane_range(0, n);
	__m256i		lower = _mm256_castps_si256(mask.lower);
	__m256i		upper = _mm256_castps_si256(mask.upper);

	return lanes_pair(_mm256_maskload_ps(p, lower),
					  _mm256_maskload_ps(p + 8, upper));
}

LANES_INLINE void
lanes_store_n(float *p, Lanes x, int n)
{
	LaneMask	mask = lane_range(0, n);

	_mm256_maskstore_ps(p, _mm256_castps_si256(mask.lower), x.lower);
	_mm256_maskstore_ps(p + 8, _mm256_castps_si256(mask.upper), x.upper);
}

/* p[i / 2]: 8 floats (n / 2 of them exist), each twice */
LANES_INLINE Lanes
lanes_load_twice(const float *p, int n)
{
	const __m256i low = _mm256_set_epi32(3, 3, 2, 2, 1, 1, 0, 0);
	const __m256i high = _mm256_set_epi32(7, 7, 6, 6, 5, 5, 4, 4);
	__m256		x = lanes_load_n(p, n / 2).lower;

	return lanes_pair(_mm256_permutevar8x32_ps(x, low),
					  _mm256_permutevar8x32_ps(x, high));
}

LANES_INLINE __m256
rotate_pairs(__m256 x, __m256 c, __m256 s)
{
	__m256		x0 = _mm256_moveldup_ps(x);
	__m256		x1 = _mm256_movehdup_ps(x);
	__m256		cs = _mm256_blend_ps(c, s, 0xaa);
	__m256		sc = _mm256_blend_ps(s, c, 0xaa);

	return _mm256_fmaddsub_ps(x0, cs, _mm256_mul_ps(x1, sc));
}

/*
 * Rotate pairs (x0, x1) in neighbouring lanes:
 * fma(x0, c, -(x1 * s)), fma(x0, s, x1 * c).
 */
LANES_INLINE Lanes
lanes_rotate_pairs(Lanes x, Lanes c, Lanes s)
{
	return lanes_pair(rotate_pairs(x.lower, c.lower, s.lower),
					  rotate_pairs(x.upper, c.upper, s.upper));
}

LANES_INLINE Lanes
lanes_load_f16(const uint16_t *p)
{
	__m128i		lower = _mm_loadu_si128((const __m128i *) p);
	__m128i		upper = _mm_loadu_si128((const __m128i *) (p + 8));

	return lanes_pair(_mm256_cvtph_ps(lower), _mm256_cvtph_ps(upper));
}

LANES_INLINE Lanes
lanes_load_f16_n(const uint16_t *p, int n)
{
	uint16_t	halves[LANES] = {0};

	memcpy(halves, p, n * sizeof(uint16_t));
	return lanes_load_f16(halves);
}

LANES_INLINE __m256
widen_bf16(const uint16_t *p)
{
	__m128i		halves = _mm_loadu_si128((const __m128i *) p);
	__m256i		wide = _mm256_cvtepu16_epi32(halves);

	return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

LANES_INLINE Lanes
lanes_load_bf16(const uint16_t *p)
{
	return lanes_pair(widen_bf16(p), widen_bf16(p + 8));
}

/* 16 halves, rounded to nearest even */
LANES_INLINE void
lanes_store_f16(uint16_t *p, Lanes x)
{
	_mm_storeu_si128((__m128i *) p,
					 _mm256_cvtps_ph(x.lower, _MM_FROUND_TO_NEAREST_INT));
	_mm_storeu_si128((__m128i *) (p + 8),
					 _mm256_cvtps_ph(x.upper, _MM_FROUND_TO_NEAREST_INT));
}

DEFINE_LANES_2(lanes_and, _mm256_and_ps)
DEFINE_LANES_2(lanes_andnot, _mm256_andnot_ps)
DEFINE_LANES_2(lanes_or, _mm256_or_ps)
DEFINE_LANES_2(lanes_xor, _mm256_xor_ps)

#define lanes_abs(x) lanes_andnot(lanes_set(-0.0f), x)
#define lanes_negate(x) lanes_xor(lanes_set(-0.0f), x)

/* Sign bits of sign into x, which has none */
#define lanes_with_sign(x, sign) \
	lanes_or(x, lanes_and(lanes_set(-0.0f), sign))

LANES_INLINE __m256
add_exponent(__m256 p, __m256 t)
{
	__m256i		n = _mm256_slli_epi32(_mm256_castps_si256(t), 23);

	return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), n));
}

/* Integer addition to the bits of p of those of t, shifted left by 23 */
DEFINE_LANES_2(lanes_add_exponent, add_exponent)

LANES_INLINE __m256
max_bits(__m256 a, __m256 b)
{
	return _mm256_castsi256_ps(_mm256_max_epu32(_mm256_castps_si256(a),
												_mm256_castps_si256(b)));
}

/* Larger bits as unsigned integers */
DEFINE_LANES_2(lanes_max_bits, max_bits)

/* |first + lane| as floats */
LANES_INLINE Lanes
lanes_distance(int32_t first)
{
	const __m256i lane = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
	__m256i		low = _mm256_add_epi32(_mm256_set1_epi32(first), lane);
	__m256i		high = _mm256_add_epi32(low, _mm256_set1_epi32(8));

	return lanes_pair(_mm256_cvtepi32_ps(_mm256_abs_epi32(low)),
					  _mm256_cvtepi32_ps(_mm256_abs_epi32(high)));
}

/* Both halves: lanes i and i + 8 */
#define lanes_upper(x) ((x).upper)
#define lanes_lower(x) ((x).lower)

#include "kernels/lanes_fold.h"
