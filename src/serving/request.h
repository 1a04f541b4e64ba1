/*-------------------------------------------------------------------------
 *
 * request.h
 *	  What a session asks of a worker, and what it gets back: structs on
 *	  either side, one block of bytes without pointers in between.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_REQUEST_H
#define LLM_REQUEST_H

#include "engine/batch/batch.h"
#include "engine/model/encoder.h"

typedef enum RequestKind
{
	REQUEST_GENERATE,
	REQUEST_ENCODE
} RequestKind;

/* Continue a sequence of tokens. */
typedef struct GenerateRequest
{
	const int32 *history;		/* prompt, then what is generated already */
	int64		n_prompt;
	int64		n_history;
	int64		max_history;
	SamplerOptions sampler;		/* with its seed */
	int			n_stops;
	const StopText *stops;
	int			top;			/* -1: no log-probabilities, else how many */
	bool		stream;			/* the session may read slowly, or stop */
} GenerateRequest;

/*
 * A token generated: results of a GenerateRequest are an array of these, each
 * followed by its top, with a stride of served_token_size().
 */
typedef struct ServedToken
{
	int32		token;
	int32		n_top;
	double		logprob;
	LogprobBase base;
	TokenLogit	top[FLEXIBLE_ARRAY_MEMBER];
} ServedToken;

static inline Size
served_token_size(int top)
{
	return MAXALIGN(offsetof(ServedToken, top) +
					sizeof(TokenLogit) * (top > 0 ? top : 0));
}

/*
 * Pool each text to a vector, or with POOLING_RANK give the classifier's logit
 * of each pair.  Results: float [n_texts][encode_width()], not normalised.
 */
typedef struct EncodeRequest
{
	int			n_texts;
	const EncoderText *texts;
	PoolingKind pooling;
} EncodeRequest;

/* 1 for POOLING_RANK, else the model's output_length. */
extern int	encode_width(const Hyper *hyper, PoolingKind pooling);

/*
 * To a block and back.  What read gives points into the block, and into memory
 * of the current context.
 */
extern Size generate_request_size(const GenerateRequest *request);
extern void generate_request_write(const GenerateRequest *request,
								   void *block);
extern void generate_request_read(const void *block,
								  GenerateRequest *request);
extern Size encode_request_size(const EncodeRequest *request);
extern void encode_request_write(const EncodeRequest *request, void *block);
extern void encode_request_read(const void *block, EncodeRequest *request);

#endif							/* LLM_REQUEST_H */
