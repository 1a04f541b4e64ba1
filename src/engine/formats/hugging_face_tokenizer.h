/*-------------------------------------------------------------------------
 *
 * hugging_face_tokenizer.h
 *	  What the files that import a tokenizer share: private to
 *	  formats/hugging_face*.
 *
 * hugging_face_tokenizer.c		files, kinds of models, the whole
 * hugging_face_vocabulary.c	texts, types and scores by id
 * hugging_face_bpe.c			byte-level BPE, and SentencePiece's
 * hugging_face_pieces.c		WordPiece and Unigram
 * hugging_face_pretokenizer.c	names of pre-tokenizers
 * hugging_face_special.c		special ids, what is put around texts, template
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_HUGGING_FACE_TOKENIZER_H
#define ENGINE_HUGGING_FACE_TOKENIZER_H

#include "formats/hugging_face_read.h"

#define HF_PREFIX "tokenizer.ggml."
#define HF_MOST_MERGES (4 * 1024 * 1024)
#define HF_LONGEST_TOKEN 4096	/* bytes of a token's text */
#define HF_WORD_MARK "\xE2\x96\x81" /* U+2581, SentencePiece's space */

/* tokenizer.ggml.token_type */
enum
{
	HF_HOLE = 0,				/* no token has this id */
	HF_NORMAL, HF_UNKNOWN, HF_CONTROL, HF_USER_DEFINED, HF_UNUSED, HF_BYTE
};

typedef struct HfToken
{
	const char *text;			/* NUL-terminated */
	uint32_t	length;
	uint8_t		type;
	float		score;
} HfToken;

typedef struct HfVocabulary
{
	HfModel    *model;
	HfToken    *tokens;			/* n_rows of them */
	int32_t		n_rows;			/* bounds the ids */
	int32_t		n;				/* the highest id + 1 */
	uint32_t   *slots;			/* hash by text: id + 1, 0 empty */
	uint64_t	slot_mask;
	uint32_t	added;			/* tokens, for polling */
} HfVocabulary;

extern EngineCode hf_vocabulary_init(HfVocabulary *self, HfModel *model,
									 int32_t n_rows);

/*
 * A token of the file.  An id that has another text already is
 * ENGINE_CORRUPT, and so is one without a row in the embedding.
 */
extern EngineCode hf_vocabulary_add(HfVocabulary *self, int64_t id,
									const char *text, size_t length,
									uint8_t type);

/* The id of a text, -1: none. */
extern int32_t hf_vocabulary_find(const HfVocabulary *self, const char *text,
								  size_t length);

/* {"text": id, ...}: normal tokens */
extern EngineCode hf_vocabulary_object(HfVocabulary *self,
									   const HfObject *object);

/* How the texts of words are written into the file */
typedef enum HfSpelling
{
	HF_AS_IT_IS,
	HF_WORDPIECE				/* "##x" -> "x", "x" -> U+2581 "x" */
} HfSpelling;

/* tokenizer.ggml.tokens, .token_type and, if asked for, .scores */
extern EngineCode hf_vocabulary_put(const HfVocabulary *self,
									HfSpelling spelling, bool scores,
									GgufWriter *writer);

typedef struct HfTokenizer
{
	HfModel    *model;
	GgufWriter *writer;
	int32_t		n_rows;
	HfObject	file;			/* tokenizer.json, its node NULL: none */
	HfObject	algorithm;		/* its "model" */
	HfObject	config;			/* tokenizer_config.json */
	HfObject	special;		/* special_tokens_map.json */
	HfVocabulary vocabulary;
	const char *mask_text;		/* NULL: there is no mask token */
	bool		lowercase;		/* the normaliser does so */
	const char *normalized;		/* an added token that is looked for in
								 * normalised text, NULL: none */

	/* -1: the model has none */
	int32_t		bos,
				eos,
				unknown,
				separator,
				padding,
				class,
				mask;
	bool		add_bos,
				add_eos,
				add_separator;	/* a second one between two texts */
} HfTokenizer;

/* Steps of a "normalizer", "pre_tokenizer" or "post_processor" */
#define HF_MOST_STEPS 8

typedef struct HfSteps
{
	int			n;
	HfObject	step[HF_MOST_STEPS];
	const char *type[HF_MOST_STEPS];
} HfSteps;

/* A member of tokenizer.json, its Sequence taken apart; n = 0: absent. */
extern EngineCode hf_read_steps(HfTokenizer *self, const char *key,
								const char *list, HfSteps *steps);

/* "... of type "Foo" in tokenizer.json is not supported" */
extern EngineCode hf_step_unsupported(const HfTokenizer *self,
									  const char *what, const char *type);

/* added_tokens */
extern EngineCode hf_read_added_tokens(HfTokenizer *self);

/* The four kinds: check the file and put the keys of their model. */
extern EngineCode hf_put_byte_bpe(HfTokenizer *self);
extern EngineCode hf_put_spm(HfTokenizer *self);
extern EngineCode hf_put_wordpiece(HfTokenizer *self);
extern EngineCode hf_put_unigram(HfTokenizer *self);

/* tokenizer.ggml.pre, from the pre_tokenizer and what goes with it */
extern EngineCode hf_put_pretokenizer(HfTokenizer *self, bool nfc,
									  bool ignore_merges);

/*
 * Special ids and add_ flags; put them, the ends of a generation and the chat
 * template.
 */
extern EngineCode hf_read_specials(HfTokenizer *self);
extern EngineCode hf_put_specials(HfTokenizer *self);

/* The text of a role ("cls_token"), NULL: none. */
extern EngineCode hf_special_text(HfTokenizer *self, const char *role,
								  const char **text);

#endif							/* ENGINE_HUGGING_FACE_TOKENIZER_H */
