/*-------------------------------------------------------------------------
 *
 * server_file.h
 *	  Model files in the file system of the server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_SERVER_FILE_H
#define LLM_SERVER_FILE_H

#include <sys/stat.h>

#include "engine/base/source.h"

typedef struct ServerFile
{
	ByteSource	source;
	const char *path;
	int			fd;
	struct stat stat;			/* when it was opened */
} ServerFile;

/* Checks the right of the current role to read server files. */
extern void server_file_open(ServerFile *file, const char *path);

/* Error when the file is not the same as when it was opened. */
extern void server_file_close(ServerFile *file);

#endif							/* LLM_SERVER_FILE_H */
