/*-------------------------------------------------------------------------
 *
 * architecture.h
 *	  What kind of transformer a file holds: its hyper-parameters, checked,
 *	  and the table of architectures.
 *
 * A new architecture is a row of the table and its tensor names.  Everything
 * that the transformer branches on is data in Hyper, never the name of an
 * architecture.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_ARCHITECTURE_H
#define ENGINE_ARCHITECTURE_H

#include "formats/gguf.h"
#include "kernels/kernels.h"

typedef enum NormKind
{
	NORM_RMS,
	NORM_LAYER
} NormKind;

typedef enum FeedForwardKind
{
	FFN_SILU_GATED,				/* down(silu(gate x) * up x) */
	FFN_GELU_TANH_GATED,
	FFN_GELU_ERF_GATED,
	FFN_GELU_TANH,				/* down(gelu(up x)) */
	FFN_GELU_ERF
} FeedForwardKind;

typedef enum PoolingKind
{
	POOLING_NONE, POOLING_MEAN, POOLING_CLS, POOLING_LAST, POOLING_RANK
} PoolingKind;

/* What follows the first layer of a classifier. */
typedef enum ClassifierKind
{
	CLASSIFIER_TANH, CLASSIFIER_RELU, CLASSIFIER_GELU
} ClassifierKind;

/* Fixed-size and free of pointers: it stands in the image header as it is. */
typedef struct Hyper
{
	char		architecture[32];	/* general.architecture */
	int32_t		context_length;
	int32_t		embedding_length;	/* d */
	int32_t		output_length;	/* of an embedding: d, or after Dense layers */
	int32_t		n_labels;		/* outputs of the classifier, 0: none */
	int32_t		n_layers;
	int32_t		feed_forward_length;
	int32_t		n_heads;
	int32_t		n_kv_heads;		/* divides n_heads */
	int32_t		key_length;		/* head_dim of q and k */
	int32_t		value_length;	/* head_dim of v */
	int32_t		vocabulary;		/* rows of the token embedding */
	int32_t		n_rot;			/* even, <= key_length; 0: no RoPE */
	int32_t		rope_layout;	/* RopeLayout */
	int32_t		norm;			/* NormKind */
	int32_t		feed_forward;	/* FeedForwardKind */
	int32_t		kv_type;		/* KvType: f32 iff all blk.*.weight are */
	int32_t		pooling;		/* PoolingKind */
	int32_t		window;			/* sliding window, 0: none */
	int32_t		window_period;	/* 0: all layers have it; else all but one of
								 * each period: see layer_window() */
	int32_t		window_global;	/* which one: layer % window_period */
	int32_t		rope_local;		/* 0 or 1: layers with a window rotate by
								 * rope_local_frequency */
	int32_t		causal;			/* 0 or 1 */
	int32_t		learned_positions;	/* 0 or 1: position_embd is added */
	int32_t		token_types;	/* rows of token_types, 0: there are none */
	int32_t		post_norm;		/* 0: norms before the sublayers; 1: after the
								 * additions, as in BERT */
	int32_t		tied_output;	/* logits use token_embd */
	int32_t		dense_2_length; /* outputs of Dense layers, 0: there is none */
	int32_t		dense_3_length;
	int32_t		dense_2_tanh;	/* 0 or 1: followed by tanh */
	int32_t		dense_3_tanh;
	int32_t		classifier;		/* ClassifierKind */
	int32_t		classifier_pooling; /* PoolingKind: what it reads */
	float		norm_epsilon;
	float		attention_scale;	/* default 1/sqrt(key_length) */
	float		attention_softcap;	/* 0: none */
	float		final_softcap;	/* 0: none */
	float		embedding_scale;	/* 1: none */
	double		rope_magnitude; /* multiplies cos and sin, 1: none (yarn) */
	int64_t		parameters;		/* sum of all tensor elements */
} Hyper;

/* The sliding window of a layer, 0: it attends to everything. */
static inline int
layer_window(const Hyper *hyper, int layer)
{
	if (hyper->window_period > 0 &&
		layer % hyper->window_period == hyper->window_global)
		return 0;
	return hyper->window;
}

/* Does it rotate by the local frequencies? */
static inline bool
layer_rotates_locally(const Hyper *hyper, int layer)
{
	return hyper->rope_local != 0 && hyper->window_period > 0 &&
		layer % hyper->window_period != hyper->window_global;
}

/*
 * Each n_rot / 2 doubles in arena, NULL when n_rot is 0: the angle of pair i
 * at position p is p * frequency[i] / divisor[i]; of layers that rotate
 * locally p * local_frequency[i].
 */
typedef struct RopeTables
{
	double	   *frequency;
	double	   *divisor;
	double	   *local_frequency;	/* NULL: no layer does */
} RopeTables;

/*
 * Read and check everything: keys in range, heads divide, every tensor of the
 * architecture present with exactly the expected shape and a type that we can
 * run, no tensor shape surprises.
 *
 * The f32 tensor rope_freqs.weight (llama3 scaling) is the divisor; its
 * values are read from source and checked to be finite and > 0.
 */
extern EngineCode architecture_read(const GgufFile *file, ByteSource *source,
									EngineArena *arena, Hyper *hyper,
									RopeTables *rope,
									EngineStatus *status);

/* Comma-separated names for error texts. */
extern const char *architecture_names(void);

#endif							/* ENGINE_ARCHITECTURE_H */
