/*-------------------------------------------------------------------------
 *
 * generation_served.c
 *	  Generating by a worker: a request, and the tokens that come back.
 *
 * A stream is read token by token.  Otherwise the session sleeps until the
 * first token, for the time that the prompt took, and then until all are
 * there: waking it for each would cost the worker's core more than a session
 * can do with one.
 *
 * A stream that is not read for long loses its place.  Its tokens so far are
 * the history of a new request, whose tokens are those that would have come.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "functions/generation_ways.h"

/* More than there can be: wakes the session at the end only. */
#define ALL_TOKENS PG_INT32_MAX

bool
generation_served_start(Generation *generation, Output *output, bool wait)
{
	const Options *options = generation->options;
	GenerateRequest request = {
		.history = output->history,
		.n_prompt = output->n_prompt,
		.n_history = output->n_history,
		.max_history = output->max_history,
		.sampler = options->sampler,
		.n_stops = options->n_stops,
		.stops = options->stops,
		.top = generation->top,
		.stream = generation->stream,
	};

	request.sampler.seed = output->seed;
	output->n_ready = 0;
	output->call = serving_generate(generation->use->model,
									&generation->use->pin, &request,
									wait && !served_any());
	return output->call != NULL;
}

void
generation_served_stop(Output *output)
{
	ServedCall *call = output->call;

	output->call = NULL;
	output->n_ready = 0;
	served_end(call);
}

/*
 * The worker has found the same end.  Waiting for it to say so lets this
 * session be the one that gives the place back, at once.
 */
void
generation_served_finish(Output *output)
{
	const ServedToken *more;

	(void) served_tokens(output->call, 1, &more);
	generation_served_stop(output);
}

bool
generation_ready(const Output *output)
{
	return served_ready(output->call, ALL_TOKENS);
}

/* False: the stream was taken back. */
static bool
take_tokens(Generation *generation, Output *output)
{
	bool		one = generation->stream || output_tokens(output) == 0;

	output->n_ready = served_tokens(output->call, one ? 1 : ALL_TOKENS,
									&output->ready);
	if (output->n_ready < 0)
	{
		generation_served_stop(output);
		return false;
	}
	if (output->n_ready == 0)
		ereport(ERROR,
				errcode(ERRCODE_INTERNAL_ERROR),
				errmsg("worker ended an output after " INT64_FORMAT " tokens, before its end",
					   output_tokens(output)));
	return true;
}

/* The first of those that are there becomes the output's last. */
static void
next_token(Generation *generation, Output *output)
{
	const ServedToken *token = output->ready;

	output->token = token->token;
	output->logprob = token->logprob;
	output->base = token->base;
	output->n_top = token->n_top;
	if (token->n_top > 0)
		memcpy(output->top, token->top, token->n_top * sizeof(TokenLogit));
	output->ready = (const ServedToken *)
		((const char *) token + served_token_size(generation->top));
	output->n_ready--;
	if (output_tokens(output) == 0)
		output->cached_tokens = served_cached_tokens(output->call);
	generation_accept(generation, output);
}

void
generation_served_advance(Generation *generation, Output *output)
{
	bool		first = output_tokens(output) == 0;
	instr_time	start;
	instr_time	end;

	INSTR_TIME_SET_CURRENT(start);
	while (output->n_ready == 0 && !take_tokens(generation, output))
	{
		generation_start(generation, output, true);
		if (output->call == NULL)
		{
			generation_local_advance(generation, &output, 1);
			return;
		}
	}
	next_token(generation, output);
	INSTR_TIME_SET_CURRENT(end);
	if (first)
		INSTR_TIME_ACCUM_DIFF(generation->prompt_time, end, start);
	else
		INSTR_TIME_ACCUM_DIFF(generation->output_time, end, start);
}
