/*-------------------------------------------------------------------------
 *
 * completion.c
 *	  llm.completion(): the continuation of a prompt, and how it came about,
 *	  as jsonb in the shape that clients of chat services know.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "common/shortest_dec.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"

#include "functions/call_cache.h"
#include "functions/generation.h"

PG_FUNCTION_INFO_V1(llm_completion);
PG_FUNCTION_INFO_V1(llm_completion_default);

static void
append_float(StringInfo json, double value)
{
	char		buf[DOUBLE_SHORTEST_DECIMAL_LEN];

	double_to_shortest_decimal_buf(value, buf);
	appendStringInfoString(json, buf);
}

/* "token": ..., "token_id": ..., "logprob": ... */
static void
append_token(StringInfo json, const ModelUse *use, int32 token,
			 double logprob)
{
	appendStringInfoString(json, "\"token\": ");
	escape_json(json, text_to_cstring(token_text(use, token)));
	appendStringInfo(json, ", \"token_id\": %d, \"logprob\": ", token);
	append_float(json, logprob);
}

static void
append_logprobs(StringInfo json, const ModelUse *use, const Output *output)
{
	appendStringInfo(json, "%s{", json->len > 0 ? ", " : "");
	append_token(json, use, output->token, output->logprob);
	appendStringInfoString(json, ", \"top_logprobs\": [");
	for (int i = 0; i < output->n_top; i++)
	{
		const TokenLogit *likely = &output->top[i];

		appendStringInfoString(json, i > 0 ? ", {" : "{");
		append_token(json, use, likely->token,
					 logprob_of(output->base, likely->logit));
		appendStringInfoChar(json, '}');
	}
	appendStringInfoString(json, "]}");
}

/* Run to the end; what was asked for of each token of the text. */
static char *
run(Generation *generation, Output *output)
{
	StringInfoData logprobs;

	initStringInfo(&logprobs);
	while (output->finish == FINISH_NONE)
	{
		generation_advance(generation, &output, 1);
		if (generation->top >= 0 && output->in_text)
			append_logprobs(&logprobs, generation->use, output);
	}
	return logprobs.data;
}

static void
append_usage(StringInfo json, const Output *output)
{
	appendStringInfo(json, ", \"usage\": {\"prompt_tokens\": " INT64_FORMAT
					 ", \"completion_tokens\": " INT64_FORMAT
					 ", \"cached_tokens\": " INT64_FORMAT "}",
					 output->n_prompt, output_tokens(output),
					 output->cached_tokens);
}

static void
append_timings(StringInfo json, instr_time tokenize_time,
			   const Generation *generation)
{
	appendStringInfo(json, ", \"timings\": {\"tokenize_ms\": %.3f, "
					 "\"prompt_ms\": %.3f, \"generate_ms\": %.3f}",
					 INSTR_TIME_GET_MILLISEC(tokenize_time),
					 INSTR_TIME_GET_MILLISEC(generation->prompt_time),
					 INSTR_TIME_GET_MILLISEC(generation->output_time));
}

static char *
completion_json(const ModelRef *model, const text *prompt,
				const Options *options)
{
	ModelUse   *use;
	Generation *generation;
	Output	   *output;
	TokenList	list;
	StringInfoData json;
	instr_time	start;
	instr_time	tokenize_time;
	uint64		seed = generation_seed(options);
	size_t		length;
	const char *utf8 = text_to_utf8(prompt, &length);
	char	   *logprobs;
	text	   *result;

	use = model_use_begin(model);
	INSTR_TIME_SET_CURRENT(start);
	list = prompt_encode(use, utf8, length, options);
	prompt_fit(use, options, &list);
	INSTR_TIME_SET_CURRENT(tokenize_time);
	INSTR_TIME_SUBTRACT(tokenize_time, start);

	generation = generation_begin(use, options, (int64) list.n, 1,
								  options->logprobs, false);
	output = generation_add(generation, &list, seed);
	logprobs = run(generation, output);
	result = utf8_to_text(output->text.data, (size_t) output->text.len);

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"text\": ");
	escape_json(&json, text_to_cstring(result));
	appendStringInfo(&json, ", \"finish_reason\": \"%s\"",
					 output->finish == FINISH_STOP ? "stop" : "length");
	append_usage(&json, output);
	if (options->logprobs >= 0)
		appendStringInfo(&json, ", \"logprobs\": {\"content\": [%s]}",
						 logprobs);
	if (options->sampler.temperature > 0.0)
		appendStringInfo(&json, ", \"seed\": " UINT64_FORMAT, seed);
	append_timings(&json, tokenize_time, generation);
	appendStringInfoChar(&json, '}');
	model_use_end(use);
	return json.data;
}

static Datum
completion(FunctionCallInfo fcinfo, const ModelRef *model, const char *kinds,
		   int argument)
{
	CallKey		key = call_key(fcinfo, kinds, model);
	Options    *options;
	char	   *json;
	Datum		result;

	if (call_cache_get(fcinfo, &key, &result))
		return result;
	options = options_read(OPTIONS_COMPLETION, ARG_JSONB(argument + 1),
						   model->options);
	json = completion_json(model, PG_GETARG_TEXT_PP(argument), options);
	result = DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
	if (generation_repeatable(options))
		call_cache_put(fcinfo, &key, result, false);
	return result;
}

/* llm.completion(model, prompt, options) */
Datum
llm_completion(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	return completion(fcinfo,
					  model_lookup_before(ARG_CSTRING(0), MODEL_GENERATE,
										  ARG_CSTRING(1)),
					  "vvv", 1);
}

/* llm.completion(prompt, options) */
Datum
llm_completion_default(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	return completion(fcinfo, model_lookup(NULL, MODEL_GENERATE), "vv", 0);
}
