/*-------------------------------------------------------------------------
 *
 * math_rows.h
 *	  Softmax, activations and rotation of rows, for functions of arrays.
 *
 * The engine's kernels compute them, so results are those of models to the
 * bit.  In models infinity and NaN are errors; here they are values, and
 * results are limits as those of exp() are: softmax of a row where it has
 * none is NaN.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_MATH_ROWS_H
#define LLM_MATH_ROWS_H

#include "engine/kernels/kernels.h"
#include "functions/math_arrays.h"

typedef enum Activation
{
	ACTIVATION_GELU,			/* exact, by erf */
	ACTIVATION_GELU_TANH,
	ACTIVATION_RELU,
	ACTIVATION_SILU
} Activation;

/* Its name in arguments; an unknown one is an error. */
extern Activation activation_named(const text *name);

/* RowFunctions; arg of activation_row() is an Activation. */
extern void activation_row(void *arg, const float *x, float *y,
						   int64 n);
extern void softmax_row(void *arg, const float *x, float *y, int64 n);

/* Rotary position embedding */
typedef struct Rope
{
	RopeLayout	layout;
	int64		head_dim;		/* even */
	double	   *frequency;		/* [head_dim / 2], radians per position */
	float	   *cosine;			/* [head_dim / 2], of one position */
	float	   *sine;
	int64		position;		/* of the next row */
} Rope;

/*
 * For heads that lie side by side in the rows of matrix; what: its "rows" or
 * "columns", of which there are n, are values of heads.
 */
extern Rope *rope_prepare(float base, const text *layout,
						  const RealArray *matrix, const char *what, int64 n,
						  int64 heads);

/* In place; the number of a row is its position. */
extern void rope_rows(Rope *rope, float *x, int64 rows, int64 columns);

#endif							/* LLM_MATH_ROWS_H */
