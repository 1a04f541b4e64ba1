/*-------------------------------------------------------------------------
 *
 * numbers.c
 *	  Random floats for tests, reproducible and nasty.
 *
 *-------------------------------------------------------------------------
 */
#include "numbers.h"

#include <stdlib.h>
#include <string.h>

#define FOUR NUMBER_CANARY, NUMBER_CANARY, NUMBER_CANARY, NUMBER_CANARY

const uint32_t numbers_canaries[16] = {FOUR, FOUR, FOUR, FOUR};

static uint64_t state = 1;

void
numbers_seed(uint64_t seed)
{
	state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
}

/* The upper bits of a linear congruential generator (Knuth's MMIX) */
uint32_t
number_bits(void)
{
	state = state * UINT64_C(6364136223846793005) +
		UINT64_C(1442695040888963407);
	return (uint32_t) (state >> 32);
}

int
number_below(int limit)
{
	return (int) (((uint64_t) number_bits() * (uint64_t) limit) >> 32);
}

static float
from_bits(uint32_t bits)
{
	float		x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

/* Any sign and mantissa, an exponent field of lowest .. highest */
static float
with_exponent(int lowest, int highest)
{
	uint32_t	exponent = (uint32_t) (lowest +
									   number_below(highest - lowest + 1));

	return from_bits((number_bits() & 0x807fffff) | exponent << 23);
}

static float
plain(void)
{
	float		sum = 0;

	for (int i = 0; i < 4; i++)
		sum += (float) (number_bits() >> 8) * 0x1p-23f - 1.0f;
	return sum;
}

float
number(NumberKind kind)
{
	int			choice = number_below(8);

	if (kind == NUMBERS_ALL)
		return with_exponent(0, 254);
	if (kind == NUMBERS_PLAIN || (kind == NUMBERS_MIXED && choice < 4))
		return plain();
	if (choice == 4)
		return from_bits(number_bits() & 0x80000000);
	if (choice == 5 || kind == NUMBERS_TINY)
		return with_exponent(0, 1);
	return with_exponent(27, 160);
}

static float *
room(size_t n)
{
	size_t		whole = (n + 15) / 16 * 16 + 16;
	uint32_t   *p = aligned_alloc(64, whole * sizeof(float));

	if (p == NULL)
		abort();
	for (size_t i = 0; i < whole; i++)
		p[i] = NUMBER_CANARY;
	return (float *) p;
}

float *
numbers(size_t n, NumberKind kind)
{
	float	   *x = room(n);

	for (size_t i = 0; i < n; i++)
		x[i] = number(kind);
	return x;
}

float *
numbers_blank(size_t n)
{
	return room(n);
}

/* FNV-1a */
uint64_t
numbers_hash(uint64_t hash, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	if (hash == 0)
		hash = UINT64_C(0xcbf29ce484222325);
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}
