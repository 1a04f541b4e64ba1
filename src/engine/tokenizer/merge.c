/*-------------------------------------------------------------------------
 *
 * merge.c
 *	  Joining neighbours until no pair is left that may be joined.
 *
 * Words are short, and for them looking through the list beats a heap; both
 * ways take the same pair every time.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "tokenizer/merge.h"

#define SHORT_LIST 20			/* symbols; the heap is faster above */
#define POLL_EVERY 8192			/* candidates */

EngineCode
merger_reserve(Merger *merger, size_t n, size_t most)
{
	size_t		capacity = n + n / 2 + 64;

	if (n <= merger->capacity)
		return ENGINE_OK;
	if (n > MERGE_LONGEST)
		return engine_fail(merger->status, ENGINE_LIMIT,
						   "a word of %zu bytes is too long to tokenize",
						   n);
	if (most > MERGE_LONGEST)
		most = MERGE_LONGEST;
	if (capacity > most)
		capacity = most;
	merger->symbols = engine_alloc_raw(merger->arena, capacity,
									   sizeof(Symbol), merger->status);
	if (merger->symbols == NULL)
		return merger->status->code;
	merger->capacity = capacity;
	return ENGINE_OK;
}

static void
look_up_pair(Merger *merger, int32_t index)
{
	Symbol	   *left = &merger->symbols[index];

	left->pair_rank = MERGE_NONE;
	if (left->next >= 0)
		left->pair_rank = merger->pair_rank(merger, left,
											&merger->symbols[left->next],
											&left->pair_id);
}

/* Join the symbol at index with its next one. */
static void
join_pair(Merger *merger, int32_t index)
{
	Symbol	   *left = &merger->symbols[index];
	Symbol	   *right = &merger->symbols[left->next];

	left->id = left->pair_id;
	left->end = right->end;
	left->next = right->next;
	if (left->next >= 0)
		merger->symbols[left->next].previous = index;
	right->pair_rank = MERGE_NONE;
	look_up_pair(merger, index);
	if (left->previous >= 0)
		look_up_pair(merger, left->previous);
}

static void
run_short(Merger *merger)
{
	for (;;)
	{
		uint32_t	best = MERGE_NONE;
		int32_t		best_index = -1;

		for (int32_t i = 0; i >= 0; i = merger->symbols[i].next)
		{
			if (merger->symbols[i].pair_rank < best)
			{
				best = merger->symbols[i].pair_rank;
				best_index = i;
			}
		}
		if (best_index < 0)
			break;
		join_pair(merger, best_index);
	}
}

static void
heap_sift_down(uint64_t *heap, size_t n, size_t hole)
{
	uint64_t	value = heap[hole];

	for (;;)
	{
		size_t		child = hole * 2 + 1;

		if (child >= n)
			break;
		if (child + 1 < n && heap[child + 1] < heap[child])
			child++;
		if (value <= heap[child])
			break;
		heap[hole] = heap[child];
		hole = child;
	}
	heap[hole] = value;
}

static void
heap_push(Merger *merger, int32_t index)
{
	uint64_t	value;
	size_t		hole = merger->n_heap;

	if (merger->symbols[index].pair_rank == MERGE_NONE)
		return;
	value = (uint64_t) merger->symbols[index].pair_rank << 32 |
		(uint32_t) index;
	merger->n_heap++;
	while (hole > 0 && value < merger->heap[(hole - 1) / 2])
	{
		merger->heap[hole] = merger->heap[(hole - 1) / 2];
		hole = (hole - 1) / 2;
	}
	merger->heap[hole] = value;
}

static uint64_t
heap_pop(Merger *merger)
{
	uint64_t	top = merger->heap[0];

	merger->heap[0] = merger->heap[--merger->n_heap];
	if (merger->n_heap > 0)
		heap_sift_down(merger->heap, merger->n_heap, 0);
	return top;
}

/*
 * Every join removes one candidate and adds at most two, so 2n places are
 * always enough.
 */
static EngineCode
heap_prepare(Merger *merger)
{
	size_t		need = merger->n * 2;

	if (need > merger->heap_capacity)
	{
		merger->heap_capacity = merger->capacity * 2;
		merger->heap = engine_alloc_raw(merger->arena, merger->heap_capacity,
										sizeof(uint64_t), merger->status);
		if (merger->heap == NULL)
			return merger->status->code;
	}
	merger->n_heap = 0;
	for (size_t i = 0; i < merger->n; i++)
	{
		if (merger->symbols[i].pair_rank != MERGE_NONE)
			merger->heap[merger->n_heap++] =
				(uint64_t) merger->symbols[i].pair_rank << 32 | i;
	}
	for (size_t i = merger->n_heap / 2; i-- > 0;)
	{
		heap_sift_down(merger->heap, merger->n_heap, i);
		if (i % POLL_EVERY == 0 && engine_interrupted(merger->host))
			return engine_cancelled(merger->status);
	}
	return ENGINE_OK;
}

static EngineCode
run_long(Merger *merger)
{
	size_t		candidates = 0;

	ENGINE_TRY(heap_prepare(merger));
	while (merger->n_heap > 0)
	{
		uint64_t	top = heap_pop(merger);
		int32_t		index = (int32_t) (top & UINT32_MAX);
		Symbol	   *left = &merger->symbols[index];

		if (++candidates % POLL_EVERY == 0 && engine_interrupted(merger->host))
			return engine_cancelled(merger->status);

		/* A pair that changed has another rank, or is an equal one. */
		if (left->pair_rank != top >> 32)
			continue;
		join_pair(merger, index);
		heap_push(merger, index);
		if (left->previous >= 0)
			heap_push(merger, left->previous);
	}
	return ENGINE_OK;
}

EngineCode
merger_run(Merger *merger)
{
	int32_t		n = (int32_t) merger->n;

	if (n == 0)
		return ENGINE_OK;
	for (int32_t i = 0; i < n; i++)
	{
		merger->symbols[i].previous = i - 1;
		merger->symbols[i].next = i + 1 < n ? i + 1 : -1;
	}
	for (int32_t i = 0; i < n; i++)
	{
		look_up_pair(merger, i);
		if ((i + 1) % POLL_EVERY == 0 && engine_interrupted(merger->host))
			return engine_cancelled(merger->status);
	}
	if (n > SHORT_LIST)
		return run_long(merger);
	run_short(merger);
	return ENGINE_OK;
}
