/*-------------------------------------------------------------------------
 *
 * residual_stream.c
 *	  llm.hidden_states() and llm.residuals(): what a text is between the
 *	  blocks of a model, and what each sublayer adds to it.
 *
 * Rows leave for the result as the pass shows them, so that no more than one
 * state of each token is kept, however many layers there are.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "engine/base/similarity.h"
#include "functions/inspect_call.h"

PG_FUNCTION_INFO_V1(llm_hidden_states);
PG_FUNCTION_INFO_V1(llm_residuals);

typedef struct Stream
{
	Inspection *inspection;
	ReturnSetInfo *rsinfo;
	int			d;

	/* of llm.residuals(), by position */
	float	   *before;			/* [n][d] what a sublayer adds to */
	double	   *norm_added;
	double	   *cosine;			/* NaN: one of the two is zero */
} Stream;

static void
see_states(void *arg, const ProbeEvent *event)
{
	Stream	   *stream = arg;

	for (int i = 0; i < event->n_rows; i++)
	{
		int			position = event->first_row + i;
		Datum		values[4];
		bool		nulls[4] = {false};

		CHECK_FOR_INTERRUPTS();
		values[0] = Int32GetDatum(event->layer);
		values[1] = Int32GetDatum(position);
		values[2] = PointerGetDatum(inspect_token(stream->inspection,
												  position));
		values[3] = inspect_vector(event->data + i * event->stride,
								   stream->d);
		tuplestore_putvalues(stream->rsinfo->setResult,
							 stream->rsinfo->setDesc, values, nulls);
		pfree(DatumGetPointer(values[2]));
		pfree(DatumGetPointer(values[3]));
	}
}

/* llm.hidden_states(model, input, layer) */
Datum
llm_hidden_states(PG_FUNCTION_ARGS)
{
	Inspection *inspection = inspect_call(fcinfo, 2, false);
	Stream		stream = {inspection, (ReturnSetInfo *) fcinfo->resultinfo};
	uint32		stages = PROBE_BIT(PROBE_EMBEDDING) | PROBE_BIT(PROBE_BLOCK);
	int			layer;

	if (inspection == NULL)
		return (Datum) 0;
	stream.d = inspection->use->hyper->embedding_length;
	layer = inspect_number(fcinfo, 2, "layer", -1,
						   inspection->use->hyper->n_layers);
	if (layer != INSPECT_ALL)
		stages = PROBE_BIT(layer < 0 ? PROBE_EMBEDDING : PROBE_BLOCK);
	inspect_run(inspection, PROBE_ENDS_PASS | stages, layer, INSPECT_ALL,
				see_states, &stream);
	inspect_end(inspection);
	return (Datum) 0;
}

/* The Euclidean norm */
static double
norm(const float *x, int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += (double) x[i] * x[i];
	return sqrt(sum);
}

/* The result's row of a token after a sublayer. */
static void
put_residual(Stream *stream, const ProbeEvent *event, int position,
			 const float *after)
{
	const char *sublayer = event->stage == PROBE_MIDDLE ? "attention" :
		"feed_forward";
	Datum		values[8];
	bool		nulls[8] = {false};

	values[0] = Int32GetDatum(event->layer);
	values[1] = CStringGetTextDatum(sublayer);
	values[2] = Int32GetDatum(position);
	values[3] = PointerGetDatum(inspect_token(stream->inspection, position));
	values[4] = Float4GetDatum((float4) norm(stream->before +
											 (size_t) position * stream->d,
											 stream->d));
	values[5] = Float4GetDatum((float4) stream->norm_added[position]);
	values[6] = Float4GetDatum((float4) norm(after, stream->d));
	values[7] = Float4GetDatum((float4) stream->cosine[position]);
	nulls[7] = isnan(stream->cosine[position]);
	tuplestore_putvalues(stream->rsinfo->setResult, stream->rsinfo->setDesc,
						 values, nulls);
	pfree(DatumGetPointer(values[1]));
	pfree(DatumGetPointer(values[3]));
}

static void
see_residuals(void *arg, const ProbeEvent *event)
{
	Stream	   *stream = arg;
	int			d = stream->d;

	for (int i = 0; i < event->n_rows; i++)
	{
		int			position = event->first_row + i;
		float	   *before = stream->before + (size_t) position * d;
		const float *row = event->data + i * event->stride;

		CHECK_FOR_INTERRUPTS();
		if (event->stage == PROBE_ATTN_ADDED ||
			event->stage == PROBE_FFN_ADDED)
		{
			stream->norm_added[position] = norm(row, d);
			stream->cosine[position] = vector_cosine(before, row, d);
			continue;
		}
		if (event->stage != PROBE_EMBEDDING)
			put_residual(stream, event, position, row);
		memcpy(before, row, d * sizeof(float));
	}
}

/* llm.residuals(model, input) */
Datum
llm_residuals(PG_FUNCTION_ARGS)
{
	Inspection *inspection = inspect_call(fcinfo, 2, false);
	Stream		stream = {inspection, (ReturnSetInfo *) fcinfo->resultinfo};
	MemoryContext context;
	size_t		n;

	if (inspection == NULL)
		return (Datum) 0;
	context = inspection->use->context;
	n = inspection->n;
	stream.d = inspection->use->hyper->embedding_length;
	stream.before = MemoryContextAllocHuge(context, n * stream.d *
										   sizeof(float));
	stream.norm_added = MemoryContextAllocHuge(context, n * sizeof(double));
	stream.cosine = MemoryContextAllocHuge(context, n * sizeof(double));
	inspect_run(inspection,
				PROBE_ENDS_PASS | PROBE_BIT(PROBE_EMBEDDING) |
				PROBE_BIT(PROBE_ATTN_ADDED) | PROBE_BIT(PROBE_MIDDLE) |
				PROBE_BIT(PROBE_FFN_ADDED) | PROBE_BIT(PROBE_BLOCK),
				INSPECT_ALL, INSPECT_ALL, see_residuals, &stream);
	inspect_end(inspection);
	return (Datum) 0;
}
