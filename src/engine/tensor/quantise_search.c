/*-------------------------------------------------------------------------
 *
 * quantise_search.c
 *	  Quantisers that look for the scale with the least error.
 *
 * IQ4_NL, Q4_K, Q5_K and Q6_K.  For given codes the best scale (and minimum)
 * is a weighted least-squares problem with a closed solution; codes follow
 * from a scale by rounding.  So a few scales around that of the block's range
 * are tried, each is improved by the closed solution, and the best one stays,
 * as ggml's make_qx_quants and make_qkx2_quants do.  Larger values weigh
 * more.  The scales of the sub-blocks are then rounded to the integers that a
 * super-block stores, and the codes are computed anew for those.
 *
 * Between SMALLEST and LARGEST no sum of fourth powers leaves f32's range;
 * beyond, the f16 scales of all these types are zero or infinite.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "tensor/quantise_block.h"

#include "tensor/blocks.h"

#define SMALLEST 1e-6f
#define LARGEST 1e9f
#define SUPER 256

/* To the nearest integer, halves to even; |x| < 2^22. */
static int
nearest(float x)
{
	return (int) ((x + 0x1.8p23f) - 0x1.8p23f);
}

static int
nearest_within(float x, int low, int high)
{
	/* written so that no number at all becomes low */
	if (!(x > (float) low))
		return low;
	return x >= (float) high ? high : nearest(x);
}

/* The value of largest magnitude, with its sign. */
static float
farthest_of(const float *x, int n)
{
	float		found = 0.0f;

	for (int i = 0; i < n; i++)
	{
		if (magnitude(x[i]) > magnitude(found))
			found = x[i];
	}
	return found;
}

/* A block that needs no search: all zero, or beyond f16. */
static bool
without_search(const float *x, int n, uint8_t *out, int bytes, int scale_at)
{
	float		largest = magnitude(farthest_of(x, n));

	if (largest >= SMALLEST && largest <= LARGEST)
		return false;
	memset(out, 0, bytes);
	if (largest > LARGEST)
		put_half(out + scale_at, largest);
	return true;
}

/* Sums of the fit x = scale * code, with weights x^2. */
typedef struct ScaleFit
{
	float		products;		/* sum of w x q */
	float		squares;		/* sum of w q^2 */
} ScaleFit;

static void
scale_fit_add(ScaleFit *fit, float x, int q)
{
	float		w = x * x;

	fit->products += w * x * (float) q;
	fit->squares += w * (float) q * (float) q;
}

/*
 * The best scale is products / squares, and products^2 / squares is what it
 * takes off the error.  Keep that of the fit which takes off most.
 */
static void
scale_fit_keep(const ScaleFit *fit, float *scale, float *best)
{
	float		candidate;

	if (!(fit->squares > 0.0f))
		return;
	candidate = fit->products / fit->squares;
	if (candidate * fit->products > *best)
	{
		*scale = candidate;
		*best = candidate * fit->products;
	}
}

/* The index of the nearest value of IQ4_NL's code book. */
static int
nearest_iq4(float x)
{
	int			i = 0;

	while (i < 15 &&
		   2.0f * x >= (float) (iq4_values[i] + iq4_values[i + 1]))
		i++;
	return i;
}

/*
 * The code book reaches further below zero than above.  Tried are scales that
 * map the farthest value to about -127, whatever its sign, and one that maps
 * it to its own side.
 */
static float
iq4_scale(const float *x)
{
	float		farthest = farthest_of(x, 32);
	float		scale = 0.0f;
	float		best = 0.0f;

	for (int step = -8; step <= 7; step++)
	{
		float		inverse = step == -8 ? 113.0f / magnitude(farthest) :
			(float) (step - 127) / farthest;
		ScaleFit	fit = {0.0f, 0.0f};

		for (int i = 0; i < 32; i++)
			scale_fit_add(&fit, x[i],
						  iq4_values[nearest_iq4(x[i] * inverse)]);
		scale_fit_keep(&fit, &scale, &best);
	}
	return scale;
}

void
quantise_iq4_nl(const float *x, uint8_t *out)
{
	float		scale;
	float		inverse;

	if (without_search(x, 32, out, 18, 0))
		return;
	scale = iq4_scale(x);
	inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
	put_half(out, scale);
	for (int i = 0; i < 16; i++)
		out[2 + i] = (uint8_t) (nearest_iq4(x[i] * inverse) |
								nearest_iq4(x[i + 16] * inverse) << 4);
}

/* Q6_K: the scale of 16 values with codes -32 .. 31. */
static float
q6_scale(const float *x)
{
	float		farthest = farthest_of(x, 16);
	float		scale = 0.0f;
	float		best = 0.0f;

	if (magnitude(farthest) < SMALLEST)
		return 0.0f;
	for (int step = -9; step <= 9; step++)
	{
		float		inverse = -(32.0f + 0.1f * (float) step) / farthest;
		ScaleFit	fit = {0.0f, 0.0f};

		for (int i = 0; i < 16; i++)
			scale_fit_add(&fit, x[i],
						  nearest_within(x[i] * inverse, -32, 31));
		scale_fit_keep(&fit, &scale, &best);
	}
	return scale;
}

/* Codes + 32 in the order of the values, to the layout of Q6_K. */
static void
pack_q6_k(const uint8_t *codes, uint8_t *out)
{
	for (int half = 0; half < 2; half++)
	{
		const uint8_t *c = codes + 128 * half;
		uint8_t    *low = out + 64 * half;
		uint8_t    *high = out + 128 + 32 * half;

		for (int i = 0; i < 32; i++)
		{
			low[i] = (uint8_t) ((c[i] & 15) | (c[i + 64] & 15) << 4);
			low[i + 32] = (uint8_t) ((c[i + 32] & 15) | (c[i + 96] & 15) << 4);
			high[i] = (uint8_t) (c[i] >> 4 | c[i + 32] >> 4 << 2 |
								 c[i + 64] >> 4 << 4 | c[i + 96] >> 4 << 6);
		}
	}
}

void
quantise_q6_k(const float *x, uint8_t *out)
{
	float		scales[16];
	uint8_t		codes[SUPER];
	float		farthest;
	float		d;

	if (without_search(x, SUPER, out, 210, 208))
		return;
	for (int s = 0; s < 16; s++)
		scales[s] = q6_scale(x + 16 * s);
	farthest = farthest_of(scales, 16);
	d = as_half(farthest / -128.0f);
	put_half(out + 208, d);
	for (int s = 0; s < 16; s++)
	{
		int			scale = nearest_within(scales[s] * (-128.0f / farthest),
										   -128, 127);
		float		step = d * (float) scale;

		out[192 + s] = (uint8_t) scale;
		for (int i = 16 * s; i < 16 * s + 16; i++)
			codes[i] = (uint8_t) (32 + (step == 0.0f ? 0 :
										nearest_within(x[i] / step, -32, 31)));
	}
	pack_q6_k(codes, out);
}

/* The fit x = scale * code - minimum, with weights w. */
typedef struct RangeFit
{
	float		scale;
	float		minimum;		/* >= 0; subtracted */
	float		error;			/* weighted sum of squares */
} RangeFit;

/* What the fits of 32 values have in common. */
typedef struct RangeProblem
{
	const float *x;
	float		w[32];
	float		sum_w;
	float		sum_wx;
	int			highest;		/* code */
} RangeProblem;

static void
range_problem(RangeProblem *problem, const float *x, int highest)
{
	float		squares = 0.0f;
	float		mean;

	for (int i = 0; i < 32; i++)
		squares += x[i] * x[i];
	mean = __builtin_sqrtf(squares / 32.0f);
	problem->x = x;
	problem->highest = highest;
	problem->sum_w = 0.0f;
	problem->sum_wx = 0.0f;
	for (int i = 0; i < 32; i++)
	{
		problem->w[i] = mean + magnitude(x[i]);
		problem->sum_w += problem->w[i];
		problem->sum_wx += problem->w[i] * x[i];
	}
}

static void
range_error(const RangeProblem *problem, const uint8_t *codes, RangeFit *fit)
{
	fit->error = 0.0f;
	for (int i = 0; i < 32; i++)
	{
		float		off = fit->scale * (float) codes[i] - fit->minimum -
			problem->x[i];

		fit->error += problem->w[i] * off * off;
	}
}

/* The best scale and minimum for these codes; false: they do not say. */
static bool
range_solve(const RangeProblem *problem, const uint8_t *codes, RangeFit *fit)
{
	float		sum_q = 0.0f;
	float		sum_qq = 0.0f;
	float		sum_qx = 0.0f;
	float		determinant;

	for (int i = 0; i < 32; i++)
	{
		float		wq = problem->w[i] * (float) codes[i];

		sum_q += wq;
		sum_qq += wq * (float) codes[i];
		sum_qx += wq * problem->x[i];
	}
	determinant = problem->sum_w * sum_qq - sum_q * sum_q;
	if (!(determinant > 0.0f))
		return false;
	fit->scale = (problem->sum_w * sum_qx - problem->sum_wx * sum_q) /
		determinant;
	fit->minimum = (sum_q * sum_qx - sum_qq * problem->sum_wx) / determinant;
	if (fit->minimum < 0.0f)
	{
		/* a minimum above zero cannot be stored */
		fit->minimum = 0.0f;
		fit->scale = sum_qx / sum_qq;
	}
	range_error(problem, codes, fit);
	return true;
}

static void
range_codes(const RangeProblem *problem, float inverse, float minimum,
			uint8_t *codes)
{
	for (int i = 0; i < 32; i++)
		codes[i] = (uint8_t)
			nearest_within((problem->x[i] + minimum) * inverse, 0,
						   problem->highest);
}

/*
 * Tries steps + 1 widths of the range, in codes: highest + first, and on by a
 * tenth of a code.  Codes count from the smallest value, or from zero when
 * that is above.
 */
static RangeFit
range_search(const float *x, int highest, float first, int steps)
{
	RangeProblem problem;
	RangeFit	best = {0.0f, 0.0f, 0.0f};
	float		max = x[0];
	float		minimum = 0.0f;
	uint8_t		codes[32];

	for (int i = 0; i < 32; i++)
	{
		if (-x[i] > minimum)
			minimum = -x[i];
		if (x[i] > max)
			max = x[i];
	}
	best.minimum = minimum;
	if (max + minimum < SMALLEST)
		return best;
	range_problem(&problem, x, highest);
	best.scale = (max + minimum) / (float) highest;
	range_codes(&problem, 1.0f / best.scale, minimum, codes);
	range_error(&problem, codes, &best);
	for (int step = 0; step <= steps; step++)
	{
		float		width = (float) highest + first + 0.1f * (float) step;
		RangeFit	fit;

		range_codes(&problem, width / (max + minimum), minimum, codes);
		if (range_solve(&problem, codes, &fit) && fit.error < best.error)
			best = fit;
	}
	return best;
}

/* Scales and minima of eight sub-blocks, six bits each, to 12 bytes. */
static void
pack_k_scales(const uint8_t *scales, const uint8_t *minima, uint8_t *out)
{
	for (int s = 0; s < 4; s++)
	{
		out[s] = (uint8_t) (scales[s] | scales[s + 4] >> 4 << 6);
		out[s + 4] = (uint8_t) (minima[s] | minima[s + 4] >> 4 << 6);
		out[s + 8] = (uint8_t) ((scales[s + 4] & 15) |
								(minima[s + 4] & 15) << 4);
	}
}

/* Everything but the codes' layout; out: d, dmin and 12 bytes of scales. */
static void
quantise_k(const float *x, int highest, float first, int steps, uint8_t *out,
		   uint8_t *codes)
{
	RangeFit	fits[8];
	uint8_t		scales[8];
	uint8_t		minima[8];
	float		largest_scale = 0.0f;
	float		largest_minimum = 0.0f;
	float		d;
	float		m;

	for (int s = 0; s < 8; s++)
	{
		fits[s] = range_search(x + 32 * s, highest, first, steps);
		if (fits[s].scale > largest_scale)
			largest_scale = fits[s].scale;
		if (fits[s].minimum > largest_minimum)
			largest_minimum = fits[s].minimum;
	}
	d = as_half(largest_scale / 63.0f);
	m = as_half(largest_minimum / 63.0f);
	put_half(out, d);
	put_half(out + 2, m);
	for (int s = 0; s < 8; s++)
	{
		RangeProblem problem = {.x = x + 32 * s, .highest = highest};
		float		step;

		scales[s] = (uint8_t)
			nearest_within(63.0f * (fits[s].scale / largest_scale), 0, 63);
		minima[s] = (uint8_t)
			nearest_within(63.0f * (fits[s].minimum / largest_minimum), 0, 63);
		step = d * (float) scales[s];
		range_codes(&problem, step > 0.0f ? 1.0f / step : 0.0f,
					m * (float) minima[s], codes + 32 * s);
	}
	pack_k_scales(scales, minima, out + 4);
}

static void
pack_k_nibbles(const uint8_t *codes, uint8_t *out)
{
	for (int pair = 0; pair < 4; pair++)
	{
		const uint8_t *c = codes + 64 * pair;

		for (int i = 0; i < 32; i++)
			out[32 * pair + i] = (uint8_t) ((c[i] & 15) |
											(c[i + 32] & 15) << 4);
	}
}

void
quantise_q4_k(const float *x, uint8_t *out)
{
	uint8_t		codes[SUPER];

	if (without_search(x, SUPER, out, 144, 0))
		return;
	quantise_k(x, 15, -1.0f, 20, out, codes);
	pack_k_nibbles(codes, out + 16);
}

void
quantise_q5_k(const float *x, uint8_t *out)
{
	uint8_t		codes[SUPER];

	if (without_search(x, SUPER, out, 176, 0))
		return;
	quantise_k(x, 31, -0.5f, 15, out, codes);
	memset(out + 16, 0, 32);
	for (int i = 0; i < SUPER; i++)
		out[16 + i % 32] |= (uint8_t) (codes[i] >> 4 << (i / 32));
	pack_k_nibbles(codes, out + 48);
}
