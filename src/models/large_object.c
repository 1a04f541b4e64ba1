/*-------------------------------------------------------------------------
 *
 * large_object.c
 *	  Large objects that hold model files: what they are, reading, writing.
 *
 * Only the functions behind SQL's lo_open(), loread() and so on are used, never
 * inv_open() and inv_read(): those leave open relations behind that nobody
 * cleans up after an error in a subtransaction.  An error closes the
 * descriptors with its (sub)transaction.
 *
 * lo_read() and lo_write() leak little pieces into the current context, hence
 * a scratch context that is reset after each piece.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/detoast.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_largeobject_metadata.h"
#include "libpq/be-fsstubs.h"
#include "libpq/libpq-fs.h"
#include "miscadmin.h"
#include "storage/large_object.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "host.h"
#include "models/large_object.h"

#define WINDOW_BYTES (64 * 1024)

struct LargeObjectReader
{
	ByteSource	source;
	int			fd;
	uint64		position;		/* where fd stands */
	MemoryContext scratch;

	/* what was read last below the frontier */
	char	   *window;
	uint64		window_start;
	size_t		window_used;

	/* the last piece below the frontier; used while hashing */
	Digest	   *digest;			/* NULL: not hashing */
	char	   *piece;
	uint64		frontier;		/* end of the piece */
	size_t		piece_used;
};

bool
large_object_info(Oid oid, LargeObjectInfo *info)
{
	Relation	rel = table_open(LargeObjectMetadataRelationId,
								 AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_largeobject_metadata_oid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(oid));
	scan = systable_beginscan(rel, LargeObjectMetadataOidIndexId, true,
							  GetActiveSnapshot(), 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		info->owner = ((Form_pg_largeobject_metadata)
					   GETSTRUCT(tuple))->lomowner;
		info->xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return HeapTupleIsValid(tuple);
}

bool
large_object_readable(Oid oid)
{
	LargeObjectInfo info;

	return large_object_info(oid, &info) &&
		pg_largeobject_aclcheck_snapshot(oid, GetUserId(), ACL_SELECT,
										 GetActiveSnapshot()) == ACLCHECK_OK;
}

static int
open_object(Oid oid, int mode)
{
	return DatumGetInt32(DirectFunctionCall2(be_lo_open, ObjectIdGetDatum(oid),
											 Int32GetDatum(mode)));
}

static void
close_object(int fd)
{
	DirectFunctionCall1(be_lo_close, Int32GetDatum(fd));
}

static uint64
seek(int fd, int64 offset, int whence)
{
	return DatumGetInt64(DirectFunctionCall3(be_lo_lseek64, Int32GetDatum(fd),
											 Int64GetDatum(offset),
											 Int32GetDatum(whence)));
}

/* The last page tells the size. */
int64
large_object_size(Oid oid)
{
	Relation	rel = table_open(LargeObjectRelationId, AccessShareLock);
	Relation	index = index_open(LargeObjectLOidPNIndexId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int64		size = 0;

	ScanKeyInit(&key, Anum_pg_largeobject_loid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(oid));
	scan = systable_beginscan_ordered(rel, index, GetActiveSnapshot(), 1, &key);
	tuple = systable_getnext_ordered(scan, BackwardScanDirection);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_largeobject page = (Form_pg_largeobject) GETSTRUCT(tuple);

		size = (int64) page->pageno * LOBLKSIZE +
			toast_raw_datum_size(PointerGetDatum(&page->data)) - VARHDRSZ;
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	return size;
}

bool
large_object_holds(Oid oid, int64 size, const uint8 *digest)
{
	LargeObjectReader *reader;
	uint8		found[MODEL_DIGEST_BYTES];

	if (large_object_size(oid) != size)
		return false;
	reader = reader_open(oid);
	reader_start_digest(reader);
	reader_finish_digest(reader, found);
	reader_close(reader);
	return memcmp(found, digest, MODEL_DIGEST_BYTES) == 0;
}

/* Exactly length bytes from offset.  The caller has checked the bounds. */
static void
read_at(LargeObjectReader *reader, uint64 offset, char *buf, size_t length)
{
	MemoryContext old = MemoryContextSwitchTo(reader->scratch);

	if (offset != reader->position)
		reader->position = seek(reader->fd, offset, SEEK_SET);
	while (length > 0)
	{
		int			wanted = Min(length, LARGE_OBJECT_PIECE);
		int			got;

		CHECK_FOR_INTERRUPTS();
		got = lo_read(reader->fd, buf, wanted);
		if (got != wanted)
			ereport(ERROR,
					errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("large object ends at byte %llu",
						   (unsigned long long) (reader->position + got)));
		reader->position += got;
		buf += got;
		length -= got;
		MemoryContextReset(reader->scratch);
	}
	MemoryContextSwitchTo(old);
}

/* The next bytes above the frontier, hashed, into buf. */
static void
read_frontier(LargeObjectReader *reader, char *buf, size_t length)
{
	read_at(reader, reader->frontier, buf, length);
	digest_add(reader->digest, buf, length);
	reader->frontier += length;
}

static void
next_piece(LargeObjectReader *reader)
{
	size_t		length = Min(reader->source.size - reader->frontier,
							 LARGE_OBJECT_PIECE);

	reader->piece_used = 0;
	read_frontier(reader, reader->piece, length);
	reader->piece_used = length;
}

/* Copy what [start, start + used) has of [offset, offset + length). */
static size_t
copy_from(const char *data, uint64 start, size_t used, uint64 offset,
		  char *buf, size_t length)
{
	size_t		n;

	if (offset < start || offset >= start + used)
		return 0;
	n = Min(length, start + used - offset);
	memcpy(buf, data + (offset - start), n);
	return n;
}

/* Some bytes from offset, through the window or past it. */
static size_t
read_some(LargeObjectReader *reader, uint64 offset, char *buf, size_t length)
{
	size_t		n;

	n = copy_from(reader->window, reader->window_start, reader->window_used,
				  offset, buf, length);
	if (n > 0)
		return n;
	if (length >= WINDOW_BYTES)
	{
		read_at(reader, offset, buf, length);
		return length;
	}
	n = Min(reader->source.size - offset, WINDOW_BYTES);
	reader->window_used = 0;
	read_at(reader, offset, reader->window, n);
	reader->window_start = offset;
	reader->window_used = n;
	return copy_from(reader->window, offset, n, offset, buf, length);
}

/* The same while hashing. */
static size_t
read_hashed(LargeObjectReader *reader, uint64 offset, char *buf, size_t length)
{
	size_t		n;

	if (offset == reader->frontier && length >= LARGE_OBJECT_PIECE)
	{
		reader->piece_used = 0;
		read_frontier(reader, buf, LARGE_OBJECT_PIECE);
		return LARGE_OBJECT_PIECE;
	}
	while (offset >= reader->frontier)
		next_piece(reader);
	n = copy_from(reader->piece, reader->frontier - reader->piece_used,
				  reader->piece_used, offset, buf, length);
	if (n > 0)
		return n;
	return read_some(reader, offset, buf,
					 Min(length, reader->frontier - offset));
}

static void
reader_fill(LargeObjectReader *reader, uint64 offset, char *buf, size_t length)
{
	while (length > 0)
	{
		size_t		n = reader->digest != NULL ?
			read_hashed(reader, offset, buf, length) :
			read_some(reader, offset, buf, length);

		offset += n;
		buf += n;
		length -= n;
	}
}

/* The engine's callback: bounds, and no exception may pass. */
static EngineCode
reader_read(ByteSource *source, uint64 offset, void *buf, size_t length,
			EngineStatus *status)
{
	LargeObjectReader *reader = source->arg;
	MemoryContext context = CurrentMemoryContext;
	volatile EngineCode code = ENGINE_OK;

	if (offset > source->size || length > source->size - offset)
		return engine_fail(status, ENGINE_CORRUPT,
						   "file ends at byte %llu inside data that begins at byte %llu",
						   (unsigned long long) source->size,
						   (unsigned long long) offset);
	PG_TRY();
	{
		reader_fill(reader, offset, buf, length);
	}
	PG_CATCH();
	{
		code = engine_keep_error(context, status);
	}
	PG_END_TRY();
	return code;
}

LargeObjectReader *
reader_open(Oid oid)
{
	LargeObjectReader *reader = palloc0(sizeof(LargeObjectReader));

	reader->scratch = AllocSetContextCreate(CurrentMemoryContext,
											"llm large object",
											ALLOCSET_DEFAULT_SIZES);
	reader->fd = open_object(oid, INV_READ);
	reader->source.size = seek(reader->fd, 0, SEEK_END);
	reader->source.read = reader_read;
	reader->source.arg = reader;
	reader->position = reader->source.size;
	reader->window = palloc(WINDOW_BYTES);
	return reader;
}

ByteSource *
reader_source(LargeObjectReader *reader)
{
	return &reader->source;
}

void
reader_start_digest(LargeObjectReader *reader)
{
	reader->piece = palloc(LARGE_OBJECT_PIECE);
	reader->digest = digest_begin();
}

void
reader_finish_digest(LargeObjectReader *reader, uint8 *digest)
{
	while (reader->frontier < reader->source.size)
		next_piece(reader);
	digest_finish(reader->digest, digest);
	reader->digest = NULL;
}

void
reader_close(LargeObjectReader *reader)
{
	close_object(reader->fd);
	MemoryContextDelete(reader->scratch);
	pfree(reader->window);
	if (reader->piece != NULL)
		pfree(reader->piece);
	pfree(reader);
}

void
writer_create(LargeObjectWriter *writer)
{
	Datum		oid = DirectFunctionCall1(be_lo_create,
										  ObjectIdGetDatum(InvalidOid));

	writer->oid = DatumGetObjectId(oid);
	writer->fd = open_object(writer->oid, INV_WRITE);
	writer->scratch = AllocSetContextCreate(CurrentMemoryContext,
											"llm large object",
											ALLOCSET_DEFAULT_SIZES);
}

void
writer_add(LargeObjectWriter *writer, const char *data, size_t length)
{
	MemoryContext old = MemoryContextSwitchTo(writer->scratch);

	while (length > 0)
	{
		int			n = Min(length, LARGE_OBJECT_PIECE);

		CHECK_FOR_INTERRUPTS();
		if (lo_write(writer->fd, data, n) != n)
			ereport(ERROR,
					errcode(ERRCODE_INTERNAL_ERROR),
					errmsg("could not write to large object %u",
						   writer->oid));
		data += n;
		length -= n;
		MemoryContextReset(writer->scratch);
	}
	MemoryContextSwitchTo(old);
}

void
writer_close(LargeObjectWriter *writer)
{
	close_object(writer->fd);
	MemoryContextDelete(writer->scratch);
}

void
large_object_unlink(Oid oid)
{
	DirectFunctionCall1(be_lo_unlink, ObjectIdGetDatum(oid));
}
