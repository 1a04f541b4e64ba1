/*-------------------------------------------------------------------------
 *
 * worker_report.c
 *	  What a worker shows of itself: llm.stat_workers and pg_stat_activity.
 *
 * A worker knows models by their digest; their names belong to databases that
 * it is not connected to.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "utils/backend_status.h"

#include "serving/worker_state.h"
#include "settings.h"

/* Bytes of a digest that are enough to tell models apart. */
#define DIGEST_SHOWN 6

static void
append_models(char *text, Size size)
{
	dlist_iter	iter;
	Lane	   *only = NULL;
	int			n = 0;
	Size		length = strlen(text);

	dlist_foreach(iter, &worker.lanes)
	{
		Lane	   *lane = dlist_container(Lane, node, iter.cur);

		if (lane->n_jobs[REQUEST_GENERATE] + lane->n_jobs[REQUEST_ENCODE] > 0)
		{
			only = lane;
			n++;
		}
	}
	if (n != 1)
	{
		snprintf(text +length, size - length, ", %d models", n);
		return;
	}
	length += snprintf(text +length, size - length, ", model ");
	for (int i = 0; i < DIGEST_SHOWN; i++)
		length += snprintf(text +length, size - length, "%02x",
						   only->digest[i]);
}

void
report_activity(void)
{
	static int	reported = -1;
	char text[	128];

	if (worker.n_jobs == reported)
		return;
	reported = worker.n_jobs;
	if (worker.n_jobs == 0)
	{
		pgstat_report_activity(STATE_IDLE, NULL);
		return;
	}
	snprintf(text, sizeof(text), "llm: %d request%s", worker.n_jobs,
			 worker.n_jobs == 1 ? "" : "s");
	append_models(text, sizeof(text));
	pgstat_report_activity(STATE_RUNNING, text);
}

/* Whose model it is: read by views, so under the lock. */
static void
report_model(const Lane *lane, const Slot *slot)
{
	WorkerEntry *entry = worker.entry;

	if (entry->database == slot->database &&
		entry->large_object == slot->large_object &&
		memcmp(entry->digest, lane->digest, MODEL_DIGEST_BYTES) == 0)
		return;
	ring_lock(LW_EXCLUSIVE);
	memcpy(entry->digest, lane->digest, MODEL_DIGEST_BYTES);
	entry->database = slot->database;
	entry->large_object = slot->large_object;
	ring_unlock();
}

void
report_step(Lane *lane, const Job *job, int64 rows, int64 tokens)
{
	WorkerEntry *entry = worker.entry;

	if (job != NULL)
		report_model(lane, job->slot);
	pg_atomic_write_u64(&entry->rows_last_step, rows);
	pg_atomic_fetch_add_u64(&entry->steps, 1);
	pg_atomic_fetch_add_u64(&entry->tokens, tokens);
}

/*
 * Pages of several models have several sizes: the total is as if all had that
 * of the one used last.
 */
void
report_memory(void)
{
	WorkerEntry *entry = worker.entry;
	dlist_iter	iter;
	Lane	   *last = NULL;
	uint64		held = 0;
	uint64		references = 0;

	dlist_foreach(iter, &worker.lanes)
	{
		Lane	   *lane = dlist_container(Lane, node, iter.cur);
		PageCounts	counts;

		if (lane->pool == NULL)
			continue;
		if (last == NULL || lane->last_use > last->last_use)
			last = lane;
		counts = page_pool_counts(lane->pool);
		held += counts.held;
		references += counts.references;
	}
	pg_atomic_write_u64(&entry->kv_pages_used, held);
	pg_atomic_write_u64(&entry->kv_references, references);
	pg_atomic_write_u64(&entry->kv_pages_total, last == NULL ? 0 :
						page_pool_counts(last->pool).total);
}

void
report_settings(void)
{
	WorkerEntry *entry = worker.entry;

	ring_lock(LW_EXCLUSIVE);
	entry->threads = team_threads(worker.host.team);
	strlcpy(entry->instruction_set, settings_kernels()->name,
			sizeof(entry->instruction_set));
	ring_unlock();
}
