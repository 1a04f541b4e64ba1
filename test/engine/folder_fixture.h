/*-------------------------------------------------------------------------
 *
 * folder_fixture.h
 *	  A folder of model files for tests: a directory, files in memory, or a
 *	  directory of which some files are replaced.
 *
 * What cannot be read fails the test that asks for it; a file that does not
 * exist is what the importer is told.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FOLDER_FIXTURE_H
#define FOLDER_FIXTURE_H

#include "formats/folder.h"

typedef struct FolderFile FolderFile;

typedef struct FolderFixture
{
	ModelFolder folder;
	char	   *directory;		/* NULL: only files in memory */
	FolderFile *files;			/* in memory, or read before */
	int			opened;			/* calls of folder.open */
} FolderFixture;

/* A directory of the machine that runs the test. */
extern void folder_fixture_open(FolderFixture *fixture,
								const char *directory);

/* An empty folder in memory. */
extern void folder_fixture_memory(FolderFixture *fixture);

/*
 * Add a file, or replace the one of that name; the data is copied, with
 * nothing behind it, so that a sanitiser sees reads beyond its end.  Replacing
 * ends the source that the folder gave before.
 */
extern void folder_fixture_add(FolderFixture *fixture, const char *name,
							   const void *data, size_t size);

/* The same for a text. */
extern void folder_fixture_text(FolderFixture *fixture, const char *name,
								const char *text);

/* From now on there is no such file, whatever the directory has. */
extern void folder_fixture_remove(FolderFixture *fixture, const char *name);

extern void folder_fixture_close(FolderFixture *fixture);

#endif							/* FOLDER_FIXTURE_H */
