/*-------------------------------------------------------------------------
 *
 * head_contributions.c
 *	  llm.head_contributions(): what each head adds to a logit.
 *
 * The residual stream is a sum, and what follows it, final norm and
 * unembedding, is linear once the norm's divisor is known: so a logit is a sum
 * of what the embedding, every head and every feed-forward network wrote
 * (direct logit attribution: Elhage et al., "A Mathematical Framework for
 * Transformer Circuits", 2021).  With x the last state, w the norm's weight
 * and u the token's row of the output matrix, what adds v to the stream adds
 *
 *		sum_i v[i] * w[i] * u[i] / rms(x)
 *
 * to the logit; a LayerNorm also subtracts the mean of v.  A head's v is its
 * output times its columns of the output projection, again through the norm
 * behind the sublayer where a model has one (Gemma 2): that norm's divisor is
 * of the sum over heads.
 *
 * Everything is done backwards, from u to a vector that each head's output
 * is multiplied by, so that the output projection is read once.  Sums are in
 * f64.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/tuplestore.h"

#include "engine/decode/sampler.h"
#include "functions/inspect_call.h"

PG_FUNCTION_INFO_V1(llm_head_contributions);

/* Everything of the last position. */
typedef struct Contributions
{
	Inspection *inspection;
	ReturnSetInfo *rsinfo;
	int			d;
	int			width;			/* of all heads together */
	float	   *heads;			/* [n_layers][width] */
	float	   *added;			/* [n_layers][d] by the feed-forward */
	float	   *state;			/* [d] after the last block */
	float	   *row;			/* [width or d] of a matrix */
	double	   *gradient;		/* [d] of the logit by the state */
	double	   *inner;			/* [d] by what the heads add, before a norm */
	double	   *written;		/* [d] by all heads of a layer, if needed */
	double	   *back;			/* [width] of the logit by the heads */
} Contributions;

static void
see_last_position(void *arg, const ProbeEvent *event)
{
	Contributions *c = arg;
	int			last = c->inspection->n - 1 - event->first_row;
	float	   *to = c->state;

	if (last < 0 || last >= event->n_rows)
		return;
	if (event->stage == PROBE_HEADS)
		to = c->heads + (size_t) event->layer * c->width;
	else if (event->stage == PROBE_FFN_ADDED)
		to = c->added + (size_t) event->layer * c->d;
	memcpy(to, event->data + last * event->stride,
		   event->n_columns * sizeof(float));
}

static double
mean_of(const double *x, int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += x[i];
	return sum / n;
}

/* What a norm multiplies x[n] by, after a LayerNorm has centred it. */
static double
norm_factor(const Hyper *hyper, const double *x, int n)
{
	double		mean = hyper->norm == NORM_LAYER ? mean_of(x, n) : 0;
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += (x[i] - mean) * (x[i] - mean);
	return 1 / sqrt(sum / n + hyper->norm_epsilon);
}

/* gradient[n] by a norm's output to that by its input, but for the factor. */
static void
through_norm(const Contributions *c, const ImageVector *norm,
			 double *gradient)
{
	const ModelUse *use = c->inspection->use;
	const float *weight = image_vector(use->image, norm);

	for (int i = 0; i < c->d; i++)
		gradient[i] *= weight[i];
	if (use->hyper->norm == NORM_LAYER)
	{
		double		mean = mean_of(gradient, c->d);

		for (int i = 0; i < c->d; i++)
			gradient[i] -= mean;
	}
}

/* The gradient of a token's logit by the last state. */
static void
logit_gradient(Contributions *c, int32 token)
{
	const ModelUse *use = c->inspection->use;
	const ImageHeader *image = use->image;
	double		factor;

	image_row(image, &image->output, token, c->row);
	for (int i = 0; i < c->d; i++)
	{
		c->gradient[i] = c->row[i];
		c->inner[i] = c->state[i];
	}
	if (image->output_norm.offset == 0)
		return;
	factor = norm_factor(use->hyper, c->inner, c->d);
	through_norm(c, &image->output_norm, c->gradient);
	for (int i = 0; i < c->d; i++)
		c->gradient[i] *= factor;
}

/* The gradient of the logit by the outputs of a layer's heads: back. */
static void
heads_gradient(Contributions *c, int layer)
{
	const ModelUse *use = c->inspection->use;
	const ImageLayer *weights = image_layer(use->image, layer);
	const float *bias = image_vector(use->image, &weights->attn_output_bias);
	const float *heads = c->heads + (size_t) layer * c->width;
	bool		normed = weights->attn_post_norm.offset != 0;
	double		factor;

	memcpy(c->inner, c->gradient, c->d * sizeof(double));
	if (normed)
		through_norm(c, &weights->attn_post_norm, c->inner);
	memset(c->back, 0, c->width * sizeof(double));
	for (int i = 0; i < c->d; i++)
	{
		double		sum = bias != NULL ? bias[i] : 0;

		CHECK_FOR_INTERRUPTS();
		image_row(use->image, &weights->attn_output, i, c->row);
		for (int j = 0; j < c->width; j++)
		{
			c->back[j] += c->inner[i] * c->row[j];
			sum += (double) c->row[j] * heads[j];
		}
		c->written[i] = sum;
	}
	if (!normed)
		return;
	factor = norm_factor(use->hyper, c->written, c->d);
	for (int j = 0; j < c->width; j++)
		c->back[j] *= factor;
}

static double
dot(const double *gradient, const float *x, int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += gradient[i] * x[i];
	return sum;
}

/* head -1: the feed-forward network */
static void
put_row(const Contributions *c, int layer, int head, double contribution)
{
	Datum		values[3];
	bool		nulls[3] = {false, head < 0, false};

	values[0] = Int32GetDatum(layer);
	values[1] = Int32GetDatum(head);
	values[2] = Float8GetDatum(contribution);
	tuplestore_putvalues(c->rsinfo->setResult, c->rsinfo->setDesc, values,
						 nulls);
}

static void
put_rows(Contributions *c)
{
	const Hyper *hyper = c->inspection->use->hyper;
	int			n = hyper->value_length;

	for (int layer = 0; layer < hyper->n_layers; layer++)
	{
		const float *heads = c->heads + (size_t) layer * c->width;

		heads_gradient(c, layer);
		for (int head = 0; head < hyper->n_heads; head++)
			put_row(c, layer, head,
					dot(c->back + head * n, heads + head * n, n));
		put_row(c, layer, -1,
				dot(c->gradient, c->added + (size_t) layer * c->d, c->d));
	}
}

static int32
predicted_token(const Contributions *c)
{
	TokenLogit	top;

	top_tokens(inspect_logits(c->inspection, c->state, c->d, 1, false)[0],
			   c->inspection->use->tokenizer.n_tokens, 1, &top);
	return top.token;
}

static void
allocate(Contributions *c)
{
	const ModelUse *use = c->inspection->use;
	size_t		n_layers = use->hyper->n_layers;

	c->d = use->hyper->embedding_length;
	c->width = use->hyper->n_heads * use->hyper->value_length;
	c->heads = MemoryContextAllocHuge(use->context, n_layers * c->width *
									  sizeof(float));
	c->added = MemoryContextAllocHuge(use->context, n_layers * c->d *
									  sizeof(float));
	c->state = MemoryContextAlloc(use->context, c->d * sizeof(float));
	c->row = MemoryContextAlloc(use->context, Max(c->d, c->width) *
								sizeof(float));
	c->gradient = MemoryContextAlloc(use->context, c->d * sizeof(double));
	c->inner = MemoryContextAlloc(use->context, c->d * sizeof(double));
	c->written = MemoryContextAlloc(use->context, c->d * sizeof(double));
	c->back = MemoryContextAlloc(use->context, c->width * sizeof(double));
}

/* llm.head_contributions(model, input, token) */
Datum
llm_head_contributions(PG_FUNCTION_ARGS)
{
	Inspection *inspection = inspect_call(fcinfo, 2, true);
	Contributions c = {inspection, (ReturnSetInfo *) fcinfo->resultinfo};
	int			token;

	if (inspection == NULL)
		return (Datum) 0;
	if (inspection->use->hyper->post_norm)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("contributions to logits of model \"%s\" cannot be told apart",
					   inspection->use->model->name),
				errdetail("Its residual stream is no sum: norms stand behind the additions."));
	token = inspect_number(fcinfo, 2, "token", 0,
						   inspection->use->tokenizer.n_tokens);
	allocate(&c);
	inspect_run(inspection,
				PROBE_ENDS_PASS | PROBE_BIT(PROBE_HEADS) |
				PROBE_BIT(PROBE_FFN_ADDED) | PROBE_BIT(PROBE_BLOCK),
				INSPECT_ALL, INSPECT_ALL, see_last_position, &c);
	logit_gradient(&c, token == INSPECT_ALL ? predicted_token(&c) : token);
	put_rows(&c);
	inspect_end(inspection);
	return (Datum) 0;
}
