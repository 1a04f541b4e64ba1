/*-------------------------------------------------------------------------
 *
 * load_options.h
 *	  The options that are stored with a model.
 *
 * Those that change vectors or probabilities are fixed when a model is
 * loaded; the others are this model's defaults for the options of a call.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_LOAD_OPTIONS_H
#define LLM_LOAD_OPTIONS_H

#include "utils/jsonb.h"

/* Of load_model, checked; may be NULL.  The result is what to store. */
extern Jsonb *load_options(Jsonb *given);

/* What "quantization" of such options says: HF_KEEP or a TensorType. */
extern int	option_quantization(const Jsonb *options);

/* stored after alter_model with changes, whose NULL values remove keys. */
extern Jsonb *altered_options(Jsonb *stored, Jsonb *changes);

#endif							/* LLM_LOAD_OPTIONS_H */
