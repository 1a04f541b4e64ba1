/*-------------------------------------------------------------------------
 *
 * folder.h
 *	  A model that consists of several files: a folder of Hugging Face.
 *
 * The host says where the files are: a directory of the server, the members
 * of a tar archive, memory.  Names come from here or from the files
 * themselves, so they are checked before a host sees them: one or two plain
 * components ("config.json", "1_Pooling/config.json"), never a path that
 * could leave the folder.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_FOLDER_H
#define ENGINE_FOLDER_H

#include "base/arena.h"
#include "base/json.h"
#include "base/source.h"

typedef struct ModelFolder
{
	/*
	 * The file of that name; *source is NULL when there is none (ENGINE_OK).
	 * name was checked by folder_name().  Sources belong to the host and stay
	 * valid as long as the folder; the same name gives the same source.
	 */
	EngineCode	(*open) (struct ModelFolder *folder, const char *name,
						 ByteSource **source, EngineStatus *status);
	void	   *arg;
} ModelFolder;

/*
 * Is it one plain component: 1..200 bytes of A-Z a-z 0-9 . _ -, not beginning
 * with a dot?
 */
extern bool folder_component(const char *name, size_t length);

/* One component, or two with a slash between. */
extern bool folder_name(const char *name);

/* Checks the name (ENGINE_CORRUPT), then asks the folder. */
extern EngineCode folder_open(ModelFolder *folder, const char *name,
							  ByteSource **source, EngineStatus *status);

/*
 * A whole JSON file; *root is NULL when there is no such file and it is not
 * required.  Files above max_bytes are ENGINE_LIMIT; failures name the file.
 */
extern EngineCode folder_json(ModelFolder *folder, const char *name,
							  bool required, size_t max_bytes,
							  EngineArena *arena, const EngineHost *host,
							  const JsonNode **root, EngineStatus *status);

/* A whole text file in arena, NUL-terminated; *text NULL: no such file. */
extern EngineCode folder_text(ModelFolder *folder, const char *name,
							  size_t max_bytes, EngineArena *arena,
							  const char **text, size_t *length,
							  EngineStatus *status);

#endif							/* ENGINE_FOLDER_H */
