/*-------------------------------------------------------------------------
 *
 * embed_columns.c
 *	  What the arguments of an embedding trigger mean for its table.
 *
 * A cast is an expression over a CaseTestExpr, whose value is set for each
 * evaluation; PL/pgSQL assigns to its variables in the same way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"

#include "functions/embed_columns.h"

/* Arguments of a trigger. */
#define TARGET 0
#define MODEL 1
#define FIRST_TEXT 2

/* What stands in every error about a column. */
static void
named_by(const TriggerData *call)
{
	errdetail("Trigger \"%s\" names this column.", call->tg_trigger->tgname);
}

static Form_pg_attribute
find_column(const TriggerData *call, const char *name)
{
	TupleDesc	descriptor = RelationGetDescr(call->tg_relation);

	for (int i = 0; i < descriptor->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(descriptor, i);

		if (!column->attisdropped &&
			strcmp(NameStr(column->attname), name) == 0)
			return column;
	}
	ereport(ERROR,
			errcode(ERRCODE_UNDEFINED_COLUMN),
			errmsg("column \"%s\" of relation \"%s\" does not exist", name,
				   RelationGetRelationName(call->tg_relation)),
			named_by(call));
}

static EmbedColumn
describe(Form_pg_attribute column)
{
	EmbedColumn result = {0};

	result.number = column->attnum;
	result.name = pstrdup(NameStr(column->attname));
	result.type = column->atttypid;
	result.typmod = column->atttypmod;
	return result;
}

/* NULL, without an error, when there is no such cast. */
static Node *
cast_node(Oid from, int32 from_typmod, Oid collation, Oid to, int32 typmod,
		  CoercionContext when)
{
	CaseTestExpr *value = makeNode(CaseTestExpr);

	value->typeId = from;
	value->typeMod = from_typmod;
	value->collation = collation;
	return coerce_to_target_type(NULL, (Node *) value, from, to, typmod, when,
								 COERCE_IMPLICIT_CAST, -1);
}

/* NULL: the value can be taken as it is. */
static ExprState *
prepare_cast(Node *node)
{
	Expr	   *expression = expression_planner((Expr *) node);

	if (IsA(expression, CaseTestExpr) ||
		(IsA(expression, RelabelType) &&
		 IsA(((RelabelType *) expression)->arg, CaseTestExpr)))
		return NULL;
	return ExecInitExpr(expression, NULL);
}

static void
find_target(EmbedColumns *columns, const TriggerData *call)
{
	const char *name = call->tg_trigger->tgargs[TARGET];
	Form_pg_attribute column = find_column(call, name);
	Node	   *node;

	columns->target = describe(column);
	if (column->attgenerated != '\0')
		ereport(ERROR,
				errcode(ERRCODE_GENERATED_ALWAYS),
				errmsg("column \"%s\" of relation \"%s\" is a generated column",
					   name, RelationGetRelationName(call->tg_relation)),
				named_by(call));
	node = cast_node(FLOAT4ARRAYOID, -1, InvalidOid, column->atttypid,
					 column->atttypmod, COERCION_ASSIGNMENT);
	if (node == NULL)
		ereport(ERROR,
				errcode(ERRCODE_DATATYPE_MISMATCH),
				errmsg("column \"%s\" of relation \"%s\" is of type %s, to which no real[] can be assigned",
					   name, RelationGetRelationName(call->tg_relation),
					   format_type_be(column->atttypid)),
				named_by(call));
	columns->target.cast = prepare_cast(node);
}

static EmbedColumn
find_text(const TriggerData *call, const char *name, bool stored_texts)
{
	Form_pg_attribute column = find_column(call, name);
	EmbedColumn result = describe(column);
	Node	   *node;

	if (column->attgenerated != '\0' &&
		!(stored_texts && column->attgenerated == ATTRIBUTE_GENERATED_STORED))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				errmsg("column \"%s\" of relation \"%s\" is a generated column, which has no value yet when the trigger runs",
					   name, RelationGetRelationName(call->tg_relation)),
				named_by(call),
				errhint("Name the columns that it is generated from."));
	node = cast_node(column->atttypid, column->atttypmod,
					 column->attcollation, TEXTOID, -1, COERCION_IMPLICIT);
	if (node == NULL)
		ereport(ERROR,
				errcode(ERRCODE_DATATYPE_MISMATCH),
				errmsg("column \"%s\" of relation \"%s\" is of type %s, not of a text type",
					   name, RelationGetRelationName(call->tg_relation),
					   format_type_be(column->atttypid)),
				named_by(call));
	result.cast = prepare_cast(node);
	return result;
}

EmbedColumns *
embed_columns(const TriggerData *call, bool stored_texts)
{
	const Trigger *trigger = call->tg_trigger;
	EmbedColumns *columns = palloc0(sizeof(EmbedColumns));

	if (trigger->tgnargs <= FIRST_TEXT)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("trigger \"%s\" has too few arguments",
					   trigger->tgname),
				errdetail("Arguments are the column of the vector, the model, and one or more columns of text."));
	columns->relation = RelationGetRelid(call->tg_relation);
	columns->trigger = trigger->tgoid;
	columns->descriptor = RelationGetDescr(call->tg_relation);
	columns->model = pstrdup(trigger->tgargs[MODEL]);
	columns->context = CreateStandaloneExprContext();
	find_target(columns, call);
	columns->n_texts = trigger->tgnargs - FIRST_TEXT;
	columns->texts = palloc0(columns->n_texts * sizeof(EmbedColumn));
	for (int i = 0; i < columns->n_texts; i++)
		columns->texts[i] = find_text(call, trigger->tgargs[FIRST_TEXT + i],
									  stored_texts);
	return columns;
}

bool
embed_columns_fit(const EmbedColumns *columns, const TriggerData *call)
{
	return columns->relation == RelationGetRelid(call->tg_relation) &&
		columns->trigger == call->tg_trigger->tgoid &&
		columns->descriptor == RelationGetDescr(call->tg_relation);
}

static Datum
apply_cast(const EmbedColumns *columns, const EmbedColumn *column,
		   Datum value, bool *is_null)
{
	if (column->cast == NULL)
		return value;
	columns->context->caseValue_datum = value;
	columns->context->caseValue_isNull = *is_null;
	return ExecEvalExpr(column->cast, columns->context, is_null);
}

text *
embed_columns_input(const EmbedColumns *columns, HeapTuple row,
					TupleDesc descriptor)
{
	StringInfoData input;
	bool		any = false;

	initStringInfo(&input);
	for (int i = 0; i < columns->n_texts; i++)
	{
		const EmbedColumn *column = &columns->texts[i];
		bool		is_null;
		Datum		value = heap_getattr(row, column->number, descriptor,
										 &is_null);
		text	   *piece;

		value = apply_cast(columns, column, value, &is_null);
		if (is_null)
			continue;
		if (any)
			appendStringInfoChar(&input, '\n');
		any = true;
		piece = DatumGetTextPP(value);
		appendBinaryStringInfo(&input, VARDATA_ANY(piece),
							   (int) VARSIZE_ANY_EXHDR(piece));
	}
	return any ? cstring_to_text_with_len(input.data, input.len) : NULL;
}

/*
 * The same bytes, without reading what is stored out of line when both values
 * are the same pointer to it, as they are when an UPDATE leaves a column alone.
 */
static bool
same_value(Form_pg_attribute type, Datum a, Datum b)
{
	if (type->attlen == -1 && VARATT_IS_EXTERNAL(DatumGetPointer(a)) &&
		VARATT_IS_EXTERNAL(DatumGetPointer(b)) &&
		VARSIZE_EXTERNAL(DatumGetPointer(a)) ==
		VARSIZE_EXTERNAL(DatumGetPointer(b)) &&
		memcmp(DatumGetPointer(a), DatumGetPointer(b),
			   VARSIZE_EXTERNAL(DatumGetPointer(a))) == 0)
		return true;
	return datum_image_eq(a, b, type->attbyval, type->attlen);
}

bool
embed_columns_same(const EmbedColumns *columns, HeapTuple a, HeapTuple b,
				   TupleDesc descriptor)
{
	for (int i = 0; i < columns->n_texts; i++)
	{
		AttrNumber	number = columns->texts[i].number;
		bool		a_null;
		bool		b_null;
		Datum		a_value = heap_getattr(a, number, descriptor, &a_null);
		Datum		b_value = heap_getattr(b, number, descriptor, &b_null);

		if (a_null != b_null)
			return false;
		if (!a_null && !same_value(TupleDescAttr(descriptor, number - 1),
								   a_value, b_value))
			return false;
	}
	return true;
}

Datum
embed_columns_value(const EmbedColumns *columns, ArrayType *vector,
					bool *is_null)
{
	*is_null = vector == NULL;
	return apply_cast(columns, &columns->target, PointerGetDatum(vector),
					  is_null);
}
