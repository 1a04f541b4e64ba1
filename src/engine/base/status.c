/*-------------------------------------------------------------------------
 *
 * status.c
 *	  How the engine reports failure.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#define ENGINE_STATUS_SOURCE
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

EngineCode
engine_fail(EngineStatus *status, EngineCode code, const char *format,...)
{
	va_list		args;

	status->code = code;
	status->detail[0] = '\0';
	status->hint[0] = '\0';
	va_start(args, format);
	vsnprintf(status->message, sizeof(status->message), format, args);
	va_end(args);
	return code;
}

void
engine_detail(EngineStatus *status, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vsnprintf(status->detail, sizeof(status->detail), format, args);
	va_end(args);
}

void
engine_hint(EngineStatus *status, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vsnprintf(status->hint, sizeof(status->hint), format, args);
	va_end(args);
}

EngineCode
engine_cancelled(EngineStatus *status)
{
	return engine_fail(status, ENGINE_CANCELLED,
					   "computation was interrupted");
}

const char *
engine_printable(const char *text, size_t length, char *buf, size_t size)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t		out = 0;

	/* the longest step is "\xNN"; keep room for "..." and the terminator */
	for (size_t i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) text[i];
		bool		plain = c >= 0x20 && c < 0x7F && c != '\\';

		if (out + (plain ? 1 : 4) + 4 > size)
		{
			for (int dot = 0; dot < 3 && out + 1 < size; dot++)
				buf[out++] = '.';
			break;
		}
		if (plain)
			buf[out++] = (char) c;
		else
		{
			buf[out++] = '\\';
			buf[out++] = 'x';
			buf[out++] = hex[c >> 4];
			buf[out++] = hex[c & 15];
		}
	}
	buf[out] = '\0';
	return buf;
}
