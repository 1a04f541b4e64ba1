/*-------------------------------------------------------------------------
 *
 * store.h
 *	  The two places for images, as pins.c uses them.
 *
 * acquire gives an image with one more pin, loading it when it is not there.
 * *verified tells whether the image knows the model's large object as a
 * source of its bytes (sources.h); if not, the caller, after having noted the
 * pin, reads the object with load_verify() and reports it with add_source.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_STORE_H
#define LLM_STORE_H

#include "utils/timestamp.h"

#include "engine/model/image.h"
#include "models/registry.h"

/* One line of llm.stat_cache. */
typedef struct WeightsStat
{
	uint8		digest[MODEL_DIGEST_BYTES];
	const char *state;
	uint64		bytes;			/* of the image; loading: of the file, so far */
	int			pins;
	uint64		hits;
	TimestampTz loaded_at;		/* 0: not yet */
	double		load_ms;
} WeightsStat;

/* cache.c: shared memory */
extern bool cache_available(void);
extern int	cache_acquire(const ModelRef *model, const ImageHeader **image,
						  bool *verified);
extern void cache_release(int slot);

/*
 * One more pin on an image that is pinned already, for somebody who outlives
 * the first: released with cache_release(), by whatever process.
 */
extern void cache_pin_again(int slot);

/* The image of a slot that somebody has pinned. */
extern const ImageHeader *cache_image(int slot);

extern void cache_add_source(int slot, const ModelRef *model);
extern bool cache_remove(const uint8 *digest);
extern List *cache_stats(void); /* of WeightsStat */

/* private.c: the memory of this session */
typedef struct PrivateImage PrivateImage;

extern PrivateImage *private_acquire(const ModelRef *model,
									 const ImageHeader **image,
									 bool *verified);
extern void private_release(PrivateImage *image);
extern void private_add_source(PrivateImage *image, const ModelRef *model);
extern bool private_remove(const uint8 *digest);
extern List *private_stats(void);

#endif							/* LLM_STORE_H */
