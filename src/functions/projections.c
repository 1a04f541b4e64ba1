/*-------------------------------------------------------------------------
 *
 * projections.c
 *	  llm.projections(): the query, key and value of each token in one head.
 *
 * Keys and values are shown as attention reads them: models that are not f32
 * throughout keep them in f16.  So query times key, scaled, is the score that
 * llm.attention() shows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "utils/tuplestore.h"

#include "engine/kernels/half.h"
#include "functions/inspect_call.h"

PG_FUNCTION_INFO_V1(llm_projections);

typedef struct Projections
{
	Inspection *inspection;
	ReturnSetInfo *rsinfo;
	int			head;
	int			kv_head;
	float	   *query;			/* [n][key_length] */
	float	   *key;			/* [n][key_length] */
	float	   *value;			/* [value_length] */
} Projections;

/* A vector of a head, rounded as it is stored. */
static void
copy_stored(const Projections *projections, const float *x, int n, float *out)
{
	bool		half = projections->inspection->use->hyper->kv_type == KV_F16;

	for (int i = 0; i < n; i++)
		out[i] = half ? f16_to_f32(f32_to_f16(x[i])) : x[i];
}

static void
put_row(Projections *projections, int position)
{
	const Hyper *hyper = projections->inspection->use->hyper;
	size_t		offset = (size_t) position * hyper->key_length;
	Datum		values[6];
	bool		nulls[6] = {false};

	values[0] = Int32GetDatum(position);
	values[1] = PointerGetDatum(inspect_token(projections->inspection,
											  position));
	values[2] = Int32GetDatum(projections->kv_head);
	values[3] = inspect_vector(projections->query + offset,
							   hyper->key_length);
	values[4] = inspect_vector(projections->key + offset, hyper->key_length);
	values[5] = inspect_vector(projections->value, hyper->value_length);
	tuplestore_putvalues(projections->rsinfo->setResult,
						 projections->rsinfo->setDesc, values, nulls);
	pfree(DatumGetPointer(values[1]));
	for (int i = 3; i < 6; i++)
		pfree(DatumGetPointer(values[i]));
}

/* The value of a token is the last that the pass shows of it. */
static void
see_projections(void *arg, const ProbeEvent *event)
{
	Projections *projections = arg;
	const Hyper *hyper = projections->inspection->use->hyper;
	int			key_length = hyper->key_length;

	for (int i = 0; i < event->n_rows; i++)
	{
		int			position = event->first_row + i;
		size_t		offset = (size_t) position * key_length;
		const float *row = event->data + i * event->stride;

		CHECK_FOR_INTERRUPTS();
		if (event->stage == PROBE_QUERY)
			memcpy(projections->query + offset,
				   row + projections->head * key_length,
				   key_length * sizeof(float));
		else if (event->stage == PROBE_KEY)
			copy_stored(projections, row + projections->kv_head * key_length,
						key_length, projections->key + offset);
		else
		{
			copy_stored(projections,
						row + projections->kv_head * hyper->value_length,
						hyper->value_length, projections->value);
			put_row(projections, position);
		}
	}
}

/* llm.projections(model, input, layer, head) */
Datum
llm_projections(PG_FUNCTION_ARGS)
{
	Inspection *inspection = inspect_call(fcinfo, 4, false);
	Projections projections = {
		inspection, (ReturnSetInfo *) fcinfo->resultinfo
	};
	const Hyper *hyper;
	MemoryContext context;
	size_t		bytes;
	int			layer;

	if (inspection == NULL)
		return (Datum) 0;
	hyper = inspection->use->hyper;
	context = inspection->use->context;
	layer = inspect_number(fcinfo, 2, "layer", 0, hyper->n_layers);
	projections.head = inspect_number(fcinfo, 3, "head", 0, hyper->n_heads);
	projections.kv_head = projections.head /
		(hyper->n_heads / hyper->n_kv_heads);
	bytes = (size_t) inspection->n * hyper->key_length * sizeof(float);
	projections.query = MemoryContextAllocHuge(context, bytes);
	projections.key = MemoryContextAllocHuge(context, bytes);
	projections.value = MemoryContextAlloc(context, hyper->value_length *
										   sizeof(float));
	inspect_run(inspection,
				PROBE_ENDS_PASS | PROBE_BIT(PROBE_QUERY) |
				PROBE_BIT(PROBE_KEY) | PROBE_BIT(PROBE_VALUE),
				layer, INSPECT_ALL, see_projections, &projections);
	inspect_end(inspection);
	return (Datum) 0;
}
