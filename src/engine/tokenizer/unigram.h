/*-------------------------------------------------------------------------
 *
 * unigram.h
 *	  SentencePiece's unigram language model (XLM-R, T5); private to
 *	  tokenizer/.
 *
 * Of all ways to cut a text into pieces the one with the highest sum of scores
 * is taken.  A character that is no piece counts as unknown, 10 below the
 * worst piece.
 *
 * Keys beside those of every tokenizer: precompiled_charsmap (charsmap.h),
 * add_space_prefix and remove_extra_whitespaces, which are true when they are
 * absent, as in SentencePiece itself.  Keys of ours, which the importer of
 * Hugging Face folders writes and unigram.c explains:
 * tokenizer.llm.spaces_only, .keep_end and .keep_runs (bool, false by
 * default).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TOKENIZER_UNIGRAM_H
#define ENGINE_TOKENIZER_UNIGRAM_H

#include "tokenizer/encoder.h"
#include "tokenizer/plan.h"

/*
 * The tables of the section, made in arena: they tell its size.  The plan's
 * arrays were checked, but for scores, which must be finite here.
 */
extern EngineCode unigram_plan(const GgufFile *file, ByteSource *source,
							   EngineArena *arena, const EngineHost *host,
							   TokenizerPlan *plan, EngineStatus *status);

/*
 * The trie of unigram_plan(): nodes are added in the order of the file, then
 * packed into units.
 */
typedef struct TrieBuilder TrieBuilder;

extern TrieBuilder *trie_begin(EngineArena *arena, const EngineHost *host,
							   EngineStatus *status);

/* A text that is there already gets the new score; length >= 1. */
extern EngineCode trie_add(TrieBuilder *trie, const char *text, size_t length,
						   float score);
extern EngineCode trie_pack(TrieBuilder *trie, const UnigramUnit **units,
							uint32_t *n_units);

/* Copy the tables to their places. */
extern void unigram_build(const TokenizerPlan *plan,
						  TokenizerSection *section);

/* Encode a stretch of text between special tokens. */
extern EngineCode unigram_encode(Encoder *encoder, const char *text,
								 size_t length);

#endif							/* ENGINE_TOKENIZER_UNIGRAM_H */
