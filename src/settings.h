/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  The values of all settings (settings.c defines them).
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_SETTINGS_H
#define LLM_SETTINGS_H

#include "engine/kernels/kernels.h"

typedef enum ExecutionMode
{
	EXECUTION_AUTO,
	EXECUTION_BACKEND
} ExecutionMode;

extern int	setting_cache_size; /* MB */
extern int	setting_execution;	/* ExecutionMode */
extern int	setting_max_tokens_per_call;	/* 0: no limit */
extern int	setting_max_context;	/* tokens, 0: the model's */
extern char *setting_default_model; /* "": unset */
extern char *setting_default_embedding_model;	/* "": unset */
extern char *setting_kernel_set;	/* "": the best */

/* The kernel set that llm.kernel_set names, or the processor's best. */
extern const KernelSet *settings_kernels(void);

extern void settings_init(void);

#endif							/* LLM_SETTINGS_H */
