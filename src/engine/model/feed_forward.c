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
static void
split_gate(Pass *pass)
{
	size_t		n = (size_t) pass->hyper->feed_forward_length;

	for (int i = 0; i < pass->n_rows; i++)
	{
		float	   *up = rows_at(&pass->scratch->up, i);

		memcpy(rows_at(&pass->scratch->gate, i), up, n * sizeof(float));
		memmove(up, up + n, n * sizeof(float));
	}
}

static void
activate(Pass *pass)
{
	const KernelSet *kernels = pass->kernels;
	int64_t		n = pass->hyper->feed_forward_length;

	for (int i = 0; i < pass->n_rows; i++)
	{
		float	   *gate = rows_at(&pass->scratch->gate, i);
		float	   *up = rows_at(&pass->scratch->up, i);

		switch ((FeedForwardKind) pass->hyper->feed_forward)
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
}

EngineCode
feed_forward(Pass *pass, const ImageLayer *layer, const Rows *input)
{
	TransformerScratch *scratch = pass->scratch;
	int64_t		width = pass->hyper->feed_forward_length;
	bool		quantise = matrix_is_quantised(&layer->ffn_gate) ||
		matrix_is_quantised(&layer->ffn_up);

	ENGINE_TRY(pass_input(pass, input, pass->n_rows,
						  pass->hyper->embedding_length, quantise));
	if (layer->ffn_gate.offset != 0)
		ENGINE_TRY(pass_project(pass, &layer->ffn_gate,
								&layer->ffn_gate_bias, &scratch->gate));
	ENGINE_TRY(pass_project(pass, &layer->ffn_up, &layer->ffn_up_bias,
							&scratch->up));
	if (layer->ffn_up.n > width)
		split_gate(pass);
	activate(pass);
	ENGINE_TRY(pass_probe(pass, PROBE_NEURONS, &scratch->up, pass->n_rows,
						  width));
	ENGINE_TRY(pass_check_finite(pass, &scratch->up, pass->n_rows, width,
								 "an activation of the feed-forward network"));

	ENGINE_TRY(pass_input(pass, &scratch->up, pass->n_rows, width,
						  matrix_is_quantised(&layer->ffn_down)));
	return pass_project(pass, &layer->ffn_down, &layer->ffn_down_bias,
						&scratch->added);
}
