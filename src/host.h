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

/* What a plan may take: tables of the largest vocabularies need some 100 MB. */
#define PLAN_BUDGET ((size_t) 1024 * 1024 * 1024)

/* The one EngineHost of this process. */
extern const EngineHost *engine_host(void);

/*
 * An allocator over a memory context: pieces of any size, NULL instead of an
 * error, freed with the context.  Lives in the context itself.
 */
extern const EngineAllocator *engine_allocator(MemoryContext context);

/*
 * For other callbacks of the engine (byte sources, probes), in PG_CATCH():
 * keeps the error that was thrown and returns the failure to pass up, with
 * which engine_raise() throws that error again.  context: the memory context
 * from before the error.
 */
extern EngineCode engine_keep_error(MemoryContext context,
									EngineStatus *status);

/*
 * Throw a failed status (never returns): errcode by status->code, message,
 * detail and hint.  model may be NULL; else it becomes an errcontext line
 * (model "x").
 */
extern void engine_raise(const EngineStatus *status,
						 const char *model) __attribute__((noreturn));

/* The SQLSTATE that stands for a failure of the engine. */
extern int	engine_sqlstate(EngineCode code);

/* Throw unless ENGINE_OK. */
static inline void
engine_check(EngineCode code, const EngineStatus *status, const char *model)
{
	if (code != ENGINE_OK)
		engine_raise(status, model);
}

/*
 * Text of a file as a value of this database, palloc'd and NUL-terminated:
 * bytes that are not UTF-8, and NUL, become U+FFFD; then it is converted to
 * the database's encoding.
 */
extern char *engine_text(const char *bytes, size_t length);

#endif							/* LLM_HOST_H */
