/*-------------------------------------------------------------------------
 *
 * options.c
 *	  Options of functions: one table, from jsonb to a struct.
 *
 * The table below is all that there is to know about an option: the parser,
 * the texts of errors and the view llm.options are made from it.  A new
 * option is a new row, and a field of Options.
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
#include "utils/tuplestore.h"

#include "functions/options.h"

typedef enum OptionKind
{
	OPTION_BOOLEAN,				/* bool */
	OPTION_TRISTATE,			/* Tristate */
	OPTION_INTEGER,				/* int32 */
	OPTION_BIGINT,				/* int64 */
	OPTION_NUMBER,				/* double */
	OPTION_TEXT,				/* char *, UTF-8 */
	OPTION_CHOICE,				/* int, index into choices */
	OPTION_STOP,				/* stops and n_stops */
	OPTION_BIAS					/* sampler.bias and n_bias */
} OptionKind;

typedef struct OptionRow
{
	const char *name;
	OptionKind	kind;
	int			scopes;			/* OptionScope bits */
	size_t		offset;			/* of the field in Options */
	double		min,
				max;
	const char *const *choices;
	const char *default_text;	/* as the view shows it */
	const char *range_text;		/* NULL: made from min and max */
	const char *description;
} OptionRow;

#define GENERATION (OPTIONS_GENERATE | OPTIONS_COMPLETION | OPTIONS_ASK | \
					OPTIONS_CHAT)
#define FIELD(name) offsetof(Options, name)

static const char *const truncate_choices[] = {"error", "start", "end", NULL};
static const char *const quantization_choices[] = {"keep", NULL};
static const char *const bits_choices[] = {"8", "16", NULL};

static const OptionRow table[] = {
	{
		"max_tokens", OPTION_BIGINT, GENERATION, FIELD(max_tokens),
		1, PG_INT32_MAX, NULL, "128", "1 to the context length",
		"the most tokens to generate; less when the context is full"
	},
	{
		"temperature", OPTION_NUMBER, GENERATION, FIELD(sampler.temperature),
		0, 10, NULL, "0", NULL,
		"0: always the most likely token; higher: more random"
	},
	{
		"top_k", OPTION_INTEGER, GENERATION, FIELD(sampler.top_k),
		0, PG_INT32_MAX, NULL, "0", "0 (off) or more",
		"choose among the k most likely tokens"
	},
	{
		"typical_p", OPTION_NUMBER, GENERATION, FIELD(sampler.typical_p),
		0, 1, NULL, "1", NULL,
		"choose among the tokens nearest to the expected surprise that together have this probability"
	},
	{
		"top_p", OPTION_NUMBER, GENERATION, FIELD(sampler.top_p),
		0, 1, NULL, "1", NULL,
		"choose among the most likely tokens that together have this probability"
	},
	{
		"min_p", OPTION_NUMBER, GENERATION, FIELD(sampler.min_p),
		0, 1, NULL, "0", NULL,
		"choose among the tokens that have at least this fraction of the largest probability"
	},
	{
		"repeat_penalty", OPTION_NUMBER, GENERATION,
		FIELD(sampler.repeat_penalty),
		0.01, 100, NULL, "1", NULL,
		"divides positive and multiplies negative logits of recent tokens"
	},
	{
		"repeat_last_n", OPTION_INTEGER, GENERATION,
		FIELD(sampler.repeat_last_n),
		-1, PG_INT32_MAX, NULL, "64", "-1 (all), 0 (none) or more",
		"how many of the last tokens of prompt and output repeat_penalty looks at"
	},
	{
		"presence_penalty", OPTION_NUMBER, GENERATION,
		FIELD(sampler.presence_penalty),
		-2, 2, NULL, "0", NULL,
		"taken from the logit of every token that the output has"
	},
	{
		"frequency_penalty", OPTION_NUMBER, GENERATION,
		FIELD(sampler.frequency_penalty),
		-2, 2, NULL, "0", NULL,
		"taken from the logit of a token for each time that the output has it"
	},
	{
		"logit_bias", OPTION_BIAS, GENERATION, FIELD(sampler.bias),
		-100, 100, NULL, "{}", "{\"token id\": -100 to 100}",
		"added to the logits of tokens"
	},
	{
		"seed", OPTION_BIGINT, GENERATION, FIELD(sampler.seed),
		0, 9223372036854775807.0, NULL, "random", "0 to 9223372036854775807",
		"makes random choices repeatable; completion shows the seed used"
	},
	{
		"stop", OPTION_STOP, GENERATION, FIELD(stops),
		0, 0, NULL, "[]", "a text, or an array of at most 16",
		"texts that end the output, which does not contain them"
	},
	{
		"ignore_eos", OPTION_BOOLEAN, GENERATION, FIELD(sampler.ignore_end),
		0, 0, NULL, "false", NULL,
		"end tokens are never chosen"
	},
	{
		"logprobs", OPTION_INTEGER, OPTIONS_COMPLETION, FIELD(logprobs),
		0, 20, NULL, "off", NULL,
		"report log-probabilities, and those of so many most likely tokens"
	},
	{
		"truncate", OPTION_CHOICE, GENERATION, FIELD(truncate),
		0, 0, truncate_choices, "error", NULL,
		"what to do with a prompt that does not fit: an error, or cut its start or end"
	},
	{
		"parse_special", OPTION_BOOLEAN,
		OPTIONS_GENERATE | OPTIONS_COMPLETION | OPTIONS_TOKENIZE,
		FIELD(parse_special),
		0, 0, NULL, "false", NULL,
		"control tokens that are written in the text are recognised"
	},
	{
		"add_special", OPTION_TRISTATE,
		OPTIONS_GENERATE | OPTIONS_COMPLETION | OPTIONS_TOKENIZE,
		FIELD(add_special),
		0, 0, NULL, "the model's own", NULL,
		"add the token that begins a text (tokenize: also the one that ends it, if the model asks for it)"
	},
	{
		"system", OPTION_TEXT, OPTIONS_ASK, FIELD(system),
		0, 0, NULL, "the template's own", NULL,
		"the system message before the question"
	},
	{
		"add_generation_prompt", OPTION_BOOLEAN, OPTIONS_TEMPLATE,
		FIELD(add_generation_prompt),
		0, 0, NULL, "true", NULL,
		"end the text with the beginning of an answer"
	},
	{
		"quantization", OPTION_TEXT, OPTIONS_LOAD, FIELD(quantization),
		0, 0, quantization_choices, "keep", NULL,
		"the type to store weights in; a GGUF file is kept as it is"
	},
	{
		"activation_bits", OPTION_INTEGER, OPTIONS_LOAD,
		FIELD(activation_bits),
		8, 16, bits_choices, "16", NULL,
		"precision of activations: 16 equals f32, 8 reads prompts faster"
	},
	{
		"chat_template", OPTION_TEXT,
		OPTIONS_LOAD, FIELD(chat_template),
		0, 0, NULL, "the file's own", "a family's name, or a template",
		"the chat template of the model"
	},
};

/* The functions of each scope, for texts. */
typedef struct ScopeFunctions
{
	OptionScope scope;
	const char *functions[4];
} ScopeFunctions;

static const ScopeFunctions scope_functions[] = {
	{OPTIONS_GENERATE, {"generate", "generate_stream", "generate_batch"}},
	{OPTIONS_COMPLETION, {"completion"}},
	{OPTIONS_ASK, {"ask"}},
	{OPTIONS_CHAT, {"chat"}},
	{OPTIONS_TEMPLATE, {"apply_chat_template"}},
	{OPTIONS_TOKENIZE, {"tokenize", "count_tokens"}},
	{OPTIONS_LOAD, {"load_model"}},
};

/* Everything that load_model and alter_model take as a model's default. */
static bool
is_generation_option(const OptionRow *row)
{
	return (row->scopes & GENERATION) != 0;
}

static bool
applies(const OptionRow *row, int scope)
{
	if ((row->scopes & scope) != 0)
		return true;
	return (scope & OPTIONS_LOAD) != 0 && is_generation_option(row);
}

/*
 * Texts of errors and of the view
 */

static const char *
kind_text(const OptionRow *row)
{
	switch (row->kind)
	{
		case OPTION_BOOLEAN:
		case OPTION_TRISTATE:
			return "boolean";
		case OPTION_INTEGER:
			return "integer";
		case OPTION_BIGINT:
			return "bigint";
		case OPTION_NUMBER:
			return "number";
		case OPTION_TEXT:
		case OPTION_CHOICE:
			return "text";
		case OPTION_STOP:
			return "text or array";
		case OPTION_BIAS:
			return "object";
	}
	return NULL;
}

static char *
range_text(const OptionRow *row)
{
	StringInfoData buf;

	if (row->range_text != NULL)
		return pstrdup(row->range_text);
	initStringInfo(&buf);
	if (row->choices != NULL)
	{
		for (int i = 0; row->choices[i] != NULL; i++)
			appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
							 row->choices[i]);
	}
	else if (row->min < row->max)
		appendStringInfo(&buf, "%g to %g", row->min, row->max);
	else if (row->kind == OPTION_BOOLEAN || row->kind == OPTION_TRISTATE)
		appendStringInfoString(&buf, "true, false");
	else
		appendStringInfoString(&buf, "any");
	return buf.data;
}

static char *
functions_text(int scopes)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (size_t i = 0; i < lengthof(scope_functions); i++)
	{
		if ((scope_functions[i].scope & scopes) == 0)
			continue;
		for (int j = 0; scope_functions[i].functions[j] != NULL; j++)
			appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "",
							 scope_functions[i].functions[j]);
	}
	return buf.data;
}

static char *
names_text(int scope)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (size_t i = 0; i < lengthof(table); i++)
		if (applies(&table[i], scope))
			appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "",
							 table[i].name);
	return buf.data;
}

/* A text of the caller in a message: not more than a few dozen bytes. */
static char *
clipped(const char *text, int length)
{
	int			clip = pg_mbcliplen(text, length, 64);

	return clip < length ? psprintf("%.*s...", clip, text) :
		pnstrdup(text, length);
}

static void
wrong_type(const OptionRow *row)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("option \"%s\" has a value of the wrong type", row->name),
			errdetail("Its type is %s, allowed are: %s.", kind_text(row),
					  range_text(row)));
}

static void
out_of_range(const OptionRow *row, const char *value)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("value %s is out of range for option \"%s\"",
				   clipped(value, strlen(value)), row->name),
			errdetail("Allowed are: %s.", range_text(row)));
}

static void
unknown_option(const char *name, int length, int scope)
{
	const OptionRow *other = NULL;

	for (size_t i = 0; i < lengthof(table); i++)
		if (strlen(table[i].name) == (size_t) length &&
			memcmp(table[i].name, name, length) == 0)
			other = &table[i];

	if (other != NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("option \"%s\" does not apply to %s", other->name,
					   functions_text(scope)),
				errdetail("It applies to: %s.",
						  functions_text(other->scopes)),
				errhint("Allowed here are: %s.", names_text(scope)));
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("unknown option \"%s\"", clipped(name, length)),
			errdetail("Allowed are: %s.", names_text(scope)),
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
		wrong_type(row);
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
		wrong_type(row);
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
		wrong_type(row);
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
		wrong_type(row);
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
		wrong_type(row);
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
		wrong_type(row);
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
read_value(const OptionRow *row, const JsonbValue *value, Options *options)
{
	char	   *field = (char *) options + row->offset;

	switch (row->kind)
	{
		case OPTION_BOOLEAN:
			if (value->type != jbvBool)
				wrong_type(row);
			*(bool *) field = value->val.boolean;
			break;
		case OPTION_TRISTATE:
			if (value->type != jbvBool)
				wrong_type(row);
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
	for (size_t i = 0; i < lengthof(table); i++)
		if (strlen(table[i].name) == (size_t) key->val.string.len &&
			memcmp(table[i].name, key->val.string.val,
				   key->val.string.len) == 0 &&
			applies(&table[i], scope))
			return &table[i];
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
	return options;
}

/* The model's chat template concerns every function that renders. */
static void
read_model_defaults(OptionScope scope, const Jsonb *model, Options *options)
{
	static const int rendering = OPTIONS_ASK | OPTIONS_CHAT | OPTIONS_TEMPLATE;

	read_object(scope, model, false, options);
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

	read_object(GENERATION, jsonb, true, options);
	pfree(options);
}

/*
 * llm._options(): the rows of the view llm.options.
 */
PG_FUNCTION_INFO_V1(llm_options);
Datum
llm_options(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (size_t i = 0; i < lengthof(table); i++)
	{
		const OptionRow *row = &table[i];
		Datum		values[6];
		bool		nulls[6] = {false};

		values[0] = CStringGetTextDatum(row->name);
		values[1] = CStringGetTextDatum(kind_text(row));
		values[2] = CStringGetTextDatum(row->default_text);
		values[3] = CStringGetTextDatum(range_text(row));
		values[4] = CStringGetTextDatum(functions_text(row->scopes));
		values[5] = CStringGetTextDatum(row->description);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}
