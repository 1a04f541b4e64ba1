/*-------------------------------------------------------------------------
 *
 * experiment_test.c
 *	  Edits of the forward pass, where the numerics contract holds as well.
 *
 * The same edits give the same bits whatever the chunks are, in a batch of
 * sequences and in an encoder: all by memcmp.  That they do what the same
 * edits in the reference implementation do is a test in SQL.
 *
 *-------------------------------------------------------------------------
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/encoder.h"
#include "model/experiment.h"
#include "model_fixture.h"

#define PROMPT 83				/* not a multiple of anything */
#define SEQUENCES 3
#define WIDEST 512				/* of the models */

static const char *const models[] = {
	"test/data/tiny-llama.gguf",
	"test/data/tiny-llama3.gguf",
	"test/data/tiny-llama-odd.gguf",
	"test/data/tiny-qwen3.gguf",
	"test/data/tiny-gpt2.gguf",
	"test/data/tiny-mixed-1.gguf",
};

#define N_MODELS ((int) (sizeof(models) / sizeof(models[0])))

/* A model, edits of every kind, and what it takes to run with them. */
typedef struct Bed
{
	ModelFixture model;
	const Hyper *hyper;
	EngineArena arena;
	TestPool	pool;
	Transformer transformer;
	float		vectors[2][WIDEST];
	Edit		edits[7];
	Experiment	experiment;
	const Probe *probe;
} Bed;

static void
fill_ids(int32_t *ids, int n, int32_t vocabulary, uint32_t seed)
{
	for (int i = 0; i < n; i++)
	{
		seed = seed * 1664525u + 1013904223u;
		ids[i] = (int32_t) ((seed >> 8) % (uint32_t) vocabulary);
	}
}

static void
fill_edits(Bed *bed)
{
	int			d = bed->hyper->embedding_length;
	const Edit	edits[] = {
		{EDIT_HEAD, 0, 1, 0, NULL},
		{EDIT_NEURON, 0, 7, 0, NULL},
		{EDIT_PATCH, -1, 2, d, bed->vectors[0]},
		{EDIT_STEER, 0, 0, d, bed->vectors[1]},
		{EDIT_PATCH, 0, 5, d, bed->vectors[1]},
		{EDIT_STEER, -1, 0, d, bed->vectors[1]},
		{EDIT_HEAD, bed->hyper->n_layers - 1, 0, 0, NULL},
	};

	assert_true(d <= WIDEST);
	for (int i = 0; i < d; i++)
	{
		bed->vectors[0][i] = (float) (i % 7) / 3.0f - 1.0f;
		bed->vectors[1][i] = (float) (i % 5) / 9.0f - 0.2f;
	}
	memcpy(bed->edits, edits, sizeof(edits));
}

static void
bed_open(Bed *bed, const char *path, int max_rows)
{
	EngineStatus status;

	memset(bed, 0, sizeof(*bed));
	model_fixture_open(&bed->model, path);
	bed->hyper = &bed->model.image->hyper;
	engine_arena_init(&bed->arena, &engine_malloc, 0);
	test_pool_init(&bed->pool);
	assert_int_equal(transformer_open(&bed->transformer, bed->model.image,
									  kernels_select(NULL), 16, max_rows,
									  SEQUENCES, &bed->arena, NULL, &status),
					 ENGINE_OK);
	fill_edits(bed);
	assert_int_equal(experiment_check(bed->hyper, bed->edits, 7, 6, &status),
					 ENGINE_OK);
	bed->probe = experiment_open(&bed->experiment, bed->hyper, bed->edits, 7,
								 NULL);
}

static void
bed_close(Bed *bed)
{
	assert_int_equal(bed->pool.in_use, 0);
	engine_arena_free(&bed->arena);
	model_fixture_close(&bed->model);
}

static void
open_sequence(Bed *bed, KvSequence *sequence, int64_t n)
{
	EngineStatus status;

	assert_int_equal(kv_open(sequence, &bed->transformer.kv, &bed->pool.pool,
							 n, &bed->arena, &status), ENGINE_OK);
	assert_int_equal(kv_reserve(sequence, n, &status), ENGINE_OK);
}

/* malloc'd logits of the last token */
static float *
logits_alone(Bed *bed, const Probe *probe, const int32_t *ids, int n)
{
	size_t		bytes = (size_t) bed->hyper->vocabulary * sizeof(float);
	KvSequence	sequence;
	EngineStatus status;
	const float *logits;
	float	   *copy = malloc(bytes);

	open_sequence(bed, &sequence, n);
	assert_int_equal(transformer_prompt(&bed->transformer, &sequence, ids, n,
										probe, &logits, &status), ENGINE_OK);
	memcpy(copy, logits, bytes);
	kv_close(&sequence);
	return copy;
}

static void
assert_same(const Bed *bed, const float *a, const float *b)
{
	assert_memory_equal(a, b,
						(size_t) bed->hyper->vocabulary * sizeof(float));
}

static void
chunks_do_not_matter(void **state)
{
	static const int rows[] = {1, 2, 7, 33};

	(void) state;
	for (int m = 0; m < N_MODELS; m++)
	{
		Bed			bed;
		int32_t		ids[PROMPT];
		float	   *whole;
		float	   *plain;
		float	   *other;

		bed_open(&bed, models[m], 128);
		fill_ids(ids, PROMPT, bed.hyper->vocabulary, m);
		plain = logits_alone(&bed, NULL, ids, PROMPT);
		whole = logits_alone(&bed, bed.probe, ids, PROMPT);
		assert_memory_not_equal(plain, whole, bed.hyper->vocabulary *
								sizeof(float));
		bed_close(&bed);
		for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++)
		{
			bed_open(&bed, models[m], rows[r]);
			other = logits_alone(&bed, bed.probe, ids, PROMPT);
			assert_same(&bed, whole, other);
			free(other);
			bed_close(&bed);
		}
		free(plain);
		free(whole);
	}
}

/* Up to 5 more rows of every sequence; returns how many there are. */
static int
next_rows(KvSequence *const *sequences, const int *lengths,
		  int32_t ids[SEQUENCES][PROMPT], StepRow *rows, int *ends,
		  int *n_ends)
{
	int			n = 0;

	*n_ends = 0;
	for (int s = 0; s < SEQUENCES; s++)
		for (int i = 0; i < 5; i++)
		{
			int64_t		position = sequences[s]->n_positions + i;

			if (position >= lengths[s])
				break;
			rows[n].token = ids[s][position];
			rows[n].sequence = s;
			rows[n].position = position;
			rows[n].output = position == lengths[s] - 1;
			rows[n].type = 0;
			if (rows[n++].output)
				ends[(*n_ends)++] = s;
		}
	return n;
}

/* Three sequences that advance together, against each alone. */
static void
batches_do_not_matter(void **state)
{
	static const int lengths[SEQUENCES] = {PROMPT, 23, 7};

	(void) state;
	for (int m = 0; m < N_MODELS; m++)
	{
		Bed			bed;
		int32_t		ids[SEQUENCES][PROMPT];
		KvSequence	sequences[SEQUENCES];
		KvSequence *pointers[SEQUENCES];
		float	   *alone[SEQUENCES];
		StepRow		rows[SEQUENCES * 5];
		float	   *const *logits;
		int			ends[SEQUENCES];
		int			n_ends;
		int			compared = 0;
		EngineStatus status;

		bed_open(&bed, models[m], 64);
		for (int s = 0; s < SEQUENCES; s++)
		{
			fill_ids(ids[s], PROMPT, bed.hyper->vocabulary, 100 + s);
			alone[s] = logits_alone(&bed, bed.probe, ids[s], lengths[s]);
			open_sequence(&bed, &sequences[s], lengths[s]);
			pointers[s] = &sequences[s];
		}
		for (int n; (n = next_rows(pointers, lengths, ids, rows, ends,
								   &n_ends)) > 0;)
		{
			assert_int_equal(transformer_step(&bed.transformer, rows, n,
											  pointers, bed.probe, &logits,
											  &status), ENGINE_OK);
			for (int o = 0; o < n_ends; o++, compared++)
				assert_same(&bed, alone[ends[o]], logits[o]);
		}
		assert_int_equal(compared, SEQUENCES);
		for (int s = 0; s < SEQUENCES; s++)
		{
			kv_close(&sequences[s]);
			free(alone[s]);
		}
		bed_close(&bed);
	}
}

/* The pass of the inspection functions gives the bits of generation. */
static void
encoders_do_the_same(void **state)
{
	(void) state;
	for (int m = 0; m < N_MODELS; m++)
	{
		Bed			bed;
		Encoder		encoder;
		int32_t		ids[PROMPT + 11];
		EncoderText texts[] = {{ids + PROMPT, 11, 11}, {ids, PROMPT, PROMPT}};
		float	   *const *logits;
		float	   *alone;
		EngineStatus status;

		bed_open(&bed, models[m], 64);
		fill_ids(ids, PROMPT + 11, bed.hyper->vocabulary, m);
		alone = logits_alone(&bed, bed.probe, ids, PROMPT);
		assert_int_equal(encoder_open_outputs(&encoder, bed.model.image,
											  kernels_select(NULL), 16,
											  PROMPT + 11, 1, &bed.arena,
											  NULL, &status), ENGINE_OK);
		assert_int_equal(encoder_run(&encoder, texts, 2, bed.probe, &status),
						 ENGINE_OK);
		assert_int_equal(transformer_unembed(&encoder.transformer,
											 encoder_hidden(&encoder, 1,
															PROMPT - 1),
											 0, 1, true, &logits, &status),
						 ENGINE_OK);
		assert_same(&bed, alone, logits[0]);
		free(alone);
		bed_close(&bed);
	}
}

/* What an inner probe saw of layer 0. */
typedef struct Seen
{
	const Bed  *bed;
	int			heads;
	int			blocks;
	int			others;
} Seen;

static EngineCode
see(void *arg, const ProbeEvent *event, EngineStatus *status)
{
	Seen	   *seen = arg;
	int			width = seen->bed->hyper->value_length;

	(void) status;
	for (int i = 0; i < event->n_rows; i++)
	{
		const float *row = event->data + (size_t) i * event->stride;

		if (event->stage == PROBE_HEADS && event->layer == 0)
		{
			for (int j = 0; j < width; j++)
				assert_true(row[width + j] == 0.0f);
			assert_true(row[0] != 0.0f);
			seen->heads++;
		}
		else if (event->stage == PROBE_BLOCK && event->layer == 0)
		{
			/* patched, then steered */
			for (int j = 0; j < seen->bed->hyper->embedding_length; j++)
				if (event->rows[i].position == 5)
					assert_true(row[j] == 2 * seen->bed->vectors[1][j]);
			seen->blocks++;
		}
		else
			seen->others++;
	}
	return ENGINE_OK;
}

/* It sees what the edits left, and only what it asked for. */
static void
inner_probes_see_edits(void **state)
{
	Bed			bed;
	Seen		seen = {&bed, 0, 0, 0};
	Probe		inner = {
		PROBE_BIT(PROBE_HEADS) | PROBE_BIT(PROBE_BLOCK), 0, -1, see, &seen
	};
	Experiment	experiment;
	int32_t		ids[PROMPT];
	float	   *alone;
	float	   *watched;

	(void) state;
	bed_open(&bed, models[0], 32);
	fill_ids(ids, PROMPT, bed.hyper->vocabulary, 1);
	assert_true(experiment_open(&experiment, bed.hyper, NULL, 0, &inner) ==
				&inner);
	assert_true(experiment_open(&experiment, bed.hyper, NULL, 0, NULL) ==
				NULL);
	alone = logits_alone(&bed, bed.probe, ids, PROMPT);
	watched = logits_alone(&bed, experiment_open(&experiment, bed.hyper,
												 bed.edits, 7, &inner),
						   ids, PROMPT);
	assert_same(&bed, alone, watched);
	assert_int_equal(seen.heads, PROMPT);
	assert_int_equal(seen.blocks, PROMPT);
	assert_int_equal(seen.others, 0);
	free(alone);
	free(watched);
	bed_close(&bed);
}

static void
bad_edits_are_refused(void **state)
{
	Bed			bed;
	int			d;

	(void) state;
	bed_open(&bed, models[0], 1);
	d = bed.hyper->embedding_length;
	{
		const Edit	bad[] = {
			{EDIT_HEAD, -1, 0, 0, NULL},
			{EDIT_HEAD, bed.hyper->n_layers, 0, 0, NULL},
			{EDIT_HEAD, 0, -1, 0, NULL},
			{EDIT_HEAD, 0, bed.hyper->n_heads, 0, NULL},
			{EDIT_NEURON, 0, bed.hyper->feed_forward_length, 0, NULL},
			{EDIT_PATCH, -2, 0, d, bed.vectors[0]},
			{EDIT_PATCH, 0, PROMPT, d, bed.vectors[0]},
			{EDIT_PATCH, 0, -1, d, bed.vectors[0]},
			{EDIT_PATCH, 0, 0, d - 1, bed.vectors[0]},
			{EDIT_STEER, bed.hyper->n_layers, 0, d, bed.vectors[0]},
			{EDIT_STEER, 0, 0, d + 1, bed.vectors[0]},
			{EDIT_STEER, 0, 0, 0, NULL},
		};
		EngineStatus status;

		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		{
			assert_int_equal(experiment_check(bed.hyper, &bad[i], 1, PROMPT,
											  &status), ENGINE_INVALID);
			assert_true(status.detail[0] != '\0');
		}
	}
	bed_close(&bed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_do_not_matter),
		cmocka_unit_test(batches_do_not_matter),
		cmocka_unit_test(encoders_do_the_same),
		cmocka_unit_test(inner_probes_see_edits),
		cmocka_unit_test(bad_edits_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
