/*-------------------------------------------------------------------------
 *
 * pack.c
 *	  Rows of a file to panels, and back.
 *
 * panel.h draws the layouts.  Panels keep every bit that a weight depends on:
 * unpacking a row gives what dequantising it gives.  A panel is written block
 * after block, all 16 rows of a block together.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "tensor/pack.h"

#include "base/arena.h"
#include "tensor/panel.h"

/* What stands for the blocks of rows that do not exist: zero weights. */
static const uint8_t no_block[256];

/*
 * Codes.  piece(p) of row r is the word at p * 64 + r * 4; planes is at row r.
 */
static inline void
put_word(uint8_t *planes, int piece, uint32_t word)
{
	memcpy(planes + 64 * piece, &word, sizeof(word));
}

static inline uint32_t
get_word(const uint8_t *planes, int piece)
{
	return load_word(planes + 64 * piece);
}

/* Bits shift .. shift+1 of all codes as a 2-bit plane. */
static inline void
put_two_bits(const uint32_t *code, int shift, uint8_t *planes)
{
	for (int p = 0; p < 2; p++)
	{
		uint32_t	word = 0;

		for (int s = 0; s < 4; s++)
			word |= (code[4 * p + s] >> shift & EACH_BYTE(3)) << (2 * s);
		put_word(planes, p, word);
	}
}

static inline void
get_two_bits(const uint8_t *planes, int shift, uint32_t *code)
{
	for (int g = 0; g < 8; g++)
	{
		uint32_t	word = get_word(planes, g / 4) >> (2 * (g % 4));

		code[g] |= (word & EACH_BYTE(3)) << shift;
	}
}

/* Bit shift of all codes as a 1-bit plane. */
static inline void
put_one_bit(const uint32_t *code, int shift, uint8_t *planes)
{
	uint32_t	word = 0;

	for (int g = 0; g < 8; g++)
		word |= (code[g] >> shift & EACH_BYTE(1)) << g;
	put_word(planes, 0, word);
}

static inline void
get_one_bit(const uint8_t *planes, int shift, uint32_t *code)
{
	for (int g = 0; g < 8; g++)
		code[g] |= (get_word(planes, 0) >> g & EACH_BYTE(1)) << shift;
}

static inline void
put_codes(int base, int extra, const uint32_t *code, uint8_t *planes)
{
	if (base == 8)
	{
		for (int g = 0; g < 8; g++)
			put_word(planes, g, code[g]);
	}
	else if (base == 4)
	{
		for (int g = 0; g < 4; g++)
			put_word(planes, g, (code[g] & EACH_BYTE(15)) |
					 (code[g + 4] & EACH_BYTE(15)) << 4);
	}
	else
		put_two_bits(code, 0, planes);

	if (extra == 1)
		put_one_bit(code, base, planes + 64 * base);
	else if (extra == 2)
		put_two_bits(code, base, planes + 64 * base);
}

static inline void
get_codes(int base, int extra, const uint8_t *planes, uint32_t *code)
{
	for (int g = 0; g < 8; g++)
	{
		if (base == 8)
			code[g] = get_word(planes, g);
		else if (base == 4)
			code[g] = get_word(planes, g % 4) >> (4 * (g / 4)) & EACH_BYTE(15);
		else
			code[g] = 0;
	}
	if (base == 2)
		get_two_bits(planes, 0, code);

	if (extra == 1)
		get_one_bit(planes + 64 * base, base, code);
	else if (extra == 2)
		get_two_bits(planes + 64 * base, base, code);
}

/*
 * Scales.  tail is where the codes of the panel block end.
 */
static inline void
put_scales(ScaleForm form, int sub, int row, const WeightBlock *w,
		   uint8_t *tail)
{
	uint8_t    *integers = tail + PANEL_HALF_BYTES(form) +
		sub * PANEL_INTEGER_BYTES(form) + row;

	if (PANEL_HALF_BYTES(form) > 0)
		memcpy(tail + 2 * row, &w->d, 2);
	if (PANEL_HALF_BYTES(form) > 32)
		memcpy(tail + 32 + 2 * row, &w->m, 2);
	if (PANEL_INTEGER_BYTES(form) > 0)
		integers[0] = w->scale[0];
	if (PANEL_INTEGER_BYTES(form) > 16)
		integers[16] = form == SCALE_MINIMUM_PER_32 ? w->minimum : w->scale[1];
}

static inline void
get_scales(ScaleForm form, int sub, int row, const uint8_t *tail,
		   WeightBlock *w)
{
	const uint8_t *integers = tail + PANEL_HALF_BYTES(form) +
		sub * PANEL_INTEGER_BYTES(form) + row;

	if (PANEL_HALF_BYTES(form) > 0)
		w->d = load_half(tail + 2 * row);
	if (PANEL_HALF_BYTES(form) > 32)
		w->m = load_half(tail + 32 + 2 * row);
	if (PANEL_INTEGER_BYTES(form) > 0)
		w->scale[0] = integers[0];
	if (PANEL_INTEGER_BYTES(form) > 16)
	{
		if (form == SCALE_MINIMUM_PER_32)
			w->minimum = integers[16];
		else
			w->scale[1] = integers[16];
	}
}

/*
 * Row row of sub-block sub of a panel block as numbers.
 */
#define X(NAME, lower, base, extra, subs, form, book, zero) \
static void \
block_values_##lower(const uint8_t *block, int sub, int row, BlockValues *v) \
{ \
	WeightBlock w = {0}; \
 \
	get_codes(base, extra, \
			  block + sub * PANEL_CODE_BYTES(base, extra) + 4 * row, \
			  w.code); \
	get_scales(form, sub, row, \
			   block + (subs) * PANEL_CODE_BYTES(base, extra), &w); \
	weight_block_values(form, book, zero, &w, v); \
}
PANEL_TYPES(X)
#undef X

void
panel_block_values(TensorType type, const uint8_t *block, int sub, int row,
				   BlockValues *values)
{
	switch (type)
	{
#define X(NAME, lower, base, extra, subs, form, book, zero) \
		case TYPE_##NAME: \
			block_values_##lower(block, sub, row, values); \
			break;
			PANEL_TYPES(X)
#undef X
		default:
			memset(values, 0, sizeof(*values));
			break;
	}
}

static int
panel_form(TensorType type)
{
	switch (type)
	{
#define X(NAME, lower, base, extra, subs, form, book, zero) \
		case TYPE_##NAME: \
			return form;
			PANEL_TYPES(X)
#undef X
		default:
			return -1;
	}
}

int
panel_group(TensorType type)
{
	int			form = panel_form(type);

	if (form < 0)
		return 0;
	return form == SCALE_PER_16 || form == SCALE_MINIMUM_PER_16 ? 16 : 32;
}

bool
panel_has_minimum(TensorType type)
{
	int			form = panel_form(type);

	return form >= 0 && scale_has_minimum(form);
}

/*
 * Quantised types: pack and unpack
 */
#define X(NAME, lower, base, extra, subs, form, book, zero) \
void \
pack_##lower(const void *const rows[PANEL_ROWS], void *panel, int64_t k) \
{ \
	uint8_t    *block = panel; \
	size_t		offset = 0; \
 \
	for (int64_t i = 0; i < k; i += 32 * (subs)) \
	{ \
		for (int row = 0; row < PANEL_ROWS; row++) \
		{ \
			const uint8_t *from = rows[row] == NULL ? no_block : \
				(const uint8_t *) rows[row] + offset; \
 \
			for (int sub = 0; sub < (subs); sub++) \
			{ \
				WeightBlock w = {0}; \
 \
				read_##lower(from, sub, &w); \
				put_codes(base, extra, w.code, \
						  block + sub * PANEL_CODE_BYTES(base, extra) + \
						  4 * row); \
				put_scales(form, sub, row, &w, \
						   block + (subs) * PANEL_CODE_BYTES(base, extra)); \
			} \
		} \
		offset += tensor_type(TYPE_##NAME)->block_bytes; \
		block += PANEL_BLOCK_BYTES(NAME); \
	} \
} \
 \
void \
unpack_##lower(const void *panel, int row, float *out, int64_t k) \
{ \
	const uint8_t *block = panel; \
 \
	for (int64_t i = 0; i < k; i += 32 * (subs)) \
	{ \
		for (int sub = 0; sub < (subs); sub++) \
		{ \
			BlockValues v; \
 \
			block_values_##lower(block, sub, row, &v); \
			block_dequantise(form, &v, out + i + 32 * sub); \
		} \
		block += PANEL_BLOCK_BYTES(NAME); \
	} \
}
PANEL_TYPES(X)
#undef X

/*
 * Unquantised types: [k][16] elements.  Rows are taken 16 columns at a time,
 * so that what is being written stays in the first-level cache.
 */
static inline void
pack_elements(const void *const rows[PANEL_ROWS], uint8_t *panel, int64_t k,
			  size_t size)
{
	for (int64_t begin = 0; begin < k; begin += 16)
	{
		int64_t		end = begin + 16 < k ? begin + 16 : k;

		for (int row = 0; row < PANEL_ROWS; row++)
		{
			const uint8_t *from = rows[row];

			for (int64_t i = begin; i < end; i++)
			{
				uint8_t    *to = panel + ((size_t) i * PANEL_ROWS + row) * size;

				if (from == NULL)
					memset(to, 0, size);
				else
					memcpy(to, from + (size_t) i * size, size);
			}
		}
	}
}

void
pack_f32(const void *const rows[PANEL_ROWS], void *panel, int64_t k)
{
	pack_elements(rows, panel, k, 4);
}

void
pack_f16(const void *const rows[PANEL_ROWS], void *panel, int64_t k)
{
	pack_elements(rows, panel, k, 2);
}

void
pack_bf16(const void *const rows[PANEL_ROWS], void *panel, int64_t k)
{
	pack_elements(rows, panel, k, 2);
}

void
unpack_f32(const void *panel, int row, float *out, int64_t k)
{
	const float *from = (const float *) panel + row;

	for (int64_t i = 0; i < k; i++)
		out[i] = from[i * PANEL_ROWS];
}

void
unpack_f16(const void *panel, int row, float *out, int64_t k)
{
	const uint16_t *from = (const uint16_t *) panel + row;

	for (int64_t i = 0; i < k; i++)
		out[i] = f16_to_f32(from[i * PANEL_ROWS]);
}

void
unpack_bf16(const void *panel, int row, float *out, int64_t k)
{
	const uint16_t *from = (const uint16_t *) panel + row;

	for (int64_t i = 0; i < k; i++)
		out[i] = bf16_to_f32(from[i * PANEL_ROWS]);
}

/*
 * Any type
 */
uint64_t
panel_bytes(TensorType type, int64_t k)
{
	const TensorTypeInfo *info = tensor_type(type);
	uint64_t	bytes;

	if (k <= 0 || info == NULL || info->panel_block_values == 0 ||
		k % info->panel_block_values != 0 ||
		!checked_mul(k / info->panel_block_values, info->panel_block_bytes,
					 &bytes) ||
		!checked_align(bytes, 64, &bytes))
		return 0;
	return bytes;
}

void
pack_panel(TensorType type, int64_t k, const void *rows, int n_rows,
		   void *panel)
{
	const TensorTypeInfo *info = tensor_type(type);
	size_t		row_bytes = tensor_row_bytes(type, k);
	size_t		used = k / info->panel_block_values * info->panel_block_bytes;
	const void *each[PANEL_ROWS];

	for (int row = 0; row < PANEL_ROWS; row++)
		each[row] = row >= n_rows ? NULL :
			(const uint8_t *) rows + row * row_bytes;
	info->pack(each, panel, k);

	/* images are compared byte by byte: nothing undefined inside */
	memset((uint8_t *) panel + used, 0, panel_bytes(type, k) - used);
}

void
packed_row(const PackedMatrix *matrix, int64_t r, float *out)
{
	const uint8_t *panel = matrix->panels +
		(size_t) (r / PANEL_ROWS) * matrix->panel_bytes;

	tensor_type(matrix->type)->unpack_row(panel, r % PANEL_ROWS, out,
										  matrix->k);
}
