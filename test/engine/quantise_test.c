/*-------------------------------------------------------------------------
 *
 * quantise_test.c
 *	  From f32 to the weight types.
 *
 * test/data/quantise.bin holds values and the bytes that gguf-py makes of
 * them, records of
 *
 *		u32 type, u32 values, u32 bytes, the values as f32, the bytes
 *
 * For types that it cannot make, and for what it would not survive, the
 * quantised values must lie near the original ones.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "numbers.h"
#include "tensor/quantise.h"

#define GOLDENS "test/data/quantise.bin"

typedef struct Bound
{
	TensorType	type;
	double		relative;		/* rms error / rms, normal values */
	double		largest;		/* error / largest magnitude of a block */
	double		mixed;			/* the same, magnitudes of 1e-4 .. 1e4 */
} Bound;

/*
 * Seen: a tenth less, or better (Q8_0 mixed: 1.73e-2, scales that f16 keeps
 * as subnormals).
 */
static const Bound bounds[] = {
	{TYPE_F32, 0, 0, 0},
	{TYPE_F16, 2.3e-4, 0, 0},
	{TYPE_BF16, 1.9e-3, 0, 0},
	{TYPE_Q8_0, 6e-3, 4.6e-3, 0.02},
	{TYPE_Q5_0, 0.048, 0.065, 0.065},
	{TYPE_Q5_1, 0.042, 0.036, 0.036},
	{TYPE_Q4_0, 0.096, 0.13, 0.13},
	{TYPE_Q4_1, 0.086, 0.073, 0.073},
	{TYPE_IQ4_NL, 0.085, 0.093, 0.094},
	{TYPE_Q4_K, 0.079, 0.09, 0.073},
	{TYPE_Q5_K, 0.04, 0.035, 0.035},
	{TYPE_Q6_K, 0.02, 0.018, 0.018},
};

#define N_BOUNDS (sizeof(bounds) / sizeof(bounds[0]))
#define MOST_VALUES 4096

/* x to the type and back; the bytes too, followed by a canary. */
static void
there_and_back(TensorType type, const float *x, int n, uint8_t *bytes,
			   float *back)
{
	uint64_t	size = tensor_row_bytes(type, n);

	assert_true(size > 0 && size <= 4 * MOST_VALUES);
	memset(bytes, 0xa5, size + 8);
	quantise_row(type, x, n, bytes);
	for (int i = 0; i < 8; i++)
		assert_int_equal(bytes[size + i], 0xa5);
	tensor_type(type)->dequantise(bytes, back, n);
}

static void
bytes_are_those_of_another_implementation(void **state)
{
	FILE	   *file = fopen(GOLDENS, "rb");
	uint32_t	head[3];
	int			records = 0;

	(void) state;
	assert_non_null(file);
	while (fread(head, sizeof(head), 1, file) == 1)
	{
		float	   *x = malloc(head[1] * sizeof(float));
		uint8_t    *wanted = malloc(head[2]);
		uint8_t    *got = malloc(head[2]);
		const TensorTypeInfo *info = tensor_type(head[0]);

		assert_int_equal(fread(x, 4, head[1], file), head[1]);
		assert_int_equal(fread(wanted, 1, head[2], file), head[2]);
		assert_true(quantise_knows(head[0]));
		assert_int_equal(tensor_row_bytes(head[0], head[1]), head[2]);
		quantise_row(head[0], x, head[1], got);
		for (uint32_t i = 0; i < head[2]; i++)
			if (got[i] != wanted[i])
				fail_msg("%s: byte %u of block %u is %u, not %u", info->name,
						 i % info->block_bytes, i / info->block_bytes, got[i],
						 wanted[i]);
		free(x);
		free(wanted);
		free(got);
		records++;
	}
	fclose(file);
	assert_int_equal(records, 7);
}

/* About normal: a sum of twelve uniform numbers. */
static float
normal(void)
{
	double		sum = -6;

	for (int i = 0; i < 12; i++)
		sum += number_bits() / 4294967296.0;
	return (float) sum;
}

static double
worst_in_blocks(const float *x, const float *back, int n, int block)
{
	double		worst = 0;

	for (int b = 0; b < n; b += block)
	{
		double		largest = 0;
		double		off = 0;

		for (int i = b; i < b + block; i++)
		{
			largest = fmax(largest, fabs(x[i]));
			off = fmax(off, fabs((double) x[i] - back[i]));
		}
		worst = fmax(worst, off / largest);
	}
	return worst;
}

static void
values_come_back_nearly(void **state)
{
	float		x[MOST_VALUES];
	float		back[MOST_VALUES];
	uint8_t		bytes[4 * MOST_VALUES + 8];

	(void) state;
	numbers_seed(11);
	for (int i = 0; i < MOST_VALUES; i++)
		x[i] = normal() * 0.05f;
	for (size_t b = 0; b < N_BOUNDS; b++)
	{
		TensorType	type = bounds[b].type;
		double		off = 0;
		double		all = 0;
		double		worst;

		there_and_back(type, x, MOST_VALUES, bytes, back);
		assert_true(tensor_type(type)->finite(bytes, MOST_VALUES));
		for (int i = 0; i < MOST_VALUES; i++)
		{
			off += pow((double) x[i] - back[i], 2);
			all += pow(x[i], 2);
		}
		off = sqrt(off / all);
		worst = worst_in_blocks(x, back, MOST_VALUES,
								tensor_type(type)->block_values);
		print_message("  %-7s rms %.2e largest %.2e\n",
					  tensor_type(type)->name, off, worst);
		assert_true(off <= bounds[b].relative);
		if (tensor_type(type)->block_values > 1)
			assert_true(worst <= bounds[b].largest);
	}
}

/* A search must not be worse than the plain form with as many codes. */
static void
searching_pays(void **state)
{
	static const TensorType pairs[][2] = {
		{TYPE_IQ4_NL, TYPE_Q4_0}, {TYPE_Q4_K, TYPE_Q4_1},
		{TYPE_Q5_K, TYPE_Q5_1}, {TYPE_Q6_K, TYPE_Q5_0}
	};
	float		x[1024];
	float		back[1024];
	uint8_t		bytes[4 * MOST_VALUES + 8];

	(void) state;
	numbers_seed(12);
	for (int i = 0; i < 1024; i++)
		x[i] = normal();
	for (int p = 0; p < 4; p++)
	{
		double		off[2] = {0, 0};

		for (int k = 0; k < 2; k++)
		{
			there_and_back(pairs[p][k], x, 1024, bytes, back);
			for (int i = 0; i < 1024; i++)
				off[k] += pow((double) x[i] - back[i], 2);
		}
		assert_true(off[0] < off[1]);
	}
}

/* Every type, a row of one value each: what must come back. */
static void
check_constant(float value, double relative)
{
	float		x[256];
	float		back[256];
	uint8_t		bytes[4 * MOST_VALUES + 8];

	for (int i = 0; i < 256; i++)
		x[i] = value;
	for (size_t b = 0; b < N_BOUNDS; b++)
	{
		there_and_back(bounds[b].type, x, 256, bytes, back);
		assert_true(tensor_type(bounds[b].type)->finite(bytes, 256));
		for (int i = 0; i < 256; i++)
			if (!(fabs((double) back[i] - value) <= relative * fabs(value)))
				fail_msg("%s: %g became %g",
						 tensor_type(bounds[b].type)->name, value, back[i]);
	}
}

static void
constant_rows_come_back(void **state)
{
	(void) state;
	check_constant(0.0f, 0);
	check_constant(-0.0f, 0);
	check_constant(1.0f, 0.01);
	check_constant(-1.0f, 0.01);
	check_constant(0.013f, 0.04);
	check_constant(-300.0f, 0.01);
}

/* Too small for the scale: values near zero, never nonsense. */
static void
small_values_stay_small(void **state)
{
	static const float scales[] = {1e-45f, 1e-40f, 1e-38f, 1e-30f, 1e-18f,
	1e-12f, 9e-7f, 1e-6f, 1e-5f, 1e-4f};

	(void) state;
	numbers_seed(13);
	for (size_t s = 0; s < sizeof(scales) / sizeof(scales[0]); s++)
		for (size_t b = 0; b < N_BOUNDS; b++)
		{
			float		x[256];
			float		back[256];
			uint8_t		bytes[4 * MOST_VALUES + 8];
			double		largest = 0;

			for (int i = 0; i < 256; i++)
			{
				x[i] = normal() * scales[s];
				largest = fmax(largest, fabs(x[i]));
			}
			there_and_back(bounds[b].type, x, 256, bytes, back);
			assert_true(tensor_type(bounds[b].type)->finite(bytes, 256));
			for (int i = 0; i < 256; i++)
				assert_true(fabs(back[i]) <= 1.5 * largest + 6e-8 * 128);
		}
}

/* Where f16 ends, scales become infinite, and the check of values sees it. */
static void
huge_values_are_seen(void **state)
{
	static const float scales[] = {1e9f, 1.1e9f, 1e12f, 1e20f, 1e30f, 3e38f};

	(void) state;
	for (size_t s = 0; s < sizeof(scales) / sizeof(scales[0]); s++)
		for (size_t b = 0; b < N_BOUNDS; b++)
		{
			TensorType	type = bounds[b].type;
			float		x[256];
			float		back[256];
			uint8_t		bytes[4 * MOST_VALUES + 8];

			for (int i = 0; i < 256; i++)
				x[i] = i % 3 == 0 ? -scales[s] : scales[s] * ((float) i / 256);
			there_and_back(type, x, 256, bytes, back);
			assert_int_equal(tensor_type(type)->finite(bytes, 256),
							 type == TYPE_F32 || (type == TYPE_BF16 &&
												  scales[s] < 3.3e38f));
		}
}

/*
 * Large values that f16 scales can express, and rows where magnitudes differ
 * by much between the parts of a block.
 */
static void
mixed_magnitudes_come_back(void **state)
{
	double		worst[N_BOUNDS] = {0};

	(void) state;
	numbers_seed(14);
	for (int round = 0; round < 50; round++)
		for (size_t b = 0; b < N_BOUNDS; b++)
		{
			TensorType	type = bounds[b].type;
			int			block = tensor_type(type)->block_values;
			float		x[256];
			float		back[256];
			uint8_t		bytes[4 * MOST_VALUES + 8];
			double		scale = 1;

			for (int i = 0; i < 256; i++)
			{
				if (i % 16 == 0)
					scale = pow(10, 4.5 - 9.0 * number_bits() / 4294967296.0);
				x[i] = (float) (normal() * scale);
				if (number_below(9) == 0)
					x[i] = 0.0f;
			}
			there_and_back(type, x, 256, bytes, back);
			if (!tensor_type(type)->finite(bytes, 256))
			{
				assert_int_equal(type, TYPE_F16);
				continue;
			}
			if (block > 1)
				worst[b] = fmax(worst[b],
								worst_in_blocks(x, back, 256, block));
		}
	for (size_t b = 3; b < N_BOUNDS; b++)
	{
		print_message("  %-7s largest %.2e\n",
					  tensor_type(bounds[b].type)->name, worst[b]);
		assert_true(worst[b] <= bounds[b].mixed);
	}
}

static void
the_same_blocks_give_the_same_bytes(void **state)
{
	float		x[MOST_VALUES];
	uint8_t		all[4 * MOST_VALUES + 8];
	uint8_t		one[4 * MOST_VALUES + 8];

	(void) state;
	numbers_seed(15);
	for (int i = 0; i < MOST_VALUES; i++)
		x[i] = normal();
	for (size_t b = 0; b < N_BOUNDS; b++)
	{
		const TensorTypeInfo *info = tensor_type(bounds[b].type);
		int			first = 3 * info->block_values;

		quantise_row(bounds[b].type, x, MOST_VALUES, all);
		quantise_row(bounds[b].type, x + first, info->block_values, one);
		assert_memory_equal(all + 3 * info->block_bytes, one,
							info->block_bytes);
	}
}

/* All machines agree, so a change of these sums is a change of behaviour. */
static void
searched_bytes_are_known(void **state)
{
	static const struct
	{
		TensorType	type;
		uint64_t	hash;
	}			known[] = {
		{TYPE_IQ4_NL, UINT64_C(0xa383698ba0ff6122)},
		{TYPE_Q4_K, UINT64_C(0xfc63a739576a7e17)},
		{TYPE_Q5_K, UINT64_C(0x1417c526d980e48b)},
		{TYPE_Q6_K, UINT64_C(0x3ad54a8e6f1c79da)}
	};
	float		x[1024];
	uint8_t		bytes[4096];

	(void) state;
	numbers_seed(16);
	for (int i = 0; i < 1024; i++)
		x[i] = number(i < 512 ? NUMBERS_PLAIN : NUMBERS_MIXED);
	for (int k = 0; k < 4; k++)
	{
		uint64_t	hash;

		quantise_row(known[k].type, x, 1024, bytes);
		hash = numbers_hash(0, bytes, tensor_row_bytes(known[k].type, 1024));
		if (hash != known[k].hash)
			fail_msg("%s: 0x%016llx", tensor_type(known[k].type)->name,
					 (unsigned long long) hash);
	}
}

static void
only_some_types_can_be_made(void **state)
{
	int			n = 0;

	(void) state;
	for (int type = -1; type < TYPE_LIMIT + 3; type++)
		n += quantise_knows((TensorType) type);
	assert_int_equal(n, N_BOUNDS);
	for (size_t b = 0; b < N_BOUNDS; b++)
		assert_true(quantise_knows(bounds[b].type));
	assert_false(quantise_knows(TYPE_Q2_K));
	assert_false(quantise_knows((TensorType) 9));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_those_of_another_implementation),
		cmocka_unit_test(values_come_back_nearly),
		cmocka_unit_test(searching_pays),
		cmocka_unit_test(constant_rows_come_back),
		cmocka_unit_test(small_values_stay_small),
		cmocka_unit_test(huge_values_are_seen),
		cmocka_unit_test(mixed_magnitudes_come_back),
		cmocka_unit_test(the_same_blocks_give_the_same_bytes),
		cmocka_unit_test(searched_bytes_are_known),
		cmocka_unit_test(only_some_types_can_be_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
