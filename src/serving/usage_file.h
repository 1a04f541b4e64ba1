/*-------------------------------------------------------------------------
 *
 * usage_file.h
 *	  The counters of llm.stat_usage from one run of the server to the next.
 *
 * Both are called by the postmaster and report trouble in its log; neither
 * throws.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_USAGE_FILE_H
#define LLM_USAGE_FILE_H

#include "serving/usage.h"

extern void usage_file_write(const UsageRow *rows, int n);

/*
 * What was written last, at most max rows, palloc'd; NULL when there is no
 * file, or one that cannot be used.  The file is gone afterwards: after a
 * crash the next start begins from zero.
 */
extern UsageRow *usage_file_read(int max, int *n);

#endif							/* LLM_USAGE_FILE_H */
