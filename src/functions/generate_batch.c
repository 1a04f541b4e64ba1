/*-------------------------------------------------------------------------
 *
 * generate_batch.c
 *	  llm.generate_batch(): the continuations of many prompts, computed
 *	  together.
 *
 * Up to GENERATION_BATCH sequences advance in one step, which reads the
 * weights once for all of them; when one ends, the next prompt takes its
 * place.  What each gives is what llm.generate() gives for it alone.
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

typedef struct Batch
{
	int			n;
	Datum	   *values;
	bool	   *nulls;
	TokenList  *prompts;
	text	  **results;		/* NULL: the prompt is NULL */
} Batch;

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

static void
batch_run(ModelUse *use, const Options *options, int64 longest, Batch *batch)
{
	int			width = Min(batch->n, GENERATION_BATCH);
	Generation *generation = generation_begin(use, options, longest, width,
											  false);
	Output	  **running = palloc0_array(Output *, width);
	int		   *numbers = palloc0_array(int, width);
	int			n_running = 0;
	int			next = 0;

	for (;;)
	{
		int			left = 0;

		for (; next < batch->n && n_running < width; next++)
		{
			if (batch->nulls[next])
				continue;
			numbers[n_running] = next;
			running[n_running++] = generation_add(generation,
												  &batch->prompts[next],
												  generation_seed(options));
		}
		if (n_running == 0)
			break;
		generation_advance(generation, running, n_running);
		for (int i = 0; i < n_running; i++)
		{
			Output	   *output = running[i];

			if (output->finish != FINISH_NONE)
			{
				batch->results[numbers[i]] =
					utf8_to_text(output->text.data,
								 (size_t) output->text.len);
				continue;
			}
			running[left] = output;
			numbers[left++] = numbers[i];
		}
		n_running = left;
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
