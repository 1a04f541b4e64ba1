/*-------------------------------------------------------------------------
 *
 * logit_lens.c
 *	  llm.logit_lens(): what each layer would predict.
 *
 * The state after every block goes through the final norm and the
 * unembedding, as if it were the last one's (nostalgebraist, "interpreting
 * GPT: the logit lens", 2020).  This happens while the pass stands still
 * between two blocks, some rows at a time, so that neither the states nor the
 * logits of a whole text are ever kept.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "utils/tuplestore.h"

#include "engine/base/math64.h"
#include "engine/decode/sampler.h"
#include "functions/inspect_call.h"

PG_FUNCTION_INFO_V1(llm_logit_lens);

typedef struct Lens
{
	Inspection *inspection;
	ReturnSetInfo *rsinfo;
	int32		k;
	TokenLogit *top;			/* [k] */
} Lens;

static void
put_rows(Lens *lens, int layer, int position, const float *logits)
{
	ModelUse   *use = lens->inspection->use;
	LogprobBase base = logprob_base(logits, use->tokenizer.n_tokens);

	top_tokens(logits, use->tokenizer.n_tokens, lens->k, lens->top);
	for (int32 i = 0; i < lens->k; i++)
	{
		Datum		values[6];
		bool		nulls[6] = {false};

		CHECK_FOR_INTERRUPTS();
		values[0] = Int32GetDatum(layer);
		values[1] = Int32GetDatum(position);
		values[2] = Int32GetDatum(i);
		values[3] = Int32GetDatum(lens->top[i].token);
		values[4] = PointerGetDatum(token_text(use, lens->top[i].token));
		values[5] = Float8GetDatum(math_exp(logprob_of(base,
													   lens->top[i].logit)));
		tuplestore_putvalues(lens->rsinfo->setResult, lens->rsinfo->setDesc,
							 values, nulls);
		pfree(DatumGetPointer(values[4]));
	}
}

static void
see_states(void *arg, const ProbeEvent *event)
{
	Lens	   *lens = arg;
	int			n;

	for (int first = 0; first < event->n_rows; first += n)
	{
		float	   *const *logits;

		n = Min(event->n_rows - first, INSPECT_OUTPUTS);
		logits = inspect_logits(lens->inspection,
								event->data + first * event->stride,
								event->stride, n, false);
		for (int i = 0; i < n; i++)
			put_rows(lens, event->layer, event->first_row + first + i,
					 logits[i]);
	}
}

/* llm.logit_lens(model, input, top_k) */
Datum
llm_logit_lens(PG_FUNCTION_ARGS)
{
	Inspection *inspection = inspect_call(fcinfo, 2, true);
	Lens		lens = {inspection, (ReturnSetInfo *) fcinfo->resultinfo};

	if (inspection == NULL)
		return (Datum) 0;
	lens.k = Min(inspect_top_k(fcinfo, 2),
				 inspection->use->tokenizer.n_tokens);
	lens.top = MemoryContextAllocHuge(inspection->use->context,
									  lens.k * sizeof(TokenLogit));
	inspect_run(inspection,
				PROBE_ENDS_PASS | PROBE_BIT(PROBE_EMBEDDING) |
				PROBE_BIT(PROBE_BLOCK), INSPECT_ALL, INSPECT_ALL, see_states,
				&lens);
	inspect_end(inspection);
	return (Datum) 0;
}
