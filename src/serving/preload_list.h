/*-------------------------------------------------------------------------
 *
 * preload_list.h
 *	  The value of llm.preload_models.
 *
 *		item [, item]...		item: database.model
 *
 * The database ends at the first dot, so that names of models may have dots
 * in them.  Either name may be in double quotes, which are doubled inside, and
 * then may have anything in it.  Letters are never folded.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_PRELOAD_LIST_H
#define LLM_PRELOAD_LIST_H

#include "nodes/pg_list.h"
#include "utils/guc.h"

typedef struct PreloadItem
{
	char		database[NAMEDATALEN];
	char		model[FLEXIBLE_ARRAY_MEMBER];
} PreloadItem;

/* A List of PreloadItem, for list_free_deep(); of a value that was checked. */
extern List *preload_list(const char *value);

/* A GucStringCheckHook. */
extern bool preload_list_check(char **newval, void **extra, GucSource source);

#endif							/* LLM_PRELOAD_LIST_H */
