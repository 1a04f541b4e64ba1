/*-------------------------------------------------------------------------
 *
 * lanes_fold.h
 *	  Sixteen lanes to one, as Sum16 says: lanes i and i + 8, then + 4, + 2,
 *	  + 1.  Included by lanes_avx2.h and lanes_avx512.h.
 *
 *-------------------------------------------------------------------------
 */

#define FOLD_LANES(op256, op128, op1, x) \
	__m256		eight = op256(lanes_lower(x), lanes_upper(x)); \
	__m128		four = op128(_mm256_castps256_ps128(eight), \
							 _mm256_extractf128_ps(eight, 1)); \
	__m128		two = op128(four, _mm_movehl_ps(four, four)); \
	__m128		one = op1(two, _mm_movehdup_ps(two))

LANES_INLINE float
lanes_sum(Lanes x)
{
	FOLD_LANES(_mm256_add_ps, _mm_add_ps, _mm_add_ss, x);
	return _mm_cvtss_f32(one);
}

LANES_INLINE float
lanes_largest(Lanes x)
{
	FOLD_LANES(_mm256_max_ps, _mm_max_ps, _mm_max_ss, x);
	return _mm_cvtss_f32(one);
}
