/*-------------------------------------------------------------------------
 *
 * view.c
 *	  Rows of the view llm.models.
 *
 * Columns that this file adds to the table's: owner (of the large object;
 * NULL when it is gone or has other bytes, for then nobody owns the model)
 * and state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "models/large_object.h"
#include "models/privileges.h"
#include "models/view.h"

PG_FUNCTION_INFO_V1(llm_models);

#define VIEW_COLUMNS 18

static void
view_values(const ModelRow *row, ModelState state, Oid owner, Datum *v,
			bool *isnull)
{
	bytea	   *digest = palloc(VARHDRSZ + MODEL_DIGEST_BYTES);
	int			i = 0;

	SET_VARSIZE(digest, VARHDRSZ + MODEL_DIGEST_BYTES);
	memcpy(VARDATA(digest), row->digest, MODEL_DIGEST_BYTES);
	memset(isnull, 0, VIEW_COLUMNS * sizeof(bool));

	v[i++] = CStringGetTextDatum(row->name);
	v[i++] = CStringGetTextDatum(row->architecture);
	v[i++] = Int64GetDatum(row->parameters);
	v[i++] = CStringGetTextDatum(row->quantization);
	v[i++] = Int64GetDatum(row->size);
	v[i++] = Int32GetDatum(row->context_length);
	v[i++] = Int32GetDatum(row->embedding_length);
	v[i++] = Int32GetDatum(row->layers);
	v[i++] = Int32GetDatum(row->heads);
	v[i++] = Int32GetDatum(row->kv_heads);
	v[i++] = Int32GetDatum(row->vocabulary);
	v[i++] = PointerGetDatum(capabilities_array(row->capabilities));
	v[i++] = JsonbPGetDatum(row->options);
	isnull[i] = !OidIsValid(owner);
	v[i++] = ObjectIdGetDatum(owner);
	v[i++] = ObjectIdGetDatum(row->large_object);
	v[i++] = PointerGetDatum(digest);
	v[i++] = TimestampTzGetDatum(row->created);
	v[i++] = CStringGetTextDatum(model_state_name(state));
	Assert(i == VIEW_COLUMNS);
}

Datum
model_view_datum(FunctionCallInfo fcinfo, const ModelRow *row)
{
	Datum		v[VIEW_COLUMNS];
	bool		isnull[VIEW_COLUMNS];
	TupleDesc	desc;
	LargeObjectInfo info;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts != VIEW_COLUMNS)
		ereport(ERROR,
				errcode(ERRCODE_DATATYPE_MISMATCH),
				errmsg("view \"llm.models\" is not the one of this library"),
				errhint("Run ALTER EXTENSION llm UPDATE."));
	/* What this command wrote is not in its own snapshot */
	PushActiveSnapshot(GetLatestSnapshot());
	if (!large_object_info(row->large_object, &info))
		info.owner = InvalidOid;
	PopActiveSnapshot();
	view_values(row, MODEL_READY, info.owner, v, isnull);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), v, isnull));
}

static Oid
owner_shown(const ModelRow *row, ModelState state)
{
	LargeObjectInfo info;

	if (state != MODEL_READY || !large_object_info(row->large_object, &info))
		return InvalidOid;
	return info.owner;
}

Datum
llm_models(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, model_table_rows(GetActiveSnapshot()))
	{
		ModelRow   *row = lfirst(cell);
		ModelState	state;
		Datum		v[VIEW_COLUMNS];
		bool		isnull[VIEW_COLUMNS];

		CHECK_FOR_INTERRUPTS();
		if (!model_visible(row))
			continue;
		state = model_state(row);
		view_values(row, state, owner_shown(row, state), v, isnull);
		tuplestore_putvalues(result->setResult, result->setDesc, v, isnull);
	}
	return (Datum) 0;
}
