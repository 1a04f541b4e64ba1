/*-------------------------------------------------------------------------
 *
 * folder.c
 *	  Names and whole files of a folder.
 *
 * A name that comes from a file (a shard of an index, the path of a module)
 * reaches the host only through folder_open(), which accepts nothing but
 * plain components: no separators beyond one, no leading dot, no bytes that
 * mean something to a file system.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/folder.h"

#include <inttypes.h>
#include <string.h>

#define MAX_COMPONENT 200

/* Bytes between two polls of the host. */
#define PIECE ((size_t) 1 << 20)

/* Nodes: tokenizer.json of 256 k tokens and as many merges has 2 M. */
#define MAX_NODES ((size_t) 16 << 20)

static bool
name_byte(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		(c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool
folder_component(const char *name, size_t length)
{
	if (length < 1 || length > MAX_COMPONENT || name[0] == '.')
		return false;
	for (size_t i = 0; i < length; i++)
	{
		if (!name_byte(name[i]))
			return false;
	}
	return true;
}

bool
folder_name(const char *name)
{
	const char *slash = strchr(name, '/');

	if (slash == NULL)
		return folder_component(name, strlen(name));
	return folder_component(name, (size_t) (slash - name)) &&
		folder_component(slash + 1, strlen(slash + 1));
}

EngineCode
folder_open(ModelFolder *folder, const char *name, ByteSource **source,
			EngineStatus *status)
{
	char		text[96];

	*source = NULL;
	if (folder_name(name))
		return folder->open(folder, name, source, status);
	engine_fail(status, ENGINE_CORRUPT,
				"\"%s\" is not the name of a file of a model folder",
				engine_printable(name, strlen(name), text, sizeof(text)));
	engine_detail(status, "A name has one or two parts of letters, digits, "
				  "\"_\", \"-\" and \".\", and no part begins with \".\".");
	return ENGINE_CORRUPT;
}

/* A whole file with a NUL behind it; *bytes NULL: there is none. */
static EngineCode
read_whole(ModelFolder *folder, const char *name, size_t max_bytes,
		   EngineArena *arena, const EngineHost *host, char **bytes,
		   size_t *length, EngineStatus *status)
{
	ByteSource *source;
	size_t		size;

	*bytes = NULL;
	*length = 0;
	ENGINE_TRY(folder_open(folder, name, &source, status));
	if (source == NULL)
		return ENGINE_OK;
	if (source->size > max_bytes || source->size >= SIZE_MAX)
		return engine_fail(status, ENGINE_LIMIT,
						   "file \"%s\" of %" PRIu64
						   " bytes is larger than %zu bytes", name,
						   source->size, max_bytes);
	size = (size_t) source->size;
	*bytes = engine_alloc_raw(arena, size + 1, 1, status);
	if (*bytes == NULL)
		return status->code;
	for (size_t done = 0; done < size;)
	{
		size_t		n = size - done < PIECE ? size - done : PIECE;

		if (engine_interrupted(host))
			return engine_cancelled(status);
		ENGINE_TRY(source->read(source, done, *bytes + done, n, status));
		done += n;
	}
	(*bytes)[size] = '\0';
	*length = size;
	return ENGINE_OK;
}

/* Put the file's name before a message that speaks of "invalid JSON". */
static EngineCode
name_file(const char *name, EngineStatus *status)
{
	EngineStatus inner = *status;

	engine_fail(status, inner.code, "file \"%s\": %.200s", name,
				inner.message);
	memcpy(status->detail, inner.detail, sizeof(status->detail));
	memcpy(status->hint, inner.hint, sizeof(status->hint));
	return status->code;
}

EngineCode
folder_json(ModelFolder *folder, const char *name, bool required,
			size_t max_bytes, EngineArena *arena, const EngineHost *host,
			const JsonNode **root, EngineStatus *status)
{
	char	   *text;
	size_t		length;
	EngineCode	code;

	*root = NULL;
	if (max_bytes > JSON_LONGEST)
		max_bytes = JSON_LONGEST;
	ENGINE_TRY(read_whole(folder, name, max_bytes, arena, host, &text,
						  &length, status));
	if (text == NULL && required)
		return engine_fail(status, ENGINE_CORRUPT,
						   "model folder has no file \"%s\"", name);
	if (text == NULL)
		return ENGINE_OK;
	code = json_parse(text, length, JSON_DEEPEST, MAX_NODES, arena, host,
					  root, status);
	if (code == ENGINE_CORRUPT || code == ENGINE_LIMIT)
		return name_file(name, status);
	return code;
}

EngineCode
folder_text(ModelFolder *folder, const char *name, size_t max_bytes,
			EngineArena *arena, const char **text, size_t *length,
			EngineStatus *status)
{
	char	   *bytes;

	ENGINE_TRY(read_whole(folder, name, max_bytes, arena, NULL, &bytes,
						  length, status));
	*text = bytes;
	return ENGINE_OK;
}
