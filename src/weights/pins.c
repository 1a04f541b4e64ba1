/*-------------------------------------------------------------------------
 *
 * pins.c
 *	  Pins on images, and that each of them ends.
 *
 * Every pin of this process stands in a ledger with the resource owner that
 * was current when it was made.  It ends with weights_unpin() or with its
 * resource owner: at the end of the query, subtransaction or transaction, with
 * or without error.  A process that exits aborts its transaction first, so no
 * exit callback of ours is needed.  One that is killed takes the shared memory
 * with it, as always in PostgreSQL.
 *
 * The ledger has a free place before a pin is made, so that nothing can fail
 * between the two.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "utils/memutils.h"
#include "utils/resowner.h"

#include "weights/cache.h"
#include "weights/load.h"
#include "weights/store.h"

typedef struct LedgerEntry
{
	ResourceOwner owner;
	uint64		serial;			/* 0: free */
	int			slot;			/* of the shared cache, -1: private */
	PrivateImage *private_image;
} LedgerEntry;

static LedgerEntry *ledger = NULL;
static int	ledger_size = 0;
static uint64 last_serial = 0;

static void
end_pin(LedgerEntry *entry)
{
	entry->serial = 0;
	if (entry->slot >= 0)
		cache_release(entry->slot);
	else
		private_release(entry->private_image);
}

static void
release_with_owner(ResourceReleasePhase phase, bool isCommit, bool isTopLevel,
				   void *arg)
{
	if (phase != RESOURCE_RELEASE_BEFORE_LOCKS)
		return;
	for (int i = 0; i < ledger_size; i++)
		if (ledger[i].serial != 0 && ledger[i].owner == CurrentResourceOwner)
			end_pin(&ledger[i]);
}

static void
grow_ledger(void)
{
	int			size = Max(8, 2 * ledger_size);

	if (ledger == NULL)
	{
		ledger = MemoryContextAllocZero(TopMemoryContext,
										size * sizeof(LedgerEntry));
		RegisterResourceReleaseCallback(release_with_owner, NULL);
	}
	else
	{
		ledger = repalloc(ledger, size * sizeof(LedgerEntry));
		memset(ledger + ledger_size, 0,
			   (size - ledger_size) * sizeof(LedgerEntry));
	}
	ledger_size = size;
}

static LedgerEntry *
free_entry(void)
{
	for (int i = 0; i < ledger_size; i++)
		if (ledger[i].serial == 0)
			return &ledger[i];
	grow_ledger();
	return free_entry();
}

static void
add_source(LedgerEntry *entry, const ModelRef *model)
{
	load_verify(model);
	if (entry->slot >= 0)
		cache_add_source(entry->slot, model);
	else
		private_add_source(entry->private_image, model);
}

WeightsPin
weights_pin(const ModelRef *model)
{
	LedgerEntry *entry = free_entry();
	WeightsPin	pin;
	bool		verified;

	entry->slot = -1;
	if (cache_available())
		entry->slot = cache_acquire(model, &pin.image, &verified);
	else
		entry->private_image = private_acquire(model, &pin.image, &verified);
	entry->owner = CurrentResourceOwner;
	entry->serial = ++last_serial;
	pin.slot = entry->slot;
	pin.generation = entry->serial;

	if (!verified)
		add_source(entry, model);
	return pin;
}

void
weights_unpin(WeightsPin *pin)
{
	for (int i = 0; i < ledger_size; i++)
		if (ledger[i].serial == pin->generation && pin->generation != 0)
			end_pin(&ledger[i]);
	pin->image = NULL;
	pin->generation = 0;
}

bool
weights_evict(const uint8 *digest)
{
	return cache_available() ? cache_remove(digest) : private_remove(digest);
}
