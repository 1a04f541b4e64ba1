/*-------------------------------------------------------------------------
 *
 * server_folder.h
 *	  A folder of model files in the file system of the server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_SERVER_FOLDER_H
#define LLM_SERVER_FOLDER_H

#include "engine/formats/folder.h"

typedef struct ServerFolder ServerFolder;

/*
 * The caller has checked the right to read server files.  The folder lives in
 * the current memory context.
 */
extern ServerFolder *server_folder_open(const char *path);
extern ModelFolder *server_folder_model(ServerFolder *folder);

/* Error when a file that was used is not as it was. */
extern void server_folder_close(ServerFolder *folder);

/* Without slashes at its end. */
extern const char *server_folder_path(const ServerFolder *folder);

/* Some GGUF file in the folder, palloc'd; NULL: there is none. */
extern char *server_folder_gguf(const ServerFolder *folder);

#endif							/* LLM_SERVER_FOLDER_H */
