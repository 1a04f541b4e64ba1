/*-------------------------------------------------------------------------
 *
 * unigram_test.c
 *	  Unigram beyond its ids (tokenizer_test.c): trie, paths, spaces, rules,
 *	  and files that are wrong or hostile.
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
#include "tokenizer/unigram.h"
#include "tokenizer_fixture.h"

#define G "tokenizer.ggml."
#define MOST 16
#define MARK "\xE2\x96\x81"		/* U+2581 */
#define NO_SCORE (-__builtin_inff())

#ifdef __SANITIZE_ADDRESS__
#define SCALE 10
#else
#define SCALE 1
#endif

/* n_... < 0: the key is left out. */
typedef struct Recipe
{
	int			n_tokens;
	const char *tokens[MOST];
	int			n_types;
	uint32_t	types[MOST];
	int			n_scores;
	float		scores[MOST];
	int			charsmap_size;
	uint32_t	charsmap_element;
	uint8_t		charsmap[8192];
	const char *flags[3];		/* keys that are false */
	const char *number_key;
	uint32_t	number;
} Recipe;

static const Recipe plain = {
	.n_tokens = 10,
	.tokens = {"<pad>", "</s>", "<unk>", MARK, "a", "b", MARK "a", "ab",
	MARK "ab", MARK MARK},
	.n_types = 10, .types = {3, 3, 2, 1, 1, 1, 1, 1, 1, 1},
	.n_scores = 10, .scores = {0, 0, 0, -2, -3, -3, -2, -4, -3, -3},
	.charsmap_size = -1
};

static void
write_recipe(const Recipe *recipe, Bytes *file)
{
	GgufBuilder b;

	builder_init(&b);
	builder_text(&b, G "model", "t5");
	builder_text_array(&b, G "tokens", recipe->n_tokens, recipe->tokens);
	if (recipe->n_types >= 0 && builder_key(&b, G "token_type", GGUF_ARRAY))
	{
		bytes_number(&b.keys, GGUF_I32, 4);
		bytes_number(&b.keys, (uint64_t) recipe->n_types, 8);
		for (int i = 0; i < recipe->n_types; i++)
			bytes_number(&b.keys, recipe->types[i], 4);
	}
	if (recipe->n_scores >= 0 && builder_key(&b, G "scores", GGUF_ARRAY))
	{
		bytes_number(&b.keys, GGUF_F32, 4);
		bytes_number(&b.keys, (uint64_t) recipe->n_scores, 8);
		for (int i = 0; i < recipe->n_scores; i++)
			bytes_f32(&b.keys, recipe->scores[i]);
	}
	if (recipe->charsmap_size >= 0 &&
		builder_key(&b, G "precompiled_charsmap", GGUF_ARRAY))
	{
		bytes_number(&b.keys, recipe->charsmap_element > 0 ?
					 recipe->charsmap_element : GGUF_U8, 4);
		bytes_number(&b.keys, (uint64_t) recipe->charsmap_size, 8);
		bytes_put(&b.keys, recipe->charsmap, (size_t) recipe->charsmap_size);
	}
	for (int i = 0; i < 3 && recipe->flags[i] != NULL; i++)
		builder_bool(&b, recipe->flags[i], 0);
	if (recipe->number_key != NULL)
		builder_u32(&b, recipe->number_key, recipe->number);
	builder_finish(&b, file);
	builder_free(&b);
}

static EngineCode
open_recipe(const Recipe *recipe, TokenizerFixture *fixture)
{
	Bytes		file = {0};
	EngineCode	code;

	write_recipe(recipe, &file);
	code = tokenizer_fixture_open(fixture, file.data, file.size,
								  recipe->n_tokens);
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

#define IDS(...) ((const int32_t[]) {__VA_ARGS__, -1})

/* Encode length bytes and compare with ids, which end with -1. */
static void
check_bytes(const Recipe *recipe, const char *text, size_t length, int flags,
			const int32_t *ids)
{
	TokenizerFixture fixture;
	TokenList	list = {0};
	size_t		n = 0;

	if (open_recipe(recipe, &fixture) != ENGINE_OK)
		fail_msg("%s", fixture.status.message);
	while (ids[n] >= 0)
		n++;
	assert_int_equal(tokenizer_encode(&fixture.tokenizer, text, length, NULL,
									  flags, &fixture.arena, NULL, &list,
									  &fixture.status), ENGINE_OK);
	if (list.n != n)
		fail_msg("\"%s\": %zu ids, wanted %zu", text, list.n, n);
	for (size_t i = 0; i < n; i++)
	{
		if (list.ids[i] != ids[i])
			fail_msg("\"%s\": id %zu is %d, wanted %d", text, i, list.ids[i],
					 ids[i]);
	}
	tokenizer_fixture_close(&fixture);
}

static void
check(const Recipe *recipe, const char *text, const int32_t *ids)
{
	check_bytes(recipe, text, strlen(text), 0, ids);
}

/* The score at the end of text, or NO_SCORE when it leads nowhere. */
static float
walk(const UnigramUnit *units, uint32_t n_units, const char *text,
	 size_t length)
{
	uint32_t	base = 0;
	float		score = NO_SCORE;

	for (size_t i = 0; i < length; i++)
	{
		uint8_t		byte = (uint8_t) text[i];

		assert_true((base ^ byte) < n_units);
		if ((units[base ^ byte].link & 0xFF) != byte)
			return NO_SCORE;
		score = units[base ^ byte].score;
		base = units[base ^ byte].link >> 8;
	}
	return score;
}

/* Every text is found, and none of its neighbours is, but those of texts. */
static void
check_trie(const char *const *texts, const size_t *lengths, int n)
{
	EngineArena arena;
	EngineStatus status;
	TrieBuilder *trie;
	const UnigramUnit *units;
	uint32_t	n_units;
	uint32_t	n_scores = 0;
	char		longer[4097];

	engine_arena_init(&arena, &engine_malloc, 0);
	trie = trie_begin(&arena, NULL, &status);
	assert_non_null(trie);
	for (int i = 0; i < n; i++)
		assert_int_equal(trie_add(trie, texts[i], lengths[i], (float) i),
						 ENGINE_OK);
	assert_int_equal(trie_pack(trie, &units, &n_units), ENGINE_OK);
	assert_int_equal(n_units % 256, 0);
	for (uint32_t i = 0; i < n_units; i++)
	{
		n_scores += units[i].score != NO_SCORE;
		assert_true(units[i].link >> 8 < n_units);
	}
	assert_int_equal(n_scores, n);
	for (int i = 0; i < n; i++)
	{
		int			children = 0;
		int			found = 0;

		assert_true(walk(units, n_units, texts[i], lengths[i]) == (float) i);
		memcpy(longer, texts[i], lengths[i]);
		for (int byte = 0; byte < 256; byte++)
		{
			longer[lengths[i]] = (char) byte;
			children += walk(units, n_units, longer, lengths[i] + 1) !=
				NO_SCORE;
		}
		for (int j = 0; j < n; j++)
			found += lengths[j] == lengths[i] + 1 &&
				memcmp(texts[i], texts[j], lengths[i]) == 0;
		assert_int_equal(children, found);
	}
	engine_arena_free(&arena);
}

static void
test_trie(void **state)
{
	enum
	{
		N = 3000
	};
	static char bytes[N][8];
	static char longest[4096];
	static const char *texts[N];
	static size_t lengths[N];
	uint32_t	seed = 7;
	int			n = 0;

	(void) state;
	check_trie(texts, lengths, 0);
	for (int i = 0; i < N; i++)
		texts[i] = bytes[i];
	for (int byte = 0; byte < 256; byte++)
	{
		bytes[byte][0] = (char) byte;
		lengths[byte] = 1;
	}
	check_trie(texts, lengths, 256);

	/* bytes of a small and of a large alphabet, without repetitions */
	for (int round = 0; round < 2; round++)
	{
		n = 0;
		for (int i = 0; i < N; i++)
		{
			int			again = 0;

			lengths[n] = 1 + (size_t) i % 7;
			for (size_t k = 0; k < lengths[n]; k++)
			{
				seed = seed * 1664525 + 1013904223;
				bytes[n][k] = (char) (round == 0 ? seed >> 24 & 7 :
									  seed >> 24);
			}
			for (int j = 0; j < n && !again; j++)
				again = lengths[j] == lengths[n] &&
					memcmp(bytes[j], bytes[n], lengths[n]) == 0;
			n += !again;
		}
		assert_true(n > 1500);
		check_trie(texts, lengths, n);
	}
	memset(longest, 'z', sizeof(longest));
	texts[0] = longest;
	lengths[0] = sizeof(longest);
	check_trie(texts, lengths, n);
}

static void
open_file(TokenizerFixture *fixture, const char *path)
{
	size_t		size;
	char	   *bytes = read_whole_file(path, &size);

	if (bytes == NULL)
		fail_msg("%s cannot be read", path);
	if (tokenizer_fixture_open(fixture, bytes, size, 1 << 20) != ENGINE_OK)
		fail_msg("%s: %s", path, fixture->status.message);
	free(bytes);
}

/*
 * The plain way: all of a word at once, ids from the end.  text has spaces in
 * their places; returns how many ids.
 */
static size_t
plain_path(const TokenizerSection *section, const char *text, size_t length,
		   int32_t *ids)
{
	double	   *best = calloc(length + 1, sizeof(double));
	size_t	   *from = calloc(length + 1, sizeof(size_t));
	int32_t    *last = calloc(length + 1, sizeof(int32_t));
	size_t		n = 0;
	const UnigramUnit *units = section_at(section, section->unigram.units);

	for (size_t start = 0; start < length; start++)
	{
		size_t		most = length - start;
		bool		single = false;

		if (most > section->unigram.longest)
			most = section->unigram.longest;
		for (size_t k = 1; k <= most; k++)
		{
			int32_t		id = section_find(section, text + start, k, true);
			double		score;

			if (id < 0)
				continue;
			single = single || k == 1;
			score = best[start] +
				walk(units, section->unigram.n_units, text + start, k);
			if (from[start + k] == 0 || score > best[start + k])
			{
				best[start + k] = score;
				from[start + k] = start + 1;
				last[start + k] = id;
			}
		}
		assert_true(single);	/* texts here have no unknown character */
	}
	for (size_t end = length; end > 0; end = from[end] - 1)
		ids[n++] = last[end];
	free(best);
	free(from);
	free(last);
	return n;
}

/* Ids that were certain before the word ended are those of the whole word. */
static void
check_word(const TokenizerFixture *fixture, const char *text, size_t length)
{
	const TokenizerSection *section = fixture->tokenizer.section;
	EngineArena arena;
	EngineStatus status;
	TokenList	list = {0};
	char	   *marked = malloc(length + 1);
	int32_t    *ids = malloc((length + 1) * sizeof(int32_t));
	size_t		n;

	marked[0] = ' ';
	memcpy(marked + 1, text, length);
	n = plain_path(section, marked, length + 1, ids);
	engine_arena_init(&arena, &engine_malloc, 0);
	assert_int_equal(tokenizer_encode(&fixture->tokenizer, text, length, NULL,
									  0, &arena, NULL, &list, &status),
					 ENGINE_OK);
	assert_int_equal(list.n, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(list.ids[i], ids[n - 1 - i]);
	engine_arena_free(&arena);
	free(marked);
	free(ids);
}

static void
test_long_words(void **state)
{
	static const char words[] = "thelicenseandotherprogramsofthisfreesoftware";
	const size_t length = 100000 / SCALE + 1;
	char	   *text = malloc(length);
	TokenizerFixture fixture;
	uint32_t	seed = 3;

	(void) state;
	open_file(&fixture, "test/data/tok-unigram.gguf");
	for (size_t i = 0; i < length; i++)
		text[i] = words[i % (sizeof(words) - 1)];
	check_word(&fixture, text, length);
	for (size_t i = 0; i < length; i++)
	{
		seed = seed * 1664525 + 1013904223;
		text[i] = "abcdefghilmnoprstuvwy"[(seed >> 16) % 21];
	}
	check_word(&fixture, text, length);
	memset(text, 'e', length);
	check_word(&fixture, text, length);
	tokenizer_fixture_close(&fixture);
	free(text);
}

/*
 * Paths of an even and of an odd number of bytes never run together here: the
 * whole word is kept, and a longer one is refused.
 */
static void
test_paths_apart(void **state)
{
	const size_t most = (size_t) 16 * 1024 * 1024;
	Recipe		r = plain;
	TokenizerFixture fixture;
	EngineArena arena;
	EngineStatus status;
	TokenList	list = {0};
	char	   *text = malloc(most + 1);

	(void) state;
	memset(text, 'a', most + 1);
	r.tokens[7] = "aa";
	r.scores[7] = -3;
	r.tokens[6] = "x";
	r.tokens[8] = "y";
	r.flags[0] = G "add_space_prefix";
	assert_int_equal(open_recipe(&r, &fixture), ENGINE_OK);
	engine_arena_init(&arena, &engine_malloc, 0);
	check_bytes(&r, "aaaaa", 5, 0, IDS(4, 7, 7));
	assert_int_equal(tokenizer_encode(&fixture.tokenizer, text, 100001, NULL,
									  0, &arena, NULL, &list, &status),
					 ENGINE_OK);
	assert_int_equal(list.n, 50001);
	assert_int_equal(list.ids[0], 4);
	assert_int_equal(list.ids[1], 7);
	assert_int_equal(list.ids[50000], 7);
	if (SCALE == 1)
	{
		list.n = 0;
		assert_int_equal(tokenizer_encode(&fixture.tokenizer, text, most + 1,
										  NULL, 0, &arena, NULL, &list,
										  &status), ENGINE_LIMIT);
		assert_non_null(strstr(status.message, "is too long to tokenize"));
		/* a space in it, and everything is in reach */
		text[most / 2] = ' ';
		assert_int_equal(tokenizer_encode(&fixture.tokenizer, text, most + 1,
										  NULL, 0, &arena, NULL, &list,
										  &status), ENGINE_OK);
	}
	engine_arena_free(&arena);
	tokenizer_fixture_close(&fixture);
	free(text);
}

static void
test_spaces(void **state)
{
	Recipe		r = plain;

	(void) state;
	check(&r, "ab a", IDS(8, 6));
	check(&r, "", IDS(-1));
	check(&r, "  \t ", IDS(-1));
	check(&r, " ab\n\n\xE3\x80\x80 a  ", IDS(8, 6));
	check(&r, MARK "ab" MARK MARK "a", IDS(8, 3, 6));
	check(&r, "b" MARK " a", IDS(3, 5, 3, 6));

	/* no space before the first word */
	r.flags[0] = G "add_space_prefix";
	check(&r, "ab a", IDS(7, 6));
	check(&r, "  ab  a ", IDS(7, 6));

	/* every space stays, and pieces go over them */
	r.flags[0] = G "remove_extra_whitespaces";
	check(&r, "ab a", IDS(8, 6));
	check(&r, " ab  a ", IDS(3, 8, 3, 6, 3));
	check(&r, "  b", IDS(3, 9, 5));
	check(&r, "\ta", IDS(3, 2, 4));
	r.flags[1] = G "add_space_prefix";
	check(&r, "ab  b ", IDS(7, 9, 5, 3));
	check(&r, " ab" MARK "b", IDS(8, 3, 5));
}

static void
test_defaults(void **state)
{
	Recipe		r = plain;
	TokenizerFixture fixture;

	(void) state;
	check_bytes(&r, "a</s>", 5, TOKENIZE_ADD_SPECIAL |
				TOKENIZE_PARSE_SPECIAL, IDS(6, 1, 1));
	assert_int_equal(open_recipe(&r, &fixture), ENGINE_OK);
	assert_int_equal(fixture.tokenizer.bos, -1);
	assert_int_equal(fixture.tokenizer.eos, 1);
	assert_int_equal(fixture.tokenizer.unknown, 2);
	assert_int_equal(fixture.tokenizer.padding, 0);
	assert_true(fixture.tokenizer.add_eos);
	assert_false(fixture.tokenizer.add_bos);
	assert_true(tokenizer_strips_first_space(&fixture.tokenizer));
	tokenizer_fixture_close(&fixture);

	/* a vocabulary that is too small for them */
	r.n_tokens = r.n_types = r.n_scores = 1;
	r.tokens[0] = "a";
	r.types[0] = 1;
	assert_int_equal(open_recipe(&r, &fixture), ENGINE_OK);
	assert_int_equal(fixture.tokenizer.eos, -1);
	assert_int_equal(fixture.tokenizer.unknown, -1);
	tokenizer_fixture_close(&fixture);
	check(&r, "axa", IDS(0, 0));

	/* without types: byte tokens, unknown and end are known by what they are */
	r = plain;
	r.n_types = -1;
	r.tokens[9] = "<0x63>";
	check(&r, "ac", IDS(6, 9));
	check(&r, "</s>a<unk>", IDS(3, 2, 4, 2));
}

/* <s> a </s></s> b </s> */
static void
test_pair(void **state)
{
	TokenizerFixture fixture;
	TokenList	a = {0};
	TokenList	b = {0};
	TokenList	pair = {0};
	size_t		second;

	(void) state;
	open_file(&fixture, "test/data/tok-unigram.gguf");
	assert_int_equal(tokenizer_encode(&fixture.tokenizer, "the license", 11,
									  NULL, 0, &fixture.arena, NULL, &a,
									  &fixture.status), ENGINE_OK);
	assert_int_equal(tokenizer_encode(&fixture.tokenizer, "of you", 6, NULL,
									  0, &fixture.arena, NULL, &b,
									  &fixture.status), ENGINE_OK);
	assert_int_equal(tokenizer_pair(&fixture.tokenizer, &a, &b,
									&fixture.arena, &pair, &second,
									&fixture.status), ENGINE_OK);
	assert_int_equal(pair.n, a.n + b.n + 4);
	assert_int_equal(pair.ids[0], 0);
	assert_memory_equal(pair.ids + 1, a.ids, a.n * sizeof(int32_t));
	assert_int_equal(pair.ids[a.n + 1], 2);
	assert_int_equal(pair.ids[a.n + 2], 2);
	assert_memory_equal(pair.ids + a.n + 3, b.ids, b.n * sizeof(int32_t));
	assert_int_equal(pair.ids[a.n + b.n + 3], 2);
	assert_int_equal(second, pair.n);	/* all of one type */
	tokenizer_fixture_close(&fixture);
}

static void
test_unknown(void **state)
{
	Recipe		r = plain;

	(void) state;
	/* in a row they are one, but not over words; a bad byte is U+FFFD */
	check(&r, "axyzb", IDS(6, 2, 5));
	check(&r, "x x", IDS(3, 2, 3, 2));
	check(&r, "\xE4\xB8\xAD\xE5\x9B\xBD" "a", IDS(3, 2, 4));
	check(&r, "a\xFF\x80\xE4\xB8", IDS(6, 2));
	r.tokens[9] = "\xEF\xBF\xBD";
	check(&r, "b\xFF\xE4\xB8", IDS(3, 5, 9, 9));
	check_bytes(&plain, "a\0b", 3, 0, IDS(6, 2, 5));

	/* the space too, and then a piece that comes after the word's first */
	r = plain;
	r.tokens[3] = "q";
	check(&r, "x x", IDS(2, 2));
	check(&r, "xab", IDS(2, 7));

	/* bytes, where the vocabulary has all that a character needs */
	r = plain;
	r.tokens[8] = "<0xC3>";
	r.tokens[9] = "<0xA9>";
	r.types[8] = r.types[9] = 6;
	check(&r, "a\xC3\xA9", IDS(6, 8, 9));
	check(&r, "a\xC3\xA8", IDS(6, 2));
	check(&r, "<0xC3>", IDS(3, 2));

	/* 10 below the worst piece, which is "cd" here */
	r = plain;
	r.tokens[8] = "c";
	r.scores[8] = 9;
	r.tokens[9] = "cd";
	r.scores[9] = -24;
	check(&r, "cd", IDS(3, 9));
	r.scores[8] = 11;
	check(&r, "cd", IDS(3, 8, 2));
}

static void
test_odd_tokens(void **state)
{
	Recipe		r = plain;

	(void) state;
	/* empty ones match nothing, and of the same text the last one counts */
	r.tokens[5] = "";
	check(&r, "b", IDS(3, 2));
	r.tokens[5] = "a";
	r.scores[5] = 5;
	check(&r, "xa", IDS(3, 2, 5));

	/* unused, control and ending texts are no pieces */
	r = plain;
	r.types[8] = 5;
	check(&r, "ab", IDS(6, 5));
	r.types[8] = 3;
	check(&r, "ab", IDS(6, 5));
	r = plain;
	r.tokens[9] = "<|im_end|>";
	check(&r, "<|im_end|>", IDS(3, 2));
	check_bytes(&r, "<|im_end|>", 10, TOKENIZE_PARSE_SPECIAL, IDS(9));

	/* user-defined ones are cut out first */
	r.tokens[9] = "bab";
	r.types[9] = 4;
	check(&r, "abab", IDS(6, 9));
	check(&r, "babb", IDS(9, 3, 5));

	/* pieces that end within a character are never met */
	r = plain;
	r.tokens[9] = "\xE4\xB8";
	r.scores[9] = 100;
	check(&r, "\xE4\xB8\xAD", IDS(3, 2));
	/* nothing is a piece at all */
	r = plain;
	for (int i = 3; i < 10; i++)
		r.types[i] = 3;
	check(&r, "ab a", IDS(2, 2));
}

static void
test_scores(void **state)
{
	Recipe		r = plain;

	(void) state;
	r.n_scores = -1;
	refused(&r, ENGINE_CORRUPT, "\"tokenizer.ggml.scores\" is missing");
	r.n_scores = 9;
	refused(&r, ENGINE_CORRUPT, "scores\" has the wrong length");
	r = plain, r.scores[4] = 0.0f / 0.0f;
	refused(&r, ENGINE_CORRUPT, "element 4 of GGUF key "
			"\"tokenizer.ggml.scores\" is not a number");
	r.scores[4] = __builtin_inff();
	refused(&r, ENGINE_CORRUPT, "element 4 of GGUF key "
			"\"tokenizer.ggml.scores\" is not finite");
	r.scores[4] = NO_SCORE;
	refused(&r, ENGINE_CORRUPT, "scores\" is not finite");
	/* of tokens that are no pieces they do not matter */
	r = plain, r.scores[1] = NO_SCORE;
	check(&r, "ab", IDS(8));
	r = plain, r.number_key = G "unknown_token_id", r.number = 10;
	refused(&r, ENGINE_CORRUPT, "unknown_token_id");
	r = plain, r.scores[6] = r.scores[8] = 3e38f, r.scores[4] = -3e38f;
	check(&r, "ab a", IDS(8, 6));
}

static void
put_unit(Recipe *r, int i, uint32_t unit)
{
	for (int k = 0; k < 4; k++)
		r->charsmap[4 + 4 * i + k] = (uint8_t) (unit >> 8 * k);
}

/*
 * Rules in 512 units: "x" becomes text.  The root's children are at 256 xor
 * byte, and the value of "x" at 1.
 */
static Recipe
with_rule(const char *text)
{
	Recipe		r = plain;
	uint32_t	x = 256 ^ 'x';

	r.charsmap_size = 4 + 4 * 512 + (int) strlen(text) + 1;
	r.charsmap[1] = 8;			/* 2048 bytes */
	put_unit(&r, 0, 256 << 10);
	put_unit(&r, (int) x, 'x' | 0x100 | (x ^ 1) << 10);
	put_unit(&r, 1, 0x80000000);
	memcpy(r.charsmap + 4 + 4 * 512, text, strlen(text) + 1);
	return r;
}

static void
test_rules(void **state)
{
	static char longest[4098];
	Recipe		r = with_rule("ab");

	(void) state;
	check(&r, "x bx", IDS(8, 3, 5, 7));
	r.charsmap_element = GGUF_I8;
	check(&r, "xx", IDS(8, 7));

	/* a cluster goes with its first character, unless it is long */
	check(&r, "x\xCC\x81" "a", IDS(8, 4));
	check(&r, "x\xCC\x81\xCC\x81" "a", IDS(8, 4));
	check(&r, "x\xCC\x81\xCC\x81\xCC\x81" "a", IDS(8, 2, 4));
	r = with_rule("");
	check(&r, "axb", IDS(8));
	check(&r, "xxx", IDS(-1));
	r = with_rule(" b ");
	check(&r, "axa", IDS(6, 3, 5, 6));
	r = with_rule("\xE4\xB8");	/* half a character */
	check(&r, "xa", IDS(3, 2, 4));

	memset(longest, 'b', sizeof(longest) - 1);
	r = with_rule(longest);
	refused(&r, ENGINE_CORRUPT, "has too long a replacement");
	longest[4096] = '\0';
	r = with_rule(longest);
	check(&r, "a", IDS(6));
}

static void
test_hostile_rules(void **state)
{
	static const uint32_t units[] = {
		0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFC00, 0x3FF << 10, 512 << 10,
		511 << 10, 0xFFFFFE00, 0x100, 256 << 10 | 0x200
	};
	const uint32_t x = 256 ^ 'x';
	Recipe		r = plain;

	(void) state;
	r.charsmap_size = 0;		/* as if there were none */
	check(&r, "ab", IDS(8));
	for (r.charsmap_size = 1; r.charsmap_size < 4; r.charsmap_size++)
		refused(&r, ENGINE_CORRUPT, "is shorter than four bytes");
	for (; r.charsmap_size <= 8; r.charsmap_size++)
	{
		memset(r.charsmap, 0, sizeof(r.charsmap));
		check(&r, "xab", IDS(3, 2, 7));
		for (uint8_t n = 1; n < 12; n++)
		{
			r.charsmap[0] = n;
			if (n == 4 && r.charsmap_size == 8)
				check(&r, "xab", IDS(3, 2, 7));
			else
				refused(&r, ENGINE_CORRUPT, "has a trie of a wrong size");
		}
		r.charsmap[0] = 0, r.charsmap[3] = 0x80;
		refused(&r, ENGINE_CORRUPT, "has a trie of a wrong size");
	}
	r = with_rule("ab"), r.charsmap_size -= 1;
	refused(&r, ENGINE_CORRUPT, "does not end with NUL");
	r.charsmap_size -= 2;		/* no replacements: the rule is none */
	check(&r, "xab", IDS(3, 2, 7));
	r = plain, r.charsmap_size = 8, r.charsmap_element = GGUF_BOOL;
	refused(&r, ENGINE_CORRUPT, "is no array of bytes");
	r = plain, r.number_key = G "precompiled_charsmap";
	refused(&r, ENGINE_CORRUPT, "is no array of bytes");

	/* offsets and values that point anywhere, also back */
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
	{
		r = with_rule("ab");
		put_unit(&r, 0, units[i]);
		check(&r, "ba", IDS(3, 5, 4));
		r = with_rule("ab");
		put_unit(&r, (int) x, (units[i] & ~0x800000FFu) | 'x');
		check(&r, "ba", IDS(3, 5, 4));
		r = with_rule("ab");
		put_unit(&r, 1, units[i] | 0x80000000);
		if ((units[i] & 0x7FFFFFFF) > 2)
			check(&r, "xab", IDS(3, 2, 7));
		for (int k = 0; k < 512; k++)
			put_unit(&r, k, (units[i] & ~0x1FFu) | (uint32_t) (k ^ 256));
		check(&r, "ba", IDS(3, 5, 4));
	}
	/* the replacement's end serves too */
	r = with_rule("ab");
	put_unit(&r, 1, 0x80000001);
	check(&r, "xa", IDS(3, 5, 4));
}

/* What is read until turned is one file, and then another. */
typedef struct Turncoat
{
	Bytes		first;
	Bytes		second;
	bool		turned;
} Turncoat;

static EngineCode
turncoat_read(ByteSource *source, uint64_t offset, void *buf, size_t length,
			  EngineStatus *status)
{
	Turncoat   *self = source->arg;
	const Bytes *bytes = self->turned ? &self->second : &self->first;

	(void) status;
	memset(buf, 0, length);
	if (offset < bytes->size)
		memcpy(buf, bytes->data + offset,
			   length < bytes->size - offset ? length :
			   bytes->size - offset);
	return ENGINE_OK;
}

/* Build from the second file what was planned from the first, and use it. */
static EngineCode
build_other(Turncoat *turncoat)
{
	ByteSource	source = {turncoat->first.size, turncoat_read, turncoat};
	EngineArena arena;
	EngineStatus status;
	EngineCode	code;
	GgufFile	gguf;
	TokenizerPlan *plan;
	Tokenizer	tokenizer;
	TokenList	list = {0};
	uint64_t	size;
	void	   *section;

	engine_arena_init(&arena, &engine_malloc, 0);
	turncoat->turned = false;
	assert_int_equal(gguf_read(&source, &arena, NULL, &gguf, &status),
					 ENGINE_OK);
	assert_int_equal(tokenizer_plan(&gguf, &source, 10, &arena, NULL, &plan,
									&size, &status), ENGINE_OK);
	section = aligned_alloc(64, size);
	turncoat->turned = true;
	code = tokenizer_build(plan, &source, &arena, NULL, section, &status);
	if (code == ENGINE_OK)
	{
		tokenizer_open(section, &tokenizer);
		assert_int_equal(tokenizer_encode(&tokenizer, "xab </s>ab", 10, NULL,
										  TOKENIZE_PARSE_SPECIAL, &arena,
										  NULL, &list, &status), ENGINE_OK);
		for (size_t i = 0; i < list.n; i++)
			assert_in_range(list.ids[i], 0, 9);
	}
	free(section);
	engine_arena_free(&arena);
	return code;
}

/*
 * The file changes between plan and build: every byte of it in turn.  Texts
 * that the trie knows may be gone then (the sanitised build sees what is
 * written or read elsewhere).
 */
static void
test_changing_file(void **state)
{
	Recipe		r = with_rule("b");
	Turncoat	turncoat = {0};
	int			refusals = 0;

	(void) state;
	write_recipe(&r, &turncoat.first);
	for (size_t i = 24; i < turncoat.first.size; i++)
	{
		bytes_put(&turncoat.second, turncoat.first.data,
				  turncoat.first.size);
		turncoat.second.data[i] ^= 0x85;
		refusals += build_other(&turncoat) != ENGINE_OK;
		bytes_free(&turncoat.second);
		memset(&turncoat.second, 0, sizeof(Bytes));
	}
	assert_true(refusals > 10);
	bytes_free(&turncoat.first);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trie),
		cmocka_unit_test(test_long_words),
		cmocka_unit_test(test_paths_apart),
		cmocka_unit_test(test_spaces),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_pair),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_odd_tokens),
		cmocka_unit_test(test_scores),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_hostile_rules),
		cmocka_unit_test(test_changing_file)
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
