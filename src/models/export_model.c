/*-------------------------------------------------------------------------
 *
 * export_model.c
 *	  llm.export_model(): a model's file, back in the file system.
 *
 * The file must not exist: O_EXCL neither overwrites nor follows a link.  It
 * is removed again when anything fails, also when the bytes turn out not to
 * be the model's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <fcntl.h>
#include <unistd.h>

#include "catalog/pg_authid.h"
#include "common/file_perm.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/builtins.h"

#include "host.h"
#include "models/large_object.h"
#include "models/registry.h"

PG_FUNCTION_INFO_V1(llm_export_model);

typedef struct ExportFile
{
	const char *path;
	int			fd;
} ExportFile;

static void
require_right(const char *path)
{
	if (!has_privs_of_role(GetUserId(), ROLE_PG_WRITE_SERVER_FILES))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("permission denied to export a model to a file"),
				errdetail("Only roles with privileges of the \"%s\" role may write server files.",
						  "pg_write_server_files"),
				errhint("A client can use \\lo_export with the large object shown in llm.models."));
	if (!is_absolute_path(path))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_NAME),
				errmsg("relative path not allowed to export a model"));
}

static void
file_failed(const char *doing, const char *path)
{
	bool		too_long = errno == ENAMETOOLONG;

	ereport(ERROR,
			too_long ? errcode(ERRCODE_NAME_TOO_LONG) :
			errcode_for_file_access(),
			errmsg("could not %s file \"%s\": %m", doing, path));
}

static void
write_all(const ExportFile *file, const char *data, size_t length)
{
	while (length > 0)
	{
		ssize_t		done = write(file->fd, data, length);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
		{
			if (done == 0)
				errno = ENOSPC;
			file_failed("write", file->path);
		}
		data += done;
		length -= done;
	}
}

static void
remove_file(int code, Datum arg)
{
	unlink(((ExportFile *) DatumGetPointer(arg))->path);
}

/* All bytes, and the proof that they are the model's. */
static void
write_model(const ModelRef *model, const ExportFile *file)
{
	LargeObjectReader *reader = reader_open(model->large_object);
	ByteSource *source = reader_source(reader);
	char	   *piece = palloc(LARGE_OBJECT_PIECE);
	uint8		digest[MODEL_DIGEST_BYTES];

	reader_start_digest(reader);
	for (uint64 offset = 0; offset < source->size;
		 offset += LARGE_OBJECT_PIECE)
	{
		size_t		length = Min(source->size - offset, LARGE_OBJECT_PIECE);
		EngineStatus status;

		engine_check(source->read(source, offset, piece, length, &status),
					 &status, model->name);
		write_all(file, piece, length);
	}
	reader_finish_digest(reader, digest);
	reader_close(reader);
	pfree(piece);
	if (memcmp(digest, model->digest, MODEL_DIGEST_BYTES) != 0)
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("large object %u of model \"%s\" has other bytes than were loaded",
					   model->large_object, model->name),
				errhint("Give the model its bytes back with llm.attach_model, or drop and load it again."));
	if (pg_fsync(file->fd) < 0)
		file_failed("fsync", file->path);
}

Datum
llm_export_model(PG_FUNCTION_ARGS)
{
	ModelRef   *model = model_lookup(text_to_cstring(PG_GETARG_TEXT_PP(0)),
									 MODEL_ANY);
	ExportFile	file;

	file.path = text_to_cstring(PG_GETARG_TEXT_PP(1));
	require_right(file.path);
	file.fd = OpenTransientFilePerm(file.path,
									O_WRONLY | O_CREAT | O_EXCL | PG_BINARY,
									pg_file_create_mode);
	if (file.fd < 0)
		file_failed("create", file.path);

	PG_ENSURE_ERROR_CLEANUP(remove_file, PointerGetDatum(&file));
	{
		write_model(model, &file);
	}
	PG_END_ENSURE_ERROR_CLEANUP(remove_file, PointerGetDatum(&file));
	if (CloseTransientFile(file.fd) < 0)
		file_failed("close", file.path);
	PG_RETURN_INT64(model->size);
}
