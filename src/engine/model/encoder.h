/*-------------------------------------------------------------------------
 *
 * encoder.h
 *	  Whole texts through the transformer, for embeddings.
 *
 * Where transformer.h takes tokens through all blocks and keeps their keys
 * and values, an encoder takes all texts of a pass through one block after
 * the other, because each token may see the whole text.  It runs decoders as
 * well (causal attention), with the same bits.
 *
 * The rows of the texts lie one behind the other, without padding, and a
 * text's result does not depend on the texts beside it (numerics contract).
 * Memory grows with the rows of a pass, never with their square.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_ENCODER_H
#define ENGINE_ENCODER_H

#include "model/transformer.h"

/* Rows of a pass that are enough for full speed; a longer text goes alone. */
#define ENCODER_ROWS 512

typedef struct EncoderText
{
	const int32_t *ids;
	int64_t		n;				/* 1 .. context_length */
	int64_t		second;			/* first token of the second text of a pair
								 * (token type 1); n: there is none */
} EncoderText;

typedef struct Encoder
{
	Transformer transformer;	/* scratch of a chunk of rows */
	int64_t		max_rows;
	struct EncoderScratch *scratch;
} Encoder;

/* Allocates everything in arena; nothing is allocated later. */
extern EngineCode encoder_open(Encoder *encoder, const ImageHeader *image,
							   const KernelSet *kernels, int bits,
							   int64_t max_rows, EngineArena *arena,
							   const EngineHost *host, EngineStatus *status);

/*
 * The same with room for the logits of max_outputs rows at a time, for
 * transformer_unembed(&encoder->transformer, ...).
 */
extern EngineCode encoder_open_outputs(Encoder *encoder,
									   const ImageHeader *image,
									   const KernelSet *kernels, int bits,
									   int64_t max_rows, int max_outputs,
									   EngineArena *arena,
									   const EngineHost *host,
									   EngineStatus *status);

/*
 * Compute all texts; together they have at most max_rows tokens.  Rows in
 * events of the probe count through the texts, in their order.
 */
extern EngineCode encoder_run(Encoder *encoder, const EncoderText *texts,
							  int n_texts, const Probe *probe,
							  EngineStatus *status);

/*
 * After encoder_run(): the hidden state of a token, after the final norm if
 * the model has one: [embedding_length], valid until the next run.
 */
extern const float *encoder_hidden(const Encoder *encoder, int text,
								   int64_t position);

/*
 * The vector of a text: pooled (POOLING_MEAN, _CLS, _LAST), then through the
 * model's Dense layers; not normalised.  out: [output_length], aligned to 64
 * bytes and padded to 16 floats.
 */
extern EngineCode encoder_pool(Encoder *encoder, int text,
							   PoolingKind pooling, float *out,
							   EngineStatus *status);

/* The logit that the classifier of a reranker gives to a pair. */
extern EngineCode encoder_score(Encoder *encoder, int text, float *logit,
								EngineStatus *status);

/*
 * x[n] to length 1: the sum of squares in f64, ascending; each value is
 * divided in f64 and rounded.  A zero vector stays as it is.
 */
extern void vector_normalise(float *x, int64_t n);

#endif							/* ENGINE_ENCODER_H */
