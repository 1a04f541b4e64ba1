/*-------------------------------------------------------------------------
 *
 * text_stream.h
 *	  Tokens of an output to valid UTF-8 text, piece by piece.
 *
 * Bytes of a character that is split over tokens are held back until it is
 * whole; bytes that can never become a character, an unfinished tail and NUL
 * become U+FFFD.  Possible beginnings of a stop text are held back too; at a
 * stop text the output ends before it, wherever tokens border.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TEXT_STREAM_H
#define ENGINE_TEXT_STREAM_H

#include "tokenizer/tokenizer.h"

typedef struct StopText
{
	const char *text;			/* valid UTF-8, not empty */
	size_t		length;
} StopText;

typedef struct TextStream
{
	const Tokenizer *tokenizer;
	int			n_stops;
	const StopText *stops;
	bool		special;		/* show control tokens (detokenize) */
	bool		first;			/* set after open by who decodes a text from
								 * its start: SPM's first space is dropped */
	bool		stopped;		/* a stop text was met */
	EngineArena *arena;
	char	   *piece;			/* partial, then the bytes of one token */
	char	   *pending;		/* decoded, not yet released */
	size_t		n_pending,
				capacity;
	char		partial[4];		/* bytes of an unfinished character */
	int			n_partial;
	char	   *out;			/* what the last call released, with a NUL */
	size_t		n_out,
				out_capacity;
} TextStream;

extern EngineCode text_stream_open(TextStream *stream,
								   const Tokenizer *tokenizer, bool special,
								   const StopText *stops, int n_stops,
								   EngineArena *arena, EngineStatus *status);

/*
 * Add a token; stream->out / n_out then hold the text that became certain
 * (often empty).  When stream->stopped is set, generation ends.
 */
extern EngineCode text_stream_add(TextStream *stream, int32_t token,
								  EngineStatus *status);

/* The rest: an unfinished tail becomes U+FFFD. */
extern EngineCode text_stream_finish(TextStream *stream,
									 EngineStatus *status);

/*
 * How a single token is shown in a column: its text when that is valid UTF-8,
 * else bytes as <0xE6>; control tokens by their text.  Appended to buf of at
 * least 6 * tokenizer_longest_piece() + 1 bytes; returns the length.
 */
extern size_t token_display(const Tokenizer *tokenizer, int32_t id,
							char *buf);

#endif							/* ENGINE_TEXT_STREAM_H */
