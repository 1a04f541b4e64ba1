/*-------------------------------------------------------------------------
 *
 * folder_fixture.c
 *	  A folder of model files for tests.
 *
 *-------------------------------------------------------------------------
 */
#include "folder_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct FolderFile
{
	FolderFile *next;
	char	   *name;
	void	   *data;
	size_t		size;
	bool		mapped;			/* else from malloc() */
	bool		missing;
	ByteSource	source;
};

static void
give_up(const char *what, const char *name)
{
	fprintf(stderr, "%s: %s\n", name, what);
	abort();
}

static FolderFile *
find_file(FolderFixture *fixture, const char *name)
{
	FolderFile *file = fixture->files;

	while (file != NULL && strcmp(file->name, name) != 0)
		file = file->next;
	return file;
}

static FolderFile *
new_file(FolderFixture *fixture, const char *name)
{
	FolderFile *file = calloc(1, sizeof(FolderFile));

	if (file == NULL || (file->name = strdup(name)) == NULL)
		give_up("no memory", name);
	file->next = fixture->files;
	fixture->files = file;
	return file;
}

static void
drop_data(FolderFile *file)
{
	if (file->mapped)
		munmap(file->data, file->size);
	else
		free(file->data);
	file->data = NULL;
	file->size = 0;
	file->mapped = false;
	file->missing = false;
}

static void
map_file(FolderFile *file, int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		give_up("not a file", path);
	file->size = (size_t) st.st_size;
	if (file->size > 0)
	{
		file->data = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (file->data == MAP_FAILED)
			give_up("could not be mapped", path);
		file->mapped = true;
	}
}

/* The file of the directory; one that does not exist is remembered too. */
static FolderFile *
read_file(FolderFixture *fixture, const char *name)
{
	FolderFile *file;
	char		path[4096];
	int			fd;

	if (fixture->directory == NULL)
		return NULL;
	snprintf(path, sizeof(path), "%s/%s", fixture->directory, name);
	fd = open(path, O_RDONLY);
	if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
		give_up("could not be opened", path);
	file = new_file(fixture, name);
	file->missing = fd < 0;
	if (fd >= 0)
	{
		map_file(file, fd, path);
		close(fd);
	}
	memory_source(&file->source, file->data, file->size);
	return file;
}

static EngineCode
fixture_open(ModelFolder *folder, const char *name, ByteSource **source,
			 EngineStatus *status)
{
	FolderFixture *fixture = folder->arg;
	FolderFile *file = find_file(fixture, name);

	(void) status;
	fixture->opened++;
	if (!folder_name(name))
		give_up("a name that was not checked", name);
	if (file == NULL)
		file = read_file(fixture, name);
	*source = file == NULL || file->missing ? NULL : &file->source;
	return ENGINE_OK;
}

void
folder_fixture_memory(FolderFixture *fixture)
{
	memset(fixture, 0, sizeof(*fixture));
	fixture->folder.open = fixture_open;
	fixture->folder.arg = fixture;
}

void
folder_fixture_open(FolderFixture *fixture, const char *directory)
{
	folder_fixture_memory(fixture);
	fixture->directory = strdup(directory);
	if (fixture->directory == NULL)
		give_up("no memory", directory);
}

void
folder_fixture_add(FolderFixture *fixture, const char *name,
				   const void *data, size_t size)
{
	FolderFile *file = find_file(fixture, name);

	if (file == NULL)
		file = new_file(fixture, name);
	drop_data(file);
	file->data = malloc(size);
	if (file->data == NULL && size > 0)
		give_up("no memory", name);
	if (size > 0)
		memcpy(file->data, data, size);
	file->size = size;
	memory_source(&file->source, file->data, size);
}

void
folder_fixture_text(FolderFixture *fixture, const char *name,
					const char *text)
{
	folder_fixture_add(fixture, name, text, strlen(text));
}

void
folder_fixture_remove(FolderFixture *fixture, const char *name)
{
	FolderFile *file = find_file(fixture, name);

	if (file == NULL)
		file = new_file(fixture, name);
	drop_data(file);
	file->missing = true;
}

void
folder_fixture_close(FolderFixture *fixture)
{
	while (fixture->files != NULL)
	{
		FolderFile *file = fixture->files;

		fixture->files = file->next;
		drop_data(file);
		free(file->name);
		free(file);
	}
	free(fixture->directory);
	memset(fixture, 0, sizeof(*fixture));
}
