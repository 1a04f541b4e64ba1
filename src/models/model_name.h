/*-------------------------------------------------------------------------
 *
 * model_name.h
 *	  Which names a model may have.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_MODEL_NAME_H
#define LLM_MODEL_NAME_H

/* Error unless name is fit for a model, and free. */
extern void check_model_name(const char *name);

#endif							/* LLM_MODEL_NAME_H */
