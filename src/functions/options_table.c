/*-------------------------------------------------------------------------
 *
 * options_table.c
 *	  The table of options, and the texts that are made from it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "functions/options_table.h"

#define GENERATION OPTIONS_GENERATION
#define EXPERIMENTS (OPTIONS_GENERATION | OPTIONS_NEXT_TOKEN | \
					 OPTIONS_SCORE | OPTIONS_INSPECT)
#define FIELD(name) offsetof(Options, name)

static const char *const truncate_choices[] = {"error", "start", "end", NULL};

/* those that quantise_knows(), by the names of types */
static const char *const quantization_choices[] = {
	"keep", "f32", "f16", "bf16", "q8_0", "q6_k", "q5_1", "q5_0", "q5_k",
	"q4_1", "q4_0", "q4_k", "iq4_nl", NULL
};
static const char *const bits_choices[] = {"8", "16", NULL};

/* ordered as PoolingKind, from POOLING_MEAN on */
static const char *const pooling_choices[] = {"mean", "cls", "last", NULL};

const OptionRow option_table[] = {
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
		"truncate", OPTION_CHOICE,
		GENERATION | OPTIONS_EMBED | OPTIONS_RERANK, FIELD(truncate),
		0, 0, truncate_choices, "error", NULL,
		"what to do with a text that does not fit: an error, or cut its start or end (rerank: of the document)"
	},
	{
		"parse_special", OPTION_BOOLEAN,
		OPTIONS_GENERATE | OPTIONS_COMPLETION | OPTIONS_TOKENIZE |
		OPTIONS_NEXT_TOKEN,
		FIELD(parse_special),
		0, 0, NULL, "false", NULL,
		"control tokens that are written in the text are recognised"
	},
	{
		"add_special", OPTION_TRISTATE,
		OPTIONS_GENERATE | OPTIONS_COMPLETION | OPTIONS_TOKENIZE |
		OPTIONS_NEXT_TOKEN,
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
		"ablate", OPTION_ABLATE, EXPERIMENTS, FIELD(edits),
		0, 0, NULL, "[]", "[{\"layer\", \"head\" or \"neuron\"}, ...]",
		"experiment: the outputs of attention heads, or the activations of neurons, are 0"
	},
	{
		"patch", OPTION_PATCH, EXPERIMENTS, FIELD(edits),
		0, 0, NULL, "[]", "[{\"layer\", \"position\", \"state\"}, ...]",
		"experiment: the residual after a block (-1: the embedding) at a position of the prompt is this state"
	},
	{
		"steer", OPTION_STEER, EXPERIMENTS, FIELD(edits),
		0, 0, NULL, "[]", "[{\"layer\", \"vector\", \"scale\" (1)}, ...]",
		"experiment: scale times the vector is added to the residual after a block (-1: the embedding) at every position"
	},
	{
		"prompt", OPTION_TEXT, OPTIONS_EMBED, FIELD(prompt),
		0, 0, NULL, "the option default_prompt of the model", "a name among the model's prompts",
		"put this prompt of the model in front of the text, such as \"query\" or \"passage\""
	},
	{
		"prefix", OPTION_TEXT, OPTIONS_EMBED, FIELD(prefix),
		0, 0, NULL, "none", NULL,
		"put this text in front of the text, instead of a prompt of the model"
	},
	{
		"dimensions", OPTION_INTEGER, OPTIONS_EMBED, FIELD(dimensions),
		1, PG_INT32_MAX, NULL, "all", "1 to the length of the model's vectors",
		"keep only the first numbers of a vector, for models that are trained for it (Matryoshka)"
	},
	{
		"normalize", OPTION_TRISTATE, OPTIONS_EMBED | OPTIONS_LOAD,
		FIELD(normalize),
		0, 0, NULL, "the model's own, else true", NULL,
		"scale vectors to length 1"
	},
	{
		"pooling", OPTION_CHOICE, OPTIONS_EMBED | OPTIONS_LOAD,
		FIELD(pooling),
		0, 0, pooling_choices, "the model's own", NULL,
		"how the states of tokens become one vector: their mean, the first, or the last"
	},
	{
		"prompts", OPTION_PROMPTS, OPTIONS_LOAD | OPTIONS_MODEL,
		FIELD(prompts),
		0, 0, NULL, "the folder's own", "{\"name\": \"text\"}",
		"texts to put in front of texts that are embedded, by name"
	},
	{
		"default_prompt", OPTION_TEXT, OPTIONS_LOAD | OPTIONS_MODEL,
		FIELD(default_prompt),
		0, 0, NULL, "the folder's own", "a name among the model's prompts",
		"the prompt of texts that are embedded when a call names none"
	},
	{
		"max_length", OPTION_INTEGER, OPTIONS_LOAD | OPTIONS_MODEL,
		FIELD(max_length),
		1, PG_INT32_MAX, NULL, "the folder's own, else the context length", "1 or more",
		"the most tokens of a text that is embedded or ranked"
	},
	{
		"window", OPTION_INTEGER, OPTIONS_SCORE, FIELD(window),
		3, PG_INT32_MAX, NULL, "the whole text", "3 to the context length",
		"cut a long text into windows of so many tokens and score the second half of each; a last window that is not full is left out"
	},
	{
		"quantization", OPTION_TEXT, OPTIONS_LOAD, FIELD(quantization),
		0, 0, quantization_choices, "keep", NULL,
		"the type to store the matrices of a Hugging Face folder in; a GGUF file is kept as it is"
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

const size_t n_options = lengthof(option_table);

/* The functions of each scope, for texts. */
typedef struct ScopeFunctions
{
	OptionScope scope;
	const char *functions[12];
} ScopeFunctions;

static const ScopeFunctions scope_functions[] = {
	{OPTIONS_GENERATE, {"generate", "generate_stream", "generate_batch"}},
	{OPTIONS_COMPLETION, {"completion"}},
	{OPTIONS_ASK, {"ask"}},
	{OPTIONS_CHAT, {"chat"}},
	{OPTIONS_NEXT_TOKEN, {"next_token"}},
	{OPTIONS_TEMPLATE, {"apply_chat_template"}},
	{OPTIONS_TOKENIZE, {"tokenize", "count_tokens"}},
	{OPTIONS_EMBED, {"embed", "embed_batch"}},
	{OPTIONS_RERANK, {"rerank"}},
	{OPTIONS_SCORE, {"cross_entropy", "perplexity"}},
	{OPTIONS_LOAD, {"load_model"}},
	{OPTIONS_ALTER, {"alter_model"}},
	{OPTIONS_INSPECT, {"attention", "attention_matrix", "attention_heads",
			"hidden_states", "logit_lens", "neurons", "residuals",
	"projections", "head_contributions", "token_logprobs", "score"}},
};

bool
option_is_experiment(const OptionRow *row)
{
	return row->kind == OPTION_ABLATE || row->kind == OPTION_PATCH ||
		row->kind == OPTION_STEER;
}

/* Everything that load_model and alter_model take as a model's default. */
static bool
is_generation_option(const OptionRow *row)
{
	return (row->scopes & GENERATION) != 0 && !option_is_experiment(row);
}

bool
option_applies(const OptionRow *row, int scope)
{
	if ((row->scopes & scope) != 0)
		return true;
	return (scope & (OPTIONS_LOAD | OPTIONS_ALTER)) != 0 &&
		is_generation_option(row);
}

/*
 * Texts of errors and of the view
 */

const char *
option_kind_text(const OptionRow *row)
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
		case OPTION_PROMPTS:
			return "object";
		case OPTION_ABLATE:
		case OPTION_PATCH:
		case OPTION_STEER:
			return "array";
	}
	return NULL;
}

char *
option_range_text(const OptionRow *row)
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

char *
option_functions_text(int scopes)
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

char *
option_names_text(int scope)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (size_t i = 0; i < n_options; i++)
		if (option_applies(&option_table[i], scope))
			appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "",
							 option_table[i].name);
	return buf.data;
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
	for (size_t i = 0; i < n_options; i++)
	{
		const OptionRow *row = &option_table[i];
		Datum		values[6];
		bool		nulls[6] = {false};

		values[0] = CStringGetTextDatum(row->name);
		values[1] = CStringGetTextDatum(option_kind_text(row));
		values[2] = CStringGetTextDatum(row->default_text);
		values[3] = CStringGetTextDatum(option_range_text(row));
		values[4] = CStringGetTextDatum(option_functions_text(row->scopes));
		values[5] = CStringGetTextDatum(row->description);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}
