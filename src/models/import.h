/*-------------------------------------------------------------------------
 *
 * import.h
 *	  The bytes of a model file, on their way into a large object.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_IMPORT_H
#define LLM_IMPORT_H

#include "engine/base/arena.h"
#include "engine/base/source.h"
#include "engine/model/image.h"
#include "models/large_object.h"
#include "models/model_table.h"
#include "models/server_file.h"
#include "models/server_folder.h"

typedef enum ImportKind
{
	IMPORT_PATH,				/* a file or folder on the server */
	IMPORT_OID,					/* a large object, which stays where it is */
	IMPORT_BYTEA
} ImportKind;

typedef struct Import
{
	ImportKind	kind;
	Datum		value;			/* text, oid or bytea */
	const char *model;			/* name, for messages */
	ByteSource *source;			/* the GGUF file */
	bool		converted;		/* it is made of a folder */

	MemoryContext context;		/* of all that lives as long as the import */
	EngineArena arena;

	/* what is open, by kind */
	LargeObjectReader *reader;
	ServerFile	file;
	ServerFolder *folder;		/* NULL: the path is that of a file */
} Import;

/*
 * Checks the right of the current role to use the source: a GGUF file, the
 * directory of a Hugging Face folder, or a tar archive of one.  Folders are
 * converted, with that quantization (HF_KEEP or a TensorType).
 */
extern void import_open(Import *import, ImportKind kind, Datum value,
						const char *model, int quantization);

/*
 * Stream all bytes: into a new large object of the current role, or past when
 * they are in one already.  Gives the object and the digest.  With a plan,
 * weights that are not finite are an error.
 */
extern Oid	import_stream(Import *import, const ImagePlan *plan,
						  uint8 *digest);

/* Error when files were changed meanwhile. */
extern void import_close(Import *import);

#endif							/* LLM_IMPORT_H */
