/*-------------------------------------------------------------------------
 *
 * token_directions.c
 *	  llm.neuron_tokens() and llm.nearest_tokens(): vectors read as tokens.
 *
 * Both compare a vector with the row of every token in a matrix of the size
 * of the vocabulary.  Next to that, reading the one column of a down
 * projection that llm.neuron_tokens() is about row by row costs little: a
 * network has fewer neurons than the vocabulary has tokens.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "engine/base/similarity.h"
#include "functions/inspect_call.h"

PG_FUNCTION_INFO_V1(llm_neuron_tokens);
PG_FUNCTION_INFO_V1(llm_nearest_tokens);

typedef struct TokenScore
{
	int32		token;
	double		score;
} TokenScore;

typedef double (*ScoreRow) (const float *vector, const float *row, int n);

static double
dot(const float *a, const float *b, int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += (double) a[i] * b[i];
	return sum;
}

static double
cosine(const float *a, const float *b, int n)
{
	return vector_cosine(a, b, n);
}

/* Descending by score, ascending by token. */
static int
compare_scores(const void *left, const void *right)
{
	const TokenScore *a = left;
	const TokenScore *b = right;

	if (a->score != b->score)
		return a->score < b->score ? 1 : -1;
	return a->token < b->token ? -1 : a->token > b->token;
}

/* Scores of all tokens that have one, the best first; returns their number. */
static int
score_tokens(const ModelUse *use, const ImageMatrix *matrix,
			 const float *vector, ScoreRow score_row, TokenScore **result)
{
	int			n_tokens = (int) Min(use->tokenizer.n_tokens, matrix->n);
	float	   *row = MemoryContextAlloc(use->context,
										 matrix->k * sizeof(float));
	TokenScore *scores = MemoryContextAllocHuge(use->context,
												n_tokens * sizeof(TokenScore));
	int			n = 0;

	for (int token = 0; token < n_tokens; token++)
	{
		CHECK_FOR_INTERRUPTS();
		image_row(use->image, matrix, token, row);
		scores[n].token = token;
		scores[n].score = score_row(vector, row, (int) matrix->k);
		if (!isnan(scores[n].score))
			n++;
	}
	qsort(scores, n, sizeof(TokenScore), compare_scores);
	*result = scores;
	return n;
}

static void
put_tokens(ReturnSetInfo *rsinfo, const ModelUse *use,
		   const TokenScore *scores, int n)
{
	for (int i = 0; i < n; i++)
	{
		Datum		values[4];
		bool		nulls[4] = {false};

		CHECK_FOR_INTERRUPTS();
		values[0] = Int32GetDatum(i);
		values[1] = Int32GetDatum(scores[i].token);
		values[2] = PointerGetDatum(token_text(use, scores[i].token));
		values[3] = Float8GetDatum(scores[i].score);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
		pfree(DatumGetPointer(values[2]));
	}
}

/* v *= weight, element by element, where there is such a norm */
static void
scale_by(const ModelUse *use, const ImageVector *norm, float *v)
{
	const float *weight = image_vector(use->image, norm);

	for (int64 i = 0; weight != NULL && i < norm->n; i++)
		v[i] *= weight[i];
}

/*
 * What a neuron adds to the residual stream when its activation is 1, times
 * the weights of the norms that it passes on its way to the unembedding.
 */
static float *
value_vector(const ModelUse *use, int layer, int neuron)
{
	const ImageLayer *weights = image_layer(use->image, layer);
	const ImageMatrix *down = &weights->ffn_down;
	float	   *row = MemoryContextAlloc(use->context,
										 down->k * sizeof(float));
	float	   *value = MemoryContextAlloc(use->context,
										   down->n * sizeof(float));

	for (int64 i = 0; i < down->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		image_row(use->image, down, i, row);
		value[i] = row[neuron];
	}
	if (use->image->output.offset != 0)
	{
		if (!use->hyper->post_norm)
			scale_by(use, &weights->ffn_post_norm, value);
		scale_by(use, &use->image->output_norm, value);
	}
	return value;
}

/* llm.neuron_tokens(model, layer, neuron, top_k) */
Datum
llm_neuron_tokens(PG_FUNCTION_ARGS)
{
	ModelUse   *use;
	const ImageMatrix *tokens;
	TokenScore *scores;
	int			layer;
	int			neuron;
	int			n;
	int32		k;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		return (Datum) 0;
	use = model_use_begin(model_lookup(ARG_CSTRING(0), MODEL_ANY));
	layer = inspect_number(fcinfo, 1, "layer", 0, use->hyper->n_layers);
	neuron = inspect_number(fcinfo, 2, "neuron", 0,
							use->hyper->feed_forward_length);
	k = inspect_top_k(fcinfo, 3);
	tokens = use->image->output.offset != 0 ? &use->image->output :
		&use->image->token_embd;
	n = score_tokens(use, tokens, value_vector(use, layer, neuron), dot,
					 &scores);
	put_tokens((ReturnSetInfo *) fcinfo->resultinfo, use, scores, Min(k, n));
	model_use_end(use);
	return (Datum) 0;
}

/* The floats of a real[] that can be compared with a token's embedding. */
static const float *
read_vector(const ModelUse *use, ArrayType *array)
{
	int			d = use->hyper->embedding_length;
	int			n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	const float *vector = (const float *) ARR_DATA_PTR(array);
	bool		zero = true;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("vector must have one dimension, not %d",
					   ARR_NDIM(array)));
	if (array_contains_nulls(array))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("vector must not contain NULL"));
	if (n != d)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("vector has %d elements, not %d", n, d),
				errdetail("The tokens of model \"%s\" are vectors of %d elements.",
						  use->model->name, d));
	for (int i = 0; i < n; i++)
	{
		if (!isfinite(vector[i]))
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("vector must not contain infinity or NaN"));
		zero = zero && vector[i] == 0;
	}
	if (zero)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("vector must not be zero"),
				errdetail("Nothing is nearest to a vector without direction."));
	return vector;
}

/* llm.nearest_tokens(model, vector, top_k) */
Datum
llm_nearest_tokens(PG_FUNCTION_ARGS)
{
	ModelUse   *use;
	TokenScore *scores;
	const float *vector;
	int			n;
	int32		k;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	use = model_use_begin(model_lookup(ARG_CSTRING(0), MODEL_ANY));
	vector = read_vector(use, PG_GETARG_ARRAYTYPE_P(1));
	k = inspect_top_k(fcinfo, 2);
	n = score_tokens(use, &use->image->token_embd, vector, cosine, &scores);
	put_tokens((ReturnSetInfo *) fcinfo->resultinfo, use, scores, Min(k, n));
	model_use_end(use);
	return (Datum) 0;
}
