/*-------------------------------------------------------------------------
 *
 * math64.h
 *	  Elementary functions in double precision, the same bits everywhere.
 *
 * libm differs between machines, so the engine has its own: one written
 * sequence of + - * / and integer operations, no FMA, error below 1 ulp over
 * the ranges used (tested against libm in test/engine).  Used for RoPE
 * angles, log-probabilities and sampling, where speed does not matter.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_MATH64_H
#define ENGINE_MATH64_H

#include "base/status.h"

extern double math_exp(double x);
extern double math_log(double x);	/* x > 0 */
extern double math_pow(double x, double y); /* x > 0 */

/* Reduced in f64 (three-part pi/2), good for |x| up to 2^30. */
extern void math_sincos(double x, double *sin, double *cos);

/* rint, floor, ceil for |x| < 2^52 without libm */
extern double math_rint(double x);
extern double math_floor(double x);

/* f64 Sum16 (DESIGN.md) of exp(x[i] - max) per chunk of 4096, chunks added
 * ascending; n logits of f32. */
extern double math_sum_exp(const float *x, int64_t n, double max);

#endif							/* ENGINE_MATH64_H */
