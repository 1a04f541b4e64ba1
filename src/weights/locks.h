/*-------------------------------------------------------------------------
 *
 * locks.h
 *	  The lightweight locks of the weights cache.
 *
 * Held for a few memory accesses each, never while computing, reading or
 * waiting, and never two at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_LOCKS_H
#define LLM_LOCKS_H

#include "storage/lwlock.h"

#define WEIGHTS_TRANCHE "llm_weights"

typedef enum WeightsLock
{
	CACHE_LOCK,
	DAMAGE_LOCK,
	WEIGHTS_LOCKS				/* how many */
} WeightsLock;

extern LWLock *weights_lock(WeightsLock lock);

#endif							/* LLM_LOCKS_H */
