/*-------------------------------------------------------------------------
 *
 * pass.h
 *	  What the files of the forward pass share: scratch, the step being
 *	  computed, products of matrices with rows, probes.
 *
 * Private to model/.  Rows of every buffer are padded to 16 floats and start
 * at multiples of 64 bytes.
 *
 * Whatever happens to each row alone (norms, additions, checks, ...) is noted
 * down only, and done when something else needs the rows: then all that was
 * noted happens to a few rows while they are in a near cache, and other
 * threads do the same to others.  Products, pass_run() and probes see to it
 * themselves; who reads rows directly calls pass_finish() before.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_PASS_H
#define ENGINE_PASS_H

#include "base/team.h"
#include "model/transformer.h"

#include <stdatomic.h>

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
	float	   *attention;		/* [threads][attention_stride] of one task */
	size_t		attention_stride;
	int32_t    *chunks;			/* [max_rows] first rows of attention tasks */
	Team	   *team;			/* of the host that opened it */
	float	   *scores;			/* [2][score_keys] for PROBE_ATTENTION */
	int64_t		score_keys;
	Activations inputs;			/* quantised rows of the widest product */
} TransformerScratch;

typedef struct Pass Pass;
typedef struct RowWork RowWork;

/* Rows first .. end - 1; false: one of them is not finite. */
typedef bool (*RowFunction) (Pass *pass, const RowWork *work, int first,
							 int end, int thread);

/* What is to be done to rows 0 .. n_rows - 1; each function has its fields. */
struct RowWork
{
	RowFunction run;
	int			n_rows;
	int			layer;
	Rows		x;
	Rows		y;
	int64_t		columns;
	const ImageVector *weight;
	const ImageVector *bias;
	const ImageLayer *image_layer;
	const char *what;
};

#define PASS_NOTES 16

/* out[n_rows][matrix->n] = input x matrix, plus bias when there is one. */
typedef struct Product
{
	const ImageMatrix *matrix;
	const ImageVector *bias;	/* may be NULL */
	const Rows *out;
} Product;

#define PASS_PRODUCTS 3

/* The step that is being computed. */
struct Pass
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
	RowWork		notes[PASS_NOTES];
	int			n_notes;
	atomic_uint bad_notes;		/* bits of those that met bad rows */
	EngineStatus *status;
};

/* pass.c */
extern EngineCode rows_alloc(Rows *rows, int n, int64_t columns,
							 EngineArena *arena, EngineStatus *status);

/* Everything but the rows. */
extern void pass_open(Pass *pass, Transformer *transformer,
					  KvSequence *const *sequences, const Probe *probe,
					  EngineStatus *status);

/*
 * ENGINE_NOT_FINITE, naming what and the layer, if a value is not finite: the
 * first check that fails is the one that is reported.
 */
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

/* y = norm(x) for every row; a copy without weight. */
extern EngineCode pass_norm(Pass *pass, const Rows *x, int n_rows,
							const ImageVector *weight,
							const ImageVector *bias, const Rows *y);

/* schedule.c */

/* Note work down; layer is filled in. */
extern EngineCode pass_note(Pass *pass, const RowWork *work);

/* Do what was noted. */
extern EngineCode pass_finish(Pass *pass);

/* Up to PASS_PRODUCTS products of the same input. */
extern EngineCode pass_project(Pass *pass, const Product *products, int n);

/* Items of any other kind, on all threads, after what was noted. */
extern EngineCode pass_run(Pass *pass, int64_t n_items, TeamWork work,
						   void *arg);

/* pass.c */

/* Show rows to the probe, if it wants this stage here. */
extern bool pass_is_probed(const Pass *pass, ProbeStage stage);
extern EngineCode pass_probe(Pass *pass, ProbeStage stage, const Rows *rows,
							 int n_rows, int64_t columns);

/* Has the probe, behind this stage, seen all that it wants? */
extern bool pass_has_shown_all(const Pass *pass, ProbeStage stage);

/* rope.c: cosines and sines of every row's position */
extern EngineCode rope_tables(Pass *pass);

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
