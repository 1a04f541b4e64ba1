/*-------------------------------------------------------------------------
 *
 * kernels.h
 *	  Everything that computes on vectors and matrices, as sets of functions.
 *
 * A set exists for plain C ("reference", the definition), AVX2 and AVX-512
 * (with VNNI); "reference-soft" is the same C without FMA hardware.  All sets
 * give the same bits for the same input (the numerics contract, DESIGN.md);
 * test/engine compares each with the reference by memcmp.
 *
 * Rules for callers: pointers of rows and scratch are aligned to 64 bytes and
 * may be read and written up to the next multiple of 16 floats (callers pad);
 * no function allocates, fails or depends on the number of rows beside a row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_KERNELS_H
#define ENGINE_KERNELS_H

#include "tensor/pack.h"

/* Raised whenever a bit of any result may change. */
#define NUMERICS_VERSION 1

/* 16-bit storage of keys and values, and what models in f32 use. */
typedef enum KvType
{
	KV_F16,
	KV_F32
} KvType;

#define KV_PAGE_POSITIONS 16	/* positions per page */
#define ATTENTION_BLOCK 64		/* keys whose exp are summed by one Sum16 */
#define ATTENTION_SEGMENT 512	/* keys of one running softmax */

/*
 * Input rows of a matrix product, prepared for packed weights.  x is always
 * there; the quantised form only after set->quantise() was called for every
 * row (it is needed if any weight is of a quantised type).
 */
typedef struct Activations
{
	int			n_rows;
	int64_t		k;				/* values per row */
	int			bits;			/* 16 or 8 */
	const float *x;				/* [n_rows][x_stride] */
	size_t		x_stride;
	int8_t	   *hi;				/* [n_rows][plane_stride]; 8 bits: the only */
	int8_t	   *lo;				/* [n_rows][plane_stride]; 16 bits only */
	size_t		plane_stride;	/* bytes, k rounded up to 64 */
	float	   *d;				/* [n_rows][group_stride] one per 32 of k */
	size_t		group_stride;	/* k / 32 rounded up to 16 */
	int32_t    *sums;			/* [n_rows][2 * group_stride] sum of q per 16 */
} Activations;

typedef enum RopeLayout
{
	ROPE_NONE,
	ROPE_NORM,					/* rotates (x[2i], x[2i+1]) */
	ROPE_NEOX					/* rotates (x[i], x[i + n_rot/2]) */
} RopeLayout;

/*
 * One kv head of one layer over consecutive query rows of one sequence.
 *
 * Pages of 16 positions hold, at k_offset, keys as [head_dim][16] and, at
 * v_offset, values as [16][value_dim], in f16 or f32: the lane of a key is
 * position % 16.
 *
 * Query row i (0 <= i < n_queries) of query head g (0 <= g < group) is
 * q + i * q_stride + g * head_dim; its result goes to
 * out + i * out_stride + g * value_dim.  Row i stands at position
 * first_position + i and sees key j when
 *		0 <= j < n_keys, and
 *		causal: j <= position, and if window > 0: position - j < window
 *		not causal: if window > 0: |position - j| <= window / 2.
 * Every row sees at least one key.  A visible score that is not finite makes
 * all results of its row and head NaN, which finite() finds.  Pages that no
 * row sees are not touched; slots that a row does not see may hold anything.
 */
typedef struct AttentionTask
{
	KvType		type;
	int			head_dim;		/* any number >= 1 */
	int			value_dim;
	int			group;			/* query heads that share this kv head */
	const uint8_t *const *pages;	/* page p holds positions 16p .. 16p+15 */
	size_t		k_offset;		/* bytes from the page's start */
	size_t		v_offset;
	int64_t		n_keys;
	int64_t		first_position;
	int			n_queries;
	const float *q;
	size_t		q_stride;		/* floats */
	float	   *out;
	size_t		out_stride;
	float		scale;
	float		softcap;		/* 0: none */
	const float *slopes;		/* [group] ALiBi, NULL: none */
	bool		causal;
	int64_t		window;			/* 0: none */
	float	   *scratch;		/* attention_scratch() floats */
} AttentionTask;

typedef struct KernelSet
{
	const char *name;

	/* Products between two looks at interrupts: some 10 ms at most. */
	int64_t		work_item;

	/* one row: x[k] -> planes, d[k/32], sums[k/16]; k a multiple of 32 */
	void		(*quantise) (const float *x, int64_t k, int bits, int8_t *hi,
							 int8_t *lo, float *d, int32_t *sums);

	/*
	 * out[row * out_stride + r] = sum over k of w[r][k] * x[row][k], for the
	 * rows r of panels panel_begin .. panel_end-1 that exist (r < w->n), for
	 * all a->n_rows rows.  out is padded to 16 floats per row.
	 */
	void		(*matmul) (const PackedMatrix *w, int64_t panel_begin,
						   int64_t panel_end, const Activations *a,
						   float *out, size_t out_stride);

	/* Sum16 of DESIGN.md over x[n] */
	float		(*sum) (const float *x, int64_t n);

	/* y[n] = (x * r) * w; w NULL: without weight */
	void		(*rms_norm) (const float *x, const float *w, float eps,
							 float *y, int64_t n);
	/* y[n] = (c * r) * w + b; b NULL: without bias, w NULL: without weight */
	void		(*layer_norm) (const float *x, const float *w, const float *b,
							   float eps, float *y, int64_t n);

	/* in place; cos, sin: [n_rot / 2] */
	void		(*rope) (float *x, const float *cos, const float *sin,
						 int n_rot, RopeLayout layout);

	/* x[n] += y[n] */
	void		(*add) (float *x, const float *y, int64_t n);
	/* x[n] *= factor */
	void		(*scale) (float *x, float factor, int64_t n);
	/* out[n] = act(gate[n]) * up[n] (up NULL: act(gate[n])); out may be gate */
	void		(*silu) (const float *gate, const float *up, float *out,
						 int64_t n);
	void		(*gelu_tanh) (const float *gate, const float *up, float *out,
							  int64_t n);
	void		(*gelu_erf) (const float *gate, const float *up, float *out,
							 int64_t n);
	/* x = cap * tanh(x / cap) */
	void		(*softcap) (float *x, float cap, int64_t n);
	/* softmax of one vector: m, exp, Sum16, divide; in place too */
	void		(*softmax) (const float *x, float *p, int64_t n);

	/* false when a value is NaN or infinite (largest bits as unsigned) */
	bool		(*finite) (const float *x, int64_t n);

	/* index of the largest value, the lowest index among equals; no NaN */
	int64_t		(*argmax) (const float *x, int64_t n);

	/*
	 * Put key[head_dim] and value[value_dim] of one position (lane = position
	 * % 16) into a page, rounded to nearest even for f16.
	 */
	void		(*kv_store) (KvType type, const float *key, int head_dim,
							 const float *value, int value_dim, int lane,
							 void *k_page, void *v_page);

	void		(*attention) (const AttentionTask *task);

	/*
	 * What attention() used for query row i and head g: score[j] after scale,
	 * softcap and ALiBi, and weight[j] = exp(s - m) / l with the final m, l,
	 * for all j < n_keys; invisible keys: score -inf, weight 0.
	 */
	void		(*attention_row) (const AttentionTask *task, int i, int g,
								  float *score, float *weight);
} KernelSet;

/* Floats of scratch that attention() and attention_row() need for a task. */
extern size_t attention_scratch(int head_dim, int value_dim, int group,
								int n_queries);

/* Rows that one attention() call should get at most, for speed. */
#define ATTENTION_QUERIES 64

/*
 * The best set that this processor has, or the one named ("reference",
 * "reference-soft", "avx2", "avx512"); NULL when the name is unknown or the
 * processor lacks it.
 */
extern const KernelSet *kernels_select(const char *name);

/* The i-th set that this processor has (0 is the reference), or NULL. */
extern const KernelSet *kernels_nth(int i);

/*
 * Rounding control.  Engine entries call kernels_enter(), keep the result,
 * and give it to kernels_leave(): round to nearest, subnormals kept,
 * exceptions masked in between.
 */
extern uint64_t kernels_enter(void);
extern void kernels_leave(uint64_t saved);

#endif							/* ENGINE_KERNELS_H */
