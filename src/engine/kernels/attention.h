/*-------------------------------------------------------------------------
 *
 * attention.h
 *	  What the attention kernels of all sets share: which keys a query sees.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_KERNEL_ATTENTION_H
#define ENGINE_KERNEL_ATTENTION_H

#include "kernels/kernels.h"

/*
 * A visible score that is not finite poisons its query's result: all of it is
 * this NaN, which KernelSet.finite finds.
 */
#define ATTENTION_POISON __builtin_nanf("")

/* Keys [begin, end); they are always consecutive. */
typedef struct KeyRange
{
	int64_t		begin;
	int64_t		end;
} KeyRange;

static inline int64_t
int64_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline int64_t
int64_max(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* The keys that query row i sees. */
static inline KeyRange
visible_keys(const AttentionTask *task, int i)
{
	int64_t		position = task->first_position + i;
	int64_t		reach = task->window / 2;
	KeyRange	keys = {0, task->n_keys};

	if (task->causal)
	{
		keys.end = int64_min(keys.end, position + 1);
		if (task->window > 0)
			keys.begin = int64_max(0, position - task->window + 1);
	}
	else if (task->window > 0)
	{
		keys.begin = int64_max(0, position - reach);
		keys.end = int64_min(keys.end, position + reach + 1);
	}
	return keys;
}

/* The part of keys in [first, first + count) */
static inline KeyRange
keys_within(KeyRange keys, int64_t first, int64_t count)
{
	keys.begin = int64_max(keys.begin, first);
	keys.end = int64_min(keys.end, first + count);
	return keys;
}

#endif							/* ENGINE_KERNEL_ATTENTION_H */
