/*-------------------------------------------------------------------------
 *
 * generate_batch.c
 *	  llm.generate_batch(): the continuations of many prompts, computed
 *	  together.
 *
 * Up to BATCH_IN_FLIGHT prompts are with the workers at a time, or else up to
 * GENERATION_BATCH sequences advance here in one step, which reads the weights
 * once for all of them; when one ends, the next prompt takes its place.  What
 * each gives is what llm.generate() gives for it alone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "functions/generation.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(llm_generate_batch);

/* Prompts of one call that may be with the workers. */
#define BATCH_IN_FLIGHT 64

typedef struct Batch
{
	int			n;
	Datum	   *values;
	bool	   *nulls;
	TokenList  *prompts;
	text	  **results;		/* NULL: the prompt is NULL */
	int			next;			/* prompt to come */
} Batch;

/* The outputs of a batch that run. */
typedef struct BatchRun
{
	Generation *generation;
	Batch	   *batch;
	Output	   *waiting;		/* for a place, or NULL */
	int			n;
	int			numbers[BATCH_IN_FLIGHT];	/* of their prompts */
	Output	   *outputs[BATCH_IN_FLIGHT];
} BatchRun;

static Batch
batch_read(ArrayType *array)
{
	Batch		batch = {0};

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("prompts must be a one-dimensional array"));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &batch.values,
					  &batch.nulls, &batch.n);
	batch.prompts = palloc0_array(TokenList, batch.n + 1);
	batch.results = palloc0_array(text *, batch.n + 1);
	return batch;
}

/* All of a call counts against llm.max_tokens_per_call. */
static void
check_total(int64 total)
{
	if (setting_max_tokens_per_call > 0 &&
		total > setting_max_tokens_per_call)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("batch may read and write " INT64_FORMAT " tokens, but a call only %d",
					   total, setting_max_tokens_per_call),
				errdetail("The limit is the setting llm.max_tokens_per_call."),
				errhint("Use fewer prompts, or a smaller \"max_tokens\"."));
}

/* Tokens of all prompts; returns those of the longest. */
static int64
batch_encode(ModelUse *use, const Options *options, Batch *batch)
{
	int64		longest = 1;
	int64		total = 0;

	for (int i = 0; i < batch->n; i++)
	{
		size_t		length;
		const char *utf8;

		if (batch->nulls[i])
			continue;
		utf8 = text_to_utf8(DatumGetTextPP(batch->values[i]), &length);
		batch->prompts[i] = prompt_encode(use, utf8, length, options);
		prompt_fit(use, options, &batch->prompts[i]);
		longest = Max(longest, (int64) batch->prompts[i].n);
		total += (int64) batch->prompts[i].n + options->max_tokens;
	}
	check_total(total);
	return longest;
}

/* The output of the next prompt, if there is one. */
static Output *
next_output(BatchRun *run)
{
	Batch	   *batch = run->batch;
	Generation *generation = run->generation;

	while (batch->next < batch->n && batch->nulls[batch->next])
		batch->next++;
	if (run->waiting == NULL && batch->next < batch->n)
		run->waiting = generation_add(generation,
									  &batch->prompts[batch->next],
									  generation_seed(generation->options));
	return run->waiting;
}

/*
 * As many as may run at a time, and as there is room for with the workers.
 * Only the first stands in line: the others are not worth holding places for.
 */
static void
fill(BatchRun *run)
{
	Output	   *output;

	while (run->n < (run->generation->served ? BATCH_IN_FLIGHT :
					 GENERATION_BATCH) &&
		   (output = next_output(run)) != NULL &&
		   generation_start(run->generation, output, run->n == 0))
	{
		run->outputs[run->n] = output;
		run->numbers[run->n++] = run->batch->next++;
		run->waiting = NULL;
	}
}

/* Until at least one has come further. */
static void
advance(BatchRun *run)
{
	bool		any = false;

	if (!run->generation->served)
	{
		generation_advance(run->generation, run->outputs, run->n);
		return;
	}
	for (int i = 0; i < run->n; i++)
		if (generation_ready(run->outputs[i]))
		{
			generation_run(run->generation, run->outputs[i]);
			any = true;
		}
	if (!any)
		serving_wait();
}

static void
take_results(BatchRun *run)
{
	int			left = 0;

	for (int i = 0; i < run->n; i++)
	{
		Output	   *output = run->outputs[i];

		if (output->finish != FINISH_NONE)
		{
			run->batch->results[run->numbers[i]] =
				utf8_to_text(output->text.data, (size_t) output->text.len);
			continue;
		}
		run->outputs[left] = output;
		run->numbers[left++] = run->numbers[i];
	}
	run->n = left;
}

static void
batch_run(ModelUse *use, const Options *options, int64 longest, Batch *batch)
{
	BatchRun	run = {
		.generation = generation_begin(use, options, longest,
									   Min(batch->n, GENERATION_BATCH), -1,
									   false),
		.batch = batch,
	};

	for (fill(&run); run.n > 0; fill(&run))
	{
		advance(&run);
		take_results(&run);
	}
}

/* llm.generate_batch(model, prompts, options) */
Datum
llm_generate_batch(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ModelRef   *model;
	Options    *options;
	Batch		batch;
	ModelUse   *use;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	model = model_lookup(ARG_CSTRING(0), MODEL_GENERATE);
	options = options_read(OPTIONS_GENERATE, ARG_JSONB(2), model->options);
	batch = batch_read(PG_GETARG_ARRAYTYPE_P(1));
	if (batch.n == 0)
		return (Datum) 0;

	use = model_use_begin(model);
	batch_run(use, options, batch_encode(use, options, &batch), &batch);
	model_use_end(use);
	for (int i = 0; i < batch.n; i++)
	{
		Datum		values[2] = {Int32GetDatum(i),
		PointerGetDatum(batch.results[i])};
		bool		nulls[2] = {false, batch.results[i] == NULL};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}
