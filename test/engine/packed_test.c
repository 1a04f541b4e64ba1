/*-------------------------------------------------------------------------
 *
 * packed_test.c
 *	  Panels and packed products, all by memcmp.
 *
 * Panels give back what their file says.  Every kernel set of this processor
 * gives the bits of the reference: all types, both widths of activations,
 * remainders of rows and tokens, depths that need several segments, extreme
 * scales and activations, any cut into ranges of panels, any batch.
 *
 *-------------------------------------------------------------------------
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weights_fixture.h"

#include "kernels/packed.h"

#define CANARY 0x7fc0dead

/* The set that others are compared with. */
static const KernelSet *reference;

static float *
output(int n_rows, size_t stride)
{
	size_t		n = n_rows * stride;
	uint32_t   *out = aligned_alloc(64, n * sizeof(float));

	for (size_t i = 0; i < n; i++)
		out[i] = CANARY;
	return (float *) out;
}

static size_t
output_stride(int64_t n)
{
	return (n + 15) / 16 * 16;
}

static float *
product(const KernelSet *set, const PackedMatrix *w, const Activations *a)
{
	size_t		stride = output_stride(w->n);
	float	   *out = output(a->n_rows, stride);

	set->matmul(w, 0, stride / PANEL_ROWS, a, out, stride);
	return out;
}

static void
assert_same_outputs(const PackedMatrix *w, const Activations *a,
					const float *expected, const float *got, const char *set)
{
	size_t		stride = output_stride(w->n);

	for (int row = 0; row < a->n_rows; row++)
	{
		if (memcmp(expected + row * stride, got + row * stride,
				   w->n * sizeof(float)) != 0)
			fail_msg("%s, %s, %d bits: row %d of %d, %lld outputs, k %lld "
					 "differ from the reference", set,
					 tensor_type(w->type)->name, a->bits, row, a->n_rows,
					 (long long) w->n, (long long) w->k);
	}
}

/* Every set against the reference on one matrix and one batch. */
static void
check_sets(const PackedMatrix *w, const Activations *a)
{
	float	   *expected = product(reference, w, a);
	const KernelSet *set;

	for (int i = 1; (set = kernels_nth(i)) != NULL; i++)
	{
		float	   *got = product(set, w, a);

		assert_same_outputs(w, a, expected, got, set->name);
		free(got);
	}
	free(expected);
}

static int
shortest(TensorType type)
{
	int			values = tensor_type(type)->block_values;

	return values == 1 ? 32 : values;
}

static void
unpacking_gives_what_the_file_says(void **state)
{
	uint32_t	seed = 1;

	(void) state;
	for (int t = 0; t < FIXTURE_TYPES; t++)
	{
		TensorType	type = fixture_types[t];
		int64_t		k = 3 * shortest(type);
		size_t		row_bytes = tensor_row_bytes(type, k);
		uint8_t    *rows = malloc(PANEL_ROWS * row_bytes);
		uint8_t    *panel = aligned_alloc(64, panel_bytes(type, k));
		float	   *expected = malloc(k * sizeof(float));
		float	   *got = malloc(k * sizeof(float));

		for (int n = 1; n <= PANEL_ROWS; n++)
		{
			PackedMatrix w = {panel, type, n, k, panel_bytes(type, k)};

			fixture_blocks(type, n % 2 ? BLOCKS_USUAL : BLOCKS_EXTREME, &seed,
						   rows, n * k);
			pack_panel(type, k, rows, n, panel);
			for (int r = 0; r < n; r++)
			{
				tensor_type(type)->dequantise(rows + r * row_bytes, expected,
											  k);
				packed_row(&w, r, got);
				assert_memory_equal(expected, got, k * sizeof(float));
			}
			for (int r = n; r < PANEL_ROWS; r++)
			{
				packed_row(&w, r, got);
				for (int64_t i = 0; i < k; i++)
					assert_true(got[i] == 0.0f);
			}
		}
		free(rows);
		free(panel);
		free(expected);
		free(got);
	}
}

/* F16 and its like need no multiple of anything. */
static void
odd_depths_of_unquantised_types(void **state)
{
	uint32_t	seed = 2;

	(void) state;
	for (int t = FIXTURE_QUANTISED; t < FIXTURE_TYPES; t++)
	{
		for (int64_t k = 1; k < 70; k++)
		{
			TensorType	type = fixture_types[t];
			size_t		row_bytes = tensor_row_bytes(type, k);
			uint8_t		rows[3 * 70 * 4];
			float		expected[70];
			float		got[70];
			PackedMatrix w = {NULL, type, 3, k, panel_bytes(type, k)};
			uint8_t    *panel = aligned_alloc(64, w.panel_bytes);

			fixture_blocks(type, BLOCKS_USUAL, &seed, rows, 3 * k);
			pack_panel(type, k, rows, 3, panel);
			w.panels = panel;
			for (int r = 0; r < 3; r++)
			{
				tensor_type(type)->dequantise(rows + r * row_bytes, expected,
											  k);
				packed_row(&w, r, got);
				assert_memory_equal(expected, got, k * sizeof(float));
			}
			free(panel);
		}
	}
}

static void
panels_that_do_not_fit_have_no_size(void **state)
{
	(void) state;
	assert_int_equal(panel_bytes(TYPE_Q4_0, 0), 0);
	assert_int_equal(panel_bytes(TYPE_Q4_0, -32), 0);
	assert_int_equal(panel_bytes(TYPE_Q4_0, 31), 0);
	assert_int_equal(panel_bytes(TYPE_Q4_K, 32), 0);
	assert_int_equal(panel_bytes(TYPE_F32, INT64_MAX), 0);
	assert_int_equal(panel_bytes((TensorType) 9, 32), 0);
	assert_int_equal(panel_bytes(TYPE_Q4_0, 32), 320);
	assert_int_equal(panel_bytes(TYPE_F16, 3), 128);
}

static void
quantised_activations_agree(void **state)
{
	uint32_t	seed = 3;
	const KernelSet *set;

	(void) state;
	for (int round = 0; round < 200; round++)
	{
		int			bits = round % 2 ? 8 : 16;
		int64_t		k = 32 * (1 + round % 23);
		Activations a = fixture_activations((RowKind) (round / 2 % ROW_KINDS),
											&seed, 1, k, bits);
		Activations b = a;

		b.hi = malloc(k);
		b.lo = malloc(k);
		b.d = malloc(k / 32 * sizeof(float));
		b.sums = malloc(k / 16 * sizeof(int32_t));
		fixture_quantise(reference, &a);
		for (int i = 1; (set = kernels_nth(i)) != NULL; i++)
		{
			fixture_quantise(set, &b);
			assert_memory_equal(a.hi, b.hi, k);
			if (bits == 16)
				assert_memory_equal(a.lo, b.lo, k);
			assert_memory_equal(a.d, b.d, k / 32 * sizeof(float));
			assert_memory_equal(a.sums, b.sums, k / 16 * sizeof(int32_t));
		}
		free(b.hi);
		free(b.lo);
		free(b.d);
		free(b.sums);
		fixture_activations_free(&a);
	}
}

/* What quantise means: |x - d * q| <= d / 2; the largest |q| is the range. */
static void
quantised_activations_are_near(void **state)
{
	uint32_t	seed = 4;

	(void) state;
	for (int round = 0; round < 40; round++)
	{
		int			bits = round % 2 ? 8 : 16;
		int			range = bits == 8 ? 127 : 32639;
		Activations a = fixture_activations(ROWS_USUAL, &seed, 1, 320, bits);

		fixture_quantise(reference, &a);
		for (int group = 0; group < 10; group++)
		{
			int			largest = 0;
			int			sums[2] = {0, 0};

			for (int i = 0; i < 32; i++)
			{
				int			at = 32 * group + i;
				int			q = bits == 8 ? a.hi[at] :
					a.hi[at] * 256 + a.lo[at];
				double		error = (double) a.x[at] -
					(double) a.d[group] * q;

				/* 0.5 plus the rounding of x * R / m: observed 0.50023 */
				assert_true(error <= 0.501 * a.d[group] &&
							error >= -0.501 * a.d[group]);
				largest = abs(q) > largest ? abs(q) : largest;
				sums[i / 16] += q;
			}
			assert_int_equal(largest, range);
			assert_int_equal(sums[0], a.sums[2 * group]);
			assert_int_equal(sums[1], a.sums[2 * group + 1]);
		}
		fixture_activations_free(&a);
	}
}

/* The reference against the same sums in double precision. */
static void
products_are_near(void **state)
{
	uint32_t	seed = 5;

	(void) state;
	for (int t = 0; t < FIXTURE_QUANTISED; t++)
	{
		PackedMatrix w = fixture_matrix(fixture_types[t], BLOCKS_USUAL, &seed,
										20, 512);
		Activations a = fixture_activations(ROWS_USUAL, &seed, 1, 512, 16);
		float	   *row = malloc(512 * sizeof(float));
		float	   *out;

		fixture_quantise(reference, &a);
		out = product(reference, &w, &a);
		for (int r = 0; r < 20; r++)
		{
			double		sum = 0.0;
			double		size = 0.0;

			packed_row(&w, r, row);
			for (int i = 0; i < 512; i++)
			{
				sum += (double) row[i] * a.x[i];
				size += (double) row[i] * a.x[i] * (double) row[i] * a.x[i];
			}
			/* error / root of the sum of squares: observed 0.00037 */
			assert_true((out[r] - sum) * (out[r] - sum) <=
						size * (0.0006 * 0.0006));
		}
		free(row);
		free(out);
		fixture_matrix_free(&w);
		fixture_activations_free(&a);
	}
}

static void
check_shape(TensorType type, BlockKind blocks, RowKind rows, int64_t n,
			int64_t k, int n_rows, uint32_t *seed)
{
	for (int bits = 8; bits <= 16; bits += 8)
	{
		PackedMatrix w = fixture_matrix(type, blocks, seed, n, k);
		Activations a = fixture_activations(rows, seed, n_rows, k, bits);

		fixture_quantise(reference, &a);
		check_sets(&w, &a);
		fixture_matrix_free(&w);
		fixture_activations_free(&a);
	}
}

static void
all_numbers_of_tokens(void **state)
{
	uint32_t	seed = 6;

	(void) state;
	for (int t = 0; t < FIXTURE_TYPES; t++)
	{
		for (int n_rows = 1; n_rows <= 37; n_rows++)
			check_shape(fixture_types[t], BLOCKS_USUAL, ROWS_USUAL, 17,
						shortest(fixture_types[t]), n_rows, &seed);
	}
}

static void
all_remainders_of_outputs(void **state)
{
	uint32_t	seed = 7;

	(void) state;
	for (int t = 0; t < FIXTURE_TYPES; t++)
	{
		for (int64_t n = 1; n <= 33; n++)
			check_shape(fixture_types[t], BLOCKS_USUAL, ROWS_MIXED, n,
						shortest(fixture_types[t]), 1 + n % 3, &seed);
	}
}

static void
all_depths(void **state)
{
	uint32_t	seed = 8;

	(void) state;
	for (int t = 0; t < FIXTURE_TYPES; t++)
	{
		for (int64_t blocks = 1; blocks <= 12; blocks++)
			check_shape(fixture_types[t], BLOCKS_USUAL, ROWS_USUAL, 16,
						blocks * shortest(fixture_types[t]),
						1 + (int) blocks, &seed);
	}
}

/* Depths at which the records of a tile do not fit the stack at once. */
static void
long_depths(void **state)
{
	uint32_t	seed = 9;

	(void) state;
	for (int t = 0; t < FIXTURE_TYPES; t++)
	{
		check_shape(fixture_types[t], BLOCKS_USUAL, ROWS_USUAL, 5, 40960, 1,
					&seed);
		check_shape(fixture_types[t], BLOCKS_USUAL, ROWS_USUAL, 5, 8448, 19,
					&seed);
	}
}

static void
extremes(void **state)
{
	static const BlockKind blocks[] = {
		BLOCKS_EXTREME, BLOCKS_HIGHEST, BLOCKS_LOWEST, BLOCKS_USUAL
	};
	uint32_t	seed = 10;

	(void) state;
	for (int t = 0; t < FIXTURE_TYPES; t++)
	{
		for (int i = 0; i < 4 * ROW_KINDS; i++)
			check_shape(fixture_types[t], blocks[i / ROW_KINDS],
						(RowKind) (i % ROW_KINDS), 33,
						2 * shortest(fixture_types[t]), 9, &seed);
	}
}

/* A row's result does not depend on the rows beside it. */
static void
rows_do_not_depend_on_the_batch(void **state)
{
	uint32_t	seed = 11;
	const KernelSet *set;

	(void) state;
	for (int t = 0; t < FIXTURE_TYPES; t++)
	{
		PackedMatrix w = fixture_matrix(fixture_types[t], BLOCKS_USUAL, &seed,
										48, 1536);
		Activations a = fixture_activations(ROWS_USUAL, &seed, 23, 1536, 16);

		for (int i = 0; (set = kernels_nth(i)) != NULL; i++)
		{
			float	   *together;

			fixture_quantise(set, &a);
			together = product(set, &w, &a);
			for (int row = 0; row < a.n_rows; row++)
			{
				Activations one = fixture_one_row(&a, row);
				float	   *alone = product(set, &w, &one);

				assert_memory_equal(alone, together + row * 48,
									48 * sizeof(float));
				free(alone);
			}
			free(together);
		}
		fixture_matrix_free(&w);
		fixture_activations_free(&a);
	}
}

/* Any cut into ranges gives the same, and writes its own range only. */
static void
ranges_of_panels(void **state)
{
	uint32_t	seed = 12;
	const KernelSet *set;

	(void) state;
	for (int t = 0; t < FIXTURE_TYPES; t++)
	{
		PackedMatrix w = fixture_matrix(fixture_types[t], BLOCKS_USUAL, &seed,
										7 * 16 - 3, 256);
		Activations a = fixture_activations(ROWS_USUAL, &seed, 11, 256, 16);

		fixture_quantise(reference, &a);
		for (int i = 0; (set = kernels_nth(i)) != NULL; i++)
		{
			float	   *whole = product(set, &w, &a);
			float	   *parts = output(a.n_rows, 7 * 16);

			set->matmul(&w, 2, 5, &a, parts, 7 * 16);
			for (int row = 0; row < a.n_rows; row++)
			{
				for (int r = 0; r < 7 * 16; r++)
				{
					uint32_t	bits;

					memcpy(&bits, parts + row * 7 * 16 + r, sizeof(bits));
					assert_true((bits == CANARY) == (r < 32 || r >= 80));
				}
			}
			set->matmul(&w, 5, 7, &a, parts, 7 * 16);
			set->matmul(&w, 0, 2, &a, parts, 7 * 16);
			set->matmul(&w, 3, 3, &a, parts, 7 * 16);
			assert_same_outputs(&w, &a, whole, parts, set->name);
			free(whole);
			free(parts);
		}
		fixture_matrix_free(&w);
		fixture_activations_free(&a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unpacking_gives_what_the_file_says),
		cmocka_unit_test(odd_depths_of_unquantised_types),
		cmocka_unit_test(panels_that_do_not_fit_have_no_size),
		cmocka_unit_test(quantised_activations_agree),
		cmocka_unit_test(quantised_activations_are_near),
		cmocka_unit_test(products_are_near),
		cmocka_unit_test(all_numbers_of_tokens),
		cmocka_unit_test(all_remainders_of_outputs),
		cmocka_unit_test(all_depths),
		cmocka_unit_test(long_depths),
		cmocka_unit_test(extremes),
		cmocka_unit_test(rows_do_not_depend_on_the_batch),
		cmocka_unit_test(ranges_of_panels),
	};

	reference = kernels_nth(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
