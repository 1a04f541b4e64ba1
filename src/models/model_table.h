/*-------------------------------------------------------------------------
 *
 * model_table.h
 *	  The table llm.model: reading and writing its rows.
 *
 * Nobody but the extension's owner has rights on the table.  This file opens
 * it without asking; who may do what is decided by its callers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_MODEL_TABLE_H
#define LLM_MODEL_TABLE_H

#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"
#include "utils/timestamp.h"

#include "models/digest.h"

/* The columns, in this order. */
enum ModelColumn
{
	MODEL_NAME = 1,
	MODEL_LARGE_OBJECT,
	MODEL_DIGEST,
	MODEL_SIZE,
	MODEL_ARCHITECTURE,
	MODEL_PARAMETERS,
	MODEL_QUANTIZATION,
	MODEL_CONTEXT_LENGTH,
	MODEL_EMBEDDING_LENGTH,
	MODEL_LAYERS,
	MODEL_HEADS,
	MODEL_KV_HEADS,
	MODEL_VOCABULARY,
	MODEL_CAPABILITIES,
	MODEL_OPTIONS,
	MODEL_CREATED,
	MODEL_COLUMNS = MODEL_CREATED
};

typedef struct ModelRow
{
	ItemPointerData tid;		/* invalid: not from the table */
	char	   *name;
	Oid			large_object;
	uint8		digest[MODEL_DIGEST_BYTES];
	int64		size;			/* bytes of the file */
	char	   *architecture;
	int64		parameters;
	char	   *quantization;
	int32		context_length;
	int32		embedding_length;
	int32		layers;
	int32		heads;
	int32		kv_heads;
	int32		vocabulary;
	int			capabilities;	/* ModelCapability bits */
	Jsonb	   *options;
	TimestampTz created;
} ModelRow;

/* By name or large object; NULL when there is none.  Palloc'd. */
extern ModelRow *model_table_find(const char *name, Snapshot snapshot);
extern ModelRow *model_table_find_object(Oid large_object, Snapshot snapshot);

/* All rows by name, a List of ModelRow. */
extern List *model_table_rows(Snapshot snapshot);

extern void model_table_insert(const ModelRow *row);
extern void model_table_update(const ModelRow *row);
extern void model_table_delete(const ModelRow *row);

/*
 * Lock a model against being changed by others until the end of the
 * transaction, and read its row as it is then; NULL when it is gone.
 */
extern ModelRow *model_table_lock(const char *name);

/* {generate,embed,rerank} */
extern ArrayType *capabilities_array(int capabilities);

#endif							/* LLM_MODEL_TABLE_H */
