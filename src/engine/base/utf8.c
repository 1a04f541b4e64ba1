/*-------------------------------------------------------------------------
 *
 * utf8.c
 *	  Decoding, checking and writing UTF-8.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "base/utf8.h"

#include <string.h>

/*
 * The second byte decides about overlong forms, surrogates and the upper
 * bound; the rest are any continuation bytes.
 */
static bool
second_byte_fits(uint8_t first, uint8_t second)
{
	uint8_t		low = 0x80;
	uint8_t		high = 0xBF;

	if (first == 0xE0)
		low = 0xA0;
	else if (first == 0xED)
		high = 0x9F;
	else if (first == 0xF0)
		low = 0x90;
	else if (first == 0xF4)
		high = 0x8F;
	return second >= low && second <= high;
}

int
utf8_decode_long(const char *text, size_t left, uint32_t *code)
{
	uint8_t		first = (uint8_t) text[0];
	int			length;
	uint32_t	value;

	if (first < 0x80)
	{
		*code = first;
		return 1;
	}
	if (first < 0xC2 || first > 0xF4)
		return -1;
	length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
	value = first & (0x7F >> length);
	for (int i = 1; i < length; i++)
	{
		if ((size_t) i >= left)
			return 0;
		if (i == 1 ? !second_byte_fits(first, (uint8_t) text[1]) :
			!utf8_continues(text[i]))
			return -i;
		value = value << 6 | ((uint8_t) text[i] & 0x3F);
	}
	*code = value;
	return length;
}

int
utf8_encode(uint32_t code, char *buf)
{
	if (code < 0x80)
	{
		buf[0] = (char) code;
		return 1;
	}
	if (code < 0x800)
	{
		buf[0] = (char) (0xC0 | code >> 6);
		buf[1] = (char) (0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000)
	{
		buf[0] = (char) (0xE0 | code >> 12);
		buf[1] = (char) (0x80 | (code >> 6 & 0x3F));
		buf[2] = (char) (0x80 | (code & 0x3F));
		return 3;
	}
	buf[0] = (char) (0xF0 | code >> 18);
	buf[1] = (char) (0x80 | (code >> 12 & 0x3F));
	buf[2] = (char) (0x80 | (code >> 6 & 0x3F));
	buf[3] = (char) (0x80 | (code & 0x3F));
	return 4;
}

size_t
utf8_valid_prefix(const char *text, size_t length)
{
	size_t		position = 0;
	uint32_t	code;

	while (position < length)
	{
		uint64_t	eight;
		int			n;

		if (length - position >= 8)
		{
			memcpy(&eight, text + position, 8);
			if ((eight & UINT64_C(0x8080808080808080)) == 0)
			{
				position += 8;
				continue;
			}
		}
		n = utf8_decode(text + position, length - position, &code);
		if (n <= 0)
			break;
		position += (size_t) n;
	}
	return position;
}
