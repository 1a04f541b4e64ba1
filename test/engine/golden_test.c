/*-------------------------------------------------------------------------
 *
 * golden_test.c
 *	  The transformer against the reference implementation.
 *
 * Results of transformers in float32, see test/reference/README.md.  Models
 * of f32 weights must agree within 1e-4: logits of all positions, greedy
 * continuations, attention weights and hidden states (through probes).  For
 * quantised weights the engine rounds activations to 16 bits, whose size the
 * bounds below follow.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "model_fixture.h"

/* Largest distance seen: 2.1e-5 (tiny-llama-yarn) */
#define F32_BOUND 1e-4

/* Largest seen with 16 bits: 2.1e-3; with 8 bits: 0.34 */
#define QUANTISED_BOUND_16 4e-3
#define QUANTISED_BOUND_8 0.6

static const char *const f32_models[] = {
	"tiny-llama", "tiny-llama3", "tiny-llama-linear", "tiny-llama-yarn",
	"tiny-llama-odd", "tiny-qwen2", "tiny-qwen3", "tiny-gpt2", NULL
};

static const char *const quantised_models[] = {
	"tiny-mixed-1", "tiny-mixed-2", "tiny-mixed-3", "tiny-mixed-4", NULL
};

typedef struct Golden
{
	EngineArena arena;
	ModelFixture model;
	Transformer transformer;
	KvSequence	sequence;
	TestPool	pool;
	const JsonNode *logits;		/* the model's .json */
	const JsonNode *inside;		/* its -inside.json, or NULL */
} Golden;

static const JsonNode *
read_json(EngineArena *arena, const char *name, const char *ending)
{
	char		path[256];
	FILE	   *file;
	long		size;
	char	   *text;
	const JsonNode *root;
	EngineStatus status;

	snprintf(path, sizeof(path), "test/data/%s%s", name, ending);
	file = fopen(path, "rb");
	if (file == NULL)
		return NULL;
	fseek(file, 0, SEEK_END);
	size = ftell(file);
	rewind(file);
	text = engine_alloc(arena, size + 1, 1, &status);
	assert_int_equal(fread(text, 1, size, file), size);
	fclose(file);
	if (json_parse(text, size, 16, 10000000, arena, NULL, &root,
				   &status) != ENGINE_OK)
		fail_msg("%s: %s", path, status.message);
	return root;
}

static void
golden_open(Golden *golden, const char *name, int bits)
{
	char		path[256];
	EngineStatus status;

	engine_arena_init(&golden->arena, &engine_malloc, 0);
	snprintf(path, sizeof(path), "test/data/%s.gguf", name);
	model_fixture_open(&golden->model, path);
	golden->logits = read_json(&golden->arena, name, ".json");
	golden->inside = read_json(&golden->arena, name, "-inside.json");
	assert_non_null(golden->logits);
	test_pool_init(&golden->pool);
	assert_int_equal(transformer_open(&golden->transformer,
									  golden->model.image,
									  kernels_select(NULL), bits, 128, 128,
									  &golden->arena, NULL, &status),
					 ENGINE_OK);
	assert_int_equal(kv_open(&golden->sequence, &golden->transformer.kv,
							 &golden->pool.pool, 512, &golden->arena,
							 &status), ENGINE_OK);
}

static void
golden_close(Golden *golden)
{
	kv_close(&golden->sequence);
	model_fixture_close(&golden->model);
	engine_arena_free(&golden->arena);
}

static int
read_ids(const JsonNode *array, int32_t *ids)
{
	for (uint32_t i = 0; i < array->count; i++)
	{
		int64_t		id;

		assert_true(json_integer(json_element(array, i), &id));
		ids[i] = (int32_t) id;
	}
	return (int) array->count;
}

static double
distance(const JsonNode *wanted, const float *got)
{
	double		worst = 0;
	const JsonNode *number = json_first(wanted);

	for (uint32_t i = 0; i < wanted->count; i++)
	{
		double		value;

		assert_true(json_double(number, &value));
		worst = fmax(worst, fabs(value - got[i]));
		number = json_after(number);
	}
	return worst;
}

/* All rows of a prompt in one step, each with logits. */
static float *const *
compute(Golden *golden, const int32_t *ids, int n, const Probe *probe)
{
	StepRow		rows[128];
	KvSequence *sequence = &golden->sequence;
	float	   *const *logits;
	EngineStatus status;

	kv_close(sequence);
	assert_int_equal(kv_reserve(sequence, n, &status), ENGINE_OK);
	for (int i = 0; i < n; i++)
		rows[i] = (StepRow) {ids[i], 0, i, true, 0};
	if (transformer_step(&golden->transformer, rows, n, &sequence, probe,
						 &logits, &status) != ENGINE_OK)
		fail_msg("%s", status.message);
	return logits;
}

static double
worst_of_prompts(Golden *golden, const char *key)
{
	const JsonNode *prompts = json_member(golden->logits, "prompts");
	double		worst = 0;

	for (uint32_t p = 0; p < prompts->count; p++)
	{
		const JsonNode *prompt = json_element(prompts, p);
		const JsonNode *wanted = json_member(prompt, key);
		int32_t		ids[128];
		int			n = read_ids(json_member(prompt, "ids"), ids);
		int64_t		first;
		float	   *const *logits = compute(golden, ids, n, NULL);

		assert_true(json_integer(json_member(prompt, "first_row"), &first));
		assert_int_equal(first + wanted->count, n);
		for (uint32_t i = 0; i < wanted->count; i++)
		{
			const JsonNode *row = json_element(wanted, i);

			assert_int_equal(row->count,
							 golden->model.image->hyper.vocabulary);
			worst = fmax(worst, distance(row, logits[first + i]));
		}
	}
	return worst;
}

static void
assert_near(const char *name, const char *what, double worst, double bound)
{
	print_message("  %-18s %-14s %.1e\n", name, what, worst);
	if (!(worst <= bound))
		fail_msg("%s: %s differs by %g", name, what, worst);
}

static void
logits_agree(void **state)
{
	(void) state;
	for (const char *const *name = f32_models; *name != NULL; name++)
	{
		Golden		golden;

		golden_open(&golden, *name, 16);
		assert_int_equal(golden.transformer.kv.type, KV_F32);
		assert_near(*name, "logits", worst_of_prompts(&golden, "logits"),
					F32_BOUND);
		golden_close(&golden);
	}
}

static void
logits_of_quantised_weights_agree(void **state)
{
	(void) state;
	for (const char *const *name = quantised_models; *name != NULL; name++)
		for (int bits = 8; bits <= 16; bits += 8)
		{
			Golden		golden;

			golden_open(&golden, *name, bits);
			assert_int_equal(golden.transformer.kv.type, KV_F16);
			assert_near(*name, bits == 8 ? "8 bits" : "16 bits",
						worst_of_prompts(&golden, "logits_kv16"),
						bits == 8 ? QUANTISED_BOUND_8 : QUANTISED_BOUND_16);
			golden_close(&golden);
		}
}

static void
greedy_continuations_agree(void **state)
{
	(void) state;
	for (const char *const *name = f32_models; *name != NULL; name++)
	{
		Golden		golden;
		int32_t		ids[128];
		int32_t		wanted[128];
		int			n;
		int			n_wanted;
		const JsonNode *greedy;
		const float *logits;
		EngineStatus status;

		golden_open(&golden, *name, 16);
		greedy = json_member(golden.logits, "greedy");
		n = read_ids(json_member(greedy, "ids"), ids);
		n_wanted = read_ids(json_member(greedy, "next"), wanted);
		assert_int_equal(n_wanted, 16);
		assert_int_equal(transformer_prompt(&golden.transformer,
											&golden.sequence, ids, n, NULL,
											&logits, &status), ENGINE_OK);
		for (int i = 0; i < n_wanted; i++)
		{
			int64_t		vocabulary = golden.model.image->hyper.vocabulary;
			int32_t		next = (int32_t)
				golden.transformer.kernels->argmax(logits, vocabulary);

			assert_int_equal(next, wanted[i]);
			assert_int_equal(transformer_prompt(&golden.transformer,
												&golden.sequence, &next, 1,
												NULL, &logits, &status),
							 ENGINE_OK);
		}
		golden_close(&golden);
	}
}

/* Compares what the probe shows with the reference. */
typedef struct Compare
{
	const Golden *golden;
	double		attention;
	double		hidden;
	int			compared;
} Compare;

static EngineCode
compare_stage(void *arg, const ProbeEvent *event, EngineStatus *status)
{
	Compare    *compare = arg;
	const JsonNode *inside = compare->golden->inside;
	const Hyper *hyper = &compare->golden->model.image->hyper;
	const JsonNode *states;
	int			entry;

	(void) status;
	if (event->stage == PROBE_ATTENTION)
	{
		const JsonNode *row = json_member(inside, "attention");

		row = json_element(json_element(row, event->layer), event->head);
		row = json_element(row, event->first_row);
		compare->attention = fmax(compare->attention,
								  distance(row, event->data + event->stride));
		compare->compared++;
		return ENGINE_OK;
	}

	/* entries: embedding, after each block but the last, after the norm */
	states = json_member(inside, "hidden_states");
	entry = event->stage == PROBE_EMBEDDING ? 0 :
		event->stage == PROBE_FINAL_NORM ? hyper->n_layers : event->layer + 1;
	states = event->stage == PROBE_BLOCK && entry == hyper->n_layers ?
		json_member(inside, "last_block") : json_element(states, entry);
	assert_int_equal(states->count, event->n_rows);
	for (int i = 0; i < event->n_rows; i++)
	{
		const JsonNode *row = json_element(states, i);

		assert_int_equal(row->count, event->n_columns);
		compare->hidden = fmax(compare->hidden,
							   distance(row, event->data + i * event->stride));
		compare->compared++;
	}
	return ENGINE_OK;
}

static void
insides_agree(void **state)
{
	(void) state;
	for (const char *const *name = f32_models; *name != NULL; name++)
	{
		Golden		golden;
		int32_t		ids[128];
		int			n;
		Compare		compare = {&golden, 0, 0, 0};
		Probe		probe = {PROBE_BIT(PROBE_ATTENTION) |
			PROBE_BIT(PROBE_EMBEDDING) | PROBE_BIT(PROBE_BLOCK) |
		PROBE_BIT(PROBE_FINAL_NORM), -1, -1, compare_stage, &compare};
		const Hyper *hyper;

		golden_open(&golden, *name, 16);
		assert_non_null(golden.inside);
		hyper = &golden.model.image->hyper;
		n = read_ids(json_member(golden.inside, "ids"), ids);
		compute(&golden, ids, n, &probe);
		assert_int_equal(compare.compared,
						 n * (hyper->n_layers * hyper->n_heads +
							  hyper->n_layers + 2));
		assert_near(*name, "attention", compare.attention, F32_BOUND);
		assert_near(*name, "hidden states", compare.hidden, F32_BOUND);
		golden_close(&golden);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logits_agree),
		cmocka_unit_test(logits_of_quantised_weights_agree),
		cmocka_unit_test(greedy_continuations_agree),
		cmocka_unit_test(insides_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
