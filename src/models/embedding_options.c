/*-------------------------------------------------------------------------
 *
 * embedding_options.c
 *	  What a model file says about embedding, as options of the model.
 *
 * Keys of the file (hugging_face_model.h): <architecture>.pooling_type, which
 * other engines know as well, llm.normalize, llm.max_length, llm.prompts.names
 * and .texts, llm.default_prompt.  Their texts are not trusted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "host.h"
#include "models/embedding_options.h"
#include "models/registry.h"

#define MAX_PROMPTS 64
#define MAX_PROMPT_BYTES (10 * 1024)

/* Those with which vectors are made from the states of tokens. */
static const char *const pooling_names[] = {
	[POOLING_MEAN] = "mean",
	[POOLING_CLS] = "cls",
	[POOLING_LAST] = "last",
};

/* While the options of a file are collected. */
typedef struct FileOptions
{
	const ImagePlan *plan;
	ByteSource *source;
	EngineArena *arena;
	const char *model;
	JsonbParseState *state;
} FileOptions;

static bool
is_pooled(PoolingKind pooling)
{
	return pooling == POOLING_MEAN || pooling == POOLING_CLS ||
		pooling == POOLING_LAST;
}

/* Is it there?  Values that are were checked when they were given. */
static bool
find_option(const Jsonb *options, const char *name, JsonbValue *value)
{
	JsonbContainer *root = unconstify(JsonbContainer *, &options->root);

	return getKeyJsonValueFromContainer(root, name, strlen(name),
										value) != NULL;
}

PoolingKind
model_pooling(const Hyper *hyper, const Jsonb *options)
{
	JsonbValue	given;

	if (find_option(options, "pooling", &given) && given.type == jbvString)
		for (int i = POOLING_MEAN; i <= POOLING_LAST; i++)
			if (strlen(pooling_names[i]) == (size_t) given.val.string.len &&
				memcmp(pooling_names[i], given.val.string.val,
					   given.val.string.len) == 0)
				return (PoolingKind) i;
	if (hyper->pooling == POOLING_NONE && !hyper->causal)
		return POOLING_MEAN;
	return (PoolingKind) hyper->pooling;
}

/*
 * From the file
 */

static void
set_text(JsonbValue *value, const char *bytes, size_t length)
{
	value->type = jbvString;
	value->val.string.val = engine_text(bytes, length);
	value->val.string.len = strlen(value->val.string.val);
}

static void
push_name(FileOptions *file, const char *name)
{
	JsonbValue	key;

	set_text(&key, name, strlen(name));
	pushJsonbValue(&file->state, WJB_KEY, &key);
}

static void
push_option(FileOptions *file, const char *name, JsonbValue *value)
{
	push_name(file, name);
	pushJsonbValue(&file->state, WJB_VALUE, value);
}

static void
push_pooling(FileOptions *file)
{
	const Hyper *hyper = &file->plan->header.hyper;
	PoolingKind pooling = hyper->pooling == POOLING_NONE && !hyper->causal ?
		POOLING_MEAN : (PoolingKind) hyper->pooling;
	JsonbValue	value;

	if (!is_pooled(pooling))
		return;
	set_text(&value, pooling_names[pooling], strlen(pooling_names[pooling]));
	push_option(file, "pooling", &value);
}

static void
push_normalize(FileOptions *file)
{
	EngineStatus status;
	JsonbValue	value;

	if (gguf_find_key(&file->plan->file, "llm.normalize") == NULL)
		return;
	value.type = jbvBool;
	value.val.boolean = false;
	engine_check(gguf_get_bool(&file->plan->file, "llm.normalize",
							   &value.val.boolean, &status),
				 &status, file->model);
	push_option(file, "normalize", &value);
}

static void
push_max_length(FileOptions *file)
{
	EngineStatus status;
	int64_t		length = 0;
	JsonbValue	value;

	engine_check(gguf_get_int(&file->plan->file, "llm.max_length", 1,
							  PG_INT32_MAX, &length, &status),
				 &status, file->model);
	if (length == 0)
		return;
	length = Min(length, file->plan->header.hyper.context_length);
	value.type = jbvNumeric;
	value.val.numeric = int64_to_numeric(length);
	push_option(file, "max_length", &value);
}

/* The items of an array of texts; their number, 0 if there is none. */
static int
read_texts(FileOptions *file, const char *name, JsonbValue *texts)
{
	const GgufKey *key = gguf_find_key(&file->plan->file, name);
	EngineStatus status;
	GgufCursor	cursor;

	if (key == NULL)
		return 0;
	if (key->count > MAX_PROMPTS)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("key \"%s\" of the file has %llu texts: at most %d are allowed",
					   name, (unsigned long long) key->count, MAX_PROMPTS));
	engine_check(gguf_cursor_open(file->source, key, GGUF_STRING, file->arena,
								  &cursor, &status),
				 &status, file->model);
	for (uint64 i = 0; i < key->count; i++)
	{
		const char *text;
		size_t		length;

		engine_check(gguf_next_string(&cursor, MAX_PROMPT_BYTES, &text,
									  &length, &status),
					 &status, file->model);
		set_text(&texts[i], text, length);
	}
	return (int) key->count;
}

static bool
same_text(const JsonbValue *a, const JsonbValue *b)
{
	return a->val.string.len == b->val.string.len &&
		memcmp(a->val.string.val, b->val.string.val, a->val.string.len) == 0;
}

/* Only if it is the name of a prompt. */
static void
push_default_prompt(FileOptions *file, const JsonbValue *names, int n)
{
	EngineStatus status;
	const char *text = NULL;
	size_t		length = 0;
	JsonbValue	value;

	engine_check(gguf_get_string(&file->plan->file, "llm.default_prompt",
								 &text, &length, &status),
				 &status, file->model);
	if (text == NULL || length > MAX_PROMPT_BYTES)
		return;
	set_text(&value, text, length);
	for (int i = 0; i < n; i++)
	{
		if (!same_text(&names[i], &value))
			continue;
		push_option(file, "default_prompt", &value);
		return;
	}
}

static void
push_prompts(FileOptions *file)
{
	JsonbValue	names[MAX_PROMPTS];
	JsonbValue	texts[MAX_PROMPTS];
	int			n = read_texts(file, "llm.prompts.names", names);

	if (read_texts(file, "llm.prompts.texts", texts) != n)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				errmsg("keys \"%s\" and \"%s\" of the file differ in length",
					   "llm.prompts.names", "llm.prompts.texts"));
	if (n == 0)
		return;
	push_name(file, "prompts");
	pushJsonbValue(&file->state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < n; i++)
	{
		pushJsonbValue(&file->state, WJB_KEY, &names[i]);
		pushJsonbValue(&file->state, WJB_VALUE, &texts[i]);
	}
	pushJsonbValue(&file->state, WJB_END_OBJECT, NULL);
	push_default_prompt(file, names, n);
}

static Jsonb *
file_options(FileOptions *file, int capabilities)
{
	pushJsonbValue(&file->state, WJB_BEGIN_OBJECT, NULL);
	if ((capabilities & MODEL_EMBED) != 0)
	{
		push_pooling(file);
		push_normalize(file);
		push_prompts(file);
	}
	if ((capabilities & (MODEL_EMBED | MODEL_RERANK)) != 0)
		push_max_length(file);
	return JsonbValueToJsonb(pushJsonbValue(&file->state, WJB_END_OBJECT,
											NULL));
}

/*
 * From the caller
 */

static void
refuse_unused(const char *option, const Jsonb *given, const Hyper *hyper)
{
	JsonbValue	value;

	if (!find_option(given, option, &value))
		return;
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("option \"%s\" is of no use to a model that does not embed",
				   option),
			hyper->causal && strcmp(option, "pooling") != 0 ?
			errhint("With the option \"pooling\" this model embeds as well.") :
			0);
}

static void
check_unused(const Jsonb *given, int capabilities, const Hyper *hyper)
{
	static const char *const embed_only[] = {
		"pooling", "normalize", "prompts", "default_prompt",
	};

	if ((capabilities & MODEL_EMBED) != 0)
		return;
	for (size_t i = 0; i < lengthof(embed_only); i++)
		refuse_unused(embed_only[i], given, hyper);
	if ((capabilities & MODEL_RERANK) == 0)
		refuse_unused("max_length", given, hyper);
}

static void
check_max_length(const Jsonb *given, const Hyper *hyper)
{
	JsonbValue	value;
	Datum		number;
	int64		length;

	if (!find_option(given, "max_length", &value))
		return;
	number = NumericGetDatum(value.val.numeric);
	length = DatumGetInt64(DirectFunctionCall1(numeric_int8, number));
	if (length > hyper->context_length)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("value %lld is out of range for option \"max_length\"",
					   (long long) length),
				errdetail("The context of the model has %d tokens.",
						  hyper->context_length));
}

static Jsonb *
without_option(Jsonb *options, const char *name)
{
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_delete,
											  JsonbPGetDatum(options),
											  CStringGetTextDatum(name)));
}

/* A default that is no prompt of the model: an error if it was given. */
static Jsonb *
check_default_prompt(Jsonb *options, const Jsonb *given)
{
	JsonbValue	name;
	JsonbValue	prompts;
	JsonbValue	found;

	if (!find_option(options, "default_prompt", &name) ||
		(find_option(options, "prompts", &prompts) &&
		 getKeyJsonValueFromContainer(prompts.val.binary.data,
									  name.val.string.val,
									  name.val.string.len, &found) != NULL))
		return options;
	if (find_option(given, "default_prompt", &found))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("option \"default_prompt\" names no prompt of the model"));
	return without_option(options, "default_prompt");
}

Jsonb *
embedding_options(const ImagePlan *plan, ByteSource *source,
				  EngineArena *arena, const char *model, int capabilities,
				  Jsonb *given)
{
	FileOptions file = {plan, source, arena, model, NULL};
	const Hyper *hyper = &plan->header.hyper;
	Datum		merged;

	check_unused(given, capabilities, hyper);
	check_max_length(given, hyper);
	merged = DirectFunctionCall2(jsonb_concat,
								 JsonbPGetDatum(file_options(&file,
															 capabilities)),
								 JsonbPGetDatum(given));
	return check_default_prompt(DatumGetJsonbP(merged), given);
}
