/*-------------------------------------------------------------------------
 *
 * dense_avx2.c
 *	  Matrix products with weights that are not quantised, with AVX2.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"

#if defined(__x86_64__)

#include "kernels/lanes_avx2.h"
#include "kernels/dense_simd.h"

#include "kernels/target_end.h"

#endif
