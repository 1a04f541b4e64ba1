/*-------------------------------------------------------------------------
 *
 * batch_test.c
 *	  Continuous batching: tokens are those of a sequence alone, whatever
 *	  else is in the batch, however few pages there are, and wherever pages
 *	  come from; and sequences are served as batch.h says.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "batch/batch.h"
#include "model/image_target.h"
#include "model_fixture.h"

#define MAX_REQUESTS 64
#define MAX_TOKENS 256

/* A request, and what became of it. */
typedef struct Call
{
	BatchRequest request;
	int32_t		history[MAX_TOKENS];
	BatchSequence *sequence;
	int32_t		tokens[MAX_TOKENS];
	double		logprobs[MAX_TOKENS];
	int			n_tokens;
	FinishReason finish;
	bool		failed;
	int			first_at;		/* number of the step that gave the first */
} Call;

typedef struct Bed
{
	ModelFixture model;
	EngineArena arena;
	PageMemory	memory;
	PageBudget	budget;
	PagePool   *pool;
	Batch	   *batch;
	Call	   *calls;
	int			n_calls;
	int			n_steps;
	int			given_back;
} Bed;

static void
take_token(void *arg, void *owner, const BatchToken *token)
{
	Bed		   *bed = arg;
	Call	   *call = owner;

	assert_int_equal(call->finish, FINISH_NONE);
	if (call->n_tokens == 0)
		call->first_at = bed->n_steps;
	call->tokens[call->n_tokens] = token->token;
	call->logprobs[call->n_tokens++] = token->logprob;
	call->finish = token->finish;
}

static void
take_failure(void *arg, void *owner, const EngineStatus *status)
{
	Call	   *call = owner;

	(void) arg;
	assert_false(call->failed);
	assert_string_not_equal(status->message, "");
	call->failed = true;
}

static void
count_page(void *arg, void *page, size_t bytes)
{
	(void) page;
	(void) bytes;
	((Bed *) arg)->given_back++;
}

static Bed *
bed_open(const char *path, int n_pages, int max_rows, const EngineHost *host)
{
	Bed		   *bed = calloc(1, sizeof(*bed));
	KvLayout	layout;
	BatchListener listener = {take_token, take_failure, bed};
	EngineStatus status;

	model_fixture_open(&bed->model, path);
	engine_arena_init(&bed->arena, &engine_malloc, 0);
	layout = kv_layout(&bed->model.image->hyper);
	bed->memory.n_pages = n_pages;
	bed->memory.page_bytes = layout.page_bytes;
	bed->memory.base = aligned_alloc(64, n_pages * layout.page_bytes);
	memset(bed->memory.base, 0xff, n_pages * layout.page_bytes);
	bed->memory.give_back = count_page;
	bed->memory.arg = bed;
	bed->budget.limit = n_pages * layout.page_bytes;
	assert_int_equal(page_pool_open(&bed->pool, &bed->memory, &bed->budget,
									&bed->arena, &status), ENGINE_OK);
	assert_int_equal(batch_open(&bed->batch, bed->model.image,
								kernels_select(NULL), 16, max_rows, bed->pool,
								&listener, &bed->arena, &engine_malloc, host,
								&status), ENGINE_OK);
	bed->calls = calloc(MAX_REQUESTS, sizeof(Call));
	return bed;
}

static void
bed_close(Bed *bed)
{
	PageCounts	counts;

	batch_close(bed->batch);
	counts = page_pool_counts(bed->pool);
	assert_int_equal(counts.held, 0);
	assert_int_equal(counts.references, 0);
	engine_arena_free(&bed->arena);
	free(bed->memory.base);
	model_fixture_close(&bed->model);
	free(bed->calls);
	free(bed);
}

/* A request of n prompt tokens, the first n_same of which are always equal. */
static Call *
new_call(Bed *bed, int n, int n_same, int max_tokens)
{
	Call	   *call = &bed->calls[bed->n_calls];
	uint32_t	random = 7u + 13u * (uint32_t) bed->n_calls;
	uint32_t	vocabulary = bed->model.image->hyper.vocabulary;
	BatchRequest *request = &call->request;

	for (int i = 0; i < n; i++)
	{
		random = random * 1664525u + 1013904223u;
		call->history[i] = (int32_t) (i < n_same ?
									  (i * 31 + 5) % vocabulary :
									  (random >> 8) % vocabulary);
	}
	request->history = call->history;
	request->n_prompt = request->n_history = n;
	request->max_history = n + max_tokens;
	request->sampler.typical_p = request->sampler.top_p = 1;
	request->sampler.repeat_penalty = 1;
	request->sampler.ignore_end = true;
	request->top = 0;
	request->share = true;
	request->order = bed->n_calls;
	request->credit = INT64_MAX;
	request->owner = call;
	bed->n_calls++;
	return call;
}

static void
add(Bed *bed, Call *call)
{
	EngineStatus status;

	if (batch_add(bed->batch, &call->request, &call->sequence,
				  &status) != ENGINE_OK)
		fail_msg("%s", status.message);
}

static BatchStep
step(Bed *bed)
{
	BatchStep	step;
	EngineStatus status;
	EngineCode	code;

	bed->n_steps++;
	do
		code = batch_step(bed->batch, &step, &status);
	while (code == ENGINE_CANCELLED);
	if (code != ENGINE_OK)
		fail_msg("%s", status.message);
	assert_true(page_pool_check(bed->pool, &status));
	return step;
}

static bool
over(const Call *call)
{
	return call->failed || call->finish != FINISH_NONE;
}

static void
run(Bed *bed)
{
	while (batch_can_step(bed->batch))
		assert_true(step(bed).rows > 0);
}

/* The tokens of a request in a transformer of its own, one by one. */
static void
compute_alone(Bed *bed, const Call *call, int32_t *tokens, double *logprobs)
{
	const BatchRequest *request = &call->request;
	const Tokenizer *tokenizer = &bed->model.tokenizer;
	EngineArena arena;
	Transformer transformer;
	KvSequence	kv;
	TestPool	pool;
	Sampler		sampler;
	int32_t		history[MAX_TOKENS];
	int32_t		ends[64];
	int			n_ends = 0;
	int64_t		n = request->n_prompt;
	EngineStatus status;

	for (int32_t i = 0; i < tokenizer->n_tokens && n_ends < 64; i++)
		if (tokenizer_is_end(tokenizer, i))
			ends[n_ends++] = i;
	engine_arena_init(&arena, &engine_malloc, 0);
	test_pool_init(&pool);
	assert_int_equal(transformer_open(&transformer, bed->model.image,
									  kernels_select("reference"), 16, 32, 1,
									  &arena, NULL, &status), ENGINE_OK);
	assert_int_equal(kv_open(&kv, &transformer.kv, &pool.pool, MAX_TOKENS,
							 &arena, &status), ENGINE_OK);
	assert_int_equal(sampler_open(&sampler, &request->sampler,
								  bed->model.image->hyper.vocabulary,
								  tokenizer->n_tokens, ends, n_ends, &arena,
								  &status), ENGINE_OK);
	memcpy(history, request->history, n * sizeof(int32_t));
	for (int i = 0; n < request->max_history; i++)
	{
		const float *logits;
		int32_t		token;
		LogprobBase base;

		assert_int_equal(transformer_prompt(&transformer, &kv,
											history + kv.n_positions,
											n - kv.n_positions, NULL, &logits,
											&status), ENGINE_OK);
		assert_int_equal(sampler_pick(&sampler, transformer.kernels, logits,
									  history, n, request->n_prompt, i,
									  &token, &status), ENGINE_OK);
		base = logprob_base(logits, tokenizer->n_tokens);
		tokens[i] = history[n++] = token;
		logprobs[i] = logprob_of(base, logits[token]);
	}
	kv_close(&kv);
	engine_arena_free(&arena);
}

static void
assert_as_alone(Bed *bed, const Call *call)
{
	int32_t		tokens[MAX_TOKENS];
	double		logprobs[MAX_TOKENS];
	int			n = (int) (call->request.max_history -
						   call->request.n_prompt);

	compute_alone(bed, call, tokens, logprobs);
	assert_false(call->failed);
	assert_int_equal(call->finish, FINISH_LENGTH);
	assert_int_equal(call->n_tokens, n);
	assert_memory_equal(call->tokens, tokens, n * sizeof(int32_t));
	assert_memory_equal(call->logprobs, logprobs, n * sizeof(double));
}

/* Requests of all kinds, in a pool of n_pages, which come one after another. */
static void
run_many(const char *path, int n_pages, int max_rows, bool expect_preemption)
{
	Bed		   *bed = bed_open(path, n_pages, max_rows, NULL);
	int			n = 24;

	for (int i = 0; i < n; i++)
	{
		Call	   *call = new_call(bed, 1 + (i * 37) % 90, (i % 3) * 35,
									1 + (i * 11) % 40);
		SamplerOptions *sampler = &call->request.sampler;

		call->request.group = i % 4;
		call->request.scope.a = i % 2;
		call->request.share = i % 7 != 6;
		sampler->temperature = i % 3 == 1 ? 1.3 : 0;
		sampler->seed = 1000 + i;
		sampler->top_k = i % 5 == 1 ? 20 : 0;
		sampler->repeat_penalty = i % 4 == 2 ? 1.2 : 1;
		sampler->repeat_last_n = 30;
	}
	for (int i = 0; i < n; i += 2)
	{
		add(bed, &bed->calls[i]);
		add(bed, &bed->calls[i + 1]);
		step(bed);
		step(bed);
		batch_set_prompt_rows(bed->batch, 1 + i * 3);
	}
	run(bed);
	for (int i = 0; i < n; i++)
		assert_as_alone(bed, &bed->calls[i]);
	assert_int_equal(batch_preemptions(bed->batch) > 0, expect_preemption);
	bed_close(bed);
}

static void
test_as_alone(void **state)
{
	static const char *const models[] = {
		"test/data/tiny-llama.gguf",
		"test/data/tiny-qwen3.gguf",
		"test/data/tiny-gpt2.gguf",
		"test/data/tiny-mixed-1.gguf",
	};

	(void) state;
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
	{
		run_many(models[i], 400, 256, false);
		run_many(models[i], 400, 64, false);
		run_many(models[i], 12, 64, true);
	}
}

/* Equal prompts at once: one computes, the others wait and take over. */
static void
test_prefix(void **state)
{
	Bed		   *bed = bed_open("test/data/tiny-llama.gguf", 100, 64, NULL);
	int			rows = 0;
	Call	   *late;

	(void) state;
	for (int i = 0; i < 5; i++)
	{
		Call	   *call = new_call(bed, 90, 80, 5);

		call->request.scope.b = i == 4;
		add(bed, call);
	}
	while (batch_can_step(bed->batch))
		rows += step(bed).rows;
	for (int i = 0; i < 5; i++)
		assert_as_alone(bed, &bed->calls[i]);
	assert_int_equal(batch_cached(bed->calls[0].sequence), 0);
	for (int i = 1; i < 4; i++)
		assert_int_equal(batch_cached(bed->calls[i].sequence), 80);
	assert_int_equal(batch_cached(bed->calls[4].sequence), 0);
	assert_int_equal(rows, 5 * (90 + 4) - 3 * 80);

	/* all but the last page, whose last row's logits are wanted */
	late = new_call(bed, 80, 80, 2);
	add(bed, late);
	run(bed);
	assert_as_alone(bed, late);
	assert_int_equal(batch_cached(late->sequence), 64);

	/* what one has generated serves another as prompt */
	late = new_call(bed, 90, 80, 1);
	memcpy(late->history, bed->calls[0].history, 90 * sizeof(int32_t));
	memcpy(late->history + 90, bed->calls[0].tokens, 5 * sizeof(int32_t));
	late->request.n_prompt = late->request.n_history = 95;
	late->request.max_history = 120;
	add(bed, late);
	run(bed);
	assert_as_alone(bed, late);
	assert_int_equal(batch_cached(late->sequence), 80);
	late = new_call(bed, 90, 80, 1);
	memcpy(late->history, bed->calls[6].history, 95 * sizeof(int32_t));
	memcpy(late->history + 95, bed->calls[6].tokens, 25 * sizeof(int32_t));
	late->request.n_prompt = late->request.n_history = 120;
	late->request.max_history = 121;
	add(bed, late);
	run(bed);
	assert_as_alone(bed, late);
	assert_int_equal(batch_cached(late->sequence), 112);
	bed_close(bed);
}

/* The one whose page is waited for goes away. */
static void
test_claimant_leaves(void **state)
{
	Bed		   *bed = bed_open("test/data/tiny-llama.gguf", 100, 64, NULL);

	(void) state;
	for (int i = 0; i < 2; i++)
		add(bed, new_call(bed, 20, 0, 60));
	step(bed);
	for (int i = 2; i < 5; i++)
		add(bed, new_call(bed, 100, 90, 4));
	batch_set_prompt_rows(bed->batch, 5);
	for (int i = 0; i < 8; i++)
		step(bed);
	assert_int_equal(batch_phase(bed->calls[2].sequence), BATCH_PROMPT);
	batch_remove(bed->batch, bed->calls[2].sequence);
	step(bed);
	batch_remove(bed->batch, bed->calls[0].sequence);
	run(bed);
	assert_as_alone(bed, &bed->calls[1]);
	assert_as_alone(bed, &bed->calls[3]);
	assert_as_alone(bed, &bed->calls[4]);
	assert_int_equal(batch_cached(bed->calls[3].sequence), 32);
	assert_int_equal(batch_cached(bed->calls[4].sequence), 80);
	bed_close(bed);
}

/* While others generate a prompt is read in parts, and nobody waits. */
static void
test_long_prompt(void **state)
{
	Bed		   *bed = bed_open("test/data/tiny-llama.gguf", 100, 256, NULL);
	BatchStep	last;

	(void) state;
	add(bed, new_call(bed, 10, 0, 100));
	add(bed, new_call(bed, 12, 0, 100));
	last = step(bed);
	assert_int_equal(last.rows, 22);
	assert_int_equal(last.outputs, 2);
	add(bed, new_call(bed, 150, 0, 3));
	batch_set_prompt_rows(bed->batch, 8);
	for (int i = 0; i < 150 / 8; i++)
	{
		last = step(bed);
		assert_int_equal(last.rows, 2 + 8);
		assert_int_equal(last.prompt_rows, 8);
		assert_int_equal(last.outputs, 2);
		assert_int_equal(batch_phase(bed->calls[2].sequence), BATCH_PROMPT);
	}
	last = step(bed);
	assert_int_equal(last.prompt_rows, 150 % 8);
	assert_int_equal(last.outputs, 3);
	run(bed);
	for (int i = 0; i < 3; i++)
		assert_as_alone(bed, &bed->calls[i]);

	/* nobody waits for a token: as much as fits */
	add(bed, new_call(bed, 130, 0, 2));
	assert_int_equal(step(bed).rows, 130);
	bed_close(bed);
}

/* A prompt of many steps: a short one behind it does not wait for all of it. */
static void
test_short_behind_long(void **state)
{
	Bed		   *bed = bed_open("test/data/tiny-llama.gguf", 100, 64, NULL);

	(void) state;
	add(bed, new_call(bed, 230, 0, 3));
	add(bed, new_call(bed, 20, 0, 3));
	assert_int_equal(step(bed).rows, 64);
	assert_int_equal(bed->calls[1].n_tokens, 1);
	run(bed);
	assert_as_alone(bed, &bed->calls[0]);
	assert_as_alone(bed, &bed->calls[1]);

	/* what nobody can use is the long one's: here the other waits for it */
	add(bed, new_call(bed, 230, 230, 3));
	add(bed, new_call(bed, 230, 230, 3));
	assert_int_equal(step(bed).rows, 64);
	assert_int_equal(step(bed).rows, 64);
	run(bed);
	assert_as_alone(bed, &bed->calls[3]);
	assert_int_equal(batch_cached(bed->calls[3].sequence), 224);
	bed_close(bed);
}

/* Groups in turns: a group's many prompts do not hold up another's one. */
static void
test_groups(void **state)
{
	Bed		   *bed = bed_open("test/data/tiny-llama.gguf", 200, 64, NULL);

	(void) state;
	for (int i = 0; i < 6; i++)
	{
		Call	   *call = new_call(bed, 120, 0, 2);

		call->request.group = i == 5;
		add(bed, call);
	}
	run(bed);
	for (int i = 1; i < 5; i++)
		assert_true(bed->calls[5].first_at < bed->calls[i].first_at);
	for (int i = 1; i < 5; i++)
		assert_true(bed->calls[i - 1].first_at < bed->calls[i].first_at);
	bed_close(bed);
}

/* Credit bounds how far a sequence runs ahead; paused ones lose pages first. */
static void
test_credit(void **state)
{
	Bed		   *bed = bed_open("test/data/tiny-llama.gguf", 10, 64, NULL);
	Call	   *paused = new_call(bed, 40, 0, 60);
	Call	   *other = new_call(bed, 100, 0, 20);

	(void) state;
	paused->request.credit = 7;
	add(bed, paused);
	run(bed);
	assert_int_equal(paused->n_tokens, 7);
	assert_int_equal(batch_phase(paused->sequence), BATCH_PAUSED);
	assert_false(batch_can_step(bed->batch));
	add(bed, other);
	run(bed);
	assert_as_alone(bed, other);
	batch_remove(bed->batch, other->sequence);
	batch_credit(bed->batch, paused->sequence, INT64_MAX);
	run(bed);
	assert_as_alone(bed, paused);
	assert_true(batch_preemptions(bed->batch) > 0);
	bed_close(bed);
}

/* A sequence can be taken up again from what it had generated. */
static void
test_resumed(void **state)
{
	Bed		   *bed = bed_open("test/data/tiny-llama.gguf", 100, 64, NULL);
	Call	   *whole = new_call(bed, 33, 0, 30);
	Call	   *rest = new_call(bed, 33, 0, 30);
	SamplerOptions *sampler = &whole->request.sampler;

	(void) state;
	sampler->temperature = 0.8;
	sampler->seed = 5;
	sampler->frequency_penalty = 0.5;
	add(bed, whole);
	run(bed);
	assert_as_alone(bed, whole);

	rest->request.sampler = *sampler;
	memcpy(rest->history, whole->history, 33 * sizeof(int32_t));
	memcpy(rest->history + 33, whole->tokens, 11 * sizeof(int32_t));
	rest->request.n_history = 33 + 11;
	add(bed, rest);
	run(bed);
	assert_int_equal(rest->n_tokens, 30 - 11);
	assert_memory_equal(rest->tokens, whole->tokens + 11,
						(30 - 11) * sizeof(int32_t));
	bed_close(bed);
}

static void
test_too_large(void **state)
{
	Bed		   *bed = bed_open("test/data/tiny-llama.gguf", 4, 64, NULL);
	Call	   *fits = new_call(bed, 60, 0, 5);
	Call	   *not = new_call(bed, 60, 0, 6);
	EngineStatus status;

	(void) state;
	assert_int_equal(batch_add(bed->batch, &not->request, &not->sequence,
							   &status), ENGINE_LIMIT);
	assert_non_null(strstr(status.detail, "bytes"));
	not->request.max_history = 60;
	assert_int_equal(batch_add(bed->batch, &not->request, &not->sequence,
							   &status), ENGINE_INVALID);
	not->request.max_history = 61;
	not->history[9] = -1;
	assert_int_equal(batch_add(bed->batch, &not->request, &not->sequence,
							   &status), ENGINE_INVALID);
	add(bed, fits);
	run(bed);
	assert_as_alone(bed, fits);
	bed_close(bed);
}

/* Make one token's embedding infinite, in a model that has an output of its
 * own. */
static void
poison(ModelFixture *model, int32_t token)
{
	const ImageMatrix *matrix = &model->image->token_embd;
	float	   *values = (float *) ((char *) model->image + matrix->offset);
	float	   *row = calloc(matrix->k + 64, sizeof(float));
	float		wanted;

	image_row(model->image, matrix, token, row);
	wanted = row[0];
	for (int64_t i = 0; i < matrix->n * matrix->k; i++)
		if (values[i] == wanted)
			values[i] = INFINITY;
	image_row(model->image, matrix, token, row);
	assert_true(isinf(row[0]));
	free(row);
}

/* One sequence's values become infinite: the others do not suffer. */
static void
test_not_finite(void **state)
{
	Bed		   *bed = bed_open("test/data/tiny-llama3.gguf", 100, 64, NULL);
	int32_t		bad = 11;

	(void) state;
	for (int i = 0; i < 4; i++)
	{
		Call	   *call = new_call(bed, 20, 0, 10);

		for (int j = 0; j < 20; j++)
			if (call->history[j] == bad)
				call->history[j]++;
	}
	bed->calls[2].history[7] = bad;
	for (int i = 0; i < 4; i++)
		add(bed, &bed->calls[i]);
	poison(&bed->model, bad);
	run(bed);
	for (int i = 0; i < 4; i++)
		assert_int_equal(bed->calls[i].failed, i == 2);
	for (int i = 0; i < 4; i++)
		if (i != 2)
			assert_int_equal(bed->calls[i].finish, FINISH_LENGTH);
	assert_int_equal(batch_phase(bed->calls[2].sequence), BATCH_ENDED);
	bed_close(bed);
}

static bool
now_and_then(void *arg)
{
	return ++* (int *) arg % 97 == 0;
}

/* A step that was interrupted is done again, with the same result. */
static void
test_interrupted(void **state)
{
	int			asked = 0;
	EngineHost	host = {now_and_then, &asked, NULL};
	Bed		   *bed = bed_open("test/data/tiny-llama.gguf", 30, 64, &host);

	(void) state;
	for (int i = 0; i < 6; i++)
		add(bed, new_call(bed, 50 + i, 30, 20));
	run(bed);
	for (int i = 0; i < 6; i++)
		assert_as_alone(bed, &bed->calls[i]);
	assert_true(asked > 97);
	bed_close(bed);
}

/* Sequences that come and go at random; nothing is left behind. */
static void
test_storm(void **state)
{
	Bed		   *bed = bed_open("test/data/tiny-llama.gguf", 20, 64, NULL);
	uint32_t	random = 1;
	Call	   *calls[MAX_REQUESTS] = {NULL};

	(void) state;
	for (int i = 0; i < 1500; i++)
	{
		Call	  **place;

		random = random * 1664525u + 1013904223u;
		place = &calls[(random >> 10) % 16];
		if (*place != NULL && (over(*place) || (random >> 28) == 0))
		{
			batch_remove(bed->batch, (*place)->sequence);
			*place = NULL;
		}
		else if (*place == NULL && bed->n_calls < MAX_REQUESTS)
		{
			*place = new_call(bed, 1 + (random >> 16) % 80,
							  (random >> 20) % 80, 1 + (random >> 24) % 50);
			add(bed, *place);
		}
		step(bed);
	}
	run(bed);
	for (int i = 0; i < bed->n_calls; i++)
		if (bed->calls[i].finish != FINISH_NONE)
			assert_as_alone(bed, &bed->calls[i]);
	bed_close(bed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_alone),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_claimant_leaves),
		cmocka_unit_test(test_long_prompt),
		cmocka_unit_test(test_short_behind_long),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_credit),
		cmocka_unit_test(test_resumed),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_not_finite),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
