/*-------------------------------------------------------------------------
 *
 * charsmap.c
 *	  SentencePiece's precompiled normalisation rules.
 *
 * A walk takes one byte of text a step, so that cycles in the units of a
 * hostile file do not matter; each index is compared with the number of units.
 * The last byte of the replacements is NUL, so that each of them ends, and
 * none is longer than a token can be.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "tokenizer/charsmap.h"

#define KEY "tokenizer.ggml.precompiled_charsmap"
#define MOST_BYTES (16 * 1024 * 1024)
#define POLL_EVERY 16384		/* units, bytes */

static EngineCode
bad_charsmap(const char *problem, EngineStatus *status)
{
	return engine_fail(status, ENGINE_CORRUPT, "GGUF key \"%s\" %s", KEY,
					   problem);
}

/* The next four bytes; converters write them signed or unsigned. */
static EngineCode
next_u32(GgufCursor *cursor, uint32_t *value, EngineStatus *status)
{
	*value = 0;
	for (int shift = 0; shift < 32; shift += 8)
	{
		uint64_t	bits;

		ENGINE_TRY(gguf_next_scalar(cursor, &bits, status));
		*value |= (uint32_t) (bits & 0xFF) << shift;
	}
	return ENGINE_OK;
}

/* Size of the trie; the key has at least the four bytes that say it. */
static EngineCode
read_size(const GgufKey *key, GgufCursor *cursor, UnigramTables *tables,
		  EngineStatus *status)
{
	uint32_t	n;

	ENGINE_TRY(next_u32(cursor, &n, status));
	if (n % 4 != 0 || n > key->count - 4)
	{
		bad_charsmap("has a trie of a wrong size", status);
		engine_detail(status, "The trie has %u bytes of %llu.", n,
					  (unsigned long long) key->count - 4);
		return ENGINE_CORRUPT;
	}
	tables->n_rules = n / 4;
	tables->n_replacements = (uint32_t) (key->count - 4 - n);
	return ENGINE_OK;
}

static EngineCode
read_tables(GgufCursor *cursor, const UnigramTables *tables,
			uint32_t *rules, char *replacements, const EngineHost *host,
			EngineStatus *status)
{
	uint32_t	length = 0;		/* of the replacement so far */

	for (uint32_t i = 0; i < tables->n_rules; i++)
	{
		if (i % POLL_EVERY == 0 && engine_interrupted(host))
			return engine_cancelled(status);
		ENGINE_TRY(next_u32(cursor, &rules[i], status));
	}
	for (uint32_t i = 0; i < tables->n_replacements; i++)
	{
		uint64_t	bits;

		if (i % POLL_EVERY == 0 && engine_interrupted(host))
			return engine_cancelled(status);
		ENGINE_TRY(gguf_next_scalar(cursor, &bits, status));
		replacements[i] = (char) (bits & 0xFF);
		length = replacements[i] == '\0' ? 0 : length + 1;
		if (length > TOKENIZER_LONGEST)
			return bad_charsmap("has too long a replacement", status);
	}
	if (length > 0)
		return bad_charsmap("does not end with NUL", status);
	return ENGINE_OK;
}

EngineCode
charsmap_plan(const GgufFile *file, ByteSource *source, EngineArena *arena,
			  const EngineHost *host, TokenizerPlan *plan,
			  EngineStatus *status)
{
	const GgufKey *key = gguf_find_key(file, KEY);
	UnigramTables *tables = &plan->layout.unigram;
	GgufCursor	cursor;
	uint32_t   *rules;
	char	   *replacements;

	if (key == NULL)
		return ENGINE_OK;
	if (key->type != GGUF_ARRAY ||
		(key->element != GGUF_U8 && key->element != GGUF_I8))
		return bad_charsmap("is no array of bytes", status);
	if (key->count == 0)
		return ENGINE_OK;
	if (key->count > MOST_BYTES)
		return engine_fail(status, ENGINE_LIMIT,
						   "GGUF key \"%s\" has more than %d bytes", KEY,
						   MOST_BYTES);
	if (key->count < 4)
		return bad_charsmap("is shorter than four bytes", status);
	ENGINE_TRY(gguf_cursor_open(source, key, (GgufValueType) key->element,
								arena, &cursor, status));
	ENGINE_TRY(read_size(key, &cursor, tables, status));
	rules = engine_alloc_raw(arena, tables->n_rules, sizeof(uint32_t),
							 status);
	if (rules == NULL)
		return status->code;
	replacements = engine_alloc_raw(arena, tables->n_replacements, 1, status);
	if (replacements == NULL)
		return status->code;
	plan->rules = rules;
	plan->replacements = replacements;
	return read_tables(&cursor, tables, rules, replacements, host, status);
}

static inline uint32_t
unit_offset(uint32_t unit)
{
	return (unit >> 10) << ((unit & 0x200) >> 6);
}

const char *
charsmap_find(const TokenizerSection *section, const char *text,
			  size_t length, size_t *n)
{
	const UnigramTables *tables = &section->unigram;
	const uint32_t *units = section_at(section, tables->rules);
	const char *replacement;
	uint32_t	place;

	if (tables->n_rules == 0)
		return NULL;
	place = unit_offset(units[0]);
	for (size_t i = 0; i < length && text[i] != '\0'; i++)
	{
		uint8_t		byte = (uint8_t) text[i];
		uint32_t	unit;

		place ^= byte;
		if (place >= tables->n_rules)
			return NULL;
		unit = units[place];
		if ((unit & 0x800000FF) != byte)
			return NULL;
		place ^= unit_offset(unit);
		if (!(unit & 0x100))
			continue;
		if (place >= tables->n_rules)
			return NULL;
		place = units[place] & 0x7FFFFFFF;
		if (place >= tables->n_replacements)
			return NULL;
		replacement = section_at(section, tables->replacements);
		replacement += place;
		*n = strlen(replacement);
		return replacement;
	}
	return NULL;
}
