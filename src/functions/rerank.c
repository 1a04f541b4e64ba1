/*-------------------------------------------------------------------------
 *
 * rerank.c
 *	  llm.rerank(): how well documents answer a query.
 *
 * A cross-encoder reads query and document together, as a pair.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "engine/base/math64.h"
#include "functions/encoder_passes.h"

PG_FUNCTION_INFO_V1(llm_rerank);

typedef struct Reranking
{
	ModelUse   *use;
	const Options *options;
	EncoderPasses *passes;
	TokenList	query;			/* without special tokens */
	int64		room;			/* most tokens of a document */
	double	   *scores;
	int			number;			/* of the document being read */
} Reranking;

static void
take_score(void *arg, const float *logit, int index)
{
	Reranking  *reranking = arg;

	reranking->scores[index] = 1.0 / (1.0 + math_exp(-(double) *logit));
}

/* The query stays whole: at least a token of a document must fit beside it. */
static void
read_query(Reranking *reranking, const text *query)
{
	ModelUse   *use = reranking->use;
	int64		whole = passes_room(use, reranking->options);
	EngineStatus status;
	size_t		length;
	const char *utf8 = text_to_utf8(query, &length);

	model_use_check(use,
					tokenizer_encode(&use->tokenizer, utf8, length, NULL, 0,
									 &use->arena, engine_host(),
									 &reranking->query, &status),
					&status);
	reranking->room = whole - (int64) reranking->query.n -
		tokenizer_pair_specials(&use->tokenizer);
	if (reranking->room < 1)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("query has %zu tokens, which leaves no room for a document among " INT64_FORMAT,
					   reranking->query.n, whole),
				passes_room_detail(use, reranking->options));
}

static void
fit_document(const Reranking *reranking, bool more, TokenList *list)
{
	size_t		room = (size_t) reranking->room;

	if (!more && list->n <= room)
		return;
	if (reranking->options->truncate == TRUNCATE_ERROR)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("document has %zu tokens, but only %zu fit beside the query",
					   list->n, room),
				passes_room_detail(reranking->use, reranking->options),
				errhint("Shorten the document, or use the option \"truncate\": \"start\" or \"end\"."));
	if (reranking->options->truncate == TRUNCATE_START)
		memmove(list->ids, list->ids + list->n - room,
				room * sizeof(int32_t));
	list->n = room;
}

/* The tokens of a pair, in the scratch of passes. */
static TokenList
encode_pair(Reranking *reranking, const text *document, size_t *second)
{
	EncoderPasses *passes = reranking->passes;
	int64		max = reranking->options->truncate == TRUNCATE_END ?
		reranking->room : 0;
	MemoryContext old = MemoryContextSwitchTo(passes->scratch);
	size_t		length;
	const char *utf8 = text_to_utf8(document, &length);
	bool		more;
	TokenList	list = passes_encode(passes, utf8, length, 0, max, &more);
	TokenList	pair = {0};
	EngineStatus status;

	MemoryContextSwitchTo(old);
	fit_document(reranking, more, &list);
	model_use_check(reranking->use,
					tokenizer_pair(&reranking->use->tokenizer,
								   &reranking->query, &list, &passes->arena,
								   &pair, second, &status),
					&status);
	return pair;
}

/* Which document an error is about. */
static void
name_document(void *arg)
{
	const Reranking *reranking = arg;

	errcontext("document %d", reranking->number);
}

static void
rerank(Reranking *reranking, const Datum *documents, const bool *nulls,
	   int n)
{
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = name_document,
		.arg = reranking,
	};

	for (int i = 0; i < n; i++)
	{
		TokenList	pair;
		size_t		second;

		if (nulls[i])
			continue;
		reranking->number = i;
		error_context_stack = &callback;
		pair = encode_pair(reranking, DatumGetTextPP(documents[i]), &second);
		error_context_stack = callback.previous;
		passes_add(reranking->passes, i, &pair, (int64) second);
		passes_forget(reranking->passes);
	}
	passes_run(reranking->passes);
}

static void
put_scores(ReturnSetInfo *rsinfo, const double *scores, bool *nulls, int n)
{
	for (int i = 0; i < n; i++)
	{
		Datum		values[2] = {Int32GetDatum(i), Float8GetDatum(scores[i])};
		bool		is_null[2] = {false, nulls[i]};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 is_null);
	}
}

/* llm.rerank(model, query, documents, options) */
Datum
llm_rerank(PG_FUNCTION_ARGS)
{
	Reranking	reranking = {0};
	ModelRef   *model;
	ArrayType  *array;
	Datum	   *documents;
	bool	   *nulls;
	int			n;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		return (Datum) 0;
	model = model_lookup(ARG_CSTRING(0), MODEL_RERANK);
	reranking.options = options_read(OPTIONS_RERANK, ARG_JSONB(3),
									 model->options);
	array = PG_GETARG_ARRAYTYPE_P(2);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("documents must be a one-dimensional array"));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &documents,
					  &nulls, &n);
	reranking.scores = palloc0_array(double, n + 1);
	reranking.use = model_use_begin(model);
	reranking.passes = passes_begin(reranking.use, POOLING_RANK, take_score,
									&reranking);
	read_query(&reranking, PG_GETARG_TEXT_PP(1));
	rerank(&reranking, documents, nulls, n);
	model_use_end(reranking.use);
	put_scores((ReturnSetInfo *) fcinfo->resultinfo, reranking.scores, nulls,
			   n);
	return (Datum) 0;
}
