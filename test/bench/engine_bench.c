/*-------------------------------------------------------------------------
 *
 * engine_bench.c
 *	  Speed of the engine alone: prompt processing and generation.
 *
 *	  engine_bench FILE pp|tg N [bits=16|8] [set=NAME] [start=POSITIONS]
 *		[threads=1]
 *
 * prints one line of JSON.  pp: a prompt of N tokens in chunks, as a backend
 * computes it, with the logits of the last; tg: N tokens, one at a time,
 * greedy, after a prompt of 8.  start: positions computed before the clock
 * runs.  Loading is not counted.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
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
	const char *set;
} BenchOptions;

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
	options->set = NULL;
	for (int i = 4; i < argc; i++)
	{
		if (strncmp(argv[i], "bits=", 5) == 0)
			options->bits = atoi(argv[i] + 5);
		else if (strncmp(argv[i], "set=", 4) == 0)
			options->set = argv[i] + 4;
		else if (strncmp(argv[i], "start=", 6) == 0)
			options->start = atoi(argv[i] + 6);
		else if (strcmp(argv[i], "threads=1") != 0)
			return false;
	}
	return options->n > 0 && (options->bits == 8 || options->bits == 16) &&
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

static double
run(const BenchOptions *options, ModelFixture *model, Transformer *transformer,
	EngineArena *arena)
{
	int			total = options->start + options->n;
	int32_t    *ids = calloc(total + 1, sizeof(int32_t));
	KvSequence	sequence;
	TestPool	pool;
	EngineStatus status;
	const float *logits = NULL;
	double		begin;
	double		seconds;

	test_pool_init(&pool);
	fill_prompt(ids, total, model->image->hyper.vocabulary);
	must(kv_open(&sequence, &transformer->kv, &pool.pool, total + 1, arena,
				 &status), &status);
	if (options->start > 0)
		must(transformer_prompt(transformer, &sequence, ids, options->start,
								NULL, &logits, &status), &status);
	begin = now();
	if (!options->generate)
		must(transformer_prompt(transformer, &sequence, ids + options->start,
								options->n, NULL, &logits, &status), &status);
	for (int i = 0; options->generate && i < options->n; i++)
	{
		int32_t		next = (int32_t)
			transformer->kernels->argmax(logits,
										 model->image->hyper.vocabulary);

		must(transformer_prompt(transformer, &sequence, &next, 1, NULL,
								&logits, &status), &status);
	}
	seconds = now() - begin;
	kv_close(&sequence);
	free(ids);
	return seconds;
}

int
main(int argc, char **argv)
{
	BenchOptions options;
	ModelFixture model;
	Transformer transformer;
	EngineStatus status;
	const KernelSet *kernels;
	double		seconds;

	if (!read_options(argc, argv, &options))
	{
		fprintf(stderr, "usage: engine_bench FILE pp|tg N [bits=16|8] "
				"[set=NAME] [start=POSITIONS] [threads=1]\n");
		return 2;
	}
	kernels = kernels_select(options.set);
	if (kernels == NULL)
	{
		fprintf(stderr, "engine_bench: this processor has no such set\n");
		return 2;
	}
	model_fixture_open(&model, options.path);
	must(transformer_open(&transformer, model.image, kernels, options.bits,
						  TRANSFORMER_CHUNK, 1, &model.arena, NULL, &status),
		 &status);
	run(&options, &model, &transformer, &model.arena);	/* warm up */
	seconds = run(&options, &model, &transformer, &model.arena);
	printf("{\"test\": \"%s%d\", \"set\": \"%s\", \"bits\": %d, "
		   "\"tokens_per_second\": %.2f}\n",
		   options.generate ? "tg" : "pp", options.n, kernels->name,
		   options.bits, options.n / seconds);
	model_fixture_close(&model);
	return 0;
}
