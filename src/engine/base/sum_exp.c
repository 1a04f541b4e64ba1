/*-------------------------------------------------------------------------
 *
 * sum_exp.c
 *	  The sum of the exponentials of many numbers, in vectors.
 *
 * Every log-probability needs one over the whole vocabulary.  The lanes of
 * vectors do what math_exp() does, operation by operation, so that the sum
 * has the same bits whatever their width is.  2^n is multiplied at once, which
 * is the same as in two steps where it is a normal number; a chunk with
 * arguments beyond that is left to math_exp().
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "base/math64.h"

#include <string.h>

#define CHUNK 4096
#define EXP_RANGE 700.0			/* 2^n is normal for |x| up to here */

#define WIDTH 2
#define SET(name) name##_2
#define TARGET
#include "base/sum_exp_lanes.h"

#if defined(__x86_64__)
#define WIDTH 4
#define SET(name) name##_4
#define TARGET __attribute__((target("avx2")))
#include "base/sum_exp_lanes.h"

#define WIDTH 8
#define SET(name) name##_8
#define TARGET __attribute__((target("avx512f,avx512dq,avx512vl")))
#include "base/sum_exp_lanes.h"
#endif

typedef struct SumSet
{
	bool		(*add) (const float *x, int64_t n, double max, double *lane);
	float		(*raise) (const float *x, int64_t n, float max);
} SumSet;

static const SumSet sets[] = {
	{add_2, raise_2},
#if defined(__x86_64__)
	{add_4, raise_4},
	{add_8, raise_8},
#endif
};

int
math_sum_exp_sets(void)
{
#if defined(__x86_64__)
	if (!__builtin_cpu_supports("avx2"))
		return 1;
	return __builtin_cpu_supports("avx512f") &&
		__builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("avx512vl") ? 3 : 2;
#else
	return 1;
#endif
}

/* Sum16 of exp(x - max) */
static double
chunk_sum_exp(const SumSet *set, const float *x, int64_t n, double max)
{
	double		lane[16];
	int64_t		vectors = n - n % 16;

	if (!set->add(x, vectors, max, lane))
	{
		vectors = 0;
		memset(lane, 0, sizeof(lane));
	}
	for (int64_t i = vectors; i < n; i++)
		lane[i % 16] += math_exp((double) x[i] - max);
	for (int width = 8; width > 0; width /= 2)
	{
		for (int i = 0; i < width; i++)
			lane[i] += lane[i + width];
	}
	return lane[0];
}

double
math_sum_exp_by(int set, const float *x, int64_t n, double max)
{
	double		sum = 0.0;

	for (int64_t i = 0; i < n; i += CHUNK)
		sum += chunk_sum_exp(&sets[set], x + i,
							 n - i < CHUNK ? n - i : CHUNK, max);
	return sum;
}

double
math_sum_exp(const float *x, int64_t n, double max)
{
	return math_sum_exp_by(math_sum_exp_sets() - 1, x, n, max);
}

float
math_max(const float *x, int64_t n)
{
	int64_t		vectors = n - n % 16;
	float		max = sets[math_sum_exp_sets() - 1].raise(x, vectors, x[0]);

	for (int64_t i = vectors; i < n; i++)
		max = x[i] > max ? x[i] : max;
	return max;
}
