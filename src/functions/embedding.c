/*-------------------------------------------------------------------------
 *
 * embedding.c
 *	  Texts to vectors, for every function that embeds.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "functions/embedding.h"
#include "functions/encoder_passes.h"

struct Embedder
{
	ModelUse   *use;
	const Options *options;
	EncoderPasses *passes;
	int			dimensions;
	bool		normalize;
	const char *prefix;			/* UTF-8 */
	int64		room;			/* most tokens of a text */
	int			n_first;		/* special tokens that begin a text */
	int			n_last;			/* and that end it */
	int32_t    *last;			/* [n_last] */
	float	   *pooled;
	MemoryContext result;		/* of the vectors */
	ArrayType **vectors;
	bool		one_text;
	int			number;			/* of the next text in the call */
};

/*
 * What the options mean for this model
 */

static PoolingKind
pooling_of(const ModelUse *use, const Options *options)
{
	PoolingKind own = (PoolingKind) use->hyper->pooling;

	if (options->pooling >= 0)
		return (PoolingKind) (POOLING_MEAN + options->pooling);
	if (own == POOLING_RANK)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("model \"%s\" cannot embed", use->model->name),
				errdetail("It is made to score pairs of texts."),
				errhint("Use llm.rerank, or the option \"pooling\": \"mean\", \"cls\" or \"last\"."));
	if (own == POOLING_NONE)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("model \"%s\" cannot embed", use->model->name),
				errdetail("It does not say how the states of its tokens become one vector."),
				errhint("Use the option \"pooling\": \"mean\", \"cls\" or \"last\", of the call or when the model is loaded."));
	return own;
}

static int
dimensions_of(const ModelUse *use, const Options *options)
{
	if (options->dimensions > use->hyper->output_length)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("value %d is out of range for option \"dimensions\"",
					   options->dimensions),
				errdetail("Vectors of model \"%s\" have %d dimensions.",
						  use->model->name, use->hyper->output_length));
	return options->dimensions > 0 ? options->dimensions :
		use->hyper->output_length;
}

static char *
prompt_names(const Options *options)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < options->n_prompts; i++)
	{
		const char *name = options->prompts[i].name;

		appendStringInfo(&buf, "%s\"%s\"", i > 0 ? ", " : "",
						 engine_text(name, strlen(name)));
	}
	return buf.data;
}

static const char *
find_prompt(const ModelUse *use, const Options *options, const char *name)
{
	int			length = (int) strlen(name);

	for (int i = 0; i < options->n_prompts; i++)
		if (strcmp(options->prompts[i].name, name) == 0)
			return options->prompts[i].text;
	length = pg_encoding_mbcliplen(PG_UTF8, name, length, 64);
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("model \"%s\" has no prompt \"%s\"", use->model->name,
				   engine_text(name, (size_t) length)),
			options->n_prompts > 0 ?
			errdetail("Its prompts are %s.", prompt_names(options)) :
			errdetail("It has no prompts."),
			errhint("The option \"prefix\" takes any text."));
}

static const char *
prefix_of(const ModelUse *use, const Options *options)
{
	if (options->prompt != NULL && options->prefix != NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("options \"prompt\" and \"prefix\" exclude each other"));
	if (options->prefix != NULL)
		return options->prefix;
	if (options->prompt != NULL)
		return find_prompt(use, options, options->prompt);
	if (options->default_prompt != NULL)
		return find_prompt(use, options, options->default_prompt);
	return "";
}

/* Special tokens, which a cut must keep: those of an empty text. */
static void
find_specials(Embedder *embedder)
{
	const Tokenizer *tokenizer = &embedder->use->tokenizer;
	bool		more;
	TokenList	list = passes_encode(embedder->passes, "", 0,
									 TOKENIZE_ADD_SPECIAL, 0, &more);
	size_t		bytes;

	embedder->n_first = tokenizer->add_bos && tokenizer->bos >= 0 &&
		list.n > 0 ? 1 : 0;
	embedder->n_last = (int) list.n - embedder->n_first;
	bytes = embedder->n_last * sizeof(int32_t);
	embedder->last = MemoryContextAlloc(embedder->use->context, bytes + 1);
	if (bytes > 0)
		memcpy(embedder->last, list.ids + embedder->n_first, bytes);
	passes_forget(embedder->passes);
}

/*
 * A text
 */

static void
too_long(const Embedder *embedder, size_t n)
{
	ereport(ERROR,
			errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			errmsg("text has %zu tokens, but only " INT64_FORMAT " fit", n,
				   embedder->room),
			passes_room_detail(embedder->use, embedder->options),
			errhint("Shorten the text, or use the option \"truncate\": \"start\" or \"end\"."));
}

/* Drop tokens between the special ones. */
static void
cut(const Embedder *embedder, TokenList *list)
{
	size_t		room = (size_t) embedder->room;
	size_t		kept = embedder->n_first;
	size_t		last = embedder->n_last;

	if (room <= kept + last)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("only " INT64_FORMAT " tokens fit", embedder->room),
				passes_room_detail(embedder->use, embedder->options));
	if (embedder->options->truncate == TRUNCATE_START)
		memmove(list->ids + kept, list->ids + list->n - (room - kept),
				(room - kept) * sizeof(int32_t));
	else if (last > 0)
		memcpy(list->ids + room - last, embedder->last,
			   last * sizeof(int32_t));
	list->n = room;
}

static const char *
with_prefix(const Embedder *embedder, const text *input, size_t *length)
{
	const char *utf8 = text_to_utf8(input, length);
	size_t		prefix = strlen(embedder->prefix);
	char	   *both;

	if (prefix == 0)
		return utf8;
	both = MemoryContextAllocHuge(CurrentMemoryContext, prefix + *length + 1);
	memcpy(both, embedder->prefix, prefix);
	memcpy(both + prefix, utf8, *length);
	*length += prefix;
	return both;
}

/* The tokens of a text, in the scratch of passes. */
static TokenList
encode(Embedder *embedder, const text *input)
{
	/* what will be cut off at the end need not be computed */
	int64		max = embedder->options->truncate == TRUNCATE_END ?
		embedder->room : 0;
	MemoryContext old = MemoryContextSwitchTo(embedder->passes->scratch);
	size_t		length;
	const char *utf8 = with_prefix(embedder, input, &length);
	bool		more;
	TokenList	list = passes_encode(embedder->passes, utf8, length,
									 TOKENIZE_ADD_SPECIAL, max, &more);

	MemoryContextSwitchTo(old);
	if (list.n == 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("text has no tokens"),
				errdetail("Model \"%s\" has no token that begins or ends a text.",
						  embedder->use->model->name));
	if (more || (int64) list.n > embedder->room)
	{
		if (embedder->options->truncate == TRUNCATE_ERROR)
			too_long(embedder, list.n);
		cut(embedder, &list);
	}
	return list;
}

static ArrayType *
make_vector(const float *values, int n, MemoryContext context)
{
	size_t		size = ARR_OVERHEAD_NONULLS(1) + n * sizeof(float4);
	ArrayType  *array = MemoryContextAllocZero(context, size);

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = FLOAT4OID;
	ARR_DIMS(array)[0] = n;
	ARR_LBOUND(array)[0] = 1;
	memcpy(ARR_DATA_PTR(array), values, n * sizeof(float4));
	return array;
}

static void
take_vector(void *arg, const float *vector, int index)
{
	Embedder   *embedder = arg;

	memcpy(embedder->pooled, vector, embedder->dimensions * sizeof(float));
	if (embedder->normalize)
		vector_normalise(embedder->pooled, embedder->dimensions);
	embedder->vectors[index] = make_vector(embedder->pooled,
										   embedder->dimensions,
										   embedder->result);
}

/* Which of the texts of a call an error is about. */
static void
name_text(void *arg)
{
	const Embedder *embedder = arg;

	errcontext("text %d", embedder->number);
}

/*
 * The call
 */

Embedder *
embedder_begin(const ModelRef *model, const Options *options, bool one_text)
{
	ModelUse   *use = model_use_begin(model);
	Embedder   *embedder = MemoryContextAllocZero(use->context,
												  sizeof(Embedder));
	PoolingKind pooling = pooling_of(use, options);

	embedder->use = use;
	embedder->options = options;
	embedder->one_text = one_text;
	embedder->dimensions = dimensions_of(use, options);
	embedder->normalize = options->normalize != TRISTATE_FALSE;
	embedder->prefix = prefix_of(use, options);
	embedder->room = passes_room(use, options);
	embedder->passes = passes_begin(use, pooling, take_vector, embedder);
	if (options->truncate != TRUNCATE_ERROR)
		find_specials(embedder);
	embedder->pooled = MemoryContextAlloc(use->context,
										  embedder->dimensions *
										  sizeof(float));
	return embedder;
}

void
embedder_run(Embedder *embedder, const text *const *inputs, int n,
			 ArrayType **vectors)
{
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = name_text,
		.arg = embedder,
	};

	embedder->result = CurrentMemoryContext;
	embedder->vectors = vectors;
	for (int i = 0; i < n; i++)
	{
		TokenList	list;

		vectors[i] = NULL;
		if (inputs[i] != NULL)
		{
			if (!embedder->one_text)
				error_context_stack = &callback;
			list = encode(embedder, inputs[i]);
			error_context_stack = callback.previous;
			passes_add(embedder->passes, i, &list, (int64) list.n);
			passes_forget(embedder->passes);
		}
		embedder->number++;
	}
	passes_run(embedder->passes);
}

int
embedder_number(const Embedder *embedder)
{
	return embedder->number;
}

void
embedder_end(Embedder *embedder)
{
	model_use_end(embedder->use);
}

ArrayType **
embed_texts(const ModelRef *model, const Options *options,
			const text *const *inputs, int n)
{
	ArrayType **vectors = MemoryContextAllocHuge(CurrentMemoryContext,
												 (n + 1) * sizeof(ArrayType *));
	Embedder   *embedder = embedder_begin(model, options, n == 1);

	embedder_run(embedder, inputs, n, vectors);
	embedder_end(embedder);
	return vectors;
}

ArrayType *
embed_text(const ModelRef *model, const Options *options, const text *input)
{
	return embed_texts(model, options, &input, 1)[0];
}
