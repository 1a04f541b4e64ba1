/*-------------------------------------------------------------------------
 *
 * encoder_passes.c
 *	  Many texts through an encoder, in passes of bounded size.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "functions/encoder_passes.h"
#include "settings.h"

/* What may wait: enough for passes of equal lengths, 4 MB of tokens. */
#define WAITING_TEXTS 4096
#define WAITING_TOKENS (1024 * 1024)

/*
 * With llm.execution = auto a single text of up to so many tokens is computed
 * here: it is done before a worker has come round to it.
 */
#define SHORT_TEXT 128

#define ALIGNED_FLOATS(n) (((n) + 15) / 16 * 16)

EncoderPasses *
passes_begin(ModelUse *use, PoolingKind pooling, PassResult result, void *arg)
{
	EncoderPasses *passes = MemoryContextAllocZero(use->context,
												   sizeof(EncoderPasses));

	passes->use = use;
	passes->pooling = pooling;
	passes->result = result;
	passes->arg = arg;
	passes->encoder_context = AllocSetContextCreate(use->context,
													"llm encoder",
													ALLOCSET_DEFAULT_SIZES);
	passes->waiting = AllocSetContextCreate(use->context, "llm texts",
											ALLOCSET_DEFAULT_SIZES);
	passes->scratch = AllocSetContextCreate(use->context, "llm tokenizer",
											ALLOCSET_DEFAULT_SIZES);
	passes_forget(passes);
	return passes;
}

/*
 * Tokens
 */

void
passes_forget(EncoderPasses *passes)
{
	MemoryContextReset(passes->scratch);
	engine_arena_init(&passes->arena, engine_allocator(passes->scratch), 0);
}

TokenList
passes_encode(EncoderPasses *passes, const char *utf8, size_t length,
			  int flags, int64 max_tokens, bool *more)
{
	TokenList	list = {.max_tokens = (size_t) max_tokens};
	ModelUse   *use = passes->use;
	EngineStatus status;
	EngineCode	code = tokenizer_encode(&use->tokenizer, utf8, length, NULL,
										flags, &passes->arena, engine_host(),
										&list, &status);

	*more = code == ENGINE_LIMIT && max_tokens > 0 &&
		list.n == list.max_tokens;
	if (!*more)
		model_use_check(use, code, &status);
	return list;
}

int64
passes_room(const ModelUse *use, const Options *options)
{
	if (options->max_length > 0)
		return Min(options->max_length, use->context_length);
	return use->context_length;
}

int
passes_room_detail(const ModelUse *use, const Options *options)
{
	if (options->max_length > 0 && options->max_length <= use->context_length)
		return errdetail("The limit is the option max_length of model \"%s\".",
						 use->model->name);
	if (use->context_length < use->hyper->context_length)
		return errdetail("The model's own context length is %d, but llm.max_context is %d.",
						 use->hyper->context_length, setting_max_context);
	return errdetail("The limit is the context length of model \"%s\".",
					 use->model->name);
}

/*
 * Passes
 */

static void
count_tokens(EncoderPasses *passes, int64 n)
{
	model_use_count(passes->use, n, 0, 0);
	passes->total += n;
	if (setting_max_tokens_per_call > 0 &&
		passes->total > setting_max_tokens_per_call)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("call reads more than %d tokens",
					   setting_max_tokens_per_call),
				errdetail("The limit is the setting llm.max_tokens_per_call."));
}

void
passes_add(EncoderPasses *passes, int index, const TokenList *tokens,
		   int64 second)
{
	size_t		bytes = tokens->n * sizeof(int32_t);
	PassText   *added;

	count_tokens(passes, (int64) tokens->n);
	if (passes->n_texts == WAITING_TEXTS ||
		passes->n_tokens + (int64) tokens->n > WAITING_TOKENS)
		passes_run(passes);
	if (passes->texts == NULL)
		passes->texts = MemoryContextAlloc(passes->use->context,
										   WAITING_TEXTS * sizeof(PassText));
	added = &passes->texts[passes->n_texts++];
	added->index = index;
	added->n = (int64) tokens->n;
	added->second = second;
	added->ids = MemoryContextAllocHuge(passes->waiting, bytes);
	memcpy(added->ids, tokens->ids, bytes);
	passes->n_tokens += added->n;
}

static int
compare_texts(const void *left, const void *right)
{
	const PassText *a = left;
	const PassText *b = right;

	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	if (a->second != b->second)
		return a->second < b->second ? -1 : 1;
	return memcmp(a->ids, b->ids, a->n * sizeof(int32_t));
}

/*
 * A pass begins at texts[first]: how many texts it takes and, in *rows, how
 * many tokens.  Equal texts, which are neighbours, count once.
 */
static int
plan_pass(const EncoderPasses *passes, int first, int64 *rows)
{
	int			n = 1;

	*rows = passes->texts[first].n;
	for (int i = first + 1; i < passes->n_texts; i++)
	{
		if (compare_texts(&passes->texts[i], &passes->texts[i - 1]) != 0)
		{
			if (*rows + passes->texts[i].n > ENCODER_ROWS)
				break;
			*rows += passes->texts[i].n;
		}
		n++;
	}
	return n;
}

/* Is a text of a pass another one than the one before? */
static bool
is_new(const TextPass *pass, int i)
{
	return i == 0 || compare_texts(&pass->texts[i], &pass->texts[i - 1]) != 0;
}

/* What is computed of a pass. */
static EncoderText *
distinct_texts(EncoderPasses *passes, const TextPass *pass, int *n)
{
	EncoderText *run = MemoryContextAlloc(passes->waiting,
										  pass->n * sizeof(EncoderText));

	*n = 0;
	for (int i = 0; i < pass->n; i++)
	{
		if (!is_new(pass, i))
			continue;
		run[*n].ids = pass->texts[i].ids;
		run[*n].n = pass->texts[i].n;
		run[(*n)++].second = pass->texts[i].second;
	}
	return run;
}

/*
 * Here
 */

static int64
largest_pass(const EncoderPasses *passes)
{
	int64		largest = 0;
	int			first = 0;

	while (first < passes->n_texts)
	{
		int64		rows;

		first += plan_pass(passes, first, &rows);
		largest = Max(largest, rows);
	}
	return largest;
}

/* For this pass and all that wait. */
static void
open_encoder(EncoderPasses *passes)
{
	ModelUse   *use = passes->use;
	int64		rows = largest_pass(passes);
	size_t		width = ALIGNED_FLOATS(use->hyper->output_length);
	EngineStatus status;

	passes->max_rows = 0;
	MemoryContextReset(passes->encoder_context);
	engine_arena_init(&passes->encoder_arena,
					  engine_allocator(passes->encoder_context), 0);
	model_use_check(use,
					encoder_open(&passes->encoder, use->image,
								 settings_kernels(),
								 use->model->activation_bits, rows,
								 &passes->encoder_arena, engine_host(),
								 &status),
					&status);
	passes->pooled = engine_alloc(&passes->encoder_arena, width,
								  sizeof(float), &status);
	if (passes->pooled == NULL)
		engine_raise(&status, use->model->name);
	passes->max_rows = rows;
}

static void
pool_text(EncoderPasses *passes, int text)
{
	Encoder    *encoder = &passes->encoder;
	EngineStatus status;
	EngineCode	code;

	if (passes->pooling == POOLING_RANK)
		code = encoder_score(encoder, text, passes->pooled, &status);
	else
		code = encoder_pool(encoder, text, passes->pooling, passes->pooled,
							&status);
	model_use_check(passes->use, code, &status);
}

static void
compute(EncoderPasses *passes, const TextPass *pass)
{
	EngineStatus status;
	int			n;
	int			last = -1;
	EncoderText *run = distinct_texts(passes, pass, &n);

	if (pass->rows > passes->max_rows)
		open_encoder(passes);
	model_use_check(passes->use,
					encoder_run(&passes->encoder, run, n, NULL, &status),
					&status);
	for (int i = 0; i < pass->n; i++)
	{
		if (is_new(pass, i))
			pool_text(passes, ++last);
		passes->result(passes->arg, passes->pooled, pass->texts[i].index);
	}
	pfree(run);
}

/*
 * With the workers
 */

static bool
wants_worker(const EncoderPasses *passes)
{
	if (!serving_wanted(&passes->use->pin))
		return false;
	return setting_execution == EXECUTION_WORKER || passes->n_texts > 1 ||
		passes->n_tokens > SHORT_TEXT;
}

/* False: there is no room at once, and something of ours is in the way. */
static bool
submit(EncoderPasses *passes, TextPass *pass)
{
	EncodeRequest request = {.pooling = passes->pooling};
	EncoderText *run = distinct_texts(passes, pass, &request.n_texts);

	request.texts = run;
	pass->call = serving_encode(passes->use->model, &passes->use->pin,
								&request, !served_any());
	pfree(run);
	return pass->call != NULL;
}

/* The results of the pass that was submitted first. */
static void
land(EncoderPasses *passes)
{
	TextPass	pass = passes->flying[0];
	int			width = encode_width(passes->use->hyper, passes->pooling);
	const float *vector = served_vectors(pass.call);

	passes->n_flying--;
	memmove(passes->flying, passes->flying + 1,
			passes->n_flying * sizeof(TextPass));
	for (int i = 0; i < pass.n; i++)
	{
		if (i > 0 && is_new(&pass, i))
			vector += width;
		passes->result(passes->arg, vector, pass.texts[i].index);
	}
	served_end(pass.call);
}

/*
 * Only calls of others, streams that are open, can still be in the way when
 * nothing of ours flies: then the pass is computed here.
 */
static void
fly(EncoderPasses *passes, TextPass pass)
{
	if (passes->n_flying == PASSES_IN_FLIGHT)
		land(passes);
	while (!submit(passes, &pass))
	{
		if (passes->n_flying == 0)
		{
			compute(passes, &pass);
			return;
		}
		land(passes);
	}
	passes->flying[passes->n_flying++] = pass;
}

void
passes_run(EncoderPasses *passes)
{
	bool		served = passes->n_texts > 0 && wants_worker(passes);
	int			first = 0;

	if (passes->n_texts > 1)
		qsort(passes->texts, passes->n_texts, sizeof(PassText),
			  compare_texts);
	while (first < passes->n_texts)
	{
		TextPass	pass = {passes->texts + first};

		CHECK_FOR_INTERRUPTS();
		pass.n = plan_pass(passes, first, &pass.rows);
		if (served)
			fly(passes, pass);
		else
			compute(passes, &pass);
		first += pass.n;
	}
	while (passes->n_flying > 0)
		land(passes);
	passes->n_texts = 0;
	passes->n_tokens = 0;
	MemoryContextReset(passes->waiting);
}
