/*-------------------------------------------------------------------------
 *
 * text_borders.h
 *	  Where a text (UTF-8) may be cut, and how good a place is.
 *
 * A place between words is the start of the white space between them.
 * Scripts that are written without spaces (Han, kana) can be cut between any
 * two characters as well as between words.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_TEXT_BORDERS_H
#define LLM_TEXT_BORDERS_H

typedef struct Utf8Text
{
	const char *data;
	size_t		length;
} Utf8Text;

typedef enum BorderKind
{
	BORDER_NONE,				/* inside a character */
	BORDER_CHARACTER,
	BORDER_WORD,
	BORDER_SENTENCE,			/* also of a line */
	BORDER_PARAGRAPH
} BorderKind;

/*
 * The kind of the border before byte offset, 0 < offset < length.  What
 * combines with the character before it (marks, joined emoji) belongs to it.
 */
extern BorderKind border_kind(const Utf8Text *text, size_t offset);

/* Does a word, or a character of a script without spaces, begin here? */
extern bool border_begins_word(const Utf8Text *text, size_t offset);

/*
 * The last place at or before offset that is not inside a character, not
 * below floor; with joined, not inside what combines either.
 */
extern size_t border_at_or_before(const Utf8Text *text, size_t offset,
								  size_t floor, bool joined);

/* The next such place after offset < length. */
extern size_t border_after(const Utf8Text *text, size_t offset, bool joined);

/* The first byte at or after offset that is no white space. */
extern size_t border_skip_space(const Utf8Text *text, size_t offset);

/* The end of what lies between start and stop, without white space. */
extern size_t border_trim(const Utf8Text *text, size_t start, size_t stop);

#endif							/* LLM_TEXT_BORDERS_H */
