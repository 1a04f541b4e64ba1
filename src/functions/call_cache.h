/*-------------------------------------------------------------------------
 *
 * call_cache.h
 *	  The last arguments and result of a call site.
 *
 * PostgreSQL evaluates a STABLE function for every row, even when its
 * arguments are constants.  Each place in a query that calls one of our
 * functions therefore keeps one entry, in fn_extra.  An entry only answers
 * when the arguments are the same bytes and the model, which was looked up
 * (and the right to use it checked) for this very call, is the same file with
 * the same options under the same limits.
 *
 * A planner may put one call into several places: that of ORDER BY becomes the
 * key of an index scan, and a column of the rows that the scan returns.  The
 * last result of a statement therefore also answers at its other places.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_CALL_CACHE_H
#define LLM_CALL_CACHE_H

#include "fmgr.h"

#include "models/registry.h"

typedef struct CallKey
{
	char	   *bytes;			/* NULL: too long to be kept */
	size_t		length;
} CallKey;

/*
 * The arguments as bytes; kinds has one letter for each: 'v' for a varlena,
 * 'i' for an int4.
 */
extern CallKey call_key(FunctionCallInfo fcinfo, const char *kinds,
						const ModelRef *model);

/* True when the site's entry has this key; *result is a copy. */
extern bool call_cache_get(FunctionCallInfo fcinfo, const CallKey *key,
						   Datum *result);

/* by_value: result is an int4 or a float8, else a varlena. */
extern void call_cache_put(FunctionCallInfo fcinfo, const CallKey *key,
						   Datum result, bool by_value);

#endif							/* LLM_CALL_CACHE_H */
