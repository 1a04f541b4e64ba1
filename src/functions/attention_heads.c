/*-------------------------------------------------------------------------
 *
 * attention_heads.c
 *	  llm.attention_heads(): what each head of a model looks at in a text.
 *
 * Events come by layer and head, so that one account is enough: it becomes a
 * row with the last query of a head.  The first token takes what a head does
 * not need elsewhere; so the token that most weight goes to is another one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/tuplestore.h"

#include "engine/base/math64.h"
#include "functions/inspect.h"

PG_FUNCTION_INFO_V1(llm_attention_heads);

/* One key, over the queries that see it */
typedef struct KeyAccount
{
	double		weight;			/* sum */
	int			queries;
} KeyAccount;

typedef struct HeadAccount
{
	const Inspection *inspection;
	ReturnSetInfo *rsinfo;
	/* sums over the queries of the head */
	double		entropy;
	double		previous;
	double		first;
	double		self;
	KeyAccount *keys;			/* [n] */
} HeadAccount;

static void
account_clear(HeadAccount *account)
{
	account->entropy = account->previous = account->first = account->self = 0;
	memset(account->keys, 0, account->inspection->n * sizeof(KeyAccount));
}

/*
 * The entropy of a query's weights: the logarithm of a weight is its score
 * minus what is the same for all keys, so one logarithm is enough.
 */
static double
query_entropy(const float *scores, const float *weights, int64 n)
{
	double		sum = 0;
	double		with_scores = 0;
	int64		largest = 0;
	double		common;

	for (int64 key = 0; key < n; key++)
	{
		double		weight = weights[key];

		if (weight == 0)
			continue;
		sum += weight;
		with_scores += weight * scores[key];
		if (weights[key] > weights[largest])
			largest = key;
	}
	common = scores[largest] - math_log(weights[largest]);
	return Max(sum * common - with_scores, 0);
}

static void
account_query(HeadAccount *account, const ProbeEvent *event)
{
	const float *scores = event->data;
	const float *weights = event->data + event->stride;
	int			query = event->first_row;

	for (int key = 0; key < event->n_columns; key++)
	{
		if (scores[key] == -get_float4_infinity())
			continue;
		account->keys[key].weight += weights[key];
		account->keys[key].queries++;
	}
	account->entropy += query_entropy(scores, weights, event->n_columns);
	account->self += weights[query];
	if (query == 0)
		return;
	account->previous += weights[query - 1];
	account->first += weights[0];
}

/* The key with the largest mean weight, of equal ones the first. */
static int
most_attended(const HeadAccount *account)
{
	int			n = account->inspection->n;
	int			best = n - 1;
	double		most = -1;

	for (int key = n > 1 ? 1 : 0; key < n; key++)
	{
		const KeyAccount *seen = &account->keys[key];
		double		mean = seen->weight / seen->queries;

		if (mean > most)
		{
			most = mean;
			best = key;
		}
	}
	return best;
}

static void
put_head(const HeadAccount *account, int layer, int head)
{
	int			n = account->inspection->n;
	Datum		values[7];
	bool		nulls[7] = {false};

	values[0] = Int32GetDatum(layer);
	values[1] = Int32GetDatum(head);
	values[2] = Float8GetDatum(account->entropy / n);
	nulls[3] = nulls[4] = n == 1;
	values[3] = Float8GetDatum(account->previous / Max(n - 1, 1));
	values[4] = Float8GetDatum(account->first / Max(n - 1, 1));
	values[5] = Float8GetDatum(account->self / n);
	values[6] = PointerGetDatum(inspect_token(account->inspection,
											  most_attended(account)));
	tuplestore_putvalues(account->rsinfo->setResult,
						 account->rsinfo->setDesc, values, nulls);
	pfree(DatumGetPointer(values[6]));
}

static void
see_query(void *arg, const ProbeEvent *event)
{
	HeadAccount *account = arg;

	CHECK_FOR_INTERRUPTS();
	if (event->first_row == 0)
		account_clear(account);
	account_query(account, event);
	if (event->first_row == account->inspection->n - 1)
		put_head(account, event->layer, event->head);
}

/* llm.attention_heads(model, input, options) */
Datum
llm_attention_heads(PG_FUNCTION_ARGS)
{
	HeadAccount account = {0};
	Inspection *inspection;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	inspection = inspect_begin(model_lookup(ARG_CSTRING(0), MODEL_ANY),
							   PG_GETARG_TEXT_PP(1), false, ARG_JSONB(2));
	account.inspection = inspection;
	account.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	account.keys = MemoryContextAllocHuge(inspection->use->context,
										  inspection->n * sizeof(KeyAccount));
	inspect_run(inspection, PROBE_BIT(PROBE_ATTENTION) | PROBE_ENDS_PASS,
				INSPECT_ALL, INSPECT_ALL, see_query, &account);
	inspect_end(inspection);
	return (Datum) 0;
}
