/*-------------------------------------------------------------------------
 *
 * privileges.h
 *	  Who owns a model.
 *
 * The owner of a model is the owner of its large object.  A row whose large
 * object is gone or has other bytes belongs to nobody: the owner of the
 * database and superusers may repair or remove it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_PRIVILEGES_H
#define LLM_PRIVILEGES_H

#include "models/model_table.h"

/* Superuser, or owner of the current database? */
extern bool rules_database(void);

typedef enum ModelState
{
	MODEL_READY,
	MODEL_MISSING,				/* no large object */
	MODEL_DAMAGED				/* its size differs, or the last load said so */
} ModelState;

extern ModelState model_state(const ModelRow *row);
extern const char *model_state_name(ModelState state);

/*
 * Is the row in llm.models for the current role?
 */
extern bool model_visible(const ModelRow *row);

/*
 * The row of a model that the current role owns, by what can be seen without
 * reading its large object.  Errors as for a missing model, or
 * insufficient_privilege when the role may use but does not own it.
 */
extern ModelRow *model_seems_owned(const char *name);

/*
 * The same, locked against other writers, and whether the bytes of the large
 * object are the model's, which are read to tell.  Whoever is neither
 * superuser nor owner of the database must have them, so that nobody comes to
 * own a model by creating an object with the number of one that is gone.
 */
extern ModelRow *model_owned(const char *name, bool *intact);

#endif							/* LLM_PRIVILEGES_H */
