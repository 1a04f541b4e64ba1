/*-------------------------------------------------------------------------
 *
 * damage.h
 *	  Large objects whose bytes were found to be others than their model's.
 *
 * Remembered for llm.models by the server (without preloading: by the
 * session), until it restarts or the object is read again and found right.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_DAMAGE_H
#define LLM_DAMAGE_H

/* These are of the current database. */
extern bool damage_known(Oid large_object);
extern void damage_remember(Oid large_object);
extern void damage_forget(Oid large_object);

/* Shared memory, for cache.c */
extern Size damage_shmem_size(void);
extern void damage_shmem_startup(void);

#endif							/* LLM_DAMAGE_H */
