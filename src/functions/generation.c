/*-------------------------------------------------------------------------
 *
 * generation.c
 *	  Generating text: prompts, steps, tokens, ends.
 *
 * Memory is taken by need: scratch for no more rows than the prompt has, for
 * the logits of no more sequences than advance together, and pages of keys
 * and values as positions come.  A session that asks a short question stays
 * small.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "functions/generation.h"
#include "settings.h"

/*
 * Pages of keys and values out of a memory context.  What the context gave
 * stands in front of the page, which is aligned to 64 bytes.
 */
#define PAGE_ALIGN 64

static void *
page_get(void *arg, size_t page_bytes)
{
	size_t		size = page_bytes + 2 * PAGE_ALIGN;
	char	   *start;
	char	   *page;

	if (size > MaxAllocHugeSize)
		return NULL;
	start = MemoryContextAllocExtended((MemoryContext) arg, size,
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (start == NULL)
		return NULL;
	page = (char *) TYPEALIGN(PAGE_ALIGN, start + sizeof(char *));
	((char **) page)[-1] = start;
	return page;
}

static void
page_put(void *arg, void *page)
{
	pfree(((char **) page)[-1]);
}

static void
list_end_tokens(Generation *generation)
{
	const Tokenizer *tokenizer = &generation->use->tokenizer;
	MemoryContext context = generation->use->context;
	int			n = 0;

	for (int32 i = 0; i < tokenizer->n_tokens; i++)
		n += tokenizer_is_end(tokenizer, i);
	generation->end_tokens = MemoryContextAlloc(context,
												(n + 1) * sizeof(int32_t));
	for (int32 i = 0; i < tokenizer->n_tokens; i++)
		if (tokenizer_is_end(tokenizer, i))
			generation->end_tokens[generation->n_end_tokens++] = i;
}

/* What can only be checked once the model is known. */
static void
check_options(const ModelUse *use, const Options *options)
{
	if (options->max_tokens_given &&
		options->max_tokens > use->context_length)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("value " INT64_FORMAT " is out of range for option \"max_tokens\"",
					   options->max_tokens),
				errdetail("Allowed are 1 to " INT64_FORMAT ", the context length of model \"%s\".",
						  use->context_length, use->model->name));
	if (options->max_tokens_given && setting_max_tokens_per_call > 0 &&
		options->max_tokens > setting_max_tokens_per_call)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("option \"max_tokens\" is " INT64_FORMAT ", but a call may read and write only %d tokens",
					   options->max_tokens, setting_max_tokens_per_call),
				errdetail("The limit is the setting llm.max_tokens_per_call."));
	for (int i = 0; i < options->sampler.n_bias; i++)
		if (options->sampler.bias[i].token >= use->tokenizer.n_tokens)
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("option \"logit_bias\" names token %d, which model \"%s\" does not have",
						   options->sampler.bias[i].token, use->model->name),
					errdetail("Its token ids are 0 to %d.",
							  use->tokenizer.n_tokens - 1));
}

static void
open_transformer(ModelUse *use, Transformer *transformer, int64 rows,
				 int outputs)
{
	EngineStatus status;
	int			max_rows = (int) Min(rows, TRANSFORMER_CHUNK);

	model_use_check(use,
					transformer_open(transformer, use->image,
									 settings_kernels(),
									 use->model->activation_bits,
									 Max(max_rows, outputs), outputs,
									 &use->arena, engine_host(), &status),
					&status);
}

Generation *
generation_begin(ModelUse *use, const Options *options, int64 longest_prompt,
				 int max_outputs, bool want_logprobs)
{
	MemoryContext old = MemoryContextSwitchTo(use->context);
	Generation *generation = palloc0_object(Generation);
	EngineStatus status;

	check_options(use, options);
	generation->use = use;
	generation->options = options;
	generation->want_logprobs = want_logprobs;
	generation->max_outputs = max_outputs;
	generation->probe = experiment_open(&generation->experiment, use->hyper,
										options->edits, options->n_edits,
										NULL);
	generation->pool.get = page_get;
	generation->pool.put = page_put;
	generation->pool.arg = use->context;
	generation->rows = palloc0_array(StepRow, max_outputs);
	generation->sequences = palloc0_array(KvSequence *, max_outputs);
	generation->running = palloc0_array(Output *, max_outputs);
	if (options->sampler.ignore_end)
		list_end_tokens(generation);
	model_use_check(use,
					sampler_open(&generation->sampler, &options->sampler,
								 use->hyper->vocabulary,
								 use->tokenizer.n_tokens,
								 generation->end_tokens,
								 generation->n_end_tokens, &use->arena,
								 &status),
					&status);
	open_transformer(use, &generation->transformer, longest_prompt,
					 max_outputs);
	MemoryContextSwitchTo(old);
	return generation;
}

uint64
generation_seed(const Options *options)
{
	uint64		seed;

	if (options->seed_given)
		return options->sampler.seed;
	if (!pg_strong_random(&seed, sizeof(seed)))
		ereport(ERROR,
				errcode(ERRCODE_INTERNAL_ERROR),
				errmsg("could not generate a random seed"));

	/* one that can be given back as an option */
	return seed & PG_INT64_MAX;
}

/* The most tokens that may follow a prompt. */
static int64
output_limit(const ModelUse *use, const Options *options, int64 n_prompt)
{
	/* the last token needs no place in the context */
	int64		limit = use->context_length - n_prompt + 1;

	if (setting_max_tokens_per_call > 0)
		limit = Min(limit, setting_max_tokens_per_call - n_prompt);
	return Min(limit, options->max_tokens);
}

Output *
generation_add(Generation *generation, const TokenList *prompt, uint64 seed)
{
	ModelUse   *use = generation->use;
	const Options *options = generation->options;
	MemoryContext old = MemoryContextSwitchTo(use->context);
	Output	   *output = palloc0_object(Output);
	EngineStatus status;

	/* all share its scratch, which is megabytes: one picks at a time */
	output->sampler = generation->sampler;
	output->sampler.options.seed = seed;
	output->n_prompt = output->n_history = (int64) prompt->n;
	output->max_history = output->n_prompt +
		output_limit(use, options, output->n_prompt);
	output->history = MemoryContextAllocHuge(use->context,
											 output->max_history *
											 sizeof(int32_t));
	memcpy(output->history, prompt->ids, prompt->n * sizeof(int32_t));
	initStringInfo(&output->text);
	model_use_check(use,
					kv_open(&output->kv, &generation->transformer.kv,
							&generation->pool, output->max_history - 1,
							&use->arena, &status),
					&status);
	model_use_check(use,
					text_stream_open(&output->stream, &use->tokenizer, false,
									 options->stops, options->n_stops,
									 &use->arena, &status),
					&status);
	MemoryContextSwitchTo(old);
	return output;
}

/*
 * Text of an output
 */

static void
append_text(Output *output)
{
	appendBinaryStringInfo(&output->text, output->stream.out,
						   (int) output->stream.n_out);
}

static void
finish(Generation *generation, Output *output, FinishReason reason)
{
	EngineStatus status;

	model_use_check(generation->use,
					text_stream_finish(&output->stream, &status), &status);
	append_text(output);
	output->finish = reason;
	kv_close(&output->kv);
}

/* Take in the token that was chosen, and see whether it was the last. */
static void
accept_token(Generation *generation, Output *output)
{
	ModelUse   *use = generation->use;
	EngineStatus status;

	output->history[output->n_history++] = output->token;
	output->piece = (size_t) output->text.len;
	output->in_text = !tokenizer_is_end(&use->tokenizer, output->token);
	if (!output->in_text)
	{
		finish(generation, output, FINISH_STOP);
		return;
	}
	model_use_check(use, text_stream_add(&output->stream, output->token,
										 &status), &status);
	append_text(output);
	if (output->stream.stopped)
		finish(generation, output, FINISH_STOP);
	else if (output->n_history == output->max_history)
		finish(generation, output, FINISH_LENGTH);
}

static void
choose_token(Generation *generation, Output *output, const float *logits)
{
	ModelUse   *use = generation->use;
	EngineStatus status;

	model_use_check(use,
					sampler_pick(&output->sampler,
								 generation->transformer.kernels, logits,
								 output->history, output->n_history,
								 output->n_prompt, output_tokens(output),
								 &output->token, &status),
					&status);
	output->logits = logits;
	if (generation->want_logprobs)
	{
		output->base = logprob_base(logits, use->tokenizer.n_tokens);
		output->logprob = logprob_of(output->base, logits[output->token]);
	}
	accept_token(generation, output);
}

/*
 * Steps
 */

static void
reserve_page(ModelUse *use, KvSequence *kv, int64 positions)
{
	EngineStatus status;

	model_use_check(use, kv_reserve(kv, positions, &status), &status);
}

static void
read_prompt(Generation *generation, Output *output)
{
	ModelUse   *use = generation->use;
	EngineStatus status;
	const float *logits;

	model_use_check(use,
					transformer_prompt(&generation->transformer, &output->kv,
									   output->history, output->n_prompt,
									   generation->probe, &logits, &status),
					&status);
	choose_token(generation, output, logits);
}

/* One row for the last token of each output that has read its prompt. */
static int
collect_rows(Generation *generation, Output *const *outputs, int n)
{
	int			n_rows = 0;

	for (int i = 0; i < n; i++)
	{
		Output	   *output = outputs[i];
		StepRow    *row;

		if (output_tokens(output) == 0)
			continue;
		reserve_page(generation->use, &output->kv, output->n_history);
		row = &generation->rows[n_rows];
		row->token = output->token;
		row->sequence = n_rows;
		row->position = output->n_history - 1;
		row->output = true;
		generation->sequences[n_rows] = &output->kv;
		generation->running[n_rows] = output;
		n_rows++;
	}
	return n_rows;
}

static void
step_running(Generation *generation, int n_rows)
{
	ModelUse   *use = generation->use;
	EngineStatus status;
	float	   *const *logits;

	model_use_check(use,
					transformer_step(&generation->transformer,
									 generation->rows, n_rows,
									 generation->sequences,
									 generation->probe, &logits, &status),
					&status);
	for (int i = 0; i < n_rows; i++)
	{
		/* sorting a large vocabulary takes milliseconds */
		CHECK_FOR_INTERRUPTS();
		choose_token(generation, generation->running[i], logits[i]);
	}
}

void
generation_advance(Generation *generation, Output *const *outputs, int n)
{
	MemoryContext old = MemoryContextSwitchTo(generation->use->context);
	int			n_rows;
	instr_time	start;
	instr_time	stepped;
	instr_time	end;

	CHECK_FOR_INTERRUPTS();
	INSTR_TIME_SET_CURRENT(start);
	n_rows = collect_rows(generation, outputs, n);
	if (n_rows > 0)
		step_running(generation, n_rows);
	INSTR_TIME_SET_CURRENT(stepped);
	INSTR_TIME_ACCUM_DIFF(generation->output_time, stepped, start);

	/* the logits of the step are no longer needed */
	for (int i = 0; i < n; i++)
		if (output_tokens(outputs[i]) == 0)
			read_prompt(generation, outputs[i]);
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_ACCUM_DIFF(generation->prompt_time, end, stepped);
	MemoryContextSwitchTo(old);
}

void
generation_run(Generation *generation, Output *output)
{
	while (output->finish == FINISH_NONE)
		generation_advance(generation, &output, 1);
}

const float *
generation_logits(ModelUse *use, const Options *options,
				  const TokenList *prompt)
{
	Experiment	experiment;
	const Probe *probe = experiment_open(&experiment, use->hyper,
										 options->edits, options->n_edits,
										 NULL);
	Transformer transformer;
	KvPool		pool = {page_get, page_put, use->context};
	KvSequence	kv;
	EngineStatus status;
	const float *logits;

	open_transformer(use, &transformer, (int64) prompt->n, 1);
	model_use_check(use,
					kv_open(&kv, &transformer.kv, &pool, (int64) prompt->n,
							&use->arena, &status),
					&status);
	model_use_check(use,
					transformer_prompt(&transformer, &kv, prompt->ids,
									   (int64) prompt->n, probe, &logits,
									   &status),
					&status);
	kv_close(&kv);
	return logits;
}
