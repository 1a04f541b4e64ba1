/*-------------------------------------------------------------------------
 *
 * vector_avx512.c
 *	  Operations on single vectors with AVX-512.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"

#if defined(__x86_64__)

#include "kernels/lanes_avx512.h"
#include "kernels/vector_simd.h"

#include "kernels/target_end.h"

#endif
