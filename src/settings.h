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
	EXECUTION_BACKEND,
	EXECUTION_WORKER
} ExecutionMode;

/* Who may share the pages of a prefix. */
typedef enum PrefixCacheMode
{
	PREFIX_CACHE_OFF,
	PREFIX_CACHE_ROLE,
	PREFIX_CACHE_DATABASE
} PrefixCacheMode;

extern int	setting_cache_size; /* MB */
extern int	setting_execution;	/* ExecutionMode */
extern int	setting_workers;
extern int	setting_max_requests;
extern int	setting_kv_cache_size;	/* MB, of each worker */
extern int	setting_worker_threads; /* 0: as many as there are cores */
extern int	setting_batch_tokens;	/* rows of a step */
extern int	setting_prefix_cache;	/* PrefixCacheMode */
extern int	setting_stream_idle_timeout;	/* ms, 0: never */
extern int	setting_max_requests_per_role;	/* 0: no limit */
extern char *setting_preload_models;	/* "": none */
extern int	setting_max_tokens_per_call;	/* 0: no limit */
extern int	setting_max_context;	/* tokens, 0: the model's */
extern char *setting_default_model; /* "": unset */
extern char *setting_default_embedding_model;	/* "": unset */
extern char *setting_kernel_set;	/* "": the best */

/* The kernel set that llm.kernel_set names, or the processor's best. */
extern const KernelSet *settings_kernels(void);

extern void settings_init(void);

#endif							/* LLM_SETTINGS_H */
