/*-------------------------------------------------------------------------
 *
 * hugging_face_embedding.c
 *	  Files of sentence-transformers: what follows the transformer.
 *
 * modules.json lists modules that run one after the other; we have the chain
 * Transformer, Pooling, Dense (up to two), Normalize.  Newer versions moved
 * the classes to other packages, so the last part of a name counts.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/hugging_face_read.h"

#include <stdio.h>
#include <string.h>

#define MAX_MODULES 16
#define MAX_PROMPTS 256
#define MAX_FEATURES 65536
#define POOLING_MEAN 1			/* values of <arch>.pooling_type */
#define POOLING_CLS 2
#define POOLING_LAST 3
#define POOLING_RANK 4

/* How far along the chain a module is */
typedef enum ModuleKind
{
	MODULE_TRANSFORMER, MODULE_POOLING, MODULE_DENSE, MODULE_NORMALIZE,
	MODULE_DROPOUT				/* does nothing outside training */
} ModuleKind;

static const struct
{
	const char *class;
	ModuleKind	kind;
}			module_kinds[] =

{
	{"Transformer", MODULE_TRANSFORMER},
	{"Pooling", MODULE_POOLING},
	{"Dense", MODULE_DENSE},
	{"Normalize", MODULE_NORMALIZE},
	{"Dropout", MODULE_DROPOUT}
};

/* What comes behind the last dot */
static const char *
last_part(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot == NULL ? name : dot + 1;
}

static EngineCode
module_kind(const HfObject *module, ModuleKind *kind)
{
	const char *type = "";
	static const char package[] = "sentence_transformers.";

	ENGINE_TRY(hf_get_text(module, "type", &type));
	for (size_t i = 0; i < sizeof(module_kinds) / sizeof(module_kinds[0]);
		 i++)
	{
		if (strncmp(type, package, sizeof(package) - 1) == 0 &&
			strcmp(last_part(type), module_kinds[i].class) == 0)
		{
			*kind = module_kinds[i].kind;
			return ENGINE_OK;
		}
	}
	return hf_unsupported(module, "type", type);
}

/* "1_Pooling" becomes "1_Pooling/". */
static EngineCode
module_prefix(const HfObject *module, char *prefix, size_t size)
{
	const char *path = "";
	char		text[64];

	ENGINE_TRY(hf_get_text(module, "path", &path));
	if (!folder_component(path, strlen(path)) || strlen(path) + 2 > size)
		return engine_fail(module->status, ENGINE_CORRUPT,
						   "\"path\" with value \"%s\" in %s is not the name "
						   "of a folder",
						   engine_printable(path, strlen(path), text,
											sizeof(text)), module->file);
	snprintf(prefix, size, "%s/", path);
	return ENGINE_OK;
}

static EngineCode
open_module_config(HfModel *model, const char *prefix, HfObject *object)
{
	char		name[224];

	snprintf(name, sizeof(name), "%sconfig.json", prefix);
	ENGINE_TRY(hf_open_object(model, name, true, object));
	object->file = "config.json of a module";
	return ENGINE_OK;
}

/* pooling_type of a mode, as newer versions name it; 0: not supported */
static int32_t
pooling_of_mode(const char *mode)
{
	if (strcmp(mode, "mean") == 0)
		return POOLING_MEAN;
	if (strcmp(mode, "cls") == 0)
		return POOLING_CLS;
	if (strcmp(mode, "lasttoken") == 0)
		return POOLING_LAST;
	return 0;
}

/* Older versions: a flag for each mode, of which exactly one is set */
static EngineCode
read_pooling_flags(const HfObject *config, const char **mode)
{
	static const struct
	{
		const char *key;
		const char *mode;
	}			flags[] =
	{
		{"pooling_mode_cls_token", "cls"},
		{"pooling_mode_mean_tokens", "mean"},
		{"pooling_mode_max_tokens", "max"},
		{"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"},
		{"pooling_mode_weightedmean_tokens", "weightedmean"},
		{"pooling_mode_lasttoken", "lasttoken"}
	};
	int			n = 0;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
	{
		bool		set = false;

		ENGINE_TRY(hf_get_bool(config, flags[i].key, &set));
		if (set)
		{
			*mode = flags[i].mode;
			n++;
		}
	}
	if (n > 1)
		*mode = "several modes";
	return ENGINE_OK;
}

static EngineCode
read_pooling(HfModel *model, const HfObject *module)
{
	char		prefix[208];
	HfObject	config;
	const char *mode = "mean";
	const JsonNode *node;
	int64_t		width = model->embedding_length;

	ENGINE_TRY(module_prefix(module, prefix, sizeof(prefix)));
	ENGINE_TRY(open_module_config(model, prefix, &config));
	node = hf_member(&config, "pooling_mode");
	if (node == NULL)
		ENGINE_TRY(read_pooling_flags(&config, &mode));
	else if (node->type == JSON_ARRAY && node->count == 1 &&
			 json_first(node)->type == JSON_STRING)
		mode = json_first(node)->text;
	else if (node->type == JSON_ARRAY)
		mode = "several modes";
	else
		ENGINE_TRY(hf_get_text(&config, "pooling_mode", &mode));
	model->pooling = pooling_of_mode(mode);
	if (model->pooling == 0)
		return hf_unsupported(&config, "pooling_mode", mode);
	ENGINE_TRY(hf_refuse_bool(&config, "include_prompt", true));
	ENGINE_TRY(hf_get_int(&config, "word_embedding_dimension", 1,
						  MAX_FEATURES, &width));
	ENGINE_TRY(hf_get_int(&config, "embedding_dimension", 1, MAX_FEATURES,
						  &width));
	if (width != model->embedding_length)
		return engine_fail(model->status, ENGINE_CORRUPT,
						   "pooling is for embeddings of length %d, the model "
						   "has %d", (int) width,
						   (int) model->embedding_length);
	return ENGINE_OK;
}

/* Without the member it is tanh; null is the identity. */
static EngineCode
read_activation(const HfObject *config, HfDense *dense)
{
	const char *name = "Identity";

	dense->tanh = true;
	if (json_member(config->node, "activation_function") == NULL)
		return ENGINE_OK;
	ENGINE_TRY(hf_get_text(config, "activation_function", &name));
	dense->tanh = strcmp(last_part(name), "Tanh") == 0;
	if (!dense->tanh && strcmp(last_part(name), "Identity") != 0)
		return hf_unsupported(config, "activation_function", name);
	return ENGINE_OK;
}

static EngineCode
read_dense(HfModel *model, const HfObject *module)
{
	HfDense    *dense = &model->dense[model->n_dense];
	HfObject	config;
	int64_t		in = 0;
	int64_t		out = 0;
	const char *input = "sentence_embedding";
	int32_t		before = model->n_dense == 0 ? model->embedding_length :
		model->dense[model->n_dense - 1].out_features;

	if (model->n_dense == HF_MAX_DENSE)
		return engine_fail(model->status, ENGINE_UNSUPPORTED,
						   "more than %d Dense modules are not supported",
						   HF_MAX_DENSE);
	ENGINE_TRY(module_prefix(module, dense->prefix, sizeof(dense->prefix)));
	ENGINE_TRY(open_module_config(model, dense->prefix, &config));
	ENGINE_TRY(hf_get_int(&config, "in_features", 1, MAX_FEATURES, &in));
	ENGINE_TRY(hf_get_int(&config, "out_features", 1, MAX_FEATURES, &out));
	if (in != before || out == 0)
		return engine_fail(model->status, ENGINE_CORRUPT,
						   "a Dense module has %d inputs and %d outputs for "
						   "vectors of length %d", (int) in, (int) out,
						   (int) before);
	dense->in_features = (int32_t) in;
	dense->out_features = (int32_t) out;
	dense->bias = true;
	ENGINE_TRY(hf_get_bool(&config, "bias", &dense->bias));
	ENGINE_TRY(read_activation(&config, dense));
	ENGINE_TRY(hf_refuse_bool(&config, "use_residual", false));
	ENGINE_TRY(hf_get_text(&config, "module_input_name", &input));
	if (strcmp(input, "sentence_embedding") != 0)
		return hf_unsupported(&config, "module_input_name", input);
	ENGINE_TRY(hf_get_text(&config, "module_output_name", &input));
	if (strcmp(input, "sentence_embedding") != 0)
		return hf_unsupported(&config, "module_output_name", input);
	model->n_dense++;
	return ENGINE_OK;
}

/* The transformer's own files must be those of the folder itself. */
static EngineCode
check_transformer(const HfObject *module)
{
	const char *path = "";

	ENGINE_TRY(hf_get_text(module, "path", &path));
	return path[0] == '\0' ? ENGINE_OK :
		hf_unsupported(module, "path", path);
}

static EngineCode
read_module(HfModel *model, const HfObject *module, ModuleKind kind)
{
	switch (kind)
	{
		case MODULE_TRANSFORMER:
			return check_transformer(module);
		case MODULE_POOLING:
			return read_pooling(model, module);
		case MODULE_DENSE:
			return read_dense(model, module);
		case MODULE_NORMALIZE:
			model->normalize = true;
			return ENGINE_OK;
		case MODULE_DROPOUT:
			return ENGINE_OK;
	}
	return ENGINE_OK;
}

/* Each module must be further along the chain than the one before. */
static EngineCode
read_chain(HfModel *model, const JsonNode *modules)
{
	const JsonNode *at = json_first(modules);
	int			before = -1;

	for (uint32_t i = 0; i < modules->count; i++, at = json_after(at))
	{
		HfObject	module = {at, "modules.json", model->status};
		ModuleKind	kind = MODULE_DROPOUT;
		bool		next;

		if (at->type != JSON_OBJECT)
			return engine_fail(model->status, ENGINE_CORRUPT,
							   "modules.json is not an array of objects");
		ENGINE_TRY(module_kind(&module, &kind));
		next = (int) kind > before || (kind == MODULE_DENSE &&
									   before == MODULE_DENSE);
		if (kind == MODULE_DROPOUT)
			continue;
		if (!next || (before < 0 && kind != MODULE_TRANSFORMER) ||
			(kind > MODULE_POOLING && before < MODULE_POOLING))
			return engine_fail(model->status, ENGINE_UNSUPPORTED,
							   "the order of the modules in modules.json is "
							   "not supported");
		before = (int) kind;
		ENGINE_TRY(read_module(model, &module, kind));
	}
	if (before < MODULE_POOLING && model->n_labels == 0)
		return engine_fail(model->status, ENGINE_UNSUPPORTED,
						   "modules.json without a module that pools is not "
						   "supported");
	if (before >= MODULE_POOLING && model->n_labels > 0)
		return engine_fail(model->status, ENGINE_UNSUPPORTED,
						   "modules.json with modules behind a classifier is "
						   "not supported");
	return ENGINE_OK;
}

/*
 * From the first of these files that the folder has, else what the tokenizer
 * says; that is often a huge number, which says nothing.
 */
static EngineCode
read_max_length(HfModel *model)
{
	static const char *const names[] = {
		"sentence_bert_config.json", "sentence_roberta_config.json",
		"sentence_distilbert_config.json", "sentence_xlm-roberta_config.json"
	};
	HfObject	object = {NULL, NULL, model->status};
	double		longest = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) &&
		 object.node == NULL; i++)
		ENGINE_TRY(hf_open_object(model, names[i], false, &object));
	ENGINE_TRY(hf_get_bool(&object, "do_lower_case", &model->lower_first));
	ENGINE_TRY(hf_get_int(&object, "max_seq_length", 1, INT32_MAX,
						  &model->max_length));
	if (model->max_length > 0)
		return ENGINE_OK;
	ENGINE_TRY(hf_open_object(model, "tokenizer_config.json", false,
							  &object));
	ENGINE_TRY(hf_get_float(&object, "model_max_length", 1, 1e300,
							&longest));
	if (longest < model->context_length)
		model->max_length = (int64_t) longest;
	return ENGINE_OK;
}

EngineCode
hf_read_modules(HfModel *model)
{
	const JsonNode *modules;

	ENGINE_TRY(folder_json(model->folder, "modules.json", false,
						   HF_LONGEST_JSON, model->arena, model->host,
						   &modules, model->status));
	model->has_modules = modules != NULL;
	if (!model->causal)
		model->pooling = POOLING_MEAN;
	if (modules != NULL && (modules->type != JSON_ARRAY ||
							modules->count == 0 ||
							modules->count > MAX_MODULES))
		return engine_fail(model->status, ENGINE_CORRUPT,
						   "modules.json is not an array of 1 to %d objects",
						   MAX_MODULES);
	if (modules != NULL)
		ENGINE_TRY(read_chain(model, modules));
	if (model->n_labels > 0)
		model->pooling = POOLING_RANK;
	if (!model->causal || model->has_modules)
		return read_max_length(model);
	return ENGINE_OK;
}

static EngineCode
put_prompts(HfModel *model, GgufWriter *writer)
{
	HfObject	object;
	HfObject	prompts;
	const char *chosen = NULL;
	const JsonNode *key;

	ENGINE_TRY(hf_open_object(model, "config_sentence_transformers.json",
							  false, &object));
	ENGINE_TRY(hf_get_object(&object, "prompts", &prompts));
	ENGINE_TRY(hf_get_text(&object, "default_prompt_name", &chosen));
	if (chosen != NULL && json_member(prompts.node, chosen) == NULL)
		return engine_fail(model->status, ENGINE_CORRUPT,
						   "\"default_prompt_name\" in %s is no name of a "
						   "prompt", object.file);
	if (prompts.node == NULL || prompts.node->count == 0)
		return ENGINE_OK;
	if (prompts.node->count > MAX_PROMPTS)
		return engine_fail(model->status, ENGINE_LIMIT,
						   "%s has more than %d prompts", object.file,
						   MAX_PROMPTS);
	for (int texts = 0; texts < 2; texts++)
	{
		gguf_begin_array(writer, texts ? "llm.prompts.texts" :
						 "llm.prompts.names", GGUF_STRING);
		key = json_first(prompts.node);
		for (uint32_t i = 0; i < prompts.node->count; i++)
		{
			const JsonNode *value = key + texts;

			if (key[1].type != JSON_STRING)
				return hf_wrong_type(&object, "prompts",
									 "an object of texts");
			gguf_add_string(writer, value->text, value->length);
			key = json_after(key + 1);
		}
		gguf_end_array(writer);
	}
	if (chosen != NULL)
		gguf_put_text(writer, "llm.default_prompt", chosen);
	return ENGINE_OK;
}

static void
put_dense(HfModel *model, GgufWriter *writer)
{
	for (int i = 0; i < model->n_dense; i++)
	{
		const HfDense *dense = &model->dense[i];
		char		name[96];

		snprintf(name, sizeof(name), "%s.dense_%d_feat_in",
				 model->architecture, i + 2);
		gguf_put_u32(writer, name, (uint32_t) dense->in_features);
		snprintf(name, sizeof(name), "%s.dense_%d_feat_out",
				 model->architecture, i + 2);
		gguf_put_u32(writer, name, (uint32_t) dense->out_features);
		snprintf(name, sizeof(name), "llm.dense_%d.activation", i + 2);
		gguf_put_text(writer, name, dense->tanh ? "tanh" : "identity");
	}
}

/* What other engines have no key for; the defaults are those of BERT. */
static EngineCode
put_classifier(HfModel *model, GgufWriter *writer)
{
	HfObject	config = {model->config, "config.json", model->status};
	const char *pooling = "cls";

	if (model->n_labels == 0)
		return ENGINE_OK;
	if (model->family == HF_DISTILBERT)
		gguf_put_text(writer, "llm.classifier.activation", "relu");
	if (model->family != HF_MODERN_BERT)
		return ENGINE_OK;
	gguf_put_text(writer, "llm.classifier.activation", "gelu");
	ENGINE_TRY(hf_get_text(&config, "classifier_pooling", &pooling));
	if (strcmp(pooling, "cls") != 0 && strcmp(pooling, "mean") != 0)
		return hf_unsupported(&config, "classifier_pooling", pooling);
	gguf_put_text(writer, "llm.classifier.pooling", pooling);
	return ENGINE_OK;
}

EngineCode
hf_put_embedding(HfModel *model, GgufWriter *writer)
{
	char		name[96];
	int64_t		longest = model->max_length;

	snprintf(name, sizeof(name), "%s.pooling_type", model->architecture);
	if (model->pooling != 0)
		gguf_put_u32(writer, name, (uint32_t) model->pooling);
	put_dense(model, writer);
	ENGINE_TRY(put_classifier(model, writer));
	if (model->has_modules)
		gguf_put_bool(writer, "llm.normalize", model->normalize);
	if (longest > model->context_length)
		longest = model->context_length;
	if (longest > 0)
		gguf_put_u32(writer, "llm.max_length", (uint32_t) longest);
	ENGINE_TRY(put_prompts(model, writer));
	return writer->code;
}
