/*-------------------------------------------------------------------------
 *
 * model_use.c
 *	  A model while one call uses it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "engine/base/utf8.h"
#include "functions/model_use.h"
#include "settings.h"

ModelUse *
model_use_tokenizer(const ModelRef *model)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "llm call",
												  ALLOCSET_DEFAULT_SIZES);
	ModelUse   *use = MemoryContextAllocZero(context, sizeof(ModelUse));

	use->context = context;
	use->model = model;
	engine_arena_init(&use->arena, engine_allocator(context), 0);
	use->pin = weights_pin(model);
	use->image = use->pin.image;
	use->hyper = &use->image->hyper;
	if (use->image->tokenizer == 0)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("model \"%s\" has no tokenizer", model->name));
	tokenizer_open(image_at(use->image, use->image->tokenizer),
				   &use->tokenizer);
	use->context_length = use->hyper->context_length;
	if (setting_max_context > 0 && setting_max_context < use->context_length)
		use->context_length = setting_max_context;
	return use;
}

ModelUse *
model_use_begin(const ModelRef *model)
{
	UsageCall  *usage = usage_begin(model);
	ModelUse   *use = model_use_tokenizer(model);

	use->usage = usage;
	return use;
}

void
model_use_end(ModelUse *use)
{
	if (use->usage != NULL)
		usage_end(use->usage);
	weights_unpin(&use->pin);
	MemoryContextDelete(use->context);
}

const char *
text_to_utf8(const text *value, size_t *length)
{
	const char *data = VARDATA_ANY(value);
	int			size = VARSIZE_ANY_EXHDR(value);
	char	   *utf8 = pg_server_to_any(data, size, PG_UTF8);

	*length = utf8 == data ? (size_t) size : strlen(utf8);
	return utf8;
}

/*
 * U+FFFD stands for bytes that are no text.  No other encoding of databases
 * has it; there a question mark has to do, as an error would make a text
 * useless for the sake of a character that says nothing.
 */
static char *
without_replacement(const char *utf8, size_t length)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (size_t i = 0; i < length; i++)
	{
		if (length - i >= 3 &&
			memcmp(utf8 + i, UTF8_REPLACEMENT_TEXT, 3) == 0)
		{
			appendStringInfoChar(&buf, '?');
			i += 2;
		}
		else
			appendStringInfoCharMacro(&buf, utf8[i]);
	}
	return buf.data;
}

text *
utf8_to_text(const char *utf8, size_t length)
{
	int			encoding = GetDatabaseEncoding();
	char	   *plain;

	if (length > MaxAllocSize - VARHDRSZ)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("text of %zu bytes is too long", length));
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return cstring_to_text_with_len(utf8, (int) length);
	plain = without_replacement(utf8, length);
	return cstring_to_text(pg_any_to_server(plain, strlen(plain), PG_UTF8));
}

text *
token_text(const ModelUse *use, int32 token)
{
	size_t		longest = tokenizer_longest_piece(&use->tokenizer);
	char	   *buf = palloc(6 * longest + 1);
	size_t		length = token_display(&use->tokenizer, token, buf);
	text	   *result = utf8_to_text(buf, length);

	pfree(buf);
	return result;
}
