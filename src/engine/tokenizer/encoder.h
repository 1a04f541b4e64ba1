/*-------------------------------------------------------------------------
 *
 * encoder.h
 *	  State of one encoding, and the algorithms; private to tokenizer/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TOKENIZER_ENCODER_H
#define ENGINE_TOKENIZER_ENCODER_H

#include "tokenizer/merge.h"

typedef struct Encoder
{
	const TokenizerSection *section;
	EngineArena *arena;
	const EngineHost *host;
	EngineStatus *status;
	TokenList  *list;
	Merger		merger;			/* its buffers serve every word */
	char	   *word;			/* a word with its spaces in place */
	size_t		word_capacity;
	int32_t    *pieces;			/* WordPiece: of that word */
	struct Lattice *lattice;	/* Unigram: serves every word */
	bool		at_start;		/* the stretch begins the text */
	bool		continues;		/* the text continues another */
	bool		after_unknown;	/* unknown characters in a row are one */
} Encoder;

/* Append an id to the list. */
extern EngineCode encoder_emit(Encoder *encoder, int32_t id);

/*
 * Append what stands for a character that is no token, with a space for
 * U+2581: the tokens of its bytes, or the unknown token when the model lacks
 * one of these and the character before was not unknown too.
 */
extern EngineCode encoder_emit_bytes(Encoder *encoder, const char *text,
									 size_t length);

/*
 * Encode a stretch of text between special tokens.  prefix: SPM puts a space
 * before it, if the model does so at all.
 */
extern EngineCode bpe_encode(Encoder *encoder, const char *text,
							 size_t length);
extern EngineCode spm_encode(Encoder *encoder, const char *text,
							 size_t length);

#endif							/* ENGINE_TOKENIZER_ENCODER_H */
