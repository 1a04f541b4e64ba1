/*-------------------------------------------------------------------------
 *
 * wordpiece.h
 *	  WordPiece as BERT has it; private to tokenizer/.
 *
 * In a GGUF file word-initial pieces carry U+2581 in front and continuations
 * have lost their "##"; in a section the former begin with a space.  What the
 * normaliser does is said by keys of ours, which the importer of Hugging Face
 * folders writes; without them text is cleaned, Chinese characters are words
 * of their own, and case and accents go unless the vocabulary is cased.
 *
 * Keys: tokenizer.llm.clean_text, .chinese_chars, .lowercase, .strip_accents
 * (bool), .max_word (u32, characters, 100 by default).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TOKENIZER_WORDPIECE_H
#define ENGINE_TOKENIZER_WORDPIECE_H

#include "tokenizer/encoder.h"
#include "tokenizer/plan.h"

/*
 * Does this normal token show that the vocabulary is cased?  One capital
 * letter of ASCII suffices: training makes a piece of every character that
 * the text has, and text in lower case has none.  Longer tokens prove
 * nothing, some makers put words of their trade in place of "[unused1]".
 */
extern bool wordpiece_cased(const char *text, size_t length);

/*
 * The ids that go around texts, from the keys of this and other algorithms:
 * class is that of cls_token_id, the others are in layout; -1 is none.
 */
extern void wordpiece_ids(TokenizerSection *layout, int32_t class);

/* The keys of ours, into flags and max_word. */
extern EngineCode wordpiece_read_keys(const GgufFile *file,
									  TokenizerPlan *plan,
									  EngineStatus *status);

/*
 * The type of a token: "[CLS]" and its like are no pieces, even if the file
 * says that they are normal.
 */
extern TokenKind wordpiece_kind(TokenKind kind, const char *text,
								size_t length);

/* A piece of the file as it is kept in a section; returns its length. */
extern size_t wordpiece_store(const char *text, size_t length, char *to);

/* Encode a stretch of text between special tokens. */
extern EngineCode wordpiece_encode(Encoder *encoder, const char *text,
								   size_t length);

/*
 * The first steps of the normaliser: cleaning, spaces around Chinese
 * characters, and with stripping of accents NFD (the marks are still there).
 * *out is text itself when there is nothing to do, else it lies in the arena.
 */
extern EngineCode bert_normalise(const Encoder *encoder, const char *text,
								 size_t length, const char **out,
								 size_t *out_length);

#endif							/* ENGINE_TOKENIZER_WORDPIECE_H */
