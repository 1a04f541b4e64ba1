/*-------------------------------------------------------------------------
 *
 * damage.c
 *	  Large objects whose bytes were found to be others than their model's.
 *
 * A ring: when more than DAMAGE_KEPT are damaged at a time, the oldest is
 * forgotten, and its state shows again at its next load.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "weights/damage.h"
#include "weights/locks.h"

#define DAMAGE_KEPT 64

typedef struct Damaged
{
	Oid			database;
	Oid			large_object;	/* InvalidOid: free */
} Damaged;

/* Guarded by DAMAGE_LOCK when shared. */
typedef struct DamageList
{
	uint32		next;
	Damaged		items[DAMAGE_KEPT];
} DamageList;

static DamageList session_damage;
static DamageList *shared_damage = NULL;

Size
damage_shmem_size(void)
{
	return MAXALIGN(sizeof(DamageList));
}

void
damage_shmem_startup(void)
{
	bool		found;

	shared_damage = ShmemInitStruct("llm damage", sizeof(DamageList), &found);
	if (!found)
		memset(shared_damage, 0, sizeof(DamageList));
}

static DamageList *
lock_list(LWLockMode mode)
{
	if (shared_damage == NULL)
		return &session_damage;
	LWLockAcquire(weights_lock(DAMAGE_LOCK), mode);
	return shared_damage;
}

static void
unlock_list(void)
{
	if (shared_damage != NULL)
		LWLockRelease(weights_lock(DAMAGE_LOCK));
}

static Damaged *
find(DamageList *list, Oid large_object)
{
	for (int i = 0; i < DAMAGE_KEPT; i++)
		if (list->items[i].large_object == large_object &&
			list->items[i].database == MyDatabaseId)
			return &list->items[i];
	return NULL;
}

bool
damage_known(Oid large_object)
{
	bool		known = find(lock_list(LW_SHARED), large_object) != NULL;

	unlock_list();
	return known;
}

void
damage_remember(Oid large_object)
{
	DamageList *list = lock_list(LW_EXCLUSIVE);

	if (find(list, large_object) == NULL)
	{
		Damaged    *item = &list->items[list->next++ % DAMAGE_KEPT];

		item->database = MyDatabaseId;
		item->large_object = large_object;
	}
	unlock_list();
}

void
damage_forget(Oid large_object)
{
	Damaged    *item = find(lock_list(LW_EXCLUSIVE), large_object);

	if (item != NULL)
		item->large_object = InvalidOid;
	unlock_list();
}
