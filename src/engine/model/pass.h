/*-------------------------------------------------------------------------
 *
 * pass.h
 *	  What the files of the forward pass share: scratch, the step being
 *	  computed, products of matrices with rows, probes.
 *
 * Private to model/.  Rows of every buffer are padded to 16 floats and start
 * at multiples of 64 bytes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_PASS_H
#define ENGINE_PASS_H

#include "model/transformer.h"

/* Rows of f32: [rows][stride]. */
typedef struct Rows
{
	float	   *data;
	size_t		stride;			/* floats */
} Rows;

static inline float *
rows_at(const Rows *rows, int row)
{
	return rows->data + (size_t) row * rows->stride;
}

typedef struct TransformerScratch
{
	EngineArena *arena;
	StepRow    *rows;			/* [max_rows], narrowed in the last block */
	Rows		residual;		/* [max_rows][d] */
	Rows		normed;			/* [max_rows][d] */
	Rows		added;			/* [max_rows][d] what a sublayer adds */
	Rows		fused;			/* [max_rows][q + k + v], fused models only */
	Rows		query;			/* [max_rows][n_heads * key_length] */
	Rows		key;			/* [max_rows][n_kv_heads * key_length] */
	Rows		value;			/* [max_rows][n_kv_heads * value_length] */
	Rows		heads;			/* [max_rows][n_heads * value_length] */
	Rows		gate;			/* [max_rows][ff] */
	Rows		up;				/* [max_rows][ff] */
	Rows		cosine;			/* [max_rows][n_rot / 2] */
	Rows		sine;
	Rows		local_cosine;	/* of layers that rotate locally */
	Rows		local_sine;
	Rows		output;			/* [max_outputs][d] */
	Rows		logits;			/* [max_outputs][vocabulary] */
	float	  **logit_rows;		/* [max_outputs] */
	float	   *attention;		/* scratch of one attention task */
	float	   *scores;			/* [2][score_keys] for PROBE_ATTENTION */
	int64_t		score_keys;
	Activations inputs;			/* quantised rows of the widest product */
} TransformerScratch;

/* The step that is being computed. */
typedef struct Pass
{
	Transformer *transformer;
	const ImageHeader *image;
	const Hyper *hyper;
	const KernelSet *kernels;
	TransformerScratch *scratch;
	KvSequence *const *sequences;
	const Probe *probe;
	StepRow    *rows;
	int			n_rows;
	int			first_row;		/* of an encoder's chunk, for probes */
	int			layer;			/* -1 outside the blocks */
	EngineStatus *status;
} Pass;

/* pass.c */
extern EngineCode rows_alloc(Rows *rows, int n, int64_t columns,
							 EngineArena *arena, EngineStatus *status);

/* Everything but the rows. */
extern void pass_open(Pass *pass, Transformer *transformer,
					  KvSequence *const *sequences, const Probe *probe,
					  EngineStatus *status);

/* ENGINE_NOT_FINITE, naming what and the layer, if a value is not finite. */
extern EngineCode pass_check_finite(Pass *pass, const Rows *rows, int n_rows,
									int64_t columns, const char *what);

/*
 * Make rows [n_rows][k] the input of the products that follow; with quantise
 * they are rounded as packed weights need them.
 */
extern EngineCode pass_input(Pass *pass, const Rows *rows, int n_rows,
							 int64_t k, bool quantise);

/* Does this matrix need quantised input? */
extern bool matrix_is_quantised(const ImageMatrix *matrix);

/* out[n_rows][matrix->n] = input x matrix, plus bias when there is one. */
extern EngineCode pass_project(Pass *pass, const ImageMatrix *matrix,
							   const ImageVector *bias, const Rows *out);

/* y = norm(x) for every row; a copy without weight. */
extern void pass_norm(Pass *pass, const Rows *x, int n_rows,
					  const ImageVector *weight, const ImageVector *bias,
					  const Rows *y);

/* Show rows to the probe, if it wants this stage here. */
extern bool pass_is_probed(const Pass *pass, ProbeStage stage);
extern EngineCode pass_probe(Pass *pass, ProbeStage stage, const Rows *rows,
							 int n_rows, int64_t columns);

/* Has the probe, behind this stage, seen all that it wants? */
extern bool pass_has_shown_all(const Pass *pass, ProbeStage stage);

/* rope.c: cosines and sines of every row's position */
extern void rope_tables(Pass *pass);

/*
 * block.c: token ids to residual; the two halves of a block, between which
 * the keys and values of all rows must have been stored.
 */
extern EngineCode block_embed(Pass *pass);
extern EngineCode block_store(Pass *pass);
extern EngineCode block_attend(Pass *pass);

/* attention.c: input -> added; keys and values into the pages */
extern EngineCode attention_store(Pass *pass, const ImageLayer *layer,
								  const Rows *input);
extern EngineCode attention_attend(Pass *pass, const ImageLayer *layer);

/* Scores and weights of a head to the probe, once all keys are stored. */
extern EngineCode attention_show(Pass *pass, int head);

/* feed_forward.c: input -> added */
extern EngineCode feed_forward(Pass *pass, const ImageLayer *layer,
							   const Rows *input);

#endif							/* ENGINE_PASS_H */
