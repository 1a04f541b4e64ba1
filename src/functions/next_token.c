/*-------------------------------------------------------------------------
 *
 * next_token.c
 *	  llm.next_token(): what a model expects to follow a prompt.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "engine/base/math64.h"
#include "functions/generation.h"

PG_FUNCTION_INFO_V1(llm_next_token);
PG_FUNCTION_INFO_V1(llm_next_token_default);

static void
return_tokens(ReturnSetInfo *rsinfo, const ModelUse *use,
			  const float *logits, int32 k)
{
	int32		n_tokens = use->tokenizer.n_tokens;
	LogprobBase base = logprob_base(logits, n_tokens);
	TokenLogit *top = MemoryContextAllocHuge(use->context,
											 k * sizeof(TokenLogit));

	top_tokens(logits, n_tokens, k, top);
	for (int32 i = 0; i < k; i++)
	{
		double		logprob = logprob_of(base, top[i].logit);
		Datum		values[5];
		bool		nulls[5] = {false};

		CHECK_FOR_INTERRUPTS();
		values[0] = Int32GetDatum(i);
		values[1] = Int32GetDatum(top[i].token);
		values[2] = PointerGetDatum(token_text(use, top[i].token));
		values[3] = Float8GetDatum(logprob);
		values[4] = Float8GetDatum(math_exp(logprob));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
	}
}

/*
 * The prompt is followed by top_k, of which NULL means all, and, if there is a
 * model, options: in both forms, a NULL without a type could mean either.
 */
static Datum
next_token(FunctionCallInfo fcinfo, const ModelRef *model, int argument)
{
	Options    *options = options_read(OPTIONS_NEXT_TOKEN,
									   PG_NARGS() > argument + 2 ?
									   ARG_JSONB(argument + 2) : NULL,
									   model->options);
	int32		k = PG_ARGISNULL(argument + 1) ? PG_INT32_MAX :
		PG_GETARG_INT32(argument + 1);
	ModelUse   *use;
	TokenList	list;
	size_t		length;
	const char *utf8 = text_to_utf8(PG_GETARG_TEXT_PP(argument), &length);

	if (k < 1)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("top_k must be at least 1"));
	use = model_use_begin(model);
	list = prompt_encode(use, utf8, length, options);
	prompt_fit(use, options, &list);
	return_tokens((ReturnSetInfo *) fcinfo->resultinfo, use,
				  generation_logits(use, options, &list),
				  Min(k, use->tokenizer.n_tokens));
	model_use_end(use);
	return (Datum) 0;
}

/* llm.next_token(model, prompt, top_k, options) */
Datum
llm_next_token(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	return next_token(fcinfo, model_lookup(ARG_CSTRING(0), MODEL_GENERATE),
					  1);
}

/* llm.next_token(prompt, top_k) */
Datum
llm_next_token_default(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	return next_token(fcinfo, model_lookup(NULL, MODEL_GENERATE), 0);
}
