/*-------------------------------------------------------------------------
 *
 * preload.c
 *	  llm.preload_models: the cache is filled when the server has started.
 *
 * Reading a large object needs a connection to its database, and a process can
 * only ever have one.  So there are two kinds:
 *
 *	"llm preload"			started with the server, without a database.  It
 *							starts one of the others for each database in the
 *							list, one after the other, and then sleeps until
 *							the server stops.
 *	"llm preload database"	loads the models of one database and exits.
 *
 * The first stays because the server forgets a worker that has exited with
 * success: nobody would fill the cache again after a crash, which empties
 * shared memory.  As it is, the server starts it again then.  The others are
 * forgotten after a crash.
 *
 * Whatever goes wrong with one model is a warning in the server's log; the
 * others are loaded nevertheless.  Both kinds run on a hot standby as well.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "serving/preload.h"
#include "serving/preload_list.h"
#include "settings.h"
#include "weights/cache.h"

#define LAUNCHER_RESTART 60		/* seconds, after an error */

PGDLLEXPORT void llm_preload_main(Datum arg);
PGDLLEXPORT void llm_preload_database_main(Datum arg);

static void
describe_worker(BackgroundWorker *worker, const char *name,
				const char *function)
{
	memset(worker, 0, sizeof(BackgroundWorker));
	strlcpy(worker->bgw_name, name, BGW_MAXLEN);
	strlcpy(worker->bgw_type, name, BGW_MAXLEN);
	strlcpy(worker->bgw_library_name, "llm", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, function, BGW_MAXLEN);
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_ConsistentState;
}

void
preload_init(void)
{
	BackgroundWorker worker;
	List	   *items;

	if (IsBinaryUpgrade)
		return;
	items = preload_list(setting_preload_models);
	if (items == NIL)
		return;
	list_free_deep(items);
	describe_worker(&worker, "llm preload", "llm_preload_main");
	worker.bgw_restart_time = LAUNCHER_RESTART;
	RegisterBackgroundWorker(&worker);
}

/*
 * The process that stays
 */

/* Without a database of its own a process cannot use indexes. */
static bool
database_exists(const char *name)
{
	Relation	databases;
	TableScanDesc scan;
	HeapTuple	tuple;
	bool		exists = false;

	StartTransactionCommand();
	databases = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(databases, 0, NULL);
	while (!exists &&
		   (tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database row = (Form_pg_database) GETSTRUCT(tuple);

		exists = strcmp(NameStr(row->datname), name) == 0;
	}
	table_endscan(scan);
	table_close(databases, AccessShareLock);
	CommitTransactionCommand();
	return exists;
}

/* Load the models of one database, and wait until that is done. */
static void
preload_database(const char *name)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;

	if (!database_exists(name))
	{
		ereport(WARNING,
				errcode(ERRCODE_UNDEFINED_DATABASE),
				errmsg("could not preload models of database \"%s\": it does not exist",
					   name));
		return;
	}
	describe_worker(&worker, "llm preload database",
					"llm_preload_database_main");
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_extra, name, BGW_EXTRALEN);
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
	{
		ereport(WARNING,
				errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				errmsg("could not preload models of database \"%s\": too many background workers",
					   name),
				errhint("Consider increasing max_worker_processes."));
		return;
	}
	(void) WaitForBackgroundWorkerShutdown(handle);
	pfree(handle);
}

/* Did the list name that database in an item before this one? */
static bool
named_before(List *items, int n)
{
	const PreloadItem *item = list_nth(items, n);

	for (int i = 0; i < n; i++)
	{
		const PreloadItem *other = list_nth(items, i);

		if (strcmp(other->database, item->database) == 0)
			return true;
	}
	return false;
}

static void
sleep_until_shutdown(void)
{
	uint32		wait_event = compat_wait_event("LlmPreload");

	pgstat_report_activity(STATE_IDLE, NULL);
	while (!ShutdownRequestPending)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1,
						 wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}

void
llm_preload_main(Datum arg)
{
	MemoryContext context;
	List	   *items;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGINT, SIG_IGN);	/* pg_cancel_backend() */
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	/* transactions leave a context that they end */
	context = MemoryContextSwitchTo(TopMemoryContext);
	items = preload_list(setting_preload_models);
	for (int i = 0; i < list_length(items) && !ShutdownRequestPending; i++)
	{
		const PreloadItem *item = list_nth(items, i);

		if (!named_before(items, i))
			preload_database(item->database);
		MemoryContextSwitchTo(TopMemoryContext);
	}
	list_free_deep(items);
	MemoryContextSwitchTo(context);

	sleep_until_shutdown();

	/* not 0, which would mean never again, if it was not the server's end */
	proc_exit(1);
}

/*
 * The process that loads
 */

static void
load_model(const PreloadItem *item)
{
	ModelRef   *model;
	WeightsPin	pin;

	PushActiveSnapshot(GetTransactionSnapshot());
	if (!OidIsValid(get_extension_oid("llm", true)))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("extension \"llm\" is not in that database"));
	model = model_lookup(item->model, MODEL_ANY);
	pin = weights_pin(model);
	weights_unpin(&pin);
	PopActiveSnapshot();
}

static void
report_failure(const PreloadItem *item, const ErrorData *error)
{
	ereport(WARNING,
			errcode(error->sqlerrcode),
			errmsg("could not preload model \"%s\" of database \"%s\": %s",
				   item->model, item->database, error->message),
			error->detail != NULL ? errdetail("%s", error->detail) : 0,
			error->hint != NULL ? errhint("%s", error->hint) : 0);
}

static void
preload_model(const PreloadItem *item)
{
	char	   *activity = psprintf("llm: preload %s", item->model);

	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, activity);
	pfree(activity);
	StartTransactionCommand();
	PG_TRY();
	{
		load_model(item);
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(TopMemoryContext);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		report_failure(item, error);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(TopMemoryContext);
	pgstat_report_stat(true);
	CHECK_FOR_INTERRUPTS();
}

void
llm_preload_database_main(Datum arg)
{
	const char *database = MyBgworkerEntry->bgw_extra;
	ListCell   *cell;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(database, NULL, 0);

	/* the database's own default may be one that a standby refuses */
	SetConfigOption("default_transaction_isolation", "read committed",
					PGC_SUSET, PGC_S_OVERRIDE);
	MemoryContextSwitchTo(TopMemoryContext);
	foreach(cell, preload_list(setting_preload_models))
	{
		const PreloadItem *item = lfirst(cell);

		if (strcmp(item->database, database) == 0)
			preload_model(item);
	}
}
