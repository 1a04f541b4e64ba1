/*-------------------------------------------------------------------------
 *
 * sequence.h
 *	  What the files of the batch share.  Private to batch/.
 *
 * Sequences stand in a list in order of arrival, oldest first.  A sequence is
 * its history (prompt, then output), of which the first kv.n_positions tokens
 * have keys and values in pages; the rest is pending.  One pending token is
 * what a generating sequence has.  Losing all pages (preemption) just makes
 * everything pending again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_SEQUENCE_H
#define ENGINE_SEQUENCE_H

#include "batch/batch.h"

struct BatchSequence
{
	BatchSequence *older;
	BatchSequence *younger;
	Batch	   *batch;
	EngineArena arena;			/* with the sequence itself in it */
	void	   *owner;

	int32_t    *history;
	int64_t		n_prompt;
	int64_t		n_history;
	int64_t		max_history;
	int64_t		generated;		/* in this batch */
	int64_t		credit;
	Sampler		sampler;
	TextStream	stream;			/* only to find stop texts */
	int			n_stops;
	int			top;
	bool		ended;

	bool		share;
	PageScope	scope;
	uint64_t	group;
	uint64_t	order;
	uint64_t	served;			/* when its group last had prompt rows */
	uint64_t	planned;		/* the last step that looked at it */
	int			step_index;		/* its number in that step, or -1 */

	KvSequence	kv;				/* addresses of pages */
	int32_t    *pages;			/* [kv.n_pages] their numbers */
	int			chain;			/* leading pages that others can find */
	int64_t		cached;			/* positions found instead of computed */
	bool		begun;			/* computes, since it last had no pages */
	bool		preempted;		/* ever */
};

struct Batch
{
	const ImageHeader *image;
	Transformer transformer;
	Tokenizer	tokenizer;
	PagePool   *pool;
	BatchListener listener;
	const EngineAllocator *allocator;
	EngineArena *arena;
	Sampler		sampler;		/* whose scratch all share */
	int32_t    *end_tokens;
	int			n_end_tokens;
	TokenLogit *top;			/* [BATCH_TOP] */

	BatchSequence *oldest;
	BatchSequence *youngest;

	int			max_rows;
	int			prompt_rows;	/* of a step while others generate */
	uint64_t	clock;			/* counts steps and turns */
	int64_t		preemptions;

	/* the step that is planned */
	StepRow    *rows;			/* [max_rows] */
	int			n_rows;
	int			n_prompt_rows;
	int			n_outputs;
	KvSequence **kv;			/* [max_rows] of its sequences */
	BatchSequence **members;	/* [max_rows] */
	int			n_members;
};

static inline int64_t
sequence_pending(const BatchSequence *sequence)
{
	return sequence->n_history - sequence->kv.n_positions;
}

/* Positions that have a page and are not computed. */
static inline int64_t
sequence_room(const BatchSequence *sequence)
{
	return (int64_t) sequence->kv.n_pages * KV_PAGE_POSITIONS -
		sequence->kv.n_positions;
}

static inline bool
sequence_can_run(const BatchSequence *sequence)
{
	return !sequence->ended && sequence->generated < sequence->credit;
}

/* sequence.c */

extern EngineCode sequence_open(Batch *batch, const BatchRequest *request,
								BatchSequence **sequence,
								EngineStatus *status);
extern void sequence_close(BatchSequence *sequence);

/* What others know of the next pages of a sequence. */
typedef enum PrefixState
{
	PREFIX_NONE,				/* nothing, or nothing more */
	PREFIX_CLAIMED				/* somebody is computing the next one */
} PrefixState;

/* Take over known pages that come next. */
extern PrefixState sequence_find_prefix(BatchSequence *sequence);

/* Pages for the n positions behind n_positions; false: no more to be had. */
extern bool sequence_reserve(BatchSequence *sequence, int64_t n);

/* After a step: pages that are full now can be found by others. */
extern void sequence_publish(BatchSequence *sequence);

/* Give all pages up. */
extern void sequence_release(BatchSequence *sequence);

/* plan.c: choose the rows of the next step */
extern void plan_step(Batch *batch);

#endif							/* ENGINE_SEQUENCE_H */
