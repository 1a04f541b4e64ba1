/*-------------------------------------------------------------------------
 *
 * cache.c
 *	  The shared cache of images.
 *
 *	  +-------------------------+  "llm weights cache" in main shared memory
 *	  | Cache: clock, entries[] |
 *	  +-------------------------+  aligned to ARENA_ALIGN
 *	  | arena                   |  llm.cache_size; touched only where used
 *	  | [image][ free ][image ] |  an extent for each entry that has one
 *	  +-------------------------+
 *
 * An entry goes
 *
 *		FREE -> LOADING -> READY -> FREE
 *				   |
 *				   +--> FREE (error, cancel, exit of the loader)
 *
 * and is found by digest; image format and numerics version are those of the
 * library, which cannot change while the server runs.  An image is a function
 * of the file's bytes alone, so it may be published although the row of
 * llm.model that led to it is not committed: the right to use it is asked of
 * a row and a large object each time, and others see neither.
 *
 * LOADING belongs to one backend.  It plans (the entry has no extent yet),
 * reserves an extent, builds the image in it, and publishes.  Others that want
 * the same digest sleep on the entry's condition variable; when the loader
 * gave up, the first to wake becomes the loader, from its own large object.
 *
 * READY: the image is only read, by whoever has a pin.  Entries without pins
 * are removed, least recently used first, when somebody needs their room.
 * Nobody waits for room.  Removing is one step under the lock, because nobody
 * can be reading; that is why there is no state for it.
 *
 * What guards what
 *
 *		entries (all but what is named below)		CACHE_LOCK
 *		the bytes of an extent, LOADING				its loader alone
 *		the bytes of an extent, READY				nobody writes
 *		Entry.progress								atomic, the loader writes
 *		Entry.changed								itself
 *
 * There is no timeout for waiting sessions: each can be cancelled, and a
 * loader always ends.  A session that holds a lock on pg_largeobject which
 * conflicts with reading it, and waits here for a loader, would wait for
 * itself; only LOCK TABLE by a superuser can do that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "settings.h"
#include "weights/cache.h"
#include "weights/damage.h"
#include "weights/huge_pages.h"
#include "weights/load.h"
#include "weights/locks.h"
#include "weights/sources.h"
#include "weights/store.h"

#define CACHE_ENTRIES 128
#define ARENA_ALIGN HUGE_PAGE
#define SMALL_PAGE 4096

typedef enum EntryState
{
	ENTRY_FREE,
	ENTRY_LOADING,
	ENTRY_READY
} EntryState;

typedef struct Entry
{
	EntryState	state;
	uint64		generation;		/* counts up whenever it leaves FREE */
	uint8		digest[MODEL_DIGEST_BYTES];
	uint64		offset;			/* of the extent in the arena */
	uint64		size;			/* 0: no extent yet */
	int			pins;
	uint64		last_use;		/* by Cache.clock */
	uint64		hits;
	TimestampTz loaded_at;
	double		load_ms;
	WeightsSources sources;
	pg_atomic_uint64 progress;	/* bytes of the file read */
	ConditionVariable changed;	/* LOADING ended */
} Entry;

typedef struct Cache
{
	uint64		clock;
	uint64		arena_size;
	Entry		entries[CACHE_ENTRIES];
} Cache;

static Cache *cache = NULL;
static char *arena = NULL;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

/*
 * Shared memory
 */

static Size
cache_shmem_size(void)
{
	Size		size = MAXALIGN(sizeof(Cache));

	size = add_size(size, ARENA_ALIGN);
	return add_size(size, mul_size(setting_cache_size, 1024 * 1024));
}

static void
request_memory(void)
{
	if (previous_request_hook != NULL)
		previous_request_hook();
	RequestAddinShmemSpace(add_size(cache_shmem_size(), damage_shmem_size()));
	RequestNamedLWLockTranche(WEIGHTS_TRANCHE, WEIGHTS_LOCKS);
}

static void
init_cache(void)
{
	memset(cache, 0, sizeof(Cache));
	cache->arena_size = (uint64) setting_cache_size * 1024 * 1024;
	for (int i = 0; i < CACHE_ENTRIES; i++)
	{
		pg_atomic_init_u64(&cache->entries[i].progress, 0);
		ConditionVariableInit(&cache->entries[i].changed);
	}
}

static void
startup_memory(void)
{
	bool		found;

	if (previous_startup_hook != NULL)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	cache = ShmemInitStruct("llm weights cache", cache_shmem_size(), &found);
	if (!found)
		init_cache();
	arena = (char *) TYPEALIGN(ARENA_ALIGN, (char *) cache + sizeof(Cache));
	huge_pages_ask(arena, cache->arena_size);
	damage_shmem_startup();
	LWLockRelease(AddinShmemInitLock);
}

void
weights_init(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_memory;
}

bool
cache_available(void)
{
	return cache != NULL;
}

LWLock *
weights_lock(WeightsLock lock)
{
	static LWLockPadded *locks = NULL;

	if (locks == NULL)
		locks = GetNamedLWLockTranche(WEIGHTS_TRANCHE);
	return &locks[lock].lock;
}

static void
lock_cache(LWLockMode mode)
{
	LWLockAcquire(weights_lock(CACHE_LOCK), mode);
}

static void
unlock_cache(void)
{
	LWLockRelease(weights_lock(CACHE_LOCK));
}

#define AssertCacheLocked() \
	Assert(LWLockHeldByMeInMode(weights_lock(CACHE_LOCK), LW_EXCLUSIVE))

/*
 * Entries.  Callers hold CACHE_LOCK.
 */

static Entry *
find_entry(const uint8 *digest)
{
	for (int i = 0; i < CACHE_ENTRIES; i++)
	{
		Entry	   *entry = &cache->entries[i];

		if (entry->state != ENTRY_FREE &&
			memcmp(entry->digest, digest, MODEL_DIGEST_BYTES) == 0)
			return entry;
	}
	return NULL;
}

static void
free_entry(Entry *entry)
{
	AssertCacheLocked();
	entry->state = ENTRY_FREE;
	entry->pins = 0;
	entry->offset = 0;
	entry->size = 0;
}

static bool
removable(const Entry *entry)
{
	return entry->state == ENTRY_READY && entry->pins == 0;
}

static int
compare_last_use(const void *a, const void *b)
{
	const Entry *x = *(Entry *const *) a;
	const Entry *y = *(Entry *const *) b;

	return (x->last_use > y->last_use) - (x->last_use < y->last_use);
}

static int
compare_offset(const void *a, const void *b)
{
	const Entry *x = *(Entry *const *) a;
	const Entry *y = *(Entry *const *) b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* The removable entries, least recently used first. */
static int
list_removable(Entry **list)
{
	int			n = 0;

	for (int i = 0; i < CACHE_ENTRIES; i++)
		if (removable(&cache->entries[i]))
			list[n++] = &cache->entries[i];
	qsort(list, n, sizeof(Entry *), compare_last_use);
	return n;
}

static bool
contains(Entry *const *list, int n, const Entry *entry)
{
	for (int i = 0; i < n; i++)
		if (list[i] == entry)
			return true;
	return false;
}

/* An entry to load into, or NULL. */
static Entry *
unused_entry(void)
{
	Entry	   *oldest[CACHE_ENTRIES];

	for (int i = 0; i < CACHE_ENTRIES; i++)
		if (cache->entries[i].state == ENTRY_FREE)
			return &cache->entries[i];
	if (list_removable(oldest) == 0)
		return NULL;
	free_entry(oldest[0]);
	return oldest[0];
}

/*
 * Room in the arena.  Callers hold CACHE_LOCK.
 */

/* Images that fill a huge page begin with one; small ones are packed. */
static uint64
align_extent(uint64 offset, uint64 size)
{
	return TYPEALIGN64(size >= HUGE_PAGE ? HUGE_PAGE : SMALL_PAGE, offset);
}

/* The first gap of size bytes when the first n of gone did not exist. */
static bool
find_gap(uint64 size, Entry *const *gone, int n, uint64 *offset)
{
	Entry	   *extents[CACHE_ENTRIES];
	int			n_extents = 0;
	uint64		end = 0;

	for (int i = 0; i < CACHE_ENTRIES; i++)
		if (cache->entries[i].size > 0 &&
			!contains(gone, n, &cache->entries[i]))
			extents[n_extents++] = &cache->entries[i];
	qsort(extents, n_extents, sizeof(Entry *), compare_offset);

	for (int i = 0; i <= n_extents; i++)
	{
		uint64		next = i < n_extents ? extents[i]->offset :
			cache->arena_size;

		end = align_extent(end, size);
		if (next >= end && next - end >= size)
		{
			*offset = end;
			return true;
		}
		if (i < n_extents)
			end = extents[i]->offset + extents[i]->size;
	}
	return false;
}

static void
remove_overlapping(Entry *const *list, int n, uint64 offset, uint64 size)
{
	for (int i = 0; i < n; i++)
		if (list[i]->offset < offset + size &&
			offset < list[i]->offset + list[i]->size)
			free_entry(list[i]);
}

/*
 * Find room for an entry, removing as few of the least recently used as give
 * a gap; of those, only the ones that lie in it.  Nothing is removed when all
 * of them would not be enough.
 */
static bool
reserve(Entry *entry, uint64 size)
{
	Entry	   *oldest[CACHE_ENTRIES];
	int			n_oldest = list_removable(oldest);
	uint64		offset;

	AssertCacheLocked();
	for (int n = 0; n <= n_oldest; n++)
	{
		if (!find_gap(size, oldest, n, &offset))
			continue;
		remove_overlapping(oldest, n, offset, size);
		entry->offset = offset;
		entry->size = size;
		return true;
	}
	return false;
}

/* A cache of that size would have had room: all that cannot go, and this. */
static uint64
size_wanted(uint64 size)
{
	uint64		end = 0;

	for (int i = 0; i < CACHE_ENTRIES; i++)
	{
		Entry	   *entry = &cache->entries[i];

		if (entry->size > 0 && !removable(entry))
			end = Max(end, entry->offset + entry->size);
	}
	return align_extent(end, size) + size;
}

/*
 * Loading
 */

static void
abandon_load(int code, Datum slot)
{
	Entry	   *entry = &cache->entries[DatumGetInt32(slot)];

	lock_cache(LW_EXCLUSIVE);
	free_entry(entry);
	unlock_cache();
	ConditionVariableBroadcast(&entry->changed);
}

static void
reserve_or_fail(Entry *entry, const ModelRef *model, uint64 size)
{
	bool		reserved;
	uint64		wanted = 0;

	lock_cache(LW_EXCLUSIVE);
	reserved = reserve(entry, size);
	if (!reserved)
		wanted = size_wanted(size);
	unlock_cache();
	if (!reserved)
		no_room_for_image(model->name, size, wanted);
}

/* With one pin, the loader's. */
static void
publish(Entry *entry, const ModelRef *model, TimestampTz start)
{
	lock_cache(LW_EXCLUSIVE);
	entry->loaded_at = GetCurrentTimestamp();
	entry->load_ms = (entry->loaded_at - start) / 1000.0;
	entry->sources.n = 0;
	sources_add(&entry->sources, model);
	entry->hits = 0;
	entry->pins = 1;
	entry->last_use = ++cache->clock;
	entry->state = ENTRY_READY;
	unlock_cache();
	ConditionVariableBroadcast(&entry->changed);
}

/* Fill an entry in state LOADING that this process owns. */
static void
load_entry(Entry *entry, const ModelRef *model)
{
	TimestampTz start = GetCurrentTimestamp();
	Datum		slot = Int32GetDatum(entry - cache->entries);

	PG_ENSURE_ERROR_CLEANUP(abandon_load, slot);
	{
		WeightsLoad *load = load_begin(model);

		reserve_or_fail(entry, model, load_size(load));
		load_into(load, arena + entry->offset, &entry->progress);
		huge_pages_take(arena + entry->offset, entry->size);
		load_end(load);
	}
	PG_END_ENSURE_ERROR_CLEANUP(abandon_load, slot);
	publish(entry, model, start);
}

/* Claim an unused entry for loading, or NULL.  The caller holds the lock. */
static Entry *
claim_entry(const uint8 *digest)
{
	Entry	   *entry = unused_entry();

	if (entry == NULL)
		return NULL;
	memcpy(entry->digest, digest, MODEL_DIGEST_BYTES);
	entry->generation++;
	entry->loaded_at = 0;
	entry->load_ms = 0;
	entry->hits = 0;
	pg_atomic_write_u64(&entry->progress, 0);
	entry->state = ENTRY_LOADING;
	return entry;
}

static bool
still_loading(Entry *entry, uint64 generation)
{
	bool		loading;

	lock_cache(LW_SHARED);
	loading = entry->state == ENTRY_LOADING &&
		entry->generation == generation;
	unlock_cache();
	return loading;
}

static void
wait_for_loader(Entry *entry, uint64 generation)
{
	static uint32 wait_event = 0;

	if (wait_event == 0)
		wait_event = compat_wait_event("LlmLoadModel");
	ConditionVariablePrepareToSleep(&entry->changed);
	while (still_loading(entry, generation))
		ConditionVariableSleep(&entry->changed, wait_event);
	ConditionVariableCancelSleep();
}

/* Pins a READY entry.  The caller holds the lock. */
static void
pin_entry(Entry *entry, const ModelRef *model, bool *verified)
{
	entry->pins++;
	entry->hits++;
	entry->last_use = ++cache->clock;
	*verified = sources_have(&entry->sources, model);
}

int
cache_acquire(const ModelRef *model, const ImageHeader **image, bool *verified)
{
	for (;;)
	{
		Entry	   *entry;
		EntryState	state = ENTRY_FREE;
		uint64		generation = 0;

		lock_cache(LW_EXCLUSIVE);
		entry = find_entry(model->digest);
		if (entry == NULL)
			entry = claim_entry(model->digest);
		else
		{
			state = entry->state;
			generation = entry->generation;
			if (state == ENTRY_READY)
				pin_entry(entry, model, verified);
		}
		unlock_cache();

		if (entry == NULL)
			ereport(ERROR,
					errcode(ERRCODE_INSUFFICIENT_RESOURCES),
					errmsg("all %d places of the weights cache are in use",
						   CACHE_ENTRIES));
		if (state == ENTRY_LOADING)
		{
			wait_for_loader(entry, generation);
			continue;
		}
		if (state == ENTRY_FREE)
		{
			load_entry(entry, model);
			*verified = true;
		}
		*image = cache_image(entry - cache->entries);
		return entry - cache->entries;
	}
}

void
cache_release(int slot)
{
	lock_cache(LW_EXCLUSIVE);
	Assert(cache->entries[slot].pins > 0);
	cache->entries[slot].pins--;
	unlock_cache();
}

void
cache_pin_again(int slot)
{
	lock_cache(LW_EXCLUSIVE);
	Assert(cache->entries[slot].pins > 0);
	cache->entries[slot].pins++;
	unlock_cache();
}

const ImageHeader *
cache_image(int slot)
{
	return (const ImageHeader *) (arena + cache->entries[slot].offset);
}

void
cache_add_source(int slot, const ModelRef *model)
{
	lock_cache(LW_EXCLUSIVE);
	sources_add(&cache->entries[slot].sources, model);
	unlock_cache();
}

bool
cache_remove(const uint8 *digest)
{
	Entry	   *entry;
	bool		removed = false;

	lock_cache(LW_EXCLUSIVE);
	entry = find_entry(digest);
	if (entry != NULL && removable(entry))
	{
		free_entry(entry);
		removed = true;
	}
	unlock_cache();
	return removed;
}

static void
fill_stat(WeightsStat *stat, Entry *entry)
{
	memcpy(stat->digest, entry->digest, MODEL_DIGEST_BYTES);
	stat->state = entry->state == ENTRY_LOADING ? "loading" : "ready";
	stat->bytes = entry->state == ENTRY_LOADING ?
		pg_atomic_read_u64(&entry->progress) : entry->size;
	stat->pins = entry->pins;
	stat->hits = entry->hits;
	stat->loaded_at = entry->loaded_at;
	stat->load_ms = entry->load_ms;
}

List *
cache_stats(void)
{
	WeightsStat *stats = palloc0(CACHE_ENTRIES * sizeof(WeightsStat));
	int			n = 0;
	List	   *list = NIL;

	lock_cache(LW_SHARED);
	for (int i = 0; i < CACHE_ENTRIES; i++)
		if (cache->entries[i].state != ENTRY_FREE)
			fill_stat(&stats[n++], &cache->entries[i]);
	unlock_cache();

	for (int i = 0; i < n; i++)
		list = lappend(list, &stats[i]);
	return list;
}
