/*-------------------------------------------------------------------------
 *
 * page_pool.h
 *	  Pages of keys and values for many sequences of one model, and what is
 *	  known of their contents: the prefix cache.
 *
 * A page belongs to the sequences that hold references to it.  One that a
 * sequence fills is private at first.  Once it is clear which 16 tokens stand
 * in it, behind which other page, in which scope, it may be claimed: others
 * with the same prefix find it and wait until it is published.  Published
 * pages are never written again; those without references stay, as long as
 * nobody needs their room, and the least recently used goes first, never
 * before the pages that continue it.
 *
 *		free -> private -> claimed -> published -> free
 *				   |          |
 *				   +----------+-> free (last reference gone)
 *
 * A page is found by scope, by the page before it (NO_PAGE: a sequence's
 * first) and by its tokens, all compared, not only hashed; the page before
 * stands for all tokens before it.  A scope says who may share: a role in a
 * database, say.
 *
 * Pools of several models share a budget of bytes: each has address space for
 * all of it, and gives memory that it does not use back to the system.
 * A page without contents stays charged to the budget, to be used again, until
 * page_pool_shrink().  Contents depend on the model's bytes and on the tokens
 * alone, so a pool outlives the place where an image lies.
 *
 * Page numbers out of range, and calls that do not fit the state of a page,
 * change nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_PAGE_POOL_H
#define ENGINE_PAGE_POOL_H

#include "base/arena.h"
#include "kernels/kernels.h"

#define NO_PAGE (-1)

/* Equal scopes share.  What the numbers mean is the host's. */
typedef struct PageScope
{
	uint64_t	a;
	uint64_t	b;
} PageScope;

/* Bytes that several pools share. */
typedef struct PageBudget
{
	uint64_t	limit;
	uint64_t	used;
} PageBudget;

/* Memory of a pool, the host's. */
typedef struct PageMemory
{
	uint8_t    *base;			/* [n_pages][page_bytes], multiples of 64 */
	int32_t		n_pages;
	size_t		page_bytes;

	/*
	 * these bytes are not needed for now, their contents may go; NULL:
	 * nothing to be done
	 */
	void		(*give_back) (void *arg, void *page, size_t bytes);
	void	   *arg;
} PageMemory;

typedef struct PagePool PagePool;

extern EngineCode page_pool_open(PagePool **pool, const PageMemory *memory,
								 PageBudget *budget, EngineArena *arena,
								 EngineStatus *status);

/*
 * A private page of zeroes with one reference; NO_PAGE when the budget is
 * used up and no published page without references is left in this pool.
 */
extern int32_t page_take(PagePool *pool);

extern uint8_t *page_address(const PagePool *pool, int32_t page);

/* One reference more, one less. */
extern void page_keep(PagePool *pool, int32_t page);
extern void page_release(PagePool *pool, int32_t page);

/*
 * The page with these KV_PAGE_POSITIONS tokens behind parent, claimed or
 * published, or NO_PAGE.  The caller keeps it before it does anything else.
 */
extern int32_t page_find(PagePool *pool, const PageScope *scope,
						 int32_t parent, const int32_t *tokens);
extern bool page_is_published(const PagePool *pool, int32_t page);

/*
 * Let others find a private page: nobody may have claimed the same before
 * (page_find() gave NO_PAGE), and parent, which the caller holds, is claimed
 * or published itself (or NO_PAGE).
 */
extern void page_claim(PagePool *pool, int32_t page, const PageScope *scope,
					   int32_t parent, const int32_t *tokens);

/* A claimed page is filled. */
extern void page_publish(PagePool *pool, int32_t page);

/*
 * Give bytes of memory, rounded up to whole pages, back to the budget and to
 * the system, or as much as there is without references: pages without
 * contents first, then the least recently used ones.  Returns how many bytes.
 * To close a pool whose pages are all released, give back UINT64_MAX.
 */
extern uint64_t page_pool_shrink(PagePool *pool, uint64_t bytes);

typedef struct PageCounts
{
	int32_t		total;			/* that the budget allows this pool alone */
	int32_t		held;			/* with references, or continued by such */
	int32_t		cached;			/* published, without */
	int32_t		empty;			/* taken from the budget, not in use */
	int32_t		references;		/* of all pages */
} PageCounts;

extern PageCounts page_pool_counts(const PagePool *pool);

/*
 * Do lists, hash, counts and budget agree?  Looks at every page: for tests and
 * debugging.  False with status filled.
 */
extern bool page_pool_check(const PagePool *pool, EngineStatus *status);

#endif							/* ENGINE_PAGE_POOL_H */
