/*-------------------------------------------------------------------------
 *
 * team.c
 *	  Threads that compute together.
 *
 * A run is one word, the number of items that nobody has taken yet.  Whoever
 * counts it down from above zero owns an item, and what the run is about stays
 * as it is until that item is finished: so a helper needs no handshake to take
 * part, and one that comes late, because another process has its core, is not
 * waited for.  The caller waits for the items that helpers have taken, no more.
 *
 * A pass through a small model has some hundred runs within a millisecond.
 * Hence who waits turns in a loop first, about as long as the caller takes
 * between two runs, and sleeps only then; the caller, for whom another thread
 * is just finishing, lets others have the core in between.
 *
 * Sleeping follows one pattern: the sleeper says that it sleeps, then looks
 * once more; the waker writes, then looks for sleepers.  Both in the one order
 * of sequentially consistent operations, so that one sees the other.
 *
 *-------------------------------------------------------------------------
 */
#define _POSIX_C_SOURCE 200809L
#include "base/border.h"
#include "base/team.h"
#include "kernels/kernels.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define LINE 64					/* bytes of a cache line */

#define SPIN_NS 20000			/* a helper without work, then it sleeps */
#define WAIT_SPIN_NS 20000		/* the caller, then it yields */
#define WAIT_YIELD_NS 1000000	/* and then sleeps */
#define SPIN_TURNS 32			/* between two looks at the clock */

typedef struct Helper
{
	Team	   *team;
	int			thread;			/* 1 .. n_threads - 1 */
	pthread_t	id;
} Helper;

struct Team
{
	/* the run: written by the caller while nobody owns an item of it */
	_Atomic int64_t left;		/* items to take; at or below 0: none */
	int64_t		n_items;
	TeamWork	work;
	void	   *arg;
	atomic_bool closing;
	char		apart_1[LINE];

	/* what becomes of it */
	_Atomic int64_t finished;	/* items of all runs, by helpers */
	atomic_bool caller_sleeps;
	char		apart_2[LINE];

	atomic_int	sleepers;		/* helpers; changed under mutex */
	int64_t		taken;			/* the caller's: finished when all are done */
	pthread_mutex_t mutex;		/* of both conditions */
	pthread_cond_t work_to_do;
	pthread_cond_t work_done;

	/* constant */
	int			n_threads;
	const EngineAllocator *allocator;
	void	   *memory;
	Helper		helpers[TEAM_MOST - 1];
};

static void
pause_briefly(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile ("isb":::"memory");
#endif
}

static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Turn until ready() or so much time has gone by. */
static bool
spin(Team *team, bool (*ready) (Team *team), int64_t ns)
{
	int64_t		until = 0;

	for (;;)
	{
		for (int turn = 0; turn < SPIN_TURNS; turn++)
		{
			if (ready(team))
				return true;
			pause_briefly();
		}
		if (until == 0)
			until = now_ns() + ns;
		else if (now_ns() > until)
			return false;
	}
}

/*
 * Own an item, if any is left.  Acquires what the caller wrote of the run, as
 * other takers only count down what the caller stored.
 */
static bool
take(Team *team, int64_t *item)
{
	int64_t		left;

	if (atomic_load_explicit(&team->left, memory_order_relaxed) <= 0)
		return false;
	left = atomic_fetch_sub_explicit(&team->left, 1, memory_order_acquire);
	if (left <= 0)
		return false;
	*item = team->n_items - left;
	return true;
}

/*
 * Helpers
 */

static bool
has_work(Team *team)
{
	return atomic_load_explicit(&team->left, memory_order_relaxed) > 0 ||
		atomic_load_explicit(&team->closing, memory_order_relaxed);
}

static void
sleep_until_work(Team *team)
{
	pthread_mutex_lock(&team->mutex);
	atomic_fetch_add(&team->sleepers, 1);
	while (atomic_load(&team->left) <= 0 && !atomic_load(&team->closing))
		pthread_cond_wait(&team->work_to_do, &team->mutex);
	atomic_fetch_sub(&team->sleepers, 1);
	pthread_mutex_unlock(&team->mutex);
}

static void
finish_item(Team *team)
{
	atomic_fetch_add(&team->finished, 1);
	if (!atomic_load(&team->caller_sleeps))
		return;
	pthread_mutex_lock(&team->mutex);
	pthread_cond_signal(&team->work_done);
	pthread_mutex_unlock(&team->mutex);
}

static void *
help(void *arg)
{
	Helper	   *helper = arg;
	Team	   *team = helper->team;

	kernels_enter();
	while (!atomic_load(&team->closing))
	{
		int64_t		item;

		while (take(team, &item))
		{
			team->work(team->arg, item, helper->thread);
			finish_item(team);
		}
		if (!spin(team, has_work, SPIN_NS))
			sleep_until_work(team);
	}
	return NULL;
}

/*
 * The caller
 */

static bool
is_done(Team *team)
{
	return atomic_load(&team->finished) == team->taken;
}

static void
wait_until_done(Team *team)
{
	int64_t		until;

	if (spin(team, is_done, WAIT_SPIN_NS))
		return;
	until = now_ns() + WAIT_YIELD_NS;
	while (now_ns() < until)
	{
		sched_yield();
		if (is_done(team))
			return;
	}

	pthread_mutex_lock(&team->mutex);
	atomic_store(&team->caller_sleeps, true);
	while (!is_done(team))
		pthread_cond_wait(&team->work_done, &team->mutex);
	atomic_store(&team->caller_sleeps, false);
	pthread_mutex_unlock(&team->mutex);
}

static void
wake_helpers(Team *team, int64_t most)
{
	int			sleepers = atomic_load(&team->sleepers);

	if (sleepers == 0 || most <= 0)
		return;
	pthread_mutex_lock(&team->mutex);
	for (int i = 0; i < sleepers && i < most; i++)
		pthread_cond_signal(&team->work_to_do);
	pthread_mutex_unlock(&team->mutex);
}

static bool
run_alone(int64_t n_items, TeamWork work, void *arg, const EngineHost *host)
{
	for (int64_t item = 0; item < n_items; item++)
	{
		if (engine_interrupted(host))
			return false;
		work(arg, item, 0);
	}
	return true;
}

bool
team_run(Team *team, int64_t n_items, TeamWork work, void *arg,
		 const EngineHost *host)
{
	int64_t		own = 0;
	int64_t		abandoned = 0;
	int64_t		item;

	if (n_items <= 1 || team_threads(team) == 1)
		return run_alone(n_items, work, arg, host);

	team->n_items = n_items;
	team->work = work;
	team->arg = arg;
	atomic_store(&team->left, n_items);
	wake_helpers(team, n_items - 1);

	while (abandoned == 0 && take(team, &item))
	{
		own++;
		if (engine_interrupted(host))
		{
			/* the item just taken, and what nobody has taken */
			abandoned = 1;
			item = atomic_exchange(&team->left, 0);
			own += item > 0 ? item : 0;
		}
		else
			work(arg, item, 0);
	}
	team->taken += n_items - own;
	wait_until_done(team);
	return abandoned == 0;
}

int
team_threads(const Team *team)
{
	return team == NULL ? 1 : team->n_threads;
}

/*
 * Opening and closing
 */

/*
 * A signal that a thread of the host does not expect would run its handler
 * in the helper, so all are blocked before it exists.
 */
static bool
start_helper(Helper *helper)
{
	sigset_t	all;
	sigset_t	before;
	int			failed;

	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
		return false;
	failed = pthread_create(&helper->id, NULL, help, helper);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return failed == 0;
}

static Team *
allocate(const EngineAllocator *allocator)
{
	char	   *memory = allocator->alloc(allocator->arg,
										  sizeof(Team) + LINE - 1);
	Team	   *team;

	if (memory == NULL)
		return NULL;
	team = (Team *) (memory + (-(uintptr_t) memory & (LINE - 1)));
	memset(team, 0, sizeof(*team));
	team->memory = memory;
	team->allocator = allocator;
	return team;
}

EngineCode
team_open(Team **team, int n_threads, const EngineAllocator *allocator,
		  EngineStatus *status)
{
	Team	   *opened;

	*team = NULL;
	if (n_threads < 1 || n_threads > TEAM_MOST)
		return engine_fail(status, ENGINE_INVALID,
						   "%d threads are not possible", n_threads);
	opened = allocate(allocator);
	if (opened == NULL)
		return engine_fail(status, ENGINE_NO_MEMORY,
						   "no memory for %d threads", n_threads);
	pthread_mutex_init(&opened->mutex, NULL);
	pthread_cond_init(&opened->work_to_do, NULL);
	pthread_cond_init(&opened->work_done, NULL);
	for (opened->n_threads = 1; opened->n_threads < n_threads;
		 opened->n_threads++)
	{
		Helper	   *helper = &opened->helpers[opened->n_threads - 1];

		helper->team = opened;
		helper->thread = opened->n_threads;
		if (start_helper(helper))
			continue;
		team_close(opened);
		return engine_fail(status, ENGINE_NO_MEMORY,
						   "thread %d of %d cannot be started",
						   helper->thread + 1, n_threads);
	}
	*team = opened;
	return ENGINE_OK;
}

void
team_close(Team *team)
{
	const EngineAllocator *allocator;

	if (team == NULL)
		return;
	pthread_mutex_lock(&team->mutex);
	atomic_store(&team->closing, true);
	pthread_cond_broadcast(&team->work_to_do);
	pthread_mutex_unlock(&team->mutex);
	for (int i = 0; i < team->n_threads - 1; i++)
		pthread_join(team->helpers[i].id, NULL);
	pthread_cond_destroy(&team->work_done);
	pthread_cond_destroy(&team->work_to_do);
	pthread_mutex_destroy(&team->mutex);
	allocator = team->allocator;
	allocator->free(allocator->arg, team->memory);
}
