/*-------------------------------------------------------------------------
 *
 * threads_test.c
 *	  Passes on several threads: the same bits as on one.
 *
 * Prompts in chunks, batches of sequences, encoders with all that follows
 * them, of every tiny model and kernel set, by memcmp; interrupts; and the
 * words of an error, which name the first thing that is wrong.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/team.h"
#include "folder_fixture.h"
#include "model/encoder.h"
#include "model_fixture.h"

#define MOST_THREADS 4
#define PROMPT 150				/* more than a chunk, not a multiple of much */
#define SEQUENCES 9
#define STEPS 3
#define TEXTS 7
#define PASS_ROWS 400

static const char *const models[] = {
	"test/data/tiny-llama.gguf",
	"test/data/tiny-llama3.gguf",
	"test/data/tiny-llama-linear.gguf",
	"test/data/tiny-llama-yarn.gguf",
	"test/data/tiny-llama-odd.gguf",
	"test/data/tiny-qwen2.gguf",
	"test/data/tiny-qwen3.gguf",
	"test/data/tiny-gpt2.gguf",
	"test/data/tiny-mixed-1.gguf",
	"test/data/tiny-mixed-2.gguf",
	"test/data/tiny-mixed-3.gguf",
	"test/data/tiny-mixed-4.gguf",
};

#define N_MODELS ((int) (sizeof(models) / sizeof(models[0])))

static const char *const folders[] = {
	"bert", "bert-cls-dense", "distilbert", "roberta", "xlm-roberta",
	"nomic-bert", "modern-bert", "cross-encoder", "cross-roberta", "llama",
	"qwen2", "qwen3", "gpt2", "gemma", "gemma2", "gemma3", "gemma-embedding",
};

#define N_FOLDERS ((int) (sizeof(folders) / sizeof(folders[0])))

static Team *teams[MOST_THREADS + 1];	/* by threads; of one: NULL */

static int
open_teams(void **state)
{
	EngineStatus status;

	(void) state;
	for (int n = 2; n <= MOST_THREADS; n++)
		if (team_open(&teams[n], n, &engine_malloc, &status) != ENGINE_OK)
			return -1;
	return 0;
}

static int
close_teams(void **state)
{
	(void) state;
	for (int n = 2; n <= MOST_THREADS; n++)
		team_close(teams[n]);
	return 0;
}

static void
must(EngineCode code, const EngineStatus *status)
{
	if (code != ENGINE_OK)
		fail_msg("%s", status->message);
}

static void
open_folder(ModelFixture *model, const char *name)
{
	FolderFixture folder;
	char		path[256];

	snprintf(path, sizeof(path), "test/data/hf/%s", name);
	folder_fixture_open(&folder, path);
	model_fixture_open_folder(model, &folder.folder, HF_KEEP);
	folder_fixture_close(&folder);
}

static void
fill_ids(int32_t *ids, int n, int32_t vocabulary, uint32_t seed)
{
	for (int i = 0; i < n; i++)
	{
		seed = seed * 1664525u + 1013904223u;
		ids[i] = (int32_t) ((seed >> 8) % (uint32_t) vocabulary);
	}
}

/* Numbers that a run gave, one behind the other. */
typedef struct Numbers
{
	size_t		n;
	size_t		room;
	float	   *values;
} Numbers;

static void
keep(Numbers *numbers, const float *values, size_t n)
{
	while (numbers->n + n > numbers->room)
	{
		numbers->room = 2 * numbers->room + n;
		numbers->values = realloc(numbers->values,
								  numbers->room * sizeof(float));
	}
	memcpy(numbers->values + numbers->n, values, n * sizeof(float));
	numbers->n += n;
}

static void
assert_same(const Numbers *one, Numbers *other, const char *where,
			const KernelSet *kernels, int threads)
{
	assert_int_equal(one->n, other->n);
	for (size_t i = 0; i < one->n; i++)
		if (memcmp(&one->values[i], &other->values[i], sizeof(float)) != 0)
			fail_msg("%s, %s, %d threads: number %zu of %zu differs", where,
					 kernels->name, threads, i, one->n);
	free(other->values);
}

/*
 * Everything that a worker may ask of a model: a long prompt in chunks of
 * max_rows, then steps that take parts of other prompts beside one token of
 * the first.
 */
typedef struct Generation
{
	ModelFixture *model;
	const KernelSet *kernels;
	int			bits;
	int			max_rows;
	EngineHost	host;
	EngineArena arena;
	Transformer transformer;
	TestPool	pool;
	KvSequence	sequences[SEQUENCES];
	KvSequence *pointers[SEQUENCES];
	int32_t		ids[PROMPT + SEQUENCES];
} Generation;

static void
generation_open(Generation *g)
{
	EngineStatus status;

	engine_arena_init(&g->arena, &engine_malloc, 0);
	test_pool_init(&g->pool);
	fill_ids(g->ids, PROMPT + SEQUENCES, g->model->image->hyper.vocabulary, 7);
	must(transformer_open(&g->transformer, g->model->image, g->kernels,
						  g->bits, g->max_rows, SEQUENCES, &g->arena,
						  &g->host, &status), &status);
	for (int i = 0; i < SEQUENCES; i++)
	{
		must(kv_open(&g->sequences[i], &g->transformer.kv, &g->pool.pool,
					 PROMPT + 64, &g->arena, &status), &status);
		g->pointers[i] = &g->sequences[i];
	}
}

static void
generation_close(Generation *g)
{
	for (int i = 0; i < SEQUENCES; i++)
		kv_close(&g->sequences[i]);
	assert_int_equal(g->pool.in_use, 0);
	engine_arena_free(&g->arena);
}

/* Sequence s gives 1 + (s + step) % 4 rows, the last with logits. */
static void
mixed_step(Generation *g, int step, Numbers *numbers)
{
	StepRow		rows[4 * SEQUENCES];
	float	   *const *logits;
	EngineStatus status;
	int			n = 0;

	for (int s = 0; s < SEQUENCES; s++)
	{
		int			length = 1 + (s + step) % 4;
		int64_t		position = g->sequences[s].n_positions;

		must(kv_reserve(&g->sequences[s], position + length, &status),
			 &status);
		for (int i = 0; i < length; i++)
		{
			StepRow		row = {
				.token = g->ids[s + step * 4 + i], .sequence = s,
				.position = position + i, .output = i == length - 1
			};

			rows[n++] = row;
		}
	}
	must(transformer_step(&g->transformer, rows, n, g->pointers, NULL,
						  &logits, &status), &status);
	for (int s = 0; s < SEQUENCES; s++)
		keep(numbers, logits[s], g->model->image->hyper.vocabulary);
}

static Numbers
generate(Generation *g, Team *team)
{
	Numbers		numbers = {0};
	const float *logits;
	EngineStatus status;
	int32_t		vocabulary = g->model->image->hyper.vocabulary;

	g->host = (EngineHost) {NULL, NULL, team};
	generation_open(g);
	must(transformer_prompt(&g->transformer, &g->sequences[0], g->ids, PROMPT,
							NULL, &logits, &status), &status);
	keep(&numbers, logits, vocabulary);
	for (int i = 0; i < STEPS; i++)
	{
		must(transformer_prompt(&g->transformer, &g->sequences[0],
								&g->ids[i], 1, NULL, &logits, &status),
			 &status);
		keep(&numbers, logits, vocabulary);
	}
	if (g->max_rows >= 4 * SEQUENCES)
		for (int step = 0; step < STEPS; step++)
			mixed_step(g, step, &numbers);
	generation_close(g);
	return numbers;
}

/* All kernel sets and threads for one size of a step */
static void
check_generation(ModelFixture *model, const char *name, int bits,
				 int max_rows)
{
	for (int set = 0; kernels_nth(set) != NULL; set++)
	{
		Generation	g = {
			.model = model, .kernels = kernels_nth(set), .bits = bits,
			.max_rows = max_rows
		};
		Numbers		one = generate(&g, NULL);

		for (int threads = 2; threads <= MOST_THREADS; threads++)
		{
			Numbers		other = generate(&g, teams[threads]);

			assert_same(&one, &other, name, g.kernels, threads);
		}
		free(one.values);
	}
}

static void
generation_gives_the_same_bits(void **state)
{
	static const int rows[] = {TRANSFORMER_CHUNK, 5, 37};

	(void) state;
	for (int m = 0; m < N_MODELS; m++)
	{
		ModelFixture model;

		model_fixture_open(&model, models[m]);
		for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++)
			check_generation(&model, models[m], r == 2 ? 8 : 16, rows[r]);
		model_fixture_close(&model);
	}
}

/* Hidden states, vectors, scores and logits of texts of all lengths */
static void
take_numbers(Encoder *encoder, const EncoderText *texts, Numbers *numbers)
{
	const Hyper *hyper = &encoder->transformer.image->hyper;
	_Alignas(64) float vector[256];
	EngineStatus status;

	assert_in_range(hyper->output_length, 1, 256);
	for (int t = 0; t < TEXTS; t++)
	{
		float		score;
		float	   *const *logits;

		for (int64_t i = 0; i < texts[t].n; i++)
			keep(numbers, encoder_hidden(encoder, t, i),
				 hyper->embedding_length);
		must(encoder_pool(encoder, t, POOLING_MEAN, vector, &status), &status);
		keep(numbers, vector, hyper->output_length);
		if (hyper->n_labels == 1)
		{
			must(encoder_score(encoder, t, &score, &status), &status);
			keep(numbers, &score, 1);
		}
		if (encoder->transformer.image->output.offset == 0)
			continue;
		must(transformer_unembed(&encoder->transformer,
								 encoder_hidden(encoder, t, 0), 0, 3, true,
								 &logits, &status), &status);
		keep(numbers, logits[2], hyper->vocabulary);
	}
}

static Numbers
encode(ModelFixture *model, const KernelSet *kernels, Team *team)
{
	static const int lengths[TEXTS] = {1, 150, 2, 17, 64, 33, 128};
	static int32_t ids[TEXTS][150];
	const Hyper *hyper = &model->image->hyper;
	EncoderText texts[TEXTS];
	EngineHost	host = {NULL, NULL, team};
	Numbers		numbers = {0};
	EngineArena arena;
	EngineStatus status;
	Encoder		encoder;

	for (int t = 0; t < TEXTS; t++)
	{
		int			n = lengths[t] < hyper->context_length ? lengths[t] :
			hyper->context_length;

		fill_ids(ids[t], n, hyper->vocabulary, t);
		texts[t] = (EncoderText) {ids[t], n, hyper->n_labels > 0 ? n / 2 : n};
	}
	engine_arena_init(&arena, &engine_malloc, 0);
	must(encoder_open_outputs(&encoder, model->image, kernels, 16, PASS_ROWS,
							  3, &arena, &host, &status), &status);
	must(encoder_run(&encoder, texts, TEXTS, NULL, &status), &status);
	take_numbers(&encoder, texts, &numbers);
	engine_arena_free(&arena);
	return numbers;
}

static void
encoders_give_the_same_bits(void **state)
{
	(void) state;
	for (int f = 0; f < N_FOLDERS; f++)
	{
		ModelFixture model;

		open_folder(&model, folders[f]);
		for (int set = 0; kernels_nth(set) != NULL; set++)
		{
			const KernelSet *kernels = kernels_nth(set);
			Numbers		one = encode(&model, kernels, NULL);

			for (int threads = 2; threads <= MOST_THREADS; threads++)
			{
				Numbers		other = encode(&model, kernels, teams[threads]);

				assert_same(&one, &other, folders[f], kernels, threads);
			}
			free(one.values);
		}
		model_fixture_close(&model);
	}
}

/* A probe is called by the thread that entered the engine, in its order. */
typedef struct Watch
{
	pthread_t	caller;
	Numbers		numbers;
	bool		elsewhere;
} Watch;

static EngineCode
watch(void *arg, const ProbeEvent *event, EngineStatus *status)
{
	Watch	   *seen = arg;
	float		what[3] = {event->stage, event->layer, event->first_row};

	(void) status;
	if (!pthread_equal(pthread_self(), seen->caller))
		seen->elsewhere = true;
	keep(&seen->numbers, what, 3);
	for (int i = 0; i < event->n_rows; i++)
		keep(&seen->numbers, event->data + i * event->stride,
			 event->n_columns);
	return ENGINE_OK;
}

static Numbers
watched_prompt(ModelFixture *model, Team *team)
{
	Watch		seen = {.caller = pthread_self()};
	Probe		probe = {PROBE_BIT(PROBE_LOGITS + 1) - 1, -1, -1, watch, &seen};
	Generation	g = {
		.model = model, .kernels = kernels_select(NULL), .bits = 16,
		.max_rows = 64, .host = {NULL, NULL, team}
	};
	const float *logits;
	EngineStatus status;

	generation_open(&g);
	must(transformer_prompt(&g.transformer, &g.sequences[0], g.ids, PROMPT,
							&probe, &logits, &status), &status);
	generation_close(&g);
	assert_false(seen.elsewhere);
	return seen.numbers;
}

static void
probes_see_the_same(void **state)
{
	(void) state;
	for (int m = 0; m < N_MODELS; m++)
	{
		ModelFixture model;
		Numbers		one;

		model_fixture_open(&model, models[m]);
		one = watched_prompt(&model, NULL);
		for (int threads = 2; threads <= MOST_THREADS; threads++)
		{
			Numbers		other = watched_prompt(&model, teams[threads]);

			assert_same(&one, &other, models[m], kernels_select(NULL),
						threads);
		}
		free(one.values);
		model_fixture_close(&model);
	}
}

typedef struct Asked
{
	pthread_t	caller;
	int			times;
	bool		elsewhere;
} Asked;

static bool
now_and_then(void *arg)
{
	Asked	   *asked = arg;

	if (!pthread_equal(pthread_self(), asked->caller))
		asked->elsewhere = true;
	return ++asked->times % 41 == 0;
}

/* A step that was interrupted anywhere can be repeated. */
static void
interrupts_do_not_matter(void **state)
{
	(void) state;
	for (int m = 0; m < N_MODELS; m++)
	{
		ModelFixture model;
		Generation	g = {
			.model = &model, .kernels = kernels_select(NULL), .bits = 16,
			.max_rows = 1
		};
		int			cancelled = 0;
		float	   *plain;
		const float *logits;
		size_t		bytes;
		EngineStatus status;

		model_fixture_open(&model, models[m]);
		bytes = model.image->hyper.vocabulary * sizeof(float);
		plain = malloc(bytes);
		for (int threads = 1; threads <= MOST_THREADS; threads++)
		{
			Asked		asked = {pthread_self(), 0, false};
			KvSequence *sequence = &g.sequences[0];
			EngineCode	code;

			g.host.interrupted = threads == 1 ? NULL : now_and_then;
			g.host.arg = &asked;
			g.host.team = teams[threads];
			generation_open(&g);
			do
			{
				code = transformer_prompt(&g.transformer, sequence,
										  g.ids + sequence->n_positions,
										  83 - sequence->n_positions, NULL,
										  &logits, &status);
				cancelled += code == ENGINE_CANCELLED;
			} while (code == ENGINE_CANCELLED);
			must(code, &status);
			if (threads == 1)
				memcpy(plain, logits, bytes);
			assert_memory_equal(plain, logits, bytes);
			assert_false(asked.elsewhere);
			generation_close(&g);
		}
		assert_true(cancelled > 0);
		free(plain);
		model_fixture_close(&model);
	}
}

/* Puts infinities where they were not; stage and rows are chosen. */
typedef struct Spoiler
{
	ProbeStage	stage;
	int			row;
	int			layer;
} Spoiler;

static EngineCode
spoil(void *arg, const ProbeEvent *event, EngineStatus *status)
{
	const Spoiler *spoiler = arg;

	(void) status;
	if (event->stage == spoiler->stage && event->layer == spoiler->layer &&
		event->n_rows > spoiler->row)
		event->data[spoiler->row * event->stride] = INFINITY;
	return ENGINE_OK;
}

static void
errors_say_the_same(void **state)
{
	static const ProbeStage stages[] = {
		PROBE_ATTN_NORM, PROBE_QUERY, PROBE_KEY, PROBE_VALUE, PROBE_HEADS,
		PROBE_MIDDLE, PROBE_NEURONS, PROBE_FFN_ADDED, PROBE_BLOCK
	};
	ModelFixture model;

	(void) state;
	model_fixture_open(&model, models[0]);
	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++)
		for (int row = 0; row < 64; row += 21)
		{
			Spoiler		spoiler = {stages[i], row, 0};
			Probe		probe = {PROBE_BIT(stages[i]), -1, -1, spoil, &spoiler};
			EngineStatus first = {0};

			for (int threads = 1; threads <= MOST_THREADS; threads++)
			{
				Generation	g = {
					.model = &model, .kernels = kernels_select(NULL),
					.bits = 16, .max_rows = 64,
					.host = {NULL, NULL, teams[threads]}
				};
				EngineStatus status = {0};
				const float *logits;

				generation_open(&g);
				assert_int_equal(transformer_prompt(&g.transformer,
													&g.sequences[0], g.ids, 64,
													&probe, &logits, &status),
								 ENGINE_NOT_FINITE);
				generation_close(&g);
				if (threads == 1)
					first = status;
				assert_string_equal(first.message, status.message);
			}
		}
	model_fixture_close(&model);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(generation_gives_the_same_bits),
		cmocka_unit_test(encoders_give_the_same_bits),
		cmocka_unit_test(probes_see_the_same),
		cmocka_unit_test(interrupts_do_not_matter),
		cmocka_unit_test(errors_say_the_same),
	};

	return cmocka_run_group_tests(tests, open_teams, close_teams);
}
