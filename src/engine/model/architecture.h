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
	int32_t		causal;			/* 0 or 1 */
	int32_t		learned_positions;	/* 0 or 1: position_embd is added */
	int32_t		post_norm;		/* 0: pre-norm (decoders); 1: bert */
	int32_t		tied_output;	/* logits use token_embd */
	float		norm_epsilon;
	float		attention_scale;	/* default 1/sqrt(key_length) */
	float		attention_softcap;	/* 0: none */
	float		final_softcap;	/* 0: none */
	float		embedding_scale;	/* 1: none */
	double		rope_magnitude; /* multiplies cos and sin, 1: none (yarn) */
	int64_t		parameters;		/* sum of all tensor elements */
} Hyper;

/*
 * Read and check everything: keys in range, heads divide, every tensor of the
 * architecture present with exactly the expected shape and a type that we can
 * run, no tensor shape surprises.  rope_frequency and rope_divisor (each
 * n_rot / 2 doubles in arena; NULL when n_rot is 0): the angle of pair i at
 * position p is p * rope_frequency[i] / rope_divisor[i].
 *
 * The f32 tensor rope_freqs.weight (llama3 scaling) is the divisor; its
 * values are read from source and checked to be finite and > 0.
 */
extern EngineCode architecture_read(const GgufFile *file, ByteSource *source,
									EngineArena *arena, Hyper *hyper,
									double **rope_frequency,
									double **rope_divisor,
									EngineStatus *status);

/* Comma-separated names for error texts. */
extern const char *architecture_names(void);

#endif							/* ENGINE_ARCHITECTURE_H */
