/*-------------------------------------------------------------------------
 *
 * math.c
 *	  Softmax, norms, activations and the rest of a model's formulas on
 *	  arrays; products of matrices are in matmul.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/float.h"

#include "engine/decode/sampler.h"
#include "functions/math_rows.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(llm_softmax);
PG_FUNCTION_INFO_V1(llm_layer_norm);
PG_FUNCTION_INFO_V1(llm_rms_norm);
PG_FUNCTION_INFO_V1(llm_gelu);
PG_FUNCTION_INFO_V1(llm_silu);
PG_FUNCTION_INFO_V1(llm_residual);
PG_FUNCTION_INFO_V1(llm_cross_entropy_logits);
PG_FUNCTION_INFO_V1(llm_rope);

/* llm.softmax(x) */
Datum
llm_softmax(PG_FUNCTION_ARGS)
{
	RealArray	x = real_array(fcinfo, 0, "x");
	ArrayType  *result = result_like(&x);

	map_rows(x.values, RESULT_VALUES(result), x.rows, x.columns, softmax_row,
			 NULL);
	PG_RETURN_ARRAYTYPE_P(result);
}

/* Both norms; weight and bias may be NULL. */
typedef struct Norm
{
	const float *weight;
	const float *bias;
	float		eps;
	bool		centred;		/* layer norm */
} Norm;

static void
norm_row(void *arg, const float *x, float *y, int64 n)
{
	const Norm *norm = arg;
	const KernelSet *kernels = settings_kernels();

	if (norm->centred)
		kernels->layer_norm(x, norm->weight, norm->bias, norm->eps, y, n);
	else
		kernels->rms_norm(x, norm->weight, norm->eps, y, n);
}

/* An argument of a norm as kernels want it */
static const float *
norm_vector(FunctionCallInfo fcinfo, int argument, const char *name,
			const RealArray *x)
{
	RealArray	vector = real_vector(fcinfo, argument, name, x, "columns",
									 x->columns);
	float	   *row;

	if (vector.values == NULL)
		return NULL;
	row = kernel_row(vector.columns);
	memcpy(row, vector.values, vector.columns * sizeof(float));
	return row;
}

static Datum
norm_rows(FunctionCallInfo fcinfo, const RealArray *x, int argument,
		  Norm *norm)
{
	ArrayType  *result = result_like(x);

	norm->eps = PG_GETARG_FLOAT4(argument);
	if (!(norm->eps >= 0))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("eps must be at least 0"));
	map_rows(x->values, RESULT_VALUES(result), x->rows, x->columns, norm_row,
			 norm);
	PG_RETURN_ARRAYTYPE_P(result);
}

/* llm.layer_norm(x, weight, bias, eps) */
Datum
llm_layer_norm(PG_FUNCTION_ARGS)
{
	RealArray	x;
	Norm		norm = {.centred = true};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(3))
		PG_RETURN_NULL();
	x = real_array(fcinfo, 0, "x");
	if (x.rows > 0)
	{
		norm.weight = norm_vector(fcinfo, 1, "weight", &x);
		norm.bias = norm_vector(fcinfo, 2, "bias", &x);
	}
	return norm_rows(fcinfo, &x, 3, &norm);
}

/* llm.rms_norm(x, weight, eps) */
Datum
llm_rms_norm(PG_FUNCTION_ARGS)
{
	RealArray	x;
	Norm		norm = {.centred = false};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	x = real_array(fcinfo, 0, "x");
	if (x.rows > 0)
		norm.weight = norm_vector(fcinfo, 1, "weight", &x);
	return norm_rows(fcinfo, &x, 2, &norm);
}

static Datum
activate(FunctionCallInfo fcinfo, Activation activation)
{
	RealArray	x = real_array(fcinfo, 0, "x");
	ArrayType  *result = result_like(&x);

	map_values(x.values, RESULT_VALUES(result), x.rows * x.columns,
			   activation_row, &activation);
	PG_RETURN_ARRAYTYPE_P(result);
}

/* llm.gelu(x, approximate) */
Datum
llm_gelu(PG_FUNCTION_ARGS)
{
	char	   *approximate = text_to_cstring(PG_GETARG_TEXT_PP(1));

	if (strcmp(approximate, "none") == 0)
		return activate(fcinfo, ACTIVATION_GELU);
	if (strcmp(approximate, "tanh") == 0)
		return activate(fcinfo, ACTIVATION_GELU_TANH);
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("unknown approximation \"%s\"", approximate),
			errhint("Known are \"none\" and \"tanh\"."));
}

/* llm.silu(x) */
Datum
llm_silu(PG_FUNCTION_ARGS)
{
	return activate(fcinfo, ACTIVATION_SILU);
}

/* The shape of an array, as "[2][3]" */
static char *
shape_text(const RealArray *x)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < ARR_NDIM(x->array); i++)
		appendStringInfo(&buf, "[%d]", ARR_DIMS(x->array)[i]);
	return buf.len > 0 ? buf.data : "{}";
}

/* Is y of the shape of x, or one row for all rows of a matrix? */
static void
check_residual(const RealArray *x, const RealArray *y)
{
	int			ndim = ARR_NDIM(x->array);

	if (ndim == ARR_NDIM(y->array) &&
		memcmp(ARR_DIMS(x->array), ARR_DIMS(y->array),
			   ndim * sizeof(int)) == 0)
		return;
	if (ndim == 2 && y->rows == 1 && ARR_NDIM(y->array) <= 2 &&
		x->columns == y->columns)
		return;
	ereport(ERROR,
			errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
			errmsg("x is %s, y is %s", shape_text(x), shape_text(y)),
			errdetail("y must be of the same shape, or a vector that is "
					  "added to every row of a matrix."));
}

/* llm.residual(x, y) */
Datum
llm_residual(PG_FUNCTION_ARGS)
{
	RealArray	x = real_array(fcinfo, 0, "x");
	RealArray	y = real_array(fcinfo, 1, "y");
	ArrayType  *result = result_like(&x);
	float	   *sum = RESULT_VALUES(result);

	check_residual(&x, &y);
	for (int64 row = 0; row < x.rows; row++)
	{
		const float *a = x.values + row * x.columns;
		const float *b = y.values + (y.rows > 1 ? row * x.columns : 0);

		CHECK_FOR_INTERRUPTS();
		for (int64 i = 0; i < x.columns; i++)
			sum[row * x.columns + i] = a[i] + b[i];
	}
	PG_RETURN_ARRAYTYPE_P(result);
}

/* Infinity and NaN as limits: certainly something else than the target */
static float8
cross_entropy(const float *logits, int32 n, int32 target)
{
	bool		any = false;

	for (int32 i = 0; i < n; i++)
	{
		if (isnan(logits[i]) || logits[i] == get_float4_infinity())
			return get_float8_nan();
		any |= !isinf(logits[i]);
	}
	if (!any)
		return get_float8_nan();
	return 0.0 - logprob_of(logprob_base(logits, n), logits[target]);
}

/* llm.cross_entropy(logits, target) */
Datum
llm_cross_entropy_logits(PG_FUNCTION_ARGS)
{
	RealArray	logits = real_array(fcinfo, 0, "logits");
	int32		target = PG_GETARG_INT32(1);

	if (logits.rows != 1 || ARR_NDIM(logits.array) > 2)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("logits must be a vector, or a matrix of one row"));
	if (target < 0 || target >= logits.columns)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("target %d does not exist", target),
				errdetail("There are %d to %lld.", 0,
						  (long long) logits.columns - 1));
	PG_RETURN_FLOAT8(cross_entropy(logits.values, (int32) logits.columns,
								   target));
}

/* llm.rope(x, base, layout, heads) */
Datum
llm_rope(PG_FUNCTION_ARGS)
{
	RealArray	x = real_matrix(fcinfo, 0, "x");
	int32		heads = PG_GETARG_INT32(3);
	ArrayType  *result = result_like(&x);
	Rope	   *rope;

	if (heads < 1)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("heads must be at least 1"));
	if (x.rows == 0)
		PG_RETURN_ARRAYTYPE_P(result);
	rope = rope_prepare(PG_GETARG_FLOAT4(1), PG_GETARG_TEXT_PP(2), &x,
						"columns", x.columns, heads);
	memcpy(RESULT_VALUES(result), x.values,
		   x.rows * x.columns * sizeof(float));
	rope_rows(rope, RESULT_VALUES(result), x.rows, x.columns);
	PG_RETURN_ARRAYTYPE_P(result);
}
