/*-------------------------------------------------------------------------
 *
 * packed_avx512.c
 *	  Packed products for AVX-512 with VNNI.
 *
 * A vector lane is a row of the panel.  The 32 weights of a sub-block are
 * unpacked to eight vectors of unsigned bytes, four weights of each row in
 * one vector; then every token of the tile takes eight vpdpbusd, each with
 * four of its activations in all lanes.  One kernel serves every number of
 * tokens and every type: what differs is how codes and scales are unpacked,
 * and all of that is constant where the kernel is instantiated.
 *
 * Unsigned weights are u + zero: the sum starts at -zero * sum_q.  16-bit
 * activations are two planes: (high plane << 8) + low plane, both exact.
 *
 * packed_tiles.h has the loops around the kernel.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "kernels/packed.h"

#if defined(__x86_64__)

#include <immintrin.h>

/* Half of the second-level cache of processors with AVX-512, or less. */
#define TILE_WEIGHT_BYTES ((size_t) 512 * 1024)

#include "kernels/packed_tiles.h"

#define TARGET \
	__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni," \
						  "avx2,fma,f16c")))
#define INLINE static inline __attribute__((always_inline)) TARGET

/* Scales of a sub-block, one for each group of 16 (or the same twice). */
typedef struct Scales
{
	__m512		s[2];
	__m512		t[2];
} Scales;

/*
 * Codes
 */

/* x moved by left bits, to the right when negative; whole 16-bit lanes. */
INLINE __m512i
shift_lanes(__m512i x, int left)
{
	if (left > 0)
		return _mm512_slli_epi16(x, left);
	if (left < 0)
		return _mm512_srli_epi16(x, -left);
	return x;
}

INLINE void
unpack_base(int base, const uint8_t *planes, __m512i *w)
{
	__m512i		mask = _mm512_set1_epi8((char) ((1 << base) - 1));

	if (base == 8)
	{
#pragma GCC unroll 8
		for (int g = 0; g < 8; g++)
			w[g] = _mm512_loadu_si512(planes + 64 * g);
	}
	else
	{
#pragma GCC unroll 8
		for (int g = 0; g < 8; g++)
		{
			/* codes per byte: 2 (pieces hold g, g + 4) or 4 (4p .. 4p + 3) */
			int			piece = base == 4 ? g % 4 : g / 4;
			int			shift = base == 4 ? 4 * (g / 4) : 2 * (g % 4);
			__m512i		q = _mm512_loadu_si512(planes + 64 * piece);

			w[g] = _mm512_and_si512(shift_lanes(q, -shift), mask);
		}
	}
}

INLINE void
unpack_codes(int base, int extra, const uint8_t *planes, __m512i *w)
{
	__m512i		mask = _mm512_set1_epi8((char) (((1 << extra) - 1) << base));

	unpack_base(base, planes, w);
	planes += 64 * base;
	if (extra == 0)
		return;
#pragma GCC unroll 8
	for (int g = 0; g < 8; g++)
	{
		int			piece = extra == 1 ? 0 : g / 4;
		int			shift = extra == 1 ? g : 2 * (g % 4);
		__m512i		h = _mm512_loadu_si512(planes + 64 * piece);

		/* w | (h & mask) */
		w[g] = _mm512_ternarylogic_epi64(w[g], shift_lanes(h, base - shift),
										 mask, 0xf8);
	}
}

/*
 * Scales
 */
INLINE __m512
load_halves(const uint8_t *bytes)
{
	return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) bytes));
}

INLINE __m512i
load_bytes(const uint8_t *bytes)
{
	return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *) bytes));
}

INLINE __m512
load_unsigned(const uint8_t *bytes)
{
	return _mm512_cvtepi32_ps(load_bytes(bytes));
}

INLINE __m512
load_signed(const uint8_t *bytes)
{
	__m128i		x = _mm_loadu_si128((const __m128i *) bytes);

	return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(x));
}

/* 2^(e - 128), subnormal for e = 0 and 1: exponent_scale() of blocks.h */
INLINE __m512
load_exponents(const uint8_t *bytes)
{
	__m512i		one = _mm512_set1_epi32(1);
	__m512i		e = load_bytes(bytes);
	__m512i		bits = _mm512_slli_epi32(_mm512_sub_epi32(e, one), 23);
	__mmask16	subnormal = _mm512_cmple_epi32_mask(e, one);

	bits = _mm512_mask_sllv_epi32(bits, subnormal,
								  _mm512_set1_epi32(0x00200000), e);
	return _mm512_castsi512_ps(bits);
}

/* d * scale and -m * minimum from the integers of a sub-block. */
INLINE void
unpack_scales(ScaleForm form, const uint8_t *tail, int sub, Scales *scales)
{
	const uint8_t *integers = tail + PANEL_HALF_BYTES(form) +
		sub * PANEL_INTEGER_BYTES(form);
	__m512		zero = _mm512_setzero_ps();
	__m512		d = form == SCALE_EXPONENT ? zero : load_halves(tail);
	__m512		m = scale_has_minimum(form) ? load_halves(tail + 32) : zero;
	__m512i		nibble = _mm512_set1_epi32(15);

	if (form == SCALE_MINIMUM_PER_32 || form == SCALE_MINIMUM_PER_16)
		m = _mm512_xor_ps(m, _mm512_set1_ps(-0.0f));

#pragma GCC unroll 8
	for (int h = 0; h < 2; h++)
	{
		__m512i		both;
		__m512		s;
		__m512		t;

		scales->s[h] = d;
		scales->t[h] = m;
		switch (form)
		{
			case SCALE_D:
			case SCALE_D_M:
				break;
			case SCALE_EXPONENT:
				scales->s[h] = load_exponents(integers);
				break;
			case SCALE_PER_32:
				scales->s[h] = _mm512_mul_ps(d, load_signed(integers));
				break;
			case SCALE_PER_16:
				s = load_signed(integers + 16 * h);
				scales->s[h] = _mm512_mul_ps(d, s);
				break;
			case SCALE_MINIMUM_PER_32:
				s = load_unsigned(integers);
				t = load_unsigned(integers + 16);
				scales->s[h] = _mm512_mul_ps(d, s);
				scales->t[h] = _mm512_mul_ps(m, t);
				break;
			case SCALE_MINIMUM_PER_16:
				both = load_bytes(integers + 16 * h);
				s = _mm512_cvtepi32_ps(_mm512_and_si512(both, nibble));
				t = _mm512_cvtepi32_ps(_mm512_srli_epi32(both, 4));
				scales->s[h] = _mm512_mul_ps(d, s);
				scales->t[h] = _mm512_mul_ps(m, t);
				break;
		}
	}
}

/*
 * Products
 */

/* Tokens whose sums are built side by side: enough chains to hide latency. */
#define ABREAST(wide) ((wide) ? 4 : 8)

/* sum + w times the four activations at q, in every lane. */
INLINE __m512i
add_product(__m512i sum, __m512i w, const uint8_t *q)
{
	int32_t		four;

	memcpy(&four, q, sizeof(four));
	return _mm512_dpbusd_epi32(sum, w, _mm512_set1_epi32(four));
}

/*
 * Integer sums of one group for tokens first .. first + count - 1: w points to
 * the group's vectors, of which there are 8 / halves.
 */
INLINE void
dot(const __m512i *w, TileShape shape, const uint8_t *record, int half,
	int first, int count, __m512i *sum)
{
	int			pieces = 8 / shape.halves;
	__m512i		high[8];

#pragma GCC unroll 8
	for (int i = 0; i < count; i++)
	{
		sum[i] = _mm512_set1_epi32(*tile_start(shape, record, first + i, half));
		high[i] = _mm512_setzero_si512();
	}
#pragma GCC unroll 8
	for (int g = 0; g < pieces; g++)
	{
#pragma GCC unroll 8
		for (int i = 0; i < count; i++)
		{
			const uint8_t *q = tile_q(shape, record, first + i) +
				4 * (pieces * half + g);

			sum[i] = add_product(sum[i], w[g], q);
			if (shape.wide)
				high[i] = add_product(high[i], w[g],
									  q + 32 * shape.tokens);
		}
	}
#pragma GCC unroll 8
	for (int i = 0; i < count; i++)
	{
		if (shape.wide)
			sum[i] = _mm512_add_epi32(sum[i], _mm512_slli_epi32(high[i], 8));
	}
}

/* One sub-block times tokens first .. first + count - 1. */
INLINE void
add_tokens(__m512 *acc, const __m512i *w, const Scales *scales,
		   TileShape shape, const uint8_t *record, int first, int count)
{
#pragma GCC unroll 2
	for (int half = 0; half < shape.halves; half++)
	{
		__m512i		sum[8];

		dot(w + 8 / shape.halves * half, shape, record, half, first, count,
			sum);
#pragma GCC unroll 8
		for (int i = 0; i < count; i++)
		{
			__m512		d = _mm512_set1_ps(*tile_d(shape, record, first + i));
			__m512		dot_d = _mm512_mul_ps(scales->s[half], d);

			acc[i] = _mm512_fmadd_ps(dot_d, _mm512_cvtepi32_ps(sum[i]),
									 acc[i]);
			if (shape.minimum)
			{
				float		ds = *tile_sum(shape, record, first + i, half);

				acc[i] = _mm512_fmadd_ps(scales->t[half], _mm512_set1_ps(ds),
										 acc[i]);
			}
		}
	}
}

INLINE void
prefetch(const uint8_t *at, int bytes)
{
#pragma GCC unroll 8
	for (int i = 0; i < bytes; i += 64)
		_mm_prefetch((const char *) at + PREFETCH_AHEAD + i, _MM_HINT_T1);
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
	const int	abreast = ABREAST(shape.wide);
	__m512		acc[8];
	__m512i		values = _mm512_setzero_si512();

	if (book != NULL)
	{
		__m128i		table = _mm_loadu_si128((const __m128i *) book);

		table = _mm_add_epi8(table, _mm_set1_epi8((char) zero));
		values = _mm512_broadcast_i32x4(table);
	}
#pragma GCC unroll 8
	for (int token = 0; token < shape.tokens; token++)
		acc[token] = out.first ? _mm512_setzero_ps() :
			_mm512_loadu_ps(out.at + token * out.stride);

	for (int64_t i = 0; i < n_blocks; i++)
	{
		const uint8_t *tail = block + subs * code_bytes;

		for (int sub = 0; sub < subs; sub++)
		{
			__m512i		w[8];
			Scales		scales;

			prefetch(block, code_bytes + tail_bytes / subs);
			unpack_codes(base, extra, block, w);
#pragma GCC unroll 8
			for (int g = 0; g < 8; g++)
				w[g] = book == NULL ? w[g] : _mm512_shuffle_epi8(values, w[g]);
			unpack_scales(form, tail, sub, &scales);
#pragma GCC unroll 8
			for (int first = 0; first < shape.tokens; first += abreast)
			{
				int			left = shape.tokens - first;

				add_tokens(acc + first, w, &scales, shape, record, first,
						   left < abreast ? left : abreast);
			}
			block += code_bytes;
			record += tile_record_bytes(shape);
		}
		block += tail_bytes;
	}

#pragma GCC unroll 8
	for (int token = 0; token < shape.tokens; token++)
		_mm512_storeu_ps(out.at + token * out.stride, acc[token]);
}

#define INSTANCE(lower, base, extra, subs, form, book, zero, tokens, wide) \
TARGET static void \
multiply_##lower##_##tokens##_##wide(const uint8_t *block, int64_t n_blocks, \
									 const uint8_t *record, TileOutput out) \
{ \
	multiply(base, extra, subs, form, book, zero, \
			 TILE_SHAPE(tokens, wide, false, form, zero), \
			 block, n_blocks, record, out); \
}

#define X(NAME, lower, base, extra, subs, form, book, zero) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 1, 0) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 2, 0) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 3, 0) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 4, 0) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 6, 0) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 8, 0) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 1, 1) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 2, 1) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 3, 1) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 4, 1) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 6, 1) \
	INSTANCE(lower, base, extra, subs, form, book, zero, 8, 1)
PANEL_TYPES(X)
#undef X

/* Tokens of the largest tile that is not larger than what is left. */
static const int tile_tokens[] = {8, 6, 4, 3, 2, 1};

#define KERNELS(lower, wide) \
	{ \
		multiply_##lower##_8_##wide, multiply_##lower##_6_##wide, \
		multiply_##lower##_4_##wide, multiply_##lower##_3_##wide, \
		multiply_##lower##_2_##wide, multiply_##lower##_1_##wide \
	}

static const TileKernel *
tile_kernels(TensorType type, bool wide, TileShape *shape)
{
	switch (type)
	{
#define X(NAME, lower, base, extra, subs, form, book, zero) \
		case TYPE_##NAME: \
		{ \
			static const TileKernel kernels[2][6] = { \
				KERNELS(lower, 0), KERNELS(lower, 1) \
			}; \
 \
			*shape = TILE_SHAPE(0, wide, false, form, zero); \
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
packed_matmul_avx512(const PackedMatrix *w, int64_t panel_begin,
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

/* q of 16 values to the planes and their sum. */
INLINE int32_t
store_planes(__m512i q, int bits, int8_t *hi, int8_t *lo)
{
	__m512i		high = q;

	if (bits == 16)
	{
		/* q - 256 * high is the lowest byte of q */
		high = _mm512_srai_epi32(_mm512_add_epi32(q, _mm512_set1_epi32(128)),
								 8);
		_mm_storeu_si128((__m128i *) lo, _mm512_cvtepi32_epi8(q));
	}
	_mm_storeu_si128((__m128i *) hi, _mm512_cvtepi32_epi8(high));
	return _mm512_reduce_add_epi32(q);
}

INLINE __m512i
round_scaled(__m512 x, float inverse)
{
	__m512		shifted = _mm512_add_ps(_mm512_mul_ps(x,
													  _mm512_set1_ps(inverse)),
										_mm512_set1_ps(ROUNDING_SHIFT));

	return _mm512_sub_epi32(_mm512_castps_si512(shifted),
							_mm512_set1_epi32(ROUNDING_SHIFT_BITS));
}

TARGET void
packed_quantise_avx512(const float *x, int64_t k, int bits, int8_t *hi,
					   int8_t *lo, float *d, int32_t *sums)
{
	float		range = bits == 8 ? ACTIVATION_RANGE_8 : ACTIVATION_RANGE_16;
	__m512i		magnitude = _mm512_set1_epi32(0x7fffffff);

	for (int64_t i = 0; i < k; i += 32)
	{
		__m512		x0 = _mm512_loadu_ps(x + i);
		__m512		x1 = _mm512_loadu_ps(x + i + 16);
		__m512i		a0 = _mm512_and_si512(_mm512_castps_si512(x0), magnitude);
		__m512i		a1 = _mm512_and_si512(_mm512_castps_si512(x1), magnitude);
		uint32_t	largest = _mm512_reduce_max_epu32(_mm512_max_epu32(a0, a1));
		float		max;
		float		inverse = 0.0f;

		memcpy(&max, &largest, sizeof(max));
		d[i / 32] = 0.0f;
		if (max < ACTIVATION_TINY)
			x0 = x1 = _mm512_setzero_ps();
		else
		{
			d[i / 32] = max / range;
			inverse = range / max;
		}
		sums[i / 16] = store_planes(round_scaled(x0, inverse), bits,
									hi + i, lo + i);
		sums[i / 16 + 1] = store_planes(round_scaled(x1, inverse), bits,
										hi + i + 16, lo + i + 16);
	}
}

#endif							/* __x86_64__ */
