/*-------------------------------------------------------------------------
 *
 * attention.c
 *	  llm.attention() and llm.attention_matrix(): what every token of a text
 *	  attends to.
 *
 * Events come by layer, head and query, so rows go straight into the result,
 * which spills to disk; what is kept grows with the text, not with the rows.
 * A key that a query cannot see is known by its score, minus infinity: a
 * weight of 0 may as well be one that is too small for a float.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/tuplestore.h"

#include "functions/inspect.h"

PG_FUNCTION_INFO_V1(llm_attention);
PG_FUNCTION_INFO_V1(llm_attention_matrix);

/* Rows that llm.attention() gives at most. */
#define ATTENTION_ROWS INT64CONST(100000000)

/* Rows between two questions whether to go on */
#define ROWS_AT_A_TIME 1024

typedef struct AttentionRows
{
	ReturnSetInfo *rsinfo;
	Datum	   *tokens;			/* [n] texts */
} AttentionRows;

typedef struct AttentionMatrix
{
	int			n;
	float4	   *weights;		/* [n][n], zeroed */
} AttentionMatrix;

/* Keys that all queries of a text see in one head of a layer. */
static int64
keys_seen(const Hyper *hyper, int layer, int64 n)
{
	int64		window = layer_window(hyper, layer);
	int64		before = n - 1; /* how far a query sees */
	int64		to_one_side;

	if (window > 0)
		before = Min(before, hyper->causal ? window - 1 : window / 2);
	/* each query itself, and query i the min(i, before) keys before it */
	to_one_side = before * (before + 1) / 2 + before * (n - 1 - before);
	return n + (hyper->causal ? 1 : 2) * to_one_side;
}

/* An error if there are too many rows. */
static void
check_rows(const Inspection *inspection, int layer, int head)
{
	const Hyper *hyper = inspection->use->hyper;
	int			heads = head == INSPECT_ALL ? hyper->n_heads : 1;
	int64		rows = 0;

	for (int i = 0; i < hyper->n_layers; i++)
		if (layer == INSPECT_ALL || layer == i)
			rows += heads * keys_seen(hyper, i, inspection->n);
	if (rows <= ATTENTION_ROWS)
		return;
	ereport(ERROR,
			errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			errmsg("attention of %d tokens would have " INT64_FORMAT " rows",
				   inspection->n, rows),
			errdetail("There can be " INT64_FORMAT ".", ATTENTION_ROWS),
			layer == INSPECT_ALL ? errhint("Ask for one layer.") :
			head == INSPECT_ALL ? errhint("Ask for one head.") :
			errhint("Ask for a shorter text."));
}

/* Made once: a text stands in rows by the square of its length. */
static Datum *
token_texts(const Inspection *inspection)
{
	Datum	   *tokens = palloc(inspection->n * sizeof(Datum));

	for (int i = 0; i < inspection->n; i++)
		tokens[i] = PointerGetDatum(inspect_token(inspection, i));
	return tokens;
}

static void
put_rows(void *arg, const ProbeEvent *event)
{
	AttentionRows *rows = arg;
	const float *scores = event->data;
	const float *weights = event->data + event->stride;
	int			query = event->first_row;
	Datum		values[8];
	bool		nulls[8] = {false};

	values[0] = Int32GetDatum(event->layer);
	values[1] = Int32GetDatum(event->head);
	values[2] = Int32GetDatum(query);
	values[3] = rows->tokens[query];
	for (int key = 0; key < event->n_columns; key++)
	{
		if (key % ROWS_AT_A_TIME == 0)
			CHECK_FOR_INTERRUPTS();
		if (scores[key] == -get_float4_infinity())
			continue;
		values[4] = Int32GetDatum(key);
		values[5] = rows->tokens[key];
		values[6] = Float4GetDatum(scores[key]);
		values[7] = Float4GetDatum(weights[key]);
		tuplestore_putvalues(rows->rsinfo->setResult, rows->rsinfo->setDesc,
							 values, nulls);
	}
}

/* llm.attention(model, input, layer, head, options) */
Datum
llm_attention(PG_FUNCTION_ARGS)
{
	AttentionRows rows;
	Inspection *inspection;
	const Hyper *hyper;
	int			layer;
	int			head;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	inspection = inspect_begin(model_lookup(ARG_CSTRING(0), MODEL_ANY),
							   PG_GETARG_TEXT_PP(1), false, ARG_JSONB(4));
	hyper = inspection->use->hyper;
	layer = inspect_number(fcinfo, 2, "layer", 0, hyper->n_layers);
	head = inspect_number(fcinfo, 3, "head", 0, hyper->n_heads);
	check_rows(inspection, layer, head);
	rows.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	rows.tokens = token_texts(inspection);
	inspect_run(inspection, PROBE_BIT(PROBE_ATTENTION) | PROBE_ENDS_PASS,
				layer, head, put_rows, &rows);
	inspect_end(inspection);
	return (Datum) 0;
}

static void
copy_weights(void *arg, const ProbeEvent *event)
{
	AttentionMatrix *matrix = arg;
	size_t		row = (size_t) event->first_row * matrix->n;

	CHECK_FOR_INTERRUPTS();
	memcpy(matrix->weights + row, event->data + event->stride,
		   Min(event->n_columns, matrix->n) * sizeof(float4));
}

/* real[n][n], zeroed */
static ArrayType *
square_array(int n)
{
	size_t		size = ARR_OVERHEAD_NONULLS(2) +
		(size_t) n * n * sizeof(float4);
	ArrayType  *array;

	if (size > MaxAllocSize)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("matrix of %d x %d weights is too large", n, n),
				errhint("Ask for a shorter text."));
	array = palloc0(size);
	SET_VARSIZE(array, size);
	array->ndim = 2;
	array->elemtype = FLOAT4OID;
	for (int i = 0; i < 2; i++)
	{
		ARR_DIMS(array)[i] = n;
		ARR_LBOUND(array)[i] = 1;
	}
	return array;
}

/* llm.attention_matrix(model, input, layer, head, options) */
Datum
llm_attention_matrix(PG_FUNCTION_ARGS)
{
	Inspection *inspection;
	const Hyper *hyper;
	ArrayType  *array;
	AttentionMatrix matrix;
	int			layer;
	int			head;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2) ||
		PG_ARGISNULL(3))
		PG_RETURN_NULL();
	inspection = inspect_begin(model_lookup(ARG_CSTRING(0), MODEL_ANY),
							   PG_GETARG_TEXT_PP(1), false, ARG_JSONB(4));
	hyper = inspection->use->hyper;
	layer = inspect_number(fcinfo, 2, "layer", 0, hyper->n_layers);
	head = inspect_number(fcinfo, 3, "head", 0, hyper->n_heads);
	array = square_array(inspection->n);
	matrix.n = inspection->n;
	matrix.weights = (float4 *) ARR_DATA_PTR(array);
	inspect_run(inspection, PROBE_BIT(PROBE_ATTENTION) | PROBE_ENDS_PASS,
				layer, head, copy_weights, &matrix);
	inspect_end(inspection);
	PG_RETURN_ARRAYTYPE_P(array);
}
