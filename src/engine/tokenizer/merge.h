/*-------------------------------------------------------------------------
 *
 * merge.h
 *	  Joining neighbours until no pair is left that may be joined: the inner
 *	  loop of BPE and SPM; private to tokenizer/.
 *
 * The pair of lowest rank is joined first, the leftmost of equals.  Symbols
 * are a doubly linked list in an array; candidate pairs wait in a heap, and
 * those whose symbols have changed meanwhile are dropped when they come up.
 * O(n log n).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TOKENIZER_MERGE_H
#define ENGINE_TOKENIZER_MERGE_H

#include "tokenizer/section.h"

#define MERGE_NONE UINT32_MAX	/* rank of a pair that cannot be joined */
#define MERGE_LONGEST ((size_t) 2 * 1024 * 1024)	/* symbols of a word */

typedef struct Symbol
{
	int32_t		id;				/* -1: its text is no token */
	uint32_t	start;			/* of its text; used by the caller */
	uint32_t	end;
	int32_t		previous;		/* index, -1: none */
	int32_t		next;
	uint32_t	pair_rank;		/* of this symbol and the next */
	int32_t		pair_id;		/* what they join to */
} Symbol;

typedef struct Merger Merger;

/* Rank and result of joining two symbols, or MERGE_NONE. */
typedef uint32_t (*PairRank) (const Merger *merger, const Symbol *left,
							  const Symbol *right, int32_t *merged);

struct Merger
{
	const TokenizerSection *section;
	EngineArena *arena;
	const EngineHost *host;
	EngineStatus *status;
	PairRank	pair_rank;
	const char *text;			/* what start and end of symbols mean */
	Symbol	   *symbols;
	size_t		n;
	size_t		capacity;
	uint64_t   *heap;			/* rank << 32 | index of the left symbol */
	size_t		n_heap;
	size_t		heap_capacity;
};

/*
 * Room for n symbols; what was in it is lost.  most: how many the rest of the
 * text may ask for.  More than MERGE_LONGEST in a word are ENGINE_LIMIT: they
 * need 44 bytes each, and getting memory cannot be interrupted.
 */
extern EngineCode merger_reserve(Merger *merger, size_t n, size_t most);

/*
 * Join the n symbols, whose id, start and end are set.  The first symbol stays
 * at index 0; follow next from there.
 */
extern EngineCode merger_run(Merger *merger);

#endif							/* ENGINE_TOKENIZER_MERGE_H */
