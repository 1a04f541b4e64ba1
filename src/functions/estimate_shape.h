/*-------------------------------------------------------------------------
 *
 * estimate_shape.h
 *	  The shape of a model that need not exist, as llm.estimate() reads it,
 *	  and arithmetic with its numbers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_ESTIMATE_SHAPE_H
#define LLM_ESTIMATE_SHAPE_H

#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

typedef enum ShapeKey
{
	SHAPE_PARAMETERS,
	SHAPE_BITS,					/* of a parameter */
	SHAPE_LAYERS,
	SHAPE_HEADS,
	SHAPE_KV_HEADS,
	SHAPE_EMBEDDING_LENGTH,
	SHAPE_FEED_FORWARD_LENGTH,
	SHAPE_VOCABULARY,
	SHAPE_CONTEXT,				/* tokens */
	SHAPE_BATCH,				/* 1 when not given */
	SHAPE_TRAINING_TOKENS,
	SHAPE_KEYS
} ShapeKey;

/*
 * {key: number, ...} to numbers, NULL where a key is not given.  An unknown
 * key, a value that is no positive number or too large, and heads that do not
 * divide what they should are errors (22023) that say what is allowed.
 */
extern void shape_read(const Jsonb *jsonb, Numeric *shape);

/* Exact arithmetic, without zeros behind the point. */
extern Numeric exact(PGFunction function, Numeric a, Numeric b);

static inline Numeric
whole(int64 value)
{
	return int64_to_numeric(value);
}

static inline Numeric
multiply(Numeric a, Numeric b)
{
	return exact(numeric_mul, a, b);
}

static inline Numeric
add(Numeric a, Numeric b)
{
	return exact(numeric_add, a, b);
}

static inline Numeric
divide(Numeric a, Numeric b)
{
	return exact(numeric_div, a, b);
}

/* A number as a text. */
static inline char *
shown(Numeric value)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out,
											   NumericGetDatum(value)));
}

#endif							/* LLM_ESTIMATE_SHAPE_H */
