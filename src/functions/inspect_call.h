/*-------------------------------------------------------------------------
 *
 * inspect_call.h
 *	  Arguments and values of the SQL functions that look inside a model.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_INSPECT_CALL_H
#define LLM_INSPECT_CALL_H

#include "functions/inspect.h"

/*
 * Begin a set-returning function whose first arguments are a model and a
 * text, and whose last one is options: inspect_begin() for them, or NULL, and
 * then no rows, when one of the first n_needed arguments is NULL.
 */
extern Inspection *inspect_call(FunctionCallInfo fcinfo, int n_needed,
								bool with_logits);

/* An optional top_k: at least 1; NULL is all there are, or PG_INT32_MAX. */
extern int32 inspect_top_k(FunctionCallInfo fcinfo, int argument);

/* n floats as real[], palloc'd. */
extern Datum inspect_vector(const float *values, int n);

#endif							/* LLM_INSPECT_CALL_H */
