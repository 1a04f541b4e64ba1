/*-------------------------------------------------------------------------
 *
 * generation.h
 *	  Generating text: one object for every function that does.
 *
 * A Generation holds what sequences of one model share; an Output is one
 * sequence: prompt, keys and values, sampler, text.  generation_advance()
 * takes a set of outputs one token further, together in one step of the
 * transformer; the tokens of an output do not depend on the others.
 *
 * An output that has ended gives its pages back and must not be advanced.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_GENERATION_H
#define LLM_GENERATION_H

#include "portability/instr_time.h"

#include "engine/decode/finish.h"
#include "engine/model/transformer.h"
#include "functions/prompt.h"

typedef struct Output
{
	int32_t    *history;		/* prompt, then output; end token included */
	int64		n_prompt;
	int64		n_history;
	int64		max_history;
	KvSequence	kv;
	Sampler		sampler;
	TextStream	stream;
	StringInfoData text;		/* UTF-8: what is certain of the text */
	FinishReason finish;

	/* of the last token */
	int32		token;
	bool		in_text;		/* false: an end token */
	double		logprob;		/* if wanted */
	size_t		piece;			/* where in text its piece begins */
	const float *logits;		/* that it was chosen from; until the next
								 * advance */
	LogprobBase base;			/* if wanted */
} Output;

typedef struct Generation
{
	ModelUse   *use;
	const Options *options;
	bool		want_logprobs;
	Transformer transformer;
	Experiment	experiment;
	const Probe *probe;			/* of the experiment, or NULL */
	KvPool		pool;
	Sampler		sampler;		/* that those of outputs are copies of */
	int			max_outputs;	/* that advance together */
	int32_t    *end_tokens;		/* with ignore_eos */
	int			n_end_tokens;
	StepRow    *rows;			/* [max_outputs], and their sequences */
	KvSequence **sequences;
	Output	  **running;
	instr_time	prompt_time;
	instr_time	output_time;
} Generation;

/* Sequences of a batch that are decoded together. */
#define GENERATION_BATCH 16

/*
 * longest_prompt: tokens of the longest prompt to come, for the size of
 * scratch.  Lives in use->context, and so does all that it allocates.
 */
extern Generation *generation_begin(ModelUse *use, const Options *options,
									int64 longest_prompt, int max_outputs,
									bool want_logprobs);

/* A sequence; nothing is computed yet.  prompt fits the context. */
extern Output *generation_add(Generation *generation,
							  const TokenList *prompt, uint64 seed);

/* One token further: n <= max_outputs outputs, none of them ended. */
extern void generation_advance(Generation *generation,
							   Output *const *outputs, int n);

/* Until it ends. */
extern void generation_run(Generation *generation, Output *output);

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
