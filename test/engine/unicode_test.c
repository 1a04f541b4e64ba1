/*-------------------------------------------------------------------------
 *
 * unicode_test.c
 *	  UTF-8, character properties and normalisation forms.
 *
 * The conformance file of Unicode is used when Debian's unicode-data is
 * installed (its version is that of the tables); the cases below run always.
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

#include "base/unicode.h"
#include "base/utf8.h"

static void
test_utf8_round_trip(void **state)
{
	(void) state;
	for (uint32_t code = 0; code <= 0x10FFFF; code++)
	{
		char		buf[UTF8_LONGEST];
		uint32_t	back = 0;
		int			n;

		if (code == 0xD800)
			code = 0xE000;
		n = utf8_encode(code, buf);
		assert_int_equal(utf8_decode(buf, (size_t) n, &back), n);
		assert_int_equal(back, code);
		for (int cut = 1; cut < n; cut++)
			assert_int_equal(utf8_decode(buf, (size_t) cut, &back), 0);
		assert_true(utf8_valid(buf, (size_t) n));
	}
}

static void
test_utf8_ill_formed(void **state)
{
	static const struct
	{
		const char *bytes;
		int			result;
	}			cases[] =
	{
		{"\x80", -1}, {"\xBF", -1}, {"\xC0\x80", -1}, {"\xC1\xBF", -1},
		{"\xC2\x41", -1}, {"\xE0\x80\x80", -1}, {"\xE0\x9F\xBF", -1},
		{"\xE1\x80\x41", -2}, {"\xE1\x41", -1}, {"\xED\xA0\x80", -1},
		{"\xED\xBF\xBF", -1}, {"\xF0\x80\x80\x80", -1},
		{"\xF0\x8F\xBF\xBF", -1}, {"\xF0\x90\x80\x41", -3},
		{"\xF0\x90\x41", -2}, {"\xF4\x90\x80\x80", -1}, {"\xF5\x80", -1},
		{"\xFF", -1}, {"\xE1", 0}, {"\xE1\x80", 0}, {"\xF4\x8F\xBF", 0},
		{"\xED\x9F\xBF", 3}, {"\xF4\x8F\xBF\xBF", 4}
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		uint32_t	code;
		size_t		length = strlen(cases[i].bytes);

		assert_int_equal(utf8_decode(cases[i].bytes, length, &code),
						 cases[i].result);
	}
	assert_int_equal(utf8_valid_prefix("abcdefgh\xE4\xB8\xADxyz\xE4\xB8", 16),
					 14);
	assert_int_equal(utf8_valid_prefix("abcdefghijkl\xFF", 13), 12);
	assert_true(utf8_valid("", 0));
}

static void
test_classes(void **state)
{
	static const struct
	{
		uint32_t	code;
		uint32_t	class;
	}			cases[] =
	{
		{'a', UNICODE_LL}, {'A', UNICODE_LU}, {0x01C5, UNICODE_LT},
		{0x02B0, UNICODE_LM}, {0x4E2D, UNICODE_LO}, {0xAC00, UNICODE_LO},
		{0x20000, UNICODE_LO}, {0x0301, UNICODE_BIT(CATEGORY_MN)},
		{0x0903, UNICODE_BIT(CATEGORY_MC)}, {0x0488, UNICODE_BIT(CATEGORY_ME)},
		{'7', UNICODE_BIT(CATEGORY_ND)}, {0x2160, UNICODE_BIT(CATEGORY_NL)},
		{0x00BD, UNICODE_BIT(CATEGORY_NO)}, {'_', UNICODE_BIT(CATEGORY_PC)},
		{'-', UNICODE_BIT(CATEGORY_PD)}, {'$', UNICODE_BIT(CATEGORY_SC)},
		{'^', UNICODE_BIT(CATEGORY_SK)}, {0x1F600, UNICODE_BIT(CATEGORY_SO)},
		{' ', UNICODE_BIT(CATEGORY_ZS) | UNICODE_SPACE},
		{'\n', UNICODE_BIT(CATEGORY_CC) | UNICODE_SPACE},
		{0x1F, UNICODE_BIT(CATEGORY_CC)}, {0x200B, UNICODE_BIT(CATEGORY_CF)},
		{0x180E, UNICODE_BIT(CATEGORY_CF)}, {0xE000, UNICODE_BIT(CATEGORY_CO)},
		{0x0378, UNICODE_BIT(CATEGORY_CN)}, {0x10FFFF, UNICODE_BIT(CATEGORY_CN)}
	};
	int			spaces = 0;

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(unicode_class(cases[i].code), cases[i].class);
	for (uint32_t code = 0; code <= 0x10FFFF; code++)
		spaces += (unicode_class(code) & UNICODE_SPACE) != 0;
	assert_int_equal(spaces, 25);
}

/* As of Unicode 8.0: what came later, and what has changed its category */
static void
test_unicode8(void **state)
{
	static const uint32_t older[][2] = {
		{0x166D, UNICODE_BIT(CATEGORY_PO)}, {0x1734, UNICODE_BIT(CATEGORY_MN)},
		{0x1885, UNICODE_BIT(CATEGORY_LO)}, {0x111C9, UNICODE_BIT(CATEGORY_PO)},
		{0xA9BD, UNICODE_BIT(CATEGORY_MC)}, {0x2E42, UNICODE_BIT(CATEGORY_PS)},
		{0x2E43, UNICODE_BIT(CATEGORY_CN)}, {0x08E2, UNICODE_BIT(CATEGORY_CN)},
		{0x1F97F, UNICODE_BIT(CATEGORY_CN)}, {'a', UNICODE_LL},
		{0x10FFFF, UNICODE_BIT(CATEGORY_CN)}
	};
	int			later = 0;

	(void) state;
	for (size_t i = 0; i < sizeof(older) / sizeof(older[0]); i++)
		assert_int_equal(unicode8_class(older[i][0]), older[i][1]);
	for (uint32_t code = 0; code <= 0x10FFFF; code++)
		later += unicode8_class(code) == UNICODE_BIT(CATEGORY_CN) &&
			unicode_class(code) != UNICODE_BIT(CATEGORY_CN);
	/* Unicode 15.0 has 149,186 characters, 8.0 had 120,672 (65 controls not) */
	assert_int_equal(later, 149186 - 120672);
}

static void
test_lower(void **state)
{
	static const uint32_t cases[][2] = {
		{'A', 'a'}, {'Z', 'z'}, {'[', '['}, {'a', 'a'}, {0xC4, 0xE4},
		{0xD7, 0xD7}, {0xDF, 0xDF}, {0x100, 0x101}, {0x101, 0x101},
		{0x178, 0xFF}, {0x1C5, 0x1C6}, {0x3A3, 0x3C3}, {0x13A0, 0xAB70},
		{0x13F5, 0x13FD}, {0x1E9E, 0xDF}, {0x1F88, 0x1F80}, {0x2126, 0x3C9},
		{0x212A, 'k'}, {0x2160, 0x2170}, {0x24B6, 0x24D0}, {0x4E2D, 0x4E2D},
		{0xA640, 0xA641}, {0xFF21, 0xFF41}, {0x1E921, 0x1E943},
		{0x10FFFF, 0x10FFFF}
	};
	uint32_t	lower[UNICODE_LOWER_LONGEST];
	int			changed = 0;

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		assert_int_equal(unicode_lower(cases[i][0], lower), 1);
		assert_int_equal(lower[0], cases[i][1]);
	}
	assert_int_equal(unicode_lower(0x130, lower), 2);
	assert_int_equal(lower[0], 'i');
	assert_int_equal(lower[1], 0x307);
	for (uint32_t code = 0; code <= 0x10FFFF; code++)
	{
		unicode_lower(code, lower);
		changed += lower[0] != code;
	}
	/* fields 13 of UnicodeData.txt */
	assert_int_equal(changed, 1433);
}

static void
check_form(UnicodeForm form, const char *text, size_t length,
		   const char *want, size_t want_length)
{
	EngineArena arena;
	EngineStatus status;
	const char *out;
	size_t		n;

	engine_arena_init(&arena, &engine_malloc, 0);
	assert_int_equal(unicode_normalise(form, text, length, &arena, NULL, &out,
									   &n, &status), ENGINE_OK);
	assert_int_equal(n, want_length);
	assert_memory_equal(out, want, n);
	engine_arena_free(&arena);
}

static void
test_forms(void **state)
{
	static const struct
	{
		const char *text;
		const char *nfc;
		const char *nfd;
	}			cases[] =
	{
		{"", "", ""},
		{"plain", "plain", "plain"},
		{"e\xCC\x81", "\xC3\xA9", "e\xCC\x81"},
		{"\xC3\xA9", "\xC3\xA9", "e\xCC\x81"},
		/* two marks in the wrong order, one of which composes */
		{"a\xCC\x81\xCC\xA3", "\xE1\xBA\xA1\xCC\x81", "a\xCC\xA3\xCC\x81"},
		/* a mark of the same class blocks the second one */
		{"a\xCC\x88\xCC\x81", "\xC3\xA4\xCC\x81", "a\xCC\x88\xCC\x81"},
		/* marks without a starter, and after one that is no letter */
		{"\xCC\x81\xCC\xA3", "\xCC\xA3\xCC\x81", "\xCC\xA3\xCC\x81"},
		{"\n\xCC\x81", "\n\xCC\x81", "\n\xCC\x81"},
		/* singletons and exclusions never come back */
		{"\xE2\x84\xAB", "\xC3\x85", "A\xCC\x8A"},
		{"\xE0\xA5\x98", "\xE0\xA4\x95\xE0\xA4\xBC",
		"\xE0\xA4\x95\xE0\xA4\xBC"},
		/* Hangul */
		{"\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", "\xEA\xB0\x81",
		"\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8"},
		{"\xEA\xB0\x80\xE1\x86\xA8", "\xEA\xB0\x81",
		"\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8"},
		/* two starters compose */
		{"\xE0\xA7\x87\xE0\xA6\xBE", "\xE0\xA7\x8B",
		"\xE0\xA7\x87\xE0\xA6\xBE"},
		/* ill-formed bytes stay, and nothing composes across them */
		{"e\xFF\xCC\x81", "e\xFF\xCC\x81", "e\xFF\xCC\x81"},
		{"\xCC\xCC\x81" "e\xCC\x81\xE4\xB8", "\xCC\xCC\x81\xC3\xA9\xE4\xB8",
		"\xCC\xCC\x81" "e\xCC\x81\xE4\xB8"}
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		check_form(UNICODE_NFC, cases[i].text, strlen(cases[i].text),
				   cases[i].nfc, strlen(cases[i].nfc));
		check_form(UNICODE_NFD, cases[i].text, strlen(cases[i].text),
				   cases[i].nfd, strlen(cases[i].nfd));
	}
}

static void
test_normal_is_not_copied(void **state)
{
	static const char text[] = "\xC3\xA9t\xC3\xA9 \xE4\xB8\xAD";
	EngineArena arena;
	EngineStatus status;
	const char *out;
	size_t		n;

	(void) state;
	engine_arena_init(&arena, &engine_malloc, 0);
	assert_int_equal(unicode_normalise(UNICODE_NFC, text, sizeof(text) - 1,
									   &arena, NULL, &out, &n, &status),
					 ENGINE_OK);
	assert_ptr_equal(out, text);
	assert_int_equal(arena.used, 0);
}

/* One run of marks in the worst order: half a million, sorted once */
static void
test_long_run(void **state)
{
	const size_t pairs = 125000;
	char	   *text = malloc(pairs * 4 + 1);
	char	   *want = malloc(pairs * 4 + 1);

	(void) state;
	text[0] = want[0] = 'x';
	for (size_t i = 0; i < pairs; i++)
	{
		memcpy(text + 1 + i * 4, "\xCC\x81\xCC\xA3", 4);
		memcpy(want + 1 + i * 2, "\xCC\xA3", 2);
		memcpy(want + 1 + (pairs + i) * 2, "\xCC\x81", 2);
	}
	check_form(UNICODE_NFD, text, pairs * 4 + 1, want, pairs * 4 + 1);
	check_form(UNICODE_NFC, text, pairs * 4 + 1, want, pairs * 4 + 1);
	free(text);
	free(want);
}

static bool
say_yes(void *arg)
{
	(*(int *) arg)++;
	return true;
}

static void
test_interrupt(void **state)
{
	int			calls = 0;
	EngineHost	host = {say_yes, &calls, NULL};
	EngineArena arena;
	EngineStatus status;
	char	   *text = calloc(200000, 1);
	const char *out;
	size_t		n;

	(void) state;
	engine_arena_init(&arena, &engine_malloc, 0);
	assert_int_equal(unicode_normalise(UNICODE_NFC, text, 200000, &arena,
									   &host, &out, &n, &status),
					 ENGINE_CANCELLED);
	assert_int_equal(calls, 1);
	engine_arena_free(&arena);
	free(text);
}

/* One field of the conformance file, code points in hexadecimal, as UTF-8 */
static size_t
read_codes(char **at, char *out)
{
	size_t		n = 0;

	while (**at != ';' && **at != '\0')
		n += (size_t) utf8_encode((uint32_t) strtoul(*at, at, 16), out + n);
	if (**at == ';')
		(*at)++;
	return n;
}

static int
check_line(char *line)
{
	char		field[5][256];
	size_t		length[5];

	if (strchr("#@\n", line[0]) != NULL)
		return 0;
	for (int i = 0; i < 5; i++)
		length[i] = read_codes(&line, field[i]);
	for (int i = 0; i < 5; i++)
	{
		int			c = i < 3 ? 1 : 3;
		int			d = i < 3 ? 2 : 4;

		check_form(UNICODE_NFC, field[i], length[i], field[c], length[c]);
		check_form(UNICODE_NFD, field[i], length[i], field[d], length[d]);
	}
	return 1;
}

static void
test_conformance(void **state)
{
	FILE	   *file = popen("cd /usr/share/unicode && { cat "
							 "NormalizationTest.txt || "
							 "bzcat NormalizationTest.txt.bz2; } 2>/dev/null",
							 "r");
	char		line[4096];
	int			cases = 0;

	(void) state;
	assert_non_null(file);
	if (fgets(line, sizeof(line), file) == NULL)
	{
		pclose(file);
		skip();
	}
	assert_non_null(strstr(line, UNICODE_TABLES_VERSION));
	while (fgets(line, sizeof(line), file) != NULL)
		cases += check_line(line);
	pclose(file);
	assert_true(cases > 18000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_utf8_round_trip),
		cmocka_unit_test(test_utf8_ill_formed),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_unicode8),
		cmocka_unit_test(test_lower),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_normal_is_not_copied),
		cmocka_unit_test(test_long_run),
		cmocka_unit_test(test_interrupt),
		cmocka_unit_test(test_conformance)
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
