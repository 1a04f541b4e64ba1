/*-------------------------------------------------------------------------
 *
 * hugging_face_config_test.c
 *	  config.json and the files of sentence-transformers become keys; what
 *	  our architectures lack, or is out of range, is refused by name.
 *
 *-------------------------------------------------------------------------
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "import_fixture.h"

/* Sizes of each family; members may be added before the brace. */
#define LLAMA \
	"\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\"," \
	" \"hidden_size\": 64, \"num_hidden_layers\": 3," \
	" \"num_attention_heads\": 4, \"num_key_value_heads\": 2," \
	" \"intermediate_size\": 128, \"max_position_embeddings\": 8192," \
	" \"rms_norm_eps\": 1e-5, \"vocab_size\": 1000"
#define MISTRAL \
	"\"architectures\": [\"MistralForCausalLM\"], \"model_type\":" \
	" \"mistral\", \"hidden_size\": 64, \"num_hidden_layers\": 3," \
	" \"num_attention_heads\": 4, \"intermediate_size\": 128," \
	" \"max_position_embeddings\": 8192, \"vocab_size\": 1000"
#define QWEN3 \
	"\"architectures\": [\"Qwen3ForCausalLM\"], \"hidden_size\": 64," \
	" \"num_hidden_layers\": 3, \"num_attention_heads\": 4, \"head_dim\": 32," \
	" \"intermediate_size\": 128, \"max_position_embeddings\": 4096," \
	" \"vocab_size\": 1000"
#define GPT2 \
	"\"architectures\": [\"GPT2LMHeadModel\"], \"n_embd\": 64," \
	" \"n_layer\": 3, \"n_head\": 4, \"n_inner\": null, \"n_positions\": 128," \
	" \"vocab_size\": 1000, \"activation_function\": \"gelu_new\""
#define GEMMA3 \
	"\"hidden_size\": 64, \"num_hidden_layers\": 12," \
	" \"num_attention_heads\": 4, \"num_key_value_heads\": 1," \
	" \"head_dim\": 16, \"intermediate_size\": 128, \"vocab_size\": 1000," \
	" \"max_position_embeddings\": 4096, \"sliding_window\": 512," \
	" \"rms_norm_eps\": 1e-6"
#define PLAIN_SCALE ", \"query_pre_attn_scalar\": 16"
#define BERT(class) \
	"\"architectures\": [\"" class "\"], \"hidden_size\": 64," \
	" \"num_hidden_layers\": 3, \"num_attention_heads\": 4," \
	" \"intermediate_size\": 128, \"max_position_embeddings\": 130," \
	" \"layer_norm_eps\": 1e-12, \"vocab_size\": 1000"
#define DISTILBERT \
	"\"architectures\": [\"DistilBertModel\"], \"dim\": 64," \
	" \"n_layers\": 3, \"n_heads\": 4, \"hidden_dim\": 128," \
	" \"max_position_embeddings\": 130, \"vocab_size\": 1000"
#define NOMIC \
	"\"architectures\": [\"NomicBertModel\"], \"n_embd\": 64," \
	" \"n_layer\": 3, \"n_head\": 4, \"n_inner\": 128," \
	" \"n_positions\": 8192, \"max_trained_positions\": 2048," \
	" \"rotary_emb_base\": 1000, \"rotary_emb_fraction\": 1.0," \
	" \"activation_function\": \"swiglu\", \"prenorm\": false," \
	" \"layer_norm_epsilon\": 1e-12, \"auto_map\": {}, \"vocab_size\": 1000"
#define MODERN_BERT(head) \
	"\"architectures\": [\"ModernBert" head "\"], \"hidden_size\": 64," \
	" \"num_hidden_layers\": 7, \"num_attention_heads\": 4," \
	" \"intermediate_size\": 128, \"max_position_embeddings\": 8192," \
	" \"hidden_activation\": \"gelu\", \"vocab_size\": 1000"

static void
expect(ImportFixture *fixture, EngineCode code, EngineCode wanted,
	   const char *part)
{
	if (code != wanted)
		fail_msg("code %d, wanted %d: %s (%s)", code, wanted,
				 fixture->status.message, part);
	if (strstr(fixture->status.message, part) == NULL)
		fail_msg("\"%s\" does not speak of \"%s\"", fixture->status.message,
				 part);
}

/* A folder of one config.json with these members */
static void
begin(ImportFixture *fixture, const char *members)
{
	char		text[8192];

	import_begin(fixture, NULL);
	snprintf(text, sizeof(text), "{%s}", members);
	folder_fixture_text(&fixture->files, "config.json", text);
}

static void
read_members(ImportFixture *fixture, const char *members)
{
	begin(fixture, members);
	expect(fixture, import_config(fixture), ENGINE_OK, "");
}

static void
refused(const char *members, EngineCode wanted, const char *part)
{
	ImportFixture fixture;

	begin(&fixture, members);
	expect(&fixture, import_config(&fixture), wanted, part);
	import_end(&fixture);
}

static int64_t
int_of(ImportFixture *fixture, const char *key)
{
	const GgufKey *found = gguf_find_key(&fixture->gguf, key);

	if (found == NULL)
		return -1;
	assert_true(found->type == GGUF_U32 || found->type == GGUF_BOOL);
	return (int64_t) found->bits;
}

static double
float_of(ImportFixture *fixture, const char *key)
{
	double		value = -1;

	assert_int_equal(gguf_get_float(&fixture->gguf, key, &value,
									&fixture->status), ENGINE_OK);
	return value;
}

static const char *
text_of(ImportFixture *fixture, const char *key)
{
	const GgufKey *found = gguf_find_key(&fixture->gguf, key);

	return found == NULL ? "(absent)" : found->string == NULL ?
		"(no text)" : found->string;
}

/* Element i of an array of strings equals text. */
static void
check_element(ImportFixture *fixture, const char *key, int i,
			  const char *text)
{
	const GgufKey *found = gguf_find_key(&fixture->gguf, key);
	GgufCursor	cursor;
	const char *element = NULL;
	size_t		length = 0;

	assert_non_null(found);
	assert_int_equal(gguf_cursor_open(&fixture->source, found, GGUF_STRING,
									  &fixture->arena, &cursor,
									  &fixture->status), ENGINE_OK);
	for (int j = 0; j <= i; j++)
		assert_int_equal(gguf_next_string(&cursor, 1000, &element, &length,
										  &fixture->status), ENGINE_OK);
	assert_int_equal(length, strlen(text));
	assert_memory_equal(element, text, length);
}

static void
test_llama(void **state)
{
	ImportFixture f;

	(void) state;
	read_members(&f, LLAMA ", \"_name_or_path\": \"maker/tiny-llama\","
				 " \"rope_theta\": 500000.0, \"tie_word_embeddings\": true");
	assert_string_equal(text_of(&f, "general.architecture"), "llama");
	assert_string_equal(text_of(&f, "general.name"), "tiny-llama");
	assert_int_equal(int_of(&f, "general.quantization_version"), 2);
	assert_int_equal(int_of(&f, "general.alignment"), 32);
	assert_int_equal(int_of(&f, "llama.context_length"), 8192);
	assert_int_equal(int_of(&f, "llama.embedding_length"), 64);
	assert_int_equal(int_of(&f, "llama.block_count"), 3);
	assert_int_equal(int_of(&f, "llama.feed_forward_length"), 128);
	assert_int_equal(int_of(&f, "llama.attention.head_count"), 4);
	assert_int_equal(int_of(&f, "llama.attention.head_count_kv"), 2);
	assert_int_equal(int_of(&f, "llama.attention.key_length"), -1);
	assert_int_equal(int_of(&f, "llama.rope.dimension_count"), 16);
	assert_int_equal(int_of(&f, "llama.vocab_size"), 1000);
	assert_int_equal(int_of(&f, "llama.attention.causal"), -1);
	assert_int_equal(int_of(&f, "llama.pooling_type"), -1);
	assert_int_equal(int_of(&f, "llama.attention.sliding_window"), -1);
	assert_true(float_of(&f, "llama.rope.freq_base") == 500000);
	assert_true(float_of(&f, "llama.attention.layer_norm_rms_epsilon") ==
				(double) 1e-5f);
	assert_true(f.model.tied && f.model.causal);
	import_end(&f);

	/* Mistral is a llama with a window */
	read_members(&f, MISTRAL ", \"sliding_window\": 4096");
	assert_string_equal(text_of(&f, "general.architecture"), "llama");
	assert_int_equal(int_of(&f, "llama.attention.sliding_window"), 4096);
	assert_int_equal(f.model.n_kv_heads, 4);
	assert_false(f.model.tied);
	import_end(&f);
	read_members(&f, MISTRAL ", \"sliding_window\": null");
	assert_int_equal(int_of(&f, "llama.attention.sliding_window"), -1);
	import_end(&f);

	/* model_type alone suffices */
	read_members(&f, "\"model_type\": \"qwen2\", \"hidden_size\": 8,"
				 " \"num_hidden_layers\": 1, \"num_attention_heads\": 2,"
				 " \"intermediate_size\": 8, \"vocab_size\": 9,"
				 " \"max_position_embeddings\": 16,"
				 " \"use_sliding_window\": true, \"sliding_window\": 8,"
				 " \"max_window_layers\": 1");
	assert_string_equal(text_of(&f, "general.architecture"), "qwen2");
	import_end(&f);
}

/* Before and since transformers 5 */
static void
test_rope(void **state)
{
	ImportFixture f;
	const float *divisors;
	int32_t		n;

	(void) state;
	read_members(&f, QWEN3 ", \"rope_parameters\": {\"rope_theta\": 1e6,"
				 " \"rope_type\": \"default\"}");
	assert_true(float_of(&f, "qwen3.rope.freq_base") == 1e6);
	assert_int_equal(int_of(&f, "qwen3.attention.key_length"), 32);
	assert_int_equal(int_of(&f, "qwen3.attention.value_length"), 32);
	import_end(&f);

	read_members(&f, LLAMA ", \"rope_scaling\": {\"type\": \"linear\","
				 " \"factor\": 4}");
	assert_string_equal(text_of(&f, "llama.rope.scaling.type"), "linear");
	assert_true(float_of(&f, "llama.rope.scaling.factor") == 4);
	import_end(&f);

	read_members(&f, LLAMA ", \"rope_parameters\": {\"rope_type\": \"yarn\","
				 " \"factor\": 4, \"original_max_position_embeddings\": 2048,"
				 " \"rope_theta\": 1e6, \"beta_fast\": 16,"
				 " \"attention_factor\": 1.0}");
	assert_string_equal(text_of(&f, "llama.rope.scaling.type"), "yarn");
	assert_int_equal(int_of(&f, "llama.rope.scaling."
							"original_context_length"), 2048);
	assert_true(float_of(&f, "llama.rope.scaling.yarn_beta_fast") == 16);
	assert_true(float_of(&f, "llama.rope.scaling.yarn_beta_slow") == -1);
	/* 1 / (1 + 0.1 * ln 4) */
	assert_float_equal(float_of(&f, "llama.rope.scaling.attn_factor"),
					   0.8782489, 1e-6);
	import_end(&f);

	/* the divisors of Llama 3.1: none, a mix, all */
	read_members(&f, LLAMA ", \"head_dim\": 16, \"rope_theta\": 10000,"
				 " \"rope_scaling\": {\"rope_type\": \"llama3\","
				 " \"factor\": 8, \"low_freq_factor\": 1,"
				 " \"high_freq_factor\": 4,"
				 " \"original_max_position_embeddings\": 1024}");
	assert_string_equal(text_of(&f, "llama.rope.scaling.type"), "(absent)");
	assert_int_equal(hf_rope_divisors(&f.model, &divisors, &n), ENGINE_OK);
	assert_int_equal(n, 8);
	assert_true(divisors[0] == 1 && divisors[3] == 1);
	/* wavelength 628.3: s = (1024 / 628.3 - 1) / 3 = 0.209916 */
	assert_float_equal(divisors[4], 1 / ((1 - 0.209916) / 8 + 0.209916),
					   1e-4);
	assert_true(divisors[5] == 8 && divisors[7] == 8);
	import_end(&f);

	read_members(&f, LLAMA);
	assert_int_equal(hf_rope_divisors(&f.model, &divisors, &n), ENGINE_OK);
	assert_null(divisors);
	import_end(&f);
}

static void
test_gpt2(void **state)
{
	ImportFixture f;

	(void) state;
	read_members(&f, GPT2);
	assert_string_equal(text_of(&f, "general.architecture"), "gpt2");
	assert_int_equal(int_of(&f, "gpt2.feed_forward_length"), 256);
	assert_int_equal(int_of(&f, "gpt2.rope.dimension_count"), -1);
	assert_true(float_of(&f, "gpt2.attention.layer_norm_epsilon") ==
				(double) 1e-5f);
	assert_true(f.model.tied);
	import_end(&f);
}

static void
test_gemma(void **state)
{
	ImportFixture f;

	(void) state;
	/* the text part of a model of images, in the old form */
	read_members(&f, "\"architectures\": [\"Gemma3ForConditionalGeneration\"],"
				 " \"model_type\": \"gemma3\", \"text_config\": {" GEMMA3
				 PLAIN_SCALE ", \"rope_local_base_freq\": 10000.0,"
				 " \"rope_theta\": 1e6,"
				 " \"rope_scaling\": {\"rope_type\": \"linear\","
				 " \"factor\": 8.0}}");
	assert_string_equal(text_of(&f, "general.architecture"), "gemma3");
	assert_int_equal(int_of(&f, "gemma3.attention.sliding_window"), 512);
	assert_int_equal(int_of(&f, "gemma3.attention.sliding_window_pattern"),
					 6);
	assert_true(float_of(&f, "gemma3.rope.freq_base") == 1e6);
	assert_true(float_of(&f, "gemma3.rope.freq_base_swa") == 10000);
	assert_true(float_of(&f, "gemma3.rope.scaling.factor") == 8);
	assert_true(float_of(&f, "gemma3.attention.scale") == -1);
	assert_true(f.model.tied && f.model.causal);
	import_end(&f);

	/* the embedding variant, in the new form */
	read_members(&f, "\"architectures\": [\"Gemma3TextModel\"], " GEMMA3
				 ", \"use_bidirectional_attention\": true,"
				 " \"rope_parameters\": {\"full_attention\":"
				 " {\"rope_type\": \"default\", \"rope_theta\": 2e6},"
				 " \"sliding_attention\": {\"rope_type\": \"default\","
				 " \"rope_theta\": 20000}}, \"layer_types\":"
				 " [\"sliding_attention\", \"sliding_attention\","
				 " \"full_attention\", \"sliding_attention\","
				 " \"sliding_attention\", \"full_attention\","
				 " \"sliding_attention\", \"sliding_attention\","
				 " \"full_attention\", \"sliding_attention\","
				 " \"sliding_attention\", \"full_attention\"]");
	assert_string_equal(text_of(&f, "general.architecture"),
						"gemma-embedding");
	assert_int_equal(int_of(&f, "gemma-embedding.attention."
							"sliding_window_pattern"), 3);
	assert_int_equal(int_of(&f, "gemma-embedding.attention.causal"), 0);
	assert_int_equal(int_of(&f, "gemma-embedding.pooling_type"), 1);
	assert_true(float_of(&f, "gemma-embedding.rope.freq_base_swa") == 20000);
	import_end(&f);

	read_members(&f, "\"architectures\": [\"Gemma2ForCausalLM\"], " GEMMA3
				 ", \"attn_logit_softcapping\": 50.0,"
				 " \"final_logit_softcapping\": null,"
				 " \"query_pre_attn_scalar\": 64");
	assert_true(float_of(&f, "gemma2.attn_logit_softcapping") == 50);
	assert_true(float_of(&f, "gemma2.final_logit_softcapping") == -1);
	assert_true(float_of(&f, "gemma2.attention.scale") == 0.125);
	assert_int_equal(int_of(&f, "gemma2.attention.sliding_window_pattern"),
					 -1);
	import_end(&f);

	read_members(&f, "\"architectures\": [\"GemmaForCausalLM\"], " GEMMA3
				 ", \"hidden_act\": \"gelu\"");
	assert_string_equal(text_of(&f, "general.architecture"), "gemma");
	assert_int_equal(int_of(&f, "gemma.attention.sliding_window"), -1);
	import_end(&f);
}

static void
test_bert(void **state)
{
	ImportFixture f;

	(void) state;
	read_members(&f, BERT("BertModel") ", \"hidden_act\": \"gelu\"");
	assert_string_equal(text_of(&f, "general.architecture"), "bert");
	assert_int_equal(int_of(&f, "bert.context_length"), 130);
	assert_int_equal(int_of(&f, "bert.attention.causal"), 0);
	assert_int_equal(int_of(&f, "bert.pooling_type"), 1);
	assert_int_equal(int_of(&f, "llm.normalize"), -1);
	assert_string_equal(text_of(&f, "llm.feed_forward.activation"),
						"(absent)");
	assert_int_equal(f.model.n_labels, 0);
	import_end(&f);

	read_members(&f, BERT("BertForMaskedLM") ", \"hidden_act\":"
				 " \"gelu_new\"");
	assert_string_equal(text_of(&f, "llm.feed_forward.activation"),
						"gelu_tanh");
	import_end(&f);

	read_members(&f, BERT("XLMRobertaModel") ", \"pad_token_id\": 1");
	assert_int_equal(int_of(&f, "bert.context_length"), 128);
	assert_int_equal(f.model.first_position, 2);
	import_end(&f);

	read_members(&f, DISTILBERT);
	assert_int_equal(int_of(&f, "bert.feed_forward_length"), 128);
	assert_true(float_of(&f, "bert.attention.layer_norm_epsilon") ==
				(double) 1e-12f);
	import_end(&f);
}

static void
test_nomic_and_modern_bert(void **state)
{
	ImportFixture f;

	(void) state;
	read_members(&f, NOMIC);
	assert_string_equal(text_of(&f, "general.architecture"), "nomic-bert");
	assert_int_equal(int_of(&f, "nomic-bert.context_length"), 2048);
	assert_int_equal(int_of(&f, "nomic-bert.rope.dimension_count"), 16);
	assert_true(float_of(&f, "nomic-bert.rope.freq_base") == 1000);
	import_end(&f);

	/* as transformers itself has it */
	read_members(&f, BERT("NomicBertModel") ", \"hidden_act\": \"silu\","
				 " \"rope_parameters\": {\"rope_type\": \"default\","
				 " \"rope_theta\": 2000}");
	assert_true(float_of(&f, "nomic-bert.rope.freq_base") == 2000);
	import_end(&f);

	read_members(&f, MODERN_BERT("Model") ", \"local_attention\": 64,"
				 " \"global_attn_every_n_layers\": 2,"
				 " \"global_rope_theta\": 80000, \"local_rope_theta\": 9000,"
				 " \"norm_eps\": 1e-4");
	assert_string_equal(text_of(&f, "general.architecture"), "modern-bert");
	assert_int_equal(int_of(&f, "modern-bert.attention.sliding_window"), 64);
	assert_int_equal(int_of(&f, "modern-bert.attention."
							"sliding_window_pattern"), 2);
	assert_true(float_of(&f, "modern-bert.rope.freq_base") == 80000);
	assert_true(float_of(&f, "modern-bert.rope.freq_base_swa") == 9000);
	assert_true(float_of(&f, "modern-bert.attention.layer_norm_epsilon") ==
				(double) 1e-4f);
	import_end(&f);

	read_members(&f, MODERN_BERT("Model") ", \"layer_types\":"
				 " [\"full_attention\", \"sliding_attention\","
				 " \"sliding_attention\", \"full_attention\","
				 " \"sliding_attention\", \"sliding_attention\","
				 " \"full_attention\"]");
	assert_int_equal(int_of(&f, "modern-bert.attention."
							"sliding_window_pattern"), 3);
	assert_int_equal(int_of(&f, "modern-bert.attention.sliding_window"),
					 128);
	assert_true(float_of(&f, "modern-bert.rope.freq_base") == 160000);
	assert_true(float_of(&f, "modern-bert.rope.freq_base_swa") == 10000);
	import_end(&f);
}

static void
test_classifiers(void **state)
{
	ImportFixture f;

	(void) state;
	read_members(&f, BERT("BertForSequenceClassification")
				 ", \"id2label\": {\"1\": \"no\", \"0\": \"yes\"}");
	assert_int_equal(f.model.n_labels, 2);
	assert_int_equal(int_of(&f, "bert.pooling_type"), 4);
	check_element(&f, "bert.classifier.output_labels", 0, "yes");
	check_element(&f, "bert.classifier.output_labels", 1, "no");
	import_end(&f);

	read_members(&f, BERT("BertForSequenceClassification"));
	assert_int_equal(f.model.n_labels, 2);
	check_element(&f, "bert.classifier.output_labels", 1, "LABEL_1");
	import_end(&f);

	read_members(&f, BERT("RobertaForSequenceClassification")
				 ", \"num_labels\": 1");
	assert_int_equal(f.model.n_labels, 1);
	import_end(&f);

	read_members(&f, MODERN_BERT("ForSequenceClassification")
				 ", \"classifier_pooling\": \"mean\"");
	assert_string_equal(text_of(&f, "llm.classifier.pooling"), "mean");
	assert_string_equal(text_of(&f, "llm.classifier.activation"), "gelu");
	import_end(&f);

	refused(BERT("BertForSequenceClassification")
			", \"id2label\": {\"0\": \"a\", \"2\": \"b\"}", ENGINE_CORRUPT,
			"id2label");
	refused(BERT("BertForSequenceClassification")
			", \"id2label\": {\"0\": \"a\", \"01\": \"b\"}", ENGINE_CORRUPT,
			"id2label");
	refused(BERT("BertForSequenceClassification")
			", \"id2label\": {\"0\": 1}", ENGINE_CORRUPT, "id2label");
	refused(BERT("BertForSequenceClassification") ", \"id2label\": {}",
			ENGINE_CORRUPT, "id2label");
	refused(BERT("BertForTokenClassification"), ENGINE_UNSUPPORTED,
			"BertForTokenClassification");
	refused(BERT("LlamaForSequenceClassification"), ENGINE_UNSUPPORTED,
			"LlamaForSequenceClassification");
}

static void
test_refusals(void **state)
{
	(void) state;
	refused("", ENGINE_CORRUPT, "architectures");
	refused("\"architectures\": [7]", ENGINE_CORRUPT, "architectures");
	refused("\"architectures\": {}", ENGINE_CORRUPT, "architectures");
	refused("\"model_type\": \"falcon\"", ENGINE_UNSUPPORTED, "falcon");
	refused("\"architectures\": [\"MixtralForCausalLM\"]",
			ENGINE_UNSUPPORTED, "MixtralForCausalLM");
	refused(BERT("BertLMHeadModel"), ENGINE_UNSUPPORTED, "BertLMHeadModel");
	refused(BERT("BertModel") ", \"is_decoder\": true", ENGINE_UNSUPPORTED,
			"is_decoder");
	refused(BERT("BertModel") ", \"add_cross_attention\": true",
			ENGINE_UNSUPPORTED, "add_cross_attention");
	refused(BERT("BertModel") ", \"position_embedding_type\":"
			" \"relative_key\"", ENGINE_UNSUPPORTED, "relative_key");
	refused(BERT("BertModel") ", \"hidden_act\": \"relu\"",
			ENGINE_UNSUPPORTED, "relu");
	refused(BERT("BertModel") ", \"auto_map\": {\"AutoModel\": \"m.X\"}",
			ENGINE_UNSUPPORTED, "auto_map");
	refused(LLAMA ", \"hidden_act\": \"gelu\"", ENGINE_UNSUPPORTED, "gelu");
	refused(LLAMA ", \"quantization_config\": {}", ENGINE_UNSUPPORTED,
			"quantization_config");
	refused(LLAMA ", \"num_local_experts\": 8", ENGINE_UNSUPPORTED,
			"num_local_experts");
	refused(LLAMA ", \"is_causal\": false", ENGINE_UNSUPPORTED, "is_causal");
	refused(LLAMA ", \"partial_rotary_factor\": 0.5", ENGINE_UNSUPPORTED,
			"partial_rotary_factor");
	refused(LLAMA ", \"rope_scaling\": {\"type\": \"dynamic\","
			" \"factor\": 2}", ENGINE_UNSUPPORTED, "dynamic");
	refused(LLAMA ", \"rope_scaling\": {\"type\": \"longrope\"}",
			ENGINE_UNSUPPORTED, "longrope");
	refused(LLAMA ", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2,"
			" \"truncate\": false}", ENGINE_UNSUPPORTED, "truncate");
	refused(LLAMA ", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2,"
			" \"mscale\": 1, \"mscale_all_dim\": 1}", ENGINE_UNSUPPORTED,
			"mscale_all_dim");
	refused(LLAMA ", \"rope_parameters\": {\"full_attention\": {}}",
			ENGINE_UNSUPPORTED, "rope_parameters");
	refused(QWEN3 ", \"use_sliding_window\": true, \"sliding_window\": 8,"
			" \"max_window_layers\": 1", ENGINE_UNSUPPORTED,
			"use_sliding_window");
	refused(QWEN3 ", \"attention_bias\": true", ENGINE_UNSUPPORTED,
			"attention_bias");
	refused(GPT2 ", \"scale_attn_by_inverse_layer_idx\": true",
			ENGINE_UNSUPPORTED, "scale_attn_by_inverse_layer_idx");
	refused(NOMIC ", \"moe_every_n_layers\": 2", ENGINE_UNSUPPORTED,
			"moe_every_n_layers");
	refused(NOMIC ", \"qkv_proj_bias\": true", ENGINE_UNSUPPORTED,
			"qkv_proj_bias");
	refused(NOMIC ", \"rotary_scaling_factor\": 2", ENGINE_UNSUPPORTED,
			"rotary_scaling_factor");
	refused(MODERN_BERT("Model") ", \"mlp_bias\": true", ENGINE_UNSUPPORTED,
			"mlp_bias");
	refused(MODERN_BERT("ForSequenceClassification")
			", \"classifier_pooling\": \"max\"", ENGINE_UNSUPPORTED,
			"classifier_pooling");
	refused("\"architectures\": [\"Gemma3ForCausalLM\"], " GEMMA3
			", \"use_bidirectional_attention\": true", ENGINE_UNSUPPORTED,
			"use_bidirectional_attention");
	refused("\"architectures\": [\"Gemma3ForConditionalGeneration\"]",
			ENGINE_CORRUPT, "text_config");
	refused(MODERN_BERT("Model") ", \"layer_types\": [\"sliding_attention\","
			" \"full_attention\", \"full_attention\", \"full_attention\","
			" \"full_attention\", \"full_attention\", \"full_attention\"]",
			ENGINE_UNSUPPORTED, "layer_types");
	refused(MODERN_BERT("Model") ", \"layer_types\": [\"full_attention\"]",
			ENGINE_CORRUPT, "layer_types");
	refused(MODERN_BERT("Model") ", \"layer_types\": [1, 2, 3, 4, 5, 6, 7]",
			ENGINE_CORRUPT, "layer_types");
	refused(MODERN_BERT("Model") ", \"layer_types\": [\"full_attention\","
			" \"chunked_attention\", \"full_attention\", \"full_attention\","
			" \"full_attention\", \"full_attention\", \"full_attention\"]",
			ENGINE_UNSUPPORTED, "chunked_attention");
}

/* Each size replaced by each value that no model has */
static void
test_hostile_sizes(void **state)
{
	static const char *const keys[] = {
		"hidden_size", "num_hidden_layers", "num_attention_heads",
		"num_key_value_heads", "intermediate_size",
		"max_position_embeddings", "vocab_size", "head_dim"
	};
	static const char *const values[] = {
		"0", "-1", "2147483648", "99999999999999999999", "1e3", "1.5",
		"\"64\"", "true", "[]", "{}"
	};
	const char *sizes[] = {
		"64", "3", "4", "4", "128", "256", "1000", "16"
	};

	(void) state;
	for (int k = 0; k < 8; k++)
	{
		for (int v = 0; v < 10; v++)
		{
			char		text[1024] = "\"model_type\": \"llama\"";

			for (int i = 0; i < 8; i++)
				snprintf(text + strlen(text), sizeof(text) - strlen(text),
						 ", \"%s\": %s", keys[i],
						 i == k ? values[v] : sizes[i]);
			refused(text, ENGINE_CORRUPT, keys[k]);
		}
	}
	refused(LLAMA ", \"head_dim\": 7", ENGINE_CORRUPT, "rotate");
	refused(LLAMA ", \"rope_theta\": 0", ENGINE_CORRUPT, "rope_theta");
	refused(LLAMA ", \"rope_theta\": \"x\"", ENGINE_CORRUPT, "rope_theta");
	refused(LLAMA ", \"rms_norm_eps\": 0", ENGINE_CORRUPT, "rms_norm_eps");
	refused(LLAMA ", \"rope_scaling\": 5", ENGINE_CORRUPT, "rope_scaling");
	refused(LLAMA ", \"rope_scaling\": {\"type\": \"linear\"}",
			ENGINE_CORRUPT, "factor");
	refused(LLAMA ", \"rope_scaling\": {\"type\": \"linear\","
			" \"factor\": -2}", ENGINE_CORRUPT, "factor");
	refused(LLAMA ", \"rope_scaling\": {\"type\": \"llama3\", \"factor\": 8,"
			" \"low_freq_factor\": 4, \"high_freq_factor\": 4,"
			" \"original_max_position_embeddings\": 10}", ENGINE_CORRUPT,
			"high_freq_factor");
	refused(LLAMA ", \"vocab_size\": 5", ENGINE_CORRUPT, "config.json");
	refused("\"model_type\": \"a\\u0000b\"", ENGINE_CORRUPT, "model_type");
	refused(BERT("RobertaModel") ", \"pad_token_id\": 129", ENGINE_CORRUPT,
			"pad_token_id");
}

/* The smallest BERT with files of sentence-transformers */
static void
begin_embedding(ImportFixture *fixture, const char *modules,
				const char *pooling)
{
	begin(fixture, BERT("BertModel"));
	folder_fixture_text(&fixture->files, "modules.json", modules);
	if (pooling != NULL)
		folder_fixture_text(&fixture->files, "1_Pooling/config.json",
							pooling);
}

#define TYPE "\"type\": \"sentence_transformers.models."
#define TRANSFORMER "{\"path\": \"\", " TYPE "Transformer\"}"
#define POOLING "{\"path\": \"1_Pooling\", " TYPE "Pooling\"}"
#define DENSE "{\"path\": \"2_Dense\", " TYPE "Dense\"}"
#define NORMALIZE "{\"path\": \"3_Normalize\", " TYPE "Normalize\"}"

static void
modules_refused(const char *modules, const char *pooling, EngineCode wanted,
				const char *part)
{
	ImportFixture f;

	begin_embedding(&f, modules, pooling);
	expect(&f, import_config(&f), wanted, part);
	import_end(&f);
}

static void
test_embedding(void **state)
{
	ImportFixture f;

	(void) state;
	begin_embedding(&f, "[" TRANSFORMER ", " POOLING ", " DENSE ", "
					NORMALIZE "]", "{\"word_embedding_dimension\": 64,"
					" \"pooling_mode_cls_token\": true,"
					" \"pooling_mode_mean_tokens\": false}");
	folder_fixture_text(&f.files, "2_Dense/config.json",
						"{\"in_features\": 64, \"out_features\": 24,"
						" \"bias\": false, \"activation_function\":"
						" \"torch.nn.modules.linear.Identity\"}");
	folder_fixture_text(&f.files, "sentence_bert_config.json",
						"{\"max_seq_length\": 256}");
	folder_fixture_text(&f.files, "config_sentence_transformers.json",
						"{\"prompts\": {\"query\": \"query: \","
						" \"document\": \"\"},"
						" \"default_prompt_name\": \"query\"}");
	expect(&f, import_config(&f), ENGINE_OK, "");
	assert_int_equal(int_of(&f, "bert.pooling_type"), 2);
	assert_int_equal(int_of(&f, "bert.dense_2_feat_in"), 64);
	assert_int_equal(int_of(&f, "bert.dense_2_feat_out"), 24);
	assert_string_equal(text_of(&f, "llm.dense_2.activation"), "identity");
	assert_int_equal(int_of(&f, "llm.normalize"), 1);
	/* no further than there are positions */
	assert_int_equal(int_of(&f, "llm.max_length"), 130);
	check_element(&f, "llm.prompts.names", 1, "document");
	check_element(&f, "llm.prompts.texts", 0, "query: ");
	check_element(&f, "llm.prompts.texts", 1, "");
	assert_string_equal(text_of(&f, "llm.default_prompt"), "query");
	assert_string_equal(f.model.dense[0].prefix, "2_Dense/");
	assert_false(f.model.dense[0].bias);
	import_end(&f);

	/* newer names, and no Normalize */
	begin_embedding(&f, "[{\"path\": \"\", \"type\":"
					" \"sentence_transformers.base.modules.transformer."
					"Transformer\"}, {\"path\": \"1_Pooling\", \"type\":"
					" \"sentence_transformers.sentence_transformer.modules."
					"pooling.Pooling\"}]",
					"{\"embedding_dimension\": 64, \"pooling_mode\":"
					" \"lasttoken\"}");
	folder_fixture_text(&f.files, "tokenizer_config.json",
						"{\"model_max_length\": 100}");
	expect(&f, import_config(&f), ENGINE_OK, "");
	assert_int_equal(int_of(&f, "bert.pooling_type"), 3);
	assert_int_equal(int_of(&f, "llm.normalize"), 0);
	assert_int_equal(int_of(&f, "llm.max_length"), 100);
	import_end(&f);

	/* a length that means "unknown" */
	begin_embedding(&f, "[" TRANSFORMER ", " POOLING "]",
					"{\"pooling_mode\": [\"mean\"]}");
	folder_fixture_text(&f.files, "tokenizer_config.json",
						"{\"model_max_length\":"
						" 1000000000000000019884624838656}");
	expect(&f, import_config(&f), ENGINE_OK, "");
	assert_int_equal(int_of(&f, "bert.pooling_type"), 1);
	assert_int_equal(int_of(&f, "llm.max_length"), -1);
	import_end(&f);
}

static void
test_modules_refused(void **state)
{
	static const char *const mean = "{\"pooling_mode\": \"mean\"}";
	ImportFixture f;

	(void) state;
	modules_refused("{}", NULL, ENGINE_CORRUPT, "modules.json");
	modules_refused("[]", NULL, ENGINE_CORRUPT, "modules.json");
	modules_refused("[1]", NULL, ENGINE_CORRUPT, "modules.json");
	modules_refused("[" TRANSFORMER "]", NULL, ENGINE_UNSUPPORTED,
					"pools");
	modules_refused("[" POOLING "]", mean, ENGINE_UNSUPPORTED, "order");
	modules_refused("[" TRANSFORMER ", " NORMALIZE ", " POOLING "]", mean,
					ENGINE_UNSUPPORTED, "order");
	modules_refused("[" TRANSFORMER ", " POOLING ", " POOLING "]", mean,
					ENGINE_UNSUPPORTED, "order");
	modules_refused("[" TRANSFORMER ", " POOLING ", {" TYPE "LayerNorm\"}]",
					mean, ENGINE_UNSUPPORTED, "LayerNorm");
	modules_refused("[" TRANSFORMER ", " POOLING ", {\"type\":"
					" \"my_code.Normalize\"}]", mean, ENGINE_UNSUPPORTED,
					"my_code.Normalize");
	modules_refused("[{\"path\": \"0_Transformer\", " TYPE
					"Transformer\"}, " POOLING "]", mean,
					ENGINE_UNSUPPORTED, "0_Transformer");
	modules_refused("[" TRANSFORMER ", {\"path\": \"../secret\", " TYPE
					"Pooling\"}]", mean, ENGINE_CORRUPT, "../secret");
	modules_refused("[" TRANSFORMER ", {\"path\": \"/etc\", " TYPE
					"Pooling\"}]", mean, ENGINE_CORRUPT, "/etc");
	modules_refused("[" TRANSFORMER ", {\"path\": \"..\", " TYPE
					"Pooling\"}]", mean, ENGINE_CORRUPT, "..");
	modules_refused("[" TRANSFORMER ", {\"path\": \"a\\u0000b\", " TYPE
					"Pooling\"}]", mean, ENGINE_CORRUPT, "path");
	modules_refused("[" TRANSFORMER ", {\"path\": 3, " TYPE "Pooling\"}]",
					mean, ENGINE_CORRUPT, "path");
	modules_refused("[" TRANSFORMER ", " POOLING "]", NULL, ENGINE_CORRUPT,
					"1_Pooling/config.json");
	modules_refused("[" TRANSFORMER ", " POOLING "]",
					"{\"pooling_mode_cls_token\": true,"
					" \"pooling_mode_mean_tokens\": true}",
					ENGINE_UNSUPPORTED, "several modes");
	modules_refused("[" TRANSFORMER ", " POOLING "]",
					"{\"pooling_mode_max_tokens\": true}",
					ENGINE_UNSUPPORTED, "max");
	modules_refused("[" TRANSFORMER ", " POOLING "]",
					"{\"pooling_mode\": \"weightedmean\"}",
					ENGINE_UNSUPPORTED, "weightedmean");
	modules_refused("[" TRANSFORMER ", " POOLING "]",
					"{\"include_prompt\": false}", ENGINE_UNSUPPORTED,
					"include_prompt");
	modules_refused("[" TRANSFORMER ", " POOLING "]",
					"{\"word_embedding_dimension\": 32}", ENGINE_CORRUPT,
					"length 32");
	begin_embedding(&f, "[" TRANSFORMER ", " POOLING ", " DENSE "]", mean);
	folder_fixture_text(&f.files, "2_Dense/config.json",
						"{\"in_features\": 32, \"out_features\": 24}");
	expect(&f, import_config(&f), ENGINE_CORRUPT, "32 inputs");
	import_again(&f);
	folder_fixture_text(&f.files, "2_Dense/config.json",
						"{\"in_features\": 64, \"out_features\": 24,"
						" \"activation_function\": \"torch.nn.ReLU\"}");
	expect(&f, import_config(&f), ENGINE_UNSUPPORTED, "ReLU");
	import_again(&f);
	folder_fixture_text(&f.files, "2_Dense/config.json",
						"{\"in_features\": 64, \"out_features\": 24,"
						" \"use_residual\": true}");
	expect(&f, import_config(&f), ENGINE_UNSUPPORTED, "use_residual");
	import_again(&f);
	folder_fixture_text(&f.files, "2_Dense/config.json",
						"{\"in_features\": 64, \"out_features\": 64}");
	folder_fixture_text(&f.files, "modules.json", "[" TRANSFORMER ", "
						POOLING ", " DENSE ", " DENSE ", " DENSE "]");
	expect(&f, import_config(&f), ENGINE_UNSUPPORTED, "Dense");
	import_again(&f);
	folder_fixture_text(&f.files, "modules.json", "[" TRANSFORMER ", "
						POOLING "]");
	folder_fixture_text(&f.files, "config_sentence_transformers.json",
						"{\"default_prompt_name\": \"query\"}");
	expect(&f, import_config(&f), ENGINE_CORRUPT, "default_prompt_name");
	import_again(&f);
	folder_fixture_text(&f.files, "config_sentence_transformers.json",
						"{\"prompts\": {\"query\": 1}}");
	expect(&f, import_config(&f), ENGINE_CORRUPT, "prompts");
	import_end(&f);
}

/* The committed folders, and a real model when LLM_MINILM names its folder */
static void
test_folders(void **state)
{
	static const char *const names[] = {
		"bert", "cross-encoder", "distilbert", "gemma3", "gpt2", "llama",
		"modern-bert", "nomic-bert", "qwen3", "xlm-roberta"
	};
	const char *minilm = getenv("LLM_MINILM");
	ImportFixture f;

	(void) state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		char		path[100];

		snprintf(path, sizeof(path), "test/data/hf/%s", names[i]);
		import_begin(&f, path);
		expect(&f, import_config(&f), ENGINE_OK, "");
		import_end(&f);
	}
	if (minilm == NULL)
		return;
	import_begin(&f, minilm);
	expect(&f, import_config(&f), ENGINE_OK, "");
	assert_string_equal(text_of(&f, "general.name"), "MiniLM-L6-H384-uncased");
	assert_int_equal(int_of(&f, "llm.max_length"), 256);
	assert_int_equal(int_of(&f, "llm.normalize"), 1);
	import_again(&f);
	expect(&f, import_tokenizer(&f, 30522), ENGINE_OK, "");
	assert_int_equal(int_of(&f, "tokenizer.ggml.cls_token_id"), 101);
	import_end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_llama),
		cmocka_unit_test(test_rope),
		cmocka_unit_test(test_gpt2),
		cmocka_unit_test(test_gemma),
		cmocka_unit_test(test_bert),
		cmocka_unit_test(test_nomic_and_modern_bert),
		cmocka_unit_test(test_classifiers),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_hostile_sizes),
		cmocka_unit_test(test_embedding),
		cmocka_unit_test(test_modules_refused),
		cmocka_unit_test(test_folders)
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
