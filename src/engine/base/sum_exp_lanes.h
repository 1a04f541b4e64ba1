/*-------------------------------------------------------------------------
 *
 * sum_exp_lanes.h
 *	  The loops of sum_exp.c for vectors of one width; included by it once
 *	  for each.
 *
 * WIDTH: doubles of a vector; SET(name): the name of this width's function;
 * TARGET: the attribute that gives it the instructions.
 *
 *-------------------------------------------------------------------------
 */
#define Doubles SET(Doubles)
#define Words SET(Words)
#define Bits SET(Bits)
#define Floats SET(Floats)
#define FloatWords SET(FloatWords)

typedef double Doubles __attribute__((vector_size(8 * WIDTH)));
typedef int64_t Words __attribute__((vector_size(8 * WIDTH)));
typedef uint64_t Bits __attribute__((vector_size(8 * WIDTH)));
typedef float Floats __attribute__((vector_size(4 * WIDTH)));
typedef int32_t FloatWords __attribute__((vector_size(4 * WIDTH)));

/*
 * lane[i % 16] += exp(x[i] - max), operation by operation as math_exp() does,
 * for i < n, a multiple of 16.  False, and nothing to be used, when an
 * argument is out of range.
 */
TARGET static bool
SET(add) (const float *x, int64_t n, double max, double *lane)
{
	const double shift = 0x1.8p52;	/* rounds to whole numbers */
	Words		beyond = {0};
	int64_t		any = 0;

	for (int j = 0; j < 16; j += WIDTH)
	{
		Doubles		sum = {0};

		for (int64_t i = j; i < n; i += 16)
		{
			Floats		loaded;
			Doubles		d;
			Doubles		count;
			Doubles		rest;
			Doubles		off;
			Doubles		r;
			Doubles		p;
			Bits		exponent;

			memcpy(&loaded, x + i, sizeof(loaded));
			d = __builtin_convertvector(loaded, Doubles) - max;
			beyond |= ~((d >= -EXP_RANGE) & (d <= EXP_RANGE));
			count = d * MATH_LOG2E + shift;
			exponent = (Bits) count;
			count = count - shift;
			rest = d - count * MATH_LN2_HIGH;
			off = count * MATH_LN2_LOW;
			r = rest - off;
			off = (rest - r) - off;
			p = r * math_exp_series[11] + math_exp_series[10];
			for (int k = 9; k >= 0; k--)
				p = p * r + math_exp_series[k];
			p = 1.0 + (r + (p * (r * r) + off));

			/* the low bits of shift + count; the others leave the word */
			sum += p * (Doubles) ((exponent + 1023) << 52);
		}
		memcpy(lane + j, &sum, sizeof(sum));
	}
	for (int i = 0; i < WIDTH; i++)
		any |= beyond[i];
	return any == 0;
}

/* The largest of x[0 .. n-1] and max; n is a multiple of 16. */
TARGET static float
SET(raise) (const float *x, int64_t n, float max)
{
	Floats		best[16 / WIDTH];

	for (int j = 0; j < 16 / WIDTH; j++)
		best[j] = (Floats) {0} + max;
	for (int64_t i = 0; i < n; i += 16)
		for (int j = 0; j < 16 / WIDTH; j++)
		{
			Floats		next;
			FloatWords	larger;

			memcpy(&next, x + i + j * WIDTH, sizeof(next));
			larger = next > best[j];
			best[j] = (Floats) (((FloatWords) next & larger) |
								((FloatWords) best[j] & ~larger));
		}
	for (int i = 0; i < 16; i++)
	{
		float		one = best[i / WIDTH][i % WIDTH];

		max = one > max ? one : max;
	}
	return max;
}

#undef Doubles
#undef Words
#undef Bits
#undef Floats
#undef FloatWords
#undef WIDTH
#undef SET
#undef TARGET
