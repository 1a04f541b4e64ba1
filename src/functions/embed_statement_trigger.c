/*-------------------------------------------------------------------------
 *
 * embed_statement_trigger.c
 *	  llm.embed_statement_trigger(): the vectors of all rows of a statement.
 *
 * The rows come from the transition tables.  They are embedded in slices of
 * bounded size, and the vectors of a slice are written by one UPDATE, which
 * finds the rows by their primary key and joins the vectors as a table that
 * exists in memory only, as transition tables do.
 *
 * Which rows are embedded is the rule of llm.embed_trigger(): those without a
 * vector, and after an UPDATE those with another text than the old row of the
 * same key.  A row whose key an UPDATE changed has no old row and is embedded.
 *
 * Queries run as whoever made the statement: he needs the right to UPDATE the
 * column of the vector and to SELECT the key and the texts, and row-level
 * security applies to him.  The table's owner is not put in his place, as a
 * foreign key does, because the table's other triggers would then run with the
 * owner's rights and the caller's search_path.  Names are qualified and
 * operators named by their schema, so search_path has no say here.
 *
 * Other triggers of the statement may have changed a row in the meantime.  The
 * UPDATE therefore asks that the row still has the text that was embedded.
 *
 * The UPDATE fires the table's triggers, ours too.  It has nothing to do then
 * and knows it by the depth: what an UPDATE of ours fires directly runs one
 * level below us.  A statement of another trigger that it fires runs deeper,
 * and is embedded.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/tuplestore.h"

#include "functions/embed_columns.h"
#include "functions/embedding.h"

PG_FUNCTION_INFO_V1(llm_embed_statement_trigger);

/* A slice ends at either limit. */
#define SLICE_ROWS 2048
#define SLICE_BYTES (16 * 1024 * 1024)

/* Rows are fetched a few at a time, as one may be long. */
#define FETCH_ROWS 64

/* The name of the table of vectors inside the UPDATE. */
#define VECTORS "llm vectors"

typedef struct Statement
{
	TriggerData *call;
	EmbedColumns *columns;
	int			n_keys;
	AttrNumber	keys[INDEX_MAX_KEYS];
	Oid			equality[INDEX_MAX_KEYS];	/* operators */
	TupleDesc	vectors;		/* keys, input, vector */
	char	   *update;
} Statement;

/* Rows of the statement: keys and, as the last column, the input. */
typedef struct Slice
{
	int			n;
	HeapTuple	rows[SLICE_ROWS + FETCH_ROWS];
	const text *inputs[SLICE_ROWS + FETCH_ROWS];
	TupleDesc	descriptor;
} Slice;

/* A slice while the model reads it. */
typedef struct Reading
{
	const Statement *statement;
	const Slice *slice;
	Embedder   *embedder;
} Reading;

/* The table that an UPDATE of ours is writing to, and from which depth. */
static Oid	written_relation = InvalidOid;
static int	written_depth = 0;

static int
trigger_depth(void)
{
	return DatumGetInt32(OidFunctionCall0(F_PG_TRIGGER_DEPTH));
}

static bool
fired_by_own_update(const TriggerData *call)
{
	return written_relation == RelationGetRelid(call->tg_relation) &&
		TRIGGER_FIRED_BY_UPDATE(call->tg_event) &&
		trigger_depth() == written_depth + 1;
}

static void
check_transition_tables(const TriggerData *call)
{
	if (call->tg_trigger->tgnewtable == NULL)
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("trigger \"%s\" has no table of new rows",
					   call->tg_trigger->tgname),
				errhint("Create it with REFERENCING NEW TABLE AS new_rows."));
	if (TRIGGER_FIRED_BY_UPDATE(call->tg_event) &&
		call->tg_trigger->tgoldtable == NULL)
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("trigger \"%s\" has no table of old rows",
					   call->tg_trigger->tgname),
				errhint("Create it with REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows."));
}

static TriggerData *
check_call(FunctionCallInfo fcinfo)
{
	TriggerData *call;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("llm.embed_statement_trigger can only be called as a trigger"));
	call = (TriggerData *) fcinfo->context;
	if (!TRIGGER_FIRED_FOR_STATEMENT(call->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("llm.embed_statement_trigger must be fired for each statement"),
				errhint("llm.embed_trigger is for rows."));
	if (!TRIGGER_FIRED_AFTER(call->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("llm.embed_statement_trigger must be fired after the event"));
	if (!TRIGGER_FIRED_BY_INSERT(call->tg_event) &&
		!TRIGGER_FIRED_BY_UPDATE(call->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("llm.embed_statement_trigger must be fired for INSERT or UPDATE"));
	check_transition_tables(call);
	return call;
}

static void
find_key(Statement *statement)
{
	Relation	relation = statement->call->tg_relation;
	Oid			key = primary_key_index(relation);
	Relation	index;

	if (!OidIsValid(key))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("table \"%s\" has no primary key",
					   RelationGetRelationName(relation)),
				errdetail("llm.embed_statement_trigger finds rows by their primary key, which must not be deferrable."),
				errhint("Add one, or use llm.embed_trigger."));
	index = index_open(key, AccessShareLock);
	statement->n_keys = IndexRelationGetNumberOfKeyAttributes(index);
	for (int i = 0; i < statement->n_keys; i++)
	{
		statement->keys[i] = index->rd_index->indkey.values[i];
		statement->equality[i] = key_equality(index->rd_opfamily[i],
											  index->rd_opcintype[i]);
		if (!OidIsValid(statement->equality[i]))
			elog(ERROR, "no equality operator for key column %d of index %u",
				 i + 1, key);
	}
	index_close(index, AccessShareLock);
}

static Form_pg_attribute
key_column(const Statement *statement, int i)
{
	return TupleDescAttr(RelationGetDescr(statement->call->tg_relation),
						 statement->keys[i] - 1);
}

/* alias."column" */
static char *
reference(const char *alias, const char *column)
{
	return psprintf("%s.%s", alias, quote_identifier(column));
}

static char *
key_name(int i)
{
	return psprintf("key_%d", i + 1);
}

/* The keys of two tables are equal; numbered: b has them as key_1, ... */
static char *
keys_equal(const Statement *statement, const char *a, const char *b,
		   bool numbered)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < statement->n_keys; i++)
	{
		Form_pg_attribute column = key_column(statement, i);
		const char *name = NameStr(column->attname);

		appendStringInfoString(&buf, i > 0 ? " AND " : "");
		generate_operator_clause(&buf, reference(a, name), column->atttypid,
								 statement->equality[i],
								 reference(b, numbered ? key_name(i) : name),
								 column->atttypid);
	}
	return buf.data;
}

/* All texts are NULL. */
static char *
no_text(const Statement *statement, const char *alias)
{
	const EmbedColumns *columns = statement->columns;
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < columns->n_texts; i++)
		appendStringInfo(&buf, "%s%s IS NULL", i > 0 ? " AND " : "",
						 reference(alias, columns->texts[i].name));
	return buf.data;
}

/* What embed_columns_input() makes in C; compared by bytes. */
static char *
input(const Statement *statement, const char *alias)
{
	const EmbedColumns *columns = statement->columns;
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf,
					 "CASE WHEN %s THEN NULL ELSE pg_catalog.array_to_string(ARRAY[",
					 no_text(statement, alias));
	for (int i = 0; i < columns->n_texts; i++)
		appendStringInfo(&buf, "%s%s::pg_catalog.text COLLATE pg_catalog.\"C\"",
						 i > 0 ? ", " : "",
						 reference(alias, columns->texts[i].name));
	appendStringInfoString(&buf, "], E'\\n') END");
	return buf.data;
}

/* A text of a new row (n) differs from that of the old one (o). */
static char *
text_changed(const Statement *statement)
{
	const EmbedColumns *columns = statement->columns;
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < columns->n_texts; i++)
	{
		char	   *new = reference("n", columns->texts[i].name);
		char	   *old = reference("o", columns->texts[i].name);

		appendStringInfo(&buf,
						 "%s(%s IS NULL) OPERATOR(pg_catalog.<>) (%s IS NULL)"
						 " OR (%s::pg_catalog.text COLLATE pg_catalog.\"C\")"
						 " OPERATOR(pg_catalog.<>) %s::pg_catalog.text",
						 i > 0 ? " OR " : "", new, old, new, old);
	}
	return buf.data;
}

/* The query for the rows that need a vector, or need to lose theirs. */
static char *
select_query(const Statement *statement)
{
	const Trigger *trigger = statement->call->tg_trigger;
	char	   *target = reference("n", statement->columns->target.name);
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT ");
	for (int i = 0; i < statement->n_keys; i++)
		appendStringInfo(&buf, "%s, ",
						 reference("n", NameStr(key_column(statement,
														   i)->attname)));
	appendStringInfo(&buf, "%s FROM %s AS n", input(statement, "n"),
					 quote_identifier(trigger->tgnewtable));
	if (TRIGGER_FIRED_BY_UPDATE(statement->call->tg_event))
		appendStringInfo(&buf,
						 " LEFT JOIN %s AS o ON %s"
						 " WHERE (%s IS NULL OR %s IS NULL OR %s)"
						 " AND NOT (%s IS NULL AND %s)",
						 quote_identifier(trigger->tgoldtable),
						 keys_equal(statement, "n", "o", false), target,
						 reference("o", NameStr(key_column(statement,
														   0)->attname)),
						 text_changed(statement), target,
						 no_text(statement, "n"));
	else
		appendStringInfo(&buf, " WHERE %s IS NULL AND NOT (%s)", target,
						 no_text(statement, "n"));
	return buf.data;
}

static char *
update_query(const Statement *statement)
{
	Relation	relation = statement->call->tg_relation;
	const char *name = RelationGetRelationName(relation);
	char	   *schema = get_namespace_name(RelationGetNamespace(relation));

	return psprintf("UPDATE %s AS t SET %s = v.vector FROM %s AS v"
					" WHERE %s AND (v.input OPERATOR(pg_catalog.=) (%s)"
					" OR v.input IS NULL AND %s)",
					quote_qualified_identifier(schema, name),
					quote_identifier(statement->columns->target.name),
					quote_identifier(VECTORS),
					keys_equal(statement, "t", "v", true),
					input(statement, "t"), no_text(statement, "t"));
}

static TupleDesc
vectors_descriptor(const Statement *statement)
{
	int			n_keys = statement->n_keys;
	TupleDesc	descriptor = CreateTemplateTupleDesc(n_keys + 2);
	const EmbedColumn *target = &statement->columns->target;

	for (int i = 0; i < n_keys; i++)
	{
		Form_pg_attribute column = key_column(statement, i);

		TupleDescInitEntry(descriptor, (AttrNumber) (i + 1), key_name(i),
						   column->atttypid, column->atttypmod, 0);
		TupleDescInitEntryCollation(descriptor, (AttrNumber) (i + 1),
									column->attcollation);
	}
	TupleDescInitEntry(descriptor, (AttrNumber) (n_keys + 1), "input",
					   TEXTOID, -1, 0);
	TupleDescInitEntryCollation(descriptor, (AttrNumber) (n_keys + 1),
								C_COLLATION_OID);
	TupleDescInitEntry(descriptor, (AttrNumber) (n_keys + 2), "vector",
					   target->type, target->typmod, 0);
	return descriptor;
}

/* Up to a slice of rows, into the current context. */
static Slice *
read_slice(const Statement *statement, Portal portal)
{
	MemoryContext context = CurrentMemoryContext;
	Slice	   *slice = palloc(sizeof(Slice));
	size_t		bytes = 0;

	slice->n = 0;
	slice->descriptor = portal->tupDesc;
	while (slice->n < SLICE_ROWS && bytes < SLICE_BYTES)
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);

		/* which left us in SPI's own context */
		MemoryContextSwitchTo(context);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			HeapTuple	row = heap_copytuple(SPI_tuptable->vals[i]);
			bool		is_null;
			Datum		value = heap_getattr(row, statement->n_keys + 1,
											 slice->descriptor, &is_null);

			slice->rows[slice->n] = row;
			slice->inputs[slice->n++] = is_null ? NULL :
				DatumGetTextPP(value);
			bytes += row->t_len;
		}
		SPI_freetuptable(SPI_tuptable);
		if (SPI_processed < FETCH_ROWS)
			break;
	}
	return slice;
}

static Tuplestorestate *
vectors_table(const Statement *statement, const Slice *slice,
			  ArrayType *const *vectors)
{
	Tuplestorestate *table = tuplestore_begin_heap(false, false, work_mem);
	Datum		values[INDEX_MAX_KEYS + 2];
	bool		nulls[INDEX_MAX_KEYS + 2];
	int			last = statement->n_keys + 1;

	for (int i = 0; i < slice->n; i++)
	{
		heap_deform_tuple(slice->rows[i], slice->descriptor, values, nulls);
		values[last] = embed_columns_value(statement->columns, vectors[i],
										   &nulls[last]);
		tuplestore_putvalues(table, statement->vectors, values, nulls);
	}
	return table;
}

static void
run_update(const Statement *statement)
{
	Oid			outer_relation = written_relation;
	int			outer_depth = written_depth;

	written_relation = RelationGetRelid(statement->call->tg_relation);
	written_depth = trigger_depth();
	PG_TRY();
	{
		int			result = SPI_execute(statement->update, false, 0);

		if (result != SPI_OK_UPDATE)
			elog(ERROR, "could not write vectors: %s",
				 SPI_result_code_string(result));
	}
	PG_FINALLY();
	{
		written_relation = outer_relation;
		written_depth = outer_depth;
	}
	PG_END_TRY();
}

/* Policies hide rows silently; a vector that is missing must not be silent. */
static void
check_written(const Statement *statement, int expected)
{
	Relation	relation = statement->call->tg_relation;

	if (SPI_processed < (uint64) expected &&
		check_enable_rls(RelationGetRelid(relation), InvalidOid,
						 true) == RLS_ENABLED)
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("row-level security hides rows of table \"%s\" from the update that writes their vectors",
					   RelationGetRelationName(relation)),
				errdetail("%d of %d rows were written.", (int) SPI_processed,
						  expected),
				errhint("Let policies for SELECT and UPDATE show the rows, or use llm.embed_trigger."));
}

/* An SPI connection of its own: names of tables in memory belong to one. */
static void
write_slice(const Statement *statement, const Slice *slice,
			ArrayType *const *vectors)
{
	EphemeralNamedRelationData relation = {0};
	Tuplestorestate *table = vectors_table(statement, slice, vectors);

	relation.md.name = VECTORS;
	relation.md.reliddesc = InvalidOid;
	relation.md.tupdesc = statement->vectors;
	relation.md.enrtype = ENR_NAMED_TUPLESTORE;
	relation.md.enrtuples = slice->n;
	relation.reldata = table;
	SPI_connect();
	SPI_register_relation(&relation);
	run_update(statement);
	check_written(statement, slice->n);
	SPI_finish();
	tuplestore_end(table);
}

/* Which row an error of the model is about: its text is too long, say. */
static void
name_row(void *arg)
{
	const Reading *reading = arg;
	const Statement *statement = reading->statement;
	const Slice *slice = reading->slice;
	const char *table = RelationGetRelationName(statement->call->tg_relation);
	int			number = embedder_number(reading->embedder);
	StringInfoData key;

	if (number >= slice->n)
	{
		errcontext("embedding rows of table \"%s\"", table);
		return;
	}
	initStringInfo(&key);
	for (int i = 0; i < statement->n_keys; i++)
	{
		char	   *value = SPI_getvalue(slice->rows[number],
										 slice->descriptor, i + 1);

		appendStringInfo(&key, "%s%s", i > 0 ? ", " : "",
						 value == NULL ? "NULL" : value);
	}
	errcontext("embedding the row of table \"%s\" with key (%s)", table,
			   key.data);
}

static void
embed_slice(const Statement *statement, const Slice *slice)
{
	ModelRef   *model = model_lookup(statement->columns->model, MODEL_EMBED);
	Options    *options = options_read(OPTIONS_EMBED, NULL, model->options);
	ArrayType **vectors = palloc(slice->n * sizeof(ArrayType *));
	Reading		reading = {statement, slice,
	embedder_begin(model, options, true)};
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = name_row,
		.arg = &reading,
	};

	error_context_stack = &callback;
	embedder_run(reading.embedder, slice->inputs, slice->n, vectors);
	error_context_stack = callback.previous;
	embedder_end(reading.embedder);
	write_slice(statement, slice, vectors);
}

static void
embed_slices(const Statement *statement, Portal portal)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "llm slice of rows",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Slice	   *slice;

	while ((slice = read_slice(statement, portal))->n > 0)
	{
		embed_slice(statement, slice);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

Datum
llm_embed_statement_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *call = check_call(fcinfo);
	Statement	statement = {call};
	Portal		portal;

	if (fired_by_own_update(call))
		return PointerGetDatum(NULL);
	SPI_connect();
	SPI_register_trigger_data(call);
	statement.columns = embed_columns(call, true);
	find_key(&statement);
	statement.vectors = vectors_descriptor(&statement);
	statement.update = update_query(&statement);
	portal = SPI_cursor_open_with_args(NULL, select_query(&statement), 0, NULL,
									   NULL, NULL, true,
									   CURSOR_OPT_NO_SCROLL);
	embed_slices(&statement, portal);
	SPI_cursor_close(portal);
	SPI_finish();
	return PointerGetDatum(NULL);
}
