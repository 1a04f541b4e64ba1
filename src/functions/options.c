/*-------------------------------------------------------------------------
 *
 * options.c
 *	  Options of functions: from jsonb to a struct, by the table of options
 *	  (options_table.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <math.h>

#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "functions/experiment_options.h"

#define FIELD(name) offsetof(Options, name)

/* A text of the caller in a message: not more than a few dozen bytes. */
static char *
clipped(const char *text, int length)
{
	int			clip = pg_mbcliplen(text, length, 64);

	return clip < length ? psprintf("%.*s...", clip, text) :
		pnstrdup(text, length);
}

void
option_wrong_type(const OptionRow *row)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("option \"%s\" has a value of the wrong type", row->name),
			errdetail("Its type is %s, allowed are: %s.", option_kind_text(row),
					  option_range_text(row)));
}

static void
out_of_range(const OptionRow *row, const char *value)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("value %s is out of range for option \"%s\"",
				   clipped(value, strlen(value)), row->name),
			errdetail("Allowed are: %s.", option_range_text(row)));
}

static void
unknown_option(const char *name, int length, int scope)
{
	const OptionRow *other = NULL;

	for (size_t i = 0; i < n_options; i++)
		if (strlen(option_table[i].name) == (size_t) length &&
			memcmp(option_table[i].name, name, length) == 0)
			other = &option_table[i];

	if (other != NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("option \"%s\" does not apply to %s", other->name,
					   option_functions_text(scope)),
				errdetail("It applies to: %s.",
						  option_functions_text(other->scopes)),
				errhint("Allowed here are: %s.", option_names_text(scope)));
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("unknown option \"%s\"", clipped(name, length)),
			errdetail("Allowed are: %s.", option_names_text(scope)),
			errhint("The view llm.options describes them."));
}

/*
 * Values
 */

static char *
value_utf8(const JsonbValue *value)
{
	char	   *text = pnstrdup(value->val.string.val, value->val.string.len);

	return pg_server_to_any(text, strlen(text), PG_UTF8);
}

static char *
numeric_text(const JsonbValue *value)
{
	Datum		number = NumericGetDatum(value->val.numeric);

	return DatumGetCString(DirectFunctionCall1(numeric_out, number));
}

static double
number_value(const OptionRow *row, const JsonbValue *value)
{
	Datum		exact;
	double		number;

	if (value->type != jbvNumeric)
		option_wrong_type(row);
	exact = NumericGetDatum(value->val.numeric);
	number = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
												exact));
	if (!(number >= row->min && number <= row->max))
		out_of_range(row, numeric_text(value));
	return number;
}

/* Numbers such as 5.0 are integers; everything else is checked exactly. */
static int64
integer_value(const OptionRow *row, const JsonbValue *value)
{
	Datum		largest;
	Datum		number;
	Datum		whole;

	(void) number_value(row, value);
	number = NumericGetDatum(value->val.numeric);
	whole = DirectFunctionCall2(numeric_trunc, number, Int32GetDatum(0));
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, number, whole)))
		option_wrong_type(row);
	largest = DirectFunctionCall1(int8_numeric, Int64GetDatum(PG_INT64_MAX));
	if (DatumGetBool(DirectFunctionCall2(numeric_gt, number, largest)))
		out_of_range(row, numeric_text(value));
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, number));
}

static int
choice_value(const OptionRow *row, const char *text)
{
	for (int i = 0; row->choices[i] != NULL; i++)
		if (strcmp(row->choices[i], text) == 0)
			return i;
	out_of_range(row, psprintf("\"%s\"", clipped(text, strlen(text))));
	return -1;
}

static char *
text_value(const OptionRow *row, const JsonbValue *value)
{
	char	   *utf8;

	if (value->type != jbvString)
		option_wrong_type(row);
	utf8 = value_utf8(value);
	if (row->choices != NULL)
		(void) choice_value(row, utf8);
	return utf8;
}

static void
add_stop(const OptionRow *row, Options *options, const JsonbValue *value)
{
	StopText   *stop;

	if (value->type != jbvString)
		option_wrong_type(row);
	if (options->n_stops == MAX_STOPS)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("option \"%s\" has more than %d texts", row->name,
					   MAX_STOPS));
	stop = &options->stops[options->n_stops++];
	stop->text = value_utf8(value);
	stop->length = strlen(stop->text);
	if (stop->length == 0 || stop->length > MAX_STOP_BYTES)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a text of option \"%s\" has %zu bytes", row->name,
					   stop->length),
				errdetail("Allowed are 1 to %d bytes.", MAX_STOP_BYTES));
}

static void
read_stop(const OptionRow *row, Options *options, const JsonbValue *value)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	item;

	options->stops = palloc0_array(StopText, MAX_STOPS);
	options->n_stops = 0;
	if (value->type == jbvString)
	{
		add_stop(row, options, value);
		return;
	}
	if (value->type != jbvBinary ||
		!JsonContainerIsArray(value->val.binary.data))
		option_wrong_type(row);
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
		if (token == WJB_ELEM)
			add_stop(row, options, &item);
}

static int32
bias_token(const OptionRow *row, const JsonbValue *key)
{
	char	   *text = pnstrdup(key->val.string.val, key->val.string.len);
	char	   *end;
	long		id;

	errno = 0;
	id = strtol(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 ||
		id > PG_INT32_MAX)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("key \"%s\" of option \"%s\" is not a token id",
					   clipped(text, strlen(text)), row->name),
				errhint("llm.tokenize() gives the ids of a text."));
	return (int32) id;
}

static void
read_bias(const OptionRow *row, Options *options, const JsonbValue *value)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	item;
	LogitBias  *bias;
	int			n = 0;

	if (value->type != jbvBinary ||
		!JsonContainerIsObject(value->val.binary.data))
		option_wrong_type(row);
	bias = palloc0_array(LogitBias, JsonContainerSize(value->val.binary.data));
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			bias[n].token = bias_token(row, &item);
		else if (token == WJB_VALUE)
			bias[n++].bias = (float) number_value(row, &item);
	}
	options->sampler.bias = bias;
	options->sampler.n_bias = n;
}

static void
read_prompts(const OptionRow *row, Options *options, const JsonbValue *value)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	item;
	PromptText *prompts;
	int			n = 0;

	if (value->type != jbvBinary ||
		!JsonContainerIsObject(value->val.binary.data))
		option_wrong_type(row);
	prompts = palloc0_array(PromptText,
							JsonContainerSize(value->val.binary.data));
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			prompts[n].name = value_utf8(&item);
		else if (token == WJB_VALUE)
			prompts[n++].text = text_value(row, &item);
	}
	options->prompts = prompts;
	options->n_prompts = n;
}

static void
read_value(const OptionRow *row, const JsonbValue *value, Options *options)
{
	char	   *field = (char *) options + row->offset;

	switch (row->kind)
	{
		case OPTION_BOOLEAN:
			if (value->type != jbvBool)
				option_wrong_type(row);
			*(bool *) field = value->val.boolean;
			break;
		case OPTION_TRISTATE:
			if (value->type != jbvBool)
				option_wrong_type(row);
			*(Tristate *) field = value->val.boolean ? TRISTATE_TRUE :
				TRISTATE_FALSE;
			break;
		case OPTION_INTEGER:
			*(int32 *) field = (int32) integer_value(row, value);
			if (row->choices != NULL)
				(void) choice_value(row, psprintf("%d", *(int32 *) field));
			break;
		case OPTION_BIGINT:
			*(int64 *) field = integer_value(row, value);
			break;
		case OPTION_NUMBER:
			*(double *) field = number_value(row, value);
			break;
		case OPTION_TEXT:
			*(char **) field = text_value(row, value);
			break;
		case OPTION_CHOICE:
			*(int *) field = choice_value(row, text_value(row, value));
			break;
		case OPTION_STOP:
			read_stop(row, options, value);
			break;
		case OPTION_BIAS:
			read_bias(row, options, value);
			break;
		case OPTION_PROMPTS:
			read_prompts(row, options, value);
			break;
		case OPTION_ABLATE:
		case OPTION_PATCH:
		case OPTION_STEER:
			read_edits(row, options, value);
			break;
	}
	if (row->offset == FIELD(sampler.seed))
		options->seed_given = true;
}

/*
 * Objects
 */

static const OptionRow *
find_option(const JsonbValue *key, int scope)
{
	for (size_t i = 0; i < n_options; i++)
		if (strlen(option_table[i].name) == (size_t) key->val.string.len &&
			memcmp(option_table[i].name, key->val.string.val,
				   key->val.string.len) == 0 &&
			option_applies(&option_table[i], scope))
			return &option_table[i];
	return NULL;
}

/* strict: keys that do not apply are errors. */
static void
read_object(int scope, const Jsonb *jsonb, bool strict, Options *options)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;
	const OptionRow *row = NULL;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("options must be a JSON object"),
				errhint("For example: '{\"max_tokens\": 32}'."));
	it = JsonbIteratorInit(unconstify(JsonbContainer *, &jsonb->root));
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			row = find_option(&value, scope);
			if (row == NULL && strict)
				unknown_option(value.val.string.val, value.val.string.len,
							   scope);
			if (row != NULL && !strict && option_is_experiment(row))
				row = NULL;
		}
		else if (token == WJB_VALUE && row != NULL && value.type != jbvNull)
		{
			read_value(row, &value, options);
			if (strict && row->offset == FIELD(max_tokens))
				options->max_tokens_given = true;
		}
	}
}

static Options *
default_options(void)
{
	Options    *options = palloc0_object(Options);

	options->max_tokens = 128;
	options->sampler.typical_p = 1.0;
	options->sampler.top_p = 1.0;
	options->sampler.repeat_penalty = 1.0;
	options->sampler.repeat_last_n = 64;
	options->logprobs = -1;
	options->add_special = TRISTATE_UNSET;
	options->add_generation_prompt = true;
	options->activation_bits = 16;
	options->normalize = TRISTATE_UNSET;
	options->pooling = -1;
	return options;
}

/* The model's chat template concerns every function that renders. */
static void
read_model_defaults(OptionScope scope, const Jsonb *model, Options *options)
{
	static const int rendering = OPTIONS_ASK | OPTIONS_CHAT | OPTIONS_TEMPLATE;

	read_object(scope | OPTIONS_MODEL, model, false, options);
	if ((scope & rendering) != 0)
	{
		JsonbContainer *root = unconstify(JsonbContainer *, &model->root);
		JsonbValue	value;

		if (getKeyJsonValueFromContainer(root, "chat_template",
										 strlen("chat_template"),
										 &value) != NULL &&
			value.type == jbvString)
			options->chat_template = value_utf8(&value);
	}
}

Options *
options_read(OptionScope scope, const Jsonb *call, const Jsonb *model)
{
	Options    *options = default_options();

	if (model != NULL)
		read_model_defaults(scope, model, options);
	if (call != NULL)
		read_object(scope, call, true, options);
	return options;
}

Options *
options_read_load(const Jsonb *jsonb)
{
	Options    *options = default_options();

	if (jsonb != NULL)
		read_object(OPTIONS_LOAD, jsonb, true, options);
	return options;
}

void
options_check_alter(const Jsonb *jsonb)
{
	Options    *options = default_options();

	read_object(OPTIONS_ALTER, jsonb, true, options);
	pfree(options);
}
