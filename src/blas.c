/*-------------------------------------------------------------------------
 *
 * blas.c
 *	  Products of matrices that users bring, by OpenBLAS.
 *
 * OpenBLAS starts its threads in a constructor, when it is opened, unless its
 * environment says 1; and a thread that it starts gets the signal mask of the
 * opener.  Therefore it is opened with both set, and asked again for one
 * thread in case another extension had opened it before.
 *
 * It cannot be interrupted, so products are cut into tiles.  The cut depends
 * on the shapes alone, and so do the results on one machine.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <dlfcn.h>
#include <signal.h>

#include "miscadmin.h"

#include "blas.h"

#define LIBRARY "libopenblas.so.0"
#define THREADS "OPENBLAS_NUM_THREADS"

/* Rows and columns of a tile: 0.13 G products, some milliseconds. */
#define TILE 512

/* Constants of the C interface to BLAS */
#define ROW_MAJOR 101
#define NOT_TRANSPOSED 111
#define TRANSPOSED 112

/* cblas_sgemm(): out = alpha a b + beta out */
typedef void (*SgemmFunction) (int order, int transpose_a, int transpose_b,
							   int m, int n, int k, float alpha,
							   const float *a, int a_stride, const float *b,
							   int b_stride, float beta, float *out,
							   int out_stride);
typedef void (*SetThreadsFunction) (int threads);
typedef const char *(*ConfigFunction) (void);

static SgemmFunction sgemm = NULL;
static const char *description = NULL;

/* dlopen() with one thread at most, and no signal for that. */
static void *
open_quietly(void)
{
	const char *threads = getenv(THREADS);
	char	   *before = threads != NULL ? pstrdup(threads) : NULL;
	sigset_t	all;
	sigset_t	old;
	void	   *library;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	setenv(THREADS, "1", 1);
	library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (before != NULL)
		setenv(THREADS, before, 1);
	else
		unsetenv(THREADS);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return library;
}

static void *
find_function(void *library, const char *name)
{
	void	   *function = dlsym(library, name);

	if (function == NULL)
	{
		dlclose(library);
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_FUNCTION),
				errmsg("library \"%s\" has no function \"%s\"", LIBRARY,
					   name));
	}
	return function;
}

static void
open_library(void)
{
	void	   *library;
	SgemmFunction found;
	SetThreadsFunction set_threads;
	ConfigFunction config;

	if (sgemm != NULL)
		return;
	library = open_quietly();
	if (library == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_FILE),
				errmsg("could not open OpenBLAS, which multiplies matrices"),
				errdetail_internal("%s", dlerror()),
				errhint("Install it on the server; Debian's package is "
						"libopenblas0."));
	found = (SgemmFunction) find_function(library, "cblas_sgemm");
	set_threads = (SetThreadsFunction)
		find_function(library, "openblas_set_num_threads");
	config = (ConfigFunction) find_function(library, "openblas_get_config");
	set_threads(1);
	description = config();
	sgemm = found;
}

const char *
blas_description(void)
{
	return description != NULL ? description : "OpenBLAS, not opened";
}

/* The tile of a matrix that begins at a row and a column. */
static const float *
tile_at(const BlasMatrix *matrix, int64 row, int64 column)
{
	return matrix->values + row * matrix->stride + column;
}

/* One tile of the result, over all the columns of a */
static void
multiply_tile(const BlasMatrix *a, const BlasMatrix *b, bool transposed,
			  int64 row, int64 column, int rows, int columns, float *out,
			  int64 out_stride)
{
	for (int64 k = 0; k < a->columns; k += TILE)
	{
		CHECK_FOR_INTERRUPTS();
		sgemm(ROW_MAJOR, NOT_TRANSPOSED,
			  transposed ? TRANSPOSED : NOT_TRANSPOSED, rows, columns,
			  (int) Min(TILE, a->columns - k), 1.0f, tile_at(a, row, k),
			  (int) a->stride,
			  transposed ? tile_at(b, column, k) : tile_at(b, k, column),
			  (int) b->stride, k == 0 ? 0.0f : 1.0f, out, (int) out_stride);
	}
}

void
blas_multiply(BlasMatrix a, BlasMatrix b, bool transposed, float *out,
			  int64 out_stride)
{
	int64		n = transposed ? b.rows : b.columns;

	Assert(a.columns == (transposed ? b.columns : b.rows));
	open_library();
	for (int64 row = 0; row < a.rows; row += TILE)
	{
		for (int64 column = 0; column < n; column += TILE)
			multiply_tile(&a, &b, transposed, row, column,
						  (int) Min(TILE, a.rows - row),
						  (int) Min(TILE, n - column),
						  out + row * out_stride + column, out_stride);
	}
}
