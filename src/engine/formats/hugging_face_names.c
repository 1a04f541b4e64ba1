/*-------------------------------------------------------------------------
 *
 * hugging_face_names.c
 *	  Names of tensors: those of transformers, and those of GGUF.
 *
 * A rule says for one module of a family what GGUF calls it; "*" stands for
 * the number of a layer.  ".weight" and ".bias" follow on both sides.  Checkpoints
 * of a whole model put its name before all others ("bert.", "model."); those
 * prefixes may be there or not.
 *
 * A tensor without a rule has no place, and the folder is refused: a model
 * that is not computed as it was trained gives wrong results without any
 * error.  What may be left out has rules too.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/hugging_face_model.h"

#include <string.h>

#define MAX_PREFIXES 3			/* that one name may have */
#define MAX_RULE_SETS 5

/* When a rule applies */
typedef enum RuleWhen
{
	ALWAYS,
	LABELS,						/* the model has a classifier; without one the
								 * tensor is left out */
	LABELS_ONLY,				/* the same; without one it has no place */
	UNTIED						/* left out when the output is tied */
} RuleWhen;

typedef struct NameRule
{
	const char *from;			/* with "." at its end: all that begins so */
	const char *to;				/* NULL: left out */
	HfTransform transform;
	RuleWhen	when;
} NameRule;

typedef struct NameFamily
{
	const NameRule *rules[MAX_RULE_SETS];	/* the first that fits counts */
	const char *prefixes[4];
} NameFamily;

/*
 * Decoders.
 */

static const NameRule decoder_rules[] = {
	{"embed_tokens", "token_embd", HF_PLAIN, ALWAYS},
	{"layers.*.self_attn.v_proj", "attn_v", HF_PLAIN, ALWAYS},
	{"layers.*.self_attn.o_proj", "attn_output", HF_PLAIN, ALWAYS},
	{"layers.*.mlp.gate_proj", "ffn_gate", HF_PLAIN, ALWAYS},
	{"layers.*.mlp.up_proj", "ffn_up", HF_PLAIN, ALWAYS},
	{"layers.*.mlp.down_proj", "ffn_down", HF_PLAIN, ALWAYS},
	{"lm_head", "output", HF_PLAIN, UNTIED},
	{NULL}
};

/* llama turns neighbours, for which rows change places. */
static const NameRule neighbour_rules[] = {
	{"layers.*.self_attn.q_proj", "attn_q", HF_PERMUTE_Q, ALWAYS},
	{"layers.*.self_attn.k_proj", "attn_k", HF_PERMUTE_K, ALWAYS},
	{NULL}
};

/* The others turn halves of heads, as transformers does. */
static const NameRule half_rules[] = {
	{"layers.*.self_attn.q_proj", "attn_q", HF_PLAIN, ALWAYS},
	{"layers.*.self_attn.k_proj", "attn_k", HF_PLAIN, ALWAYS},
	{NULL}
};

static const NameRule norm_rules[] = {
	{"layers.*.input_layernorm", "attn_norm", HF_PLAIN, ALWAYS},
	{"layers.*.post_attention_layernorm", "ffn_norm", HF_PLAIN, ALWAYS},
	{"norm", "output_norm", HF_PLAIN, ALWAYS},
	{NULL}
};

static const NameRule head_norm_rules[] = {
	{"layers.*.self_attn.q_norm", "attn_q_norm", HF_PLAIN, ALWAYS},
	{"layers.*.self_attn.k_norm", "attn_k_norm", HF_PLAIN, ALWAYS},
	{NULL}
};

static const NameRule gemma_norm_rules[] = {
	{"layers.*.input_layernorm", "attn_norm", HF_ADD_ONE, ALWAYS},
	{"layers.*.post_attention_layernorm", "ffn_norm", HF_ADD_ONE, ALWAYS},
	{"norm", "output_norm", HF_ADD_ONE, ALWAYS},
	{NULL}
};

/* From gemma2 on there are norms on both sides. */
static const NameRule gemma2_norm_rules[] = {
	{"layers.*.input_layernorm", "attn_norm", HF_ADD_ONE, ALWAYS},
	{"layers.*.post_attention_layernorm", "post_attention_norm", HF_ADD_ONE,
	ALWAYS},
	{"layers.*.pre_feedforward_layernorm", "ffn_norm", HF_ADD_ONE, ALWAYS},
	{"layers.*.post_feedforward_layernorm", "post_ffw_norm", HF_ADD_ONE,
	ALWAYS},
	{"norm", "output_norm", HF_ADD_ONE, ALWAYS},
	{NULL}
};

static const NameRule gemma3_rules[] = {
	{"layers.*.self_attn.q_norm", "attn_q_norm", HF_ADD_ONE, ALWAYS},
	{"layers.*.self_attn.k_norm", "attn_k_norm", HF_ADD_ONE, ALWAYS},
	{"vision_tower.", NULL, HF_PLAIN, ALWAYS},
	{"multi_modal_projector.", NULL, HF_PLAIN, ALWAYS},
	{NULL}
};

static const NameRule gpt2_rules[] = {
	{"wte", "token_embd", HF_PLAIN, ALWAYS},
	{"wpe", "position_embd", HF_PLAIN, ALWAYS},
	{"h.*.attn.bias", NULL, HF_PLAIN, ALWAYS},	/* the causal mask */
	{"h.*.ln_1", "attn_norm", HF_PLAIN, ALWAYS},
	{"h.*.attn.c_attn", "attn_qkv", HF_TRANSPOSE, ALWAYS},
	{"h.*.attn.c_proj", "attn_output", HF_TRANSPOSE, ALWAYS},
	{"h.*.ln_2", "ffn_norm", HF_PLAIN, ALWAYS},
	{"h.*.mlp.c_fc", "ffn_up", HF_TRANSPOSE, ALWAYS},
	{"h.*.mlp.c_proj", "ffn_down", HF_TRANSPOSE, ALWAYS},
	{"ln_f", "output_norm", HF_PLAIN, ALWAYS},
	{"lm_head", "output", HF_PLAIN, UNTIED},
	{NULL}
};

/*
 * Encoders.
 */

static const NameRule bert_rules[] = {
	{"embeddings.word_embeddings", "token_embd", HF_PLAIN, ALWAYS},
	{"embeddings.position_embeddings", "position_embd", HF_SKIP_ROWS, ALWAYS},
	{"embeddings.token_type_embeddings", "token_types", HF_PLAIN, ALWAYS},
	{"embeddings.LayerNorm", "token_embd_norm", HF_PLAIN, ALWAYS},
	{"encoder.layer.*.attention.self.query", "attn_q", HF_PLAIN, ALWAYS},
	{"encoder.layer.*.attention.self.key", "attn_k", HF_PLAIN, ALWAYS},
	{"encoder.layer.*.attention.self.value", "attn_v", HF_PLAIN, ALWAYS},
	{"encoder.layer.*.attention.output.dense", "attn_output", HF_PLAIN,
	ALWAYS},
	{"encoder.layer.*.attention.output.LayerNorm", "attn_output_norm",
	HF_PLAIN, ALWAYS},
	{"encoder.layer.*.intermediate.dense", "ffn_up", HF_PLAIN, ALWAYS},
	{"encoder.layer.*.output.dense", "ffn_down", HF_PLAIN, ALWAYS},
	{"encoder.layer.*.output.LayerNorm", "layer_output_norm", HF_PLAIN,
	ALWAYS},
	{NULL}
};

static const NameRule bert_head_rules[] = {
	{"pooler.dense", "cls", HF_PLAIN, LABELS},
	{"classifier", "cls.output", HF_PLAIN, LABELS_ONLY},
	{"cls.predictions.", NULL, HF_PLAIN, ALWAYS},
	{"cls.seq_relationship.", NULL, HF_PLAIN, ALWAYS},
	{NULL}
};

static const NameRule roberta_head_rules[] = {
	{"classifier.dense", "cls", HF_PLAIN, LABELS_ONLY},
	{"classifier.out_proj", "cls.output", HF_PLAIN, LABELS_ONLY},
	{"pooler.", NULL, HF_PLAIN, ALWAYS},
	{"lm_head.", NULL, HF_PLAIN, ALWAYS},
	{NULL}
};

static const NameRule distilbert_rules[] = {
	{"embeddings.word_embeddings", "token_embd", HF_PLAIN, ALWAYS},
	{"embeddings.position_embeddings", "position_embd", HF_SKIP_ROWS, ALWAYS},
	{"embeddings.LayerNorm", "token_embd_norm", HF_PLAIN, ALWAYS},
	{"transformer.layer.*.attention.q_lin", "attn_q", HF_PLAIN, ALWAYS},
	{"transformer.layer.*.attention.k_lin", "attn_k", HF_PLAIN, ALWAYS},
	{"transformer.layer.*.attention.v_lin", "attn_v", HF_PLAIN, ALWAYS},
	{"transformer.layer.*.attention.out_lin", "attn_output", HF_PLAIN,
	ALWAYS},
	{"transformer.layer.*.sa_layer_norm", "attn_output_norm", HF_PLAIN,
	ALWAYS},
	{"transformer.layer.*.ffn.lin1", "ffn_up", HF_PLAIN, ALWAYS},
	{"transformer.layer.*.ffn.lin2", "ffn_down", HF_PLAIN, ALWAYS},
	{"transformer.layer.*.output_layer_norm", "layer_output_norm", HF_PLAIN,
	ALWAYS},
	{"pre_classifier", "cls", HF_PLAIN, LABELS},
	{"classifier", "cls.output", HF_PLAIN, LABELS_ONLY},
	{"vocab_transform.", NULL, HF_PLAIN, ALWAYS},
	{"vocab_layer_norm.", NULL, HF_PLAIN, ALWAYS},
	{"vocab_projector.", NULL, HF_PLAIN, ALWAYS},
	{NULL}
};

static const NameRule nomic_rules[] = {
	{"embeddings.word_embeddings", "token_embd", HF_PLAIN, ALWAYS},
	{"embeddings.token_type_embeddings", "token_types", HF_PLAIN, ALWAYS},
	{"emb_ln", "token_embd_norm", HF_PLAIN, ALWAYS},
	{"encoder.layers.*.attn.Wqkv", "attn_qkv", HF_PLAIN, ALWAYS},
	{"encoder.layers.*.attn.out_proj", "attn_output", HF_PLAIN, ALWAYS},
	{"encoder.layers.*.norm1", "attn_output_norm", HF_PLAIN, ALWAYS},
	{"encoder.layers.*.mlp.fc11", "ffn_up", HF_PLAIN, ALWAYS},
	{"encoder.layers.*.mlp.fc12", "ffn_gate", HF_PLAIN, ALWAYS},
	{"encoder.layers.*.mlp.fc2", "ffn_down", HF_PLAIN, ALWAYS},
	{"encoder.layers.*.norm2", "layer_output_norm", HF_PLAIN, ALWAYS},
	{NULL}
};

static const NameRule modern_rules[] = {
	{"embeddings.tok_embeddings", "token_embd", HF_PLAIN, ALWAYS},
	{"embeddings.norm", "token_embd_norm", HF_PLAIN, ALWAYS},
	{"layers.*.attn_norm", "attn_norm", HF_PLAIN, ALWAYS},
	{"layers.*.attn.Wqkv", "attn_qkv", HF_PLAIN, ALWAYS},
	{"layers.*.attn.Wo", "attn_output", HF_PLAIN, ALWAYS},
	{"layers.*.mlp_norm", "ffn_norm", HF_PLAIN, ALWAYS},
	{"layers.*.mlp.Wi", "ffn_up", HF_PLAIN, ALWAYS},	/* gate, then up */
	{"layers.*.mlp.Wo", "ffn_down", HF_PLAIN, ALWAYS},
	{"final_norm", "output_norm", HF_PLAIN, ALWAYS},
	{"head.dense", "cls", HF_PLAIN, LABELS},
	{"head.norm", "cls.norm", HF_PLAIN, LABELS},
	{"classifier", "cls.output", HF_PLAIN, LABELS_ONLY},
	{"decoder.", NULL, HF_PLAIN, ALWAYS},	/* of masked language models */
	{NULL}
};

static const NameFamily families[] = {
	[HF_LLAMA] = {
		{decoder_rules, neighbour_rules, norm_rules},
		{"model."}
	},
	[HF_QWEN2] = {
		{decoder_rules, half_rules, norm_rules},
		{"model."}
	},
	[HF_QWEN3] = {
		{decoder_rules, half_rules, norm_rules, head_norm_rules},
		{"model."}
	},
	[HF_GPT2] = {{gpt2_rules}, {"transformer."}},
	[HF_GEMMA] = {
		{decoder_rules, half_rules, gemma_norm_rules},
		{"model."}
	},
	[HF_GEMMA2] = {
		{decoder_rules, half_rules, gemma2_norm_rules},
		{"model."}
	},
	[HF_GEMMA3] = {
		{decoder_rules, half_rules, gemma2_norm_rules, gemma3_rules},
		{"model.", "language_model."}
	},
	[HF_GEMMA_EMBEDDING] = {
		{decoder_rules, half_rules, gemma2_norm_rules, gemma3_rules},
		{"model.", "language_model."}
	},
	[HF_BERT] = {{bert_rules, bert_head_rules}, {"bert."}},
	[HF_DISTILBERT] = {{distilbert_rules}, {"distilbert."}},
	[HF_ROBERTA] = {{bert_rules, roberta_head_rules}, {"roberta."}},
	[HF_NOMIC_BERT] = {
		{nomic_rules, bert_head_rules},
		{"bert.", "nomic_bert."}
	},
	[HF_MODERN_BERT] = {{modern_rules}, {"model."}}
};

/* Buffers that some checkpoints hold and that nobody learned */
static const char *const buffers[] = {
	"position_ids", "token_type_ids", "inv_freq", "original_inv_freq",
	"masked_bias", NULL
};

static bool
is_buffer(const char *name)
{
	const char *dot = strrchr(name, '.');
	const char *last = dot == NULL ? name : dot + 1;

	for (int i = 0; buffers[i] != NULL; i++)
	{
		if (strcmp(last, buffers[i]) == 0)
			return true;
	}
	return false;
}

/* Digits of a layer number at text, without leading zeros; 0: none */
static size_t
layer_digits(const char *text, int32_t *layer)
{
	size_t		n = 0;

	*layer = 0;
	while (n < 6 && text[n] >= '0' && text[n] <= '9')
		*layer = *layer * 10 + (text[n++] - '0');
	if ((n > 1 && text[0] == '0') || (text[n] >= '0' && text[n] <= '9'))
		return 0;
	return n;
}

/*
 * Does pattern describe name?  rest is what is left of name behind it; a
 * pattern that ends in a dot leaves nothing.
 */
static bool
matches(const char *pattern, const char *name, int32_t *layer,
		const char **rest)
{
	*layer = -1;
	for (; *pattern != '\0'; pattern++)
	{
		if (*pattern == '*')
		{
			size_t		n = layer_digits(name, layer);

			if (n == 0)
				return false;
			name += n;
		}
		else if (*pattern != *name++)
			return false;
	}
	*rest = pattern[-1] == '.' ? "" : name;
	return true;
}

/* ".weight" or ".bias", which old BERT checkpoints call gamma and beta */
static bool
read_suffix(const char *suffix, bool *bias)
{
	*bias = strcmp(suffix, ".bias") == 0 || strcmp(suffix, ".beta") == 0;
	return *bias || strcmp(suffix, ".weight") == 0 ||
		strcmp(suffix, ".gamma") == 0;
}

static bool
apply_rule(const HfModel *model, const NameRule *rule, const char *name,
		   HfPlace *place)
{
	const char *rest;

	if (!matches(rule->from, name, &place->layer, &rest))
		return false;
	place->module = NULL;
	if (rule->to == NULL)
		return rest[0] == '\0';
	if (!read_suffix(rest, &place->bias))
		return false;
	if (model->n_labels == 0 && rule->when == LABELS_ONLY)
		return false;
	if ((model->n_labels == 0 && rule->when == LABELS) ||
		(model->tied && rule->when == UNTIED))
		return true;
	place->module = rule->to;
	place->transform = rule->transform;

	/* of biases, only those of queries and keys follow their rows */
	if (place->bias && rule->transform != HF_PERMUTE_Q &&
		rule->transform != HF_PERMUTE_K)
		place->transform = HF_PLAIN;
	return true;
}

static bool
apply_rules(const HfModel *model, const NameFamily *family, const char *name,
			HfPlace *place)
{
	for (int i = 0; i < MAX_RULE_SETS && family->rules[i] != NULL; i++)
	{
		for (const NameRule *rule = family->rules[i]; rule->from != NULL;
			 rule++)
		{
			if (apply_rule(model, rule, name, place))
				return true;
		}
	}
	return false;
}

/* What is behind a prefix of the family; NULL: name has none. */
static const char *
strip_prefix(const NameFamily *family, const char *name)
{
	for (int i = 0; family->prefixes[i] != NULL; i++)
	{
		size_t		length = strlen(family->prefixes[i]);

		if (strncmp(name, family->prefixes[i], length) == 0)
			return name + length;
	}
	return NULL;
}

bool
hf_find_place(const HfModel *model, const char *name, HfPlace *place)
{
	const NameFamily *family = &families[model->family];

	memset(place, 0, sizeof(*place));
	if (is_buffer(name))
		return true;
	for (int i = 0; name != NULL && i <= MAX_PREFIXES; i++)
	{
		if (apply_rules(model, family, name, place))
			return true;
		name = strip_prefix(family, name);
	}
	return false;
}
