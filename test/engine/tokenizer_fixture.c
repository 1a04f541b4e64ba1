/*-------------------------------------------------------------------------
 *
 * tokenizer_fixture.c
 *	  A tokenizer from a GGUF file, without the rest of an image.
 *
 *-------------------------------------------------------------------------
 */
#include "tokenizer_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

EngineCode
tokenizer_fixture_open(TokenizerFixture *fixture, const void *bytes,
					   size_t size, int32_t n_rows)
{
	EngineStatus *status = &fixture->status;
	ByteSource	source;
	GgufFile	file;
	TokenizerPlan *plan;

	memset(fixture, 0, sizeof(*fixture));
	engine_arena_init(&fixture->arena, &engine_malloc, 0);
	memory_source(&source, bytes, size);
	ENGINE_TRY(gguf_read(&source, &fixture->arena, NULL, &file, status));
	ENGINE_TRY(tokenizer_plan(&file, &source, n_rows, &fixture->arena, NULL,
							  &plan, &fixture->size, status));
	if (plan == NULL)
		return ENGINE_OK;
	fixture->section = aligned_alloc(64, fixture->size);
	if (fixture->section == NULL)
		abort();
	memset(fixture->section, 0xA5, fixture->size);
	ENGINE_TRY(tokenizer_build(plan, &source, &fixture->arena, NULL,
							   fixture->section, status));
	tokenizer_open(fixture->section, &fixture->tokenizer);
	return ENGINE_OK;
}

void
tokenizer_fixture_close(TokenizerFixture *fixture)
{
	engine_arena_free(&fixture->arena);
	free(fixture->section);
}

char *
read_whole_file(const char *path, size_t *size)
{
	FILE	   *file = fopen(path, "rb");
	char	   *bytes = NULL;
	long		length;

	if (file == NULL)
		return NULL;
	if (fseek(file, 0, SEEK_END) == 0 && (length = ftell(file)) >= 0 &&
		fseek(file, 0, SEEK_SET) == 0)
	{
		*size = (size_t) length;
		bytes = malloc(*size + 1);
		if (bytes != NULL && fread(bytes, 1, *size, file) != *size)
		{
			free(bytes);
			bytes = NULL;
		}
	}
	fclose(file);
	return bytes;
}
