/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  Differences between PostgreSQL 15, 16, 17 and 18.
 *
 * The only file that looks at PG_VERSION_NUM.  Everywhere else the names of
 * the newest version are used, or names that are defined here.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_COMPAT_H
#define LLM_COMPAT_H

#include "postgres.h"

#include "catalog/pg_database.h"
#include "catalog/pg_largeobject.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/acl.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000
#error "llm needs PostgreSQL 15 or later"
#endif

/* The module's name and version in pg_get_loaded_modules() (18). */
#if PG_VERSION_NUM >= 180000
#define LLM_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "llm", .version = "1.0")
#else
#define LLM_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* Does role own that large object, that database? */
#if PG_VERSION_NUM >= 160000
#define large_object_ownercheck(loid, role) \
	object_ownercheck(LargeObjectRelationId, loid, role)
#define database_ownercheck(database, role) \
	object_ownercheck(DatabaseRelationId, database, role)
#else
#define large_object_ownercheck(loid, role) \
	pg_largeobject_ownercheck(loid, role)
#define database_ownercheck(database, role) \
	pg_database_ownercheck(database, role)
#endif

/* The index of a relation's primary key, unless it is deferrable. */
#if PG_VERSION_NUM >= 180000
#define primary_key_index(relation) \
	RelationGetPrimaryKeyIndex(relation, false)
#else
#define primary_key_index(relation) RelationGetPrimaryKeyIndex(relation)
#endif

/* The operator of equality in an operator family of a unique index. */
#if PG_VERSION_NUM >= 180000
#define key_equality(family, type) \
	get_opfamily_member_for_cmptype(family, type, type, COMPARE_EQ)
#else
#define key_equality(family, type) \
	get_opfamily_member(family, type, type, BTEqualStrategyNumber)
#endif

/* 15, 16, 17, ... */
static inline uint32
compat_server_major(void)
{
	return PG_VERSION_NUM / 10000;
}

/* The place of this process in the array of all. */
#if PG_VERSION_NUM < 170000
#define MyProcNumber (MyProc->pgprocno)
#endif

/*
 * The wait event of an extension: with a name of its own from 17 on, which
 * must be asked for once per process.
 */
static inline uint32
compat_wait_event(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	return PG_WAIT_EXTENSION;
#endif
}

#endif							/* LLM_COMPAT_H */
