/*-------------------------------------------------------------------------
 *
 * reference_soft.c
 *	  The reference kernels once more, with a software fma: for processors
 *	  without FMA, and to check that both forms give the same bits.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"

#define MATHF_SOFT_FMA

#include "kernels/vector_reference.c"
#include "kernels/attention_reference.c"
#include "kernels/dense_reference.c"
