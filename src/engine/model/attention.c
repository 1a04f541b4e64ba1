/*-------------------------------------------------------------------------
 *
 * attention.c
 *	  Multi-head attention: softmax(Q K^T / sqrt(d)) V.
 *
 * Vaswani et al., "Attention Is All You Need" (2017).  Every head compares
 * its query with the keys of all positions that the row may see, turns the
 * scaled scores into weights that sum to 1, and adds up the values with
 * these weights; the output projection mixes the heads.  Query heads may
 * share a kv head (grouped-query attention, Ainslie et al., 2023).
 *
 * Keys and values go into the sequence's pages first, and every query, also
 * one of the same step, reads what is stored there.  So a row gives the same
 * bits alone, in a chunk and in a batch.  An encoder, whose rows see the whole
 * text, has stored all of it before, in pages of one layer that serve all.
 * The arithmetic itself is KernelSet.attention(); its order of operations
 * stands in DESIGN.md.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "model/pass.h"

#include <string.h>

/* Queries of a task that are worth reading its keys */
#define ATTENTION_LEAST 16

/* One matrix gave all: [q, k, v] of each row to their places. */
static bool
split_rows(Pass *pass, const RowWork *work, int first, int end, int thread)
{
	TransformerScratch *scratch = pass->scratch;
	const Hyper *hyper = pass->hyper;
	size_t		q_width = (size_t) hyper->n_heads * hyper->key_length;
	size_t		k_width = (size_t) hyper->n_kv_heads * hyper->key_length;
	size_t		v_width = (size_t) hyper->n_kv_heads * hyper->value_length;

	(void) thread;
	for (int i = first; i < end; i++)
	{
		const float *fused = rows_at(&work->x, i);

		memcpy(rows_at(&scratch->query, i), fused, q_width * sizeof(float));
		memcpy(rows_at(&scratch->key, i), fused + q_width,
			   k_width * sizeof(float));
		memcpy(rows_at(&scratch->value, i), fused + q_width + k_width,
			   v_width * sizeof(float));
	}
	return true;
}

/* Q, K, V of all rows, from one fused matrix or from three. */
static EngineCode
project(Pass *pass, const ImageLayer *layer, const Rows *input)
{
	TransformerScratch *scratch = pass->scratch;
	const Product fused = {
		&layer->attn_qkv, &layer->attn_qkv_bias, &scratch->fused
	};
	const Product separate[] = {
		{&layer->attn_q, &layer->attn_q_bias, &scratch->query},
		{&layer->attn_k, &layer->attn_k_bias, &scratch->key},
		{&layer->attn_v, &layer->attn_v_bias, &scratch->value}
	};
	RowWork		split = {
		.run = split_rows, .n_rows = pass->n_rows, .x = scratch->fused
	};

	ENGINE_TRY(pass_input(pass, input, pass->n_rows,
						  pass->hyper->embedding_length,
						  matrix_is_quantised(&layer->attn_qkv) ||
						  matrix_is_quantised(&layer->attn_q) ||
						  matrix_is_quantised(&layer->attn_k) ||
						  matrix_is_quantised(&layer->attn_v)));
	if (layer->attn_qkv.offset == 0)
		return pass_project(pass, separate, 3);

	ENGINE_TRY(pass_project(pass, &fused, 1));
	return pass_note(pass, &split);
}

/* Of each thread */
static float *
task_scratch(const TransformerScratch *scratch, int thread)
{
	return scratch->attention + (size_t) thread * scratch->attention_stride;
}

/* Per-head norm (Qwen3) and rotation of n_heads vectors of one row. */
static void
norm_and_rotate(Pass *pass, float *x, int n_heads, const ImageVector *norm,
				int row, int thread)
{
	const Hyper *hyper = pass->hyper;
	TransformerScratch *scratch = pass->scratch;
	const float *weight = image_vector(pass->image, norm);
	float	   *head_norm = task_scratch(scratch, thread);
	bool		local = layer_rotates_locally(hyper, pass->layer);
	const Rows *cosine = local ? &scratch->local_cosine : &scratch->cosine;
	const Rows *sine = local ? &scratch->local_sine : &scratch->sine;

	for (int h = 0; h < n_heads; h++, x += hyper->key_length)
	{
		if (weight != NULL)
		{
			/* kernels want aligned rows; heads of odd sizes are not */
			memcpy(head_norm, x, hyper->key_length * sizeof(float));
			pass->kernels->rms_norm(head_norm, weight, hyper->norm_epsilon,
									head_norm, hyper->key_length);
			memcpy(x, head_norm, hyper->key_length * sizeof(float));
		}
		if (hyper->n_rot > 0)
			pass->kernels->rope(x, rows_at(cosine, row), rows_at(sine, row),
								hyper->n_rot,
								(RopeLayout) hyper->rope_layout);
	}
}

static bool
rotate_rows(Pass *pass, const RowWork *work, int first, int end, int thread)
{
	const Hyper *hyper = pass->hyper;
	const ImageLayer *layer = work->image_layer;

	for (int i = first; i < end; i++)
	{
		norm_and_rotate(pass, rows_at(&work->x, i), hyper->n_heads,
						&layer->attn_q_norm, i, thread);
		norm_and_rotate(pass, rows_at(&work->y, i), hyper->n_kv_heads,
						&layer->attn_k_norm, i, thread);
	}
	return true;
}

/*
 * Keys and values of rows first .. first + n - 1, which share a page.  Head by
 * head, so that what is written stays in the first-level cache.
 */
static void
store_page(Pass *pass, int first, int n)
{
	const Hyper *hyper = pass->hyper;
	const KvLayout *kv = &pass->transformer->kv;
	int64_t		position = pass->rows[first].position;
	KvSequence *sequence = pass->sequences[pass->rows[first].sequence];
	uint8_t    *page = sequence->pages[position / KV_PAGE_POSITIONS];

	for (int h = 0; h < hyper->n_kv_heads; h++)
	{
		uint8_t    *k_page = page + kv_key_offset(kv, pass->layer %
												  kv->n_layers, h);

		for (int row = first; row < first + n; row++)
			pass->kernels->kv_store(kv->type,
									rows_at(&pass->scratch->key, row) +
									(size_t) h * hyper->key_length,
									hyper->key_length,
									rows_at(&pass->scratch->value, row) +
									(size_t) h * hyper->value_length,
									hyper->value_length,
									(int) (pass->rows[row].position %
										   KV_PAGE_POSITIONS),
									k_page, k_page + kv->key_bytes);
	}
}

/* Rows from first on that stand one after the other in one sequence. */
static int
rows_together(const Pass *pass, int first, int most)
{
	int			n = 1;

	while (n < most && first + n < pass->n_rows &&
		   pass->rows[first + n].sequence == pass->rows[first].sequence &&
		   pass->rows[first + n].position ==
		   pass->rows[first].position + n)
		n++;
	return n;
}

static bool
store_rows(Pass *pass, const RowWork *work, int first, int end, int thread)
{
	int			n;

	(void) work;
	(void) thread;
	for (; first < end; first += n)
	{
		int			room = KV_PAGE_POSITIONS -
			(int) (pass->rows[first].position % KV_PAGE_POSITIONS);

		n = rows_together(pass, first, room < end - first ? room :
						  end - first);
		store_page(pass, first, n);
	}
	return true;
}

/*
 * The first half of attention: queries, keys and values of all rows, and the
 * latter two into the pages.
 */
EngineCode
attention_store(Pass *pass, const ImageLayer *layer, const Rows *input)
{
	TransformerScratch *scratch = pass->scratch;
	const Hyper *hyper = pass->hyper;
	int64_t		q_width = (int64_t) hyper->n_heads * hyper->key_length;
	int64_t		k_width = (int64_t) hyper->n_kv_heads * hyper->key_length;
	int64_t		v_width = (int64_t) hyper->n_kv_heads * hyper->value_length;
	int			n = pass->n_rows;
	RowWork		work = {
		.n_rows = n, .x = scratch->query, .y = scratch->key,
		.image_layer = layer
	};

	ENGINE_TRY(project(pass, layer, input));
	work.run = rotate_rows;
	ENGINE_TRY(pass_note(pass, &work));
	ENGINE_TRY(pass_probe(pass, PROBE_QUERY, &scratch->query, n, q_width));
	ENGINE_TRY(pass_probe(pass, PROBE_KEY, &scratch->key, n, k_width));
	ENGINE_TRY(pass_probe(pass, PROBE_VALUE, &scratch->value, n, v_width));
	ENGINE_TRY(pass_check_finite(pass, &scratch->query, n, q_width,
								 "a query"));
	ENGINE_TRY(pass_check_finite(pass, &scratch->key, n, k_width, "a key"));
	ENGINE_TRY(pass_check_finite(pass, &scratch->value, n, v_width,
								 "a value"));
	work.run = store_rows;
	ENGINE_TRY(pass_note(pass, &work));
	return pass_finish(pass);
}

static AttentionTask
make_task(Pass *pass, int first, int n_queries, int kv_head, int thread)
{
	const Hyper *hyper = pass->hyper;
	TransformerScratch *scratch = pass->scratch;
	const KvLayout *kv = &pass->transformer->kv;
	int			group = hyper->n_heads / hyper->n_kv_heads;
	KvSequence *sequence = pass->sequences[pass->rows[first].sequence];
	AttentionTask task;

	memset(&task, 0, sizeof(task));
	task.type = kv->type;
	task.head_dim = hyper->key_length;
	task.value_dim = hyper->value_length;
	task.group = group;
	task.pages = (const uint8_t *const *) sequence->pages;
	task.k_offset = kv_key_offset(kv, pass->layer % kv->n_layers, kv_head);
	task.v_offset = task.k_offset + kv->key_bytes;
	task.first_position = pass->rows[first].position;
	task.n_keys = hyper->causal ? task.first_position + n_queries :
		sequence->n_positions;
	task.n_queries = n_queries;
	task.q = rows_at(&scratch->query, first) +
		(size_t) kv_head * group * hyper->key_length;
	task.q_stride = scratch->query.stride;
	task.out = rows_at(&scratch->heads, first) +
		(size_t) kv_head * group * hyper->value_length;
	task.out_stride = scratch->heads.stride;
	task.scale = hyper->attention_scale;
	task.softcap = hyper->attention_softcap;
	task.causal = hyper->causal != 0;
	task.window = layer_window(hyper, pass->layer);
	task.scratch = task_scratch(scratch, thread);
	return task;
}

/* Scores and weights of one head and all rows of a task, for the probe. */
static EngineCode
show_task(Pass *pass, const AttentionTask *task, int first, int head)
{
	TransformerScratch *scratch = pass->scratch;
	int64_t		stride = (task->n_keys + 15) & ~(int64_t) 15;
	ProbeEvent	event;

	if (stride > scratch->score_keys)
	{
		scratch->score_keys = 2 * stride;
		scratch->scores = engine_alloc(scratch->arena, 2 * 2 * stride,
									   sizeof(float), pass->status);
		if (scratch->scores == NULL)
		{
			scratch->score_keys = 0;
			return pass->status->code;
		}
	}
	event.stage = PROBE_ATTENTION;
	event.layer = pass->layer;
	event.head = head;
	event.n_rows = 2;
	event.n_columns = task->n_keys;
	event.stride = stride;
	event.data = scratch->scores;
	for (int i = 0; i < task->n_queries; i++)
	{
		event.first_row = pass->first_row + first + i;
		event.rows = &pass->rows[first + i];
		pass->kernels->attention_row(task, i, head % task->group,
									 scratch->scores,
									 scratch->scores + stride);
		ENGINE_TRY(pass->probe->see(pass->probe->arg, &event, pass->status));
	}
	return ENGINE_OK;
}

EngineCode
attention_show(Pass *pass, int head)
{
	const Hyper *hyper = pass->hyper;
	int			group = hyper->n_heads / hyper->n_kv_heads;

	if (pass->probe->head >= 0 && pass->probe->head != head)
		return ENGINE_OK;
	for (int first = 0, n; first < pass->n_rows; first += n)
	{
		AttentionTask task;

		n = rows_together(pass, first, ATTENTION_QUERIES);
		task = make_task(pass, first, n, head / group, 0);
		if (engine_interrupted(pass->transformer->host))
			return engine_cancelled(pass->status);
		ENGINE_TRY(show_task(pass, &task, first, head));
	}
	return ENGINE_OK;
}

/*
 * A task is one kv head for up to so many neighbouring queries; the later
 * ones, which see more keys, come first, so that threads end together.
 */
typedef struct AttentionItems
{
	Pass	   *pass;
	int			queries;
	int			n_chunks;		/* first rows of queries: scratch->chunks */
} AttentionItems;

static void
attend_item(void *arg, int64_t item, int thread)
{
	const AttentionItems *items = arg;
	Pass	   *pass = items->pass;
	int			n_kv_heads = pass->hyper->n_kv_heads;
	int			chunk = items->n_chunks - 1 - (int) (item / n_kv_heads);
	int			first = pass->scratch->chunks[chunk];
	AttentionTask task = make_task(pass, first,
								   rows_together(pass, first, items->queries),
								   (int) (item % n_kv_heads), thread);

	pass->kernels->attention(&task);
}

/* Every row attends, with every head. */
static EngineCode
attend(Pass *pass)
{
	int			threads = team_threads(pass->scratch->team);
	int64_t		n_kv_heads = pass->hyper->n_kv_heads;
	AttentionItems items = {pass, ATTENTION_QUERIES, 0};

	/* shorter chunks read the keys more often, but share out better */
	while (threads > 1 && items.queries > ATTENTION_LEAST &&
		   pass->n_rows * n_kv_heads < 4 * threads * items.queries)
		items.queries /= 2;
	for (int first = 0; first < pass->n_rows;
		 first += rows_together(pass, first, items.queries))
		pass->scratch->chunks[items.n_chunks++] = first;
	return pass_run(pass, items.n_chunks * n_kv_heads, attend_item, &items);
}

/*
 * The second half: every row attends, and the output projection mixes the
 * heads into added.
 */
EngineCode
attention_attend(Pass *pass, const ImageLayer *layer)
{
	TransformerScratch *scratch = pass->scratch;
	const Hyper *hyper = pass->hyper;
	int64_t		width = (int64_t) hyper->n_heads * hyper->value_length;
	const Product output = {
		&layer->attn_output, &layer->attn_output_bias, &scratch->added
	};

	ENGINE_TRY(attend(pass));
	ENGINE_TRY(pass_probe(pass, PROBE_HEADS, &scratch->heads, pass->n_rows,
						  width));
	ENGINE_TRY(pass_check_finite(pass, &scratch->heads, pass->n_rows, width,
								 "the output of an attention head"));

	ENGINE_TRY(pass_input(pass, &scratch->heads, pass->n_rows, width,
						  matrix_is_quantised(&layer->attn_output)));
	return pass_project(pass, &output, 1);
}
