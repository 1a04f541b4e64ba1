/*-------------------------------------------------------------------------
 *
 * model_table.c
 *	  The table llm.model: reading and writing its rows.
 *
 * CatalogTupleInsert() and its like serve any table with plain b-tree
 * indexes; they maintain the indexes and check uniqueness, and ask for no
 * right.
 *
 * Writers of one row take a lock on the model (an object lock, class
 * llm.model, object = the large object, so that renaming keeps it) and read
 * the row again; without it the second of two would fail with "tuple
 * concurrently updated".  Users of a model take no lock: they have their
 * snapshot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "models/model_table.h"
#include "models/registry.h"

static const struct
{
	const char *name;
	ModelCapability bit;
}			capability_names[] = {
	{"generate", MODEL_GENERATE},
	{"embed", MODEL_EMBED},
	{"rerank", MODEL_RERANK},
};

/* Of the table or one of its indexes. */
static Oid
relation_oid(const char *name)
{
	Oid			oid = get_relname_relid(name, get_namespace_oid("llm", false));

	if (!OidIsValid(oid))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation \"llm.%s\" does not exist", name),
				errhint("Create the extension again: DROP EXTENSION llm; CREATE EXTENSION llm;"));
	return oid;
}

ArrayType *
capabilities_array(int capabilities)
{
	Datum		items[lengthof(capability_names)];
	int			n = 0;

	for (size_t i = 0; i < lengthof(capability_names); i++)
		if (capabilities & capability_names[i].bit)
			items[n++] = CStringGetTextDatum(capability_names[i].name);
	return construct_array(items, n, TEXTOID, -1, false, TYPALIGN_INT);
}

static int
capability_bits(ArrayType *array)
{
	Datum	   *items;
	bool	   *nulls;
	int			n;
	int			bits = 0;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT,
					  &items, &nulls, &n);
	for (int item = 0; item < n; item++)
	{
		char	   *name = nulls[item] ? "" : TextDatumGetCString(items[item]);

		for (size_t i = 0; i < lengthof(capability_names); i++)
			if (strcmp(name, capability_names[i].name) == 0)
				bits |= capability_names[i].bit;
	}
	return bits;
}

/* A row that somebody wrote by hand may have a digest of any length. */
static void
read_digest(Datum value, uint8 *digest)
{
	bytea	   *bytes = DatumGetByteaPP(value);
	size_t		length = Min(VARSIZE_ANY_EXHDR(bytes), MODEL_DIGEST_BYTES);

	memset(digest, 0, MODEL_DIGEST_BYTES);
	memcpy(digest, VARDATA_ANY(bytes), length);
}

static ModelRow *
read_row(HeapTuple tuple, TupleDesc desc)
{
	ModelRow   *row = palloc0(sizeof(ModelRow));
	Datum		v[MODEL_COLUMNS + 1];
	bool		isnull[MODEL_COLUMNS + 1];

	if (desc->natts != MODEL_COLUMNS)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("table \"llm.model\" has %d columns, this library knows %d",
					   desc->natts, MODEL_COLUMNS),
				errhint("Run ALTER EXTENSION llm UPDATE."));
	heap_deform_tuple(tuple, desc, v + 1, isnull + 1);
	row->tid = tuple->t_self;
	row->name = TextDatumGetCString(v[MODEL_NAME]);
	row->large_object = DatumGetObjectId(v[MODEL_LARGE_OBJECT]);
	read_digest(v[MODEL_DIGEST], row->digest);
	row->size = DatumGetInt64(v[MODEL_SIZE]);
	row->architecture = TextDatumGetCString(v[MODEL_ARCHITECTURE]);
	row->parameters = DatumGetInt64(v[MODEL_PARAMETERS]);
	row->quantization = TextDatumGetCString(v[MODEL_QUANTIZATION]);
	row->context_length = DatumGetInt32(v[MODEL_CONTEXT_LENGTH]);
	row->embedding_length = DatumGetInt32(v[MODEL_EMBEDDING_LENGTH]);
	row->layers = DatumGetInt32(v[MODEL_LAYERS]);
	row->heads = DatumGetInt32(v[MODEL_HEADS]);
	row->kv_heads = DatumGetInt32(v[MODEL_KV_HEADS]);
	row->vocabulary = DatumGetInt32(v[MODEL_VOCABULARY]);
	row->capabilities =
		capability_bits(DatumGetArrayTypeP(v[MODEL_CAPABILITIES]));
	row->options = DatumGetJsonbPCopy(v[MODEL_OPTIONS]);
	row->created = DatumGetTimestampTz(v[MODEL_CREATED]);
	return row;
}

static HeapTuple
form_row(const ModelRow *row, TupleDesc desc)
{
	Datum		v[MODEL_COLUMNS + 1] = {0};
	bool		isnull[MODEL_COLUMNS + 1] = {0};
	bytea	   *digest = palloc(VARHDRSZ + MODEL_DIGEST_BYTES);

	SET_VARSIZE(digest, VARHDRSZ + MODEL_DIGEST_BYTES);
	memcpy(VARDATA(digest), row->digest, MODEL_DIGEST_BYTES);

	v[MODEL_NAME] = CStringGetTextDatum(row->name);
	v[MODEL_LARGE_OBJECT] = ObjectIdGetDatum(row->large_object);
	v[MODEL_DIGEST] = PointerGetDatum(digest);
	v[MODEL_SIZE] = Int64GetDatum(row->size);
	v[MODEL_ARCHITECTURE] = CStringGetTextDatum(row->architecture);
	v[MODEL_PARAMETERS] = Int64GetDatum(row->parameters);
	v[MODEL_QUANTIZATION] = CStringGetTextDatum(row->quantization);
	v[MODEL_CONTEXT_LENGTH] = Int32GetDatum(row->context_length);
	v[MODEL_EMBEDDING_LENGTH] = Int32GetDatum(row->embedding_length);
	v[MODEL_LAYERS] = Int32GetDatum(row->layers);
	v[MODEL_HEADS] = Int32GetDatum(row->heads);
	v[MODEL_KV_HEADS] = Int32GetDatum(row->kv_heads);
	v[MODEL_VOCABULARY] = Int32GetDatum(row->vocabulary);
	v[MODEL_CAPABILITIES] =
		PointerGetDatum(capabilities_array(row->capabilities));
	v[MODEL_OPTIONS] = JsonbPGetDatum(row->options);
	v[MODEL_CREATED] = TimestampTzGetDatum(row->created);
	return heap_form_tuple(desc, v + 1, isnull + 1);
}

static ModelRow *
find_row(const char *index, ScanKey key, Snapshot snapshot)
{
	Relation	rel = table_open(relation_oid("model"), AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, relation_oid(index), true,
										  snapshot, 1, key);
	HeapTuple	tuple = systable_getnext(scan);
	ModelRow   *row = NULL;

	if (HeapTupleIsValid(tuple))
		row = read_row(tuple, RelationGetDescr(rel));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return row;
}

ModelRow *
model_table_find(const char *name, Snapshot snapshot)
{
	ScanKeyData key;

	/* The column has collation "C", as scan keys have */
	ScanKeyInit(&key, MODEL_NAME, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(name));
	return find_row("model_pkey", &key, snapshot);
}

ModelRow *
model_table_find_object(Oid large_object, Snapshot snapshot)
{
	ScanKeyData key;

	ScanKeyInit(&key, MODEL_LARGE_OBJECT, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(large_object));
	return find_row("model_large_object_key", &key, snapshot);
}

List *
model_table_rows(Snapshot snapshot)
{
	Relation	rel = table_open(relation_oid("model"), AccessShareLock);
	Relation	index = index_open(relation_oid("model_pkey"),
								   AccessShareLock);
	SysScanDesc scan = systable_beginscan_ordered(rel, index, snapshot,
												  0, NULL);
	HeapTuple	tuple;
	List	   *rows = NIL;

	while (HeapTupleIsValid(tuple =
							systable_getnext_ordered(scan,
													 ForwardScanDirection)))
		rows = lappend(rows, read_row(tuple, RelationGetDescr(rel)));
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	return rows;
}

void
model_table_insert(const ModelRow *row)
{
	Relation	rel = table_open(relation_oid("model"), RowExclusiveLock);

	CatalogTupleInsert(rel, form_row(row, RelationGetDescr(rel)));
	table_close(rel, NoLock);
}

void
model_table_update(const ModelRow *row)
{
	Relation	rel = table_open(relation_oid("model"), RowExclusiveLock);
	ItemPointerData tid = row->tid;

	CatalogTupleUpdate(rel, &tid, form_row(row, RelationGetDescr(rel)));
	table_close(rel, NoLock);
}

void
model_table_delete(const ModelRow *row)
{
	Relation	rel = table_open(relation_oid("model"), RowExclusiveLock);
	ItemPointerData tid = row->tid;

	CatalogTupleDelete(rel, &tid);
	table_close(rel, NoLock);
}

ModelRow *
model_table_lock(const char *name)
{
	ModelRow   *row = model_table_find(name, NULL);
	Oid			locked = InvalidOid;

	/* While waiting, the name may have passed to another large object */
	while (row != NULL && row->large_object != locked)
	{
		locked = row->large_object;
		LockDatabaseObject(relation_oid("model"), locked, 0,
						   AccessExclusiveLock);
		row = model_table_find(name, NULL);
	}
	return row;
}
