/*-------------------------------------------------------------------------
 *
 * hugging_face_fuzz.c
 *	  A folder of test/data/hf of which one file is any bytes.
 *
 * The first byte chooses the folder, the second the file.  If the third is P,
 * the rest is a list of patches to the file, each two bytes of offset and one
 * of value; otherwise everything from there on replaces it.
 *
 * What the importer accepts must be a GGUF file; the plan of its image may
 * still refuse it.  The program has to start where test/data is.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "folder_fixture.h"
#include "formats/hugging_face.h"
#include "model/image.h"

#define ARENA_BUDGET ((size_t) 64 << 20)

static const char *const folders[] = {
	"bert", "bert-cls-dense", "cross-encoder", "cross-roberta", "distilbert",
	"gemma", "gemma-embedding", "gemma2", "gemma3", "gpt2", "llama",
	"modern-bert", "nomic-bert", "qwen2", "qwen3", "roberta", "xlm-roberta"
};

static const char *const files[] = {
	"config.json", "tokenizer.json", "tokenizer_config.json",
	"special_tokens_map.json", "generation_config.json", "modules.json",
	"1_Pooling/config.json", "2_Dense/config.json",
	"sentence_bert_config.json", "config_sentence_transformers.json",
	"model.safetensors", "model.safetensors.index.json",
	"2_Dense/model.safetensors", "vocab.txt", "chat_template.jinja"
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
demand(int condition, const char *what)
{
	if (!condition)
	{
		fprintf(stderr, "%s\n", what);
		abort();
	}
}

/* An error has a code and a text, and texts are printable. */
static void
check_status(EngineCode code, const EngineStatus *status)
{
	demand(code == status->code && status->message[0] != '\0',
		   "an error without code or message");
	for (const char *c = status->message; *c != '\0'; c++)
		demand((unsigned char) *c >= 0x20 && (unsigned char) *c <= 0x7E,
			   "a message that is not printable");
}

static void
patch_file(FolderFixture *fixture, const char *name, const uint8_t *data,
		   size_t size)
{
	ByteSource *source;
	EngineStatus status;
	uint8_t    *bytes;

	demand(folder_open(&fixture->folder, name, &source, &status) ==
		   ENGINE_OK, "no folder");
	if (source == NULL || source->size == 0)
		return;
	bytes = malloc(source->size);
	demand(bytes != NULL, "no memory");
	demand(source->read(source, 0, bytes, source->size, &status) ==
		   ENGINE_OK, "no file");
	for (size_t i = 0; i + 3 <= size; i += 3)
		bytes[((size_t) data[i] << 8 | data[i + 1]) % source->size] =
			data[i + 2];
	folder_fixture_add(fixture, name, bytes, source->size);
	free(bytes);
}

static void
check_gguf(ByteSource *source, EngineArena *arena)
{
	GgufFile	file;
	ImagePlan	plan;
	EngineStatus status;
	EngineCode	code;
	uint8_t    *bytes;
	uint64_t	size;

	/* it reads ahead, and may meet weights that are not finite */
	code = gguf_read(source, arena, NULL, &file, &status);
	if (code != ENGINE_OK)
	{
		check_status(code, &status);
		demand(code == ENGINE_LIMIT || code == ENGINE_NOT_FINITE,
			   status.message);
		return;
	}
	code = image_plan(source, arena, NULL, &plan, &status);
	if (code != ENGINE_OK)
		check_status(code, &status);

	/* the data, too */
	size = source->size - file.data_offset;
	if (size > 1 << 20)
		size = 1 << 20;
	bytes = malloc(size + 1);
	demand(bytes != NULL, "no memory");
	code = source->read(source, source->size - size, bytes, size, &status);
	if (code != ENGINE_OK)
		check_status(code, &status);
	free(bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FolderFixture fixture;
	EngineArena arena;
	EngineStatus status;
	ByteSource *source;
	EngineCode	code;
	const char *name;
	char		path[256];

	if (size < 3)
		return 0;
	snprintf(path, sizeof(path), "test/data/hf/%s",
			 folders[data[0] % LENGTH(folders)]);
	name = files[data[1] % LENGTH(files)];
	folder_fixture_open(&fixture, path);
	if (data[2] == 'P')
		patch_file(&fixture, name, data + 3, size - 3);
	else
		folder_fixture_add(&fixture, name, data + 2, size - 2);
	engine_arena_init(&arena, &engine_malloc, ARENA_BUDGET);
	code = hugging_face_open(&fixture.folder, size % 2 == 0 ? HF_KEEP :
							 TYPE_Q8_0, &arena, NULL, &source, &status);
	if (code == ENGINE_OK)
		check_gguf(source, &arena);
	else
		check_status(code, &status);
	engine_arena_free(&arena);
	folder_fixture_close(&fixture);
	return 0;
}
