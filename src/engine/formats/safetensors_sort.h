/*-------------------------------------------------------------------------
 *
 * safetensors_sort.h
 *	  The orders of tensors that a reader of safetensors needs: private to
 *	  formats/safetensors*.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_SAFETENSORS_SORT_H
#define ENGINE_SAFETENSORS_SORT_H

#include "formats/safetensors.h"

/* Does a come after b?  Equal ones keep their order. */
typedef bool (*SafeAfter) (const SafeTensor *a, const SafeTensor *b);

extern bool safetensors_after_by_name(const SafeTensor *a,
									  const SafeTensor *b);

/* At one offset, those without bytes come first. */
extern bool safetensors_after_by_offset(const SafeTensor *a,
										const SafeTensor *b);

/* The sorted list may lie elsewhere in arena than before. */
extern EngineCode safetensors_sort(SafeTensors *tensors, SafeAfter after,
								   EngineArena *arena, EngineStatus *status);

#endif							/* ENGINE_SAFETENSORS_SORT_H */
