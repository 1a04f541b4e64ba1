/*-------------------------------------------------------------------------
 *
 * large_object.h
 *	  Large objects that hold model files: what they are, reading, writing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_LARGE_OBJECT_H
#define LLM_LARGE_OBJECT_H

#include "utils/snapshot.h"

#include "engine/base/source.h"
#include "models/digest.h"

/* One transfer to or from a large object: the fastest size, as measured. */
#define LARGE_OBJECT_PIECE (1024 * 1024)

/* The catalog row of a large object, as the active snapshot sees it. */
typedef struct LargeObjectInfo
{
	Oid			owner;
	TransactionId xmin;			/* of the row: tells a recreated object */
} LargeObjectInfo;

/* false: there is no such object */
extern bool large_object_info(Oid oid, LargeObjectInfo *info);

/* May the current role SELECT the object?  false too when there is none. */
extern bool large_object_readable(Oid oid);

/* Bytes of the object; 0 when it is empty or missing.  Asks for no right. */
extern int64 large_object_size(Oid oid);

/* Is that file in it?  Needs SELECT; reads it all when the size is right. */
extern bool large_object_holds(Oid oid, int64 size, const uint8 *digest);

/*
 * Reading.  The source can be given to the engine: its read() never throws,
 * but keeps an error for engine_raise() (host.h).
 *
 * Without hashing, reads may go anywhere.  After reader_start_digest(), bytes
 * at or above the frontier, which starts at 0, are read in ascending order,
 * each once, and added to the digest; reads below the frontier are not.
 */
typedef struct LargeObjectReader LargeObjectReader;

extern LargeObjectReader *reader_open(Oid oid);
extern ByteSource *reader_source(LargeObjectReader *reader);
extern void reader_start_digest(LargeObjectReader *reader);

/* Reads what is left above the frontier. */
extern void reader_finish_digest(LargeObjectReader *reader, uint8 *digest);
extern void reader_close(LargeObjectReader *reader);

/* Writing a new object, owned by the current role. */
typedef struct LargeObjectWriter
{
	Oid			oid;
	int			fd;
	MemoryContext scratch;
} LargeObjectWriter;

extern void writer_create(LargeObjectWriter *writer);
extern void writer_add(LargeObjectWriter *writer, const char *data,
					   size_t length);
extern void writer_close(LargeObjectWriter *writer);

extern void large_object_unlink(Oid oid);

#endif							/* LLM_LARGE_OBJECT_H */
