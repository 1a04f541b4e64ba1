/*-------------------------------------------------------------------------
 *
 * unicode.h
 *	  Properties of characters and the canonical normalisation forms.
 *
 * One Unicode version, from tables in the tree: tokens must be the same on
 * every machine.  Source: Unicode Standard Annex 15 (normalisation forms) and
 * section 3.12 (Hangul).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_UNICODE_H
#define ENGINE_UNICODE_H

#include "base/arena.h"
#include "tokenizer/unicode_tables.h"

/*
 * Properties as a set: one bit for the general category, and UNICODE_SPACE
 * for White_Space.  UNICODE_NONE is the class of ill-formed bytes: no letter,
 * number, mark, punctuation, symbol or space.
 */
#define UNICODE_BIT(category) (UINT32_C(1) << (category))
#define UNICODE_LU	UNICODE_BIT(CATEGORY_LU)
#define UNICODE_LL	UNICODE_BIT(CATEGORY_LL)
#define UNICODE_LT	UNICODE_BIT(CATEGORY_LT)
#define UNICODE_LM	UNICODE_BIT(CATEGORY_LM)
#define UNICODE_LO	UNICODE_BIT(CATEGORY_LO)
#define UNICODE_L	(UNICODE_LU | UNICODE_LL | UNICODE_LT | UNICODE_LM | \
					 UNICODE_LO)
#define UNICODE_M	(UNICODE_BIT(CATEGORY_MN) | UNICODE_BIT(CATEGORY_MC) | \
					 UNICODE_BIT(CATEGORY_ME))
#define UNICODE_N	(UNICODE_BIT(CATEGORY_ND) | UNICODE_BIT(CATEGORY_NL) | \
					 UNICODE_BIT(CATEGORY_NO))
#define UNICODE_P	(UNICODE_BIT(CATEGORY_PC) | UNICODE_BIT(CATEGORY_PD) | \
					 UNICODE_BIT(CATEGORY_PS) | UNICODE_BIT(CATEGORY_PE) | \
					 UNICODE_BIT(CATEGORY_PI) | UNICODE_BIT(CATEGORY_PF) | \
					 UNICODE_BIT(CATEGORY_PO))
#define UNICODE_S	(UNICODE_BIT(CATEGORY_SM) | UNICODE_BIT(CATEGORY_SC) | \
					 UNICODE_BIT(CATEGORY_SK) | UNICODE_BIT(CATEGORY_SO))
#define UNICODE_NONE UNICODE_BIT(N_CATEGORIES)
#define UNICODE_SPACE UNICODE_BIT(31)

/* code <= 0x10FFFF */
static inline uint32_t
unicode_class(uint32_t code)
{
	uint8_t		kind;

	kind = unicode_kind_blocks[unicode_kind_index[code / UNICODE_BLOCK] *
							   UNICODE_BLOCK + code % UNICODE_BLOCK];
	return UINT32_C(1) << (kind & 31) |
		(uint32_t) (kind & UNICODE_SPACE_BIT) << 24;
}

/*
 * The same as of Unicode 8.0, which Hugging Face's BERT tokenizers still use:
 * later characters are unassigned, and those whose category has changed since
 * have the old one as far as it matters to them (marks and punctuation).
 */
extern uint32_t unicode8_class(uint32_t code);

/*
 * The full lower-case mapping of one character by itself (without the contexts
 * of SpecialCasing.txt); returns the number of characters.
 */
#define UNICODE_LOWER_LONGEST 2

extern int	unicode_lower_long(uint32_t code, uint32_t *lower);

static inline int
unicode_lower(uint32_t code, uint32_t *lower)
{
	if (code >= 0x80)
		return unicode_lower_long(code, lower);
	lower[0] = code >= 'A' && code <= 'Z' ? code + ('a' - 'A') : code;
	return 1;
}

typedef enum UnicodeForm
{
	UNICODE_NFC, UNICODE_NFD
} UnicodeForm;

/*
 * Text in a normalisation form.  *out is text itself when it already is (the
 * usual case, which costs one pass), else a copy in arena.  Ill-formed bytes
 * stay where they are and compose with nothing.
 */
extern EngineCode unicode_normalise(UnicodeForm form, const char *text,
									size_t length, EngineArena *arena,
									const EngineHost *host, const char **out,
									size_t *out_length,
									EngineStatus *status);

#endif							/* ENGINE_UNICODE_H */
