/*-------------------------------------------------------------------------
 *
 * embedding.h
 *	  Texts to vectors, for every function that embeds.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_EMBEDDING_H
#define LLM_EMBEDDING_H

#include "utils/array.h"

#include "functions/model_use.h"
#include "functions/options.h"

/*
 * The vectors (real[], palloc'd in the current context) of n texts, each what
 * llm.embed(model, input, options) gives it; NULL for NULL.  They are computed
 * together: ordered by length, in passes of bounded size.  options come from
 * options_read(OPTIONS_EMBED, call, model->options).
 */
extern ArrayType **embed_texts(const ModelRef *model, const Options *options,
							   const text *const *inputs, int n);

/*
 * The same in several parts of one call, for callers that do not want to have
 * all vectors at once.  vectors: [n], the caller's; what it held is not freed.
 * Errors name the number of a text in the call, from 0, unless one_text.
 */
typedef struct Embedder Embedder;

extern Embedder *embedder_begin(const ModelRef *model, const Options *options,
								bool one_text);
extern void embedder_run(Embedder *embedder, const text *const *inputs, int n,
						 ArrayType **vectors);
extern void embedder_end(Embedder *embedder);

/* Which text of the call is being read, from 0, for errors to name it. */
extern int	embedder_number(const Embedder *embedder);

/* The vector of one text. */
extern ArrayType *embed_text(const ModelRef *model, const Options *options,
							 const text *input);

#endif							/* LLM_EMBEDDING_H */
