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

#endif							/* LLM_EMBEDDING_H */
