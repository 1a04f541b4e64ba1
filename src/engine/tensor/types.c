/*-------------------------------------------------------------------------
 *
 * types.c
 *	  The table of weight types.
 *
 * Ids and names are those of GGUF.  An entry with a name but without
 * functions (block_values 0) is a type that we know and refuse; its name is
 * for the error message.  Adding a type: a reader in blocks.h, a line in
 * PANEL_TYPES (panel.h), an entry here and an unpacker in each kernel set.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "tensor/types.h"

#include "base/arena.h"
#include "tensor/panel.h"

#define QUANTISED(NAME, lower, values, bytes) \
	[TYPE_##NAME] = { \
		#NAME, values, bytes, \
		dequantise_##lower, finite_##lower, pack_##lower, unpack_##lower, \
		PANEL_BLOCK_BYTES(NAME), PANEL_BLOCK_VALUES(NAME) \
	}

#define FLOATING(NAME, lower, bytes) \
	[TYPE_##NAME] = { \
		#NAME, 1, bytes, \
		dequantise_##lower, finite_##lower, pack_##lower, unpack_##lower, \
		PANEL_ROWS * (bytes), 1 \
	}

static const TensorTypeInfo types[TYPE_LIMIT] = {
	FLOATING(F32, f32, 4),
	FLOATING(F16, f16, 2),
	FLOATING(BF16, bf16, 2),
	QUANTISED(Q4_0, q4_0, 32, 18),
	QUANTISED(Q4_1, q4_1, 32, 20),
	QUANTISED(Q5_0, q5_0, 32, 22),
	QUANTISED(Q5_1, q5_1, 32, 24),
	QUANTISED(Q8_0, q8_0, 32, 34),
	QUANTISED(Q2_K, q2_k, 256, 84),
	QUANTISED(Q3_K, q3_k, 256, 110),
	QUANTISED(Q4_K, q4_k, 256, 144),
	QUANTISED(Q5_K, q5_k, 256, 176),
	QUANTISED(Q6_K, q6_k, 256, 210),
	QUANTISED(IQ4_NL, iq4_nl, 32, 18),
	QUANTISED(IQ4_XS, iq4_xs, 256, 136),
	QUANTISED(MXFP4, mxfp4, 32, 17),

	/* activations of ggml, never weights */
	[9] = {.name = "Q8_1"},
	[15] = {.name = "Q8_K"},

	/* code books, ternary, binary */
	[16] = {.name = "IQ2_XXS"},
	[17] = {.name = "IQ2_XS"},
	[18] = {.name = "IQ3_XXS"},
	[19] = {.name = "IQ1_S"},
	[21] = {.name = "IQ3_S"},
	[22] = {.name = "IQ2_S"},
	[29] = {.name = "IQ1_M"},
	[34] = {.name = "TQ1_0"},
	[35] = {.name = "TQ2_0"},
	[40] = {.name = "NVFP4"},
	[41] = {.name = "Q1_0"},
	[42] = {.name = "Q2_0"},

	/* plain numbers that no weight matrix uses */
	[24] = {.name = "I8"},
	[25] = {.name = "I16"},
	[26] = {.name = "I32"},
	[27] = {.name = "I64"},
	[28] = {.name = "F64"},

	/* removed from the format */
	[4] = {.name = "Q4_2"},
	[5] = {.name = "Q4_3"},
	[31] = {.name = "Q4_0_4_4"},
	[32] = {.name = "Q4_0_4_8"},
	[33] = {.name = "Q4_0_8_8"},
	[36] = {.name = "IQ4_NL_4_4"},
	[37] = {.name = "IQ4_NL_4_8"},
	[38] = {.name = "IQ4_NL_8_8"},
};

const TensorTypeInfo *
tensor_type(uint32_t id)
{
	if (id >= TYPE_LIMIT || types[id].name == NULL)
		return NULL;
	return &types[id];
}

/* Letters only differ in case; ASCII, whatever the locale says. */
static bool
same_name(const char *a, const char *b)
{
	for (;; a++, b++)
	{
		char		upper = (*b >= 'a' && *b <= 'z') ? *b - 'a' + 'A' : *b;

		if (*a != upper)
			return false;
		if (*a == '\0')
			return true;
	}
}

int
tensor_type_by_name(const char *name)
{
	for (int id = 0; id < TYPE_LIMIT; id++)
	{
		if (types[id].name != NULL && same_name(types[id].name, name))
			return id;
	}
	return -1;
}

uint64_t
tensor_row_bytes(TensorType type, uint64_t n)
{
	const TensorTypeInfo *info = tensor_type(type);
	uint64_t	bytes;

	if (info == NULL || info->block_values == 0 ||
		n % info->block_values != 0 ||
		!checked_mul(n / info->block_values, info->block_bytes, &bytes))
		return 0;
	return bytes;
}
