/*-------------------------------------------------------------------------
 *
 * math64.c
 *	  Elementary functions in double precision, the same bits everywhere.
 *
 * Reductions carry a second double where one is not enough: pow needs about
 * 64 bits of log(x) * y, sincos about 53 bits below the point after pi/2 was
 * taken off.  Products of doubles are made exact by Dekker's splitting, as FMA
 * may not be used.  Series are those of exp, sin, cos (Taylor) and atanh, on
 * intervals where they converge in a few terms; constants like 1.0 / 5040 are
 * divisions rounded by the compiler, the same everywhere.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "base/math64.h"

#include <string.h>

/* ln 2 and pi/2 in parts; a count times all but the last is exact */
#define LN2_HIGH MATH_LN2_HIGH	/* 32 bits */
#define LN2_LOW MATH_LN2_LOW
#define HALF_PI_1 0x1.921fb4p0	/* 23 bits */
#define HALF_PI_2 0x1.4442dp-24 /* 23 bits */
#define HALF_PI_3 0x1.8469898cc517p-48

#define LOG2E MATH_LOG2E
#define TWO_OVER_PI 0x1.45f306dc9c883p-1
#define SQRT_HALF 0x1.6a09e667f3bcdp-1

#define EXP_HIGHEST 709.782712893384	/* above: infinity */
#define EXP_LOWEST -745.1332191019412	/* below: 0 */

#define INFINITY64 __builtin_inf()

static inline uint64_t
bits_of(double x)
{
	uint64_t	bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

static inline double
from_bits(uint64_t bits)
{
	double		x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

/* 2^n for -1022 <= n <= 1023 */
static inline double
power_of_two(int n)
{
	return from_bits((uint64_t) (n + 1023) << 52);
}

/* hi + lo, |lo| <= ulp(hi) / 2 */
typedef struct Pair
{
	double		hi;
	double		lo;
} Pair;

/* a + b exactly (Knuth's TwoSum) */
static Pair
exact_sum(double a, double b)
{
	double		sum = a + b;
	double		part = sum - a;
	Pair		result = {sum, (a - (sum - part)) + (b - part)};

	return result;
}

/* a in two halves of at most 26 bits (Veltkamp) */
static Pair
halves(double a)
{
	double		big = a * 0x1.0000002p27;
	double		hi = big - (big - a);
	Pair		result = {hi, a - hi};

	return result;
}

/* a * b exactly (Dekker) */
static Pair
exact_product(double a, double b)
{
	Pair		x = halves(a);
	Pair		y = halves(b);
	double		product = a * b;
	Pair		result = {product,
	((x.hi * y.hi - product) + x.hi * y.lo + x.lo * y.hi) + x.lo * y.lo};

	return result;
}

static Pair
pair_product(Pair a, Pair b)
{
	Pair		p = exact_product(a.hi, b.hi);

	return exact_sum(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));
}

static Pair
pair_sum(Pair a, Pair b)
{
	Pair		s = exact_sum(a.hi, b.hi);

	return exact_sum(s.hi, s.lo + (a.lo + b.lo));
}

double
math_rint(double x)
{
	double		shift = x < 0 ? -0x1p52 : 0x1p52;

	if (!(x < 0x1p52 && x > -0x1p52))
		return x;
	return (x + shift) - shift;
}

double
math_floor(double x)
{
	double		nearest = math_rint(x);

	return nearest > x ? nearest - 1.0 : nearest;
}

const double math_exp_series[12] = {
	0.5, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040,
	1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800,
	1.0 / 479001600, 1.0 / 6227020800
};

/* e^(x + low) for a low that is at most about one ulp of x */
static double
exp_of_sum(double x, double low)
{
	double		n;
	double		rest;
	double		off;
	double		r;
	double		p = math_exp_series[11];
	int			half;

	if (x != x)
		return x;
	if (x > EXP_HIGHEST)
		return INFINITY64;
	if (x < EXP_LOWEST)
		return 0.0;
	n = math_rint(x * LOG2E);
	rest = x - n * LN2_HIGH;
	off = n * LN2_LOW - low;
	r = rest - off;
	off = (rest - r) - off;		/* what r lost */
	for (int i = 10; i >= 0; i--)
		p = p * r + math_exp_series[i];
	p = 1.0 + (r + (p * (r * r) + off));

	/* 2^n in two steps: it may lie outside the exponents of normal doubles */
	half = (int) n / 2;
	return (p * power_of_two(half)) * power_of_two((int) n - half);
}

double
math_exp(double x)
{
	return exp_of_sum(x, 0.0);
}

/* x = m * 2^*exponent with sqrt(1/2) <= m < sqrt(2) */
static double
split_exponent(double x, int *exponent)
{
	uint64_t	bits = bits_of(x);
	int			e = 0;
	double		m;

	if (bits < UINT64_C(1) << 52)	/* subnormal */
	{
		bits = bits_of(x * 0x1p54);
		e = -54;
	}
	e += (int) (bits >> 52) - 1022;
	m = from_bits((bits & ((UINT64_C(1) << 52) - 1)) | (UINT64_C(1022) << 52));
	if (m < SQRT_HALF)
	{
		m = m * 2.0;
		e = e - 1;
	}
	*exponent = e;
	return m;
}

/*
 * 1/(2n+3) + z/(2n+5) + ...: the tail of atanh(s)/s with z = s^2 <= 0.0295,
 * up to z^11/23.
 */
static double
atanh_tail(double z, int first)
{
	double		p = 1.0 / 23;

	for (int odd = 21; odd >= first; odd -= 2)
		p = p * z + 1.0 / odd;
	return p;
}

/*
 * With m = 1 + f and s = f/(2 + f), log m = 2 atanh s; written as
 * f - (f^2/2 - s (f^2/2 + R)), R = 2 (s^2/3 + s^4/5 + ...), the rounding
 * errors fall on small terms only.
 */
double
math_log(double x)
{
	int			exponent;
	double		f;
	double		s;
	double		z;
	double		tail;
	double		half_square;

	if (!(x > 0.0))
		return x == 0.0 ? -INFINITY64 : x - x + (0.0 * INFINITY64);
	if (x == INFINITY64)
		return x;
	f = split_exponent(x, &exponent) - 1.0;
	s = f / (2.0 + f);
	z = s * s;
	tail = 2.0 * z * atanh_tail(z, 3);
	half_square = 0.5 * f * f;
	return exponent * LN2_HIGH -
		((half_square - (s * (half_square + tail) + exponent * LN2_LOW)) - f);
}

/* log x to about 100 bits for pow */
static Pair
log_pair(double x)
{
	const Pair	third = {0x1.5555555555555p-2, 0x1.5555555555555p-56};
	int			exponent;
	double		f = split_exponent(x, &exponent) - 1.0;
	Pair		divisor = exact_sum(2.0, f);
	Pair		s;
	Pair		z;
	Pair		back;
	Pair		sum;

	s.hi = f / divisor.hi;
	back = exact_product(s.hi, divisor.hi);
	s.lo = (((f - back.hi) - back.lo) - s.hi * divisor.lo) / divisor.hi;
	z = pair_product(s, s);

	/* 2 s (1 + z (1/3 + z (1/5 + ...))) */
	sum = pair_sum(third, exact_sum(z.hi * atanh_tail(z.hi, 5), 0.0));
	sum = pair_product(z, sum);
	sum = pair_product(s, pair_sum(exact_sum(1.0, 0.0), sum));
	sum.hi *= 2.0;
	sum.lo *= 2.0;
	return pair_sum(exact_sum(exponent * LN2_HIGH, exponent * LN2_LOW), sum);
}

double
math_pow(double x, double y)
{
	Pair		log = log_pair(x);
	Pair		product = exact_product(log.hi, y);

	product = exact_sum(product.hi, product.lo + log.lo * y);
	return exp_of_sum(product.hi, product.lo);
}

/* sin(r + low), |r| <= pi/4: Taylor up to r^17 */
static double
sin_kernel(double r, double low)
{
	static const double series[] = {
		-1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800,
		1.0 / 6227020800, -1.0 / 1307674368000, 1.0 / 355687428096000
	};
	double		z = r * r;
	double		p = series[7];

	for (int i = 6; i >= 0; i--)
		p = p * z + series[i];
	return r + (p * z * r + low * (1.0 - 0.5 * z));
}

/* cos(r + low), |r| <= pi/4: Taylor up to r^18 */
static double
cos_kernel(double r, double low)
{
	static const double series[] = {
		1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600,
		-1.0 / 87178291200, 1.0 / 20922789888000, -1.0 / 6402373705728000
	};
	double		z = r * r;
	double		half = 0.5 * z;
	double		first = 1.0 - half;
	double		p = series[7];

	for (int i = 6; i >= 0; i--)
		p = p * z + series[i];
	return first + (((1.0 - first) - half) + (p * (z * z) - r * low));
}

void
math_sincos(double x, double *sin, double *cos)
{
	double		n = math_rint(x * TWO_OVER_PI);
	double		rest = (x - n * HALF_PI_1) - n * HALF_PI_2;
	double		off = n * HALF_PI_3;
	double		r = rest - off;
	double		low = (rest - r) - off;
	double		s = sin_kernel(r, low);
	double		c = cos_kernel(r, low);

	switch ((int64_t) n & 3)
	{
		case 0:
			*sin = s;
			*cos = c;
			break;
		case 1:
			*sin = c;
			*cos = -s;
			break;
		case 2:
			*sin = -s;
			*cos = -c;
			break;
		default:
			*sin = -c;
			*cos = s;
			break;
	}
}
