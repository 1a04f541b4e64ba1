/*-------------------------------------------------------------------------
 *
 * embed_columns.h
 *	  What the arguments of an embedding trigger mean for its table.
 *
 * Both triggers take the same arguments: target column, model, text columns.
 * A text column is one that llm.embed(model, column) would take, that is, of a
 * type with an implicit cast to text; the target is of any type to which
 * real[] can be assigned.  Casts are found once, by type and not by name, so
 * search_path does not matter.
 *
 * Texts are joined by a newline.  NULLs are skipped; the input is NULL when
 * all texts are.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_EMBED_COLUMNS_H
#define LLM_EMBED_COLUMNS_H

#include "commands/trigger.h"
#include "nodes/execnodes.h"
#include "utils/array.h"

typedef struct EmbedColumn
{
	AttrNumber	number;
	char	   *name;
	Oid			type;
	int32		typmod;
	ExprState  *cast;			/* NULL: needs none */
} EmbedColumn;

typedef struct EmbedColumns
{
	Oid			relation;		/* what these columns belong to */
	Oid			trigger;
	TupleDesc	descriptor;		/* of the relation; compared, not followed */
	char	   *model;
	EmbedColumn target;
	int			n_texts;
	EmbedColumn *texts;
	ExprContext *context;		/* of the casts */
} EmbedColumns;

/*
 * The columns that the trigger's arguments name, in the current memory
 * context.  Errors: invalid_parameter_value for too few arguments,
 * undefined_column, datatype_mismatch, generated_always for a generated
 * target, invalid_column_reference for a generated text column unless
 * stored_texts says that its value is there.
 */
extern EmbedColumns *embed_columns(const TriggerData *call,
								   bool stored_texts);

/* Do these columns still describe what the trigger is called for? */
extern bool embed_columns_fit(const EmbedColumns *columns,
							  const TriggerData *call);

/* The text of a row that is embedded, or NULL. */
extern text *embed_columns_input(const EmbedColumns *columns, HeapTuple row,
								 TupleDesc descriptor);

/* Have the texts of two rows the same bytes? */
extern bool embed_columns_same(const EmbedColumns *columns, HeapTuple a,
							   HeapTuple b, TupleDesc descriptor);

/* A vector (or NULL) as a value of the target's type; errors of the cast. */
extern Datum embed_columns_value(const EmbedColumns *columns,
								 ArrayType *vector, bool *is_null);

#endif							/* LLM_EMBED_COLUMNS_H */
