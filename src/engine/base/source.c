/*-------------------------------------------------------------------------
 *
 * source.c
 *	  Byte sources that need nothing of a host.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "base/source.h"

#include <inttypes.h>
#include <string.h>

static EngineCode
memory_read(ByteSource *source, uint64_t offset, void *buf, size_t length,
			EngineStatus *status)
{
	if (offset > source->size || length > source->size - offset)
		return engine_fail(status, ENGINE_CORRUPT,
						   "file ends at byte %" PRIu64
						   " inside data that begins at byte %" PRIu64,
						   source->size, offset);
	if (length > 0)
		memcpy(buf, (const char *) source->arg + offset, length);
	return ENGINE_OK;
}

void
memory_source(ByteSource *source, const void *data, size_t size)
{
	source->size = size;
	source->read = memory_read;
	source->arg = (void *) (uintptr_t) data;
}
