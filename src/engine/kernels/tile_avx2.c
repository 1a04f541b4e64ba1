/*-------------------------------------------------------------------------
 *
 * tile_avx2.c
 *	  The inner loop of dense products and attention with AVX2.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"

#if defined(__x86_64__)

#include "kernels/lanes_avx2.h"
#include "kernels/tile_simd.h"

#include "kernels/target_end.h"

#endif
