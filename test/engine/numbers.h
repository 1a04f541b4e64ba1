/*-------------------------------------------------------------------------
 *
 * numbers.h
 *	  Random floats for tests, reproducible and nasty.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TEST_NUMBERS_H
#define TEST_NUMBERS_H

#include <stddef.h>
#include <stdint.h>

typedef enum NumberKind
{
	NUMBERS_PLAIN,				/* about -4 .. 4 */
	NUMBERS_MIXED,				/* and zeros of both signs, subnormals, 1e-30
								 * .. 1e10 */
	NUMBERS_TINY,				/* subnormals and zeros, mostly */
	NUMBERS_ALL					/* every finite bit pattern */
} NumberKind;

extern void numbers_seed(uint64_t seed);
extern uint32_t number_bits(void);

/* 0 .. limit - 1 */
extern int	number_below(int limit);

extern float number(NumberKind kind);

/*
 * n of them, aligned to 64 bytes; free() it.  The floats behind, up to the
 * next multiple of 16 and 16 more, are NUMBER_CANARY.
 */
extern float *numbers(size_t n, NumberKind kind);

/* n canaries (and those behind) */
extern float *numbers_blank(size_t n);

/* A checksum of size bytes, on top of that of what came before (or 0) */
extern uint64_t numbers_hash(uint64_t hash, const void *data, size_t size);

#define NUMBER_CANARY 0x7fc0dead	/* a NaN: reading one shows */

extern const uint32_t numbers_canaries[16];

#endif							/* TEST_NUMBERS_H */
