/*-------------------------------------------------------------------------
 *
 * sets.h
 *	  The functions of every kernel set, for dispatch.c and for the files
 *	  that define them.
 *
 * A file is compiled for one set and defines its functions under the names
 * that KERNEL(name) makes: name_reference, name_soft, name_avx2, name_avx512.
 * What they do stands in kernels.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_KERNEL_SETS_H
#define ENGINE_KERNEL_SETS_H

#include "kernels/kernels.h"

#define KERNEL_PASTE_(name, set) name##_##set
#define KERNEL_PASTE(name, set) KERNEL_PASTE_(name, set)
#define KERNEL(name) KERNEL_PASTE(name, KERNEL_SET)

#define DECLARE_KERNEL_SET(set) \
	extern float vector_sum_##set(const float *x, int64_t n); \
	extern void rms_norm_##set(const float *x, const float *w, float eps, \
							   float *y, int64_t n); \
	extern void layer_norm_##set(const float *x, const float *w, \
								 const float *b, float eps, float *y, \
								 int64_t n); \
	extern void rope_##set(float *x, const float *cos, const float *sin, \
						   int n_rot, RopeLayout layout); \
	extern void add_##set(float *x, const float *y, int64_t n); \
	extern void scale_##set(float *x, float factor, int64_t n); \
	extern void silu_##set(const float *gate, const float *up, float *out, \
						   int64_t n); \
	extern void gelu_tanh_##set(const float *gate, const float *up, \
								float *out, int64_t n); \
	extern void gelu_erf_##set(const float *gate, const float *up, \
							   float *out, int64_t n); \
	extern void softcap_##set(float *x, float cap, int64_t n); \
	extern void softmax_##set(const float *x, float *p, int64_t n); \
	extern bool finite_##set(const float *x, int64_t n); \
	extern int64_t argmax_##set(const float *x, int64_t n); \
	extern void kv_store_##set(KvType type, const float *key, int head_dim, \
							   const float *value, int value_dim, int lane, \
							   void *k_page, void *v_page); \
	extern void attention_##set(const AttentionTask *task); \
	extern void attention_row_##set(const AttentionTask *task, int i, int g, \
									float *score, float *weight); \
	extern void dense_matmul_##set(const PackedMatrix *w, \
								   int64_t panel_begin, int64_t panel_end, \
								   const Activations *a, float *out, \
								   size_t out_stride)

DECLARE_KERNEL_SET(reference);
DECLARE_KERNEL_SET(soft);
#if defined(__x86_64__)
DECLARE_KERNEL_SET(avx2);
DECLARE_KERNEL_SET(avx512);
#endif

#endif							/* ENGINE_KERNEL_SETS_H */
