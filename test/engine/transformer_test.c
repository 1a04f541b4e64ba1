/*-------------------------------------------------------------------------
 *
 * transformer_test.c
 *	  The forward pass: what the numerics contract promises, and probes.
 *
 * The same row gives the same bits alone, in chunks, in a batch, with and
 * without a probe, after an interrupt, and from every kernel set: all by
 * memcmp.  Agreement with the reference implementation is golden_test.c.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model_fixture.h"

#define PROMPT 83				/* not a multiple of anything */

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

/* Logits of one run, to be compared by memcmp. */
typedef struct Result
{
	int			n;
	float	   *logits;
} Result;

typedef struct Run
{
	const KernelSet *kernels;
	int			bits;
	int			max_rows;
	const EngineHost *host;
	const Probe *probe;
} Run;

static void
fill_ids(int32_t *ids, int n, int32_t vocabulary, uint32_t seed)
{
	for (int i = 0; i < n; i++)
	{
		seed = seed * 1664525u + 1013904223u;
		ids[i] = (int32_t) ((seed >> 8) % (uint32_t) vocabulary);
	}
}

static EngineCode
run_prompt(ModelFixture *model, const Run *run, const int32_t *ids, int n,
		   Result *result, EngineStatus *status)
{
	EngineArena arena;
	Transformer transformer;
	KvSequence	sequence;
	TestPool	pool;
	const float *logits = NULL;
	EngineCode	code;

	engine_arena_init(&arena, &engine_malloc, 0);
	test_pool_init(&pool);
	assert_int_equal(transformer_open(&transformer, model->image,
									  run->kernels, run->bits, run->max_rows,
									  1, &arena, run->host, status),
					 ENGINE_OK);
	assert_int_equal(kv_open(&sequence, &transformer.kv, &pool.pool, n, &arena,
							 status), ENGINE_OK);
	code = transformer_prompt(&transformer, &sequence, ids, n, run->probe,
							  &logits, status);
	while (code == ENGINE_CANCELLED)
		code = transformer_prompt(&transformer, &sequence,
								  ids + sequence.n_positions,
								  n - sequence.n_positions, run->probe,
								  &logits, status);
	if (code == ENGINE_OK)
	{
		result->n = model->image->hyper.vocabulary;
		result->logits = malloc(result->n * sizeof(float));
		memcpy(result->logits, logits, result->n * sizeof(float));
	}
	kv_close(&sequence);
	assert_int_equal(pool.in_use, 0);
	engine_arena_free(&arena);
	return code;
}

static Result
run_ok(ModelFixture *model, const Run *run, const int32_t *ids, int n)
{
	EngineStatus status;
	Result		result;

	if (run_prompt(model, run, ids, n, &result, &status) != ENGINE_OK)
		fail_msg("%s", status.message);
	return result;
}

static void
assert_same(Result a, Result b)
{
	assert_int_equal(a.n, b.n);
	assert_memory_equal(a.logits, b.logits, a.n * sizeof(float));
	free(b.logits);
}

static void
chunks_do_not_matter(void **state)
{
	static const int rows[] = {1, 2, 7, 16, 33, 128};

	(void) state;
	for (int m = 0; m < N_MODELS; m++)
	{
		ModelFixture model;
		int32_t		ids[PROMPT];
		Run			run = {kernels_select(NULL), 16, 128, NULL, NULL};
		Result		whole;

		model_fixture_open(&model, models[m]);
		fill_ids(ids, PROMPT, model.image->hyper.vocabulary, m);
		whole = run_ok(&model, &run, ids, PROMPT);
		for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++)
		{
			run.max_rows = rows[r];
			assert_same(whole, run_ok(&model, &run, ids, PROMPT));
		}
		free(whole.logits);
		model_fixture_close(&model);
	}
}

static void
kernel_sets_do_not_matter(void **state)
{
	(void) state;
	for (int m = 0; m < N_MODELS; m++)
		for (int bits = 8; bits <= 16; bits += 8)
		{
			ModelFixture model;
			int32_t		ids[PROMPT];
			Run			run = {kernels_nth(0), bits, 64, NULL, NULL};
			Result		reference;

			model_fixture_open(&model, models[m]);
			fill_ids(ids, PROMPT, model.image->hyper.vocabulary, m);
			reference = run_ok(&model, &run, ids, PROMPT);
			for (int set = 1; (run.kernels = kernels_nth(set)) != NULL; set++)
				assert_same(reference, run_ok(&model, &run, ids, PROMPT));
			free(reference.logits);
			model_fixture_close(&model);
		}
}

/*
 * Three sequences of different lengths, decoded together with prompts joining
 * in between, against each alone.
 */
static void
batches_do_not_matter(void **state)
{
	enum
	{
		SEQUENCES = 3, LONGEST = 40
	};

	(void) state;
	for (int m = 0; m < N_MODELS; m++)
	{
		ModelFixture model;
		EngineArena arena;
		Transformer transformer;
		EngineStatus status;
		TestPool	pool;
		KvSequence	sequences[SEQUENCES];
		KvSequence *pointers[SEQUENCES];
		int32_t		ids[SEQUENCES][LONGEST];
		int			length[SEQUENCES] = {LONGEST, 23, 7};
		Run			run = {kernels_select(NULL), 16, 64, NULL, NULL};

		model_fixture_open(&model, models[m]);
		engine_arena_init(&arena, &engine_malloc, 0);
		test_pool_init(&pool);
		assert_int_equal(transformer_open(&transformer, model.image,
										  run.kernels, 16, 64, SEQUENCES,
										  &arena, NULL, &status), ENGINE_OK);
		for (int s = 0; s < SEQUENCES; s++)
		{
			fill_ids(ids[s], LONGEST, model.image->hyper.vocabulary, 100 + s);
			assert_int_equal(kv_open(&sequences[s], &transformer.kv,
									 &pool.pool, LONGEST, &arena, &status),
							 ENGINE_OK);
			assert_int_equal(kv_reserve(&sequences[s], length[s], &status),
							 ENGINE_OK);
			pointers[s] = &sequences[s];
		}

		/* steps of up to 5 rows of each sequence, until all are done */
		for (bool more = true; more;)
		{
			StepRow		rows[64];
			float	   *const *logits;
			int			ends[SEQUENCES];
			int			n = 0;
			int			outputs = 0;

			more = false;
			for (int s = 0; s < SEQUENCES; s++)
				for (int i = 0; i < 5; i++)
				{
					int64_t		position = sequences[s].n_positions + i;

					if (position >= length[s])
						break;
					rows[n].token = ids[s][position];
					rows[n].sequence = s;
					rows[n].position = position;
					rows[n].output = position == length[s] - 1;
					if (rows[n].output)
						ends[outputs++] = s;
					n++;
				}
			if (n == 0)
				break;
			more = true;
			assert_int_equal(transformer_step(&transformer, rows, n, pointers,
											  NULL, &logits, &status),
							 ENGINE_OK);
			for (int o = 0; o < outputs; o++)
			{
				int			s = ends[o];
				Result		alone = run_ok(&model, &run, ids[s], length[s]);

				assert_memory_equal(alone.logits, logits[o],
									alone.n * sizeof(float));
				free(alone.logits);
			}
		}
		for (int s = 0; s < SEQUENCES; s++)
			kv_close(&sequences[s]);
		engine_arena_free(&arena);
		model_fixture_close(&model);
	}
}

/* A probe that counts what it sees and leaves everything as it is. */
typedef struct Watch
{
	const Hyper *hyper;
	int			seen[PROBE_LOGITS + 1];
	int			attention_rows;
} Watch;

static EngineCode
watch(void *arg, const ProbeEvent *event, EngineStatus *status)
{
	Watch	   *w = arg;
	const Hyper *hyper = w->hyper;
	int64_t		columns = hyper->embedding_length;

	(void) status;
	w->seen[event->stage]++;
	switch (event->stage)
	{
		case PROBE_QUERY:
			columns = hyper->n_heads * hyper->key_length;
			break;
		case PROBE_KEY:
			columns = hyper->n_kv_heads * hyper->key_length;
			break;
		case PROBE_VALUE:
			columns = hyper->n_kv_heads * hyper->value_length;
			break;
		case PROBE_HEADS:
			columns = hyper->n_heads * hyper->value_length;
			break;
		case PROBE_NEURONS:
			columns = hyper->feed_forward_length;
			break;
		case PROBE_LOGITS:
			columns = hyper->vocabulary;
			break;
		case PROBE_ATTENTION:
			{
				double		sum = 0;

				for (int64_t j = 0; j < event->n_columns; j++)
					sum += event->data[event->stride + j];
				/* largest difference seen: 3e-7 */
				assert_true(fabs(sum - 1) < 2e-6);
				w->attention_rows++;
				return ENGINE_OK;
			}
		default:
			break;
	}
	assert_int_equal(event->n_columns, columns);
	assert_true(event->n_rows >= 1);
	return ENGINE_OK;
}

static void
probes_see_all_and_change_nothing(void **state)
{
	(void) state;
	for (int m = 0; m < N_MODELS; m++)
	{
		ModelFixture model;
		int32_t		ids[PROMPT];
		Watch		watcher;
		Probe		probe = {UINT32_MAX, -1, -1, watch, &watcher};
		Run			run = {kernels_select(NULL), 16, 128, NULL, NULL};
		Result		plain;
		const Hyper *hyper;

		model_fixture_open(&model, models[m]);
		hyper = &model.image->hyper;
		fill_ids(ids, PROMPT, hyper->vocabulary, m);
		plain = run_ok(&model, &run, ids, PROMPT);
		memset(&watcher, 0, sizeof(watcher));
		watcher.hyper = hyper;
		run.probe = &probe;
		assert_same(plain, run_ok(&model, &run, ids, PROMPT));
		for (int stage = 0; stage <= PROBE_LOGITS; stage++)
			if (stage == PROBE_EMBEDDING || stage >= PROBE_FINAL_NORM)
				assert_int_equal(watcher.seen[stage], 1);
			else if (stage != PROBE_ATTENTION)
				assert_int_equal(watcher.seen[stage], hyper->n_layers);
		assert_int_equal(watcher.attention_rows,
						 PROMPT * hyper->n_layers * hyper->n_heads);
		free(plain.logits);
		model_fixture_close(&model);
	}
}

/* Keep, or put back, the residual after the last block. */
typedef struct Patch
{
	bool		put;
	int			row;
	float		state[4096];
} Patch;

static EngineCode
patch(void *arg, const ProbeEvent *event, EngineStatus *status)
{
	Patch	   *p = arg;
	float	   *row = event->data + (size_t) p->row * event->stride;

	(void) status;
	assert_true(event->n_columns <= 4096);
	if (p->put)
		memcpy(row, p->state, event->n_columns * sizeof(float));
	else
		memcpy(p->state, row, event->n_columns * sizeof(float));
	return ENGINE_OK;
}

/* Replacing the last residual of one prompt by another's gives its logits. */
static void
probes_replace(void **state)
{
	ModelFixture model;
	int32_t		a[PROMPT];
	int32_t		b[PROMPT];
	Patch		patcher = {false, PROMPT - 1, {0}};
	Run			run = {kernels_select(NULL), 16, 128, NULL, NULL};
	Probe		probe = {PROBE_BIT(PROBE_BLOCK), 0, -1, patch, &patcher};
	Result		wanted;
	Result		other;

	(void) state;
	model_fixture_open(&model, models[0]);
	probe.layer = model.image->hyper.n_layers - 1;
	fill_ids(a, PROMPT, model.image->hyper.vocabulary, 1);
	fill_ids(b, PROMPT, model.image->hyper.vocabulary, 2);
	other = run_ok(&model, &run, b, PROMPT);
	run.probe = &probe;
	wanted = run_ok(&model, &run, a, PROMPT);
	assert_memory_not_equal(wanted.logits, other.logits,
							wanted.n * sizeof(float));
	patcher.put = true;
	assert_same(wanted, run_ok(&model, &run, b, PROMPT));
	free(wanted.logits);
	free(other.logits);
	model_fixture_close(&model);
}

static EngineCode
poison(void *arg, const ProbeEvent *event, EngineStatus *status)
{
	(void) status;
	event->data[event->n_columns / 2] = *(float *) arg;
	return ENGINE_OK;
}

/* NaN and infinity anywhere are an error that names the layer. */
static void
not_finite_is_an_error(void **state)
{
	static const ProbeStage stages[] = {
		PROBE_EMBEDDING, PROBE_ATTN_NORM, PROBE_QUERY, PROBE_KEY, PROBE_VALUE,
		PROBE_HEADS, PROBE_ATTN_ADDED, PROBE_MIDDLE, PROBE_FFN_NORM,
		PROBE_NEURONS, PROBE_FFN_ADDED, PROBE_BLOCK, PROBE_FINAL_NORM,
		PROBE_LOGITS
	};
	float		bad[] = {NAN, INFINITY, -INFINITY};
	ModelFixture model;
	int32_t		ids[1] = {9};

	(void) state;
	model_fixture_open(&model, models[0]);
	for (size_t s = 0; s < sizeof(stages) / sizeof(stages[0]); s++)
		for (int b = 0; b < 3; b++)
		{
			Probe		probe = {PROBE_BIT(stages[s]), -1, -1, poison, &bad[b]};
			Run			run = {kernels_select(NULL), 16, 1, NULL, &probe};
			Result		result;
			EngineStatus status;

			assert_int_equal(run_prompt(&model, &run, ids, 1, &result,
										&status), ENGINE_NOT_FINITE);
		}
	model_fixture_close(&model);
}

/* Says "stop" every third time it is asked. */
static bool
now_and_then(void *arg)
{
	int		   *asked = arg;

	return ++* asked % 37 == 0;
}

static void
interrupts_do_not_matter(void **state)
{
	(void) state;
	for (int m = 0; m < N_MODELS; m++)
	{
		ModelFixture model;
		int32_t		ids[PROMPT];
		int			asked = 0;
		EngineHost	host = {now_and_then, &asked, NULL};
		Run			run = {kernels_select(NULL), 16, 9, NULL, NULL};
		Result		plain;

		model_fixture_open(&model, models[m]);
		fill_ids(ids, PROMPT, model.image->hyper.vocabulary, m);
		plain = run_ok(&model, &run, ids, PROMPT);
		run.host = &host;
		run.max_rows = 1;
		assert_same(plain, run_ok(&model, &run, ids, PROMPT));
		assert_true(asked > 37);
		free(plain.logits);
		model_fixture_close(&model);
	}
}

static void
bad_rows_are_refused(void **state)
{
	ModelFixture model;
	EngineArena arena;
	Transformer transformer;
	EngineStatus status;
	TestPool	pool;
	KvSequence	sequence;
	KvSequence *pointer = &sequence;
	StepRow		row = {0, 0, 0, true, 0};

	(void) state;
	model_fixture_open(&model, models[0]);
	engine_arena_init(&arena, &engine_malloc, 0);
	test_pool_init(&pool);
	pool.limit = 1;
	assert_int_equal(transformer_open(&transformer, model.image,
									  kernels_select(NULL), 16, 1, 1, &arena,
									  NULL, &status), ENGINE_OK);
	assert_int_equal(kv_open(&sequence, &transformer.kv, &pool.pool, 17,
							 &arena, &status), ENGINE_OK);
	assert_int_equal(kv_reserve(&sequence, 33, &status), ENGINE_LIMIT);
	assert_int_equal(kv_reserve(&sequence, 17, &status), ENGINE_NO_MEMORY);
	row.token = model.image->hyper.vocabulary;
	assert_int_equal(transformer_step(&transformer, &row, 1, &pointer, NULL,
									  NULL, &status), ENGINE_INVALID);
	row.token = -1;
	assert_int_equal(transformer_step(&transformer, &row, 1, &pointer, NULL,
									  NULL, &status), ENGINE_INVALID);
	row.token = 0;
	row.position = 16;			/* its page was not to be had */
	assert_int_equal(transformer_step(&transformer, &row, 1, &pointer, NULL,
									  NULL, &status), ENGINE_INVALID);
	row.position = model.image->hyper.context_length;
	assert_int_equal(transformer_step(&transformer, &row, 1, &pointer, NULL,
									  NULL, &status), ENGINE_LIMIT);
	row.position = 0;
	assert_int_equal(transformer_step(&transformer, &row, 2, &pointer, NULL,
									  NULL, &status), ENGINE_INVALID);
	assert_int_equal(transformer_step(&transformer, &row, 1, &pointer, NULL,
									  NULL, &status), ENGINE_OK);
	kv_close(&sequence);
	assert_int_equal(pool.in_use, 0);
	engine_arena_free(&arena);
	model_fixture_close(&model);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_do_not_matter),
		cmocka_unit_test(kernel_sets_do_not_matter),
		cmocka_unit_test(batches_do_not_matter),
		cmocka_unit_test(probes_see_all_and_change_nothing),
		cmocka_unit_test(probes_replace),
		cmocka_unit_test(not_finite_is_an_error),
		cmocka_unit_test(interrupts_do_not_matter),
		cmocka_unit_test(bad_rows_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
