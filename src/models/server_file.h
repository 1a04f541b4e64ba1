/*-------------------------------------------------------------------------
 *
 * server_file.h
 *	  Model files in the file system of the server.
 *
 * A file is found once; after that it may be closed and opened again, and it
 * is an error when it is not the same file any more.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_SERVER_FILE_H
#define LLM_SERVER_FILE_H

#include <sys/stat.h>

#include "engine/base/source.h"

typedef struct ServerFile
{
	ByteSource	source;			/* to be read while the file is open */
	const char *path;
	int			fd;				/* -1: not open */
	struct stat stat;			/* when it was found */
} ServerFile;

/*
 * Is there a directory?  Error when there is nothing, or neither a directory
 * nor a regular file.  Checks the right of the current role to read server
 * files, which the other functions do not.
 */
extern bool server_path_is_folder(const char *path);

/*
 * Look at a file that need not exist; only regular ones are taken.  path must
 * live as long as file.
 */
extern bool server_file_find(ServerFile *file, const char *path);
extern void server_file_open(ServerFile *file);
extern void server_file_close(ServerFile *file);

/* Error when the file, open or not, is not as it was found. */
extern void server_file_check(const ServerFile *file);

#endif							/* LLM_SERVER_FILE_H */
