/*-------------------------------------------------------------------------
 *
 * inspect.h
 *	  A text in a model, with everything inside to be seen.
 *
 * All functions that look inside are built on this: a text becomes tokens as
 * llm.next_token() (or, for models that see the whole text, llm.embed()) makes
 * them, and goes through the model in one pass of the encoder, which gives
 * the bits of generation, while a probe shows what is in between.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_INSPECT_H
#define LLM_INSPECT_H

#include "engine/model/encoder.h"
#include "functions/model_use.h"
#include "functions/options.h"

typedef struct Inspection
{
	ModelUse   *use;
	const Options *options;		/* experiments */
	TokenList	tokens;
	int			n;				/* tokens: rows of the pass, from position 0 */
	Encoder		encoder;
	MemoryContext caller;		/* of the functions that see */
} Inspection;

/* An argument that is NULL: every layer, every head. */
#define INSPECT_ALL (-2)

/* Rows whose logits are computed at a time. */
#define INSPECT_OUTPUTS 32

/*
 * Sees an event of the probe; may throw.  Rows of events count through the
 * text, so they are positions.  event->data may be changed where probe.h
 * allows it.
 */
typedef void (*InspectSee) (void *arg, const ProbeEvent *event);

/*
 * Tokens of the text, and room for a pass.  A text that does not fit the
 * context is an error.  with_logits: inspect_logits() will be called; then a
 * model without unembedding is an error.  options: those of the call, or NULL;
 * of experiments, all that is seen is what they leave.
 */
extern Inspection *inspect_begin(const ModelRef *model, const text *input,
								 bool with_logits, const Jsonb *options);

/*
 * The same for tokens that the caller made, in passes of at most max_rows of
 * them, from tokens.ids on.  The inspection takes over use.
 */
extern Inspection *inspect_begin_tokens(ModelUse *use, TokenList tokens,
										int max_rows, bool with_logits,
										const Options *options);

/*
 * The pass.  stages: PROBE_BIT()s; with PROBE_ENDS_PASS it ends behind the
 * last event (of the layer), when nothing else of it is wanted.  layer and
 * head: only those, or INSPECT_ALL.  May be called more than once.
 */
extern void inspect_run(Inspection *inspection, uint32 stages, int layer,
						int head, InspectSee see, void *arg);

/*
 * Logits [vocabulary] of n <= INSPECT_OUTPUTS rows of d floats, stride apart:
 * residual states (the final norm is applied), or, with normed, what
 * encoder_hidden() gives.  Valid until the next call.
 */
extern float *const *inspect_logits(Inspection *inspection,
									const float *rows, size_t stride, int n,
									bool normed);
extern void inspect_end(Inspection *inspection);

/*
 * An optional argument that numbers a layer or a head: INSPECT_ALL when NULL,
 * else min .. count - 1; anything else is an error (22023) that says what
 * exists.
 */
extern int	inspect_number(FunctionCallInfo fcinfo, int argument,
						   const char *what, int min, int count);

/* The text of the token at a position, palloc'd. */
extern text *inspect_token(const Inspection *inspection, int position);

#endif							/* LLM_INSPECT_H */
