/*-------------------------------------------------------------------------
 *
 * tar_folder.c
 *	  A folder of model files in a tar archive.
 *
 * Archives come from clients and are not trusted.  Names only ever choose
 * among the members of the archive; sizes are compared with what is left of
 * it; every header must have its checksum, so that a size that lies is found
 * at the next one; an archive must end as archives do, so that one that was
 * cut short is not a smaller folder.
 *
 * Read are the formats of POSIX (ustar, and pax with its extended headers,
 * of which path and size count) and of GNU tar (long names, sizes in base
 * 256).  Other programs differ in what they take for the size of members that
 * have no data; here links, devices and directories have none, as in GNU tar.
 *
 * Formats: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended
 * Header"; the manual of GNU tar, "Basic Tar Format".
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "models/tar_folder.h"

#define MAX_MEMBERS 4096
#define MAX_EXTENSIONS 4		/* headers that belong to one member */
#define MAX_EXTENSION_BYTES 16384
#define MAX_NAME 512			/* longer ones cannot be those of a file */

/* Fields of a header block */
#define NAME_AT 0
#define NAME_BYTES 100
#define SIZE_AT 124
#define SIZE_BYTES 12
#define CHECKSUM_AT 148
#define CHECKSUM_BYTES 8
#define TYPE_AT 156
#define MAGIC_AT 257
#define PREFIX_AT 345
#define PREFIX_BYTES 155

typedef struct TarMember
{
	ByteSource	source;
	ByteSource *archive;
	uint64		offset;			/* of the data */
	const char *name;
	bool		link;			/* to another file: has no data */
} TarMember;

typedef struct TarFolder
{
	uint32		n_members;
	TarMember  *members;		/* by name */
} TarFolder;

/* While the headers are read. */
typedef struct TarReader
{
	ByteSource *archive;
	EngineArena *arena;
	EngineStatus *status;
	uint64		position;		/* of the next header */
	TarFolder  *folder;
	uint32		n_seen;			/* members, also those passed over */

	/* what extended headers say of the next member */
	int			n_extensions;
	bool		has_name;
	bool		has_size;
	char		name[MAX_NAME];
	uint64		size;
	char	   *extension;		/* MAX_EXTENSION_BYTES */
} TarReader;

bool
tar_begins(const char *block)
{
	return memcmp(block + MAGIC_AT, "ustar", 5) == 0;
}

const char *
compression_begins(const char *block)
{
	static const struct
	{
		const char *magic;
		int			length;
		const char *format;
	}			formats[] = {
		{"\x1F\x8B", 2, "gzip"},
		{"BZh", 3, "bzip2"},
		{"\xFD\x37zXZ", 5, "xz"},
		{"\x28\xB5\x2F\xFD", 4, "zstd"},
	};

	for (size_t i = 0; i < lengthof(formats); i++)
		if (memcmp(block, formats[i].magic, formats[i].length) == 0)
			return formats[i].format;
	return NULL;
}

/*
 * Numbers
 */

static EngineCode
bad_number(TarReader *reader, const char *what)
{
	return engine_fail(reader->status, ENGINE_CORRUPT,
					   "tar header at byte %llu has a bad %s",
					   (unsigned long long) reader->position, what);
}

/* Octal digits, with spaces before and a space or NUL behind. */
static bool
octal_number(const unsigned char *field, int length, uint64 *number)
{
	int			i = 0;
	int			digits = 0;

	*number = 0;
	while (i < length && field[i] == ' ')
		i++;
	for (; i < length && field[i] >= '0' && field[i] <= '7'; i++)
	{
		if (*number >> 61 != 0)
			return false;
		*number = *number * 8 + (field[i] - '0');
		digits++;
	}
	for (; i < length; i++)
		if (field[i] != ' ' && field[i] != '\0')
			return false;
	return digits > 0;
}

/* GNU: the first byte is 0x80, the others are one large number. */
static bool
binary_number(const unsigned char *field, int length, uint64 *number)
{
	*number = 0;
	if (field[0] != 0x80)
		return false;
	for (int i = 1; i < length; i++)
	{
		if (*number >> 56 != 0)
			return false;
		*number = *number << 8 | field[i];
	}
	return true;
}

static EngineCode
header_size(TarReader *reader, const char *block, uint64 *size)
{
	const unsigned char *field = (const unsigned char *) block + SIZE_AT;
	bool		valid;

	valid = (field[0] & 0x80) != 0 ?
		binary_number(field, SIZE_BYTES, size) :
		octal_number(field, SIZE_BYTES, size);
	return valid ? ENGINE_OK : bad_number(reader, "size");
}

/* The sum of all bytes, those of the checksum taken as spaces. */
static EngineCode
check_sum(TarReader *reader, const char *block)
{
	uint64		stored;
	uint64		sum = 0;
	int64		signed_sum = 0; /* as some old programs did */

	for (int i = 0; i < TAR_BLOCK; i++)
	{
		char		c = block[i];

		if (i >= CHECKSUM_AT && i < CHECKSUM_AT + CHECKSUM_BYTES)
			c = ' ';
		sum += (unsigned char) c;
		signed_sum += (signed char) c;
	}
	if (!octal_number((const unsigned char *) block + CHECKSUM_AT,
					  CHECKSUM_BYTES, &stored))
		return bad_number(reader, "checksum");
	if (stored != sum && (int64) stored != signed_sum)
		return engine_fail(reader->status, ENGINE_CORRUPT,
						   "tar header at byte %llu has another checksum than its bytes",
						   (unsigned long long) reader->position);
	return ENGINE_OK;
}

/*
 * Names
 */

/* A field that may end without a NUL, appended. */
static size_t
append_field(char *name, size_t used, const char *field, size_t length)
{
	length = strnlen(field, length);
	memcpy(name + used, field, length);
	return used + length;
}

/* NAME_BYTES + PREFIX_BYTES fit into MAX_NAME. */
static void
header_name(const char *block, char *name)
{
	size_t		used = 0;

	/* GNU's older format has other things at the place of the prefix */
	if (block[MAGIC_AT + 5] == '\0' && block[PREFIX_AT] != '\0')
	{
		used = append_field(name, 0, block + PREFIX_AT, PREFIX_BYTES);
		name[used++] = '/';
	}
	used = append_field(name, used, block + NAME_AT, NAME_BYTES);
	name[used] = '\0';
}

/* Without any "./" in front. */
static const char *
relative_name(const char *name)
{
	while (name[0] == '.' && name[1] == '/')
	{
		name++;
		while (name[0] == '/')
			name++;
	}
	return name;
}

/* Bytes of the first component. */
static size_t
top_length(const char *name)
{
	return strcspn(name, "/");
}

/* Could it be the name of a file of the folder, below a directory or not? */
static bool
may_be_wanted(const char *name)
{
	size_t		top = top_length(name);

	return folder_name(name) ||
		(name[top] == '/' && folder_component(name, top) &&
		 folder_name(name + top + 1));
}

/*
 * Extended headers
 */

static EngineCode
read_archive(TarReader *reader, uint64 offset, void *buf, size_t length)
{
	return reader->archive->read(reader->archive, offset, buf, length,
								 reader->status);
}

/* A name too long is one that nobody asks for. */
static void
extended_name(TarReader *reader, const char *name, size_t length)
{
	bool		fits = length < MAX_NAME && memchr(name, '\0', length) == NULL;

	if (fits)
		memcpy(reader->name, name, length);
	reader->name[fits ? length : 0] = '\0';
	reader->has_name = true;
}

static EngineCode
extended_size(TarReader *reader, const char *digits, size_t length)
{
	reader->size = 0;
	reader->has_size = true;
	for (size_t i = 0; i < length; i++)
	{
		if (digits[i] < '0' || digits[i] > '9' ||
			reader->size > (PG_UINT64_MAX - 9) / 10)
			return bad_number(reader, "extended size");
		reader->size = reader->size * 10 + (digits[i] - '0');
	}
	return length > 0 ? ENGINE_OK : bad_number(reader, "extended size");
}

static bool
key_is(const char *record, size_t length, const char *key)
{
	return length >= strlen(key) && memcmp(record, key, strlen(key)) == 0;
}

/* "key=value" of a pax header; those for all members set no name or size. */
static EngineCode
pax_record(TarReader *reader, bool for_all, const char *record, size_t length)
{
	bool		name = key_is(record, length, "path=");
	bool		size = key_is(record, length, "size=");

	if (key_is(record, length, "GNU.sparse.") || (for_all && (name || size)))
		return engine_fail(reader->status, ENGINE_UNSUPPORTED,
						   "tar header at byte %llu describes files in a way that is not supported",
						   (unsigned long long) reader->position);
	if (name)
		extended_name(reader, record + 5, length - 5);
	if (size)
		return extended_size(reader, record + 5, length - 5);
	return ENGINE_OK;
}

/* Records are "length key=value\n", the length that of the whole record. */
static EngineCode
pax_records(TarReader *reader, bool for_all, const char *data, size_t length)
{
	while (length > 0)
	{
		size_t		record = 0;
		size_t		i = 0;

		for (; i < length && i < 6 && data[i] >= '0' && data[i] <= '9'; i++)
			record = record * 10 + (data[i] - '0');
		if (i == 0 || i == length || data[i] != ' ' || record > length ||
			record < i + 2 || data[record - 1] != '\n')
			return bad_number(reader, "extended header");
		ENGINE_TRY(pax_record(reader, for_all, data + i + 1, record - i - 2));
		data += record;
		length -= record;
	}
	return ENGINE_OK;
}

static EngineCode
read_extension(TarReader *reader, char type, uint64 offset, uint64 size)
{
	char	   *data = reader->extension;

	if (type == 'K')			/* GNU: where a link leads to */
		return ENGINE_OK;
	if (size > MAX_EXTENSION_BYTES)
		return engine_fail(reader->status, ENGINE_LIMIT,
						   "extended tar header at byte %llu has %llu bytes: at most %d are allowed",
						   (unsigned long long) reader->position,
						   (unsigned long long) size, MAX_EXTENSION_BYTES);
	ENGINE_TRY(read_archive(reader, offset, data, size));
	if (type == 'L')			/* GNU: a long name */
	{
		extended_name(reader, data, strnlen(data, size));
		return ENGINE_OK;
	}
	return pax_records(reader, type == 'g', data, size);
}

/*
 * Members
 */

static EngineCode
member_read(ByteSource *source, uint64 offset, void *buf, size_t length,
			EngineStatus *status)
{
	TarMember  *member = source->arg;

	if (offset > source->size || length > source->size - offset)
		return engine_fail(status, ENGINE_CORRUPT,
						   "file \"%s\" ends at byte %llu inside data that begins at byte %llu",
						   member->name, (unsigned long long) source->size,
						   (unsigned long long) offset);
	return member->archive->read(member->archive, member->offset + offset, buf,
								 length, status);
}

static EngineCode
add_member(TarReader *reader, const char *name, char type, uint64 offset,
		   uint64 size)
{
	TarMember  *member;
	size_t		length;
	char	   *copy;

	name = relative_name(name);
	if (!may_be_wanted(name))
		return ENGINE_OK;
	length = strlen(name);
	copy = engine_alloc(reader->arena, length + 1, 1, reader->status);
	if (copy == NULL)
		return reader->status->code;
	memcpy(copy, name, length);

	member = &reader->folder->members[reader->folder->n_members++];
	member->name = copy;
	member->archive = reader->archive;
	member->offset = offset;
	member->link = type == '1' || type == '2';
	member->source.size = size;
	member->source.read = member_read;
	member->source.arg = member;
	return ENGINE_OK;
}

/* Types that have no data, whatever their size says: links, devices... */
static bool
has_data(char type)
{
	return type < '1' || type > '6';
}

static bool
is_extension(char type)
{
	return type == 'x' || type == 'g' || type == 'L' || type == 'K';
}

/* Where the data ends, in whole blocks. */
static EngineCode
next_header(TarReader *reader, uint64 size, uint64 *next)
{
	uint64_t	end;

	if (!checked_align(size, TAR_BLOCK, &end) ||
		!checked_add(end, reader->position + TAR_BLOCK, &end) ||
		end > reader->archive->size)
		return engine_fail(reader->status, ENGINE_CORRUPT,
						   "tar archive ends at byte %llu, inside the member that begins at byte %llu",
						   (unsigned long long) reader->archive->size,
						   (unsigned long long) reader->position);
	*next = end;
	return ENGINE_OK;
}

static EngineCode
note_member(TarReader *reader, const char *block, char type, uint64 size)
{
	char		name[MAX_NAME];

	if (++reader->n_seen > MAX_MEMBERS)
		return engine_fail(reader->status, ENGINE_LIMIT,
						   "tar archive has more than %d members",
						   MAX_MEMBERS);
	if (type == 'S')
		return engine_fail(reader->status, ENGINE_UNSUPPORTED,
						   "tar archive has a sparse file at byte %llu",
						   (unsigned long long) reader->position);
	header_name(block, name);
	if (type == '0' || type == '\0' || type == '7' || type == '1' ||
		type == '2')
		ENGINE_TRY(add_member(reader, reader->has_name ? reader->name : name,
							  type, reader->position + TAR_BLOCK, size));
	reader->has_name = false;
	reader->has_size = false;
	reader->n_extensions = 0;
	return ENGINE_OK;
}

/* One header, and on to the next. */
static EngineCode
read_header(TarReader *reader, const char *block)
{
	char		type = block[TYPE_AT];
	uint64		size;
	uint64		next = 0;

	if (!tar_begins(block))
		return engine_fail(reader->status, ENGINE_CORRUPT,
						   "no tar header at byte %llu",
						   (unsigned long long) reader->position);
	ENGINE_TRY(check_sum(reader, block));
	ENGINE_TRY(header_size(reader, block, &size));
	if (is_extension(type) && ++reader->n_extensions > MAX_EXTENSIONS)
		return engine_fail(reader->status, ENGINE_LIMIT,
						   "tar archive has more than %d extended headers before byte %llu",
						   MAX_EXTENSIONS,
						   (unsigned long long) reader->position);
	if (!is_extension(type) && reader->has_size)
		size = reader->size;
	if (!has_data(type))
		size = 0;
	ENGINE_TRY(next_header(reader, size, &next));
	ENGINE_TRY(is_extension(type) ?
			   read_extension(reader, type, reader->position + TAR_BLOCK,
							  size) :
			   note_member(reader, block, type, size));
	reader->position = next;
	return ENGINE_OK;
}

static bool
is_zero(const char *block)
{
	for (int i = 0; i < TAR_BLOCK; i++)
		if (block[i] != '\0')
			return false;
	return true;
}

/* The end is two blocks of zeroes; programs are content with one. */
static EngineCode
check_end(TarReader *reader)
{
	uint64		second = reader->position + TAR_BLOCK;
	char		block[TAR_BLOCK];

	if (second + TAR_BLOCK > reader->archive->size)
		return ENGINE_OK;
	ENGINE_TRY(read_archive(reader, second, block, TAR_BLOCK));
	if (!is_zero(block))
		return engine_fail(reader->status, ENGINE_CORRUPT,
						   "tar archive goes on after its end at byte %llu",
						   (unsigned long long) reader->position);
	return ENGINE_OK;
}

static EngineCode
read_headers(TarReader *reader, const EngineHost *host)
{
	char		block[TAR_BLOCK];

	for (;;)
	{
		if (engine_interrupted(host))
			return engine_cancelled(reader->status);
		if (reader->archive->size - reader->position < TAR_BLOCK)
			return engine_fail(reader->status, ENGINE_CORRUPT,
							   "tar archive ends at byte %llu without an end mark",
							   (unsigned long long) reader->archive->size);
		ENGINE_TRY(read_archive(reader, reader->position, block, TAR_BLOCK));
		if (is_zero(block))
			return check_end(reader);
		ENGINE_TRY(read_header(reader, block));
	}
}

/*
 * The folder
 */

/* Is every file below the same directory?  Then take its name off. */
static void
strip_top(TarFolder *folder)
{
	size_t		top;

	if (folder->n_members == 0)
		return;
	top = top_length(folder->members[0].name);
	for (uint32 i = 0; i < folder->n_members; i++)
		if (strncmp(folder->members[i].name, folder->members[0].name,
					top) != 0 || folder->members[i].name[top] != '/')
			return;
	for (uint32 i = 0; i < folder->n_members; i++)
		folder->members[i].name += top + 1;
}

/* Those that were deeper than the others. */
static void
drop_deep(TarFolder *folder)
{
	uint32		kept = 0;

	for (uint32 i = 0; i < folder->n_members; i++)
		if (folder_name(folder->members[i].name))
			folder->members[kept++] = folder->members[i];
	folder->n_members = kept;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(((const TarMember *) a)->name,
				  ((const TarMember *) b)->name);
}

static EngineCode
sort_members(TarReader *reader)
{
	TarFolder  *folder = reader->folder;
	TarMember  *members = folder->members;

	qsort(members, folder->n_members, sizeof(TarMember), compare_names);
	for (uint32 i = 0; i < folder->n_members; i++)
	{
		members[i].source.arg = &members[i];
		if (i > 0 && strcmp(members[i].name, members[i - 1].name) == 0)
			return engine_fail(reader->status, ENGINE_CORRUPT,
							   "tar archive has file \"%s\" twice",
							   members[i].name);
	}
	return ENGINE_OK;
}

static EngineCode
open_member(ModelFolder *folder, const char *name, ByteSource **source,
			EngineStatus *status)
{
	TarFolder  *tar = folder->arg;
	TarMember	key = {.name = name};
	TarMember  *member = bsearch(&key, tar->members, tar->n_members,
								 sizeof(TarMember), compare_names);

	*source = NULL;
	if (member == NULL)
		return ENGINE_OK;
	if (member->link)
	{
		engine_fail(status, ENGINE_UNSUPPORTED,
					"file \"%s\" of the tar archive is a link", name);
		engine_hint(status,
					"Put the files themselves into it: tar --dereference --hard-dereference.");
		return status->code;
	}
	*source = &member->source;
	return ENGINE_OK;
}

EngineCode
tar_folder_open(ByteSource *archive, EngineArena *arena,
				const EngineHost *host, ModelFolder *folder,
				EngineStatus *status)
{
	TarReader	reader = {.archive = archive, .arena = arena, .status = status};

	reader.folder = engine_alloc(arena, 1, sizeof(TarFolder), status);
	reader.extension = engine_alloc(arena, MAX_EXTENSION_BYTES, 1, status);
	if (reader.folder == NULL || reader.extension == NULL)
		return status->code;
	reader.folder->members = engine_alloc(arena, MAX_MEMBERS,
										  sizeof(TarMember), status);
	if (reader.folder->members == NULL)
		return status->code;
	ENGINE_TRY(read_headers(&reader, host));
	strip_top(reader.folder);
	drop_deep(reader.folder);
	ENGINE_TRY(sort_members(&reader));
	folder->open = open_member;
	folder->arg = reader.folder;
	return ENGINE_OK;
}
