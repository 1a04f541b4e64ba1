/*-------------------------------------------------------------------------
 *
 * import_fixture.c
 *	  Parts of the importer of Hugging Face folders.
 *
 *-------------------------------------------------------------------------
 */
#include "import_fixture.h"

#include <string.h>

void
import_begin(ImportFixture *fixture, const char *folder)
{
	memset(fixture, 0, sizeof(*fixture));
	if (folder == NULL)
		folder_fixture_memory(&fixture->files);
	else
		folder_fixture_open(&fixture->files, folder);
	engine_arena_init(&fixture->arena, &engine_malloc, 0);
}

void
import_end(ImportFixture *fixture)
{
	engine_arena_free(&fixture->arena);
	folder_fixture_close(&fixture->files);
}

void
import_again(ImportFixture *fixture)
{
	engine_arena_free(&fixture->arena);
	engine_arena_init(&fixture->arena, &engine_malloc, 0);
}

static void
start(ImportFixture *fixture)
{
	memset(&fixture->model, 0, sizeof(fixture->model));
	memset(&fixture->status, 0, sizeof(fixture->status));
	fixture->model.folder = &fixture->files.folder;
	fixture->model.arena = &fixture->arena;
	fixture->model.status = &fixture->status;
	gguf_writer_init(&fixture->writer, &fixture->arena, &fixture->status);
}

static EngineCode
finish(ImportFixture *fixture)
{
	ENGINE_TRY(gguf_writer_finish(&fixture->writer, &fixture->header,
								  &fixture->size));
	memory_source(&fixture->source, fixture->header, fixture->size);
	return gguf_read(&fixture->source, &fixture->arena, NULL, &fixture->gguf,
					 &fixture->status);
}

EngineCode
import_config(ImportFixture *fixture)
{
	start(fixture);
	ENGINE_TRY(hf_read_config(&fixture->model));
	ENGINE_TRY(hf_read_modules(&fixture->model));
	ENGINE_TRY(hf_put_config(&fixture->model, &fixture->writer));
	ENGINE_TRY(hf_put_embedding(&fixture->model, &fixture->writer));
	return finish(fixture);
}

EngineCode
import_tokenizer(ImportFixture *fixture, int32_t n_rows)
{
	start(fixture);
	ENGINE_TRY(hf_read_config(&fixture->model));
	ENGINE_TRY(hf_read_modules(&fixture->model));
	ENGINE_TRY(hf_put_tokenizer(&fixture->model, n_rows, &fixture->writer));
	return finish(fixture);
}
