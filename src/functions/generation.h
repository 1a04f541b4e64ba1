/*-------------------------------------------------------------------------
 *
 * generation.h
 *	  Generating text: one object for every function that does.
 *
 * A Generation holds what sequences of one model share; an Output is one
 * sequence: prompt, tokens, text.  generation_advance() takes a set of outputs
 * one token further; the tokens of an output do not depend on the others.
 *
 * The tokens are computed by the workers (serving/client.h), or here, together
 * in one step of the transformer; they are the same, and so is all that stands
 * in an Output.  Experiments are always computed here.  A Generation that is
 * served has no transformer and no scratch: the session stays small.
 *
 * An output that has ended gives its pages or its place back and must not be
 * advanced.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_GENERATION_H
#define LLM_GENERATION_H

#include "portability/instr_time.h"

#include "engine/decode/finish.h"
#include "engine/model/transformer.h"
#include "functions/prompt.h"
#include "serving/client.h"

typedef struct Output
{
	int32_t    *history;		/* prompt, then output; end token included */
	int64		n_prompt;
	int64		n_history;
	int64		max_history;
	int64		cached_tokens;	/* of the prompt, that were not computed */
	uint64		seed;
	TextStream	stream;
	StringInfoData text;		/* UTF-8: what is certain of the text */
	FinishReason finish;
	bool		started;

	/* of the last token */
	int32		token;
	bool		in_text;		/* false: an end token */
	double		logprob;		/* if wanted */
	LogprobBase base;			/* if wanted */
	int			n_top;			/* and the likeliest, until the next advance */
	TokenLogit *top;

	/* computed by a worker */
	ServedCall *call;			/* NULL: it is not, or has ended */
	const ServedToken *ready;	/* the first that was not looked at yet */
	int			n_ready;

	/* computed here */
	KvSequence	kv;
	Sampler		sampler;
	bool		is_read;		/* its history has keys and values */
} Output;

typedef struct Generation
{
	ModelUse   *use;
	const Options *options;
	int64		longest_prompt;
	int			max_outputs;	/* that advance together */
	int			top;			/* see generation_begin() */
	bool		stream;
	bool		served;
	struct LocalGeneration *local;	/* NULL: nothing is computed here */
	instr_time	prompt_time;
	instr_time	output_time;
} Generation;

/* Sequences of a batch that are decoded together here. */
#define GENERATION_BATCH 16

/*
 * longest_prompt: tokens of the longest prompt to come, for the size of
 * scratch.  top: -1: log-probabilities are not wanted, else of how many of the
 * likeliest tokens beside that of the one chosen.  stream: who reads it may
 * take long, or stop.  Lives in use->context, and so does all that it
 * allocates.
 */
extern Generation *generation_begin(ModelUse *use, const Options *options,
									int64 longest_prompt, int max_outputs,
									int top, bool stream);

/* A sequence; nothing is computed yet.  prompt fits the context. */
extern Output *generation_add(Generation *generation,
							  const TokenList *prompt, uint64 seed);

/*
 * For callers with several outputs, before an output's first advance: hand it
 * to a worker, if that is the way.  Without wait false is returned when there
 * is no place at once.  With it, a session that holds a place already does not
 * stand in line for another one: the Generation then is computed here.
 */
extern bool generation_start(Generation *generation, Output *output,
							 bool wait);

/* Are all tokens of a started output there?  For those that are served. */
extern bool generation_ready(const Output *output);

/*
 * One token further: n <= max_outputs outputs, none of them ended, all of them
 * served or none.
 */
extern void generation_advance(Generation *generation,
							   Output *const *outputs, int n);

/* Until it ends. */
extern void generation_run(Generation *generation, Output *output);

/* Give up an output that may not have ended. */
extern void generation_stop(Output *output);

/* Tokens generated, the end token included. */
static inline int64
output_tokens(const Output *output)
{
	return output->n_history - output->n_prompt;
}

/* The seed that the options give, or a random one. */
extern uint64 generation_seed(const Options *options);

/* Is the result the same at every call? */
static inline bool
generation_repeatable(const Options *options)
{
	return options->sampler.temperature == 0.0 || options->seed_given;
}

/*
 * Logits of the token after a prompt, vocabulary floats in use->context, for
 * functions that look at them without generating.
 */
extern const float *generation_logits(ModelUse *use, const Options *options,
									  const TokenList *prompt);

#endif							/* LLM_GENERATION_H */
