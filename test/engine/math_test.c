/*-------------------------------------------------------------------------
 *
 * math_test.c
 *	  Elementary functions: f32 polynomials, the software fma, half precision
 *	  and the double-precision functions, against libm.
 *
 * The f32 functions are tried on every 257th float; the bounds are the
 * largest errors over all floats, measured once with a stride of 1, rounded
 * up.
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

#include "base/math64.h"
#include "kernels/half.h"
#include "kernels/kernels.h"
#include "kernels/mathf.h"

#define STRIDE 257

/* Distance from the true value in units of the last place of a float there */
static double
error_in_ulp(float got, double want)
{
	float		nearest = (float) want;
	double		ulp;

	if (isinf(nearest) || isnan(want))
		return (double) got == (double) nearest ? 0 : INFINITY;
	ulp = (double) nextafterf(fabsf(nearest), INFINITY) -
		(double) fabsf(nearest);
	return fabs((double) got - want) / ulp;
}

static double
worst_error(float (*function) (float), double (*truth) (double), float lowest)
{
	double		worst = 0;

	for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += STRIDE)
	{
		float		x = f32_from_bits((uint32_t) bits);
		double		error;

		if (!f32_is_finite(x) || x < lowest)
			continue;
		error = error_in_ulp(function(x), truth(x));
		if (!(error <= worst))
			worst = error;
	}
	return worst;
}

static void
exp_is_near(void **state)
{
	(void) state;
	/* all floats: 1.0237 */
	assert_true(worst_error(f32_exp, exp, -87.0f) < 1.03);
	assert_true(f32_bits(f32_exp(0.0f)) == f32_bits(1.0f));
	assert_true(f32_bits(f32_exp(-0.0f)) == f32_bits(1.0f));
	assert_true(f32_bits(f32_exp(-87.00001f)) == 0);
	assert_true(f32_bits(f32_exp(-INFINITY)) == 0);
	assert_true(isfinite(f32_exp(88.72283f)));
	assert_true(isinf(f32_exp(nextafterf(88.72283f, INFINITY))));
	assert_true(isinf(f32_exp(INFINITY)));
	assert_true(isnan(f32_exp(NAN)));
}

static void
tanh_is_near(void **state)
{
	(void) state;
	/* all floats: 1.3320 */
	assert_true(worst_error(f32_tanh, tanh, -INFINITY) < 1.34);
	assert_true(f32_bits(f32_tanh(-0.0f)) == 0x80000000);
	assert_true(f32_tanh(INFINITY) == 1.0f);
	assert_true(f32_tanh(-INFINITY) == -1.0f);
	assert_true(isnan(f32_tanh(NAN)));
}

static void
erf_is_near(void **state)
{
	(void) state;
	/* all floats: 1.1068 */
	assert_true(worst_error(f32_erf, erf, -INFINITY) < 1.11);
	assert_true(f32_bits(f32_erf(-0.0f)) == 0x80000000);
	assert_true(f32_erf(INFINITY) == 1.0f);
	assert_true(isnan(f32_erf(NAN)));
}

static double
true_silu(double x)
{
	return x / (1.0 + exp(-x));
}

static double
true_gelu_tanh(double x)
{
	return 0.5 * x * (1.0 + tanh(sqrt(2.0 / M_PI) *
								 (x + 0.044715 * x * x * x)));
}

static double
true_gelu_erf(double x)
{
	return 0.5 * x * erfc(-x * M_SQRT1_2);
}

/* Largest |function - truth| / max(|x|, 1e-30) on -20 .. 20 */
static double
worst_relative(float (*function) (float), double (*truth) (double))
{
	double		worst = 0;

	for (int i = -200000; i <= 200000; i++)
	{
		float		x = (float) i * 1e-4f;
		double		error = fabs(function(x) - truth(x)) / fmax(fabs(x), 1e-30);

		if (!(error <= worst))
			worst = error;
	}
	return worst;
}

static void
activations_are_near(void **state)
{
	(void) state;
	/* observed 1.15e-7, 1.07e-7, 1.03e-7 */
	assert_true(worst_relative(f32_silu, true_silu) < 1.2e-7);
	assert_true(worst_relative(f32_gelu_tanh, true_gelu_tanh) < 1.1e-7);
	assert_true(worst_relative(f32_gelu_erf, true_gelu_erf) < 1.1e-7);
	assert_true(f32_silu(-FLT_MAX) == 0.0f);
	assert_true(f32_silu(FLT_MAX) == FLT_MAX);
	assert_true(f32_gelu_tanh(FLT_MAX) == FLT_MAX);
	assert_true(f32_gelu_tanh(-FLT_MAX) == 0.0f);
	assert_true(f32_gelu_erf(-FLT_MAX) == 0.0f);
}

static void
assert_fma(float a, float b, float c)
{
	float		want = fmaf(a, b, c);
	float		got = f32_soft_fma(a, b, c);

	if (isnan(want) ? !isnan(got) : f32_bits(want) != f32_bits(got))
		fail_msg("fma(%a, %a, %a) is %a, not %a", a, b, c, want, got);
}

/* Sums that nearly cancel, or lie near a tie, are where two roundings show. */
static void
soft_fma_rounds_once(void **state)
{
	static const float edges[] = {
		0.0f, -0.0f, 1.0f, -1.0f, 0x1p-149f, -0x1p-149f, 0x1p-126f, FLT_MAX,
		-FLT_MAX, INFINITY, -INFINITY, NAN, 0x1.000002p0f, 0x1.fffffep-1f,
		0x1p-75f, 0x1p-74f, 0x1.8p-75f, 0x1p127f
	};
	const int	n = sizeof(edges) / sizeof(edges[0]);

	(void) state;
	for (int i = 0; i < n * n * n; i++)
		assert_fma(edges[i % n], edges[i / n % n], edges[i / n / n]);
	numbers_seed(1);
	for (int i = 0; i < 1000000; i++)
	{
		float		a = number(i % 2 ? NUMBERS_ALL : NUMBERS_MIXED);
		float		b = number(i % 3 ? NUMBERS_ALL : NUMBERS_PLAIN);
		float		product = a * b;
		int			shift = number_below(60) - 30;

		assert_fma(a, b, number(NUMBERS_ALL));
		if (!isfinite(product))
			continue;
		assert_fma(a, b, -product);
		assert_fma(a, b, nextafterf(product, INFINITY));
		assert_fma(a, b, ldexpf(1.0f, ilogbf(fmaxf(fabsf(product),
												   FLT_TRUE_MIN)) + shift));
		assert_fma(a, b, -ldexpf(1.5f, ilogbf(fmaxf(fabsf(product),
													FLT_TRUE_MIN)) + shift));
	}
}

/* The nearest of three neighbours in f16, ties to even: by exact distances */
static uint16_t
nearest_f16(float x)
{
	uint16_t	near = f32_to_f16(x);
	uint16_t	best = near;
	double		best_distance = INFINITY;

	for (int step = -1; step <= 1; step++)
	{
		uint16_t	h = (uint16_t) (near + step);
		double		value;
		double		distance;

		if (((h ^ near) & 0x8000) != 0)
			continue;
		/* overflow begins half a step above the largest: 2^16 stands there */
		value = (h & 0x7fff) == 0x7c00 ? copysign(65536.0, x) :
			(h & 0x7fff) > 0x7c00 ? NAN : f16_to_f32(h);
		distance = fabs(value - (double) x);
		if (distance < best_distance ||
			(distance == best_distance && (h & 1) == 0))
		{
			best = h;
			best_distance = distance;
		}
	}
	return best;
}

static void
half_rounds_to_nearest_even(void **state)
{
	(void) state;
	for (uint32_t h = 0; h < 0x10000; h++)
	{
		float		x = f16_to_f32((uint16_t) h);

		if (isnan(x))
			assert_int_equal(f32_to_f16(x), h | 0x200);
		else
			assert_int_equal(f32_to_f16(x), h);
	}
	assert_true(f16_to_f32(0x3c00) == 1.0f);
	assert_true(f16_to_f32(0x0001) == 0x1p-24f);
	assert_true(f16_to_f32(0x7bff) == 65504.0f);
	assert_int_equal(f32_to_f16(65519.996f), 0x7bff);
	assert_int_equal(f32_to_f16(65520.0f), 0x7c00);
	assert_int_equal(f32_to_f16(0x1p-25f), 0);
	assert_int_equal(f32_to_f16(-0x1.000002p-25f), 0x8001);
	for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += STRIDE)
	{
		float		x = f32_from_bits((uint32_t) bits);

		if (fabsf(x) < 65536.0f)
			assert_int_equal(f32_to_f16(x), nearest_f16(x));
	}
	assert_true(bf16_to_f32(0x3f80) == 1.0f);
	assert_true(bf16_to_f32(0xc049) == -3.140625f);
}

static double
uniform(double low, double high)
{
	double		low_bits = number_bits() * 0x1p-32;
	double		u = ((double) number_bits() + low_bits) * 0x1p-32;

	return low + u * (high - low);
}

static double
error_in_ulp64(double got, long double want)
{
	double		nearest = fabs((double) want);

	return (double) (fabsl(got - want) /
					 (nextafter(nearest, INFINITY) - nearest));
}

static void
double_functions_are_near(void **state)
{
	double		worst[4] = {0};

	(void) state;
	numbers_seed(2);
	for (int i = 0; i < 300000; i++)
	{
		double		x = uniform(-700, 700);
		double		base = uniform(1, 2000000);
		double		y = uniform(-1, 1);
		double		angle = uniform(-1, 1) * (i % 2 ? 4 : 3000);
		double		s;
		double		c;

		worst[0] = fmax(worst[0], error_in_ulp64(math_exp(x), expl(x)));
		worst[1] = fmax(worst[1], error_in_ulp64(math_log(exp(x)),
												 logl(exp(x))));
		worst[1] = fmax(worst[1], error_in_ulp64(math_log(1 + y / 2),
												 logl(1 + y / 2)));
		worst[2] = fmax(worst[2], error_in_ulp64(math_pow(base, y),
												 powl(base, y)));
		math_sincos(angle, &s, &c);
		worst[3] = fmax(worst[3], error_in_ulp64(s, sinl(angle)));
		worst[3] = fmax(worst[3], error_in_ulp64(c, cosl(angle)));
	}
	/* observed 0.843, 0.798, 0.863, 0.771; 0.865 with more numbers */
	assert_true(worst[0] < 0.9);
	assert_true(worst[1] < 0.9);
	assert_true(worst[2] < 0.9);
	assert_true(worst[3] < 0.9);
}

/* Far out, what counts is the distance: |x| up to 2^30. */
static void
large_angles_are_near(void **state)
{
	double		worst = 0;

	(void) state;
	numbers_seed(3);
	for (int i = 0; i < 300000; i++)
	{
		double		angle = uniform(-0x1p30, 0x1p30);
		double		s;
		double		c;

		math_sincos(angle, &s, &c);
		worst = fmax(worst, (double) fabsl(s - sinl(angle)));
		worst = fmax(worst, (double) fabsl(c - cosl(angle)));
	}
	/* observed 8.5e-17 */
	assert_true(worst < 1e-16);
}

static void
double_functions_at_edges(void **state)
{
	double		s;
	double		c;

	(void) state;
	assert_true(math_exp(0) == 1);
	assert_true(math_exp(-INFINITY) == 0);
	assert_true(math_exp(710) == INFINITY);
	assert_true(math_exp(-746) == 0);
	assert_true(math_exp(-745) == exp(-745));
	assert_true(isnan(math_exp(NAN)));
	assert_true(math_log(1) == 0);
	assert_true(math_log(0) == -INFINITY);
	assert_true(fabs(math_log(0x1p-1074) - log(0x1p-1074)) < 2e-13);
	assert_true(math_pow(10000, 0) == 1);
	assert_true(math_pow(10000, 1) == 10000);
	assert_true(fabs(math_pow(2, 0.5) - sqrt(2)) < 3e-16);
	math_sincos(0, &s, &c);
	assert_true(s == 0 && c == 1);
	for (int i = -4001; i <= 4001; i++)
	{
		double		x = i * 0.25;

		assert_true(math_rint(x) == rint(x));
		assert_true(math_floor(x) == floor(x));
	}
	assert_true(math_rint(0x1.8p52) == 0x1.8p52);
	assert_true(math_rint(4503599627370495.5) == 4503599627370496.0);
}

static void
sums_of_exponentials(void **state)
{
	static const int sizes[] = {1, 15, 16, 17, 4095, 4096, 4097, 50000};

	(void) state;
	numbers_seed(4);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
	{
		float	   *x = numbers((size_t) sizes[i], NUMBERS_PLAIN);
		long double want = 0;
		double		got = math_sum_exp(x, sizes[i], 3.5);

		for (int j = 0; j < sizes[i]; j++)
			want += expl((long double) x[j] - 3.5L);
		/* observed 1.2e-16 */
		assert_true(fabsl(got - want) < 3e-16L * want);
		free(x);
	}
}

/* As DESIGN.md has it, one number at a time. */
static double
plain_sum_exp(const float *x, int n, double max)
{
	double		sum = 0;

	for (int first = 0; first < n; first += 4096)
	{
		double		lane[16] = {0};

		for (int i = first; i < n && i < first + 4096; i++)
			lane[i % 16] += math_exp((double) x[i] - max);
		for (int width = 8; width > 0; width /= 2)
			for (int i = 0; i < width; i++)
				lane[i] += lane[i + width];
		sum += lane[0];
	}
	return sum;
}

/* Every set of instructions, over what is in range and what is not. */
static void
sums_have_the_same_bits(void **state)
{
	static const int sizes[] = {1, 15, 16, 17, 100, 4096, 4097, 49152};
	static const double scales[] = {0, 1, 20, 650, 2000};

	(void) state;
	numbers_seed(5);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (size_t j = 0; j < sizeof(scales) / sizeof(scales[0]); j++)
		{
			int			n = sizes[i];
			float	   *x = numbers((size_t) n, NUMBERS_PLAIN);
			float		max = -INFINITY;
			double		want;

			for (int k = 0; k < n; k++)
			{
				x[k] *= (float) scales[j];
				max = x[k] > max ? x[k] : max;
			}
			assert_true(math_max(x, n) == max);
			want = plain_sum_exp(x, n, max);
			assert_true(math_sum_exp(x, n, max) == want);
			for (int set = 0; set < math_sum_exp_sets(); set++)
			{
				assert_true(math_sum_exp_by(set, x, n, max) == want);
				assert_true(math_sum_exp_by(set, x, n, max - 40) ==
							plain_sum_exp(x, n, max - 40));
			}
			free(x);
		}
}

static uint64_t
hash_function(float (*function) (float))
{
	uint64_t	hash = 0;

	for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += 65537)
	{
		float		x = f32_from_bits((uint32_t) bits);
		float		y;

		if (!f32_is_finite(x))
			continue;
		y = function(x);
		hash = numbers_hash(hash, &y, sizeof(y));
	}
	return hash;
}

static uint64_t
hash_double_functions(void)
{
	uint64_t	hash = 0;

	for (int i = 0; i < 20000; i++)
	{
		double		x = (i - 9999.5) * 0.07;
		double		y[5];

		y[0] = math_exp(x);
		y[1] = math_log(fabs(x));
		y[2] = math_pow(i + 1.0, x / 700);
		math_sincos(x * 1000, &y[3], &y[4]);
		hash = numbers_hash(hash, y, sizeof(y));
	}
	return hash;
}

/*
 * The definition, bit by bit: the same with every compiler and processor.
 * When one of these changes on purpose, NUMERICS_VERSION must be raised.
 */
static void
bits_are_those_of_the_version(void **state)
{
	(void) state;
	assert_int_equal(NUMERICS_VERSION, 1);
	assert_true(hash_function(f32_exp) == UINT64_C(0x8600c58ff97999c6));
	assert_true(hash_function(f32_tanh) == UINT64_C(0x5880807d214f5efd));
	assert_true(hash_function(f32_erf) == UINT64_C(0xc88bacdd817ed833));
	assert_true(hash_function(f32_silu) == UINT64_C(0xfa33a26cde37e66a));
	assert_true(hash_function(f32_gelu_tanh) == UINT64_C(0x704c47bd9676173f));
	assert_true(hash_function(f32_gelu_erf) == UINT64_C(0xa6aa7816d0a97195));
	assert_true(hash_double_functions() == UINT64_C(0x751621bae353af65));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exp_is_near),
		cmocka_unit_test(tanh_is_near),
		cmocka_unit_test(erf_is_near),
		cmocka_unit_test(activations_are_near),
		cmocka_unit_test(soft_fma_rounds_once),
		cmocka_unit_test(half_rounds_to_nearest_even),
		cmocka_unit_test(double_functions_are_near),
		cmocka_unit_test(large_angles_are_near),
		cmocka_unit_test(double_functions_at_edges),
		cmocka_unit_test(sums_of_exponentials),
		cmocka_unit_test(sums_have_the_same_bits),
		cmocka_unit_test(bits_are_those_of_the_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
