/*-------------------------------------------------------------------------
 *
 * server_folder.c
 *	  A folder of model files in the file system of the server.
 *
 * Names come checked from the engine (folder_name()): they cannot lead out of
 * the directory.  Links in it may, for that is how caches of downloaded models
 * are made; whoever may load from a path may read all files of the server.
 *
 * Large models have hundreds of files, so few are open at a time.  A file
 * that is opened again must be the one that was found before, and at the end
 * all of them must still be: the model is one state of the folder.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "nodes/pg_list.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "host.h"
#include "models/server_file.h"
#include "models/server_folder.h"

#define MAX_OPEN 2

typedef struct FolderFile
{
	ByteSource	source;
	char	   *name;
	ServerFile	file;
	ServerFolder *folder;
} FolderFile;

struct ServerFolder
{
	ModelFolder model;
	MemoryContext context;
	char	   *path;
	List	   *files;			/* of FolderFile: all that were asked for */
	FolderFile *open[MAX_OPEN]; /* the last used first */
};

/* Open, and the last used. */
static void
use_file(FolderFile *file)
{
	ServerFolder *folder = file->folder;
	int			i = 0;

	while (i < MAX_OPEN - 1 && folder->open[i] != file)
		i++;
	if (folder->open[i] != file)
	{
		if (folder->open[i] != NULL)
			server_file_close(&folder->open[i]->file);
		folder->open[i] = NULL;
		server_file_open(&file->file);
	}
	for (; i > 0; i--)
		folder->open[i] = folder->open[i - 1];
	folder->open[0] = file;
}

/* The engine's callback: no exception may pass. */
static EngineCode
folder_read(ByteSource *source, uint64 offset, void *buf, size_t length,
			EngineStatus *status)
{
	FolderFile *file = source->arg;
	MemoryContext context = CurrentMemoryContext;
	volatile EngineCode code = ENGINE_OK;

	PG_TRY();
	{
		use_file(file);
	}
	PG_CATCH();
	{
		code = engine_keep_error(context, status);
	}
	PG_END_TRY();
	if (code != ENGINE_OK)
		return code;
	return file->file.source.read(&file->file.source, offset, buf, length,
								  status);
}

/* NULL: there is no such file. */
static FolderFile *
find_file(ServerFolder *folder, const char *name)
{
	FolderFile *file;
	ListCell   *cell;

	foreach(cell, folder->files)
	{
		file = lfirst(cell);
		if (strcmp(file->name, name) == 0)
			return file;
	}
	file = palloc0(sizeof(FolderFile));
	if (!server_file_find(&file->file, psprintf("%s/%s", folder->path, name)))
		return NULL;
	file->name = pstrdup(name);
	file->folder = folder;
	file->source.size = file->file.source.size;
	file->source.read = folder_read;
	file->source.arg = file;
	folder->files = lappend(folder->files, file);
	return file;
}

/* The same. */
static EngineCode
open_file(ModelFolder *model, const char *name, ByteSource **source,
		  EngineStatus *status)
{
	ServerFolder *folder = model->arg;
	MemoryContext context = CurrentMemoryContext;
	volatile EngineCode code = ENGINE_OK;

	*source = NULL;
	PG_TRY();
	{
		FolderFile *file;

		MemoryContextSwitchTo(folder->context);
		file = find_file(folder, name);
		MemoryContextSwitchTo(context);
		if (file != NULL)
			*source = &file->source;
	}
	PG_CATCH();
	{
		code = engine_keep_error(context, status);
	}
	PG_END_TRY();
	return code;
}

ServerFolder *
server_folder_open(const char *path)
{
	ServerFolder *folder = palloc0(sizeof(ServerFolder));
	size_t		length = strlen(path);

	while (length > 1 && path[length - 1] == '/')
		length--;
	folder->context = CurrentMemoryContext;
	folder->path = pnstrdup(path, length);
	folder->model.open = open_file;
	folder->model.arg = folder;
	return folder;
}

ModelFolder *
server_folder_model(ServerFolder *folder)
{
	return &folder->model;
}

void
server_folder_close(ServerFolder *folder)
{
	ListCell   *cell;

	foreach(cell, folder->files)
	{
		FolderFile *file = lfirst(cell);

		server_file_check(&file->file);
		if (file->file.fd >= 0)
			server_file_close(&file->file);
	}
}

const char *
server_folder_path(const ServerFolder *folder)
{
	return folder->path;
}

char *
server_folder_gguf(const ServerFolder *folder)
{
	DIR		   *directory = AllocateDir(folder->path);
	struct dirent *entry;
	char	   *name = NULL;

	while ((entry = ReadDir(directory, folder->path)) != NULL)
	{
		size_t		length = strlen(entry->d_name);

		if (length > 5 && strcmp(entry->d_name + length - 5, ".gguf") == 0 &&
			(name == NULL || strcmp(entry->d_name, name) < 0))
			name = pstrdup(entry->d_name);
	}
	FreeDir(directory);
	return name;
}
