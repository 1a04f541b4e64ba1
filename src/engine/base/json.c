/*-------------------------------------------------------------------------
 *
 * json.c
 *	  A strict reader of JSON texts that come from untrusted files.
 *
 * The text is read twice by the same code: the first pass checks it and counts
 * nodes, the second fills an array of just that size.  Containers that are
 * open wait on a stack of fixed size.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "base/json.h"

#include <string.h>

#include "base/decimal.h"
#include "base/utf8.h"

#define POLL_EVERY 65536		/* values */

typedef enum Expect
{
	EXPECT_VALUE,				/* also the first of an array */
	EXPECT_KEY,
	EXPECT_COMMA				/* or the end of the container */
} Expect;

typedef struct Open
{
	size_t		node;			/* index of the container */
	uint32_t	count;
	bool		object;
} Open;

typedef struct Parser
{
	const char *text;
	size_t		length;
	size_t		position;
	int			max_depth;
	size_t		max_nodes;
	const EngineHost *host;
	EngineStatus *status;
	JsonNode   *nodes;			/* NULL while counting */
	size_t		n_nodes;
	char	   *strings;		/* unescaped; NULL while counting */
	size_t		n_strings;
	size_t		largest;		/* members of the largest object */
	int			depth;
	Open		open[JSON_DEEPEST];
} Parser;

static EngineCode
json_error(Parser *self, const char *problem)
{
	return engine_fail(self->status, ENGINE_CORRUPT,
					   "invalid JSON at byte %zu: %s", self->position,
					   problem);
}

static void
skip_spaces(Parser *self)
{
	while (self->position < self->length &&
		   (self->text[self->position] == ' ' ||
			self->text[self->position] == '\t' ||
			self->text[self->position] == '\n' ||
			self->text[self->position] == '\r'))
		self->position++;
}

/* The character ahead, or -1 at the end */
static int
peek(const Parser *self)
{
	return self->position < self->length ?
		(uint8_t) self->text[self->position] : -1;
}

static EngineCode
add_node(Parser *self, JsonType type, JsonNode **node)
{
	*node = NULL;
	if (self->n_nodes >= self->max_nodes)
		return engine_fail(self->status, ENGINE_LIMIT,
						   "JSON text has more than %zu values",
						   self->max_nodes);
	if (self->n_nodes % POLL_EVERY == 0 && engine_interrupted(self->host))
		return engine_cancelled(self->status);
	if (self->nodes != NULL)
	{
		*node = &self->nodes[self->n_nodes];
		(*node)->type = type;
		(*node)->size = 1;
		(*node)->offset = self->position;
	}
	self->n_nodes++;
	return ENGINE_OK;
}

/* Four hexadecimal digits, or -1 */
static int
hex4(Parser *self)
{
	int			value = 0;

	if (self->length - self->position < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		char		c = self->text[self->position + (size_t) i];

		value <<= 4;
		if (c >= '0' && c <= '9')
			value |= c - '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			value |= (c | 0x20) - 'a' + 10;
		else
			return -1;
	}
	self->position += 4;
	return value;
}

/* After "\u": one code unit, or a pair of surrogates */
static EngineCode
read_code(Parser *self, uint32_t *code)
{
	int			unit = hex4(self);
	int			low;

	if (unit < 0)
		return json_error(self, "\\u needs four hexadecimal digits");
	*code = (uint32_t) unit;
	if (unit < 0xD800 || unit > 0xDFFF)
		return ENGINE_OK;
	if (unit >= 0xDC00 || self->length - self->position < 2 ||
		memcmp(self->text + self->position, "\\u", 2) != 0)
		return json_error(self, "lone surrogate");
	self->position += 2;
	low = hex4(self);
	if (low < 0xDC00 || low > 0xDFFF)
		return json_error(self, "lone surrogate");
	*code = 0x10000 + ((uint32_t) (unit - 0xD800) << 10) +
		(uint32_t) (low - 0xDC00);
	return ENGINE_OK;
}

static void
put_string(Parser *self, const char *bytes, size_t n)
{
	if (self->strings != NULL)
		memcpy(self->strings + self->n_strings, bytes, n);
	self->n_strings += n;
}

/* After a backslash */
static EngineCode
read_escape(Parser *self)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	int			c = peek(self);
	const char *found;

	if (c == 'u')
	{
		char		buf[UTF8_LONGEST];
		uint32_t	code = 0;

		self->position++;
		ENGINE_TRY(read_code(self, &code));
		put_string(self, buf, (size_t) utf8_encode(code, buf));
		return ENGINE_OK;
	}
	found = c > 0 ? strchr(from, c) : NULL;
	if (found == NULL)
		return json_error(self, "unknown escape");
	self->position++;
	put_string(self, &to[found - from], 1);
	return ENGINE_OK;
}

static EngineCode
read_string(Parser *self)
{
	JsonNode   *node;
	size_t		start = self->n_strings;

	ENGINE_TRY(add_node(self, JSON_STRING, &node));
	for (self->position++; peek(self) != '"';)
	{
		uint32_t	code;
		int			c = peek(self);
		int			n;

		if (c < 0)
			return json_error(self, "string does not end");
		if (c < 0x20)
			return json_error(self, "control character in a string");
		if (c == '\\')
		{
			self->position++;
			ENGINE_TRY(read_escape(self));
			continue;
		}
		n = utf8_decode(self->text + self->position,
						self->length - self->position, &code);
		if (n <= 0)
			return json_error(self, "not UTF-8");
		put_string(self, self->text + self->position, (size_t) n);
		self->position += (size_t) n;
	}
	self->position++;
	if (node != NULL)
	{
		node->text = self->strings + start;
		node->length = self->n_strings - start;
	}
	put_string(self, "", 1);	/* a NUL, for convenience */
	return ENGINE_OK;
}

static size_t
skip_digits(Parser *self)
{
	size_t		start = self->position;

	while (peek(self) >= '0' && peek(self) <= '9')
		self->position++;
	return self->position - start;
}

static EngineCode
read_number(Parser *self)
{
	JsonNode   *node;
	size_t		start = self->position;
	size_t		digits;
	bool		zero;

	ENGINE_TRY(add_node(self, JSON_NUMBER, &node));
	if (peek(self) == '-')
		self->position++;
	zero = peek(self) == '0';
	digits = skip_digits(self);
	if (digits == 0 || (zero && digits > 1))
		return json_error(self, "malformed number");
	if (peek(self) == '.')
	{
		self->position++;
		if (skip_digits(self) == 0)
			return json_error(self, "malformed number");
	}
	if (peek(self) == 'e' || peek(self) == 'E')
	{
		self->position++;
		if (peek(self) == '+' || peek(self) == '-')
			self->position++;
		if (skip_digits(self) == 0)
			return json_error(self, "malformed number");
	}
	if (!decimal_fits(self->text + start, self->position - start))
		return json_error(self, "number is too large");
	if (node != NULL)
	{
		node->text = self->text + start;
		node->length = self->position - start;
	}
	return ENGINE_OK;
}

static EngineCode
read_word(Parser *self)
{
	static const struct
	{
		const char *word;
		size_t		length;
		JsonType	type;
	}			words[] =
	{
		{"null", 4, JSON_NULL}, {"false", 5, JSON_FALSE},
		{"true", 4, JSON_TRUE}
	};
	JsonNode   *node;

	for (int i = 0; i < 3; i++)
	{
		if (self->length - self->position >= words[i].length &&
			memcmp(self->text + self->position, words[i].word,
				   words[i].length) == 0)
		{
			ENGINE_TRY(add_node(self, words[i].type, &node));
			self->position += words[i].length;
			return ENGINE_OK;
		}
	}
	return json_error(self, "value expected");
}

static EngineCode
open_container(Parser *self, bool object)
{
	JsonNode   *node;

	if (self->depth >= self->max_depth)
		return engine_fail(self->status, ENGINE_LIMIT,
						   "JSON text is nested deeper than %d levels",
						   self->max_depth);
	ENGINE_TRY(add_node(self, object ? JSON_OBJECT : JSON_ARRAY, &node));
	self->open[self->depth].node = self->n_nodes - 1;
	self->open[self->depth].count = 0;
	self->open[self->depth].object = object;
	self->depth++;
	self->position++;
	return ENGINE_OK;
}

static void
close_container(Parser *self)
{
	const Open *open = &self->open[--self->depth];

	self->position++;
	if (open->object && open->count > self->largest)
		self->largest = open->count;
	if (self->nodes != NULL)
	{
		self->nodes[open->node].count = open->count;
		self->nodes[open->node].size = self->n_nodes - open->node;
	}
}

/* A value, or the beginning of one; *expect is what comes next. */
static EngineCode
read_value(Parser *self, Expect *expect)
{
	int			c = peek(self);

	*expect = EXPECT_COMMA;
	if (c == '{' || c == '[')
	{
		ENGINE_TRY(open_container(self, c == '{'));
		skip_spaces(self);
		if (peek(self) == (c == '{' ? '}' : ']'))
			close_container(self);
		else
			*expect = c == '{' ? EXPECT_KEY : EXPECT_VALUE;
		return ENGINE_OK;
	}
	if (c == '"')
		return read_string(self);
	if (c == '-' || (c >= '0' && c <= '9'))
		return read_number(self);
	return read_word(self);
}

static EngineCode
read_key(Parser *self)
{
	if (peek(self) != '"')
		return json_error(self, "key expected");
	ENGINE_TRY(read_string(self));
	skip_spaces(self);
	if (peek(self) != ':')
		return json_error(self, "colon expected");
	self->position++;
	return ENGINE_OK;
}

/* Behind a value within a container: a comma or its end */
static EngineCode
read_comma(Parser *self, Expect *expect)
{
	Open	   *open = &self->open[self->depth - 1];
	int			c = peek(self);

	if (++open->count == UINT32_MAX)
		return json_error(self, "too many values");
	if (c == ',')
	{
		self->position++;
		*expect = open->object ? EXPECT_KEY : EXPECT_VALUE;
		return ENGINE_OK;
	}
	if (c != (open->object ? '}' : ']'))
		return json_error(self, "comma or end expected");
	close_container(self);
	return ENGINE_OK;
}

static EngineCode
parse_pass(Parser *self)
{
	Expect		expect = EXPECT_VALUE;

	self->position = 0;
	self->n_nodes = 0;
	self->n_strings = 0;
	for (;;)
	{
		skip_spaces(self);
		if (expect == EXPECT_COMMA && self->depth == 0)
			break;
		switch (expect)
		{
			case EXPECT_VALUE:
				ENGINE_TRY(read_value(self, &expect));
				break;
			case EXPECT_KEY:
				ENGINE_TRY(read_key(self));
				expect = EXPECT_VALUE;
				break;
			case EXPECT_COMMA:
				ENGINE_TRY(read_comma(self, &expect));
				break;
		}
	}
	if (self->position < self->length)
		return json_error(self, "text after the value");
	return ENGINE_OK;
}

static uint64_t
hash_text(const JsonNode *node)
{
	uint64_t	hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < node->length; i++)
	{
		hash ^= (uint8_t) node->text[i];
		hash *= UINT64_C(0x100000001b3);
	}
	return hash ^ hash >> 32;
}

static bool
same_text(const JsonNode *a, const JsonNode *b)
{
	return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

/*
 * Look for a key that an object has twice.  Slots hold the number of a key's
 * node plus one, and zero before and after.
 */
static EngineCode
check_object(Parser *self, const JsonNode *object, size_t *slots, size_t mask)
{
	const JsonNode *key = json_first(object);
	EngineCode	code = ENGINE_OK;
	char		buf[64];

	for (uint32_t i = 0; i < object->count && code == ENGINE_OK; i++)
	{
		size_t		slot = hash_text(key) & mask;

		if (i % 256 == 255 && engine_interrupted(self->host))
			return engine_cancelled(self->status);
		while (slots[slot] != 0 &&
			   !same_text(&self->nodes[slots[slot] - 1], key))
			slot = (slot + 1) & mask;
		if (slots[slot] != 0)
			code = engine_fail(self->status, ENGINE_CORRUPT,
							   "invalid JSON at byte %zu: key \"%s\" "
							   "occurs twice", key->offset,
							   engine_printable(key->text, key->length, buf,
												sizeof(buf)));
		slots[slot] = (size_t) (key - self->nodes) + 1;
		key = json_after(key + 1);
	}
	memset(slots, 0, (mask + 1) * sizeof(*slots));
	return code;
}

/* The table fits the object, so that many small ones cost little. */
static EngineCode
check_keys(Parser *self, EngineArena *arena)
{
	size_t	   *slots;
	size_t		most = 4;

	while (most < self->largest * 2)
		most *= 2;
	slots = engine_alloc(arena, most, sizeof(*slots), self->status);
	if (slots == NULL)
		return self->status->code;
	for (size_t i = 0; i < self->n_nodes; i++)
	{
		const JsonNode *node = &self->nodes[i];
		size_t		size = 4;

		if (i % POLL_EVERY == 0 && engine_interrupted(self->host))
			return engine_cancelled(self->status);
		if (node->type != JSON_OBJECT || node->count < 2)
			continue;
		while (size < (size_t) node->count * 2)
			size *= 2;
		ENGINE_TRY(check_object(self, node, slots, size - 1));
	}
	return ENGINE_OK;
}

EngineCode
json_parse(const char *text, size_t length, int max_depth, size_t max_nodes,
		   EngineArena *arena, const EngineHost *host, const JsonNode **root,
		   EngineStatus *status)
{
	Parser		self = {
		.text = text, .length = length, .host = host, .status = status,
		.max_depth = max_depth < JSON_DEEPEST ? max_depth : JSON_DEEPEST,
		.max_nodes = max_nodes
	};
	JsonNode   *nodes;
	char	   *strings;

	*root = NULL;
	if (length > JSON_LONGEST)
		return engine_fail(status, ENGINE_LIMIT,
						   "JSON text of %zu bytes is too long", length);
	ENGINE_TRY(parse_pass(&self));
	nodes = engine_alloc(arena, self.n_nodes, sizeof(JsonNode), status);
	strings = engine_alloc(arena, self.n_strings, 1, status);
	if (nodes == NULL || strings == NULL)
		return status->code;
	self.nodes = nodes;
	self.strings = strings;
	ENGINE_TRY(parse_pass(&self));
	ENGINE_TRY(check_keys(&self, arena));
	*root = nodes;
	return ENGINE_OK;
}

const JsonNode *
json_member(const JsonNode *node, const char *key)
{
	const JsonNode *at;

	if (node == NULL || node->type != JSON_OBJECT)
		return NULL;
	at = json_first(node);
	for (uint32_t i = 0; i < node->count; i++)
	{
		if (json_is_text(at, key))
			return at + 1;
		at = json_after(at + 1);
	}
	return NULL;
}

const JsonNode *
json_element(const JsonNode *node, size_t index)
{
	const JsonNode *at;

	if (node == NULL || node->type != JSON_ARRAY || index >= node->count)
		return NULL;
	at = json_first(node);
	while (index-- > 0)
		at = json_after(at);
	return at;
}

bool
json_integer(const JsonNode *node, int64_t *value)
{
	bool		negative;
	int64_t		sum = 0;

	if (node == NULL || node->type != JSON_NUMBER)
		return false;
	negative = node->text[0] == '-';
	for (size_t i = negative; i < node->length; i++)
	{
		int			digit = node->text[i] - '0';

		/* summed up with its sign, so that the smallest integer fits too */
		if (digit < 0 || digit > 9 ||
			__builtin_mul_overflow(sum, (int64_t) 10, &sum) ||
			__builtin_add_overflow(sum, (int64_t) (negative ? -digit : digit),
								   &sum))
			return false;
	}
	*value = sum;
	return true;
}

bool
json_double(const JsonNode *node, double *value)
{
	return node != NULL && node->type == JSON_NUMBER &&
		decimal_to_double(node->text, node->length, value);
}

bool
json_bool(const JsonNode *node, bool *value)
{
	if (node == NULL || (node->type != JSON_TRUE && node->type != JSON_FALSE))
		return false;
	*value = node->type == JSON_TRUE;
	return true;
}

bool
json_is_text(const JsonNode *node, const char *text)
{
	return node != NULL && node->type == JSON_STRING &&
		node->length == strlen(text) &&
		memcmp(node->text, text, node->length) == 0;
}
