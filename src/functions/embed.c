/*-------------------------------------------------------------------------
 *
 * embed.c
 *	  llm.embed(), llm.embed_batch(), llm.similarity() and
 *	  llm.cosine_similarity().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "engine/base/similarity.h"
#include "functions/call_cache.h"
#include "functions/embedding.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(llm_embed);
PG_FUNCTION_INFO_V1(llm_embed_default);
PG_FUNCTION_INFO_V1(llm_embed_batch);
PG_FUNCTION_INFO_V1(llm_similarity);
PG_FUNCTION_INFO_V1(llm_cosine_similarity);

/* Vectors of a batch that are in memory at a time. */
#define BATCH_SLICE 4096

/*
 * The model that a call or the setting names.  Whether it can embed is asked
 * later, as the option pooling makes a generating model embed.
 */
static ModelRef *
lookup(const char *name, const char *next_argument)
{
	if (name == NULL && setting_default_embedding_model[0] == '\0')
		return model_lookup(NULL, MODEL_EMBED);
	if (name == NULL)
		name = setting_default_embedding_model;
	return model_lookup_before(name, MODEL_ANY, next_argument);
}

/* The argument of the text is followed by that of the options. */
static Datum
embed(FunctionCallInfo fcinfo, const ModelRef *model, const char *kinds,
	  int argument)
{
	CallKey		key = call_key(fcinfo, kinds, model);
	Options    *options;
	Datum		result;

	if (call_cache_get(fcinfo, &key, &result))
		return result;
	options = options_read(OPTIONS_EMBED, ARG_JSONB(argument + 1),
						   model->options);
	result = PointerGetDatum(embed_text(model, options,
										PG_GETARG_TEXT_PP(argument)));
	call_cache_put(fcinfo, &key, result, false);
	return result;
}

/* llm.embed(model, input, options) */
Datum
llm_embed(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	return embed(fcinfo, lookup(ARG_CSTRING(0), ARG_CSTRING(1)), "vvv", 1);
}

/* llm.embed(input, options) */
Datum
llm_embed_default(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	return embed(fcinfo, lookup(NULL, NULL), "vv", 0);
}

static void
put_vectors(ReturnSetInfo *rsinfo, ArrayType *const *vectors, int n,
			int first)
{
	for (int i = 0; i < n; i++)
	{
		Datum		values[2] = {Int32GetDatum(first + i),
		PointerGetDatum(vectors[i])};
		bool		nulls[2] = {false, vectors[i] == NULL};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
	}
}

/* In slices, so that the vectors of a long array are not all in memory. */
static void
embed_slices(ReturnSetInfo *rsinfo, Embedder *embedder, const Datum *inputs,
			 const bool *nulls, int n)
{
	MemoryContext slice = AllocSetContextCreate(CurrentMemoryContext,
												"llm vectors",
												ALLOCSET_DEFAULT_SIZES);
	const text **texts = palloc_array(const text *, Min(n, BATCH_SLICE));
	ArrayType **vectors = palloc_array(ArrayType *, Min(n, BATCH_SLICE));

	for (int first = 0; first < n; first += BATCH_SLICE)
	{
		int			m = Min(n - first, BATCH_SLICE);
		MemoryContext old;

		for (int i = 0; i < m; i++)
			texts[i] = nulls[first + i] ? NULL :
				DatumGetTextPP(inputs[first + i]);
		old = MemoryContextSwitchTo(slice);
		embedder_run(embedder, texts, m, vectors);
		MemoryContextSwitchTo(old);
		put_vectors(rsinfo, vectors, m, first);
		MemoryContextReset(slice);
	}
}

/* llm.embed_batch(model, inputs, options) */
Datum
llm_embed_batch(PG_FUNCTION_ARGS)
{
	ModelRef   *model;
	Options    *options;
	ArrayType  *array;
	Datum	   *inputs;
	bool	   *nulls;
	int			n;
	Embedder   *embedder;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	model = lookup(ARG_CSTRING(0), NULL);
	options = options_read(OPTIONS_EMBED, ARG_JSONB(2), model->options);
	array = PG_GETARG_ARRAYTYPE_P(1);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("inputs must be a one-dimensional array"));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &inputs,
					  &nulls, &n);
	embedder = embedder_begin(model, options, false);
	embed_slices((ReturnSetInfo *) fcinfo->resultinfo, embedder, inputs,
				 nulls, n);
	embedder_end(embedder);
	return (Datum) 0;
}

/* llm.similarity(model, a, b) */
Datum
llm_similarity(PG_FUNCTION_ARGS)
{
	ModelRef   *model;
	Options    *options;
	const text *texts[2];
	ArrayType **vectors;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	model = lookup(ARG_CSTRING(0), NULL);
	options = options_read(OPTIONS_EMBED, NULL, model->options);
	texts[0] = PG_GETARG_TEXT_PP(1);
	texts[1] = PG_GETARG_TEXT_PP(2);
	vectors = embed_texts(model, options, texts, 2);
	PG_RETURN_FLOAT8(vector_cosine((const float *) ARR_DATA_PTR(vectors[0]),
								   (const float *) ARR_DATA_PTR(vectors[1]),
								   ARR_DIMS(vectors[0])[0]));
}

static void
check_vector(const ArrayType *array)
{
	if (ARR_NDIM(array) == 0)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("vector must not be empty"));
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("vector must be a one-dimensional array"),
				errdetail("It has %d dimensions.", ARR_NDIM(array)));
	if (array_contains_nulls(unconstify(ArrayType *, array)))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("vector must not contain NULL"));
}

/* llm.cosine_similarity(a, b): strict, and called for every row of a scan */
Datum
llm_cosine_similarity(PG_FUNCTION_ARGS)
{
	ArrayType  *a = PG_GETARG_ARRAYTYPE_P(0);
	ArrayType  *b = PG_GETARG_ARRAYTYPE_P(1);
	double		cosine;

	check_vector(a);
	check_vector(b);
	if (ARR_DIMS(a)[0] != ARR_DIMS(b)[0])
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("vectors have different lengths"),
				errdetail("The lengths are %d and %d.", ARR_DIMS(a)[0],
						  ARR_DIMS(b)[0]));
	cosine = vector_cosine((const float *) ARR_DATA_PTR(a),
						   (const float *) ARR_DATA_PTR(b), ARR_DIMS(a)[0]);
	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	PG_RETURN_FLOAT8(cosine);
}
