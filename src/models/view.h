/*-------------------------------------------------------------------------
 *
 * view.h
 *	  Rows of the view llm.models.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_VIEW_H
#define LLM_VIEW_H

#include "models/model_table.h"

/*
 * The row as the result of a function that returns llm.models.  The large
 * object need not be visible to the active snapshot yet.
 */
extern Datum model_view_datum(FunctionCallInfo fcinfo, const ModelRow *row);

#endif							/* LLM_VIEW_H */
