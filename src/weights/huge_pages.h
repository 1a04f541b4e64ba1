/*-------------------------------------------------------------------------
 *
 * huge_pages.h
 *	  Huge pages for images, where the kernel has them to give.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_HUGE_PAGES_H
#define LLM_HUGE_PAGES_H

#define HUGE_PAGE ((uint64) 2 * 1024 * 1024)

/* Let memory that is touched for the first time have huge pages. */
extern void huge_pages_ask(void *start, uint64 size);

/*
 * Move what lies there into huge pages, as far as it is not in some already;
 * may be interrupted.
 */
extern void huge_pages_take(void *start, uint64 size);

#endif							/* LLM_HUGE_PAGES_H */
