/*-------------------------------------------------------------------------
 *
 * dequantise.c
 *	  File blocks to f32, and the check that their scales are finite.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "tensor/panel.h"

/* Non-linear 4-bit values (ggml's kvalues_iq4nl). */
const int8_t iq4_values[16] = {
	-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
};

/* Twice the E2M1 values, hence integers; the scale is half as large. */
const int8_t mxfp4_values[16] = {
	0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12
};

static inline bool
half_finite(const uint8_t *bytes)
{
	return (load_half(bytes) & 0x7c00) != 0x7c00;
}

/*
 * Quantised types.  The readers are inlined into each function, so that the
 * pieces that a type does not have cost nothing.
 */
#define X(NAME, lower, base, extra, subs, form, book, zero) \
void \
dequantise_##lower(const void *blocks, float *out, int64_t n) \
{ \
	const uint8_t *block = blocks; \
	size_t		block_bytes = tensor_type(TYPE_##NAME)->block_bytes; \
 \
	for (int64_t i = 0; i < n; i += 32 * (subs), block += block_bytes) \
	{ \
		for (int sub = 0; sub < (subs); sub++) \
		{ \
			WeightBlock w = {0}; \
			BlockValues v; \
 \
			read_##lower(block, sub, &w); \
			weight_block_values(form, book, zero, &w, &v); \
			block_dequantise(form, &v, out + i + 32 * sub); \
		} \
	} \
}
PANEL_TYPES(X)
#undef X

/* a, b: where the f16 scales of a block lie (the same when there is one) */
#define FINITE(lower, values, bytes, a, b) \
bool \
finite_##lower(const void *blocks, int64_t n) \
{ \
	const uint8_t *block = blocks; \
	bool		good = true; \
 \
	for (int64_t i = 0; i < n; i += (values), block += (bytes)) \
		good = good && half_finite(block + (a)) && half_finite(block + (b)); \
	return good; \
}

FINITE(q4_0, 32, 18, 0, 0)
FINITE(q4_1, 32, 20, 0, 2)
FINITE(q5_0, 32, 22, 0, 0)
FINITE(q5_1, 32, 24, 0, 2)
FINITE(q8_0, 32, 34, 0, 0)
FINITE(q2_k, 256, 84, 80, 82)
FINITE(q3_k, 256, 110, 108, 108)
FINITE(q4_k, 256, 144, 0, 2)
FINITE(q5_k, 256, 176, 0, 2)
FINITE(q6_k, 256, 210, 208, 208)
FINITE(iq4_nl, 32, 18, 0, 0)
FINITE(iq4_xs, 256, 136, 0, 0)

bool
finite_mxfp4(const void *blocks, int64_t n)
{
	const uint8_t *block = blocks;
	bool		good = true;

	for (int64_t i = 0; i < n; i += 32, block += 17)
		good &= block[0] != 255;
	return good;
}

/*
 * Unquantised types
 */
void
dequantise_f32(const void *blocks, float *out, int64_t n)
{
	memcpy(out, blocks, (size_t) n * sizeof(float));
}

void
dequantise_f16(const void *blocks, float *out, int64_t n)
{
	const uint8_t *bytes = blocks;

	for (int64_t i = 0; i < n; i++)
		out[i] = f16_to_f32(load_half(bytes + 2 * i));
}

void
dequantise_bf16(const void *blocks, float *out, int64_t n)
{
	const uint8_t *bytes = blocks;

	for (int64_t i = 0; i < n; i++)
		out[i] = bf16_to_f32(load_half(bytes + 2 * i));
}

bool
finite_f32(const void *blocks, int64_t n)
{
	const uint8_t *bytes = blocks;
	bool		good = true;

	for (int64_t i = 0; i < n; i++)
		good &= (load_word(bytes + 4 * i) & 0x7f800000u) != 0x7f800000u;
	return good;
}

bool
finite_f16(const void *blocks, int64_t n)
{
	const uint8_t *bytes = blocks;
	bool		good = true;

	for (int64_t i = 0; i < n; i++)
		good &= half_finite(bytes + 2 * i);
	return good;
}

bool
finite_bf16(const void *blocks, int64_t n)
{
	const uint8_t *bytes = blocks;
	bool		good = true;

	for (int64_t i = 0; i < n; i++)
		good &= (load_half(bytes + 2 * i) & 0x7f80) != 0x7f80;
	return good;
}
