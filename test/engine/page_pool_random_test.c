/*-------------------------------------------------------------------------
 *
 * page_pool_random_test.c
 *	  The pool of pages against a simple model, by random operations.
 *
 * The model knows lists and linear search only.  After each operation counts,
 * budget, states and a random search are compared, and page_pool_check() looks
 * for inner contradictions.  Every page says in its memory what it should
 * hold: a published one a number that stands for its scope and for all tokens
 * up to its end, so that a wrong hit shows whatever the model thinks.
 *
 * Two kinds of runs: sequences behave as batch.h's do; wild ones call whatever
 * they like, in any order, with whichever page.
 *
 *-------------------------------------------------------------------------
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "numbers.h"

#include "batch/page_pool.h"

#define MOST_PAGES 16
#define N_SCOPES 3
#define N_TOKENS 4				/* different contents of a page's tokens */
#define N_SEQUENCES 5
#define MOST_LENGTH 6

typedef enum ModelState
{
	MODEL_VACANT,
	MODEL_EMPTY,
	MODEL_PRIVATE,
	MODEL_CLAIMED,
	MODEL_PUBLISHED
} ModelState;

typedef struct ModelPage
{
	ModelState	state;
	int			references;
	int			scope;
	int32_t		parent;
	int			parent_life;
	int			tokens;
	int			life;			/* differs for all contents there ever were */
	int			idle_since;		/* cached: when it was used last; else 0 */
	bool		used;			/* by references or by what continues it */
	uint64_t	prefix;			/* what all tokens up to its end amount to */
	uint64_t	contents;		/* what its memory is filled with */
} ModelPage;

typedef struct Sequence
{
	bool		running;
	int			scope;
	int			length;
	int			n;				/* pages held */
	int			n_published;
	int32_t		pages[MOST_LENGTH];
	int			tokens[MOST_LENGTH];
} Sequence;

typedef struct Model
{
	PagePool   *pool;
	PageMemory	memory;
	EngineArena arena;
	ModelPage	pages[MOST_PAGES];
	Sequence	sequences[N_SEQUENCES];
} Model;

/* How often the interesting things happened, so that they did. */
typedef struct Events
{
	int			evictions;
	int			refusals;
	int			hits;
	int			waits;
	int			abandoned;
	int			orphans;
	int			given;
	int			held_by_others;
	int			longest;
} Events;

static PageBudget budget;
static uint64_t model_used;		/* what budget.used should be */
static int	ticks;
static Events events;

static const PageScope scopes[N_SCOPES] = {{7, 1}, {7, 2}, {8, 1}};

/* They differ in a single place from the first. */
static const int32_t *
tokens_of(int number)
{
	static int32_t tokens[KV_PAGE_POSITIONS];

	for (int i = 0; i < KV_PAGE_POSITIONS; i++)
		tokens[i] = 1000;
	if (number > 0)
		tokens[number * 5] ^= 1;
	return tokens;
}

static uint64_t
prefix_of(uint64_t before, int scope, int tokens)
{
	const uint64_t key[3] = {before, (uint64_t) scope, (uint64_t) tokens};

	return numbers_hash(before, key, sizeof(key));
}

/*
 * The model
 */

static bool
is_listed(const ModelPage *page)
{
	return page->state >= MODEL_CLAIMED;
}

static int32_t
model_parent(const Model *model, const ModelPage *page)
{
	const ModelPage *parent;

	if (!is_listed(page) || page->parent == NO_PAGE)
		return NO_PAGE;
	parent = &model->pages[page->parent];
	return is_listed(parent) && parent->life == page->parent_life ?
		page->parent : NO_PAGE;
}

static bool
is_continued(const Model *model, int32_t page, bool by_fresh)
{
	for (int32_t i = 0; i < model->memory.n_pages; i++)
	{
		const ModelPage *other = &model->pages[i];

		if (model_parent(model, other) == page &&
			(!by_fresh || (!other->used && other->idle_since == 0)))
			return true;
	}
	return false;
}

static void
model_mark_used(Model *model)
{
	bool		again = true;

	for (int32_t i = 0; i < model->memory.n_pages; i++)
		model->pages[i].used = model->pages[i].references > 0;
	while (again)
	{
		again = false;
		for (int32_t i = 0; i < model->memory.n_pages; i++)
		{
			int32_t		parent = model_parent(model, &model->pages[i]);

			if (parent != NO_PAGE && model->pages[i].used &&
				!model->pages[parent].used)
				again = model->pages[parent].used = true;
		}
	}
}

static void
model_empty(Model *model, int32_t page)
{
	ModelPage  *entry = &model->pages[page];

	if (is_continued(model, page, false))
	{
		/* only what was abandoned may leave something behind */
		assert_int_equal(entry->state, MODEL_CLAIMED);
		events.orphans++;
	}
	entry->state = MODEL_EMPTY;
	entry->life = 0;
	entry->idle_since = 0;
}

/* After references changed: what is not used any more, continuations first. */
static void
model_settle(Model *model)
{
	bool		again = true;

	model_mark_used(model);
	while (again)
	{
		again = false;
		for (int32_t i = 0; i < model->memory.n_pages; i++)
		{
			ModelPage  *page = &model->pages[i];

			if (page->used)
				page->idle_since = 0;
			if (page->used || page->state < MODEL_PRIVATE ||
				page->idle_since != 0 || is_continued(model, i, true))
				continue;
			again = true;
			if (page->state == MODEL_PUBLISHED)
			{
				page->idle_since = ++ticks;
				continue;
			}
			events.abandoned += page->state == MODEL_CLAIMED;
			model_empty(model, i);
		}
	}
}

static int
model_count(const Model *model, ModelState state)
{
	int			n = 0;

	for (int32_t i = 0; i < model->memory.n_pages; i++)
		n += model->pages[i].state == state;
	return n;
}

static int32_t
model_oldest(const Model *model)
{
	int32_t		oldest = NO_PAGE;

	for (int32_t i = 0; i < model->memory.n_pages; i++)
		if (model->pages[i].idle_since != 0 &&
			(oldest == NO_PAGE || model->pages[i].idle_since <
			 model->pages[oldest].idle_since))
			oldest = i;
	return oldest;
}

static int32_t
model_find(const Model *model, int scope, int32_t parent, int tokens)
{
	if (parent != NO_PAGE && !is_listed(&model->pages[parent]))
		return NO_PAGE;
	for (int32_t i = 0; i < model->memory.n_pages; i++)
	{
		const ModelPage *page = &model->pages[i];

		if (is_listed(page) && page->scope == scope &&
			page->tokens == tokens && page->parent == parent &&
			model_parent(model, page) == parent)
			return i;
	}
	return NO_PAGE;
}

/*
 * Memory
 */

static void
fill(Model *model, int32_t page, uint64_t contents)
{
	uint64_t   *words = (uint64_t *) page_address(model->pool, page);

	for (size_t i = 0; i < model->memory.page_bytes / sizeof(*words); i++)
		words[i] = contents;
	model->pages[page].contents = contents;
}

static void
expect_contents(const Model *model, int32_t page)
{
	const uint64_t *words = (const uint64_t *)
		page_address(model->pool, page);

	for (size_t i = 0; i < model->memory.page_bytes / sizeof(*words); i++)
		if (words[i] != model->pages[page].contents)
			fail_msg("page %d has other contents", page);
}

static void
take_back(void *arg, void *address, size_t bytes)
{
	Model	   *model = arg;
	size_t		offset = (size_t) ((uint8_t *) address - model->memory.base);
	int32_t		page = (int32_t) (offset / bytes);

	assert_int_equal(bytes, model->memory.page_bytes);
	assert_int_equal(offset % bytes, 0);
	if (model_count(model, MODEL_EMPTY) == 0)
	{
		assert_int_equal(page, model_oldest(model));
		model_empty(model, page);
	}
	assert_int_equal(model->pages[page].state, MODEL_EMPTY);
	model->pages[page].state = MODEL_VACANT;
	model_used -= bytes;
	events.given++;
	memset(address, 0xDD, bytes);
}

/*
 * Operations, on both
 */

/* The state of the page that comes, or which page. */
static void
expect_taken(Model *model, int32_t page)
{
	size_t		bytes = model->memory.page_bytes;
	bool		allowed = model_used + bytes <= budget.limit;

	if (model_count(model, MODEL_EMPTY) > 0)
		assert_int_equal(model->pages[page].state, MODEL_EMPTY);
	else if (model_count(model, MODEL_VACANT) > 0 && allowed)
	{
		assert_int_equal(model->pages[page].state, MODEL_VACANT);
		model_used += bytes;
	}
	else
	{
		assert_int_equal(page, model_oldest(model));
		if (page == NO_PAGE)
			events.refusals++;
		else
		{
			events.evictions++;
			model_empty(model, page);
		}
	}
}

static int32_t
do_take(Model *model)
{
	static int	lives;
	int32_t		page = page_take(model->pool);
	bool		fits = page >= NO_PAGE && page < model->memory.n_pages;

	assert_true(fits);
	expect_taken(model, page);
	if (page == NO_PAGE)
		return page;
	model->pages[page].state = MODEL_PRIVATE;
	model->pages[page].references = 1;
	model->pages[page].life = ++lives;
	model->pages[page].contents = 0;
	expect_contents(model, page);
	fill(model, page, (uint64_t) lives);
	model_settle(model);
	return page;
}

static void
do_keep(Model *model, int32_t page)
{
	page_keep(model->pool, page);
	if (model->pages[page].state >= MODEL_PRIVATE)
		model->pages[page].references++;
	model_settle(model);
}

static void
do_release(Model *model, int32_t page)
{
	page_release(model->pool, page);
	if (model->pages[page].references > 0)
		model->pages[page].references--;
	model_settle(model);
}

static void
do_claim(Model *model, int32_t page, int scope, int32_t parent, int tokens)
{
	ModelPage  *entry = &model->pages[page];

	page_claim(model->pool, page, &scopes[scope], parent, tokens_of(tokens));
	if (entry->state != MODEL_PRIVATE ||
		(parent != NO_PAGE && !is_listed(&model->pages[parent])) ||
		model_find(model, scope, parent, tokens) != NO_PAGE)
		return;
	entry->state = MODEL_CLAIMED;
	entry->scope = scope;
	entry->parent = parent;
	entry->parent_life = 0;
	entry->tokens = tokens;
	entry->prefix = prefix_of(0, scope, tokens);
	if (parent != NO_PAGE)
	{
		entry->parent_life = model->pages[parent].life;
		entry->prefix = prefix_of(model->pages[parent].prefix, scope, tokens);
	}
	model_settle(model);
}

static void
do_publish(Model *model, int32_t page)
{
	ModelPage  *entry = &model->pages[page];

	page_publish(model->pool, page);
	if (entry->state != MODEL_CLAIMED || entry->references == 0)
		return;
	entry->state = MODEL_PUBLISHED;
	fill(model, page, entry->prefix);
}

static void
do_shrink(Model *model)
{
	uint64_t	bytes = model->memory.page_bytes;
	uint64_t	wanted = (uint64_t) number_below(3 * (int) bytes);
	PageCounts	counts = page_pool_counts(model->pool);
	uint64_t	most = ((uint64_t) counts.cached +
						(uint64_t) model_count(model, MODEL_EMPTY)) * bytes;
	uint64_t	rounded = (wanted + bytes - 1) / bytes * bytes;

	assert_int_equal(page_pool_shrink(model->pool, wanted),
					 rounded < most ? rounded : most);
	model_settle(model);
}

/*
 * What must be the same after each
 */

static void
expect_same_counts(const Model *model)
{
	PageCounts	counts = page_pool_counts(model->pool);
	uint64_t	allowed = budget.limit / model->memory.page_bytes;
	int			used = 0;
	int			cached = 0;
	int			references = 0;

	for (int32_t i = 0; i < model->memory.n_pages; i++)
	{
		const ModelPage *page = &model->pages[i];

		used += page->used;
		cached += page->idle_since != 0;
		references += page->references;
		events.held_by_others += page->used && page->references == 0;
		assert_int_equal(page_is_published(model->pool, i),
						 page->state == MODEL_PUBLISHED);
	}
	assert_int_equal(counts.total, allowed < (uint64_t) model->memory.n_pages ?
					 (int32_t) allowed : model->memory.n_pages);
	assert_int_equal(counts.held, used);
	assert_int_equal(counts.cached, cached);
	assert_int_equal(counts.empty, model_count(model, MODEL_EMPTY));
	assert_int_equal(counts.references, references);
}

static void
expect_same(const Model *model)
{
	EngineStatus status;
	int			scope = number_below(N_SCOPES);
	int			tokens = number_below(N_TOKENS);
	int32_t		parent = number_below(model->memory.n_pages + 1) - 1;
	int32_t		page = number_below(model->memory.n_pages);

	if (!page_pool_check(model->pool, &status))
		fail_msg("%s: %s", status.message, status.detail);
	assert_int_equal(budget.used, model_used);
	expect_same_counts(model);
	assert_int_equal(page_find(model->pool, &scopes[scope], parent,
							   tokens_of(tokens)),
					 model_find(model, scope, parent, tokens));
	if (model->pages[page].state >= MODEL_PRIVATE)
		expect_contents(model, page);
}

/*
 * Wild runs
 */

static int32_t
any_page(const Model *model)
{
	return number_below(model->memory.n_pages);
}

static void
wild_step(Model *model)
{
	int32_t		page = any_page(model);

	switch (number_below(16))
	{
		case 0:
		case 1:
		case 2:
			do_take(model);
			break;
		case 3:
			do_keep(model, page);
			break;
		case 4:
		case 5:
		case 6:
		case 7:
			do_release(model, page);
			break;
		case 8:
		case 9:
		case 10:
		case 11:
			do_claim(model, page, number_below(N_SCOPES),
					 number_below(3) == 0 ? NO_PAGE : any_page(model),
					 number_below(N_TOKENS));
			break;
		case 12:
		case 13:
		case 14:
			do_publish(model, page);
			break;
		default:
			if (number_below(4) == 0)
				do_shrink(model);
	}
}

/*
 * Runs of sequences
 */

static void
sequence_end(Model *model, Sequence *sequence)
{
	while (sequence->n > 0)
		do_release(model, sequence->pages[--sequence->n]);
	sequence->running = false;
}

/* What a published page holds must be what the tokens say, by any model. */
static void
expect_prefix(Model *model, const Sequence *sequence, int n, int32_t page)
{
	const uint64_t *words = (const uint64_t *)
		page_address(model->pool, page);
	uint64_t	prefix = 0;

	for (int i = 0; i < n; i++)
		prefix = prefix_of(prefix, sequence->scope, sequence->tokens[i]);
	assert_true(words[0] == prefix);
}

/* Shares what is published; false if the next page is being computed. */
static bool
sequence_share(Model *model, Sequence *sequence)
{
	while (sequence->n_published == sequence->n &&
		   sequence->n < sequence->length)
	{
		int32_t		parent = sequence->n == 0 ? NO_PAGE :
			sequence->pages[sequence->n - 1];
		int32_t		page = page_find(model->pool, &scopes[sequence->scope],
									 parent,
									 tokens_of(sequence->tokens[sequence->n]));

		if (page == NO_PAGE)
			return true;
		if (!page_is_published(model->pool, page))
		{
			events.waits++;
			return false;
		}
		do_keep(model, page);
		sequence->pages[sequence->n++] = page;
		sequence->n_published++;
		expect_prefix(model, sequence, sequence->n, page);
		events.hits++;
	}
	return true;
}

/* A page more, claimed unless another one has done so; or preempted. */
static void
sequence_extend(Model *model, Sequence *sequence)
{
	int32_t		page;

	if (!sequence_share(model, sequence) ||
		sequence->n == sequence->length)
		return;
	page = do_take(model);
	if (page == NO_PAGE)
	{
		sequence_end(model, sequence);
		return;
	}
	do_claim(model, page, sequence->scope, sequence->n == 0 ? NO_PAGE :
			 sequence->pages[sequence->n - 1], sequence->tokens[sequence->n]);
	sequence->pages[sequence->n++] = page;
	if (sequence->n > events.longest)
		events.longest = sequence->n;
}

static void
sequence_publish(Model *model, Sequence *sequence)
{
	while (sequence->n_published < sequence->n)
		do_publish(model, sequence->pages[sequence->n_published++]);
}

static void
sequence_start(Sequence *sequence)
{
	memset(sequence, 0, sizeof(*sequence));
	sequence->running = true;
	sequence->scope = number_below(N_SCOPES);
	sequence->length = 1 + number_below(MOST_LENGTH);
	for (int i = 0; i < MOST_LENGTH; i++)
		sequence->tokens[i] = number_below(2 + i) % N_TOKENS;
}

static void
sequence_step(Model *model)
{
	Sequence   *sequence = &model->sequences[number_below(N_SEQUENCES)];

	if (number_below(64) == 0)
		do_shrink(model);
	else if (!sequence->running)
		sequence_start(sequence);
	else if (number_below(24) == 0 || sequence->n_published ==
			 sequence->length)
		sequence_end(model, sequence);
	else if (number_below(3) == 0)
		sequence_publish(model, sequence);
	else
		sequence_extend(model, sequence);
}

/*
 * Runs
 */

static void
model_open(Model *model, int32_t n_pages, size_t page_bytes)
{
	size_t		bytes = (size_t) n_pages * page_bytes;
	EngineStatus status;

	memset(model, 0, sizeof(*model));
	model->memory.base = aligned_alloc(64, bytes);
	assert_non_null(model->memory.base);
	memset(model->memory.base, 0xEE, bytes);
	model->memory.n_pages = n_pages;
	model->memory.page_bytes = page_bytes;
	model->memory.give_back = take_back;
	model->memory.arg = model;
	engine_arena_init(&model->arena, &engine_malloc, 0);
	assert_int_equal(page_pool_open(&model->pool, &model->memory, &budget,
									&model->arena, &status), ENGINE_OK);
}

/* Everything is released; nothing may be left. */
static void
model_close(Model *model)
{
	PageCounts	counts;

	for (int i = 0; i < N_SEQUENCES; i++)
		sequence_end(model, &model->sequences[i]);
	for (int32_t i = 0; i < model->memory.n_pages; i++)
		while (model->pages[i].references > 0)
			do_release(model, i);
	page_pool_shrink(model->pool, UINT64_MAX);
	expect_same(model);
	counts = page_pool_counts(model->pool);
	assert_int_equal(counts.held, 0);
	assert_int_equal(counts.cached, 0);
	assert_int_equal(counts.references, 0);
	assert_int_equal(model_count(model, MODEL_VACANT), model->memory.n_pages);
	engine_arena_free(&model->arena);
	free(model->memory.base);
}

/* Two pools of so many pages of 64 and 192 bytes. */
static void
run(int first_pages, int second_pages, uint64_t limit, bool wild,
	int n_steps)
{
	Model		models[2];

	budget.limit = limit;
	budget.used = model_used = 0;
	numbers_seed(limit * 2 + wild);
	model_open(&models[0], first_pages, 64);
	model_open(&models[1], second_pages, 192);
	for (int i = 0; i < n_steps; i++)
	{
		Model	   *model = &models[number_below(8) == 0];

		if (number_below(512) == 0)
			budget.limit = number_below(2) == 0 ? limit :
				(uint64_t) number_below((int) limit);
		if (wild)
			wild_step(model);
		else
			sequence_step(model);
		expect_same(model);
	}
	model_close(&models[0]);
	model_close(&models[1]);
	assert_int_equal(budget.used, 0);
}

/* At least so many of each */
static void
expect_events(const Events *least)
{
	print_message("%d evictions, %d refusals, %d hits, %d waits, "
				  "%d abandoned, %d orphans, %d given back, "
				  "%d held by others, %d pages long\n",
				  events.evictions, events.refusals, events.hits,
				  events.waits, events.abandoned, events.orphans,
				  events.given, events.held_by_others, events.longest);
	assert_true(events.evictions >= least->evictions);
	assert_true(events.refusals >= least->refusals);
	assert_true(events.hits >= least->hits);
	assert_true(events.waits >= least->waits);
	assert_true(events.abandoned >= least->abandoned);
	assert_true(events.orphans >= least->orphans);
	assert_true(events.given >= least->given);
	assert_true(events.held_by_others >= least->held_by_others);
	assert_true(events.longest >= least->longest);
}

static void
test_sequences(void **state)
{
	static const Events least = {
		.evictions = 1000, .refusals = 1000, .hits = 1000, .waits = 1000,
		.abandoned = 1000, .given = 1000, .longest = MOST_LENGTH
	};

	(void) state;
	memset(&events, 0, sizeof(events));
	run(16, 6, 16 * 64 + 3 * 192, false, 60000);
	run(12, 4, 12 * 64, false, 40000);
	run(7, 2, 5 * 64 + 192, false, 30000);
	run(1, 1, 192, false, 10000);
	expect_events(&least);

	/* who holds pages from the first on holds all that he needs */
	assert_int_equal(events.held_by_others, 0);
}

static void
test_wild(void **state)
{
	static const Events least = {
		.evictions = 1000, .refusals = 1000, .abandoned = 1000,
		.orphans = 100, .given = 1000, .held_by_others = 1000
	};

	(void) state;
	memset(&events, 0, sizeof(events));
	run(16, 6, 16 * 64 + 3 * 192, true, 200000);
	run(10, 4, 8 * 64 + 192, true, 100000);
	run(3, 2, 3 * 64 + 192, true, 20000);
	run(1, 1, 192, true, 10000);
	expect_events(&least);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequences),
		cmocka_unit_test(test_wild),
	};

	return cmocka_run_group_tests_name("page_pool_random", tests, NULL, NULL);
}
