/*-------------------------------------------------------------------------
 *
 * plan.h
 *	  What tokenizer_plan() found out; private to tokenizer/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TOKENIZER_PLAN_H
#define ENGINE_TOKENIZER_PLAN_H

#include "tokenizer/section.h"

#define TOKENIZER_MOST_TOKENS (2 * 1024 * 1024)
#define TOKENIZER_MOST_MERGES (4 * 1024 * 1024)
#define TOKENIZER_MOST_TEXT ((uint64_t) 256 * 1024 * 1024)

struct TokenizerPlan
{
	const GgufKey *tokens;
	const GgufKey *types;		/* NULL when the file has none */
	const GgufKey *scores;
	const GgufKey *merges;
	int32_t		end_of_message; /* eom, -1: none */
	bool		cased;			/* WordPiece: see wordpiece_cased() */
	uint64_t	text_bytes;		/* upper bound of all texts */
	const UnigramUnit *units;	/* Unigram: n_units of layout.unigram */
	const uint32_t *rules;		/* Unigram: n_rules; then n_replacements */
	const char *replacements;
	TokenizerSection layout;	/* the section's beginning, with offsets */
};

/*
 * What kind of token id is: type is what the file says, or 0 when it has no
 * types.
 */
extern TokenKind token_kind(const TokenizerSection *layout, int32_t id,
							uint64_t type, const char *text, size_t length);

/* The byte of a text "<0x41>", or -1. */
extern int	byte_token_value(const char *text, size_t length);

/*
 * The bytes that a text in GPT-2's byte alphabet stands for, at most length
 * of them; false when a character is not of that alphabet.
 */
extern bool byte_alphabet_decode(const char *text, size_t length,
								 char *bytes, size_t *n);

/* U+2581 to space, in place; returns the new length. */
extern size_t restore_spaces(char *text, size_t length);

/* "left right" of tokenizer.ggml.merges: where the space is, 0 if nowhere. */
extern size_t merge_space(const char *text, size_t length);

#endif							/* ENGINE_TOKENIZER_PLAN_H */
