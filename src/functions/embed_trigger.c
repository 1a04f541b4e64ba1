/*-------------------------------------------------------------------------
 *
 * embed_trigger.c
 *	  llm.embed_trigger(): the vector of a row, before the row is written.
 *
 * A vector is made when there is none, and when a text changed.  On INSERT no
 * text has changed, so a vector that the row brings with it is kept: rows that
 * are copied from elsewhere, or that an UPDATE moves to another partition
 * (which is a DELETE and an INSERT for their triggers), are not embedded
 * again.  On UPDATE a changed text wins over a vector that is set with it.
 *
 * The columns are looked up once in a statement.  The last text and vector are
 * kept as long, so that INSERT ... ON CONFLICT DO UPDATE, which fires the
 * trigger for the row that is proposed and for the one that is written, embeds
 * a text once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/htup_details.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "functions/call_cache.h"
#include "functions/embed_columns.h"
#include "functions/embedding.h"

PG_FUNCTION_INFO_V1(llm_embed_trigger);

/* What fn_extra has: a trigger of a table, in one statement. */
typedef struct TriggerState
{
	EmbedColumns *columns;
	FmgrInfo	last;			/* its fn_extra: the last text and vector */
} TriggerState;

static void
check_call(FunctionCallInfo fcinfo)
{
	TriggerEvent event;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("llm.embed_trigger can only be called as a trigger"));
	event = ((TriggerData *) fcinfo->context)->tg_event;
	if (!TRIGGER_FIRED_FOR_ROW(event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("llm.embed_trigger must be fired for each row"),
				errhint("llm.embed_statement_trigger is for statements."));
	if (!TRIGGER_FIRED_BEFORE(event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("llm.embed_trigger must be fired before the event"));
	if (!TRIGGER_FIRED_BY_INSERT(event) && !TRIGGER_FIRED_BY_UPDATE(event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("llm.embed_trigger must be fired for INSERT or UPDATE"));
}

static TriggerState *
trigger_state(FunctionCallInfo fcinfo, const TriggerData *call)
{
	TriggerState *state = fcinfo->flinfo->fn_extra;
	MemoryContext old;

	if (state != NULL && embed_columns_fit(state->columns, call))
		return state;
	old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	state = palloc0_object(TriggerState);
	state->columns = embed_columns(call, false);
	state->last.fn_mcxt = fcinfo->flinfo->fn_mcxt;
	MemoryContextSwitchTo(old);
	fcinfo->flinfo->fn_extra = state;
	return state;
}

static bool
has_vector(const TriggerState *state, HeapTuple row, TupleDesc descriptor)
{
	bool		is_null;

	(void) heap_getattr(row, state->columns->target.number, descriptor,
						&is_null);
	return !is_null;
}

/* The right to use the model is checked whether the vector is there or not. */
static ArrayType *
embed(TriggerState *state, const text *input)
{
	LOCAL_FCINFO(site, 1);
	ModelRef   *model = model_lookup(state->columns->model, MODEL_EMBED);
	Options    *options;
	CallKey		key;
	Datum		vector;

	InitFunctionCallInfoData(*site, &state->last, 1, InvalidOid, NULL, NULL);
	site->args[0].value = PointerGetDatum(input);
	site->args[0].isnull = false;
	key = call_key(site, "v", model);
	if (call_cache_get(site, &key, &vector))
		return DatumGetArrayTypeP(vector);
	options = options_read(OPTIONS_EMBED, NULL, model->options);
	vector = PointerGetDatum(embed_texts(model, options, &input, 1)[0]);
	call_cache_put(site, &key, vector, false);
	return DatumGetArrayTypeP(vector);
}

Datum
llm_embed_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *call;
	TriggerState *state;
	TupleDesc	descriptor;
	HeapTuple	row;
	bool		had_vector;
	text	   *input;
	Datum		value;
	bool		is_null;
	int			target;

	check_call(fcinfo);
	call = (TriggerData *) fcinfo->context;
	state = trigger_state(fcinfo, call);
	descriptor = RelationGetDescr(call->tg_relation);
	row = TRIGGER_FIRED_BY_UPDATE(call->tg_event) ? call->tg_newtuple :
		call->tg_trigtuple;
	had_vector = has_vector(state, row, descriptor);
	if (had_vector && (TRIGGER_FIRED_BY_INSERT(call->tg_event) ||
					   embed_columns_same(state->columns, call->tg_trigtuple,
										  row, descriptor)))
		return PointerGetDatum(row);
	input = embed_columns_input(state->columns, row, descriptor);
	if (input == NULL && !had_vector)
		return PointerGetDatum(row);
	value = embed_columns_value(state->columns,
								input == NULL ? NULL : embed(state, input),
								&is_null);
	target = state->columns->target.number;
	return PointerGetDatum(heap_modify_tuple_by_cols(row, descriptor, 1,
													 &target, &value,
													 &is_null));
}
