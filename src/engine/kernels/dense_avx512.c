/*-------------------------------------------------------------------------
 *
 * dense_avx512.c
 *	  Matrix products with weights that are not quantised, with AVX-512.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"

#if defined(__x86_64__)

#include "kernels/lanes_avx512.h"
#include "kernels/dense_simd.h"

#include "kernels/target_end.h"

#endif
