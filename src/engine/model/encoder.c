/*-------------------------------------------------------------------------
 *
 * encoder.c
 *	  Whole texts through the transformer, one block after the other.
 *
 * The residual stream and the queries of all rows are kept; everything else
 * is scratch for a chunk of rows at a time.  Keys and values lie in pages of
 * one layer, which the next layer writes over.  Pages and sequences are those
 * of kv.h, so attention is the very same code as that of generation.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "model/pass.h"
#include "model/pooling.h"

#include <inttypes.h>

static EngineCode
open_scratch(Encoder *encoder, EngineArena *arena, EngineStatus *status)
{
	const Hyper *hyper = &encoder->transformer.image->hyper;
	int			n = (int) encoder->max_rows;
	EncoderScratch *s = engine_alloc(arena, 1, sizeof(*s), status);

	if (s == NULL)
		return status->code;
	encoder->scratch = s;
	s->arena = arena;
	s->rows = engine_alloc(arena, n, sizeof(StepRow), status);
	s->first = engine_alloc(arena, n + 1, sizeof(int64_t), status);
	s->sequences = engine_alloc(arena, n, sizeof(KvSequence), status);
	s->pointers = engine_alloc(arena, n, sizeof(KvSequence *), status);
	s->pages = engine_alloc(arena, n, sizeof(uint8_t *), status);
	if (s->rows == NULL || s->first == NULL || s->sequences == NULL ||
		s->pointers == NULL || s->pages == NULL)
		return status->code;
	ENGINE_TRY(rows_alloc(&s->residual, n, hyper->embedding_length, arena,
						  status));
	ENGINE_TRY(rows_alloc(&s->query, n, (int64_t) hyper->n_heads *
						  hyper->key_length, arena, status));
	return pooling_open(&s->pooling, hyper, arena, status);
}

EngineCode
encoder_open(Encoder *encoder, const ImageHeader *image,
			 const KernelSet *kernels, int bits, int64_t max_rows,
			 EngineArena *arena, const EngineHost *host, EngineStatus *status)
{
	return encoder_open_outputs(encoder, image, kernels, bits, max_rows, 0,
								arena, host, status);
}

EngineCode
encoder_open_outputs(Encoder *encoder, const ImageHeader *image,
					 const KernelSet *kernels, int bits, int64_t max_rows,
					 int max_outputs, EngineArena *arena,
					 const EngineHost *host, EngineStatus *status)
{
	Transformer *transformer = &encoder->transformer;
	int			chunk = max_rows < TRANSFORMER_CHUNK ? (int) max_rows :
		TRANSFORMER_CHUNK;

	if (max_rows < 1 || max_rows > INT32_MAX / 2)
		return engine_fail(status, ENGINE_INVALID,
						   "a pass of %" PRId64 " rows is not possible",
						   max_rows);
	if (chunk < max_outputs)
		chunk = max_outputs;
	ENGINE_TRY(transformer_open(transformer, image, kernels, bits, chunk,
								max_outputs, arena, host, status));
	transformer->kv.page_bytes /= (size_t) transformer->kv.n_layers;
	transformer->kv.n_layers = 1;
	encoder->max_rows = max_rows;
	return open_scratch(encoder, arena, status);
}

/* Pages for n positions of a text; pages that were used before come first. */
static EngineCode
take_pages(Encoder *encoder, KvSequence *sequence, int64_t n, int *used,
		   EngineStatus *status)
{
	EncoderScratch *s = encoder->scratch;
	int			wanted = (int) ((n + KV_PAGE_POSITIONS - 1) /
								KV_PAGE_POSITIONS);

	while (s->n_pages < *used + wanted)
	{
		uint8_t    *page = engine_alloc(s->arena, 1,
										encoder->transformer.kv.page_bytes,
										status);

		if (page == NULL)
			return status->code;
		s->pages[s->n_pages++] = page;
	}
	sequence->layout = &encoder->transformer.kv;
	sequence->n_pages = sequence->max_pages = wanted;
	sequence->pages = s->pages + *used;
	sequence->n_positions = n;
	*used += wanted;
	return ENGINE_OK;
}

static EngineCode
add_text(Encoder *encoder, int number, const EncoderText *text,
		 int64_t first, int *pages, EngineStatus *status)
{
	const Hyper *hyper = &encoder->transformer.image->hyper;
	EncoderScratch *s = encoder->scratch;

	if (text->n < 1 || text->n > hyper->context_length)
		return engine_fail(status, ENGINE_LIMIT,
						   "a text of %" PRId64 " tokens does not fit the "
						   "model's context of %d", text->n,
						   hyper->context_length);
	if (text->n > encoder->max_rows - first)
		return engine_fail(status, ENGINE_INVALID,
						   "a pass of more than %" PRId64 " rows is not "
						   "possible", encoder->max_rows);
	for (int64_t i = 0; i < text->n; i++)
	{
		StepRow    *row = &s->rows[first + i];

		if (text->ids[i] < 0 || text->ids[i] >= hyper->vocabulary)
			return engine_fail(status, ENGINE_INVALID,
							   "token id %d is out of range", text->ids[i]);
		row->token = text->ids[i];
		row->sequence = number;
		row->type = i >= text->second;
		row->position = i;
		row->output = false;
	}
	s->pointers[number] = &s->sequences[number];
	s->first[number] = first;
	return take_pages(encoder, &s->sequences[number], text->n, pages, status);
}

/* Let pass work on rows [first, first + n). */
static void
view_rows(Pass *pass, const EncoderScratch *s, int64_t first, int64_t end)
{
	int64_t		n = end - first;
	TransformerScratch *scratch = pass->scratch;

	if (n > pass->transformer->max_rows)
		n = pass->transformer->max_rows;
	pass->rows = s->rows + first;
	pass->n_rows = (int) n;
	pass->first_row = (int) first;
	scratch->residual.data = rows_at(&s->residual, (int) first);
	scratch->query.data = rows_at(&s->query, (int) first);
}

static EngineCode
finish_rows(Pass *pass)
{
	const ImageHeader *image = pass->image;
	Rows	   *residual = &pass->scratch->residual;
	int64_t		d = pass->hyper->embedding_length;

	if (image->output_norm.offset != 0)
		ENGINE_TRY(pass_norm(pass, residual, pass->n_rows,
							 &image->output_norm, &image->output_norm_bias,
							 residual));
	ENGINE_TRY(pass_probe(pass, PROBE_FINAL_NORM, residual, pass->n_rows, d));
	return pass_check_finite(pass, residual, pass->n_rows, d,
							 "a hidden state");
}

/* Something that is done with all rows, chunk by chunk. */
static EngineCode
each_chunk(Pass *pass, const EncoderScratch *s, int64_t n,
		   EngineCode (*work) (Pass *pass))
{
	for (int64_t first = 0; first < n; first += pass->n_rows)
	{
		view_rows(pass, s, first, n);
		ENGINE_TRY(work(pass));
		ENGINE_TRY(pass_finish(pass));
	}
	return ENGINE_OK;
}

static EngineCode
store_rows(Pass *pass)
{
	if (pass->hyper->n_rot > 0)
		ENGINE_TRY(rope_tables(pass));
	return block_store(pass);
}

/* By head, then by row, whatever the chunks are. */
static EngineCode
show_attention(Pass *pass, const EncoderScratch *s, int64_t n)
{
	if (!pass_is_probed(pass, PROBE_ATTENTION))
		return ENGINE_OK;
	for (int head = 0; head < pass->hyper->n_heads; head++)
		for (int64_t first = 0; first < n; first += pass->n_rows)
		{
			view_rows(pass, s, first, n);
			ENGINE_TRY(attention_show(pass, head));
		}
	return ENGINE_OK;
}

static EngineCode
encode(Pass *pass, const EncoderScratch *s, int64_t n)
{
	ENGINE_TRY(each_chunk(pass, s, n, block_embed));
	if (pass_has_shown_all(pass, PROBE_EMBEDDING))
		return ENGINE_OK;
	for (int layer = 0; layer < pass->hyper->n_layers; layer++)
	{
		pass->layer = layer;
		ENGINE_TRY(each_chunk(pass, s, n, store_rows));
		ENGINE_TRY(show_attention(pass, s, n));
		if (pass_has_shown_all(pass, PROBE_ATTENTION))
			return ENGINE_OK;
		ENGINE_TRY(each_chunk(pass, s, n, block_attend));
		if (pass_has_shown_all(pass, PROBE_BLOCK))
			return ENGINE_OK;
	}
	pass->layer = -1;
	return each_chunk(pass, s, n, finish_rows);
}

EngineCode
encoder_run(Encoder *encoder, const EncoderText *texts, int n_texts,
			const Probe *probe, EngineStatus *status)
{
	EncoderScratch *s = encoder->scratch;
	TransformerScratch *scratch = encoder->transformer.scratch;
	Rows		residual = scratch->residual;
	Rows		query = scratch->query;
	int64_t		n = 0;
	int			pages = 0;
	Pass		pass;
	uint64_t	saved;
	EngineCode	code;

	for (int i = 0; i < n_texts; i++)
	{
		ENGINE_TRY(add_text(encoder, i, &texts[i], n, &pages, status));
		n += texts[i].n;
	}
	s->n_texts = n_texts;
	s->first[n_texts] = n;

	pass_open(&pass, &encoder->transformer, s->pointers, probe, status);
	saved = kernels_enter();
	code = encode(&pass, s, n);
	kernels_leave(saved);
	scratch->residual = residual;
	scratch->query = query;
	return code;
}

const float *
encoder_hidden(const Encoder *encoder, int text, int64_t position)
{
	const EncoderScratch *s = encoder->scratch;

	return rows_at(&s->residual, (int) (s->first[text] + position));
}
