/*-------------------------------------------------------------------------
 *
 * inspect.c
 *	  A text in a model, with everything inside to be seen.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "functions/inspect.h"
#include "functions/prompt.h"
#include "settings.h"

/* What the model reads of a text. */
static TokenList
encode(ModelUse *use, const text *input, const Options *options)
{
	size_t		length;
	const char *utf8 = text_to_utf8(input, &length);
	TokenList	list = {0};
	EngineStatus status;

	if (use->hyper->causal)
		list = prompt_encode(use, utf8, length, options);
	else
		model_use_check(use,
						tokenizer_encode(&use->tokenizer, utf8, length, NULL,
										 TOKENIZE_ADD_SPECIAL, &use->arena,
										 engine_host(), &list, &status),
						&status);
	if (list.n == 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("text has no tokens"));
	prompt_fit(use, options, &list);
	return list;
}

Inspection *
inspect_begin_tokens(ModelUse *use, TokenList tokens, int max_rows,
					 bool with_logits, const Options *options)
{
	Inspection *inspection = MemoryContextAllocZero(use->context,
													sizeof(Inspection));
	MemoryContext old = MemoryContextSwitchTo(use->context);
	EngineStatus status;

	if (with_logits && use->image->output.offset == 0)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("model \"%s\" predicts no tokens", use->model->name),
				errdetail("It sees the whole text and has no unembedding."));
	inspection->use = use;
	inspection->caller = old;
	inspection->options = options;
	inspection->tokens = tokens;
	inspection->n = (int) Min(tokens.n, (size_t) max_rows);
	model_use_check(use,
					experiment_check(use->hyper, options->edits,
									 options->n_edits, inspection->n,
									 &status),
					&status);
	model_use_check(use,
					encoder_open_outputs(&inspection->encoder, use->image,
										 settings_kernels(),
										 use->model->activation_bits,
										 inspection->n,
										 with_logits ? INSPECT_OUTPUTS : 0,
										 &use->arena, engine_host(), &status),
					&status);
	MemoryContextSwitchTo(old);
	return inspection;
}

Inspection *
inspect_begin(const ModelRef *model, const text *input, bool with_logits,
			  const Jsonb *call)
{
	Options    *options = options_read(OPTIONS_INSPECT, call, NULL);
	ModelUse   *use = model_use_begin(model);
	MemoryContext old = MemoryContextSwitchTo(use->context);
	TokenList	tokens = encode(use, input, options);

	MemoryContextSwitchTo(old);
	return inspect_begin_tokens(use, tokens, (int) tokens.n, with_logits,
								options);
}

typedef struct Watch
{
	Inspection *inspection;
	InspectSee	see;
	void	   *arg;
} Watch;

/* The engine must not be left by longjmp: an error waits until it returns. */
static EngineCode
see_event(void *arg, const ProbeEvent *event, EngineStatus *status)
{
	Watch	   *watch = arg;
	MemoryContext context = CurrentMemoryContext;
	volatile EngineCode code = ENGINE_OK;

	PG_TRY();
	{
		MemoryContextSwitchTo(watch->inspection->caller);
		watch->see(watch->arg, event);
		MemoryContextSwitchTo(context);
	}
	PG_CATCH();
	{
		code = engine_keep_error(context, status);
	}
	PG_END_TRY();
	return code;
}

void
inspect_run(Inspection *inspection, uint32 stages, int layer, int head,
			InspectSee see, void *arg)
{
	ModelUse   *use = inspection->use;
	Watch		watch = {inspection, see, arg};
	Probe		probe = {
		stages, Max(layer, -1), Max(head, -1), see_event, &watch
	};
	EncoderText whole = {
		inspection->tokens.ids, inspection->n, inspection->n
	};
	Experiment	experiment;
	const Options *options = inspection->options;
	const Probe *edited = experiment_open(&experiment, use->hyper,
										  options->edits, options->n_edits,
										  &probe);
	EngineStatus status;

	inspection->caller = CurrentMemoryContext;
	model_use_check(use,
					encoder_run(&inspection->encoder, &whole, 1, edited,
								&status),
					&status);
	model_use_count(use, inspection->n, 0, 0);
}

float	   *const *
inspect_logits(Inspection *inspection, const float *rows, size_t stride,
			   int n, bool normed)
{
	float	   *const *logits = NULL;
	EngineStatus status;

	CHECK_FOR_INTERRUPTS();
	model_use_check(inspection->use,
					transformer_unembed(&inspection->encoder.transformer,
										rows, stride, n, normed, &logits,
										&status),
					&status);
	return logits;
}

void
inspect_end(Inspection *inspection)
{
	model_use_end(inspection->use);
}

int
inspect_number(FunctionCallInfo fcinfo, int argument, const char *what,
			   int min, int count)
{
	int			number;

	if (PG_ARGISNULL(argument))
		return INSPECT_ALL;
	number = PG_GETARG_INT32(argument);
	if (number < min || number >= count)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("%s %d does not exist", what, number),
				errdetail("There are %d to %d.", min, count - 1));
	return number;
}

text *
inspect_token(const Inspection *inspection, int position)
{
	return token_text(inspection->use, inspection->tokens.ids[position]);
}
