/*-------------------------------------------------------------------------
 *
 * load_model.c
 *	  llm.load_model() and llm.attach_model().
 *
 * load_model reads and checks the header first, so that a file that we cannot
 * run is refused at once, then streams the data into the large object and
 * checks it on the way, and writes the row at the end.
 *
 * A folder and a quantization give the same bytes each time, so that a folder,
 * too, can give a model its bytes back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "engine/formats/hugging_face.h"
#include "host.h"
#include "models/describe.h"
#include "models/embedding_options.h"
#include "models/import.h"
#include "models/large_object.h"
#include "models/load_options.h"
#include "models/model_name.h"
#include "models/privileges.h"
#include "models/registry.h"
#include "models/view.h"
#include "weights/damage.h"

PG_FUNCTION_INFO_V1(llm_load_model_path);
PG_FUNCTION_INFO_V1(llm_load_model_oid);
PG_FUNCTION_INFO_V1(llm_load_model_bytea);
PG_FUNCTION_INFO_V1(llm_attach_model_path);
PG_FUNCTION_INFO_V1(llm_attach_model_oid);
PG_FUNCTION_INFO_V1(llm_attach_model_bytea);

static void
require_unused_object(Oid oid)
{
	ModelRow   *other = model_table_find_object(oid, NULL);

	if (other != NULL)
		ereport(ERROR,
				errcode(ERRCODE_DUPLICATE_OBJECT),
				errmsg("large object %u already is model \"%s\"", oid,
					   other->name));
}

static void
refuse_quantization(const Import *import, int quantization)
{
	if (!import->converted && quantization != HF_KEEP)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("a GGUF file cannot be quantized while it is loaded"),
				errdetail("It is kept as it is: option \"quantization\" can only be \"keep\"."),
				errhint("Load the Hugging Face folder that it was made of with this option."));
}

/* Plan, describe, stream.  Fills all of row but name and created. */
static void
import_model(Import *import, ModelRow *row)
{
	EngineStatus status;
	ImagePlan  *plan = MemoryContextAllocZero(import->context,
											  sizeof(ImagePlan));

	engine_check(image_plan(import->source, &import->arena, engine_host(),
							plan, &status),
				 &status, import->model);
	describe_model(plan, row);
	row->options = embedding_options(plan, import->source, &import->arena,
									 import->model, row->capabilities,
									 row->options);
	row->size = import->source->size;
	row->large_object = import_stream(import, plan, row->digest);
}

/* The object of an archive was only read. */
static void
notice_archive(const Import *import)
{
	if (import->kind == IMPORT_OID && import->converted)
		ereport(NOTICE,
				errmsg("large object %u holds the folder and is not needed any more",
					   DatumGetObjectId(import->value)),
				errhint("Remove it with lo_unlink(%u).",
						DatumGetObjectId(import->value)));
}

static Datum
load_model(FunctionCallInfo fcinfo, ImportKind kind)
{
	ModelRow	row = {0};
	Import		import;
	int			quantization;

	PreventCommandIfReadOnly("llm.load_model()");
	for (int i = 0; i < 2; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					errmsg("name and source of a model must not be NULL"));
	row.name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	check_model_name(row.name);
	row.options = load_options(PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2));
	quantization = option_quantization(row.options);
	row.created = GetCurrentTransactionStartTimestamp();

	/* The source may be an object that this very statement made */
	PushActiveSnapshot(GetLatestSnapshot());
	import_open(&import, kind, PG_GETARG_DATUM(1), row.name, quantization);
	refuse_quantization(&import, quantization);
	if (kind == IMPORT_OID)
		require_unused_object(PG_GETARG_OID(1));
	import_model(&import, &row);
	notice_archive(&import);
	import_close(&import);
	PopActiveSnapshot();
	model_table_insert(&row);
	damage_forget(row.large_object);
	return model_view_datum(fcinfo, &row);
}

Datum
llm_load_model_path(PG_FUNCTION_ARGS)
{
	return load_model(fcinfo, IMPORT_PATH);
}

Datum
llm_load_model_oid(PG_FUNCTION_ARGS)
{
	return load_model(fcinfo, IMPORT_OID);
}

Datum
llm_load_model_bytea(PG_FUNCTION_ARGS)
{
	return load_model(fcinfo, IMPORT_BYTEA);
}

/* Rows that belong to nobody are repaired by who rules the database. */
static ModelRow *
lock_orphan(const char *name)
{
	ModelRow   *row = model_table_find(name, GetActiveSnapshot());

	if (row == NULL || (!rules_database() && !model_visible(row)))
		model_missing(name, NULL);
	if (!rules_database())
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("must be owner of the database to attach bytes to model \"%s\"",
					   name));
	row = model_table_lock(name);
	if (row == NULL)
		model_missing(name, NULL);
	return row;
}

static void
require_orphan(const ModelRow *row)
{
	if (large_object_readable(row->large_object) &&
		large_object_holds(row->large_object, row->size, row->digest))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("model \"%s\" has its bytes", row->name),
				errdetail("They are in large object %u.", row->large_object));
}

static void
wrong_bytes(const ModelRow *row, uint64 size, const uint8 *digest)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("these are not the bytes of model \"%s\"", row->name),
			errdetail("Expected %lld bytes with SHA-256 %s, got %llu bytes%s%s.",
					  (long long) row->size, digest_text(row->digest),
					  (unsigned long long) size,
					  digest != NULL ? " with SHA-256 " : "",
					  digest != NULL ? digest_text(digest) : ""));
}

static void
replace_object(ModelRow *row, Oid large_object)
{
	Oid			before = row->large_object;
	LargeObjectInfo info;

	if (large_object != before)
	{
		row->large_object = large_object;
		model_table_update(row);
		if (large_object_info(before, &info))
			ereport(NOTICE,
					errmsg("large object %u had other bytes and was kept",
						   before));
	}
	damage_forget(large_object);
}

static Datum
attach_model(FunctionCallInfo fcinfo, ImportKind kind)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ModelRow   *row;
	uint8		digest[MODEL_DIGEST_BYTES];
	Import		import;
	Oid			large_object;

	PreventCommandIfReadOnly("llm.attach_model()");
	row = lock_orphan(name);
	PushActiveSnapshot(GetLatestSnapshot());
	require_orphan(row);
	import_open(&import, kind, PG_GETARG_DATUM(1), name,
				option_quantization(row->options));
	if (kind == IMPORT_OID && PG_GETARG_OID(1) != row->large_object)
		require_unused_object(PG_GETARG_OID(1));
	if (import.source->size != (uint64) row->size)
		wrong_bytes(row, import.source->size, NULL);
	large_object = import_stream(&import, NULL, digest);
	if (memcmp(digest, row->digest, MODEL_DIGEST_BYTES) != 0)
		wrong_bytes(row, import.source->size, digest);
	notice_archive(&import);
	import_close(&import);
	replace_object(row, large_object);
	PopActiveSnapshot();
	return model_view_datum(fcinfo, row);
}

Datum
llm_attach_model_path(PG_FUNCTION_ARGS)
{
	return attach_model(fcinfo, IMPORT_PATH);
}

Datum
llm_attach_model_oid(PG_FUNCTION_ARGS)
{
	return attach_model(fcinfo, IMPORT_OID);
}

Datum
llm_attach_model_bytea(PG_FUNCTION_ARGS)
{
	return attach_model(fcinfo, IMPORT_BYTEA);
}
