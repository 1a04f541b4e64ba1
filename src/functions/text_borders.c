/*-------------------------------------------------------------------------
 *
 * text_borders.c
 *	  Where a text (UTF-8) may be cut.
 *
 * A smaller relative of Unicode's annexes 14 and 29: what chunks of prose
 * need, from the character properties that the engine has.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "engine/base/unicode.h"
#include "engine/base/utf8.h"
#include "functions/text_borders.h"

/* A base character with more marks than that may be cut. */
#define MOST_JOINED 64

#define ZERO_WIDTH_JOINER 0x200D
#define LINE_SEPARATOR 0x2028
#define PARAGRAPH_SEPARATOR 0x2029
#define NEXT_LINE 0x85

static bool
in_range(uint32 code, uint32 first, uint32 last)
{
	return code >= first && code <= last;
}

/* Bytes of the character at offset < length; ill-formed bytes stand alone. */
static int
decode(const Utf8Text *text, size_t offset, uint32 *code)
{
	uint32_t	result;
	int			size = utf8_decode(text->data + offset,
								   text->length - offset, &result);

	if (size <= 0)
	{
		*code = UTF8_REPLACEMENT;
		return 1;
	}
	*code = result;
	return size;
}

static uint32
code_at(const Utf8Text *text, size_t offset)
{
	uint32		code;

	decode(text, offset, &code);
	return code;
}

/* The start of the character that ends at offset > 0. */
static size_t
before(const Utf8Text *text, size_t offset)
{
	size_t		start = offset - 1;

	while (start > 0 && offset - start < UTF8_LONGEST &&
		   utf8_continues(text->data[start]))
		start--;
	return start;
}

static bool
is_space(uint32 code)
{
	return (unicode_class(code) & UNICODE_SPACE) != 0;
}

/* Han, Hiragana, Katakana, Bopomofo: a cut between two of them is good. */
static bool
is_spaceless(uint32 code)
{
	return in_range(code, 0x3041, 0x312F) || in_range(code, 0x31A0, 0x31BF) ||
		in_range(code, 0x31F0, 0x31FF) || in_range(code, 0x3400, 0x4DBF) ||
		in_range(code, 0x4E00, 0x9FFF) || in_range(code, 0xF900, 0xFAFF) ||
		in_range(code, 0x20000, 0x3FFFD);
}

static bool
ends_sentence(uint32 code)
{
	switch (code)
	{
		case '.':
		case '!':
		case '?':
		case 0x2026:			/* horizontal ellipsis */
		case 0x203C:			/* double exclamation mark */
		case 0x203D:			/* interrobang */
		case 0x0589:			/* Armenian full stop */
		case 0x061F:			/* Arabic question mark */
		case 0x06D4:			/* Arabic full stop */
		case 0x0964:			/* danda */
		case 0x0965:			/* double danda */
		case 0x104B:			/* Myanmar sign section */
		case 0x1362:			/* Ethiopic full stop */
		case 0x17D4:			/* Khmer sign khan */
		case 0x3002:			/* ideographic full stop */
		case 0xFF01:			/* fullwidth exclamation mark */
		case 0xFF0E:			/* fullwidth full stop */
		case 0xFF1F:			/* fullwidth question mark */
		case 0xFF61:			/* halfwidth ideographic full stop */
			return true;
		default:
			return false;
	}
}

/* What may stand between the end of a sentence and white space. */
static bool
closes(uint32 code)
{
	return code == '"' || code == '\'' ||
		(unicode_class(code) & (UNICODE_BIT(CATEGORY_PE) |
								UNICODE_BIT(CATEGORY_PF))) != 0;
}

static bool
sentence_ends_before(const Utf8Text *text, size_t offset)
{
	for (int i = 0; i < 4 && offset > 0; i++)
	{
		uint32		code;

		offset = before(text, offset);
		code = code_at(text, offset);
		if (ends_sentence(code))
			return true;
		if (!closes(code))
			break;
	}
	return false;
}

/*
 * Characters
 */

static bool
is_regional_indicator(uint32 code)
{
	return in_range(code, 0x1F1E6, 0x1F1FF);
}

/* Marks, joiners, skin tones, and the later parts of Hangul syllables. */
static bool
extends(uint32 code)
{
	return (unicode_class(code) & UNICODE_M) != 0 ||
		in_range(code, 0x200C, ZERO_WIDTH_JOINER) ||
		in_range(code, 0x1F3FB, 0x1F3FF) || in_range(code, 0xE0020, 0xE007F) ||
		in_range(code, 0x1160, 0x11FF) || in_range(code, 0xD7B0, 0xD7FB);
}

/* Flags are pairs: does an odd number of halves end at offset? */
static bool
half_flag_before(const Utf8Text *text, size_t offset)
{
	int			n = 0;

	while (offset > 0 && n < MOST_JOINED)
	{
		offset = before(text, offset);
		if (!is_regional_indicator(code_at(text, offset)))
			break;
		n++;
	}
	return n % 2 == 1;
}

/* Is offset, which is no place inside a character, inside what combines? */
static bool
joined_at(const Utf8Text *text, size_t offset)
{
	uint32		left,
				right;

	if (offset == 0 || offset >= text->length)
		return false;
	left = code_at(text, before(text, offset));
	right = code_at(text, offset);
	if (left == '\r' && right == '\n')
		return true;
	if (is_space(left) || left < ' ')
		return false;
	if (extends(right) || left == ZERO_WIDTH_JOINER)
		return true;
	return is_regional_indicator(left) && is_regional_indicator(right) &&
		half_flag_before(text, offset);
}

size_t
border_at_or_before(const Utf8Text *text, size_t offset, size_t floor,
					bool joined)
{
	size_t		place = offset;

	if (place >= text->length)
		return text->length;

	while (place > floor && offset - place < UTF8_LONGEST &&
		   utf8_continues(text->data[place]))
		place--;
	if (!joined)
		return place;
	offset = place;
	for (int i = 0; i < MOST_JOINED; i++)
	{
		if (place <= floor || !joined_at(text, place))
			return Max(place, floor);
		place = before(text, place);
	}
	return offset;
}

size_t
border_after(const Utf8Text *text, size_t offset, bool joined)
{
	uint32		code;

	for (int i = 0; i <= MOST_JOINED; i++)
	{
		offset += decode(text, offset, &code);
		if (!joined || !joined_at(text, offset))
			break;
	}
	return offset;
}

/*
 * White space
 */

size_t
border_skip_space(const Utf8Text *text, size_t offset)
{
	while (offset < text->length)
	{
		uint32		code;
		int			size = decode(text, offset, &code);

		if (!is_space(code))
			break;
		offset += size;
	}
	return offset;
}

size_t
border_trim(const Utf8Text *text, size_t start, size_t stop)
{
	while (stop > start)
	{
		size_t		last = before(text, stop);

		if (!is_space(code_at(text, last)))
			break;
		stop = last;
	}
	return stop;
}

/* What the white space from offset on says. */
static BorderKind
space_kind(const Utf8Text *text, size_t offset)
{
	size_t		place = offset;
	int			lines = 0;
	uint32		code = 0;

	while (place < text->length)
	{
		int			size = decode(text, place, &code);

		if (!is_space(code))
			break;
		if (code == PARAGRAPH_SEPARATOR || code == '\f')
			return BORDER_PARAGRAPH;
		if (code == '\n' || code == LINE_SEPARATOR || code == NEXT_LINE ||
			(code == '\r' && (place + 1 == text->length ||
							  text->data[place + 1] != '\n')))
			lines++;
		if (lines == 2)
			return BORDER_PARAGRAPH;
		place += size;
	}
	if (lines == 1)
		return BORDER_SENTENCE;
	if (sentence_ends_before(text, offset) &&
		(unicode_class(code) & UNICODE_LL) == 0)
		return BORDER_SENTENCE;
	return BORDER_WORD;
}

BorderKind
border_kind(const Utf8Text *text, size_t offset)
{
	uint32		left,
				right;

	if (utf8_continues(text->data[offset]) || joined_at(text, offset))
		return BORDER_NONE;
	left = code_at(text, before(text, offset));
	right = code_at(text, offset);
	if (is_space(left))
		return BORDER_CHARACTER;
	if (is_space(right))
		return space_kind(text, offset);
	if (closes(right) || ends_sentence(right))
		return BORDER_CHARACTER;
	if (left > 0x7F && sentence_ends_before(text, offset))
		return BORDER_SENTENCE;
	if (is_spaceless(left) || is_spaceless(right))
		return (unicode_class(right) & UNICODE_P) != 0 ? BORDER_CHARACTER :
			BORDER_WORD;
	return BORDER_CHARACTER;
}

bool
border_begins_word(const Utf8Text *text, size_t offset)
{
	if (offset >= text->length || utf8_continues(text->data[offset]) ||
		is_space(code_at(text, offset)))
		return false;
	return offset == 0 || is_space(code_at(text, before(text, offset))) ||
		border_kind(text, offset) >= BORDER_WORD;
}
