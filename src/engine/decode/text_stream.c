/*-------------------------------------------------------------------------
 *
 * text_stream.c
 *	  Tokens of an output to valid UTF-8 text, piece by piece.
 *
 * Bytes pass three stations: partial[] (a character that is not whole yet),
 * pending (whole characters that may belong to a stop text), out (certain).
 * An ill-formed sequence becomes one U+FFFD for each maximal subpart, as the
 * Unicode standard recommends (chapter 3, table 3-8).
 *
 * Which stop text ends the output must not depend on where tokens border, so
 * it is the one that is complete first, and the longest of several that are
 * complete at the same byte.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "decode/text_stream.h"

#include <string.h>

static const char replacement[] = "\xEF\xBF\xBD";

EngineCode
text_stream_open(TextStream *stream, const Tokenizer *tokenizer,
				 bool special, const StopText *stops, int n_stops,
				 EngineArena *arena, EngineStatus *status)
{
	size_t		longest = tokenizer_longest_piece(tokenizer);

	memset(stream, 0, sizeof(*stream));
	stream->tokenizer = tokenizer;
	stream->special = special;
	stream->stops = stops;
	stream->n_stops = n_stops;
	stream->arena = arena;
	stream->piece = engine_alloc(arena, longest + 1, 1, status);
	return stream->piece == NULL ? status->code : ENGINE_OK;
}

/* Room for more bytes at the end of a buffer. */
static EngineCode
reserve(EngineArena *arena, char **buf, size_t used, size_t *capacity,
		size_t more, EngineStatus *status)
{
	size_t		wanted = *capacity == 0 ? 256 : *capacity;
	char	   *fresh;

	if (used + more <= *capacity)
		return ENGINE_OK;
	while (wanted < used + more)
		wanted *= 2;
	fresh = engine_alloc(arena, wanted, 1, status);
	if (fresh == NULL)
		return status->code;
	if (used > 0)
		memcpy(fresh, *buf, used);
	*buf = fresh;
	*capacity = wanted;
	return ENGINE_OK;
}

static void
append_pending(TextStream *stream, const void *bytes, size_t n)
{
	memcpy(stream->pending + stream->n_pending, bytes, n);
	stream->n_pending += n;
}

/* Bytes of the character that begins with b; 0: none does. */
static int
character_length(uint8_t b)
{
	if (b < 0x80)
		return 1;
	if (b >= 0xC2 && b <= 0xDF)
		return 2;
	if (b >= 0xE0 && b <= 0xEF)
		return 3;
	if (b >= 0xF0 && b <= 0xF4)
		return 4;
	return 0;
}

/* May b follow the n bytes of an unfinished character? (table 3-7) */
static bool
continues(const uint8_t *partial, int n, uint8_t b)
{
	uint8_t		low = 0x80;
	uint8_t		high = 0xBF;

	if (n == 1)
	{
		if (partial[0] == 0xE0)
			low = 0xA0;			/* overlong */
		else if (partial[0] == 0xED)
			high = 0x9F;		/* surrogates */
		else if (partial[0] == 0xF0)
			low = 0x90;			/* overlong */
		else if (partial[0] == 0xF4)
			high = 0x8F;		/* beyond U+10FFFF */
	}
	return b >= low && b <= high;
}

/* One byte; pending has room for at least six more. */
static void
decode_byte(TextStream *stream, uint8_t b)
{
	if (stream->n_partial > 0)
	{
		if (continues(stream->partial, stream->n_partial, b))
		{
			stream->partial[stream->n_partial++] = b;
			if (stream->n_partial == character_length(stream->partial[0]))
			{
				append_pending(stream, stream->partial,
							   (size_t) stream->n_partial);
				stream->n_partial = 0;
			}
			return;
		}
		append_pending(stream, replacement, 3);
		stream->n_partial = 0;
	}
	if (b == 0 || character_length(b) == 0)
		append_pending(stream, replacement, 3);
	else if (character_length(b) == 1)
		append_pending(stream, &b, 1);
	else
		stream->partial[stream->n_partial++] = b;
}

/*
 * Look for a stop text in pending, of which the first n_old bytes were looked
 * at before.  Returns where it begins, or -1.
 */
static int64_t
find_stop(const TextStream *stream, size_t n_old)
{
	for (size_t end = n_old + 1; end <= stream->n_pending; end++)
	{
		size_t		longest = 0;

		for (int i = 0; i < stream->n_stops; i++)
		{
			const StopText *stop = &stream->stops[i];

			if (stop->length <= end && stop->length > longest &&
				memcmp(stream->pending + end - stop->length, stop->text,
					   stop->length) == 0)
				longest = stop->length;
		}
		if (longest > 0)
			return (int64_t) (end - longest);
	}
	return -1;
}

/* Bytes at the end of pending that may become a stop text. */
static size_t
possible_stop(const TextStream *stream)
{
	size_t		longest = 0;

	for (int i = 0; i < stream->n_stops; i++)
	{
		const StopText *stop = &stream->stops[i];
		size_t		n = stop->length - 1;

		if (n > stream->n_pending)
			n = stream->n_pending;
		for (; n > longest; n--)
			if (memcmp(stream->pending + stream->n_pending - n, stop->text,
					   n) == 0)
				longest = n;
	}
	return longest;
}

/* Move what is certain from pending to out. */
static EngineCode
release(TextStream *stream, size_t n_old, bool finish, EngineStatus *status)
{
	int64_t		stop = find_stop(stream, n_old);
	size_t		n;

	if (stop >= 0)
		n = (size_t) stop;
	else
		n = stream->n_pending - (finish ? 0 : possible_stop(stream));
	stream->n_out = 0;
	ENGINE_TRY(reserve(stream->arena, &stream->out, 0, &stream->out_capacity,
					   n + 1, status));
	if (n > 0)
		memcpy(stream->out, stream->pending, n);
	stream->out[n] = '\0';
	stream->n_out = n;
	if (stop >= 0)
	{
		stream->stopped = true;
		stream->n_pending = 0;
		stream->n_partial = 0;
		return ENGINE_OK;
	}
	stream->n_pending -= n;
	if (stream->n_pending > 0)
		memmove(stream->pending, stream->pending + n, stream->n_pending);
	return ENGINE_OK;
}

EngineCode
text_stream_add(TextStream *stream, int32_t token, EngineStatus *status)
{
	const char *piece = stream->piece;
	size_t		n = tokenizer_piece_copy(stream->tokenizer, token,
										 stream->special, stream->piece);
	size_t		n_old = stream->n_pending;

	/* a text's first space is the encoder's, control tokens before it or not */
	if (stream->first && n > 0 &&
		tokenizer_kind(stream->tokenizer, token) != TOKEN_CONTROL)
	{
		stream->first = false;
		if (tokenizer_strips_first_space(stream->tokenizer) && piece[0] == ' ')
		{
			piece++;
			n--;
		}
	}
	stream->n_out = 0;
	if (stream->stopped)
		return ENGINE_OK;

	/* a byte gives at most two replacements */
	ENGINE_TRY(reserve(stream->arena, &stream->pending, stream->n_pending,
					   &stream->capacity, 6 * n, status));
	for (size_t i = 0; i < n; i++)
		decode_byte(stream, (uint8_t) piece[i]);
	return release(stream, n_old, false, status);
}

EngineCode
text_stream_finish(TextStream *stream, EngineStatus *status)
{
	size_t		n_old = stream->n_pending;

	stream->n_out = 0;
	if (stream->stopped)
		return ENGINE_OK;
	ENGINE_TRY(reserve(stream->arena, &stream->pending, stream->n_pending,
					   &stream->capacity, 3, status));
	if (stream->n_partial > 0)
	{
		append_pending(stream, replacement, 3);
		stream->n_partial = 0;
	}
	return release(stream, n_old, true, status);
}

/* Length of the whole character at text, or 0. */
static size_t
whole_character(const uint8_t *text, size_t n)
{
	int			length = character_length(text[0]);

	if (text[0] == 0 || length == 0 || (size_t) length > n)
		return 0;
	for (int i = 1; i < length; i++)
		if (!continues(text, i, text[i]))
			return 0;
	return (size_t) length;
}

size_t
token_display(const Tokenizer *tokenizer, int32_t id, char *buf)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t		longest = tokenizer_longest_piece(tokenizer);
	uint8_t    *piece = (uint8_t *) buf + 5 * longest;
	size_t		n = tokenizer_piece_copy(tokenizer, id, true, (char *) piece);
	size_t		out = 0;

	/*
	 * The piece stands at the end of the buffer and is rewritten to its
	 * front: with i bytes read and at most 6 * i written, writing never
	 * passes what is still to be read, as i <= longest.
	 */
	for (size_t i = 0; i < n;)
	{
		size_t		whole = whole_character(piece + i, n - i);

		if (whole > 0)
		{
			memmove(buf + out, piece + i, whole);
			out += whole;
			i += whole;
		}
		else
		{
			uint8_t		b = piece[i++];

			memcpy(buf + out, "<0x", 3);
			buf[out + 3] = hex[b >> 4];
			buf[out + 4] = hex[b & 15];
			buf[out + 5] = '>';
			out += 6;
		}
	}
	buf[out] = '\0';
	return out;
}
