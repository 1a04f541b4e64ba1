/*-------------------------------------------------------------------------
 *
 * experiment.h
 *	  Experiments: a forward pass with parts switched off, replaced or pushed.
 *
 * Ablation, activation patching and steering are edits of what a probe sees.
 * An experiment is such a probe; it may stand around another one, which then
 * sees what the edits left.  Edits go by the position of a row in its
 * sequence, never by its place in a step: chunks and batches do not matter.
 *
 * In one place patches come before steering, and of two patches of one
 * position the later one stays.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_EXPERIMENT_H
#define ENGINE_EXPERIMENT_H

#include "model/image.h"
#include "model/probe.h"

typedef enum EditKind
{
	EDIT_HEAD,					/* the output of a head becomes 0 */
	EDIT_NEURON,				/* the activation of a neuron becomes 0 */
	EDIT_PATCH,					/* the residual of a position becomes vector */
	EDIT_STEER					/* vector is added to every residual */
} EditKind;

typedef struct Edit
{
	EditKind	kind;
	int32_t		layer;			/* residuals: that after this block, -1: the
								 * embedding */
	int32_t		place;			/* head, neuron, or position of a patch */
	int64_t		length;			/* of vector, else 0 */
	const float *vector;		/* finite; not copied */
} Edit;

typedef struct Experiment
{
	const Hyper *hyper;
	const Edit *edits;
	int			n_edits;
	const Probe *inner;			/* NULL: none */
	Probe		probe;
} Experiment;

/*
 * Do the edits fit a model, and a text of n_positions tokens?  ENGINE_INVALID
 * says what exists.
 */
extern EngineCode experiment_check(const Hyper *hyper, const Edit *edits,
								   int n_edits, int64_t n_positions,
								   EngineStatus *status);

/*
 * The probe of edits that experiment_check() found good, around inner (or
 * NULL): inner itself when there are no edits.  Edits, inner and experiment
 * stay the caller's, until the last pass with the probe.
 */
extern const Probe *experiment_open(Experiment *experiment,
									const Hyper *hyper, const Edit *edits,
									int n_edits, const Probe *inner);

#endif							/* ENGINE_EXPERIMENT_H */
