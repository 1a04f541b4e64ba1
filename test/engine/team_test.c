/*-------------------------------------------------------------------------
 *
 * team_test.c
 *	  Threads that compute together: every item is done once, by a thread that
 *	  has its number for itself, and nothing of it reaches the host.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/team.h"

#define MOST_ITEMS 1000

typedef struct Sheet
{
	int			n_threads;
	atomic_int	done[MOST_ITEMS];
	atomic_bool busy[TEAM_MOST];	/* no number is used twice at a time */
	atomic_int	by_thread[TEAM_MOST];
	atomic_int	wrong;
} Sheet;

static Team *
open_team(int n_threads)
{
	EngineStatus status;
	Team	   *team;

	if (team_open(&team, n_threads, &engine_malloc, &status) != ENGINE_OK)
		fail_msg("%s", status.message);
	assert_int_equal(team_threads(team), n_threads);
	return team;
}

static void
mark(void *arg, int64_t item, int thread)
{
	Sheet	   *sheet = arg;

	if (item < 0 || item >= MOST_ITEMS || thread < 0 ||
		thread >= sheet->n_threads ||
		atomic_exchange(&sheet->busy[thread], true))
	{
		atomic_fetch_add(&sheet->wrong, 1);
		return;
	}
	atomic_fetch_add(&sheet->done[item], 1);
	atomic_fetch_add(&sheet->by_thread[thread], 1);
	atomic_store(&sheet->busy[thread], false);
}

static void
check_sheet(Sheet *sheet, int n_items)
{
	assert_int_equal(atomic_load(&sheet->wrong), 0);
	for (int i = 0; i < MOST_ITEMS; i++)
		assert_int_equal(atomic_load(&sheet->done[i]), i < n_items ? 1 : 0);
}

static void
every_item_is_done_once(void **state)
{
	static const int sizes[] = {0, 1, 2, 3, 4, 5, 7, 16, 63, 64, 65, 999, 1000};
	static const int threads[] = {1, 2, 3, 4, 7, 16};

	(void) state;
	for (size_t t = 0; t < sizeof(threads) / sizeof(threads[0]); t++)
	{
		Team	   *team = open_team(threads[t]);

		for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
			for (int again = 0; again < 20; again++)
			{
				static Sheet sheet;

				memset(&sheet, 0, sizeof(sheet));
				sheet.n_threads = threads[t];
				assert_true(team_run(team, sizes[s], mark, &sheet, NULL));
				check_sheet(&sheet, sizes[s]);
			}
		team_close(team);
	}
}

static void
no_team_is_the_caller_alone(void **state)
{
	static Sheet sheet;

	(void) state;
	memset(&sheet, 0, sizeof(sheet));
	sheet.n_threads = 1;
	assert_int_equal(team_threads(NULL), 1);
	assert_true(team_run(NULL, 77, mark, &sheet, NULL));
	check_sheet(&sheet, 77);
	team_close(NULL);
}

/* A counter that is not atomic: what an item writes, the caller reads. */
typedef struct Sums
{
	int64_t		terms[64];
	int64_t		factor;
} Sums;

static void
fill_term(void *arg, int64_t item, int thread)
{
	Sums	   *sums = arg;

	(void) thread;
	sums->terms[item] = item * sums->factor;
}

/* Runs come one upon the other, as in a pass, and with breaks for sleep. */
static void
runs_follow_each_other(void **state)
{
	static const int threads[] = {2, 4};
	Sums		sums;

	(void) state;
	for (size_t t = 0; t < sizeof(threads) / sizeof(threads[0]); t++)
	{
		Team	   *team = open_team(threads[t]);

		for (int run = 0; run < 20000; run++)
		{
			int			n = 1 + run % 64;
			int64_t		sum = 0;
			struct timespec nap = {0, 100000};

			sums.factor = run;
			assert_true(team_run(team, n, fill_term, &sums, NULL));
			for (int i = 0; i < n; i++)
				sum += sums.terms[i];
			assert_int_equal(sum, (int64_t) run * n * (n - 1) / 2);
			if (run % 500 == 0)
				nanosleep(&nap, NULL);
		}
		team_close(team);
	}
}

/* An item of a helper that takes its time is waited for, however long. */
static void
take_time(void *arg, int64_t item, int thread)
{
	atomic_int *done = arg;
	struct timespec nap = {0, thread == 0 ? 1000000 : 20000000};

	(void) item;
	nanosleep(&nap, NULL);
	atomic_fetch_add(done, 1);
}

static void
slow_helpers_are_waited_for(void **state)
{
	Team	   *team = open_team(3);

	(void) state;
	for (int i = 0; i < 5; i++)
	{
		atomic_int	done = 0;

		assert_true(team_run(team, 6, take_time, &done, NULL));
		assert_int_equal(atomic_load(&done), 6);
	}
	team_close(team);
}

typedef struct Stopper
{
	pthread_t	caller;
	int			asked;
	int			stop_at;		/* the question that is answered with yes */
	bool		elsewhere;		/* asked by another thread */
} Stopper;

static bool
stop(void *arg)
{
	Stopper    *stopper = arg;

	if (!pthread_equal(pthread_self(), stopper->caller))
		stopper->elsewhere = true;
	return ++stopper->asked == stopper->stop_at;
}

static void
runs_can_be_stopped(void **state)
{
	static const int threads[] = {1, 2, 3};

	(void) state;
	for (size_t t = 0; t < sizeof(threads) / sizeof(threads[0]); t++)
	{
		Team	   *team = open_team(threads[t]);

		for (int stop_at = 1; stop_at < 30; stop_at++)
		{
			static Sheet sheet;
			Stopper		stopper = {pthread_self(), 0, stop_at, false};
			EngineHost	host = {stop, &stopper, team};
			bool		went_on;
			int			done = 0;

			memset(&sheet, 0, sizeof(sheet));
			sheet.n_threads = threads[t];
			went_on = team_run(team, MOST_ITEMS, mark, &sheet, &host);
			assert_int_equal(atomic_load(&sheet.wrong), 0);
			assert_false(stopper.elsewhere);
			for (int i = 0; i < MOST_ITEMS; i++)
			{
				assert_in_range(atomic_load(&sheet.done[i]), 0, 1);
				done += atomic_load(&sheet.done[i]);
			}
			/* helpers may have done all before the caller could ask enough */
			assert_true(went_on == (stopper.asked < stop_at));
			assert_true(went_on ? done == MOST_ITEMS : done < MOST_ITEMS);
			assert_int_equal(atomic_load(&sheet.by_thread[0]),
							 went_on ? stopper.asked : stop_at - 1);

			/* and nothing of it is left for the next */
			memset(&sheet, 0, sizeof(sheet));
			sheet.n_threads = threads[t];
			assert_true(team_run(team, 50, mark, &sheet, NULL));
			check_sheet(&sheet, 50);
		}
		team_close(team);
	}
}

typedef struct Masks
{
	atomic_int	helpers;		/* items done by helpers */
	atomic_int	unblocked;
} Masks;

static void
look_at_mask(void *arg, int64_t item, int thread)
{
	Masks	   *masks = arg;
	sigset_t	blocked;

	(void) item;
	if (thread == 0)
	{
		/* leave the rest to helpers */
		struct timespec nap = {0, 1000000};

		nanosleep(&nap, NULL);
		return;
	}
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	/* two that the C library keeps for itself cannot be blocked */
	for (int signal = 1; signal < 32; signal++)
		if (signal != SIGKILL && signal != SIGSTOP &&
			!sigismember(&blocked, signal))
			atomic_fetch_add(&masks->unblocked, 1);
	atomic_fetch_add(&masks->helpers, 1);
}

static atomic_int signals;
static pthread_t handled_by;

static void
handle(int signal)
{
	(void) signal;
	handled_by = pthread_self();
	atomic_fetch_add(&signals, 1);
}

static void
helpers_get_no_signals(void **state)
{
	struct sigaction action = {.sa_handler = handle};
	sigset_t	before;
	sigset_t	after;
	Masks		masks = {0};
	Team	   *team;

	(void) state;
	sigaction(SIGUSR1, &action, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	team = open_team(4);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (int signal = 1; signal < 32; signal++)
		assert_int_equal(sigismember(&before, signal),
						 sigismember(&after, signal));

	for (int i = 0; i < 50 && atomic_load(&masks.helpers) < 20; i++)
		team_run(team, 50, look_at_mask, &masks, NULL);
	assert_true(atomic_load(&masks.helpers) >= 20);
	assert_int_equal(atomic_load(&masks.unblocked), 0);

	for (int i = 0; i < 100; i++)
	{
		int			seen = atomic_load(&signals);

		kill(getpid(), SIGUSR1);
		while (atomic_load(&signals) == seen)
			sched_yield();
		assert_true(pthread_equal(handled_by, pthread_self()));
	}
	team_close(team);
}

/* Threads of this process */
static int
count_threads(void)
{
	FILE	   *file = fopen("/proc/self/status", "r");
	char		line[256];
	int			n = 0;

	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, "Threads:", 8) == 0)
			n = atoi(line + 8);
	fclose(file);
	return n;
}

static void
teams_come_and_go(void **state)
{
	int			before = count_threads();

	(void) state;
	for (int i = 0; i < 300; i++)
	{
		Team	   *team = open_team(1 + i % 5);
		static Sheet sheet;

		if (i % 2 == 0)
		{
			memset(&sheet, 0, sizeof(sheet));
			sheet.n_threads = 1 + i % 5;
			assert_true(team_run(team, i, mark, &sheet, NULL));
			check_sheet(&sheet, i);
		}
		team_close(team);
	}
	/* a joined thread may take a moment to vanish */
	for (int i = 0; i < 1000 && count_threads() != before; i++)
		usleep(1000);
	assert_int_equal(count_threads(), before);
}

static int	allocations;

static void *
counting_alloc(void *arg, size_t size)
{
	if (*(bool *) arg)
		return NULL;
	allocations++;
	return malloc(size);
}

static void
counting_free(void *arg, void *pointer)
{
	(void) arg;
	allocations--;
	free(pointer);
}

static void
impossible_teams_are_refused(void **state)
{
	bool		exhausted = false;
	EngineAllocator allocator = {counting_alloc, counting_free, &exhausted};
	EngineStatus status;
	Team	   *team;

	(void) state;
	assert_int_equal(team_open(&team, 0, &allocator, &status),
					 ENGINE_INVALID);
	assert_int_equal(team_open(&team, TEAM_MOST + 1, &allocator, &status),
					 ENGINE_INVALID);
	assert_int_equal(team_open(&team, TEAM_MOST, &allocator, &status),
					 ENGINE_OK);
	assert_int_equal(allocations, 1);
	team_close(team);
	assert_int_equal(allocations, 0);
	exhausted = true;
	assert_int_equal(team_open(&team, 2, &allocator, &status),
					 ENGINE_NO_MEMORY);
	assert_null(team);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_item_is_done_once),
		cmocka_unit_test(no_team_is_the_caller_alone),
		cmocka_unit_test(runs_follow_each_other),
		cmocka_unit_test(slow_helpers_are_waited_for),
		cmocka_unit_test(runs_can_be_stopped),
		cmocka_unit_test(helpers_get_no_signals),
		cmocka_unit_test(teams_come_and_go),
		cmocka_unit_test(impossible_teams_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
