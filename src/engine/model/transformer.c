/*-------------------------------------------------------------------------
 *
 * transformer.c
 *	  The forward pass, as the paper draws it.
 *
 * The residual stream that the blocks (block.c) add to starts as the embedding
 * of the token, and ends, normalised once more, at the unembedding, whose
 * scores of all tokens are the logits.
 *
 * In the last block only rows whose logits are asked for go further than
 * their keys and values, unless a probe watches.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "model/pass.h"

#include <inttypes.h>
#include <string.h>

/* Columns of the widest matrix that is multiplied. */
static int64_t
widest_input(const Hyper *hyper)
{
	const int64_t inputs[] = {
		hyper->embedding_length,
		(int64_t) hyper->n_heads * hyper->value_length,
		hyper->feed_forward_length,
		hyper->dense_2_length
	};
	int64_t		widest = 0;

	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++)
		widest = inputs[i] > widest ? inputs[i] : widest;
	return widest;
}

/* The rounded form of the widest input of any product. */
static EngineCode
open_inputs(Activations *inputs, int n_rows, int64_t widest, int bits,
			EngineArena *arena, EngineStatus *status)
{
	size_t		rows = (size_t) n_rows;

	inputs->bits = bits;
	inputs->plane_stride = ((size_t) widest + 63) & ~(size_t) 63;
	inputs->group_stride = ((size_t) (widest + 31) / 32 + 15) & ~(size_t) 15;
	inputs->hi = engine_alloc(arena, rows, inputs->plane_stride, status);
	inputs->lo = engine_alloc(arena, bits == 16 ? rows : 0,
							  inputs->plane_stride, status);
	inputs->d = engine_alloc(arena, rows * inputs->group_stride,
							 sizeof(float), status);
	inputs->sums = engine_alloc(arena, 2 * rows * inputs->group_stride,
								sizeof(int32_t), status);
	if (inputs->hi == NULL || inputs->lo == NULL || inputs->d == NULL ||
		inputs->sums == NULL)
		return status->code;
	return ENGINE_OK;
}

static EngineCode
open_rows(TransformerScratch *s, const Hyper *hyper, const ImageHeader *image,
		  int n_rows, int n_outputs, EngineArena *arena, EngineStatus *status)
{
	int64_t		d = hyper->embedding_length;
	int64_t		q = (int64_t) hyper->n_heads * hyper->key_length;
	int64_t		k = (int64_t) hyper->n_kv_heads * hyper->key_length;
	int64_t		v = (int64_t) hyper->n_kv_heads * hyper->value_length;
	int64_t		heads = (int64_t) hyper->n_heads * hyper->value_length;
	int64_t		ff = hyper->feed_forward_length;
	bool		gated = hyper->feed_forward <= FFN_GELU_ERF_GATED;
	bool		fused = image_layer(image, 0)->attn_qkv.offset != 0;
	bool		local = image->rope_local_frequency != 0;
	const struct
	{
		Rows	   *rows;
		int			n;
		int64_t		columns;
	}			wanted[] = {
		{&s->residual, n_rows, d},
		{&s->normed, n_rows, d},
		{&s->added, n_rows, d},
		{&s->fused, fused ? n_rows : 0, q + k + v},
		{&s->query, n_rows, q},
		{&s->key, n_rows, k},
		{&s->value, n_rows, v},
		{&s->heads, n_rows, heads},
		{&s->gate, gated ? n_rows : 0, ff},
		{&s->up, n_rows, image_layer(image, 0)->ffn_up.n},
		{&s->cosine, n_rows, hyper->n_rot / 2},
		{&s->sine, n_rows, hyper->n_rot / 2},
		{&s->local_cosine, local ? n_rows : 0, hyper->n_rot / 2},
		{&s->local_sine, local ? n_rows : 0, hyper->n_rot / 2},
		{&s->output, n_outputs, d},
		{&s->logits, n_outputs, hyper->vocabulary},
	};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		ENGINE_TRY(rows_alloc(wanted[i].rows, wanted[i].n, wanted[i].columns,
							  arena, status));
	return ENGINE_OK;
}

/* Scratch of an attention task, for each thread */
static EngineCode
open_attention(TransformerScratch *s, const Hyper *hyper, EngineArena *arena,
			   EngineStatus *status)
{
	size_t		floats = attention_scratch(hyper->key_length,
										   hyper->value_length,
										   hyper->n_heads / hyper->n_kv_heads,
										   ATTENTION_QUERIES);

	/* one head's norm borrows it as well */
	if (floats < (size_t) hyper->key_length + 16)
		floats = (size_t) hyper->key_length + 16;
	s->attention_stride = (floats + 15) & ~(size_t) 15;
	s->attention = engine_alloc(arena, team_threads(s->team),
								s->attention_stride * sizeof(float), status);
	return s->attention == NULL ? status->code : ENGINE_OK;
}

EngineCode
transformer_open(Transformer *transformer, const ImageHeader *image,
				 const KernelSet *kernels, int bits, int max_rows,
				 int max_outputs, EngineArena *arena, const EngineHost *host,
				 EngineStatus *status)
{
	const Hyper *hyper = &image->hyper;
	int64_t		widest = widest_input(hyper);
	TransformerScratch *s = engine_alloc(arena, 1, sizeof(*s), status);

	if (s == NULL)
		return status->code;
	transformer->image = image;
	transformer->kernels = kernels;
	transformer->bits = bits;
	transformer->max_rows = max_rows;
	transformer->max_outputs = max_outputs;
	transformer->kv = kv_layout(hyper);
	transformer->scratch = s;
	transformer->host = host;

	s->arena = arena;
	s->team = host == NULL ? NULL : host->team;
	s->rows = engine_alloc(arena, max_rows, sizeof(StepRow), status);
	s->chunks = engine_alloc(arena, max_rows, sizeof(int32_t), status);
	s->logit_rows = engine_alloc(arena, max_outputs, sizeof(float *), status);
	if (s->rows == NULL || s->chunks == NULL || s->logit_rows == NULL)
		return status->code;
	ENGINE_TRY(open_attention(s, hyper, arena, status));
	ENGINE_TRY(open_inputs(&s->inputs, max_rows, widest, bits, arena,
						   status));
	return open_rows(s, hyper, image, max_rows, max_outputs, arena, status);
}

/*
 * Rows come from callers that have checked what users gave them; this is the
 * last fence before indexes are used.
 */
static EngineCode
check_rows(const Pass *pass, const StepRow *rows, int *n_outputs)
{
	const Hyper *hyper = pass->hyper;

	if (!hyper->causal)
		return engine_fail(pass->status, ENGINE_INVALID,
						   "a model that sees the whole text cannot go token "
						   "by token");
	if (pass->n_rows < 1 || pass->n_rows > pass->transformer->max_rows)
		return engine_fail(pass->status, ENGINE_INVALID,
						   "a step of %d rows is not possible", pass->n_rows);
	*n_outputs = 0;
	for (int i = 0; i < pass->n_rows; i++)
	{
		const StepRow *row = &rows[i];

		if (row->token < 0 || row->token >= hyper->vocabulary)
			return engine_fail(pass->status, ENGINE_INVALID,
							   "token id %d is out of range", row->token);
		if (row->position < 0 || row->position >= hyper->context_length)
			return engine_fail(pass->status, ENGINE_LIMIT,
							   "position %" PRId64 " is beyond the model's context of %d",
							   row->position, hyper->context_length);
		if (row->position / KV_PAGE_POSITIONS >=
			pass->sequences[row->sequence]->n_pages)
			return engine_fail(pass->status, ENGINE_INVALID,
							   "position %" PRId64 " has no page",
							   row->position);
		*n_outputs += row->output ? 1 : 0;
	}
	if (*n_outputs > pass->transformer->max_outputs)
		return engine_fail(pass->status, ENGINE_INVALID,
						   "a step with logits of %d rows is not possible",
						   *n_outputs);
	return ENGINE_OK;
}

/* Drop the rows without output; their keys and values are stored. */
static void
narrow_to_outputs(Pass *pass)
{
	TransformerScratch *s = pass->scratch;
	int			kept = 0;

	for (int i = 0; i < pass->n_rows; i++)
	{
		if (!pass->rows[i].output)
			continue;
		if (kept < i)
		{
			pass->rows[kept] = pass->rows[i];
			memcpy(rows_at(&s->residual, kept), rows_at(&s->residual, i),
				   s->residual.stride * sizeof(float));
			memcpy(rows_at(&s->query, kept), rows_at(&s->query, i),
				   s->query.stride * sizeof(float));
		}
		kept++;
	}
	pass->n_rows = kept;
}

static bool
cap_rows(Pass *pass, const RowWork *work, int first, int end, int thread)
{
	(void) thread;
	for (int i = first; i < end; i++)
		pass->kernels->softcap(rows_at(&work->x, i),
							   pass->hyper->final_softcap, work->columns);
	return true;
}

/* The first n rows of s->output, with the final norm, to logits. */
static EngineCode
unembed_normed(Pass *pass, int n)
{
	TransformerScratch *s = pass->scratch;
	const ImageHeader *image = pass->image;
	const Hyper *hyper = pass->hyper;
	int64_t		d = hyper->embedding_length;
	const Product output = {&image->output, &image->output_bias, &s->logits};
	RowWork		cap = {
		.run = cap_rows, .n_rows = n, .x = s->logits,
		.columns = hyper->vocabulary
	};

	ENGINE_TRY(pass_check_finite(pass, &s->output, n, d,
								 "the last residual"));
	ENGINE_TRY(pass_input(pass, &s->output, n, d,
						  matrix_is_quantised(&image->output)));
	ENGINE_TRY(pass_project(pass, &output, 1));
	if (hyper->final_softcap > 0)
		ENGINE_TRY(pass_note(pass, &cap));
	ENGINE_TRY(pass_probe(pass, PROBE_LOGITS, &s->logits, n,
						  hyper->vocabulary));
	ENGINE_TRY(pass_check_finite(pass, &s->logits, n, hyper->vocabulary,
								 "a logit"));
	for (int i = 0; i < n; i++)
		s->logit_rows[i] = rows_at(&s->logits, i);
	return pass_finish(pass);
}

/* Final norm and unembedding of the rows that asked for logits. */
static EngineCode
unembed(Pass *pass)
{
	TransformerScratch *s = pass->scratch;
	const ImageHeader *image = pass->image;
	int			n = 0;

	ENGINE_TRY(pass_finish(pass));
	for (int i = 0; i < pass->n_rows; i++)
		if (pass->rows[i].output)
			memcpy(rows_at(&s->output, n++), rows_at(&s->residual, i),
				   s->output.stride * sizeof(float));
	if (n == 0)
		return ENGINE_OK;

	pass->layer = -1;
	ENGINE_TRY(pass_norm(pass, &s->output, n, &image->output_norm,
						 &image->output_norm_bias, &s->output));
	ENGINE_TRY(pass_probe(pass, PROBE_FINAL_NORM, &s->output, n,
						  pass->hyper->embedding_length));
	return unembed_normed(pass, n);
}

static EngineCode
forward(Pass *pass)
{
	int			n_layers = pass->hyper->n_layers;

	ENGINE_TRY(block_embed(pass));
	if (pass->hyper->n_rot > 0)
		ENGINE_TRY(rope_tables(pass));
	for (pass->layer = 0; pass->layer < n_layers; pass->layer++)
	{
		ENGINE_TRY(block_store(pass));
		if (pass_is_probed(pass, PROBE_ATTENTION))
			for (int head = 0; head < pass->hyper->n_heads; head++)
				ENGINE_TRY(attention_show(pass, head));
		if (pass->layer == n_layers - 1 && pass->probe == NULL)
			narrow_to_outputs(pass);
		if (pass->n_rows > 0)
			ENGINE_TRY(block_attend(pass));
	}
	return unembed(pass);
}

EngineCode
transformer_step(Transformer *transformer, const StepRow *rows, int n_rows,
				 KvSequence *const *sequences, const Probe *probe,
				 float *const **logits, EngineStatus *status)
{
	Pass		pass;
	int			n_outputs;
	uint64_t	saved;
	EngineCode	code;

	pass_open(&pass, transformer, sequences, probe, status);
	pass.rows = transformer->scratch->rows;
	pass.n_rows = n_rows;
	ENGINE_TRY(check_rows(&pass, rows, &n_outputs));

	memcpy(pass.rows, rows, (size_t) n_rows * sizeof(StepRow));
	saved = kernels_enter();
	code = forward(&pass);
	kernels_leave(saved);
	if (code != ENGINE_OK)
		return code;

	for (int i = 0; i < n_rows; i++)
		if (sequences[rows[i].sequence]->n_positions <= rows[i].position)
			sequences[rows[i].sequence]->n_positions = rows[i].position + 1;
	if (logits != NULL)
		*logits = transformer->scratch->logit_rows;
	return ENGINE_OK;
}

EngineCode
transformer_unembed(Transformer *transformer, const float *rows,
					size_t stride, int n_rows, bool normed,
					float *const **logits, EngineStatus *status)
{
	const ImageHeader *image = transformer->image;
	TransformerScratch *s = transformer->scratch;
	Pass		pass;
	uint64_t	saved;
	EngineCode	code;

	if (n_rows < 1 || n_rows > transformer->max_outputs ||
		image->output.offset == 0)
		return engine_fail(status, ENGINE_INVALID,
						   "logits of %d rows are not possible", n_rows);
	pass_open(&pass, transformer, NULL, NULL, status);
	for (int i = 0; i < n_rows; i++)
		memcpy(rows_at(&s->output, i), rows + (size_t) i * stride,
			   (size_t) image->hyper.embedding_length * sizeof(float));
	saved = kernels_enter();
	code = normed ? ENGINE_OK :
		pass_norm(&pass, &s->output, n_rows, &image->output_norm,
				  &image->output_norm_bias, &s->output);
	if (code == ENGINE_OK)
		code = unembed_normed(&pass, n_rows);
	kernels_leave(saved);
	*logits = s->logit_rows;
	return code;
}

EngineCode
transformer_prompt(Transformer *transformer, KvSequence *sequence,
				   const int32_t *ids, int64_t n, const Probe *probe,
				   const float **logits, EngineStatus *status)
{
	StepRow		rows[TRANSFORMER_CHUNK];
	float	   *const *outputs = NULL;
	int			most = transformer->max_rows < TRANSFORMER_CHUNK ?
		transformer->max_rows : TRANSFORMER_CHUNK;

	for (int64_t done = 0; done < n;)
	{
		int			chunk = n - done < most ? (int) (n - done) : most;

		ENGINE_TRY(kv_reserve(sequence, sequence->n_positions + chunk,
							  status));
		for (int i = 0; i < chunk; i++)
		{
			rows[i].token = ids[done + i];
			rows[i].sequence = 0;
			rows[i].type = 0;
			rows[i].position = sequence->n_positions + i;
			rows[i].output = logits != NULL && done + i == n - 1;
		}
		ENGINE_TRY(transformer_step(transformer, rows, chunk, &sequence,
									probe, &outputs, status));
		done += chunk;
	}
	if (logits != NULL)
		*logits = outputs == NULL ? NULL : outputs[0];
	return ENGINE_OK;
}
