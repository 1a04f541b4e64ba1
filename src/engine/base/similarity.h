/*-------------------------------------------------------------------------
 *
 * similarity.h
 *	  How alike two vectors are.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_SIMILARITY_H
#define ENGINE_SIMILARITY_H

#include <stdint.h>

/*
 * The cosine of the angle between a[n] and b[n], -1 .. 1: products and sums in
 * f64, which cannot overflow, in one written order.  NaN when a vector is zero
 * or has a value that is not finite.
 */
extern double vector_cosine(const float *a, const float *b, int64_t n);

#endif							/* ENGINE_SIMILARITY_H */
