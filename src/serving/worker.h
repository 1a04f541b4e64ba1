/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  The background workers that compute for all sessions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_WORKER_H
#define LLM_WORKER_H

/* From _PG_init, when preloading: registers llm.workers of them. */
extern void workers_init(void);

#endif							/* LLM_WORKER_H */
