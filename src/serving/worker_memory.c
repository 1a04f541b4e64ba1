/*-------------------------------------------------------------------------
 *
 * worker_memory.c
 *	  Pages of all lanes of a worker, within llm.kv_cache_size.
 *
 * Each lane has address space for all of it and takes memory by need; the
 * lanes share one budget.  Pages of lanes without jobs, which are only
 * remembered prefixes, go first when another lane needs memory.  If lanes
 * with jobs need more than there is, those jobs get it that came first: the
 * youngest one of another lane leaves its batch, and enters again, with the
 * tokens that it has, when some job has ended.  The oldest of all therefore
 * always gets on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <sys/mman.h>

#include "serving/worker_state.h"
#include "settings.h"
#include "weights/huge_pages.h"

/* Pages of memory are given back to the system whole. */
#define SYSTEM_PAGE 4096

/* 16 million tokens: what is known of each page takes memory as well. */
#define MOST_PAGES (1024 * 1024)

void
memory_init(void)
{
	worker.budget.limit = (uint64) setting_kv_cache_size * 1024 * 1024;
	worker.budget.used = 0;
}

static void
give_back(void *arg, void *page, size_t bytes)
{
	(void) madvise(page, bytes, MADV_DONTNEED);
}

static Size
page_size(const Lane *lane)
{
	return TYPEALIGN(SYSTEM_PAGE, kv_layout(&lane->image->hyper).page_bytes);
}

uint64
memory_needed(const Lane *lane, int64 max_history)
{
	int64		pages = (max_history - 1 + KV_PAGE_POSITIONS - 1) /
		KV_PAGE_POSITIONS;

	return (uint64) pages * page_size(lane);
}

static void *
map_pages(Size bytes)
{
	void	   *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
							MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
							0);

	return base == MAP_FAILED ? NULL : base;
}

EngineCode
memory_open(Lane *lane, EngineStatus *status)
{
	PageMemory *memory = &lane->memory;
	uint64		n_pages;

	memory->page_bytes = page_size(lane);
	n_pages = Min(worker.budget.limit / memory->page_bytes, MOST_PAGES);
	if (n_pages == 0)
	{
		engine_fail(status, ENGINE_LIMIT,
					"keys and values of a token do not fit into "
					"llm.kv_cache_size");
		engine_hint(status, "Raise llm.kv_cache_size.");
		return status->code;
	}
	memory->n_pages = (int32) n_pages;
	memory->give_back = give_back;
	lane->memory_bytes = n_pages * memory->page_bytes;
	memory->base = map_pages(lane->memory_bytes);
	if (memory->base == NULL)
	{
		engine_fail(status, ENGINE_NO_MEMORY,
					"no address space for keys and values");
		engine_hint(status, "Reduce llm.kv_cache_size.");
		return status->code;
	}
	huge_pages_ask(memory->base, lane->memory_bytes);
	return page_pool_open(&lane->pool, memory, &worker.budget,
						  &lane->pool_arena, status);
}

/* No sequence has pages any more. */
void
memory_close(Lane *lane)
{
	if (lane->pool != NULL)
		(void) page_pool_shrink(lane->pool, lane->memory_bytes);
	if (lane->memory.base != NULL)
		(void) munmap(lane->memory.base, lane->memory_bytes);
	lane->pool = NULL;
	lane->memory.base = NULL;
	engine_arena_free(&lane->pool_arena);
}

void
memory_forget_prefixes(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &worker.lanes)
	{
		Lane	   *lane = dlist_container(Lane, node, iter.cur);

		if (lane->pool != NULL)
			(void) page_pool_shrink(lane->pool, lane->memory_bytes);
	}
}

/*
 * Room for a step
 */

/* Bytes that one step of a lane may take at most. */
static uint64
step_needs(const Lane *lane)
{
	uint64		pages = lane->max_rows / KV_PAGE_POSITIONS +
		lane->n_jobs[REQUEST_GENERATE];

	return Min(pages * lane->memory.page_bytes, worker.budget.limit);
}

static uint64
free_bytes(void)
{
	return worker.budget.limit - Min(worker.budget.used, worker.budget.limit);
}

/* The lane used longest ago that has pages to give; NULL: none. */
static Lane *
find_giver(const Lane *taker, bool idle)
{
	dlist_iter	iter;
	Lane	   *giver = NULL;

	dlist_foreach(iter, &worker.lanes)
	{
		Lane	   *lane = dlist_container(Lane, node, iter.cur);
		PageCounts	counts;

		if (lane == taker || lane->pool == NULL ||
			(lane->n_jobs[REQUEST_GENERATE] == 0) != idle ||
			(giver != NULL && giver->last_use < lane->last_use))
			continue;
		counts = page_pool_counts(lane->pool);
		if (counts.cached + counts.empty > 0)
			giver = lane;
	}
	return giver;
}

static void
take_from_others(Lane *taker, uint64 wanted, bool idle)
{
	Lane	   *giver;

	while (free_bytes() < wanted &&
		   (giver = find_giver(taker, idle)) != NULL)
		(void) page_pool_shrink(giver->pool, wanted - free_bytes());
}

void
memory_make_room(Lane *lane)
{
	uint64		needs = step_needs(lane);
	PageCounts	counts;
	uint64		own;

	if (worker.n_lanes < 2)
		return;
	take_from_others(lane, needs, true);

	/* lanes with jobs keep what they know as long as this one has enough */
	counts = page_pool_counts(lane->pool);
	own = (uint64) (counts.cached + counts.empty) * lane->memory.page_bytes;
	if (own < needs)
		take_from_others(lane, needs - own, false);
}

/*
 * More than there is
 */

static Job *
oldest_in_batch(Lane *lane)
{
	dlist_iter	iter;

	dlist_foreach(iter, &lane->jobs[REQUEST_GENERATE])
	{
		Job		   *job = dlist_container(Job, node, iter.cur);

		if (job->sequence != NULL &&
			batch_phase(job->sequence) != BATCH_PAUSED)
			return job;
	}
	return NULL;
}

/* May this job lose its place to another lane's, which came at arrival? */
static bool
gives_way(const Job *job, uint64 arrival)
{
	return job->sequence != NULL &&
		(job->slot->arrival > arrival ||
		 batch_phase(job->sequence) == BATCH_PAUSED);
}

static Job *
find_younger(const Lane *taker, uint64 arrival)
{
	dlist_iter	iter;
	dlist_iter	inner;
	Job		   *youngest = NULL;

	dlist_foreach(iter, &worker.lanes)
	{
		Lane	   *lane = dlist_container(Lane, node, iter.cur);

		if (lane == taker || lane->batch == NULL)
			continue;
		dlist_foreach(inner, &lane->jobs[REQUEST_GENERATE])
		{
			Job		   *job = dlist_container(Job, node, inner.cur);

			if (gives_way(job, arrival) &&
				(youngest == NULL ||
				 job->slot->arrival > youngest->slot->arrival))
				youngest = job;
		}
	}
	return youngest;
}

void
memory_relieve(void)
{
	dlist_iter	iter;

	if (worker.n_lanes < 2)
		return;
	dlist_foreach(iter, &worker.lanes)
	{
		Lane	   *lane = dlist_container(Lane, node, iter.cur);
		Job		   *oldest;
		Job		   *victim;

		if (lane->batch == NULL ||
			(lane->stuck != worker.events && !lane->squeezed))
			continue;
		lane->squeezed = false;
		oldest = oldest_in_batch(lane);
		if (oldest == NULL)
			continue;
		victim = find_younger(lane, oldest->slot->arrival);
		if (victim != NULL)
			generate_suspend(victim);
	}
}
