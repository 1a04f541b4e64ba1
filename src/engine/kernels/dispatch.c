/*-------------------------------------------------------------------------
 *
 * dispatch.c
 *	  Which kernel sets this processor can run, and the floating-point mode
 *	  they need.
 *
 * A set is offered only if the processor has its instructions and the
 * operating system saves its registers (XCR0).  Without FMA hardware the
 * reference is the software form.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "kernels/kernels.h"

#include <string.h>

#include "kernels/mathf.h"
#include "kernels/packed.h"
#include "kernels/sets.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

/* matmul of a set: by the type of the weights */
#define DEFINE_MATMUL(set) \
static void \
matmul_##set(const PackedMatrix *w, int64_t panel_begin, int64_t panel_end, \
			 const Activations *a, float *out, size_t out_stride) \
{ \
	if (w->type == TYPE_F32 || w->type == TYPE_F16 || w->type == TYPE_BF16) \
		dense_matmul_##set(w, panel_begin, panel_end, a, out, out_stride); \
	else \
		packed_matmul_##set(w, panel_begin, panel_end, a, out, out_stride); \
}

/* Plain C makes a tenth of the products in the same time. */
#define SCALAR_ITEM ((int64_t) 4 << 20)
#define VECTOR_ITEM ((int64_t) 32 << 20)

#define SET_OF_KERNELS(set_name, set, item) \
{ \
	.name = set_name, \
	.work_item = item, \
	.quantise = packed_quantise_##set, \
	.matmul = matmul_##set, \
	.sum = vector_sum_##set, \
	.rms_norm = rms_norm_##set, \
	.layer_norm = layer_norm_##set, \
	.rope = rope_##set, \
	.add = add_##set, \
	.scale = scale_##set, \
	.silu = silu_##set, \
	.gelu_tanh = gelu_tanh_##set, \
	.gelu_erf = gelu_erf_##set, \
	.softcap = softcap_##set, \
	.softmax = softmax_##set, \
	.finite = finite_##set, \
	.argmax = argmax_##set, \
	.kv_store = kv_store_##set, \
	.attention = attention_##set, \
	.attention_row = attention_row_##set \
}

#if defined(__x86_64__) || defined(MATHF_FMA_IN_TARGET)
DEFINE_MATMUL(reference)
#endif
DEFINE_MATMUL(soft)

#if defined(__x86_64__) || defined(MATHF_FMA_IN_TARGET)
static const KernelSet reference_set = SET_OF_KERNELS("reference", reference,
													  SCALAR_ITEM);
#endif
#if !defined(MATHF_FMA_IN_TARGET)
static const KernelSet softened_set = SET_OF_KERNELS("reference", soft,
													 SCALAR_ITEM);
#endif
static const KernelSet soft_set = SET_OF_KERNELS("reference-soft", soft,
												 SCALAR_ITEM);

#if defined(__x86_64__)

DEFINE_MATMUL(avx2)
DEFINE_MATMUL(avx512)

static const KernelSet avx2_set = SET_OF_KERNELS("avx2", avx2, VECTOR_ITEM);
static const KernelSet avx512_set = SET_OF_KERNELS("avx512", avx512,
												   VECTOR_ITEM);

typedef struct Features
{
	bool		fma;
	bool		avx2;			/* with FMA and F16C */
	bool		avx512;			/* F, BW, VL, DQ, VNNI, and all of avx2 */
} Features;

#define XCR0_YMM 0x06			/* XMM and YMM state */
#define XCR0_ZMM 0xe6			/* and opmasks, both halves of ZMM */

static uint32_t
read_xcr0(void)
{
	uint32_t	low;
	uint32_t	high;

	__asm__ volatile ("xgetbv":"=a" (low), "=d"(high):"c"(0));

	return low;
}

static bool
has_all(uint32_t bits, uint32_t wanted)
{
	return (bits & wanted) == wanted;
}

static Features
processor_features(void)
{
	Features	have = {false, false, false};
	uint32_t	eax,
				ebx,
				ecx,
				edx;
	uint32_t	xcr0;

	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) ||
		!has_all(ecx, bit_OSXSAVE | bit_AVX | bit_FMA))
		return have;
	xcr0 = read_xcr0();
	have.fma = has_all(xcr0, XCR0_YMM);
	have.avx2 = have.fma && has_all(ecx, bit_F16C);
	if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
		have.avx2 = false;
	have.avx2 = have.avx2 && has_all(ebx, bit_AVX2);
	have.avx512 = have.avx2 && has_all(xcr0, XCR0_ZMM) &&
		has_all(ebx, bit_AVX512F | bit_AVX512BW | bit_AVX512VL |
				bit_AVX512DQ) &&
		has_all(ecx, bit_AVX512VNNI);
	return have;
}

static const KernelSet *
nth_set(int i)
{
	Features	have = processor_features();

	switch (i)
	{
		case 0:
#if defined(MATHF_FMA_IN_TARGET)
			return &reference_set;
#else
			return have.fma ? &reference_set : &softened_set;
#endif
		case 1:
			return &soft_set;
		case 2:
			return have.avx2 ? &avx2_set : NULL;
		case 3:
			return have.avx512 ? &avx512_set : NULL;
		default:
			return NULL;
	}
}

#else							/* !__x86_64__ */

static const KernelSet *
nth_set(int i)
{
#if defined(MATHF_FMA_IN_TARGET)
	const KernelSet *reference = &reference_set;
#else
	const KernelSet *reference = &softened_set;
#endif

	return i == 0 ? reference : i == 1 ? &soft_set : NULL;
}

#endif							/* __x86_64__ */

const KernelSet *
kernels_nth(int i)
{
	return nth_set(i);
}

const KernelSet *
kernels_select(const char *name)
{
	const KernelSet *best = NULL;

	for (int i = 0; kernels_nth(i) != NULL; i++)
	{
		const KernelSet *set = kernels_nth(i);

		if (name != NULL && strcmp(set->name, name) == 0)
			return set;
		if (set != &soft_set)
			best = set;
	}
	return name == NULL ? best : NULL;
}

/*
 * One size for all sets: see attention_simd.h, which needs most.
 */
size_t
attention_scratch(int head_dim, int value_dim, int group, int n_queries)
{
	size_t		keys = ((size_t) head_dim + 15) / 16 * 16;
	size_t		values = ((size_t) value_dim + 15) / 16 * 16;
	size_t		rows = (size_t) group *
		(n_queries < ATTENTION_QUERIES ? n_queries : ATTENTION_QUERIES);

	/* a block of keys and of values; q, scores, two sums and their state */
	return ATTENTION_BLOCK * (keys + values) +
		rows * (keys + ATTENTION_BLOCK + 2 * values) +
		8 * ((rows + 15) / 16 * 16);
}

#if defined(__x86_64__)

/* All exceptions masked, round to nearest, no flush-to-zero of any kind */
#define MXCSR_DEFAULT 0x1f80

uint64_t
kernels_enter(void)
{
	uint64_t	saved = _mm_getcsr();

	_mm_setcsr(MXCSR_DEFAULT);
	return saved;
}

void
kernels_leave(uint64_t saved)
{
	_mm_setcsr((unsigned int) saved);
}

#elif defined(__aarch64__)

uint64_t
kernels_enter(void)
{
	uint64_t	saved;

	__asm__ volatile ("mrs %0, fpcr":"=r" (saved));
	__asm__ volatile ("msr fpcr, %0"::"r" (UINT64_C(0)));

	return saved;
}

void
kernels_leave(uint64_t saved)
{
	__asm__ volatile ("msr fpcr, %0"::"r" (saved));
}

#else

/* Nothing in these processors' default modes flushes or rounds otherwise. */
uint64_t
kernels_enter(void)
{
	return 0;
}

void
kernels_leave(uint64_t saved)
{
	(void) saved;
}

#endif
