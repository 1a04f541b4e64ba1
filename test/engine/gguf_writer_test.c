/*-------------------------------------------------------------------------
 *
 * gguf_writer_test.c
 *	  Headers that the writer makes are read back; wrong uses stay errors.
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

#include "formats/gguf_writer.h"

#define BUDGET ((size_t) 64 << 20)

typedef struct Written
{
	EngineArena arena;
	EngineStatus status;
	GgufWriter	writer;
	ByteSource	source;
	GgufFile	file;
} Written;

static void
begin(Written *self)
{
	memset(self, 0, sizeof(*self));
	engine_arena_init(&self->arena, &engine_malloc, BUDGET);
	gguf_writer_init(&self->writer, &self->arena, &self->status);
}

/* Finish, add empty data, and read. */
static void
read_back(Written *self)
{
	const uint8_t *header;
	uint64_t	offset;
	uint8_t    *bytes;
	size_t		size;

	assert_int_equal(gguf_writer_finish(&self->writer, &header, &offset),
					 ENGINE_OK);
	assert_int_equal(offset % 32, 0);
	size = offset + self->writer.data_bytes;
	bytes = engine_alloc(&self->arena, size, 1, &self->status);
	assert_non_null(bytes);
	memcpy(bytes, header, offset);
	memory_source(&self->source, bytes, size);
	assert_int_equal(gguf_read(&self->source, &self->arena, NULL, &self->file,
							   &self->status), ENGINE_OK);
	assert_int_equal(self->file.data_offset, offset);
	assert_int_equal(self->file.version, 3);
}

static void
expect_failure(Written *self, EngineCode code, const char *words)
{
	const uint8_t *header = NULL;
	uint64_t	offset;

	assert_int_equal(gguf_writer_finish(&self->writer, &header, &offset),
					 code);
	assert_null(header);
	if (strstr(self->status.message, words) == NULL)
		fail_msg("\"%s\" without \"%s\"", self->status.message, words);
	engine_arena_free(&self->arena);
}

static void
test_empty(void **state)
{
	Written		self;

	(void) state;
	begin(&self);
	read_back(&self);
	assert_int_equal(self.file.n_keys, 0);
	assert_int_equal(self.file.n_tensors, 0);
	engine_arena_free(&self.arena);
}

static void
test_scalars(void **state)
{
	Written		self;
	int64_t		integer = 0;
	double		number = 0;
	bool		flag = false;
	const char *text = NULL;
	size_t		length = 0;

	(void) state;
	begin(&self);
	gguf_put_u32(&self.writer, "a.u32", UINT32_MAX);
	gguf_put_f32(&self.writer, "a.f32", -1.5f);
	gguf_put_bool(&self.writer, "a.bool", true);
	gguf_put_text(&self.writer, "a.text", "some text");
	gguf_put_string(&self.writer, "a.string", "a\0b", 3);
	gguf_put_text(&self.writer, "a.empty", "");
	read_back(&self);
	assert_int_equal(self.file.n_keys, 6);
	assert_int_equal(gguf_get_int(&self.file, "a.u32", 0, UINT32_MAX,
								  &integer, &self.status), ENGINE_OK);
	assert_int_equal(integer, UINT32_MAX);
	assert_int_equal(gguf_get_float(&self.file, "a.f32", &number,
									&self.status), ENGINE_OK);
	assert_true(number == -1.5);
	assert_int_equal(gguf_get_bool(&self.file, "a.bool", &flag,
								   &self.status), ENGINE_OK);
	assert_true(flag);
	assert_int_equal(gguf_get_string(&self.file, "a.string", &text, &length,
									 &self.status), ENGINE_OK);
	assert_int_equal(length, 3);
	assert_memory_equal(text, "a\0b", 3);
	assert_int_equal(gguf_get_string(&self.file, "a.empty", &text, &length,
									 &self.status), ENGINE_OK);
	assert_int_equal(length, 0);
	engine_arena_free(&self.arena);
}

#define MANY 20000				/* the header grows beyond its first room */

static void
test_arrays(void **state)
{
	static const uint8_t bytes[] = {1, 255, 0};
	Written		self;
	GgufCursor	cursor;
	const GgufKey *key;
	uint64_t	bits = 0;

	(void) state;
	begin(&self);
	gguf_begin_array(&self.writer, "strings", GGUF_STRING);
	for (int i = 0; i < MANY; i++)
	{
		char		text[32];
		int			length = snprintf(text, sizeof(text), "token %d", i);

		gguf_add_string(&self.writer, text, (size_t) length);
	}
	gguf_end_array(&self.writer);
	gguf_begin_array(&self.writer, "none", GGUF_I32);
	gguf_end_array(&self.writer);
	gguf_begin_array(&self.writer, "i32", GGUF_I32);
	gguf_add_i32(&self.writer, -2);
	gguf_end_array(&self.writer);
	gguf_begin_array(&self.writer, "f32", GGUF_F32);
	gguf_add_f32(&self.writer, 0.5f);
	gguf_end_array(&self.writer);
	gguf_begin_array(&self.writer, "bool", GGUF_BOOL);
	gguf_add_bool(&self.writer, true);
	gguf_add_bool(&self.writer, false);
	gguf_end_array(&self.writer);
	gguf_begin_array(&self.writer, "u8", GGUF_U8);
	gguf_add_u8s(&self.writer, bytes, 3);
	gguf_add_u8s(&self.writer, bytes, 0);
	gguf_add_u8s(&self.writer, bytes, 2);
	gguf_end_array(&self.writer);
	read_back(&self);

	key = gguf_find_key(&self.file, "strings");
	assert_int_equal(key->count, MANY);
	assert_int_equal(gguf_cursor_open(&self.source, key, GGUF_STRING,
									  &self.arena, &cursor, &self.status),
					 ENGINE_OK);
	for (int i = 0; i < MANY; i++)
	{
		char		text[32];
		const char *found;
		size_t		length;

		snprintf(text, sizeof(text), "token %d", i);
		assert_int_equal(gguf_next_string(&cursor, 100, &found, &length,
										  &self.status), ENGINE_OK);
		assert_int_equal(length, strlen(text));
		assert_memory_equal(found, text, length);
	}
	assert_int_equal(gguf_find_key(&self.file, "none")->count, 0);
	assert_int_equal(gguf_find_key(&self.file, "bool")->count, 2);
	assert_int_equal(gguf_find_key(&self.file, "u8")->count, 5);
	assert_int_equal(gguf_cursor_open(&self.source,
									  gguf_find_key(&self.file, "i32"),
									  GGUF_I32, &self.arena, &cursor,
									  &self.status), ENGINE_OK);
	assert_int_equal(gguf_next_scalar(&cursor, &bits, &self.status),
					 ENGINE_OK);
	assert_int_equal((int32_t) bits, -2);
	engine_arena_free(&self.arena);
}

static void
test_tensors(void **state)
{
	static const int64_t matrix[] = {64, 3};
	static const int64_t vector[] = {5};
	static const int64_t cube[] = {256, 2, 2};
	Written		self;
	const GgufTensor *tensors;

	(void) state;
	begin(&self);
	gguf_put_u32(&self.writer, "key", 1);
	gguf_put_tensor(&self.writer, "matrix", TYPE_Q8_0, 2, matrix);
	gguf_put_tensor(&self.writer, "vector", TYPE_F32, 1, vector);
	gguf_put_tensor(&self.writer, "cube", TYPE_Q4_K, 3, cube);
	read_back(&self);
	tensors = self.file.tensors;
	assert_int_equal(self.file.n_tensors, 3);
	assert_string_equal(tensors[0].name, "matrix");
	assert_int_equal(tensors[0].type, TYPE_Q8_0);
	assert_int_equal(tensors[0].dims[0], 64);
	assert_int_equal(tensors[0].dims[1], 3);
	assert_int_equal(tensors[0].bytes, 204);
	assert_int_equal(tensors[1].offset, self.file.data_offset + 224);
	assert_int_equal(tensors[1].n_dims, 1);
	assert_int_equal(tensors[2].offset, self.file.data_offset + 256);
	assert_int_equal(tensors[2].bytes, 4 * 144);
	assert_int_equal(self.writer.data_bytes, 256 + 4 * 144);
	engine_arena_free(&self.arena);
}

static void
test_wrong_uses(void **state)
{
	static const int64_t one[] = {32};
	static const int64_t none[] = {0};
	static const int64_t huge[] = {INT64_C(1) << 40, INT64_C(1) << 40};
	char		longest[65];
	Written		self;

	(void) state;
	begin(&self);
	gguf_add_i32(&self.writer, 1);
	gguf_put_u32(&self.writer, "later", 1);
	expect_failure(&self, ENGINE_INVALID, "of type \"i32\"");

	begin(&self);
	gguf_begin_array(&self.writer, "array", GGUF_I32);
	gguf_add_f32(&self.writer, 1);
	expect_failure(&self, ENGINE_INVALID, "of type \"f32\"");

	begin(&self);
	gguf_begin_array(&self.writer, "array", GGUF_I32);
	gguf_put_u32(&self.writer, "key", 1);
	expect_failure(&self, ENGINE_INVALID, "before GGUF key \"key\"");

	begin(&self);
	gguf_begin_array(&self.writer, "array", GGUF_I32);
	expect_failure(&self, ENGINE_INVALID, "array has no end");

	begin(&self);
	gguf_end_array(&self.writer);
	expect_failure(&self, ENGINE_INVALID, "no GGUF array is open");

	begin(&self);
	gguf_put_tensor(&self.writer, "t", TYPE_F32, 1, one);
	gguf_put_u32(&self.writer, "key", 1);
	expect_failure(&self, ENGINE_INVALID, "tensors stand before");

	begin(&self);
	gguf_put_tensor(&self.writer, "t", TYPE_F32, 1, none);
	expect_failure(&self, ENGINE_INVALID, "\"t\"");

	begin(&self);
	gguf_put_tensor(&self.writer, "t", TYPE_Q4_K, 1, one);
	expect_failure(&self, ENGINE_INVALID, "\"t\"");

	begin(&self);
	gguf_put_tensor(&self.writer, "t", TYPE_F32, 2, huge);
	expect_failure(&self, ENGINE_INVALID, "\"t\"");

	memset(longest, 'n', sizeof(longest));
	longest[64] = '\0';
	begin(&self);
	gguf_put_tensor(&self.writer, longest, TYPE_F32, 1, one);
	expect_failure(&self, ENGINE_INVALID, "nnn");
}

static void
test_no_memory(void **state)
{
	Written		self;

	(void) state;
	begin(&self);
	self.arena.budget = 300000;
	gguf_begin_array(&self.writer, "strings", GGUF_STRING);
	for (int i = 0; i < MANY; i++)
		gguf_add_string(&self.writer, "a token", 7);
	gguf_end_array(&self.writer);
	expect_failure(&self, ENGINE_LIMIT, "working memory");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_scalars),
		cmocka_unit_test(test_arrays),
		cmocka_unit_test(test_tensors),
		cmocka_unit_test(test_wrong_uses),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
