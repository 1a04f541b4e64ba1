/*-------------------------------------------------------------------------
 *
 * sampler_test.c
 *	  The sampler against test/data/sampler.json, which is made by numpy in
 *	  float64 from the definition, and against itself.
 *
 * The goldens refuse cases that hang on the last bits of a sum, so kept sets
 * and tokens must be equal.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "decode/candidates.h"
#include "decode/philox.h"
#include "decode/sampler.h"
#include "json_fixture.h"

#include <cmocka.h>

#define MOST_TOKENS 1024

static JsonFixture goldens;

static int
open_goldens(void **state)
{
	(void) state;
	json_fixture_open(&goldens, "test/data/sampler.json");
	return 0;
}

static int
close_goldens(void **state)
{
	(void) state;
	json_fixture_close(&goldens);
	return 0;
}

static uint64_t
need_seed(const JsonNode *node)
{
	return strtoull(json_need_text(&goldens, node), NULL, 10);
}

static double
option(const JsonNode *options, const char *name, double otherwise)
{
	const JsonNode *node = json_member(options, name);

	return node == NULL ? otherwise : json_need_double(node);
}

static void
read_options(const JsonNode *node, SamplerOptions *options, LogitBias *bias)
{
	const JsonNode *biases = json_member(node, "logit_bias");
	const JsonNode *seed = json_member(node, "seed");

	memset(options, 0, sizeof(*options));
	options->temperature = option(node, "temperature", 0);
	options->top_k = (int32_t) option(node, "top_k", 0);
	options->typical_p = option(node, "typical_p", 1);
	options->top_p = option(node, "top_p", 1);
	options->min_p = option(node, "min_p", 0);
	options->repeat_penalty = option(node, "repeat_penalty", 1);
	options->repeat_last_n = (int32_t) option(node, "repeat_last_n", 64);
	options->presence_penalty = option(node, "presence_penalty", 0);
	options->frequency_penalty = option(node, "frequency_penalty", 0);
	options->seed = seed != NULL && seed->type == JSON_STRING ?
		need_seed(seed) : 0;
	(void) json_bool(json_member(node, "ignore_end"), &options->ignore_end);
	options->bias = bias;
	if (biases != NULL && biases->count > 0)
	{
		const JsonNode *key = json_first(biases);

		for (uint32_t i = 0; i < biases->count; i++)
		{
			bias[i].token = atoi(json_need_text(&goldens, key));
			bias[i].bias = (float) json_need_double(key + 1);
			key = json_after(key + 1);
		}
		options->n_bias = (int) biases->count;
	}
}

static int32_t
read_vector(const JsonNode *vector, float *logits)
{
	const JsonNode *item = json_first(vector);

	assert_true(vector->count <= MOST_TOKENS);
	for (uint32_t i = 0; i < vector->count; i++, item = json_after(item))
		logits[i] = (float) json_need_double(item);
	return (int32_t) vector->count;
}

static void
check_kept(const JsonNode *kept, const Candidates *set, size_t number)
{
	int32_t		expected[MOST_TOKENS];
	size_t		n = json_integers(kept, expected, MOST_TOKENS);

	if (n != (size_t) set->n ||
		memcmp(expected, set->id, n * sizeof(int32_t)) != 0)
		fail_msg("case %zu keeps %d tokens, expected %zu", number, set->n, n);
}

static void
check_case(const JsonNode *node, size_t number)
{
	float		logits[MOST_TOKENS];
	LogitBias	bias[64];
	SamplerOptions options;
	Sampler		sampler;
	EngineArena arena;
	EngineStatus status;
	int32_t		history[256];
	int32_t		ends[16];
	int32_t		token = -1;
	const JsonNode *vectors = json_need(goldens.root, "vectors");
	const JsonNode *kept = json_member(node, "kept");
	int32_t		n = read_vector(json_element(vectors, (size_t)
											 json_need_integer(json_need(node, "vector"))),
								logits);
	size_t		n_prompt = json_integers(json_need(node, "prompt"), history,
										 128);
	size_t		n_output = json_integers(json_need(node, "output"),
										 history + n_prompt, 128);
	size_t		n_ends = json_integers(json_need(node, "end_tokens"), ends,
									   16);

	read_options(json_need(node, "options"), &options, bias);
	engine_arena_init(&arena, &engine_malloc, 0);
	assert_int_equal(sampler_open(&sampler, &options, n, n, ends,
								  (int) n_ends, &arena, &status), ENGINE_OK);

	/* twice: nothing of the first call may be left for the second */
	for (int i = 0; i < 2; i++)
	{
		assert_int_equal(sampler_pick(&sampler, kernels_select("reference"),
									  logits, history,
									  (int64_t) (n_prompt + n_output),
									  (int64_t) n_prompt,
									  json_need_integer(json_need(node, "index")),
									  &token, &status), ENGINE_OK);
		if (token != json_need_integer(json_need(node, "token")))
			fail_msg("case %zu gives token %d", number, token);
		if (kept != NULL)
			check_kept(kept, &sampler.scratch->candidates, number);
	}
	engine_arena_free(&arena);
}

static void
test_goldens(void **state)
{
	const JsonNode *cases = json_need(goldens.root, "cases");
	const JsonNode *node = json_first(cases);

	(void) state;
	assert_true(cases->count >= 100);
	for (size_t i = 0; i < cases->count; i++, node = json_after(node))
		check_case(node, i);
}

static void
test_philox(void **state)
{
	const JsonNode *known = json_need(goldens.root, "philox");
	const JsonNode *node = json_first(known);

	(void) state;
	assert_true(known->count >= 3);
	for (uint32_t i = 0; i < known->count; i++, node = json_after(node))
	{
		uint32_t	words[4];
		uint32_t	key[2];

		for (size_t j = 0; j < 4; j++)
			words[j] = (uint32_t) json_need_integer(json_element(json_need(node, "counter"), j));
		for (size_t j = 0; j < 2; j++)
			key[j] = (uint32_t) json_need_integer(json_element(json_need(node, "key"), j));
		philox4x32(words, key[0], key[1]);
		for (size_t j = 0; j < 4; j++)
			assert_int_equal(words[j], (uint32_t)
							 json_need_integer(json_element(json_need(node, "out"), j)));
	}
}

static void
test_uniform(void **state)
{
	const JsonNode *list = json_need(goldens.root, "uniform");
	const JsonNode *node = json_first(list);

	(void) state;
	assert_true(list->count >= 10);
	for (uint32_t i = 0; i < list->count; i++, node = json_after(node))
	{
		double		u = philox_uniform(need_seed(json_need(node, "seed")),
									   (uint32_t) json_need_integer(json_need(node, "index")));

		assert_true(u == json_need_double(json_need(node, "u")));
		assert_true(u >= 0.0 && u < 1.0);
	}
}

/* Logits of a large vocabulary with many ties. */
static float *
large_logits(int32_t n)
{
	float	   *logits = malloc((size_t) n * sizeof(float));
	uint64_t	x = 88172645463325252u;

	for (int32_t i = 0; i < n; i++)
	{
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		logits[i] = (float) (x % 4000) / 100.0f - 20.0f;
	}
	return logits;
}

static const float *compared;

static int
by_logit(const void *a, const void *b)
{
	int32_t		i = *(const int32_t *) a;
	int32_t		j = *(const int32_t *) b;

	if (compared[i] != compared[j])
		return compared[i] > compared[j] ? -1 : 1;
	return i - j;
}

static void
test_top_tokens(void **state)
{
	const int32_t n = 5000;
	const int32_t counts[] = {0, 1, 2, 10, 777, 5000};
	float	   *logits = large_logits(n);
	int32_t    *order = malloc((size_t) n * sizeof(int32_t));
	TokenLogit *top = malloc((size_t) n * sizeof(TokenLogit));

	(void) state;
	for (int32_t i = 0; i < n; i++)
		order[i] = i;
	compared = logits;
	qsort(order, (size_t) n, sizeof(int32_t), by_logit);
	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++)
	{
		top_tokens(logits, n, counts[c], top);
		for (int32_t i = 0; i < counts[c]; i++)
		{
			assert_int_equal(top[i].token, order[i]);
			assert_true(top[i].logit == logits[order[i]]);
		}
	}
	free(top);
	free(order);
	free(logits);
}

/* libm's figures in double precision; observed difference 2e-15 */
static void
test_logprob(void **state)
{
	const int32_t n = 50000;
	float	   *logits = large_logits(n);
	LogprobBase base = logprob_base(logits, n);
	double		sum = 0.0;

	(void) state;
	for (int32_t i = 0; i < n; i++)
		sum += exp((double) logits[i] - base.max);
	assert_true(fabs(base.log_sum - log(sum)) < 1e-13);
	assert_true(fabs(logprob_of(base, logits[7]) -
					 ((double) logits[7] - base.max - log(sum))) < 1e-13);
	free(logits);
}

/* Each filter alone over a large vocabulary, against a full sort. */
static void
test_large(void **state)
{
	const int32_t n = 50000;
	float	   *logits = large_logits(n);
	int32_t    *order = malloc((size_t) n * sizeof(int32_t));
	EngineArena arena;
	EngineStatus status;
	Candidates	set;

	(void) state;
	engine_arena_init(&arena, &engine_malloc, 0);
	assert_int_equal(candidates_open(&set, n, &arena, &status), ENGINE_OK);
	for (int32_t i = 0; i < n; i++)
		order[i] = i;
	compared = logits;
	qsort(order, (size_t) n, sizeof(int32_t), by_logit);

	for (int filter = 0; filter < 2; filter++)
	{
		for (int32_t i = 0; i < n; i++)
		{
			set.id[i] = i;
			set.x[i] = (double) logits[i];
		}
		set.n = n;
		if (filter == 0)
			candidates_top_k(&set, 1234);
		else
			candidates_top_p(&set, 0.5);
		assert_true(set.n > 100 && set.n < n);
		assert_true(filter == 1 || set.n == 1234);
		for (int32_t i = 1; i < set.n; i++)
			assert_true(set.id[i - 1] < set.id[i]);
		for (int32_t i = 0; i < set.n; i++)
		{
			bool		found = false;

			for (int32_t j = 0; j < set.n && !found; j++)
				found = order[j] == set.id[i];
			assert_true(found);
		}
	}
	engine_arena_free(&arena);
	free(order);
	free(logits);
}

/* Bounds of options, -inf, and nothing left. */
static void
test_edges(void **state)
{
	float		logits[4] = {-INFINITY, 1.0f, 1.0f, -INFINITY};
	float		none[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
	int32_t		ends[2] = {1, 2};
	static const double temperatures[4] = {0, 1, 1e-300, 10};
	SamplerOptions options = {
		.typical_p = 1, .top_p = 1, .repeat_penalty = 1
	};
	Sampler		sampler;
	EngineArena arena;
	EngineStatus status;
	int32_t		token;

	(void) state;
	engine_arena_init(&arena, &engine_malloc, 0);
	for (int i = 0; i < 4; i++)
	{
		/* greedy; the smallest kept sets; a tiny and the largest temperature */
		options.temperature = temperatures[i];
		options.top_p = options.typical_p = i == 1 ? 0 : 1;
		options.min_p = i == 1 ? 1 : 0;
		options.top_k = i == 1 ? 1 : 0;
		assert_int_equal(sampler_open(&sampler, &options, 4, 4, ends, 2,
									  &arena, &status), ENGINE_OK);
		assert_int_equal(sampler_pick(&sampler, kernels_select("reference"),
									  logits, NULL, 0, 0, 0, &token,
									  &status), ENGINE_OK);
		if (i < 2)
			assert_int_equal(token, 1);
		else
			assert_true(token == 1 || token == 2);
		assert_int_equal(sampler_pick(&sampler, kernels_select("reference"),
									  none, NULL, 0, 0, 0, &token,
									  &status), ENGINE_INVALID);
		options.ignore_end = true;
		assert_int_equal(sampler_open(&sampler, &options, 4, 4, ends, 2,
									  &arena, &status), ENGINE_OK);
		assert_int_equal(sampler_pick(&sampler, kernels_select("reference"),
									  logits, NULL, 0, 0, 0, &token,
									  &status), ENGINE_INVALID);
		options.ignore_end = false;
	}
	engine_arena_free(&arena);
}

/* Rows of padding have no text and are never chosen. */
static void
test_padding(void **state)
{
	float		logits[6] = {0, 1, 2, 9, 9, 9};
	SamplerOptions options = {
		.typical_p = 1, .top_p = 1, .repeat_penalty = 1
	};
	Sampler		sampler;
	EngineArena arena;
	EngineStatus status;
	int32_t		token;

	(void) state;
	engine_arena_init(&arena, &engine_malloc, 0);
	for (int i = 0; i < 100; i++)
	{
		options.temperature = i == 0 ? 0 : 10;
		options.seed = (uint64_t) i;
		assert_int_equal(sampler_open(&sampler, &options, 6, 3, NULL, 0,
									  &arena, &status), ENGINE_OK);
		assert_int_equal(sampler_pick(&sampler, kernels_select("reference"),
									  logits, NULL, 0, 0, i, &token,
									  &status), ENGINE_OK);
		assert_true(token < 3 && (i > 0 || token == 2));
	}
	engine_arena_free(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goldens),
		cmocka_unit_test(test_philox),
		cmocka_unit_test(test_uniform),
		cmocka_unit_test(test_top_tokens),
		cmocka_unit_test(test_logprob),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_padding),
	};

	return cmocka_run_group_tests_name("sampler", tests, open_goldens,
									   close_goldens);
}
