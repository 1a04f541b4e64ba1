/*-------------------------------------------------------------------------
 *
 * quantise.c
 *	  From f32 to the weight types of GGUF.
 *
 * Here: types whose scale follows from the extremes of a block.  A symmetric
 * type (Q4_0, Q5_0) maps the value of largest magnitude to its lowest code,
 * which is one further from zero than the highest; types with a minimum map
 * the range of the block to all codes.  Bytes are those of gguf-py's and
 * ggml's reference quantisers.
 *
 * Codes come from the f32 scale, although a file stores it as f16: that is
 * how the reference does it.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "tensor/quantise.h"

#include "tensor/quantise_block.h"

/* The value of largest magnitude, with its sign; the first of equals. */
static float
farthest(const float *x)
{
	float		found = 0.0f;

	for (int i = 0; i < 32; i++)
	{
		if (magnitude(x[i]) > magnitude(found))
			found = x[i];
	}
	return found;
}

static void
extremes(const float *x, float *min, float *max)
{
	*min = x[0];
	*max = x[0];
	for (int i = 1; i < 32; i++)
	{
		if (x[i] < *min)
			*min = x[i];
		if (x[i] > *max)
			*max = x[i];
	}
}

/* 1 / d; 0 for a scale so small that the stored one is zero. */
static float
reciprocal(float d)
{
	return magnitude(d) < 1e-37f ? 0.0f : 1.0f / d;
}

/* x towards zero, 0 .. limit; of no number: 0 */
static int
code_below(float x, int limit)
{
	if (!(x > 0.0f))
		return 0;
	return x >= (float) limit ? limit : (int) x;
}

/* Bits 0..3 as nibbles, bit 4 into the 32 bits of *fifth. */
static void
pack_codes(const int *codes, uint8_t *nibbles, uint32_t *fifth)
{
	*fifth = 0;
	for (int i = 0; i < 16; i++)
		nibbles[i] = (uint8_t) ((codes[i] & 15) | (codes[i + 16] & 15) << 4);
	for (int i = 0; i < 32; i++)
		*fifth |= (uint32_t) (codes[i] >> 4) << i;
}

/* Symmetric: zero is the code of 0, twice zero - 1 the highest. */
static float
symmetric_codes(const float *x, int zero, int *codes)
{
	float		d = farthest(x) / (float) -zero;
	float		inverse = reciprocal(d);

	for (int i = 0; i < 32; i++)
		codes[i] = code_below(x[i] * inverse + ((float) zero + 0.5f),
							  2 * zero - 1);
	return d;
}

static float
range_codes(const float *x, int highest, int *codes, float *min)
{
	float		max;
	float		d;
	float		inverse;

	extremes(x, min, &max);
	d = (max - *min) / (float) highest;
	inverse = reciprocal(d);
	for (int i = 0; i < 32; i++)
		codes[i] = code_below((x[i] - *min) * inverse + 0.5f, highest);
	return d;
}

static void
block_q4_0(const float *x, uint8_t *out)
{
	int			codes[32];
	uint32_t	fifth;

	put_half(out, symmetric_codes(x, 8, codes));
	pack_codes(codes, out + 2, &fifth);
}

static void
block_q5_0(const float *x, uint8_t *out)
{
	int			codes[32];
	uint32_t	fifth;

	put_half(out, symmetric_codes(x, 16, codes));
	pack_codes(codes, out + 6, &fifth);
	memcpy(out + 2, &fifth, sizeof(fifth));
}

static void
block_q4_1(const float *x, uint8_t *out)
{
	int			codes[32];
	uint32_t	fifth;
	float		min;

	put_half(out, range_codes(x, 15, codes, &min));
	put_half(out + 2, min);
	pack_codes(codes, out + 4, &fifth);
}

static void
block_q5_1(const float *x, uint8_t *out)
{
	int			codes[32];
	uint32_t	fifth;
	float		min;

	put_half(out, range_codes(x, 31, codes, &min));
	put_half(out + 2, min);
	pack_codes(codes, out + 8, &fifth);
	memcpy(out + 4, &fifth, sizeof(fifth));
}

/* Half away from zero, without the error of adding 0.5 in f32. */
static int
round_away(float x)
{
	float		m = magnitude(x);
	int			code = code_below(m, 127);

	if (code < 127 && m - (float) code >= 0.5f)
		code++;
	return x < 0.0f ? -code : code;
}

static void
block_q8_0(const float *x, uint8_t *out)
{
	float		d = magnitude(farthest(x)) / 127.0f;
	float		inverse = reciprocal(d);

	put_half(out, d);
	for (int i = 0; i < 32; i++)
		out[2 + i] = (uint8_t) round_away(x[i] * inverse);
}

static void
block_f32(const float *x, uint8_t *out)
{
	memcpy(out, x, sizeof(*x));
}

static void
block_f16(const float *x, uint8_t *out)
{
	put_half(out, *x);
}

static void
block_bf16(const float *x, uint8_t *out)
{
	uint32_t	bits;
	uint16_t	half;

	memcpy(&bits, x, sizeof(bits));
	half = (uint16_t) round_off_bits(bits, 16);
	memcpy(out, &half, sizeof(half));
}

typedef void (*QuantiseBlock) (const float *x, uint8_t *out);

static const QuantiseBlock blocks[TYPE_LIMIT] = {
	[TYPE_F32] = block_f32,
	[TYPE_F16] = block_f16,
	[TYPE_BF16] = block_bf16,
	[TYPE_Q4_0] = block_q4_0,
	[TYPE_Q4_1] = block_q4_1,
	[TYPE_Q5_0] = block_q5_0,
	[TYPE_Q5_1] = block_q5_1,
	[TYPE_Q8_0] = block_q8_0,
	[TYPE_IQ4_NL] = quantise_iq4_nl,
	[TYPE_Q4_K] = quantise_q4_k,
	[TYPE_Q5_K] = quantise_q5_k,
	[TYPE_Q6_K] = quantise_q6_k,
};

bool
quantise_knows(TensorType type)
{
	return (unsigned) type < TYPE_LIMIT && blocks[type] != NULL;
}

void
quantise_row(TensorType type, const float *x, int64_t n, void *out)
{
	const TensorTypeInfo *info = tensor_type(type);
	uint8_t    *bytes = out;

	for (int64_t i = 0; i < n; i += info->block_values)
	{
		blocks[type] (x + i, bytes);
		bytes += info->block_bytes;
	}
}
