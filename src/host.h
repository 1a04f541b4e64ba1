/*-------------------------------------------------------------------------
 *
 * host.h
 *	  What PostgreSQL gives to the engine: memory, interrupts, errors.
 *
 * The engine never longjmps.  Its interrupted() callback runs
 * CHECK_FOR_INTERRUPTS() inside PG_TRY, keeps a caught error, and says "stop";
 * engine_raise() then throws the kept error again, or else turns the engine's
 * status into ereport(ERROR).  FATAL exits from inside the engine, which is
 * fine: it holds nothing that exit callbacks do not release.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_HOST_H
#define LLM_HOST_H

#include "engine/base/arena.h"
#include "engine/base/source.h"

/* The one EngineHost of this process. */
extern const EngineHost *engine_host(void);

/*
 * An allocator over a memory context: pieces of any size, NULL instead of an
 * error, freed with the context.  Lives in the context itself.
 */
extern const EngineAllocator *engine_allocator(MemoryContext context);

/*
 * Throw a failed status (never returns): errcode by status->code, message,
 * detail and hint.  model may be NULL; else it becomes an errcontext line
 * (model "x").
 */
extern void engine_raise(const EngineStatus *status,
						 const char *model) __attribute__((noreturn));

/* Throw unless ENGINE_OK. */
static inline void
engine_check(EngineCode code, const EngineStatus *status, const char *model)
{
	if (code != ENGINE_OK)
		engine_raise(status, model);
}

#endif							/* LLM_HOST_H */
