/*-------------------------------------------------------------------------
 *
 * tar_folder.h
 *	  A folder of model files in a tar archive.
 *
 * The archive is any byte source: a large object, a value, a file.  Nothing is
 * unpacked; files are read where they lie in it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_TAR_FOLDER_H
#define LLM_TAR_FOLDER_H

#include "engine/formats/folder.h"

/* Bytes that tell what a file is. */
#define TAR_BLOCK 512

/* Do these first TAR_BLOCK bytes begin a tar archive? */
extern bool tar_begins(const char *block);

/* Do they begin a file that was compressed?  Its format, or NULL. */
extern const char *compression_begins(const char *block);

/*
 * Read and check the headers of the whole archive.  The folder lives in arena
 * and has the regular files whose names folder_name() takes, after "./" and a
 * directory that all of them share were taken off; all others are passed over.
 * The archive must outlive it.
 */
extern EngineCode tar_folder_open(ByteSource *archive, EngineArena *arena,
								  const EngineHost *host, ModelFolder *folder,
								  EngineStatus *status);

#endif							/* LLM_TAR_FOLDER_H */
