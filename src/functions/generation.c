/*-------------------------------------------------------------------------
 *
 * generation.c
 *	  Generating text: limits, tokens to text, ends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "functions/generation.h"
#include "functions/generation_ways.h"
#include "settings.h"

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

Generation *
generation_begin(ModelUse *use, const Options *options, int64 longest_prompt,
				 int max_outputs, int top, bool stream)
{
	MemoryContext old = MemoryContextSwitchTo(use->context);
	Generation *generation = palloc0_object(Generation);

	check_options(use, options);
	generation->use = use;
	generation->options = options;
	generation->longest_prompt = longest_prompt;
	generation->max_outputs = max_outputs;
	generation->top = Min(top, use->tokenizer.n_tokens);
	generation->stream = stream;
	generation->served = options->n_edits == 0 && serving_wanted(&use->pin);
	if (!generation->served)
		generation_local_open(generation);
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

	output->seed = seed;
	output->n_prompt = output->n_history = (int64) prompt->n;
	output->max_history = output->n_prompt +
		output_limit(use, options, output->n_prompt);
	output->history = MemoryContextAllocHuge(use->context,
											 output->max_history *
											 sizeof(int32_t));
	memcpy(output->history, prompt->ids, prompt->n * sizeof(int32_t));
	if (generation->top > 0)
		output->top = palloc_array(TokenLogit, generation->top);
	initStringInfo(&output->text);
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

void
generation_stop(Output *output)
{
	if (!output->started)
		return;
	if (output->call != NULL)
		generation_served_stop(output);
	else
		generation_local_stop(output);
}

static void
finish(Generation *generation, Output *output, FinishReason reason)
{
	EngineStatus status;

	model_use_check(generation->use,
					text_stream_finish(&output->stream, &status), &status);
	append_text(output);
	output->finish = reason;
	if (output->call != NULL)
		generation_served_finish(output);
	else
		generation_local_stop(output);
}

void
generation_accept(Generation *generation, Output *output)
{
	ModelUse   *use = generation->use;
	EngineStatus status;

	if (output_tokens(output) == 0)
		model_use_count(use, output->n_prompt, output->cached_tokens, 0);
	model_use_count(use, 0, 0, 1);
	output->history[output->n_history++] = output->token;
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

/*
 * Running
 */

bool
generation_start(Generation *generation, Output *output, bool wait)
{
	MemoryContext old = MemoryContextSwitchTo(generation->use->context);

	if (generation->served)
		output->started = generation_served_start(generation, output, wait);
	if (!output->started && (wait || !generation->served))
	{
		generation->served = false;
		generation_local_start(generation, output);
		output->started = true;
	}
	MemoryContextSwitchTo(old);
	return output->started;
}

void
generation_advance(Generation *generation, Output *const *outputs, int n)
{
	MemoryContext old = MemoryContextSwitchTo(generation->use->context);

	CHECK_FOR_INTERRUPTS();
	for (int i = 0; i < n; i++)
		if (!outputs[i]->started)
			generation_start(generation, outputs[i], true);
	if (outputs[0]->call == NULL)
		generation_local_advance(generation, outputs, n);
	else
		for (int i = 0; i < n; i++)
			generation_served_advance(generation, outputs[i]);
	MemoryContextSwitchTo(old);
}

void
generation_run(Generation *generation, Output *output)
{
	while (output->finish == FINISH_NONE)
		generation_advance(generation, &output, 1);
}
