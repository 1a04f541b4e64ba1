/*-------------------------------------------------------------------------
 *
 * worker_state.h
 *	  What the files of a worker share.  Private to worker*.c.
 *
 * A lane is what a worker has for one model: sequences that generate, texts
 * to encode, scratch and pages for both.  A job is one request that the
 * worker took from the ring.
 *
 *		worker.c			process: registration, signals, loop, sleep
 *		worker_lane.c		lanes: finding, opening, closing, turns
 *		worker_job.c		jobs: taking, watching over, ending
 *		worker_generate.c	jobs in a batch, steps
 *		worker_encode.c		jobs that encode, passes
 *		worker_memory.c		pages of all lanes within llm.kv_cache_size
 *		worker_pace.c		how much of a prompt a step takes
 *		worker_report.c		what views and pg_stat_activity show
 *
 * The image of a lane may be touched only while the lane has jobs: their
 * slots hold the pins.  Without any it may lie somewhere else the next time,
 * or not at all; pages stay, because they depend on the model's bytes alone.
 *
 * Time is shared by turns: each kind of work of each lane counts the time
 * that it took, and the one with the least is next.  One that had nothing to
 * do does not save its time up.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_WORKER_STATE_H
#define LLM_WORKER_STATE_H

#include "lib/ilist.h"

#include "engine/base/team.h"
#include "serving/ring.h"

/* worker_pace.c */

/* Classes of steps, by how many sequences generate. */
#define PACE_CLASSES (BATCH_OUTPUTS / 4 + 4)

typedef struct Pace
{
	double		alone[PACE_CLASSES];	/* seconds without rows of prompts; 0:
										 * not known */
	double		row;			/* seconds for each of these rows; 0: not
								 * known */
	int			mixed;			/* steps since one was without */
} Pace;

/* A step took seconds. */
extern void pace_note(Pace *pace, const BatchStep *step, double seconds);

/* Rows of prompts to take while so many sequences generate, others read. */
extern int	pace_rows(const Pace *pace, int generating, int prompts);

/* Lanes and jobs */

typedef struct Turns
{
	bool		ready;
	double		used;			/* seconds, comparable with worker.clock */
} Turns;

typedef struct Lane
{
	dlist_node	node;			/* in worker.lanes */
	uint8		digest[MODEL_DIGEST_BYTES];
	int			bits;
	uint64		last_use;		/* by worker.turns */
	MemoryContext context;
	dlist_head	jobs[2];		/* by RequestKind, in order of arrival */
	int			n_jobs[2];
	Turns		turns[2];

	/* what batch and encoder were opened for */
	const ImageHeader *image;
	const KernelSet *kernels;
	Team	   *team;
	int			max_rows;

	/* REQUEST_GENERATE */
	PagePool   *pool;			/* NULL: not open */
	PageMemory	memory;
	Size		memory_bytes;
	EngineArena pool_arena;
	Batch	   *batch;			/* NULL: not open */
	MemoryContext batch_context;
	EngineArena batch_arena;
	int64		preemptions;	/* of batch, as far as they are counted */
	Pace		pace;
	uint64		stuck;			/* worker.events when no page was left */
	bool		squeezed;		/* took pages from its own sequences */

	/* REQUEST_ENCODE */
	Encoder		encoder;
	int64		encoder_rows;	/* 0: not open */
	MemoryContext encoder_context;
	EngineArena encoder_arena;
	float	   *pooled;			/* a vector as the engine wants it */
} Lane;

typedef struct Job
{
	dlist_node	node;			/* in lane->jobs[] */
	Lane	   *lane;
	MemoryContext context;		/* with the job itself in it */
	int			number;			/* of its slot */
	Slot	   *slot;
	char	   *results;
	SlotPhase	phase;			/* as the slot says */
	bool		ended;			/* all results are there */
	bool		failed;			/* with error */
	SlotError	error;

	/* REQUEST_GENERATE */
	BatchSequence *sequence;	/* NULL: not in the batch */
	uint64		suspended;		/* worker.ended then */
	Size		stride;			/* of results */
	uint32		n_tokens;		/* results written */
	uint32		n_published;
	uint32		n_entered;		/* n_tokens when it entered the batch */
	uint32		credit;			/* as the batch knows it */
	uint32		cached;			/* as the slot says */

	/* REQUEST_ENCODE */
	EncodeRequest encode;
	int			next_text;
} Job;

/* The worker that this process is. */
typedef struct Worker
{
	int			number;
	WorkerEntry *entry;
	MemoryContext context;
	MemoryContext scratch;		/* of one use, reset before each */
	EngineHost	host;
	const EngineAllocator *allocator;	/* over context */
	int			threads;		/* that the team was opened for */
	PageBudget	budget;
	dlist_head	lanes;
	int			n_lanes;
	int			n_jobs;
	double		clock;			/* time used of the turn before */
	uint64		turns;
	uint64		events;			/* counts what may let a lane go on */
	uint64		ended;			/* counts jobs that ended */
	long		unread;			/* ms until a stream that has ended is due to
								 * be taken back; -1: none */
	int			failures;		/* in a row */

	/* whom an error that is thrown concerns */
	int			claimed;		/* a slot that is no job yet, or -1 */
	Job		   *job;			/* or NULL */
	Lane	   *lane;			/* or NULL */
} Worker;

extern Worker worker;

/* worker.c */

/*
 * Did the engine stop because this process has to end?  Throws what else may
 * have stopped it.
 */
extern bool worker_cancelled(EngineCode code, const EngineStatus *status);

/* worker_lane.c */

/* The lane for the model of a slot, which holds a pin; opened if need be. */
extern Lane *lane_for(const Slot *slot);
extern Lane *lane_find(const Slot *slot);

/* Make sure that batch, or an encoder for so many rows, is open. */
extern EngineCode lane_open_batch(Lane *lane, EngineStatus *status);
extern EngineCode lane_open_encoder(Lane *lane, int64 rows,
									EngineStatus *status);
extern void lane_close_encoder(Lane *lane);

/*
 * Close what was opened for other settings than those of now.  Sequences
 * leave their batch and enter the next one with what they have.
 */
extern void lane_settle(Lane *lane);

/* The lane has no jobs: forget it. */
extern void lane_forget(Lane *lane);

/* Forget the lanes without jobs but for so many, the last used. */
extern void lanes_forget_idle(int but);

/* A piece of work for the next turn; NULL when there is nothing to do. */
extern Lane *lanes_next(RequestKind *kind);

/* It took seconds. */
extern void lane_used(Lane *lane, RequestKind kind, double seconds);

/* worker_job.c */

/* Take from the ring what there is room for. */
extern void jobs_take(void);

/* What sessions did: gave up, read on, or did not. */
extern void jobs_watch(void);

/* Milliseconds until jobs_watch() has to look again; -1: no need. */
extern long jobs_patience(void);

/* After a turn: publish, and end what has ended or failed. */
extern void jobs_settle(Lane *lane);

extern void job_set_phase(Job *job, SlotPhase phase);
extern void job_fail(Job *job, const SlotError *error);
extern void jobs_fail(Lane *lane, const SlotError *error);

extern void slot_error_from_status(SlotError *error,
								   const EngineStatus *status);


/* worker_generate.c */

extern const BatchListener generate_listener;

/* Enter the lane's batch; false: the job failed. */
extern bool generate_begin(Job *job);

/* Leave the batch for a while, and enter it again when that is of use. */
extern void generate_suspend(Job *job);
extern void generate_resume(void);

extern bool generate_ready(const Lane *lane);

/* One step; false: all requests of the lane failed, it has to be closed. */
extern bool generate_step(Lane *lane);

/* Tokens from the prefix cache, before the first token is published. */
extern void generate_show_cached(Job *job);

/* What the session did, and what the slot shows. */
extern void generate_watch(Job *job);

/* worker_encode.c */

extern bool encode_begin(Job *job);

/* One pass; true, as above. */
extern bool encode_pass(Lane *lane);

/* worker_memory.c */

extern void memory_init(void);
extern EngineCode memory_open(Lane *lane, EngineStatus *status);
extern void memory_close(Lane *lane);

/* Let a lane have pages for its next step, if there are any to be had. */
extern void memory_make_room(Lane *lane);

/* Lanes that wait for pages get those of younger requests in other lanes. */
extern void memory_relieve(void);

/* Nobody may find pages that were computed up to now. */
extern void memory_forget_prefixes(void);

/* Bytes for the pages of so many tokens. */
extern uint64 memory_needed(const Lane *lane, int64 max_history);

/* worker_report.c */

extern void report_activity(void);
extern void report_step(Lane *lane, const Job *job, int64 rows,
						int64 tokens);
extern void report_memory(void);
extern void report_settings(void);

#endif							/* LLM_WORKER_STATE_H */
