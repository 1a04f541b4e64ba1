/*-------------------------------------------------------------------------
 *
 * architecture_table.h
 *	  The table of architectures and of the tensors that they are made of:
 *	  private to the files that read a model.
 *
 * A slot is a place in ImageHeader or ImageLayer that one tensor of a file
 * fills: its name in the file, what it is, and the shape that the
 * hyper-parameters give it.  An architecture says which slots it needs and
 * which it may have.  A tensor without a slot, or in a slot that its
 * architecture does not have, is refused: a bias that nobody adds would give
 * wrong text without any error.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_ARCHITECTURE_TABLE_H
#define ENGINE_ARCHITECTURE_TABLE_H

#include "model/image.h"

/* Lengths that shapes are made of. */
typedef enum ShapeLength
{
	LENGTH_ONE,
	LENGTH_EMBEDDING,			/* d */
	LENGTH_VOCABULARY,
	LENGTH_CONTEXT,
	LENGTH_FEED_FORWARD,
	LENGTH_GATE_AND_UP,			/* both, one after the other */
	LENGTH_TOKEN_TYPES,
	LENGTH_LABELS,
	LENGTH_DENSE_2,				/* outputs of the Dense layers */
	LENGTH_DENSE_3,
	LENGTH_QUERY,				/* n_heads * key_length */
	LENGTH_KEY,					/* n_kv_heads * key_length */
	LENGTH_VALUE,				/* n_kv_heads * value_length */
	LENGTH_QKV,					/* the three above, one after the other */
	LENGTH_HEADS,				/* n_heads * value_length */
	LENGTH_HEAD_KEY,			/* key_length */
	LENGTH_ROPE_PAIRS			/* n_rot / 2 */
} ShapeLength;

typedef enum SlotForm
{
	FORM_PANELS,				/* a matrix that is multiplied */
	FORM_ROWS,					/* a matrix that is only looked up */
	FORM_EMBEDDING,				/* panels if the output is tied, else rows */
	FORM_VECTOR,				/* f32 */
	FORM_DIVISORS				/* rope_freqs: read by architecture_read() */
} SlotForm;

typedef struct TensorSlot
{
	const char *name;			/* in a layer: what follows "blk.N." */
	bool		in_layer;
	SlotForm	form;
	ShapeLength rows;			/* outputs; LENGTH_ONE for vectors */
	ShapeLength columns;		/* inputs, dims[0] of the file */
	size_t		field;			/* offset in ImageHeader or ImageLayer */
} TensorSlot;

typedef enum SlotId
{
	SLOT_TOKEN_EMBD,
	SLOT_POSITION_EMBD,
	SLOT_TOKEN_TYPES,
	SLOT_TOKEN_EMBD_NORM,
	SLOT_TOKEN_EMBD_NORM_BIAS,
	SLOT_OUTPUT_NORM,
	SLOT_OUTPUT_NORM_BIAS,
	SLOT_OUTPUT,
	SLOT_OUTPUT_BIAS,
	SLOT_ROPE_FREQS,
	SLOT_DENSE_2,
	SLOT_DENSE_2_BIAS,
	SLOT_DENSE_3,
	SLOT_DENSE_3_BIAS,
	SLOT_CLS,
	SLOT_CLS_BIAS,
	SLOT_CLS_NORM,
	SLOT_CLS_NORM_BIAS,
	SLOT_CLS_OUTPUT,
	SLOT_CLS_OUTPUT_BIAS,
	SLOT_ATTN_NORM,
	SLOT_ATTN_NORM_BIAS,
	SLOT_ATTN_QKV,
	SLOT_ATTN_QKV_BIAS,
	SLOT_ATTN_Q,
	SLOT_ATTN_K,
	SLOT_ATTN_V,
	SLOT_ATTN_OUTPUT,
	SLOT_ATTN_Q_BIAS,
	SLOT_ATTN_K_BIAS,
	SLOT_ATTN_V_BIAS,
	SLOT_ATTN_OUTPUT_BIAS,
	SLOT_ATTN_Q_NORM,
	SLOT_ATTN_K_NORM,
	SLOT_ATTN_OUTPUT_NORM,		/* BERT's name of the norm after attention */
	SLOT_ATTN_OUTPUT_NORM_BIAS,
	SLOT_POST_ATTENTION_NORM,	/* Gemma's */
	SLOT_FFN_NORM,
	SLOT_FFN_NORM_BIAS,
	SLOT_FFN_GATE,
	SLOT_FFN_UP,
	SLOT_FFN_GATE_AND_UP,		/* fused, under the name of the latter */
	SLOT_FFN_DOWN,
	SLOT_FFN_GATE_BIAS,
	SLOT_FFN_UP_BIAS,
	SLOT_FFN_DOWN_BIAS,
	SLOT_LAYER_OUTPUT_NORM,		/* BERT's name of the norm after feed-forward */
	SLOT_LAYER_OUTPUT_NORM_BIAS,
	SLOT_POST_FFW_NORM,			/* Gemma's */
	N_SLOTS
} SlotId;

#define SLOT_BIT(slot) (UINT64_C(1) << (slot))

extern const TensorSlot tensor_slots[N_SLOTS];

/* Layers that attend within a sliding window only. */
typedef enum WindowKind
{
	WINDOW_REFUSED,				/* the file must not have one */
	WINDOW_ALL,					/* if the file has one: all layers */
	WINDOW_PERIOD				/* all but one layer of each period */
} WindowKind;

typedef struct Architecture
{
	const char *name;			/* general.architecture */
	NormKind	norm;
	RopeLayout	rope;
	FeedForwardKind feed_forward;
	bool		learned_positions;
	bool		encoder;		/* not causal, no unembedding */
	bool		post_norm;		/* norms after the additions (BERT) */
	bool		scale_embedding;	/* by the root of d (Gemma) */
	WindowKind	window;
	int			window_default; /* 0: the key is required */
	int			window_period;
	int			window_global;	/* which of a period attends to everything */
	bool		rope_local;		/* layers with a window have their own base */
	uint64_t	needs;			/* SLOT_BIT()s */
	uint64_t	may_have;		/* SLOT_BIT()s besides those */
} Architecture;

extern const Architecture *architecture_find(const char *name);

/* Which slot a tensor of the file fills. */
typedef struct TensorUse
{
	SlotId		slot;
	int			layer;			/* 0 outside the layers */
	bool		used;
} TensorUse;

/*
 * Find the tensors of all slots, check their shapes, and that no others are
 * in the file: uses[i] is about file->tensors[i].
 */
extern EngineCode architecture_tensors(const GgufFile *file,
									   const Hyper *hyper,
									   EngineArena *arena, TensorUse **uses,
									   EngineStatus *status);

/* "llama.block_count" in buf, which is returned */
extern const char *architecture_key(const Architecture *architecture,
									const char *suffix, char *buf,
									size_t size);

/*
 * What follows the blocks of models that embed or rank: pooling, Dense layers,
 * classifier; and the number of token types.  hyper has embedding_length.
 */
extern EngineCode architecture_heads(const GgufFile *file,
									 const Architecture *architecture,
									 Hyper *hyper, EngineStatus *status);

/*
 * RoPE with its scaling: the tables and hyper->rope_magnitude.  hyper has
 * n_rot, rope_local and context_length already.
 */
extern EngineCode architecture_rope(const GgufFile *file, ByteSource *source,
									const Architecture *architecture,
									EngineArena *arena, Hyper *hyper,
									RopeTables *tables,
									EngineStatus *status);

#endif							/* ENGINE_ARCHITECTURE_TABLE_H */
