/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  The process of a worker: registration, signals, loop, sleep, errors.
 *
 * A worker is a static background worker.  It is connected to no database, so
 * that it appears in pg_stat_activity and blocks neither DROP DATABASE nor
 * copying one; it reads no catalogs and never has a transaction or snapshot.
 * On a hot standby it runs as well.
 *
 *		SIGTERM		ends it after the step or pass that it is at; its calls
 *					fail with an error that says "try again", and the
 *					postmaster starts it anew, unless the server stops
 *		SIGINT		is ignored: pg_cancel_backend() is for calls, and those
 *					belong to sessions
 *		SIGHUP		new settings, between two turns; sequences that run leave
 *					their batch and enter one for the new settings
 *		SIGQUIT		as everywhere
 *
 * An error ends only the requests that it concerns; after TOO_MANY of them
 * without any success in between the process ends, and begins anew.
 *
 * Helper threads compute; only the main thread is ever in PostgreSQL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "host.h"
#include "serving/cores.h"
#include "serving/worker.h"
#include "serving/worker_state.h"
#include "settings.h"

#define TOO_MANY 10

/* While it has requests, a worker looks after them as often, in ms. */
#define LOOK_AFTER 1000

Worker		worker;

PGDLLEXPORT void llm_worker_main(Datum arg);

/*
 * Settings that may change
 */

static bool
must_end(void)
{
	return ShutdownRequestPending || !PostmasterIsAlive();
}

/* Runs often, while the engine computes. */
static bool
interrupted(void *arg)
{
	return must_end() || engine_host()->interrupted(arg);
}

bool
worker_cancelled(EngineCode code, const EngineStatus *status)
{
	if (code != ENGINE_CANCELLED)
		return false;
	if (!must_end())
		engine_raise(status, NULL);
	return true;
}

static int
wanted_threads(void)
{
	int			threads = setting_worker_threads;

	if (threads == 0)
		threads = cores_available();
	return Min(threads, TEAM_MOST);
}

/*
 * A machine that cannot start so many threads gets by with the caller alone:
 * there are no helpers then.
 */
static void
open_team(void)
{
	EngineStatus status;
	int			threads = wanted_threads();

	team_close(worker.host.team);
	worker.host.team = NULL;
	if (threads > 1 &&
		team_open(&worker.host.team, threads,
				  worker.allocator, &status) != ENGINE_OK)
	{
		worker.host.team = NULL;
		ereport(LOG,
				errmsg("worker computes with one thread instead of %d",
					   threads),
				errdetail_internal("%s", status.message));
	}
	worker.threads = threads;
}

static void
enter_ring(void)
{
	ring_enter(worker.number, team_threads(worker.host.team),
			   settings_kernels()->name);
}

static void
settle_lanes(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &worker.lanes)
		lane_settle(dlist_container(Lane, node, iter.cur));
}

static void
reload(void)
{
	int			prefix_cache = setting_prefix_cache;

	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	if (wanted_threads() != worker.threads)
		open_team();
	settle_lanes();
	report_settings();
	if (setting_prefix_cache != prefix_cache)
		memory_forget_prefixes();
}

/*
 * The loop
 */

static void
attend_signals(void)
{
	CHECK_FOR_INTERRUPTS();
	if (must_end())
		proc_exit(1);
	if (ConfigReloadPending)
		reload();
}

/* One piece of work; false when there is none. */
static bool
work(void)
{
	RequestKind kind = REQUEST_GENERATE;
	Lane	   *lane = lanes_next(&kind);
	bool		well;

	if (lane == NULL)
		return false;
	worker.lane = lane;
	well = kind == REQUEST_GENERATE ? generate_step(lane) :
		encode_pass(lane);
	jobs_settle(lane);
	if (!well)
		lane_forget(lane);
	worker.lane = NULL;
	worker.failures = well ? 0 : worker.failures + 1;
	return true;
}

/*
 * Nothing to do: sleep until a session sets the latch.  A session looks for
 * an idle worker after it has queued its request, so a worker looks at the
 * queue once more after it has said that it is idle.
 */
static void
rest(void)
{
	static uint32 event = 0;
	long		timeout;

	if (pg_atomic_exchange_u32(&worker.entry->idle, 1) == 0)
	{
		ResetLatch(MyLatch);
		return;
	}
	timeout = jobs_patience();
	if (worker.n_jobs > 0 && (timeout < 0 || timeout > LOOK_AFTER))
		timeout = LOOK_AFTER;
	if (event == 0)
		event = compat_wait_event("LlmWorkerMain");
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH |
					 (timeout >= 0 ? WL_TIMEOUT : 0), timeout, event);
	ResetLatch(MyLatch);
	worker.events++;
}

static void
turn(void)
{
	bool		worked;

	attend_signals();
	jobs_watch();
	jobs_take();
	memory_relieve();
	generate_resume();
	report_activity();
	worked = work();
	report_memory();
	if (worked)
		pg_atomic_write_u32(&worker.entry->idle, 0);
	else
		rest();
}

/*
 * Errors
 */

static void
copy_error(SlotError *error)
{
	ErrorData  *data = CopyErrorData();

	error->sqlstate = data->sqlerrcode;
	strlcpy(error->message, data->message != NULL ? data->message : "",
			sizeof(error->message));
	strlcpy(error->detail, data->detail != NULL ? data->detail : "",
			sizeof(error->detail));
	strlcpy(error->hint, data->hint != NULL ? data->hint : "",
			sizeof(error->hint));
	FreeErrorData(data);
}

/* Fail whom an error concerns, and forget what it may have left. */
static void
fail_concerned(const SlotError *error)
{
	Lane	   *lane = worker.lane;

	if (worker.claimed >= 0)
	{
		if (worker.job != NULL)
			MemoryContextDelete(worker.job->context);
		ring_failed(worker.claimed, error);
	}
	else if (lane != NULL)
	{
		jobs_fail(lane, error);
		lane_forget(lane);
	}
	else if (worker.job != NULL)
		job_fail(worker.job, error);
	worker.claimed = -1;
	worker.job = NULL;
	worker.lane = NULL;
}

static void
recover(void)
{
	SlotError	error;

	HOLD_INTERRUPTS();
	error_context_stack = NULL;
	EmitErrorReport();
	MemoryContextReset(worker.scratch);
	MemoryContextSwitchTo(worker.scratch);
	copy_error(&error);
	FlushErrorState();
	LWLockReleaseAll();
	MemoryContextSwitchTo(worker.context);
	fail_concerned(&error);
	worker.failures++;
	RESUME_INTERRUPTS();
}

static void
give_up(void)
{
	ereport(LOG,
			errmsg("worker starts anew after %d failures in a row",
				   worker.failures));
	proc_exit(1);
}

static void
loop(void)
{
	for (;;)
	{
		PG_TRY();
		{
			while (worker.failures < TOO_MANY)
				turn();
		}
		PG_CATCH();
		{
			recover();
		}
		PG_END_TRY();
		if (worker.failures >= TOO_MANY)
			give_up();
	}
}

/*
 * Beginning and end
 */

static void
leave(int code, Datum arg)
{
	ring_leave(worker.number);
	team_close(worker.host.team);
	worker.host.team = NULL;
}

static void
init_worker(int number)
{
	memset(&worker, 0, sizeof(worker));
	worker.number = number;
	worker.entry = ring_worker(number);
	worker.claimed = -1;
	worker.host.interrupted = interrupted;
	dlist_init(&worker.lanes);
	worker.context = AllocSetContextCreate(TopMemoryContext, "llm worker",
										   ALLOCSET_DEFAULT_SIZES);
	worker.scratch = AllocSetContextCreate(worker.context, "llm scratch",
										   ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(worker.context);
	worker.allocator = engine_allocator(worker.context);
	memory_init();
}

void
llm_worker_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGINT, SIG_IGN);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	init_worker(DatumGetInt32(arg));
	before_shmem_exit(leave, (Datum) 0);
	open_team();
	(void) ring_payload();
	enter_ring();
	loop();
}

static void
register_worker(int number)
{
	BackgroundWorker entry = {0};

	snprintf(entry.bgw_name, BGW_MAXLEN, "llm worker %d", number + 1);
	strlcpy(entry.bgw_type, "llm worker", BGW_MAXLEN);
	strlcpy(entry.bgw_library_name, "llm", BGW_MAXLEN);
	strlcpy(entry.bgw_function_name, "llm_worker_main", BGW_MAXLEN);
	entry.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	entry.bgw_start_time = BgWorkerStart_ConsistentState;
	entry.bgw_restart_time = 1;
	entry.bgw_main_arg = Int32GetDatum(number);
	RegisterBackgroundWorker(&entry);
}

void
workers_init(void)
{
	if (IsBinaryUpgrade)
		return;
	for (int i = 0; i < setting_workers; i++)
		register_worker(i);
}
