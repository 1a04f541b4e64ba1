/*-------------------------------------------------------------------------
 *
 * estimate.c
 *	  llm.estimate(): what a model costs in memory and arithmetic, and why.
 *
 * Every row shows its formula with the numbers that went into it.  The
 * formulas count a multiplication and an addition as two operations, as
 * Kaplan et al. do ("Scaling Laws for Neural Language Models", 2.1): two for
 * each parameter and token, and for each layer two products of a token's
 * query with all keys, and of its weights with all values.  Training is a
 * forward pass and a backward pass of twice its cost; its state is that of
 * AdamW in mixed precision (Rajbhandari et al., "ZeRO", 3.1).
 *
 * Values are computed in numeric: exact, however large.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "engine/model/kv.h"
#include "functions/estimate_shape.h"
#include "functions/model_use.h"

PG_FUNCTION_INFO_V1(llm_estimate_model);
PG_FUNCTION_INFO_V1(llm_estimate_shape);

/*
 * What both forms know: of one token that sees context of them, and of all
 * positions of the context together.  NULL: unknown.
 */
typedef struct Work
{
	Numeric		parameters;		/* that a token is multiplied with */
	Numeric		attention;		/* operations of a token's attention */
	const char *attention_text; /* how they were computed */
	Numeric		pairs;			/* the same, summed over the positions */
	Numeric		context;
	Numeric		batch;
	Numeric		training_tokens;
} Work;

static void
put(ReturnSetInfo *rsinfo, const char *item, Numeric value, const char *unit,
	const char *explanation)
{
	Datum		values[4] = {
		CStringGetTextDatum(item), NumericGetDatum(value),
		CStringGetTextDatum(unit), CStringGetTextDatum(explanation)
	};
	bool		nulls[4] = {false};

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Memory, in bytes and in GB. */
static void
put_bytes(ReturnSetInfo *rsinfo, const char *item, Numeric bytes,
		  const char *explanation)
{
	put(rsinfo, item, bytes, "bytes", explanation);
	put(rsinfo, item, divide(bytes, whole(INT64CONST(1000000000))), "GB",
		psprintf("%s bytes / 10^9", shown(bytes)));
}

static void
put_training(ReturnSetInfo *rsinfo, const Work *work, Numeric per_token)
{
	Numeric		training = multiply(whole(3), per_token);

	put(rsinfo, "flops_training_per_token", training, "FLOP",
		psprintf("3 x %s: forward, and twice that backward",
				 shown(per_token)));
	if (work->training_tokens != NULL)
		put(rsinfo, "flops_training", multiply(training, work->training_tokens),
			"FLOP", psprintf("%s x %s tokens", shown(training),
							 shown(work->training_tokens)));
}

static void
put_prompt(ReturnSetInfo *rsinfo, const Work *work, Numeric linear)
{
	Numeric		once = add(multiply(linear, work->context), work->pairs);

	put(rsinfo, "flops_prompt", multiply(once, work->batch), "FLOP",
		psprintf("(%s x %s tokens + attention %s) x batch %s",
				 shown(linear), shown(work->context), shown(work->pairs),
				 shown(work->batch)));
}

static void
put_flops(ReturnSetInfo *rsinfo, const Work *work)
{
	Numeric		linear;
	Numeric		per_token;
	const char *explanation;

	if (work->parameters == NULL)
		return;
	per_token = linear = multiply(whole(2), work->parameters);
	explanation = psprintf("2 x %s parameters", shown(work->parameters));
	if (work->attention != NULL)
	{
		per_token = add(linear, work->attention);
		explanation = psprintf("%s + attention %s (%s)", explanation,
							   shown(work->attention), work->attention_text);
	}
	put(rsinfo, "flops_per_token", per_token, "FLOP", explanation);
	if (work->attention != NULL)
	{
		put(rsinfo, "attention_share", divide(work->attention, per_token),
			"fraction", psprintf("%s / %s, for a token that sees %s",
								 shown(work->attention), shown(per_token),
								 shown(work->context)));
		put_prompt(rsinfo, work, linear);
	}
	put_training(rsinfo, work, per_token);
}

static void
put_training_state(ReturnSetInfo *rsinfo, Numeric parameters)
{
	put_bytes(rsinfo, "training_state", multiply(whole(16), parameters),
			  psprintf("%s parameters x 16 bytes: weight and gradient in 16 bits; weight, mean and variance in 32 (AdamW)",
					   shown(parameters)));
}

/*
 * By shape
 */

/* A gated decoder with one table of tokens, norms and biases left out. */
static Numeric
count_parameters(ReturnSetInfo *rsinfo, Numeric *shape, Numeric kv_length)
{
	Numeric		d = shape[SHAPE_EMBEDDING_LENGTH];
	Numeric		ff = shape[SHAPE_FEED_FORWARD_LENGTH];
	Numeric		inner;
	Numeric		all;

	if (d == NULL || ff == NULL || shape[SHAPE_LAYERS] == NULL ||
		shape[SHAPE_VOCABULARY] == NULL)
		return NULL;
	inner = add(multiply(whole(2), add(d, kv_length)),
				multiply(whole(3), ff));
	all = multiply(d, add(shape[SHAPE_VOCABULARY],
						  multiply(shape[SHAPE_LAYERS], inner)));
	put(rsinfo, "parameters", all, "parameters",
		psprintf("%s x (vocabulary %s + %s layers x (2 x %s + 2 x %s for attention + 3 x %s for a gated feed-forward))",
				 shown(d), shown(shape[SHAPE_VOCABULARY]),
				 shown(shape[SHAPE_LAYERS]), shown(d), shown(kv_length),
				 shown(ff)));
	return all;
}

/* Numbers of a key: those of the embedding, unless heads share keys. */
static Numeric
shape_kv_length(Numeric *shape)
{
	Numeric		d = shape[SHAPE_EMBEDDING_LENGTH];

	if (d == NULL || shape[SHAPE_KV_HEADS] == NULL ||
		shape[SHAPE_HEADS] == NULL)
		return d;
	return divide(multiply(d, shape[SHAPE_KV_HEADS]), shape[SHAPE_HEADS]);
}

static void
put_shape_kv(ReturnSetInfo *rsinfo, Numeric *shape, Numeric kv_length)
{
	Numeric		bytes = multiply(multiply(whole(4), shape[SHAPE_LAYERS]),
								 multiply(kv_length, shape[SHAPE_CONTEXT]));

	put_bytes(rsinfo, "kv_cache", multiply(bytes, shape[SHAPE_BATCH]),
			  psprintf("2 (key and value) x %s layers x %s numbers of 2 bytes x %s tokens x batch %s",
					   shown(shape[SHAPE_LAYERS]), shown(kv_length),
					   shown(shape[SHAPE_CONTEXT]),
					   shown(shape[SHAPE_BATCH])));
}

/* Operations of a token's attention, for all layers together. */
static void
shape_attention(Numeric *shape, Work *work)
{
	Numeric		d = shape[SHAPE_EMBEDDING_LENGTH];
	Numeric		numbers = multiply(shape[SHAPE_LAYERS], d);

	work->attention = multiply(multiply(whole(4), numbers), work->context);
	work->attention_text = psprintf("4 x %s layers x %s numbers x %s tokens",
									shown(shape[SHAPE_LAYERS]), shown(d),
									shown(work->context));
	work->pairs = divide(multiply(work->attention,
								  add(work->context, whole(1))), whole(2));
}

static void
put_attention_weights(ReturnSetInfo *rsinfo, Numeric layers, Numeric heads,
					  const Work *work)
{
	Numeric		each = multiply(layers, heads);
	Numeric		square = multiply(work->context, work->context);

	put_bytes(rsinfo, "attention_weights",
			  multiply(multiply(whole(4), each), multiply(square, work->batch)),
			  psprintf("%s layers x %s heads x %s^2 tokens x batch %s x 4 bytes, if they were kept: they are computed block by block",
					   shown(layers), shown(heads), shown(work->context),
					   shown(work->batch)));
}

/* llm.estimate(shape) */
Datum
llm_estimate_shape(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Numeric		shape[SHAPE_KEYS] = {NULL};
	Numeric		kv_length;
	Numeric		parameters;
	Work		work = {0};

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	shape_read(PG_GETARG_JSONB_P(0), shape);
	kv_length = shape_kv_length(shape);
	parameters = shape[SHAPE_PARAMETERS];
	if (parameters == NULL)
		parameters = count_parameters(rsinfo, shape, kv_length);
	work.parameters = parameters;
	work.context = shape[SHAPE_CONTEXT];
	work.batch = shape[SHAPE_BATCH];
	work.training_tokens = shape[SHAPE_TRAINING_TOKENS];

	if (parameters != NULL && shape[SHAPE_BITS] != NULL)
		put_bytes(rsinfo, "weights",
				  divide(multiply(parameters, shape[SHAPE_BITS]), whole(8)),
				  psprintf("%s parameters x %s bits / 8", shown(parameters),
						   shown(shape[SHAPE_BITS])));
	if (work.context != NULL && shape[SHAPE_LAYERS] != NULL)
	{
		if (kv_length != NULL)
			put_shape_kv(rsinfo, shape, kv_length);
		if (shape[SHAPE_HEADS] != NULL)
			put_attention_weights(rsinfo, shape[SHAPE_LAYERS],
								  shape[SHAPE_HEADS], &work);
		if (kv_length != NULL)
			shape_attention(shape, &work);
	}
	put_flops(rsinfo, &work);
	if (parameters != NULL)
		put_training_state(rsinfo, parameters);
	return (Datum) 0;
}

/*
 * By model
 */

/* Tables whose rows are looked up multiply nothing. */
static int64
multiplied_parameters(const ImageHeader *image)
{
	int64		n = image->hyper.parameters;

	if (image->output.offset != image->token_embd.offset)
		n -= image->token_embd.n * image->token_embd.k;
	n -= image->position_embd.n * image->position_embd.k;
	return n - image->token_types.n * image->token_types.k;
}

/* How many (query, key) pairs a layer computes, of one text. */
static Numeric
visible_pairs(const Hyper *hyper, int layer, int64 context)
{
	int64		window = layer_window(hyper, layer);

	if (window == 0 || window > context)
		window = context;
	if (!hyper->causal)
		return multiply(whole(context), whole(window));
	return add(divide(multiply(whole(window), whole(window + 1)), whole(2)),
			   multiply(whole(context - window), whole(window)));
}

static void
model_attention(const Hyper *hyper, int64 context, Work *work)
{
	int64		each = 2 * (int64) hyper->n_heads *
		(hyper->key_length + hyper->value_length);
	int64		keys = 0;

	work->pairs = whole(0);
	for (int layer = 0; layer < hyper->n_layers; layer++)
	{
		int64		window = layer_window(hyper, layer);

		keys += window > 0 ? Min(window, context) : context;
		work->pairs = add(work->pairs,
						  multiply(whole(each),
								   visible_pairs(hyper, layer, context)));
	}
	work->attention = multiply(whole(each), whole(keys));
	work->attention_text =
		psprintf("2 x %d heads x (%d + %d) numbers x " INT64_FORMAT " keys of %d layers",
				 hyper->n_heads, hyper->key_length, hyper->value_length,
				 keys, hyper->n_layers);
}

static void
put_model_kv(ReturnSetInfo *rsinfo, const Hyper *hyper, int64 context,
			 int64 batch)
{
	KvLayout	layout = kv_layout(hyper);
	int64		pages = (context + KV_PAGE_POSITIONS - 1) /
		KV_PAGE_POSITIONS;

	put_bytes(rsinfo, "kv_cache",
			  multiply(multiply(whole(pages), whole((int64) layout.page_bytes)),
					   whole(batch)),
			  psprintf(INT64_FORMAT " pages of %d tokens x %zu bytes x batch " INT64_FORMAT ": %d layers, %d heads, %d + %d numbers of %zu bytes",
					   pages, KV_PAGE_POSITIONS, layout.page_bytes, batch,
					   hyper->n_layers, hyper->n_kv_heads, hyper->key_length,
					   hyper->value_length, layout.element));
}

static void
estimate_model(ReturnSetInfo *rsinfo, const ImageHeader *image,
			   int64 context, int64 batch)
{
	const Hyper *hyper = &image->hyper;
	int64		multiplied = multiplied_parameters(image);
	Work		work = {
		.parameters = whole(multiplied),
		.context = whole(context),
		.batch = whole(batch)
	};

	put(rsinfo, "parameters", whole(hyper->parameters), "parameters",
		psprintf("the elements of all tensors; a token is multiplied with " INT64_FORMAT " of them, the others are looked up",
				 multiplied));
	put_bytes(rsinfo, "weights", whole((int64) image->size),
			  psprintf("what the model takes in the cache, its tokenizer included: %.2f bits for each of " INT64_FORMAT " parameters",
					   8.0 * (double) image->size /
					   (double) hyper->parameters, hyper->parameters));

	/* keys and values of a text that is seen whole are not kept */
	if (hyper->causal)
		put_model_kv(rsinfo, hyper, context, batch);
	put_attention_weights(rsinfo, whole(hyper->n_layers),
						  whole(hyper->n_heads), &work);
	model_attention(hyper, context, &work);
	put_flops(rsinfo, &work);
	put_training_state(rsinfo, whole(hyper->parameters));
}

/* llm.estimate(model, context, batch) */
Datum
llm_estimate_model(PG_FUNCTION_ARGS)
{
	ModelRef   *model;
	WeightsPin	pin;
	int64		context;
	int64		batch = PG_ARGISNULL(2) ? 1 : PG_GETARG_INT32(2);

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	model = model_lookup(ARG_CSTRING(0), MODEL_ANY);
	context = PG_ARGISNULL(1) ? model->context_length : PG_GETARG_INT32(1);
	if (context < 1 || context > model->context_length)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("context must be 1 to %d", model->context_length),
				errdetail("That is the context length of model \"%s\".",
						  model->name));
	if (batch < 1)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("batch must be at least 1"));
	pin = weights_pin(model);
	estimate_model((ReturnSetInfo *) fcinfo->resultinfo, pin.image, context,
				   batch);
	weights_unpin(&pin);
	return (Datum) 0;
}
