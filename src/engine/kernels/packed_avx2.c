/*-------------------------------------------------------------------------
 *
 * packed_avx2.c
 *	  Packed products for AVX2.
 *
 * Two vectors hold the 16 rows of a panel.  A sub-block is unpacked to a
 * scratch that stays in the first-level cache, and then multiplied by all
 * tokens of the tile, four at a time: their eight integer sums fill half of
 * the registers.  The f32 accumulators of a tile are in memory meanwhile.
 *
 * Two ways to multiply:
 *	bytes	unsigned codes x int8 activations with vpmaddubsw.  Its sums of two
 *			products are int16 and may be added CHAIN times without overflow
 *			when codes are small.
 *	words	both as int16, with vpmaddwd: activations of 16 bits, and types
 *			whose codes would overflow at once.
 *
 * packed_tiles.h has the loops around the kernel.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "kernels/packed.h"

#if defined(__x86_64__)

#include <immintrin.h>

/* Half of the second-level cache of processors with AVX2 only, or less. */
#define TILE_WEIGHT_BYTES ((size_t) 256 * 1024)

#include "kernels/packed_tiles.h"

#define TARGET __attribute__((target("avx2,fma,f16c")))
#define INLINE static inline __attribute__((always_inline)) TARGET

/* Tokens that are multiplied at a time. */
#define ABREAST 4

/*
 * Products of two bytes that an int16 can add: chain * 2 * 128 * largest code
 * <= 32767.  A zero point of 128 (8 bits, books of int8) means codes of 8 bits
 * and none; MXFP4's book reaches 24.
 */
#define CHAIN(base, extra, zero) \
	((zero) == 128 ? 0 : \
	 (zero) == 12 || (base) + (extra) == 5 ? 4 : \
	 (base) + (extra) == 6 ? 2 : 8)

/* Whether a type is multiplied as words. */
#define WORDS(wide, base, extra, zero) \
	((wide) || CHAIN(base, extra, zero) == 0)

/* The registers of one integer sum: rows 0 to 7, rows 8 to 15. */
typedef struct Rows
{
	__m256i		half[2];
} Rows;

/* Scales of a sub-block by group of 16 (or twice the same) and half of rows. */
typedef struct Scales
{
	__m256		s[2][2];
	__m256		t[2][2];
} Scales;

/*
 * Codes
 */

/* x moved by left bits, to the right when negative; whole 16-bit lanes. */
INLINE __m256i
shift_lanes(__m256i x, int left)
{
	if (left > 0)
		return _mm256_slli_epi16(x, left);
	if (left < 0)
		return _mm256_srli_epi16(x, -left);
	return x;
}

INLINE __m256i
load_vector(const uint8_t *bytes)
{
	return _mm256_loadu_si256((const __m256i *) bytes);
}

/* The codes of group g of a sub-block; planes is at the rows wanted. */
INLINE __m256i
unpack_group(int base, int extra, const uint8_t *planes, int g)
{
	const int	extra_bits = ((1 << extra) - 1) << base;
	__m256i		base_mask = _mm256_set1_epi8((char) ((1 << base) - 1));
	__m256i		extra_mask = _mm256_set1_epi8((char) extra_bits);
	__m256i		q;

	if (base == 8)
		return load_vector(planes + 64 * g);
	if (base == 4)
		q = shift_lanes(load_vector(planes + 64 * (g % 4)), -4 * (g / 4));
	else
		q = shift_lanes(load_vector(planes + 64 * (g / 4)), -2 * (g % 4));
	q = _mm256_and_si256(q, base_mask);

	if (extra > 0)
	{
		int			piece = extra == 1 ? 0 : g / 4;
		int			shift = extra == 1 ? g : 2 * (g % 4);
		__m256i		h = load_vector(planes + 64 * base + 64 * piece);

		h = _mm256_and_si256(shift_lanes(h, base - shift), extra_mask);
		q = _mm256_or_si256(q, h);
	}
	return q;
}

/*
 * A sub-block to scratch: for each group 64 bytes of codes, or as words 64
 * bytes of the first and third and 64 of the second and fourth of four codes.
 */
INLINE void
unpack_codes(int base, int extra, const int8_t *book, __m256i values,
			 bool words, const uint8_t *planes, __m256i *scratch)
{
#pragma GCC unroll 8
	for (int g = 0; g < 8; g++)
	{
#pragma GCC unroll 2
		for (int h = 0; h < 2; h++)
		{
			__m256i		q = unpack_group(base, extra, planes + 32 * h, g);

			if (book != NULL)
				q = _mm256_shuffle_epi8(values, q);
			if (words)
			{
				scratch[4 * g + h] = _mm256_and_si256(q,
													  _mm256_set1_epi16(255));
				scratch[4 * g + 2 + h] = _mm256_srli_epi16(q, 8);
			}
			else
				scratch[2 * g + h] = q;
		}
	}
}

/*
 * Scales.  Functions take the address for the half of rows that they load.
 */
INLINE __m256
load_halves(const uint8_t *bytes)
{
	return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) bytes));
}

INLINE __m256i
load_bytes(const uint8_t *bytes)
{
	return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *) bytes));
}

INLINE __m256
load_signed(const uint8_t *bytes)
{
	__m128i		x = _mm_loadl_epi64((const __m128i *) bytes);

	return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x));
}

/* 2^(e - 128), subnormal for e = 0 and 1: exponent_scale() of blocks.h */
INLINE __m256
load_exponents(const uint8_t *bytes)
{
	__m256i		one = _mm256_set1_epi32(1);
	__m256i		e = load_bytes(bytes);
	__m256i		bits = _mm256_slli_epi32(_mm256_sub_epi32(e, one), 23);
	__m256i		small = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);

	bits = _mm256_blendv_epi8(small, bits, _mm256_cmpgt_epi32(e, one));
	return _mm256_castsi256_ps(bits);
}

/* d * scale and m * minimum of group h of 16; m is negative where it counts */
INLINE void
unpack_integers(ScaleForm form, const uint8_t *integers, int h, __m256 d,
				__m256 m, __m256 *s, __m256 *t)
{
	__m256i		both;

	*s = d;
	*t = m;
	switch (form)
	{
		case SCALE_D:
		case SCALE_D_M:
			break;
		case SCALE_EXPONENT:
			*s = load_exponents(integers);
			break;
		case SCALE_PER_32:
			*s = _mm256_mul_ps(d, load_signed(integers));
			break;
		case SCALE_PER_16:
			*s = _mm256_mul_ps(d, load_signed(integers + 16 * h));
			break;
		case SCALE_MINIMUM_PER_32:
			both = load_bytes(integers);
			*s = _mm256_mul_ps(d, _mm256_cvtepi32_ps(both));
			both = load_bytes(integers + 16);
			*t = _mm256_mul_ps(m, _mm256_cvtepi32_ps(both));
			break;
		case SCALE_MINIMUM_PER_16:
			both = load_bytes(integers + 16 * h);
			*t = _mm256_mul_ps(m, _mm256_cvtepi32_ps(_mm256_srli_epi32(both,
																	   4)));
			both = _mm256_and_si256(both, _mm256_set1_epi32(15));
			*s = _mm256_mul_ps(d, _mm256_cvtepi32_ps(both));
			break;
	}
}

INLINE void
unpack_scales(ScaleForm form, const uint8_t *tail, int sub, Scales *scales)
{
	const uint8_t *integers = tail + PANEL_HALF_BYTES(form) +
		sub * PANEL_INTEGER_BYTES(form);

#pragma GCC unroll 2
	for (int half = 0; half < 2; half++)
	{
		__m256		d = _mm256_setzero_ps();
		__m256		m = _mm256_setzero_ps();

		if (form != SCALE_EXPONENT)
			d = load_halves(tail + 16 * half);
		if (scale_has_minimum(form))
			m = load_halves(tail + 32 + 16 * half);
		if (form != SCALE_D_M)
			m = _mm256_xor_ps(m, _mm256_set1_ps(-0.0f));
#pragma GCC unroll 2
		for (int h = 0; h < 2; h++)
			unpack_integers(form, integers + 8 * half, h, d, m,
							&scales->s[h][half], &scales->t[h][half]);
	}
}

/*
 * Products
 */

/*
 * Keeps the compiler from reordering steps until it runs out of registers, and
 * from loading weights once for each token instead of once.
 */
#define PIN(x) __asm__("" : "+x"(x))

/* An unpacked block does not fit the registers: do not try. */
#define KEEP_IN_MEMORY(x) __asm__("" : "+m"(x))

INLINE __m256i
load_four(const uint8_t *q)
{
	int32_t		four;

	memcpy(&four, q, sizeof(four));
	return _mm256_set1_epi32(four);
}

INLINE void
start_sums(TileShape shape, const uint8_t *record, int half, int first,
		   int count, Rows *sum)
{
#pragma GCC unroll 4
	for (int i = 0; i < count; i++)
	{
		int32_t		start = *tile_start(shape, record, first + i, half);

		sum[i].half[0] = sum[i].half[1] = _mm256_set1_epi32(start);
	}
}

/* Integer sums of one group of count tokens: int16 first, chain at a time. */
INLINE void
dot_bytes(const __m256i *w, int chain, TileShape shape, const uint8_t *record,
		  int half, int first, int count, Rows *sum)
{
	const int	pieces = 8 / shape.halves;
	const int	links = chain < pieces ? chain : pieces;
	const uint8_t *q = tile_q(shape, record, first) + 4 * pieces * half;
	Rows		part[ABREAST];

	start_sums(shape, record, half, first, count, sum);
#pragma GCC unroll 8
	for (int g = 0; g < pieces; g++)
	{
		__m256i		w0 = w[2 * g];
		__m256i		w1 = w[2 * g + 1];

		PIN(w0);
		PIN(w1);
#pragma GCC unroll 4
		for (int i = 0; i < count; i++)
		{
			__m256i		four = load_four(q + 32 * i + 4 * g);
			__m256i		p0 = _mm256_maddubs_epi16(w0, four);
			__m256i		p1 = _mm256_maddubs_epi16(w1, four);

			if (g % links > 0)
			{
				p0 = _mm256_add_epi16(part[i].half[0], p0);
				p1 = _mm256_add_epi16(part[i].half[1], p1);
			}
			PIN(p0);
			PIN(p1);
			part[i].half[0] = p0;
			part[i].half[1] = p1;
		}
		if (g % links < links - 1)
			continue;
#pragma GCC unroll 4
		for (int i = 0; i < count; i++)
		{
			__m256i		one = _mm256_set1_epi16(1);
			__m256i		p0 = _mm256_madd_epi16(part[i].half[0], one);
			__m256i		p1 = _mm256_madd_epi16(part[i].half[1], one);

			sum[i].half[0] = _mm256_add_epi32(sum[i].half[0], p0);
			sum[i].half[1] = _mm256_add_epi32(sum[i].half[1], p1);
		}
	}
}

/* The same from words. */
INLINE void
dot_words(const __m256i *w, TileShape shape, const uint8_t *record, int half,
		  int first, int count, Rows *sum)
{
	const int	pieces = 16 / shape.halves;
	const uint8_t *q = tile_q(shape, record, first) + 4 * pieces * half;

	start_sums(shape, record, half, first, count, sum);
#pragma GCC unroll 16
	for (int g = 0; g < pieces; g++)
	{
		__m256i		w0 = w[2 * g];
		__m256i		w1 = w[2 * g + 1];

		PIN(w0);
		PIN(w1);
#pragma GCC unroll 4
		for (int i = 0; i < count; i++)
		{
			__m256i		two = load_four(q + 64 * i + 4 * g);
			__m256i		p0 = _mm256_madd_epi16(w0, two);
			__m256i		p1 = _mm256_madd_epi16(w1, two);

			sum[i].half[0] = _mm256_add_epi32(sum[i].half[0], p0);
			sum[i].half[1] = _mm256_add_epi32(sum[i].half[1], p1);
			PIN(sum[i].half[0]);
			PIN(sum[i].half[1]);
		}
	}
}

/* acc[0 .. 15] of a token: one group is added. */
INLINE void
add_group(float *acc, const Rows *sum, const Scales *scales, TileShape shape,
		  const uint8_t *record, int half, int token)
{
	__m256		d = _mm256_set1_ps(*tile_d(shape, record, token));

#pragma GCC unroll 2
	for (int r = 0; r < 2; r++)
	{
		__m256		x = _mm256_loadu_ps(acc + 8 * r);

		x = _mm256_fmadd_ps(_mm256_mul_ps(scales->s[half][r], d),
							_mm256_cvtepi32_ps(sum->half[r]), x);
		if (shape.minimum)
		{
			float		ds = *tile_sum(shape, record, token, half);

			x = _mm256_fmadd_ps(scales->t[half][r], _mm256_set1_ps(ds), x);
		}
		_mm256_storeu_ps(acc + 8 * r, x);
	}
}

/* An unpacked sub-block times tokens first .. first + count - 1. */
INLINE void
add_tokens(float (*acc)[PANEL_ROWS], const __m256i *w, int chain,
		   const Scales *scales, TileShape shape, const uint8_t *record,
		   int first, int count)
{
#pragma GCC unroll 2
	for (int half = 0; half < shape.halves; half++)
	{
		Rows		sum[ABREAST];

		if (shape.words)
			dot_words(w + 32 / shape.halves * half, shape, record, half,
					  first, count, sum);
		else
			dot_bytes(w + 16 / shape.halves * half, chain, shape, record,
					  half, first, count, sum);
#pragma GCC unroll 4
		for (int i = 0; i < count; i++)
			add_group(acc[first + i], &sum[i], scales, shape, record, half,
					  first + i);
	}
}

INLINE void
prefetch(const uint8_t *at, int bytes)
{
#pragma GCC unroll 16
	for (int i = 0; i < bytes; i += 64)
		_mm_prefetch((const char *) at + PREFETCH_AHEAD + i, _MM_HINT_T1);
}

INLINE void
load_accumulators(float (*acc)[PANEL_ROWS], int tokens, TileOutput out)
{
	for (int token = 0; token < tokens; token++)
	{
		if (out.first)
			memset(acc[token], 0, sizeof(acc[token]));
		else
			memcpy(acc[token], out.at + token * out.stride,
				   sizeof(acc[token]));
	}
}

/*
 * One panel's blocks times the tokens of a tile.  Everything but the last four
 * arguments is constant in each instance.
 */
INLINE void
multiply(int base, int extra, int subs, ScaleForm form, const int8_t *book,
		 int zero, TileShape shape, const uint8_t *block, int64_t n_blocks,
		 const uint8_t *record, TileOutput out)
{
	const int	code_bytes = PANEL_CODE_BYTES(base, extra);
	const int	tail_bytes = PANEL_HALF_BYTES(form) +
		subs * PANEL_INTEGER_BYTES(form);
	const int	chain = CHAIN(base, extra, zero);
	const int	count = shape.tokens < ABREAST ? shape.tokens : ABREAST;
	_Alignas(64) float acc[TILE_MAX_TOKENS][PANEL_ROWS];
	__m256i		values = _mm256_setzero_si256();

	if (book != NULL)
	{
		__m128i		table = _mm_loadu_si128((const __m128i *) book);

		table = _mm_add_epi8(table, _mm_set1_epi8((char) zero));
		values = _mm256_broadcastsi128_si256(table);
	}
	load_accumulators(acc, shape.tokens, out);

	for (int64_t i = 0; i < n_blocks; i++)
	{
		const uint8_t *tail = block + subs * code_bytes;

		for (int sub = 0; sub < subs; sub++)
		{
			__m256i		w[32];
			Scales		scales;

			prefetch(block, code_bytes + tail_bytes / subs);
			unpack_codes(base, extra, book, values, shape.words, block, w);
			unpack_scales(form, tail, sub, &scales);
			if (shape.tokens == ABREAST)
				KEEP_IN_MEMORY(w);
			for (int first = 0; first < shape.tokens; first += count)
				add_tokens(acc, w, chain, &scales, shape, record, first,
						   count);
			block += code_bytes;
			record += tile_record_bytes(shape);
		}
		block += tail_bytes;
	}

	for (int token = 0; token < shape.tokens; token++)
		memcpy(out.at + token * out.stride, acc[token], sizeof(acc[token]));
}

#define INSTANCE(lower, base, extra, subs, form, book, zero, tokens, wide) \
TARGET static void \
multiply_##lower##_##tokens##_##wide(const uint8_t *block, int64_t n_blocks, \
									 const uint8_t *record, TileOutput out) \
{ \
	multiply(base, extra, subs, form, book, zero, \
			 TILE_SHAPE(tokens, wide, WORDS(wide, base, extra, zero), form, \
						zero), \
			 block, n_blocks, record, out); \
}

#define X(NAME, lower, base, extra, subs, form, book, zero) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 1, 0) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 2, 0) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 4, 0) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 8, 0) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 16, 0) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 1, 1) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 2, 1) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 4, 1) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 8, 1) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 16, 1)
PANEL_TYPES(X)
#undef X

/* Sizes of tiles; a multiple of ABREAST, or less. */
static const int tile_tokens[] = {16, 8, 4, 2, 1};

#define KERNELS(lower, wide) \
	{ \
		multiply_##lower##_16_##wide, multiply_##lower##_8_##wide, \
		multiply_##lower##_4_##wide, multiply_##lower##_2_##wide, \
		multiply_##lower##_1_##wide \
	}

static const TileKernel *
tile_kernels(TensorType type, bool wide, TileShape *shape)
{
	switch (type)
	{
#define X(NAME, lower, base, extra, subs, form, book, zero) \
		case TYPE_##NAME: \
		{ \
			static const TileKernel kernels[2][5] = { \
				KERNELS(lower, 0), KERNELS(lower, 1) \
			}; \
 \
			*shape = TILE_SHAPE(0, wide, WORDS(wide, base, extra, zero), \
								form, zero); \
			return kernels[wide]; \
		}
			PANEL_TYPES(X)
#undef X
		default:
			*shape = TILE_SHAPE(0, wide, false, SCALE_D, 0);
			return NULL;		/* not quantised: callers do not ask */
	}
}

void
packed_matmul_avx2(const PackedMatrix *w, int64_t panel_begin,
				   int64_t panel_end, const Activations *a, float *out,
				   size_t out_stride)
{
	TileShape	shape;
	const TileKernel *kernels = tile_kernels(w->type, a->bits == 16, &shape);

	tile_matmul(kernels, tile_tokens, shape, w, panel_begin, panel_end, a,
				out, out_stride);
}

/*
 * Activations
 */

/* The largest of eight, as unsigned integers. */
INLINE uint32_t
largest_lane(__m256i x)
{
	__m128i		y = _mm_max_epu32(_mm256_castsi256_si128(x),
								  _mm256_extracti128_si256(x, 1));

	y = _mm_max_epu32(y, _mm_shuffle_epi32(y, _MM_SHUFFLE(1, 0, 3, 2)));
	y = _mm_max_epu32(y, _mm_shuffle_epi32(y, _MM_SHUFFLE(2, 3, 0, 1)));
	return (uint32_t) _mm_cvtsi128_si32(y);
}

INLINE int32_t
sum_lanes(__m256i x)
{
	__m128i		y = _mm_add_epi32(_mm256_castsi256_si128(x),
								  _mm256_extracti128_si256(x, 1));

	y = _mm_add_epi32(y, _mm_shuffle_epi32(y, _MM_SHUFFLE(1, 0, 3, 2)));
	y = _mm_add_epi32(y, _mm_shuffle_epi32(y, _MM_SHUFFLE(2, 3, 0, 1)));
	return _mm_cvtsi128_si32(y);
}

/* The lowest bytes of four vectors of eight integers, in order. */
INLINE __m256i
lowest_bytes(const __m256i *q)
{
	const __m256i byte = _mm256_set1_epi32(255);
	__m256i		low = _mm256_packus_epi32(_mm256_and_si256(q[0], byte),
										  _mm256_and_si256(q[1], byte));
	__m256i		high = _mm256_packus_epi32(_mm256_and_si256(q[2], byte),
										   _mm256_and_si256(q[3], byte));

	return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high),
									   _mm256_setr_epi32(0, 4, 1, 5, 2, 6,
														 3, 7));
}

INLINE uint32_t
largest_magnitude(const float *x)
{
	const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
	__m256i		largest = _mm256_setzero_si256();

	for (int i = 0; i < 32; i += 8)
	{
		__m256i		bits = _mm256_castps_si256(_mm256_loadu_ps(x + i));

		largest = _mm256_max_epu32(largest, _mm256_and_si256(bits, magnitude));
	}
	return largest_lane(largest);
}

/* round(x * inverse) of 32 values; inverse 0: zeros */
INLINE void
round_scaled(const float *x, float inverse, __m256i *q)
{
	const __m256 shift = _mm256_set1_ps(ROUNDING_SHIFT);

	for (int i = 0; i < 4; i++)
	{
		__m256		scaled = _mm256_mul_ps(_mm256_loadu_ps(x + 8 * i),
										   _mm256_set1_ps(inverse));

		q[i] = _mm256_castps_si256(_mm256_add_ps(scaled, shift));
		q[i] = _mm256_sub_epi32(q[i], _mm256_set1_epi32(ROUNDING_SHIFT_BITS));
	}
}

INLINE void
store_planes(__m256i *q, int bits, int8_t *hi, int8_t *lo)
{
	if (bits == 16)
	{
		/* q - 256 * high is the lowest byte of q */
		_mm256_storeu_si256((__m256i *) lo, lowest_bytes(q));
		for (int i = 0; i < 4; i++)
			q[i] = _mm256_srai_epi32(_mm256_add_epi32(q[i],
													  _mm256_set1_epi32(128)),
									 8);
	}
	_mm256_storeu_si256((__m256i *) hi, lowest_bytes(q));
}

TARGET void
packed_quantise_avx2(const float *x, int64_t k, int bits, int8_t *hi,
					 int8_t *lo, float *d, int32_t *sums)
{
	float		range = bits == 8 ? ACTIVATION_RANGE_8 : ACTIVATION_RANGE_16;

	for (int64_t i = 0; i < k; i += 32)
	{
		uint32_t	largest = largest_magnitude(x + i);
		float		max;
		float		inverse = 0.0f;
		__m256i		q[4];

		memcpy(&max, &largest, sizeof(max));
		d[i / 32] = 0.0f;
		if (!(max < ACTIVATION_TINY))
		{
			d[i / 32] = max / range;
			inverse = range / max;
		}
		round_scaled(x + i, inverse, q);
		sums[i / 16] = sum_lanes(_mm256_add_epi32(q[0], q[1]));
		sums[i / 16 + 1] = sum_lanes(_mm256_add_epi32(q[2], q[3]));
		store_planes(q, bits, hi + i, bits == 16 ? lo + i : NULL);
	}
}

#endif							/* __x86_64__ */
