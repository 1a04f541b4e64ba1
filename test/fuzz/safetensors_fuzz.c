/*-------------------------------------------------------------------------
 *
 * safetensors_fuzz.c
 *	  Any bytes as a safetensors file, or as the index of several.
 *
 * The first byte says what the rest is: a whole file (F), the header of one,
 * whose length is made to fit and behind which everything after a zero byte
 * is data (H), or an index (I), for which every file that it names is the same
 * small valid one, but for the name of its tensor.
 *
 * What is accepted must fill its file, and is read from end to end.  A folder
 * must never be asked for a name that could lead out of it.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/safetensors.h"

#define ARENA_BUDGET ((size_t) 128 << 20)
#define MAX_FILES 64

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

/* Read the values of a tensor; those of other types are refused. */
static void
read_values(const SafeTensor *tensor)
{
	size_t		n = (size_t) tensor->n;
	float	   *values = malloc(n * sizeof(float) + 1);
	void	   *scratch = malloc(n * 8 + 1);
	EngineStatus status;
	EngineCode	code;

	if (values != NULL && scratch != NULL)
	{
		code = safetensors_values(tensor, 0, tensor->n, values, scratch,
								  &status);
		demand(code == ENGINE_OK || code == ENGINE_UNSUPPORTED,
			   "values that cannot be read");
		demand(safetensors_values(tensor, 1, tensor->n, values, scratch,
								  &status) == ENGINE_INVALID,
			   "values beyond the end");
	}
	free(values);
	free(scratch);
}

static void
check_tensors(const SafeTensors *tensors, uint64_t size)
{
	uint64_t	sum = 0;
	uint64_t	first = size;

	for (uint32_t i = 0; i < tensors->n; i++)
	{
		const SafeTensor *tensor = &tensors->tensors[i];

		demand(tensor->offset <= size &&
			   tensor->bytes <= size - tensor->offset,
			   "a tensor outside its file");
		demand(i == 0 || strcmp(tensor[-1].name, tensor->name) < 0,
			   "names that are not sorted");
		demand(safetensors_find(tensors, tensor->name) == tensor,
			   "a tensor that is not found");
		sum += tensor->bytes;
		if (tensor->offset < first)
			first = tensor->offset;
		if (tensor->n > 0)
			read_values(tensor);
	}
	demand(sum == size - first, "bytes that belong to no tensor");
}

static void
try_file(const uint8_t *data, size_t size)
{
	uint8_t    *copy = malloc(size + 1);
	ByteSource	source;
	EngineArena arena;
	EngineStatus status;
	SafeTensors tensors;
	EngineCode	code;

	if (copy == NULL)
		return;
	/* exactly as large as the file is */
	copy = realloc(copy, size > 0 ? size : 1);
	if (size > 0)
		memcpy(copy, data, size);
	engine_arena_init(&arena, &engine_malloc, ARENA_BUDGET);
	memory_source(&source, copy, size);
	code = safetensors_read(&source, &arena, NULL, &tensors, &status);
	if (code == ENGINE_OK)
		check_tensors(&tensors, size);
	else
		check_status(code, &status);
	engine_arena_free(&arena);
	free(copy);
}

static void
try_header(const uint8_t *data, size_t size)
{
	const uint8_t *zero = size > 0 ? memchr(data, 0, size) : NULL;
	size_t		header = zero == NULL ? size : (size_t) (zero - data);
	size_t		rest = zero == NULL ? 0 : size - header - 1;
	uint8_t    *file = malloc(8 + header + rest);

	if (file == NULL)
		return;
	for (int i = 0; i < 8; i++)
		file[i] = (uint8_t) ((uint64_t) header >> (8 * i));
	if (header > 0)
		memcpy(file + 8, data, header);
	if (rest > 0)
		memcpy(file + 8 + header, zero + 1, rest);
	try_file(file, 8 + header + rest);
	free(file);
}

/* A folder of an index and of whatever it names */
typedef struct FuzzFolder
{
	ModelFolder folder;
	ByteSource	index;
	int			n;
	ByteSource	sources[MAX_FILES];
	char		names[MAX_FILES][256];
	uint8_t		files[MAX_FILES][512];
} FuzzFolder;

/* The file's tensor has the first letter of the file as its name. */
static ByteSource *
make_file(FuzzFolder *self, const char *name)
{
	uint8_t    *file = self->files[self->n];
	int			length;

	snprintf(self->names[self->n], sizeof(self->names[0]), "%s", name);
	length = snprintf((char *) file + 8, 256, "{\"%c\":{\"dtype\":\"U8\","
					  "\"shape\":[1],\"data_offsets\":[0,1]}}", name[0]);
	memset(file, 0, 8);
	file[0] = (uint8_t) length;
	memory_source(&self->sources[self->n], file, 8 + (size_t) length + 1);
	return &self->sources[self->n++];
}

static EngineCode
open_file(ModelFolder *folder, const char *name, ByteSource **source,
		  EngineStatus *status)
{
	FuzzFolder *self = folder->arg;

	(void) status;
	demand(folder_name(name) && strstr(name, "..") != name &&
		   strchr(name, '/') == NULL, "a name that leaves the folder");
	*source = NULL;
	if (strcmp(name, "model.safetensors.index.json") == 0)
		*source = &self->index;
	for (int i = 0; i < self->n && *source == NULL; i++)
	{
		if (strcmp(self->names[i], name) == 0)
			*source = &self->sources[i];
	}
	if (*source == NULL && strcmp(name, "model.safetensors") != 0 &&
		self->n < MAX_FILES)
		*source = make_file(self, name);
	return ENGINE_OK;
}

static void
try_index(const uint8_t *data, size_t size)
{
	FuzzFolder *self = calloc(1, sizeof(FuzzFolder));
	EngineArena arena;
	EngineStatus status;
	SafeTensors tensors;
	EngineCode	code;

	if (self == NULL)
		return;
	self->folder.open = open_file;
	self->folder.arg = self;
	memory_source(&self->index, data, size);
	engine_arena_init(&arena, &engine_malloc, ARENA_BUDGET);
	code = safetensors_open(&self->folder, "", &arena, NULL, &tensors,
							&status);
	if (code == ENGINE_OK)
		demand(tensors.n == (uint32_t) self->n, "not one tensor of a file");
	else
		check_status(code, &status);
	engine_arena_free(&arena);
	free(self);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == 'H')
		try_header(data + 1, size - 1);
	else if (data[0] == 'I')
		try_index(data + 1, size - 1);
	else
		try_file(data + 1, size - 1);
	return 0;
}
