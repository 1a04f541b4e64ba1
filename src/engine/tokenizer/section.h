/*-------------------------------------------------------------------------
 *
 * section.h
 *	  Layout of the tokenizer's section of an image; private to tokenizer/.
 *
 * Everything is an offset from the start of the section.  Texts are stored as
 * the bytes that a token stands for: the byte alphabet of byte-level BPE is
 * undone, U+2581 of SPM and Unigram is a space, and so is the one in front of
 * WordPiece's word-initial pieces.
 *
 * A text can belong to two tokens that never compete: a "piece", which
 * merging can produce, and a "name", which is only found by its text (control
 * and user-defined tokens, byte tokens, unknown, unused, and normal tokens
 * that are no sequence of the byte alphabet).  Text of users is merged from
 * pieces only, so it never becomes a control token by accident of a merge.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TOKENIZER_SECTION_H
#define ENGINE_TOKENIZER_SECTION_H

#include <string.h>

#include "tokenizer/tokenizer.h"

#define TOKENIZER_LONGEST 4096	/* bytes of a token's text */

/* TokenizerSection.flags */
#define TOKENIZER_ADD_BOS			0x01
#define TOKENIZER_ADD_EOS			0x02
#define TOKENIZER_ADD_SEPARATOR		0x04	/* between the texts of a pair */
#define TOKENIZER_IGNORE_MERGES		0x08
#define TOKENIZER_NFC				0x10
#define TOKENIZER_SPACE_PREFIX		0x20
#define TOKENIZER_CLEAN_TEXT		0x40	/* of WordPiece, see wordpiece.h */
#define TOKENIZER_CHINESE_CHARS		0x80
#define TOKENIZER_STRIP_ACCENTS		0x100
#define TOKENIZER_LOWERCASE			0x200
#define TOKENIZER_TRIM_SPACES		0x400	/* Unigram: between words too */
#define TOKENIZER_BY_MERGES			0x800	/* SPM: pairs join by merges */
#define TOKENIZER_PREFIX_FIRST		0x1000	/* SPM: only before a text */
#define TOKENIZER_PREFIX_ONCE		0x2000	/* SPM: not before a space */
#define TOKENIZER_SPACES_ONLY		0x4000	/* Unigram: see unigram.c */
#define TOKENIZER_KEEP_END			0x8000
#define TOKENIZER_KEEP_RUNS			0x10000

/* Bits of a token's info byte; the lowest three are its TokenKind */
#define TOKEN_INFO_KIND				0x07
#define TOKEN_INFO_PIECE			0x08
#define TOKEN_INFO_END				0x10	/* ends a generation */

typedef enum TokenizerModel
{
	TOKENIZER_BPE, TOKENIZER_SPM, TOKENIZER_WORDPIECE, TOKENIZER_UNIGRAM
} TokenizerModel;

/* One merge: left and right join to a token, lower ranks first. */
typedef struct MergeSlot
{
	int32_t		left,			/* -1: empty slot */
				right;
	uint32_t	rank;
	int32_t		merged;
} MergeSlot;

/*
 * Special tokens, ordered by the bytes of their texts; first[b] .. first[b+1]
 * begin with byte b.
 */
typedef struct SpecialIndex
{
	uint64_t	ids;			/* int32[count] */
	uint32_t	count;
	uint32_t	first[257];
} SpecialIndex;

/*
 * A node of Unigram's trie, a double array of units.  The children of a node
 * are at its base, by exclusive or with the byte that leads to them.
 */
typedef struct UnigramUnit
{
	uint32_t	link;			/* base << 8 | the byte that leads here */
	float		score;			/* of the piece that ends here, or -infinity */
} UnigramUnit;

/* What Unigram has besides texts */
typedef struct UnigramTables
{
	uint64_t	units;			/* UnigramUnit[n_units]; the root's base is 0 */
	uint64_t	rules;			/* uint32[n_rules]: see charsmap.h */
	uint64_t	replacements;	/* char[n_replacements] */
	uint32_t	n_units;		/* a multiple of 256 */
	uint32_t	n_rules;
	uint32_t	n_replacements;
	uint32_t	longest;		/* bytes of the longest piece */
	double		unknown_score;	/* of a character that is no piece */
} UnigramTables;

typedef struct TokenizerSection
{
	uint64_t	size;			/* bytes of the whole section */
	int32_t		model;			/* TokenizerModel */
	int32_t		group;			/* of pretokenize.h, for BPE */
	uint32_t	flags;
	int32_t		n_tokens;
	int32_t		bos,			/* -1: none */
				eos,
				eot,
				unknown,
				padding,
				separator;
	uint32_t	longest;		/* bytes of the longest text */
	uint32_t	max_word;		/* WordPiece: characters; longer is unknown */
	int32_t		bytes[256];		/* the token of each byte, -1: none */

	/*
	 * SPM: bit a * 256 + b is set when a piece has byte a followed by byte b.
	 * Where it is not set, a text can be cut into words.
	 */
	uint64_t	joins[256 * 256 / 64];
	SpecialIndex special;		/* control, unknown and user-defined */
	SpecialIndex user;			/* user-defined alone */

	uint64_t	text_starts;	/* uint32[n_tokens + 1], into the texts */
	uint64_t	texts;
	uint64_t	infos;			/* uint8[n_tokens] */
	uint64_t	slots;			/* uint32[slot_mask + 1]: id + 1, 0 empty */
	uint64_t	slot_mask;
	uint64_t	ranks;			/* SPM: uint32[n_tokens], lower is better */
	UnigramTables unigram;
	uint64_t	merges;			/* BPE, BY_MERGES: MergeSlot[merge_mask + 1] */
	uint64_t	merge_mask;
} TokenizerSection;

static inline const void *
section_at(const TokenizerSection *section, uint64_t offset)
{
	return (const char *) section + offset;
}

static inline const char *
section_text(const TokenizerSection *section, int32_t id, size_t *length)
{
	const uint32_t *starts = section_at(section, section->text_starts);

	*length = starts[id + 1] - starts[id];
	return (const char *) section_at(section, section->texts) + starts[id];
}

static inline uint8_t
section_info(const TokenizerSection *section, int32_t id)
{
	return ((const uint8_t *) section_at(section, section->infos))[id];
}

static inline bool
section_joins(const TokenizerSection *section, char a, char b)
{
	uint32_t	pair = (uint32_t) (uint8_t) a << 8 | (uint8_t) b;

	return (section->joins[pair >> 6] >> (pair & 63) & 1) != 0;
}

/* Mixes 64 bits so that all of them matter in the lowest ones. */
static inline uint64_t
hash_mix(uint64_t x)
{
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	x ^= x >> 32;
	return x;
}

static inline uint64_t
hash_bytes(const char *text, size_t length)
{
	uint64_t	hash = length * UINT64_C(0x9e3779b97f4a7c15);
	uint64_t	word;

	for (; length >= 8; text += 8, length -= 8)
	{
		memcpy(&word, text, 8);
		hash = hash_mix(hash ^ word) + UINT64_C(0x9e3779b97f4a7c15);
	}
	word = 0;
	memcpy(&word, text, length);
	return hash_mix(hash ^ word);
}

static inline uint64_t
hash_pair(int32_t left, int32_t right)
{
	return hash_mix(((uint64_t) (uint32_t) left << 32 | (uint32_t) right) *
					UINT64_C(0x9e3779b97f4a7c15));
}

/* The piece (or else the name) with this text, or -1. */
static inline int32_t
section_find(const TokenizerSection *section, const char *text,
			 size_t length, bool piece)
{
	const uint32_t *slots = section_at(section, section->slots);
	uint64_t	slot = hash_bytes(text, length) & section->slot_mask;

	for (; slots[slot] != 0; slot = (slot + 1) & section->slot_mask)
	{
		int32_t		id = (int32_t) slots[slot] - 1;
		size_t		n;
		const char *other = section_text(section, id, &n);

		if (n == length && memcmp(other, text, n) == 0 &&
			((section_info(section, id) & TOKEN_INFO_PIECE) != 0) == piece)
			return id;
	}
	return -1;
}

/* The merge of two tokens, or NULL. */
static inline const MergeSlot *
section_merge(const TokenizerSection *section, int32_t left, int32_t right)
{
	const MergeSlot *slots = section_at(section, section->merges);
	uint64_t	slot = hash_pair(left, right) & section->merge_mask;

	for (; slots[slot].left >= 0; slot = (slot + 1) & section->merge_mask)
	{
		if (slots[slot].left == left && slots[slot].right == right)
			return &slots[slot];
	}
	return NULL;
}

#endif							/* ENGINE_TOKENIZER_SECTION_H */
