/*-------------------------------------------------------------------------
 *
 * folder_test.c
 *	  Folders of model files: names that may leave them, whole files, and
 *	  weights in several safetensors files.
 *
 * The fixture aborts when it is asked for a name that was not checked.
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
#include "formats/safetensors.h"

#define BUDGET ((size_t) 16 << 20)

typedef struct Folder
{
	FolderFixture fixture;
	EngineArena arena;
	EngineStatus status;
	SafeTensors tensors;
} Folder;

static void
open_folder(Folder *self)
{
	memset(self, 0, sizeof(*self));
	folder_fixture_memory(&self->fixture);
	engine_arena_init(&self->arena, &engine_malloc, BUDGET);
}

static void
close_folder(Folder *self)
{
	engine_arena_free(&self->arena);
	folder_fixture_close(&self->fixture);
}

static void
expect(EngineCode found, EngineCode wanted, const EngineStatus *status,
	   const char *words)
{
	if (found != wanted || (wanted != ENGINE_OK &&
							strstr(status->message, words) == NULL))
		fail_msg("code %d instead of %d, \"%s\" without \"%s\"", found,
				 wanted, status->message, words);
}

static void
test_names(void **state)
{
	static const char *const good[] = {
		"config.json", "1_Pooling/config.json", "a", "a/b", "A-b_9.x",
		"model-00001-of-00002.safetensors", "a..b", "a."
	};
	static const char *const bad[] = {
		"", "/", "a/", "/a", "a//b", "a/b/c", "../x", "a/../b", "..", ".",
		"./a", "a/.", "a/.hidden", ".hidden", "/etc/passwd", "a\\b", "C:x",
		"a b", "a\nb", "a%b", "a:b", "~a", "\xC3\xA4", "a\x01", "a*", "-/..",
		"a/..", "..a/b"
	};
	char		longest[402];

	(void) state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(folder_name(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		Folder		self;
		ByteSource *source;

		assert_false(folder_name(bad[i]));
		open_folder(&self);
		expect(folder_open(&self.fixture.folder, bad[i], &source,
						   &self.status), ENGINE_CORRUPT, &self.status,
			   "is not the name of a file");
		assert_null(source);
		assert_int_equal(self.fixture.opened, 0);
		close_folder(&self);
	}
	assert_true(folder_component("a/b", 1));
	assert_false(folder_component("a/b", 3));
	assert_false(folder_component("a\0b", 3));
	assert_false(folder_component("a", 0));
	memset(longest, 'a', sizeof(longest));
	longest[401] = '\0';
	assert_false(folder_name(longest));
	longest[200] = '/';
	assert_true(folder_name(longest));
	assert_true(folder_component(longest, 200));
	assert_false(folder_component("a", 201));
}

static void
test_json(void **state)
{
	Folder		self;
	const JsonNode *root;

	(void) state;
	open_folder(&self);
	expect(folder_json(&self.fixture.folder, "a.json", false, 100,
					   &self.arena, NULL, &root, &self.status), ENGINE_OK,
		   &self.status, "");
	assert_null(root);
	expect(folder_json(&self.fixture.folder, "a.json", true, 100,
					   &self.arena, NULL, &root, &self.status),
		   ENGINE_CORRUPT, &self.status, "no file \"a.json\"");

	folder_fixture_text(&self.fixture, "a.json", "{\"k\": [1, 2]}");
	expect(folder_json(&self.fixture.folder, "a.json", true, 13, &self.arena,
					   NULL, &root, &self.status), ENGINE_OK, &self.status,
		   "");
	assert_int_equal(json_member(root, "k")->count, 2);
	expect(folder_json(&self.fixture.folder, "a.json", false, 12,
					   &self.arena, NULL, &root, &self.status), ENGINE_LIMIT,
		   &self.status, "\"a.json\" of 13 bytes");
	assert_null(root);

	folder_fixture_text(&self.fixture, "a.json", "{\"k\": }");
	expect(folder_json(&self.fixture.folder, "a.json", false, 100,
					   &self.arena, NULL, &root, &self.status),
		   ENGINE_CORRUPT, &self.status,
		   "file \"a.json\": invalid JSON at byte 6");
	folder_fixture_text(&self.fixture, "a.json", "");
	expect(folder_json(&self.fixture.folder, "a.json", false, 100,
					   &self.arena, NULL, &root, &self.status),
		   ENGINE_CORRUPT, &self.status, "file \"a.json\"");
	close_folder(&self);
}

static void
test_text(void **state)
{
	Folder		self;
	const char *text;
	size_t		length;

	(void) state;
	open_folder(&self);
	expect(folder_text(&self.fixture.folder, "t", 3, &self.arena, &text,
					   &length, &self.status), ENGINE_OK, &self.status, "");
	assert_null(text);
	folder_fixture_add(&self.fixture, "t", "a\0b", 3);
	expect(folder_text(&self.fixture.folder, "t", 3, &self.arena, &text,
					   &length, &self.status), ENGINE_OK, &self.status, "");
	assert_int_equal(length, 3);
	assert_memory_equal(text, "a\0b", 4);
	expect(folder_text(&self.fixture.folder, "t", 2, &self.arena, &text,
					   &length, &self.status), ENGINE_LIMIT, &self.status,
		   "larger than 2 bytes");
	folder_fixture_add(&self.fixture, "t", "", 0);
	expect(folder_text(&self.fixture.folder, "t", 2, &self.arena, &text,
					   &length, &self.status), ENGINE_OK, &self.status, "");
	assert_string_equal(text, "");
	close_folder(&self);
}

/* A file of two bytes for each name, U8 */
static void
add_weights(Folder *self, const char *file, int n, const char *const *names)
{
	char		text[1024] = "{";
	uint8_t		bytes[1100];
	size_t		length;

	for (int i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
				 "%s\"%s\":{\"dtype\":\"U8\",\"shape\":[2],"
				 "\"data_offsets\":[%d,%d]}", i == 0 ? "" : ",", names[i],
				 2 * i, 2 * i + 2);
	length = strlen(text);
	text[length++] = '}';
	memset(bytes, 0, sizeof(bytes));
	bytes[0] = (uint8_t) (length & 255);
	bytes[1] = (uint8_t) (length >> 8);
	memcpy(bytes + 8, text, length);
	folder_fixture_add(&self->fixture, file, bytes,
					   8 + length + 2 * (size_t) n);
}

static EngineCode
open_weights(Folder *self, const char *prefix)
{
	return safetensors_open(&self->fixture.folder, prefix, &self->arena,
							NULL, &self->tensors, &self->status);
}

static void
test_single(void **state)
{
	static const char *const names[] = {"y", "x"};
	Folder		self;

	(void) state;
	open_folder(&self);
	expect(open_weights(&self, ""), ENGINE_CORRUPT, &self.status,
		   "no file \"model.safetensors\"");
	assert_string_not_equal(self.status.hint, "");
	add_weights(&self, "model.safetensors", 2, names);
	add_weights(&self, "2_Dense/model.safetensors", 1, names);
	expect(open_weights(&self, ""), ENGINE_OK, &self.status, "");
	assert_int_equal(self.tensors.n, 2);
	expect(open_weights(&self, "2_Dense/"), ENGINE_OK, &self.status, "");
	assert_int_equal(self.tensors.n, 1);
	expect(open_weights(&self, "../"), ENGINE_CORRUPT, &self.status,
		   "not the name");
	expect(open_weights(&self, "3_Dense/"), ENGINE_CORRUPT, &self.status,
		   "no file \"3_Dense/model.safetensors\"");

	/* the file in question is named */
	folder_fixture_text(&self.fixture, "model.safetensors", "short");
	expect(open_weights(&self, ""), ENGINE_CORRUPT, &self.status, "5 bytes");
	assert_non_null(strstr(self.status.detail, "\"model.safetensors\""));
	close_folder(&self);
}

static const char *const first_names[] = {"x", "z"};
static const char *const second_names[] = {"y"};

static void
add_shards(Folder *self, const char *prefix)
{
	char		name[64];

	snprintf(name, sizeof(name), "%sone.safetensors", prefix);
	add_weights(self, name, 2, first_names);
	snprintf(name, sizeof(name), "%stwo.safetensors", prefix);
	add_weights(self, name, 1, second_names);
}

#define ONE "\"one.safetensors\""
#define TWO "\"two.safetensors\""

static void
test_shards(void **state)
{
	static const char index[] = "{\"metadata\":{\"total_size\":6},"
		"\"weight_map\":{\"x\":" ONE ",\"y\":" TWO ",\"z\":" ONE "}}";
	static const char *const prefixes[] = {"", "2_Dense/"};

	(void) state;
	for (int i = 0; i < 2; i++)
	{
		Folder		self;
		char		name[64];

		open_folder(&self);
		add_shards(&self, prefixes[i]);
		snprintf(name, sizeof(name), "%smodel.safetensors.index.json",
				 prefixes[i]);
		folder_fixture_text(&self.fixture, name, index);
		expect(open_weights(&self, prefixes[i]), ENGINE_OK, &self.status, "");
		assert_int_equal(self.tensors.n, 3);
		assert_string_equal(self.tensors.tensors[0].name, "x");
		assert_string_equal(self.tensors.tensors[1].name, "y");
		assert_string_equal(self.tensors.tensors[2].name, "z");
		assert_ptr_equal(safetensors_find(&self.tensors, "x")->source,
						 safetensors_find(&self.tensors, "z")->source);
		assert_ptr_not_equal(safetensors_find(&self.tensors, "x")->source,
							 safetensors_find(&self.tensors, "y")->source);
		close_folder(&self);
	}
}

typedef struct IndexCase
{
	const char *index;
	EngineCode	code;
	const char *words;
} IndexCase;

#define MAP(entries) "{\"weight_map\":{" entries "}}"

static const IndexCase index_cases[] = {
	{"[]", ENGINE_CORRUPT, "no weight_map"},
	{"{}", ENGINE_CORRUPT, "no weight_map"},
	{"{\"weight_map\":[]}", ENGINE_CORRUPT, "no weight_map"},
	{MAP(""), ENGINE_CORRUPT, "no weight_map"},
	{"{\"weight_map\":", ENGINE_CORRUPT, "invalid JSON"},
	{MAP("\"x\":1"), ENGINE_CORRUPT, "file name \"\""},
	{MAP("\"x\":" ONE ",\"x\":" TWO), ENGINE_CORRUPT, "occurs twice"},

	/* names that could leave the folder */
	{MAP("\"x\":\"../one.safetensors\""), ENGINE_CORRUPT, "../one"},
	{MAP("\"x\":\"a/../one.safetensors\""), ENGINE_CORRUPT, "a/../one"},
	{MAP("\"x\":\"a/one.safetensors\""), ENGINE_CORRUPT, "a/one"},
	{MAP("\"x\":\"/one.safetensors\""), ENGINE_CORRUPT, "/one"},
	{MAP("\"x\":\".one.safetensors\""), ENGINE_CORRUPT, ".one"},
	{MAP("\"x\":\"..\\\\one.safetensors\""), ENGINE_CORRUPT, "one"},
	{MAP("\"x\":\"one.safetensors\\u0000\""), ENGINE_CORRUPT, "\\x00"},
	{MAP("\"x\":\"a\\u0000.safetensors\""), ENGINE_CORRUPT, "a\\x00"},
	{MAP("\"x\":\"one.bin\""), ENGINE_CORRUPT, "one.bin"},
	{MAP("\"x\":\".safetensors\""), ENGINE_CORRUPT, "file name"},
	{MAP("\"x\":\"\""), ENGINE_CORRUPT, "file name"},
	{MAP("\"x\":\"config.json\""), ENGINE_CORRUPT, "config.json"},

	/* files and index that do not agree */
	{MAP("\"x\":\"three.safetensors\""), ENGINE_CORRUPT,
	"no file \"three.safetensors\""},
	{MAP("\"y\":" ONE), ENGINE_CORRUPT, "no tensor \"y\""},
	{MAP("\"x\":" ONE ",\"y\":" ONE ",\"z\":" TWO), ENGINE_CORRUPT,
	"no tensor \"y\""},
	{MAP("\"x\":" ONE ",\"w\":" TWO), ENGINE_CORRUPT, "no tensor \"w\""},
	{MAP("\"x\":" ONE ",\"y\\u0000\":" TWO), ENGINE_CORRUPT,
	"no tensor \"y\\x00\""},
	{MAP("\"x\":" ONE ",\"p\":\"same.safetensors\""), ENGINE_CORRUPT,
	"two safetensors files have a tensor \"x\""},
};

static void
test_indexes(void **state)
{
	static const char *const same[] = {"p", "x"};

	(void) state;
	for (size_t i = 0; i < sizeof(index_cases) / sizeof(index_cases[0]); i++)
	{
		Folder		self;

		open_folder(&self);
		add_shards(&self, "");
		add_weights(&self, "same.safetensors", 2, same);
		folder_fixture_text(&self.fixture, "model.safetensors.index.json",
							index_cases[i].index);
		expect(open_weights(&self, ""), index_cases[i].code, &self.status,
			   index_cases[i].words);
		close_folder(&self);
	}
}

/* As many files as there may be, and one more */
static void
test_many_shards(void **state)
{
	(void) state;
	for (int n = 1000; n <= 1001; n++)
	{
		Folder		self;
		char	   *index = calloc(1, 64 * 1001);
		char	   *at = index;

		assert_non_null(index);
		open_folder(&self);
		at += sprintf(at, "{\"weight_map\":{");
		for (int i = 0; i < n; i++)
		{
			char		name[32];
			char		file[48];
			const char *names[] = {name};

			snprintf(name, sizeof(name), "t%d", i);
			snprintf(file, sizeof(file), "%d.safetensors", i);
			add_weights(&self, file, 1, names);
			at += sprintf(at, "%s\"%s\":\"%s\"", i == 0 ? "" : ",", name,
						  file);
		}
		sprintf(at, "}}");
		folder_fixture_text(&self.fixture, "model.safetensors.index.json",
							index);
		expect(open_weights(&self, ""),
			   n == 1000 ? ENGINE_OK : ENGINE_LIMIT, &self.status,
			   "more than 1000 safetensors files");
		if (n == 1000)
			assert_int_equal(self.tensors.n, 1000);
		close_folder(&self);
		free(index);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_single),
		cmocka_unit_test(test_shards),
		cmocka_unit_test(test_indexes),
		cmocka_unit_test(test_many_shards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
