/*-------------------------------------------------------------------------
 *
 * host.c
 *	  What PostgreSQL gives to the engine: memory, interrupts, errors.
 *
 * An error that is thrown while the engine is on the stack (a cancelled
 * query, a large object that cannot be read) is kept here until the engine
 * has returned; only one can be kept, because the engine stops at the first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "host.h"

static ErrorData *kept_error = NULL;
static MemoryContext kept_error_context = NULL;

EngineCode
engine_keep_error(MemoryContext context, EngineStatus *status)
{
	if (kept_error_context == NULL)
		kept_error_context = AllocSetContextCreate(TopMemoryContext,
												   "llm kept error",
												   ALLOCSET_SMALL_SIZES);
	MemoryContextReset(kept_error_context);
	MemoryContextSwitchTo(kept_error_context);
	kept_error = CopyErrorData();
	FlushErrorState();
	MemoryContextSwitchTo(context);
	return engine_cancelled(status);
}

/* Runs often: the common case is one test of a flag. */
static bool
interrupted(void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	EngineStatus status;
	volatile bool stop = false;

	if (!INTERRUPTS_PENDING_CONDITION())
		return false;

	PG_TRY();
	{
		CHECK_FOR_INTERRUPTS();
	}
	PG_CATCH();
	{
		engine_keep_error(context, &status);
		stop = true;
	}
	PG_END_TRY();
	return stop;
}

const EngineHost *
engine_host(void)
{
	static const EngineHost host = {interrupted, NULL, NULL};

	return &host;
}

static void *
context_alloc(void *arg, size_t size)
{
	if (size > MaxAllocHugeSize)
		return NULL;
	return MemoryContextAllocExtended((MemoryContext) arg, size,
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
}

static void
context_free(void *arg, void *pointer)
{
	pfree(pointer);
}

const EngineAllocator *
engine_allocator(MemoryContext context)
{
	EngineAllocator *allocator;

	allocator = MemoryContextAlloc(context, sizeof(EngineAllocator));
	allocator->alloc = context_alloc;
	allocator->free = context_free;
	allocator->arg = context;
	return allocator;
}

int
engine_sqlstate(EngineCode code)
{
	switch (code)
	{
		case ENGINE_OK:
			break;
		case ENGINE_CORRUPT:
			return ERRCODE_INVALID_BINARY_REPRESENTATION;
		case ENGINE_UNSUPPORTED:
			return ERRCODE_FEATURE_NOT_SUPPORTED;
		case ENGINE_INVALID:
			return ERRCODE_INVALID_PARAMETER_VALUE;
		case ENGINE_LIMIT:
			return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		case ENGINE_NO_MEMORY:
			return ERRCODE_OUT_OF_MEMORY;
		case ENGINE_IO:
			return ERRCODE_IO_ERROR;
		case ENGINE_CANCELLED:
			return ERRCODE_QUERY_CANCELED;
		case ENGINE_NOT_FINITE:
			return ERRCODE_FLOATING_POINT_EXCEPTION;
	}
	return ERRCODE_INTERNAL_ERROR;
}

void
engine_raise(const EngineStatus *status, const char *model)
{
	const char *message;
	const char *detail;
	const char *hint;

	if (status->code == ENGINE_CANCELLED && kept_error != NULL)
	{
		ErrorData  *error = kept_error;

		kept_error = NULL;
		ReThrowError(error);
	}
	message = engine_text(status->message, strlen(status->message));
	detail = engine_text(status->detail, strlen(status->detail));
	hint = engine_text(status->hint, strlen(status->hint));
	ereport(ERROR,
			errcode(engine_sqlstate(status->code)),
			errmsg_internal("%s", message),
			detail[0] != '\0' ? errdetail_internal("%s", detail) : 0,
			hint[0] != '\0' ? errhint("%s", hint) : 0,
			model != NULL ? errcontext("model \"%s\"", model) : 0);
	pg_unreachable();
}

/* Bytes of the valid UTF-8 character at the start of bytes, else 0. */
static int
utf8_character(const char *bytes, size_t length)
{
	int			size = pg_utf_mblen((const unsigned char *) bytes);

	if (bytes[0] == '\0' || (size_t) size > length)
		return 0;
	return pg_utf8_islegal((const unsigned char *) bytes, size) ? size : 0;
}

char *
engine_text(const char *bytes, size_t length)
{
	StringInfoData buf;
	size_t		i = 0;

	initStringInfo(&buf);
	while (i < length)
	{
		int			size = utf8_character(bytes + i, length - i);

		if (size > 0)
			appendBinaryStringInfo(&buf, bytes + i, size);
		else
			appendStringInfoString(&buf, "\xEF\xBF\xBD");
		i += Max(size, 1);
	}
	return pg_any_to_server(buf.data, buf.len, PG_UTF8);
}
