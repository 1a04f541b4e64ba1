/*-------------------------------------------------------------------------
 *
 * blas.h
 *	  Products of matrices that users bring, by OpenBLAS.
 *
 * The library is opened at the first product of a process, so never in the
 * postmaster, and computes in the thread that calls it.  Models do not need
 * it: their weights have kernels of their own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_BLAS_H
#define LLM_BLAS_H

/* A part of a matrix that lies row by row in floats. */
typedef struct BlasMatrix
{
	const float *values;
	int64		rows;
	int64		columns;
	int64		stride;			/* floats from one row to the next */
} BlasMatrix;

/*
 * out[a.rows][b.columns] = a b, or with transposed out[a.rows][b.rows] =
 * a b^T.  out is not read.  a.columns must be b.rows, or b.columns when
 * transposed; all are at least 1.  Answers interrupts; an error when OpenBLAS
 * cannot be opened.
 */
extern void blas_multiply(BlasMatrix a, BlasMatrix b, bool transposed,
						  float *out, int64 out_stride);

/*
 * OpenBLAS and its version, for users to read; "not opened" before the first
 * product of the process.
 */
extern const char *blas_description(void);

#endif							/* LLM_BLAS_H */
