/*-------------------------------------------------------------------------
 *
 * page_pool.c
 *	  Pages of keys and values with references, and the prefix cache.
 *
 * A page that is claimed or published is listed in the hash and has a serial
 * number, never given twice; pages that continue it carry that number as part
 * of their key.  So a page that was emptied and filled again is not mistaken
 * for the one that stood in the same place before.
 *
 * A page is in use while it has references or while a page that continues it
 * is in use.  Published pages that are not in use are cached, in a list from
 * the least to the most recently used.  From these rules follows what makes
 * eviction cheap:
 *
 *	- what continues a cached page is cached too, and has been for longer, so
 *	  the old end of the list is never continued by anything; and
 *	- a holder that releases a sequence's pages from the last to the first
 *	  pays nothing for the rule, since each parent still has a reference.
 *
 * The one page that can vanish before those that continue it is a claimed one
 * that was abandoned after its continuation was published.  The latter stays
 * in its list until its turn comes, and nobody can find it: its parent's
 * number is gone.
 *
 * Memory is charged to the budget from page_take() on, until it is given back
 * to the system.  Empty pages that are still charged are used first, the last
 * emptied one before others: it may be in a CPU's cache.
 *
 * A server must survive a caller's mistake: page numbers out of range, and
 * operations that do not fit the state of a page, change nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "batch/page_pool.h"

#include <string.h>

typedef enum PageState
{
	PAGE_VACANT,				/* the system has its memory */
	PAGE_EMPTY,					/* charged to the budget, without contents */
	PAGE_PRIVATE,
	PAGE_CLAIMED,
	PAGE_PUBLISHED
} PageState;

/* A list of pages by their links: older, newer. */
typedef struct PageList
{
	int32_t		oldest;
	int32_t		newest;
	int32_t		length;
} PageList;

/* What a page is found by. */
typedef struct PageKey
{
	PageScope	scope;
	uint64_t	parent_serial;	/* 0: a sequence's first page */
	int32_t		tokens[KV_PAGE_POSITIONS];
} PageKey;

typedef struct PageEntry
{
	PageState	state;
	int32_t		references;
	int32_t		continuations;	/* pages in use whose parent this is */
	int32_t		parent;			/* of a listed page */
	int32_t		older;			/* in the list of its state, if not in use */
	int32_t		newer;
	int32_t		chain;			/* next one in its bucket of the hash */
	int32_t		mark;			/* scratch of page_pool_check(): place in its
								 * list, or - pages found that use it */
	uint64_t	serial;			/* not 0: listed in the hash */
	uint64_t	hash;
	PageKey		key;
} PageEntry;

struct PagePool
{
	PageMemory	memory;
	PageBudget *budget;
	PageEntry  *entries;		/* [n_pages] */
	int32_t    *buckets;		/* [n_buckets] first page of each chain */
	uint64_t	n_buckets;		/* a power of two */
	uint64_t	last_serial;
	PageList	vacant;
	PageList	empty;
	PageList	cached;
	int32_t		n_used;
	int64_t		references;
};

/*
 * Lists
 */

static void
list_append(PagePool *pool, PageList *list, int32_t page)
{
	PageEntry  *entry = &pool->entries[page];

	entry->older = list->newest;
	entry->newer = NO_PAGE;
	if (list->newest == NO_PAGE)
		list->oldest = page;
	else
		pool->entries[list->newest].newer = page;
	list->newest = page;
	list->length++;
}

static void
list_remove(PagePool *pool, PageList *list, int32_t page)
{
	PageEntry  *entry = &pool->entries[page];

	if (entry->older == NO_PAGE)
		list->oldest = entry->newer;
	else
		pool->entries[entry->older].newer = entry->newer;
	if (entry->newer == NO_PAGE)
		list->newest = entry->older;
	else
		pool->entries[entry->newer].older = entry->older;
	entry->older = entry->newer = NO_PAGE;
	list->length--;
}

/*
 * The hash
 */

static uint64_t
mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
	return hash ^ hash >> 32;
}

/* Keys are compared by memcmp, so they have no bytes that say nothing. */
_Static_assert(sizeof(PageKey) ==
			   3 * sizeof(uint64_t) + KV_PAGE_POSITIONS * sizeof(int32_t),
			   "a page's key has padding");

static uint64_t
key_hash(const PageKey *key)
{
	uint64_t	hash = mix(0, key->scope.a);

	hash = mix(hash, key->scope.b);
	hash = mix(hash, key->parent_serial);
	for (int i = 0; i < KV_PAGE_POSITIONS; i++)
		hash = mix(hash, (uint32_t) key->tokens[i]);
	return hash;
}

static int32_t *
bucket_of(const PagePool *pool, uint64_t hash)
{
	return &pool->buckets[hash & (pool->n_buckets - 1)];
}

static int32_t
hash_find(const PagePool *pool, const PageKey *key, uint64_t hash)
{
	int32_t		page = *bucket_of(pool, hash);

	while (page != NO_PAGE)
	{
		const PageEntry *entry = &pool->entries[page];

		if (entry->hash == hash &&
			memcmp(&entry->key, key, sizeof(PageKey)) == 0)
			break;
		page = entry->chain;
	}
	return page;
}

static void
hash_insert(PagePool *pool, int32_t page)
{
	PageEntry  *entry = &pool->entries[page];
	int32_t    *bucket = bucket_of(pool, entry->hash);

	entry->chain = *bucket;
	*bucket = page;
	entry->serial = ++pool->last_serial;
}

static void
hash_remove(PagePool *pool, int32_t page)
{
	PageEntry  *entry = &pool->entries[page];
	int32_t    *link = bucket_of(pool, entry->hash);

	while (*link != page)
		link = &pool->entries[*link].chain;
	*link = entry->chain;
	entry->chain = NO_PAGE;
	entry->serial = 0;
}

/*
 * Use
 */

static PageEntry *
entry_of(const PagePool *pool, int32_t page)
{
	if (page < 0 || page >= pool->memory.n_pages)
		return NULL;
	return &pool->entries[page];
}

/* The page that this one continues, unless that is gone. */
static int32_t
living_parent(const PagePool *pool, const PageEntry *entry)
{
	if (entry->serial == 0 || entry->parent == NO_PAGE ||
		pool->entries[entry->parent].serial != entry->key.parent_serial)
		return NO_PAGE;
	return entry->parent;
}

static bool
in_use(const PageEntry *entry)
{
	return entry->references > 0 || entry->continuations > 0;
}

/*
 * A page is about to gain a reference or a continuation.  If it is its first
 * one, the page comes out of the cache, and its parent gains a continuation.
 */
static void
gain_user(PagePool *pool, int32_t page)
{
	bool		idle = !in_use(&pool->entries[page]);

	while (idle)
	{
		list_remove(pool, &pool->cached, page);
		pool->n_used++;
		page = living_parent(pool, &pool->entries[page]);
		if (page == NO_PAGE)
			break;
		idle = !in_use(&pool->entries[page]);
		pool->entries[page].continuations++;
	}
}

static void
set_empty(PagePool *pool, int32_t page)
{
	PageEntry  *entry = &pool->entries[page];

	if (entry->serial != 0)
		hash_remove(pool, page);
	entry->state = PAGE_EMPTY;
	entry->parent = NO_PAGE;
	list_append(pool, &pool->empty, page);
}

/*
 * A page lost a reference or a continuation.  If it was the last one, the page
 * is not in use any more, and its parent loses a continuation.
 */
static void
lost_user(PagePool *pool, int32_t page)
{
	while (page != NO_PAGE && !in_use(&pool->entries[page]))
	{
		PageEntry  *entry = &pool->entries[page];
		int32_t		parent = living_parent(pool, entry);

		pool->n_used--;
		if (entry->state == PAGE_PUBLISHED)
			list_append(pool, &pool->cached, page);
		else
			set_empty(pool, page);
		if (parent != NO_PAGE)
			pool->entries[parent].continuations--;
		page = parent;
	}
}

/*
 * Room
 */

/* The page that was used least recently loses its contents. */
static bool
evict(PagePool *pool)
{
	int32_t		page = pool->cached.oldest;

	if (page == NO_PAGE)
		return false;
	list_remove(pool, &pool->cached, page);
	set_empty(pool, page);
	return true;
}

/* A page from the system, if the budget allows it. */
static bool
charge(PagePool *pool)
{
	PageBudget *budget = pool->budget;
	int32_t		page = pool->vacant.oldest;

	if (page == NO_PAGE || budget->used > budget->limit ||
		budget->limit - budget->used < pool->memory.page_bytes)
		return false;
	budget->used += pool->memory.page_bytes;
	list_remove(pool, &pool->vacant, page);
	pool->entries[page].state = PAGE_EMPTY;
	list_append(pool, &pool->empty, page);
	return true;
}

/* An empty page goes back to the system. */
static void
discharge(PagePool *pool)
{
	const PageMemory *memory = &pool->memory;
	int32_t		page = pool->empty.oldest;

	list_remove(pool, &pool->empty, page);
	pool->entries[page].state = PAGE_VACANT;
	list_append(pool, &pool->vacant, page);
	pool->budget->used -= memory->page_bytes;
	if (memory->give_back != NULL)
		memory->give_back(memory->arg, page_address(pool, page),
						  memory->page_bytes);
}

/*
 * Opening
 */

static EngineCode
check_memory(const PageMemory *memory, EngineStatus *status)
{
	uint64_t	total;

	if (memory->base == NULL || (uintptr_t) memory->base % 64 != 0)
		return engine_fail(status, ENGINE_INVALID,
						   "memory for pages is not aligned to 64 bytes");
	if (memory->n_pages <= 0 || memory->page_bytes == 0 ||
		memory->page_bytes % 64 != 0 ||
		!checked_mul((uint64_t) memory->n_pages, memory->page_bytes,
					 &total) || total > PTRDIFF_MAX)
		return engine_fail(status, ENGINE_INVALID,
						   "memory for pages has no usable size");
	return ENGINE_OK;
}

static void
open_empty(PagePool *pool)
{
	const PageList none = {NO_PAGE, NO_PAGE, 0};

	pool->vacant = pool->empty = pool->cached = none;
	for (uint64_t i = 0; i < pool->n_buckets; i++)
		pool->buckets[i] = NO_PAGE;
	for (int32_t page = 0; page < pool->memory.n_pages; page++)
	{
		pool->entries[page].parent = NO_PAGE;
		pool->entries[page].chain = NO_PAGE;
		list_append(pool, &pool->vacant, page);
	}
}

EngineCode
page_pool_open(PagePool **pool, const PageMemory *memory, PageBudget *budget,
			   EngineArena *arena, EngineStatus *status)
{
	PagePool   *new;

	ENGINE_TRY(check_memory(memory, status));
	new = engine_alloc(arena, 1, sizeof(PagePool), status);
	if (new == NULL)
		return status->code;
	new->memory = *memory;
	new->budget = budget;
	new->n_buckets = 1;
	while (new->n_buckets < (uint64_t) memory->n_pages)
		new->n_buckets *= 2;
	new->entries = engine_alloc(arena, (size_t) memory->n_pages,
								sizeof(PageEntry), status);
	if (new->entries == NULL)
		return status->code;
	new->buckets = engine_alloc(arena, (size_t) new->n_buckets,
								sizeof(int32_t), status);
	if (new->buckets == NULL)
		return status->code;
	open_empty(new);
	*pool = new;
	return ENGINE_OK;
}

/*
 * Operations
 */

int32_t
page_take(PagePool *pool)
{
	int32_t		page;
	PageEntry  *entry;

	if (pool->empty.length == 0 && !charge(pool) && !evict(pool))
		return NO_PAGE;
	page = pool->empty.newest;
	list_remove(pool, &pool->empty, page);
	entry = &pool->entries[page];
	entry->state = PAGE_PRIVATE;
	entry->references = 1;
	pool->references++;
	pool->n_used++;
	memset(page_address(pool, page), 0, pool->memory.page_bytes);
	return page;
}

uint8_t *
page_address(const PagePool *pool, int32_t page)
{
	if (entry_of(pool, page) == NULL)
		return NULL;
	return pool->memory.base + (size_t) page * pool->memory.page_bytes;
}

void
page_keep(PagePool *pool, int32_t page)
{
	PageEntry  *entry = entry_of(pool, page);

	if (entry == NULL || entry->state < PAGE_PRIVATE ||
		entry->references == INT32_MAX)
		return;
	gain_user(pool, page);
	entry->references++;
	pool->references++;
}

void
page_release(PagePool *pool, int32_t page)
{
	PageEntry  *entry = entry_of(pool, page);

	if (entry == NULL || entry->references == 0)
		return;
	entry->references--;
	pool->references--;
	lost_user(pool, page);
}

/*
 * The key of a page behind parent; false if parent is not listed, and nothing
 * can be found behind it.
 */
static bool
make_key(const PagePool *pool, const PageScope *scope, int32_t parent,
		 const int32_t *tokens, PageKey *key)
{
	key->scope = *scope;
	key->parent_serial = 0;
	if (parent != NO_PAGE)
	{
		const PageEntry *entry = entry_of(pool, parent);

		if (entry == NULL || entry->serial == 0)
			return false;
		key->parent_serial = entry->serial;
	}
	memcpy(key->tokens, tokens, sizeof(key->tokens));
	return true;
}

int32_t
page_find(PagePool *pool, const PageScope *scope, int32_t parent,
		  const int32_t *tokens)
{
	PageKey		key;

	if (!make_key(pool, scope, parent, tokens, &key))
		return NO_PAGE;
	return hash_find(pool, &key, key_hash(&key));
}

bool
page_is_published(const PagePool *pool, int32_t page)
{
	const PageEntry *entry = entry_of(pool, page);

	return entry != NULL && entry->state == PAGE_PUBLISHED;
}

void
page_claim(PagePool *pool, int32_t page, const PageScope *scope,
		   int32_t parent, const int32_t *tokens)
{
	PageEntry  *entry = entry_of(pool, page);
	PageKey		key;
	uint64_t	hash;

	if (entry == NULL || entry->state != PAGE_PRIVATE ||
		!make_key(pool, scope, parent, tokens, &key))
		return;
	hash = key_hash(&key);
	if (hash_find(pool, &key, hash) != NO_PAGE)
		return;
	entry->state = PAGE_CLAIMED;
	entry->key = key;
	entry->hash = hash;
	entry->parent = parent;
	hash_insert(pool, page);
	if (parent != NO_PAGE)
	{
		gain_user(pool, parent);
		pool->entries[parent].continuations++;
	}
}

void
page_publish(PagePool *pool, int32_t page)
{
	PageEntry  *entry = entry_of(pool, page);

	/* without a reference nobody can have filled it to the end */
	if (entry != NULL && entry->state == PAGE_CLAIMED &&
		entry->references > 0)
		entry->state = PAGE_PUBLISHED;
}

uint64_t
page_pool_shrink(PagePool *pool, uint64_t bytes)
{
	uint64_t	given = 0;

	while (given < bytes && (pool->empty.length > 0 || evict(pool)))
	{
		discharge(pool);
		given += pool->memory.page_bytes;
	}
	return given;
}

PageCounts
page_pool_counts(const PagePool *pool)
{
	uint64_t	allowed = pool->budget->limit / pool->memory.page_bytes;
	PageCounts	counts;

	counts.total = pool->memory.n_pages;
	if (allowed < (uint64_t) counts.total)
		counts.total = (int32_t) allowed;
	counts.held = pool->n_used;
	counts.cached = pool->cached.length;
	counts.empty = pool->empty.length;
	counts.references = (int32_t) (pool->references < INT32_MAX ?
								   pool->references : INT32_MAX);
	return counts;
}

/*
 * Checking
 */

static EngineCode
broken(EngineStatus *status, const char *rule, int32_t page)
{
	engine_fail(status, ENGINE_INVALID, "page pool is not consistent");
	engine_detail(status, "Page %d: %s.", (int) page, rule);
	return status->code;
}

/* Both directions of a list, and that its pages belong there; numbers them. */
static EngineCode
check_list(const PagePool *pool, const PageList *list, PageState state,
		   EngineStatus *status)
{
	int32_t		older = NO_PAGE;
	int32_t		page = list->oldest;
	int32_t		n = 0;

	while (page != NO_PAGE)
	{
		PageEntry  *entry = entry_of(pool, page);

		if (entry == NULL || n == pool->memory.n_pages)
			return broken(status, "a list has no end", page);
		if (entry->older != older || entry->mark != 0)
			return broken(status, "links of a list do not fit", page);
		if (entry->state != state || in_use(entry))
			return broken(status, "is in a list of another state", page);
		entry->mark = ++n;
		older = page;
		page = entry->newer;
	}
	if (list->newest != older || list->length != n)
		return broken(status, "a list does not end where it says", older);
	return ENGINE_OK;
}

/* One chain of the hash; counts its pages. */
static EngineCode
check_chain(const PagePool *pool, uint64_t bucket, int32_t *n,
			EngineStatus *status)
{
	int32_t		page = pool->buckets[bucket];

	while (page != NO_PAGE)
	{
		const PageEntry *entry = entry_of(pool, page);

		if (entry == NULL || (*n)++ == pool->memory.n_pages)
			return broken(status, "a chain has no end", page);
		if (entry->serial == 0 || entry->serial > pool->last_serial)
			return broken(status, "is in the hash without number", page);
		if (entry->hash != key_hash(&entry->key) ||
			(entry->hash & (pool->n_buckets - 1)) != bucket)
			return broken(status, "is in a wrong chain", page);
		if (hash_find(pool, &entry->key, entry->hash) != page)
			return broken(status, "is in the hash twice", page);
		page = entry->chain;
	}
	return ENGINE_OK;
}

static EngineCode
check_hash(const PagePool *pool, EngineStatus *status)
{
	int32_t		found = 0;
	int32_t		listed = 0;

	for (uint64_t bucket = 0; bucket < pool->n_buckets; bucket++)
		ENGINE_TRY(check_chain(pool, bucket, &found, status));
	for (int32_t page = 0; page < pool->memory.n_pages; page++)
	{
		const PageEntry *entry = &pool->entries[page];

		if ((entry->serial != 0) != (entry->state >= PAGE_CLAIMED))
			return broken(status, "its number does not fit its state", page);
		if (entry->serial != 0)
			listed++;
	}
	if (found != listed)
		return broken(status, "something is missing in the hash", NO_PAGE);
	return ENGINE_OK;
}

/* A page against its parent; marks the parent as used by it. */
static EngineCode
check_parent(const PagePool *pool, int32_t page, EngineStatus *status)
{
	const PageEntry *entry = &pool->entries[page];
	int32_t		parent = living_parent(pool, entry);

	if (parent == NO_PAGE)
		return ENGINE_OK;
	if (in_use(entry))
	{
		if (!in_use(&pool->entries[parent]))
			return broken(status, "continues a page not in use", page);
		pool->entries[parent].mark--;
	}
	else if (!in_use(&pool->entries[parent]) &&
			 pool->entries[parent].mark < entry->mark)
		return broken(status, "would be evicted after its parent", page);
	return ENGINE_OK;
}

static EngineCode
check_use(const PagePool *pool, EngineStatus *status)
{
	int32_t		used = 0;
	int64_t		references = 0;

	for (int32_t page = 0; page < pool->memory.n_pages; page++)
	{
		const PageEntry *entry = &pool->entries[page];

		ENGINE_TRY(check_parent(pool, page, status));
		if (in_use(entry) ? entry->state < PAGE_PRIVATE : entry->mark == 0)
			return broken(status, "its use does not fit its state", page);
		used += in_use(entry);
		references += entry->references;
	}
	for (int32_t page = 0; page < pool->memory.n_pages; page++)
	{
		const PageEntry *entry = &pool->entries[page];

		if (in_use(entry) && entry->mark != -entry->continuations)
			return broken(status, "is used by others than it says", page);
	}
	if (used != pool->n_used || references != pool->references)
		return broken(status, "counts are wrong", NO_PAGE);
	return ENGINE_OK;
}

static EngineCode
check_all(const PagePool *pool, EngineStatus *status)
{
	int32_t		charged = pool->memory.n_pages - pool->vacant.length;

	for (int32_t page = 0; page < pool->memory.n_pages; page++)
		pool->entries[page].mark = 0;
	ENGINE_TRY(check_list(pool, &pool->vacant, PAGE_VACANT, status));
	ENGINE_TRY(check_list(pool, &pool->empty, PAGE_EMPTY, status));
	ENGINE_TRY(check_list(pool, &pool->cached, PAGE_PUBLISHED, status));
	ENGINE_TRY(check_hash(pool, status));
	ENGINE_TRY(check_use(pool, status));
	if ((uint64_t) charged * pool->memory.page_bytes > pool->budget->used)
		return broken(status, "the budget has less than the pool", NO_PAGE);
	return ENGINE_OK;
}

bool
page_pool_check(const PagePool *pool, EngineStatus *status)
{
	return check_all(pool, status) == ENGINE_OK;
}
