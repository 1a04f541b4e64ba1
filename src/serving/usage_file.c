/*-------------------------------------------------------------------------
 *
 * usage_file.c
 *	  The counters of llm.stat_usage from one run of the server to the next.
 *
 *	  +--------+----------------+
 *	  | header | rows [n_rows]  |
 *	  +--------+----------------+
 *
 * Written as a whole under another name, then renamed.  It lies where the
 * server keeps its own statistics, which base backups of a server that is
 * running never contain.  As it is written and read on one machine by one
 * build of the library, rows are stored as they are in memory; version and
 * the server's major version tell when that is not so.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <unistd.h>

#include "pgstat.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"

#include "serving/usage_file.h"

#define USAGE_FILE PGSTAT_STAT_PERMANENT_DIRECTORY "/llm_usage.stat"
#define USAGE_FILE_TEMPORARY USAGE_FILE ".tmp"

#define USAGE_MAGIC 0x4C4C4D55	/* "LLMU" */
#define USAGE_VERSION 1

typedef struct UsageFileHeader
{
	uint32		magic;
	uint32		version;
	uint32		server_version; /* major */
	uint32		n_rows;
	pg_crc32c	crc;			/* of the rows */
} UsageFileHeader;

static UsageFileHeader
make_header(const UsageRow *rows, int n)
{
	UsageFileHeader header = {
		.magic = USAGE_MAGIC,
		.version = USAGE_VERSION,
		.server_version = compat_server_major(),
		.n_rows = n,
	};

	INIT_CRC32C(header.crc);
	COMP_CRC32C(header.crc, rows, n * sizeof(UsageRow));
	FIN_CRC32C(header.crc);
	return header;
}

static bool
write_rows(FILE *file, const UsageRow *rows, int n)
{
	UsageFileHeader header = make_header(rows, n);

	return fwrite(&header, sizeof(header), 1, file) == 1 &&
		fwrite(rows, sizeof(UsageRow), n, file) == (size_t) n;
}

void
usage_file_write(const UsageRow *rows, int n)
{
	FILE	   *file = AllocateFile(USAGE_FILE_TEMPORARY, PG_BINARY_W);
	bool		written;

	if (file == NULL)
	{
		ereport(LOG,
				errcode_for_file_access(),
				errmsg("could not create file \"%s\": %m",
					   USAGE_FILE_TEMPORARY));
		return;
	}
	written = write_rows(file, rows, n);
	if (FreeFile(file) != 0 || !written)
	{
		ereport(LOG,
				errcode_for_file_access(),
				errmsg("could not write file \"%s\": %m",
					   USAGE_FILE_TEMPORARY));
		unlink(USAGE_FILE_TEMPORARY);
		return;
	}
	(void) durable_rename(USAGE_FILE_TEMPORARY, USAGE_FILE, LOG);
}

/* The rows of a file that is whole, else NULL. */
static UsageRow *
read_rows(FILE *file, int max, int *n)
{
	UsageFileHeader header;
	UsageFileHeader expected;
	UsageRow   *rows;

	if (fread(&header, sizeof(header), 1, file) != 1 ||
		header.magic != USAGE_MAGIC || header.version != USAGE_VERSION ||
		header.server_version != compat_server_major() ||
		header.n_rows > (uint32) max)
		return NULL;
	rows = palloc(Max(header.n_rows, 1) * sizeof(UsageRow));
	if (fread(rows, sizeof(UsageRow), header.n_rows, file) == header.n_rows &&
		fgetc(file) == EOF)
	{
		expected = make_header(rows, header.n_rows);
		if (EQ_CRC32C(header.crc, expected.crc))
		{
			*n = header.n_rows;
			return rows;
		}
	}
	pfree(rows);
	return NULL;
}

UsageRow *
usage_file_read(int max, int *n)
{
	FILE	   *file = AllocateFile(USAGE_FILE, PG_BINARY_R);
	UsageRow   *rows;

	if (file == NULL)
	{
		if (errno != ENOENT)
			ereport(LOG,
					errcode_for_file_access(),
					errmsg("could not open file \"%s\": %m", USAGE_FILE));
		return NULL;
	}
	rows = read_rows(file, max, n);
	FreeFile(file);
	if (rows == NULL)
		ereport(LOG,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("ignoring file \"%s\", which is damaged or of another version",
					   USAGE_FILE),
				errdetail("The counters of llm.stat_usage start from zero."));
	if (unlink(USAGE_FILE) != 0)
		ereport(LOG,
				errcode_for_file_access(),
				errmsg("could not remove file \"%s\": %m", USAGE_FILE));
	return rows;
}
