/*-------------------------------------------------------------------------
 *
 * chat_template_fuzz.c
 *	  Any bytes as a chat template, and as messages for it.
 *
 * The input is a byte of flags, a text of messages up to the first 0xFF, and
 * the template.  A byte below 3 in the messages begins the next one, of the
 * role with that number.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decode/chat_template.h"

#define MOST_MESSAGES 8

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

static int
read_messages(const uint8_t *data, size_t size, ChatMessage *messages)
{
	int			n = 0;

	for (size_t i = 0; i < size; i++)
	{
		if (data[i] < 3 && n < MOST_MESSAGES)
		{
			messages[n].role = (ChatRole) data[i];
			messages[n].content = (const char *) data + i + 1;
			messages[n].length = 0;
			n++;
		}
		else if (n > 0)
			messages[n - 1].length++;
	}
	return n;
}

/* Every marked byte is content, and contents are not longer than given. */
static void
check_text(const ChatMessage *messages, int n, const char *text,
		   size_t length, const uint8_t *content)
{
	size_t		given = 0;
	size_t		marked = 0;

	for (int i = 0; i < n; i++)
		given += messages[i].length;
	for (size_t i = 0; i < length; i++)
	{
		demand(content[i] <= 1, "mask is neither 0 nor 1");
		marked += content[i];
	}
	demand(marked <= given, "more content than the messages have");
	demand(text[length] == '\0', "text has no end");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ChatMessage messages[MOST_MESSAGES];
	const uint8_t *border;
	const char *template_text;
	size_t		template_length;
	const ChatFamily *family;
	EngineArena arena;
	EngineStatus status;
	int			n;

	if (size < 2 || (border = memchr(data + 1, 0xFF, size - 1)) == NULL)
		return 0;
	n = read_messages(data + 1, (size_t) (border - data - 1), messages);
	template_text = (const char *) border + 1;
	template_length = size - (size_t) (border + 1 - data);
	family = chat_family_detect(template_text, template_length);
	if (family == NULL)
		return 0;

	engine_arena_init(&arena, &engine_malloc, (size_t) 16 << 20);
	for (int prompt = 0; prompt < 2; prompt++)
	{
		char	   *text;
		size_t		length;
		uint8_t    *content;
		bool		has_bos;

		if (chat_render(family, template_text, template_length, messages, n,
						prompt, data[0] & 1 ? "<s>" : "",
						data[0] & 2 ? "</s>" : "", &arena, &text, &length,
						&content, &has_bos, &status) == ENGINE_OK &&
			length > 0)
			check_text(messages, n, text, length, content);
	}
	engine_arena_free(&arena);
	return 0;
}
