/*-------------------------------------------------------------------------
 *
 * cores.h
 *	  How many threads can compute at a time on this machine.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_CORES_H
#define LLM_CORES_H

/*
 * Cores that this process may use: at least 1.  Threads of the same core
 * count once, because they share what computing needs.
 */
extern int	cores_available(void);

#endif							/* LLM_CORES_H */
