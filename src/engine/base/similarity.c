/*-------------------------------------------------------------------------
 *
 * similarity.c
 *	  How alike two vectors are.
 *
 * Four lanes, so that the sums do not wait for each other: lane i adds
 * elements i, i + 4 and so on, the lanes are added in pairs, then what is left
 * in order.  The products of two f32 are exact in f64.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "base/similarity.h"

typedef double Pair __attribute__((vector_size(2 * sizeof(double))));

/* Two elements; memory of arrays is only aligned to floats. */
static inline Pair
load(const float *x)
{
	return (Pair) {(double) x[0], (double) x[1]};
}

static inline double
sum(Pair low, Pair high)
{
	Pair		both = low + high;

	return both[0] + both[1];
}

double
vector_cosine(const float *a, const float *b, int64_t n)
{
	Pair		ab_low = {0},
				ab_high = {0},
				aa_low = {0},
				aa_high = {0},
				bb_low = {0},
				bb_high = {0};
	double		ab,
				aa,
				bb,
				cosine;
	int64_t		i;

	for (i = 0; i + 4 <= n; i += 4)
	{
		Pair		a_low = load(a + i);
		Pair		a_high = load(a + i + 2);
		Pair		b_low = load(b + i);
		Pair		b_high = load(b + i + 2);

		ab_low += a_low * b_low;
		ab_high += a_high * b_high;
		aa_low += a_low * a_low;
		aa_high += a_high * a_high;
		bb_low += b_low * b_low;
		bb_high += b_high * b_high;
	}
	ab = sum(ab_low, ab_high);
	aa = sum(aa_low, aa_high);
	bb = sum(bb_low, bb_high);
	for (; i < n; i++)
	{
		ab += (double) a[i] * (double) b[i];
		aa += (double) a[i] * (double) a[i];
		bb += (double) b[i] * (double) b[i];
	}
	cosine = ab / __builtin_sqrt(aa * bb);
	if (cosine > 1.0)
		return 1.0;
	if (cosine < -1.0)
		return -1.0;
	return cosine;
}
