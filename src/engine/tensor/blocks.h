/*-------------------------------------------------------------------------
 *
 * blocks.h
 *	  Quantised weights as a file stores them, and what they mean.
 *
 * Every quantised type is read in pieces of 32 consecutive weights of a row
 * into a WeightBlock, which keeps all the file's bits: unsigned codes, f16
 * scales, integer sub-scales.  weight_block_values() gives them their meaning,
 *
 *		weight = s * u + t		(t only for types with a minimum)
 *
 * with u an integer and s, t exact in f32: a product of an f16 (11 bits) and
 * an integer of at most 8 bits.  Dequantisation, the panels (panel.h) and the
 * reference kernel all go through these two steps, so that there is one place
 * that knows a format.  Layouts: ggml-common.h, ggml-quants.c of ggml.
 *
 * Readers are written for little-endian processors, and work on four codes at
 * a time: packing a model is part of loading it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TENSOR_BLOCKS_H
#define ENGINE_TENSOR_BLOCKS_H

#include <string.h>

#include "kernels/half.h"
#include "tensor/types.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "weights are read as little-endian words"
#endif

/* 32 weights of a row: all that their file says about them. */
typedef struct WeightBlock
{
	uint32_t	code[8];		/* byte i of code[g] belongs to weight 4g + i */
	uint16_t	d;				/* f16: scale (of 256 weights for _K, IQ4_XS) */
	uint16_t	m;				/* f16: minimum, or scale of minima (_K) */

	/*
	 * Integers that multiply d: one for each 16 weights (Q3_K, Q6_K: signed;
	 * Q2_K: scale in the low, minimum in the high nibble), or [0] for all 32
	 * (Q4_K, Q5_K; IQ4_XS signed; MXFP4: the exponent).
	 */
	uint8_t		scale[2];
	uint8_t		minimum;		/* multiplies m: Q4_K, Q5_K */
} WeightBlock;

/* The same weights as numbers: weight i is s[i / 16] * u[i] + t[i / 16]. */
typedef struct BlockValues
{
	int32_t		u[32];
	float		s[2];
	float		t[2];
} BlockValues;

/* How the integers of a block become s and t. */
typedef enum ScaleForm
{
	SCALE_D,					/* s = d */
	SCALE_D_M,					/* s = d, t = m */
	SCALE_EXPONENT,				/* s = 2^(scale - 128) */
	SCALE_PER_32,				/* s = d * (signed) scale */
	SCALE_PER_16,				/* the same for each 16 */
	SCALE_MINIMUM_PER_32,		/* s = d * scale, t = -m * minimum */
	SCALE_MINIMUM_PER_16		/* the same for each 16, from nibbles */
} ScaleForm;

/* Values of the 4-bit code books. */
extern const int8_t iq4_values[16];
extern const int8_t mxfp4_values[16];

#define EACH_BYTE(x) ((uint32_t) (x) * 0x01010101u)

static inline uint32_t
load_word(const uint8_t *bytes)
{
	uint32_t	word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

static inline uint16_t
load_half(const uint8_t *bytes)
{
	uint16_t	half;

	memcpy(&half, bytes, sizeof(half));
	return half;
}

/* 16 bytes whose low nibbles are weights 0..15, high nibbles 16..31. */
static inline void
read_nibbles(const uint8_t *q, WeightBlock *w)
{
	for (int g = 0; g < 4; g++)
	{
		uint32_t	word = load_word(q + 4 * g);

		w->code[g] = word & EACH_BYTE(15);
		w->code[g + 4] = word >> 4 & EACH_BYTE(15);
	}
}

/* Bit i of bits becomes bit 4 of code i. */
static inline void
read_fifth_bits(uint32_t bits, WeightBlock *w)
{
	for (int g = 0; g < 8; g++)
	{
		uint32_t	four = bits >> (4 * g) & 15;

		/* copies at distance 7 put bit i at the bottom of byte i */
		w->code[g] |= (four * 0x00204081u & EACH_BYTE(1)) << 4;
	}
}

static inline void
read_q4_0(const uint8_t *block, int sub, WeightBlock *w)
{
	(void) sub;
	w->d = load_half(block);
	read_nibbles(block + 2, w);
}

static inline void
read_q4_1(const uint8_t *block, int sub, WeightBlock *w)
{
	(void) sub;
	w->d = load_half(block);
	w->m = load_half(block + 2);
	read_nibbles(block + 4, w);
}

static inline void
read_q5_0(const uint8_t *block, int sub, WeightBlock *w)
{
	(void) sub;
	w->d = load_half(block);
	read_nibbles(block + 6, w);
	read_fifth_bits(load_word(block + 2), w);
}

static inline void
read_q5_1(const uint8_t *block, int sub, WeightBlock *w)
{
	(void) sub;
	w->d = load_half(block);
	w->m = load_half(block + 2);
	read_nibbles(block + 8, w);
	read_fifth_bits(load_word(block + 4), w);
}

/* Codes are the signed bytes plus 128. */
static inline void
read_q8_0(const uint8_t *block, int sub, WeightBlock *w)
{
	(void) sub;
	w->d = load_half(block);
	for (int g = 0; g < 8; g++)
		w->code[g] = load_word(block + 2 + 4 * g) ^ EACH_BYTE(0x80);
}

static inline void
read_q2_k(const uint8_t *block, int sub, WeightBlock *w)
{
	const uint8_t *q = block + 16 + 32 * (sub / 4);

	w->d = load_half(block + 80);
	w->m = load_half(block + 82);
	w->scale[0] = block[2 * sub];
	w->scale[1] = block[2 * sub + 1];
	for (int g = 0; g < 8; g++)
		w->code[g] = load_word(q + 4 * g) >> (2 * (sub % 4)) & EACH_BYTE(3);
}

/* The six bits of scale k, which lie in two places; a signed number. */
static inline uint8_t
q3_k_scale(const uint8_t *s, int k)
{
	int			low = k < 8 ? s[k] & 15 : s[k - 8] >> 4;
	int			high = s[8 + k % 4] >> (2 * (k / 4)) & 3;

	return (uint8_t) ((low | high << 4) - 32);
}

static inline void
read_q3_k(const uint8_t *block, int sub, WeightBlock *w)
{
	const uint8_t *q = block + 32 + 32 * (sub / 4);

	w->d = load_half(block + 108);
	w->scale[0] = q3_k_scale(block + 96, 2 * sub);
	w->scale[1] = q3_k_scale(block + 96, 2 * sub + 1);
	for (int g = 0; g < 8; g++)
	{
		uint32_t	low = load_word(q + 4 * g) >> (2 * (sub % 4));
		uint32_t	high = load_word(block + 4 * g) >> sub;

		w->code[g] = (low & EACH_BYTE(3)) | (high & EACH_BYTE(1)) << 2;
	}
}

/* Six-bit scales and minima of Q4_K and Q5_K: 12 bytes for 8 sub-blocks. */
static inline void
read_k_scales(const uint8_t *s, int sub, WeightBlock *w)
{
	if (sub < 4)
	{
		w->scale[0] = s[sub] & 63;
		w->minimum = s[sub + 4] & 63;
	}
	else
	{
		w->scale[0] = (s[sub + 4] & 15) | (s[sub - 4] >> 6) << 4;
		w->minimum = (s[sub + 4] >> 4) | (s[sub] >> 6) << 4;
	}
}

static inline void
read_q4_k(const uint8_t *block, int sub, WeightBlock *w)
{
	const uint8_t *q = block + 16 + 32 * (sub / 2);

	w->d = load_half(block);
	w->m = load_half(block + 2);
	read_k_scales(block + 4, sub, w);
	for (int g = 0; g < 8; g++)
		w->code[g] = load_word(q + 4 * g) >> (4 * (sub % 2)) & EACH_BYTE(15);
}

static inline void
read_q5_k(const uint8_t *block, int sub, WeightBlock *w)
{
	const uint8_t *q = block + 48 + 32 * (sub / 2);

	w->d = load_half(block);
	w->m = load_half(block + 2);
	read_k_scales(block + 4, sub, w);
	for (int g = 0; g < 8; g++)
	{
		uint32_t	low = load_word(q + 4 * g) >> (4 * (sub % 2));
		uint32_t	high = load_word(block + 16 + 4 * g) >> sub;

		w->code[g] = (low & EACH_BYTE(15)) | (high & EACH_BYTE(1)) << 4;
	}
}

static inline void
read_q6_k(const uint8_t *block, int sub, WeightBlock *w)
{
	const uint8_t *ql = block + 64 * (sub / 4) + 32 * (sub % 2);
	const uint8_t *qh = block + 128 + 32 * (sub / 4);

	w->d = load_half(block + 208);
	w->scale[0] = block[192 + 2 * sub];
	w->scale[1] = block[192 + 2 * sub + 1];
	for (int g = 0; g < 8; g++)
	{
		uint32_t	low = load_word(ql + 4 * g) >> (4 * (sub / 2 % 2));
		uint32_t	high = load_word(qh + 4 * g) >> (2 * (sub % 4));

		w->code[g] = (low & EACH_BYTE(15)) | (high & EACH_BYTE(3)) << 4;
	}
}

static inline void
read_iq4_nl(const uint8_t *block, int sub, WeightBlock *w)
{
	read_q4_0(block, sub, w);
}

static inline void
read_iq4_xs(const uint8_t *block, int sub, WeightBlock *w)
{
	int			low = block[4 + sub / 2] >> (4 * (sub % 2)) & 15;
	int			high = load_half(block + 2) >> (2 * sub) & 3;

	w->d = load_half(block);
	w->scale[0] = (uint8_t) ((low | high << 4) - 32);
	read_nibbles(block + 8 + 16 * sub, w);
}

static inline void
read_mxfp4(const uint8_t *block, int sub, WeightBlock *w)
{
	(void) sub;
	w->scale[0] = block[0];
	read_nibbles(block + 1, w);
}

/* 2^(e - 128), subnormal for e = 0 and 1. */
static inline float
exponent_scale(uint8_t e)
{
	uint32_t	bits = e < 2 ? 0x00200000u << e : (uint32_t) (e - 1) << 23;
	float		scale;

	memcpy(&scale, &bits, sizeof(scale));
	return scale;
}

static inline void
weight_block_scales(ScaleForm form, const WeightBlock *w, BlockValues *v)
{
	float		d = f16_to_f32(w->d);
	float		m = f16_to_f32(w->m);

	for (int h = 0; h < 2; h++)
	{
		v->s[h] = d;
		v->t[h] = 0.0f;
		switch (form)
		{
			case SCALE_D:
				break;
			case SCALE_D_M:
				v->t[h] = m;
				break;
			case SCALE_EXPONENT:
				v->s[h] = exponent_scale(w->scale[0]);
				break;
			case SCALE_PER_32:
				v->s[h] = d * (float) (int8_t) w->scale[0];
				break;
			case SCALE_PER_16:
				v->s[h] = d * (float) (int8_t) w->scale[h];
				break;
			case SCALE_MINIMUM_PER_32:
				v->s[h] = d * (float) w->scale[0];
				v->t[h] = -m * (float) w->minimum;
				break;
			case SCALE_MINIMUM_PER_16:
				v->s[h] = d * (float) (w->scale[h] & 15);
				v->t[h] = -m * (float) (w->scale[h] >> 4);
				break;
		}
	}
}

/* book: values of the codes, or NULL when they are the codes minus zero. */
static inline void
weight_block_values(ScaleForm form, const int8_t *book, int zero,
					const WeightBlock *w, BlockValues *v)
{
	weight_block_scales(form, w, v);
	for (int i = 0; i < 32; i++)
	{
		int			code = w->code[i / 4] >> (8 * (i % 4)) & 255;

		v->u[i] = book != NULL ? book[code & 15] : code - zero;
	}
}

/* Whether there is a t to add: without one, -0 must stay -0. */
static inline bool
scale_has_minimum(ScaleForm form)
{
	return form == SCALE_D_M || form == SCALE_MINIMUM_PER_32 ||
		form == SCALE_MINIMUM_PER_16;
}

/* The numerics contract's dequantisation: multiply, then add. */
static inline void
block_dequantise(ScaleForm form, const BlockValues *v, float *out)
{
	for (int i = 0; i < 32; i++)
	{
		out[i] = v->s[i / 16] * (float) v->u[i];
		if (scale_has_minimum(form))
			out[i] += v->t[i / 16];
	}
}

#endif							/* ENGINE_TENSOR_BLOCKS_H */
