/*-------------------------------------------------------------------------
 *
 * worker_lane.c
 *	  Lanes: what a worker has for each model, and whose turn it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "utils/memutils.h"

#include "host.h"
#include "serving/worker_state.h"
#include "settings.h"
#include "weights/store.h"

/* Lanes without jobs that are kept, for their prefixes and open scratch. */
#define IDLE_LANES 16

/*
 * Finding
 */

Lane *
lane_find(const Slot *slot)
{
	dlist_iter	iter;

	dlist_foreach(iter, &worker.lanes)
	{
		Lane	   *lane = dlist_container(Lane, node, iter.cur);

		if (lane->bits == slot->activation_bits &&
			memcmp(lane->digest, slot->digest, MODEL_DIGEST_BYTES) == 0)
			return lane;
	}
	return NULL;
}

static Lane *
lane_create(const Slot *slot)
{
	MemoryContext context;
	Lane	   *lane;

	lanes_forget_idle(IDLE_LANES - 1);
	context = AllocSetContextCreate(worker.context, "llm lane",
									ALLOCSET_DEFAULT_SIZES);
	lane = MemoryContextAllocZero(context, sizeof(Lane));
	lane->context = context;
	memcpy(lane->digest, slot->digest, MODEL_DIGEST_BYTES);
	lane->bits = slot->activation_bits;
	lane->stuck = UINT64_MAX;
	dlist_init(&lane->jobs[REQUEST_GENERATE]);
	dlist_init(&lane->jobs[REQUEST_ENCODE]);
	lane->batch_context = AllocSetContextCreate(context, "llm batch",
												ALLOCSET_DEFAULT_SIZES);
	lane->encoder_context = AllocSetContextCreate(context, "llm encoder",
												  ALLOCSET_DEFAULT_SIZES);
	engine_arena_init(&lane->pool_arena, engine_allocator(context), 0);
	dlist_push_tail(&worker.lanes, &lane->node);
	worker.n_lanes++;
	return lane;
}

static bool
has_jobs(const Lane *lane)
{
	return lane->n_jobs[REQUEST_GENERATE] + lane->n_jobs[REQUEST_ENCODE] > 0;
}

Lane *
lane_for(const Slot *slot)
{
	Lane	   *lane = lane_find(slot);

	if (lane == NULL)
		lane = lane_create(slot);
	lane->last_use = worker.turns;
	if (!has_jobs(lane) && lane->image != cache_image(slot->pin))
	{
		lane->image = cache_image(slot->pin);
		lane->kernels = NULL;
	}
	lane_settle(lane);
	return lane;
}

/*
 * Opening and closing
 */

static void
close_batch(Lane *lane)
{
	dlist_iter	iter;

	if (lane->batch == NULL)
		return;
	dlist_foreach(iter, &lane->jobs[REQUEST_GENERATE])
	{
		Job		   *job = dlist_container(Job, node, iter.cur);

		if (job->sequence != NULL)
			generate_suspend(job);
		job->suspended = UINT64_MAX;
	}
	batch_close(lane->batch);
	lane->batch = NULL;
	MemoryContextReset(lane->batch_context);
}

void
lane_close_encoder(Lane *lane)
{
	lane->encoder_rows = 0;
	lane->pooled = NULL;
	MemoryContextReset(lane->encoder_context);
}

void
lane_settle(Lane *lane)
{
	if (lane->kernels == settings_kernels() &&
		lane->team == worker.host.team &&
		lane->max_rows == setting_batch_tokens)
		return;
	close_batch(lane);
	lane_close_encoder(lane);
	lane->kernels = settings_kernels();
	lane->team = worker.host.team;
	lane->max_rows = setting_batch_tokens;
	memset(&lane->pace, 0, sizeof(Pace));
}

EngineCode
lane_open_batch(Lane *lane, EngineStatus *status)
{
	EngineCode	code = ENGINE_OK;

	if (lane->batch != NULL)
		return ENGINE_OK;
	if (lane->pool == NULL)
		code = memory_open(lane, status);
	if (code == ENGINE_OK)
	{
		engine_arena_init(&lane->batch_arena,
						  engine_allocator(lane->batch_context), 0);
		code = batch_open(&lane->batch, lane->image, lane->kernels,
						  lane->bits, lane->max_rows, lane->pool,
						  &generate_listener, &lane->batch_arena,
						  engine_allocator(lane->batch_context),
						  &worker.host, status);
	}
	if (code != ENGINE_OK)
	{
		lane->batch = NULL;
		MemoryContextReset(lane->batch_context);
		if (lane->pool == NULL)
			memory_close(lane);
	}
	lane->preemptions = 0;
	return code;
}

static EngineCode
open_encoder(Lane *lane, int64 rows, EngineStatus *status)
{
	int			width = lane->image->hyper.output_length;

	engine_arena_init(&lane->encoder_arena,
					  engine_allocator(lane->encoder_context), 0);
	lane->pooled = engine_alloc(&lane->encoder_arena, TYPEALIGN(16, width),
								sizeof(float), status);
	if (lane->pooled == NULL)
		return status->code;
	return encoder_open(&lane->encoder, lane->image, lane->kernels,
						lane->bits, rows, &lane->encoder_arena, &worker.host,
						status);
}

EngineCode
lane_open_encoder(Lane *lane, int64 rows, EngineStatus *status)
{
	EngineCode	code;

	rows = Max(rows, ENCODER_ROWS);
	if (rows <= lane->encoder_rows)
		return ENGINE_OK;
	lane_close_encoder(lane);
	code = open_encoder(lane, rows, status);
	if (code == ENGINE_OK)
		lane->encoder_rows = rows;
	else
		lane_close_encoder(lane);
	return code;
}

void
lane_forget(Lane *lane)
{
	Assert(!has_jobs(lane));
	close_batch(lane);
	memory_close(lane);
	dlist_delete(&lane->node);
	worker.n_lanes--;
	if (worker.lane == lane)
		worker.lane = NULL;
	MemoryContextDelete(lane->context);
}

static Lane *
longest_idle(int *n_idle)
{
	dlist_iter	iter;
	Lane	   *longest = NULL;

	*n_idle = 0;
	dlist_foreach(iter, &worker.lanes)
	{
		Lane	   *lane = dlist_container(Lane, node, iter.cur);

		if (has_jobs(lane))
			continue;
		(*n_idle)++;
		if (longest == NULL || lane->last_use < longest->last_use)
			longest = lane;
	}
	return longest;
}

void
lanes_forget_idle(int but)
{
	Lane	   *lane;
	int			n_idle;

	while ((lane = longest_idle(&n_idle)) != NULL && n_idle > but)
		lane_forget(lane);
}

/*
 * Turns
 */

static bool
has_work(const Lane *lane, RequestKind kind)
{
	if (kind == REQUEST_ENCODE)
		return lane->n_jobs[REQUEST_ENCODE] > 0;
	return generate_ready(lane);
}

Lane *
lanes_next(RequestKind *kind)
{
	dlist_iter	iter;
	Lane	   *next = NULL;

	dlist_foreach(iter, &worker.lanes)
	{
		Lane	   *lane = dlist_container(Lane, node, iter.cur);

		for (int i = REQUEST_GENERATE; i <= REQUEST_ENCODE; i++)
		{
			Turns	   *turns = &lane->turns[i];
			bool		was_ready = turns->ready;

			turns->ready = has_work(lane, (RequestKind) i);
			if (!turns->ready)
				continue;
			if (!was_ready)
				turns->used = Max(turns->used, worker.clock);
			if (next == NULL || turns->used < next->turns[*kind].used)
			{
				next = lane;
				*kind = (RequestKind) i;
			}
		}
	}
	return next;
}

void
lane_used(Lane *lane, RequestKind kind, double seconds)
{
	worker.clock = lane->turns[kind].used;
	lane->turns[kind].used += seconds;
	worker.turns++;
	lane->last_use = worker.turns;
}
