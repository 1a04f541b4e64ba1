/*-------------------------------------------------------------------------
 *
 * chat_template.h
 *	  Messages to one prompt text, by the family that a model's template
 *	  belongs to (formats.md section 7).
 *
 * Templates of a file are never run.  The family is found by what its text
 * contains, and the shape is ours.  The result carries a mask of the bytes
 * that are message content, so that a user's text never becomes a control
 * token (tokenizer_encode's content argument).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_CHAT_TEMPLATE_H
#define ENGINE_CHAT_TEMPLATE_H

#include "base/arena.h"

typedef enum ChatRole
{
	CHAT_SYSTEM, CHAT_USER, CHAT_ASSISTANT
} ChatRole;

typedef struct ChatMessage
{
	ChatRole	role;
	const char *content;		/* UTF-8 */
	size_t		length;
} ChatMessage;

typedef struct ChatFamily ChatFamily;	/* one row of a table */

extern const char *chat_family_name(const ChatFamily *family);

/* The family of a template text, or of a family's name; NULL when unknown. */
extern const ChatFamily *chat_family_detect(const char *template_text,
											size_t length);
extern const ChatFamily *chat_family_by_name(const char *name);

/* Comma-separated names for error texts. */
extern const char *chat_family_names(void);

/*
 * The default system text that a template inserts when the messages have
 * none (formats.md section 7); *text points into template_text, *length 0 and
 * *text NULL when it inserts none.
 */
extern void chat_default_system(const ChatFamily *family,
								const char *template_text, size_t length,
								const char **text, size_t *text_length,
								EngineArena *arena, EngineStatus *status);

/*
 * Render.  *text (NUL-terminated, *length bytes) and *content (one byte per
 * byte of text, 1 = content) live in arena.  bos, eos: texts of the model's
 * tokens, "" when none.  Roles in an order that the family's template refuses
 * are ENGINE_INVALID.  *has_bos: the text begins with BOS itself.
 */
extern EngineCode chat_render(const ChatFamily *family,
							  const char *template_text,
							  size_t template_length,
							  const ChatMessage *messages, int n_messages,
							  bool add_generation_prompt,
							  const char *bos, const char *eos,
							  EngineArena *arena, char **text,
							  size_t *length, uint8_t **content,
							  bool *has_bos, EngineStatus *status);

#endif							/* ENGINE_CHAT_TEMPLATE_H */
