/*-------------------------------------------------------------------------
 *
 * import.h
 *	  The bytes of a model file, on their way into a large object.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_IMPORT_H
#define LLM_IMPORT_H

#include "engine/base/source.h"
#include "engine/model/image.h"
#include "models/model_table.h"

typedef enum ImportKind
{
	IMPORT_PATH,				/* a file on the server */
	IMPORT_OID,					/* a large object, which stays where it is */
	IMPORT_BYTEA
} ImportKind;

typedef struct Import
{
	ImportKind	kind;
	Datum		value;			/* text, oid or bytea */
	const char *model;			/* name, for messages */
	ByteSource *source;
	void	   *opened;			/* what import_close() closes */
} Import;

/* Checks the right of the current role to use the source. */
extern void import_open(Import *import, ImportKind kind, Datum value,
						const char *model);

/*
 * Stream all bytes: into a new large object of the current role, or, for
 * IMPORT_OID, past.  Gives the object and the digest.  With a plan, weights
 * that are not finite are an error.
 */
extern Oid	import_stream(Import *import, const ImagePlan *plan,
						  uint8 *digest);
extern void import_close(Import *import);

#endif							/* LLM_IMPORT_H */
