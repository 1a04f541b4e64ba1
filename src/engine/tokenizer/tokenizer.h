/*-------------------------------------------------------------------------
 *
 * tokenizer.h
 *	  Text to token ids and back, from tables that lie in the image.
 *
 * The tables (token texts, a hash from bytes to id, merges by pair of ids,
 * special tokens, flags) are one relocatable section: offsets from its own
 * start.  tokenizer_plan() reads and checks the tokenizer keys of an untrusted
 * file and knows the section's size, tokenizer_build() fills it,
 * tokenizer_open() makes a view that any process can use.
 *
 * Algorithms: byte-level BPE (tokenizer.ggml.model "gpt2"), SentencePiece BPE
 * by scores ("llama"), WordPiece ("bert"), Unigram ("t5").  Pre-tokenizers are linear scanners over in-tree
 * Unicode tables; merging is heap-based, O(n log n).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TOKENIZER_H
#define ENGINE_TOKENIZER_H

#include "formats/gguf.h"

typedef enum TokenKind
{
	TOKEN_NORMAL = 1,			/* numbers of tokenizer.ggml.token_type */
	TOKEN_UNKNOWN,
	TOKEN_CONTROL,
	TOKEN_USER_DEFINED,
	TOKEN_UNUSED,
	TOKEN_BYTE
} TokenKind;

typedef struct TokenizerPlan TokenizerPlan; /* private to tokenizer_build.c */

/*
 * n_rows: rows of the token embedding, which bound all ids.  *plan is NULL
 * when the file has no tokenizer ("none", "no_vocab" or no key).  An unknown
 * model or pre-tokenizer is ENGINE_UNSUPPORTED and names it.
 */
extern EngineCode tokenizer_plan(const GgufFile *file, ByteSource *source,
								 int32_t n_rows, EngineArena *arena,
								 const EngineHost *host,
								 TokenizerPlan **plan, uint64_t *size,
								 EngineStatus *status);

extern EngineCode tokenizer_build(const TokenizerPlan *plan,
								  ByteSource *source, EngineArena *arena,
								  const EngineHost *host, void *section,
								  EngineStatus *status);

/* A view over a section; holds pointers, so it belongs to one process. */
typedef struct Tokenizer
{
	const struct TokenizerSection *section;
	int32_t		n_tokens;		/* ids with a text: 0 .. n_tokens - 1 */
	int32_t		bos,
				eos,
				eot,
				unknown,
				padding,
				separator;		/* -1: the model has none */
	bool		add_bos,		/* what the model asks for */
				add_eos,
				add_separator;	/* between the two texts of a pair */
} Tokenizer;

extern void tokenizer_open(const void *section, Tokenizer *tokenizer);

/* Options of an encoding */
#define TOKENIZE_ADD_SPECIAL	0x01	/* BOS and EOS as the model asks */
#define TOKENIZE_PARSE_SPECIAL	0x02	/* control tokens are recognised */
#define TOKENIZE_NO_EOS			0x04	/* add BOS but never EOS (generation) */
#define TOKENIZE_FORCE_BOS		0x08	/* BOS, also if the model says no */
#define TOKENIZE_CONTINUES		0x10	/* the text goes on where another
										 * ended: SPM puts no space before it */

typedef struct TokenList
{
	int32_t    *ids;
	size_t		n;
	size_t		capacity;		/* private: it grows in the arena */
	size_t		max_tokens;		/* more are ENGINE_LIMIT; 0: no limit */
} TokenList;

/*
 * Encode length bytes of valid UTF-8 (invalid bytes are taken as they are by
 * byte-level tokenizers), appended to list.  content: NULL, or one byte per
 * byte of text, non-zero where the byte is message content, in which control
 * tokens are never recognised (chat templates); TOKENIZE_PARSE_SPECIAL decides
 * elsewhere.  User-defined tokens are recognised everywhere.  Text above 64 MiB
 * is ENGINE_LIMIT, and so is the token after list->max_tokens; list then holds
 * max_tokens ids.  list starts as zeros.
 */
extern EngineCode tokenizer_encode(const Tokenizer *tokenizer,
								   const char *text, size_t length,
								   const uint8_t *content, int flags,
								   EngineArena *arena,
								   const EngineHost *host,
								   TokenList *list, EngineStatus *status);

/*
 * What a model for pairs reads of two texts, which were both encoded without
 * special tokens: BOS a SEP b EOS as BERT has it ([CLS] a [SEP] b [SEP]), and
 * with add_separator a second SEP between (RoBERTa).  *second is the first
 * token of type 1: what follows the separator; pair->n, so none, with
 * add_separator, since all tokens of RoBERTa are of one type.
 */
extern EngineCode tokenizer_pair(const Tokenizer *tokenizer,
								 const TokenList *a, const TokenList *b,
								 EngineArena *arena, TokenList *pair,
								 size_t *second, EngineStatus *status);

/* How many tokens tokenizer_pair() adds to those of a and b. */
extern int	tokenizer_pair_specials(const Tokenizer *tokenizer);

/*
 * The bytes that token id contributes to a text: control and unused tokens
 * none, byte tokens their byte, SPM with U+2581 as space.  With special, the
 * text of control tokens too (detokenize shows them).  *length may be 0; not
 * NUL-terminated; valid while the section is.  Ids without a text (padding
 * rows) give length 0.  scratch: 1 byte for byte tokens.
 */
extern const char *tokenizer_piece(const Tokenizer *tokenizer, int32_t id,
								   bool special, char *scratch,
								   size_t *length);

/*
 * Longest piece in bytes; tokenizer_piece_copy() writes at most this many to
 * buf and returns the length.  tokenizer_text_copy() writes what a token adds
 * to a text that others make up with it: the same, but WordPiece puts a space
 * before control and user-defined tokens as it does before words.
 */
extern size_t tokenizer_longest_piece(const Tokenizer *tokenizer);
extern size_t tokenizer_piece_copy(const Tokenizer *tokenizer, int32_t id,
								   bool special, char *buf);
extern size_t tokenizer_text_copy(const Tokenizer *tokenizer, int32_t id,
								  bool special, char *buf);

extern TokenKind tokenizer_kind(const Tokenizer *tokenizer, int32_t id);

/* Does generation end at this token? (eos, eot, eom and their like) */
extern bool tokenizer_is_end(const Tokenizer *tokenizer, int32_t id);

/*
 * The first piece of a text drops the space that encoding put there (SPM), or
 * that all first pieces of words have (WordPiece).
 */
extern bool tokenizer_strips_first_space(const Tokenizer *tokenizer);

/*
 * The id whose text is exactly this, or -1 (control tokens included).  Text
 * means bytes as tokenizer_piece() returns them: " the", not the byte
 * alphabet's "\304\240the".
 */
extern int32_t tokenizer_find(const Tokenizer *tokenizer, const char *text,
							  size_t length);

#endif							/* ENGINE_TOKENIZER_H */
