/*-------------------------------------------------------------------------
 *
 * views.c
 *	  The workers, their requests and what was used, in SQL: llm.stat_requests,
 *	  llm.stat_workers, llm.stat_usage, llm.reset_stats().
 *
 * Who sees what: texts nobody; requests and use of a role that role, its
 * members and pg_read_all_stats; workers everybody, for they add up what all
 * roles do; the name of a model only in its own database, whoever may use it.
 * What has no name any more, because it was dropped, is NULL.
 *
 * What lies in shared memory is copied while the lock of the ring is held;
 * catalogs are read afterwards.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "models/large_object.h"
#include "models/model_table.h"
#include "serving/ring_memory.h"
#include "serving/usage.h"
#include "settings.h"
#include "weights/store.h"

PG_FUNCTION_INFO_V1(llm_stat_requests);
PG_FUNCTION_INFO_V1(llm_stat_workers);
PG_FUNCTION_INFO_V1(llm_stat_usage);
PG_FUNCTION_INFO_V1(llm_reset_stats);
PG_FUNCTION_INFO_V1(llm_debug_serving);

/* A row under construction. */
typedef struct RowValues
{
	int			n;
	Datum		values[16];
	bool		isnull[16];
} RowValues;

static void
add_null(RowValues *row)
{
	row->values[row->n] = (Datum) 0;
	row->isnull[row->n++] = true;
}

static void
add_value(RowValues *row, Datum value)
{
	row->values[row->n] = value;
	row->isnull[row->n++] = false;
}

static void
add_text(RowValues *row, const char *text)
{
	if (text == NULL)
		add_null(row);
	else
		add_value(row, CStringGetTextDatum(text));
}

static void
add_name(RowValues *row, const char *name)
{
	if (name == NULL)
		add_null(row);
	else
		add_value(row, DirectFunctionCall1(namein, CStringGetDatum(name)));
}

static void
add_database_and_role(RowValues *row, Oid database, Oid role)
{
	add_name(row, get_database_name(database));
	add_name(row, GetUserNameFromId(role, true));
}

static void
add_model(RowValues *row, Oid database, Oid large_object)
{
	ModelRow   *model = NULL;

	if (database == MyDatabaseId && OidIsValid(large_object))
		model = model_table_find_object(large_object, GetActiveSnapshot());
	if (model == NULL || !large_object_readable(large_object))
		add_null(row);
	else
		add_text(row, model->name);
}

static void
put_row(ReturnSetInfo *result, RowValues *row)
{
	Assert(row->n == result->setDesc->natts);
	tuplestore_putvalues(result->setResult, result->setDesc, row->values,
						 row->isnull);
}

static bool
may_see(Oid role)
{
	return has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) ||
		has_privs_of_role(GetUserId(), role);
}

/*
 * Requests
 */

typedef struct RequestStat
{
	int			pid;
	Oid			database;
	Oid			role;
	Oid			large_object;
	const char *phase;
	bool		described;		/* the rest is known */
	RequestKind kind;
	int64		prompt_tokens;
	int64		cached_tokens;
	int64		output_tokens;
	int64		max_tokens;
	TimestampTz queued_at;
} RequestStat;

static const char *
running_phase(Slot *slot)
{
	switch ((SlotPhase) pg_atomic_read_u32(&slot->phase))
	{
		case PHASE_QUEUED:
			return "queued";
		case PHASE_WAITING:
			return "waiting";
		case PHASE_PROMPT:
			return "prompt";
		case PHASE_GENERATING:
			return "generating";
		case PHASE_PAUSED:
			return "paused";
		case PHASE_ENCODING:
			return "encoding";
	}
	return NULL;
}

static const char *
request_phase(Slot *slot)
{
	switch (slot->state)
	{
		case SLOT_FILLING:
		case SLOT_QUEUED:
			return "queued";
		case SLOT_RUNNING:
			return running_phase(slot);
		default:
			return "done";
	}
}

static RequestStat
stat_of_slot(Slot *slot)
{
	RequestStat stat = {
		.pid = slot->pid,
		.database = slot->database,
		.role = slot->role,
		.phase = request_phase(slot),
		.described = slot->state != SLOT_FILLING,
	};

	/* the session is still writing */
	if (!stat.described)
		return stat;
	stat.large_object = slot->large_object;
	stat.kind = slot->kind;
	stat.prompt_tokens = slot->prompt_tokens;
	stat.cached_tokens = pg_atomic_read_u32(&slot->cached_tokens);
	stat.output_tokens = pg_atomic_read_u32(&slot->n_tokens);
	stat.max_tokens = slot->max_tokens;
	stat.queued_at = slot->queued_at;
	return stat;
}

/* A session in the line that has no slot yet. */
static RequestStat
stat_of_place(int procno)
{
	PGPROC	   *process = GetPGProcByNumber(procno);
	RequestStat stat = {
		.pid = process->pid,
		.database = process->databaseId,
		.role = ring_line[procno].role,
		.phase = "waiting for a slot",
	};

	return stat;
}

/* *stats has room for all slots and all places. */
static int
copy_requests(RequestStat *stats)
{
	int			n = 0;

	ring_lock(LW_SHARED);
	for (int i = 0; i < ring->n_slots; i++)
		if (ring_slots[i].state != SLOT_FREE &&
			ring_slots[i].state != SLOT_EMPTYING)
			stats[n++] = stat_of_slot(&ring_slots[i]);
	for (int i = 0; i < ring->n_places; i++)
		if (ring_line[i].waiting && ring_line[i].slot < 0)
			stats[n++] = stat_of_place(i);
	ring_unlock();
	return n;
}

static void
put_request(ReturnSetInfo *result, const RequestStat *stat)
{
	TimestampTz now = GetCurrentTimestamp();
	RowValues	row = {0};

	add_value(&row, Int32GetDatum(stat->pid));
	add_database_and_role(&row, stat->database, stat->role);
	add_model(&row, stat->database, stat->large_object);
	add_text(&row, stat->phase);
	if (!stat->described)
	{
		for (int i = 0; i < 5; i++)
			add_null(&row);
		put_row(result, &row);
		return;
	}
	add_value(&row, Int64GetDatum(stat->prompt_tokens));
	if (stat->kind == REQUEST_GENERATE)
	{
		add_value(&row, Int64GetDatum(stat->cached_tokens));
		add_value(&row, Int64GetDatum(stat->output_tokens));
		add_value(&row, Int64GetDatum(stat->max_tokens));
	}
	else
	{
		add_value(&row, Int64GetDatum(0));
		add_value(&row, Int64GetDatum(0));
		add_null(&row);
	}
	add_value(&row, DirectFunctionCall2(timestamp_mi,
										TimestampTzGetDatum(now),
										TimestampTzGetDatum(stat->queued_at)));
	put_row(result, &row);
}

Datum
llm_stat_requests(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	RequestStat *stats;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	if (!ring_exists())
		return (Datum) 0;
	stats = palloc((ring->n_slots + ring->n_places) * sizeof(RequestStat));
	n = copy_requests(stats);
	for (int i = 0; i < n; i++)
		if (may_see(stats[i].role))
			put_request(result, &stats[i]);
	return (Datum) 0;
}

/*
 * Workers
 */

/* What of an entry a worker changes without the lock may be a step apart. */
static int
copy_workers(WorkerEntry *workers)
{
	int			n = 0;

	ring_lock(LW_SHARED);
	for (int i = 0; i < setting_workers; i++)
		if (ring->workers[i].pid != 0)
			workers[n++] = ring->workers[i];
	ring_unlock();
	return n;
}

static void
add_counter(RowValues *row, pg_atomic_uint64 *counter)
{
	add_value(row, Int64GetDatum((int64) pg_atomic_read_u64(counter)));
}

static void
put_worker(ReturnSetInfo *result, WorkerEntry *worker)
{
	RowValues	row = {0};

	add_value(&row, Int32GetDatum(worker->pid));
	add_value(&row, Int32GetDatum(worker->threads));
	add_text(&row, worker->instruction_set);
	add_model(&row, worker->database, worker->large_object);
	add_counter(&row, &worker->rows_last_step);
	add_counter(&row, &worker->kv_pages_used);
	add_counter(&row, &worker->kv_pages_total);
	add_counter(&row, &worker->steps);
	add_counter(&row, &worker->tokens);
	add_counter(&row, &worker->preemptions);
	put_row(result, &row);
}

Datum
llm_stat_workers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	WorkerEntry *workers;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	if (!ring_exists())
		return (Datum) 0;
	workers = palloc(MAX_WORKERS * sizeof(WorkerEntry));
	n = copy_workers(workers);
	for (int i = 0; i < n; i++)
		put_worker(result, &workers[i]);
	return (Datum) 0;
}

/*
 * Use
 */

static void
put_usage(ReturnSetInfo *result, const UsageRow *usage)
{
	RowValues	row = {0};

	add_database_and_role(&row, usage->database, usage->role);
	add_model(&row, usage->database, usage->large_object);
	add_value(&row, Int64GetDatum(usage->counts.calls));
	add_value(&row, Int64GetDatum(usage->counts.prompt_tokens));
	add_value(&row, Int64GetDatum(usage->counts.cached_tokens));
	add_value(&row, Int64GetDatum(usage->counts.output_tokens));
	add_value(&row, Int64GetDatum(usage->counts.errors));
	add_value(&row, Float8GetDatum(usage->counts.seconds));
	put_row(result, &row);
}

Datum
llm_stat_usage(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, usage_rows())
	{
		const UsageRow *usage = lfirst(cell);

		if (may_see(usage->role))
			put_usage(result, usage);
	}
	return (Datum) 0;
}

Datum
llm_reset_stats(PG_FUNCTION_ARGS)
{
	usage_reset();
	for (int i = 0; ring_exists() && i < MAX_WORKERS; i++)
	{
		WorkerEntry *worker = ring_worker(i);

		pg_atomic_write_u64(&worker->steps, 0);
		pg_atomic_write_u64(&worker->tokens, 0);
		pg_atomic_write_u64(&worker->preemptions, 0);
	}
	PG_RETURN_VOID();
}

/*
 * What is held
 */

static int64
count_pins(void)
{
	int64		pins = 0;
	ListCell   *cell;

	if (cache_available())
		foreach(cell, cache_stats())
			pins += ((WeightsStat *) lfirst(cell))->pins;
	return pins;
}

static int64
count_kv_references(void)
{
	uint64		references = 0;

	for (int i = 0; ring_exists() && i < setting_workers; i++)
		references += pg_atomic_read_u64(&ring_worker(i)->kv_references);
	return references;
}

static void
put_count(ReturnSetInfo *result, const char *name, int64 value)
{
	RowValues	row = {0};

	add_text(&row, name);
	add_value(&row, Int64GetDatum(value));
	put_row(result, &row);
}

Datum
llm_debug_serving(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	RingCounts	counts = {0};

	InitMaterializedSRF(fcinfo, 0);
	if (ring_exists())
		counts = ring_counts();
	put_count(result, "slots", counts.slots);
	put_count(result, "waiting", counts.waiting);
	put_count(result, "payload_bytes", counts.payload);
	put_count(result, "kv_references", count_kv_references());
	put_count(result, "pins", count_pins());
	return (Datum) 0;
}
