/*-------------------------------------------------------------------------
 *
 * tokenizer_fixture.h
 *	  A tokenizer from a GGUF file, without the rest of an image.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TOKENIZER_FIXTURE_H
#define TOKENIZER_FIXTURE_H

#include "base/json.h"
#include "tokenizer/tokenizer.h"

typedef struct TokenizerFixture
{
	EngineArena arena;
	EngineStatus status;
	void	   *section;
	uint64_t	size;			/* of the section; 0: no tokenizer */
	Tokenizer	tokenizer;
} TokenizerFixture;

/*
 * Plan and build from a file's bytes, for an embedding of n_rows rows.  The
 * section has exactly the size that was planned, so that a sanitiser sees what
 * is written or read beyond it.
 */
extern EngineCode tokenizer_fixture_open(TokenizerFixture *fixture,
										 const void *bytes, size_t size,
										 int32_t n_rows);
extern void tokenizer_fixture_close(TokenizerFixture *fixture);

/* A whole file, to be freed; NULL if it cannot be read. */
extern char *read_whole_file(const char *path, size_t *size);

#endif							/* TOKENIZER_FIXTURE_H */
