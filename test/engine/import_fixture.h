/*-------------------------------------------------------------------------
 *
 * import_fixture.h
 *	  Parts of the importer of Hugging Face folders, one at a time: keys of
 *	  config.json, of the tokenizer and of sentence-transformers, read back
 *	  from the header that they are written to.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IMPORT_FIXTURE_H
#define IMPORT_FIXTURE_H

#include "folder_fixture.h"
#include "formats/hugging_face_model.h"

typedef struct ImportFixture
{
	FolderFixture files;
	EngineArena arena;
	EngineStatus status;
	HfModel		model;
	GgufWriter	writer;
	const uint8_t *header;
	uint64_t	size;			/* of the header */
	ByteSource	source;
	GgufFile	gguf;
} ImportFixture;

/* Before files are added; folder NULL: all of them are in memory. */
extern void import_begin(ImportFixture *fixture, const char *folder);
extern void import_end(ImportFixture *fixture);

/* Forget what was read, not the files. */
extern void import_again(ImportFixture *fixture);

/* Each gives the code of the first failure; fixture->gguf is read on success */
extern EngineCode import_config(ImportFixture *fixture);	/* and modules */
extern EngineCode import_tokenizer(ImportFixture *fixture, int32_t n_rows);

#endif							/* IMPORT_FIXTURE_H */
