/*-------------------------------------------------------------------------
 *
 * chat_prompt.c
 *	  Messages of a chat: from jsonb, through the model's chat template, to
 *	  tokens.
 *
 * Only the template's own text may become control tokens; what stands in
 * messages stays text, whatever it looks like.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "engine/base/utf8.h"
#include "functions/prompt.h"

/*
 * Reading messages
 */

static bool
key_is(const JsonbValue *key, const char *name)
{
	return key->val.string.len == (int) strlen(name) &&
		memcmp(key->val.string.val, name, key->val.string.len) == 0;
}

static ChatRole
read_role(const JsonbValue *value, int number)
{
	if (value->type == jbvString)
	{
		if (key_is(value, "system"))
			return CHAT_SYSTEM;
		if (key_is(value, "user"))
			return CHAT_USER;
		if (key_is(value, "assistant"))
			return CHAT_ASSISTANT;
	}
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("message %d has an unknown role", number),
			errdetail("Allowed are: system, user, assistant."));
}

static void
bad_content(int number)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("content of message %d is not text", number),
			errdetail("A content is a string, or an array of parts {\"type\": \"text\", \"text\": ...}."));
}

/* The text of one part of a content. */
static void
read_part(JsonbContainer *part, int number, StringInfo buf)
{
	JsonbValue	type;
	JsonbValue	value;

	if (!JsonContainerIsObject(part) ||
		getKeyJsonValueFromContainer(part, "type", 4, &type) == NULL ||
		type.type != jbvString || !key_is(&type, "text") ||
		getKeyJsonValueFromContainer(part, "text", 4, &value) == NULL ||
		value.type != jbvString)
		bad_content(number);
	appendBinaryStringInfo(buf, value.val.string.val, value.val.string.len);
}

static void
read_content(const JsonbValue *value, int number, StringInfo buf)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	item;

	if (value->type == jbvString)
	{
		appendBinaryStringInfo(buf, value->val.string.val,
							   value->val.string.len);
		return;
	}
	if (value->type != jbvBinary ||
		!JsonContainerIsArray(value->val.binary.data))
		bad_content(number);
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (item.type != jbvBinary)
			bad_content(number);
		read_part(item.val.binary.data, number, buf);
	}
}

static void
unknown_key(const JsonbValue *key, int number)
{
	int			clip = pg_mbcliplen(key->val.string.val, key->val.string.len,
									64);

	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("message %d has an unknown key \"%.*s\"", number, clip,
				   key->val.string.val),
			errdetail("Allowed are: role, content."));
}

static ChatMessage
read_message(JsonbContainer *object, int number)
{
	ChatMessage message;
	StringInfoData buf;
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;
	bool		has_role = false;
	bool		has_content = false;

	initStringInfo(&buf);
	memset(&message, 0, sizeof(message));
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		if (key_is(&key, "role"))
		{
			message.role = read_role(&value, number);
			has_role = true;
		}
		else if (key_is(&key, "content"))
		{
			read_content(&value, number, &buf);
			has_content = true;
		}
		else
			unknown_key(&key, number);
	}
	if (!has_role || !has_content)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("message %d has no %s", number,
					   has_role ? "content" : "role"));
	message.content = pg_server_to_any(buf.data, buf.len, PG_UTF8);
	message.length = strlen(message.content);
	return message;
}

static void
not_messages(void)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("messages must be a JSON array of objects, and not empty"),
			errhint("For example: '[{\"role\": \"user\", \"content\": \"Hello\"}]'."));
}

Messages
messages_read(const Jsonb *jsonb)
{
	Messages	messages = {0};
	JsonbContainer *root = unconstify(JsonbContainer *, &jsonb->root);
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	item;

	if (!JsonContainerIsArray(root) || JsonContainerIsScalar(root) ||
		JsonContainerSize(root) == 0)
		not_messages();
	messages.items = palloc0_array(ChatMessage, JsonContainerSize(root));
	it = JsonbIteratorInit(root);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (item.type != jbvBinary ||
			!JsonContainerIsObject(item.val.binary.data))
			not_messages();
		messages.items[messages.n] = read_message(item.val.binary.data,
												  messages.n);
		messages.n++;
	}
	return messages;
}

static void
add_message(Messages *messages, ChatRole role, const char *utf8,
			size_t length)
{
	ChatMessage *message = &messages->items[messages->n++];

	message->role = role;
	message->content = utf8;
	message->length = length;
}

Messages
messages_ask(const char *utf8, size_t length, const Options *options)
{
	Messages	messages = {0};

	messages.items = palloc0_array(ChatMessage, 2);
	if (options->system != NULL)
		add_message(&messages, CHAT_SYSTEM, options->system,
					strlen(options->system));
	add_message(&messages, CHAT_USER, utf8, length);
	return messages;
}

/*
 * Rendering
 */

/* The text of a control token, "" when the model has none. */
static char *
control_text(const ModelUse *use, int32 token)
{
	char	   *buf = palloc(tokenizer_longest_piece(&use->tokenizer) + 1);
	size_t		length = 0;

	if (token >= 0)
		length = tokenizer_piece_copy(&use->tokenizer, token, true, buf);
	buf[length] = '\0';
	return buf;
}

/* The model's template and its family. */
static const ChatFamily *
chat_family(const ModelUse *use, const Options *options, const char **text,
			size_t *length)
{
	const ChatFamily *family;
	char		excerpt[80];

	*text = options->chat_template;
	*length = *text == NULL ? 0 : strlen(*text);
	if (*text == NULL)
	{
		*text = image_at(use->image, use->image->chat_template);
		*length = (size_t) use->image->chat_template_length;
	}
	if (*text == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("model \"%s\" has no chat template",
					   use->model->name),
				errhint("Load it with the option \"chat_template\", one of: %s.",
						chat_family_names()));
	family = chat_family_by_name(*text);
	if (family != NULL)
	{
		*text = "";
		*length = 0;
		return family;
	}
	family = chat_family_detect(*text, *length);
	if (family == NULL)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("chat template of model \"%s\" belongs to no supported family",
					   use->model->name),
				errdetail("It begins with \"%s\". Supported are: %s.",
						  engine_printable(*text, *length, excerpt,
										   sizeof(excerpt)),
						  chat_family_names()),
				errhint("Load the model with the option \"chat_template\"."));
	return family;
}

RenderedChat
chat_text(ModelUse *use, const Messages *messages, const Options *options)
{
	RenderedChat chat;
	EngineStatus status;
	const char *text;
	size_t		length;
	const ChatFamily *family = chat_family(use, options, &text, &length);

	model_use_check(use,
					chat_render(family, text, length, messages->items,
								messages->n, options->add_generation_prompt,
								control_text(use, use->tokenizer.bos),
								control_text(use, use->tokenizer.eos),
								&use->arena, &chat.text, &chat.length,
								&chat.content, &chat.has_bos, &status),
					&status);
	return chat;
}

static TokenList
encode_messages(ModelUse *use, const Messages *messages,
				const Options *options)
{
	RenderedChat chat = chat_text(use, messages, options);
	TokenList	list = {0};
	EngineStatus status;
	int			flags = TOKENIZE_PARSE_SPECIAL;

	if (!chat.has_bos)
		flags |= TOKENIZE_ADD_SPECIAL | TOKENIZE_NO_EOS;
	model_use_check(use, tokenizer_encode(&use->tokenizer, chat.text,
										  chat.length, chat.content, flags,
										  &use->arena, engine_host(), &list,
										  &status), &status);
	return list;
}

/*
 * Messages with the oldest left out: the system's at the start stay, the rest
 * begins with message number rest.
 */
static Messages
messages_from(const Messages *messages, int n_system, int rest)
{
	Messages	kept;

	kept.n = n_system + messages->n - rest;
	kept.items = palloc_array(ChatMessage, kept.n);
	memcpy(kept.items, messages->items, n_system * sizeof(ChatMessage));
	memcpy(kept.items + n_system, messages->items + rest,
		   (messages->n - rest) * sizeof(ChatMessage));
	return kept;
}

/*
 * As many of the newest messages as fit into room, at least the last turn;
 * *list has their tokens.  What is left begins with a user's message, as most
 * templates want it.  The number of tokens falls with every message left out,
 * so the first turn that fits is found by halving.
 */
static Messages
newest_messages(ModelUse *use, const Messages *messages,
				const Options *options, int64 room, int n_system,
				TokenList *list)
{
	int		   *turns = palloc_array(int, messages->n);
	int			n_turns = 0;
	int			low = 0;
	int			high;
	Messages	best = messages_from(messages, n_system, n_system);

	for (int i = n_system + 1; i < messages->n; i++)
		if (messages->items[i].role == CHAT_USER)
			turns[n_turns++] = i;
	high = n_turns - 1;
	while (low <= high)
	{
		int			middle = (low + high) / 2;
		Messages	kept = messages_from(messages, n_system, turns[middle]);
		TokenList	tokens = encode_messages(use, &kept, options);

		if ((int64) tokens.n <= room || middle == n_turns - 1)
		{
			best = kept;
			*list = tokens;
		}
		if ((int64) tokens.n <= room)
			high = middle - 1;
		else
			low = middle + 1;
	}
	return best;
}

/* message without what is beyond length bytes, whole characters only. */
static ChatMessage
shortened(const ChatMessage *message, TruncateMode mode, size_t length)
{
	ChatMessage result = *message;
	const char *content = message->content;

	result.length = length;
	if (mode == TRUNCATE_START)
	{
		result.content += message->length - length;
		while (result.length > 0 && utf8_continues(result.content[0]))
		{
			result.content++;
			result.length--;
		}
	}
	else
	{
		while (result.length > 0 && result.length < message->length &&
			   utf8_continues(content[result.length]))
			result.length--;
	}
	return result;
}

/*
 * The tokens of messages whose number-th is cut until all fit, so that the
 * template's own text stays whole; without any of it when not even that fits.
 */
static TokenList
encode_shortened(ModelUse *use, Messages *messages, const Options *options,
				 int64 room, int number)
{
	ChatMessage whole = messages->items[number];
	size_t		low = 0;
	size_t		high = whole.length;
	TokenList	list;

	while (low < high)
	{
		size_t		middle = low + (high - low + 1) / 2;

		messages->items[number] = shortened(&whole, options->truncate,
											middle);
		list = encode_messages(use, messages, options);
		if ((int64) list.n <= room)
			low = middle;
		else
			high = middle - 1;
	}
	messages->items[number] = shortened(&whole, options->truncate, low);
	return encode_messages(use, messages, options);
}

TokenList
chat_encode(ModelUse *use, const Messages *messages, const Options *options)
{
	TokenList	list = encode_messages(use, messages, options);
	int64		room = prompt_room(use, options);
	int			n_system = 0;

	while (n_system < messages->n &&
		   messages->items[n_system].role == CHAT_SYSTEM)
		n_system++;
	if (options->truncate != TRUNCATE_ERROR && (int64) list.n > room)
	{
		Messages	newest = newest_messages(use, messages, options, room,
											 n_system, &list);

		if ((int64) list.n > room && n_system < newest.n)
			list = encode_shortened(use, &newest, options, room, n_system);
	}
	prompt_fit(use, options, &list);
	return list;
}
