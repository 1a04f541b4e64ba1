/*-------------------------------------------------------------------------
 *
 * hugging_face_test.c
 *	  Whole folders as GGUF files, right ones, incomplete ones and broken
 *	  ones.
 *
 * A folder of test/data/hf in which one byte of one file differs is accepted
 * or refused with a message; what is accepted is a GGUF file that its reader
 * accepts.  The sanitised build shows that nothing else happens.
 *
 *-------------------------------------------------------------------------
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "folder_fixture.h"
#include "formats/gguf.h"
#include "formats/hugging_face.h"

#define BUDGET ((size_t) 64 << 20)

static const char *const folders[] = {
	"bert", "bert-cls-dense", "cross-encoder", "cross-roberta", "distilbert",
	"gemma", "gemma-embedding", "gemma2", "gemma3", "gpt2", "llama",
	"modern-bert", "nomic-bert", "qwen2", "qwen3", "roberta", "xlm-roberta"
};

#define N_FOLDERS ((int) (sizeof(folders) / sizeof(folders[0])))

typedef struct Opened
{
	EngineArena arena;
	EngineStatus status;
	ByteSource *source;
} Opened;

static void
open_directory(FolderFixture *fixture, const char *name)
{
	char		path[256];

	snprintf(path, sizeof(path), "test/data/hf/%s", name);
	folder_fixture_open(fixture, path);
}

static EngineCode
open_folder(FolderFixture *fixture, int quantization, const EngineHost *host,
			size_t budget, Opened *opened)
{
	memset(opened, 0, sizeof(*opened));
	engine_arena_init(&opened->arena, &engine_malloc, budget);
	return hugging_face_open(&fixture->folder, quantization, &opened->arena,
							 host, &opened->source, &opened->status);
}

/* All bytes; they have to be a GGUF file. */
static EngineCode
read_all(Opened *opened, uint8_t **bytes)
{
	ByteSource	copy;
	EngineCode	code;
	GgufFile	file;

	*bytes = malloc(opened->source->size);
	assert_non_null(*bytes);
	code = opened->source->read(opened->source, 0, *bytes,
								opened->source->size, &opened->status);
	if (code != ENGINE_OK)
		return code;
	memory_source(&copy, *bytes, opened->source->size);
	code = gguf_read(&copy, &opened->arena, NULL, &file, &opened->status);
	if (code != ENGINE_OK)
		fail_msg("not a GGUF file: %s", opened->status.message);
	assert_true(file.n_tensors > 0);
	return ENGINE_OK;
}

static void
check_status(EngineCode code, const EngineStatus *status)
{
	assert_int_equal(code, status->code);
	assert_true(status->message[0] != '\0');
	for (const char *c = status->message; *c != '\0'; c++)
		assert_in_range((unsigned char) *c, 0x20, 0x7E);
}

/* Open, and read if that succeeds; what fails has a message. */
static EngineCode
try_folder(FolderFixture *fixture, int quantization)
{
	Opened		opened;
	uint8_t    *bytes = NULL;
	EngineCode	code = open_folder(fixture, quantization, NULL, BUDGET,
								   &opened);

	if (code == ENGINE_OK)
		code = read_all(&opened, &bytes);
	if (code != ENGINE_OK)
		check_status(code, &opened.status);
	free(bytes);
	engine_arena_free(&opened.arena);
	return code;
}

static void
test_all(void **state)
{
	static const int types[] = {HF_KEEP, TYPE_F32, TYPE_F16, TYPE_BF16,
	TYPE_Q8_0, TYPE_Q4_0, TYPE_Q4_K, TYPE_Q6_K};

	(void) state;
	for (int i = 0; i < N_FOLDERS; i++)
	{
		FolderFixture fixture;

		open_directory(&fixture, folders[i]);
		for (size_t j = 0; j < sizeof(types) / sizeof(types[0]); j++)
		{
			if (try_folder(&fixture, types[j]) != ENGINE_OK)
				fail_msg("%s is refused", folders[i]);
		}
		folder_fixture_close(&fixture);
	}
}

/* The same folder gives the same bytes. */
static void
test_same_bytes(void **state)
{
	(void) state;
	for (int i = 0; i < N_FOLDERS; i++)
	{
		Opened		opened[2];
		uint8_t    *bytes[2];
		FolderFixture fixtures[2];

		for (int j = 0; j < 2; j++)
		{
			open_directory(&fixtures[j], folders[i]);
			assert_int_equal(open_folder(&fixtures[j], TYPE_Q8_0, NULL,
										 BUDGET, &opened[j]), ENGINE_OK);
			assert_int_equal(read_all(&opened[j], &bytes[j]), ENGINE_OK);
		}
		assert_int_equal(opened[0].source->size, opened[1].source->size);
		assert_memory_equal(bytes[0], bytes[1], opened[0].source->size);
		for (int j = 0; j < 2; j++)
		{
			free(bytes[j]);
			engine_arena_free(&opened[j].arena);
			folder_fixture_close(&fixtures[j]);
		}
	}
}

/* Without which files there is no model */
static void
test_missing_files(void **state)
{
	static const char *const needed[] = {
		"config.json", "tokenizer.json", "model.safetensors",
		"model.safetensors.index.json", "model-00001-of-00002.safetensors",
		"2_Dense/config.json", "2_Dense/model.safetensors", NULL
	};

	(void) state;
	for (int i = 0; i < 2; i++)
	{
		const char *folder = i == 0 ? "bert" : "bert-cls-dense";

		for (int j = 0; needed[j] != NULL; j++)
		{
			FolderFixture fixture;
			ByteSource *source;
			EngineStatus status;

			open_directory(&fixture, folder);
			assert_int_equal(folder_open(&fixture.folder, needed[j], &source,
										 &status), ENGINE_OK);
			folder_fixture_remove(&fixture, needed[j]);
			if (source != NULL)
				assert_int_not_equal(try_folder(&fixture, HF_KEEP),
									 ENGINE_OK);
			folder_fixture_close(&fixture);
		}
	}
}

static void
test_wrong_quantization(void **state)
{
	FolderFixture fixture;

	(void) state;
	open_directory(&fixture, "bert");
	assert_int_equal(try_folder(&fixture, 9), ENGINE_INVALID);
	assert_int_equal(try_folder(&fixture, -7), ENGINE_INVALID);
	folder_fixture_close(&fixture);
}

/* A copy of a file of the folder; NULL: it has none. */
static uint8_t *
copy_file(FolderFixture *fixture, const char *name, size_t *size)
{
	ByteSource *source;
	EngineStatus status;
	uint8_t    *bytes;

	assert_int_equal(folder_open(&fixture->folder, name, &source, &status),
					 ENGINE_OK);
	if (source == NULL)
		return NULL;
	*size = source->size;
	bytes = malloc(*size + 1);
	assert_non_null(bytes);
	assert_int_equal(source->read(source, 0, bytes, *size, &status),
					 ENGINE_OK);
	return bytes;
}

static const char *const files[] = {
	"config.json", "tokenizer.json", "tokenizer_config.json",
	"special_tokens_map.json", "generation_config.json", "modules.json",
	"1_Pooling/config.json", "2_Dense/config.json",
	"sentence_bert_config.json", "config_sentence_transformers.json",
	"model.safetensors", "model.safetensors.index.json",
	"2_Dense/model.safetensors", "model-00001-of-00002.safetensors"
};

#define N_FILES ((int) (sizeof(files) / sizeof(files[0])))

/* About this many places of a file are changed, or ends of it tried. */
#define PLACES 60

static const char *const broken[] = {"bert-cls-dense", "llama",
"xlm-roberta", "gemma-embedding", "cross-encoder"};

#define N_BROKEN ((int) (sizeof(broken) / sizeof(broken[0])))

static void
break_file(FolderFixture *fixture, const char *name, uint8_t *bytes,
		   size_t size, size_t *refused)
{
	static const char values[] = {'0', '9', '"', '}', '-', 'x', ','};
	size_t		end = size < 20000 ? size : 20000;
	size_t		step = end / PLACES + 1;

	for (size_t at = 0; at < end; at += step)
	{
		uint8_t		saved = bytes[at];

		bytes[at] = (uint8_t) values[at % sizeof(values)];
		folder_fixture_add(fixture, name, bytes, size);
		if (try_folder(fixture, HF_KEEP) != ENGINE_OK)
			*refused += 1;
		bytes[at] = saved;
	}
	folder_fixture_add(fixture, name, bytes, size);
}

static void
test_mutations(void **state)
{
	size_t		refused = 0;

	(void) state;
	for (int i = 0; i < N_BROKEN; i++)
	{
		FolderFixture fixture;

		open_directory(&fixture, broken[i]);
		for (int j = 0; j < N_FILES; j++)
		{
			size_t		size;
			uint8_t    *bytes = copy_file(&fixture, files[j], &size);

			if (bytes != NULL)
				break_file(&fixture, files[j], bytes, size, &refused);
			free(bytes);
		}
		folder_fixture_close(&fixture);
	}
	assert_true(refused > 500); /* observed: 1214 */
}

/* No JSON file may end early, and no weights. */
static void
test_truncations(void **state)
{
	(void) state;
	for (int i = 0; i < N_BROKEN; i++)
	{
		FolderFixture fixture;

		open_directory(&fixture, broken[i]);
		for (int j = 0; j < N_FILES; j++)
		{
			size_t		size = 0;
			uint8_t    *bytes = copy_file(&fixture, files[j], &size);

			if (bytes == NULL)
				continue;
			/* white space may stand at the end */
			while (size > 0 && bytes[size - 1] == '\n')
				size--;
			for (size_t end = 0; end < size; end += size / PLACES + 1)
			{
				folder_fixture_add(&fixture, files[j], bytes, end);
				if (try_folder(&fixture, HF_KEEP) == ENGINE_OK &&
					strcmp(files[j], "special_tokens_map.json") != 0 &&
					strcmp(files[j], "generation_config.json") != 0)
					fail_msg("%s of %s ends at %zu", files[j], broken[i],
							 end);
			}
			folder_fixture_add(&fixture, files[j], bytes, size);
			assert_int_equal(try_folder(&fixture, HF_KEEP), ENGINE_OK);
			free(bytes);
		}
		folder_fixture_close(&fixture);
	}
}

static void
test_no_memory(void **state)
{
	FolderFixture fixture;
	size_t		budget = 1;
	EngineCode	code;
	int			failures = 0;

	(void) state;
	open_directory(&fixture, "bert-cls-dense");
	do
	{
		Opened		opened;

		code = open_folder(&fixture, TYPE_Q8_0, NULL, budget, &opened);
		if (code != ENGINE_OK)
		{
			assert_int_equal(code, ENGINE_LIMIT);
			check_status(code, &opened.status);
			failures++;
		}
		engine_arena_free(&opened.arena);
		budget += 30000;
	} while (code != ENGINE_OK);
	assert_true(failures > 3);	/* observed: 13 */
	folder_fixture_close(&fixture);
}

static bool
count_down(void *arg)
{
	int		   *left = arg;

	return (*left)-- <= 0;
}

static void
test_interrupts(void **state)
{
	FolderFixture fixture;
	int			polls = 0;
	EngineCode	code;

	(void) state;
	open_directory(&fixture, "xlm-roberta");
	do
	{
		Opened		opened;
		int			left = polls++;
		EngineHost	host = {count_down, &left, NULL};

		code = open_folder(&fixture, TYPE_Q8_0, &host, BUDGET, &opened);
		assert_true(code == ENGINE_OK || code == ENGINE_CANCELLED);
		engine_arena_free(&opened.arena);
	} while (code != ENGINE_OK);
	assert_true(polls > 10);	/* observed: 42 */
	folder_fixture_close(&fixture);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_same_bytes),
		cmocka_unit_test(test_missing_files),
		cmocka_unit_test(test_wrong_quantization),
		cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_truncations),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_interrupts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
