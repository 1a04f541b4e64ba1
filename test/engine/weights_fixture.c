/*-------------------------------------------------------------------------
 *
 * weights_fixture.c
 *	  Random weights and activations.
 *
 * Everything is a function of the seed: a failure can be repeated.
 *
 *-------------------------------------------------------------------------
 */
#include "weights_fixture.h"

#include <stdlib.h>
#include <string.h>

const TensorType fixture_types[FIXTURE_TYPES] = {
	TYPE_Q4_0, TYPE_Q4_1, TYPE_Q5_0, TYPE_Q5_1, TYPE_Q8_0, TYPE_Q2_K,
	TYPE_Q3_K, TYPE_Q4_K, TYPE_Q5_K, TYPE_Q6_K, TYPE_IQ4_NL, TYPE_IQ4_XS,
	TYPE_MXFP4, TYPE_F32, TYPE_F16, TYPE_BF16
};

/* Where the f16 scales of a block are; -1: there is none. */
static const struct
{
	TensorType	type;
	int			d;
	int			m;
}			halves[] = {
	{TYPE_Q4_0, 0, -1}, {TYPE_Q4_1, 0, 2}, {TYPE_Q5_0, 0, -1},
	{TYPE_Q5_1, 0, 2}, {TYPE_Q8_0, 0, -1}, {TYPE_Q2_K, 80, 82},
	{TYPE_Q3_K, 108, -1}, {TYPE_Q4_K, 0, 2}, {TYPE_Q5_K, 0, 2},
	{TYPE_Q6_K, 208, -1}, {TYPE_IQ4_NL, 0, -1}, {TYPE_IQ4_XS, 0, -1}
};

uint32_t
fixture_random(uint32_t *state)
{
	uint32_t	x = *state;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	*state = x;
	return x * 0x9e3779b1u;
}

float
fixture_uniform(uint32_t *state)
{
	return (float) (fixture_random(state) >> 8) * 0x1p-23f - 1.0f;
}

static uint16_t
random_half(BlockKind kind, uint32_t *state)
{
	static const uint16_t extremes[] = {
		0x7bff, 0xfbff, 0x0001, 0x8001, 0x03ff, 0x83ff, 0x0400, 0x0000,
		0x8000, 0x3c00
	};
	uint32_t	r = fixture_random(state) >> 8;

	switch (kind)
	{
		case BLOCKS_EXTREME:
			return extremes[r % 10];
		case BLOCKS_HIGHEST:
		case BLOCKS_LOWEST:
			return 0x3c00;
		default:				/* 2^-9 .. 2^-1, either sign */
			return (uint16_t) ((r & 0x83ff) | (6 + (r >> 16) % 8) << 10);
	}
}

static void
put_half(uint8_t *block, int offset, BlockKind kind, uint32_t *state)
{
	uint16_t	half = random_half(kind, state);

	if (offset >= 0)
		memcpy(block + offset, &half, sizeof(half));
}

static void
put_scales(TensorType type, BlockKind kind, uint32_t *state, uint8_t *block)
{
	static const uint8_t exponents[] = {0, 1, 2, 3, 127, 180, 190, 200};

	if (type == TYPE_MXFP4)
		block[0] = kind == BLOCKS_EXTREME ?
			exponents[(fixture_random(state) >> 8) % 8] :
			120 + (fixture_random(state) >> 8) % 10;
	for (size_t i = 0; i < sizeof(halves) / sizeof(halves[0]); i++)
	{
		if (halves[i].type == type)
		{
			put_half(block, halves[i].d, kind, state);
			put_half(block, halves[i].m, kind, state);
		}
	}
}

static void
put_number(TensorType type, uint32_t *state, uint8_t *element)
{
	float		x = fixture_uniform(state);
	uint32_t	bits;
	uint16_t	half = random_half(BLOCKS_USUAL, state);

	memcpy(&bits, &x, sizeof(bits));
	if (type == TYPE_BF16)
		half = (uint16_t) (bits >> 16);
	if (type == TYPE_F32)
		memcpy(element, &bits, sizeof(bits));
	else
		memcpy(element, &half, sizeof(half));
}

/* MXFP4's largest value is not its largest code. */
static uint8_t
highest_byte(TensorType type)
{
	return type == TYPE_MXFP4 ? 0x77 : 0xff;
}

void
fixture_blocks(TensorType type, BlockKind kind, uint32_t *state, void *blocks,
			   int64_t n)
{
	const TensorTypeInfo *info = tensor_type(type);
	uint8_t    *block = blocks;

	for (int64_t i = 0; i < n; i += info->block_values)
	{
		if (info->block_values == 1)
			put_number(type, state, block);
		else
		{
			for (int byte = 0; byte < info->block_bytes; byte++)
				block[byte] = kind == BLOCKS_HIGHEST ? highest_byte(type) :
					kind == BLOCKS_LOWEST ? 0 :
					(uint8_t) (fixture_random(state) >> 16);
			put_scales(type, kind, state, block);
		}
		block += info->block_bytes;
	}
}

PackedMatrix
fixture_matrix(TensorType type, BlockKind kind, uint32_t *state, int64_t n,
			   int64_t k)
{
	int64_t		n_panels = (n + PANEL_ROWS - 1) / PANEL_ROWS;
	size_t		row_bytes = tensor_row_bytes(type, k);
	PackedMatrix matrix = {NULL, type, n, k, panel_bytes(type, k)};
	uint8_t    *panels = aligned_alloc(64, n_panels * matrix.panel_bytes);
	uint8_t    *rows = malloc(PANEL_ROWS * row_bytes);

	for (int64_t panel = 0; panel < n_panels; panel++)
	{
		int64_t		left = n - panel * PANEL_ROWS;
		int			n_rows = left < PANEL_ROWS ? (int) left : PANEL_ROWS;

		fixture_blocks(type, kind, state, rows, n_rows * k);
		pack_panel(type, k, rows, n_rows, panels + panel * matrix.panel_bytes);
	}
	free(rows);
	matrix.panels = panels;
	return matrix;
}

void
fixture_matrix_free(PackedMatrix *matrix)
{
	free((void *) matrix->panels);
	matrix->panels = NULL;
}

static float
usual_value(uint32_t *state)
{
	float		x = fixture_uniform(state) + fixture_uniform(state) +
		fixture_uniform(state);

	return fixture_random(state) % 97 == 0 ? x * 30.0f : x;
}

void
fixture_row(RowKind kind, uint32_t *state, float *x, int64_t k)
{
	static const float magnitudes[] = {
		1.0f, 0x1p-90f, 0x1p-100f, 0x1p-110f, 0x1p-149f, 0x1p20f, 0x1p-126f
	};
	float		magnitude = 1.0f;
	float		tiny = 0.0f;
	RowKind		now = kind;

	for (int64_t i = 0; i < k; i++)
	{
		if (kind == ROWS_MIXED && i % 32 == 0)
		{
			now = (RowKind) ((fixture_random(state) >> 8) % ROWS_MIXED);
			magnitude = magnitudes[(fixture_random(state) >> 8) % 7];
		}
		if (i % 32 == 0)
			tiny = (i / 32 % 4 + 1) * 0x1p-101f;
		switch (now)
		{
			case ROWS_ZERO:
				x[i] = fixture_random(state) & 256 ? -0.0f : 0.0f;
				break;
			case ROWS_TINY:
				x[i] = fixture_uniform(state) * tiny;
				break;
			case ROWS_FULL:
				x[i] = (i / 32 % 3 == 0 || (i / 32 % 3 == 1 && i % 2)) ?
					magnitude : -magnitude;
				break;
			default:
				x[i] = usual_value(state) * magnitude;
				break;
		}
	}
}

static void *
exactly(size_t bytes)
{
	size_t		rounded = (bytes + 63) / 64 * 64;
	void	   *memory = aligned_alloc(64, rounded);

	memset(memory, 0x55, rounded);
	return memory;
}

Activations
fixture_activations(RowKind kind, uint32_t *state, int n_rows, int64_t k,
					int bits)
{
	Activations a = {.n_rows = n_rows, .k = k, .bits = bits};
	float	   *x;

	a.x_stride = (k + 15) / 16 * 16;
	a.plane_stride = (k + 63) / 64 * 64;
	a.group_stride = (k / 32 + 15) / 16 * 16;
	x = exactly(n_rows * a.x_stride * sizeof(float));
	for (int row = 0; row < n_rows; row++)
		fixture_row(kind, state, x + row * a.x_stride, k);
	a.x = x;
	a.hi = exactly(n_rows * a.plane_stride);
	a.lo = bits == 16 ? exactly(n_rows * a.plane_stride) : NULL;
	a.d = exactly(n_rows * a.group_stride * sizeof(float));
	a.sums = exactly(n_rows * 2 * a.group_stride * sizeof(int32_t));
	return a;
}

void
fixture_activations_free(Activations *a)
{
	free((void *) a->x);
	free(a->hi);
	free(a->lo);
	free(a->d);
	free(a->sums);
}

void
fixture_quantise(const KernelSet *set, Activations *a)
{
	for (int row = 0; row < a->n_rows; row++)
		set->quantise(a->x + row * a->x_stride, a->k, a->bits,
					  a->hi + row * a->plane_stride,
					  a->lo == NULL ? NULL : a->lo + row * a->plane_stride,
					  a->d + row * a->group_stride,
					  a->sums + row * 2 * a->group_stride);
}

Activations
fixture_one_row(const Activations *a, int row)
{
	Activations one = *a;

	one.n_rows = 1;
	one.x += row * a->x_stride;
	one.hi += row * a->plane_stride;
	if (one.lo != NULL)
		one.lo += row * a->plane_stride;
	one.d += row * a->group_stride;
	one.sums += row * 2 * a->group_stride;
	return one;
}
