/*-------------------------------------------------------------------------
 *
 * huge_pages.c
 *	  Huge pages for images, where the kernel has them to give.
 *
 * Generating a token reads all weights once.  With pages of 4 kB the
 * processor then spends a third of its time or more on finding them, and each
 * new connection some 10 ms per 100 MB on its first call.  huge_pages = on is
 * the sure way, but it takes memory that an administrator reserved; these
 * calls cost nothing and work without: for shared memory when
 * /sys/kernel/mm/transparent_hugepage/shmem_enabled is advise, for private
 * memory nearly always.  All of it is advice: a kernel that refuses changes
 * nothing else.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/mman.h>

#include "miscadmin.h"

#include "weights/huge_pages.h"

/* Linux 6.1; older C libraries do not name it */
#if defined(MADV_HUGEPAGE) && !defined(MADV_COLLAPSE)
#define MADV_COLLAPSE 25
#endif

#ifdef MADV_HUGEPAGE

/* Bytes that one call may move: some ten milliseconds. */
#define TAKE_PIECE (8 * HUGE_PAGE)

/* The whole huge pages inside a range; false when there is none. */
static bool
inner_range(void *start, uint64 size, char **from, char **to)
{
	*from = (char *) TYPEALIGN(HUGE_PAGE, start);
	*to = (char *) TYPEALIGN_DOWN(HUGE_PAGE, (char *) start + size);
	return *from < *to;
}

void
huge_pages_ask(void *start, uint64 size)
{
	char	   *from;
	char	   *to;

	if (inner_range(start, size, &from, &to))
		(void) madvise(from, to - from, MADV_HUGEPAGE);
}

void
huge_pages_take(void *start, uint64 size)
{
	char	   *from;
	char	   *to;

	if (!inner_range(start, size, &from, &to))
		return;
	for (; from < to; from += TAKE_PIECE)
	{
		CHECK_FOR_INTERRUPTS();
		if (madvise(from, Min(to - from, (ptrdiff_t) TAKE_PIECE),
					MADV_COLLAPSE) != 0)
			return;
	}
}

#else

void
huge_pages_ask(void *start, uint64 size)
{
}

void
huge_pages_take(void *start, uint64 size)
{
}

#endif
