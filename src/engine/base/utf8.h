/*-------------------------------------------------------------------------
 *
 * utf8.h
 *	  Decoding, checking and writing UTF-8.
 *
 * Well-formed is what Unicode's table 3-7 allows: no overlong forms, no
 * surrogates, nothing above U+10FFFF.  NUL is a character like any other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_UTF8_H
#define ENGINE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_LONGEST 4			/* bytes of a character */
#define UTF8_REPLACEMENT 0xFFFD
#define UTF8_REPLACEMENT_TEXT "\xEF\xBF\xBD"

extern int	utf8_decode_long(const char *text, size_t left, uint32_t *code);

/*
 * The character at text, of which left >= 1 bytes may be read.  Returns
 *	 1..4: its length in bytes, *code is set;
 *	 0: the text ends inside a character that is well-formed so far;
 *	 -1..-3: ill-formed; this many bytes make one U+FFFD when replaced.
 */
static inline int
utf8_decode(const char *text, size_t left, uint32_t *code)
{
	uint8_t		byte = (uint8_t) text[0];

	if (byte < 0x80)
	{
		*code = byte;
		return 1;
	}
	return utf8_decode_long(text, left, code);
}

/* Write a scalar value (not a surrogate); returns the length, 1..4. */
extern int	utf8_encode(uint32_t code, char *buf);

/* Length of the longest well-formed beginning: length when all of it is. */
extern size_t utf8_valid_prefix(const char *text, size_t length);

static inline bool
utf8_valid(const char *text, size_t length)
{
	return utf8_valid_prefix(text, length) == length;
}

static inline bool
utf8_continues(char byte)
{
	return ((uint8_t) byte & 0xC0) == 0x80;
}

#endif							/* ENGINE_UTF8_H */
