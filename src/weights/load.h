/*-------------------------------------------------------------------------
 *
 * load.h
 *	  From a large object to an image.
 *
 * load_begin() opens the object and plans, so that the caller can find room
 * for load_size() bytes; load_into() streams the file into it and compares
 * the SHA-256 of all bytes with the model's.  Errors leave the image
 * unusable, and nothing else behind.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_LOAD_H
#define LLM_LOAD_H

#include "port/atomics.h"

#include "models/registry.h"

typedef struct WeightsLoad WeightsLoad;

extern WeightsLoad *load_begin(const ModelRef *model);
extern uint64 load_size(const WeightsLoad *load);

/* progress: bytes of the file that were read, or NULL */
extern void load_into(WeightsLoad *load, void *image,
					  pg_atomic_uint64 *progress);
extern void load_end(WeightsLoad *load);

/* Only compare the digest: the same error as load_into(). */
extern void load_verify(const ModelRef *model);

/*
 * Error: the image does not fit.  wanted: the size of a cache in which it
 * would have fitted now, in bytes.
 */
extern void no_room_for_image(const char *model, uint64 size,
							  uint64 wanted) __attribute__((noreturn));

#endif							/* LLM_LOAD_H */
