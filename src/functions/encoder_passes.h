/*-------------------------------------------------------------------------
 *
 * encoder_passes.h
 *	  Many texts through an encoder, in passes of bounded size.
 *
 * Texts wait until there are enough of them, are ordered by length, and go
 * through the model together, without padding; a text that occurs twice among
 * those that wait is computed once.  What a text gives does not depend on the
 * others (numerics contract).
 *
 * A pass is computed by a worker (serving/client.h), or here.  Several are
 * with the workers at a time, so that they need not wait for this process.
 *
 * Only the tokens of the texts that wait are kept, so that memory does not
 * grow with their number.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_ENCODER_PASSES_H
#define LLM_ENCODER_PASSES_H

#include "engine/model/encoder.h"
#include "functions/model_use.h"
#include "functions/options.h"
#include "serving/client.h"

typedef struct EncoderPasses EncoderPasses;

/*
 * Takes what a text has given, until it returns: its pooled vector, not
 * normalised, or the logit of a pair; index is what passes_add() was told.
 */
typedef void (*PassResult) (void *arg, const float *result, int index);

/* A text that waits. */
typedef struct PassText
{
	int			index;
	int64		n;
	int64		second;
	int32_t    *ids;
} PassText;

/* Passes with the workers at a time. */
#define PASSES_IN_FLIGHT 3

/* A pass: texts of it that are equal are computed once. */
typedef struct TextPass
{
	const PassText *texts;
	int			n;
	int64		rows;			/* tokens of the distinct texts */
	ServedCall *call;			/* NULL: computed here */
} TextPass;

struct EncoderPasses
{
	ModelUse   *use;
	PoolingKind pooling;
	PassResult	result;
	void	   *arg;
	TextPass	flying[PASSES_IN_FLIGHT];	/* the oldest first */
	int			n_flying;
	float	   *pooled;			/* aligned as encoder_pool() wants it */
	Encoder		encoder;
	int64		max_rows;		/* of encoder; 0: not open yet */
	MemoryContext encoder_context;
	EngineArena encoder_arena;
	MemoryContext waiting;		/* tokens of the texts that wait */
	PassText   *texts;
	int			n_texts;
	int64		n_tokens;		/* of the texts that wait */
	int64		total;			/* tokens of the whole call */
	MemoryContext scratch;		/* for tokenizing one text */
	EngineArena arena;			/* over scratch */
};

/* Lives in use->context.  POOLING_RANK: pairs, which give logits. */
extern EncoderPasses *passes_begin(ModelUse *use, PoolingKind pooling,
								   PassResult result, void *arg);

/*
 * One more text: 1 .. context length tokens, which are copied, second as in
 * EncoderText.  Counts against llm.max_tokens_per_call.
 */
extern void passes_add(EncoderPasses *passes, int index,
					   const TokenList *tokens, int64 second);

/* Compute what waits. */
extern void passes_run(EncoderPasses *passes);

/*
 * The tokens of a text (UTF-8), which lie in the arena passes->arena until
 * passes_forget(); max_tokens: stop after so many (0: all), list->n then is
 * max_tokens and *more is true.
 */
extern TokenList passes_encode(EncoderPasses *passes, const char *utf8,
							   size_t length, int flags, int64 max_tokens,
							   bool *more);
extern void passes_forget(EncoderPasses *passes);

/*
 * How many tokens a text may have: the model's max_length, its context
 * length, llm.max_context.
 */
extern int64 passes_room(const ModelUse *use, const Options *options);

/* errdetail() for texts that do not fit: where that number comes from. */
extern int	passes_room_detail(const ModelUse *use, const Options *options);

#endif							/* LLM_ENCODER_PASSES_H */
