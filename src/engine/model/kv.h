/*-------------------------------------------------------------------------
 *
 * kv.h
 *	  Keys and values of a sequence, in pages of 16 positions.
 *
 * A page holds all layers: for layer l and kv head h, keys as
 * [key_length][16] and values as [16][value_length], f16 or f32.  Pages come
 * from a KvPool of the host: a backend's own memory, or a worker's slabs.
 * Several sequences may share full pages (prefix reuse); pages are written
 * only by the sequence that reserved them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_KV_H
#define ENGINE_KV_H

#include "base/arena.h"
#include "model/image.h"

typedef struct KvLayout
{
	KvType		type;
	int			n_layers;
	int			n_kv_heads;
	size_t		element;		/* bytes of one number */
	size_t		key_bytes;		/* [key_length][16], multiple of 64 */
	size_t		value_bytes;	/* [16][value_length], multiple of 64 */
	size_t		page_bytes;		/* all layers and heads */
} KvLayout;

extern KvLayout kv_layout(const Hyper *hyper);

/* Bytes from the start of a page; values follow at + layout->key_bytes. */
static inline size_t
kv_key_offset(const KvLayout *layout, int layer, int kv_head)
{
	return ((size_t) layer * layout->n_kv_heads + kv_head) *
		(layout->key_bytes + layout->value_bytes);
}

/* get returns a 64-byte aligned page or NULL; put gives it back. */
typedef struct KvPool
{
	void	   *(*get) (void *arg, size_t page_bytes);
	void		(*put) (void *arg, void *page);
	void	   *arg;
} KvPool;

typedef struct KvSequence
{
	const KvLayout *layout;
	KvPool	   *pool;
	int			n_pages;
	int			max_pages;		/* room in pages[] */
	uint8_t   **pages;			/* in the arena handed to kv_open */
	int64_t		n_positions;	/* computed so far */
} KvSequence;

/* A sequence of at most max_positions. */
extern EngineCode kv_open(KvSequence *sequence, const KvLayout *layout,
						  KvPool *pool, int64_t max_positions,
						  EngineArena *arena, EngineStatus *status);

/* Make sure that positions 0 .. n-1 have pages; ENGINE_NO_MEMORY when not. */
extern EngineCode kv_reserve(KvSequence *sequence, int64_t n,
							 EngineStatus *status);

/* Give all pages back. */
extern void kv_close(KvSequence *sequence);

#endif							/* ENGINE_KV_H */
