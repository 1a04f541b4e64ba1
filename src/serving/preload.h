/*-------------------------------------------------------------------------
 *
 * preload.h
 *	  llm.preload_models: the cache is filled when the server has started.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_PRELOAD_H
#define LLM_PRELOAD_H

/* From _PG_init, when preloading. */
extern void preload_init(void);

#endif							/* LLM_PRELOAD_H */
