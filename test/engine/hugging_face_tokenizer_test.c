/*-------------------------------------------------------------------------
 *
 * hugging_face_tokenizer_test.c
 *	  tokenizer.json and its companions: the ids that our tokenizer gives are
 *	  those of Hugging Face's, and what we cannot do alike is refused.
 *
 * test/data/hf-tokenizers.json holds ids for many texts, for the folders of
 * test/data/hf and the files of test/data/hf-tokenizers (see
 * test/reference/make_hf_tokenizers.py).
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
#include "json_fixture.h"
#include "tokenizer_fixture.h"

#define MOST_IDS 4096

/* Sizes that no test looks at, for any architecture */
static const char config_format[] =
"{\"architectures\": [\"%s\"], \"hidden_size\": 32, \"n_embd\": 32,"
" \"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"dim\": 32,"
" \"intermediate_size\": 64, \"max_position_embeddings\": 128,"
" \"vocab_size\": 300, \"pad_token_id\": 1}";

static void
add_config(ImportFixture *fixture, const char *architecture)
{
	char		text[1024];

	snprintf(text, sizeof(text), config_format, architecture);
	folder_fixture_text(&fixture->files, "config.json", text);
}

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

/*
 * A folder in memory of one tokenizer.json; it is refused with that code and
 * a message that has the part.
 */
static void
refused(const char *architecture, const char *tokenizer, EngineCode wanted,
		const char *part)
{
	ImportFixture fixture;

	import_begin(&fixture, NULL);
	add_config(&fixture, architecture);
	folder_fixture_text(&fixture.files, "tokenizer.json", tokenizer);
	expect(&fixture, import_tokenizer(&fixture, 300), wanted, part);
	import_end(&fixture);
}

/* The string value of a key, or what is wrong with it */
static const char *
text_of(ImportFixture *fixture, const char *key)
{
	const GgufKey *found = gguf_find_key(&fixture->gguf, key);

	return found == NULL ? "(absent)" : found->string == NULL ?
		"(no text)" : found->string;
}

static int64_t
int_of(ImportFixture *fixture, const char *key)
{
	const GgufKey *found = gguf_find_key(&fixture->gguf, key);

	return found == NULL ? -1 : (int64_t) found->bits;
}

static void
open_tokenizer(ImportFixture *fixture, int32_t n_rows,
			   TokenizerFixture *tokenizer)
{
	EngineCode	code = import_tokenizer(fixture, n_rows);

	if (code != ENGINE_OK)
		fail_msg("%s", fixture->status.message);
	if (tokenizer_fixture_open(tokenizer, fixture->header, fixture->size,
							   n_rows) != ENGINE_OK)
		fail_msg("%s", tokenizer->status.message);
}

/* Encode as Hugging Face does: special tokens are added and recognised. */
static size_t
encode(TokenizerFixture *tokenizer, const char *text, size_t length,
	   int32_t *ids)
{
	TokenList	list = {0};
	size_t		n;

	if (tokenizer_encode(&tokenizer->tokenizer, text, length, NULL,
						 TOKENIZE_ADD_SPECIAL | TOKENIZE_PARSE_SPECIAL,
						 &tokenizer->arena, NULL, &list,
						 &tokenizer->status) != ENGINE_OK)
		fail_msg("%s", tokenizer->status.message);
	n = list.n < MOST_IDS ? list.n : MOST_IDS;
	if (n > 0)
		memcpy(ids, list.ids, n * sizeof(int32_t));
	return list.n;
}

static void
compare(TokenizerFixture *tokenizer, const char *name, const JsonNode *text,
		const JsonNode *wanted)
{
	static int32_t ours[MOST_IDS];
	static int32_t theirs[MOST_IDS];
	size_t		n = encode(tokenizer, text->text, text->length, ours);
	size_t		m = json_integers(wanted, theirs, MOST_IDS);
	char		buf[200];

	for (size_t i = 0; i < n && i < m; i++)
	{
		if (ours[i] != theirs[i])
			fail_msg("%s: token %zu of \"%s\" is %d, wanted %d", name, i,
					 engine_printable(text->text, text->length, buf,
									  sizeof(buf)), ours[i], theirs[i]);
	}
	if (n != m)
		fail_msg("%s: \"%s\" has %zu tokens, wanted %zu", name,
				 engine_printable(text->text, text->length, buf,
								  sizeof(buf)), n, m);
}

static void
open_case(JsonFixture *goldens, const JsonNode *entry, ImportFixture *fixture)
{
	const char *path = json_need_text(goldens, json_need(entry, "path"));
	char		full[200];

	snprintf(full, sizeof(full), "test/data/%s", path);
	if (strstr(path, ".json") == NULL)
		import_begin(fixture, full);
	else
	{
		size_t		size;
		char	   *bytes = read_whole_file(full, &size);

		if (bytes == NULL)
			fail_msg("%s cannot be read", full);
		import_begin(fixture, NULL);
		add_config(fixture,
				   json_need_text(goldens, json_need(entry,
													 "architecture")));
		folder_fixture_add(&fixture->files, "tokenizer.json", bytes, size);
		free(bytes);
	}
}

/* All texts, and those that are for the kind of tokenizer */
static void
check_case(JsonFixture *goldens, const JsonNode *entry)
{
	const char *name = json_need_text(goldens, json_need(entry, "name"));
	const JsonNode *texts = json_need(goldens->root, "texts");
	const JsonNode *more = json_member(goldens->root,
									   json_need(entry, "model")->text);
	const JsonNode *ids = json_need(entry, "ids");
	uint32_t	n = texts->count + (more == NULL ? 0 : more->count);
	const JsonNode *text = json_first(texts);
	const JsonNode *wanted = json_first(ids);
	ImportFixture fixture;
	TokenizerFixture tokenizer;

	assert_int_equal(ids->count, n);
	open_case(goldens, entry, &fixture);
	open_tokenizer(&fixture, (int32_t) json_need_integer(json_need(entry,
																   "rows")),
				   &tokenizer);
	for (uint32_t i = 0; i < n; i++)
	{
		if (i == texts->count)
			text = json_first(more);
		if (wanted->type != JSON_NULL)
			compare(&tokenizer, name, text, wanted);
		text = json_after(text);
		wanted = json_after(wanted);
	}
	tokenizer_fixture_close(&tokenizer);
	import_end(&fixture);
}

static void
test_ids(void **state)
{
	JsonFixture goldens;
	const JsonNode *cases;
	const JsonNode *at;

	(void) state;
	json_fixture_open(&goldens, "test/data/hf-tokenizers.json");
	cases = json_need(goldens.root, "tokenizers");
	assert_true(cases->count >= 30);
	at = json_first(cases);
	for (uint32_t i = 0; i < cases->count; i++, at = json_after(at))
		check_case(&goldens, at);
	json_fixture_close(&goldens);
}

/* The smallest of each kind; a trailing comma and members may follow. */
#define BYTE_LEVEL \
	"\"pre_tokenizer\": {\"type\": \"ByteLevel\"," \
	" \"add_prefix_space\": false}"
#define BPE_MODEL \
	"\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1," \
	" \"ab\": 2, \"c\": 3}, \"merges\": [\"a b\"]}"
#define BPE "{" BYTE_LEVEL ", " BPE_MODEL "}"
#define BERT_STEPS \
	"\"normalizer\": {\"type\": \"BertNormalizer\", \"lowercase\": true}," \
	"\"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}"
#define WORDPIECE_MODEL \
	"\"model\": {\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\"," \
	" \"vocab\": {\"[UNK]\": 0, \"[CLS]\": 1, \"[SEP]\": 2, \"a\": 3," \
	" \"##b\": 4}}"
#define SPM_MODEL(more) \
	"\"model\": {\"type\": \"BPE\", \"byte_fallback\": true," \
	" \"unk_token\": \"<unk>\", \"fuse_unk\": true, \"vocab\":" \
	" {\"<unk>\": 0, \"\\u2581\": 1, \"a\": 2, \"\\u2581a\": 3}," \
	" \"merges\": [[\"\\u2581\", \"a\"]]" more "}"
#define METASPACE(more) \
	"\"pre_tokenizer\": {\"type\": \"Metaspace\"," \
	" \"replacement\": \"\\u2581\"" more "}"
#define UNIGRAM_STEPS \
	"\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\":" \
	" [{\"type\": \"WhitespaceSplit\"}, {\"type\": \"Metaspace\"," \
	" \"replacement\": \"\\u2581\", \"add_prefix_space\": true}]}"
#define UNIGRAM_MODEL(more) \
	"\"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\":" \
	" [[\"<unk>\", 0], [\"\\u2581\", -1.5], [\"a\", -2]]" more "}"

static void
test_byte_bpe_keys(void **state)
{
	ImportFixture fixture;

	(void) state;
	import_begin(&fixture, NULL);
	add_config(&fixture, "GPT2LMHeadModel");
	folder_fixture_text(&fixture.files, "tokenizer.json",
						"{\"truncation\": {\"max_length\": 1},"
						" \"padding\": {\"pad_id\": 99},"
						" \"added_tokens\": [{\"id\": 5, \"content\": \"<e>\","
						" \"special\": true}, {\"id\": 6, \"content\": \"<u>\","
						" \"special\": false}], " BYTE_LEVEL "," BPE_MODEL "}");
	folder_fixture_text(&fixture.files, "tokenizer_config.json",
						"{\"eos_token\": {\"content\": \"<e>\"},"
						" \"chat_template\": [{\"name\": \"rag\","
						" \"template\": \"no\"}, {\"name\": \"default\","
						" \"template\": \"yes\"}]}");
	folder_fixture_text(&fixture.files, "special_tokens_map.json",
						"{\"pad_token\": \"<u>\", \"bos_token\": \"none\"}");
	folder_fixture_text(&fixture.files, "generation_config.json",
						"{\"eos_token_id\": [5, 3, 2, 3, 999]}");
	expect(&fixture, import_tokenizer(&fixture, 300), ENGINE_OK, "");
	assert_string_equal(text_of(&fixture, "tokenizer.ggml.model"), "gpt2");
	assert_string_equal(text_of(&fixture, "tokenizer.ggml.pre"), "gpt-2");
	assert_int_equal(int_of(&fixture, "tokenizer.ggml.eos_token_id"), 5);
	assert_int_equal(int_of(&fixture, "tokenizer.ggml.padding_token_id"), 6);
	assert_int_equal(int_of(&fixture, "tokenizer.ggml.bos_token_id"), -1);
	assert_int_equal(int_of(&fixture, "tokenizer.ggml.eot_token_id"), 3);
	assert_int_equal(int_of(&fixture, "tokenizer.ggml.eom_token_id"), 2);
	assert_int_equal(int_of(&fixture, "tokenizer.ggml.add_bos_token"), 0);
	assert_string_equal(text_of(&fixture, "tokenizer.chat_template"), "yes");
	assert_int_equal(gguf_find_key(&fixture.gguf,
								   "tokenizer.ggml.tokens")->count, 7);

	/* a file of its own overrides the setting */
	import_again(&fixture);
	folder_fixture_text(&fixture.files, "chat_template.jinja", "file");
	expect(&fixture, import_tokenizer(&fixture, 300), ENGINE_OK, "");
	assert_string_equal(text_of(&fixture, "tokenizer.chat_template"), "file");

	import_again(&fixture);
	folder_fixture_text(&fixture.files, "generation_config.json",
						"{\"eos_token_id\": [5, 3, 2, 1]}");
	expect(&fixture, import_tokenizer(&fixture, 300), ENGINE_UNSUPPORTED,
		   "4 tokens that end");
	import_end(&fixture);
}

static void
test_holes(void **state)
{
	ImportFixture fixture;
	TokenizerFixture tokenizer;

	(void) state;
	import_begin(&fixture, NULL);
	add_config(&fixture, "GPT2LMHeadModel");
	folder_fixture_text(&fixture.files, "tokenizer.json",
						"{\"added_tokens\": [{\"id\": 9, \"content\": \"<e>\","
						" \"special\": true}]," BYTE_LEVEL "," BPE_MODEL "}");
	open_tokenizer(&fixture, 10, &tokenizer);
	assert_int_equal(tokenizer.tokenizer.n_tokens, 10);
	assert_int_equal(tokenizer_kind(&tokenizer.tokenizer, 7), TOKEN_UNUSED);
	assert_int_equal(tokenizer_find(&tokenizer.tokenizer, "[PAD7]", 6), 7);
	assert_int_equal(tokenizer_kind(&tokenizer.tokenizer, 9), TOKEN_CONTROL);
	tokenizer_fixture_close(&tokenizer);

	import_again(&fixture);
	expect(&fixture, import_tokenizer(&fixture, 9), ENGINE_CORRUPT,
		   "has no row in the embedding");
	import_end(&fixture);
}

static void
test_wordpiece_keys(void **state)
{
	ImportFixture fixture;
	TokenizerFixture tokenizer;

	(void) state;
	import_begin(&fixture, NULL);
	add_config(&fixture, "BertModel");
	folder_fixture_text(&fixture.files, "tokenizer.json",
						"{\"added_tokens\": [{\"id\": 1, \"content\":"
						" \"[CLS]\", \"special\": true}, {\"id\": 2,"
						" \"content\": \"[SEP]\", \"special\": true}],"
						BERT_STEPS ", \"post_processor\":"
						" {\"type\": \"BertProcessing\", \"sep\": [\"[SEP]\","
						" 2], \"cls\": [\"[CLS]\", 1]}, " WORDPIECE_MODEL "}");
	open_tokenizer(&fixture, 5, &tokenizer);
	assert_string_equal(text_of(&fixture, "tokenizer.ggml.model"), "bert");
	assert_int_equal(int_of(&fixture, "tokenizer.ggml.bos_token_id"), 1);
	assert_int_equal(int_of(&fixture, "tokenizer.ggml.eos_token_id"), 2);
	assert_int_equal(int_of(&fixture, "tokenizer.ggml.seperator_token_id"),
					 2);
	assert_int_equal(int_of(&fixture, "tokenizer.ggml.unknown_token_id"), 0);
	assert_int_equal(int_of(&fixture, "tokenizer.ggml.add_bos_token"), 1);
	assert_int_equal(int_of(&fixture, "tokenizer.ggml.add_eos_token"), 1);
	assert_int_equal(int_of(&fixture, "tokenizer.llm.lowercase"), 1);
	assert_int_equal(int_of(&fixture, "tokenizer.llm.strip_accents"), 1);
	assert_int_equal(int_of(&fixture, "tokenizer.llm.chinese_chars"), 1);
	assert_int_equal(int_of(&fixture, "tokenizer.llm.clean_text"), 1);
	assert_int_equal(int_of(&fixture, "tokenizer.llm.max_word"), 100);
	assert_int_equal(tokenizer_find(&tokenizer.tokenizer, " a", 2), 3);
	assert_int_equal(tokenizer_find(&tokenizer.tokenizer, "b", 1), 4);
	tokenizer_fixture_close(&tokenizer);
	import_end(&fixture);
}

static void
test_spm_keys(void **state)
{
	ImportFixture fixture;

	(void) state;
	import_begin(&fixture, NULL);
	add_config(&fixture, "LlamaForCausalLM");
	folder_fixture_text(&fixture.files, "tokenizer.json",
						"{" METASPACE(", \"prepend_scheme\": \"first\","
									  " \"split\": false") ", " SPM_MODEL("")
						"}");
	expect(&fixture, import_tokenizer(&fixture, 4), ENGINE_OK, "");
	assert_string_equal(text_of(&fixture, "tokenizer.ggml.model"), "llama");
	assert_int_equal(int_of(&fixture, "tokenizer.ggml.add_space_prefix"), 1);
	assert_int_equal(int_of(&fixture, "tokenizer.llm.prefix_first"), 1);
	assert_int_equal(int_of(&fixture, "tokenizer.llm.prefix_once"), 1);
	assert_int_equal(int_of(&fixture, "tokenizer.llm.merges"), 1);
	assert_int_equal(gguf_find_key(&fixture.gguf,
								   "tokenizer.ggml.scores")->count, 4);
	import_end(&fixture);
}

static void
test_unigram_keys(void **state)
{
	ImportFixture fixture;

	(void) state;
	import_begin(&fixture, NULL);
	add_config(&fixture, "XLMRobertaModel");
	folder_fixture_text(&fixture.files, "tokenizer.json",
						"{\"normalizer\": {\"type\": \"Precompiled\","
						" \"precompiled_charsmap\": \"BAAAAAEAAAA=\"}, "
						UNIGRAM_STEPS ", " UNIGRAM_MODEL("") "}");
	expect(&fixture, import_tokenizer(&fixture, 3), ENGINE_OK, "");
	assert_string_equal(text_of(&fixture, "tokenizer.ggml.model"), "t5");
	assert_int_equal(gguf_find_key(&fixture.gguf,
								   "tokenizer.ggml.precompiled_charsmap")
					 ->count, 8);
	assert_int_equal(int_of(&fixture, "tokenizer.ggml.unknown_token_id"), 0);
	import_end(&fixture);
}

/* Folders from before tokenizer.json */
static void
test_old_files(void **state)
{
	static const int32_t bert_ids[] = {2, 4, 5, 1, 3};
	static const int32_t gpt2_ids[] = {2, 4, 0, 3};
	ImportFixture fixture;
	TokenizerFixture tokenizer;
	int32_t		ids[MOST_IDS];

	(void) state;
	import_begin(&fixture, NULL);
	add_config(&fixture, "BertModel");
	expect(&fixture, import_tokenizer(&fixture, 300), ENGINE_UNSUPPORTED,
		   "no tokenizer.json");
	assert_true(strlen(fixture.status.hint) > 0);
	folder_fixture_text(&fixture.files, "vocab.txt",
						"[PAD]\n[UNK]\r\n[CLS]\n[SEP]\na\n##b");
	import_again(&fixture);
	open_tokenizer(&fixture, 300, &tokenizer);
	assert_int_equal(encode(&tokenizer, "AB x", 4, ids), 5);
	assert_memory_equal(ids, bert_ids, sizeof(bert_ids));
	tokenizer_fixture_close(&tokenizer);

	import_again(&fixture);
	folder_fixture_text(&fixture.files, "tokenizer_config.json",
						"{\"do_lower_case\": false}");
	open_tokenizer(&fixture, 300, &tokenizer);
	assert_int_equal(encode(&tokenizer, "AB x", 4, ids), 4);
	tokenizer_fixture_close(&tokenizer);
	import_end(&fixture);

	import_begin(&fixture, NULL);
	add_config(&fixture, "GPT2LMHeadModel");
	folder_fixture_text(&fixture.files, "vocab.json",
						"{\"a\": 0, \"b\": 1, \"ab\": 2,"
						" \"<|endoftext|>\": 3}");
	expect(&fixture, import_tokenizer(&fixture, 300), ENGINE_UNSUPPORTED,
		   "no tokenizer.json");
	folder_fixture_text(&fixture.files, "merges.txt",
						"#version: 0.2\na b\n\n");
	folder_fixture_text(&fixture.files, "added_tokens.json",
						"{\"<x>\": 4}");
	import_again(&fixture);
	open_tokenizer(&fixture, 300, &tokenizer);
	assert_int_equal(encode(&tokenizer, "ab<x>a<|endoftext|>", 19, ids), 4);
	assert_memory_equal(ids, gpt2_ids, sizeof(gpt2_ids));
	assert_int_equal(tokenizer.tokenizer.eos, 3);
	tokenizer_fixture_close(&tokenizer);

	folder_fixture_text(&fixture.files, "merges.txt", "a\n");
	import_again(&fixture);
	expect(&fixture, import_tokenizer(&fixture, 300), ENGINE_CORRUPT,
		   "merge 0");
	folder_fixture_text(&fixture.files, "vocab.json", "[]");
	import_again(&fixture);
	expect(&fixture, import_tokenizer(&fixture, 300), ENGINE_CORRUPT,
		   "vocab.json is not a JSON object");
	import_end(&fixture);
}

typedef struct Refusal
{
	const char *architecture;
	const char *tokenizer;
	EngineCode	code;
	const char *part;
} Refusal;

static const Refusal steps_refused[] = {
	{"GPT2LMHeadModel", "{\"normalizer\": {\"type\": \"NFKC\"}, " BYTE_LEVEL
	", " BPE_MODEL "}", ENGINE_UNSUPPORTED, "NFKC"},
	{"GPT2LMHeadModel", "{\"pre_tokenizer\": {\"type\": \"ByteLevel\","
		" \"add_prefix_space\": true}, " BPE_MODEL "}", ENGINE_UNSUPPORTED,
	"add_prefix_space"},
	{"GPT2LMHeadModel", "{\"pre_tokenizer\": {\"type\": \"Sequence\","
		" \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\":"
		" \"(a+)+$\"}, \"behavior\": \"Isolated\", \"invert\": false},"
		" {\"type\": \"ByteLevel\", \"use_regex\": false}]}, " BPE_MODEL "}",
	ENGINE_UNSUPPORTED, "the way in which"},
	{"GPT2LMHeadModel", "{\"pre_tokenizer\": {\"type\": \"Sequence\","
		" \"pretokenizers\": [{\"type\": \"Sequence\", \"pretokenizers\":"
	" []}]}, " BPE_MODEL "}", ENGINE_UNSUPPORTED, "Sequence in a"},
	{"GPT2LMHeadModel", "{\"pre_tokenizer\": {\"type\": \"Whitespace\"}, "
	BPE_MODEL "}", ENGINE_UNSUPPORTED, "neither the byte alphabet"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\":"
		" \"WordLevel\", \"vocab\": {\"a\": 0}}}", ENGINE_UNSUPPORTED,
	"WordLevel"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
		" \"dropout\": 0.1, \"vocab\": {\"a\": 0}, \"merges\": []}}",
	ENGINE_UNSUPPORTED, "dropout"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
		" \"end_of_word_suffix\": \"</w>\", \"vocab\": {\"a\": 0},"
	" \"merges\": []}}", ENGINE_UNSUPPORTED, "end_of_word_suffix"},
	{"GPT2LMHeadModel", "{\"added_tokens\": [{\"id\": 4, \"content\": \"<x>\","
		" \"rstrip\": true, \"special\": true}], " BYTE_LEVEL "," BPE_MODEL "}",
	ENGINE_UNSUPPORTED, "rstrip"},
	{"BertModel", "{\"normalizer\": {\"type\": \"Lowercase\"},"
		" \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}, "
	WORDPIECE_MODEL "}", ENGINE_UNSUPPORTED, "Lowercase"},
	{"BertModel", "{\"pre_tokenizer\": {\"type\": \"Whitespace\"}, "
	WORDPIECE_MODEL "}", ENGINE_UNSUPPORTED, "Whitespace"},
	{"BertModel", "{" BERT_STEPS ", \"model\": {\"type\": \"WordPiece\","
		" \"continuing_subword_prefix\": \"@@\", \"vocab\": {\"[UNK]\": 0}}}",
	ENGINE_UNSUPPORTED, "continuing_subword_prefix"},
	{"BertModel", "{\"added_tokens\": [{\"id\": 5, \"content\": \"Foo\","
		" \"normalized\": true}], " BERT_STEPS ", " WORDPIECE_MODEL "}",
	ENGINE_UNSUPPORTED, "Foo"},
	{"BertModel", "{" BERT_STEPS ", \"post_processor\": {\"type\":"
		" \"FooProcessing\"}, " WORDPIECE_MODEL "}", ENGINE_UNSUPPORTED,
	"FooProcessing"},
	{"BertModel", "{" BERT_STEPS ", \"post_processor\": {\"type\":"
		" \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\":"
		" \"x\", \"type_id\": 0}}, {\"SpecialToken\": {\"id\": \"x\","
		" \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}],"
		" \"special_tokens\": {\"x\": {\"id\": \"x\", \"ids\": [1]}}}, "
	WORDPIECE_MODEL "}", ENGINE_UNSUPPORTED, "more than one token"},
	{"LlamaForCausalLM", "{\"normalizer\": {\"type\": \"Prepend\","
		" \"prepend\": \"x\"}, " SPM_MODEL("") "}", ENGINE_UNSUPPORTED,
	"prepend"},
	{"LlamaForCausalLM", "{" SPM_MODEL("") "}", ENGINE_UNSUPPORTED,
	"does not replace spaces"},
	{"LlamaForCausalLM", "{" METASPACE("") ", "
		SPM_MODEL(", \"ignore_merges\": true") "}", ENGINE_UNSUPPORTED,
	"ignore_merges"},
	{"LlamaForCausalLM", "{" METASPACE(", \"split\": true") ", \"model\":"
		" {\"type\": \"BPE\", \"byte_fallback\": true, \"unk_token\": \"u\","
		" \"fuse_unk\": true, \"vocab\": {\"u\": 0, \"a\\u2581\": 1},"
		" \"merges\": []}}", ENGINE_UNSUPPORTED,
	"tokens with spaces inside"},
	{"LlamaForCausalLM", "{" METASPACE("") ", \"model\": {\"type\": \"BPE\","
		" \"byte_fallback\": true, \"vocab\": {\"a\": 0}, \"merges\": []}}",
	ENGINE_UNSUPPORTED, "needs all byte tokens"},
	{"XLMRobertaModel", "{" UNIGRAM_STEPS ", "
		UNIGRAM_MODEL(", \"byte_fallback\": true") "}", ENGINE_UNSUPPORTED,
	"byte_fallback"},
	{"XLMRobertaModel", "{\"pre_tokenizer\": {\"type\":"
		" \"WhitespaceSplit\"}, " UNIGRAM_MODEL("") "}",
	ENGINE_UNSUPPORTED, "without Metaspace"},
	{"XLMRobertaModel", "{\"normalizer\": {\"type\": \"NFKC\"}, "
		UNIGRAM_STEPS ", " UNIGRAM_MODEL("") "}", ENGINE_UNSUPPORTED,
	"NFKC"},
	{"XLMRobertaModel", "{" UNIGRAM_STEPS ", \"model\": {\"type\":"
	" \"Unigram\", \"vocab\": [[\"a\", 0]]}}", ENGINE_UNSUPPORTED, "unk_id"}
};

static const Refusal hostile[] = {
	{"GPT2LMHeadModel", "[]", ENGINE_CORRUPT, "not a JSON object"},
	{"GPT2LMHeadModel", "{}", ENGINE_UNSUPPORTED, "tokenizer model"},
	{"GPT2LMHeadModel", "{\"model\": []}", ENGINE_CORRUPT, "model"},
	{"GPT2LMHeadModel", "{\"model\": 1}", ENGINE_CORRUPT, "model"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
	" \"vocab\": [\"a\"], \"merges\": []}}", ENGINE_CORRUPT, "vocab"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
	" \"vocab\": {}, \"merges\": []}}", ENGINE_CORRUPT, "vocab"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
		" \"vocab\": {\"a\": 2147483648}, \"merges\": []}}", ENGINE_CORRUPT,
	"no row"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
	" \"vocab\": {\"a\": -1}, \"merges\": []}}", ENGINE_CORRUPT, "no row"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
		" \"vocab\": {\"a\": 99999999999999999999}, \"merges\": []}}",
	ENGINE_CORRUPT, "whole numbers"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
		" \"vocab\": {\"a\": \"0\"}, \"merges\": []}}", ENGINE_CORRUPT,
	"whole numbers"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
	" \"vocab\": {\"a\": 0.5}, \"merges\": []}}", ENGINE_CORRUPT, "whole"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
		" \"vocab\": {\"a\": 0, \"b\": 0}, \"merges\": []}}",
	ENGINE_CORRUPT, "id of another token"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
		" \"vocab\": {\"a\": 0, \"a\": 1}, \"merges\": []}}",
	ENGINE_CORRUPT, "tokenizer.json"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
	" \"vocab\": {\"a\": 0}}}", ENGINE_CORRUPT, "merges"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
		" \"vocab\": {\"a\": 0}, \"merges\": {\"a\": 1}}}", ENGINE_CORRUPT,
	"merges"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
		" \"vocab\": {\"a\": 0}, \"merges\": [\"a b\"]}}", ENGINE_CORRUPT,
	"does not exist"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
		" \"vocab\": {\"a\": 0}, \"merges\": [\"a a\"]}}", ENGINE_CORRUPT,
	"makes a token that does not exist"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
		" \"vocab\": {\"a\": 0}, \"merges\": [\"a\"]}}", ENGINE_CORRUPT,
	"merge 0"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
		" \"vocab\": {\"a\": 0}, \"merges\": [\"a a a\"]}}", ENGINE_CORRUPT,
	"merge 0"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
		" \"vocab\": {\"a\": 0}, \"merges\": [[\"a\"]]}}", ENGINE_CORRUPT,
	"merge 0"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
		" \"vocab\": {\"a\": 0}, \"merges\": [[\"a\", 1]]}}", ENGINE_CORRUPT,
	"merge 0"},
	{"GPT2LMHeadModel", "{" BYTE_LEVEL ", \"model\": {\"type\": \"BPE\","
		" \"vocab\": {\"a\": 0}, \"merges\": [[\"\", \"a\"]]}}",
	ENGINE_CORRUPT, "merge 0"},
	{"GPT2LMHeadModel", "{\"added_tokens\": [{\"id\": 300, \"content\":"
	" \"<x>\"}], " BYTE_LEVEL "," BPE_MODEL "}", ENGINE_CORRUPT, "no row"},
	{"GPT2LMHeadModel", "{\"added_tokens\": [{\"id\": 2147483648,"
		" \"content\": \"<x>\"}], " BYTE_LEVEL "," BPE_MODEL "}",
	ENGINE_CORRUPT, "out of range"},
	{"GPT2LMHeadModel", "{\"added_tokens\": [{\"id\": 0, \"content\":"
		" \"<x>\"}], " BYTE_LEVEL "," BPE_MODEL "}", ENGINE_CORRUPT,
	"id of another token"},
	{"GPT2LMHeadModel", "{\"added_tokens\": [{\"id\": 9, \"content\":"
		" \"a\"}], " BYTE_LEVEL "," BPE_MODEL "}", ENGINE_CORRUPT,
	"another id"},
	{"GPT2LMHeadModel", "{\"added_tokens\": [{\"id\": 9}], " BYTE_LEVEL ","
	BPE_MODEL "}", ENGINE_CORRUPT, "no content"},
	{"GPT2LMHeadModel", "{\"added_tokens\": [7], " BYTE_LEVEL ","
	BPE_MODEL "}", ENGINE_CORRUPT, "no id"},
	{"GPT2LMHeadModel", "{\"added_tokens\": [{\"id\": 9, \"content\":"
		" \"a\\u0000b\"}], " BYTE_LEVEL "," BPE_MODEL "}", ENGINE_CORRUPT,
	"content"},
	{"BertModel", "{" BERT_STEPS ", \"post_processor\": {\"type\":"
		" \"BertProcessing\", \"sep\": [\"[SEP]\", 5], \"cls\": [\"[CLS]\","
	" 1]}, " WORDPIECE_MODEL "}", ENGINE_CORRUPT, "no token"},
	{"BertModel", "{" BERT_STEPS ", \"post_processor\": {\"type\":"
		" \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\":"
	" \"y\"}}]}, " WORDPIECE_MODEL "}", ENGINE_CORRUPT, "no token"},
	{"BertModel", "{" BERT_STEPS ", \"post_processor\": {\"type\":"
		" \"TemplateProcessing\", \"single\": []}, " WORDPIECE_MODEL "}",
	ENGINE_CORRUPT, "no text A"},
	{"BertModel", "{" BERT_STEPS ", \"model\": {\"type\": \"WordPiece\","
	" \"vocab\": {\"a\": 0}}}", ENGINE_CORRUPT, "unknown words"},
	{"BertModel", "{" BERT_STEPS ", \"model\": {\"type\": \"WordPiece\","
		" \"max_input_chars_per_word\": 0, \"vocab\": {\"[UNK]\": 0}}}",
	ENGINE_CORRUPT, "max_input_chars_per_word"},
	{"XLMRobertaModel", "{" UNIGRAM_STEPS ", \"model\": {\"type\":"
		" \"Unigram\", \"unk_id\": 1, \"vocab\": [[\"a\", 0]]}}", ENGINE_CORRUPT,
	"unk_id"},
	{"XLMRobertaModel", "{" UNIGRAM_STEPS ", \"model\": {\"type\":"
		" \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"a\"]]}}",
	ENGINE_CORRUPT, "pieces and scores"},
	{"XLMRobertaModel", "{" UNIGRAM_STEPS ", \"model\": {\"type\":"
		" \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"a\", 1e200]]}}",
	ENGINE_CORRUPT, "pieces and scores"},
	{"XLMRobertaModel", "{" UNIGRAM_STEPS ", \"model\": {\"type\":"
		" \"Unigram\", \"unk_id\": 0, \"vocab\": {\"a\": 0}}}",
	ENGINE_CORRUPT, "vocab"},
	{"XLMRobertaModel", "{\"normalizer\": {\"type\": \"Precompiled\","
		" \"precompiled_charsmap\": \"AAA\"}, " UNIGRAM_STEPS ", "
	UNIGRAM_MODEL("") "}", ENGINE_CORRUPT, "precompiled_charsmap"},
	{"XLMRobertaModel", "{\"normalizer\": {\"type\": \"Precompiled\","
		" \"precompiled_charsmap\": \"A*==\"}, " UNIGRAM_STEPS ", "
	UNIGRAM_MODEL("") "}", ENGINE_CORRUPT, "base64"}
};

static void
test_refusals(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(steps_refused) / sizeof(steps_refused[0]);
		 i++)
		refused(steps_refused[i].architecture, steps_refused[i].tokenizer,
				steps_refused[i].code, steps_refused[i].part);
}

static void
test_hostile(void **state)
{
	char		deep[600];

	(void) state;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++)
		refused(hostile[i].architecture, hostile[i].tokenizer,
				hostile[i].code, hostile[i].part);
	memset(deep, '[', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	refused("GPT2LMHeadModel", deep, ENGINE_LIMIT, "tokenizer.json");
}

/* Every beginning of a file is an error, never a crash. */
static void
test_truncated(void **state)
{
	size_t		size;
	char	   *bytes = read_whole_file("test/data/hf-tokenizers/"
										"unigram-strip.json", &size);
	ImportFixture fixture;

	(void) state;
	assert_non_null(bytes);
	import_begin(&fixture, NULL);
	add_config(&fixture, "XLMRobertaModel");
	for (size_t n = 0; n < size; n += 1 + n / 50)
	{
		folder_fixture_add(&fixture.files, "tokenizer.json", bytes, n);
		assert_int_equal(import_tokenizer(&fixture, 300), ENGINE_CORRUPT);
		import_again(&fixture);
	}
	import_end(&fixture);
	free(bytes);
}

/* The setting of tokenizer_config.json counts, as for transformers. */
static void
test_prefix_space(void **state)
{
	ImportFixture fixture;

	(void) state;
	import_begin(&fixture, NULL);
	add_config(&fixture, "GPT2LMHeadModel");
	folder_fixture_text(&fixture.files, "tokenizer.json", BPE);
	folder_fixture_text(&fixture.files, "tokenizer_config.json",
						"{\"add_prefix_space\": true}");
	expect(&fixture, import_tokenizer(&fixture, 300), ENGINE_UNSUPPORTED,
		   "add_prefix_space");
	import_again(&fixture);
	folder_fixture_text(&fixture.files, "tokenizer_config.json",
						"{\"add_prefix_space\": false}");
	folder_fixture_text(&fixture.files, "tokenizer.json",
						"{\"pre_tokenizer\": {\"type\": \"ByteLevel\","
						" \"add_prefix_space\": true}, " BPE_MODEL "}");
	expect(&fixture, import_tokenizer(&fixture, 300), ENGINE_OK, "");
	import_end(&fixture);
}

/* An uncased vocabulary may be told that texts are in lower case already. */
static void
test_lower_case_first(void **state)
{
	ImportFixture fixture;

	(void) state;
	import_begin(&fixture, NULL);
	add_config(&fixture, "BertModel");
	folder_fixture_text(&fixture.files, "sentence_bert_config.json",
						"{\"do_lower_case\": true}");
	folder_fixture_text(&fixture.files, "tokenizer.json",
						"{" BERT_STEPS ", " WORDPIECE_MODEL "}");
	expect(&fixture, import_tokenizer(&fixture, 300), ENGINE_OK, "");
	import_again(&fixture);
	folder_fixture_text(&fixture.files, "tokenizer.json",
						"{\"normalizer\": {\"type\": \"BertNormalizer\","
						" \"lowercase\": false}, \"pre_tokenizer\":"
						" {\"type\": \"BertPreTokenizer\"}, "
						WORDPIECE_MODEL "}");
	expect(&fixture, import_tokenizer(&fixture, 300), ENGINE_UNSUPPORTED,
		   "do_lower_case");
	import_end(&fixture);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_byte_bpe_keys),
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_wordpiece_keys),
		cmocka_unit_test(test_spm_keys),
		cmocka_unit_test(test_unigram_keys),
		cmocka_unit_test(test_old_files),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_prefix_space),
		cmocka_unit_test(test_lower_case_first)
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
