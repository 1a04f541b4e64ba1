/*-------------------------------------------------------------------------
 *
 * math_arrays.h
 *	  Arrays of real as the vectors and matrices of formulas.
 *
 * An array of any number of dimensions is also read as rows: the last
 * dimension is a row.  A matrix of one row can stand for a vector, since that
 * is what llm.tensor() makes of one.  The empty array has no rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_MATH_ARRAYS_H
#define LLM_MATH_ARRAYS_H

#include "blas.h"
#include "utils/array.h"

/* An argument: points into the array that the call was given. */
typedef struct RealArray
{
	const char *name;			/* of the argument, for messages */
	ArrayType  *array;
	const float *values;		/* NULL: the argument is NULL */
	int64		rows;
	int64		columns;
} RealArray;

/* An argument of any shape.  NULL elements are an error here and below. */
extern RealArray real_array(FunctionCallInfo fcinfo, int argument,
							const char *name);

/* One of two dimensions, or empty. */
extern RealArray real_matrix(FunctionCallInfo fcinfo, int argument,
							 const char *name);

/* One of two dimensions that has rows. */
extern RealArray real_weights(FunctionCallInfo fcinfo, int argument,
							  const char *name);

/*
 * A vector, or a matrix of one row, of n values; n is what of another array,
 * its columns or rows.  values is NULL for NULL.
 */
extern RealArray real_vector(FunctionCallInfo fcinfo, int argument,
							 const char *name, const RealArray *other,
							 const char *what, int64 n);

/* Error unless the numbers are equal: "x has 3 columns, w1 has 4 rows". */
extern void real_check(const RealArray *a, const char *what_a, int64 n_a,
					   const RealArray *b, const char *what_b, int64 n_b);

extern BlasMatrix real_blas(const RealArray *array);

/*
 * Results, whose values are not set: as x, or as x with rows of other length
 * (a vector stays one), or a matrix; with no rows the empty array.  One with
 * more values than an array may have is an error (54000).
 */
extern ArrayType *result_like(const RealArray *x);
extern ArrayType *result_rows(const RealArray *x, int64 columns);
extern ArrayType *result_matrix(int64 rows, int64 columns);

#define RESULT_VALUES(array) ((float *) ARR_DATA_PTR(array))

/* Floats as kernels want them: aligned, and with room behind the last. */
extern float *kernel_row(int64 n);

/* y[n] = f(x[n]); must not throw. */
typedef void (*RowFunction) (void *arg, const float *x, float *y, int64 n);

/*
 * f for every row of x, on rows as kernels want them, with their rounding.
 * Answers interrupts between rows.  map_values() is for functions of single
 * values, where rows do not matter.
 */
extern void map_rows(const float *x, float *y, int64 rows, int64 columns,
					 RowFunction f, void *arg);
extern void map_values(const float *x, float *y, int64 n, RowFunction f,
					   void *arg);

#endif							/* LLM_MATH_ARRAYS_H */
