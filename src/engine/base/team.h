/*-------------------------------------------------------------------------
 *
 * team.h
 *	  Threads that compute together.
 *
 * A team is the thread that opened it and helpers that it starts.  The work
 * of a moment is a number of items, each of which any thread may do; which
 * thread it is never shows in the result (numerics contract).  Helpers start
 * with all signals blocked, never call the host, and set up the processor's
 * floating-point mode as kernels_enter() does.
 *
 * A host that has threads hands its team to the engine in EngineHost.team;
 * without one (NULL) everything runs in the caller.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TEAM_H
#define ENGINE_TEAM_H

#include "base/arena.h"

#define TEAM_MOST 64			/* threads, the caller included */

typedef struct Team Team;

/* item: 0 .. n_items - 1; thread: 0 (the caller) .. team_threads() - 1 */
typedef void (*TeamWork) (void *arg, int64_t item, int thread);

/*
 * n_threads >= 1, the caller included.  ENGINE_NO_MEMORY when a thread cannot
 * be started; nothing is left behind then.
 */
extern EngineCode team_open(Team **team, int n_threads,
							const EngineAllocator *allocator,
							EngineStatus *status);

/* Joins the helpers.  NULL is no team. */
extern void team_close(Team *team);

/* 1 for NULL */
extern int	team_threads(const Team *team);

/*
 * Do every item once, and return when all are done.  Between items of its own
 * the caller asks the host of the engine whether to go on: false when it was
 * told to stop, and some items then are not done.  Not to be nested.
 */
extern bool team_run(Team *team, int64_t n_items, TeamWork work, void *arg,
					 const EngineHost *host);

#endif							/* ENGINE_TEAM_H */
