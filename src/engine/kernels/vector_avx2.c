/*-------------------------------------------------------------------------
 *
 * vector_avx2.c
 *	  Operations on single vectors with AVX2.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"

#if defined(__x86_64__)

#include "kernels/lanes_avx2.h"
#include "kernels/vector_simd.h"

#include "kernels/target_end.h"

#endif
