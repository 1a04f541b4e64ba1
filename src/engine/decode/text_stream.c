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

#include "base/utf8.h"

#include <string.h>

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
	stream->piece = engine_alloc(arena, UTF8_LONGEST + longest, 1, status);
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

/* Whole characters go to pending, an unfinished one stays in partial. */
static void
decode(TextStream *stream, const char *bytes, size_t n)
{
	stream->n_partial = 0;
	for (size_t i = 0; i < n;)
	{
		uint32_t	code;
		int			length = utf8_decode(bytes + i, n - i, &code);

		if (length == 0)
		{
			stream->n_partial = (int) (n - i);
			memcpy(stream->partial, bytes + i, n - i);
			return;
		}
		if (length < 0 || code == 0)
			append_pending(stream, UTF8_REPLACEMENT_TEXT, 3);
		else
			append_pending(stream, bytes + i, (size_t) length);
		i += (size_t) (length < 0 ? -length : length);
	}
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
	size_t		n_old = stream->n_pending;
	size_t		n = (size_t) stream->n_partial;
	char	   *bytes = stream->piece;
	char	   *piece = bytes + n;
	size_t		added = tokenizer_text_copy(stream->tokenizer, token,
											stream->special, piece);

	stream->n_out = 0;
	if (stream->stopped)
		return ENGINE_OK;

	/*
	 * A text's first space is the encoder's, control tokens before it or not,
	 * unless these have one themselves.
	 */
	if (stream->first && added > 0 &&
		(piece[0] == ' ' ||
		 tokenizer_kind(stream->tokenizer, token) != TOKEN_CONTROL))
	{
		stream->first = false;
		if (tokenizer_strips_first_space(stream->tokenizer) &&
			piece[0] == ' ')
			memmove(piece, piece + 1, --added);
	}
	if (n > 0)
		memcpy(bytes, stream->partial, n);
	n += added;

	/* a byte gives at most one replacement of three bytes */
	ENGINE_TRY(reserve(stream->arena, &stream->pending, stream->n_pending,
					   &stream->capacity, 3 * n, status));
	decode(stream, bytes, n);
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
		append_pending(stream, UTF8_REPLACEMENT_TEXT, 3);
		stream->n_partial = 0;
	}
	return release(stream, n_old, true, status);
}

size_t
token_display(const Tokenizer *tokenizer, int32_t id, char *buf)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t		longest = tokenizer_longest_piece(tokenizer);
	char	   *piece = buf + 5 * longest;
	size_t		n = tokenizer_piece_copy(tokenizer, id, true, piece);
	size_t		out = 0;

	/*
	 * The piece stands at the end of the buffer and is rewritten to its
	 * front: with i bytes read and at most 6 * i written, writing never
	 * passes what is still to be read, as i <= longest.
	 */
	for (size_t i = 0; i < n;)
	{
		uint32_t	code;
		int			length = utf8_decode(piece + i, n - i, &code);

		if (length > 0 && code != 0)
		{
			memmove(buf + out, piece + i, (size_t) length);
			out += (size_t) length;
			i += (size_t) length;
		}
		else
		{
			uint8_t		b = (uint8_t) piece[i++];

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
