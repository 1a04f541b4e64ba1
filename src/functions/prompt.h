/*-------------------------------------------------------------------------
 *
 * prompt.h
 *	  From the text of a call to the tokens that a model reads.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_PROMPT_H
#define LLM_PROMPT_H

#include "engine/decode/chat_template.h"
#include "functions/model_use.h"
#include "functions/options.h"

/*
 * The tokens of a plain prompt (UTF-8): BOS as the model and add_special want
 * it, never EOS.  An empty prompt becomes BOS alone, or is an error.
 */
extern TokenList prompt_encode(ModelUse *use, const char *utf8,
							   size_t length, const Options *options);

/*
 * Make a prompt fit the context: nothing, the cut that the option truncate
 * asks for, or an error that says how many tokens it has and how many fit.
 * Experiments must fit the model and the prompt.
 */
extern void prompt_fit(const ModelUse *use, const Options *options,
					   TokenList *list);

/* The other limit that prompt_fit() checks: llm.max_tokens_per_call. */
extern void prompt_check_limit(const TokenList *list);

/* How many tokens a prompt may have at most under the option truncate. */
extern int64 prompt_room(const ModelUse *use, const Options *options);

/* Messages of a chat, in UTF-8. */
typedef struct Messages
{
	int			n;
	ChatMessage *items;
} Messages;

/* [{role, content}, ...]; every fault is an error that names the message. */
extern Messages messages_read(const Jsonb *jsonb);

/* One question, after the option system. */
extern Messages messages_ask(const char *utf8, size_t length,
							 const Options *options);

/* Messages as text through the model's chat template. */
typedef struct RenderedChat
{
	char	   *text;
	size_t		length;
	uint8_t    *content;
	bool		has_bos;
} RenderedChat;

extern RenderedChat chat_text(ModelUse *use, const Messages *messages,
							  const Options *options);

/*
 * The tokens of a chat; with the option truncate the oldest messages that are
 * not the system's are left out until it fits, and if the last turn alone is
 * too long, its message is cut.
 */
extern TokenList chat_encode(ModelUse *use, const Messages *messages,
							 const Options *options);

#endif							/* LLM_PROMPT_H */
