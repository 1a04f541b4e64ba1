/*-------------------------------------------------------------------------
 *
 * worker_job.c
 *	  Jobs: requests that a worker took from the ring, until it gives them
 *	  back.
 *
 * Whatever happens, a job ends in one of four ways: done, failed, given up by
 * its session, taken back because nobody reads it.  Its sequence has left the
 * batch before the slot goes on, for then the image may go.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "utils/memutils.h"

#include "host.h"
#include "serving/worker_state.h"
#include "settings.h"

/* Requests to encode that a lane takes beside each other. */
#define ENCODE_JOBS 8

/*
 * Ending
 */

void
slot_error_from_status(SlotError *error, const EngineStatus *status)
{
	error->sqlstate = engine_sqlstate(status->code);
	strlcpy(error->message, status->message, sizeof(error->message));
	strlcpy(error->detail, status->detail, sizeof(error->detail));
	strlcpy(error->hint, status->hint, sizeof(error->hint));
}

void
job_set_phase(Job *job, SlotPhase phase)
{
	if (job->phase == phase)
		return;
	job->phase = phase;
	pg_atomic_write_u32(&job->slot->phase, phase);
}

/*
 * The slot is still there: the caller gives it back, after it has reported
 * what pages the job held, for who sees its end may look at that.
 */
static void
job_end(Job *job)
{
	Lane	   *lane = job->lane;

	if (job->sequence != NULL)
		batch_remove(lane->batch, job->sequence);
	dlist_delete(&job->node);
	lane->n_jobs[job->slot->kind]--;
	worker.n_jobs--;
	worker.ended++;
	worker.events++;
	pg_atomic_write_u32(&worker.entry->running, worker.n_jobs);
	if (worker.job == job)
		worker.job = NULL;
	MemoryContextDelete(job->context);
}

static void
job_done(Job *job)
{
	int			number = job->number;

	job_end(job);
	report_memory();
	ring_done(number);
}

void
job_fail(Job *job, const SlotError *error)
{
	int			number = job->number;
	SlotError	copy = *error;

	job_end(job);
	report_memory();
	ring_failed(number, &copy);
}

void
jobs_fail(Lane *lane, const SlotError *error)
{
	dlist_mutable_iter iter;

	for (int kind = REQUEST_GENERATE; kind <= REQUEST_ENCODE; kind++)
		dlist_foreach_modify(iter, &lane->jobs[kind])
			job_fail(dlist_container(Job, node, iter.cur), error);
}

/* What a turn left to be done with a job. */
static void
job_settle(Job *job)
{
	if (job->sequence != NULL)
		generate_show_cached(job);
	if (job->n_published < job->n_tokens)
	{
		job->n_published = job->n_tokens;
		ring_publish(job->number, job->n_tokens);
	}
	if (job->failed)
		job_fail(job, &job->error);
	else if (job->ended)
		job_done(job);
	else if (job->sequence != NULL)
		generate_watch(job);
}

void
jobs_settle(Lane *lane)
{
	dlist_mutable_iter iter;

	for (int kind = REQUEST_GENERATE; kind <= REQUEST_ENCODE; kind++)
		dlist_foreach_modify(iter, &lane->jobs[kind])
			job_settle(dlist_container(Job, node, iter.cur));
}

/*
 * Taking
 */

static bool
has_room(void *arg, const Slot *slot)
{
	const Lane *lane = lane_find(slot);

	if (lane == NULL)
		return true;
	if (slot->kind == REQUEST_ENCODE)
		return lane->n_jobs[REQUEST_ENCODE] < ENCODE_JOBS;
	return lane->n_jobs[REQUEST_GENERATE] < BATCH_OUTPUTS;
}

static Job *
job_create(int number)
{
	Slot	   *slot = ring_slot(number);
	MemoryContext context = AllocSetContextCreate(worker.context,
												  "llm request",
												  ALLOCSET_SMALL_SIZES);
	Job		   *job = MemoryContextAllocZero(context, sizeof(Job));

	job->context = context;
	job->number = number;
	job->slot = slot;
	job->phase = PHASE_QUEUED;
	return job;
}

static void
job_enter(Job *job)
{
	Slot	   *slot = job->slot;
	Lane	   *lane = lane_for(slot);

	job->lane = lane;
	dlist_push_tail(&lane->jobs[slot->kind], &job->node);
	lane->n_jobs[slot->kind]++;
	worker.n_jobs++;
	worker.events++;
	pg_atomic_write_u32(&worker.entry->running, worker.n_jobs);
}

static void
job_begin(Job *job)
{
	bool		begun;

	job->results = dsa_get_address(ring_payload(), job->slot->results);
	if (job->slot->kind == REQUEST_GENERATE)
		begun = generate_begin(job);
	else
		begun = encode_begin(job);
	if (!begun)
		job_fail(job, &job->error);
}

void
jobs_take(void)
{
	int			number;

	while ((number = ring_claim(worker.number, has_room, NULL)) >= 0)
	{
		worker.claimed = number;
		worker.job = job_create(number);
		job_enter(worker.job);
		worker.claimed = -1;
		job_begin(worker.job);
		worker.job = NULL;
	}
}

/*
 * Watching
 */

/* Since when a stream waits for its reader; 0 when it does not. */
static void
note_pause(Job *job)
{
	Slot	   *slot = job->slot;
	bool		paused = job->phase == PHASE_PAUSED;

	if (paused && slot->paused_at == 0)
		slot->paused_at = GetCurrentTimestamp();
	else if (!paused && slot->paused_at != 0)
		slot->paused_at = 0;
}

/* Milliseconds until a stream is taken back; -1: never. */
static long
patience(const Job *job)
{
	TimestampTz until;

	if (job->slot->paused_at == 0 || setting_stream_idle_timeout == 0)
		return -1;
	until = TimestampTzPlusMilliseconds(job->slot->paused_at,
										setting_stream_idle_timeout);
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);
}

static void
job_watch(Job *job)
{
	if (pg_atomic_read_u32(&job->slot->abandoned) != 0)
	{
		job_done(job);
		return;
	}
	if (job->slot->kind != REQUEST_GENERATE || !job->slot->stream)
		return;
	if (job->sequence != NULL)
		generate_watch(job);
	note_pause(job);
	if (patience(job) == 0)
	{
		int			number = job->number;

		job_end(job);
		report_memory();
		ring_take_back(number);
	}
}

void
jobs_watch(void)
{
	dlist_iter	iter;
	dlist_mutable_iter inner;

	worker.unread = ring_take_back_unread(setting_stream_idle_timeout);
	dlist_foreach(iter, &worker.lanes)
	{
		Lane	   *lane = dlist_container(Lane, node, iter.cur);

		for (int kind = REQUEST_GENERATE; kind <= REQUEST_ENCODE; kind++)
			dlist_foreach_modify(inner, &lane->jobs[kind])
				job_watch(dlist_container(Job, node, inner.cur));
	}
}

long
jobs_patience(void)
{
	dlist_iter	iter;
	dlist_iter	inner;
	long		least = worker.unread;

	dlist_foreach(iter, &worker.lanes)
	{
		Lane	   *lane = dlist_container(Lane, node, iter.cur);

		dlist_foreach(inner, &lane->jobs[REQUEST_GENERATE])
		{
			long		ms = patience(dlist_container(Job, node, inner.cur));

			if (ms >= 0 && (least < 0 || ms < least))
				least = ms;
		}
	}
	return least;
}
