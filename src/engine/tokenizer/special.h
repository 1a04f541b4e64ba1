/*-------------------------------------------------------------------------
 *
 * special.h
 *	  Cutting a text at special tokens; private to tokenizer/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TOKENIZER_SPECIAL_H
#define ENGINE_TOKENIZER_SPECIAL_H

#include "tokenizer/section.h"

typedef struct SpecialScan
{
	const TokenizerSection *section;
	const char *text;
	size_t		length;
	const uint8_t *content;		/* as in tokenizer_encode() */
	bool		parse_special;
	const EngineHost *host;
	EngineStatus *status;
} SpecialScan;

/*
 * The first special token at or after position: the leftmost, and of several
 * there the longest.  *id is -1 and *start the text's length when none is left.
 */
extern EngineCode special_next(const SpecialScan *scan, size_t position,
							   size_t *start, size_t *end, int32_t *id);

/*
 * Order n special tokens by text into index->ids (which has room for n), drop
 * all but the last of those with the same text, and fill index.
 */
extern EngineCode special_index_build(TokenizerSection *section,
									  SpecialIndex *index, uint32_t n,
									  const EngineHost *host,
									  EngineStatus *status);

#endif							/* ENGINE_TOKENIZER_SPECIAL_H */
