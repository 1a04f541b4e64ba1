/*-------------------------------------------------------------------------
 *
 * sequence.c
 *	  One sequence of a batch: its memory and its pages.
 *
 * The leading pages of a sequence form a chain that others can find: each is
 * claimed or published behind the one before it.  A page joins the chain
 * before it is computed, when its 16 tokens are known by then (prompts), or
 * when it is full (output).  If somebody else has published the same page
 * meanwhile, that one is taken and the own one given up: the bits are the same.
 * If somebody else is only computing it, the chain ends here, and the rest of
 * the sequence stays private.
 *
 * The last pending token is always computed, because its logits are wanted: a
 * page that holds it is never taken over.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "batch/sequence.h"

#include <inttypes.h>
#include <string.h>

static EngineCode
copy_stops(BatchSequence *sequence, const BatchRequest *request,
		   EngineStatus *status)
{
	StopText   *stops = engine_alloc(&sequence->arena, request->n_stops,
									 sizeof(StopText), status);

	if (stops == NULL)
		return status->code;
	for (int i = 0; i < request->n_stops; i++)
	{
		stops[i].length = request->stops[i].length;
		stops[i].text = engine_strndup(&sequence->arena,
									   request->stops[i].text,
									   request->stops[i].length, status);
		if (stops[i].text == NULL)
			return status->code;
	}
	sequence->n_stops = request->n_stops;
	return text_stream_open(&sequence->stream, &sequence->batch->tokenizer,
							false, stops, request->n_stops, &sequence->arena,
							status);
}

/* The options of the request over the scratch of the batch. */
static EngineCode
open_sampler(BatchSequence *sequence, const BatchRequest *request,
			 EngineStatus *status)
{
	SamplerOptions options = request->sampler;
	size_t		n_bias = (size_t) request->sampler.n_bias;
	LogitBias  *bias = engine_alloc(&sequence->arena, n_bias,
									sizeof(LogitBias), status);

	if (bias == NULL)
		return status->code;
	if (n_bias > 0)
		memcpy(bias, request->sampler.bias, n_bias * sizeof(LogitBias));
	options.bias = bias;
	sampler_borrow(&sequence->sampler, &sequence->batch->sampler, &options);
	return ENGINE_OK;
}

static EngineCode
fill(BatchSequence *sequence, const BatchRequest *request,
	 EngineStatus *status)
{
	EngineArena *arena = &sequence->arena;
	size_t		bytes = (size_t) request->n_history * sizeof(int32_t);

	sequence->history = engine_alloc_raw(arena, request->max_history,
										 sizeof(int32_t), status);
	if (sequence->history == NULL)
		return status->code;
	memcpy(sequence->history, request->history, bytes);
	ENGINE_TRY(kv_open(&sequence->kv, &sequence->batch->transformer.kv, NULL,
					   request->max_history - 1, arena, status));
	sequence->pages = engine_alloc(arena, sequence->kv.max_pages,
								   sizeof(int32_t), status);
	if (sequence->pages == NULL)
		return status->code;
	ENGINE_TRY(open_sampler(sequence, request, status));
	if (request->n_stops > 0)
		ENGINE_TRY(copy_stops(sequence, request, status));
	return ENGINE_OK;
}

/* What was generated before may hold the beginning of a stop text. */
static EngineCode
replay(BatchSequence *sequence, EngineStatus *status)
{
	for (int64_t i = sequence->n_prompt;
		 i < sequence->n_history && sequence->n_stops > 0; i++)
		ENGINE_TRY(text_stream_add(&sequence->stream, sequence->history[i],
								   status));
	return ENGINE_OK;
}

EngineCode
sequence_open(Batch *batch, const BatchRequest *request,
			  BatchSequence **result, EngineStatus *status)
{
	EngineArena arena;
	BatchSequence *sequence;
	EngineCode	code;

	engine_arena_init(&arena, batch->allocator, 0);
	sequence = engine_alloc(&arena, 1, sizeof(*sequence), status);
	if (sequence == NULL)
		return status->code;
	sequence->arena = arena;
	sequence->batch = batch;
	sequence->owner = request->owner;
	sequence->n_prompt = request->n_prompt;
	sequence->n_history = request->n_history;
	sequence->max_history = request->max_history;
	sequence->credit = request->credit;
	sequence->top = request->top;
	sequence->share = request->share;
	sequence->scope = request->scope;
	sequence->group = request->group;
	sequence->order = request->order;
	code = fill(sequence, request, status);
	if (code == ENGINE_OK)
		code = replay(sequence, status);
	if (code != ENGINE_OK)
	{
		sequence_close(sequence);
		return code;
	}
	*result = sequence;
	return ENGINE_OK;
}

void
sequence_close(BatchSequence *sequence)
{
	EngineArena arena = sequence->arena;

	sequence_release(sequence);
	engine_arena_free(&arena);
}

/*
 * Pages
 */

static void
add_page(BatchSequence *sequence, int32_t page)
{
	sequence->pages[sequence->kv.n_pages] = page;
	sequence->kv.pages[sequence->kv.n_pages] =
		page_address(sequence->batch->pool, page);
	sequence->kv.n_pages++;
}

static int32_t
parent_of(const BatchSequence *sequence, int page)
{
	return page == 0 ? NO_PAGE : sequence->pages[page - 1];
}

static const int32_t *
tokens_of(const BatchSequence *sequence, int page)
{
	return sequence->history + (int64_t) page * KV_PAGE_POSITIONS;
}

static int32_t
find_page(const BatchSequence *sequence, int page)
{
	return page_find(sequence->batch->pool, &sequence->scope,
					 parent_of(sequence, page), tokens_of(sequence, page));
}

static void
claim_page(BatchSequence *sequence, int page)
{
	page_claim(sequence->batch->pool, sequence->pages[page],
			   &sequence->scope, parent_of(sequence, page),
			   tokens_of(sequence, page));
	sequence->chain++;
}

PrefixState
sequence_find_prefix(BatchSequence *sequence)
{
	PagePool   *pool = sequence->batch->pool;

	/* only behind pages that are known themselves, and full */
	while (sequence->share && sequence->chain == sequence->kv.n_pages &&
		   sequence->kv.n_positions ==
		   (int64_t) sequence->kv.n_pages * KV_PAGE_POSITIONS &&
		   sequence_pending(sequence) > KV_PAGE_POSITIONS)
	{
		int32_t		page = find_page(sequence, sequence->kv.n_pages);

		if (page == NO_PAGE)
			return PREFIX_NONE;
		if (!page_is_published(pool, page))
			return PREFIX_CLAIMED;
		page_keep(pool, page);
		add_page(sequence, page);
		sequence->chain++;
		sequence->kv.n_positions += KV_PAGE_POSITIONS;
		if (sequence->generated == 0 && !sequence->preempted)
			sequence->cached += KV_PAGE_POSITIONS;
	}
	return PREFIX_NONE;
}

bool
sequence_reserve(BatchSequence *sequence, int64_t n)
{
	PagePool   *pool = sequence->batch->pool;
	int64_t		end = sequence->kv.n_positions + n;

	while ((int64_t) sequence->kv.n_pages * KV_PAGE_POSITIONS < end)
	{
		int			number = sequence->kv.n_pages;
		int32_t		page = page_take(pool);

		if (page == NO_PAGE)
			return false;
		add_page(sequence, page);
		if (sequence->share && sequence->chain == number &&
			(int64_t) (number + 1) * KV_PAGE_POSITIONS <=
			sequence->n_history && find_page(sequence, number) == NO_PAGE)
			claim_page(sequence, number);
	}
	return true;
}

/* The page is full; it is not part of the chain yet. */
static void
join_chain(BatchSequence *sequence, int number)
{
	PagePool   *pool = sequence->batch->pool;
	int32_t		own = sequence->pages[number];
	int32_t		other = find_page(sequence, number);

	if (other == NO_PAGE)
	{
		claim_page(sequence, number);
		page_publish(pool, own);
	}
	else if (page_is_published(pool, other))
	{
		page_keep(pool, other);
		page_release(pool, own);
		sequence->pages[number] = other;
		sequence->kv.pages[number] = page_address(pool, other);
		sequence->chain++;
	}
}

void
sequence_publish(BatchSequence *sequence)
{
	PagePool   *pool = sequence->batch->pool;
	int			n_full = (int) (sequence->kv.n_positions /
								KV_PAGE_POSITIONS);

	if (!sequence->share)
		return;

	/* claimed before: they are the last ones of the chain */
	for (int i = n_full < sequence->chain ? n_full : sequence->chain;
		 i > 0 && !page_is_published(pool, sequence->pages[i - 1]); i--)
		page_publish(pool, sequence->pages[i - 1]);

	for (int i = sequence->chain; i < n_full; i++)
	{
		join_chain(sequence, i);
		if (sequence->chain == i)
			return;
	}
}

void
sequence_release(BatchSequence *sequence)
{
	while (sequence->kv.n_pages > 0)
		page_release(sequence->batch->pool,
					 sequence->pages[--sequence->kv.n_pages]);
	sequence->kv.n_positions = 0;
	sequence->chain = 0;
	sequence->begun = false;
}
