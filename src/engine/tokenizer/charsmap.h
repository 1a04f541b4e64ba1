/*-------------------------------------------------------------------------
 *
 * charsmap.h
 *	  SentencePiece's precompiled normalisation rules; private to tokenizer/.
 *
 * The key tokenizer.ggml.precompiled_charsmap is an array of bytes: a u32 N,
 * N bytes of u32 units (all little endian), then replacements that end with
 * NUL.  The units are a double-array trie (Darts-clone) over the bytes of what
 * is replaced:
 *
 *	 bits 0-7	the byte that leads here; bit 31 is set in values, which no
 *				byte leads to
 *	 bit 8		a replacement ends here: its value is the unit at the offset
 *	 bit 9		bits 10-30 count 256 units instead of one
 *	 bits 10-30	offset from this unit to its children, by exclusive or
 *
 * and a value's bits 0-30 are where the replacement begins.  None of this is
 * trusted: whatever points outside is taken for the end of the walk.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TOKENIZER_CHARSMAP_H
#define ENGINE_TOKENIZER_CHARSMAP_H

#include "tokenizer/plan.h"

/*
 * Read the rules into arena and check what can be checked: rules,
 * replacements and their numbers in layout.unigram, which stay 0 when the
 * file has no key, or an empty one.
 */
extern EngineCode charsmap_plan(const GgufFile *file, ByteSource *source,
								EngineArena *arena, const EngineHost *host,
								TokenizerPlan *plan, EngineStatus *status);

/*
 * What replaces text, by the shortest rule that text begins with; NULL when
 * there is none.
 */
extern const char *charsmap_find(const TokenizerSection *section,
								 const char *text, size_t length,
								 size_t *n);

#endif							/* ENGINE_TOKENIZER_CHARSMAP_H */
