/*-------------------------------------------------------------------------
 *
 * grapheme_test.c
 *	  Where grapheme clusters begin.
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
#include "tokenizer/grapheme.h"

/*
 * line is the notation of the conformance file: codes in hexadecimal, with
 * "/" where a cluster begins and "x" where it goes on.
 */
static void
check_clusters(const char *line)
{
	Grapheme	state = {0};
	const char *at = line;

	for (;;)
	{
		char		mark = *at;
		char	   *next;
		uint8_t		class;

		while (*at == mark || *at == ' ')
			at++;
		if (*at == '\0' || *at == '\n')
			break;
		class = grapheme_class((uint32_t) strtoul(at, &next, 16));
		if (at > line + 3 && grapheme_continues(&state, class) != (mark == 'x'))
			fail_msg("%s: before %.6s", line, at);
		if (mark != 'x')
			grapheme_begin(&state, class);
		for (at = next; *at == ' '; at++)
			;
	}
}

static void
test_rules(void **state)
{
	static const char *const lines[] = {
		"/ 61 / 62 /",
		"/ D x A / A / D / 301 /",
		"/ 61 / D / 301 x 301 /",
		"/ 61 x 301 x 323 / 62 /",
		"/ 1100 x 1161 x 11A8 / AC00 x 11A8 / 1112 /",
		"/ 1100 x 1100 x AC01 x 11A8 / 1161 x 1161 / AC00 /",
		"/ 600 x 61 / 600 / A /",
		"/ 915 x 903 / 915 /",
		"/ 1F1E6 x 1F1E7 / 1F1E8 x 1F1E9 / 1F1EA / 61 /",
		"/ 1F468 x 200D x 1F469 x 200D x 1F467 / 1F466 /",
		"/ 1F44D x 1F3FD x 200D x 2642 x FE0F /",
		"/ 1F44D x 200D x 200D / 2642 / 61 x 200D / 2642 /",
		"/ 915 x 94D x 937 / 915 x 301 / 937 /",
		"/ 915 x 93C x 94D x 200D x 937 x 94D x 915 / 915 /",
		"/ 915 x 94D x 200C / 937 / 915 x 94D x 903 / 937 /",
		"/ 9A1 x 9BC / 9A1 x 9CD x 9A1 / 61 x 94D / 937 /"
	};

	(void) state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		check_clusters(lines[i]);
}

/* U+00F7 is "/" and U+00D7 "x" there. */
static void
test_conformance(void **state)
{
	FILE	   *file = fopen("/usr/share/unicode/auxiliary/"
							 "GraphemeBreakTest.txt", "r");
	char		line[1024];
	int			cases = 0;

	(void) state;
	if (file == NULL)
		skip();
	if (fgets(line, sizeof(line), file) == NULL ||
		strstr(line, UNICODE_TABLES_VERSION) == NULL)
		fail_msg("%s", line);
	while (fgets(line, sizeof(line), file) != NULL)
	{
		char		plain[1024];
		size_t		n = 0;

		if (line[0] == '#')
			continue;
		for (const char *at = line; *at != '#' && *at != '\0'; at++)
		{
			if (*at == '\xC3')
				plain[n++] = *++at == '\xB7' ? '/' : 'x';
			else if (*at != '\t')
				plain[n++] = *at;
		}
		plain[n] = '\0';
		check_clusters(plain);
		cases++;
	}
	fclose(file);
	assert_true(cases > 600);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_conformance)
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
