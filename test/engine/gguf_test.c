/*-------------------------------------------------------------------------
 *
 * gguf_test.c
 *	  The reader of GGUF headers, against files that are right, wrong and
 *	  hostile.
 *
 * Every hostile file differs from a valid one in one place.  It has to be
 * refused with the code that the table says and a message that names the
 * place; the sanitised build shows that nothing else happened.
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

#include "gguf_builder.h"

#define BUDGET ((size_t) 16 << 20)

static const char *const words[] = {"one", "two", ""};
static const uint32_t numbers[] = {7, 8, 9, 10};

/* Keys of every type and four tensors */
static void
container_of(GgufBuilder *b)
{
	builder_text(b, "test.text", "some text");
	builder_u32(b, "general.alignment", (uint32_t) b->alignment);
	builder_bool(b, "test.flag", 1);
	builder_f32(b, "test.number", 0.5f);
	builder_u32_array(b, "test.numbers", 4, numbers);
	builder_text_array(b, "test.words", 3, words);
	if (builder_key(b, "test.wide", GGUF_I64))
		bytes_number(&b->keys, (uint64_t) INT64_C(-5), 8);
	if (builder_key(b, "test.huge", GGUF_U64))
		bytes_number(&b->keys, UINT64_MAX, 8);
	if (builder_key(b, "test.flags", GGUF_ARRAY))
	{
		bytes_number(&b->keys, GGUF_BOOL, 4);
		bytes_number(&b->keys, 3, 8);
		bytes_put(&b->keys, "\0\1\1", 3);
	}
	builder_tensor(b, "first", TYPE_Q8_0, 64, 3);
	builder_tensor(b, "second", TYPE_F32, 5, 0);
	builder_tensor(b, "third", TYPE_Q4_K, 256, 2);
	builder_tensor(b, "fourth", TYPE_F16, 7, 3);
}

static void
make_container(Bytes *file)
{
	GgufBuilder builder;

	builder_init(&builder);
	container_of(&builder);
	builder_finish(&builder, file);
	builder_free(&builder);
}

/* Read bytes that the sanitiser guards at both ends. */
static EngineCode
read_file(const Bytes *file, size_t size, EngineArena *arena, GgufFile *gguf,
		  ByteSource *source, EngineStatus *status)
{
	memset(status, 0, sizeof(*status));
	engine_arena_init(arena, &engine_malloc, BUDGET);
	memory_source(source, file->data, size);
	return gguf_read(source, arena, NULL, gguf, status);
}

static void
test_valid(void **state)
{
	Bytes		file;
	EngineArena arena;
	EngineStatus status;
	ByteSource	source;
	GgufFile	gguf;
	const GgufTensor *tensor;

	(void) state;
	make_container(&file);
	assert_int_equal(read_file(&file, file.size, &arena, &gguf, &source,
							   &status), ENGINE_OK);
	assert_int_equal(gguf.version, 3);
	assert_int_equal(gguf.n_keys, 9);
	assert_int_equal(gguf.n_tensors, 4);
	assert_int_equal(gguf.alignment, 32);
	assert_int_equal(gguf.data_offset % 32, 0);
	assert_string_equal(gguf.keys[0].name, "test.text");
	assert_string_equal(gguf.tensors[3].name, "fourth");

	tensor = gguf_find_tensor(&gguf, "third");
	assert_ptr_equal(tensor, &gguf.tensors[2]);
	assert_int_equal(tensor->type, TYPE_Q4_K);
	assert_int_equal(tensor->n_dims, 2);
	assert_int_equal(tensor->dims[0], 256);
	assert_int_equal(tensor->dims[1], 2);
	assert_int_equal(tensor->dims[2], 1);
	assert_int_equal(tensor->bytes, 2 * 144);
	/* 3 * 2 * 34 = 204, padded 224; 20, padded 32 */
	assert_int_equal(tensor->offset, gguf.data_offset + 224 + 32);
	assert_null(gguf_find_tensor(&gguf, "fifth"));
	assert_null(gguf_find_key(&gguf, ""));
	engine_arena_free(&arena);
	bytes_free(&file);
}

static void
test_values(void **state)
{
	Bytes		file;
	EngineArena arena;
	EngineStatus status;
	ByteSource	source;
	GgufFile	gguf;
	int64_t		integer = 42;
	double		number = 42;
	bool		flag = false;
	const char *text = "default";
	size_t		length = 7;

	(void) state;
	make_container(&file);
	assert_int_equal(read_file(&file, file.size, &arena, &gguf, &source,
							   &status), ENGINE_OK);

	/* absent keys leave the default */
	assert_int_equal(gguf_get_int(&gguf, "no", 0, 1, &integer, &status), 0);
	assert_int_equal(gguf_get_float(&gguf, "no", &number, &status), 0);
	assert_int_equal(gguf_get_bool(&gguf, "no", &flag, &status), 0);
	assert_int_equal(gguf_get_string(&gguf, "no", &text, &length, &status),
					 0);
	assert_int_equal(integer, 42);
	assert_true(number == 42);
	assert_false(flag);
	assert_string_equal(text, "default");

	assert_int_equal(gguf_get_int(&gguf, "test.wide", -5, 5, &integer,
								  &status), ENGINE_OK);
	assert_int_equal(integer, -5);
	assert_int_equal(gguf_get_float(&gguf, "test.number", &number, &status),
					 ENGINE_OK);
	assert_true(number == 0.5);
	assert_int_equal(gguf_get_bool(&gguf, "test.flag", &flag, &status),
					 ENGINE_OK);
	assert_true(flag);
	assert_int_equal(gguf_get_string(&gguf, "test.text", &text, &length,
									 &status), ENGINE_OK);
	assert_string_equal(text, "some text");
	assert_int_equal(length, 9);

	/* wrong type, out of range: refused, named, default kept */
	assert_int_equal(gguf_get_int(&gguf, "test.wide", -4, 5, &integer,
								  &status), ENGINE_CORRUPT);
	assert_non_null(strstr(status.message, "\"test.wide\" is -5"));
	assert_int_equal(gguf_get_int(&gguf, "test.huge", INT64_MIN, INT64_MAX,
								  &integer, &status), ENGINE_CORRUPT);
	assert_non_null(strstr(status.message, "18446744073709551615"));
	assert_int_equal(gguf_get_int(&gguf, "test.flag", 0, 1, &integer,
								  &status), ENGINE_CORRUPT);
	assert_non_null(strstr(status.message, "has type bool"));
	assert_int_equal(gguf_get_float(&gguf, "general.alignment", &number,
									&status), ENGINE_CORRUPT);
	assert_int_equal(gguf_get_bool(&gguf, "general.alignment", &flag,
								   &status), ENGINE_CORRUPT);
	assert_int_equal(gguf_get_string(&gguf, "test.words", &text, &length,
									 &status), ENGINE_CORRUPT);
	assert_int_equal(integer, -5);
	engine_arena_free(&arena);
	bytes_free(&file);
}

static void
test_cursor(void **state)
{
	Bytes		file;
	EngineArena arena;
	EngineStatus status;
	ByteSource	source;
	GgufFile	gguf;
	GgufCursor	cursor;
	const char *text;
	size_t		length;
	uint64_t	bits;

	(void) state;
	make_container(&file);
	assert_int_equal(read_file(&file, file.size, &arena, &gguf, &source,
							   &status), ENGINE_OK);

	assert_int_equal(gguf_cursor_open(&source,
									  gguf_find_key(&gguf, "test.words"),
									  GGUF_STRING, &arena, &cursor, &status),
					 ENGINE_OK);
	for (int i = 0; i < 3; i++)
	{
		assert_int_equal(gguf_next_string(&cursor, 3, &text, &length,
										  &status), ENGINE_OK);
		assert_int_equal(length, strlen(words[i]));
		assert_memory_equal(text, words[i], length);
	}
	assert_int_equal(gguf_next_string(&cursor, 3, &text, &length, &status),
					 ENGINE_CORRUPT);
	assert_non_null(strstr(status.message, "only 3 elements"));

	assert_int_equal(gguf_cursor_open(&source,
									  gguf_find_key(&gguf, "test.numbers"),
									  GGUF_U32, &arena, &cursor, &status),
					 ENGINE_OK);
	for (int i = 0; i < 4; i++)
	{
		assert_int_equal(gguf_next_scalar(&cursor, &bits, &status),
						 ENGINE_OK);
		assert_int_equal(bits, numbers[i]);
	}
	assert_int_equal(gguf_next_scalar(&cursor, &bits, &status),
					 ENGINE_CORRUPT);

	/* element types are never converted; too long strings are refused */
	assert_int_equal(gguf_cursor_open(&source,
									  gguf_find_key(&gguf, "test.numbers"),
									  GGUF_F32, &arena, &cursor, &status),
					 ENGINE_CORRUPT);
	assert_non_null(strstr(status.message, "array of u32, wanted f32"));
	assert_int_equal(gguf_cursor_open(&source,
									  gguf_find_key(&gguf, "test.text"),
									  GGUF_STRING, &arena, &cursor, &status),
					 ENGINE_CORRUPT);
	assert_int_equal(gguf_cursor_open(&source,
									  gguf_find_key(&gguf, "test.words"),
									  GGUF_STRING, &arena, &cursor, &status),
					 ENGINE_OK);
	assert_int_equal(gguf_next_string(&cursor, 2, &text, &length, &status),
					 ENGINE_LIMIT);
	engine_arena_free(&arena);
	bytes_free(&file);
}

/* A long array and long strings pass through many windows. */
static void
test_windows(void **state)
{
	enum
	{
		n_numbers = 100000,
		long_text = 300000
	};
	uint32_t   *many = malloc(n_numbers * sizeof(uint32_t));
	char	   *long_string = malloc(long_text + 1);
	char	   *huge_string = malloc((2 << 20) + 1);
	Bytes		file;
	EngineArena arena;
	EngineStatus status;
	ByteSource	source;
	GgufFile	gguf;
	GgufCursor	cursor;
	GgufBuilder builder;
	uint64_t	bits;
	const char *text = NULL;
	size_t		length;

	(void) state;
	assert_non_null(many);
	assert_non_null(long_string);
	assert_non_null(huge_string);
	for (int i = 0; i < n_numbers; i++)
		many[i] = (uint32_t) i * 2654435761u;
	for (int i = 0; i < long_text; i++)
		long_string[i] = (char) ('a' + i % 23);
	long_string[long_text] = '\0';
	memset(huge_string, 'x', 2 << 20);
	huge_string[2 << 20] = '\0';

	builder_init(&builder);
	builder_text(&builder, "long", long_string);
	builder_u32_array(&builder, "many", n_numbers, many);
	builder_text(&builder, "huge", huge_string);
	builder_u32(&builder, "last", 99);
	builder_finish(&builder, &file);
	assert_int_equal(read_file(&file, file.size, &arena, &gguf, &source,
							   &status), ENGINE_OK);

	assert_int_equal(gguf_get_string(&gguf, "long", &text, &length, &status),
					 ENGINE_OK);
	assert_int_equal(length, long_text);
	assert_string_equal(text, long_string);
	assert_null(gguf_find_key(&gguf, "huge")->string);
	assert_int_equal(gguf_get_string(&gguf, "huge", &text, &length, &status),
					 ENGINE_LIMIT);
	assert_int_equal(gguf_find_key(&gguf, "last")->bits, 99);
	assert_int_equal(gguf_cursor_open(&source, gguf_find_key(&gguf, "many"),
									  GGUF_U32, &arena, &cursor, &status),
					 ENGINE_OK);
	for (int i = 0; i < n_numbers; i++)
	{
		assert_int_equal(gguf_next_scalar(&cursor, &bits, &status),
						 ENGINE_OK);
		assert_int_equal(bits, many[i]);
	}
	engine_arena_free(&arena);
	builder_free(&builder);
	bytes_free(&file);
	free(many);
	free(long_string);
	free(huge_string);
}

/*
 * One number of the valid file is replaced.  It lies at anchor + delta, where
 * anchor is the end of a key's or tensor's name, or the file's start.
 */
typedef struct Patch
{
	const char *label;
	const char *anchor;
	int			delta;
	int			width;
	uint64_t	value;
	EngineCode	code;
	const char *message;
} Patch;

#define MANY (UINT64_C(1) << 63)
#define MINUS_ONE UINT64_MAX

/* offsets of a tensor's fields from the end of its name */
#define N_DIMS 0
#define DIM0 4
#define DIM1 12
#define TYPE_OF_2D 20
#define OFFSET_OF_2D 24

static const Patch patches[] = {
	{"magic", NULL, 0, 4, 0x47475546, ENGINE_CORRUPT, "not a GGUF file"},
	{"version 0", NULL, 4, 4, 0, ENGINE_CORRUPT, "version 0"},
	{"version 1", NULL, 4, 4, 1, ENGINE_UNSUPPORTED, "version 1"},
	{"version 4", NULL, 4, 4, 4, ENGINE_UNSUPPORTED, "version 4"},
	{"big-endian", NULL, 4, 4, 3 << 24, ENGINE_UNSUPPORTED, "big-endian"},
	{"tensors 2^63", NULL, 8, 8, MANY, ENGINE_CORRUPT,
	"at byte 8 announces 9223372036854775808 tensors"},
	{"tensors -1", NULL, 8, 8, MINUS_ONE, ENGINE_CORRUPT, "announces"},
	{"one tensor more", NULL, 8, 8, 5, ENGINE_CORRUPT, "name at byte"},
	{"keys 2^63", NULL, 16, 8, MANY, ENGINE_CORRUPT,
	"at byte 16 announces 9223372036854775808 keys"},
	{"keys -1", NULL, 16, 8, MINUS_ONE, ENGINE_CORRUPT, "announces"},
	{"one key more", NULL, 16, 8, 10, ENGINE_CORRUPT, "name at byte"},
	{"key length 0", "test.text", -17, 8, 0, ENGINE_CORRUPT, "has 0 bytes"},
	{"key length -1", "test.text", -17, 8, MINUS_ONE, ENGINE_CORRUPT,
	"key name at byte 24 has 18446744073709551615 bytes"},
	{"key length 65536", "test.text", -17, 8, 65536, ENGINE_CORRUPT,
	"key name at byte 24"},
	{"key beyond the end", "test.text", -17, 8, 60000, ENGINE_CORRUPT,
	"ends inside a name"},
	{"NUL in a key", "test.text", -1, 1, 0, ENGINE_CORRUPT,
	"key name at byte 24 is not printable"},
	{"key not ASCII", "test.text", -1, 1, 0xC3, ENGINE_CORRUPT,
	"not printable"},
	{"value type 13", "test.flag", 0, 4, 13, ENGINE_CORRUPT,
	"\"test.flag\" has unknown type 13"},
	{"value type -1", "test.flag", 0, 4, UINT32_MAX, ENGINE_CORRUPT,
	"unknown type"},
	{"bool 2", "test.flag", 4, 1, 2, ENGINE_CORRUPT, "\"test.flag\""},
	{"bool 255 in an array", "test.flags", 17, 1, 255, ENGINE_CORRUPT,
	"\"test.flags\" has a bool that is 255"},
	{"string length -1", "test.text", 4, 8, MINUS_ONE, ENGINE_CORRUPT,
	"string of GGUF key \"test.text\""},
	{"string length 2^40", "test.text", 4, 8, UINT64_C(1) << 40,
	ENGINE_CORRUPT, "\"test.text\" at byte 45"},
	{"array of arrays", "test.numbers", 4, 4, GGUF_ARRAY, ENGINE_UNSUPPORTED,
	"\"test.numbers\" at byte"},
	{"array type 13", "test.numbers", 4, 4, 13, ENGINE_CORRUPT,
	"unknown type 13"},
	{"array of 2^63 u32", "test.numbers", 8, 8, MANY, ENGINE_CORRUPT,
	"more than the file has"},
	{"array of -1 bools", "test.flags", 8, 8, MINUS_ONE, ENGINE_CORRUPT,
	"\"test.flags\""},
	{"array whose bytes wrap", "test.numbers", 8, 8, (UINT64_C(1) << 62) + 1,
	ENGINE_CORRUPT, "more than the file has"},
	{"array of 2^61 strings", "test.words", 8, 8, UINT64_C(1) << 61,
	ENGINE_CORRUPT, "\"test.words\""},
	{"string of an array -1", "test.words", 16, 8, MINUS_ONE, ENGINE_CORRUPT,
	"string of GGUF key \"test.words\""},
	{"alignment 0", "general.alignment", 4, 4, 0, ENGINE_CORRUPT,
	"\"general.alignment\" is 0"},
	{"alignment 3", "general.alignment", 4, 4, 3, ENGINE_CORRUPT,
	"\"general.alignment\" is 3"},
	{"alignment 4", "general.alignment", 4, 4, 4, ENGINE_CORRUPT,
	"\"general.alignment\" is 4"},
	{"alignment 48", "general.alignment", 4, 4, 48, ENGINE_CORRUPT, "is 48"},
	{"alignment 2^21", "general.alignment", 4, 4, 1 << 21, ENGINE_CORRUPT,
	"is 2097152"},
	{"alignment 2^31", "general.alignment", 4, 4, 1u << 31, ENGINE_CORRUPT,
	"is 2147483648"},
	{"alignment of type i32", "general.alignment", 0, 4, GGUF_I32,
	ENGINE_CORRUPT, "has type i32, wanted u32"},
	{"alignment of type f32", "general.alignment", 0, 4, GGUF_F32,
	ENGINE_CORRUPT, "has type f32, wanted u32"},
	{"alignment of another file", "general.alignment", 4, 4, 64,
	ENGINE_CORRUPT, "\"second\" begins at 224, not at 256"},
	{"tensor name of 64", "first", -13, 8, 64, ENGINE_CORRUPT,
	"tensor name at byte"},
	{"tensor name of 0", "first", -13, 8, 0, ENGINE_CORRUPT,
	"tensor name at byte"},
	{"NUL in a tensor name", "first", -1, 1, 0, ENGINE_CORRUPT,
	"tensor name at byte"},
	{"no dimensions", "first", N_DIMS, 4, 0, ENGINE_CORRUPT,
	"\"first\" has 0 dimensions"},
	{"5 dimensions", "first", N_DIMS, 4, 5, ENGINE_CORRUPT, "5 dimensions"},
	{"-1 dimensions", "first", N_DIMS, 4, UINT32_MAX, ENGINE_CORRUPT,
	"4294967295 dimensions"},
	{"dimension 0", "first", DIM0, 8, 0, ENGINE_CORRUPT,
	"dimension 0 of GGUF tensor \"first\""},
	{"second dimension 0", "first", DIM1, 8, 0, ENGINE_CORRUPT,
	"dimension 1 of GGUF tensor \"first\""},
	{"dimension -1", "first", DIM1, 8, MINUS_ONE, ENGINE_CORRUPT,
	"dimension 1"},
	{"dimension 2^62", "first", DIM0, 8, UINT64_C(1) << 62, ENGINE_CORRUPT,
	"dimension 0"},
	{"rows of half a block", "first", DIM0, 8, 48, ENGINE_CORRUPT,
	"not a multiple of 32"},
	{"rows of half a superblock", "third", DIM0, 8, 288, ENGINE_CORRUPT,
	"not a multiple of 256"},
	{"a tensor as large as 2^40 rows", "first", DIM1, 8, UINT64_C(1) << 40,
	ENGINE_CORRUPT, "larger than the file"},
	{"removed type Q4_2", "first", TYPE_OF_2D, 4, 4, ENGINE_UNSUPPORTED,
	"\"first\" has type Q4_2"},
	{"code book type IQ2_XXS", "first", TYPE_OF_2D, 4, 16,
	ENGINE_UNSUPPORTED, "has type IQ2_XXS"},
	{"ternary type TQ1_0", "first", TYPE_OF_2D, 4, 34, ENGINE_UNSUPPORTED,
	"TQ1_0"},
	{"type F64", "first", TYPE_OF_2D, 4, 28, ENGINE_UNSUPPORTED, "F64"},
	{"activation type Q8_K", "first", TYPE_OF_2D, 4, 15, ENGINE_UNSUPPORTED,
	"Q8_K"},
	{"type 63", "first", TYPE_OF_2D, 4, 63, ENGINE_CORRUPT,
	"\"first\" has unknown type 63"},
	{"type -1", "first", TYPE_OF_2D, 4, UINT32_MAX, ENGINE_CORRUPT,
	"unknown type 4294967295"},
	{"a type of other size", "first", TYPE_OF_2D, 4, TYPE_Q4_0,
	ENGINE_CORRUPT, "\"second\" begins at 224, not at 128"},
	{"first offset not 0", "first", OFFSET_OF_2D, 8, 32, ENGINE_CORRUPT,
	"\"first\" begins at 32, not at 0"},
	{"unaligned offset", "third", OFFSET_OF_2D, 8, 257, ENGINE_CORRUPT,
	"\"third\" begins at 257, not at 256"},
	{"overlapping data", "third", OFFSET_OF_2D, 8, 224, ENGINE_CORRUPT,
	"\"third\""},
	{"data beyond the file", "third", OFFSET_OF_2D, 8, UINT64_C(1) << 40,
	ENGINE_CORRUPT, "\"third\""},
	{"offset 2^64-32", "third", OFFSET_OF_2D, 8, UINT64_MAX - 31,
	ENGINE_CORRUPT, "\"third\" begins at 18446744073709551584"},
	{"last tensor one row longer", "fourth", DIM1, 8, 20, ENGINE_CORRUPT,
	"file ends inside the data of GGUF tensor \"fourth\""},
};

static bool
refused(const char *label, const Bytes *file, EngineCode code,
		const char *message)
{
	EngineArena arena;
	EngineStatus status;
	ByteSource	source;
	GgufFile	gguf;
	EngineCode	got = read_file(file, file->size, &arena, &gguf, &source,
								&status);

	bool		good = got == code &&
		strstr(status.message, message) != NULL;

	if (!good)
		print_error("%s: code %d, wanted %d; \"%s\" should contain \"%s\"\n",
					label, got, code, status.message, message);
	engine_arena_free(&arena);
	return good;
}

static void
assert_refused(const char *label, const Bytes *file, EngineCode code,
			   const char *message)
{
	assert_true(refused(label, file, code, message));
}

static void
test_patches(void **state)
{
	int			wrong = 0;

	(void) state;
	for (size_t i = 0; i < sizeof(patches) / sizeof(patches[0]); i++)
	{
		const Patch *patch = &patches[i];
		Bytes		file;
		size_t		anchor = 0;

		make_container(&file);
		if (patch->anchor != NULL)
			anchor = file_find(&file, patch->anchor);
		bytes_patch(&file, anchor + patch->delta, patch->value,
					patch->width);
		if (!refused(patch->label, &file, patch->code, patch->message))
			wrong++;
		bytes_free(&file);
	}
	assert_int_equal(wrong, 0);
}

/* Products that wrap to something small with 64-bit arithmetic */
static void
test_wrapping_shapes(void **state)
{
	static const uint64_t shapes[][4] = {
		{UINT64_C(1) << 32, UINT64_C(1) << 32, 1, 1},
		{UINT64_C(1) << 40, UINT64_C(1) << 24, 1, 1},
		{UINT64_C(1) << 40, UINT64_C(1) << 40, UINT64_C(1) << 40, 32},
		{256, UINT64_C(1) << 40, UINT64_C(1) << 16, 1},
		{UINT64_C(1) << 16, UINT64_C(1) << 16, UINT64_C(1) << 16,
		UINT64_C(1) << 16},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
	{
		for (uint32_t type = 0; type < TYPE_LIMIT; type++)
		{
			const TensorTypeInfo *info = tensor_type(type);
			GgufBuilder builder;
			Bytes		file;

			if (info == NULL || info->block_values == 0)
				continue;
			builder_init(&builder);
			builder.n_tensors = 1;
			bytes_string(&builder.infos, "wraps");
			bytes_number(&builder.infos, 4, 4);
			for (int d = 0; d < 4; d++)
				bytes_number(&builder.infos, shapes[i][d], 8);
			bytes_number(&builder.infos, type, 4);
			bytes_number(&builder.infos, 0, 8);
			builder_finish(&builder, &file);
			assert_refused(info->name, &file, ENGINE_CORRUPT,
						   "\"wraps\" of");
			builder_free(&builder);
			bytes_free(&file);
		}
	}
}

static void
test_duplicates(void **state)
{
	GgufBuilder builder;
	Bytes		file;

	(void) state;
	builder_init(&builder);
	container_of(&builder);
	builder_u32(&builder, "test.flag", 1);
	builder_finish(&builder, &file);
	assert_refused("duplicate key", &file, ENGINE_CORRUPT,
				   "key \"test.flag\" appears twice");
	builder_free(&builder);
	bytes_free(&file);

	builder_init(&builder);
	container_of(&builder);
	builder_tensor(&builder, "second", TYPE_F32, 1, 0);
	builder_finish(&builder, &file);
	assert_refused("duplicate tensor", &file, ENGINE_CORRUPT,
				   "tensor \"second\" appears twice");
	builder_free(&builder);
	bytes_free(&file);
}

static void
test_split(void **state)
{
	GgufBuilder builder;
	Bytes		file;

	(void) state;
	for (uint32_t count = 0; count < 4; count++)
	{
		EngineArena arena;
		EngineStatus status;
		ByteSource	source;
		GgufFile	gguf;
		EngineCode	code;

		builder_init(&builder);
		container_of(&builder);
		builder_u32(&builder, "split.count", count);
		builder_finish(&builder, &file);
		code = read_file(&file, file.size, &arena, &gguf, &source, &status);
		assert_int_equal(code, count > 1 ? ENGINE_UNSUPPORTED : ENGINE_OK);
		if (count > 1)
		{
			assert_non_null(strstr(status.message, "parts of a split"));
			assert_non_null(strstr(status.hint, "Merge"));
		}
		engine_arena_free(&arena);
		builder_free(&builder);
		bytes_free(&file);
	}
}

/* More than the caps, with a file that is large enough to mean it */
static void
test_caps(void **state)
{
	GgufBuilder builder;
	Bytes		file;
	char		name[32];

	(void) state;
	builder_init(&builder);
	for (int i = 0; i < 65537; i++)
	{
		snprintf(name, sizeof(name), "k%d", i);
		builder_bool(&builder, name, 1);
	}
	builder_finish(&builder, &file);
	assert_refused("keys", &file, ENGINE_LIMIT, "65537 keys");
	builder_free(&builder);
	bytes_free(&file);

	builder_init(&builder);
	for (int i = 0; i < 65537; i++)
	{
		snprintf(name, sizeof(name), "t%d", i);
		builder_tensor(&builder, name, TYPE_F32, 1, 0);
	}
	builder_finish(&builder, &file);
	assert_refused("tensors", &file, ENGINE_LIMIT, "65537 tensors");
	builder_free(&builder);
	bytes_free(&file);

	builder_init(&builder);
	if (builder_key(&builder, "long", GGUF_ARRAY))
	{
		bytes_number(&builder.keys, GGUF_U8, 4);
		bytes_number(&builder.keys, (16 << 20) + 1, 8);
		for (int i = 0; i < (2 << 20) + 1; i++)
			bytes_number(&builder.keys, 0, 8);
	}
	builder_finish(&builder, &file);
	assert_refused("elements", &file, ENGINE_LIMIT, "16777217 elements");
	builder_free(&builder);
	bytes_free(&file);
}

/* Files of 1 TB exist only as a size. */
static EngineCode
no_read(ByteSource *source, uint64_t offset, void *buf, size_t length,
		EngineStatus *status)
{
	(void) source;
	(void) offset;
	(void) buf;
	(void) length;
	return engine_fail(status, ENGINE_IO, "disk is gone");
}

static void
test_source_errors(void **state)
{
	ByteSource	source = {(UINT64_C(1) << 40) + 1, no_read, NULL};
	EngineArena arena;
	EngineStatus status;
	GgufFile	gguf;

	(void) state;
	engine_arena_init(&arena, &engine_malloc, BUDGET);
	assert_int_equal(gguf_read(&source, &arena, NULL, &gguf, &status),
					 ENGINE_LIMIT);
	source.size = 1000;
	assert_int_equal(gguf_read(&source, &arena, NULL, &gguf, &status),
					 ENGINE_IO);
	assert_string_equal(status.message, "disk is gone");
	engine_arena_free(&arena);
}

/* Every beginning of a valid file; only padding at the end may be missing. */
static void
test_truncations(void **state)
{
	Bytes		file;
	size_t		last;
	EngineArena arena;
	EngineStatus status;
	ByteSource	source;
	GgufFile	gguf;

	(void) state;
	make_container(&file);
	assert_int_equal(read_file(&file, file.size, &arena, &gguf, &source,
							   &status), ENGINE_OK);
	last = gguf.tensors[3].offset + gguf.tensors[3].bytes;
	assert_true(last < file.size);
	engine_arena_free(&arena);

	for (size_t size = 0; size < file.size; size++)
	{
		/* a copy of exactly that size, so that reading on is seen */
		Bytes		part = {malloc(size == 0 ? 1 : size), size, size};
		EngineCode	code;

		assert_non_null(part.data);
		memcpy(part.data, file.data, size);
		code = read_file(&part, size, &arena, &gguf, &source, &status);
		if (size >= last)
			assert_int_equal(code, ENGINE_OK);
		else
		{
			assert_int_equal(code, ENGINE_CORRUPT);
			assert_true(status.message[0] != '\0');
		}
		engine_arena_free(&arena);
		bytes_free(&part);
	}
	bytes_free(&file);
}

static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Whatever gguf_read accepts has to be consistent. */
static void
assert_consistent(const GgufFile *gguf)
{
	uint64_t	end = gguf->data_offset;

	for (uint32_t i = 0; i < gguf->n_tensors; i++)
	{
		const GgufTensor *tensor = &gguf->tensors[i];

		assert_true(tensor->offset >= end);
		assert_true(tensor->bytes > 0);
		assert_true(tensor->bytes <= gguf->size - tensor->offset);
		assert_ptr_equal(gguf_find_tensor(gguf, tensor->name), tensor);
		end = tensor->offset + tensor->bytes;
	}
	for (uint32_t i = 0; i < gguf->n_keys; i++)
	{
		assert_true(gguf->keys[i].end <= gguf->size);
		assert_ptr_equal(gguf_find_key(gguf, gguf->keys[i].name),
						 &gguf->keys[i]);
	}
}

static void
test_mutations(void **state)
{
	uint64_t	random = UINT64_C(0x9E3779B97F4A7C15);
	Bytes		file;
	int			accepted = 0;

	(void) state;
	make_container(&file);
	for (int round = 0; round < 20000; round++)
	{
		Bytes		copy = {NULL, 0, 0};
		EngineArena arena;
		EngineStatus status;
		ByteSource	source;
		GgufFile	gguf;
		int			n = 1 + (int) (next_random(&random) % 3);

		bytes_put(&copy, file.data, file.size);
		for (int i = 0; i < n; i++)
		{
			size_t		at = next_random(&random) % 700;

			copy.data[at] = (uint8_t) next_random(&random);
		}
		if (read_file(&copy, copy.size, &arena, &gguf, &source, &status) ==
			ENGINE_OK)
		{
			assert_consistent(&gguf);
			accepted++;
		}
		else
			assert_true(status.message[0] != '\0');
		engine_arena_free(&arena);
		bytes_free(&copy);
	}
	/* observed: 3966; texts and numbers of keys may change */
	assert_in_range(accepted, 1000, 15000);
	bytes_free(&file);
}

/* 65536 keys of one length with a long common beginning, in any order */
static void
test_many_keys(void **state)
{
	GgufBuilder builder;
	Bytes		file;
	EngineArena arena;
	EngineStatus status;
	ByteSource	source;
	GgufFile	gguf;
	char		name[32];

	(void) state;
	builder_init(&builder);
	for (uint32_t i = 0; i < 65536; i++)
	{
		snprintf(name, sizeof(name), "common.beginning.%05u",
				 (unsigned) (i * 40503u % 65536u));
		builder_u32(&builder, name, i);
	}
	builder_finish(&builder, &file);
	memory_source(&source, file.data, file.size);
	engine_arena_init(&arena, &engine_malloc, (size_t) 64 << 20);
	assert_int_equal(gguf_read(&source, &arena, NULL, &gguf, &status),
					 ENGINE_OK);
	assert_int_equal(gguf_find_key(&gguf, "common.beginning.40503")->bits, 1);
	assert_consistent(&gguf);
	engine_arena_free(&arena);
	builder_free(&builder);
	bytes_free(&file);
}

/* Cancels at the poll after so many. */
static bool
countdown(void *arg)
{
	int		   *left = arg;

	return (*left)-- <= 0;
}

static void
test_interrupts(void **state)
{
	Bytes		file;
	EngineCode	code;
	int			polls = 0;

	(void) state;
	make_container(&file);
	do
	{
		int			left = polls;
		EngineHost	host = {countdown, &left, NULL};
		EngineArena arena;
		EngineStatus status;
		ByteSource	source;
		GgufFile	gguf;

		engine_arena_init(&arena, &engine_malloc, BUDGET);
		memory_source(&source, file.data, file.size);
		code = gguf_read(&source, &arena, &host, &gguf, &status);
		assert_true(code == ENGINE_OK || code == ENGINE_CANCELLED);
		engine_arena_free(&arena);
		polls++;
	} while (code != ENGINE_OK);
	/* keys, strings and bools of arrays, tensors, two sorts: observed 11 */
	assert_in_range(polls, 6, 20);
	bytes_free(&file);
}

/* Fails the allocation after so many. */
static void *
scarce_alloc(void *arg, size_t size)
{
	int		   *left = arg;

	return (*left)-- > 0 ? malloc(size) : NULL;
}

static void
scarce_free(void *arg, void *pointer)
{
	(void) arg;
	free(pointer);
}

static void
test_no_memory(void **state)
{
	Bytes		file;
	EngineCode	code;
	int			allowed = 0;

	(void) state;
	make_container(&file);
	do
	{
		int			left = allowed++;
		EngineAllocator allocator = {scarce_alloc, scarce_free, &left};
		EngineArena arena;
		EngineStatus status;
		ByteSource	source;
		GgufFile	gguf;

		engine_arena_init(&arena, &allocator, 0);
		memory_source(&source, file.data, file.size);
		code = gguf_read(&source, &arena, NULL, &gguf, &status);
		assert_true(code == ENGINE_OK || code == ENGINE_NO_MEMORY);
		engine_arena_free(&arena);
	} while (code != ENGINE_OK);
	assert_true(allowed > 1);
	bytes_free(&file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_cursor),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_patches),
		cmocka_unit_test(test_wrapping_shapes),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_source_errors),
		cmocka_unit_test(test_truncations),
		cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_many_keys),
		cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
