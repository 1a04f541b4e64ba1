/*-------------------------------------------------------------------------
 *
 * worker_generate.c
 *	  Requests that generate: in and out of a batch, and its steps.
 *
 * A sequence can leave its batch at any time between steps and enter it, or
 * another one, again: the prompt is in the slot's request, and the tokens so
 * far are its results.  Nobody sees that but for the time it takes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "portability/instr_time.h"
#include "utils/memutils.h"

#include "serving/worker_state.h"
#include "settings.h"

/*
 * What a batch reports.  The engine is on the stack: nothing here may throw.
 */

static void
take_token(void *arg, void *owner, const BatchToken *token)
{
	Job		   *job = owner;
	ServedToken *served = (ServedToken *) (job->results +
										   job->n_tokens * job->stride);

	served->token = token->token;
	served->n_top = token->n_top;
	served->logprob = token->logprob;
	served->base = token->base;
	if (token->n_top > 0)
		memcpy(served->top, token->top, token->n_top * sizeof(TokenLogit));
	job->n_tokens++;
	job->ended = token->finish != FINISH_NONE;
}

static void
take_failure(void *arg, void *owner, const EngineStatus *status)
{
	Job		   *job = owner;

	job->failed = true;
	slot_error_from_status(&job->error, status);
}

const BatchListener generate_listener = {take_token, take_failure, NULL};

/*
 * In and out of the batch
 */

static bool
fails(Job *job, const EngineStatus *status)
{
	job->failed = true;
	slot_error_from_status(&job->error, status);
	return false;
}

/* The memory of a worker is too small for this request alone. */
static bool
fails_for_memory(Job *job, uint64 needed)
{
	uint64		mb = (needed + 1024 * 1024 - 1) / (1024 * 1024);

	job->failed = true;
	job->error.sqlstate = ERRCODE_CONFIGURATION_LIMIT_EXCEEDED;
	strlcpy(job->error.message,
			"request does not fit the memory of a worker for keys and values",
			sizeof(job->error.message));
	snprintf(job->error.detail, sizeof(job->error.detail),
			 "It needs " UINT64_FORMAT " MB, llm.kv_cache_size is %d MB.",
			 mb, setting_kv_cache_size);
	snprintf(job->error.hint, sizeof(job->error.hint),
			 "Set llm.kv_cache_size to at least " UINT64_FORMAT
			 "MB, or ask for fewer tokens.", mb);
	return false;
}

/* Prompt and tokens so far, in the current context. */
static const int32 *
whole_history(const Job *job, const GenerateRequest *request)
{
	int32	   *history;

	if (job->n_tokens == 0)
		return request->history;
	history = MemoryContextAllocHuge(CurrentMemoryContext,
									 (request->n_history + job->n_tokens) *
									 sizeof(int32));
	memcpy(history, request->history, request->n_history * sizeof(int32));
	for (uint32 i = 0; i < job->n_tokens; i++)
		history[request->n_history + i] =
			((ServedToken *) (job->results + i * job->stride))->token;
	return history;
}

/* A batch counts credit from where a sequence enters it. */
static int64
batch_credit_of(const Job *job)
{
	if (!job->slot->stream)
		return INT64_MAX;
	return (int64) job->credit - job->n_entered;
}

static void
fill_request(Job *job, const GenerateRequest *request, BatchRequest *batch)
{
	const Slot *slot = job->slot;

	batch->history = whole_history(job, request);
	batch->n_prompt = request->n_prompt;
	batch->n_history = request->n_history + job->n_tokens;
	batch->max_history = request->max_history;
	batch->sampler = request->sampler;
	batch->n_stops = request->n_stops;
	batch->stops = request->stops;
	batch->top = request->top;
	batch->share = setting_prefix_cache != PREFIX_CACHE_OFF;
	batch->scope.a = slot->database;
	batch->scope.b = setting_prefix_cache == PREFIX_CACHE_ROLE ?
		slot->role : 0;
	batch->group = slot->role;
	batch->order = slot->arrival;
	job->n_entered = job->n_tokens;
	job->credit = pg_atomic_read_u32(&job->slot->credit);
	batch->credit = batch_credit_of(job);
	batch->owner = job;
}

static bool
enter_batch(Job *job, const GenerateRequest *request)
{
	Lane	   *lane = job->lane;
	BatchRequest batch = {0};
	EngineStatus status;
	EngineCode	code;
	uint64		needed = memory_needed(lane, request->max_history);

	if (needed > worker.budget.limit)
		return fails_for_memory(job, needed);
	code = lane_open_batch(lane, &status);
	if (code == ENGINE_NO_MEMORY)
	{
		lanes_forget_idle(0);
		code = lane_open_batch(lane, &status);
	}
	if (code != ENGINE_OK)
		return fails(job, &status);
	fill_request(job, request, &batch);
	code = batch_add(lane->batch, &batch, &job->sequence, &status);
	if (code == ENGINE_OK)
	{
		worker.events++;
		return true;
	}
	job->sequence = NULL;
	if (code == ENGINE_LIMIT)
		return fails_for_memory(job, needed);
	return fails(job, &status);
}

/* Enter the batch with what there is; false: the job failed. */
static bool
enter(Job *job)
{
	MemoryContext old;
	GenerateRequest request = {0};
	bool		entered;

	MemoryContextReset(worker.scratch);
	old = MemoryContextSwitchTo(worker.scratch);
	generate_request_read(dsa_get_address(ring_payload(), job->slot->request),
						  &request);
	job->stride = served_token_size(request.top);
	entered = enter_batch(job, &request);
	MemoryContextSwitchTo(old);
	return entered;
}

bool
generate_begin(Job *job)
{
	job_set_phase(job, PHASE_WAITING);
	return enter(job);
}

void
generate_suspend(Job *job)
{
	batch_remove(job->lane->batch, job->sequence);
	job->sequence = NULL;
	job->suspended = worker.ended;
	worker.events++;
	job_set_phase(job, PHASE_WAITING);
}

/*
 * Those that left their batch enter it again: because it is another one now,
 * or when memory has become free since.
 */
static bool
may_resume(const Job *job, bool others)
{
	return job->suspended == UINT64_MAX || job->suspended != worker.ended ||
		!others;
}

static bool
any_in_batch(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &worker.lanes)
	{
		Lane	   *lane = dlist_container(Lane, node, iter.cur);

		if (lane->batch != NULL && batch_can_step(lane->batch))
			return true;
	}
	return false;
}

void
generate_resume(void)
{
	dlist_iter	iter;
	dlist_mutable_iter inner;
	bool		others = any_in_batch();

	dlist_foreach(iter, &worker.lanes)
	{
		Lane	   *lane = dlist_container(Lane, node, iter.cur);

		dlist_foreach_modify(inner, &lane->jobs[REQUEST_GENERATE])
		{
			Job		   *job = dlist_container(Job, node, inner.cur);

			if (job->sequence != NULL || !may_resume(job, others))
				continue;
			worker.job = job;
			if (!enter(job))
				job_fail(job, &job->error);
			worker.job = NULL;
			others = true;
		}
	}
}

/*
 * Steps
 */

bool
generate_ready(const Lane *lane)
{
	return lane->batch != NULL && lane->stuck != worker.events &&
		batch_can_step(lane->batch);
}

static SlotPhase
slot_phase(BatchPhase phase)
{
	switch (phase)
	{
		case BATCH_WAITING:
			return PHASE_WAITING;
		case BATCH_PROMPT:
			return PHASE_PROMPT;
		case BATCH_PAUSED:
			return PHASE_PAUSED;
		case BATCH_GENERATING:
		case BATCH_ENDED:
			break;
	}
	return PHASE_GENERATING;
}

/* The session looks at this when it gets its first token. */
void
generate_show_cached(Job *job)
{
	uint32		cached = (uint32) batch_cached(job->sequence);

	if (cached == job->cached)
		return;
	job->cached = cached;
	pg_atomic_write_u32(&job->slot->cached_tokens, cached);
}

/* Credit that its session gave since, and what the slot shows. */
void
generate_watch(Job *job)
{
	if (job->slot->stream)
	{
		uint32		credit = pg_atomic_read_u32(&job->slot->credit);

		if (credit != job->credit)
		{
			job->credit = credit;
			batch_credit(job->lane->batch, job->sequence,
						 batch_credit_of(job));
			worker.events++;
		}
	}
	job_set_phase(job, slot_phase(batch_phase(job->sequence)));
}

/* How many jobs are at what, by SlotPhase. */
static void
count_phases(Lane *lane, int *counts)
{
	dlist_iter	iter;

	memset(counts, 0, (PHASE_ENCODING + 1) * sizeof(int));
	dlist_foreach(iter, &lane->jobs[REQUEST_GENERATE])
		counts[dlist_container(Job, node, iter.cur)->phase]++;
}

static void
set_pace(Lane *lane)
{
	int			counts[PHASE_ENCODING + 1];

	count_phases(lane, counts);
	batch_set_prompt_rows(lane->batch,
						  pace_rows(&lane->pace, counts[PHASE_GENERATING],
									counts[PHASE_PROMPT] +
									counts[PHASE_WAITING]));
}

static Job *
first_job(Lane *lane)
{
	if (dlist_is_empty(&lane->jobs[REQUEST_GENERATE]))
		return NULL;
	return dlist_container(Job, node,
						   dlist_head_node(&lane->jobs[REQUEST_GENERATE]));
}

/* Pages that a lane takes from its own sequences may serve others. */
static void
count_preemptions(Lane *lane)
{
	int64		preemptions = batch_preemptions(lane->batch);

	if (preemptions == lane->preemptions)
		return;
	pg_atomic_fetch_add_u64(&worker.entry->preemptions,
							preemptions - lane->preemptions);
	lane->preemptions = preemptions;
	lane->squeezed = true;
	worker.events++;
}

static bool
step_failed(Lane *lane, const EngineStatus *status)
{
	SlotError	error;

	slot_error_from_status(&error, status);
	jobs_fail(lane, &error);
	return false;
}

bool
generate_step(Lane *lane)
{
	BatchStep	step = {0};
	EngineStatus status;
	EngineCode	code;
	instr_time	start;
	instr_time	end;

	memory_make_room(lane);
	set_pace(lane);
	INSTR_TIME_SET_CURRENT(start);
	code = batch_step(lane->batch, &step, &status);
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	lane_used(lane, REQUEST_GENERATE, INSTR_TIME_GET_DOUBLE(end));
	if (worker_cancelled(code, &status))
		return true;
	if (code != ENGINE_OK)
		return step_failed(lane, &status);
	pace_note(&lane->pace, &step, INSTR_TIME_GET_DOUBLE(end));
	count_preemptions(lane);
	if (step.rows == 0)
		lane->stuck = worker.events;
	else
		report_step(lane, first_job(lane), step.rows, step.outputs);
	return true;
}
