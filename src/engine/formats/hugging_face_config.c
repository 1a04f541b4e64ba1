/*-------------------------------------------------------------------------
 *
 * hugging_face_config.c
 *	  config.json: which family a model is of, and its sizes.
 *
 * Ranges are those of the reader of GGUF files (architecture.c), so that a
 * folder fails here and not after gigabytes were converted.  Families name
 * the same size differently; names are tried in order.  A setting that would
 * change the result and that our architecture does not have is refused.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/hugging_face_rope.h"

#include <inttypes.h>
#include <string.h>

#define MAX_CONTEXT (1 << 24)
#define MAX_EMBEDDING 65536
#define MAX_LAYERS 512
#define MAX_HEADS 1024
#define MAX_HEAD_LENGTH 4096
#define MAX_FEED_FORWARD (1 << 20)
#define MAX_VOCABULARY (2 << 20)
#define MAX_LABELS 65536

#define FAMILY_BIT(family) (1u << (family))
#define GEMMAS \
	(FAMILY_BIT(HF_GEMMA) | FAMILY_BIT(HF_GEMMA2) | FAMILY_BIT(HF_GEMMA3) | \
	 FAMILY_BIT(HF_GEMMA_EMBEDDING))
#define BERTS \
	(FAMILY_BIT(HF_BERT) | FAMILY_BIT(HF_DISTILBERT) | FAMILY_BIT(HF_ROBERTA))
#define ENCODERS \
	(BERTS | FAMILY_BIT(HF_NOMIC_BERT) | FAMILY_BIT(HF_MODERN_BERT))

/* Beginnings of architectures[0], the model_type, and what they are */
static const struct
{
	const char *class;
	const char *type;
	HfFamily	family;
}			families[] =

{
	{"Llama", "llama", HF_LLAMA},
	{"Mistral", "mistral", HF_LLAMA},
	{"Qwen2", "qwen2", HF_QWEN2},
	{"Qwen3", "qwen3", HF_QWEN3},
	{"GPT2", "gpt2", HF_GPT2},
	{"Gemma", "gemma", HF_GEMMA},
	{"Gemma2", "gemma2", HF_GEMMA2},
	{"Gemma3", "gemma3", HF_GEMMA3},
	{"Gemma3", "gemma3_text", HF_GEMMA3},
	{"Bert", "bert", HF_BERT},
	{"DistilBert", "distilbert", HF_DISTILBERT},
	{"Roberta", "roberta", HF_ROBERTA},
	{"XLMRoberta", "xlm-roberta", HF_ROBERTA},
	{"NomicBert", "nomic_bert", HF_NOMIC_BERT},
	{"ModernBert", "modernbert", HF_MODERN_BERT}
};

#define N_FAMILIES (sizeof(families) / sizeof(families[0]))

/* general.architecture of each family */
static const char *const architectures[] = {
	[HF_LLAMA] = "llama",
	[HF_QWEN2] = "qwen2",
	[HF_QWEN3] = "qwen3",
	[HF_GPT2] = "gpt2",
	[HF_GEMMA] = "gemma",
	[HF_GEMMA2] = "gemma2",
	[HF_GEMMA3] = "gemma3",
	[HF_GEMMA_EMBEDDING] = "gemma-embedding",
	[HF_BERT] = "bert",
	[HF_DISTILBERT] = "bert",
	[HF_ROBERTA] = "bert",
	[HF_NOMIC_BERT] = "nomic-bert",
	[HF_MODERN_BERT] = "modern-bert"
};

/* Ends of architectures[0], and which families have them */
static const struct
{
	const char *text;
	unsigned int families;
}			heads[] =

{
	{"Model", ~0u},
	{"ForCausalLM", ~ENCODERS},
	{"LMHeadModel", FAMILY_BIT(HF_GPT2)},
	{"TextModel", FAMILY_BIT(HF_GEMMA3)},
	{"ForConditionalGeneration", FAMILY_BIT(HF_GEMMA3)},
	{"ForMaskedLM", ENCODERS},
	{"ForPreTraining", ENCODERS},
	{"ForSequenceClassification", BERTS | FAMILY_BIT(HF_MODERN_BERT)}
};

#define N_HEADS (sizeof(heads) / sizeof(heads[0]))

typedef struct ConfigReader
{
	HfModel    *model;
	HfObject	config;			/* of the text model */
	const char *type;			/* model_type, or "" */
	const char *head;			/* end of architectures[0] */
} ConfigReader;

static bool
is_family(const HfModel *model, unsigned int set)
{
	return (set & FAMILY_BIT(model->family)) != 0;
}

static EngineCode
unknown_family(const HfModel *model, const char *name)
{
	char		text[64];

	engine_fail(model->status, ENGINE_UNSUPPORTED,
				"model class \"%s\" is not supported",
				engine_printable(name, strlen(name), text, sizeof(text)));
	engine_detail(model->status, "Supported are Llama, Mistral, Qwen2, "
				  "Qwen3, GPT-2 and Gemma for generation, and BERT, "
				  "DistilBERT, RoBERTa, XLM-RoBERTa, NomicBERT and ModernBERT "
				  "for embedding and classification of sequences.");
	return ENGINE_UNSUPPORTED;
}

/* "BertModel" is a family and what stands on top of it. */
static EngineCode
family_of_class(ConfigReader *reader, const char *class)
{
	for (size_t i = 0; i < N_FAMILIES; i++)
	{
		size_t		n = strlen(families[i].class);

		if (strncmp(class, families[i].class, n) != 0)
			continue;
		for (size_t j = 0; j < N_HEADS; j++)
		{
			if (strcmp(class + n, heads[j].text) == 0 &&
				(heads[j].families & FAMILY_BIT(families[i].family)) != 0)
			{
				reader->model->family = families[i].family;
				reader->head = heads[j].text;
				if (reader->type[0] == '\0')
					reader->type = families[i].type;
				return ENGINE_OK;
			}
		}
	}
	return unknown_family(reader->model, class);
}

static EngineCode
family_of_type(ConfigReader *reader)
{
	for (size_t i = 0; i < N_FAMILIES; i++)
	{
		if (strcmp(reader->type, families[i].type) == 0)
		{
			reader->model->family = families[i].family;
			reader->head = "Model";
			return ENGINE_OK;
		}
	}
	return unknown_family(reader->model, reader->type);
}

static EngineCode
read_family(ConfigReader *reader)
{
	const JsonNode *classes;
	const JsonNode *class;

	reader->type = "";
	ENGINE_TRY(hf_get_text(&reader->config, "model_type", &reader->type));
	ENGINE_TRY(hf_get_array(&reader->config, "architectures", &classes));
	class = json_element(classes, 0);
	if (class == NULL && reader->type[0] == '\0')
		return engine_fail(reader->model->status, ENGINE_CORRUPT,
						   "config.json has neither \"architectures\" nor "
						   "\"model_type\"");
	if (class == NULL)
		return family_of_type(reader);
	if (class->type != JSON_STRING)
		return hf_wrong_type(&reader->config, "architectures",
							 "an array of texts");
	return family_of_class(reader, class->text);
}

/*
 * The text part of a model that sees images too, and the embedding variant of
 * Gemma 3, which sees the whole text.
 */
static EngineCode
read_variant(ConfigReader *reader)
{
	HfModel    *model = reader->model;
	bool		both_ways = false;

	ENGINE_TRY(hf_get_bool(&reader->config, "tie_word_embeddings",
						   &model->tied));
	if (model->family != HF_GEMMA3)
		return ENGINE_OK;
	if (strcmp(reader->head, "ForConditionalGeneration") == 0)
	{
		ENGINE_TRY(hf_get_object(&reader->config, "text_config",
								 &reader->config));
		if (reader->config.node == NULL)
			return engine_fail(model->status, ENGINE_CORRUPT,
							   "\"text_config\" in config.json is missing");
		ENGINE_TRY(hf_get_bool(&reader->config, "tie_word_embeddings",
							   &model->tied));
	}
	ENGINE_TRY(hf_get_bool(&reader->config, "use_bidirectional_attention",
						   &both_ways));
	if (both_ways && strcmp(reader->head, "TextModel") != 0 &&
		strcmp(reader->head, "Model") != 0)
		return hf_unsupported(&reader->config, "use_bidirectional_attention",
							  "true");
	if (both_ways)
		model->family = HF_GEMMA_EMBEDDING;
	return ENGINE_OK;
}

/* A size under the first of some names; 0 when none is there. */
static EngineCode
read_size(ConfigReader *reader, const char *const *names, int64_t max,
		  int32_t fallback, int32_t *size)
{
	int64_t		value = fallback;

	for (int i = 0; names[i] != NULL; i++)
	{
		if (hf_member(&reader->config, names[i]) == NULL)
			continue;
		ENGINE_TRY(hf_get_int(&reader->config, names[i], 1, max, &value));
		break;
	}
	if (value == 0)
		return engine_fail(reader->model->status, ENGINE_CORRUPT,
						   "\"%s\" in config.json is missing", names[0]);
	*size = (int32_t) value;
	return ENGINE_OK;
}

#define NAMES(...) ((const char *const []) {__VA_ARGS__, NULL})

/*
 * Heads and their length.  Gemma 3's text_config leaves out what its class
 * has as a default.
 */
static EngineCode
read_heads(ConfigReader *reader)
{
	HfModel    *model = reader->model;
	bool		gemma3 = model->family == HF_GEMMA3 ||
		model->family == HF_GEMMA_EMBEDDING;
	int32_t		share;

	ENGINE_TRY(read_size(reader, NAMES("num_attention_heads", "n_head",
									   "n_heads"), MAX_HEADS, gemma3 ? 8 : 0,
						 &model->n_heads));
	ENGINE_TRY(read_size(reader, NAMES("num_key_value_heads"), MAX_HEADS,
						 gemma3 ? 4 : model->n_heads, &model->n_kv_heads));
	if (model->n_heads % model->n_kv_heads != 0)
		return engine_fail(model->status, ENGINE_CORRUPT,
						   "%d attention heads cannot share %d key-value "
						   "heads", (int) model->n_heads,
						   (int) model->n_kv_heads);
	if (is_family(model, ENCODERS | FAMILY_BIT(HF_GPT2)) &&
		model->n_kv_heads != model->n_heads)
		return hf_unsupported(&reader->config, "num_key_value_heads",
							  "fewer than heads");
	share = model->embedding_length / model->n_heads;
	if (share * model->n_heads != model->embedding_length)
		share = 0;
	if (is_family(model, GEMMAS))
		share = 256;
	if (model->family == HF_QWEN3)
		share = 128;
	return read_size(reader, NAMES("head_dim"), MAX_HEAD_LENGTH, share,
					 &model->key_length);
}

/*
 * RoBERTa counts positions from behind that of padding.  Nomic's table says
 * how far its model was trained; beyond that it would need a scaling.
 */
static EngineCode
read_context(ConfigReader *reader)
{
	HfModel    *model = reader->model;
	bool		gemma3 = model->family == HF_GEMMA3 ||
		model->family == HF_GEMMA_EMBEDDING;
	int64_t		padding = 1;
	int64_t		trained = MAX_CONTEXT;

	ENGINE_TRY(read_size(reader, NAMES("max_position_embeddings",
									   "n_positions", "n_ctx"), MAX_CONTEXT,
						 gemma3 ? 131072 : 0, &model->context_length));
	if (model->family == HF_NOMIC_BERT)
	{
		ENGINE_TRY(hf_get_int(&reader->config, "max_trained_positions", 1,
							  MAX_CONTEXT, &trained));
		if (trained < model->context_length)
			model->context_length = (int32_t) trained;
	}
	if (model->family != HF_ROBERTA)
		return ENGINE_OK;
	ENGINE_TRY(hf_get_int(&reader->config, "pad_token_id", 0,
						  model->context_length, &padding));
	if (padding + 1 >= model->context_length)
		return engine_fail(model->status, ENGINE_CORRUPT,
						   "\"pad_token_id\" in config.json leaves no "
						   "positions");
	model->first_position = (int32_t) padding + 1;
	model->context_length -= model->first_position;
	return ENGINE_OK;
}

static EngineCode
read_sizes(ConfigReader *reader)
{
	HfModel    *model = reader->model;
	int32_t		feed_forward = 0;

	ENGINE_TRY(read_size(reader, NAMES("hidden_size", "n_embd", "dim"),
						 MAX_EMBEDDING, 0, &model->embedding_length));
	ENGINE_TRY(read_size(reader, NAMES("num_hidden_layers", "n_layer",
									   "n_layers"), MAX_LAYERS, 0,
						 &model->n_layers));
	if (model->family == HF_GPT2)
		feed_forward = 4 * model->embedding_length;
	ENGINE_TRY(read_size(reader, NAMES("intermediate_size", "n_inner",
									   "hidden_dim"), MAX_FEED_FORWARD,
						 feed_forward, &model->feed_forward_length));
	ENGINE_TRY(read_heads(reader));
	ENGINE_TRY(read_context(reader));
	return read_size(reader, NAMES("vocab_size"), MAX_VOCABULARY,
					 is_family(model, GEMMAS) ? 262208 : 0,
					 &model->vocabulary);
}

/* Settings that have one value in our architectures */
static const struct
{
	unsigned int families;
	const char *key;
	bool		neutral;
}			settings[] =

{
	{~0u, "is_encoder_decoder", false},
	{~ENCODERS & ~FAMILY_BIT(HF_GEMMA_EMBEDDING), "is_causal", true},
	{ENCODERS, "is_decoder", false},
	{ENCODERS | FAMILY_BIT(HF_GPT2), "add_cross_attention", false},
	{FAMILY_BIT(HF_LLAMA), "rope_interleaved", false},
	{FAMILY_BIT(HF_GPT2), "scale_attn_weights", true},
	{FAMILY_BIT(HF_GPT2), "scale_attn_by_inverse_layer_idx", false},
	{GEMMAS | FAMILY_BIT(HF_QWEN3) | FAMILY_BIT(HF_MODERN_BERT),
	"attention_bias", false},
	{FAMILY_BIT(HF_MODERN_BERT), "mlp_bias", false},
	{FAMILY_BIT(HF_MODERN_BERT), "norm_bias", false},
	{FAMILY_BIT(HF_NOMIC_BERT), "prenorm", false},
	{FAMILY_BIT(HF_NOMIC_BERT), "causal", false},
	{FAMILY_BIT(HF_NOMIC_BERT), "parallel_block", false},
	{FAMILY_BIT(HF_NOMIC_BERT), "qkv_proj_bias", false},
	{FAMILY_BIT(HF_NOMIC_BERT), "mlp_fc1_bias", false},
	{FAMILY_BIT(HF_NOMIC_BERT), "mlp_fc2_bias", false},
	{FAMILY_BIT(HF_NOMIC_BERT), "use_rms_norm", false},
	{FAMILY_BIT(HF_NOMIC_BERT), "rotary_emb_interleaved", false}
};

/* Members that must be absent, null or 0 */
static const struct
{
	unsigned int families;
	const char *key;
}			absent[] =

{
	{~0u, "quantization_config"},
	{~0u, "num_local_experts"},
	{~0u, "num_experts"},
	{~0u, "n_routed_experts"},
	{~0u, "moe_every_n_layers"},
	{~FAMILY_BIT(HF_NOMIC_BERT), "auto_map"},
	{FAMILY_BIT(HF_NOMIC_BERT), "rotary_scaling_factor"},
	{FAMILY_BIT(HF_NOMIC_BERT), "rotary_emb_scale_base"}
};

static EngineCode
check_absent(ConfigReader *reader, const char *key)
{
	const JsonNode *node = hf_member(&reader->config, key);
	double		number;

	if (node == NULL || (json_double(node, &number) && number == 0))
		return ENGINE_OK;
	engine_fail(reader->model->status, ENGINE_UNSUPPORTED,
				"a model with \"%s\" in config.json is not supported", key);
	if (strcmp(key, "quantization_config") == 0)
		engine_hint(reader->model->status,
					"Use the folder with the original weights; they can be "
					"quantized while they are loaded.");
	if (strcmp(key, "auto_map") == 0)
		engine_detail(reader->model->status,
					  "It brings program code of its own, so what it computes "
					  "is not known here.");
	return ENGINE_UNSUPPORTED;
}

static EngineCode
check_settings(ConfigReader *reader)
{
	const char *position = "absolute";

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
	{
		if (is_family(reader->model, settings[i].families))
			ENGINE_TRY(hf_refuse_bool(&reader->config, settings[i].key,
									  settings[i].neutral));
	}
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
	{
		if (is_family(reader->model, absent[i].families))
			ENGINE_TRY(check_absent(reader, absent[i].key));
	}
	if (!is_family(reader->model, BERTS))
		return ENGINE_OK;
	ENGINE_TRY(hf_get_text(&reader->config, "position_embedding_type",
						   &position));
	if (strcmp(position, "absolute") != 0)
		return hf_unsupported(&reader->config, "position_embedding_type",
							  position);
	return ENGINE_OK;
}

/*
 * Activations of each family by name.  "gelu" is the exact form, but in the
 * first releases of Gemma it meant the other one; gelu_new and
 * gelu_pytorch_tanh are one formula.
 */
static const struct
{
	unsigned int families;
	const char *key;
	const char *names[4];
}			activations[] =

{
	{FAMILY_BIT(HF_LLAMA) | FAMILY_BIT(HF_QWEN2) | FAMILY_BIT(HF_QWEN3),
	"hidden_act", {"silu", "swish"}},
	{FAMILY_BIT(HF_GPT2), "activation_function",
	{"gelu_new", "gelu_pytorch_tanh", "gelu_fast"}},
	{GEMMAS, "hidden_activation", {"gelu_pytorch_tanh", "gelu_new"}},
	{FAMILY_BIT(HF_GEMMA), "hidden_act",
	{"gelu_pytorch_tanh", "gelu_new", "gelu"}},
	{FAMILY_BIT(HF_BERT) | FAMILY_BIT(HF_ROBERTA), "hidden_act",
	{"gelu", "gelu_new", "gelu_pytorch_tanh"}},
	{FAMILY_BIT(HF_DISTILBERT), "activation",
	{"gelu", "gelu_new", "gelu_pytorch_tanh"}},
	{FAMILY_BIT(HF_NOMIC_BERT), "activation_function", {"swiglu"}},
	{FAMILY_BIT(HF_NOMIC_BERT), "hidden_act", {"silu", "swish"}},
	{FAMILY_BIT(HF_MODERN_BERT), "hidden_activation", {"gelu"}},
	{FAMILY_BIT(HF_MODERN_BERT), "classifier_activation", {"gelu"}}
};

static EngineCode
check_activations(ConfigReader *reader)
{
	HfModel    *model = reader->model;

	for (size_t i = 0; i < sizeof(activations) / sizeof(activations[0]); i++)
	{
		const char *name = NULL;
		bool		known = false;

		if (!is_family(model, activations[i].families))
			continue;
		ENGINE_TRY(hf_get_text(&reader->config, activations[i].key, &name));
		if (name == NULL)
			continue;
		for (int j = 0; j < 4 && activations[i].names[j] != NULL; j++)
			known = known || strcmp(name, activations[i].names[j]) == 0;
		if (!known)
			return hf_unsupported(&reader->config, activations[i].key, name);
		if (is_family(model, BERTS))
			model->gelu_tanh = strcmp(name, "gelu") != 0;
	}
	return ENGINE_OK;
}

/* Is a layer one with a window? */
static EngineCode
layer_is_local(ConfigReader *reader, const JsonNode *layer, bool *local)
{
	*local = hf_same(layer, "sliding_attention");
	if (*local || hf_same(layer, "full_attention"))
		return ENGINE_OK;
	if (layer->type != JSON_STRING)
		return hf_wrong_type(&reader->config, "layer_types",
							 "an array of texts");
	return hf_unsupported(&reader->config, "layer_types", layer->text);
}

/*
 * layer_types as a period: one layer in so many attends to everything, the
 * first of each period or the last one.
 */
static EngineCode
read_period(ConfigReader *reader, const JsonNode *types, bool first)
{
	HfModel    *model = reader->model;
	const JsonNode *at;
	bool		local;
	int32_t		period = model->n_layers + 1;

	if (types->count != (uint32_t) model->n_layers)
		return engine_fail(model->status, ENGINE_CORRUPT,
						   "\"layer_types\" in config.json has %u elements "
						   "for %d layers", types->count,
						   (int) model->n_layers);
	at = json_first(types);
	for (int32_t i = 0; i < model->n_layers; i++, at = json_after(at))
	{
		ENGINE_TRY(layer_is_local(reader, at, &local));
		if (!local && period > model->n_layers && (i > 0 || !first))
			period = first ? i : i + 1;
	}
	at = json_first(types);
	for (int32_t i = 0; i < model->n_layers; i++, at = json_after(at))
	{
		ENGINE_TRY(layer_is_local(reader, at, &local));
		if (local != ((first ? i : i + 1) % period != 0))
			return engine_fail(model->status, ENGINE_UNSUPPORTED,
							   "\"layer_types\" in config.json has no "
							   "supported pattern");
	}
	model->window_period = period > MAX_LAYERS ? MAX_LAYERS : period;
	return ENGINE_OK;
}

/* Windows of families in which some layers have one */
static EngineCode
read_mixed_window(ConfigReader *reader, const char *window_key,
				  int64_t default_window, const char *period_key,
				  int64_t default_period)
{
	HfModel    *model = reader->model;
	const JsonNode *types;
	int64_t		window = default_window;
	int64_t		period = default_period;

	ENGINE_TRY(hf_get_int(&reader->config, window_key, 1, MAX_CONTEXT,
						  &window));
	model->window = (int32_t) window;
	ENGINE_TRY(hf_get_array(&reader->config, "layer_types", &types));
	if (types != NULL)
		return read_period(reader, types, model->family == HF_MODERN_BERT);
	ENGINE_TRY(hf_get_int(&reader->config, period_key, 1, MAX_LAYERS,
						  &period));
	model->window_period = (int32_t) period;
	return ENGINE_OK;
}

/* Qwen's later layers may have a window; no released model uses it. */
static EngineCode
check_qwen_window(ConfigReader *reader)
{
	HfModel    *model = reader->model;
	bool		used = false;
	int64_t		window = INT32_MAX;
	int64_t		first = 28;

	ENGINE_TRY(hf_get_bool(&reader->config, "use_sliding_window", &used));
	ENGINE_TRY(hf_get_int(&reader->config, "sliding_window", 1, INT32_MAX,
						  &window));
	ENGINE_TRY(hf_get_int(&reader->config, "max_window_layers", 0, INT32_MAX,
						  &first));
	if (used && first < model->n_layers && window < model->context_length)
		return hf_unsupported(&reader->config, "use_sliding_window", "true");
	return ENGINE_OK;
}

static EngineCode
read_window(ConfigReader *reader)
{
	HfModel    *model = reader->model;
	int64_t		window = 0;

	switch (model->family)
	{
		case HF_LLAMA:
			/* Llama's own class does not look at it */
			if (strcmp(reader->type, "mistral") != 0)
				return ENGINE_OK;
			ENGINE_TRY(hf_get_int(&reader->config, "sliding_window", 1,
								  INT32_MAX, &window));
			model->window = (int32_t) window;
			return ENGINE_OK;
		case HF_QWEN2:
		case HF_QWEN3:
			return check_qwen_window(reader);
		case HF_GEMMA2:
			ENGINE_TRY(read_mixed_window(reader, "sliding_window", 4096,
										 "sliding_window_pattern", 2));
			if (model->window_period != 2)
				return engine_fail(model->status, ENGINE_UNSUPPORTED,
								   "\"layer_types\" in config.json has no "
								   "supported pattern");
			return ENGINE_OK;
		case HF_GEMMA3:
		case HF_GEMMA_EMBEDDING:
			return read_mixed_window(reader, "sliding_window", 4096,
									 hf_member(&reader->config,
											   "_sliding_window_pattern") ?
									 "_sliding_window_pattern" :
									 "sliding_window_pattern", 6);
		case HF_MODERN_BERT:
			return read_mixed_window(reader, "local_attention", 128,
									 "global_attn_every_n_layers", 3);
		default:
			return ENGINE_OK;
	}
}

/* The number that a key of id2label is, below n; -1: none */
static int64_t
label_index(const JsonNode *key, int64_t n)
{
	int64_t		value = 0;

	if (key->length == 0 || key->length > 6 ||
		(key->text[0] == '0' && key->length > 1))
		return -1;
	for (size_t i = 0; i < key->length; i++)
	{
		if (key->text[i] < '0' || key->text[i] > '9')
			return -1;
		value = value * 10 + (key->text[i] - '0');
	}
	return value < n ? value : -1;
}

/* n different keys below n are all of them. */
static EngineCode
read_label_names(ConfigReader *reader, const HfObject *labels)
{
	HfModel    *model = reader->model;
	const JsonNode *key = json_first(labels->node);

	model->labels = engine_alloc(model->arena, labels->node->count,
								 sizeof(JsonNode *), model->status);
	if (model->labels == NULL)
		return model->status->code;
	for (int32_t i = 0; i < model->n_labels; i++)
	{
		int64_t		index = label_index(key, model->n_labels);

		if (index < 0 || key[1].type != JSON_STRING)
			return hf_wrong_type(&reader->config, "id2label",
								 "an object of labels by number");
		model->labels[index] = key + 1;
		key = json_after(key + 1);
	}
	return ENGINE_OK;
}

/*
 * How many outputs a classifier has; transformers leaves out id2label when
 * there are two.
 */
static EngineCode
read_labels(ConfigReader *reader)
{
	HfModel    *model = reader->model;
	HfObject	labels;
	int64_t		n = 2;

	if (strcmp(reader->head, "ForSequenceClassification") != 0)
		return ENGINE_OK;
	ENGINE_TRY(hf_get_object(&reader->config, "id2label", &labels));
	ENGINE_TRY(hf_get_int(&reader->config, "num_labels", 1, MAX_LABELS, &n));
	if (labels.node != NULL)
		n = labels.node->count;
	if (n < 1 || n > MAX_LABELS)
		return engine_fail(model->status, ENGINE_CORRUPT,
						   "\"id2label\" in config.json has %" PRId64
						   " labels", n);
	model->n_labels = (int32_t) n;
	return labels.node == NULL ? ENGINE_OK :
		read_label_names(reader, &labels);
}

EngineCode
hf_read_config(HfModel *model)
{
	ConfigReader reader = {.model = model};
	HfRope		rope;

	ENGINE_TRY(hf_open_object(model, "config.json", true, &reader.config));
	ENGINE_TRY(read_family(&reader));
	model->tied = is_family(model, GEMMAS | ENCODERS | FAMILY_BIT(HF_GPT2));
	/* before and after: text_config is another object */
	ENGINE_TRY(check_settings(&reader));
	ENGINE_TRY(read_variant(&reader));
	model->config = reader.config.node;
	model->architecture = architectures[model->family];
	model->causal = !is_family(model, ENCODERS |
							   FAMILY_BIT(HF_GEMMA_EMBEDDING));
	ENGINE_TRY(check_settings(&reader));
	ENGINE_TRY(check_activations(&reader));
	ENGINE_TRY(read_sizes(&reader));
	ENGINE_TRY(read_window(&reader));
	ENGINE_TRY(read_labels(&reader));
	if (hf_rotates(model->family))
		return hf_read_rope(model, &rope);
	return ENGINE_OK;
}
