/*-------------------------------------------------------------------------
 *
 * philox.h
 *	  Random numbers by counting: Philox4x32-10 (Salmon et al., "Parallel
 *	  random numbers: as easy as 1, 2, 3", SC 2011).
 *
 * A number is a function of a key and a counter, so the draw for an output
 * token does not depend on how many draws were made before, or elsewhere.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_PHILOX_H
#define ENGINE_PHILOX_H

#include <stdint.h>

/* Ten rounds over counter, which becomes the four random words. */
extern void philox4x32(uint32_t counter[4], uint32_t key0, uint32_t key1);

/*
 * A number in [0, 1), a multiple of 2^-53: key from seed, counter (index, 0,
 * 0, 0), the upper 53 bits of the first two words.
 */
extern double philox_uniform(uint64_t seed, uint32_t index);

#endif							/* ENGINE_PHILOX_H */
