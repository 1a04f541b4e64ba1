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
add_row(Pass *pass, const ImageMatrix *table, int64_t r, float *x, float *room)
{
	image_row(pass->image, table, r, room);
	pass->kernels->add(x, room, pass->hyper->embedding_length);
}

static bool
embed_rows(Pass *pass, const RowWork *work, int first, int end, int thread)
{
	const ImageHeader *image = pass->image;
	const Hyper *hyper = pass->hyper;

	(void) thread;
	for (int i = first; i < end; i++)
	{
		const StepRow *row = &pass->rows[i];
		float	   *x = rows_at(&work->x, i);
		float	   *room = rows_at(&work->y, i);

		image_row(image, &image->token_embd, row->token, x);
		if (hyper->embedding_scale != 1.0f)
			pass->kernels->scale(x, hyper->embedding_scale,
								 hyper->embedding_length);
		if (hyper->token_types > 0)
			add_row(pass, &image->token_types,
					row->type < hyper->token_types ? row->type : 0, x, room);
		if (hyper->learned_positions)
			add_row(pass, &image->position_embd, row->position, x, room);
	}
	return true;
}

/*
 * Token, token type and learned position to vector: the start of the residual
 * stream.
 */
EngineCode
block_embed(Pass *pass)
{
	const ImageHeader *image = pass->image;
	Rows	   *residual = &pass->scratch->residual;
	int			n = pass->n_rows;
	RowWork		work = {
		.run = embed_rows, .n_rows = n, .x = *residual,
		.y = pass->scratch->normed
	};

	ENGINE_TRY(pass_note(pass, &work));
	if (image->token_embd_norm.offset != 0)
		ENGINE_TRY(pass_norm(pass, residual, n, &image->token_embd_norm,
							 &image->token_embd_norm_bias, residual));
	return pass_probe(pass, PROBE_EMBEDDING, residual, n,
					  pass->hyper->embedding_length);
}

/*
 * What a sublayer reads: the residual stream after a norm, or as it is.  A
 * probe gets a copy then, as what it changes is for the sublayer alone.
 */
static EngineCode
sublayer_input(Pass *pass, const ImageVector *norm,
			   const ImageVector *norm_bias, ProbeStage stage,
			   const char *what, const Rows **input)
{
	TransformerScratch *s = pass->scratch;
	int64_t		d = pass->hyper->embedding_length;

	*input = &s->residual;
	if (norm->offset != 0 || pass_is_probed(pass, stage))
	{
		*input = &s->normed;
		ENGINE_TRY(pass_norm(pass, &s->residual, pass->n_rows, norm,
							 norm_bias, &s->normed));
	}
	ENGINE_TRY(pass_probe(pass, stage, *input, pass->n_rows, d));
	return pass_check_finite(pass, *input, pass->n_rows, d, what);
}

/* The first half: queries, keys and values of all rows. */
EngineCode
block_store(Pass *pass)
{
	const ImageLayer *layer = image_layer(pass->image, pass->layer);
	const Rows *input;

	ENGINE_TRY(sublayer_input(pass, &layer->attn_norm, &layer->attn_norm_bias,
							  PROBE_ATTN_NORM, "the input", &input));
	return attention_store(pass, layer, input);
}

static bool
add_rows(Pass *pass, const RowWork *work, int first, int end, int thread)
{
	(void) thread;
	for (int i = first; i < end; i++)
		pass->kernels->add(rows_at(&work->x, i), rows_at(&work->y, i),
						   work->columns);
	return true;
}

/* residual += what a sublayer computed, with a norm on either side */
static EngineCode
add_to_residual(Pass *pass, const ImageVector *norm,
				const ImageVector *norm_bias, ProbeStage added,
				ProbeStage result)
{
	TransformerScratch *s = pass->scratch;
	int64_t		d = pass->hyper->embedding_length;
	int			n = pass->n_rows;
	RowWork		work = {
		.run = add_rows, .n_rows = n, .x = s->residual, .y = s->added,
		.columns = d
	};

	if (norm->offset != 0 && !pass->hyper->post_norm)
		ENGINE_TRY(pass_norm(pass, &s->added, n, norm, norm_bias, &s->added));
	ENGINE_TRY(pass_probe(pass, added, &s->added, n, d));
	ENGINE_TRY(pass_note(pass, &work));
	if (pass->hyper->post_norm)
		ENGINE_TRY(pass_norm(pass, &s->residual, n, norm, norm_bias,
							 &s->residual));
	return pass_probe(pass, result, &s->residual, n, d);
}

/* The second half: attention and feed-forward. */
EngineCode
block_attend(Pass *pass)
{
	const ImageLayer *layer = image_layer(pass->image, pass->layer);
	const Rows *input;

	ENGINE_TRY(attention_attend(pass, layer));
	ENGINE_TRY(add_to_residual(pass, &layer->attn_post_norm,
							   &layer->attn_post_norm_bias, PROBE_ATTN_ADDED,
							   PROBE_MIDDLE));

	ENGINE_TRY(sublayer_input(pass, &layer->ffn_norm, &layer->ffn_norm_bias,
							  PROBE_FFN_NORM, "the residual stream", &input));
	ENGINE_TRY(feed_forward(pass, layer, input));
	return add_to_residual(pass, &layer->ffn_post_norm,
						   &layer->ffn_post_norm_bias, PROBE_FFN_ADDED,
						   PROBE_BLOCK);
}
