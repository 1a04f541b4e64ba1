/*-------------------------------------------------------------------------
 *
 * cache.h
 *	  Images of models: shared between all backends, or private to one.
 *
 * weights_pin() gives the image of a model, loading it from its large object
 * when nobody has it yet (single flight: others wait for the loader).  A pin
 * keeps the image from eviction; it belongs to CurrentResourceOwner and is
 * released by weights_unpin() or, at the latest, with that owner.  No lock is
 * held while a pin is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_CACHE_H
#define LLM_CACHE_H

#include "engine/model/image.h"
#include "models/registry.h"

typedef struct WeightsPin
{
	const ImageHeader *image;
	int			slot;			/* entry of the shared cache, -1: private */
	uint64		generation;
} WeightsPin;

extern WeightsPin weights_pin(const ModelRef *model);
extern void weights_unpin(WeightsPin *pin);

/* Remove an unpinned image; false when it was not there or is pinned. */
extern bool weights_evict(const uint8 *digest);

/* From _PG_init, when preloading: hooks for shared memory. */
extern void weights_init(void);

#endif							/* LLM_CACHE_H */
