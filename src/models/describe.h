/*-------------------------------------------------------------------------
 *
 * describe.h
 *	  What a checked model file is, as columns of llm.model.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_DESCRIBE_H
#define LLM_DESCRIBE_H

#include "engine/model/image.h"
#include "models/model_table.h"

/*
 * architecture .. capabilities of row; the rest is left alone.  What it can
 * do also depends on the options, which row has already.
 */
extern void describe_model(const ImagePlan *plan, ModelRow *row);

#endif							/* LLM_DESCRIBE_H */
