/*-------------------------------------------------------------------------
 *
 * attention_avx512.c
 *	  softmax(Q K^T * scale) V of one kv head with AVX-512.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"

#if defined(__x86_64__)

#include "kernels/lanes_avx512.h"
#include "kernels/attention_simd.h"

#include "kernels/target_end.h"

#endif
