/*-------------------------------------------------------------------------
 *
 * usage.c
 *	  What was used by whom.
 *
 *	  +------------------------------------+ "llm usage", a hash table
 *	  | (database, role, large object)     | in main shared memory
 *	  |     -> counters, time of last use  |
 *	  +------------------------------------+
 *
 * USAGE_ENTRIES of them at most; when there is no room for another one, the
 * one that was not used for longest is forgotten.  Those of databases, roles
 * and models that are gone stay until then: dropping a role must not make
 * what it used disappear.
 *
 * What guards what
 *
 *		which entries there are		the lock of the tranche "llm_usage"
 *		counters, last_use			atomic; changed and read while holding
 *									that lock, shared being enough
 *
 * The postmaster writes them to a file when the server stops, without taking
 * the lock: nobody else is left, and after an immediate shutdown nobody may
 * be there to release it.
 *
 * Calls in progress stand in a ledger of the process, with the resource owner
 * that was current when they began.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "lib/ilist.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "portability/instr_time.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "serving/usage.h"
#include "serving/usage_file.h"

#define USAGE_ENTRIES 5000
#define USAGE_TRANCHE "llm_usage"

typedef struct UsageKey
{
	Oid			database;
	Oid			role;
	Oid			large_object;
} UsageKey;

typedef struct UsageEntry
{
	UsageKey	key;			/* must be first */
	pg_atomic_uint64 calls;
	pg_atomic_uint64 prompt_tokens;
	pg_atomic_uint64 cached_tokens;
	pg_atomic_uint64 output_tokens;
	pg_atomic_uint64 errors;
	pg_atomic_uint64 microseconds;
	pg_atomic_uint64 last_use;	/* TimestampTz */
} UsageEntry;

struct UsageCall
{
	dlist_node	node;			/* in open_calls or free_calls */
	ResourceOwner owner;
	UsageKey	key;
	UsageCounts counts;
	instr_time	begun;
};

static HTAB *table = NULL;		/* NULL: nothing is counted */

static dlist_head open_calls = DLIST_STATIC_INIT(open_calls);
static dlist_head free_calls = DLIST_STATIC_INIT(free_calls);
static bool watches_owners = false;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static LWLock *
usage_lock(void)
{
	static LWLock *lock = NULL;

	if (lock == NULL)
		lock = &GetNamedLWLockTranche(USAGE_TRANCHE)->lock;
	return lock;
}

/*
 * Entries.  Callers hold the lock, or are alone.
 */

static void
init_entry(UsageEntry *entry)
{
	pg_atomic_init_u64(&entry->calls, 0);
	pg_atomic_init_u64(&entry->prompt_tokens, 0);
	pg_atomic_init_u64(&entry->cached_tokens, 0);
	pg_atomic_init_u64(&entry->output_tokens, 0);
	pg_atomic_init_u64(&entry->errors, 0);
	pg_atomic_init_u64(&entry->microseconds, 0);
	pg_atomic_init_u64(&entry->last_use, 0);
}

static void
add_to_entry(UsageEntry *entry, const UsageCounts *counts, TimestampTz now)
{
	pg_atomic_fetch_add_u64(&entry->calls, counts->calls);
	pg_atomic_fetch_add_u64(&entry->prompt_tokens, counts->prompt_tokens);
	pg_atomic_fetch_add_u64(&entry->cached_tokens, counts->cached_tokens);
	pg_atomic_fetch_add_u64(&entry->output_tokens, counts->output_tokens);
	pg_atomic_fetch_add_u64(&entry->errors, counts->errors);
	pg_atomic_fetch_add_u64(&entry->microseconds,
							(int64) (counts->seconds * 1e6));
	pg_atomic_write_u64(&entry->last_use, now);
}

static UsageRow
row_of_entry(UsageEntry *entry)
{
	UsageRow	row;

	memset(&row, 0, sizeof(row));	/* the file has the padding as well */
	row.database = entry->key.database;
	row.role = entry->key.role;
	row.large_object = entry->key.large_object;
	row.counts.calls = pg_atomic_read_u64(&entry->calls);
	row.counts.prompt_tokens = pg_atomic_read_u64(&entry->prompt_tokens);
	row.counts.cached_tokens = pg_atomic_read_u64(&entry->cached_tokens);
	row.counts.output_tokens = pg_atomic_read_u64(&entry->output_tokens);
	row.counts.errors = pg_atomic_read_u64(&entry->errors);
	row.counts.seconds = pg_atomic_read_u64(&entry->microseconds) / 1e6;
	row.last_use = pg_atomic_read_u64(&entry->last_use);
	return row;
}

static void
forget_oldest(void)
{
	HASH_SEQ_STATUS scan;
	UsageEntry *entry;
	UsageEntry *oldest = NULL;

	hash_seq_init(&scan, table);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (oldest == NULL ||
			pg_atomic_read_u64(&entry->last_use) <
			pg_atomic_read_u64(&oldest->last_use))
			oldest = entry;
	if (oldest != NULL)
		hash_search(table, &oldest->key, HASH_REMOVE, NULL);
}

static UsageEntry *
find_or_add_entry(const UsageKey *key)
{
	UsageEntry *entry = hash_search(table, key, HASH_FIND, NULL);

	if (entry != NULL)
		return entry;
	if (hash_get_num_entries(table) >= USAGE_ENTRIES)
		forget_oldest();
	entry = hash_search(table, key, HASH_ENTER_NULL, NULL);
	if (entry != NULL)
		init_entry(entry);
	return entry;
}

static void
count(const UsageKey *key, const UsageCounts *counts)
{
	TimestampTz now = GetCurrentTimestamp();
	UsageEntry *entry;

	LWLockAcquire(usage_lock(), LW_SHARED);
	entry = hash_search(table, key, HASH_FIND, NULL);
	if (entry == NULL)
	{
		LWLockRelease(usage_lock());
		LWLockAcquire(usage_lock(), LW_EXCLUSIVE);
		entry = find_or_add_entry(key);
	}
	if (entry != NULL)
		add_to_entry(entry, counts, now);
	LWLockRelease(usage_lock());
}

/*
 * The file
 */

static void
restore_entries(void)
{
	int			n;
	UsageRow   *rows = usage_file_read(USAGE_ENTRIES, &n);

	for (int i = 0; rows != NULL && i < n; i++)
	{
		UsageKey	key = {
			.database = rows[i].database,
			.role = rows[i].role,
			.large_object = rows[i].large_object,
		};
		UsageEntry *entry = find_or_add_entry(&key);

		if (entry != NULL)
			add_to_entry(entry, &rows[i].counts, rows[i].last_use);
	}
	if (rows != NULL)
		pfree(rows);
}

/* on_shmem_exit() of the postmaster */
static void
save_entries(int code, Datum arg)
{
	HASH_SEQ_STATUS scan;
	UsageEntry *entry;
	UsageRow   *rows;
	int			n = 0;

	/* not when it is about to begin again after a crash */
	if (code != 0 || table == NULL)
		return;
	rows = MemoryContextAllocExtended(TopMemoryContext,
									  USAGE_ENTRIES * sizeof(UsageRow),
									  MCXT_ALLOC_NO_OOM);
	if (rows == NULL)
		return;
	hash_seq_init(&scan, table);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		rows[n++] = row_of_entry(entry);
		if (n == USAGE_ENTRIES)
		{
			hash_seq_term(&scan);
			break;
		}
	}
	usage_file_write(rows, n);
	pfree(rows);
}

/*
 * Shared memory
 */

static void
request_memory(void)
{
	if (previous_request_hook != NULL)
		previous_request_hook();
	RequestAddinShmemSpace(hash_estimate_size(USAGE_ENTRIES,
											  sizeof(UsageEntry)));
	RequestNamedLWLockTranche(USAGE_TRANCHE, 1);
}

static void
startup_memory(void)
{
	HASHCTL		control = {
		.keysize = sizeof(UsageKey),
		.entrysize = sizeof(UsageEntry),
	};

	if (previous_startup_hook != NULL)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	table = ShmemInitHash("llm usage", USAGE_ENTRIES, USAGE_ENTRIES, &control,
						  HASH_ELEM | HASH_BLOBS);
	LWLockRelease(AddinShmemInitLock);
	if (IsUnderPostmaster)
		return;
	restore_entries();
	on_shmem_exit(save_entries, (Datum) 0);
}

void
usage_init(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_memory;
}

/*
 * Calls
 */

static void
end_call(UsageCall *call, bool failed)
{
	instr_time	elapsed;

	dlist_delete(&call->node);
	dlist_push_head(&free_calls, &call->node);
	if (table == NULL)
		return;
	INSTR_TIME_SET_CURRENT(elapsed);
	INSTR_TIME_SUBTRACT(elapsed, call->begun);
	call->counts.seconds = INSTR_TIME_GET_DOUBLE(elapsed);
	call->counts.calls = 1;
	call->counts.errors = failed ? 1 : 0;
	count(&call->key, &call->counts);
}

static void
end_with_owner(ResourceReleasePhase phase, bool isCommit, bool isTopLevel,
			   void *arg)
{
	dlist_mutable_iter i;

	if (phase != RESOURCE_RELEASE_BEFORE_LOCKS)
		return;
	dlist_foreach_modify(i, &open_calls)
	{
		UsageCall  *call = dlist_container(UsageCall, node, i.cur);

		if (call->owner == CurrentResourceOwner)
			end_call(call, !isCommit);
	}
}

static UsageCall *
new_call(void)
{
	if (!watches_owners)
	{
		RegisterResourceReleaseCallback(end_with_owner, NULL);
		watches_owners = true;
	}
	if (dlist_is_empty(&free_calls))
		return MemoryContextAlloc(TopMemoryContext, sizeof(UsageCall));
	return dlist_container(UsageCall, node, dlist_pop_head_node(&free_calls));
}

UsageCall *
usage_begin(const ModelRef *model)
{
	UsageCall  *call = new_call();

	memset(call, 0, sizeof(UsageCall));
	call->owner = CurrentResourceOwner;
	call->key.database = MyDatabaseId;
	call->key.role = GetUserId();
	call->key.large_object = model->large_object;
	INSTR_TIME_SET_CURRENT(call->begun);
	dlist_push_head(&open_calls, &call->node);
	return call;
}

void
usage_add(UsageCall *call, int64 prompt_tokens, int64 cached_tokens,
		  int64 output_tokens)
{
	call->counts.prompt_tokens += prompt_tokens;
	call->counts.cached_tokens += cached_tokens;
	call->counts.output_tokens += output_tokens;
}

void
usage_end(UsageCall *call)
{
	end_call(call, false);
}

/*
 * Views
 */

List *
usage_rows(void)
{
	HASH_SEQ_STATUS scan;
	UsageEntry *entry;
	UsageRow   *rows;
	List	   *list = NIL;
	int			n = 0;

	if (table == NULL)
		return NIL;
	/* nothing is allocated under the lock */
	rows = palloc(USAGE_ENTRIES * sizeof(UsageRow));
	LWLockAcquire(usage_lock(), LW_SHARED);
	hash_seq_init(&scan, table);
	while ((entry = hash_seq_search(&scan)) != NULL)
		rows[n++] = row_of_entry(entry);
	LWLockRelease(usage_lock());

	for (int i = 0; i < n; i++)
		list = lappend(list, &rows[i]);
	return list;
}

void
usage_reset(void)
{
	HASH_SEQ_STATUS scan;
	UsageEntry *entry;

	if (table == NULL)
		return;
	LWLockAcquire(usage_lock(), LW_EXCLUSIVE);
	hash_seq_init(&scan, table);
	while ((entry = hash_seq_search(&scan)) != NULL)
		hash_search(table, &entry->key, HASH_REMOVE, NULL);
	LWLockRelease(usage_lock());
}
