/*-------------------------------------------------------------------------
 *
 * json_fixture.c
 *	  Files of test/data that are JSON, for tests.
 *
 *-------------------------------------------------------------------------
 */
#include "json_fixture.h"

#include "tokenizer_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka wants these before its own header */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void
give_up(const char *path, const char *why)
{
	fprintf(stderr, "%s: %s\n", path, why);
	exit(2);
}

void
json_fixture_open(JsonFixture *fixture, const char *path)
{
	EngineStatus status;
	size_t		size;

	fixture->text = read_whole_file(path, &size);
	if (fixture->text == NULL)
		give_up(path, "cannot be read");
	engine_arena_init(&fixture->arena, &engine_malloc, 0);
	if (json_parse(fixture->text, size, JSON_DEEPEST, 1000000,
				   &fixture->arena, NULL, &fixture->root,
				   &status) != ENGINE_OK)
		give_up(path, status.message);
}

void
json_fixture_close(JsonFixture *fixture)
{
	engine_arena_free(&fixture->arena);
	free(fixture->text);
}

const JsonNode *
json_need(const JsonNode *object, const char *key)
{
	const JsonNode *node = json_member(object, key);

	if (node == NULL)
		fail_msg("golden has no \"%s\"", key);
	return node;
}

int64_t
json_need_integer(const JsonNode *node)
{
	int64_t		value = 0;

	assert_true(json_integer(node, &value));
	return value;
}

double
json_need_double(const JsonNode *node)
{
	double		value = 0;

	assert_true(json_double(node, &value));
	return value;
}

const char *
json_need_text(JsonFixture *fixture, const JsonNode *node)
{
	EngineStatus status;

	assert_true(node != NULL && node->type == JSON_STRING);
	return engine_strndup(&fixture->arena, node->text, node->length, &status);
}

size_t
json_integers(const JsonNode *array, int32_t *values, size_t room)
{
	const JsonNode *item;

	assert_true(array != NULL && array->type == JSON_ARRAY);
	assert_true(array->count <= room);
	item = json_first(array);
	for (size_t i = 0; i < array->count; i++, item = json_after(item))
		values[i] = (int32_t) json_need_integer(item);
	return array->count;
}
