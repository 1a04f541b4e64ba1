/*-------------------------------------------------------------------------
 *
 * reference.h
 *	  Head of the files that define the reference kernels.
 *
 * They are compiled twice: as they stand for processors with FMA, and by
 * reference_soft.c with the software fma.  Without FMA in the target both
 * forms are the same code, and dispatch.c prefers neither.
 *
 * On x86-64 the first form needs FMA at run time.  Only its target attribute
 * says so, and it must not reach system headers: they come before.  Files end
 * with target_end.h.
 *
 *-------------------------------------------------------------------------
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef MATHF_SOFT_FMA
#define KERNEL_SET reference
#if defined(__x86_64__)
#define MATHF_HARDWARE_FMA
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("fma"))), \
	apply_to = function)
#else
#pragma GCC target("fma")
#endif
#endif
#else
#define KERNEL_SET soft
#endif

#include "kernels/half.h"
#include "kernels/mathf.h"
#include "kernels/sets.h"
