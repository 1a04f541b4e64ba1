/*-------------------------------------------------------------------------
 *
 * neurons.c
 *	  llm.neurons(): the neurons of the feed-forward network that a text
 *	  activates most.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "utils/tuplestore.h"

#include "engine/decode/sampler.h"
#include "functions/inspect_call.h"

PG_FUNCTION_INFO_V1(llm_neurons);

typedef struct Neurons
{
	Inspection *inspection;
	ReturnSetInfo *rsinfo;
	int			n;
	int32		k;
	float	   *magnitude;		/* [n] */
	TokenLogit *top;			/* [k] neurons, not tokens */
} Neurons;

static void
put_rows(Neurons *neurons, int layer, int position, const float *activations)
{
	text	   *token = inspect_token(neurons->inspection, position);
	int32		token_id = neurons->inspection->tokens.ids[position];

	for (int i = 0; i < neurons->n; i++)
		neurons->magnitude[i] = activations[i] < 0 ? -activations[i] :
			activations[i];
	top_tokens(neurons->magnitude, neurons->n, neurons->k, neurons->top);
	for (int32 i = 0; i < neurons->k; i++)
	{
		int			neuron = neurons->top[i].token;
		Datum		values[6];
		bool		nulls[6] = {false};

		CHECK_FOR_INTERRUPTS();
		values[0] = Int32GetDatum(layer);
		values[1] = Int32GetDatum(position);
		values[2] = Int32GetDatum(token_id);
		values[3] = PointerGetDatum(token);
		values[4] = Int32GetDatum(neuron);
		values[5] = Float4GetDatum(activations[neuron]);
		tuplestore_putvalues(neurons->rsinfo->setResult,
							 neurons->rsinfo->setDesc, values, nulls);
	}
	pfree(token);
}

static void
see_activations(void *arg, const ProbeEvent *event)
{
	for (int i = 0; i < event->n_rows; i++)
		put_rows(arg, event->layer, event->first_row + i,
				 event->data + i * event->stride);
}

/* llm.neurons(model, input, layer, top_k) */
Datum
llm_neurons(PG_FUNCTION_ARGS)
{
	Inspection *inspection = inspect_call(fcinfo, 2, false);
	Neurons		neurons = {inspection, (ReturnSetInfo *) fcinfo->resultinfo};
	MemoryContext context;
	int			layer;

	if (inspection == NULL)
		return (Datum) 0;
	context = inspection->use->context;
	layer = inspect_number(fcinfo, 2, "layer", 0,
						   inspection->use->hyper->n_layers);
	neurons.n = inspection->use->hyper->feed_forward_length;
	neurons.k = Min(inspect_top_k(fcinfo, 3), neurons.n);
	neurons.magnitude = MemoryContextAllocHuge(context, neurons.n *
											   sizeof(float));
	neurons.top = MemoryContextAllocHuge(context, neurons.k *
										 sizeof(TokenLogit));
	inspect_run(inspection, PROBE_ENDS_PASS | PROBE_BIT(PROBE_NEURONS),
				layer, INSPECT_ALL, see_activations, &neurons);
	inspect_end(inspection);
	return (Datum) 0;
}
