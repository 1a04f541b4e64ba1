/*-------------------------------------------------------------------------
 *
 * pooling.h
 *	  What encoder.c and pooling.c share: private to model/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_POOLING_H
#define ENGINE_POOLING_H

#include "model/encoder.h"
#include "model/pass.h"

/* Room for the vector of one text: [1][widest of d and the heads]. */
typedef struct PoolingScratch
{
	Rows		vector;
	Rows		next;
} PoolingScratch;

typedef struct EncoderScratch
{
	EngineArena *arena;
	StepRow    *rows;			/* [max_rows] */
	int64_t    *first;			/* [n_texts + 1]: first row of each text */
	int			n_texts;
	KvSequence *sequences;		/* of each text */
	KvSequence **pointers;		/* to them */
	uint8_t   **pages;			/* of one layer, made as they are needed */
	int			n_pages;
	Rows		residual;		/* [max_rows][d] */
	Rows		query;			/* [max_rows][n_heads * key_length] */
	PoolingScratch pooling;
} EncoderScratch;

extern EngineCode pooling_open(PoolingScratch *scratch, const Hyper *hyper,
							   EngineArena *arena, EngineStatus *status);

#endif							/* ENGINE_POOLING_H */
