/*-------------------------------------------------------------------------
 *
 * kv.c
 *	  Keys and values of a sequence, in pages of 16 positions.
 *
 * Fresh pages are zeroed: attention reads whole groups of 16 keys, and the
 * lanes of positions that do not exist yet must not hold what somebody else
 * left there (they never reach a result, but NaN * 0 would).
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "model/kv.h"

#include <inttypes.h>
#include <string.h>

static size_t
round_up_64(size_t bytes)
{
	return (bytes + 63) & ~(size_t) 63;
}

KvLayout
kv_layout(const Hyper *hyper)
{
	KvLayout	layout;
	size_t		lanes = KV_PAGE_POSITIONS;

	layout.type = (KvType) hyper->kv_type;
	layout.n_layers = hyper->n_layers;
	layout.n_kv_heads = hyper->n_kv_heads;
	layout.element = layout.type == KV_F16 ? 2 : 4;
	layout.key_bytes = round_up_64(hyper->key_length * lanes *
								   layout.element);
	layout.value_bytes = round_up_64(hyper->value_length * lanes *
									 layout.element);
	layout.page_bytes = (size_t) layout.n_layers * layout.n_kv_heads *
		(layout.key_bytes + layout.value_bytes);
	return layout;
}

EngineCode
kv_open(KvSequence *sequence, const KvLayout *layout, KvPool *pool,
		int64_t max_positions, EngineArena *arena, EngineStatus *status)
{
	int64_t		max_pages;

	if (max_positions < 1 || max_positions > INT32_MAX)
		return engine_fail(status, ENGINE_INVALID,
						   "a sequence of %" PRId64 " positions is not possible",
						   max_positions);
	max_pages = (max_positions + KV_PAGE_POSITIONS - 1) / KV_PAGE_POSITIONS;

	memset(sequence, 0, sizeof(*sequence));
	sequence->layout = layout;
	sequence->pool = pool;
	sequence->max_pages = (int) max_pages;
	sequence->pages = engine_alloc(arena, max_pages, sizeof(uint8_t *),
								   status);
	return sequence->pages == NULL ? status->code : ENGINE_OK;
}

EngineCode
kv_reserve(KvSequence *sequence, int64_t n, EngineStatus *status)
{
	int64_t		wanted = (n + KV_PAGE_POSITIONS - 1) / KV_PAGE_POSITIONS;

	if (wanted > sequence->max_pages)
		return engine_fail(status, ENGINE_LIMIT,
						   "position %" PRId64 " is beyond the %d positions of this sequence",
						   n - 1, sequence->max_pages * KV_PAGE_POSITIONS);

	while (sequence->n_pages < wanted)
	{
		size_t		bytes = sequence->layout->page_bytes;
		void	   *page = sequence->pool->get(sequence->pool->arg, bytes);

		if (page == NULL)
			return engine_fail(status, ENGINE_NO_MEMORY,
							   "no room for %zu bytes of keys and values",
							   bytes);
		memset(page, 0, bytes);
		sequence->pages[sequence->n_pages++] = page;
	}
	return ENGINE_OK;
}

void
kv_close(KvSequence *sequence)
{
	while (sequence->n_pages > 0)
		sequence->pool->put(sequence->pool->arg,
							sequence->pages[--sequence->n_pages]);
	sequence->n_positions = 0;
}
