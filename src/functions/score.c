/*-------------------------------------------------------------------------
 *
 * score.c
 *	  How likely a model finds a text: llm.token_logprobs(),
 *	  llm.cross_entropy(), llm.perplexity() and llm.score().
 *
 * The hidden state of a token predicts the one behind it, so the first token
 * has no log-probability.  Logits are computed for the states that predict
 * tokens to score, a group at a time, and for no others.
 *
 * A text that is cut into windows is scored as other engines do it, so that
 * numbers compare: every window is a text of its own, tokens with more than
 * half a window before them are scored, a window that is not full is left
 * out, and if the text begins with BOS then so does every window, in place of
 * its first token.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "engine/base/math64.h"
#include "functions/call_cache.h"
#include "functions/inspect.h"
#include "functions/prompt.h"

PG_FUNCTION_INFO_V1(llm_token_logprobs);
PG_FUNCTION_INFO_V1(llm_cross_entropy);
PG_FUNCTION_INFO_V1(llm_perplexity);
PG_FUNCTION_INFO_V1(llm_score);

/* Log-probabilities, added in the order of the tokens. */
typedef struct LogprobSum
{
	double		sum;
	int64		n;
} LogprobSum;

/* Sees the logits that predict the token at a position. */
typedef void (*ScoreSee) (void *arg, const Inspection *inspection,
						  int position, const float *logits);

/* Tokens first .. end - 1 of the last pass; first is at least 1. */
static void
score_tokens(Inspection *inspection, int first, int end, ScoreSee see,
			 void *arg)
{
	const Encoder *encoder = &inspection->encoder;
	size_t		stride;

	if (first >= end)
		return;
	stride = encoder_hidden(encoder, 0, 1) - encoder_hidden(encoder, 0, 0);
	for (int group = first; group < end; group += INSPECT_OUTPUTS)
	{
		int			n = Min(INSPECT_OUTPUTS, end - group);
		float	   *const *logits =
			inspect_logits(inspection, encoder_hidden(encoder, 0, group - 1),
						   stride, n, true);

		for (int i = 0; i < n; i++)
			see(arg, inspection, group + i, logits[i]);
	}
}

static double
token_logprob(const Inspection *inspection, int position,
			  const float *logits)
{
	LogprobBase base = logprob_base(logits,
									inspection->use->tokenizer.n_tokens);

	return logprob_of(base, logits[inspection->tokens.ids[position]]);
}

static void
add_logprob(void *arg, const Inspection *inspection, int position,
			const float *logits)
{
	LogprobSum *total = arg;

	total->sum += token_logprob(inspection, position, logits);
	total->n++;
}

static TokenList
encode(ModelUse *use, const text *input, const Options *options)
{
	MemoryContext old = MemoryContextSwitchTo(use->context);
	size_t		length;
	const char *utf8 = text_to_utf8(input, &length);
	TokenList	list = prompt_encode(use, utf8, length, options);

	MemoryContextSwitchTo(old);
	return list;
}

/* A text of at least two tokens that fits the context. */
static LogprobSum
sum_whole(ModelUse *use, TokenList tokens, const Options *options)
{
	LogprobSum	total = {0};
	Inspection *inspection = inspect_begin_tokens(use, tokens, (int) tokens.n,
												  true, options);

	inspect_run(inspection, 0, INSPECT_ALL, INSPECT_ALL, NULL, NULL);
	score_tokens(inspection, 1, inspection->n, add_logprob, &total);
	return total;
}

static void
check_window(const ModelUse *use, const TokenList *tokens, int window)
{
	if (window > use->context_length)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a window of %d tokens is longer than the context of model \"%s\"",
					   window, use->model->name),
				errdetail("Its context length is " INT64_FORMAT ".",
						  use->context_length));
	if (tokens->n < (size_t) window)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("text has %zu tokens, which do not fill a window of %d",
					   tokens->n, window),
				errhint("Leave out the option \"window\", or choose a smaller one."));
	prompt_check_limit(tokens);
}

static LogprobSum
sum_windows(ModelUse *use, TokenList tokens, const Options *options)
{
	LogprobSum	total = {0};
	bool		begins = use->tokenizer.bos >= 0 &&
		tokens.ids[0] == use->tokenizer.bos;
	int			window = options->window;
	size_t		left = tokens.n;
	Inspection *inspection = inspect_begin_tokens(use, tokens, window, true,
												  options);

	for (; left >= (size_t) window; left -= window)
	{
		if (begins)
			inspection->tokens.ids[0] = use->tokenizer.bos;
		inspect_run(inspection, 0, INSPECT_ALL, INSPECT_ALL, NULL, NULL);
		score_tokens(inspection, window / 2 + 1, window, add_logprob,
					 &total);
		inspection->tokens.ids += window;
	}
	return total;
}

/* What the text's tokens add up to; n is 0 when none has a context. */
static LogprobSum
sum_text(const ModelRef *model, const text *input, const Options *options)
{
	LogprobSum	total = {0};
	ModelUse   *use = model_use_begin(model);
	TokenList	tokens = encode(use, input, options);

	if (options->window > 0)
	{
		check_window(use, &tokens, options->window);
		total = sum_windows(use, tokens, options);
	}
	else
	{
		prompt_fit(use, options, &tokens);
		if (tokens.n > 1)
			total = sum_whole(use, tokens, options);
	}
	model_use_end(use);
	return total;
}

/* of_mean: from the mean negative log-probability to the result. */
static Datum
score_text(FunctionCallInfo fcinfo, double (*of_mean) (double mean))
{
	ModelRef   *model;
	CallKey		key;
	LogprobSum	total;
	Datum		result;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	model = model_lookup(ARG_CSTRING(0), MODEL_ANY);
	key = call_key(fcinfo, "vvv", model);
	if (call_cache_get(fcinfo, &key, &result))
		return result;
	total = sum_text(model, PG_GETARG_TEXT_PP(1),
					 options_read(OPTIONS_SCORE, ARG_JSONB(2),
								  model->options));
	if (total.n == 0)
		PG_RETURN_NULL();
	result = Float8GetDatum(of_mean(-total.sum / (double) total.n));
	call_cache_put(fcinfo, &key, result, true);
	return result;
}

static double
same(double mean)
{
	return mean;
}

/* llm.cross_entropy(model, input, options) */
Datum
llm_cross_entropy(PG_FUNCTION_ARGS)
{
	return score_text(fcinfo, same);
}

/* llm.perplexity(model, input, options) */
Datum
llm_perplexity(PG_FUNCTION_ARGS)
{
	return score_text(fcinfo, math_exp);
}

/*
 * The prompt as it is read for llm.next_token(), and behind it the tokens of
 * the continuation alone, which are what is scored: cutting the joined text
 * into tokens might make one of the end of one and the beginning of the other.
 */
static TokenList
encode_both(ModelUse *use, const text *prompt, const text *continuation,
			const Options *options, int *n_prompt)
{
	TokenList	list = encode(use, prompt, options);
	MemoryContext old = MemoryContextSwitchTo(use->context);
	size_t		length;
	const char *utf8 = text_to_utf8(continuation, &length);
	int			flags = 0;
	EngineStatus status;

	/* some models read a space before what begins a text, but only there */
	if (VARSIZE_ANY_EXHDR(prompt) > 0)
		flags = TOKENIZE_CONTINUES;
	*n_prompt = (int) list.n;
	model_use_check(use,
					tokenizer_encode(&use->tokenizer, utf8, length, NULL,
									 flags, &use->arena, engine_host(),
									 &list, &status),
					&status);
	MemoryContextSwitchTo(old);
	return list;
}

static double
score(const ModelRef *model, const text *prompt, const text *continuation,
	  const Jsonb *call)
{
	Options    *options = options_read(OPTIONS_INSPECT, call, model->options);
	ModelUse   *use = model_use_begin(model);
	LogprobSum	total = {0};
	int			n_prompt;
	TokenList	tokens = encode_both(use, prompt, continuation, options,
									 &n_prompt);
	Inspection *inspection;

	prompt_fit(use, options, &tokens);
	inspection = inspect_begin_tokens(use, tokens, (int) tokens.n, true,
									  options);
	if (inspection->n > n_prompt)
		inspect_run(inspection, 0, INSPECT_ALL, INSPECT_ALL, NULL, NULL);
	score_tokens(inspection, n_prompt, inspection->n, add_logprob, &total);
	inspect_end(inspection);
	return total.sum;
}

/* llm.score(model, prompt, continuation, options) */
Datum
llm_score(PG_FUNCTION_ARGS)
{
	ModelRef   *model;
	CallKey		key;
	Datum		result;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	model = model_lookup(ARG_CSTRING(0), MODEL_ANY);
	key = call_key(fcinfo, "vvvv", model);
	if (call_cache_get(fcinfo, &key, &result))
		return result;
	result = Float8GetDatum(score(model, PG_GETARG_TEXT_PP(1),
								  PG_GETARG_TEXT_PP(2), ARG_JSONB(3)));
	call_cache_put(fcinfo, &key, result, true);
	return result;
}

/* How many tokens the model finds likelier; of equal ones the lower ids. */
static int
token_rank(const Inspection *inspection, int position, const float *logits)
{
	int32		token = inspection->tokens.ids[position];
	int			rank = 0;

	for (int32 i = 0; i < inspection->use->tokenizer.n_tokens; i++)
		rank += logits[i] > logits[token] ||
			(logits[i] == logits[token] && i < token);
	return rank;
}

/* logits NULL: nothing predicts the token */
static void
put_token(void *arg, const Inspection *inspection, int position,
		  const float *logits)
{
	ReturnSetInfo *rsinfo = arg;
	text	   *token = inspect_token(inspection, position);
	Datum		values[5] = {
		Int32GetDatum(position),
		Int32GetDatum(inspection->tokens.ids[position]),
		PointerGetDatum(token)
	};
	bool		nulls[5] = {false, false, false, logits == NULL,
	logits == NULL};

	if (logits != NULL)
	{
		values[3] = Float8GetDatum(token_logprob(inspection, position,
												 logits));
		values[4] = Int32GetDatum(token_rank(inspection, position, logits));
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	pfree(token);
}

/* llm.token_logprobs(model, input, options) */
Datum
llm_token_logprobs(PG_FUNCTION_ARGS)
{
	Inspection *inspection;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	inspection = inspect_begin(model_lookup(ARG_CSTRING(0), MODEL_ANY),
							   PG_GETARG_TEXT_PP(1), true, ARG_JSONB(2));
	if (inspection->n > 1)
		inspect_run(inspection, 0, INSPECT_ALL, INSPECT_ALL, NULL, NULL);
	put_token(fcinfo->resultinfo, inspection, 0, NULL);
	score_tokens(inspection, 1, inspection->n, put_token,
				 fcinfo->resultinfo);
	inspect_end(inspection);
	return (Datum) 0;
}
