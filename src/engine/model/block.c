/*-------------------------------------------------------------------------
 *
 * block.c
 *	  Tokens to vectors, and what every block does with them.
 *
 * A block is: norm, attention, add; norm, feed-forward, add (pre-norm, as in
 * GPT-2 and Llama).  In BERT, as in the paper, the norms stand behind the
 * additions instead (post-norm); Gemma 2 and 3 normalise what a sublayer
 * computed once more before it is added.
 *
 * A block comes in two halves, because an encoder needs the keys and values
 * of a whole text before any row can attend.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "model/pass.h"

/* Add a row of a table that is only looked up. */
static void
add_row(Pass *pass, const ImageMatrix *table, int64_t r, float *x)
{
	float	   *row = pass->scratch->normed.data;	/* not in use yet */

	image_row(pass->image, table, r, row);
	pass->kernels->add(x, row, pass->hyper->embedding_length);
}

/*
 * Token, token type and learned position to vector: the start of the residual
 * stream.
 */
EngineCode
block_embed(Pass *pass)
{
	const ImageHeader *image = pass->image;
	const Hyper *hyper = pass->hyper;
	Rows	   *residual = &pass->scratch->residual;
	int64_t		d = hyper->embedding_length;

	for (int i = 0; i < pass->n_rows; i++)
	{
		float	   *x = rows_at(residual, i);
		const StepRow *row = &pass->rows[i];

		image_row(image, &image->token_embd, row->token, x);
		if (hyper->embedding_scale != 1.0f)
			pass->kernels->scale(x, hyper->embedding_scale, d);
		if (hyper->token_types > 0)
			add_row(pass, &image->token_types,
					row->type < hyper->token_types ? row->type : 0, x);
		if (hyper->learned_positions)
			add_row(pass, &image->position_embd, row->position, x);
	}
	if (image->token_embd_norm.offset != 0)
		pass_norm(pass, residual, pass->n_rows, &image->token_embd_norm,
				  &image->token_embd_norm_bias, residual);
	return pass_probe(pass, PROBE_EMBEDDING, residual, pass->n_rows, d);
}

/*
 * What a sublayer reads: the residual stream after a norm, or as it is.  A
 * probe gets a copy then, as what it changes is for the sublayer alone.
 */
static const Rows *
sublayer_input(Pass *pass, const ImageVector *norm,
			   const ImageVector *norm_bias, ProbeStage stage)
{
	TransformerScratch *s = pass->scratch;

	if (norm->offset == 0 && !pass_is_probed(pass, stage))
		return &s->residual;
	pass_norm(pass, &s->residual, pass->n_rows, norm, norm_bias, &s->normed);
	return &s->normed;
}

/* The first half: queries, keys and values of all rows. */
EngineCode
block_store(Pass *pass)
{
	const ImageLayer *layer = image_layer(pass->image, pass->layer);
	int64_t		d = pass->hyper->embedding_length;
	const Rows *input = sublayer_input(pass, &layer->attn_norm,
									   &layer->attn_norm_bias,
									   PROBE_ATTN_NORM);

	ENGINE_TRY(pass_probe(pass, PROBE_ATTN_NORM, input, pass->n_rows, d));
	ENGINE_TRY(pass_check_finite(pass, input, pass->n_rows, d, "the input"));
	return attention_store(pass, layer, input);
}

/* residual += what a sublayer computed, with a norm on either side */
static EngineCode
add_to_residual(Pass *pass, const ImageVector *norm,
				const ImageVector *norm_bias, ProbeStage added,
				ProbeStage result)
{
	TransformerScratch *s = pass->scratch;
	int64_t		d = pass->hyper->embedding_length;

	if (norm->offset != 0 && !pass->hyper->post_norm)
		pass_norm(pass, &s->added, pass->n_rows, norm, norm_bias, &s->added);
	ENGINE_TRY(pass_probe(pass, added, &s->added, pass->n_rows, d));
	for (int i = 0; i < pass->n_rows; i++)
		pass->kernels->add(rows_at(&s->residual, i), rows_at(&s->added, i),
						   d);
	if (pass->hyper->post_norm)
		pass_norm(pass, &s->residual, pass->n_rows, norm, norm_bias,
				  &s->residual);
	return pass_probe(pass, result, &s->residual, pass->n_rows, d);
}

/* The second half: attention and feed-forward. */
EngineCode
block_attend(Pass *pass)
{
	const ImageLayer *layer = image_layer(pass->image, pass->layer);
	int64_t		d = pass->hyper->embedding_length;
	const Rows *input;

	ENGINE_TRY(attention_attend(pass, layer));
	ENGINE_TRY(add_to_residual(pass, &layer->attn_post_norm,
							   &layer->attn_post_norm_bias, PROBE_ATTN_ADDED,
							   PROBE_MIDDLE));

	input = sublayer_input(pass, &layer->ffn_norm, &layer->ffn_norm_bias,
						   PROBE_FFN_NORM);
	ENGINE_TRY(pass_probe(pass, PROBE_FFN_NORM, input, pass->n_rows, d));
	ENGINE_TRY(pass_check_finite(pass, input, pass->n_rows, d,
								 "the residual stream"));
	ENGINE_TRY(feed_forward(pass, layer, input));
	return add_to_residual(pass, &layer->ffn_post_norm,
						   &layer->ffn_post_norm_bias, PROBE_FFN_ADDED,
						   PROBE_BLOCK);
}
