/*-------------------------------------------------------------------------
 *
 * candidates.h
 *	  The set of tokens that sampling still considers, and the filters that
 *	  make it smaller (DESIGN.md, "Sampling").
 *
 * Tokens stand in ascending id at all times; a filter marks what it keeps
 * and closes the gaps.  Each filter sees p = softmax of the tokens that the
 * filters before it left, in double precision; sums run in the order of ids,
 * or, for typical_p and top_p, in the order in which tokens are taken.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_CANDIDATES_H
#define ENGINE_CANDIDATES_H

#include "base/arena.h"

typedef struct Candidates
{
	int32_t		n;
	int32_t    *id;				/* ascending */
	double	   *x;				/* logit after bias and penalties, finite */
	double	   *p;				/* scratch: probability */
	double	   *key;			/* scratch: what a filter sorts by */
	int32_t    *heap;			/* scratch: indexes */
	uint8_t    *keep;			/* scratch: marks */
} Candidates;

/* What a Sampler keeps between calls. */
typedef struct SamplerScratch
{
	double	   *x;				/* [n_tokens] logits as they are adjusted */
	int32_t    *counts;			/* [n_tokens] zero between calls */
	Candidates	candidates;		/* after a draw: what it was made from */
} SamplerScratch;

/* Room for capacity tokens. */
extern EngineCode candidates_open(Candidates *set, int32_t capacity,
								  EngineArena *arena, EngineStatus *status);

/* Each leaves at least one token of a set that has one. */
extern void candidates_top_k(Candidates *set, int32_t k);
extern void candidates_typical(Candidates *set, double mass);
extern void candidates_top_p(Candidates *set, double mass);
extern void candidates_min_p(Candidates *set, double fraction);

/*
 * Draw by u in [0, 1): weights exp((x - max) / temperature), plain running
 * sum in ascending id, the first that exceeds u * total.
 */
extern int32_t candidates_draw(Candidates *set, double temperature, double u);

#endif							/* ENGINE_CANDIDATES_H */
