/*-------------------------------------------------------------------------
 *
 * grapheme.h
 *	  Extended grapheme clusters: what a reader takes for one character;
 *	  private to tokenizer/.
 *
 * Source: Unicode Standard Annex 29, rules GB3 to GB13 (with GB9c of version
 * 15.1, which the tables' version does not have yet).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TOKENIZER_GRAPHEME_H
#define ENGINE_TOKENIZER_GRAPHEME_H

#include <stdbool.h>
#include <stdint.h>

#include "tokenizer/grapheme_tables.h"

/* Everything that rules look back to lies within one cluster. */
typedef struct Grapheme
{
	uint8_t		last;			/* class of the last character */
	bool		conjunct;		/* GB9c: a consonant and its signs so far */
	bool		linked;			/* GB9c: with a linker among them */
	bool		pictograph;		/* GB11: a pictograph and its signs so far */
	bool		paired;			/* GB12: the last indicator ended a pair */
} Grapheme;

/* code <= 0x10FFFF */
static inline uint8_t
grapheme_class(uint32_t code)
{
	return grapheme_blocks[grapheme_index[code / GRAPHEME_BLOCK] *
						   GRAPHEME_BLOCK + code % GRAPHEME_BLOCK];
}

/* A cluster begins with a character of this class. */
extern void grapheme_begin(Grapheme *grapheme, uint8_t class);

/* Does the cluster go on with a character of this class?  Then take it in. */
extern bool grapheme_continues(Grapheme *grapheme, uint8_t class);

#endif							/* ENGINE_TOKENIZER_GRAPHEME_H */
