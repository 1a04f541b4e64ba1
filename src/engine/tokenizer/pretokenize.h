/*-------------------------------------------------------------------------
 *
 * pretokenize.h
 *	  Splitting text into the words that byte-level BPE merges within; private
 *	  to tokenizer/ and its tests.
 *
 * A model names its way of splitting (tokenizer.ggml.pre); behind a name
 * stand regular expressions in the model's own tokenizer.json.  Each is
 * written here as a scanner that reads the text once.  Several of them apply
 * in sequence: each splits what the earlier ones left, and both its matches
 * and the gaps between them are pieces.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TOKENIZER_PRETOKENIZE_H
#define ENGINE_TOKENIZER_PRETOKENIZE_H

#include "base/status.h"

#define PRETOKENIZE_STAGES 6

/* What a model's name for its pre-tokenizer means */
typedef struct PretokenizerName
{
	const char *name;
	int			group;			/* number of the group, kept in the image */
	uint32_t	flags;			/* TOKENIZER_... of section.h */
} PretokenizerName;

/* NULL: unknown, or one that we cannot split like. */
extern const PretokenizerName *pretokenizer_by_name(const char *name,
													size_t length);

typedef struct ScanStage
{
	size_t		position;
	size_t		end;			/* of the piece that it splits */
	size_t		from;			/* the match ahead: [from, to) */
	size_t		to;
} ScanStage;

typedef struct Pretokenizer
{
	int			group;
	const char *text;
	const EngineHost *host;
	bool		cancelled;		/* by host; the words are wrong then */
	size_t		poll;			/* bytes to walk before host is asked again */
	size_t		skip;			/* see the scanners */
	ScanStage	stages[PRETOKENIZE_STAGES];
} Pretokenizer;

extern void pretokenize_open(Pretokenizer *self, int group, const char *text,
							 size_t length, const EngineHost *host);

/* The next word; false at the end of the text, and when cancelled. */
extern bool pretokenize_next(Pretokenizer *self, size_t *start, size_t *end);

#endif							/* ENGINE_TOKENIZER_PRETOKENIZE_H */
