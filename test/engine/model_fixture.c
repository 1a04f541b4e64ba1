/*-------------------------------------------------------------------------
 *
 * model_fixture.c
 *	  A model as an image in memory, for tests and the benchmark.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include "model_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void
give_up(const char *path, const char *why)
{
	fprintf(stderr, "%s: %s\n", path, why);
	exit(2);
}

/* name is for messages; nothing of source is needed afterwards. */
static void
build_image(ModelFixture *fixture, ByteSource *source, const char *name)
{
	ImagePlan	plan;
	EngineStatus status;
	EngineArena planning;

	engine_arena_init(&fixture->arena, &engine_malloc, 0);
	engine_arena_init(&planning, &engine_malloc, 0);
	if (image_plan(source, &planning, NULL, &plan, &status) != ENGINE_OK)
		give_up(name, status.message);
	fixture->mapped = plan.size;
	fixture->image = mmap(NULL, plan.size, PROT_READ | PROT_WRITE,
						  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fixture->image == MAP_FAILED)
		give_up(name, "no memory for the image");
	madvise(fixture->image, plan.size, MADV_HUGEPAGE);
	if (image_build(&plan, source, &planning, NULL, NULL, NULL,
					fixture->image, &status) != ENGINE_OK)
		give_up(name, status.message);
	engine_arena_free(&planning);
	if (fixture->image->tokenizer != 0)
		tokenizer_open(image_at(fixture->image, fixture->image->tokenizer),
					   &fixture->tokenizer);
}

void
model_fixture_open(ModelFixture *fixture, const char *path)
{
	int			file = open(path, O_RDONLY);
	struct stat info;
	void	   *bytes;
	ByteSource	source;

	if (file < 0 || fstat(file, &info) != 0)
		give_up(path, "cannot be opened");
	bytes = mmap(NULL, info.st_size, PROT_READ, MAP_PRIVATE, file, 0);
	close(file);
	if (bytes == MAP_FAILED)
		give_up(path, "cannot be mapped");
	memory_source(&source, bytes, info.st_size);
	build_image(fixture, &source, path);
	munmap(bytes, info.st_size);
}

void
model_fixture_open_folder(ModelFixture *fixture, ModelFolder *folder,
						  int quantization)
{
	EngineArena arena;
	EngineStatus status;
	ByteSource *source;

	engine_arena_init(&arena, &engine_malloc, 0);
	if (hugging_face_open(folder, quantization, &arena, NULL, &source,
						  &status) != ENGINE_OK)
		give_up("folder", status.message);
	build_image(fixture, source, "folder");
	engine_arena_free(&arena);
}

void
model_fixture_close(ModelFixture *fixture)
{
	munmap(fixture->image, fixture->mapped);
	engine_arena_free(&fixture->arena);
}

static void *
pool_get(void *arg, size_t page_bytes)
{
	TestPool   *pool = arg;

	if (pool->limit > 0 && pool->in_use >= pool->limit)
		return NULL;
	pool->in_use++;
	return aligned_alloc(64, page_bytes);
}

static void
pool_put(void *arg, void *page)
{
	TestPool   *pool = arg;

	pool->in_use--;
	free(page);
}

void
test_pool_init(TestPool *pool)
{
	pool->pool.get = pool_get;
	pool->pool.put = pool_put;
	pool->pool.arg = pool;
	pool->in_use = 0;
	pool->limit = 0;
}
