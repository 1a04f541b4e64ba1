/*-------------------------------------------------------------------------
 *
 * feed_forward.c
 *	  The position-wise feed-forward network.
 *
 * down(act(gate x) * up x) in gated models (Shazeer, "GLU Variants Improve
 * Transformer", 2020), down(act(up x)) in the original form.  Read as a
 * key-value memory (Geva et al., 2021), rows of gate and up are keys, the
 * activation says how well the input matches them, and columns of down are
 * the values that are added to the residual stream: PROBE_NEURONS sees the
 * activations in between.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "model/pass.h"

#include <string.h>

/* One matrix gave both: [gate, up] of each row becomes gate and up. */
static bool
split_rows(Pass *pass, const RowWork *work, int first, int end, int thread)
{
	size_t		n = (size_t) work->columns;

	(void) pass;
	(void) thread;
	for (int i = first; i < end; i++)
	{
		float	   *up = rows_at(&work->y, i);

		memcpy(rows_at(&work->x, i), up, n * sizeof(float));
		memmove(up, up + n, n * sizeof(float));
	}
	return true;
}

static void
activate(const KernelSet *kernels, FeedForwardKind kind, const float *gate,
		 float *up, int64_t n)
{
	switch (kind)
	{
		case FFN_SILU_GATED:
			kernels->silu(gate, up, up, n);
			break;
		case FFN_GELU_TANH_GATED:
			kernels->gelu_tanh(gate, up, up, n);
			break;
		case FFN_GELU_ERF_GATED:
			kernels->gelu_erf(gate, up, up, n);
			break;
		case FFN_GELU_TANH:
			kernels->gelu_tanh(up, NULL, up, n);
			break;
		case FFN_GELU_ERF:
			kernels->gelu_erf(up, NULL, up, n);
			break;
	}
}

static bool
activate_rows(Pass *pass, const RowWork *work, int first, int end, int thread)
{
	(void) thread;
	for (int i = first; i < end; i++)
		activate(pass->kernels, (FeedForwardKind) pass->hyper->feed_forward,
				 rows_at(&work->x, i), rows_at(&work->y, i), work->columns);
	return true;
}

/* up = what the activations of the hidden layer are */
static EngineCode
neurons(Pass *pass, const ImageLayer *layer)
{
	TransformerScratch *scratch = pass->scratch;
	RowWork		work = {
		.n_rows = pass->n_rows, .x = scratch->gate, .y = scratch->up,
		.columns = pass->hyper->feed_forward_length
	};

	if (layer->ffn_up.n > work.columns)
	{
		work.run = split_rows;
		ENGINE_TRY(pass_note(pass, &work));
	}
	work.run = activate_rows;
	return pass_note(pass, &work);
}

EngineCode
feed_forward(Pass *pass, const ImageLayer *layer, const Rows *input)
{
	TransformerScratch *scratch = pass->scratch;
	int64_t		width = pass->hyper->feed_forward_length;
	bool		quantise = matrix_is_quantised(&layer->ffn_gate) ||
		matrix_is_quantised(&layer->ffn_up);
	bool		gated = layer->ffn_gate.offset != 0;
	const Product up[] = {
		{&layer->ffn_up, &layer->ffn_up_bias, &scratch->up},
		{&layer->ffn_gate, &layer->ffn_gate_bias, &scratch->gate}
	};
	const Product down = {
		&layer->ffn_down, &layer->ffn_down_bias, &scratch->added
	};

	ENGINE_TRY(pass_input(pass, input, pass->n_rows,
						  pass->hyper->embedding_length, quantise));
	ENGINE_TRY(pass_project(pass, up, gated ? 2 : 1));
	ENGINE_TRY(neurons(pass, layer));
	ENGINE_TRY(pass_probe(pass, PROBE_NEURONS, &scratch->up, pass->n_rows,
						  width));
	ENGINE_TRY(pass_check_finite(pass, &scratch->up, pass->n_rows, width,
								 "an activation of the feed-forward network"));

	ENGINE_TRY(pass_input(pass, &scratch->up, pass->n_rows, width,
						  matrix_is_quantised(&layer->ffn_down)));
	return pass_project(pass, &down, 1);
}
