/*-------------------------------------------------------------------------
 *
 * chat_template_test.c
 *	  Chat templates against test/data/chat.json, which is made by Hugging
 *	  Face's apply_chat_template from templates of every family.
 *
 *-------------------------------------------------------------------------
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "decode/chat_template.h"
#include "json_fixture.h"

#include <cmocka.h>

#define MOST_MESSAGES 16

static JsonFixture goldens;

static int
open_goldens(void **state)
{
	(void) state;
	json_fixture_open(&goldens, "test/data/chat.json");
	return 0;
}

static int
close_goldens(void **state)
{
	(void) state;
	json_fixture_close(&goldens);
	return 0;
}

static int
read_messages(const JsonNode *array, ChatMessage *messages)
{
	const JsonNode *node = json_first(array);

	assert_true(array->count <= MOST_MESSAGES);
	for (uint32_t i = 0; i < array->count; i++, node = json_after(node))
	{
		const char *role = json_need_text(&goldens, json_need(node, "role"));
		const JsonNode *content = json_need(node, "content");

		messages[i].role = strcmp(role, "system") == 0 ? CHAT_SYSTEM :
			strcmp(role, "user") == 0 ? CHAT_USER : CHAT_ASSISTANT;
		messages[i].content = content->text;
		messages[i].length = content->length;
	}
	return (int) array->count;
}

/*
 * Every byte that is marked as content comes from a message, in order, and
 * nothing of a message is unmarked (but for white space that is trimmed).
 */
static void
check_mask(const ChatMessage *messages, int n_messages, const char *text,
		   size_t length, const uint8_t *content)
{
	size_t		at = 0;

	for (int i = 0; i < n_messages; i++)
	{
		const char *message = messages[i].content;
		size_t		n = messages[i].length;
		size_t		j = 0;

		while (j < n)
		{
			while (at < length && !content[at])
				at++;
			if (at < length && text[at] == message[j])
				at++;
			else
				assert_non_null(strchr(" \n\t", message[j]));
			j++;
		}
	}
	while (at < length && !content[at])
		at++;
	assert_int_equal(at, length);
}

/* False when the text is another one; both are printed. */
static bool
check_case(const JsonNode *model, const JsonNode *node)
{
	const JsonNode *template = json_need(model, "template");
	const JsonNode *expected = json_member(node, "text");
	const ChatFamily *family = chat_family_detect(template->text,
												  template->length);
	ChatMessage messages[MOST_MESSAGES];
	int			n = read_messages(json_need(node, "messages"), messages);
	EngineArena arena;
	EngineStatus status;
	EngineCode	code;
	char	   *text = NULL;
	size_t		length = 0;
	uint8_t    *content;
	bool		has_bos;
	bool		prompt = false;
	bool		equal;

	assert_true(json_bool(json_need(node, "add_generation_prompt"), &prompt));
	engine_arena_init(&arena, &engine_malloc, 0);
	code = chat_render(family, template->text, template->length, messages, n,
					   prompt, json_need_text(&goldens, json_need(model, "bos")),
					   json_need_text(&goldens, json_need(model, "eos")), &arena, &text,
					   &length, &content, &has_bos, &status);
	equal = code == (expected == NULL ? ENGINE_INVALID : ENGINE_OK);
	if (equal && expected != NULL)
	{
		equal = length == expected->length &&
			memcmp(text, expected->text, length) == 0;
		if (equal)
			check_mask(messages, n, text, length, content);
		if (equal && has_bos)
			assert_memory_equal(text, json_need(model, "bos")->text,
								json_need(model, "bos")->length);
	}
	if (!equal)
		print_error("%s: \"%s\" instead of \"%s\"\n",
					json_need_text(&goldens, json_need(model, "name")),
					code == ENGINE_OK ? text : status.message,
					expected == NULL ? "an error" :
					json_need_text(&goldens, expected));
	engine_arena_free(&arena);
	return equal;
}

static void
test_goldens(void **state)
{
	const JsonNode *model = json_first(goldens.root);
	int			failures = 0;

	(void) state;
	assert_true(goldens.root->count >= 15);
	for (uint32_t i = 0; i < goldens.root->count; i++)
	{
		const JsonNode *cases = json_need(model, "cases");
		const JsonNode *node = json_first(cases);
		const JsonNode *template = json_need(model, "template");
		const ChatFamily *family = chat_family_detect(template->text,
													  template->length);

		assert_non_null(family);
		assert_string_equal(chat_family_name(family),
							json_need_text(&goldens, json_need(model, "family")));
		assert_ptr_equal(chat_family_by_name(chat_family_name(family)),
						 family);
		assert_non_null(strstr(chat_family_names(),
							   chat_family_name(family)));
		for (uint32_t j = 0; j < cases->count; j++, node = json_after(node))
			failures += !check_case(model, node);
		model = json_after(model);
	}
	assert_int_equal(failures, 0);
}

static const char *
system_of(const char *template, EngineArena *arena)
{
	EngineStatus status;
	const char *text;
	size_t		length;

	chat_default_system(chat_family_by_name("chatml"), template,
						strlen(template), &text, &length, arena, &status);
	return text == NULL ? NULL :
		engine_strndup(arena, text, length, &status);
}

static void
test_default_system(void **state)
{
	EngineArena arena;

	(void) state;
	engine_arena_init(&arena, &engine_malloc, 0);
	assert_string_equal(system_of("{{ '<|im_start|>system\\nBe \\'kind\\'.<|im_end|>\\n' }}",
								  &arena), "Be 'kind'.");
	assert_string_equal(system_of("{% set x = \"<|im_start|>system\\nA\\tB<|im_end|>\" %}",
								  &arena), "A\tB");
	/* twice the same is one, two different ones are none */
	assert_string_equal(system_of("{{ '<|im_start|>system\nA<|im_end|>' }}"
								  "{{ '<|im_start|>system\nA<|im_end|>' }}",
								  &arena), "A");
	assert_null(system_of("{{ '<|im_start|>system\nA<|im_end|>' }}"
						  "{{ '<|im_start|>system\nB<|im_end|>' }}",
						  &arena));
	/* not inside one literal, outside of Jinja, with a date, cut short */
	assert_null(system_of("{{ '<|im_start|>system\nA' + x + '<|im_end|>' }}",
						  &arena));
	assert_null(system_of("<|im_start|>system\nA<|im_end|>", &arena));
	assert_null(system_of("{{ '<|im_start|>system\nA<|im_end|>' }}"
						  "{{ strftime_now('%Y') }}", &arena));
	assert_null(system_of("{{ '<|im_start|>system\nA<|im_end|>", &arena));
	assert_null(system_of("{{ '<|im_start|>system\nA<|im_end|>\\", &arena));
	assert_null(system_of("{{", &arena));
	assert_null(system_of("", &arena));
	engine_arena_free(&arena);
}

static void
test_unknown(void **state)
{
	const char *openchat = "{{ 'GPT4 Correct User: ' }}";
	const ChatFamily *family;
	ChatMessage message = {CHAT_USER, "x", 1};
	EngineArena arena;
	EngineStatus status;
	char	   *text;
	size_t		length;
	uint8_t    *content;
	bool		has_bos;

	(void) state;
	assert_null(chat_family_detect("", 0));
	assert_null(chat_family_detect("{{ messages }}", 14));
	assert_null(chat_family_by_name("openchat"));
	assert_null(chat_family_by_name("<|im_start|>"));

	/* known, but without a shape: an error that names it */
	engine_arena_init(&arena, &engine_malloc, 0);
	family = chat_family_detect(openchat, strlen(openchat));
	assert_non_null(family);
	assert_int_equal(chat_render(family, openchat, strlen(openchat), &message,
								 1, true, "", "", &arena, &text, &length,
								 &content, &has_bos, &status),
					 ENGINE_UNSUPPORTED);
	assert_non_null(strstr(status.message, "openchat"));
	assert_int_equal(chat_render(chat_family_by_name("chatml"), "", 0,
								 &message, 0, true, "", "", &arena, &text,
								 &length, &content, &has_bos, &status),
					 ENGINE_INVALID);
	engine_arena_free(&arena);
}

/* A memory budget that is too small is an error, not a crash. */
static void
test_no_memory(void **state)
{
	EngineArena arena;
	EngineStatus status;
	ChatMessage message = {CHAT_USER, NULL, 200000};
	char	   *long_text = calloc(1, 200000);
	char	   *text;
	size_t		length;
	uint8_t    *content;
	bool		has_bos;

	(void) state;
	message.content = long_text;
	engine_arena_init(&arena, &engine_malloc, 100000);
	assert_int_equal(chat_render(chat_family_by_name("chatml"), "", 0,
								 &message, 1, true, "", "", &arena, &text,
								 &length, &content, &has_bos, &status),
					 ENGINE_LIMIT);
	engine_arena_free(&arena);
	free(long_text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goldens),
		cmocka_unit_test(test_default_system),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests_name("chat_template", tests, open_goldens,
									   close_goldens);
}
