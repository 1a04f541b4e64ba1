/*-------------------------------------------------------------------------
 *
 * packed_tiles.h
 *	  The loops around the vector kernels of packed products.
 *
 * A kernel multiplies part of one panel by a tile of a few tokens.  What it
 * reads of the tokens is copied in front of it as records, one for each 32 of
 * K: everything of a tile is then at constant distances from one pointer, and
 * what depends on the token only is computed once for many panels.  A record
 * of T tokens is
 *
 *		low or only plane	int8[T][32]		or all bits: int16[T][32]
 *		high plane			int8[T][32]		16 bits in two planes
 *		d					float[T]
 *		start				int32[T][halves]	-zero * sum_q
 *		sum					float[T][halves]	d * sum_q, types with a minimum
 *
 * Records lie on the stack.  When those of all K do not fit, K is cut into
 * segments, and accumulators rest in the output, as f32, without any change
 * of their values.  Panels are visited in runs that fit the second-level
 * cache: outer loop over runs, then tokens, then panels.
 *
 * Included by packed_avx2.c and packed_avx512.c, which define
 * TILE_WEIGHT_BYTES, the size of such a run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_KERNELS_PACKED_TILES_H
#define ENGINE_KERNELS_PACKED_TILES_H

#include <emmintrin.h>

#include "kernels/packed.h"
#include "tensor/panel.h"

/* Bytes of records on the stack: they should stay in a cache of 32 kB. */
#define TILE_RECORD_BYTES 24576

/* Tokens of the largest tile that a set may have. */
#define TILE_MAX_TOKENS 16

/* Distance of the prefetch that hides the latency of memory, in bytes. */
#define PREFETCH_AHEAD 1536

typedef struct TileShape
{
	int			tokens;
	bool		wide;			/* activations of 16 bits */
	bool		words;			/* int16 activations instead of planes */
	int			halves;			/* groups in 32 of K: 1, or 2 of 16 */
	bool		minimum;		/* weights have a t */
	int			zero;			/* zero point of unsigned weights */
} TileShape;

typedef struct TileOutput
{
	float	   *at;				/* 16 outputs of the first token */
	size_t		stride;			/* floats between tokens */
	bool		first;			/* nothing is in there yet: start from +0 */
} TileOutput;

typedef void (*TileKernel) (const uint8_t *block, int64_t n_blocks,
							const uint8_t *record, TileOutput out);

#define TILE_SHAPE(tokens, wide, words, form, zero) \
	((TileShape) { \
		tokens, wide, words, \
		(form) == SCALE_PER_16 || (form) == SCALE_MINIMUM_PER_16 ? 2 : 1, \
		(form) == SCALE_D_M || (form) == SCALE_MINIMUM_PER_32 || \
		(form) == SCALE_MINIMUM_PER_16, \
		zero \
	})

/*
 * Where the parts of a record are.
 */
#define TILE_INLINE static inline __attribute__((always_inline))

TILE_INLINE size_t
tile_plane_bytes(TileShape shape)
{
	return (size_t) shape.tokens * (shape.wide || shape.words ? 64 : 32);
}

TILE_INLINE size_t
tile_record_bytes(TileShape shape)
{
	int			scalars = 1 + shape.halves * (shape.minimum ? 2 : 1);

	return tile_plane_bytes(shape) + (size_t) shape.tokens * 4 * scalars;
}

TILE_INLINE const uint8_t *
tile_q(TileShape shape, const uint8_t *record, int token)
{
	return record + (shape.words ? 64 : 32) * token;
}

TILE_INLINE const float *
tile_d(TileShape shape, const uint8_t *record, int token)
{
	return (const float *) (record + tile_plane_bytes(shape)) + token;
}

TILE_INLINE const int32_t *
tile_start(TileShape shape, const uint8_t *record, int token, int half)
{
	return (const int32_t *) tile_d(shape, record, shape.tokens) +
		token * shape.halves + half;
}

TILE_INLINE const float *
tile_sum(TileShape shape, const uint8_t *record, int token, int half)
{
	return (const float *) tile_start(shape, record, shape.tokens, 0) +
		token * shape.halves + half;
}

/*
 * Eight activations as int16, in the order in which bytes of weights are
 * widened: 0, 2, 1, 3 of each four.  high and low: hi << 8 and lo.
 */
TILE_INLINE void
tile_store_words(__m128i high, __m128i low, uint8_t *to)
{
	__m128i		words = _mm_add_epi16(high, low);

	words = _mm_shufflelo_epi16(words, _MM_SHUFFLE(3, 1, 2, 0));
	words = _mm_shufflehi_epi16(words, _MM_SHUFFLE(3, 1, 2, 0));
	_mm_storeu_si128((__m128i *) to, words);
}

/* 32 activations as int16; lo NULL: 8 bits, hi is all of them. */
TILE_INLINE void
tile_fill_words(const int8_t *hi, const int8_t *lo, uint8_t *to)
{
	const __m128i zero = _mm_setzero_si128();

	for (int i = 0; i < 32; i += 16, to += 32)
	{
		__m128i		h = _mm_loadu_si128((const __m128i *) (hi + i));
		__m128i		l = zero;
		__m128i		low[2] = {zero, zero};
		__m128i		high[2] = {
			_mm_unpacklo_epi8(zero, h), _mm_unpackhi_epi8(zero, h)
		};

		if (lo != NULL)
			l = _mm_loadu_si128((const __m128i *) (lo + i));
		low[0] = _mm_srai_epi16(_mm_unpacklo_epi8(zero, l), 8);
		low[1] = _mm_srai_epi16(_mm_unpackhi_epi8(zero, l), 8);
		for (int half = 0; half < 2; half++)
			tile_store_words(lo != NULL ? high[half] :
							 _mm_srai_epi16(high[half], 8), low[half],
							 to + 16 * half);
	}
}

/* What depends on d and sum_q, for one token and 32 of K. */
TILE_INLINE void
tile_fill_sums(TileShape shape, float d, const int32_t *sums, uint8_t *start,
			   uint8_t *product)
{
	int32_t		sum[2] = {sums[0], sums[1]};
	const int	halves = shape.halves == 1 ? 1 : 2;

	if (halves == 1)
		sum[0] += sum[1];
	for (int half = 0; half < halves; half++)
	{
		int32_t		from = -shape.zero * sum[half];
		float		scaled = d * (float) sum[half];

		memcpy(start + 4 * half, &from, sizeof(from));
		if (shape.minimum)
			memcpy(product + 4 * half, &scaled, sizeof(scaled));
	}
}

/* The part of the records of groups begin .. end-1 that is token's. */
TILE_INLINE void
tile_fill_groups(TileShape shape, const Activations *a, int row, int64_t begin,
				 int64_t end, uint8_t *records, int token)
{
	const int8_t *hi = a->hi + row * a->plane_stride;
	const int8_t *lo = shape.wide ? a->lo + row * a->plane_stride : NULL;
	const float *d = a->d + row * a->group_stride;
	const int32_t *sums = a->sums + 2 * row * a->group_stride;
	const size_t stride = tile_record_bytes(shape);
	const size_t q = tile_q(shape, records, token) - records;
	const size_t scale = (const uint8_t *) tile_d(shape, records, token) -
		records;
	const size_t start = (const uint8_t *) tile_start(shape, records, token,
													  0) - records;
	const size_t product = (const uint8_t *) tile_sum(shape, records, token,
													  0) - records;

	for (int64_t i = begin; i < end; i++, records += stride)
	{
		if (shape.words)
			tile_fill_words(hi + 32 * i, shape.wide ? lo + 32 * i : NULL,
							records + q);
		else if (shape.wide)
		{
			memcpy(records + q, lo + 32 * i, 32);
			memcpy(records + q + 32 * shape.tokens, hi + 32 * i, 32);
		}
		else
			memcpy(records + q, hi + 32 * i, 32);
		memcpy(records + scale, d + i, sizeof(float));
		tile_fill_sums(shape, d[i], sums + 2 * i, records + start,
					   records + product);
	}
}

/*
 * The same with the usual shapes as constants, for which the compiler leaves
 * little of the loop: small matrices spend a good part of their time here.
 */
static inline void
tile_fill_token(TileShape shape, const Activations *a, int row, int64_t begin,
				int64_t end, uint8_t *records, int token)
{
	TileShape	usual = shape;

	usual.words = false;
	usual.halves = 1;
	if (shape.words || shape.halves != 1)
		tile_fill_groups(shape, a, row, begin, end, records, token);
	else if (shape.wide && shape.minimum)
	{
		usual.wide = usual.minimum = true;
		tile_fill_groups(usual, a, row, begin, end, records, token);
	}
	else if (shape.wide)
	{
		usual.wide = true;
		usual.minimum = false;
		tile_fill_groups(usual, a, row, begin, end, records, token);
	}
	else if (shape.minimum)
	{
		usual.wide = false;
		usual.minimum = true;
		tile_fill_groups(usual, a, row, begin, end, records, token);
	}
	else
	{
		usual.wide = usual.minimum = false;
		tile_fill_groups(usual, a, row, begin, end, records, token);
	}
}

static inline void
tile_fill(TileShape shape, const Activations *a, int row, int64_t begin,
		  int64_t end, uint8_t *records)
{
	for (int token = 0; token < shape.tokens; token++)
		tile_fill_token(shape, a, row + token, begin, end, records, token);
}

/* One tile of tokens (rows row .. of a) times a run of panels. */
static inline void
tile_run(TileKernel kernel, TileShape shape, const PackedMatrix *w,
		 int64_t panel_begin, int64_t panel_end, const Activations *a, int row,
		 float *out, size_t out_stride)
{
	_Alignas(64) uint8_t records[TILE_RECORD_BYTES];
	const TensorTypeInfo *info = tensor_type(w->type);
	int			subs = info->panel_block_values / 32;
	int64_t		groups = w->k / 32;
	int64_t		segment = TILE_RECORD_BYTES / tile_record_bytes(shape);

	segment -= segment % subs;
	for (int64_t begin = 0; begin < groups; begin += segment)
	{
		int64_t		end = begin + segment < groups ? begin + segment : groups;
		size_t		offset = begin / subs * info->panel_block_bytes;

		tile_fill(shape, a, row, begin, end, records);
		for (int64_t panel = panel_begin; panel < panel_end; panel++)
		{
			TileOutput	at = {
				out + row * out_stride + panel * PANEL_ROWS, out_stride,
				begin == 0
			};

			kernel(w->panels + panel * w->panel_bytes + offset,
				   (end - begin) / subs, records, at);
		}
	}
}

/*
 * kernels[i] takes tokens[i] tokens; tokens descend and end with 1.
 */
static inline void
tile_matmul(const TileKernel *kernels, const int *tokens, TileShape shape,
			const PackedMatrix *w, int64_t panel_begin, int64_t panel_end,
			const Activations *a, float *out, size_t out_stride)
{
	int64_t		run = TILE_WEIGHT_BYTES / w->panel_bytes;

	run = run < 1 ? 1 : run;
	for (int64_t begin = panel_begin; begin < panel_end; begin += run)
	{
		int64_t		end = begin + run < panel_end ? begin + run : panel_end;
		int			i = 0;

		for (int row = 0; row < a->n_rows; row += tokens[i])
		{
			while (tokens[i] > a->n_rows - row)
				i++;
			shape.tokens = tokens[i];
			tile_run(kernels[i], shape, w, begin, end, a, row, out,
					 out_stride);
		}
	}
}

#endif							/* ENGINE_KERNELS_PACKED_TILES_H */
