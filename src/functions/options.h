/*-------------------------------------------------------------------------
 *
 * options.h
 *	  Options of functions: one table, from jsonb to a struct.
 *
 * A function names itself by an OptionScope; an option lists the scopes that
 * it applies to.  A key that a function does not know, a value of the wrong
 * type or out of range is an error (22023) that says what is allowed.  A JSON
 * null is an option that is not given.  The options of a model (load_model,
 * alter_model) are defaults under those of a call; those that do not apply to
 * the function are passed over.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_OPTIONS_H
#define LLM_OPTIONS_H

#include "utils/jsonb.h"

#include "engine/decode/text_stream.h"
#include "engine/decode/sampler.h"
#include "engine/model/experiment.h"

typedef enum OptionScope
{
	OPTIONS_GENERATE = 0x001,	/* generate, generate_stream, generate_batch */
	OPTIONS_COMPLETION = 0x002,
	OPTIONS_ASK = 0x004,
	OPTIONS_CHAT = 0x008,
	OPTIONS_TEMPLATE = 0x010,	/* apply_chat_template */
	OPTIONS_TOKENIZE = 0x020,	/* tokenize, count_tokens */
	OPTIONS_LOAD = 0x040,		/* load_model, beside generation options */
	OPTIONS_EMBED = 0x080,		/* embed, embed_batch */
	OPTIONS_RERANK = 0x100,
	OPTIONS_SCORE = 0x1000,		/* cross_entropy, perplexity */
	OPTIONS_MODEL = 0x200,		/* no function: read from the model's options,
								 * never from those of a call */
	OPTIONS_NEXT_TOKEN = 0x400,
	OPTIONS_ALTER = 0x800,		/* alter_model: what a model may keep */
	OPTIONS_INSPECT = 0x2000	/* functions that look inside */
} OptionScope;

typedef enum TruncateMode
{
	TRUNCATE_ERROR,
	TRUNCATE_START,
	TRUNCATE_END
} TruncateMode;

typedef enum Tristate
{
	TRISTATE_UNSET = -1,
	TRISTATE_FALSE,
	TRISTATE_TRUE
} Tristate;

#define MAX_STOPS 16
#define MAX_STOP_BYTES 1000		/* of one stop text */

/* What a model wants in front of texts of some kind. */
typedef struct PromptText
{
	char	   *name;
	char	   *text;
} PromptText;

/* Texts are UTF-8, whatever the encoding of the database is. */
typedef struct Options
{
	int64		max_tokens;
	bool		max_tokens_given;	/* by the call, not by the model */
	SamplerOptions sampler;
	bool		seed_given;
	int			n_stops;
	StopText   *stops;
	int32		logprobs;		/* -1: off */
	TruncateMode truncate;
	bool		parse_special;
	Tristate	add_special;
	char	   *system;			/* NULL: none */
	bool		add_generation_prompt;

	/* embed, embed_batch, rerank */
	char	   *prompt;			/* NULL: not given */
	char	   *prefix;			/* NULL: not given */
	int32		dimensions;		/* 0: all */
	Tristate	normalize;
	int			pooling;		/* PoolingKind - POOLING_MEAN; -1: not given */
	int			n_prompts;		/* the model's */
	PromptText *prompts;
	char	   *default_prompt; /* NULL: none */
	int32		max_length;		/* tokens, 0: the context length */

	/* ablate, patch, steer: of a call, never of a model */
	int			n_edits;
	Edit	   *edits;

	/* cross_entropy, perplexity */
	int32		window;			/* 0: the whole text */

	/* load_model */
	char	   *quantization;
	int32		activation_bits;
	char	   *chat_template;	/* NULL: the file's own */
} Options;

/*
 * Options of a call (may be NULL) over those of the model (may be NULL) over
 * the defaults; palloc'd in the current context.
 */
extern Options *options_read(OptionScope scope, const Jsonb *call,
							 const Jsonb *model);

/*
 * Options of llm.load_model(): its own and any generation option.  What is
 * stored with the model is the jsonb itself.
 */
extern Options *options_read_load(const Jsonb *options);

/*
 * Check what llm.alter_model() may set: generation options; NULL values, which
 * remove one, are allowed.
 */
extern void options_check_alter(const Jsonb *options);

#endif							/* LLM_OPTIONS_H */
