/*-------------------------------------------------------------------------
 *
 * types_test.c
 *	  The table of weight types and dequantisation.
 *
 * test/data/dequantise.bin holds blocks of every type with the values that
 * another implementation (gguf-py) gives for them, records of
 *
 *		u32 type, u32 values, u32 bytes, the blocks, the values as f32
 *
 *-------------------------------------------------------------------------
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weights_fixture.h"

#define GOLDENS "test/data/dequantise.bin"

static void
every_id_has_its_name(void **state)
{
	static const struct
	{
		uint32_t	id;
		const char *name;
		int			values;
		int			bytes;
	}			expected[] = {
		{0, "F32", 1, 4}, {1, "F16", 1, 2}, {2, "Q4_0", 32, 18},
		{3, "Q4_1", 32, 20}, {4, "Q4_2", 0, 0}, {5, "Q4_3", 0, 0},
		{6, "Q5_0", 32, 22}, {7, "Q5_1", 32, 24}, {8, "Q8_0", 32, 34},
		{9, "Q8_1", 0, 0}, {10, "Q2_K", 256, 84}, {11, "Q3_K", 256, 110},
		{12, "Q4_K", 256, 144}, {13, "Q5_K", 256, 176},
		{14, "Q6_K", 256, 210}, {15, "Q8_K", 0, 0}, {16, "IQ2_XXS", 0, 0},
		{17, "IQ2_XS", 0, 0}, {18, "IQ3_XXS", 0, 0}, {19, "IQ1_S", 0, 0},
		{20, "IQ4_NL", 32, 18}, {21, "IQ3_S", 0, 0}, {22, "IQ2_S", 0, 0},
		{23, "IQ4_XS", 256, 136}, {24, "I8", 0, 0}, {25, "I16", 0, 0},
		{26, "I32", 0, 0}, {27, "I64", 0, 0}, {28, "F64", 0, 0},
		{29, "IQ1_M", 0, 0}, {30, "BF16", 1, 2}, {31, "Q4_0_4_4", 0, 0},
		{32, "Q4_0_4_8", 0, 0}, {33, "Q4_0_8_8", 0, 0}, {34, "TQ1_0", 0, 0},
		{35, "TQ2_0", 0, 0}, {36, "IQ4_NL_4_4", 0, 0},
		{37, "IQ4_NL_4_8", 0, 0}, {38, "IQ4_NL_8_8", 0, 0},
		{39, "MXFP4", 32, 17}, {40, "NVFP4", 0, 0}, {41, "Q1_0", 0, 0},
		{42, "Q2_0", 0, 0}
	};
	size_t		n = sizeof(expected) / sizeof(expected[0]);

	(void) state;
	for (size_t i = 0; i < n; i++)
	{
		const TensorTypeInfo *info = tensor_type(expected[i].id);

		assert_non_null(info);
		assert_string_equal(info->name, expected[i].name);
		assert_int_equal(info->block_values, expected[i].values);
		assert_int_equal(info->block_bytes, expected[i].bytes);
		assert_int_equal(tensor_type_by_name(expected[i].name),
						 expected[i].id);
		assert_int_equal(info->dequantise != NULL, expected[i].values > 0);
		assert_int_equal(info->finite != NULL, expected[i].values > 0);
		assert_int_equal(info->pack != NULL, expected[i].values > 0);
		assert_int_equal(info->unpack_row != NULL, expected[i].values > 0);
	}
	for (uint32_t id = n; id < 100; id++)
		assert_null(tensor_type(id));
	assert_null(tensor_type(UINT32_MAX));
	assert_null(tensor_type(0x80000002u));
}

static void
names_are_found_in_any_case(void **state)
{
	(void) state;
	assert_int_equal(tensor_type_by_name("q4_1"), TYPE_Q4_1);
	assert_int_equal(tensor_type_by_name("Iq4_nL"), TYPE_IQ4_NL);
	assert_int_equal(tensor_type_by_name("bf16"), TYPE_BF16);
	assert_int_equal(tensor_type_by_name("Q4_"), -1);
	assert_int_equal(tensor_type_by_name("Q4_11"), -1);
	assert_int_equal(tensor_type_by_name(""), -1);
}

static void
sizes_of_rows_are_checked(void **state)
{
	(void) state;
	assert_int_equal(tensor_row_bytes(TYPE_Q4_1, 576), 360);
	assert_int_equal(tensor_row_bytes(TYPE_Q6_K, 512), 420);
	assert_int_equal(tensor_row_bytes(TYPE_BF16, 3), 6);
	assert_int_equal(tensor_row_bytes(TYPE_Q4_1, 575), 0);
	assert_int_equal(tensor_row_bytes(TYPE_Q6_K, 128), 0);
	assert_int_equal(tensor_row_bytes((TensorType) 9, 32), 0);
	assert_int_equal(tensor_row_bytes((TensorType) 63, 32), 0);
	assert_int_equal(tensor_row_bytes(TYPE_F32, UINT64_MAX / 2), 0);
	assert_int_equal(tensor_row_bytes(TYPE_F32, UINT64_MAX / 4),
					 UINT64_MAX - 3);
}

/*
 * Equal bits: blocks of the file have finite scales.
 */
static void
check_golden(TensorType type, const uint8_t *blocks, const uint8_t *expected,
			 uint32_t n)
{
	float	   *got = malloc(n * sizeof(float));

	tensor_type(type)->dequantise(blocks, got, n);
	for (uint32_t i = 0; i < n; i++)
	{
		if (memcmp(got + i, expected + 4 * i, 4) != 0)
		{
			float		wanted;

			memcpy(&wanted, expected + 4 * i, 4);
			fail_msg("%s, value %u of %u: %a, expected %a",
					 tensor_type(type)->name, i, n, (double) got[i],
					 (double) wanted);
		}
	}
	free(got);
}

static uint8_t *
read_goldens(long *size)
{
	FILE	   *file = fopen(GOLDENS, "rb");
	uint8_t    *bytes;

	if (file == NULL)
		fail_msg("cannot open %s", GOLDENS);
	fseek(file, 0, SEEK_END);
	*size = ftell(file);
	rewind(file);
	bytes = malloc(*size);
	assert_int_equal(fread(bytes, 1, *size, file), *size);
	fclose(file);
	return bytes;
}

static void
values_are_those_of_another_implementation(void **state)
{
	long		size;
	uint8_t    *bytes = read_goldens(&size);
	bool		seen[TYPE_LIMIT] = {false};

	(void) state;
	for (long at = 0; at < size;)
	{
		uint32_t	header[3];

		assert_true(at + 12 <= size);
		memcpy(header, bytes + at, sizeof(header));
		at += 12;
		assert_true(at + header[2] + 4 * header[1] <= size);
		assert_non_null(tensor_type(header[0]));
		assert_int_equal(tensor_row_bytes((TensorType) header[0], header[1]),
						 header[2]);
		check_golden((TensorType) header[0], bytes + at,
					 bytes + at + header[2], header[1]);
		seen[header[0]] = true;
		at += header[2] + 4 * header[1];
	}
	for (int t = 0; t < FIXTURE_TYPES; t++)
	{
		if (!seen[fixture_types[t]])
			fail_msg("no values of %s", tensor_type(fixture_types[t])->name);
	}
	free(bytes);
}

/* One block of each kind worked out by hand. */
static void
blocks_worked_out_by_hand(void **state)
{
	uint8_t		q4_1[20] = {0x00, 0x38, 0x00, 0xc0, 0xf1};
	uint8_t		q8_0[34] = {0x00, 0x3c, 0x80, 0x7f};
	uint8_t		mxfp4[17] = {0, 0xf7};
	uint8_t		q6_k[210] = {0x0f};
	float		y[256];

	(void) state;
	/* d = 0.5, m = -2 */
	tensor_type(TYPE_Q4_1)->dequantise(q4_1, y, 32);
	assert_true(y[0] == -1.5f && y[16] == 5.5f && y[1] == -2.0f);

	tensor_type(TYPE_Q8_0)->dequantise(q8_0, y, 32);
	assert_true(y[0] == -128.0f && y[1] == 127.0f && y[2] == 0.0f);

	/* the smallest exponent: subnormal */
	tensor_type(TYPE_MXFP4)->dequantise(mxfp4, y, 32);
	assert_true(y[0] == 12.0f * 0x1p-128f && y[16] == -12.0f * 0x1p-128f);

	/* codes 15 | 2 << 4 = 47 and 0 | 2 << 4 = 32 with scale -128, d = 1 */
	memset(q6_k + 128, 0xaa, 64);
	memset(q6_k + 192, 0x80, 16);
	q6_k[209] = 0x3c;
	tensor_type(TYPE_Q6_K)->dequantise(q6_k, y, 256);
	assert_true(y[0] == -128.0f * 15.0f && y[1] == 0.0f && y[255] == 0.0f);
}

static void
every_half_is_converted(void **state)
{
	(void) state;
	for (uint32_t bits = 0; bits < 65536; bits++)
	{
		uint16_t	half = (uint16_t) bits;
		int			exponent = bits >> 10 & 31;
		double		significand = bits & 1023;
		double		expected = exponent == 0 ? significand * 0x1p-24 :
			(significand + 1024.0) * (double) (1u << exponent) * 0x1p-25;
		float		got;
		uint32_t	sign;

		if (exponent == 31)
			continue;
		tensor_type(TYPE_F16)->dequantise(&half, &got, 1);
		assert_true((double) got == (bits & 0x8000 ? -expected : expected));
		memcpy(&sign, &got, sizeof(sign));
		assert_int_equal(sign >> 31, bits >> 15);
	}
}

/* Every place of a scale that is not finite is found, in any block. */
static void
scales_that_are_not_finite_are_found(void **state)
{
	static const struct
	{
		TensorType	type;
		int			offset;
		uint16_t	bad;
	}			places[] = {
		{TYPE_Q4_0, 0, 0x7c00}, {TYPE_Q4_1, 0, 0xfc00},
		{TYPE_Q4_1, 2, 0x7e00}, {TYPE_Q5_0, 0, 0x7c01},
		{TYPE_Q5_1, 0, 0xffff}, {TYPE_Q5_1, 2, 0x7c00},
		{TYPE_Q8_0, 0, 0xfc00}, {TYPE_Q2_K, 80, 0x7c00},
		{TYPE_Q2_K, 82, 0x7e00}, {TYPE_Q3_K, 108, 0x7c00},
		{TYPE_Q4_K, 0, 0x7c00}, {TYPE_Q4_K, 2, 0xfe00},
		{TYPE_Q5_K, 0, 0x7c00}, {TYPE_Q5_K, 2, 0x7c00},
		{TYPE_Q6_K, 208, 0xfc00}, {TYPE_IQ4_NL, 0, 0x7c00},
		{TYPE_IQ4_XS, 0, 0x7c00}, {TYPE_F16, 0, 0x7c00},
		{TYPE_BF16, 0, 0x7f80}, {TYPE_F32, 2, 0x7f80},
		{TYPE_F32, 2, 0xffc0}
	};
	uint32_t	seed = 1;

	(void) state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
	{
		const TensorTypeInfo *info = tensor_type(places[i].type);
		int64_t		n = 5 * info->block_values;
		uint8_t    *blocks = malloc(5 * info->block_bytes);

		for (int block = 0; block < 5; block++)
		{
			fixture_blocks(places[i].type, BLOCKS_EXTREME, &seed, blocks, n);
			assert_true(info->finite(blocks, n));
			memcpy(blocks + block * info->block_bytes + places[i].offset,
				   &places[i].bad, 2);
			assert_false(info->finite(blocks, n));
		}
		free(blocks);
	}
}

static void
exponent_255_is_not_finite(void **state)
{
	uint8_t		blocks[3 * 17] = {0};

	(void) state;
	blocks[17] = 254;
	assert_true(tensor_type(TYPE_MXFP4)->finite(blocks, 96));
	blocks[17] = 255;
	assert_false(tensor_type(TYPE_MXFP4)->finite(blocks, 96));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_id_has_its_name),
		cmocka_unit_test(names_are_found_in_any_case),
		cmocka_unit_test(sizes_of_rows_are_checked),
		cmocka_unit_test(values_are_those_of_another_implementation),
		cmocka_unit_test(blocks_worked_out_by_hand),
		cmocka_unit_test(every_half_is_converted),
		cmocka_unit_test(scales_that_are_not_finite_are_found),
		cmocka_unit_test(exponent_255_is_not_finite),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
