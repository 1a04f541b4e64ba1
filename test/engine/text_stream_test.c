/*-------------------------------------------------------------------------
 *
 * text_stream_test.c
 *	  Tokens to text: characters and stop texts that are split over tokens,
 *	  bytes that are no text.
 *
 * The reference decodes all bytes at once and looks for stop texts in the
 * whole; the stream sees one token at a time and must give the same, for
 * every way to cut the text.
 *
 *-------------------------------------------------------------------------
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "decode/text_stream.h"
#include "numbers.h"
#include "tokenizer_fixture.h"

#include <cmocka.h>

#define REPLACED "\xEF\xBF\xBD"

static TokenizerFixture bpe;
static TokenizerFixture spm;

static void
open_tokenizer(TokenizerFixture *fixture, const char *path)
{
	size_t		size;
	char	   *bytes = read_whole_file(path, &size);

	assert_non_null(bytes);
	assert_int_equal(tokenizer_fixture_open(fixture, bytes, size, 1 << 20),
					 ENGINE_OK);
	free(bytes);
}

static int
open_tokenizers(void **state)
{
	(void) state;
	open_tokenizer(&bpe, "test/data/tok-smollm.gguf");
	open_tokenizer(&spm, "test/data/tok-spm.gguf");
	return 0;
}

static int
close_tokenizers(void **state)
{
	(void) state;
	tokenizer_fixture_close(&bpe);
	tokenizer_fixture_close(&spm);
	return 0;
}

static int32_t
find(const TokenizerFixture *fixture, const char *text, size_t length)
{
	int32_t		id = tokenizer_find(&fixture->tokenizer, text, length);

	if (id < 0)
		fail_msg("no token \"%.*s\"", (int) length, text);
	return id;
}

/* One token for each byte. */
static size_t
byte_tokens(const char *text, size_t length, int32_t *ids)
{
	for (size_t i = 0; i < length; i++)
		ids[i] = find(&bpe, text + i, 1);
	return length;
}

typedef struct Result
{
	char		text[4096];
	size_t		length;
	bool		stopped;
} Result;

static void
take(const TextStream *stream, Result *result)
{
	assert_true(result->length + stream->n_out < sizeof(result->text));

	/* every piece is valid by itself */
	assert_true(utf8_valid(stream->out, stream->n_out));
	memcpy(result->text + result->length, stream->out, stream->n_out);
	result->length += stream->n_out;
	result->text[result->length] = '\0';
}

static Result
run(const TokenizerFixture *fixture, const int32_t *ids, size_t n,
	const StopText *stops, int n_stops, bool special, bool first)
{
	static Result result;
	TextStream	stream;
	EngineArena arena;
	EngineStatus status;

	engine_arena_init(&arena, &engine_malloc, 0);
	result.length = 0;
	result.text[0] = '\0';
	assert_int_equal(text_stream_open(&stream, &fixture->tokenizer, special,
									  stops, n_stops, &arena, &status),
					 ENGINE_OK);
	stream.first = first;
	for (size_t i = 0; i < n && !stream.stopped; i++)
	{
		assert_int_equal(text_stream_add(&stream, ids[i], &status),
						 ENGINE_OK);
		take(&stream, &result);
	}
	assert_int_equal(text_stream_finish(&stream, &status), ENGINE_OK);
	take(&stream, &result);
	result.stopped = stream.stopped;
	engine_arena_free(&arena);
	return result;
}

static Result
run_bytes(const char *text, size_t length, const StopText *stops, int n_stops)
{
	int32_t		ids[1024];

	assert_true(length <= 1024);
	return run(&bpe, ids, byte_tokens(text, length, ids), stops, n_stops,
			   false, false);
}

#define CHECK_BYTES(bytes, expected) \
	assert_string_equal(run_bytes(bytes, sizeof(bytes) - 1, NULL, 0).text, \
						expected)

static void
test_characters(void **state)
{
	(void) state;
	CHECK_BYTES("plain", "plain");
	CHECK_BYTES("\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80",
				"\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80");
	/* one replacement for each maximal subpart (Unicode, table 3-8) */
	CHECK_BYTES("a\x80" "b", "a" REPLACED "b");
	CHECK_BYTES("\xC0\xAF", REPLACED REPLACED);
	CHECK_BYTES("\xE0\x9F\x80", REPLACED REPLACED REPLACED);
	CHECK_BYTES("\xED\xA0\x80", REPLACED REPLACED REPLACED);
	CHECK_BYTES("\xF4\x90\x80\x80", REPLACED REPLACED REPLACED REPLACED);
	CHECK_BYTES("\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64",
				REPLACED REPLACED REPLACED "b" REPLACED "c" REPLACED REPLACED
				"d");
	CHECK_BYTES("\xFF\xFE", REPLACED REPLACED);
	/* an unfinished tail, NUL */
	CHECK_BYTES("x\xF0\x9F\x98", "x" REPLACED);
	CHECK_BYTES("a\0b", "a" REPLACED "b");
}

/* What is certain is not held back, what is not is. */
static void
test_piece_by_piece(void **state)
{
	const char *text = "a\xE6\x97\xA5nd";
	const size_t certain[] = {1, 0, 0, 3, 0, 2};
	StopText	stop = {"nx", 2};
	TextStream	stream;
	EngineArena arena;
	EngineStatus status;

	(void) state;
	engine_arena_init(&arena, &engine_malloc, 0);
	assert_int_equal(text_stream_open(&stream, &bpe.tokenizer, false, &stop,
									  1, &arena, &status), ENGINE_OK);
	for (size_t i = 0; i < 6; i++)
	{
		assert_int_equal(text_stream_add(&stream, find(&bpe, text + i, 1),
										 &status), ENGINE_OK);
		assert_int_equal(stream.n_out, certain[i]);
	}
	engine_arena_free(&arena);
}

static void
test_stops(void **state)
{
	StopText	stops[3] = {{"stop", 4}, {"\n\n", 2}, {"to", 2}};
	Result		result;

	(void) state;
	result = run_bytes("don't sto\n\nx", 12, stops, 2);
	assert_string_equal(result.text, "don't sto");
	assert_true(result.stopped);
	/* "to" is complete before "stop" is */
	assert_string_equal(run_bytes("a stop", 6, stops, 3).text, "a s");
	/* of two that end at the same byte the longer one counts */
	stops[2].text = "op";
	assert_string_equal(run_bytes("a stop", 6, stops, 3).text, "a ");
	/* a beginning that comes to nothing is given back */
	result = run_bytes("ssto", 4, stops, 2);
	assert_string_equal(result.text, "ssto");
	assert_false(result.stopped);
	assert_string_equal(run_bytes("stostop", 7, stops, 1).text, "sto");
	/* nothing before, and the replacement of an unfinished tail */
	assert_string_equal(run_bytes("stop it", 7, stops, 1).text, "");
	stops[0].text = REPLACED;
	stops[0].length = 3;
	result = run_bytes("a\xE6\x97", 3, stops, 1);
	assert_string_equal(result.text, "a");
	assert_true(result.stopped);
}

/* A stop text inside a token ends the text before it. */
static void
test_stop_inside_token(void **state)
{
	StopText	stop = {"e", 1};
	int32_t		ids[2] = {find(&bpe, "the", 3), find(&bpe, "a", 1)};
	Result		result = run(&bpe, ids, 2, &stop, 1, false, false);

	(void) state;
	assert_string_equal(result.text, "th");
	assert_true(result.stopped);
}

static void
reference(const char *bytes, size_t n, const StopText *stops, int n_stops,
		  Result *result)
{
	result->length = 0;
	for (size_t i = 0; i < n;)
	{
		uint32_t	code;
		int			length = utf8_decode(bytes + i, n - i, &code);
		bool		whole = length > 0 && code != 0;

		if (length == 0)
			length = (int) (n - i);
		if (length < 0)
			length = -length;
		memcpy(result->text + result->length, whole ? bytes + i : REPLACED,
			   whole ? (size_t) length : 3);
		result->length += whole ? (size_t) length : 3;
		i += (size_t) length;
	}
	result->stopped = false;
	for (size_t end = 1; end <= result->length && !result->stopped; end++)
		for (size_t begin = 0; begin < end && !result->stopped; begin++)
			for (int i = 0; i < n_stops; i++)
				if (stops[i].length == end - begin &&
					memcmp(stops[i].text, result->text + begin,
						   end - begin) == 0)
				{
					result->stopped = true;
					result->length = begin;
					break;
				}
	result->text[result->length] = '\0';
}

static void
test_random(void **state)
{
	static const char *const parts[] = {"a", "b", "ab", "ba", "\xC3", "\xA9",
	"\xC3\xA9", "\xE6\x97", "\xA5", "\xF0\x9F\x98\x80", "\xFF"};
	static const char *const letters[] = {"a", "b", "\xC3\xA9", REPLACED};
	int			stopped = 0;

	(void) state;
	numbers_seed(1);
	for (int round = 0; round < 20000; round++)
	{
		char		bytes[64];
		char		texts[3][16];
		StopText	stops[3];
		size_t		n = 0;
		int			n_stops = number_below(4);
		Result		expected;
		Result		result;

		for (int i = number_below(12); i > 0; i--)
		{
			const char *part = parts[number_below(11)];

			memcpy(bytes + n, part, strlen(part));
			n += strlen(part);
		}
		for (int i = 0; i < n_stops; i++)
		{
			texts[i][0] = '\0';
			for (int j = 1 + number_below(3); j > 0; j--)
				strcat(texts[i], letters[number_below(4)]);
			stops[i].text = texts[i];
			stops[i].length = strlen(texts[i]);
		}
		reference(bytes, n, stops, n_stops, &expected);
		result = run_bytes(bytes, n, stops, n_stops);
		assert_string_equal(result.text, expected.text);
		assert_int_equal(result.stopped, expected.stopped);
		stopped += result.stopped;
	}
	assert_in_range(stopped, 5000, 15000);
}

/* Text through the tokenizer and back. */
static void
test_round_trip(void **state)
{
	static const char *const texts[] = {
		"The model answers from the memory that it shares.",
		" two  spaces\t\n\n tabs ", "caf\xC3\xA9 \xE6\x97\xA5\xE6\x9C\xAC",
		"\xF0\x9F\x98\x80\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x92\xBB", "",
	};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		for (int j = 0; j < 2; j++)
		{
			const TokenizerFixture *fixture = j == 0 ? &bpe : &spm;
			TokenList	list = {0};
			EngineArena arena;
			EngineStatus status;

			engine_arena_init(&arena, &engine_malloc, 0);
			assert_int_equal(tokenizer_encode(&fixture->tokenizer, texts[i],
											  strlen(texts[i]), NULL, 0,
											  &arena, NULL, &list, &status),
							 ENGINE_OK);
			assert_string_equal(run(fixture, list.ids, list.n, NULL, 0,
									false, true).text, texts[i]);
			engine_arena_free(&arena);
		}
}

/* The encoder's first space is for texts that do not go on from another. */
static void
test_continuation(void **state)
{
	TokenList	whole = {0};
	TokenList	parts = {0};
	EngineArena arena;
	EngineStatus status;

	(void) state;
	engine_arena_init(&arena, &engine_malloc, 0);
	assert_int_equal(tokenizer_encode(&spm.tokenizer, "the model", 9, NULL, 0,
									  &arena, NULL, &whole, &status),
					 ENGINE_OK);
	assert_int_equal(tokenizer_encode(&spm.tokenizer, "the", 3, NULL, 0,
									  &arena, NULL, &parts, &status),
					 ENGINE_OK);
	assert_int_equal(tokenizer_encode(&spm.tokenizer, " model", 6, NULL,
									  TOKENIZE_CONTINUES, &arena, NULL,
									  &parts, &status),
					 ENGINE_OK);
	assert_int_equal(parts.n, whole.n);
	assert_memory_equal(parts.ids, whole.ids, whole.n * sizeof(int32_t));
	engine_arena_free(&arena);
}

/* SPM's first space is the encoder's, but belongs to a continuation. */
static void
test_first_space(void **state)
{
	int32_t		ids[3] = {spm.tokenizer.bos, -1, -1};
	TokenList	list = {0};
	EngineArena arena;
	EngineStatus status;

	(void) state;
	engine_arena_init(&arena, &engine_malloc, 0);
	assert_int_equal(tokenizer_encode(&spm.tokenizer, "the", 3, NULL, 0,
									  &arena, NULL, &list, &status),
					 ENGINE_OK);
	assert_in_range(list.n, 1, 2);
	memcpy(ids + 1, list.ids, list.n * sizeof(int32_t));
	assert_string_equal(run(&spm, ids + 1, list.n, NULL, 0, false,
							true).text, "the");
	assert_string_equal(run(&spm, ids + 1, list.n, NULL, 0, false,
							false).text, " the");
	/* also behind a control token, shown or not */
	assert_string_equal(run(&spm, ids, list.n + 1, NULL, 0, false,
							true).text, "the");
	assert_string_equal(run(&spm, ids, list.n + 1, NULL, 0, true,
							true).text, "<s>the");
	engine_arena_free(&arena);
}

static void
test_control_tokens(void **state)
{
	int32_t		ids[3] = {find(&bpe, "a", 1), bpe.tokenizer.eos,
	find(&bpe, "b", 1)};

	(void) state;
	assert_true(ids[1] >= 0);
	assert_string_equal(run(&bpe, ids, 3, NULL, 0, false, false).text, "ab");
	assert_non_null(strstr(run(&bpe, ids, 3, NULL, 0, true, false).text,
						   "<|"));
}

static void
check_display(const char *text, size_t length, const char *expected)
{
	size_t		room = 6 * tokenizer_longest_piece(&bpe.tokenizer) + 1;
	char	   *buf = malloc(room);
	size_t		n = token_display(&bpe.tokenizer, find(&bpe, text, length),
								  buf);

	assert_string_equal(buf, expected);
	assert_int_equal(n, strlen(expected));
	free(buf);
}

static void
test_display(void **state)
{
	char	   *buf = malloc(6 * tokenizer_longest_piece(&bpe.tokenizer) + 1);

	(void) state;
	check_display("the", 3, "the");
	check_display("\xE6", 1, "<0xE6>");
	check_display("\x9F", 1, "<0x9F>");
	check_display("\0", 1, "<0x00>");
	(void) token_display(&bpe.tokenizer, bpe.tokenizer.eos, buf);
	assert_non_null(strstr(buf, "<|"));

	/* every token is shown as valid text within its buffer */
	for (int32_t id = 0; id < bpe.tokenizer.n_tokens; id++)
	{
		size_t		n = token_display(&bpe.tokenizer, id, buf);

		assert_true(utf8_valid(buf, n));
		assert_true(memchr(buf, 0, n) == NULL);
	}
	free(buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_characters),
		cmocka_unit_test(test_piece_by_piece),
		cmocka_unit_test(test_stops),
		cmocka_unit_test(test_stop_inside_token),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_continuation),
		cmocka_unit_test(test_first_space),
		cmocka_unit_test(test_control_tokens),
		cmocka_unit_test(test_display),
	};

	return cmocka_run_group_tests_name("text_stream", tests, open_tokenizers,
									   close_tokenizers);
}
