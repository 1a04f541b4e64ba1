/*-------------------------------------------------------------------------
 *
 * model_use.h
 *	  A model while one call uses it: found, allowed, pinned, with memory.
 *
 * Everything that the call allocates in the engine lies in a memory context
 * of its own, a child of the context that was current when the use began.
 * After an error nothing has to be done: the context goes with its parent,
 * the pin with the resource owner.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_MODEL_USE_H
#define LLM_MODEL_USE_H

#include "engine/decode/text_stream.h"
#include "host.h"
#include "models/registry.h"
#include "serving/usage.h"
#include "weights/cache.h"

typedef struct ModelUse
{
	MemoryContext context;
	EngineArena arena;			/* over context */
	const ModelRef *model;
	WeightsPin	pin;
	const ImageHeader *image;
	const Hyper *hyper;
	Tokenizer	tokenizer;
	int64		context_length; /* the model's, or llm.max_context */
	UsageCall  *usage;			/* NULL: nothing is computed */
} ModelUse;

/* model comes from model_lookup(). */
extern ModelUse *model_use_begin(const ModelRef *model);

/* For a call that only wants the tokenizer: it does not count as use. */
extern ModelUse *model_use_tokenizer(const ModelRef *model);
extern void model_use_end(ModelUse *use);

/* Throw unless ENGINE_OK, naming the model. */
static inline void
model_use_check(const ModelUse *use, EngineCode code,
				const EngineStatus *status)
{
	engine_check(code, status, use->model->name);
}

/* What the call has read and written, for llm.stat_usage. */
static inline void
model_use_count(const ModelUse *use, int64 prompt_tokens,
				int64 cached_tokens, int64 output_tokens)
{
	usage_add(use->usage, prompt_tokens, cached_tokens, output_tokens);
}

/* Text of this database as UTF-8; the same pointer when it already is. */
extern const char *text_to_utf8(const text *value, size_t *length);

/* UTF-8 as a text of this database. */
extern text *utf8_to_text(const char *utf8, size_t length);

/* How a single token is shown in a column. */
extern text *token_text(const ModelUse *use, int32 token);

/* A text argument as a C string, or NULL. */
#define ARG_CSTRING(i) \
	(PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i)))
#define ARG_JSONB(i) (PG_ARGISNULL(i) ? NULL : PG_GETARG_JSONB_P(i))

#endif							/* LLM_MODEL_USE_H */
