/*-------------------------------------------------------------------------
 *
 * private.c
 *	  Images in the memory of one session, for servers that do not preload
 *	  the library.
 *
 * Everything works as with the shared cache, within llm.cache_size, but each
 * session loads its own images, and says so once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "settings.h"
#include "weights/huge_pages.h"
#include "weights/load.h"
#include "weights/sources.h"
#include "weights/store.h"

struct PrivateImage
{
	MemoryContext context;		/* holds this and the image */
	ImageHeader *image;
	uint64		size;
	int			pins;
	uint64		last_use;
	uint64		hits;
	TimestampTz loaded_at;
	double		load_ms;
	WeightsSources sources;
};

static List *images = NIL;		/* of PrivateImage, in TopMemoryContext */
static uint64 use_clock = 0;

static PrivateImage *
find(const uint8 *digest)
{
	ListCell   *cell;

	foreach(cell, images)
	{
		PrivateImage *image = lfirst(cell);

		if (memcmp(image->image->digest, digest, MODEL_DIGEST_BYTES) == 0)
			return image;
	}
	return NULL;
}

static void
discard(PrivateImage *image)
{
	images = list_delete_ptr(images, image);
	MemoryContextDelete(image->context);
}

static uint64
bytes_used(bool pinned_only)
{
	uint64		used = 0;
	ListCell   *cell;

	foreach(cell, images)
	{
		PrivateImage *image = lfirst(cell);

		if (image->pins > 0 || !pinned_only)
			used += image->size;
	}
	return used;
}

static PrivateImage *
least_recently_used(void)
{
	PrivateImage *oldest = NULL;
	ListCell   *cell;

	foreach(cell, images)
	{
		PrivateImage *image = lfirst(cell);

		if (image->pins == 0 &&
			(oldest == NULL || image->last_use < oldest->last_use))
			oldest = image;
	}
	return oldest;
}

static void
make_room(const ModelRef *model, uint64 size)
{
	uint64		limit = (uint64) setting_cache_size * 1024 * 1024;
	uint64		pinned = bytes_used(true);

	if (size > limit || pinned > limit - size)
		no_room_for_image(model->name, size, pinned + size);
	while (bytes_used(false) > limit - size)
		discard(least_recently_used());
}

static void
notice_once(void)
{
	static bool said = false;

	if (said)
		return;
	said = true;
	ereport(NOTICE,
			errmsg("this session loads models into its own memory"),
			errhint("Add llm to shared_preload_libraries and restart the server: then all sessions share one copy."));
}

static PrivateImage *
load_private(const ModelRef *model)
{
	TimestampTz start = GetCurrentTimestamp();
	WeightsLoad *load = load_begin(model);
	MemoryContext context;
	PrivateImage *image;

	notice_once();
	make_room(model, load_size(load));
	context = AllocSetContextCreate(CurrentMemoryContext, "llm image",
									ALLOCSET_SMALL_SIZES);
	image = MemoryContextAllocZero(context, sizeof(PrivateImage));
	image->context = context;
	image->size = load_size(load);
	image->image = (ImageHeader *)
		TYPEALIGN(64, MemoryContextAllocHuge(context, image->size + 64));
	huge_pages_ask(image->image, image->size);
	load_into(load, image->image, NULL);
	load_end(load);

	image->loaded_at = GetCurrentTimestamp();
	image->load_ms = (image->loaded_at - start) / 1000.0;
	MemoryContextSetParent(context, TopMemoryContext);
	return image;
}

static void
keep(PrivateImage *image)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	images = lappend(images, image);
	MemoryContextSwitchTo(old);
}

PrivateImage *
private_acquire(const ModelRef *model, const ImageHeader **header,
				bool *verified)
{
	PrivateImage *image = find(model->digest);

	if (image == NULL)
	{
		image = load_private(model);
		sources_add(&image->sources, model);
		keep(image);
	}
	else
		image->hits++;
	image->pins++;
	image->last_use = ++use_clock;
	*header = image->image;
	*verified = sources_have(&image->sources, model);
	return image;
}

void
private_release(PrivateImage *image)
{
	image->pins--;
}

void
private_add_source(PrivateImage *image, const ModelRef *model)
{
	sources_add(&image->sources, model);
}

bool
private_remove(const uint8 *digest)
{
	PrivateImage *image = find(digest);

	if (image == NULL || image->pins > 0)
		return false;
	discard(image);
	return true;
}

List *
private_stats(void)
{
	List	   *stats = NIL;
	ListCell   *cell;

	foreach(cell, images)
	{
		PrivateImage *image = lfirst(cell);
		WeightsStat *stat = palloc0(sizeof(WeightsStat));

		memcpy(stat->digest, image->image->digest, MODEL_DIGEST_BYTES);
		stat->state = "private";
		stat->bytes = image->size;
		stat->pins = image->pins;
		stat->hits = image->hits;
		stat->loaded_at = image->loaded_at;
		stat->load_ms = image->load_ms;
		stats = lappend(stats, stat);
	}
	return stats;
}
