/*-------------------------------------------------------------------------
 *
 * embedding_options.h
 *	  What a model file says about embedding, as options of the model.
 *
 * A call that embeds reads the options of the model's row only, so what the
 * file says is put there when the model is loaded, beneath what the caller
 * says.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_EMBEDDING_OPTIONS_H
#define LLM_EMBEDDING_OPTIONS_H

#include "utils/jsonb.h"

#include "engine/model/image.h"

/*
 * How the model pools: as the options say, else as the file does, else by
 * the mean if it is an encoder.
 */
extern PoolingKind model_pooling(const Hyper *hyper, const Jsonb *options);

/*
 * The given options (checked by load_options()) over those of the file.
 * capabilities: ModelCapability bits; options that they leave without use are
 * errors.
 */
extern Jsonb *embedding_options(const ImagePlan *plan, ByteSource *source,
								EngineArena *arena, const char *model,
								int capabilities, Jsonb *given);

#endif							/* LLM_EMBEDDING_OPTIONS_H */
