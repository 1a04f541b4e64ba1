/*-------------------------------------------------------------------------
 *
 * packed_reference.c
 *	  Packed products in plain C: what every other set is compared with.
 *
 * The same source is compiled twice: with the processor's FMA, and with one
 * made of double-precision operations for processors without ("soft").  The
 * compiler must be told that FMA exists, else it calls libm.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "kernels/packed.h"

#include "kernels/mathf.h"
#include "tensor/panel.h"

#define SET(name) name##_soft
#define TARGET
#define FMA(a, b, c) f32_soft_fma(a, b, c)
#include "kernels/packed_reference_body.h"
#undef SET
#undef TARGET
#undef FMA

#define SET(name) name##_reference
#if defined(__x86_64__)
#define TARGET __attribute__((target("fma")))
#else
#define TARGET
#endif
#define FMA(a, b, c) __builtin_fmaf(a, b, c)
#include "kernels/packed_reference_body.h"
