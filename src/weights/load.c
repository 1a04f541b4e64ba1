/*-------------------------------------------------------------------------
 *
 * load.c
 *	  From a large object to an image.
 *
 * The plan reads here and there in the header; then the file is streamed once
 * in ascending order, and hashed on the way.  All reads use the snapshot with
 * which the object was opened, so plan, data and digest are of the same bytes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "utils/memutils.h"

#include "engine/model/image.h"
#include "host.h"
#include "models/large_object.h"
#include "settings.h"
#include "weights/damage.h"
#include "weights/load.h"

struct WeightsLoad
{
	MemoryContext context;
	const ModelRef *model;
	LargeObjectReader *reader;
	EngineArena arena;
	ImagePlan	plan;
};

static void
digest_differs(const ModelRef *model, const char *found)
{
	damage_remember(model->large_object);
	ereport(ERROR,
			errcode(ERRCODE_DATA_CORRUPTED),
			errmsg("large object %u of model \"%s\" has other bytes than were loaded",
				   model->large_object, model->name),
			errdetail("Expected %lld bytes with SHA-256 %s, found %s.",
					  (long long) model->size, digest_text(model->digest),
					  found),
			errhint("Give the model its bytes back with llm.attach_model, or drop and load it again."));
}

static LargeObjectReader *
open_model(const ModelRef *model)
{
	LargeObjectReader *reader = reader_open(model->large_object);
	uint64		size = reader_source(reader)->size;

	if (size != (uint64) model->size)
		digest_differs(model, psprintf("%llu bytes",
									   (unsigned long long) size));
	return reader;
}

/* Reads what is left, compares, closes. */
static void
check_digest(const ModelRef *model, LargeObjectReader *reader)
{
	uint8		digest[MODEL_DIGEST_BYTES];

	reader_finish_digest(reader, digest);
	if (memcmp(digest, model->digest, MODEL_DIGEST_BYTES) != 0)
		digest_differs(model, psprintf("SHA-256 %s", digest_text(digest)));
	damage_forget(model->large_object);
	reader_close(reader);
}

void
load_verify(const ModelRef *model)
{
	LargeObjectReader *reader = open_model(model);

	reader_start_digest(reader);
	check_digest(model, reader);
}

/*
 * When bytes were changed the engine stumbles over the first that makes no
 * sense to it; the user should hear of the change instead.
 */
static void
check_engine(WeightsLoad *load, EngineCode code, const EngineStatus *status)
{
	if (code != ENGINE_OK && code != ENGINE_CANCELLED)
		load_verify(load->model);
	engine_check(code, status, load->model->name);
}

WeightsLoad *
load_begin(const ModelRef *model)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "llm load",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	WeightsLoad *load = palloc0(sizeof(WeightsLoad));
	EngineStatus status;
	EngineCode	code;

	load->context = context;
	load->model = model;
	load->reader = open_model(model);
	engine_arena_init(&load->arena, engine_allocator(context), PLAN_BUDGET);
	code = image_plan(reader_source(load->reader), &load->arena,
					  engine_host(), &load->plan, &status);
	check_engine(load, code, &status);
	MemoryContextSwitchTo(old);
	return load;
}

uint64
load_size(const WeightsLoad *load)
{
	return load->plan.size;
}

static void
note_progress(void *arg, uint64_t done, uint64_t total)
{
	if (arg != NULL)
		pg_atomic_write_u64((pg_atomic_uint64 *) arg, done);
}

void
load_into(WeightsLoad *load, void *image, pg_atomic_uint64 *progress)
{
	MemoryContext old = MemoryContextSwitchTo(load->context);
	EngineStatus status;
	EngineCode	code;

	reader_start_digest(load->reader);
	code = image_build(&load->plan, reader_source(load->reader), &load->arena,
					   engine_host(), note_progress, progress, image, &status);
	check_engine(load, code, &status);
	check_digest(load->model, load->reader);
	memcpy(((ImageHeader *) image)->digest, load->model->digest,
		   MODEL_DIGEST_BYTES);
	MemoryContextSwitchTo(old);
}

void
load_end(WeightsLoad *load)
{
	MemoryContextDelete(load->context);
}

void
no_room_for_image(const char *model, uint64 size, uint64 wanted)
{
	uint64		mb = (uint64) 1024 * 1024;

	ereport(ERROR,
			errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			errmsg("no room for model \"%s\" in the weights cache", model),
			errdetail("It needs %llu MB; llm.cache_size is %d MB, and what is in use cannot be removed.",
					  (unsigned long long) ((size + mb - 1) / mb),
					  setting_cache_size),
			errhint("Set llm.cache_size to at least %lluMB.",
					(unsigned long long) ((wanted + mb - 1) / mb)));
}
