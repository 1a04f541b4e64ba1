/*-------------------------------------------------------------------------
 *
 * safetensors_test.c
 *	  The reader of safetensors files and of folders of them, against files
 *	  that are right, wrong and hostile.
 *
 * Every hostile file differs from a valid one in one place.  It has to be
 * refused with the code that the table says and a message that has the words
 * of the table; the sanitised build shows that nothing else happened.
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
#include "gguf_builder.h"

#define BUDGET ((size_t) 64 << 20)

/* Six tensors of 44 bytes, not in the order of their names */
static const char valid_header[] = "{\"__metadata__\":{\"format\":\"pt\"},"
"\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
"\"a\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[24,30]},"
"\"none\":{\"dtype\":\"I64\",\"shape\":[0,4],\"data_offsets\":[30,30]},"
"\"scalar\":{\"shape\":[],\"data_offsets\":[30,32],\"dtype\":\"BF16\"},"
"\"d\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[32,40]},"
"\"c\":{\"dtype\":\"I32\",\"shape\":[1,1],\"data_offsets\":[40,44]}}  ";

static const float six[] = {1.0f, -2.0f, 0.5f, 3.25f, 0.0f, 1e30f};

static void
file_of(Bytes *file, const char *header, const void *data, size_t size)
{
	memset(file, 0, sizeof(*file));
	bytes_string(file, header);
	bytes_put(file, data, size);
	/* exactly as large as the file is */
	file->data = realloc(file->data, file->size);
	file->capacity = file->size;
	assert_non_null(file->data);
}

static void
zeros_file(Bytes *file, const char *header, size_t size)
{
	char	   *zeros = calloc(size + 1, 1);

	assert_non_null(zeros);
	file_of(file, header, zeros, size);
	free(zeros);
}

static void
valid_file(Bytes *file)
{
	uint8_t		data[44];
	const uint16_t halves[3] = {0x3c00, 0xc000, 0x0001};
	const uint16_t brain = 0x4049;
	const double pi = 3.141592653589793;
	const int32_t number = -7;

	memcpy(data, six, 24);
	memcpy(data + 24, halves, 6);
	memcpy(data + 30, &brain, 2);
	memcpy(data + 32, &pi, 8);
	memcpy(data + 40, &number, 4);
	file_of(file, valid_header, data, sizeof(data));
}

static EngineCode
read_bytes(const void *data, size_t size, EngineArena *arena,
		   ByteSource *source, SafeTensors *tensors, EngineStatus *status)
{
	memset(status, 0, sizeof(*status));
	engine_arena_init(arena, &engine_malloc, BUDGET);
	memory_source(source, data, size);
	return safetensors_read(source, arena, NULL, tensors, status);
}

static void
expect(EngineCode found, EngineCode wanted, const EngineStatus *status,
	   const char *words)
{
	if (found != wanted || (wanted != ENGINE_OK &&
							strstr(status->message, words) == NULL))
		fail_msg("code %d instead of %d, \"%s\" without \"%s\"", found,
				 wanted, status->message, words);
	if (wanted != ENGINE_OK)
		assert_int_equal(status->code, wanted);
}

/* The header alone decides: size zero bytes follow it. */
static void
expect_header(const char *header, size_t size, EngineCode code,
			  const char *words)
{
	Bytes		file;
	EngineArena arena;
	ByteSource	source;
	SafeTensors tensors;
	EngineStatus status;

	zeros_file(&file, header, size);
	expect(read_bytes(file.data, file.size, &arena, &source, &tensors,
					  &status), code, &status, words);
	engine_arena_free(&arena);
	bytes_free(&file);
}

static void
test_valid(void **state)
{
	static const char *const names[] = {"a", "b", "c", "d", "none", "scalar"};
	Bytes		file;
	EngineArena arena;
	ByteSource	source;
	SafeTensors tensors;
	EngineStatus status;
	const SafeTensor *tensor;
	uint64_t	data = 8 + sizeof(valid_header) - 1;

	(void) state;
	valid_file(&file);
	assert_int_equal(read_bytes(file.data, file.size, &arena, &source,
								&tensors, &status), ENGINE_OK);
	assert_int_equal(tensors.n, 6);
	for (int i = 0; i < 6; i++)
	{
		assert_string_equal(tensors.tensors[i].name, names[i]);
		assert_ptr_equal(safetensors_find(&tensors, names[i]),
						 &tensors.tensors[i]);
	}
	assert_null(safetensors_find(&tensors, ""));
	assert_null(safetensors_find(&tensors, "aa"));
	assert_null(safetensors_find(&tensors, "__metadata__"));

	tensor = safetensors_find(&tensors, "b");
	assert_int_equal(tensor->type, SAFE_F32);
	assert_int_equal(tensor->n_dims, 2);
	assert_int_equal(tensor->dims[0], 2);
	assert_int_equal(tensor->dims[1], 3);
	assert_int_equal(tensor->n, 6);
	assert_ptr_equal(tensor->source, &source);
	assert_int_equal(tensor->offset, data);
	assert_int_equal(tensor->bytes, 24);
	tensor = safetensors_find(&tensors, "none");
	assert_int_equal(tensor->n, 0);
	assert_int_equal(tensor->bytes, 0);
	tensor = safetensors_find(&tensors, "scalar");
	assert_int_equal(tensor->n_dims, 0);
	assert_int_equal(tensor->n, 1);
	assert_string_equal(safetensors_type_name(tensor->type), "BF16");
	assert_string_equal(safetensors_type_name((SafeType) 99), "unknown");
	engine_arena_free(&arena);
	bytes_free(&file);
}

static void
test_values(void **state)
{
	Bytes		file;
	EngineArena arena;
	ByteSource	source;
	SafeTensors tensors;
	EngineStatus status;
	float		out[6];
	uint64_t	scratch[6];

	(void) state;
	valid_file(&file);
	assert_int_equal(read_bytes(file.data, file.size, &arena, &source,
								&tensors, &status), ENGINE_OK);
	assert_int_equal(safetensors_values(safetensors_find(&tensors, "b"), 1, 5,
										out, scratch, &status), ENGINE_OK);
	assert_memory_equal(out, six + 1, 5 * sizeof(float));
	assert_int_equal(safetensors_values(safetensors_find(&tensors, "a"), 0, 3,
										out, scratch, &status), ENGINE_OK);
	assert_true(out[0] == 1.0f && out[1] == -2.0f && out[2] == 0x1p-24f);
	assert_int_equal(safetensors_values(safetensors_find(&tensors, "scalar"),
										0, 1, out, scratch, &status),
					 ENGINE_OK);
	assert_true(out[0] == 3.140625f);
	assert_int_equal(safetensors_values(safetensors_find(&tensors, "d"), 0, 1,
										out, scratch, &status), ENGINE_OK);
	assert_true(out[0] == 3.14159274f);

	/* nothing, and what is not there */
	assert_int_equal(safetensors_values(safetensors_find(&tensors, "b"), 6, 0,
										out, scratch, &status), ENGINE_OK);
	expect(safetensors_values(safetensors_find(&tensors, "b"), 2, 5, out,
							  scratch, &status), ENGINE_INVALID, &status,
		   "are not in a tensor of 6");
	expect(safetensors_values(safetensors_find(&tensors, "b"), -1, 1, out,
							  scratch, &status), ENGINE_INVALID, &status,
		   "not in");
	expect(safetensors_values(safetensors_find(&tensors, "b"), INT64_MAX, 1,
							  out, scratch, &status), ENGINE_INVALID, &status,
		   "not in");
	expect(safetensors_values(safetensors_find(&tensors, "c"), 0, 1, out,
							  scratch, &status), ENGINE_UNSUPPORTED, &status,
		   "\"c\" has type I32");
	engine_arena_free(&arena);
	bytes_free(&file);
}

typedef struct HeaderCase
{
	const char *header;
	size_t		size;			/* zero bytes of data behind it */
	EngineCode	code;
	const char *words;
} HeaderCase;

/* One tensor "t" of four F32 values, and what is wrong with it */
#define T(dtype, shape, offsets) \
	"{\"t\":{\"dtype\":" dtype ",\"shape\":" shape \
	",\"data_offsets\":" offsets "}}"

static const HeaderCase header_cases[] = {
	/* right */
	{T("\"F32\"", "[4]", "[0,16]"), 16, ENGINE_OK, ""},
	{T("\"F32\"", "[4]", "[0,16]") "     ", 16, ENGINE_OK, ""},
	{"{}", 0, ENGINE_OK, ""},
	{"{\"__metadata__\":{}}", 0, ENGINE_OK, ""},
	{T("\"F8_E5M2\"", "[2,2,2,1,1,1,1,1]", "[0,8]"), 8, ENGINE_OK, ""},

	/* what surrounds the JSON text */
	{"", 0, ENGINE_CORRUPT, "not a JSON object"},
	{"{", 0, ENGINE_CORRUPT, "not a JSON object"},
	{" {}", 0, ENGINE_CORRUPT, "not a JSON object"},
	{"[]", 0, ENGINE_CORRUPT, "not a JSON object"},
	{"{}\n", 0, ENGINE_CORRUPT, "nothing but spaces"},
	{"{}\t", 0, ENGINE_CORRUPT, "nothing but spaces"},
	{"{}{}", 0, ENGINE_CORRUPT, "text after the value"},
	{"{}  {}", 0, ENGINE_CORRUPT, "text after the value"},
	{"{\"t\":}", 0, ENGINE_CORRUPT, "invalid JSON"},
	{"{\"t\xFF\":{}}", 0, ENGINE_CORRUPT, "not UTF-8"},
	{"{\"\\ud800\":{}}", 0, ENGINE_CORRUPT, "lone surrogate"},

	/* names */
	{"{\"\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16,
	ENGINE_CORRUPT, "has 0 bytes"},
	{"{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[4],"
	"\"data_offsets\":[0,16]}}", 16, ENGINE_CORRUPT, "zero byte"},
	{"{\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},"
		"\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16,
	ENGINE_CORRUPT, "occurs twice"},
	{"{\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},"
		"\"\\u0074\":{\"dtype\":\"F32\",\"shape\":[4],"
	"\"data_offsets\":[0,16]}}", 16, ENGINE_CORRUPT, "occurs twice"},

	/* metadata */
	{"{\"__metadata__\":[]}", 0, ENGINE_CORRUPT, "__metadata__"},
	{"{\"__metadata__\":{\"a\":1}}", 0, ENGINE_CORRUPT, "__metadata__"},
	{"{\"__metadata__\":{\"a\":\"b\",\"c\":null}}", 0, ENGINE_CORRUPT,
	"__metadata__"},
	{"{\"__metadata__\":null}", 0, ENGINE_CORRUPT, "__metadata__"},

	/* descriptions */
	{"{\"t\":[]}", 0, ENGINE_CORRUPT, "not described by an object"},
	{"{\"t\":\"F32\"}", 0, ENGINE_CORRUPT, "not described by an object"},
	{"{\"t\":{}}", 0, ENGINE_CORRUPT, "no type"},
	{"{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,16]}}", 16,
	ENGINE_CORRUPT, "no shape"},
	{"{\"t\":{\"dtype\":\"F32\",\"shape\":[4]}}", 16, ENGINE_CORRUPT,
	"data_offsets"},
	{"{\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16],"
	"\"more\":1}}", 16, ENGINE_CORRUPT, "more than a type"},

	/* types */
	{T("\"F4\"", "[4]", "[0,16]"), 16, ENGINE_UNSUPPORTED, "type \"F4\""},
	{T("\"f32\"", "[4]", "[0,16]"), 16, ENGINE_UNSUPPORTED, "unknown type"},
	{T("\"\"", "[4]", "[0,16]"), 16, ENGINE_UNSUPPORTED, "unknown type"},
	{T("0", "[4]", "[0,16]"), 16, ENGINE_CORRUPT, "no type"},
	{T("null", "[4]", "[0,16]"), 16, ENGINE_CORRUPT, "no type"},

	/* shapes */
	{T("\"F32\"", "4", "[0,16]"), 16, ENGINE_CORRUPT, "no shape"},
	{T("\"F32\"", "{}", "[0,16]"), 16, ENGINE_CORRUPT, "no shape"},
	{T("\"F32\"", "[-4]", "[0,16]"), 16, ENGINE_CORRUPT, "whole number"},
	{T("\"F32\"", "[-0]", "[0,0]"), 0, ENGINE_CORRUPT, "whole number"},
	{T("\"F32\"", "[4.0]", "[0,16]"), 16, ENGINE_CORRUPT, "whole number"},
	{T("\"F32\"", "[4e0]", "[0,16]"), 16, ENGINE_CORRUPT, "whole number"},
	{T("\"F32\"", "[\"4\"]", "[0,16]"), 16, ENGINE_CORRUPT, "whole number"},
	{T("\"F32\"", "[[4]]", "[0,16]"), 16, ENGINE_LIMIT, "deep"},
	{T("\"F32\"", "[9223372036854775808]", "[0,16]"), 16, ENGINE_CORRUPT,
	"whole number"},
	{T("\"F32\"", "[4294967296,4294967296]", "[0,0]"), 0, ENGINE_CORRUPT,
	"too large a shape"},
	{T("\"F32\"", "[4611686018427387905]", "[0,4]"), 4, ENGINE_CORRUPT,
	"shape contradicts"},
	{T("\"F32\"", "[1,1,1,1,1,1,1,1,4]", "[0,16]"), 16, ENGINE_LIMIT,
	"9 dimensions"},
	{T("\"F32\"", "[3]", "[0,16]"), 16, ENGINE_CORRUPT, "shape contradicts"},
	{T("\"F64\"", "[4]", "[0,16]"), 16, ENGINE_CORRUPT, "shape contradicts"},
	{T("\"F32\"", "[0]", "[0,16]"), 16, ENGINE_CORRUPT, "shape contradicts"},
	{T("\"F32\"", "[]", "[0,16]"), 16, ENGINE_CORRUPT, "shape contradicts"},

	/* offsets */
	{T("\"F32\"", "[4]", "[]"), 16, ENGINE_CORRUPT, "two whole numbers"},
	{T("\"F32\"", "[4]", "[0]"), 16, ENGINE_CORRUPT, "two whole numbers"},
	{T("\"F32\"", "[4]", "[0,8,16]"), 16, ENGINE_CORRUPT,
	"two whole numbers"},
	{T("\"F32\"", "[4]", "16"), 16, ENGINE_CORRUPT, "two whole numbers"},
	{T("\"F32\"", "[4]", "[-16,0]"), 16, ENGINE_CORRUPT,
	"two whole numbers"},
	{T("\"F32\"", "[4]", "[-0,16]"), 16, ENGINE_CORRUPT,
	"two whole numbers"},
	{T("\"F32\"", "[4]", "[0,16.0]"), 16, ENGINE_CORRUPT,
	"two whole numbers"},
	{T("\"F32\"", "[4]", "[0,1e1]"), 16, ENGINE_CORRUPT,
	"two whole numbers"},
	{T("\"F32\"", "[4]", "[0,null]"), 16, ENGINE_CORRUPT,
	"two whole numbers"},
	{T("\"F32\"", "[4]", "[16,0]"), 16, ENGINE_CORRUPT, "before it begins"},
	{T("\"F32\"", "[4]", "[0,17]"), 16, ENGINE_CORRUPT, "beyond the end"},
	{T("\"F32\"", "[4]", "[16,32]"), 16, ENGINE_CORRUPT, "beyond the end"},
	{T("\"F32\"", "[4]", "[18446744073709551600,16]"), 16, ENGINE_CORRUPT,
	"two whole numbers"},
	{T("\"F32\"", "[4]", "[9223372036854775791,9223372036854775807]"), 16,
	ENGINE_CORRUPT, "beyond the end"},
	{T("\"F32\"", "[4]", "[0,99999999999999999999999999]"), 16,
	ENGINE_CORRUPT, "two whole numbers"},

	/* gaps, overlaps, what follows */
	{T("\"F32\"", "[4]", "[4,20]"), 20, ENGINE_CORRUPT, "does not begin"},
	{T("\"F32\"", "[4]", "[0,16]"), 17, ENGINE_CORRUPT, "1 bytes that"},
	{"{}", 1, ENGINE_CORRUPT, "belong to no tensor"},
	{"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
		"\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[3,7]}}", 7,
	ENGINE_CORRUPT, "\"b\" shares bytes"},
	{"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
		"\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
	ENGINE_CORRUPT, "shares bytes"},
	{"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
		"\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[5,7]}}", 7,
	ENGINE_CORRUPT, "\"b\" does not begin"},
	{"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
		"\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[2,2]}}", 4,
	ENGINE_CORRUPT, "shares bytes"},
	{"{\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
		"\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
		"\"c\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[4,4]}}", 4,
	ENGINE_OK, ""},
};

static void
test_headers(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(header_cases) / sizeof(header_cases[0]);
		 i++)
	{
		const HeaderCase *c = &header_cases[i];

		expect_header(c->header, c->size, c->code, c->words);
	}
}

/* A NUL behind the JSON text, where only spaces may be */
static void
test_padding(void **state)
{
	static const char text[] = "{}\0";
	Bytes		file = {0};
	EngineArena arena;
	ByteSource	source;
	SafeTensors tensors;
	EngineStatus status;

	(void) state;
	bytes_number(&file, 3, 8);
	bytes_put(&file, text, 3);
	expect(read_bytes(file.data, file.size, &arena, &source, &tensors,
					  &status), ENGINE_CORRUPT, &status,
		   "nothing but spaces");
	engine_arena_free(&arena);
	bytes_free(&file);
}

/* Longest names, and one byte more */
static void
test_long_names(void **state)
{
	char		header[512];
	char		name[258];

	(void) state;
	for (int length = 256; length <= 257; length++)
	{
		memset(name, 'n', sizeof(name));
		name[length] = '\0';
		snprintf(header, sizeof(header), "{\"%s\":{\"dtype\":\"U8\","
				 "\"shape\":[0],\"data_offsets\":[0,0]}}", name);
		expect_header(header, 0, length == 256 ? ENGINE_OK : ENGINE_CORRUPT,
					  "has 257 bytes");
	}
}

static EngineCode
refuse_read(ByteSource *source, uint64_t offset, void *buf, size_t length,
			EngineStatus *status)
{
	if (offset > 0 || length > 8)
		return engine_fail(status, ENGINE_IO, "read beyond the length");
	memcpy(buf, source->arg, length);
	return ENGINE_OK;
}

/* The length of the header, against files of which only that is read */
static void
test_lengths(void **state)
{
	static const struct
	{
		uint64_t	length;
		uint64_t	size;
		EngineCode	code;
		const char *words;
	}			cases[] = {
		{2, 0, ENGINE_CORRUPT, "file of 0 bytes"},
		{2, 7, ENGINE_CORRUPT, "file of 7 bytes"},
		{2, 9, ENGINE_CORRUPT, "not complete"},
		{1, 8, ENGINE_CORRUPT, "not complete"},
		{UINT64_MAX, 1000, ENGINE_CORRUPT, "not complete"},
		{UINT64_MAX - 7, 1000, ENGINE_CORRUPT, "not complete"},
		{INT64_MAX, UINT64_MAX / 4, ENGINE_CORRUPT, "not complete"},
		{100000001, UINT64_C(1) << 40, ENGINE_LIMIT, "100000001 bytes"},
		{UINT64_C(1) << 39, UINT64_C(1) << 40, ENGINE_LIMIT, "more than"},
		{100, 108, ENGINE_IO, "read beyond"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		EngineArena arena;
		ByteSource	source;
		SafeTensors tensors;
		EngineStatus status = {0};
		uint8_t		bytes[8];

		for (int j = 0; j < 8; j++)
			bytes[j] = (uint8_t) (cases[i].length >> (8 * j));
		source.size = cases[i].size;
		source.read = refuse_read;
		source.arg = bytes;
		engine_arena_init(&arena, &engine_malloc, BUDGET);
		expect(safetensors_read(&source, &arena, NULL, &tensors, &status),
			   cases[i].code, &status, cases[i].words);
		/* nothing of the claimed size was allocated */
		assert_true(arena.used <= 1 << 20);
		engine_arena_free(&arena);
	}
}

static void
test_truncations(void **state)
{
	Bytes		file;

	(void) state;
	valid_file(&file);
	for (size_t size = 0; size < file.size; size++)
	{
		void	   *copy = malloc(size);
		EngineArena arena;
		ByteSource	source;
		SafeTensors tensors;
		EngineStatus status;

		if (size > 0)
			memcpy(copy, file.data, size);
		expect(read_bytes(copy, size, &arena, &source, &tensors, &status),
			   ENGINE_CORRUPT, &status, "");
		engine_arena_free(&arena);
		free(copy);
	}
	bytes_free(&file);
}

/* Whatever is accepted fills the file exactly. */
static void
check_tensors(const SafeTensors *tensors, uint64_t size)
{
	uint64_t	sum = 0;
	uint64_t	first = size;

	for (uint32_t i = 0; i < tensors->n; i++)
	{
		const SafeTensor *tensor = &tensors->tensors[i];

		assert_true(tensor->offset <= size);
		assert_true(tensor->bytes <= size - tensor->offset);
		assert_true(i == 0 || strcmp(tensor[-1].name, tensor->name) < 0);
		sum += tensor->bytes;
		if (tensor->offset < first)
			first = tensor->offset;
	}
	assert_int_equal(sum, size - first);
}

static void
test_mutations(void **state)
{
	static const char bytes[] = {0, ' ', '"', '0', '9', '-', ',', '}', '\\',
	(char) 0xC3, 'e', '['};
	Bytes		file;
	size_t		accepted = 0;

	(void) state;
	valid_file(&file);
	for (size_t at = 0; at < file.size - 44; at++)
	{
		uint8_t		saved = file.data[at];

		for (size_t i = 0; i < sizeof(bytes); i++)
		{
			EngineArena arena;
			ByteSource	source;
			SafeTensors tensors;
			EngineStatus status;
			EngineCode	code;

			file.data[at] = (uint8_t) bytes[i];
			code = read_bytes(file.data, file.size, &arena, &source,
							  &tensors, &status);
			if (code == ENGINE_OK)
			{
				check_tensors(&tensors, file.size);
				accepted++;
			}
			else
				assert_true(code == status.code &&
							status.message[0] != '\0');
			engine_arena_free(&arena);
		}
		file.data[at] = saved;
	}
	/* names and metadata may be other ones: 332 files */
	assert_in_range(accepted, 100, 400);
	bytes_free(&file);
}

/* n tensors without bytes, numbered, in a header with metadata */
static void
many_tensors(Bytes *file, int n)
{
	Bytes		header = {0};
	char		text[128];

	bytes_put(&header, "{\"__metadata__\":{}", 18);
	for (int i = 0; i < n; i++)
	{
		int			length = snprintf(text, sizeof(text),
									  ",\"%d\":{\"dtype\":\"U8\",\"shape\":"
									  "[0],\"data_offsets\":[0,0]}", i);

		bytes_put(&header, text, (size_t) length);
	}
	bytes_put(&header, "}", 2);
	file_of(file, (const char *) header.data, "", 0);
	bytes_free(&header);
}

static void
test_caps(void **state)
{
	(void) state;
	for (int n = 65536; n <= 65537; n++)
	{
		Bytes		file;
		EngineArena arena;
		ByteSource	source;
		SafeTensors tensors;
		EngineStatus status = {0};
		EngineCode	code;

		many_tensors(&file, n);
		engine_arena_init(&arena, &engine_malloc, 0);
		memory_source(&source, file.data, file.size);
		code = safetensors_read(&source, &arena, NULL, &tensors, &status);
		expect(code, n == 65536 ? ENGINE_OK : ENGINE_LIMIT, &status,
			   "has 65537 tensors, more than 65536");
		if (code == ENGINE_OK)
		{
			assert_int_equal(tensors.n, 65536);
			assert_non_null(safetensors_find(&tensors, "65535"));
		}
		engine_arena_free(&arena);
		bytes_free(&file);
	}
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
	Bytes		file;
	int			polls = 0;
	EngineCode	code;

	(void) state;
	many_tensors(&file, 3000);
	do
	{
		int			left = polls++;
		EngineHost	host = {count_down, &left, NULL};
		EngineArena arena;
		ByteSource	source;
		SafeTensors tensors;
		EngineStatus status = {0};

		engine_arena_init(&arena, &engine_malloc, 0);
		memory_source(&source, file.data, file.size);
		code = safetensors_read(&source, &arena, &host, &tensors, &status);
		engine_arena_free(&arena);
		assert_true(code == ENGINE_OK || code == ENGINE_CANCELLED);
	} while (code != ENGINE_OK);
	assert_true(polls > 5);		/* observed: 19 */
	bytes_free(&file);
}

static void
test_no_memory(void **state)
{
	Bytes		file;
	size_t		budget = 1;
	EngineCode	code;

	(void) state;
	many_tensors(&file, 1000);
	do
	{
		EngineArena arena;
		ByteSource	source;
		SafeTensors tensors;
		EngineStatus status = {0};

		engine_arena_init(&arena, &engine_malloc, budget);
		memory_source(&source, file.data, file.size);
		code = safetensors_read(&source, &arena, NULL, &tensors, &status);
		engine_arena_free(&arena);
		expect(code, code == ENGINE_OK ? ENGINE_OK : ENGINE_LIMIT, &status,
			   "working memory");
		budget += 50000;
	} while (code != ENGINE_OK);
	assert_true(budget > 200000);
	bytes_free(&file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_padding),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_truncations),
		cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
