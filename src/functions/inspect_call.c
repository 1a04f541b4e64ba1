/*-------------------------------------------------------------------------
 *
 * inspect_call.c
 *	  Arguments and values of the SQL functions that look inside a model.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "functions/inspect_call.h"

Inspection *
inspect_call(FunctionCallInfo fcinfo, int n_needed, bool with_logits)
{
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (int i = 0; i < n_needed; i++)
		if (PG_ARGISNULL(i))
			return NULL;
	return inspect_begin(model_lookup(ARG_CSTRING(0), MODEL_ANY),
						 PG_GETARG_TEXT_PP(1), with_logits,
						 ARG_JSONB(PG_NARGS() - 1));
}

int32
inspect_top_k(FunctionCallInfo fcinfo, int argument)
{
	int32		k = PG_ARGISNULL(argument) ? PG_INT32_MAX :
		PG_GETARG_INT32(argument);

	if (k < 1)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("top_k must be at least 1"));
	return k;
}

Datum
inspect_vector(const float *values, int n)
{
	size_t		size = ARR_OVERHEAD_NONULLS(1) + n * sizeof(float4);
	ArrayType  *array = palloc0(size);

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = FLOAT4OID;
	ARR_DIMS(array)[0] = n;
	ARR_LBOUND(array)[0] = 1;
	memcpy(ARR_DATA_PTR(array), values, n * sizeof(float4));
	return PointerGetDatum(array);
}
