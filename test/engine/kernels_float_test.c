/*-------------------------------------------------------------------------
 *
 * kernels_float_test.c
 *	  Vector operations and dense products of every kernel set, by memcmp
 *	  against the reference; tails, nasty numbers, nothing written beyond.
 *
 * What the reference computes is checked against double precision too.
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "numbers.h"

#include "kernels/half.h"
#include "kernels/kernels.h"

#define SMALL_SIZES 100			/* all sizes up to this */

static const int large_sizes[] = {576, 1000, 1536, 4099};

#define N_LARGE ((int) (sizeof(large_sizes) / sizeof(large_sizes[0])))

static const KernelSet *reference;

/* Everything that works on one or two vectors and leaves one */
typedef enum VectorOperation
{
	OP_RMS, OP_RMS_UNWEIGHTED, OP_LAYER, OP_LAYER_UNWEIGHTED, OP_ROPE_NORM,
	OP_ROPE_NEOX, OP_ADD, OP_SCALE, OP_SILU, OP_SILU_GATED, OP_GELU_TANH,
	OP_GELU_TANH_GATED, OP_GELU_ERF, OP_GELU_ERF_GATED, OP_SOFTCAP,
	OP_SOFTMAX, N_OPERATIONS
} VectorOperation;

/* x is changed by the operations that work in place, else out is filled. */
static void
run(const KernelSet *set, VectorOperation op, float *x, const float *y,
	float *out, int n)
{
	switch (op)
	{
		case OP_RMS:
			set->rms_norm(x, y, 1e-5f, out, n);
			break;
		case OP_RMS_UNWEIGHTED:
			set->rms_norm(x, NULL, 1e-6f, out, n);
			break;
		case OP_LAYER:
			set->layer_norm(x, y, y, 1e-5f, out, n);
			break;
		case OP_LAYER_UNWEIGHTED:
			set->layer_norm(x, NULL, NULL, 1e-12f, out, n);
			break;
		case OP_ROPE_NORM:
			set->rope(x, y, y + n / 2, n / 2 * 2, ROPE_NORM);
			break;
		case OP_ROPE_NEOX:
			set->rope(x, y, y + n / 2, n / 2 * 2, ROPE_NEOX);
			break;
		case OP_ADD:
			set->add(x, y, n);
			break;
		case OP_SCALE:
			set->scale(x, y[0], n);
			break;
		case OP_SILU:
			set->silu(x, NULL, out, n);
			break;
		case OP_SILU_GATED:
			set->silu(x, y, out, n);
			break;
		case OP_GELU_TANH:
			set->gelu_tanh(x, NULL, out, n);
			break;
		case OP_GELU_TANH_GATED:
			set->gelu_tanh(x, y, out, n);
			break;
		case OP_GELU_ERF:
			set->gelu_erf(x, NULL, out, n);
			break;
		case OP_GELU_ERF_GATED:
			set->gelu_erf(x, y, x, n);	/* out may be gate */
			break;
		case OP_SOFTCAP:
			set->softcap(x, 30.0f, n);
			break;
		case OP_SOFTMAX:
			set->softmax(x, out, n);
			break;
		default:
			fail();
	}
}

static float *
copy(const float *x, int n)
{
	float	   *c = numbers_blank((size_t) n);

	memcpy(c, x, (size_t) n * sizeof(float));
	return c;
}

/* Both vectors with the canaries behind them */
static bool
same(const float *a, const float *b, int n)
{
	return memcmp(a, b, ((size_t) n + 16) * sizeof(float)) == 0;
}

static void
check_operation(VectorOperation op, int n, NumberKind kind)
{
	float	   *x = numbers((size_t) n, kind);
	float	   *y = numbers((size_t) n, kind);
	float	   *want_x = copy(x, n);
	float	   *want = numbers_blank((size_t) n);
	const KernelSet *set;

	run(reference, op, want_x, y, want, n);
	for (int i = 1; (set = kernels_nth(i)) != NULL; i++)
	{
		float	   *got_x = copy(x, n);
		float	   *got = numbers_blank((size_t) n);

		run(set, op, got_x, y, got, n);
		if (!same(want, got, n) || !same(want_x, got_x, n))
			fail_msg("%s: operation %d on %d floats of kind %d differs from"
					 " the reference", set->name, op, n, kind);
		free(got_x);
		free(got);
	}
	free(x);
	free(y);
	free(want_x);
	free(want);
}

static void
vector_operations_agree(void **state)
{
	(void) state;
	numbers_seed(1);
	for (VectorOperation op = 0; op < N_OPERATIONS; op++)
	{
		for (NumberKind kind = NUMBERS_PLAIN; kind <= NUMBERS_TINY; kind++)
		{
			for (int n = 1; n <= SMALL_SIZES; n++)
				check_operation(op, n, kind);
			for (int i = 0; i < N_LARGE; i++)
				check_operation(op, large_sizes[i], kind);
		}
	}
}

/* Sums cannot take these: infinity minus infinity has no defined sign. */
static void
activations_agree_on_all_floats(void **state)
{
	static const VectorOperation ops[] = {
		OP_SILU, OP_GELU_TANH, OP_GELU_ERF, OP_SOFTCAP
	};

	(void) state;
	numbers_seed(2);
	for (int i = 0; i < 4; i++)
	{
		for (int turn = 0; turn < 20; turn++)
			check_operation(ops[i], 50000, NUMBERS_ALL);
	}
}

/* Lanes as they stand in memory: any alignment */
static void
unaligned_vectors_agree(void **state)
{
	float	   *x = numbers(200, NUMBERS_PLAIN);
	float	   *y = numbers(200, NUMBERS_PLAIN);
	const KernelSet *set;

	(void) state;
	for (int i = 1; (set = kernels_nth(i)) != NULL; i++)
	{
		for (int offset = 1; offset < 16; offset++)
		{
			float	   *want = copy(x, 200);
			float	   *got = copy(x, 200);

			reference->rope(want + offset, y, y + 40, 80, ROPE_NORM);
			set->rope(got + offset, y, y + 40, 80, ROPE_NORM);
			reference->rms_norm(want + offset, y, 1e-5f, want + offset, 77);
			set->rms_norm(got + offset, y, 1e-5f, got + offset, 77);
			assert_memory_equal(want, got, 200 * sizeof(float));
			free(want);
			free(got);
		}
	}
	free(x);
	free(y);
}

static uint32_t
bits_of(float x)
{
	uint32_t	bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

static void
sums_agree(void **state)
{
	const KernelSet *set;

	(void) state;
	numbers_seed(3);
	for (int n = 0; n <= SMALL_SIZES + N_LARGE; n++)
	{
		int			size = n <= SMALL_SIZES ? n : large_sizes[n -
															  SMALL_SIZES - 1];

		for (NumberKind kind = NUMBERS_PLAIN; kind <= NUMBERS_TINY; kind++)
		{
			float	   *x = numbers((size_t) size, kind);

			for (int i = 1; (set = kernels_nth(i)) != NULL; i++)
				assert_int_equal(bits_of(set->sum(x, size)),
								 bits_of(reference->sum(x, size)));
			free(x);
		}
	}
}

/* Sum16 as DESIGN.md writes it, spelled out for 37 numbers */
static void
sum_is_sum16(void **state)
{
	float	   *x = numbers(37, NUMBERS_PLAIN);
	float		lane[16];

	(void) state;
	for (int i = 0; i < 16; i++)
	{
		lane[i] = 0.0f + x[i];
		lane[i] = lane[i] + x[16 + i];
		if (i < 5)
			lane[i] = lane[i] + x[32 + i];
	}
	for (int i = 0; i < 8; i++)
		lane[i] = lane[i] + lane[i + 8];
	for (int i = 0; i < 4; i++)
		lane[i] = lane[i] + lane[i + 4];
	lane[0] = lane[0] + lane[2];
	lane[1] = lane[1] + lane[3];
	lane[0] = lane[0] + lane[1];
	assert_int_equal(bits_of(reference->sum(x, 37)), bits_of(lane[0]));
	free(x);
}

static void
finite_finds_every_place(void **state)
{
	static const float bad[] = {INFINITY, -INFINITY, NAN, -NAN};
	const KernelSet *set;

	(void) state;
	numbers_seed(4);
	for (int i = 0; (set = kernels_nth(i)) != NULL; i++)
	{
		for (int n = 1; n <= 70; n++)
		{
			float	   *x = numbers((size_t) n, NUMBERS_ALL);

			x[n / 2] = n % 2 ? FLT_MAX : -FLT_MAX;
			assert_true(set->finite(x, n));
			for (int at = 0; at < n; at++)
			{
				float		saved = x[at];

				x[at] = bad[at % 4];
				assert_false(set->finite(x, n));
				x[at] = saved;
			}
			free(x);
		}
	}
}

static void
argmax_is_the_first_largest(void **state)
{
	const KernelSet *set;

	(void) state;
	numbers_seed(5);
	for (int turn = 0; turn < 3000; turn++)
	{
		int			n = 1 + number_below(turn % 10 ? 100 : 5000);
		float	   *x = numbers((size_t) n, NUMBERS_MIXED);
		int			best = 0;

		if (turn % 3 == 0)		/* many equals */
		{
			for (int i = 0; i < n; i++)
				x[i] = (float) number_below(4) - 4.0f;
		}
		else if (turn % 3 == 1)
		{
			for (int i = 0; i < n; i++)
				x[i] = turn % 2 ? -INFINITY : i % 2 ? 0.0f : -0.0f;
		}
		for (int i = 0; i < n; i++)
		{
			if (x[i] > x[best])
				best = i;
		}
		for (int i = 0; (set = kernels_nth(i)) != NULL; i++)
			assert_int_equal(set->argmax(x, n), best);
		free(x);
	}
}

/* Norms and softmax of the reference, against double precision */
static void
norms_and_softmax_are_near(void **state)
{
	const int	n = 576;
	float	   *x = numbers((size_t) n, NUMBERS_PLAIN);
	float	   *w = numbers((size_t) n, NUMBERS_PLAIN);
	float	   *y = numbers_blank((size_t) n);
	double		sum = 0,
				squares = 0,
				variance = 0,
				exponentials = 0;

	(void) state;
	for (int i = 0; i < n; i++)
	{
		sum += x[i];
		squares += (double) x[i] * x[i];
		exponentials += exp(x[i]);
	}
	for (int i = 0; i < n; i++)
		variance += (x[i] - sum / n) * (x[i] - sum / n);
	reference->rms_norm(x, w, 1e-5f, y, n);
	for (int i = 0; i < n; i++)
		assert_true(fabs(y[i] - x[i] / sqrt(squares / n + 1e-5) * w[i]) <
					2e-6);
	reference->layer_norm(x, w, x, 1e-5f, y, n);
	for (int i = 0; i < n; i++)
		assert_true(fabs(y[i] - ((x[i] - sum / n) /
								 sqrt(variance / n + 1e-5) * w[i] + x[i])) <
					2e-6);
	reference->softmax(x, y, n);
	for (int i = 0; i < n; i++)
		assert_true(fabs(y[i] - exp(x[i]) / exponentials) <
					4e-7 * exp(x[i]) / exponentials);
	free(x);
	free(w);
	free(y);
}

static void
rope_rotates(void **state)
{
	const float cos_[2] = {0.8f, 0.0f};
	const float sin_[2] = {0.6f, 1.0f};
	float		x[4] = {1, 2, 3, 4};
	float		z[4] = {1, 2, 3, 4};

	(void) state;
	reference->rope(x, cos_, sin_, 4, ROPE_NORM);
	assert_true(fabsf(x[0] - (0.8f - 1.2f)) < 1e-6f);
	assert_true(fabsf(x[1] - (0.6f + 1.6f)) < 1e-6f);
	assert_true(x[2] == -4.0f && x[3] == 3.0f);
	reference->rope(z, cos_, sin_, 4, ROPE_NEOX);
	assert_true(fabsf(z[0] - (0.8f - 1.8f)) < 1e-6f);
	assert_true(fabsf(z[2] - (0.6f + 2.4f)) < 1e-6f);
	assert_true(z[1] == -4.0f && z[3] == 2.0f);
}

static void
check_kv_store(KvType type, int head_dim, int value_dim, NumberKind kind)
{
	size_t		element = type == KV_F32 ? 4 : 2;
	size_t		k_size = (size_t) head_dim * 16 * element;
	size_t		v_size = (size_t) value_dim * 16 * element;
	uint8_t    *want = calloc(1, k_size + v_size);
	uint8_t    *got = calloc(1, k_size + v_size);
	const KernelSet *set;

	for (int i = 1; (set = kernels_nth(i)) != NULL; i++)
	{
		for (int turn = 0; turn < 20; turn++)
		{
			float	   *key = numbers((size_t) head_dim, kind);
			float	   *value = numbers((size_t) value_dim, kind);
			int			lane = number_below(16);

			reference->kv_store(type, key, head_dim, value, value_dim, lane,
								want, want + k_size);
			set->kv_store(type, key, head_dim, value, value_dim, lane, got,
						  got + k_size);
			assert_memory_equal(want, got, k_size + v_size);
			if (type == KV_F16)
				assert_int_equal(((uint16_t *) want)[lane],
								 f32_to_f16(key[0]));
			free(key);
			free(value);
		}
	}
	free(want);
	free(got);
}

static void
stored_keys_and_values_agree(void **state)
{
	static const int dims[] = {1, 7, 16, 33, 64, 80};

	(void) state;
	numbers_seed(6);
	for (int i = 0; i < 36; i++)
	{
		check_kv_store(KV_F32, dims[i % 6], dims[i / 6], NUMBERS_MIXED);
		check_kv_store(KV_F16, dims[i % 6], dims[i / 6], NUMBERS_MIXED);
		check_kv_store(KV_F16, dims[i % 6], dims[i / 6], NUMBERS_ALL);
	}
}

/* A matrix of n rows and k columns; padding rows are zero. */
static void
make_matrix(PackedMatrix *w, TensorType type, int n, int k, NumberKind kind)
{
	size_t		element = type == TYPE_F32 ? 4 : 2;
	int			n_panels = (n + 15) / 16;
	uint8_t    *panels;

	w->type = type;
	w->n = n;
	w->k = k;
	w->panel_bytes = ((size_t) k * 16 * element + 63) / 64 * 64;
	panels = aligned_alloc(64, w->panel_bytes * (size_t) n_panels);
	memset(panels, 0, w->panel_bytes * (size_t) n_panels);
	for (int r = 0; r < n; r++)
	{
		for (int j = 0; j < k; j++)
		{
			uint8_t    *at = panels + (size_t) (r / 16) * w->panel_bytes +
				((size_t) j * 16 + (size_t) (r % 16)) * element;
			float		x = number(kind);
			uint16_t	half = (uint16_t) (bits_of(x) >> 16);

			if (type == TYPE_F16)
				half = f32_to_f16(number(NUMBERS_PLAIN));
			memcpy(at, element == 4 ? (void *) &x : (void *) &half, element);
		}
	}
	w->panels = panels;
}

static float *
product(const KernelSet *set, const PackedMatrix *w, const float *x,
		int n_rows, int stride, const int *cuts, int n_cuts)
{
	Activations a = {.n_rows = n_rows, .k = w->k, .bits = 16, .x = x};
	float	   *out = numbers_blank((size_t) (n_rows * stride));

	a.x_stride = (size_t) (w->k + 3);
	for (int i = 0; i + 1 < n_cuts; i++)
		set->matmul(w, cuts[i], cuts[i + 1], &a, out, (size_t) stride);
	return out;
}

static void
check_products(TensorType type, int n, int k, int n_rows, NumberKind kind)
{
	int			n_panels = (n + 15) / 16;
	int			stride = n_panels * 16 + 5;
	int			whole[2] = {0, n_panels};
	int			cut[3] = {0, number_below(n_panels + 1), n_panels};
	PackedMatrix w;
	float	   *x = numbers((size_t) (n_rows * (k + 3)), kind);
	float	   *want;
	const KernelSet *set;

	make_matrix(&w, type, n, k, kind);
	want = product(reference, &w, x, n_rows, stride, whole, 2);
	for (int i = 0; (set = kernels_nth(i)) != NULL; i++)
	{
		float	   *got = product(set, &w, x, n_rows, stride, cut, 3);

		if (!same(want, got, n_rows * stride))
			fail_msg("%s: type %d, %d x %d, %d rows differs from the"
					 " reference", set->name, type, n, k, n_rows);
		free(got);
	}
	free(want);
	free(x);
	free((void *) (uintptr_t) w.panels);
}

static void
dense_products_agree(void **state)
{
	static const TensorType types[] = {TYPE_F32, TYPE_F16, TYPE_BF16};

	(void) state;
	numbers_seed(7);
	for (int t = 0; t < 3; t++)
	{
		for (int n_rows = 1; n_rows <= 20; n_rows++)
		{
			check_products(types[t], 16, 64, n_rows, NUMBERS_PLAIN);
			check_products(types[t], 1 + number_below(200),
						   1 + number_below(100), n_rows, NUMBERS_PLAIN);
			check_products(types[t], 1 + number_below(200),
						   1 + number_below(100), n_rows, NUMBERS_MIXED);
			check_products(types[t], 1 + number_below(40),
						   1 + number_below(40), n_rows, NUMBERS_TINY);
		}
		for (int n = 1; n <= 150; n++)
			check_products(types[t], n, 1 + n % 37, 1 + n % 7, NUMBERS_PLAIN);
		check_products(types[t], 250, 1100, 5, NUMBERS_PLAIN);
	}
}

/* One product by hand: order and rounding are fma, k ascending, from +0 */
static void
dense_product_is_fma_in_order(void **state)
{
	PackedMatrix w;
	float	   *x = numbers(53, NUMBERS_PLAIN);
	int			cuts[2] = {0, 1};
	float	   *out;

	(void) state;
	make_matrix(&w, TYPE_F32, 16, 50, NUMBERS_PLAIN);
	out = product(reference, &w, x, 1, 16, cuts, 2);
	for (int r = 0; r < 16; r++)
	{
		float		acc = 0.0f;

		for (int j = 0; j < 50; j++)
			acc = fmaf(((const float *) w.panels)[j * 16 + r], x[j], acc);
		assert_int_equal(bits_of(acc), bits_of(out[r]));
	}
	free(x);
	free(out);
	free((void *) (uintptr_t) w.panels);
}

/*
 * The reference, bit by bit: the same with every compiler and processor.  When
 * this changes on purpose, NUMERICS_VERSION must be raised.
 */
static void
bits_are_those_of_the_version(void **state)
{
	static const TensorType types[] = {TYPE_F32, TYPE_F16, TYPE_BF16};
	const int	n = 583;
	int			cuts[2] = {0, 3};
	uint64_t	hash = 0;

	(void) state;
	numbers_seed(8);
	for (VectorOperation op = 0; op < N_OPERATIONS; op++)
	{
		float	   *x = numbers((size_t) n, NUMBERS_MIXED);
		float	   *y = numbers((size_t) n, NUMBERS_PLAIN);
		float	   *out = numbers_blank((size_t) n);

		run(reference, op, x, y, out, n);
		hash = numbers_hash(hash, x, (size_t) n * sizeof(float));
		hash = numbers_hash(hash, out, (size_t) n * sizeof(float));
		free(x);
		free(y);
		free(out);
	}
	for (int t = 0; t < 3; t++)
	{
		float	   *x = numbers(53 * 3, NUMBERS_PLAIN);
		PackedMatrix w;
		float	   *out;

		make_matrix(&w, types[t], 48, 50, NUMBERS_PLAIN);
		out = product(reference, &w, x, 3, 48, cuts, 2);
		hash = numbers_hash(hash, out, 48 * 3 * sizeof(float));
		free(x);
		free(out);
		free((void *) (uintptr_t) w.panels);
	}
	assert_int_equal(NUMERICS_VERSION, 1);
	assert_true(hash == UINT64_C(0x27f6853231442e4f));
}

static void
sets_have_names(void **state)
{
	const KernelSet *best = kernels_select(NULL);
	const KernelSet *last = NULL;

	(void) state;
	assert_string_equal(kernels_nth(0)->name, "reference");
	assert_string_equal(kernels_nth(1)->name, "reference-soft");
	for (int i = 0; kernels_nth(i) != NULL; i++)
	{
		last = kernels_nth(i);
		assert_ptr_equal(kernels_select(last->name), last);
	}
	if (last != kernels_nth(1))
		assert_ptr_equal(best, last);
	else
		assert_ptr_equal(best, kernels_nth(0));
	assert_null(kernels_select("avx1024"));
	assert_null(kernels_select(""));
}

/* A mode that flushes subnormals must not reach the kernels, and comes back. */
static void
modes_are_saved_and_restored(void **state)
{
#if defined(__x86_64__)
	volatile float tiny = 0x1p-126f;
	unsigned int before = __builtin_ia32_stmxcsr();
	uint64_t	saved;

	(void) state;
	__builtin_ia32_ldmxcsr(before | 0x8040 | 0x6000);	/* FTZ, DAZ, to zero */
	assert_true(tiny * 0.5f == 0.0f);
	saved = kernels_enter();
	assert_true(tiny * 0.5f == 0x1p-127f);
	assert_true(1.0f + (tiny > 0 ? 0x1.8p-24f : 0.0f) > 1.0f);
	kernels_leave(saved);
	assert_true(tiny * 0.5f == 0.0f);
	__builtin_ia32_ldmxcsr(before);
#else
	(void) state;
	kernels_leave(kernels_enter());
#endif
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_have_names),
		cmocka_unit_test(modes_are_saved_and_restored),
		cmocka_unit_test(vector_operations_agree),
		cmocka_unit_test(activations_agree_on_all_floats),
		cmocka_unit_test(unaligned_vectors_agree),
		cmocka_unit_test(sums_agree),
		cmocka_unit_test(sum_is_sum16),
		cmocka_unit_test(finite_finds_every_place),
		cmocka_unit_test(argmax_is_the_first_largest),
		cmocka_unit_test(norms_and_softmax_are_near),
		cmocka_unit_test(rope_rotates),
		cmocka_unit_test(stored_keys_and_values_agree),
		cmocka_unit_test(dense_products_agree),
		cmocka_unit_test(dense_product_is_fma_in_order),
		cmocka_unit_test(bits_are_those_of_the_version),
	};

	reference = kernels_nth(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
