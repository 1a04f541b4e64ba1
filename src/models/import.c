/*-------------------------------------------------------------------------
 *
 * import.c
 *	  The bytes of a model file, on their way into a large object.
 *
 * Everything is read in pieces of 1 MB: hashed, checked, written.  Nothing of
 * it stays when the transaction fails or is cancelled, because a large object
 * is transactional as a row is.
 *
 * PostgreSQL tries to compress every 2 kB of a large object, which for weights
 * is in vain; lz4 gives up about twice as fast as pglz, so it is set for the
 * time of writing when the server has it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "host.h"
#include "models/import.h"
#include "models/large_object.h"
#include "models/server_file.h"

#define NOTICE_INTERVAL_MS 5000

static void
open_large_object(Import *import, Oid oid)
{
	LargeObjectInfo info;
	LargeObjectReader *reader;

	if (!large_object_info(oid, &info))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("large object %u does not exist", oid));
	if (!large_object_ownercheck(oid, GetUserId()))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("must be owner of large object %u", oid));
	reader = reader_open(oid);
	import->opened = reader;
	import->source = reader_source(reader);
}

static void
open_bytea(Import *import, bytea *bytes)
{
	import->source = palloc0(sizeof(ByteSource));
	memory_source(import->source, VARDATA_ANY(bytes),
				  VARSIZE_ANY_EXHDR(bytes));
}

static void
open_file(Import *import, const char *path)
{
	ServerFile *file = palloc0(sizeof(ServerFile));

	server_file_open(file, path);
	import->opened = file;
	import->source = &file->source;
}

void
import_open(Import *import, ImportKind kind, Datum value, const char *model)
{
	import->kind = kind;
	import->value = value;
	import->model = model;
	import->opened = NULL;
	switch (kind)
	{
		case IMPORT_PATH:
			open_file(import, TextDatumGetCString(value));
			break;
		case IMPORT_OID:
			open_large_object(import, DatumGetObjectId(value));
			break;
		case IMPORT_BYTEA:
			open_bytea(import, DatumGetByteaPP(value));
			break;
	}
}

void
import_close(Import *import)
{
	switch (import->kind)
	{
		case IMPORT_PATH:
			server_file_close(import->opened);
			break;
		case IMPORT_OID:
			reader_close(import->opened);
			break;
		case IMPORT_BYTEA:
			break;
	}
}

/* Returns the level to undo it. */
static int
set_compression(void)
{
	int			level = NewGUCNestLevel();

#ifdef USE_LZ4
	(void) set_config_option("default_toast_compression", "lz4", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
#endif
	return level;
}

static void
notice_progress(const Import *import, uint64 done, TimestampTz *last)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!TimestampDifferenceExceeds(*last, now, NOTICE_INTERVAL_MS))
		return;
	*last = now;
	ereport(NOTICE,
			errmsg("model \"%s\": %llu of %llu MB", import->model,
				   (unsigned long long) (done >> 20),
				   (unsigned long long) (import->source->size >> 20)));
}

/* What happens to each piece; writer and check may be NULL. */
static void
stream_pieces(Import *import, LargeObjectWriter *writer, ImageCheck *check,
			  Digest *digest)
{
	char	   *piece = palloc(LARGE_OBJECT_PIECE);
	uint64		size = import->source->size;
	TimestampTz last = GetCurrentTimestamp();

	for (uint64 offset = 0; offset < size; offset += LARGE_OBJECT_PIECE)
	{
		size_t		length = Min(size - offset, LARGE_OBJECT_PIECE);
		EngineStatus status;

		CHECK_FOR_INTERRUPTS();
		engine_check(import->source->read(import->source, offset, piece,
										  length, &status),
					 &status, import->model);
		if (check != NULL)
			engine_check(image_check_data(check, offset, piece, length,
										  &status),
						 &status, import->model);
		digest_add(digest, piece, length);
		if (writer != NULL)
			writer_add(writer, piece, length);
		notice_progress(import, offset + length, &last);
	}
	pfree(piece);
}

Oid
import_stream(Import *import, const ImagePlan *plan, uint8 *digest)
{
	LargeObjectWriter writer;
	ImageCheck	check;
	Digest	   *sum = digest_begin();
	bool		copies = import->kind != IMPORT_OID;
	int			level = set_compression();

	if (plan != NULL)
		image_check_init(&check, plan);
	if (copies)
		writer_create(&writer);
	stream_pieces(import, copies ? &writer : NULL,
				  plan != NULL ? &check : NULL, sum);
	digest_finish(sum, digest);
	if (copies)
		writer_close(&writer);
	AtEOXact_GUC(true, level);
	return copies ? writer.oid : DatumGetObjectId(import->value);
}
