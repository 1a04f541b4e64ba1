/*-------------------------------------------------------------------------
 *
 * json_fuzz.c
 *	  Any bytes as a JSON text.
 *
 * What is accepted is walked from end to end, and its numbers are read.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/utf8.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
demand(int condition, const char *what)
{
	if (!condition)
	{
		fprintf(stderr, "%s\n", what);
		abort();
	}
}

/* Containers hold exactly their nodes. */
static void
check_container(const JsonNode *node)
{
	const JsonNode *at = json_first(node);

	for (uint32_t i = 0; i < node->count; i++)
	{
		if (node->type == JSON_OBJECT)
		{
			demand(at->type == JSON_STRING, "key is no string");
			at++;
		}
		at = json_after(at);
	}
	demand(at == node + node->size, "container has another size");
}

static void
check_node(const JsonNode *node)
{
	int64_t		integer;
	double		number;

	switch (node->type)
	{
		case JSON_NUMBER:
			json_integer(node, &integer);
			demand(json_double(node, &number), "number does not fit");
			demand(number - number == 0, "number is not finite");
			break;
		case JSON_STRING:
			demand(utf8_valid(node->text, node->length), "not UTF-8");
			break;
		case JSON_ARRAY:
		case JSON_OBJECT:
			check_container(node);
			break;
		default:
			break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	EngineArena arena;
	EngineStatus status;
	const JsonNode *root;

	engine_arena_init(&arena, &engine_malloc, (size_t) 256 << 20);
	if (json_parse((const char *) data, size, JSON_DEEPEST, 100000, &arena,
				   NULL, &root, &status) == ENGINE_OK)
	{
		for (size_t i = 0; i < root->size; i++)
			check_node(&root[i]);
	}
	engine_arena_free(&arena);
	return 0;
}
