/*-------------------------------------------------------------------------
 *
 * generation_local.c
 *	  Generating in the session itself: prompts, steps, samplers.
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

#include "functions/generation_ways.h"
#include "settings.h"

typedef struct LocalGeneration
{
	Transformer transformer;
	Experiment	experiment;
	const Probe *probe;			/* of the experiment, or NULL */
	KvPool		pool;
	Sampler		sampler;		/* that those of outputs are copies of */
	int32_t    *end_tokens;		/* with ignore_eos */
	int			n_end_tokens;
	StepRow    *rows;			/* [max_outputs], and their sequences */
	KvSequence **sequences;
	Output	  **running;
} LocalGeneration;

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
list_end_tokens(LocalGeneration *local, const Tokenizer *tokenizer)
{
	int			n = 0;

	for (int32 i = 0; i < tokenizer->n_tokens; i++)
		n += tokenizer_is_end(tokenizer, i);
	local->end_tokens = palloc_array(int32_t, n + 1);
	for (int32 i = 0; i < tokenizer->n_tokens; i++)
		if (tokenizer_is_end(tokenizer, i))
			local->end_tokens[local->n_end_tokens++] = i;
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

void
generation_local_open(Generation *generation)
{
	ModelUse   *use = generation->use;
	const Options *options = generation->options;
	int			n = generation->max_outputs;
	LocalGeneration *local;
	EngineStatus status;

	if (generation->local != NULL)
		return;
	local = palloc0_object(LocalGeneration);
	local->probe = experiment_open(&local->experiment, use->hyper,
								   options->edits, options->n_edits, NULL);
	local->pool.get = page_get;
	local->pool.put = page_put;
	local->pool.arg = use->context;
	local->rows = palloc0_array(StepRow, n);
	local->sequences = palloc0_array(KvSequence *, n);
	local->running = palloc0_array(Output *, n);
	if (options->sampler.ignore_end)
		list_end_tokens(local, &use->tokenizer);
	model_use_check(use,
					sampler_open(&local->sampler, &options->sampler,
								 use->hyper->vocabulary,
								 use->tokenizer.n_tokens, local->end_tokens,
								 local->n_end_tokens, &use->arena, &status),
					&status);
	open_transformer(use, &local->transformer, generation->longest_prompt, n);
	generation->local = local;
}

void
generation_local_start(Generation *generation, Output *output)
{
	ModelUse   *use = generation->use;
	EngineStatus status;

	generation_local_open(generation);

	/* all share its scratch, which is megabytes: one picks at a time */
	output->sampler = generation->local->sampler;
	output->sampler.options.seed = output->seed;
	model_use_check(use,
					kv_open(&output->kv, &generation->local->transformer.kv,
							&generation->local->pool,
							output->max_history - 1, &use->arena, &status),
					&status);
}

void
generation_local_stop(Output *output)
{
	kv_close(&output->kv);
}

static void
choose_token(Generation *generation, Output *output, const float *logits)
{
	ModelUse   *use = generation->use;
	int			top = generation->top;
	EngineStatus status;

	model_use_check(use,
					sampler_pick(&output->sampler,
								 generation->local->transformer.kernels,
								 logits, output->history, output->n_history,
								 output->n_prompt, output_tokens(output),
								 &output->token, &status),
					&status);
	if (top >= 0)
	{
		output->base = logprob_base(logits, use->tokenizer.n_tokens);
		output->logprob = logprob_of(output->base, logits[output->token]);
	}
	if (top > 0)
		top_tokens(logits, use->tokenizer.n_tokens, top, output->top);
	output->n_top = Max(top, 0);
	generation_accept(generation, output);
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

/* The prompt, and what is generated already by a worker. */
static void
read_history(Generation *generation, Output *output)
{
	ModelUse   *use = generation->use;
	LocalGeneration *local = generation->local;
	EngineStatus status;
	const float *logits;

	model_use_check(use,
					transformer_prompt(&local->transformer, &output->kv,
									   output->history, output->n_history,
									   local->probe, &logits, &status),
					&status);
	output->is_read = true;
	choose_token(generation, output, logits);
}

/* One row for the last token of each output that was read. */
static int
collect_rows(Generation *generation, Output *const *outputs, int n)
{
	LocalGeneration *local = generation->local;
	int			n_rows = 0;

	for (int i = 0; i < n; i++)
	{
		Output	   *output = outputs[i];
		StepRow    *row;

		if (!output->is_read)
			continue;
		reserve_page(generation->use, &output->kv, output->n_history);
		row = &local->rows[n_rows];
		row->token = output->token;
		row->sequence = n_rows;
		row->position = output->n_history - 1;
		row->output = true;
		local->sequences[n_rows] = &output->kv;
		local->running[n_rows] = output;
		n_rows++;
	}
	return n_rows;
}

static void
step_running(Generation *generation, int n_rows)
{
	ModelUse   *use = generation->use;
	LocalGeneration *local = generation->local;
	EngineStatus status;
	float	   *const *logits;

	model_use_check(use,
					transformer_step(&local->transformer, local->rows, n_rows,
									 local->sequences, local->probe, &logits,
									 &status),
					&status);
	for (int i = 0; i < n_rows; i++)
	{
		/* sorting a large vocabulary takes milliseconds */
		CHECK_FOR_INTERRUPTS();
		choose_token(generation, local->running[i], logits[i]);
	}
}

void
generation_local_advance(Generation *generation, Output *const *outputs,
						 int n)
{
	int			n_rows;
	instr_time	start;
	instr_time	stepped;
	instr_time	end;

	INSTR_TIME_SET_CURRENT(start);
	n_rows = collect_rows(generation, outputs, n);
	if (n_rows > 0)
		step_running(generation, n_rows);
	INSTR_TIME_SET_CURRENT(stepped);
	INSTR_TIME_ACCUM_DIFF(generation->output_time, stepped, start);

	/* the logits of the step are no longer needed */
	for (int i = 0; i < n; i++)
		if (!outputs[i]->is_read)
			read_history(generation, outputs[i]);
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_ACCUM_DIFF(generation->prompt_time, end, stepped);
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
	model_use_count(use, (int64) prompt->n, 0, 0);
	return logits;
}
