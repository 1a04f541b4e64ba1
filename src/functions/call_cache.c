/*-------------------------------------------------------------------------
 *
 * call_cache.c
 *	  The last arguments and result of a call site.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "lib/stringinfo.h"
#include "utils/datum.h"

#include "functions/call_cache.h"
#include "settings.h"

#define LONGEST_KEY (64 * 1024)

typedef struct CallEntry
{
	char	   *key;			/* NULL: empty */
	size_t		length;
	Datum		result;
	bool		by_value;
} CallEntry;

/* What the result depends on beside the arguments. */
static void
add_model(StringInfo buf, const ModelRef *model)
{
	appendBinaryStringInfo(buf, (const char *) model->digest,
						   MODEL_DIGEST_BYTES);
	appendBinaryStringInfo(buf, (const char *) model->options,
						   VARSIZE(model->options));
	appendBinaryStringInfo(buf, (const char *) &setting_max_context,
						   sizeof(setting_max_context));
	appendBinaryStringInfo(buf, (const char *) &setting_max_tokens_per_call,
						   sizeof(setting_max_tokens_per_call));
}

CallKey
call_key(FunctionCallInfo fcinfo, const char *kinds, const ModelRef *model)
{
	CallKey		key = {NULL, 0};
	StringInfoData buf;

	initStringInfo(&buf);
	add_model(&buf, model);
	for (int i = 0; kinds[i] != '\0'; i++)
	{
		appendStringInfoCharMacro(&buf, PG_ARGISNULL(i) ? '-' : kinds[i]);
		if (PG_ARGISNULL(i))
			continue;
		if (kinds[i] == 'i')
		{
			int32		value = PG_GETARG_INT32(i);

			appendBinaryStringInfo(&buf, (const char *) &value,
								   sizeof(value));
		}
		else
		{
			struct varlena *value = PG_GETARG_VARLENA_PP(i);
			uint32		size = VARSIZE_ANY_EXHDR(value);

			if ((int64) size > LONGEST_KEY - buf.len)
				return key;
			appendBinaryStringInfo(&buf, (const char *) &size, sizeof(size));
			appendBinaryStringInfo(&buf, VARDATA_ANY(value), (int) size);
		}
	}
	key.bytes = buf.data;
	key.length = (size_t) buf.len;
	return key;
}

bool
call_cache_get(FunctionCallInfo fcinfo, const CallKey *key, Datum *result)
{
	CallEntry  *entry = fcinfo->flinfo != NULL ? fcinfo->flinfo->fn_extra :
		NULL;

	if (entry == NULL || entry->key == NULL || key->bytes == NULL ||
		entry->length != key->length ||
		memcmp(entry->key, key->bytes, key->length) != 0)
		return false;
	*result = datumCopy(entry->result, entry->by_value,
						entry->by_value ? (int) sizeof(int32) : -1);
	return true;
}

static void
clear_entry(CallEntry *entry)
{
	if (entry->key == NULL)
		return;
	pfree(entry->key);
	entry->key = NULL;
	if (!entry->by_value)
		pfree(DatumGetPointer(entry->result));
}

void
call_cache_put(FunctionCallInfo fcinfo, const CallKey *key, Datum result,
			   bool by_value)
{
	MemoryContext old;
	CallEntry  *entry;
	char	   *bytes;

	if (fcinfo->flinfo == NULL || key->bytes == NULL)
		return;
	old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	if (fcinfo->flinfo->fn_extra == NULL)
		fcinfo->flinfo->fn_extra = palloc0_object(CallEntry);
	entry = fcinfo->flinfo->fn_extra;
	clear_entry(entry);
	bytes = palloc(key->length);
	memcpy(bytes, key->bytes, key->length);
	entry->result = datumCopy(result, by_value,
							  by_value ? (int) sizeof(int32) : -1);
	entry->by_value = by_value;
	entry->length = key->length;
	entry->key = bytes;
	MemoryContextSwitchTo(old);
}
