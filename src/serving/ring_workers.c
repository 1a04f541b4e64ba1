/*-------------------------------------------------------------------------
 *
 * ring_workers.c
 *	  The ring's table of workers.
 *
 * A worker is in the table from when it can serve until it exits; what it has
 * then, fails, with an error that says "try again".
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "storage/proc.h"

#include "serving/ring_memory.h"
#include "settings.h"

int
ring_workers_running(void)
{
	int			n = 0;

	for (int i = 0; i < setting_workers; i++)
		if (ring->workers[i].pid != 0)
			n++;
	return n;
}

void
ring_enter(int worker, int threads, const char *instruction_set)
{
	WorkerEntry *entry = &ring->workers[worker];

	ring_lock(LW_EXCLUSIVE);
	entry->pid = MyProcPid;
	entry->procno = MyProcNumber;
	entry->threads = threads;
	strlcpy(entry->instruction_set, instruction_set,
			sizeof(entry->instruction_set));
	memset(entry->digest, 0, MODEL_DIGEST_BYTES);
	entry->database = InvalidOid;
	entry->large_object = InvalidOid;
	pg_atomic_write_u32(&entry->running, 0);
	pg_atomic_write_u32(&entry->idle, 0);
	pg_atomic_write_u64(&entry->rows_last_step, 0);
	pg_atomic_write_u64(&entry->kv_pages_used, 0);
	pg_atomic_write_u64(&entry->kv_pages_total, 0);
	pg_atomic_write_u64(&entry->kv_references, 0);
	ring_unlock();
}

const SlotError ring_worker_stopped = {
	.sqlstate = ERRCODE_T_R_SERIALIZATION_FAILURE,
	.message = "background worker stopped while it computed this call",
	.hint = "Try the call again.",
};

/* The worker is not in the table any more. */
static void
fail_rest(int worker)
{
	for (int i = 0; i < ring->n_slots; i++)
	{
		bool		fail;

		ring_lock(LW_SHARED);
		fail = ring_slots[i].state == SLOT_RUNNING &&
			ring_slots[i].worker == worker;
		ring_unlock();
		if (fail)
			ring_failed(i, &ring_worker_stopped);
	}
}

/* No worker is left, so nobody can claim what is queued. */
static void
fail_queued(void)
{
	while (ring->queue_head >= 0)
	{
		Slot	   *slot = &ring_slots[ring->queue_head];

		ring_dequeue(slot);
		slot->next = slot->previous = -1;
		slot->error = ring_worker_stopped;
		slot->state = SLOT_FAILED;
		ring_note_unread(slot);
		ring_wake(slot->procno);
	}
}

void
ring_leave(int worker)
{
	WorkerEntry *entry = &ring->workers[worker];

	ring_lock(LW_EXCLUSIVE);
	entry->pid = 0;
	pg_atomic_write_u32(&entry->running, 0);
	pg_atomic_write_u32(&entry->idle, 0);
	pg_atomic_write_u64(&entry->kv_pages_used, 0);
	pg_atomic_write_u64(&entry->kv_references, 0);
	if (ring_workers_running() == 0)
		fail_queued();
	ring_unlock();
	fail_rest(worker);
}

/* The idle worker that has least to do, which no longer is idle; -1: none. */
static int
pick_idle(void)
{
	WorkerEntry *best = NULL;
	uint32		idle = 1;

	for (int i = 0; i < setting_workers; i++)
	{
		WorkerEntry *entry = &ring->workers[i];

		if (entry->pid == 0 || pg_atomic_read_u32(&entry->idle) == 0)
			continue;
		if (best == NULL || pg_atomic_read_u32(&entry->running) <
			pg_atomic_read_u32(&best->running))
			best = entry;
	}
	if (best == NULL)
		return -1;

	/* the next call then wakes another one */
	pg_atomic_compare_exchange_u32(&best->idle, &idle, 0);
	return best->procno;
}

void
ring_wake_worker(void)
{
	int			procno;

	ring_lock(LW_SHARED);
	procno = pick_idle();
	ring_unlock();
	ring_wake(procno);
}
