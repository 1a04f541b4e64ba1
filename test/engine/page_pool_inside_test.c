/*-------------------------------------------------------------------------
 *
 * page_pool_inside_test.c
 *	  What of the pool of pages cannot be reached from outside: keys with the
 *	  same hash, and whether page_pool_check() sees what is broken.
 *
 * Includes the source file instead of linking it, to call its hash function
 * and to break its structures.
 *
 *-------------------------------------------------------------------------
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "batch/page_pool.c"

#define PAGES 8
#define PAGE_BYTES 64

static const PageScope scope = {3, 4};

typedef struct Inside
{
	_Alignas(64) uint8_t bytes[PAGES * PAGE_BYTES];
	PageBudget	budget;
	EngineArena arena;
	PagePool   *pool;
} Inside;

static void
inside_open(Inside *inside)
{
	const PageMemory memory = {inside->bytes, PAGES, PAGE_BYTES, NULL, NULL};
	EngineStatus status;

	inside->budget.limit = PAGES * PAGE_BYTES;
	inside->budget.used = 0;
	engine_arena_init(&inside->arena, &engine_malloc, 0);
	assert_int_equal(page_pool_open(&inside->pool, &memory, &inside->budget,
									&inside->arena, &status), ENGINE_OK);
}

/*
 * Collisions
 */

#define TRIED (1 << 18)			/* about 8 pairs among them */

/* A token, the third from the end, and the hash before the last one. */
typedef struct Trial
{
	uint64_t	hash;
	int32_t		token;
} Trial;

static int
compare_trials(const void *a, const void *b)
{
	uint64_t	left = ((const Trial *) a)->hash;
	uint64_t	right = ((const Trial *) b)->hash;

	return (left > right) - (left < right);
}

/*
 * Two keys of the same hash.  A token changes the lower half of what is mixed
 * next: when the upper halves agree before the last one, that can make up for
 * the difference.  (Equally spaced tokens keep their distance when they are
 * multiplied once; hence one more between the two.)
 */
static void
find_collision(PageKey *one, PageKey *two)
{
	Trial	   *trials = malloc(TRIED * sizeof(Trial));
	int			i = 1;

	assert_non_null(trials);
	memset(one, 0, sizeof(*one));
	one->scope = scope;
	for (int k = 0; k < TRIED; k++)
	{
		uint64_t	hash = mix(mix(mix(0, scope.a), scope.b), 0);

		for (int j = 0; j < KV_PAGE_POSITIONS - 3; j++)
			hash = mix(hash, 0);
		trials[k].hash = mix(mix(hash, (uint64_t) k), 0);
		trials[k].token = k;
	}
	qsort(trials, TRIED, sizeof(Trial), compare_trials);
	while (i < TRIED && trials[i].hash >> 32 != trials[i - 1].hash >> 32)
		i++;
	assert_in_range(i, 1, TRIED - 1);
	*two = *one;
	one->tokens[KV_PAGE_POSITIONS - 3] = trials[i - 1].token;
	two->tokens[KV_PAGE_POSITIONS - 3] = trials[i].token;
	two->tokens[KV_PAGE_POSITIONS - 1] = (int32_t)
		(uint32_t) (trials[i].hash ^ trials[i - 1].hash);
	free(trials);
}

/* Equal hashes, different tokens: both are found, and only themselves. */
static void
test_collision(void **state)
{
	Inside		inside;
	EngineStatus status;
	PageKey		keys[2];
	int32_t		pages[2];

	(void) state;
	find_collision(&keys[0], &keys[1]);
	assert_true(key_hash(&keys[0]) == key_hash(&keys[1]));
	assert_memory_not_equal(keys[0].tokens, keys[1].tokens,
							sizeof(keys[0].tokens));
	inside_open(&inside);
	for (int i = 0; i < 2; i++)
	{
		assert_int_equal(page_find(inside.pool, &scope, NO_PAGE,
								   keys[i].tokens), NO_PAGE);
		pages[i] = page_take(inside.pool);
		page_claim(inside.pool, pages[i], &scope, NO_PAGE, keys[i].tokens);
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(page_find(inside.pool, &scope, NO_PAGE,
								   keys[i].tokens), pages[i]);
	assert_true(page_pool_check(inside.pool, &status));

	/* the one that goes is the right one */
	page_release(inside.pool, pages[0]);
	assert_int_equal(page_find(inside.pool, &scope, NO_PAGE,
							   keys[0].tokens), NO_PAGE);
	assert_int_equal(page_find(inside.pool, &scope, NO_PAGE,
							   keys[1].tokens), pages[1]);
	assert_true(page_pool_check(inside.pool, &status));
	engine_arena_free(&inside.arena);
}

/*
 * What page_pool_check() sees
 */

/* Pages of a pool in which something of every kind is present. */
enum
{
	HELD,						/* published */
	BEHIND_HELD,				/* claimed, continues it */
	CACHED,
	BEHIND_CACHED,				/* cached, continues it */
	PRIVATE,
	EMPTY,
	VACANT,
	LAST_VACANT
};

static void
list(PagePool *pool, int32_t page, int32_t parent, int32_t token)
{
	const int32_t tokens[KV_PAGE_POSITIONS] = {token};

	page_claim(pool, page, &scope, parent, tokens);
	if (page != BEHIND_HELD)
		page_publish(pool, page);
}

static void
inside_furnish(Inside *inside)
{
	PagePool   *pool;

	inside_open(inside);
	pool = inside->pool;
	for (int32_t page = 0; page < VACANT; page++)
		assert_int_equal(page_take(pool), page);
	list(pool, HELD, NO_PAGE, 1);
	list(pool, BEHIND_HELD, HELD, 2);
	list(pool, CACHED, NO_PAGE, 3);
	list(pool, BEHIND_CACHED, CACHED, 4);
	page_release(pool, BEHIND_CACHED);
	page_release(pool, CACHED);
	page_release(pool, EMPTY);
}

static void
swap_cached(PagePool *pool)
{
	list_remove(pool, &pool->cached, BEHIND_CACHED);
	list_append(pool, &pool->cached, BEHIND_CACHED);
}

static void
list_twice(PagePool *pool)
{
	PageEntry  *entry = &pool->entries[PRIVATE];

	entry->state = PAGE_CLAIMED;
	entry->key = pool->entries[HELD].key;
	entry->hash = pool->entries[HELD].hash;
	hash_insert(pool, PRIVATE);
}

/* Breaks one thing, and says what should be said of it; NULL after the last. */
static const char *
tamper_uses(PagePool *pool, int number)
{
	PageEntry  *entries = pool->entries;

	switch (number)
	{
		case 12:
			list_twice(pool);
			return "is in the hash twice";
		case 13:
			entries[HELD].state = PAGE_PRIVATE;
			return "its number does not fit its state";
		case 14:
			entries[PRIVATE].state = PAGE_PUBLISHED;
			return "its number does not fit its state";
		case 15:
			swap_cached(pool);
			return "would be evicted after its parent";
		case 16:
			list_remove(pool, &pool->cached, BEHIND_CACHED);
			entries[BEHIND_CACHED].references = 1;
			return "continues a page not in use";
		case 17:
			list_remove(pool, &pool->empty, EMPTY);
			return "its use does not fit its state";
		case 18:
			entries[PRIVATE].state = PAGE_EMPTY;
			return "its use does not fit its state";
		case 19:
			entries[HELD].continuations = 0;
			return "is used by others than it says";
		case 20:
			pool->n_used++;
			return "counts are wrong";
		case 21:
			pool->references--;
			return "counts are wrong";
		case 22:
			pool->budget->used -= 1;
			return "the budget has less than the pool";
		default:
			return NULL;
	}
}

/* The same for lists and the hash, and then for the others. */
static const char *
tamper(PagePool *pool, int number)
{
	PageEntry  *entries = pool->entries;

	switch (number)
	{
		case 0:
			pool->cached.length++;
			return "a list does not end where it says";
		case 1:
			pool->vacant.newest = VACANT;
			return "a list does not end where it says";
		case 2:
			entries[CACHED].older = NO_PAGE;
			return "links of a list do not fit";
		case 3:
			entries[LAST_VACANT].newer = VACANT;
			return "links of a list do not fit";
		case 4:
			entries[LAST_VACANT].newer = PAGES;
			return "a list has no end";
		case 5:
			entries[EMPTY].state = PAGE_VACANT;
			return "is in a list of another state";
		case 6:
			entries[CACHED].references = 1;
			return "is in a list of another state";
		case 7:
			*bucket_of(pool, entries[HELD].hash) = NO_PAGE;
			return "something is missing in the hash";
		case 8:
			entries[HELD].chain = HELD;
			return "a chain has no end";
		case 9:
			entries[HELD].serial = pool->last_serial + 1;
			return "is in the hash without number";
		case 10:
			entries[HELD].hash ^= 1;
			return "is in a wrong chain";
		case 11:
			entries[HELD].key.tokens[5]++;
			return "is in a wrong chain";
		default:
			return tamper_uses(pool, number);
	}
}

static void
test_check(void **state)
{
	const char *expected = "";

	(void) state;
	for (int number = 0; expected != NULL; number++)
	{
		Inside		inside;
		EngineStatus status;

		inside_furnish(&inside);
		assert_true(page_pool_check(inside.pool, &status));
		expected = tamper(inside.pool, number);
		if (expected != NULL)
		{
			if (page_pool_check(inside.pool, &status))
				fail_msg("case %d is not seen", number);
			assert_int_equal(status.code, ENGINE_INVALID);
			if (strstr(status.detail, expected) == NULL)
				fail_msg("case %d: %s", number, status.detail);
		}
		engine_arena_free(&inside.arena);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_collision),
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests_name("page_pool_inside", tests, NULL, NULL);
}
