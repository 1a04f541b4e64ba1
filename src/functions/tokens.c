/*-------------------------------------------------------------------------
 *
 * tokens.c
 *	  llm.tokenize(), llm.detokenize(), llm.count_tokens() and llm.tokens().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "functions/call_cache.h"
#include "functions/model_use.h"
#include "functions/options.h"

PG_FUNCTION_INFO_V1(llm_tokenize);
PG_FUNCTION_INFO_V1(llm_tokenize_default);
PG_FUNCTION_INFO_V1(llm_count_tokens);
PG_FUNCTION_INFO_V1(llm_count_tokens_default);
PG_FUNCTION_INFO_V1(llm_tokens);
PG_FUNCTION_INFO_V1(llm_tokens_default);
PG_FUNCTION_INFO_V1(llm_detokenize);

#define COPY_PIECE ((size_t) 4 * 1024 * 1024)

static int
encode_flags(const Options *options)
{
	int			flags = options->parse_special ? TOKENIZE_PARSE_SPECIAL : 0;

	if (options->add_special != TRISTATE_FALSE)
		flags |= TOKENIZE_ADD_SPECIAL;
	if (options->add_special == TRISTATE_TRUE)
		flags |= TOKENIZE_FORCE_BOS;
	return flags;
}

static TokenList
encode(ModelUse *use, const text *input, const Options *options)
{
	TokenList	list = {0};
	EngineStatus status;
	size_t		length;
	const char *utf8 = text_to_utf8(input, &length);

	model_use_check(use, tokenizer_encode(&use->tokenizer, utf8, length, NULL,
										  encode_flags(options), &use->arena,
										  engine_host(), &list, &status),
					&status);
	return list;
}

static ArrayType *
token_array(const TokenList *list)
{
	size_t		data = list->n * sizeof(int32);
	size_t		size = ARR_OVERHEAD_NONULLS(1) + data;
	ArrayType  *array;

	if (list->n == 0)
		return construct_empty_array(INT4OID);
	if (size > MaxAllocSize)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("array of %zu tokens is too long", list->n));
	array = palloc(size);
	memset(array, 0, ARR_OVERHEAD_NONULLS(1));
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = INT4OID;
	ARR_DIMS(array)[0] = (int) list->n;
	ARR_LBOUND(array)[0] = 1;
	for (size_t done = 0; done < data; done += COPY_PIECE)
	{
		CHECK_FOR_INTERRUPTS();
		memcpy(ARR_DATA_PTR(array) + done, (const char *) list->ids + done,
			   Min(data - done, COPY_PIECE));
	}
	return array;
}

/* count: the number of tokens instead of the tokens. */
static Datum
tokenize(FunctionCallInfo fcinfo, const ModelRef *model, const char *kinds,
		 int argument, bool count)
{
	CallKey		key = call_key(fcinfo, kinds, model);
	Options    *options;
	ModelUse   *use;
	TokenList	list;
	Datum		result;

	if (call_cache_get(fcinfo, &key, &result))
		return result;
	options = options_read(OPTIONS_TOKENIZE, ARG_JSONB(argument + 1), NULL);
	use = model_use_tokenizer(model);
	list = encode(use, PG_GETARG_TEXT_PP(argument), options);
	if (count)
		result = Int32GetDatum((int32) list.n);
	else
		result = PointerGetDatum(token_array(&list));
	model_use_end(use);
	call_cache_put(fcinfo, &key, result, count);
	return result;
}

/* llm.tokenize(model, input, options) */
Datum
llm_tokenize(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	return tokenize(fcinfo, model_lookup_before(ARG_CSTRING(0), MODEL_ANY,
												ARG_CSTRING(1)),
					"vvv", 1, false);
}

/* llm.tokenize(input, options) */
Datum
llm_tokenize_default(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	return tokenize(fcinfo, model_lookup(NULL, MODEL_GENERATE), "vv", 0,
					false);
}

/* llm.count_tokens(model, input, options) */
Datum
llm_count_tokens(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	return tokenize(fcinfo, model_lookup_before(ARG_CSTRING(0), MODEL_ANY,
												ARG_CSTRING(1)),
					"vvv", 1, true);
}

/* llm.count_tokens(input, options) */
Datum
llm_count_tokens_default(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	return tokenize(fcinfo, model_lookup(NULL, MODEL_GENERATE), "vv", 0,
					true);
}

static Datum
return_tokens(FunctionCallInfo fcinfo, const ModelRef *model,
			  const text *input)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Options    *options = options_read(OPTIONS_TOKENIZE, NULL, NULL);
	ModelUse   *use = model_use_tokenizer(model);
	TokenList	list = encode(use, input, options);

	for (size_t i = 0; i < list.n; i++)
	{
		TokenKind	kind = tokenizer_kind(&use->tokenizer, list.ids[i]);
		Datum		values[4];
		bool		nulls[4] = {false};

		CHECK_FOR_INTERRUPTS();
		values[0] = Int32GetDatum((int32) i);
		values[1] = Int32GetDatum(list.ids[i]);
		values[2] = PointerGetDatum(token_text(use, list.ids[i]));
		values[3] = BoolGetDatum(kind == TOKEN_CONTROL);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
		pfree(DatumGetPointer(values[2]));
	}
	model_use_end(use);
	return (Datum) 0;
}

/* llm.tokens(model, input) */
Datum
llm_tokens(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	return return_tokens(fcinfo, model_lookup(ARG_CSTRING(0), MODEL_ANY),
						 PG_GETARG_TEXT_PP(1));
}

/* llm.tokens(input) */
Datum
llm_tokens_default(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	return return_tokens(fcinfo, model_lookup(NULL, MODEL_GENERATE),
						 PG_GETARG_TEXT_PP(0));
}

static void
check_token(const ModelUse *use, Datum value, bool is_null)
{
	if (is_null)
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("tokens must not contain NULL"));
	if (DatumGetInt32(value) < 0 ||
		DatumGetInt32(value) >= use->tokenizer.n_tokens)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("token id %d is out of range", DatumGetInt32(value)),
				errdetail("The ids of model \"%s\" are 0 to %d.",
						  use->model->name, use->tokenizer.n_tokens - 1));
}

static text *
decode(ModelUse *use, const Datum *values, const bool *nulls, int n)
{
	TextStream	stream;
	EngineStatus status;
	StringInfoData utf8;

	initStringInfo(&utf8);
	model_use_check(use,
					text_stream_open(&stream, &use->tokenizer, true, NULL, 0,
									 &use->arena, &status),
					&status);
	stream.first = true;
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		check_token(use, values[i], nulls[i]);
		model_use_check(use,
						text_stream_add(&stream, DatumGetInt32(values[i]),
										&status),
						&status);
		appendBinaryStringInfo(&utf8, stream.out, (int) stream.n_out);
	}
	model_use_check(use, text_stream_finish(&stream, &status), &status);
	appendBinaryStringInfo(&utf8, stream.out, (int) stream.n_out);
	return utf8_to_text(utf8.data, (size_t) utf8.len);
}

/* llm.detokenize(model, tokens) */
Datum
llm_detokenize(PG_FUNCTION_ARGS)
{
	ModelRef   *model;
	CallKey		key;
	ModelUse   *use;
	ArrayType  *array;
	Datum	   *values;
	bool	   *nulls;
	int			n;
	Datum		result;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	model = model_lookup(ARG_CSTRING(0), MODEL_ANY);
	key = call_key(fcinfo, "vv", model);
	if (call_cache_get(fcinfo, &key, &result))
		return result;
	array = PG_GETARG_ARRAYTYPE_P(1);
	deconstruct_array(array, INT4OID, sizeof(int32), true, TYPALIGN_INT,
					  &values, &nulls, &n);
	use = model_use_tokenizer(model);
	result = PointerGetDatum(decode(use, values, nulls, n));
	model_use_end(use);
	call_cache_put(fcinfo, &key, result, false);
	return result;
}
