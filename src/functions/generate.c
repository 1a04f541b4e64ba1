/*-------------------------------------------------------------------------
 *
 * generate.c
 *	  llm.generate(): the plain continuation of a prompt.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "utils/builtins.h"

#include "functions/call_cache.h"
#include "functions/generation.h"

PG_FUNCTION_INFO_V1(llm_generate);
PG_FUNCTION_INFO_V1(llm_generate_default);

static text *
generate_text(const ModelRef *model, const text *prompt,
			  const Options *options)
{
	ModelUse   *use = model_use_begin(model);
	Generation *generation;
	Output	   *output;
	TokenList	list;
	size_t		length;
	const char *utf8 = text_to_utf8(prompt, &length);
	text	   *result;

	list = prompt_encode(use, utf8, length, options);
	prompt_fit(use, options, &list);
	generation = generation_begin(use, options, (int64) list.n, 1, -1,
								  false);
	output = generation_add(generation, &list, generation_seed(options));
	generation_run(generation, output);
	result = utf8_to_text(output->text.data, (size_t) output->text.len);
	model_use_end(use);
	return result;
}

/* The argument of the prompt is followed by that of the options. */
static Datum
generate(FunctionCallInfo fcinfo, const ModelRef *model, const char *kinds,
		 int argument)
{
	CallKey		key = call_key(fcinfo, kinds, model);
	Options    *options;
	Datum		result;

	if (call_cache_get(fcinfo, &key, &result))
		return result;
	options = options_read(OPTIONS_GENERATE, ARG_JSONB(argument + 1),
						   model->options);
	result = PointerGetDatum(generate_text(model,
										   PG_GETARG_TEXT_PP(argument),
										   options));
	if (generation_repeatable(options))
		call_cache_put(fcinfo, &key, result, false);
	return result;
}

/* llm.generate(model, prompt, options) */
Datum
llm_generate(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	return generate(fcinfo,
					model_lookup_before(ARG_CSTRING(0), MODEL_GENERATE,
										ARG_CSTRING(1)),
					"vvv", 1);
}

/* llm.generate(prompt, options) */
Datum
llm_generate_default(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	return generate(fcinfo, model_lookup(NULL, MODEL_GENERATE), "vv", 0);
}
