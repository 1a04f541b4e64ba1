/*-------------------------------------------------------------------------
 *
 * import.c
 *	  The bytes of a model file, on their way into a large object.
 *
 * A model is a GGUF file, or a folder in the format of Hugging Face: a
 * directory of the server, or a tar archive, which is known by its first
 * bytes.  Of a folder the engine makes a source whose bytes are those of a
 * GGUF file, converted while they are read; from there on both are the same.
 *
 * Everything is read in pieces of 1 MB: hashed, checked, written.  Nothing of
 * it stays when the transaction fails or is cancelled, because a large object
 * is transactional as a row is.
 *
 * PostgreSQL tries to compress every 2 kB of a large object, which for weights
 * is in vain; lz4 gives up about twice as fast as pglz, so it is set for the
 * time of writing when the server has it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "engine/formats/hugging_face.h"
#include "host.h"
#include "models/import.h"
#include "models/tar_folder.h"

#define NOTICE_INTERVAL_MS 5000

static void
open_large_object(Import *import, Oid oid)
{
	LargeObjectInfo info;

	if (!large_object_info(oid, &info))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("large object %u does not exist", oid));
	if (!large_object_ownercheck(oid, GetUserId()))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("must be owner of large object %u", oid));
	import->reader = reader_open(oid);
	import->source = reader_source(import->reader);
}

static void
open_bytea(Import *import, bytea *bytes)
{
	import->source = palloc0(sizeof(ByteSource));
	memory_source(import->source, VARDATA_ANY(bytes),
				  VARSIZE_ANY_EXHDR(bytes));
}

static void
open_path(Import *import, char *path)
{
	if (server_path_is_folder(path))
	{
		import->folder = server_folder_open(path);
		return;
	}
	if (!server_file_find(&import->file, path))
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not open file \"%s\": %m", path));
	server_file_open(&import->file);
	import->source = &import->file.source;
}

/* Files of which people think that they are the model. */
static void
refuse_other_files(const char *block)
{
	const char *format = compression_begins(block);
	bool		safetensors = block[8] == '{';
	bool		json = block[0] == '{';

	if (format != NULL)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("file is compressed with %s", format),
				errhint("Give the file as it was before, and make archives of folders without compression: tar cf."));
	if (memcmp(block, "GGUF", 4) != 0 && (safetensors || json))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				errmsg("file is not a GGUF file"),
				errdetail("It looks like one file of a model in the format of Hugging Face."),
				errhint("Name the folder, or give all of it as a tar archive."));
}

/* The folder in an archive; NULL: the source is no archive. */
static ModelFolder *
open_archive(Import *import)
{
	char		block[TAR_BLOCK];
	ModelFolder *folder;
	EngineStatus status;

	if (import->source->size < TAR_BLOCK)
		return NULL;
	engine_check(import->source->read(import->source, 0, block, TAR_BLOCK,
									  &status),
				 &status, import->model);
	if (!tar_begins(block))
	{
		refuse_other_files(block);
		return NULL;
	}
	folder = palloc0(sizeof(ModelFolder));
	engine_check(tar_folder_open(import->source, &import->arena,
								 engine_host(), folder, &status),
				 &status, import->model);
	return folder;
}

static void
no_model_in_folder(const Import *import)
{
	const char *path;
	char	   *gguf;

	if (import->folder == NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				errmsg("tar archive has no file \"config.json\""),
				errhint("The archive of a model has the files config.json, *.safetensors and tokenizer.json: tar cf model.tar -C folder ."));
	path = server_folder_path(import->folder);
	gguf = server_folder_gguf(import->folder);
	ereport(ERROR,
			errcode(ERRCODE_UNDEFINED_FILE),
			errmsg("folder \"%s\" has no file \"config.json\"", path),
			gguf != NULL ?
			errhint("To load a GGUF file, name the file itself: %s/%s.",
					path, gguf) :
			errhint("The folder of a model has the files config.json, *.safetensors and tokenizer.json."));
}

/* From here on the source is the GGUF file that is made of the folder. */
static void
convert_folder(Import *import, ModelFolder *folder, int quantization)
{
	ByteSource *config;
	EngineStatus status;

	engine_check(folder_open(folder, "config.json", &config, &status),
				 &status, import->model);
	if (config == NULL)
		no_model_in_folder(import);
	engine_check(hugging_face_open(folder, quantization, &import->arena,
								   engine_host(), &import->source, &status),
				 &status, import->model);
	import->converted = true;
}

void
import_open(Import *import, ImportKind kind, Datum value, const char *model,
			int quantization)
{
	MemoryContext old;
	ModelFolder *folder;

	memset(import, 0, sizeof(Import));
	import->kind = kind;
	import->value = value;
	import->model = model;
	import->file.fd = -1;
	import->context = AllocSetContextCreate(CurrentMemoryContext,
											"llm import",
											ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(import->context);
	engine_arena_init(&import->arena, engine_allocator(import->context),
					  PLAN_BUDGET);
	switch (kind)
	{
		case IMPORT_PATH:
			open_path(import, TextDatumGetCString(value));
			break;
		case IMPORT_OID:
			open_large_object(import, DatumGetObjectId(value));
			break;
		case IMPORT_BYTEA:
			open_bytea(import, DatumGetByteaPP(value));
			break;
	}
	folder = import->folder != NULL ? server_folder_model(import->folder) :
		open_archive(import);
	if (folder != NULL)
		convert_folder(import, folder, quantization);
	MemoryContextSwitchTo(old);
}

void
import_close(Import *import)
{
	if (import->reader != NULL)
		reader_close(import->reader);
	if (import->folder != NULL)
		server_folder_close(import->folder);
	if (import->file.fd >= 0)
	{
		server_file_check(&import->file);
		server_file_close(&import->file);
	}
	MemoryContextDelete(import->context);
}

/* Returns the level to undo it. */
static int
set_compression(void)
{
	int			level = NewGUCNestLevel();

#ifdef USE_LZ4
	(void) set_config_option("default_toast_compression", "lz4", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
#endif
	return level;
}

static void
notice_progress(const Import *import, uint64 done, TimestampTz *last)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!TimestampDifferenceExceeds(*last, now, NOTICE_INTERVAL_MS))
		return;
	*last = now;
	ereport(NOTICE,
			errmsg("model \"%s\": %llu of %llu MB", import->model,
				   (unsigned long long) (done >> 20),
				   (unsigned long long) (import->source->size >> 20)));
}

/* What happens to each piece; writer and check may be NULL. */
static void
stream_pieces(Import *import, LargeObjectWriter *writer, ImageCheck *check,
			  Digest *digest)
{
	char	   *piece = palloc(LARGE_OBJECT_PIECE);
	uint64		size = import->source->size;
	TimestampTz last = GetCurrentTimestamp();

	for (uint64 offset = 0; offset < size; offset += LARGE_OBJECT_PIECE)
	{
		size_t		length = Min(size - offset, LARGE_OBJECT_PIECE);
		EngineStatus status;

		CHECK_FOR_INTERRUPTS();
		engine_check(import->source->read(import->source, offset, piece,
										  length, &status),
					 &status, import->model);
		if (check != NULL)
			engine_check(image_check_data(check, offset, piece, length,
										  &status),
						 &status, import->model);
		digest_add(digest, piece, length);
		if (writer != NULL)
			writer_add(writer, piece, length);
		notice_progress(import, offset + length, &last);
	}
	pfree(piece);
}

Oid
import_stream(Import *import, const ImagePlan *plan, uint8 *digest)
{
	LargeObjectWriter writer;
	ImageCheck	check;
	Digest	   *sum = digest_begin();
	bool		copies = import->kind != IMPORT_OID || import->converted;
	int			level = set_compression();

	if (plan != NULL)
		image_check_init(&check, plan);
	if (copies)
		writer_create(&writer);
	stream_pieces(import, copies ? &writer : NULL,
				  plan != NULL ? &check : NULL, sum);
	digest_finish(sum, digest);
	if (copies)
		writer_close(&writer);
	AtEOXact_GUC(true, level);
	return copies ? writer.oid : DatumGetObjectId(import->value);
}
