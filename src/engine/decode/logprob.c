/*-------------------------------------------------------------------------
 *
 * logprob.c
 *	  Log-probabilities of a model's own logits, and its most likely tokens.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "decode/sampler.h"

#include "base/math64.h"

LogprobBase
logprob_base(const float *logits, int32_t n_tokens)
{
	LogprobBase base;

	base.max = (double) math_max(logits, n_tokens);
	base.log_sum = math_log(math_sum_exp(logits, n_tokens, base.max));
	return base;
}

/* Is a less likely than b, by (logit descending, id ascending)? */
static inline bool
after(TokenLogit a, TokenLogit b)
{
	return a.logit < b.logit || (a.logit == b.logit && a.token > b.token);
}

/* The least likely of top[0 .. n-1] is at the root: let entry i sink. */
static void
sink(TokenLogit *top, int32_t n, int32_t i)
{
	TokenLogit	moving = top[i];

	for (;;)
	{
		int64_t		child = (int64_t) i * 2 + 1;

		if (child >= n)
			break;
		if (child + 1 < n && after(top[child + 1], top[child]))
			child++;
		if (!after(top[child], moving))
			break;
		top[i] = top[child];
		i = (int32_t) child;
	}
	top[i] = moving;
}

void
top_tokens(const float *logits, int32_t n_tokens, int32_t k, TokenLogit *top)
{
	for (int32_t i = 0; i < k; i++)
	{
		top[i].token = i;
		top[i].logit = logits[i];
	}
	for (int32_t i = k / 2 - 1; i >= 0; i--)
		sink(top, k, i);
	for (int32_t i = k; i < n_tokens; i++)
	{
		/* later ids lose ties, so only a larger logit can enter */
		if (k > 0 && logits[i] > top[0].logit)
		{
			top[0].token = i;
			top[0].logit = logits[i];
			sink(top, k, 0);
		}
	}

	/* taking the least likely from the heap fills the array from its end */
	for (int32_t left = k - 1; left > 0; left--)
	{
		TokenLogit	least = top[0];

		top[0] = top[left];
		top[left] = least;
		sink(top, left, 0);
	}
}
