/*-------------------------------------------------------------------------
 *
 * batch.h
 *	  Continuous batching: many sequences of one model, one step at a time.
 *
 * batch_step() chooses rows, takes them through the transformer together, and
 * picks the next token of every sequence whose row was its last.  One pending
 * token of each generating sequence comes first; then parts of prompts, the
 * groups in turns and within a group the oldest first: few rows while others
 * generate, up to max_rows when nobody waits for a token.  Tokens of a
 * sequence do not depend on any of this (numerics contract).
 *
 * Pages of a prefix that is known already are shared instead of computed, and
 * a page that another sequence is computing is waited for.  When pages run
 * out, the youngest sequence loses its own and is computed again later, to the
 * same bits.
 *
 * Not thread-safe: one thread owns a batch, and helpers of the host's team
 * compute for it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_BATCH_H
#define ENGINE_BATCH_H

#include "batch/page_pool.h"
#include "decode/finish.h"
#include "decode/sampler.h"
#include "decode/text_stream.h"
#include "model/transformer.h"

/* Sequences whose tokens one step can pick. */
#define BATCH_OUTPUTS 64

/* Most log-probabilities that are reported with a token. */
#define BATCH_TOP 20

typedef struct Batch Batch;
typedef struct BatchSequence BatchSequence;

typedef struct BatchToken
{
	int32_t		token;
	FinishReason finish;		/* not FINISH_NONE: the last one */
	double		logprob;		/* these only if wanted */
	LogprobBase base;
	int			n_top;
	const TokenLogit *top;		/* [n_top] */
} BatchToken;

/*
 * What happens in batch_step().  Within a call no sequence may be added or
 * removed; after its last token, or after its failure, a sequence is still
 * there until it is removed, but takes no part in steps.
 */
typedef struct BatchListener
{
	void		(*token) (void *arg, void *owner, const BatchToken *token);
	void		(*failed) (void *arg, void *owner,
						   const EngineStatus *status);
	void	   *arg;
} BatchListener;

typedef struct BatchRequest
{
	const int32_t *history;		/* prompt, then tokens generated before */
	int64_t		n_prompt;
	int64_t		n_history;
	int64_t		max_history;	/* > n_history */
	SamplerOptions sampler;
	int			n_stops;
	const StopText *stops;
	int			top;			/* -1: no log-probabilities, else how many */
	bool		share;			/* pages, within the scope */
	PageScope	scope;
	uint64_t	group;			/* groups are served in turns */
	uint64_t	order;			/* of arrival: higher is younger */
	int64_t		credit;			/* tokens to generate before more is given */
	void	   *owner;			/* for the listener */
} BatchRequest;

/*
 * pool belongs to the caller and may outlive the batch.  Scratch is taken from
 * arena once, memory of a sequence from allocator.  max_rows: rows of a step,
 * at least BATCH_OUTPUTS.
 */
extern EngineCode batch_open(Batch **batch, const ImageHeader *image,
							 const KernelSet *kernels, int bits, int max_rows,
							 PagePool *pool, const BatchListener *listener,
							 EngineArena *arena,
							 const EngineAllocator *allocator,
							 const EngineHost *host, EngineStatus *status);

/* Removes all sequences. */
extern void batch_close(Batch *batch);

/*
 * A sequence; everything in request is copied.  ENGINE_LIMIT when it could not
 * run even alone, because the pool is too small for it.
 */
extern EngineCode batch_add(Batch *batch, const BatchRequest *request,
							BatchSequence **sequence, EngineStatus *status);
extern void batch_remove(Batch *batch, BatchSequence *sequence);

/* So many tokens may have been generated; batch_step() passes over it else. */
extern void batch_credit(Batch *batch, BatchSequence *sequence,
						 int64_t credit);

typedef enum BatchPhase
{
	BATCH_WAITING,				/* for pages, or for its turn */
	BATCH_PROMPT,				/* has read a part of its prompt */
	BATCH_GENERATING,
	BATCH_PAUSED,				/* without credit */
	BATCH_ENDED
} BatchPhase;

extern BatchPhase batch_phase(const BatchSequence *sequence);

/* Tokens of its prompt that were found in the prefix cache at first. */
extern int64_t batch_cached(const BatchSequence *sequence);

/* What the last step did. */
typedef struct BatchStep
{
	int			rows;			/* 0: there was nothing to do */
	int			outputs;		/* tokens picked */
	int			prompt_rows;	/* rows of them that belong to prompts */
} BatchStep;

/*
 * One step.  An error is one of the whole step (cancelled, out of memory) and
 * leaves everything as it was; failures of one sequence go to the listener.
 */
extern EngineCode batch_step(Batch *batch, BatchStep *step,
							 EngineStatus *status);

/* Could batch_step() do something now? */
extern bool batch_can_step(const Batch *batch);

/* Prompt rows of a step while others generate; at first BATCH_PROMPT_ROWS. */
#define BATCH_PROMPT_ROWS 8
extern void batch_set_prompt_rows(Batch *batch, int rows);

/* Sequences preempted since the batch was opened. */
extern int64_t batch_preemptions(const Batch *batch);

#endif							/* ENGINE_BATCH_H */
