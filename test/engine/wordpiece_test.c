/*-------------------------------------------------------------------------
 *
 * wordpiece_test.c
 *	  WordPiece beyond its ids (tokenizer_test.c): pairs of texts, decoding,
 *	  long texts and limits.
 *
 * test/data/wordpiece-pairs.json holds what Hugging Face's tokenizers give.
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

#include "decode/text_stream.h"
#include "tokenizer_fixture.h"

#ifdef __SANITIZE_ADDRESS__
#define MILLION ((size_t) 100000)
#else
#define MILLION ((size_t) 1000000)
#endif

static TokenizerFixture uncased,
			cased,
			gpt2,
			spm;

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
	(void) state;
	open_file(&uncased, "test/data/tok-wordpiece.gguf");
	open_file(&cased, "test/data/tok-wordpiece-cased.gguf");
	open_file(&gpt2, "test/data/tok-gpt2.gguf");
	open_file(&spm, "test/data/tok-spm.gguf");
	return 0;
}

static int
close_vocabularies(void **state)
{
	(void) state;
	tokenizer_fixture_close(&uncased);
	tokenizer_fixture_close(&cased);
	tokenizer_fixture_close(&gpt2);
	tokenizer_fixture_close(&spm);
	return 0;
}

static TokenList
encode(const Tokenizer *tokenizer, const char *text, size_t length, int flags,
	   EngineArena *arena)
{
	TokenList	list = {0};
	EngineStatus status;

	if (tokenizer_encode(tokenizer, text, length, NULL, flags, arena, NULL,
						 &list, &status) != ENGINE_OK)
		fail_msg("%s", status.message);
	return list;
}

static void
check_text(const Tokenizer *tokenizer, const TokenList *list, bool special,
		   const char *want, size_t length)
{
	EngineArena arena;
	EngineStatus status;
	TextStream	stream;
	char	   *text = malloc(length + 1);
	size_t		n = 0;

	engine_arena_init(&arena, &engine_malloc, 0);
	assert_int_equal(text_stream_open(&stream, tokenizer, special, NULL, 0,
									  &arena, &status), ENGINE_OK);
	stream.first = true;
	for (size_t i = 0; i <= list->n; i++)
	{
		if (i < list->n)
			assert_int_equal(text_stream_add(&stream, list->ids[i], &status),
							 ENGINE_OK);
		else
			assert_int_equal(text_stream_finish(&stream, &status), ENGINE_OK);
		if (n + stream.n_out > length)
			fail_msg("more than \"%s\"", want);
		memcpy(text + n, stream.out, stream.n_out);
		n += stream.n_out;
	}
	text[n] = '\0';
	if (n != length || memcmp(text, want, n) != 0)
		fail_msg("\"%s\", wanted \"%s\"", text, want);
	engine_arena_free(&arena);
	free(text);
}

static void
check_pair(const JsonNode *golden)
{
	const JsonNode *name = json_member(golden, "vocabulary");
	const JsonNode *a = json_member(golden, "a");
	const JsonNode *b = json_member(golden, "b");
	const JsonNode *ids = json_member(golden, "ids");
	const JsonNode *decoded = json_member(golden, "decoded");
	const Tokenizer *tokenizer = strcmp(name->text, "wordpiece") == 0 ?
		&uncased.tokenizer : &cased.tokenizer;
	EngineArena arena;
	EngineStatus status;
	TokenList	first,
				last,
				pair = {0};
	size_t		second;
	int64_t		number;

	engine_arena_init(&arena, &engine_malloc, 0);
	first = encode(tokenizer, a->text, a->length, 0, &arena);
	last = encode(tokenizer, b->text, b->length, 0, &arena);
	assert_int_equal(tokenizer_pair(tokenizer, &first, &last, &arena, &pair,
									&second, &status), ENGINE_OK);
	if (pair.n != ids->count)
		fail_msg("\"%s\" and \"%s\": %zu ids, wanted %u", a->text, b->text,
				 pair.n, ids->count);
	for (size_t i = 0; i < pair.n; i++)
	{
		assert_true(json_integer(json_element(ids, (uint32_t) i), &number));
		assert_int_equal(pair.ids[i], number);
	}
	assert_true(json_integer(json_member(golden, "second"), &number));
	assert_int_equal(second, number);
	assert_int_equal(pair.n, first.n + last.n +
					 (size_t) tokenizer_pair_specials(tokenizer));
	check_text(tokenizer, &pair, true, decoded->text, decoded->length);
	engine_arena_free(&arena);
}

static void
test_pairs(void **state)
{
	size_t		size;
	char	   *text = read_whole_file("test/data/wordpiece-pairs.json", &size);
	EngineArena arena;
	EngineStatus status;
	const JsonNode *root;

	(void) state;
	assert_non_null(text);
	engine_arena_init(&arena, &engine_malloc, 0);
	assert_int_equal(json_parse(text, size, 16, 1 << 20, &arena, NULL, &root,
								&status), ENGINE_OK);
	assert_true(root->count > 60);
	for (const JsonNode *golden = json_first(root); golden < root + root->size;
		 golden = json_after(golden))
		check_pair(golden);
	engine_arena_free(&arena);
	free(text);
}

/* Pair two lists of one and two ids by a tokenizer with these flags. */
static void
frames(const Tokenizer *base, const bool *flags, int32_t separator,
	   const int32_t *want, size_t n_want, size_t want_second)
{
	Tokenizer	tokenizer = *base;
	int32_t		ids[] = {7, 8, 9};
	TokenList	a = {.ids = ids, .n = 1};
	TokenList	b = {.ids = ids + 1, .n = 2};
	TokenList	pair = {.max_tokens = n_want};
	EngineArena arena;
	EngineStatus status;
	size_t		second;

	tokenizer.bos = 1;
	tokenizer.eos = 2;
	tokenizer.separator = separator;
	tokenizer.add_bos = flags[0];
	tokenizer.add_eos = flags[1];
	tokenizer.add_separator = flags[2];
	engine_arena_init(&arena, &engine_malloc, 0);
	assert_int_equal(tokenizer_pair(&tokenizer, &a, &b, &arena, &pair,
									&second, &status), ENGINE_OK);
	assert_int_equal(pair.n, n_want);
	assert_memory_equal(pair.ids, want, n_want * sizeof(int32_t));
	assert_int_equal(second, want_second);
	assert_int_equal(tokenizer_pair_specials(&tokenizer), n_want - 3);

	pair.max_tokens = n_want - 1;
	assert_int_equal(tokenizer_pair(&tokenizer, &a, &b, &arena, &pair,
									&second, &status), ENGINE_LIMIT);
	assert_non_null(strstr(status.message, "tokens, the limit is"));
	engine_arena_free(&arena);
}

static void
test_frames(void **state)
{
	static const bool roberta[] = {true, true, true};
	static const bool bert[] = {true, true, false};
	static const bool llama[] = {true, false, false};
	static const bool separated[] = {false, false, true};
	static const bool nothing[] = {false, false, false};

	(void) state;
	frames(&gpt2.tokenizer, roberta, 2,
		   (const int32_t[]) {1, 7, 2, 2, 8, 9, 2}, 7, 7);
	frames(&gpt2.tokenizer, roberta, -1,
		   (const int32_t[]) {1, 7, 2, 2, 8, 9, 2}, 7, 7);
	frames(&gpt2.tokenizer, bert, 3,
		   (const int32_t[]) {1, 7, 3, 8, 9, 2}, 6, 3);
	frames(&spm.tokenizer, llama, -1, (const int32_t[]) {1, 7, 8, 9}, 4, 2);
	frames(&spm.tokenizer, separated, 5, (const int32_t[]) {7, 5, 8, 9}, 4,
		   4);
	frames(&gpt2.tokenizer, nothing, 5, (const int32_t[]) {7, 8, 9}, 3, 1);
}

static void
test_view(void **state)
{
	const Tokenizer *tokenizer = &uncased.tokenizer;
	char		scratch;
	size_t		n;

	(void) state;
	assert_int_equal(tokenizer->padding, 0);
	assert_int_equal(tokenizer->unknown, 1);
	assert_int_equal(tokenizer->bos, 2);
	assert_int_equal(tokenizer->eos, 3);
	assert_int_equal(tokenizer->separator, 3);
	assert_true(tokenizer->add_bos && tokenizer->add_eos);
	assert_false(tokenizer->add_separator);
	assert_int_equal(cased.tokenizer.bos, 2);
	assert_int_equal(cased.tokenizer.eos, 3);
	assert_int_equal(tokenizer_find(tokenizer, "[CLS]", 5), 2);
	assert_int_equal(tokenizer_kind(tokenizer, 1), TOKEN_UNKNOWN);
	assert_int_equal(tokenizer_kind(tokenizer, 4), TOKEN_CONTROL);
	assert_true(tokenizer_strips_first_space(tokenizer));
	assert_memory_equal(tokenizer_piece(tokenizer, 4, true, &scratch, &n),
						"[MASK]", 6);
	assert_int_equal(n, 6);
	n = (size_t) tokenizer_find(tokenizer, " the", 4);
	assert_int_equal(tokenizer_kind(tokenizer, (int32_t) n), TOKEN_NORMAL);
	assert_int_not_equal(tokenizer_find(tokenizer, "ing", 3), -1);
	assert_int_not_equal(tokenizer_find(tokenizer, "ing", 3),
						 tokenizer_find(tokenizer, " ing", 4));
	assert_int_equal(tokenizer_find(tokenizer, "##ing", 5), -1);
}

/* Control tokens are shown or not; the first space goes either way. */
static void
test_decoding(void **state)
{
	static const char text[] = "The licenses, [MASK] re-licensed.";
	static const char plain[] = "the licenses , re - licensed .";
	static const char shown[] =
		"[CLS] the licenses , [MASK] re - licensed . [SEP]";
	static const char entity[] = "<ent> See <ent> s";
	EngineArena arena;
	TokenList	list;

	(void) state;
	engine_arena_init(&arena, &engine_malloc, 0);
	list = encode(&uncased.tokenizer, text, sizeof(text) - 1,
				  TOKENIZE_ADD_SPECIAL | TOKENIZE_PARSE_SPECIAL, &arena);
	check_text(&uncased.tokenizer, &list, false, plain, sizeof(plain) - 1);
	check_text(&uncased.tokenizer, &list, true, shown, sizeof(shown) - 1);
	list = encode(&cased.tokenizer, "<ent>See<ent>s", 14, 0, &arena);
	check_text(&cased.tokenizer, &list, false, entity, sizeof(entity) - 1);
	engine_arena_free(&arena);
}

/* The limit counts what comes out, not pieces of a word that is unknown. */
static void
test_limit(void **state)
{
	const Tokenizer *tokenizer = &uncased.tokenizer;
	static const char text[] = "the licensing\xE2\x98\x83 the";
	TokenList	list = {.max_tokens = 3};
	EngineArena arena;
	EngineStatus status;

	(void) state;
	engine_arena_init(&arena, &engine_malloc, 0);
	assert_int_equal(tokenizer_encode(tokenizer, text, sizeof(text) - 1, NULL,
									  0, &arena, NULL, &list, &status),
					 ENGINE_OK);
	assert_int_equal(list.n, 3);
	assert_int_equal(list.ids[1], tokenizer->unknown);
	list.n = 0;
	list.max_tokens = 2;
	assert_int_equal(tokenizer_encode(tokenizer, text, sizeof(text) - 1, NULL,
									  0, &arena, NULL, &list, &status),
					 ENGINE_LIMIT);
	assert_int_equal(list.n, 2);
	assert_int_equal(list.ids[1], tokenizer->unknown);
	engine_arena_free(&arena);
}

/* Ill-formed bytes are U+FFFD: removed, or unknown where nothing is cleaned. */
static void
test_ill_formed(void **state)
{
	EngineArena arena;
	TokenList	a,
				b;

	(void) state;
	engine_arena_init(&arena, &engine_malloc, 0);
	a = encode(&uncased.tokenizer, "th\xFF" "e \xE4\xB8 \x80", 8, 0, &arena);
	b = encode(&uncased.tokenizer, "the", 3, 0, &arena);
	assert_int_equal(a.n, 1);
	assert_int_equal(a.ids[0], b.ids[0]);
	a = encode(&cased.tokenizer, "th\xFF" "e the", 8, 0, &arena);
	b = encode(&cased.tokenizer, "th\xEF\xBF\xBD" "e the", 10, 0, &arena);
	assert_int_equal(a.n, b.n);
	assert_memory_equal(a.ids, b.ids, a.n * sizeof(int32_t));
	engine_arena_free(&arena);
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

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
}

/* A megabyte of one text over and over */
static void
check_long_text(const Tokenizer *tokenizer, const char *unit)
{
	size_t		length = strlen(unit) > 0 ? strlen(unit) : 1;
	char	   *text = malloc(MILLION + length);
	Polls		polls = {0, 0};
	EngineHost	host = {count_poll, &polls, NULL};
	EngineArena arena;
	EngineStatus status;
	TokenList	list = {0};
	double		start = seconds();

	for (size_t i = 0; i < MILLION; i += length)
		memcpy(text + i, unit, length);
	engine_arena_init(&arena, &engine_malloc, 40 * MILLION);
	assert_int_equal(tokenizer_encode(tokenizer, text, MILLION, NULL,
									  TOKENIZE_PARSE_SPECIAL, &arena, &host,
									  &list, &status), ENGINE_OK);
	/* the slowest takes 0.2 s: words of 50 characters that are unknown */
	assert_true(seconds() - start < 2);
	assert_true(polls.calls > (int) (MILLION / 100000));
	engine_arena_free(&arena);

	polls.stop_at = polls.calls / 2;
	polls.calls = 0;
	list = (TokenList) {0};
	assert_int_equal(tokenizer_encode(tokenizer, text, MILLION, NULL,
									  TOKENIZE_PARSE_SPECIAL, &arena, &host,
									  &list, &status), ENGINE_CANCELLED);
	assert_int_equal(polls.calls, polls.stop_at);
	engine_arena_free(&arena);
	free(text);
}

static void
test_long_texts(void **state)
{
	static const char *const units[] = {
		"", "a", "\xC3\xA1", "a\xCC\x81\xCC\xA3", "\xCC\x81", " ", "\n", "!",
		"\xE4\xB8\xAD", "\xED\x95\x9C", "\xC4\xB0", "\xEF\xBF\xBD", "\xFF",
		"[MASK]", "[MASK", "the ", "Aa", "\xC2\xAD",
		"qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq ",
		"licenslicenslicenslicenslicenslicenslicenslicen\xE2\x98\x83 "
	};

	(void) state;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
	{
		check_long_text(&uncased.tokenizer, units[i]);
		check_long_text(&cased.tokenizer, units[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_view),
		cmocka_unit_test(test_decoding),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_ill_formed),
		cmocka_unit_test(test_long_texts)
	};

	return cmocka_run_group_tests(tests, open_vocabularies,
								  close_vocabularies);
}
