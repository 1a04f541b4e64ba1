/*-------------------------------------------------------------------------
 *
 * probe.h
 *	  Looking into a forward pass, and changing it.
 *
 * A probe is called with intermediate tensors of the step it is attached to:
 * rows of f32 that it may read and, where the stage allows it, replace in
 * place.  The pass then goes on with what it left.  Stages outside the mask
 * cost one test of a bit; a step without a probe costs nothing.  A probe sees
 * rows of the whole chunk at once, from the thread that entered the engine.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_PROBE_H
#define ENGINE_PROBE_H

#include "base/status.h"

/* A token of a step, and where it stands. */
typedef struct StepRow
{
	int32_t		token;			/* 0 .. vocabulary - 1 */
	int32_t		sequence;		/* index into sequences */
	int64_t		position;		/* pages must be reserved */
	bool		output;			/* compute its logits */
	int32_t		type;			/* token type, 0 but for pairs of texts */
} StepRow;

typedef enum ProbeStage
{
	PROBE_EMBEDDING,			/* [rows][d] residual before the first block */
	PROBE_ATTN_NORM,			/* [rows][d] input of the projections */
	PROBE_QUERY,				/* [rows][n_heads * key_length] after RoPE */
	PROBE_KEY,					/* [rows][n_kv_heads * key_length] as stored */
	PROBE_VALUE,				/* [rows][n_kv_heads * value_length] */
	PROBE_ATTENTION,			/* one query row and head: [2][n_keys]:
								 * scores, then weights; read only.  Keys that
								 * are not seen: -infinity, 0.  A layer's come
								 * by head, then by row. */
	PROBE_HEADS,				/* [rows][n_heads * value_length] before the
								 * output projection */
	PROBE_ATTN_ADDED,			/* [rows][d] what attention adds */
	PROBE_MIDDLE,				/* [rows][d] residual after attention */
	PROBE_FFN_NORM,				/* [rows][d] */
	PROBE_NEURONS,				/* [rows][ff] input of the down projection */
	PROBE_FFN_ADDED,			/* [rows][d] what the feed-forward adds */
	PROBE_BLOCK,				/* [rows][d] residual after the block */
	PROBE_FINAL_NORM,			/* [outputs][d] input of the unembedding */
	PROBE_LOGITS				/* [outputs][vocabulary] */
} ProbeStage;

#define PROBE_BIT(stage) (UINT32_C(1) << (stage))

/*
 * With the stages: only the events are wanted, and encoder_run() ends behind
 * the last of them.  What a pass leaves otherwise, as encoder_hidden(), is not
 * there then.  Steps go on to their end, for the sake of keys and values.
 */
#define PROBE_ENDS_PASS (UINT32_C(1) << 31)

typedef struct ProbeEvent
{
	ProbeStage	stage;
	int			layer;			/* -1 outside the blocks */
	int			head;			/* PROBE_ATTENTION, else -1 */
	int			first_row;		/* row of the step that data[0] belongs to */
	int			n_rows;
	const StepRow *rows;		/* [n_rows] what they are; PROBE_ATTENTION:
								 * the one query; NULL for outputs */
	int64_t		n_columns;
	size_t		stride;			/* floats between rows */
	float	   *data;
} ProbeEvent;

typedef struct Probe
{
	uint32_t	stages;			/* PROBE_BIT()s, PROBE_ENDS_PASS */
	int			layer;			/* only this layer, -1: all */
	int			head;			/* PROBE_ATTENTION: only this head, -1: all */
	EngineCode	(*see) (void *arg, const ProbeEvent *event,
						EngineStatus *status);
	void	   *arg;
} Probe;

#endif							/* ENGINE_PROBE_H */
