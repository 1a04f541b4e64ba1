/*-------------------------------------------------------------------------
 *
 * sampler.h
 *	  From logits to the next token, as DESIGN.md defines it ("Sampling").
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_SAMPLER_H
#define ENGINE_SAMPLER_H

#include "base/arena.h"
#include "kernels/kernels.h"

typedef struct LogitBias
{
	int32_t		token;
	float		bias;
} LogitBias;

typedef struct SamplerOptions
{
	double		temperature;	/* 0: greedy */
	int32_t		top_k;			/* 0: off */
	double		typical_p,
				top_p;			/* 1: off */
	double		min_p;			/* 0: off */
	double		repeat_penalty; /* 1: off */
	int32_t		repeat_last_n;	/* 0: none, -1: all of prompt and output */
	double		presence_penalty,
				frequency_penalty;
	uint64_t	seed;
	int			n_bias;
	const LogitBias *bias;
	bool		ignore_end;		/* end tokens get -inf */
} SamplerOptions;

typedef struct Sampler
{
	SamplerOptions options;
	int32_t		vocabulary;		/* logits per row */
	int32_t		n_tokens;		/* ids from here on are padding: -inf */
	const int32_t *end_tokens;
	int			n_end_tokens;
	struct SamplerScratch *scratch;
} Sampler;

/* Scratch for a vocabulary is taken from arena once. */
extern EngineCode sampler_open(Sampler *sampler,
							   const SamplerOptions *options,
							   int32_t vocabulary, int32_t n_tokens,
							   const int32_t *end_tokens, int n_end_tokens,
							   EngineArena *arena, EngineStatus *status);

/*
 * A sampler with other options over the scratch of one that was opened with a
 * temperature: they pick one at a time.
 */
extern void sampler_borrow(Sampler *sampler, const Sampler *lender,
						   const SamplerOptions *options);

/*
 * Pick the token for output index (0, 1, ...).  history: prompt, then output;
 * n_prompt of them are prompt.  logits is not changed.  ENGINE_INVALID when
 * no token is left (all -inf).
 */
extern EngineCode sampler_pick(Sampler *sampler, const KernelSet *kernels,
							   const float *logits, const int32_t *history,
							   int64_t n_history, int64_t n_prompt,
							   int64_t index, int32_t *token,
							   EngineStatus *status);

/*
 * The model's own log-probabilities: logprob = x - max - log(sum), see
 * math_sum_exp(); computed over ids below n_tokens.
 */
typedef struct LogprobBase
{
	double		max;
	double		log_sum;
} LogprobBase;

extern LogprobBase logprob_base(const float *logits, int32_t n_tokens);

static inline double
logprob_of(LogprobBase base, float logit)
{
	return ((double) logit - base.max) - base.log_sum;
}

typedef struct TokenLogit
{
	int32_t		token;
	float		logit;
} TokenLogit;

/*
 * The k most likely ids by (logit desc, id asc) into top[k]; k <= n_tokens.
 * A heap of k: O(n log k).
 */
extern void top_tokens(const float *logits, int32_t n_tokens, int32_t k,
					   TokenLogit *top);

#endif							/* ENGINE_SAMPLER_H */
