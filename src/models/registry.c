/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  Models by name, and the right to use one.
 *
 * The right is asked of the large object's own ACL for the current role, at
 * every call.  lo_compat_privileges, which opens large objects to everybody
 * for the sake of programs from before 9.0, does not open models.
 *
 * Rows are read with the active snapshot, as the large object is, so that a
 * statement sees one state of a model; a model of a transaction that has not
 * committed does not exist for others.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"

#include "models/large_object.h"
#include "models/privileges.h"
#include "models/registry.h"
#include "settings.h"

#define MAX_CANDIDATES 10		/* names in one error text */

static int
activation_bits(Jsonb *options)
{
	JsonbValue	buf;
	JsonbValue *value;
	Datum		given;
	Datum		eight;

	value = getKeyJsonValueFromContainer(&options->root, "activation_bits",
										 strlen("activation_bits"), &buf);
	if (value == NULL || value->type != jbvNumeric)
		return 16;
	eight = NumericGetDatum(int64_to_numeric(8));
	given = NumericGetDatum(value->val.numeric);
	return DatumGetBool(DirectFunctionCall2(numeric_eq, given, eight)) ? 8 : 16;
}

static ModelRef *
make_ref(const ModelRow *row, const LargeObjectInfo *info)
{
	ModelRef   *ref = palloc0(sizeof(ModelRef));

	ref->name = pstrdup(row->name);
	ref->large_object = row->large_object;
	ref->large_object_xmin = info->xmin;
	memcpy(ref->digest, row->digest, MODEL_DIGEST_BYTES);
	ref->size = row->size;
	ref->capabilities = row->capabilities;
	ref->context_length = row->context_length;
	ref->activation_bits = activation_bits(row->options);
	ref->options = row->options;
	return ref;
}

void
model_missing(const char *name, const char *next_argument)
{
	const char *options = name[0] == '{' ? name :
		next_argument != NULL && next_argument[0] == '{' ? next_argument :
		NULL;

	ereport(ERROR,
			errcode(ERRCODE_UNDEFINED_OBJECT),
			errmsg("model \"%s\" does not exist", name),
			options != NULL ?
			errhint("Options of a call without a model are passed by name: options => '{...}'.") :
			errhint("The view llm.models shows the models that you may use."));
	pg_unreachable();
}

/* Only who sees the row in llm.models learns that it exists. */
static void
object_missing(const ModelRow *row, const char *next_argument)
{
	if (!rules_database())
		model_missing(row->name, next_argument);
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("model \"%s\" has no large object", row->name),
			errdetail("Large object %u does not exist.", row->large_object),
			errhint("Give it its bytes back with llm.attach_model, or remove it with llm.drop_model."));
}

/* The row of a model that the current role may use. */
static ModelRef *
usable_model(const char *name, const char *next_argument)
{
	ModelRow   *row = model_table_find(name, GetActiveSnapshot());
	LargeObjectInfo info;

	if (row == NULL)
		model_missing(name, next_argument);
	if (!large_object_info(row->large_object, &info))
		object_missing(row, next_argument);
	if (!large_object_readable(row->large_object))
		model_missing(name, next_argument);
	return make_ref(row, &info);
}

static const char *
capability_verb(ModelCapability capability)
{
	switch (capability)
	{
		case MODEL_ANY:
			break;
		case MODEL_GENERATE:
			return "generate";
		case MODEL_EMBED:
			return "embed";
		case MODEL_RERANK:
			return "rerank";
	}
	return "compute";
}

static const char *
default_setting(ModelCapability capability)
{
	return capability == MODEL_EMBED ? "llm.default_embedding_model" :
		"llm.default_model";
}

static bool
has_capability(int capabilities, ModelCapability wanted)
{
	return (capabilities & wanted) == wanted;
}

/* Names of the models that the current role may use for that. */
static List *
candidates(ModelCapability capability)
{
	List	   *names = NIL;
	ListCell   *cell;

	foreach(cell, model_table_rows(GetActiveSnapshot()))
	{
		ModelRow   *row = lfirst(cell);

		if (has_capability(row->capabilities, capability) &&
			large_object_readable(row->large_object))
			names = lappend(names, row->name);
	}
	return names;
}

static char *
list_names(List *names)
{
	StringInfoData buf;
	int			n = 0;
	ListCell   *cell;

	initStringInfo(&buf);
	foreach(cell, names)
	{
		if (n == MAX_CANDIDATES)
		{
			appendStringInfoString(&buf, ", ...");
			break;
		}
		appendStringInfo(&buf, "%s\"%s\"", n++ > 0 ? ", " : "",
						 (char *) lfirst(cell));
	}
	return buf.data;
}

static const char *
default_model(ModelCapability capability)
{
	const char *set = capability == MODEL_EMBED ?
		setting_default_embedding_model : setting_default_model;
	List	   *names;

	if (set != NULL && set[0] != '\0')
		return set;
	names = candidates(capability);
	if (list_length(names) == 1)
		return linitial(names);
	if (names == NIL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("there is no model that can %s",
					   capability_verb(capability)),
				errhint("Load one with llm.load_model, or have the right to use one granted with llm.grant_model."));
	ereport(ERROR,
			errcode(ERRCODE_AMBIGUOUS_PARAMETER),
			errmsg("there is more than one model that can %s",
				   capability_verb(capability)),
			errdetail("Candidates are %s.", list_names(names)),
			errhint("Name one of them, or set %s.",
					default_setting(capability)));
}

ModelRef *
model_lookup_before(const char *name, ModelCapability capability,
					const char *next_argument)
{
	ModelRef   *ref;

	if (name == NULL)
		name = default_model(capability);
	ref = usable_model(name, next_argument);
	if (!has_capability(ref->capabilities, capability))
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("model \"%s\" cannot %s", ref->name,
					   capability_verb(capability)));
	return ref;
}

ModelRef *
model_lookup(const char *name, ModelCapability capability)
{
	return model_lookup_before(name, capability, NULL);
}

bool
model_recheck(const ModelRef *model)
{
	ModelRef   *now = usable_model(model->name, NULL);

	return now->large_object == model->large_object &&
		memcmp(now->digest, model->digest, MODEL_DIGEST_BYTES) == 0 &&
		VARSIZE(now->options) == VARSIZE(model->options) &&
		memcmp(now->options, model->options, VARSIZE(now->options)) == 0;
}
