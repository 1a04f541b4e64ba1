/*-------------------------------------------------------------------------
 *
 * quantise.h
 *	  From f32 to the weight types of GGUF.
 *
 * Round-to-nearest forms as ggml's reference quantisers have them
 * (ggml-quants.c), computed with plain f32 operations in one order: the same
 * input gives the same bytes on every machine.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TENSOR_QUANTISE_H
#define ENGINE_TENSOR_QUANTISE_H

#include "tensor/types.h"

/* Can this type be made? */
extern bool quantise_knows(TensorType type);

/*
 * n finite values (a multiple of the type's block) to tensor_row_bytes(type,
 * n) bytes.  A value whose scale would not fit the type's f16 gives an
 * infinite scale, which TensorTypeInfo.finite() finds.
 */
extern void quantise_row(TensorType type, const float *x, int64_t n,
						 void *out);

#endif							/* ENGINE_TENSOR_QUANTISE_H */
