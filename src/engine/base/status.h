/*-------------------------------------------------------------------------
 *
 * status.h
 *	  How the engine reports failure, and how it asks whether to go on.
 *
 * Engine functions return an EngineCode and fill an EngineStatus when it is
 * not ENGINE_OK: what went wrong, where (file offset, tensor, key), what was
 * found and what was wanted.  They never print, exit or longjmp.  The host
 * turns a code into an SQLSTATE and the texts into message, detail and hint.
 * Texts are UTF-8 and quote at most a few dozen bytes of file content, with
 * everything outside printable ASCII replaced.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_STATUS_H
#define ENGINE_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum EngineCode
{
	ENGINE_OK = 0,
	ENGINE_CORRUPT,				/* file content breaks its format */
	ENGINE_UNSUPPORTED,			/* well-formed, but not something we run */
	ENGINE_INVALID,				/* an argument of the caller is out of range */
	ENGINE_LIMIT,				/* a cap of ours (size, count, context) */
	ENGINE_NO_MEMORY,
	ENGINE_IO,					/* the byte source failed */
	ENGINE_CANCELLED,			/* the interrupted() callback said so */
	ENGINE_NOT_FINITE			/* NaN or infinity in weights or activations */
} EngineCode;

typedef struct EngineStatus
{
	EngineCode	code;
	char		message[256];	/* lower case, no period */
	char		detail[512];	/* sentence, or empty */
	char		hint[256];		/* sentence, or empty */
} EngineStatus;

/*
 * Set code and message (printf format) and return the code.  detail and hint
 * are cleared; add them with engine_detail() and engine_hint().
 */
extern EngineCode engine_fail(EngineStatus *status, EngineCode code,
							  const char *format,...)
			__attribute__((format(printf, 3, 4)));
extern void engine_detail(EngineStatus *status, const char *format,...)
			__attribute__((format(printf, 2, 3)));
extern void engine_hint(EngineStatus *status, const char *format,...)
			__attribute__((format(printf, 2, 3)));

/*
 * Copy at most size-1 bytes of a text that comes from a file, as printable
 * ASCII ("\xE2" for the rest, "..." when cut), and return buf.
 */
extern const char *engine_printable(const char *text, size_t length,
									char *buf, size_t size);

/* The analyser sees one file at a time: a failure never is ENGINE_OK. */
#if defined(__clang_analyzer__) && !defined(ENGINE_STATUS_SOURCE)
#define engine_fail(status, code, ...) \
	(engine_fail(status, code, __VA_ARGS__), (code))
#endif

/* Pass a failure up. */
#define ENGINE_TRY(call) \
	do { \
		EngineCode	try_code_ = (call); \
		if (try_code_ != ENGINE_OK) \
			return try_code_; \
	} while (0)

/*
 * The host's callbacks, handed to everything that may take longer than a few
 * milliseconds.  interrupted() is called at every work item from the thread
 * that entered the engine, and may be NULL.
 */
typedef struct EngineHost
{
	bool		(*interrupted) (void *arg);
	void	   *arg;
	struct Team *team;			/* threads to compute with (team.h), or NULL */
} EngineHost;

static inline bool
engine_interrupted(const EngineHost *host)
{
	return host != NULL && host->interrupted != NULL &&
		host->interrupted(host->arg);
}

extern EngineCode engine_cancelled(EngineStatus *status);

#endif							/* ENGINE_STATUS_H */
