/*-------------------------------------------------------------------------
 *
 * functions.c
 *	  The weights cache in SQL: llm.preload(), llm.evict(), llm.stat_cache,
 *	  llm.system_info().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "blas.h"
#include "models/large_object.h"
#include "models/privileges.h"
#include "serving/ring.h"
#include "settings.h"
#include "weights/cache.h"
#include "weights/store.h"

PG_FUNCTION_INFO_V1(llm_preload);
PG_FUNCTION_INFO_V1(llm_evict);
PG_FUNCTION_INFO_V1(llm_stat_cache);
PG_FUNCTION_INFO_V1(llm_system_info);

Datum
llm_preload(PG_FUNCTION_ARGS)
{
	ModelRef   *model = model_lookup(text_to_cstring(PG_GETARG_TEXT_PP(0)),
									 MODEL_ANY);
	WeightsPin	pin = weights_pin(model);

	weights_unpin(&pin);
	PG_RETURN_VOID();
}

Datum
llm_evict(PG_FUNCTION_ARGS)
{
	ModelRow   *row =
		model_seems_owned(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	PG_RETURN_BOOL(weights_evict(row->digest));
}

/* A model of this database with that digest that the role may use. */
static const char *
visible_name(List *rows, const uint8 *digest)
{
	ListCell   *cell;

	foreach(cell, rows)
	{
		ModelRow   *row = lfirst(cell);

		if (memcmp(row->digest, digest, MODEL_DIGEST_BYTES) == 0 &&
			large_object_readable(row->large_object))
			return row->name;
	}
	return NULL;
}

static void
stat_values(const WeightsStat *stat, const char *name, Datum *v, bool *isnull)
{
	bytea	   *digest = palloc(VARHDRSZ + MODEL_DIGEST_BYTES);

	SET_VARSIZE(digest, VARHDRSZ + MODEL_DIGEST_BYTES);
	memcpy(VARDATA(digest), stat->digest, MODEL_DIGEST_BYTES);
	memset(isnull, 0, 8 * sizeof(bool));

	v[0] = PointerGetDatum(digest);
	isnull[1] = name == NULL;
	v[1] = name != NULL ? CStringGetTextDatum(name) : (Datum) 0;
	v[2] = CStringGetTextDatum(stat->state);
	v[3] = Int64GetDatum(stat->bytes);
	v[4] = Int32GetDatum(stat->pins);
	v[5] = Int64GetDatum(stat->hits);
	isnull[6] = isnull[7] = stat->loaded_at == 0;
	v[6] = TimestampTzGetDatum(stat->loaded_at);
	v[7] = Float8GetDatum(stat->load_ms);
}

Datum
llm_stat_cache(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	List	   *rows = model_table_rows(GetActiveSnapshot());
	List	   *stats = cache_available() ? cache_stats() : private_stats();
	bool		sees_all = has_privs_of_role(GetUserId(),
											 ROLE_PG_READ_ALL_STATS);
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, stats)
	{
		WeightsStat *stat = lfirst(cell);
		const char *name = visible_name(rows, stat->digest);
		Datum		v[8];
		bool		isnull[8];

		/* A digest tells what others use */
		if (name == NULL && !sees_all)
			continue;
		stat_values(stat, name, v, isnull);
		tuplestore_putvalues(result->setResult, result->setDesc, v, isnull);
	}
	return (Datum) 0;
}

static void
put_info(ReturnSetInfo *result, const char *name, const char *value)
{
	Datum		v[2];
	bool		isnull[2] = {false, false};

	v[0] = CStringGetTextDatum(name);
	v[1] = CStringGetTextDatum(value);
	tuplestore_putvalues(result->setResult, result->setDesc, v, isnull);
}

static char *
kernel_sets(void)
{
	StringInfoData buf;
	const KernelSet *set;

	initStringInfo(&buf);
	for (int i = 0; (set = kernels_nth(i)) != NULL; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", set->name);
	return buf.data;
}

/* The threads of each worker; of a session, when none runs. */
static int
count_threads(int workers_running)
{
	int			threads = 1;

	for (int i = 0; workers_running > 0 && i < setting_workers; i++)
		if (ring_worker(i)->pid != 0)
			threads = Max(threads, ring_worker(i)->threads);
	return threads;
}

static void
put_serving(ReturnSetInfo *result)
{
	int			running = ring_exists() ? ring_workers_running() : 0;

	put_info(result, "threads", psprintf("%d", count_threads(running)));
	put_info(result, "workers", psprintf("%d", setting_workers));
	put_info(result, "workers_running", psprintf("%d", running));
	put_info(result, "worker_threads",
			 GetConfigOptionByName("llm.worker_threads", NULL, false));
	put_info(result, "execution",
			 GetConfigOptionByName("llm.execution", NULL, false));
}

Datum
llm_system_info(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	put_info(result, "instruction_set", settings_kernels()->name);
	put_info(result, "instruction_sets", kernel_sets());
	put_serving(result);
	put_info(result, "blas", blas_description());
	put_info(result, "cache", cache_available() ? "shared memory" :
			 "memory of this session");
	put_info(result, "cache_size",
			 GetConfigOptionByName("llm.cache_size", NULL, false));
	put_info(result, "image_format", psprintf("%d", IMAGE_FORMAT));
	put_info(result, "numerics_version", psprintf("%d", NUMERICS_VERSION));
	put_info(result, "architectures", architecture_names());
	return (Datum) 0;
}
