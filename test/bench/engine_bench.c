/*-------------------------------------------------------------------------
 *
 * engine_bench.c
 *	  Speed of the engine alone: prompt processing and generation.
 *
 *	  engine_bench FILE pp|tg N [bits=16|8] [set=NAME] [start=POSITIONS]
 *		[threads=N] [sequences=N] [repeat=N]
 *
 * prints one line of JSON.  pp: a prompt of N tokens in chunks, as a backend
 * computes it, with the logits of the last; tg: N tokens, one at a time,
 * greedy, after a prompt of 8, of so many sequences side by side.  start:
 * positions computed before the clock runs.  Loading is not counted.  The
 * best of all repetitions is what counts, after one that does not.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include "base/team.h"
#include "model_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct BenchOptions
{
	const char *path;
	bool		generate;
	int			n;
	int			bits;
	int			start;
	int			threads;
	int			sequences;
	int			repeat;
	const char *set;
} BenchOptions;

#define MOST_SEQUENCES 128

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static void
must(EngineCode code, const EngineStatus *status)
{
	if (code == ENGINE_OK)
		return;
	fprintf(stderr, "engine_bench: %s\n", status->message);
	exit(2);
}

static bool
read_options(int argc, char **argv, BenchOptions *options)
{
	if (argc < 4)
		return false;
	options->path = argv[1];
	options->generate = strcmp(argv[2], "tg") == 0;
	options->n = atoi(argv[3]);
	options->bits = 16;
	options->start = options->generate ? 8 : 0;
	options->threads = options->sequences = options->repeat = 1;
	options->set = NULL;
	for (int i = 4; i < argc; i++)
	{
		if (strncmp(argv[i], "bits=", 5) == 0)
			options->bits = atoi(argv[i] + 5);
		else if (strncmp(argv[i], "set=", 4) == 0)
			options->set = argv[i] + 4;
		else if (strncmp(argv[i], "start=", 6) == 0)
			options->start = atoi(argv[i] + 6);
		else if (strncmp(argv[i], "threads=", 8) == 0)
			options->threads = atoi(argv[i] + 8);
		else if (strncmp(argv[i], "sequences=", 10) == 0)
			options->sequences = atoi(argv[i] + 10);
		else if (strncmp(argv[i], "repeat=", 7) == 0)
			options->repeat = atoi(argv[i] + 7);
		else
			return false;
	}
	return options->n > 0 && (options->bits == 8 || options->bits == 16) &&
		options->repeat > 0 && options->sequences > 0 &&
		options->sequences <= (options->generate ? MOST_SEQUENCES : 1) &&
		(options->generate || strcmp(argv[2], "pp") == 0);
}

/* A fixed sequence of ids that are not all the same. */
static void
fill_prompt(int32_t *ids, int n, int32_t vocabulary)
{
	uint32_t	state = 12345;

	for (int i = 0; i < n; i++)
	{
		state = state * 1664525u + 1013904223u;
		ids[i] = (int32_t) ((state >> 8) % (uint32_t) vocabulary);
	}
}

/* One more token of every sequence; ids: in the last, out the next. */
static void
generate_step(Transformer *transformer, KvSequence **sequences, int n,
			  int32_t *ids)
{
	StepRow		rows[MOST_SEQUENCES];
	float	   *const *logits;
	EngineStatus status;

	for (int i = 0; i < n; i++)
	{
		int64_t		position = sequences[i]->n_positions;

		must(kv_reserve(sequences[i], position + 1, &status), &status);
		rows[i] = (StepRow) {ids[i], i, position, true, 0};
	}
	must(transformer_step(transformer, rows, n, sequences, NULL, &logits,
						  &status), &status);
	for (int i = 0; i < n; i++)
		ids[i] = (int32_t)
			transformer->kernels->argmax(logits[i],
										 transformer->image->hyper.vocabulary);
}

/* Seconds for N tokens of all sequences. */
static double
generate(const BenchOptions *options, Transformer *transformer,
		 KvSequence **sequences, const int32_t *prompt)
{
	int32_t		next[MOST_SEQUENCES];
	const float *logits;
	EngineStatus status;
	double		begin;

	for (int i = 0; i < options->sequences; i++)
	{
		must(transformer_prompt(transformer, sequences[i], prompt + i,
								options->start, NULL, &logits, &status),
			 &status);
		next[i] = (int32_t)
			transformer->kernels->argmax(logits,
										 transformer->image->hyper.vocabulary);
	}
	begin = now();
	for (int i = 0; i < options->n; i++)
		generate_step(transformer, sequences, options->sequences, next);
	return now() - begin;
}

/* Seconds for a prompt of N tokens. */
static double
read_prompt(const BenchOptions *options, Transformer *transformer,
			KvSequence *sequence, const int32_t *ids)
{
	const float *logits;
	EngineStatus status;
	double		begin;

	if (options->start > 0)
		must(transformer_prompt(transformer, sequence, ids, options->start,
								NULL, NULL, &status), &status);
	begin = now();
	must(transformer_prompt(transformer, sequence, ids + options->start,
							options->n, NULL, &logits, &status), &status);
	return now() - begin;
}

static double
run(const BenchOptions *options, ModelFixture *model, Transformer *transformer)
{
	int			total = options->start + options->n + 1;
	int32_t    *ids = calloc(total + MOST_SEQUENCES, sizeof(int32_t));
	KvSequence	sequences[MOST_SEQUENCES];
	KvSequence *pointers[MOST_SEQUENCES];
	TestPool	pool;
	EngineArena arena;
	EngineStatus status;
	double		seconds;

	engine_arena_init(&arena, &engine_malloc, 0);
	test_pool_init(&pool);
	fill_prompt(ids, total + MOST_SEQUENCES, model->image->hyper.vocabulary);
	for (int i = 0; i < options->sequences; i++)
	{
		must(kv_open(&sequences[i], &transformer->kv, &pool.pool, total,
					 &arena, &status), &status);
		pointers[i] = &sequences[i];
	}
	seconds = options->generate ?
		generate(options, transformer, pointers, ids) :
		read_prompt(options, transformer, pointers[0], ids);
	for (int i = 0; i < options->sequences; i++)
		kv_close(&sequences[i]);
	engine_arena_free(&arena);
	free(ids);
	return seconds;
}

static void
report(const BenchOptions *options, const KernelSet *kernels, double seconds)
{
	printf("{\"test\": \"%s%d\", \"set\": \"%s\", \"bits\": %d, "
		   "\"threads\": %d, \"sequences\": %d, "
		   "\"tokens_per_second\": %.2f}\n",
		   options->generate ? "tg" : "pp", options->n, kernels->name,
		   options->bits, options->threads, options->sequences,
		   options->n * options->sequences / seconds);
}

int
main(int argc, char **argv)
{
	BenchOptions options;
	ModelFixture model;
	Transformer transformer;
	EngineHost	host = {NULL, NULL, NULL};
	EngineStatus status;
	const KernelSet *kernels;
	double		best;

	if (!read_options(argc, argv, &options))
	{
		fprintf(stderr, "usage: engine_bench FILE pp|tg N [bits=16|8] "
				"[set=NAME] [start=POSITIONS] [threads=N] [sequences=N] "
				"[repeat=N]\n");
		return 2;
	}
	kernels = kernels_select(options.set);
	if (kernels == NULL)
	{
		fprintf(stderr, "engine_bench: this processor has no such set\n");
		return 2;
	}
	must(team_open(&host.team, options.threads, &engine_malloc, &status),
		 &status);
	model_fixture_open(&model, options.path);
	must(transformer_open(&transformer, model.image, kernels, options.bits,
						  TRANSFORMER_CHUNK, options.sequences, &model.arena,
						  &host, &status), &status);
	run(&options, &model, &transformer);	/* warm up */
	best = run(&options, &model, &transformer);
	for (int i = 1; i < options.repeat; i++)
	{
		double		seconds = run(&options, &model, &transformer);

		best = seconds < best ? seconds : best;
	}
	report(&options, kernels, best);
	team_close(host.team);
	model_fixture_close(&model);
	return 0;
}
