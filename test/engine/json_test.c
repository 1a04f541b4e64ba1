/*-------------------------------------------------------------------------
 *
 * json_test.c
 *	  The JSON reader: what it accepts, what it refuses, and numbers.
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

#include "base/decimal.h"
#include "base/json.h"

static EngineArena arena;
static EngineStatus status;

/* Parse a copy without a terminating NUL, which a sanitiser guards. */
static EngineCode
parse(const char *text, size_t length, const JsonNode **root)
{
	char	   *copy = malloc(length > 0 ? length : 1);
	EngineCode	code;

	memcpy(copy, text, length);
	engine_arena_init(&arena, &engine_malloc, 0);
	code = json_parse(copy, length, 8, 1000, &arena, NULL, root, &status);

	/* numbers point into the text */
	if (code == ENGINE_OK && (*root)->type == JSON_NUMBER)
		((JsonNode *) *root)->text = engine_strndup(&arena, (*root)->text,
													(*root)->length, &status);
	free(copy);
	return code;
}

static void
test_accepted(void **state)
{
	static const char *const texts[] = {
		"null", " true ", "false", "0", "-0", "1", "-12.5e-3", "1E+2", "0.0",
		"\"\"", "[]", "{}", "[[],{}]", "[1, 2 ,3]", "{\"a\":1,\"b\":[{}]}",
		"\t\r\n [ ] \n", "\"\\u00e9\\ud83d\\ude00\\n\\/\\\\\\\"\"",
		"[[[[[[[[]]]]]]]]", "{\"a\":{\"a\":1},\"b\":{\"a\":1}}", "1e308",
		"1e-999", "\"\xC3\xA9\x7F\""
	};
	const JsonNode *root;

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		assert_int_equal(parse(texts[i], strlen(texts[i]), &root), ENGINE_OK);
		engine_arena_free(&arena);
	}
}

static void
test_refused(void **state)
{
	static const struct
	{
		const char *text;
		const char *problem;
	}			cases[] =
	{
		{"", "value expected"}, {" ", "value expected"},
		{"nul", "value expected"}, {"nulll", "text after"},
		{"True", "value expected"}, {"NaN", "value expected"},
		{"Infinity", "value expected"}, {"1 2", "text after"},
		{"01", "malformed number"}, {"-", "malformed number"},
		{"1.", "malformed number"}, {".5", "value expected"},
		{"1e", "malformed number"}, {"1e+", "malformed number"},
		{"+1", "value expected"}, {"0x10", "text after"},
		{"1e999", "too large"}, {"-1e400", "too large"},
		{"\"", "does not end"}, {"\"a", "does not end"},
		{"\"\\", "unknown escape"}, {"\"\\x\"", "unknown escape"},
		{"\"\\u12\"", "hexadecimal"}, {"\"\\u12g4\"", "hexadecimal"},
		{"\"\\ud800\"", "surrogate"}, {"\"\\udc00\"", "surrogate"},
		{"\"\\ud800\\u0041\"", "surrogate"},
		{"\"\\ud800\\ud800\"", "surrogate"},
		{"\"\n\"", "control character"}, {"\"\x1F\"", "control character"},
		{"\"\xFF\"", "UTF-8"}, {"\"\xED\xA0\x80\"", "UTF-8"},
		{"\"\xC3\"", "UTF-8"}, {"[", "value expected"},
		{"[1", "comma or end"}, {"[1,", "value expected"},
		{"[1,]", "value expected"}, {"[,1]", "value expected"},
		{"[1}", "comma or end"}, {"{", "key expected"},
		{"{1:2}", "key expected"}, {"{\"a\"}", "colon"},
		{"{\"a\":}", "value expected"}, {"{\"a\":1,}", "key expected"},
		{"{\"a\":1]", "comma or end"}, {"]", "value expected"},
		{"[]]", "text after"}, {"[1]//", "text after"},
		{"\xEF\xBB\xBF[]", "value expected"},
		{"{\"a\":1,\"a\":2}", "occurs twice"},
		{"[{\"x\":{},\"\\u0078\":1}]", "occurs twice"},
		{"[[[[[[[[[]]]]]]]]]", "deeper than 8"}
	};
	const JsonNode *root;

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		EngineCode	code = parse(cases[i].text, strlen(cases[i].text), &root);

		if (code == ENGINE_OK || strstr(status.message,
										cases[i].problem) == NULL)
			fail_msg("%s: %s", cases[i].text,
					 code == ENGINE_OK ? "accepted" : status.message);
		assert_null(root);
		engine_arena_free(&arena);
	}
}

static void
test_walking(void **state)
{
	static const char text[] =
		"{\"a\": [10, {\"x\": [1, 2]}, \"t\\u0000z\"], \"b\": true, \"c\": 3}";
	const JsonNode *root;
	const JsonNode *array;
	int64_t		number;
	bool		flag;

	(void) state;
	assert_int_equal(parse(text, sizeof(text) - 1, &root), ENGINE_OK);
	assert_int_equal(root->count, 3);
	array = json_member(root, "a");
	assert_int_equal(array->count, 3);
	assert_int_equal(json_element(array, 1)->type, JSON_OBJECT);
	assert_int_equal(json_element(array, 2)->length, 3);
	assert_memory_equal(json_element(array, 2)->text, "t\0z", 3);
	assert_null(json_element(array, 3));
	assert_true(json_bool(json_member(root, "b"), &flag) && flag);
	assert_null(json_member(root, "d"));
	assert_null(json_member(array, "a"));
	assert_false(json_integer(json_member(root, "b"), &number));
	assert_false(json_integer(NULL, &number));
	engine_arena_free(&arena);
}

static void
test_integers(void **state)
{
	static const struct
	{
		const char *text;
		bool		fits;
		int64_t		value;
	}			cases[] =
	{
		{"0", true, 0}, {"-1", true, -1},
		{"9007199254740993", true, INT64_C(9007199254740993)},
		{"9223372036854775807", true, INT64_MAX},
		{"-9223372036854775808", true, INT64_MIN},
		{"9223372036854775808", false, 0},
		{"-9223372036854775809", false, 0},
		{"99999999999999999999", false, 0}, {"1.0", false, 0},
		{"1e3", false, 0}
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const JsonNode *root;
		int64_t		value = 0;

		assert_int_equal(parse(cases[i].text, strlen(cases[i].text), &root),
						 ENGINE_OK);
		assert_int_equal(json_integer(root, &value), cases[i].fits);
		if (cases[i].fits)
			assert_true(value == cases[i].value);
		engine_arena_free(&arena);
	}
}

static uint64_t
random_bits(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Against the C library, which rounds correctly */
static void
check_decimal(const char *text)
{
	double		want = strtod(text, NULL);
	double		value;
	bool		fits = decimal_to_double(text, strlen(text), &value);

	assert_int_equal(fits, want - want == 0);
	assert_int_equal(fits, decimal_fits(text, strlen(text)));
	if (fits && memcmp(&value, &want, sizeof(value)) != 0)
		fail_msg("%s: %.17g, wanted %.17g", text, value, want);
}

static void
test_decimals(void **state)
{
	static const char *const texts[] = {
		"0", "-0", "0.0e5", "1", "0.1", "-2.5", "1e22", "1e23", "1e-22",
		"123456789012345678901234567890", "4.9406564584124654e-324",
		"2.4703282292062327e-324", "2.4703282292062328e-324", "5e-324",
		"2.2250738585072014e-308", "2.2250738585072011e-308",
		"1.7976931348623157e308", "1.7976931348623158e308",
		"1.7976931348623159e308", "9007199254740992.5",
		"9007199254740993", "9007199254740993.00000000000000000001",
		"9007199254740995", "1e-400", "1e400", "0e999999999999",
		"0.000000000000000000000000000000000000000000000000001e60"
	};
	uint64_t	seed = 88172645463325252;
	char		buf[64];

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		check_decimal(texts[i]);
	for (int i = 0; i < 20000; i++)
	{
		uint64_t	bits = random_bits(&seed);
		double		x;

		memcpy(&x, &bits, sizeof(x));
		if (x - x != 0)
			continue;
		snprintf(buf, sizeof(buf), "%.*e", i % 25, x);
		check_decimal(buf);
	}
}

/* Half of the way between two doubles, which takes all 767 digits to tell */
static void
test_midpoint(void **state)
{
	char		text[1200];
	double		value;
	double		want = 4.9406564584124654e-324;

	(void) state;
	/* 2^-1075: half the smallest double, a tie that goes to zero */
	snprintf(text, sizeof(text), "%.1075f", 0x1p-1074);
	{
		int			carry = 0;

		/* halve the decimal expansion of 2^-1074, exactly */
		for (char *at = text; *at != '\0'; at++)
		{
			int			digit;

			if (*at == '.')
				continue;
			digit = carry * 10 + (*at - '0');
			*at = (char) ('0' + digit / 2);
			carry = digit % 2;
		}
		assert_int_equal(carry, 0);
	}
	assert_true(decimal_to_double(text, strlen(text), &value));
	assert_true(value == 0);
	strcat(text, "0000000001");
	assert_true(decimal_to_double(text, strlen(text), &value));
	assert_memory_equal(&value, &want, sizeof(value));
}

static void
test_caps(void **state)
{
	size_t		n = 1 << 20;
	char	   *text = malloc(n);
	const JsonNode *root;

	(void) state;
	memset(text, '[', n);
	assert_int_equal(parse(text, n, &root), ENGINE_LIMIT);
	engine_arena_free(&arena);
	text[0] = '[';
	for (size_t i = 1; i + 1 < n; i += 2)
		memcpy(text + i, "1,", 2);
	text[n - 1] = ']';
	assert_int_equal(parse(text, n, &root), ENGINE_LIMIT);
	assert_non_null(strstr(status.message, "more than 1000 values"));
	engine_arena_free(&arena);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_walking),
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_decimals),
		cmocka_unit_test(test_midpoint),
		cmocka_unit_test(test_caps)
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
