/*-------------------------------------------------------------------------
 *
 * probe_test.c
 *	  Probes of passes over whole texts: the order of what they see, and
 *	  passes that end when they have seen it.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "folder_fixture.h"
#include "model/encoder.h"
#include "model_fixture.h"

#define N_IDS 200				/* more than a chunk of rows */

/* Without a window, with one, and one to both sides. */
static const char *const folders[] = {"llama", "gemma3", "modern-bert"};

#define N_FOLDERS (sizeof(folders) / sizeof(folders[0]))

/* What a probe saw: how much, and a sum over it that knows the order. */
typedef struct Seen
{
	int			events;
	uint64_t	sum;
	int64_t		last;			/* PROBE_ATTENTION: place in its order */
	const Hyper *hyper;
	uint32_t	stages;			/* PROBE_BIT()s that came */
} Seen;

typedef struct Bed
{
	ModelFixture model;
	EngineArena arena;
	Encoder		encoder;
	EncoderText text;
	int32_t		ids[N_IDS];
	EngineHost	host;
	int			asked;			/* how often interrupted() was called */
} Bed;

static bool
count_asks(void *arg)
{
	++*(int *) arg;
	return false;
}

static void
bed_open(Bed *bed, const char *name)
{
	FolderFixture folder;
	EngineStatus status;
	char		path[256];

	snprintf(path, sizeof(path), "test/data/hf/%s", name);
	folder_fixture_open(&folder, path);
	model_fixture_open_folder(&bed->model, &folder.folder, HF_KEEP);
	folder_fixture_close(&folder);
	engine_arena_init(&bed->arena, &engine_malloc, 0);
	bed->asked = 0;
	bed->host = (EngineHost) {count_asks, &bed->asked, NULL};
	if (encoder_open(&bed->encoder, bed->model.image, kernels_select(NULL),
					 16, N_IDS, &bed->arena, &bed->host,
					 &status) != ENGINE_OK)
		fail_msg("%s", status.message);
	for (int i = 0; i < N_IDS; i++)
		bed->ids[i] = (i * 37 + 11) % bed->model.image->hyper.vocabulary;
	bed->text.ids = bed->ids;
	bed->text.n = bed->text.second = N_IDS;
}

static void
bed_close(Bed *bed)
{
	engine_arena_free(&bed->arena);
	model_fixture_close(&bed->model);
}

static void
add_floats(Seen *seen, const float *x, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
	{
		uint32_t	bits;

		memcpy(&bits, &x[i], sizeof(bits));
		seen->sum = (seen->sum ^ bits) * UINT64_C(0x100000001b3);
	}
}

/* By layer, then by head, then by row; weights sum to 1, unseen keys are 0. */
static void
see_attention(Seen *seen, const ProbeEvent *event)
{
	const float *score = event->data;
	const float *weight = event->data + event->stride;
	int64_t		place = ((int64_t) event->layer * seen->hyper->n_heads +
						 event->head) * N_IDS + event->first_row;
	double		sum = 0;

	assert_true(place > seen->last);
	seen->last = place;
	assert_int_equal(event->rows->position, event->first_row);
	for (int64_t key = 0; key < event->n_columns; key++)
	{
		if (isinf(score[key]))
			assert_true(score[key] < 0 && weight[key] == 0);
		sum += weight[key];
	}
	/* largest difference seen: 3e-7 */
	assert_true(fabs(sum - 1) < 2e-6);
	assert_true(isfinite(score[event->first_row]));
}

static EngineCode
see(void *arg, const ProbeEvent *event, EngineStatus *status)
{
	Seen	   *seen = arg;

	(void) status;
	seen->events++;
	seen->stages |= PROBE_BIT(event->stage);
	if (event->stage == PROBE_ATTENTION)
		see_attention(seen, event);
	for (int i = 0; i < event->n_rows; i++)
		add_floats(seen, event->data + i * event->stride, event->n_columns);
	return ENGINE_OK;
}

/* A pass; returns how much work there was, in questions to the host. */
static int
run(Bed *bed, uint32_t stages, int layer, int head, Seen *seen)
{
	Probe		probe = {stages, layer, head, see, seen};
	EngineStatus status;

	memset(seen, 0, sizeof(*seen));
	seen->last = -1;
	seen->hyper = &bed->model.image->hyper;
	bed->asked = 0;
	if (encoder_run(&bed->encoder, &bed->text, 1, &probe,
					&status) != ENGINE_OK)
		fail_msg("%s", status.message);
	return bed->asked;
}

static void
attention_comes_by_head(void **state)
{
	(void) state;
	for (size_t f = 0; f < N_FOLDERS; f++)
	{
		Bed			bed;
		Seen		all;
		Seen		one;
		const Hyper *hyper;

		bed_open(&bed, folders[f]);
		hyper = &bed.model.image->hyper;
		run(&bed, PROBE_BIT(PROBE_ATTENTION), -1, -1, &all);
		assert_int_equal(all.events,
						 N_IDS * hyper->n_layers * hyper->n_heads);
		run(&bed, PROBE_BIT(PROBE_ATTENTION), hyper->n_layers - 1,
			hyper->n_heads - 1, &one);
		assert_int_equal(one.events, N_IDS);
		assert_int_equal(one.last, all.last);
		bed_close(&bed);
	}
}

/* The same events, and no work behind the last of them. */
static void
passes_end(void **state)
{
	(void) state;
	for (size_t f = 0; f < N_FOLDERS; f++)
	{
		Bed			bed;
		int			work[PROBE_BLOCK + 1];

		bed_open(&bed, folders[f]);
		for (int stage = PROBE_EMBEDDING; stage <= PROBE_BLOCK; stage++)
		{
			Seen		whole;
			Seen		ended;
			int			n_whole = run(&bed, PROBE_BIT(stage), 0, -1, &whole);
			int			n_ended = run(&bed, PROBE_BIT(stage) |
									  PROBE_ENDS_PASS, 0, -1, &ended);

			assert_true(whole.events > 0);
			assert_memory_equal(&whole, &ended, sizeof(Seen));
			assert_true(n_ended < n_whole);
			work[stage] = n_ended;
		}
		assert_true(work[PROBE_EMBEDDING] < work[PROBE_QUERY]);
		assert_true(work[PROBE_QUERY] < work[PROBE_HEADS]);
		bed_close(&bed);
	}
}

/* What is wanted at the end, or of all layers, is seen. */
static void
passes_go_on(void **state)
{
	static const uint32_t late[] = {
		UINT32_MAX,
		PROBE_BIT(PROBE_FINAL_NORM) | PROBE_BIT(PROBE_QUERY) | PROBE_ENDS_PASS,
		PROBE_BIT(PROBE_BLOCK) | PROBE_ENDS_PASS,
		PROBE_BIT(PROBE_EMBEDDING) | PROBE_BIT(PROBE_KEY) | PROBE_ENDS_PASS,
	};
	Bed			bed;

	(void) state;
	bed_open(&bed, folders[1]);
	for (size_t i = 0; i < sizeof(late) / sizeof(late[0]); i++)
		for (int layer = -1; layer < bed.model.image->hyper.n_layers; layer++)
		{
			Seen		whole;
			Seen		ended;

			run(&bed, late[i] & ~PROBE_ENDS_PASS, layer, -1, &whole);
			run(&bed, late[i], layer, -1, &ended);
			assert_memory_equal(&whole, &ended, sizeof(Seen));
			assert_true((ended.stages & PROBE_BIT(PROBE_FINAL_NORM)) ==
						(late[i] & PROBE_BIT(PROBE_FINAL_NORM)));
		}
	bed_close(&bed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attention_comes_by_head),
		cmocka_unit_test(passes_end),
		cmocka_unit_test(passes_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
