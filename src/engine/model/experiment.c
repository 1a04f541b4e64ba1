/*-------------------------------------------------------------------------
 *
 * experiment.c
 *	  Experiments: a forward pass with parts switched off, replaced or pushed.
 *
 * Michel et al., "Are Sixteen Heads Really Better than One?" (2019), for
 * ablation; Meng et al., "Locating and Editing Factual Associations in GPT"
 * (2022), for patching; Turner et al., "Activation Addition" (2023), for
 * steering.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "model/experiment.h"

#include <inttypes.h>
#include <string.h>

/* Where an edit takes place. */
static ProbeStage
edit_stage(const Edit *edit)
{
	switch (edit->kind)
	{
		case EDIT_HEAD:
			return PROBE_HEADS;
		case EDIT_NEURON:
			return PROBE_NEURONS;
		case EDIT_PATCH:
		case EDIT_STEER:
			break;
	}
	return edit->layer < 0 ? PROBE_EMBEDDING : PROBE_BLOCK;
}

static EngineCode
check_number(const char *what, int64_t number, int64_t min, int64_t count,
			 EngineStatus *status)
{
	if (number >= min && number < count)
		return ENGINE_OK;
	engine_fail(status, ENGINE_INVALID, "%s %" PRId64 " does not exist", what,
				number);
	engine_detail(status, "There are %" PRId64 " to %" PRId64 ".", min,
				  count - 1);
	return ENGINE_INVALID;
}

static EngineCode
check_edit(const Hyper *hyper, const Edit *edit, int64_t n_positions,
		   EngineStatus *status)
{
	bool		ablation = edit->kind == EDIT_HEAD ||
		edit->kind == EDIT_NEURON;

	ENGINE_TRY(check_number("layer", edit->layer, ablation ? 0 : -1,
							hyper->n_layers, status));
	if (edit->kind == EDIT_HEAD)
		return check_number("head", edit->place, 0, hyper->n_heads, status);
	if (edit->kind == EDIT_NEURON)
		return check_number("neuron", edit->place, 0,
							hyper->feed_forward_length, status);
	if (edit->kind == EDIT_PATCH)
		ENGINE_TRY(check_number("position", edit->place, 0, n_positions,
								status));
	if (edit->length == hyper->embedding_length)
		return ENGINE_OK;
	engine_fail(status, ENGINE_INVALID, "%s has %" PRId64 " numbers",
				edit->kind == EDIT_PATCH ? "state" : "vector", edit->length);
	engine_detail(status, "The states of the model have %d.",
				  hyper->embedding_length);
	return ENGINE_INVALID;
}

EngineCode
experiment_check(const Hyper *hyper, const Edit *edits, int n_edits,
				 int64_t n_positions, EngineStatus *status)
{
	for (int i = 0; i < n_edits; i++)
		ENGINE_TRY(check_edit(hyper, &edits[i], n_positions, status));
	return ENGINE_OK;
}

/* Columns [first, first + n) of all rows become 0. */
static void
clear_columns(const ProbeEvent *event, int64_t first, int64_t n)
{
	for (int i = 0; i < event->n_rows; i++)
		memset(event->data + (size_t) i * event->stride + first, 0,
			   (size_t) n * sizeof(float));
}

static void
replace_state(const ProbeEvent *event, const Edit *edit)
{
	for (int i = 0; i < event->n_rows; i++)
		if (event->rows[i].position == edit->place)
			memcpy(event->data + (size_t) i * event->stride, edit->vector,
				   (size_t) edit->length * sizeof(float));
}

static void
add_vector(const ProbeEvent *event, const Edit *edit)
{
	for (int i = 0; i < event->n_rows; i++)
	{
		float	   *x = event->data + (size_t) i * event->stride;

		for (int64_t j = 0; j < edit->length; j++)
			x[j] += edit->vector[j];
	}
}

static void
apply(const Hyper *hyper, const Edit *edit, const ProbeEvent *event)
{
	int64_t		width = hyper->value_length;

	switch (edit->kind)
	{
		case EDIT_HEAD:
			clear_columns(event, edit->place * width, width);
			break;
		case EDIT_NEURON:
			clear_columns(event, edit->place, 1);
			break;
		case EDIT_PATCH:
			replace_state(event, edit);
			break;
		case EDIT_STEER:
			add_vector(event, edit);
			break;
	}
}

/* The edits of this place: steering, or everything else. */
static void
apply_all(const Experiment *experiment, const ProbeEvent *event, bool steer)
{
	for (int i = 0; i < experiment->n_edits; i++)
	{
		const Edit *edit = &experiment->edits[i];

		if (edit->layer == event->layer &&
			(edit->kind == EDIT_STEER) == steer &&
			edit_stage(edit) == event->stage)
			apply(experiment->hyper, edit, event);
	}
}

static EngineCode
see_and_edit(void *arg, const ProbeEvent *event, EngineStatus *status)
{
	const Experiment *experiment = arg;
	const Probe *inner = experiment->inner;

	apply_all(experiment, event, false);
	apply_all(experiment, event, true);
	if (inner == NULL || (inner->stages & PROBE_BIT(event->stage)) == 0 ||
		(inner->layer >= 0 && event->layer >= 0 &&
		 inner->layer != event->layer))
		return ENGINE_OK;
	return inner->see(inner->arg, event, status);
}

const Probe *
experiment_open(Experiment *experiment, const Hyper *hyper,
				const Edit *edits, int n_edits, const Probe *inner)
{
	if (n_edits == 0)
		return inner;
	experiment->hyper = hyper;
	experiment->edits = edits;
	experiment->n_edits = n_edits;
	experiment->inner = inner;
	experiment->probe.stages = inner != NULL ? inner->stages : 0;
	for (int i = 0; i < n_edits; i++)
		experiment->probe.stages |= PROBE_BIT(edit_stage(&edits[i]));
	experiment->probe.layer = -1;
	experiment->probe.head = inner != NULL ? inner->head : -1;
	experiment->probe.see = see_and_edit;
	experiment->probe.arg = experiment;
	return &experiment->probe;
}
