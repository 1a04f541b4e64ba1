/*-------------------------------------------------------------------------
 *
 * prompt.c
 *	  From the text of a call to the tokens that a model reads.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "functions/prompt.h"
#include "settings.h"

static int
special_flags(const Options *options)
{
	switch (options->add_special)
	{
		case TRISTATE_FALSE:
			return 0;
		case TRISTATE_TRUE:
			return TOKENIZE_ADD_SPECIAL | TOKENIZE_NO_EOS | TOKENIZE_FORCE_BOS;
		case TRISTATE_UNSET:
			break;
	}
	return TOKENIZE_ADD_SPECIAL | TOKENIZE_NO_EOS;
}

/* A model needs a token to start from. */
static void
start_from_bos(ModelUse *use, TokenList *list)
{
	EngineStatus status;

	if (use->tokenizer.bos < 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("prompt has no tokens"),
				errdetail("Model \"%s\" has no token that begins a text.",
						  use->model->name));
	if (list->capacity == 0)
	{
		list->ids = engine_alloc(&use->arena, 1, sizeof(int32_t), &status);
		if (list->ids == NULL)
			engine_raise(&status, use->model->name);
		list->capacity = 1;
	}
	list->ids[0] = use->tokenizer.bos;
	list->n = 1;
}

TokenList
prompt_encode(ModelUse *use, const char *utf8, size_t length,
			  const Options *options)
{
	TokenList	list = {0};
	EngineStatus status;
	int			flags = special_flags(options);

	if (options->parse_special)
		flags |= TOKENIZE_PARSE_SPECIAL;
	model_use_check(use, tokenizer_encode(&use->tokenizer, utf8, length, NULL,
										  flags, &use->arena, engine_host(),
										  &list, &status), &status);
	if (list.n == 0)
		start_from_bos(use, &list);
	return list;
}

int64
prompt_room(const ModelUse *use, const Options *options)
{
	int64		reserved = Min(options->max_tokens, use->context_length / 2);

	if (options->truncate == TRUNCATE_ERROR)
		return use->context_length;
	return Max(use->context_length - reserved, 1);
}

/* Drop tokens from the start, but for BOS, or from the end. */
static void
cut(const ModelUse *use, TruncateMode mode, size_t room, TokenList *list)
{
	size_t		kept = 0;

	if (mode == TRUNCATE_START)
	{
		if (list->ids[0] == use->tokenizer.bos && room > 1)
			kept = 1;
		memmove(list->ids + kept, list->ids + list->n - (room - kept),
				(room - kept) * sizeof(int32_t));
	}
	list->n = room;
}

void
prompt_fit(const ModelUse *use, const Options *options, TokenList *list)
{
	int64		room = prompt_room(use, options);
	EngineStatus status;

	if ((int64) list->n > room)
	{
		if (options->truncate == TRUNCATE_ERROR)
			ereport(ERROR,
					errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					errmsg("prompt has %zu tokens, but only " INT64_FORMAT
						   " fit into the context of model \"%s\"",
						   list->n, room, use->model->name),
					use->context_length < use->hyper->context_length ?
					errdetail("The model's own context length is %d, but llm.max_context is %d.",
							  use->hyper->context_length,
							  setting_max_context) : 0,
					errhint("Shorten the text, or use the option \"truncate\": \"start\" or \"end\" where the function has it."));
		cut(use, options->truncate, (size_t) room, list);
	}
	prompt_check_limit(list);
	model_use_check(use,
					experiment_check(use->hyper, options->edits,
									 options->n_edits, (int64) list->n,
									 &status),
					&status);
}

void
prompt_check_limit(const TokenList *list)
{
	if (setting_max_tokens_per_call > 0 &&
		(int64) list->n >= setting_max_tokens_per_call)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("prompt has %zu tokens, but a call may read and write only %d",
					   list->n, setting_max_tokens_per_call),
				errdetail("The limit is the setting llm.max_tokens_per_call."));
}
