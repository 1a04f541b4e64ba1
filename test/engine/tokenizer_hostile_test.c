/*-------------------------------------------------------------------------
 *
 * tokenizer_hostile_test.c
 *	  Tokenizer metadata that is wrong, odd or hostile.
 *
 * A small valid vocabulary of each algorithm, and what happens when one thing
 * in it is different: either the file is refused with a message that names the
 * key, or the odd thing has the effect that is written here.
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

#include "gguf_builder.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer_fixture.h"

#define G "tokenizer.ggml."
#define MOST 16

/* What a vocabulary is made of; n_... < 0: the key is left out. */
typedef struct Recipe
{
	const char *model;			/* NULL: no key */
	const char *pre;
	int			n_tokens;
	const char *tokens[MOST];
	int			n_types;
	uint32_t	types[MOST];
	uint32_t	types_element;	/* type of the array's elements */
	int			n_scores;
	float		scores[MOST];
	uint32_t	scores_element;
	int			n_merges;
	const char *merges[MOST];
	const char *number_key;		/* one more key, u32 */
	uint32_t	number;
	const char *flag_key;		/* and one more, bool */
	int			flag;
	int32_t		n_rows;
} Recipe;

static const Recipe bpe = {
	.model = "gpt2", .pre = "gpt-2",
	.n_tokens = 8,
	.tokens = {"<|end|>", "a", "b", "c", "ab", "abc", "\xC4\xA0", "<x>"},
	.n_types = 8, .types = {3, 1, 1, 1, 1, 1, 1, 4},
	.types_element = GGUF_I32,
	.n_scores = -1, .scores_element = GGUF_F32,
	.n_merges = 2, .merges = {"a b", "ab c"},
	.n_rows = 8
};

static const Recipe spm = {
	.model = "llama",
	.n_tokens = 8,
	.tokens = {"<unk>", "<s>", "</s>", "<0x41>", "\xE2\x96\x81", "a", "b",
	"ab"},
	.n_types = 8, .types = {2, 3, 3, 6, 1, 1, 1, 1},
	.types_element = GGUF_I32,
	.n_scores = 8, .scores = {0, 0, 0, 0, -1, -2, -3, -1},
	.scores_element = GGUF_F32,
	.n_merges = -1,
	.n_rows = 8
};

static const Recipe wordpiece = {
	.model = "bert",
	.n_tokens = 10,
	.tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "\xE2\x96\x81" "a", "b",
	"\xE2\x96\x81" "ab", "c", "\xE2\x96\x81", "<x>"},
	.n_types = 10, .types = {3, 2, 3, 3, 1, 1, 1, 1, 1, 4},
	.types_element = GGUF_I32,
	.n_scores = -1, .scores_element = GGUF_F32, .n_merges = -1,
	.number_key = G "unknown_token_id", .number = 1,
	.n_rows = 10
};

static void
put_array(GgufBuilder *b, const char *name, uint32_t element, int n,
		  const uint32_t *values)
{
	if (n < 0 || !builder_key(b, name, GGUF_ARRAY))
		return;
	bytes_number(&b->keys, element, 4);
	bytes_number(&b->keys, (uint64_t) n, 8);
	for (int i = 0; i < n; i++)
		bytes_number(&b->keys, values[i],
					 element == GGUF_I8 || element == GGUF_U8 ? 1 : 4);
}

static EngineCode
open_recipe(const Recipe *recipe, TokenizerFixture *fixture)
{
	GgufBuilder b;
	Bytes		file = {0};
	uint32_t	scores[MOST];
	EngineCode	code;

	memcpy(scores, recipe->scores, sizeof(scores));
	builder_init(&b);
	if (recipe->model != NULL)
		builder_text(&b, G "model", recipe->model);
	if (recipe->pre != NULL)
		builder_text(&b, G "pre", recipe->pre);
	if (recipe->n_tokens >= 0)
		builder_text_array(&b, G "tokens", recipe->n_tokens, recipe->tokens);
	put_array(&b, G "token_type", recipe->types_element, recipe->n_types,
			  recipe->types);
	put_array(&b, G "scores", recipe->scores_element, recipe->n_scores,
			  scores);
	if (recipe->n_merges >= 0)
		builder_text_array(&b, G "merges", recipe->n_merges, recipe->merges);
	if (recipe->number_key != NULL)
		builder_u32(&b, recipe->number_key, recipe->number);
	if (recipe->flag_key != NULL)
		builder_bool(&b, recipe->flag_key, recipe->flag);
	builder_finish(&b, &file);
	builder_free(&b);
	code = tokenizer_fixture_open(fixture, file.data, file.size,
								  recipe->n_rows);
	bytes_free(&file);
	return code;
}

static void
refused(const Recipe *recipe, EngineCode code, const char *message)
{
	TokenizerFixture fixture;
	EngineCode	found = open_recipe(recipe, &fixture);

	if (found != code || strstr(fixture.status.message, message) == NULL)
		fail_msg("code %d, wanted %d: \"%s\" should contain \"%s\"", found,
				 code, found == ENGINE_OK ? "" : fixture.status.message,
				 message);
	tokenizer_fixture_close(&fixture);
}

/* Encode and compare with ids, which end with -1. */
static void
encodes(TokenizerFixture *fixture, const char *text, int flags,
		const int32_t *ids)
{
	TokenList	list = {0};
	size_t		n = 0;

	while (ids[n] >= 0)
		n++;
	assert_int_equal(tokenizer_encode(&fixture->tokenizer, text, strlen(text),
									  NULL, flags, &fixture->arena, NULL,
									  &list, &fixture->status), ENGINE_OK);
	if (list.n != n)
		fail_msg("\"%s\": %zu ids, wanted %zu", text, list.n, n);
	assert_memory_equal(list.ids, ids, n * sizeof(int32_t));
}

#define IDS(...) ((const int32_t[]) {__VA_ARGS__, -1})

static void
check(const Recipe *recipe, const char *text, int flags, const int32_t *ids)
{
	TokenizerFixture fixture;

	if (open_recipe(recipe, &fixture) != ENGINE_OK)
		fail_msg("%s", fixture.status.message);
	encodes(&fixture, text, flags, ids);
	tokenizer_fixture_close(&fixture);
}

static void
test_valid(void **state)
{
	(void) state;
	check(&bpe, "abcab<x> <|end|>", TOKENIZE_PARSE_SPECIAL,
		  IDS(5, 4, 7, 6, 0));
	check(&bpe, "ab<|end|>", 0, IDS(4));	/* bytes without a token go */
	check(&spm, "abA </s>", TOKENIZE_PARSE_SPECIAL, IDS(4, 7, 3, 4, 2));
	check(&spm, "", TOKENIZE_ADD_SPECIAL, IDS(1));
}

static void
test_no_tokenizer(void **state)
{
	static const char *const models[] = {NULL, "none", "no_vocab"};

	(void) state;
	for (int i = 0; i < 3; i++)
	{
		Recipe		recipe = {.model = models[i], .n_tokens = -1,
		.n_types = -1, .n_scores = -1, .n_merges = -1};
		TokenizerFixture fixture;

		assert_int_equal(open_recipe(&recipe, &fixture), ENGINE_OK);
		assert_int_equal(fixture.size, 0);
		tokenizer_fixture_close(&fixture);
	}
}

static void
test_unsupported(void **state)
{
	static const char *const models[] = {
		"rwkv", "plamo2", "gemma4", "", "gpt22", "gpt"
	};
	static const char *const names[] = {
		"kimi-k2", "superbpe", "afmoe", "jais-2", "youtu", "exaone-moe",
		"seed-coder", "chameleon", "gemma4", "tiny_aya", "", "qwen2x"
	};
	Recipe		recipe = bpe;

	(void) state;
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
	{
		char		message[60];

		recipe.model = models[i];
		snprintf(message, sizeof(message), "tokenizer model \"%s\"",
				 models[i]);
		refused(&recipe, ENGINE_UNSUPPORTED, message);
	}
	recipe = bpe;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		char		message[60];

		recipe.pre = names[i];
		snprintf(message, sizeof(message), "pre-tokenizer \"%s\"", names[i]);
		refused(&recipe, ENGINE_UNSUPPORTED, message);
	}
	recipe.pre = NULL;			/* "default" */
	check(&recipe, "abc", 0, IDS(5));
}

static void
test_arrays(void **state)
{
	Recipe		r;

	(void) state;
	r = bpe, r.n_tokens = -1;
	refused(&r, ENGINE_CORRUPT, "\"tokenizer.ggml.tokens\" is missing");
	r = bpe, r.n_tokens = 0, r.n_types = -1;
	refused(&r, ENGINE_CORRUPT, "tokens\" is empty");
	r = bpe, r.n_rows = 7;
	refused(&r, ENGINE_CORRUPT, "more tokens than the embedding");
	r = bpe, r.n_rows = -1;
	refused(&r, ENGINE_CORRUPT, "more tokens than the embedding");
	r = bpe, r.n_merges = -1;
	refused(&r, ENGINE_CORRUPT, "\"tokenizer.ggml.merges\" is missing");
	r = spm, r.n_scores = -1;
	refused(&r, ENGINE_CORRUPT, "\"tokenizer.ggml.scores\" is missing");
	r = spm, r.n_scores = 7;
	refused(&r, ENGINE_CORRUPT, "scores\" has the wrong length");
	r = spm, r.scores_element = GGUF_I8;
	refused(&r, ENGINE_CORRUPT, "scores\" has the wrong type");
	r = spm, r.n_types = 7;
	refused(&r, ENGINE_CORRUPT, "token_type\" has the wrong length");
	r = spm, r.n_types = 9;
	refused(&r, ENGINE_CORRUPT, "token_type\" has the wrong length");
	r = spm, r.types_element = GGUF_U8;
	refused(&r, ENGINE_CORRUPT, "token_type\" has the wrong type");
	r = bpe, r.types[4] = 0;
	refused(&r, ENGINE_CORRUPT, "element 4 of GGUF key");
	r = bpe, r.types[4] = 7;
	refused(&r, ENGINE_CORRUPT, "is no token type");
	r = bpe, r.types[4] = 0xFFFFFFFF;
	refused(&r, ENGINE_CORRUPT, "is no token type");
	r = spm, r.scores[5] = 0.0f / 0.0f;
	refused(&r, ENGINE_CORRUPT, "element 5 of GGUF key "
			"\"tokenizer.ggml.scores\" is not a number");
	r = bpe, r.number_key = G "scores", r.number = 1;
	refused(&r, ENGINE_CORRUPT, "scores\" has the wrong type");
}

static void
test_merges(void **state)
{
	static const char *const bad[] = {"ab", "", " ", "a ", " a", "  ", "a"};
	Recipe		r = bpe;

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		r.merges[1] = bad[i];
		refused(&r, ENGINE_CORRUPT, "element 1 of GGUF key "
				"\"tokenizer.ggml.merges\" is not two tokens");
	}

	/* naming unknown tokens, or ones that merging may not touch: left out */
	r.n_merges = 6;
	r.merges[0] = "x y";
	r.merges[1] = "a c";
	r.merges[2] = "\xE4\xB8\xAD a";
	r.merges[3] = "b c d";
	r.merges[4] = "< |end|>";
	r.merges[5] = "a b";
	check(&r, "abc", 0, IDS(4, 3));
	r.n_merges = 0;
	check(&r, "abc", 0, IDS(1, 2, 3));

	/* the last of two ranks counts */
	r = bpe;
	r.n_tokens = r.n_types = 9;
	r.n_rows = 9;
	r.tokens[8] = "bc";
	r.types[8] = 1;
	r.n_merges = 3;
	r.merges[0] = "a b";
	r.merges[1] = "b c";
	r.merges[2] = "a b";
	check(&r, "abc", 0, IDS(1, 8));
	r.merges[2] = "c a";
	check(&r, "abc", 0, IDS(4, 3));
}

static void
test_tokens(void **state)
{
	char		longest[4098];
	Recipe		r;

	(void) state;
	memset(longest, 'z', sizeof(longest));
	longest[4097] = '\0';
	r = bpe, r.tokens[3] = longest;
	refused(&r, ENGINE_LIMIT, "tokenizer.ggml.tokens");
	longest[4096] = '\0';
	check(&r, "ab", 0, IDS(4));

	/* empty tokens match nothing */
	r = bpe, r.tokens[7] = "", r.types[7] = 4;
	check(&r, "ab", TOKENIZE_PARSE_SPECIAL, IDS(4));
	r.types[7] = 3;
	check(&r, "ab", TOKENIZE_PARSE_SPECIAL, IDS(4));
	r.types[7] = 1;
	check(&r, "ab", TOKENIZE_PARSE_SPECIAL, IDS(4));

	/* of tokens with the same text the last one counts */
	r = bpe, r.tokens[6] = "b";
	check(&r, "b", 0, IDS(6));
	r = bpe, r.tokens[6] = "<x>", r.types[6] = 4;
	check(&r, "<x>", 0, IDS(7));

	/* texts in which no character is of the byte alphabet are never made */
	r = bpe, r.tokens[3] = "\xE4\xB8\xAD", r.tokens[5] = "\xFF\xFE";
	check(&r, "ab\xE4\xB8\xAD", 0, IDS(4));

	/* byte tokens are what they say */
	r = spm;
	for (int i = 0; i < 6; i++)
	{
		static const char *const bad[] = {
			"<0x-1>", "<0xGG>", "<0x1>", "<0x123>", "", "<0X41>"
		};

		r.tokens[3] = bad[i];
		refused(&r, ENGINE_CORRUPT, "element 3 of GGUF key "
				"\"tokenizer.ggml.tokens\" is a byte token, but");
	}
	r = spm, r.tokens[3] = "<0xff>";
	check(&r, "a\xFF", 0, IDS(4, 5, 3));
}

static void
test_special_tokens(void **state)
{
	Recipe		r = bpe;
	TokenizerFixture fixture;

	(void) state;
	/* leftmost first, then longest */
	r.tokens[5] = "<x";
	r.tokens[6] = "x>>";
	r.types[5] = r.types[6] = 4;
	check(&r, "<x>>", 0, IDS(7));
	check(&r, "<xx>>", 0, IDS(5, 6));
	check(&r, "a<x", 0, IDS(1, 5));

	/* a text that ends generation is a control token, whatever its type */
	r = bpe;
	r.types[0] = 1;
	assert_int_equal(open_recipe(&r, &fixture), ENGINE_OK);
	assert_int_equal(tokenizer_kind(&fixture.tokenizer, 0), TOKEN_CONTROL);
	assert_true(tokenizer_is_end(&fixture.tokenizer, 0));
	assert_int_equal(fixture.tokenizer.eot, 0);
	assert_int_equal(fixture.tokenizer.eos, -1);
	encodes(&fixture, "<|end|>", TOKENIZE_PARSE_SPECIAL, IDS(0));
	encodes(&fixture, "<|end|>ab", 0, IDS(4));
	tokenizer_fixture_close(&fixture);

	r.tokens[3] = "<\xEF\xBD\x9C" "end\xE2\x96\x81of\xE2\x96\x81"
		"sentence\xEF\xBD\x9C>";
	assert_int_equal(open_recipe(&r, &fixture), ENGINE_OK);
	assert_true(tokenizer_is_end(&fixture.tokenizer, 3));
	assert_false(tokenizer_is_end(&fixture.tokenizer, 7));
	tokenizer_fixture_close(&fixture);
}

static void
test_ids(void **state)
{
	static const char *const keys[] = {
		G "bos_token_id", G "eos_token_id", G "unknown_token_id",
		G "padding_token_id", G "seperator_token_id", G "eot_token_id",
		G "eom_token_id", G "cls_token_id", G "mask_token_id",
		G "fim_pre_token_id"
	};
	Recipe		r;
	TokenizerFixture fixture;

	(void) state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
	{
		r = bpe, r.number_key = keys[i], r.number = 8;
		refused(&r, ENGINE_CORRUPT, keys[i]);
		r.number = 0xFFFFFFFF;
		refused(&r, ENGINE_CORRUPT, keys[i]);
		r.number = 7;
		check(&r, "ab", 0, IDS(4));
	}

	/* defaults that the vocabulary is too small for are none */
	r = spm, r.n_tokens = r.n_types = r.n_scores = 2, r.n_rows = 2;
	assert_int_equal(open_recipe(&r, &fixture), ENGINE_OK);
	assert_int_equal(fixture.tokenizer.bos, 1);
	assert_int_equal(fixture.tokenizer.eos, -1);
	assert_int_equal(fixture.tokenizer.unknown, 0);
	encodes(&fixture, "zz", TOKENIZE_ADD_SPECIAL, IDS(1, 0));
	tokenizer_fixture_close(&fixture);

	/* flags of the file win over those of the pre-tokenizer */
	r = bpe, r.pre = "llama-bpe", r.number_key = G "bos_token_id";
	check(&r, "ab", TOKENIZE_ADD_SPECIAL, IDS(0, 4));
	r.flag_key = G "add_bos_token";
	check(&r, "ab", TOKENIZE_ADD_SPECIAL, IDS(4));
	r = bpe, r.number_key = G "eos_token_id", r.flag = 1;
	r.flag_key = G "add_eos_token";
	check(&r, "ab", TOKENIZE_ADD_SPECIAL, IDS(4, 0));
	r = spm, r.flag_key = G "add_space_prefix";
	check(&r, "ab", 0, IDS(7));
}

static void
test_without_types(void **state)
{
	Recipe		r = spm;

	(void) state;
	r.n_types = -1;
	check(&r, "abA</s>", TOKENIZE_PARSE_SPECIAL, IDS(4, 7, 3, 2));
	check(&r, "</s>", 0, IDS(4, 0));
	r = bpe;
	r.n_types = -1;
	check(&r, "abc<|end|>", TOKENIZE_PARSE_SPECIAL, IDS(5, 0));
}

static void
test_spm_scores(void **state)
{
	Recipe		r = spm;

	(void) state;
	r.n_tokens = r.n_types = r.n_scores = r.n_rows = 9;
	r.tokens[8] = "ba";
	r.types[8] = 1;
	r.scores[8] = -1;			/* as good as "ab": the leftmost first */
	check(&r, "aba", 0, IDS(4, 7, 5));
	r.scores[8] = -0.5f;
	check(&r, "aba", 0, IDS(4, 5, 8));
	r.scores[8] = 1e30f;
	check(&r, "aba", 0, IDS(4, 5, 8));
	r.scores[7] = 0.0f, r.scores[8] = -0.0f;
	check(&r, "aba", 0, IDS(4, 7, 5));
	r.scores[7] = -1.0f / 0.0f, r.scores[8] = -3e38f;
	check(&r, "aba", 0, IDS(4, 5, 8));

	/* unused tokens and control tokens are never made by merging */
	r.types[8] = 5;
	check(&r, "ba", 0, IDS(4, 6, 5));
	r.types[8] = 3;
	check(&r, "ba", 0, IDS(4, 6, 5));

	/* unknown characters in a row are one unknown token */
	check(&spm, "xya\xE4\xB8\xADz", 0, IDS(4, 0, 5, 0));
}

static void
test_wordpiece(void **state)
{
	Recipe		r = wordpiece;

	(void) state;
	check(&r, "ab abc a \xC3\x81" "b x<x>b bb", 0,
		  IDS(6, 6, 7, 4, 6, 1, 9, 1, 1));
	check(&r, "a[SEP][UNK]", TOKENIZE_PARSE_SPECIAL, IDS(4, 3, 1));
	check(&r, "a\xE2\x96\x81" "b \xE2\x96\x81", 0, IDS(4, 8, 5, 1));

	/* of tokens with the same text the last one counts, empty ones never */
	r.tokens[7] = "b";
	check(&r, "bab", 0, IDS(1));
	check(&r, "abb", 0, IDS(6, 7));
	r.tokens[7] = "";
	check(&r, "abc ab", 0, IDS(1, 6));

	/* types that the file lacks, or has wrong */
	r = wordpiece, r.n_types = -1;
	check(&r, "[CLS]ab[UNK]<x>", TOKENIZE_PARSE_SPECIAL, IDS(2, 6, 1, 1, 1, 1));
	r = wordpiece;
	for (int i = 0; i < 4; i++)
		r.types[i] = 1;
	check(&r, "[CLS]ab[UNK]", TOKENIZE_PARSE_SPECIAL, IDS(2, 6, 1));
	check(&r, "[PAD]", 0, IDS(1, 1, 1));
	r.types[4] = 6;
	refused(&r, ENGINE_CORRUPT, "element 4 of GGUF key");
	r = wordpiece, r.n_tokens = -1;
	refused(&r, ENGINE_CORRUPT, "\"tokenizer.ggml.tokens\" is missing");
}

static void
test_wordpiece_ids(void **state)
{
	static const char *const keys[] = {
		G "cls_token_id", G "bos_token_id", G "seperator_token_id",
		G "eos_token_id", G "unknown_token_id", G "mask_token_id"
	};
	Recipe		r = wordpiece;
	TokenizerFixture fixture;

	(void) state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
	{
		r.number_key = keys[i], r.number = 10;
		refused(&r, ENGINE_CORRUPT, keys[i]);
	}

	/* BERT's ids where no key is, but not beyond the vocabulary */
	r.number_key = NULL;
	assert_int_equal(open_recipe(&r, &fixture), ENGINE_OK);
	assert_int_equal(fixture.tokenizer.padding, 0);
	assert_int_equal(fixture.tokenizer.bos, -1);
	assert_int_equal(fixture.tokenizer.separator, -1);
	assert_int_equal(fixture.tokenizer.unknown, -1);
	encodes(&fixture, "ab x ab", TOKENIZE_ADD_SPECIAL, IDS(6, 6));
	tokenizer_fixture_close(&fixture);

	for (int i = 0; i < 4; i++)
	{
		r.number_key = keys[i], r.number = 2 + (uint32_t) (i >= 2);
		if (i < 2)
			check(&r, "ab", TOKENIZE_ADD_SPECIAL, IDS(2, 6));
		else
			check(&r, "ab", TOKENIZE_ADD_SPECIAL, IDS(6, 3));
	}
	r.flag_key = G "add_eos_token";
	check(&r, "ab", TOKENIZE_ADD_SPECIAL, IDS(6));
}

static void
test_wordpiece_keys(void **state)
{
	static const char *const flags[] = {
		"tokenizer.llm.clean_text", "tokenizer.llm.chinese_chars",
		"tokenizer.llm.lowercase", "tokenizer.llm.strip_accents"
	};
	static const char *const texts[] = {
		"a\x01" "b", "a\xE4\xB8\xAD" "b", "AB", "\xC3\xA1" "b"
	};
	Recipe		r = wordpiece;

	(void) state;
	for (int i = 0; i < 4; i++)
	{
		r = wordpiece;
		r.tokens[4] = "\xE2\x96\x81\xE4\xB8\xAD";
		r.tokens[7] = "\xE2\x96\x81" "b";
		r.tokens[8] = "\xE2\x96\x81" "a";
		r.flag_key = flags[i], r.flag = 1;
		if (i == 1)
			check(&r, texts[i], 0, IDS(8, 4, 7));
		else
			check(&r, texts[i], 0, IDS(6));
		r.flag = 0;
		check(&r, texts[i], 0, IDS(1));
		r.number_key = flags[i];	/* a number, and before the flag */
		refused(&r, ENGINE_CORRUPT, flags[i]);
	}

	/* a capital letter shows a cased vocabulary, other capitals do not */
	r = wordpiece;
	check(&r, "AB", 0, IDS(6));
	r.tokens[9] = "[Z]";
	r.types[9] = 1;
	check(&r, "AB", 0, IDS(6));
	r.tokens[9] = "\xE2\x96\x81" "ZZ";
	check(&r, "AB", 0, IDS(6));
	r.tokens[9] = "\xE2\x96\x81" "Z";
	check(&r, "AB Z z ab \xC3\xA1", 0, IDS(1, 9, 1, 6, 1));
	r.tokens[9] = "Z";
	check(&r, "AB aZ", 0, IDS(1, 4, 9));
	r.types[9] = 3;
	check(&r, "AB", 0, IDS(6));

	r = wordpiece, r.number_key = "tokenizer.llm.max_word", r.number = 0;
	refused(&r, ENGINE_CORRUPT, "tokenizer.llm.max_word");
	r.number = 0xFFFFFFFF;
	refused(&r, ENGINE_CORRUPT, "tokenizer.llm.max_word");
	r.number = 3;				/* no key names an unknown token: nothing */
	check(&r, "abbb abb", 0, IDS(6, 5));
	r.number = 0x7FFFFFFF;
	check(&r, "abbb", 0, IDS(6, 5, 5));
}

/* A thousand tokens that are prefixes of each other: still linear enough */
static void
test_nested_names(void **state)
{
	GgufBuilder b;
	Bytes		file = {0};
	TokenizerFixture fixture;
	const char **names = malloc(1001 * sizeof(*names));
	char	   *text = malloc(100000);
	TokenList	list = {0};

	(void) state;
	names[0] = "a";
	for (int i = 1; i <= 1000; i++)
	{
		char	   *name = malloc(1002);

		memset(name, '<', 1002);
		name[i] = i == 1000 ? '!' : '\0';
		name[i + 1] = '\0';
		names[i] = name;
	}
	memset(text, '<', 100000);
	builder_init(&b);
	builder_text(&b, G "model", "gpt2");
	builder_text_array(&b, G "tokens", 1001, names);
	builder_text_array(&b, G "merges", 0, names);
	if (builder_key(&b, G "token_type", GGUF_ARRAY))
	{
		bytes_number(&b.keys, GGUF_I32, 4);
		bytes_number(&b.keys, 1001, 8);
		for (int i = 0; i <= 1000; i++)
			bytes_number(&b.keys, TOKEN_USER_DEFINED, 4);
	}
	builder_finish(&b, &file);
	builder_free(&b);
	assert_int_equal(tokenizer_fixture_open(&fixture, file.data, file.size,
											1001), ENGINE_OK);
	assert_int_equal(tokenizer_encode(&fixture.tokenizer, text, 100000, NULL,
									  0, &fixture.arena, NULL, &list,
									  &fixture.status), ENGINE_OK);
	/* 100 of 999 and one of 100 */
	assert_int_equal(list.n, 101);
	assert_int_equal(list.ids[0], 999);
	assert_int_equal(list.ids[100], 100);
	tokenizer_fixture_close(&fixture);
	bytes_free(&file);
	for (int i = 1; i <= 1000; i++)
		free((char *) names[i]);
	free(names);
	free(text);
}

/* A source whose second reading is another file */
typedef struct Turncoat
{
	const Bytes *first;
	const Bytes *second;
	bool		turned;
} Turncoat;

static EngineCode
turncoat_read(ByteSource *source, uint64_t offset, void *buf, size_t length,
			  EngineStatus *status)
{
	Turncoat   *self = source->arg;
	const Bytes *bytes = self->turned ? self->second : self->first;

	(void) status;
	memset(buf, 0, length);
	if (offset < bytes->size)
		memcpy(buf, bytes->data + offset,
			   length < bytes->size - offset ? length :
			   bytes->size - offset);
	return ENGINE_OK;
}

/*
 * The file changes between plan and build: every byte of the tokenizer's
 * arrays in turn.  Whatever the outcome, nothing is written outside the
 * section (the sanitised build sees that).
 */
static void
test_changing_file(void **state)
{
	TokenizerFixture valid;
	GgufBuilder b;
	Bytes		file = {0};
	Bytes		other = {0};
	int			refusals = 0;

	(void) state;
	assert_int_equal(open_recipe(&bpe, &valid), ENGINE_OK);
	tokenizer_fixture_close(&valid);
	builder_init(&b);
	builder_text(&b, G "model", "gpt2");
	builder_text_array(&b, G "tokens", bpe.n_tokens, bpe.tokens);
	put_array(&b, G "token_type", GGUF_I32, bpe.n_types, bpe.types);
	builder_text_array(&b, G "merges", bpe.n_merges, bpe.merges);
	builder_finish(&b, &file);
	builder_free(&b);
	for (size_t i = 24; i < file.size; i++)
	{
		Turncoat	turncoat = {&file, &other, false};
		ByteSource	source = {file.size, turncoat_read, &turncoat};
		EngineArena arena;
		EngineStatus status;
		GgufFile	gguf;
		TokenizerPlan *plan;
		uint64_t	size;
		void	   *section;

		bytes_put(&other, file.data, file.size);
		other.data[i] ^= 0x85;
		engine_arena_init(&arena, &engine_malloc, 0);
		assert_int_equal(gguf_read(&source, &arena, NULL, &gguf, &status),
						 ENGINE_OK);
		assert_int_equal(tokenizer_plan(&gguf, &source, 8, &arena, NULL,
										&plan, &size, &status), ENGINE_OK);
		section = aligned_alloc(64, size);
		turncoat.turned = true;
		refusals += tokenizer_build(plan, &source, &arena, NULL, section,
									&status) != ENGINE_OK;
		free(section);
		engine_arena_free(&arena);
		bytes_free(&other);
		memset(&other, 0, sizeof(other));
	}
	assert_true(refusals > 10);
	bytes_free(&file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_no_tokenizer),
		cmocka_unit_test(test_unsupported),
		cmocka_unit_test(test_arrays),
		cmocka_unit_test(test_merges),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_special_tokens),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_without_types),
		cmocka_unit_test(test_spm_scores),
		cmocka_unit_test(test_wordpiece),
		cmocka_unit_test(test_wordpiece_ids),
		cmocka_unit_test(test_wordpiece_keys),
		cmocka_unit_test(test_nested_names),
		cmocka_unit_test(test_changing_file)
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
