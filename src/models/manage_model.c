/*-------------------------------------------------------------------------
 *
 * manage_model.c
 *	  llm.drop_model(), llm.rename_model(), llm.alter_model().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "models/large_object.h"
#include "models/load_options.h"
#include "models/model_name.h"
#include "models/privileges.h"

PG_FUNCTION_INFO_V1(llm_drop_model);
PG_FUNCTION_INFO_V1(llm_rename_model);
PG_FUNCTION_INFO_V1(llm_alter_model);

#define MAX_NAME_BYTES 255

void
check_model_name(const char *name)
{
	size_t		length = strlen(name);

	if (length == 0 || length > MAX_NAME_BYTES)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_NAME),
				errmsg("name of a model must have 1 to %d bytes",
					   MAX_NAME_BYTES));
	for (const char *c = name; *c != '\0'; c++)
		if ((unsigned char) *c < ' ' || *c == 0x7F)
			ereport(ERROR,
					errcode(ERRCODE_INVALID_NAME),
					errmsg("name of a model must not contain control characters"));
	/* The latest rows: an insertion would meet them too, but at the end */
	if (model_table_find(name, NULL) != NULL)
		ereport(ERROR,
				errcode(ERRCODE_DUPLICATE_OBJECT),
				errmsg("model \"%s\" already exists", name));
}

Datum
llm_drop_model(PG_FUNCTION_ARGS)
{
	bool		intact;
	ModelRow   *row;
	LargeObjectInfo info;

	PreventCommandIfReadOnly("llm.drop_model()");
	row = model_owned(text_to_cstring(PG_GETARG_TEXT_PP(0)), &intact);
	model_table_delete(row);
	if (intact)
		large_object_unlink(row->large_object);
	else if (large_object_info(row->large_object, &info))
		ereport(NOTICE,
				errmsg("large object %u has other bytes than model \"%s\" and was kept",
					   row->large_object, row->name));
	PG_RETURN_VOID();
}

Datum
llm_rename_model(PG_FUNCTION_ARGS)
{
	char	   *new_name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	bool		intact;
	ModelRow   *row;

	PreventCommandIfReadOnly("llm.rename_model()");
	row = model_owned(text_to_cstring(PG_GETARG_TEXT_PP(0)), &intact);
	check_model_name(new_name);
	row->name = new_name;
	model_table_update(row);
	PG_RETURN_VOID();
}

Datum
llm_alter_model(PG_FUNCTION_ARGS)
{
	bool		intact;
	ModelRow   *row;

	PreventCommandIfReadOnly("llm.alter_model()");
	row = model_owned(text_to_cstring(PG_GETARG_TEXT_PP(0)), &intact);
	row->options = altered_options(row->options, PG_GETARG_JSONB_P(1));
	model_table_update(row);
	PG_RETURN_VOID();
}
