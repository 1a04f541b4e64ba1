/*-------------------------------------------------------------------------
 *
 * decimal.c
 *	  Decimal numbers as texts to binary floating point.
 *
 * Short numbers are one exact multiplication or division (Clinger, "How to
 * Read Floating Point Numbers Accurately", 1990).  The others are divided as
 * large integers, which is slow and always right.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "base/decimal.h"

#include <stdint.h>
#include <string.h>

/*
 * More digits than any midpoint between two doubles has (767), so that what
 * comes after them only matters by being there or not.
 */
#define MOST_DIGITS 780
#define MOST_LIMBS 160			/* of 32 bits: 10^(MOST_DIGITS + 344) fits */

typedef struct Big
{
	uint32_t	limbs[MOST_LIMBS];	/* lowest first */
	int			n;
} Big;

typedef struct Decimal
{
	bool		negative;
	int			n_digits;
	uint8_t		digits[MOST_DIGITS];	/* without leading zeros */
	int64_t		exponent;		/* of ten, behind the last digit */
} Decimal;

static void
big_multiply_add(Big *big, uint32_t factor, uint32_t addend)
{
	uint64_t	carry = addend;

	for (int i = 0; i < big->n; i++)
	{
		carry += (uint64_t) big->limbs[i] * factor;
		big->limbs[i] = (uint32_t) carry;
		carry >>= 32;
	}
	if (carry != 0 && big->n < MOST_LIMBS)
		big->limbs[big->n++] = (uint32_t) carry;
}

static void
big_scale_ten(Big *big, int64_t exponent)
{
	for (; exponent > 0; exponent--)
		big_multiply_add(big, 10, 0);
}

static int
big_bits(const Big *big)
{
	if (big->n == 0)
		return 0;
	return big->n * 32 - __builtin_clz(big->limbs[big->n - 1]);
}

static void
big_shift_left(Big *big, int bits)
{
	int			words = bits / 32;

	if (big->n == 0 || bits == 0)
		return;
	big_multiply_add(big, UINT32_C(1) << (bits % 32), 0);
	memmove(big->limbs + words, big->limbs,
			(size_t) big->n * sizeof(uint32_t));
	memset(big->limbs, 0, (size_t) words * sizeof(uint32_t));
	big->n += words;
}

static int
big_compare(const Big *a, const Big *b)
{
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	for (int i = a->n; i-- > 0;)
	{
		if (a->limbs[i] != b->limbs[i])
			return a->limbs[i] < b->limbs[i] ? -1 : 1;
	}
	return 0;
}

/* a -= b, for a >= b */
static void
big_subtract(Big *a, const Big *b)
{
	int64_t		borrow = 0;

	for (int i = 0; i < a->n; i++)
	{
		borrow += (int64_t) a->limbs[i] - (i < b->n ? b->limbs[i] : 0);
		a->limbs[i] = (uint32_t) borrow;
		borrow >>= 32;
	}
	while (a->n > 0 && a->limbs[a->n - 1] == 0)
		a->n--;
}

static void
add_digit(Decimal *decimal, uint8_t digit, bool fraction)
{
	if (fraction)
		decimal->exponent--;
	if (decimal->n_digits == 0 && digit == 0)
		return;
	if (decimal->n_digits < MOST_DIGITS)
		decimal->digits[decimal->n_digits++] = digit;
	else
	{
		/* a last digit that stands for all that follow */
		decimal->exponent++;
		if (digit != 0)
			decimal->digits[MOST_DIGITS - 1] |= 1;
	}
}

static void
parse(const char *text, size_t length, Decimal *decimal)
{
	size_t		i = 0;
	bool		fraction = false;
	int64_t		exponent = 0;
	bool		negative = false;

	memset(decimal, 0, sizeof(*decimal));
	if (i < length && text[i] == '-')
	{
		decimal->negative = true;
		i++;
	}
	for (; i < length && text[i] != 'e' && text[i] != 'E'; i++)
	{
		if (text[i] == '.')
			fraction = true;
		else
			add_digit(decimal, (uint8_t) (text[i] - '0'), fraction);
	}
	for (i++; i < length; i++)
	{
		if (text[i] == '-')
			negative = true;
		else if (text[i] != '+' && exponent < 1000000000)
			exponent = exponent * 10 + (text[i] - '0');
	}
	decimal->exponent += negative ? -exponent : exponent;
}

/* At most 15 digits and a power of ten that is exact: one operation. */
static bool
convert_short(const Decimal *decimal, double *value)
{
	static const double powers[] = {
		1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12,
		1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
	};
	uint64_t	integer = 0;

	if (decimal->n_digits > 15 || decimal->exponent < -22 ||
		decimal->exponent > 22)
		return false;
	for (int i = 0; i < decimal->n_digits; i++)
		integer = integer * 10 + decimal->digits[i];
	if (decimal->exponent < 0)
		*value = (double) integer / powers[-decimal->exponent];
	else
		*value = (double) integer * powers[decimal->exponent];
	return true;
}

/* mantissa * 2^exponent, where the mantissa has at most 53 bits */
static bool
assemble(uint64_t mantissa, int exponent, double *value)
{
	uint64_t	bits = mantissa;

	if (mantissa >> 53 != 0)
	{
		mantissa >>= 1;
		exponent++;
	}
	if (exponent > 1023 - 52)
		return false;
	if (mantissa >> 52 != 0)
		bits = (uint64_t) (exponent + 1075) << 52 |
			(mantissa & ((UINT64_C(1) << 52) - 1));
	memcpy(value, &bits, sizeof(*value));
	return true;
}

/*
 * numerator / denominator to nearest even.  exponent is that of the last bit
 * kept: of 53 bits, or of the smallest subnormal.
 */
static bool
divide(Big *numerator, Big *denominator, double *value)
{
	int			exponent = big_bits(numerator) - big_bits(denominator) - 53;
	uint64_t	quotient = 0;
	int			order;

	if (exponent < -1074)
		exponent = -1074;
	if (exponent < 0)
		big_shift_left(numerator, -exponent);
	else
		big_shift_left(denominator, exponent);

	/* the quotient has at most 54 bits */
	big_shift_left(denominator, 54);
	for (int bit = 54; bit >= 0; bit--)
	{
		quotient <<= 1;
		if (big_compare(numerator, denominator) >= 0)
		{
			big_subtract(numerator, denominator);
			quotient |= 1;
		}
		if (bit > 0)
			big_shift_left(numerator, 1);
	}
	if (quotient >> 53 != 0)
	{
		/* one bit too many: it and the rest decide */
		bool		half = (quotient & 1) != 0;

		quotient >>= 1;
		exponent++;
		if (half && (numerator->n > 0 || (quotient & 1)))
			quotient++;
		return assemble(quotient, exponent, value);
	}
	big_shift_left(numerator, 1);
	order = big_compare(numerator, denominator);
	if (order > 0 || (order == 0 && (quotient & 1)))
		quotient++;
	return assemble(quotient, exponent, value);
}

bool
decimal_to_double(const char *text, size_t length, double *value)
{
	Decimal		decimal;
	Big			numerator = {.n = 0};
	Big			denominator = {.limbs = {1}, .n = 1};
	bool		fits = true;

	parse(text, length, &decimal);
	*value = 0;
	if (decimal.n_digits > 0 && !convert_short(&decimal, value))
	{
		if (decimal.exponent + decimal.n_digits > 310)
			return false;
		if (decimal.exponent + decimal.n_digits >= -330)
		{
			for (int i = 0; i < decimal.n_digits; i++)
				big_multiply_add(&numerator, 10, decimal.digits[i]);
			big_scale_ten(&numerator, decimal.exponent);
			big_scale_ten(&denominator, -decimal.exponent);
			fits = divide(&numerator, &denominator, value);
		}
	}
	if (decimal.negative)
		*value = -*value;
	return fits;
}

bool
decimal_fits(const char *text, size_t length)
{
	Decimal		decimal;
	double		value;

	parse(text, length, &decimal);
	return decimal.n_digits == 0 ||
		decimal.exponent + decimal.n_digits <= 308 ||
		decimal_to_double(text, length, &value);
}
