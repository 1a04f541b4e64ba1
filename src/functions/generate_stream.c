/*-------------------------------------------------------------------------
 *
 * generate_stream.c
 *	  llm.generate_stream(): the continuation of a prompt, token by token.
 *
 * llm._stream() computes one token per call and sends what was returned
 * before to the client first, so that rows arrive as they are made.  That
 * only works in a select list: a FunctionScan collects all rows.  The SQL
 * function llm.generate_stream() is inlined to a sub-select that has it there.
 *
 * A row is held back while the text of its token is not certain (part of a
 * character, possible beginning of a stop text), at most until there is
 * another token: the text goes to the row that completes it, and at the end
 * there is always a row to take the rest.
 *
 * The model is released at the last row, at a rescan and at the end of the
 * executor by a callback of the expression context; after an error, by the
 * resource owner and the memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/htup_details.h"
#include "access/parallel.h"
#include "executor/executor.h"
#include "libpq/libpq.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"

#include "functions/generation.h"

PG_FUNCTION_INFO_V1(llm_stream);

typedef struct StreamRow
{
	int64		position;
	int32		token;
	double		logprob;
	size_t		begin;			/* of its text, in output->text */
} StreamRow;

typedef struct StreamState
{
	ModelUse   *use;
	Generation *generation;
	Output	   *output;
	bool		queued;			/* row is not returned yet */
	StreamRow	row;
} StreamState;

static void
stream_end(Datum arg)
{
	StreamState *state = (StreamState *) DatumGetPointer(arg);

	if (state->use != NULL)
		model_use_end(state->use);
	state->use = NULL;
}

static StreamState *
stream_begin(FunctionCallInfo fcinfo)
{
	StreamState *state = palloc0_object(StreamState);
	ModelRef   *model = model_lookup_before(ARG_CSTRING(0), MODEL_GENERATE,
											ARG_CSTRING(1));
	Options    *options = options_read(OPTIONS_GENERATE, ARG_JSONB(2),
									   model->options);
	size_t		length;
	const char *utf8 = text_to_utf8(PG_GETARG_TEXT_PP(1), &length);
	TokenList	list;

	state->use = model_use_begin(model);
	list = prompt_encode(state->use, utf8, length, options);
	prompt_fit(state->use, options, &list);
	state->generation = generation_begin(state->use, options, (int64) list.n,
										 1, true);
	state->output = generation_add(state->generation, &list,
								   generation_seed(options));
	return state;
}

/* Does text of the last token wait to become certain? */
static bool
holds_text(const Output *output)
{
	return output->finish == FINISH_NONE &&
		(output->stream.n_pending > 0 || output->stream.n_partial > 0);
}

/* Send the rows before to the client: the next one takes a while. */
static void
send_rows(void)
{
	if (whereToSendOutput == DestRemote && !IsParallelWorker())
		pq_flush();
}

/*
 * The next row that is complete, and where its text ends; false when there is
 * none.
 */
static bool
next_row(StreamState *state, StreamRow *row, size_t *end)
{
	Output	   *output = state->output;

	for (;;)
	{
		StreamRow	fresh;

		if (state->queued && !holds_text(output))
		{
			*row = state->row;
			*end = (size_t) output->text.len;
			state->queued = false;
			return true;
		}
		if (output->finish != FINISH_NONE)
			return false;
		send_rows();
		generation_advance(state->generation, &output, 1);
		if (!output->in_text)
			continue;
		fresh = (StreamRow)
		{
			output_tokens(output) - 1, output->token, output->logprob,
				output->piece
		};
		*row = state->row;
		*end = output->piece;
		state->row = fresh;
		if (state->queued)
			return true;
		state->queued = true;
	}
}

static Datum
form_row(FuncCallContext *funcctx, const StreamState *state,
		 const StreamRow *row, size_t end)
{
	Datum		values[4];
	bool		nulls[4] = {false};

	values[0] = Int32GetDatum((int32) row->position);
	values[1] = Int32GetDatum(row->token);
	values[2] = PointerGetDatum(utf8_to_text(state->output->text.data +
											 row->begin, end - row->begin));
	values[3] = Float8GetDatum(row->logprob);
	return HeapTupleGetDatum(heap_form_tuple(funcctx->tuple_desc, values,
											 nulls));
}

static void
first_call(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FuncCallContext *funcctx = SRF_FIRSTCALL_INIT();
	MemoryContext old = MemoryContextSwitchTo(funcctx->multi_call_memory_ctx);

	if (get_call_result_type(fcinfo, NULL, &funcctx->tuple_desc) !=
		TYPEFUNC_COMPOSITE)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("function returning record called in context that cannot accept type record"));
	funcctx->tuple_desc = BlessTupleDesc(funcctx->tuple_desc);
	if (!PG_ARGISNULL(0) && !PG_ARGISNULL(1))
	{
		funcctx->user_fctx = stream_begin(fcinfo);
		RegisterExprContextCallback(rsinfo->econtext, stream_end,
									PointerGetDatum(funcctx->user_fctx));
	}
	MemoryContextSwitchTo(old);
}

/* llm._stream(model, prompt, options) */
Datum
llm_stream(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FuncCallContext *funcctx;
	StreamState *state;
	StreamRow	row;
	size_t		end;

	if (SRF_IS_FIRSTCALL())
		first_call(fcinfo);
	funcctx = SRF_PERCALL_SETUP();
	state = funcctx->user_fctx;
	if (state != NULL && next_row(state, &row, &end))
		SRF_RETURN_NEXT(funcctx, form_row(funcctx, state, &row, end));
	if (state != NULL)
	{
		UnregisterExprContextCallback(rsinfo->econtext, stream_end,
									  PointerGetDatum(state));
		stream_end(PointerGetDatum(state));
	}
	SRF_RETURN_DONE(funcctx);
}
