/*-------------------------------------------------------------------------
 *
 * batch_bench.c
 *	  Speed of continuous batching alone, without a server: many sequences
 *	  that arrive at once, each with a prompt of its own.
 *
 *	  batch_bench FILE SEQUENCES [bits=16|8] [threads=N] [prompt=128]
 *		[tokens=64] [rows=256] [prompt_rows=N] [same=TOKENS]
 *
 * prints one line of JSON: tokens generated per second, with the time of the
 * prompts and without, the shortest step that generates a token of each, and
 * the longest in which any was generated.
 * same: so many tokens at the start of all prompts are equal, and their pages
 * shared.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include "base/team.h"
#include "batch/batch.h"
#include "model_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct BenchOptions
{
	int			bits,
				threads,
				prompt,
				tokens,
				rows,
				prompt_rows,
				same;
} BenchOptions;

typedef struct Progress
{
	int			ended;
	int			tokens;
} Progress;

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
	fprintf(stderr, "batch_bench: %s\n", status->message);
	exit(2);
}

static bool
read_options(int argc, char **argv, BenchOptions *options)
{
	const struct
	{
		const char *name;
		int		   *value;
	}			names[] = {
		{"bits=", &options->bits},
		{"threads=", &options->threads},
		{"prompt=", &options->prompt},
		{"tokens=", &options->tokens},
		{"rows=", &options->rows},
		{"prompt_rows=", &options->prompt_rows},
		{"same=", &options->same},
	};

	for (int i = 3; i < argc; i++)
	{
		bool		known = false;

		for (size_t j = 0; j < sizeof(names) / sizeof(names[0]); j++)
		{
			size_t		length = strlen(names[j].name);

			if (strncmp(argv[i], names[j].name, length) != 0)
				continue;
			*names[j].value = atoi(argv[i] + length);
			known = true;
		}
		if (!known)
			return false;
	}
	return argc >= 3;
}

static void
take_token(void *arg, void *owner, const BatchToken *token)
{
	Progress   *progress = arg;

	(void) owner;
	progress->tokens++;
	progress->ended += token->finish != FINISH_NONE;
}

static void
take_failure(void *arg, void *owner, const EngineStatus *status)
{
	(void) arg;
	(void) owner;
	must(status->code, status);
}

static PagePool *
open_pool(const ModelFixture *model, PageBudget *budget, EngineArena *arena)
{
	KvLayout	layout = kv_layout(&model->image->hyper);
	PageMemory	memory = {.page_bytes = layout.page_bytes};
	PagePool   *pool;
	EngineStatus status;

	budget->limit = (uint64_t) 1024 * 1024 * 1024;
	memory.n_pages = (int32_t) (budget->limit / layout.page_bytes);
	memory.base = aligned_alloc(1 << 21, (memory.n_pages *
										  layout.page_bytes +
										  (1 << 21)) >> 21 << 21);
	must(page_pool_open(&pool, &memory, budget, arena, &status), &status);
	return pool;
}

static void
add_sequence(Batch *batch, const ModelFixture *model, int number,
			 const BenchOptions *options)
{
	int32_t    *ids = calloc(options->prompt, sizeof(int32_t));
	BatchRequest request = {
		.history = ids,
		.n_prompt = options->prompt,
		.n_history = options->prompt,
		.max_history = options->prompt + options->tokens,
		.sampler = {.typical_p = 1, .top_p = 1, .repeat_penalty = 1,
		.ignore_end = true},
		.top = -1,
		.share = true,
		.order = number,
		.credit = INT64_MAX,
	};
	BatchSequence *sequence;
	EngineStatus status;

	for (int i = 0; i < options->prompt; i++)
	{
		int			seed = i < options->same ? i : i + 1000 * (number + 1);

		ids[i] = (int32_t) ((uint32_t) (seed * 2654435761u >> 7) %
							(uint32_t) model->tokenizer.n_tokens);
	}
	must(batch_add(batch, &request, &sequence, &status), &status);
	free(ids);
}

int
main(int argc, char **argv)
{
	BenchOptions options = {16, 1, 128, 64, 256, BATCH_PROMPT_ROWS, 0};
	int			n = argc > 2 ? atoi(argv[2]) : 0;
	ModelFixture model;
	EngineArena arena;
	EngineHost	host = {NULL, NULL, NULL};
	PageBudget	budget = {0, 0};
	Progress	progress = {0, 0};
	BatchListener listener = {take_token, take_failure, &progress};
	Batch	   *batch;
	EngineStatus status;
	double		start;
	double		generating = 0;
	double		longest = 0;
	double		shortest = 1e9;
	int			after_prompts = 0;

	if (n < 1 || !read_options(argc, argv, &options))
	{
		fprintf(stderr, "usage: batch_bench FILE SEQUENCES [NAME=VALUE]...\n");
		return 2;
	}
	model_fixture_open(&model, argv[1]);
	engine_arena_init(&arena, &engine_malloc, 0);
	must(team_open(&host.team, options.threads, &engine_malloc, &status),
		 &status);
	must(batch_open(&batch, model.image, kernels_select(NULL), options.bits,
					options.rows, open_pool(&model, &budget, &arena),
					&listener, &arena, &engine_malloc, &host, &status),
		 &status);
	batch_set_prompt_rows(batch, options.prompt_rows);
	for (int i = 0; i < n; i++)
		add_sequence(batch, &model, i, &options);

	start = now();
	while (progress.ended < n)
	{
		double		begun = now();
		int			before = progress.tokens;
		BatchStep	step;
		double		taken;

		must(batch_step(batch, &step, &status), &status);
		taken = now() - begun;
		if (step.prompt_rows == 0)
		{
			generating += taken;
			after_prompts += progress.tokens - before;
		}
		if (step.prompt_rows == 0 && step.rows == n && taken < shortest)
			shortest = taken;
		if (step.outputs > 0 && step.prompt_rows < step.rows &&
			taken > longest)
			longest = taken;
	}
	printf("{\"sequences\": %d, \"tokens_per_second\": %.1f, "
		   "\"generating\": %.1f, \"shortest_step_ms\": %.2f, "
		   "\"longest_step_ms\": %.2f}\n", n,
		   progress.tokens / (now() - start),
		   generating > 0 ? after_prompts / generating : 0,
		   shortest * 1e3, longest * 1e3);
	batch_close(batch);
	team_close(host.team);
	engine_arena_free(&arena);
	model_fixture_close(&model);
	return 0;
}
