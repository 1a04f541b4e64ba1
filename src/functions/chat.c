/*-------------------------------------------------------------------------
 *
 * chat.c
 *	  llm.ask(), llm.chat() and llm.apply_chat_template().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "utils/builtins.h"

#include "functions/call_cache.h"
#include "functions/generation.h"

PG_FUNCTION_INFO_V1(llm_ask);
PG_FUNCTION_INFO_V1(llm_ask_default);
PG_FUNCTION_INFO_V1(llm_chat);
PG_FUNCTION_INFO_V1(llm_chat_default);
PG_FUNCTION_INFO_V1(llm_apply_chat_template);

static text *
answer(const ModelRef *model, const Messages *messages,
	   const Options *options)
{
	ModelUse   *use = model_use_begin(model);
	TokenList	list = chat_encode(use, messages, options);
	Generation *generation = generation_begin(use, options, (int64) list.n, 1,
											  -1, false);
	Output	   *output = generation_add(generation, &list,
										generation_seed(options));
	text	   *result;

	generation_run(generation, output);
	result = utf8_to_text(output->text.data, (size_t) output->text.len);
	model_use_end(use);
	return result;
}

/* The argument of the question or messages is followed by the options. */
static Datum
reply(FunctionCallInfo fcinfo, OptionScope scope, const ModelRef *model,
	  const char *kinds, int argument)
{
	CallKey		key = call_key(fcinfo, kinds, model);
	Options    *options;
	Messages	messages;
	Datum		result;

	if (call_cache_get(fcinfo, &key, &result))
		return result;
	options = options_read(scope, ARG_JSONB(argument + 1), model->options);
	if (scope == OPTIONS_ASK)
	{
		size_t		length;
		const char *utf8 = text_to_utf8(PG_GETARG_TEXT_PP(argument), &length);

		messages = messages_ask(utf8, length, options);
	}
	else
		messages = messages_read(PG_GETARG_JSONB_P(argument));
	result = PointerGetDatum(answer(model, &messages, options));
	if (generation_repeatable(options))
		call_cache_put(fcinfo, &key, result, false);
	return result;
}

/* llm.ask(model, question, options) */
Datum
llm_ask(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	return reply(fcinfo, OPTIONS_ASK,
				 model_lookup_before(ARG_CSTRING(0), MODEL_GENERATE,
									 ARG_CSTRING(1)),
				 "vvv", 1);
}

/* llm.ask(question, options) */
Datum
llm_ask_default(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	return reply(fcinfo, OPTIONS_ASK, model_lookup(NULL, MODEL_GENERATE),
				 "vv", 0);
}

/* llm.chat(model, messages, options) */
Datum
llm_chat(PG_FUNCTION_ARGS)
{
	const char *next;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();

	/* an object in place of the messages may be meant as options */
	next = JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(1)) ? "{" : NULL;
	return reply(fcinfo, OPTIONS_CHAT,
				 model_lookup_before(ARG_CSTRING(0), MODEL_GENERATE, next),
				 "vvv", 1);
}

/* llm.chat(messages, options) */
Datum
llm_chat_default(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	return reply(fcinfo, OPTIONS_CHAT, model_lookup(NULL, MODEL_GENERATE),
				 "vv", 0);
}

/* llm.apply_chat_template(model, messages, options) */
Datum
llm_apply_chat_template(PG_FUNCTION_ARGS)
{
	ModelRef   *model;
	Options    *options;
	Messages	messages;
	ModelUse   *use;
	RenderedChat chat;
	text	   *result;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	model = model_lookup(ARG_CSTRING(0), MODEL_GENERATE);
	options = options_read(OPTIONS_TEMPLATE, ARG_JSONB(2), model->options);
	messages = messages_read(PG_GETARG_JSONB_P(1));
	use = model_use_tokenizer(model);
	chat = chat_text(use, &messages, options);
	result = utf8_to_text(chat.text, chat.length);
	model_use_end(use);
	PG_RETURN_TEXT_P(result);
}
