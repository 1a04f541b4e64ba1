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

EncoderPasses *
passes_begin(ModelUse *use, PassResult result, void *arg)
{
	EncoderPasses *passes = MemoryContextAllocZero(use->context,
												   sizeof(EncoderPasses));

	passes->use = use;
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

static void
open_encoder(EncoderPasses *passes, int64 rows)
{
	ModelUse   *use = passes->use;
	EngineStatus status;

	if (rows <= passes->max_rows)
		return;
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
	passes->max_rows = rows;
}

static void
run_pass(EncoderPasses *passes, const PassText *texts, int n)
{
	EncoderText *run = MemoryContextAlloc(passes->waiting,
										  n * sizeof(EncoderText));
	EngineStatus status;
	int			n_run = 0;
	int			last = -1;

	for (int i = 0; i < n; i++)
	{
		if (i > 0 && compare_texts(&texts[i], &texts[i - 1]) == 0)
			continue;
		run[n_run].ids = texts[i].ids;
		run[n_run].n = texts[i].n;
		run[n_run++].second = texts[i].second;
	}
	model_use_check(passes->use,
					encoder_run(&passes->encoder, run, n_run, NULL, &status),
					&status);
	for (int i = 0; i < n; i++)
	{
		if (i == 0 || compare_texts(&texts[i], &texts[i - 1]) != 0)
			last++;
		passes->result(passes->arg, &passes->encoder, last, texts[i].index);
	}
	pfree(run);
}

void
passes_run(EncoderPasses *passes)
{
	int			first = 0;

	if (passes->n_texts > 1)
		qsort(passes->texts, passes->n_texts, sizeof(PassText),
			  compare_texts);
	open_encoder(passes, largest_pass(passes));
	while (first < passes->n_texts)
	{
		int64		rows;
		int			n = plan_pass(passes, first, &rows);

		CHECK_FOR_INTERRUPTS();
		run_pass(passes, passes->texts + first, n);
		first += n;
	}
	passes->n_texts = 0;
	passes->n_tokens = 0;
	MemoryContextReset(passes->waiting);
}
