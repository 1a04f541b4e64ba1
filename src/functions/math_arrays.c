/*-------------------------------------------------------------------------
 *
 * math_arrays.c
 *	  Arrays of real as the vectors and matrices of formulas.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "engine/kernels/kernels.h"
#include "functions/math_arrays.h"

/* What kernels may read and write behind the values of a row */
#define PADDING 16

/* Values of one call, so that they stay in the processor's cache */
#define VALUES_AT_ONCE 4096

RealArray
real_array(FunctionCallInfo fcinfo, int argument, const char *name)
{
	RealArray	result = {.name = name};
	ArrayType  *array;
	int64		n;

	if (PG_ARGISNULL(argument))
		return result;
	array = PG_GETARG_ARRAYTYPE_P(argument);
	if (array_contains_nulls(array))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("%s must not contain NULL", name));
	n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	result.array = array;
	result.values = (const float *) ARR_DATA_PTR(array);
	result.columns = n > 0 ? ARR_DIMS(array)[ARR_NDIM(array) - 1] : 0;
	result.rows = n > 0 ? n / result.columns : 0;
	return result;
}

RealArray
real_matrix(FunctionCallInfo fcinfo, int argument, const char *name)
{
	RealArray	result = real_array(fcinfo, argument, name);

	if (result.rows > 0 && ARR_NDIM(result.array) != 2)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("%s must be a two-dimensional array", name),
				errdetail_plural("It has %d dimension.",
								 "It has %d dimensions.",
								 ARR_NDIM(result.array),
								 ARR_NDIM(result.array)));
	return result;
}

static void
check_not_empty(const RealArray *array)
{
	if (array->values != NULL && array->rows == 0)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("%s must not be empty", array->name));
}

RealArray
real_weights(FunctionCallInfo fcinfo, int argument, const char *name)
{
	RealArray	result = real_matrix(fcinfo, argument, name);

	check_not_empty(&result);
	return result;
}

RealArray
real_vector(FunctionCallInfo fcinfo, int argument, const char *name,
			const RealArray *other, const char *what, int64 n)
{
	RealArray	result = real_array(fcinfo, argument, name);

	if (result.values == NULL)
		return result;
	check_not_empty(&result);
	if (result.rows > 1 || ARR_NDIM(result.array) > 2)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("%s must be a vector, or a matrix of one row", name));
	real_check(other, what, n, &result, "values", result.columns);
	return result;
}

/* "3 columns", "1 column": what is a plural */
static char *
count_text(int64 n, const char *what)
{
	int			length = (int) strlen(what) - (n == 1);

	return psprintf("%lld %.*s", (long long) n, length, what);
}

void
real_check(const RealArray *a, const char *what_a, int64 n_a,
		   const RealArray *b, const char *what_b, int64 n_b)
{
	if (n_a != n_b)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("%s has %s, %s has %s", a->name,
					   count_text(n_a, what_a), b->name,
					   count_text(n_b, what_b)));
}

BlasMatrix
real_blas(const RealArray *array)
{
	BlasMatrix	result = {
		array->values, array->rows, array->columns, array->columns
	};

	return result;
}

/* An array of that many dimensions; the last two are rows and columns. */
static ArrayType *
make_result(int ndim, const int *dims, int64 rows, int64 columns)
{
	Size		header = ARR_OVERHEAD_NONULLS(ndim);
	int64		most = MaxArraySize;
	ArrayType  *result;
	Size		size;

	if (rows == 0)
		return construct_empty_array(FLOAT4OID);
	if (columns > most || rows > most / columns)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("the result does not fit in one array"),
				errdetail("It has %lld rows of %lld values, an array at "
						  "most %lld values.", (long long) rows,
						  (long long) columns, (long long) most));
	size = header + rows * columns * sizeof(float4);
	result = palloc(size);
	memset(result, 0, header);
	SET_VARSIZE(result, size);
	result->ndim = ndim;
	result->elemtype = FLOAT4OID;
	for (int i = 0; i < ndim; i++)
	{
		ARR_DIMS(result)[i] = dims[i];
		ARR_LBOUND(result)[i] = 1;
	}
	return result;
}

ArrayType *
result_like(const RealArray *x)
{
	return result_rows(x, x->columns);
}

ArrayType *
result_rows(const RealArray *x, int64 columns)
{
	int			ndim = ARR_NDIM(x->array);
	int			dims[MAXDIM];

	for (int i = 0; i < ndim; i++)
		dims[i] = i < ndim - 1 ? ARR_DIMS(x->array)[i] : (int) columns;
	return make_result(ndim, dims, x->rows, columns);
}

ArrayType *
result_matrix(int64 rows, int64 columns)
{
	int			dims[2] = {(int) rows, (int) columns};

	return make_result(2, dims, rows, columns);
}

float *
kernel_row(int64 n)
{
	Size		size = TYPEALIGN(PADDING, n) * sizeof(float);
	char	   *memory = MemoryContextAllocHuge(CurrentMemoryContext,
												size + PG_CACHE_LINE_SIZE);

	return (float *) CACHELINEALIGN(memory);
}

/* Rows of one call of a function, as arrays begin wherever a value begins */
typedef struct MapRows
{
	MemoryContext context;
	float	   *in;
	float	   *out;
} MapRows;

static MapRows
map_begin(int64 n)
{
	MapRows		map;
	MemoryContext old;

	map.context = AllocSetContextCreate(CurrentMemoryContext, "llm rows",
										ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(map.context);
	map.in = kernel_row(n);
	map.out = kernel_row(n);
	MemoryContextSwitchTo(old);
	return map;
}

static void
map_row(const MapRows *map, const float *x, float *y, int64 n,
		RowFunction f, void *arg)
{
	uint64		rounding;

	CHECK_FOR_INTERRUPTS();
	memcpy(map->in, x, n * sizeof(float));
	rounding = kernels_enter();
	f(arg, map->in, map->out, n);
	kernels_leave(rounding);
	memcpy(y, map->out, n * sizeof(float));
}

void
map_rows(const float *x, float *y, int64 rows, int64 columns, RowFunction f,
		 void *arg)
{
	MapRows		map = map_begin(columns);

	for (int64 row = 0; row < rows; row++)
		map_row(&map, x + row * columns, y + row * columns, columns, f, arg);
	MemoryContextDelete(map.context);
}

void
map_values(const float *x, float *y, int64 n, RowFunction f, void *arg)
{
	MapRows		map = map_begin(Min(n, VALUES_AT_ONCE));

	for (int64 i = 0; i < n; i += VALUES_AT_ONCE)
		map_row(&map, x + i, y + i, Min(VALUES_AT_ONCE, n - i), f, arg);
	MemoryContextDelete(map.context);
}
