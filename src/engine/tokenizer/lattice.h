/*-------------------------------------------------------------------------
 *
 * lattice.h
 *	  The best way to cut a word into Unigram's pieces; private to tokenizer/.
 *
 * A word is handed over in parts, and ids are appended to the list as soon as
 * they cannot change any more: memory depends on how long that takes, which is
 * a few pieces in language, not on the length of the word.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TOKENIZER_LATTICE_H
#define ENGINE_TOKENIZER_LATTICE_H

#include "tokenizer/encoder.h"

/*
 * Positions count from the first byte that has no id yet.  The best path to a
 * position ends with a piece of back bytes.
 */
typedef struct Lattice
{
	char	   *text;
	uint16_t   *back;			/* 0: no path ends here (yet) */
	size_t		n;				/* bytes of text */
	size_t		done;			/* pieces that begin before are known */
	size_t		capacity;		/* of text and, plus 1, back */
	size_t		commit_at;		/* n from which to look for certain ids */
	uint64_t	origin;			/* bytes of the word before text */
	double	   *scores;			/* of paths; a ring, by origin + position */
	uint64_t	mask;
	size_t		work;			/* since the host was asked */
} Lattice;

/* Append bytes to the word; a character comes in one piece. */
extern EngineCode lattice_append(Encoder *encoder, const char *bytes,
								 size_t length);

/* The word is complete: append its ids.  Nothing happens without a word. */
extern EngineCode lattice_finish(Encoder *encoder);

#endif							/* ENGINE_TOKENIZER_LATTICE_H */
