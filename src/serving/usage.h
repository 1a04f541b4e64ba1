/*-------------------------------------------------------------------------
 *
 * usage.h
 *	  What was used by whom: the counters of llm.stat_usage.
 *
 * Every call that computes with a model reports itself at its end, wherever
 * it was computed, by database, role and model.  Counters lie in shared
 * memory and are kept over clean restarts in a file; without preloading
 * nothing is counted.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_USAGE_H
#define LLM_USAGE_H

#include "utils/timestamp.h"

#include "models/registry.h"

typedef struct UsageCounts
{
	int64		calls;
	int64		prompt_tokens;
	int64		cached_tokens;
	int64		output_tokens;
	int64		errors;
	double		seconds;
} UsageCounts;

/* From _PG_init, when preloading. */
extern void usage_init(void);

/*
 * A call begins.  It is counted when usage_end() is called or, at the latest,
 * when CurrentResourceOwner of now ends: as an error if that ends by one, else
 * as a call that was not read to its end.  Times are those between the two.
 */
typedef struct UsageCall UsageCall;

extern UsageCall *usage_begin(const ModelRef *model);
extern void usage_add(UsageCall *call, int64 prompt_tokens,
					  int64 cached_tokens, int64 output_tokens);
extern void usage_end(UsageCall *call);

/* Everything counted so far, a List of UsageRow in no order. */
typedef struct UsageRow
{
	Oid			database;
	Oid			role;
	Oid			large_object;	/* which model */
	UsageCounts counts;
	TimestampTz last_use;
} UsageRow;

extern List *usage_rows(void);

/* Forget it all. */
extern void usage_reset(void);

#endif							/* LLM_USAGE_H */
