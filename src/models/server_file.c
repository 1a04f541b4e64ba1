/*-------------------------------------------------------------------------
 *
 * server_file.c
 *	  Model files in the file system of the server.
 *
 * Only regular files are opened: reading a pipe or a device could block
 * where no interrupt is seen.  Descriptors are those of the transaction and
 * are closed with it after an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <fcntl.h>
#include <unistd.h>

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "host.h"
#include "models/server_file.h"

static EngineCode
file_read(ByteSource *source, uint64 offset, void *buf, size_t length,
		  EngineStatus *status)
{
	ServerFile *file = source->arg;

	if (offset > source->size || length > source->size - offset)
		return engine_fail(status, ENGINE_CORRUPT,
						   "file ends at byte %llu inside data that begins at byte %llu",
						   (unsigned long long) source->size,
						   (unsigned long long) offset);
	while (length > 0)
	{
		ssize_t		got = pread(file->fd, buf, length, (off_t) offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return engine_fail(status, ENGINE_IO,
							   "could not read file at byte %llu: %s",
							   (unsigned long long) offset,
							   got < 0 ? strerror(errno) :
							   "it was truncated");
		offset += got;
		buf = (char *) buf + got;
		length -= got;
	}
	return ENGINE_OK;
}

static void
require_right(void)
{
	if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("permission denied to load a model from a file"),
				errdetail("Only roles with privileges of the \"%s\" role may load from server files.",
						  "pg_read_server_files"),
				errhint("Without it, load from a large object (psql: \\lo_import) or from bytea."));
}

static void
stat_failed(const char *path)
{
	bool		missing = errno == ENOENT;
	bool		too_long = errno == ENAMETOOLONG;

	ereport(ERROR,
			too_long ? errcode(ERRCODE_NAME_TOO_LONG) :
			errcode_for_file_access(),
			errmsg("could not open file \"%s\": %m", path),
			missing ?
			errhint("The source is read as a path on the server. For a large object write source::oid, for the bytes of a file source::bytea.") :
			0);
}

static void
require_regular(const char *path, const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("\"%s\" is not a regular file", path));
}

bool
server_path_is_folder(const char *path)
{
	struct stat st;

	require_right();
	if (stat(path, &st) < 0)
		stat_failed(path);
	if (S_ISDIR(st.st_mode))
		return true;
	require_regular(path, &st);
	return false;
}

bool
server_file_find(ServerFile *file, const char *path)
{
	file->path = path;
	file->fd = -1;
	if (stat(path, &file->stat) < 0)
	{
		if (errno == ENOENT || errno == ENOTDIR)
			return false;
		stat_failed(path);
	}
	require_regular(path, &file->stat);
	file->source.size = file->stat.st_size;
	file->source.read = file_read;
	file->source.arg = file;
	return true;
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
		a->st_size == b->st_size &&
		a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

void
server_file_check(const ServerFile *file)
{
	struct stat now;
	int			code = file->fd >= 0 ? fstat(file->fd, &now) :
		stat(file->path, &now);

	if (code < 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not stat file \"%s\": %m", file->path));
	if (!same_file(&now, &file->stat))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_IN_USE),
				errmsg("file \"%s\" was changed while it was read",
					   file->path));
}

/* Not blocking: what was a file may have become a pipe without a writer. */
void
server_file_open(ServerFile *file)
{
	file->fd = OpenTransientFile(file->path, O_RDONLY | O_NONBLOCK);
	if (file->fd < 0)
		stat_failed(file->path);
	server_file_check(file);
}

void
server_file_close(ServerFile *file)
{
	CloseTransientFile(file->fd);
	file->fd = -1;
}
