/*-------------------------------------------------------------------------
 *
 * json.h
 *	  A strict reader of JSON texts that come from untrusted files.
 *
 * json_parse() makes one array of nodes in document order: a container is
 * followed by what it contains, and knows where it ends, so walking needs no
 * recursion.  Nothing beyond RFC 8259 is accepted; texts must be well-formed
 * UTF-8, \u escapes of lone surrogates, duplicate keys, and numbers out of a
 * double's range are refused.  Depth and size are bounded.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_JSON_H
#define ENGINE_JSON_H

#include "base/arena.h"

#define JSON_LONGEST ((size_t) 1024 * 1024 * 1024)
#define JSON_DEEPEST 64

typedef enum JsonType
{
	JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY,
	JSON_OBJECT
} JsonType;

/*
 * Members of an object are its nodes in pairs: a string, the key, and then the
 * value.
 */
typedef struct JsonNode
{
	JsonType	type;
	uint32_t	count;			/* elements of an array, members of an object */
	size_t		length;			/* of text */
	const char *text;			/* string without escapes, or the number */
	size_t		size;			/* nodes from this one to its end, itself too */
	size_t		offset;			/* in the JSON text, for messages */
} JsonNode;

/*
 * Parse; *root lives in arena, as do all texts.  ENGINE_CORRUPT names the
 * offset of what is wrong, ENGINE_LIMIT a cap (max_depth at most JSON_DEEPEST,
 * max_nodes).
 */
extern EngineCode json_parse(const char *text, size_t length, int max_depth,
							 size_t max_nodes, EngineArena *arena,
							 const EngineHost *host, const JsonNode **root,
							 EngineStatus *status);

/*
 * Walking: json_first() is the first element of an array or the first key of
 * an object (only valid when count > 0), json_after() what follows a node in
 * the same container.  The value of a key is key + 1.
 */
static inline const JsonNode *
json_first(const JsonNode *container)
{
	return container + 1;
}

static inline const JsonNode *
json_after(const JsonNode *node)
{
	return node + node->size;
}

/* The value of a key, or NULL; also when node is NULL or no object. */
extern const JsonNode *json_member(const JsonNode *node, const char *key);

/* An element of an array, or NULL. */
extern const JsonNode *json_element(const JsonNode *node, size_t index);

/*
 * A whole number that is written without fraction and exponent, exactly;
 * false for anything else, NULL included.
 */
extern bool json_integer(const JsonNode *node, int64_t *value);

extern bool json_double(const JsonNode *node, double *value);
extern bool json_bool(const JsonNode *node, bool *value);

/* Is it the string text? */
extern bool json_is_text(const JsonNode *node, const char *text);

#endif							/* ENGINE_JSON_H */
