/*-------------------------------------------------------------------------
 *
 * sampler.c
 *	  From logits to the next token: bias, penalties, filters, draw.
 *
 * The order is fixed: logit_bias, repeat penalty, presence and frequency
 * penalties, end tokens; then the most likely token (temperature 0), or
 * top_k, typical_p, top_p, min_p and a draw at the temperature.  All of it is
 * double precision with our own exp and log.  Tokens of probability zero
 * (-inf) are never candidates.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "decode/sampler.h"

#include "decode/candidates.h"
#include "decode/philox.h"

#include <string.h>

/* Does anything but ignore_end change the logits before a token is chosen? */
static bool
adjusts_more(const SamplerOptions *options)
{
	return options->n_bias > 0 ||
		(options->repeat_penalty != 1.0 && options->repeat_last_n != 0) ||
		options->presence_penalty != 0.0 ||
		options->frequency_penalty != 0.0;
}

static bool
adjusts(const SamplerOptions *options)
{
	return options->ignore_end || adjusts_more(options);
}

EngineCode
sampler_open(Sampler *sampler, const SamplerOptions *options,
			 int32_t vocabulary, int32_t n_tokens, const int32_t *end_tokens,
			 int n_end_tokens, EngineArena *arena, EngineStatus *status)
{
	SamplerScratch *scratch;

	sampler->options = *options;
	sampler->vocabulary = vocabulary;
	sampler->n_tokens = n_tokens < vocabulary ? n_tokens : vocabulary;
	sampler->end_tokens = end_tokens;
	sampler->n_end_tokens = n_end_tokens;
	sampler->scratch = NULL;

	/* the plain greedy choice needs no memory */
	if (options->temperature == 0.0 && !adjusts(options))
		return ENGINE_OK;

	scratch = engine_alloc(arena, 1, sizeof(*scratch), status);
	if (scratch == NULL)
		return status->code;
	sampler->scratch = scratch;
	scratch->x = engine_alloc(arena, (size_t) sampler->n_tokens,
							  sizeof(double), status);
	scratch->counts = engine_alloc(arena, (size_t) sampler->n_tokens,
								   sizeof(int32_t), status);
	if (scratch->x == NULL || scratch->counts == NULL)
		return status->code;
	if (options->temperature == 0.0)
		return ENGINE_OK;
	return candidates_open(&scratch->candidates, sampler->n_tokens, arena,
						   status);
}

void
sampler_borrow(Sampler *sampler, const Sampler *lender,
			   const SamplerOptions *options)
{
	*sampler = *lender;
	sampler->options = *options;
	if (options->temperature == 0.0 && !adjusts(options))
		sampler->scratch = NULL;
}

static inline bool
in_range(const Sampler *sampler, int32_t token)
{
	return token >= 0 && token < sampler->n_tokens;
}

static void
add_bias(Sampler *sampler)
{
	const SamplerOptions *options = &sampler->options;

	for (int i = 0; i < options->n_bias; i++)
		if (in_range(sampler, options->bias[i].token))
			sampler->scratch->x[options->bias[i].token] +=
				(double) options->bias[i].bias;
}

/* l > 0 ? l / r : l * r, once for each token among the last n. */
static void
penalise_repeats(Sampler *sampler, const int32_t *history, int64_t n_history)
{
	const SamplerOptions *options = &sampler->options;
	double	   *x = sampler->scratch->x;
	int32_t    *seen = sampler->scratch->counts;
	int64_t		first = 0;

	if (options->repeat_penalty == 1.0 || options->repeat_last_n == 0)
		return;
	if (options->repeat_last_n > 0 && n_history > options->repeat_last_n)
		first = n_history - options->repeat_last_n;
	for (int64_t i = first; i < n_history; i++)
	{
		int32_t		token = history[i];

		if (!in_range(sampler, token) || seen[token]++ > 0)
			continue;
		x[token] = x[token] > 0.0 ? x[token] / options->repeat_penalty :
			x[token] * options->repeat_penalty;
	}
	for (int64_t i = first; i < n_history; i++)
		if (in_range(sampler, history[i]))
			seen[history[i]] = 0;
}

/* l -= frequency * count + presence * (count > 0), over the output only. */
static void
penalise_output(Sampler *sampler, const int32_t *output, int64_t n_output)
{
	const SamplerOptions *options = &sampler->options;
	int32_t    *counts = sampler->scratch->counts;

	if (options->presence_penalty == 0.0 && options->frequency_penalty == 0.0)
		return;
	for (int64_t i = 0; i < n_output; i++)
		if (in_range(sampler, output[i]))
			counts[output[i]]++;
	for (int64_t i = 0; i < n_output; i++)
	{
		int32_t		token = output[i];

		if (!in_range(sampler, token) || counts[token] == 0)
			continue;
		sampler->scratch->x[token] -=
			options->frequency_penalty * (double) counts[token] +
			options->presence_penalty;
		counts[token] = 0;
	}
}

static void
adjust_logits(Sampler *sampler, const float *logits, const int32_t *history,
			  int64_t n_history, int64_t n_prompt)
{
	double	   *x = sampler->scratch->x;

	for (int32_t i = 0; i < sampler->n_tokens; i++)
		x[i] = (double) logits[i];
	add_bias(sampler);
	penalise_repeats(sampler, history, n_history);
	penalise_output(sampler, history + n_prompt, n_history - n_prompt);
	if (sampler->options.ignore_end)
		for (int i = 0; i < sampler->n_end_tokens; i++)
			if (in_range(sampler, sampler->end_tokens[i]))
				x[sampler->end_tokens[i]] = -__builtin_inf();
}

static EngineCode
no_token_left(EngineStatus *status)
{
	engine_fail(status, ENGINE_INVALID, "no token is left to choose from");
	engine_detail(status,
				  "Every token of the vocabulary has probability zero.");
	return ENGINE_INVALID;
}

/* The largest, the lowest id among equals; NaN is never the largest. */
static EngineCode
pick_largest(const Sampler *sampler, int32_t *token, EngineStatus *status)
{
	const double *x = sampler->scratch->x;
	double		max = -__builtin_inf();

	*token = -1;
	for (int32_t i = 0; i < sampler->n_tokens; i++)
		if (x[i] > max)
		{
			max = x[i];
			*token = i;
		}
	return *token < 0 ? no_token_left(status) : ENGINE_OK;
}

static EngineCode
collect_candidates(Sampler *sampler, EngineStatus *status)
{
	Candidates *set = &sampler->scratch->candidates;
	const double *x = sampler->scratch->x;

	set->n = 0;
	for (int32_t i = 0; i < sampler->n_tokens; i++)
		if (x[i] > -__builtin_inf() && x[i] < __builtin_inf())
		{
			set->id[set->n] = i;
			set->x[set->n] = x[i];
			set->n++;
		}
	return set->n == 0 ? no_token_left(status) : ENGINE_OK;
}

static EngineCode
pick_random(Sampler *sampler, int64_t index, int32_t *token,
			EngineStatus *status)
{
	const SamplerOptions *options = &sampler->options;
	Candidates *set = &sampler->scratch->candidates;

	ENGINE_TRY(collect_candidates(sampler, status));
	if (options->top_k > 0)
		candidates_top_k(set, options->top_k);
	if (options->typical_p < 1.0)
		candidates_typical(set, options->typical_p);
	if (options->top_p < 1.0)
		candidates_top_p(set, options->top_p);
	if (options->min_p > 0.0)
		candidates_min_p(set, options->min_p);
	*token = candidates_draw(set, options->temperature,
							 philox_uniform(options->seed,
											(uint32_t) index));
	return ENGINE_OK;
}

static bool
is_end(const Sampler *sampler, int32_t token)
{
	for (int i = 0; i < sampler->n_end_tokens; i++)
		if (sampler->end_tokens[i] == token)
			return true;
	return false;
}

/*
 * The most likely token, if that is all there is to choose: also with
 * ignore_end, unless it is an end token.
 */
static bool
pick_plain(const Sampler *sampler, const KernelSet *kernels,
		   const float *logits, int32_t *token)
{
	const SamplerOptions *options = &sampler->options;

	if (sampler->scratch != NULL &&
		(options->temperature != 0.0 || adjusts_more(options)))
		return false;
	*token = (int32_t) kernels->argmax(logits, sampler->n_tokens);
	return sampler->scratch == NULL || !is_end(sampler, *token);
}

EngineCode
sampler_pick(Sampler *sampler, const KernelSet *kernels, const float *logits,
			 const int32_t *history, int64_t n_history, int64_t n_prompt,
			 int64_t index, int32_t *token, EngineStatus *status)
{
	EngineCode	code;
	uint64_t	saved;

	if (pick_plain(sampler, kernels, logits, token))
		return logits[*token] > -__builtin_inff() ? ENGINE_OK :
			no_token_left(status);
	saved = kernels_enter();
	adjust_logits(sampler, logits, history, n_history, n_prompt);
	if (sampler->options.temperature == 0.0)
		code = pick_largest(sampler, token, status);
	else
		code = pick_random(sampler, index, token, status);
	kernels_leave(saved);
	return code;
}
