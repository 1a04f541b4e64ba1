/*-------------------------------------------------------------------------
 *
 * arena.h
 *	  Memory of the engine: an allocator that the host hands in, and arenas
 *	  on top of it.
 *
 * An arena only grows; engine_arena_free() gives everything back at once.
 * Nothing in the engine frees single pieces.  A budget bounds what an arena
 * may take from the allocator (0: no bound), so that a hostile file cannot
 * make a backend allocate at will.  All pieces are aligned to 64 bytes and
 * zeroed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_ARENA_H
#define ENGINE_ARENA_H

#include "base/status.h"

/* alloc returns NULL when there is no memory; it never longjmps. */
typedef struct EngineAllocator
{
	void	   *(*alloc) (void *arg, size_t size);
	void		(*free) (void *arg, void *pointer);
	void	   *arg;
} EngineAllocator;

/* malloc and free; for unit tests, fuzzers and benchmarks. */
extern const EngineAllocator engine_malloc;

typedef struct EngineArena
{
	const EngineAllocator *allocator;
	struct EngineChunk *chunks;
	size_t		used;			/* bytes taken from the allocator */
	size_t		budget;			/* most bytes to take, 0 = no bound */
} EngineArena;

extern void engine_arena_init(EngineArena *arena,
							  const EngineAllocator *allocator, size_t budget);

/*
 * count * size zeroed bytes, or NULL with status filled (ENGINE_LIMIT over
 * budget, ENGINE_NO_MEMORY otherwise).  The product is checked.  A request of
 * zero bytes gives a valid pointer.
 */
extern void *engine_alloc(EngineArena *arena, size_t count, size_t size,
						  EngineStatus *status);

/*
 * The same, but not zeroed: for what grows with the input, where zeroing would
 * take long and cannot be interrupted.
 */
extern void *engine_alloc_raw(EngineArena *arena, size_t count, size_t size,
							  EngineStatus *status);

/* A copy of length bytes with a terminating NUL added. */
extern char *engine_strndup(EngineArena *arena, const char *text,
							size_t length, EngineStatus *status);

extern void engine_arena_free(EngineArena *arena);

/* Checked arithmetic: false when the result does not fit. */
static inline bool
checked_add(uint64_t a, uint64_t b, uint64_t *result)
{
	return !__builtin_add_overflow(a, b, result);
}

static inline bool
checked_mul(uint64_t a, uint64_t b, uint64_t *result)
{
	return !__builtin_mul_overflow(a, b, result);
}

/* The next multiple of a (a power of two) that is >= x. */
static inline bool
checked_align(uint64_t x, uint64_t a, uint64_t *result)
{
	if (x > UINT64_MAX - (a - 1))
		return false;
	*result = (x + a - 1) & ~(a - 1);
	return true;
}

#endif							/* ENGINE_ARENA_H */
