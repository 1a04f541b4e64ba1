/*-------------------------------------------------------------------------
 *
 * source.h
 *	  Where the bytes of a model file come from: a large object, a server
 *	  file, memory.
 *
 * read() fills length bytes from offset, or fails; the caller has checked
 * offset + length <= size.  Readers of headers go back and forth within the
 * header; tensor data is read strictly ascending, each byte once, so that a
 * host can hash while it streams.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_SOURCE_H
#define ENGINE_SOURCE_H

#include "base/status.h"

typedef struct ByteSource
{
	uint64_t	size;			/* bytes in the file */
	EngineCode	(*read) (struct ByteSource *source, uint64_t offset,
						 void *buf, size_t length, EngineStatus *status);
	void	   *arg;
} ByteSource;

/* A source over bytes in memory, which must outlive it. */
extern void memory_source(ByteSource *source, const void *data, size_t size);

#endif							/* ENGINE_SOURCE_H */
