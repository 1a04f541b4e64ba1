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
 * A row is held back until the text of its token is certain: the beginning of
 * a stop text may still be taken away.  A character that is split over tokens
 * stands in the row of the token that completes it, and the last row takes
 * what is left at the end.
 *
 * The place at a worker and the model are released at the last row, at a
 * rescan and at the end of the executor by a callback of the expression
 * context; after an error, by the resource owner and the memory context.
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
	size_t		end;			/* of its text, in the text as decoded so far */
} StreamRow;

typedef struct StreamState
{
	ModelUse   *use;
	Generation *generation;
	Output	   *output;
	StreamRow  *rows;			/* those not returned yet: first .. n - 1 */
	int			first;
	int			n;
	int			room;
	size_t		returned;		/* bytes of text in rows before */
} StreamState;

static void
stream_end(Datum arg)
{
	StreamState *state = (StreamState *) DatumGetPointer(arg);

	if (state->use == NULL)
		return;
	generation_stop(state->output);
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
										 1, 0, true);
	state->output = generation_add(state->generation, &list,
								   generation_seed(options));
	state->room = 16;
	state->rows = palloc_array(StreamRow, state->room);
	return state;
}

/* Send the rows before to the client: the next one takes a while. */
static void
send_rows(void)
{
	if (whereToSendOutput == DestRemote && !IsParallelWorker())
		pq_flush();
}

/* A row for the last token, whose text may not be certain. */
static void
queue_row(StreamState *state)
{
	const Output *output = state->output;
	StreamRow  *row;

	if (state->first == state->n)
		state->first = state->n = 0;
	if (state->n == state->room)
	{
		state->room *= 2;
		state->rows = repalloc_array(state->rows, StreamRow, state->room);
	}
	row = &state->rows[state->n++];
	row->position = output_tokens(output) - 1;
	row->token = output->token;
	row->logprob = output->logprob;
	row->end = (size_t) output->text.len + output->stream.n_pending;
}

/* Is the text of the first row certain? */
static bool
row_is_ready(const StreamState *state)
{
	const Output *output = state->output;
	bool		last = state->first + 1 == state->n;

	if (state->first == state->n)
		return false;
	if (output->finish != FINISH_NONE)
		return true;
	return state->rows[state->first].end <= (size_t) output->text.len &&
		!(last && output->stream.n_partial > 0);
}

/* Until the first row can be returned; false when there are no more. */
static bool
make_row(StreamState *state)
{
	while (!row_is_ready(state))
	{
		if (state->output->finish != FINISH_NONE)
			return false;
		send_rows();
		generation_advance(state->generation, &state->output, 1);
		if (state->output->in_text)
			queue_row(state);
	}
	return true;
}

/* Take the first row: at the end the last one has all that is left. */
static Datum
take_row(FuncCallContext *funcctx, StreamState *state)
{
	const Output *output = state->output;
	const StreamRow *row = &state->rows[state->first++];
	size_t		begin = state->returned;
	size_t		end = Min(row->end, (size_t) output->text.len);
	Datum		values[4];
	bool		nulls[4] = {false};

	if (output->finish != FINISH_NONE && state->first == state->n)
		end = (size_t) output->text.len;
	state->returned = end;
	values[0] = Int32GetDatum((int32) row->position);
	values[1] = Int32GetDatum(row->token);
	values[2] = PointerGetDatum(utf8_to_text(output->text.data + begin,
											 end - begin));
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

	if (SRF_IS_FIRSTCALL())
		first_call(fcinfo);
	funcctx = SRF_PERCALL_SETUP();
	state = funcctx->user_fctx;
	if (state != NULL && make_row(state))
		SRF_RETURN_NEXT(funcctx, take_row(funcctx, state));
	if (state != NULL)
	{
		UnregisterExprContextCallback(rsinfo->econtext, stream_end,
									  PointerGetDatum(state));
		stream_end(PointerGetDatum(state));
	}
	SRF_RETURN_DONE(funcctx);
}
