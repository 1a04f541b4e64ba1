/*-------------------------------------------------------------------------
 *
 * math64.h
 *	  Elementary functions in double precision, the same bits everywhere.
 *
 * libm differs between machines, so the engine has its own: one written
 * sequence of + - * / and integer operations, no FMA, error below 1 ulp over
 * the ranges used (tested against libm in test/engine).  Used for RoPE
 * angles, log-probabilities and sampling; only sums over a vocabulary are made
 * for speed.
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

/* The same by set 0 .. math_sum_exp_sets() - 1 of instructions, for tests. */
extern double math_sum_exp_by(int set, const float *x, int64_t n, double max);
extern int	math_sum_exp_sets(void);

/* The largest of n >= 1 numbers. */
extern float math_max(const float *x, int64_t n);

/* For sum_exp.c, which computes math_exp() in vectors: ln 2 in two parts,
 * and 1/n! for n = 2 .. 13. */
#define MATH_LN2_HIGH 0x1.62e42feep-1
#define MATH_LN2_LOW 0x1.a39ef35793c76p-33
#define MATH_LOG2E 0x1.71547652b82fep0
extern const double math_exp_series[12];

#endif							/* ENGINE_MATH64_H */
