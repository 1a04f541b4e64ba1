/*-------------------------------------------------------------------------
 *
 * transformer.h
 *	  The forward pass.
 *
 * A step takes rows (tokens) of one or several sequences through all blocks:
 * keys and values of every row are stored in the sequences' pages, logits are
 * computed for the rows that ask for them.  What a row gives depends on its
 * sequence alone, never on the rows beside it (numerics contract).
 *
 * The transformer keeps scratch for a bounded number of rows; longer prompts
 * go through it in chunks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TRANSFORMER_H
#define ENGINE_TRANSFORMER_H

#include "model/kv.h"
#include "model/probe.h"

/* Rows per chunk of a prompt that keep scratch small at full speed. */
#define TRANSFORMER_CHUNK 128

typedef struct Transformer
{
	const ImageHeader *image;
	const KernelSet *kernels;
	int			bits;			/* activation bits of packed weights: 16, 8 */
	int			max_rows;		/* rows per step */
	int			max_outputs;	/* rows with logits per step */
	KvLayout	kv;
	struct TransformerScratch *scratch;
	const EngineHost *host;
} Transformer;

/* Allocates all scratch in arena; nothing is allocated later. */
extern EngineCode transformer_open(Transformer *transformer,
								   const ImageHeader *image,
								   const KernelSet *kernels, int bits,
								   int max_rows, int max_outputs,
								   EngineArena *arena, const EngineHost *host,
								   EngineStatus *status);

/*
 * Rows of one sequence are consecutive, ascending without gaps in position.
 * On ENGINE_OK each sequence's n_positions is raised past its last row and
 * logits[o] (vocabulary floats each, o-th row with output set) are filled;
 * they belong to the transformer and are valid until its next step.  After
 * ENGINE_CANCELLED or any error the step can be repeated.
 */
extern EngineCode transformer_step(Transformer *transformer,
								   const StepRow *rows, int n_rows,
								   KvSequence *const *sequences,
								   const Probe *probe,
								   float *const **logits,
								   EngineStatus *status);

/*
 * The unembedding of any n_rows <= max_outputs residual states, rows[i *
 * stride]: final norm (unless they are behind it already), output matrix,
 * softcap.  logits as above.
 */
extern EngineCode transformer_unembed(Transformer *transformer,
									  const float *rows, size_t stride,
									  int n_rows, bool normed,
									  float *const **logits,
									  EngineStatus *status);

/*
 * A whole prompt, in chunks: ids from sequence->n_positions on; logits of the
 * last token (or NULL to skip them).
 */
extern EngineCode transformer_prompt(Transformer *transformer,
									 KvSequence *sequence,
									 const int32_t *ids, int64_t n,
									 const Probe *probe,
									 const float **logits,
									 EngineStatus *status);

#endif							/* ENGINE_TRANSFORMER_H */
