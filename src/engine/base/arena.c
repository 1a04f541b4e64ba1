/*-------------------------------------------------------------------------
 *
 * arena.c
 *	  Arenas over the host's allocator.
 *
 * Pieces above half a chunk get a chunk of their own, so that a large buffer
 * does not waste the rest of a small one.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_CHUNK ((size_t) 64 * 1024)
#define ARENA_ALIGN ((size_t) 64)

typedef struct EngineChunk
{
	struct EngineChunk *next;
	size_t		size;			/* bytes of data after alignment */
	size_t		used;
	char	   *data;			/* aligned start inside this allocation */
} EngineChunk;

static void *
malloc_alloc(void *arg, size_t size)
{
	(void) arg;
	return malloc(size);
}

static void
malloc_free(void *arg, void *pointer)
{
	(void) arg;
	free(pointer);
}

const EngineAllocator engine_malloc = {malloc_alloc, malloc_free, NULL};

void
engine_arena_init(EngineArena *arena, const EngineAllocator *allocator,
				  size_t budget)
{
	arena->allocator = allocator;
	arena->chunks = NULL;
	arena->used = 0;
	arena->budget = budget;
}

static EngineChunk *
arena_grow(EngineArena *arena, size_t size, EngineStatus *status)
{
	size_t		total = sizeof(EngineChunk) + ARENA_ALIGN + size;
	EngineChunk *chunk;

	if (arena->budget != 0 &&
		(total > arena->budget || arena->used > arena->budget - total))
	{
		engine_fail(status, ENGINE_LIMIT,
					"needs more than the %zu MB of working memory allowed",
					arena->budget >> 20);
		return NULL;
	}
	chunk = arena->allocator->alloc(arena->allocator->arg, total);
	if (chunk == NULL)
	{
		engine_fail(status, ENGINE_NO_MEMORY,
					"could not allocate %zu bytes", total);
		return NULL;
	}
	chunk->data = (char *) (((uintptr_t) (chunk + 1) + ARENA_ALIGN - 1) &
							~(uintptr_t) (ARENA_ALIGN - 1));
	chunk->size = size;
	chunk->used = 0;
	arena->used += total;
	return chunk;
}

/* count * size bytes, rounded up to *taken. */
static void *
arena_take(EngineArena *arena, size_t count, size_t size, uint64_t *taken,
		   EngineStatus *status)
{
	uint64_t	bytes;
	EngineChunk *chunk = arena->chunks;
	void	   *result;

	if (!checked_mul(count, size, &bytes) || bytes > SIZE_MAX / 2)
	{
		engine_fail(status, ENGINE_LIMIT,
					"allocation of %zu items of %zu bytes is too large",
					count, size);
		return NULL;
	}
	bytes = (bytes + ARENA_ALIGN - 1) & ~(uint64_t) (ARENA_ALIGN - 1);

	if (chunk == NULL || chunk->size - chunk->used < bytes)
	{
		bool		own = bytes > ARENA_CHUNK / 2;
		EngineChunk *fresh = arena_grow(arena, own ? bytes : ARENA_CHUNK,
										status);

		if (fresh == NULL)
			return NULL;
		if (own && chunk != NULL)
		{
			/* keep filling the current chunk */
			fresh->next = chunk->next;
			chunk->next = fresh;
		}
		else
		{
			fresh->next = chunk;
			arena->chunks = fresh;
		}
		chunk = fresh;
	}
	result = chunk->data + chunk->used;
	chunk->used += bytes;
	*taken = bytes;
	return result;
}

void *
engine_alloc(EngineArena *arena, size_t count, size_t size,
			 EngineStatus *status)
{
	uint64_t	bytes;
	void	   *result = arena_take(arena, count, size, &bytes, status);

	if (result != NULL)
		memset(result, 0, bytes);
	return result;
}

void *
engine_alloc_raw(EngineArena *arena, size_t count, size_t size,
				 EngineStatus *status)
{
	uint64_t	bytes;

	return arena_take(arena, count, size, &bytes, status);
}

char *
engine_strndup(EngineArena *arena, const char *text, size_t length,
			   EngineStatus *status)
{
	char	   *copy;

	if (length == SIZE_MAX)
	{
		engine_fail(status, ENGINE_LIMIT, "text is too long");
		return NULL;
	}
	copy = engine_alloc(arena, length + 1, 1, status);
	if (copy != NULL && length > 0)
		memcpy(copy, text, length);
	return copy;
}

void
engine_arena_free(EngineArena *arena)
{
	EngineChunk *chunk = arena->chunks;

	while (chunk != NULL)
	{
		EngineChunk *next = chunk->next;

		arena->allocator->free(arena->allocator->arg, chunk);
		chunk = next;
	}
	arena->chunks = NULL;
	arena->used = 0;
}
