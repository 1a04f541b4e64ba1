/*-------------------------------------------------------------------------
 *
 * ring.h
 *	  The request ring: calls of many sessions on their way to the workers.
 *
 *	  +--------------------------------------+ "llm request ring"
 *	  | Ring: queue heads, workers[], line   | in main shared memory
 *	  | slots[llm.max_requests]              |
 *	  | line[one place for each process]     | sessions that wait for a slot
 *	  | payload (a DSA in place, bounded)    | requests and results
 *	  +--------------------------------------+
 *
 * A slot goes
 *
 *		FREE -> FILLING -> QUEUED -> RUNNING -> DONE -> FREE
 *					|		  |			 |		  ^
 *					|		  |			 +-> FAILED (-> FREE)
 *					+-> FREE  +-> FREE (session gave up)
 *
 * and each time on its way to FREE through EMPTYING, while nobody but the
 * process that empties it looks at it.
 *
 *		edge				who
 *		FREE -> FILLING		session, when it is its turn in the line
 *		FILLING -> QUEUED	the same session
 *		QUEUED -> RUNNING	a worker
 *		RUNNING -> DONE		that worker; also for a session that gave up, and
 *							then goes on to FREE at once
 *		RUNNING -> FAILED	that worker, or its exit
 *		QUEUED -> FAILED	the exit of the last worker
 *		RUNNING -> FREE		that worker: a stream that nobody reads
 *							(llm.stream_idle_timeout)
 *		DONE, FAILED -> FREE	for the same reason any worker
 *		the rest			the session
 *
 * Whoever makes a slot FREE raises its generation (still under the lock under
 * which it left its state), frees its payload, releases its pin, and wakes the
 * first session in the line that may have it.
 *
 * No slot is QUEUED while no worker runs: sessions look before they queue, and
 * the last worker fails what is left.
 *
 * What guards what
 *
 *		state, generation, owner, worker, line, workers[].pid	RING_LOCK
 *		request		the session until QUEUED, then nobody writes
 *		results		the worker; a session reads what n_tokens (release,
 *					acquire) says is there, and of streams copies it under
 *					RING_LOCK, because the slot can be taken back
 *		n_tokens, phase, cached_tokens, credit, abandoned	atomic
 *		payload area		DSA's own locks
 *
 * RING_LOCK is held for a few memory accesses, never while computing, waiting
 * or allocating.  Sleeping is by process latches alone: a worker sets the
 * latch of a slot's owner when n_tokens reaches wake_at or the state changes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_RING_H
#define LLM_RING_H

#include "port/atomics.h"
#include "storage/lwlock.h"
#include "utils/dsa.h"
#include "utils/timestamp.h"

#include "models/digest.h"
#include "serving/request.h"

#define MAX_WORKERS 64

/* Payload area for each slot, on average. */
#define RING_PAYLOAD ((Size) 256 * 1024)

typedef enum SlotState
{
	SLOT_FREE,
	SLOT_FILLING,
	SLOT_QUEUED,
	SLOT_RUNNING,
	SLOT_DONE,
	SLOT_FAILED,
	SLOT_EMPTYING				/* on its way to FREE */
} SlotState;

/* What a running request is at, for llm.stat_requests. */
typedef enum SlotPhase
{
	PHASE_QUEUED,
	PHASE_WAITING,				/* for pages */
	PHASE_PROMPT,
	PHASE_GENERATING,
	PHASE_PAUSED,				/* a stream that is not read */
	PHASE_ENCODING
} SlotPhase;

/* An error on its way from a worker to a session. */
typedef struct SlotError
{
	int			sqlstate;
	char		message[256];	/* UTF-8 */
	char		detail[512];
	char		hint[256];
} SlotError;

typedef struct Slot
{
	SlotState	state;
	uint32		generation;		/* raised whenever it is emptied */
	int			next,			/* of the list of FREE or QUEUED slots */
				previous;		/* -1: none */
	RequestKind kind;
	bool		stream;
	uint64		arrival;		/* order of QUEUED */
	TimestampTz queued_at;
	int			pid;			/* owner */
	int			procno;			/* owner, for its latch */
	Oid			database;
	Oid			role;
	Oid			large_object;	/* which model, for views */
	uint8		digest[MODEL_DIGEST_BYTES];
	int			pin;			/* slot of the weights cache */
	int			activation_bits;
	int			worker;			/* -1: none yet */
	int64		prompt_tokens;
	int64		max_tokens;
	Size		payload;		/* bytes, of both together */
	dsa_pointer request;
	dsa_pointer results;		/* inside the same piece, aligned to 64 */
	pg_atomic_uint32 n_tokens;	/* results that are there */
	pg_atomic_uint32 wake_at;	/* wake the owner at so many */
	pg_atomic_uint32 credit;	/* streams: so many may be generated */
	pg_atomic_uint32 cached_tokens;
	pg_atomic_uint32 phase;		/* SlotPhase */
	pg_atomic_uint32 abandoned; /* the owner gave up */
	TimestampTz paused_at;		/* worker's; 0: not paused.  Of a stream that
								 * has ended: when */
	SlotError	error;			/* FAILED */
} Slot;

/* A worker, as sessions and views see it.  Written by the worker alone. */
typedef struct WorkerEntry
{
	int			pid;			/* 0: not running */
	int			procno;
	int			threads;
	char		instruction_set[32];
	uint8		digest[MODEL_DIGEST_BYTES]; /* of the last step; 0: none */
	Oid			database;		/* that the step was for, and which model, */
	Oid			large_object;	/* for the name */
	pg_atomic_uint32 running;	/* requests that it has */
	pg_atomic_uint32 idle;		/* it sleeps */
	pg_atomic_uint64 rows_last_step;
	pg_atomic_uint64 kv_pages_used;
	pg_atomic_uint64 kv_pages_total;
	pg_atomic_uint64 kv_references; /* of all sequences; 0 when idle */
	pg_atomic_uint64 steps;
	pg_atomic_uint64 tokens;
	pg_atomic_uint64 preemptions;
} WorkerEntry;

/* From _PG_init, when preloading: hooks for shared memory. */
extern void ring_init(void);

/* Is there a ring (preloaded, llm.workers > 0)? */
extern bool ring_exists(void);

extern int	ring_size(void);
extern Slot *ring_slot(int slot);
extern WorkerEntry *ring_worker(int worker);

extern void ring_lock(LWLockMode mode);
extern void ring_unlock(void);

/* Map the payload area into this process, once; for its whole life. */
extern dsa_area *ring_payload(void);

/*
 * For workers (worker.c)
 */

/* Workers that run now; without RING_LOCK it may be out of date at once. */
extern int	ring_workers_running(void);

/*
 * Enter, leave the table of workers.  ring_leave() fails what the worker has,
 * and when it was the last one also what is queued.
 */
extern void ring_enter(int worker, int threads, const char *instruction_set);
extern void ring_leave(int worker);

/*
 * The oldest QUEUED request that accepts() likes becomes RUNNING and this
 * worker's; -1: none.  accepts() runs under RING_LOCK.  A worker that finds
 * nothing to do sets idle, looks once more, and only then sleeps.
 */
extern int	ring_claim(int worker,
					   bool (*accepts) (void *arg, const Slot *slot),
					   void *arg);

/* n_tokens results are there now; wakes the owner if it waits for them. */
extern void ring_publish(int slot, uint32 n_tokens);

/* RUNNING -> DONE, or FREE if the owner gave up; likewise FAILED. */
extern void ring_done(int slot);
extern void ring_failed(int slot, const SlotError *error);

/*
 * RUNNING -> FREE of a stream that nobody reads.  (A worker that pauses a
 * stream sets phase to PHASE_PAUSED, a memory barrier, and then looks at credit
 * once more: the session raises credit first and wakes if it sees the phase.)
 */
extern void ring_take_back(int slot);

/*
 * DONE, FAILED -> FREE of streams whose sessions have not given them back for
 * timeout ms (0: for ever): a cursor may stay open for long.  Returns in how
 * many ms the next will be due; -1: there is none.
 */
extern long ring_take_back_unread(int timeout);

/*
 * Something is queued: sets the latch of an idle worker, if there is one.
 * Others look at the queue between steps anyway.
 */
extern void ring_wake_worker(void);

/* What is held now, for views and tests: all 0 when nothing runs. */
typedef struct RingCounts
{
	int			slots;			/* not FREE */
	int			waiting;		/* sessions in the line */
	uint64		payload;		/* bytes of requests and results */
} RingCounts;

extern RingCounts ring_counts(void);

#endif							/* LLM_RING_H */
