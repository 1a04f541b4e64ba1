/*-------------------------------------------------------------------------
 *
 * call_cache.c
 *	  The last arguments and result of a call site.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "functions/call_cache.h"
#include "settings.h"

#define LONGEST_KEY (64 * 1024)
#define LONGEST_SHARED_RESULT (64 * 1024)

typedef struct CallEntry
{
	char	   *key;			/* NULL: empty */
	size_t		length;
	Datum		result;
	bool		by_value;
} CallEntry;

/* The last result of any site, and for which function and statement it is. */
static CallEntry shared_entry;
static Oid	shared_function;
static TimestampTz shared_statement;

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

static bool
entry_get(const CallEntry *entry, const CallKey *key, Datum *result)
{
	if (entry == NULL || entry->key == NULL || key->bytes == NULL ||
		entry->length != key->length ||
		memcmp(entry->key, key->bytes, key->length) != 0)
		return false;
	*result = datumCopy(entry->result, entry->by_value,
						entry->by_value ? (int) sizeof(Datum) : -1);
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

/* In the current memory context, always the same one for an entry. */
static void
entry_put(CallEntry *entry, const CallKey *key, Datum result, bool by_value)
{
	char	   *bytes;

	clear_entry(entry);
	bytes = palloc(key->length);
	memcpy(bytes, key->bytes, key->length);
	entry->result = datumCopy(result, by_value,
							  by_value ? (int) sizeof(Datum) : -1);
	entry->by_value = by_value;
	entry->length = key->length;
	entry->key = bytes;
}

static void
site_put(FmgrInfo *site, const CallKey *key, Datum result, bool by_value)
{
	MemoryContext old = MemoryContextSwitchTo(site->fn_mcxt);

	if (site->fn_extra == NULL)
		site->fn_extra = palloc0_object(CallEntry);
	entry_put(site->fn_extra, key, result, by_value);
	MemoryContextSwitchTo(old);
}

static bool
shared_get(FmgrInfo *site, const CallKey *key, Datum *result)
{
	if (shared_function != site->fn_oid ||
		shared_statement != GetCurrentStatementStartTimestamp() ||
		!entry_get(&shared_entry, key, result))
		return false;
	site_put(site, key, *result, shared_entry.by_value);
	return true;
}

static void
shared_put(const FmgrInfo *site, const CallKey *key, Datum result,
		   bool by_value)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	if (by_value || VARSIZE_ANY(DatumGetPointer(result)) <=
		LONGEST_SHARED_RESULT)
		entry_put(&shared_entry, key, result, by_value);
	else
		clear_entry(&shared_entry);
	shared_function = site->fn_oid;
	shared_statement = GetCurrentStatementStartTimestamp();
	MemoryContextSwitchTo(old);
}

bool
call_cache_get(FunctionCallInfo fcinfo, const CallKey *key, Datum *result)
{
	FmgrInfo   *site = fcinfo->flinfo;

	return site != NULL && (entry_get(site->fn_extra, key, result) ||
							shared_get(site, key, result));
}

void
call_cache_put(FunctionCallInfo fcinfo, const CallKey *key, Datum result,
			   bool by_value)
{
	if (fcinfo->flinfo == NULL || key->bytes == NULL)
		return;
	site_put(fcinfo->flinfo, key, result, by_value);
	shared_put(fcinfo->flinfo, key, result, by_value);
}
