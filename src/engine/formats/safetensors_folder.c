/*-------------------------------------------------------------------------
 *
 * safetensors_folder.c
 *	  All tensors of a model folder, from one safetensors file or several.
 *
 * The index of a model in several files says which tensor is in which.  Its
 * names of files are not paths: only plain names that end like those of
 * safetensors files are opened, beside the index.  Index and files must agree,
 * and no two files have the same tensor.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/safetensors_sort.h"

#include <stdio.h>
#include <string.h>

#define MAX_INDEX ((size_t) 64 << 20)
#define MAX_SHARDS 1000
#define MAX_TENSORS 65536		/* of all files */

/* Tensors between two polls of the host. */
#define POLL_INTERVAL 1024

/* The name of a tensor for errors, shortened */
static const char *
shown(const char *name, char *buf, size_t size)
{
	return engine_printable(name, strlen(name), buf, size);
}

typedef struct Shards
{
	ModelFolder *folder;
	const char *prefix;
	EngineArena *arena;
	const EngineHost *host;
	EngineStatus *status;
	const JsonNode *map;		/* weight_map */
	int			n;
	const char *names[MAX_SHARDS];
	ByteSource *sources[MAX_SHARDS];
} Shards;

static EngineCode
file_name(const char *prefix, const char *name, char *buf, size_t size,
		  EngineStatus *status)
{
	int			length = snprintf(buf, size, "%s%s", prefix, name);

	if (length < 0 || (size_t) length >= size)
		return engine_fail(status, ENGINE_CORRUPT,
						   "name of a file of the model folder is too long");
	return ENGINE_OK;
}

/* A file of the folder by what the messages call it */
static EngineCode
read_file(ByteSource *source, const char *name, EngineArena *arena,
		  const EngineHost *host, SafeTensors *tensors, EngineStatus *status)
{
	EngineCode	code = safetensors_read(source, arena, host, tensors,
										status);

	if (code != ENGINE_OK && status->detail[0] == '\0')
		engine_detail(status, "The file is \"%s\".", name);
	return code;
}

/* Number of the shard of that name; it is new at most once. */
static EngineCode
shard_number(Shards *shards, const JsonNode *file, int *number)
{
	static const char ending[] = ".safetensors";
	size_t		n = sizeof(ending) - 1;
	char		name[96];

	/* mostly the one before */
	for (int i = shards->n - 1; i >= 0; i--)
	{
		if (json_is_text(file, shards->names[i]))
		{
			*number = i;
			return ENGINE_OK;
		}
	}
	if (file->type != JSON_STRING ||
		!folder_component(file->text, file->length) || file->length <= n ||
		memcmp(file->text + file->length - n, ending, n) != 0)
		return engine_fail(shards->status, ENGINE_CORRUPT,
						   "index of safetensors files has the file name "
						   "\"%s\"", file->type != JSON_STRING ? "" :
						   engine_printable(file->text, file->length, name,
											sizeof(name)));
	if (shards->n == MAX_SHARDS)
		return engine_fail(shards->status, ENGINE_LIMIT,
						   "model folder has more than %d safetensors files",
						   MAX_SHARDS);
	shards->names[shards->n] = file->text;
	*number = shards->n++;
	return ENGINE_OK;
}

/* All files that the index names */
static EngineCode
list_shards(Shards *shards)
{
	const JsonNode *key = json_first(shards->map);
	int			number = 0;

	for (uint32_t i = 0; i < shards->map->count; i++)
	{
		if (i % POLL_INTERVAL == 0 && engine_interrupted(shards->host))
			return engine_cancelled(shards->status);
		ENGINE_TRY(shard_number(shards, key + 1, &number));
		key = json_after(key + 1);
	}
	return ENGINE_OK;
}

static EngineCode
read_shard(Shards *shards, int number, SafeTensors *tensors)
{
	char		name[512];
	EngineStatus *status = shards->status;

	ENGINE_TRY(file_name(shards->prefix, shards->names[number], name,
						 sizeof(name), status));
	ENGINE_TRY(folder_open(shards->folder, name, &shards->sources[number],
						   status));
	if (shards->sources[number] == NULL)
		return engine_fail(status, ENGINE_CORRUPT,
						   "model folder has no file \"%s\", which its index "
						   "names", name);
	return read_file(shards->sources[number], name, shards->arena,
					 shards->host, tensors, status);
}

/* Put the tensors of n files into one list, sorted by name. */
static EngineCode
join_shards(Shards *shards, const SafeTensors *parts, SafeTensors *tensors)
{
	EngineStatus *status = shards->status;
	uint32_t	n = 0;
	char		name[96];

	for (int i = 0; i < shards->n; i++)
		n += parts[i].n;
	tensors->tensors = engine_alloc(shards->arena, n, sizeof(SafeTensor),
									status);
	if (tensors->tensors == NULL)
		return status->code;
	for (int i = 0; i < shards->n; i++)
	{
		for (uint32_t j = 0; j < parts[i].n; j++)
			tensors->tensors[tensors->n++] = parts[i].tensors[j];
	}
	ENGINE_TRY(safetensors_sort(tensors, safetensors_after_by_name,
								shards->arena, status));
	for (uint32_t i = 1; i < n; i++)
	{
		if (strcmp(tensors->tensors[i - 1].name,
				   tensors->tensors[i].name) == 0)
			return engine_fail(status, ENGINE_CORRUPT,
							   "two safetensors files have a tensor \"%s\"",
							   shown(tensors->tensors[i].name, name,
									 sizeof(name)));
	}
	return ENGINE_OK;
}

/* Is every tensor of the index in the file that the index says? */
static EngineCode
check_index(Shards *shards, const SafeTensors *tensors)
{
	const JsonNode *key = json_first(shards->map);
	char		name[96];

	for (uint32_t i = 0; i < shards->map->count; i++)
	{
		const SafeTensor *tensor = safetensors_find(tensors, key->text);
		int			number = 0;

		ENGINE_TRY(shard_number(shards, key + 1, &number));
		if (tensor == NULL || strlen(key->text) != key->length ||
			tensor->source != shards->sources[number])
			return engine_fail(shards->status, ENGINE_CORRUPT,
							   "file \"%s\" has no tensor \"%s\", which the "
							   "index says it has", shards->names[number],
							   engine_printable(key->text, key->length, name,
												sizeof(name)));
		if (i % POLL_INTERVAL == 0 && engine_interrupted(shards->host))
			return engine_cancelled(shards->status);
		key = json_after(key + 1);
	}
	return ENGINE_OK;
}

static EngineCode
read_shards(Shards *shards, SafeTensors *tensors)
{
	SafeTensors *parts;
	uint32_t	n = 0;

	ENGINE_TRY(list_shards(shards));
	parts = engine_alloc(shards->arena, (size_t) shards->n,
						 sizeof(SafeTensors), shards->status);
	if (parts == NULL)
		return shards->status->code;
	for (int i = 0; i < shards->n; i++)
	{
		ENGINE_TRY(read_shard(shards, i, &parts[i]));
		n += parts[i].n;
		if (n > MAX_TENSORS)
			return engine_fail(shards->status, ENGINE_LIMIT,
							   "model folder has more than %d tensors",
							   MAX_TENSORS);
	}
	ENGINE_TRY(join_shards(shards, parts, tensors));
	return check_index(shards, tensors);
}

static EngineCode
no_weights(const char *name, EngineStatus *status)
{
	engine_fail(status, ENGINE_CORRUPT, "model folder has no file \"%s\"",
				name);
	engine_hint(status, "Weights are read from safetensors files; "
				"save_pretrained() of transformers writes them.");
	return ENGINE_CORRUPT;
}

static EngineCode
read_index(Shards *shards, const char *whole, SafeTensors *tensors)
{
	const JsonNode *root;
	char		name[512];

	ENGINE_TRY(file_name(shards->prefix, "model.safetensors.index.json",
						 name, sizeof(name), shards->status));
	ENGINE_TRY(folder_json(shards->folder, name, false, MAX_INDEX,
						   shards->arena, shards->host, &root,
						   shards->status));
	if (root == NULL)
		return no_weights(whole, shards->status);
	shards->map = json_member(root, "weight_map");
	if (shards->map == NULL || shards->map->type != JSON_OBJECT ||
		shards->map->count == 0)
		return engine_fail(shards->status, ENGINE_CORRUPT,
						   "file \"%s\" has no weight_map", name);
	return read_shards(shards, tensors);
}

EngineCode
safetensors_open(ModelFolder *folder, const char *prefix, EngineArena *arena,
				 const EngineHost *host, SafeTensors *tensors,
				 EngineStatus *status)
{
	ByteSource *source;
	Shards	   *shards;
	char		name[512];

	memset(tensors, 0, sizeof(*tensors));
	ENGINE_TRY(file_name(prefix, "model.safetensors", name, sizeof(name),
						 status));
	ENGINE_TRY(folder_open(folder, name, &source, status));
	if (source != NULL)
		return read_file(source, name, arena, host, tensors, status);
	shards = engine_alloc(arena, 1, sizeof(Shards), status);
	if (shards == NULL)
		return status->code;
	shards->folder = folder;
	shards->prefix = prefix;
	shards->arena = arena;
	shards->host = host;
	shards->status = status;
	return read_index(shards, name, tensors);
}
