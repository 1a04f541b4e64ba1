/*-------------------------------------------------------------------------
 *
 * privileges.c
 *	  Who owns a model; granting and revoking its use.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/objectaddress.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "models/large_object.h"
#include "models/privileges.h"
#include "models/registry.h"
#include "weights/damage.h"

PG_FUNCTION_INFO_V1(llm_grant_model);
PG_FUNCTION_INFO_V1(llm_revoke_model);

bool
rules_database(void)
{
	return superuser() || database_ownercheck(MyDatabaseId, GetUserId());
}

ModelState
model_state(const ModelRow *row)
{
	LargeObjectInfo info;

	if (!large_object_info(row->large_object, &info))
		return MODEL_MISSING;
	if (large_object_size(row->large_object) != row->size ||
		damage_known(row->large_object))
		return MODEL_DAMAGED;
	return MODEL_READY;
}

const char *
model_state_name(ModelState state)
{
	switch (state)
	{
		case MODEL_READY:
			return "ready";
		case MODEL_MISSING:
			return "missing";
		case MODEL_DAMAGED:
			return "damaged";
	}
	return "unknown";
}

bool
model_visible(const ModelRow *row)
{
	return rules_database() ||
		(model_state(row) == MODEL_READY &&
		 large_object_readable(row->large_object));
}

static void
not_owner(const char *name, const ModelRow *row)
{
	if (row == NULL || !model_visible(row))
		model_missing(name, NULL);
	ereport(ERROR,
			errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			errmsg("must be owner of model \"%s\"", name),
			errdetail("The owner of a model is the owner of its large object."));
}

/* By what can be seen without reading the object. */
static bool
seems_owner(const ModelRow *row)
{
	if (superuser())
		return true;
	if (model_state(row) != MODEL_READY)
		return rules_database();
	return large_object_ownercheck(row->large_object, GetUserId());
}

/* By reading it. */
static bool
is_intact(const ModelRow *row)
{
	if (!large_object_readable(row->large_object))
		return false;
	if (large_object_holds(row->large_object, row->size, row->digest))
		return true;
	damage_remember(row->large_object);
	return false;
}

static bool
owns(const ModelRow *row, bool *intact)
{
	if (!seems_owner(row))
		return false;
	*intact = is_intact(row);
	return *intact || rules_database();
}

ModelRow *
model_seems_owned(const char *name)
{
	ModelRow   *row = model_table_find(name, GetActiveSnapshot());

	if (row == NULL || !seems_owner(row))
		not_owner(name, row);
	return row;
}

ModelRow *
model_owned(const char *name, bool *intact)
{
	ModelRow   *row;
	bool		owned;

	/* First without the lock: who owns nothing must not wait or block */
	(void) model_seems_owned(name);
	row = model_table_lock(name);

	/* The row may be newer than the active snapshot, and so may its object */
	PushActiveSnapshot(GetLatestSnapshot());
	owned = row != NULL && owns(row, intact);
	if (!owned)
		not_owner(name, row);
	PopActiveSnapshot();
	return row;
}

/* What GRANT SELECT ON LARGE OBJECT does, with its own checks. */
static void
change_grant(const char *name, char *grantee, bool grant)
{
	ModelRow   *row = model_seems_owned(name);
	GrantStmt  *stmt = makeNode(GrantStmt);
	AccessPriv *select = makeNode(AccessPriv);
	RoleSpec   *role = makeNode(RoleSpec);

	select->priv_name = "select";
	role->roletype = strcmp(grantee, "public") == 0 ? ROLESPEC_PUBLIC :
		ROLESPEC_CSTRING;
	role->rolename = grantee;
	role->location = -1;

	stmt->is_grant = grant;
	stmt->targtype = ACL_TARGET_OBJECT;
	stmt->objtype = OBJECT_LARGEOBJECT;
	stmt->objects = list_make1(makeFloat(psprintf("%u", row->large_object)));
	stmt->privileges = list_make1(select);
	stmt->grantees = list_make1(role);
	stmt->behavior = DROP_RESTRICT;
	ExecuteGrantStmt(stmt);
}

Datum
llm_grant_model(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("llm.grant_model()");
	change_grant(text_to_cstring(PG_GETARG_TEXT_PP(0)),
				 text_to_cstring(PG_GETARG_TEXT_PP(1)), true);
	PG_RETURN_VOID();
}

Datum
llm_revoke_model(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("llm.revoke_model()");
	change_grant(text_to_cstring(PG_GETARG_TEXT_PP(0)),
				 text_to_cstring(PG_GETARG_TEXT_PP(1)), false);
	PG_RETURN_VOID();
}
