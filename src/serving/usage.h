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
 * A call begins: what it adds up in the returned struct is reported when
 * usage_end() is called, or as an error when its resource owner ends before.
 */
typedef struct UsageCall UsageCall;

extern UsageCall *usage_begin(const ModelRef *model);
extern void usage_add(UsageCall *call, int64 prompt_tokens,
					  int64 cached_tokens, int64 output_tokens);
extern void usage_end(UsageCall *call);

#endif							/* LLM_USAGE_H */
