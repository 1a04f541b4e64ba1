/*-------------------------------------------------------------------------
 *
 * attention_simd.h
 *	  attention_reference.c on sixteen lanes; included by attention_*.c.
 *
 * A row here is one query head of one query: rows of all queries and heads
 * go together over a block of 64 keys, so that keys and values are converted
 * to f32 once for all of them.  With few rows (generation) they are converted
 * in registers, straight from the pages.
 *
 * Keys are lanes for the scores, columns are lanes for the values; both are
 * products of tile.h.  A row's operations and their order are those of the
 * reference whatever stands beside it:  ranges of keys that only some rows of
 * a tile see are added row by row.
 *
 * Within a task, first and last visible key never decrease from query to
 * query; hence the rows that see a block are consecutive.
 *
 *-------------------------------------------------------------------------
 */
#include "kernels/attention.h"
#include "kernels/mathf_lanes.h"
#include "kernels/tile.h"

#define BLOCK_PAGES (ATTENTION_BLOCK / KV_PAGE_POSITIONS)

/* Up to so many rows read the pages themselves. */
#define DIRECT_ROWS TILE_ROWS

/* Some queries of a task, with scratch; rows = queries * group. */
typedef struct Walk
{
	const AttentionTask *task;
	int			first_query;
	int			n_rows;
	KeyRange	keys[ATTENTION_QUERIES];	/* visible, by query */
	size_t		key_stride;		/* head_dim, padded */
	size_t		value_stride;	/* value_dim, padded */
	bool		direct;			/* pages are not converted first */
	bool		direct_keys;	/* at least their keys are not: f32 */

	float	   *k;				/* [BLOCK_PAGES][head_dim][16] converted */
	float	   *v;				/* [64][value_stride] converted */
	const float *q;				/* [n_rows][q_stride] */
	size_t		q_stride;
	float	   *p;				/* [n_rows][64] scores, then exp(s - m) */
	float	   *o;				/* [n_rows][value_stride] of the segment */
	float	   *sum_o;			/* [n_rows][value_stride] of all before */
	float	   *m,				/* [n_rows] each */
			   *l,
			   *sum_m,
			   *sum_l,
			   *c,				/* exp(old m - new m) */
			   *finite;			/* 0, or NaN after a bad score */
	int32_t    *query;			/* [n_rows] row / group: division is slow */
} Walk;

/* Tiles start from what is there. */
static const float unit_start[TILE_ROWS] = {1, 1, 1, 1, 1, 1};

static size_t
padded(int n)
{
	return ((size_t) n + LANES - 1) / LANES * LANES;
}

static KeyRange
row_keys(const Walk *walk, int row)
{
	return walk->keys[walk->query[row]];
}

/* The keys of a row in a block that starts at first */
static KeyRange
block_keys(const Walk *walk, int row, int64_t first)
{
	return keys_within(row_keys(walk, row), first, ATTENTION_BLOCK);
}

/* Bring the queries of all heads together in q, unless they are already. */
static void
gather_queries(Walk *walk, float *q)
{
	const AttentionTask *task = walk->task;
	const float *from = task->q + walk->first_query * task->q_stride;

	walk->q = from;
	walk->q_stride = task->q_stride;
	if (task->group == 1)
		return;
	walk->q = q;
	walk->q_stride = walk->key_stride;
	for (int row = 0; row < walk->n_rows; row++)
		memcpy(q + row * walk->key_stride,
			   from + walk->query[row] * task->q_stride +
			   (size_t) (row % task->group) * task->head_dim,
			   task->head_dim * sizeof(float));
}

/* Lay scratch out. */
static void
walk_begin(Walk *walk, const AttentionTask *task, int first_query,
		   int n_queries)
{
	size_t		rows = (size_t) n_queries * task->group;
	size_t		state = (rows + LANES - 1) / LANES * LANES;
	float	   *next = task->scratch;
	float	   *q;

	walk->task = task;
	walk->first_query = first_query;
	walk->n_rows = (int) rows;
	walk->key_stride = padded(task->head_dim);
	walk->value_stride = padded(task->value_dim);
	walk->direct = rows <= DIRECT_ROWS &&
		(size_t) task->value_dim == walk->value_stride;
	walk->direct_keys = walk->direct || task->type == KV_F32;
	walk->k = next;
	walk->v = next += ATTENTION_BLOCK * walk->key_stride;
	q = next += ATTENTION_BLOCK * walk->value_stride;
	walk->p = next += rows * walk->key_stride;
	walk->o = next += rows * ATTENTION_BLOCK;
	walk->sum_o = next += rows * walk->value_stride;
	walk->m = next += rows * walk->value_stride;
	walk->l = next += state;
	walk->sum_m = next += state;
	walk->sum_l = next += state;
	walk->c = next += state;
	walk->finite = next += state;
	walk->query = (int32_t *) (next + state);

	memset(walk->finite, 0, state * sizeof(float));
	for (int i = 0; i < n_queries; i++)
	{
		walk->keys[i] = visible_keys(task, first_query + i);
		for (int g = 0; g < task->group; g++)
			walk->query[i * task->group + g] = i;
	}
	gather_queries(walk, q);
}

/* n numbers of a page to f32; out has room for whole lanes. */
static void
convert(KvType type, const uint8_t *from, float *out, int64_t n)
{
	int64_t		i = 0;

	if (type == KV_F32)
	{
		memcpy(out, from, n * sizeof(float));
		return;
	}
	for (; i + LANES <= n; i += LANES)
		lanes_store(out + i, lanes_load_f16((const uint16_t *) from + i));
	if (i < n)
		lanes_store(out + i, lanes_load_f16_n((const uint16_t *) from + i,
											  (int) (n - i)));
}

/* The pages of a block that hold keys of these rows: [begin, end) of 0 .. 4 */
typedef struct PageRange
{
	int			begin;
	int			end;
} PageRange;

static PageRange
visible_pages(const Walk *walk, int row, int n_rows, int64_t first)
{
	int64_t		begin = block_keys(walk, row, first).begin - first;
	int64_t		end = block_keys(walk, row + n_rows - 1, first).end - first;
	PageRange	pages = {(int) (begin / KV_PAGE_POSITIONS),
	(int) ((end + KV_PAGE_POSITIONS - 1) / KV_PAGE_POSITIONS)};

	return pages;
}

static const uint8_t *
block_page(const Walk *walk, int64_t first, int page)
{
	return walk->task->pages[first / KV_PAGE_POSITIONS + page];
}

/* Convert what rows row .. row + n_rows - 1 see of a block. */
static void
convert_block(const Walk *walk, int row, int n_rows, int64_t first)
{
	const AttentionTask *task = walk->task;
	size_t		element = task->type == KV_F32 ? sizeof(float) :
		sizeof(uint16_t);
	PageRange	pages = visible_pages(walk, row, n_rows, first);
	int64_t		begin = block_keys(walk, row, first).begin - first;
	int64_t		end = block_keys(walk, row + n_rows - 1, first).end - first;

	for (int page = pages.begin; page < pages.end && !walk->direct_keys;
		 page++)
	{
		size_t		n = (size_t) task->head_dim * KV_PAGE_POSITIONS;

		convert(task->type, block_page(walk, first, page) + task->k_offset,
				walk->k + page * n, n);
	}
	for (int64_t j = begin; j < end; j++)
	{
		const uint8_t *from = block_page(walk, first,
										 (int) (j / KV_PAGE_POSITIONS)) +
			task->v_offset;

		convert(task->type,
				from + j % KV_PAGE_POSITIONS * task->value_dim * element,
				walk->v + j * walk->value_stride, task->value_dim);
	}
}

static TileType
page_type(const Walk *walk)
{
	return walk->direct && walk->task->type == KV_F16 ? TILE_F16 : TILE_F32;
}

static size_t
page_element_bytes(const Walk *walk)
{
	return page_type(walk) == TILE_F16 ? sizeof(uint16_t) : sizeof(float);
}

/* The keys of a page of the block, in the form that tiles read */
static const uint8_t *
page_keys(const Walk *walk, int64_t first, int page)
{
	if (walk->direct_keys)
		return block_page(walk, first, page) + walk->task->k_offset;
	return (const uint8_t *) (walk->k + (size_t) page *
							  walk->task->head_dim * KV_PAGE_POSITIONS);
}

/*
 * What comes one block later, to be prefetched, as generation reads all keys
 * and values of a sequence from memory once.  Converted blocks were fetched
 * by the conversion.
 */
static const uint8_t *
page_ahead(const Walk *walk, int64_t first, int page)
{
	int64_t		next = first + ATTENTION_BLOCK + page * KV_PAGE_POSITIONS;

	if (next < row_keys(walk, 0).end)
		first += ATTENTION_BLOCK;
	return block_page(walk, first, page);
}

static const uint8_t *
keys_ahead(const Walk *walk, int64_t first, int page)
{
	if (!walk->direct)
		return page_keys(walk, first, page);
	return page_ahead(walk, first, page) + walk->task->k_offset;
}

/* Products of queries and keys: p[row][key] for the pages that are seen */
static void
tile_scores(const Walk *walk, int row, int n_rows, int64_t first)
{
	PageRange	pages = visible_pages(walk, row, n_rows, first);
	Tile		tile = {.type = page_type(walk)};

	tile.w_step = KV_PAGE_POSITIONS * page_element_bytes(walk);
	tile.x = walk->q + row * walk->q_stride;
	tile.x_stride = walk->q_stride;
	tile.k = walk->task->head_dim;
	tile.out_stride = ATTENTION_BLOCK;
	while (pages.begin < pages.end)
	{
		int			n = TILE_PANELS(n_rows) < BLOCK_PAGES ?
			TILE_PANELS(n_rows) : BLOCK_PAGES;

		while (n > pages.end - pages.begin)
			n /= 2;
		for (int i = 0; i < n; i++)
		{
			tile.w[i] = page_keys(walk, first, pages.begin + i);
			tile.ahead[i] = keys_ahead(walk, first, pages.begin + i);
		}
		tile.out = walk->p + row * ATTENTION_BLOCK +
			pages.begin * KV_PAGE_POSITIONS;
		KERNEL(tile) (&tile, n_rows, n);
		pages.begin += n;
	}
}

/*
 * Scale, softcap and ALiBi of one row's scores; keys that it does not see get
 * -inf.
 */
LANES_INLINE void
finish_scores(const Walk *walk, int row, int64_t first, Lanes s[BLOCK_PAGES])
{
	const AttentionTask *task = walk->task;
	KeyRange	keys = block_keys(walk, row, first);
	int			begin = (int) (keys.begin - first);
	int			end = (int) (keys.end - first);
	int64_t		position = task->first_position + walk->first_query +
		walk->query[row];
	const float *p = walk->p + (size_t) row * ATTENTION_BLOCK;
	Lanes		finite = lanes_zero();

#pragma GCC unroll 4
	for (int i = 0; i < BLOCK_PAGES; i++)
	{
		s[i] = lanes_mul(lanes_load(p + i * LANES), lanes_set(task->scale));
		if (task->softcap > 0.0f)
			s[i] = lanes_mul(lanes_set(task->softcap),
							 lanes_tanh(lanes_div(s[i],
												  lanes_set(task->softcap))));
		if (task->slopes != NULL)
		{
			Lanes		slope = lanes_set(task->slopes[row % task->group]);
			Lanes		distance = lanes_distance((int32_t) (first + i * LANES -
															 position));

			s[i] = lanes_sub(s[i], lanes_mul(slope, distance));
		}
	}

	/* infinity or NaN times 0 is NaN */
	if (begin == 0 && end == ATTENTION_BLOCK)
	{
#pragma GCC unroll 4
		for (int i = 0; i < BLOCK_PAGES; i++)
			finite = lanes_fma(s[i], lanes_zero(), finite);
	}
	else
	{
#pragma GCC unroll 4
		for (int i = 0; i < BLOCK_PAGES; i++)
		{
			LaneMask	seen = lane_range(begin - i * LANES, end - i * LANES);

			finite = lanes_fma(lanes_select(seen, s[i], lanes_zero()),
							   lanes_zero(), finite);
			s[i] = lanes_select(seen, s[i], lanes_set(-F32_INFINITY));
		}
	}
	if (lane_bits(lanes_is_nan(finite)) != 0)
		walk->finite[row] = ATTENTION_POISON;
}

/*
 * From scores to exp(s - m); returns their Sum16, and m, which was
 * walk->m[row], in *m.
 */
static float
softmax_row(const Walk *walk, int row, int64_t first, float *m)
{
	float	   *p = walk->p + (size_t) row * ATTENTION_BLOCK;
	Lanes		s[BLOCK_PAGES];
	Lanes		max = lanes_set(walk->m[row]);
	Lanes		sum = lanes_zero();

	finish_scores(walk, row, first, s);
#pragma GCC unroll 4
	for (int i = 0; i < BLOCK_PAGES; i++)
		max = lanes_max(s[i], max);
	*m = lanes_largest(max);
	max = lanes_set(*m);
#pragma GCC unroll 4
	for (int i = 0; i < BLOCK_PAGES; i++)
	{
		s[i] = lanes_exp_not_positive(lanes_sub(s[i], max));
		lanes_store(p + i * LANES, s[i]);
		sum = lanes_add(sum, s[i]);
	}
	return lanes_sum(sum);
}

/* The softmax of a tile's rows, with their running m, l and c */
static void
tile_softmax(const Walk *walk, int row, int n_rows, int64_t first)
{
	float		m[LANES] = {0};
	float		sum[LANES] = {0};
	Lanes		new_m;
	Lanes		c;

	for (int r = 0; r < n_rows; r++)
		sum[r] = softmax_row(walk, row + r, first, &m[r]);
	new_m = lanes_load(m);
	c = lanes_exp_not_positive(lanes_sub(lanes_load_n(walk->m + row, n_rows),
										 new_m));
	lanes_store_n(walk->c + row, c, n_rows);
	lanes_store_n(walk->l + row,
				  lanes_fma(lanes_load_n(walk->l + row, n_rows), c,
							lanes_load(sum)), n_rows);
	lanes_store_n(walk->m + row, new_m, n_rows);
}

/*
 * Values: o[row] = o[row] * start[row], then fma(p, v, o) over the keys
 * begin .. end - 1 of the block, for one tile of rows that see all of them.
 */
static void
add_values(const Walk *walk, int row, int n_rows, int64_t first, int begin,
		   int end, const float *start)
{
	const AttentionTask *task = walk->task;
	size_t		element = page_element_bytes(walk);
	Tile		tile = {.type = page_type(walk)};

	tile.x_stride = ATTENTION_BLOCK;
	tile.out_stride = walk->value_stride;
	tile.start = start;
	tile.w_step = (walk->direct ? (size_t) task->value_dim :
				   walk->value_stride) * element;
	do
	{
		/* converted values lie in one piece, others in pages */
		int			page = begin / KV_PAGE_POSITIONS;
		int			until = walk->direct ? (page + 1) * KV_PAGE_POSITIONS :
			ATTENTION_BLOCK;
		const uint8_t *v = (const uint8_t *) walk->v +
			(size_t) begin * tile.w_step;
		const uint8_t *ahead = v;

		until = until < end ? until : end;
		if (walk->direct)
		{
			size_t		at = task->v_offset +
				(size_t) (begin % KV_PAGE_POSITIONS) * tile.w_step;

			v = block_page(walk, first, page) + at;
			ahead = page_ahead(walk, first, page) + at;
		}
		tile.x = walk->p + row * ATTENTION_BLOCK + begin;
		tile.k = until - begin;
		for (size_t column = 0; column < walk->value_stride;)
		{
			int			n = TILE_PANELS(n_rows);

			while (n > (int) ((walk->value_stride - column) / LANES))
				n /= 2;
			for (int i = 0; i < n; i++)
			{
				tile.w[i] = v + (column + i * LANES) * element;
				tile.ahead[i] = ahead + (column + i * LANES) * element;
			}
			tile.out = walk->o + row * walk->value_stride + column;
			KERNEL(tile) (&tile, n_rows, n);
			column += n * LANES;
		}
		begin = until;
		tile.start = unit_start;
	} while (begin < end);
}

/* Values of one tile of rows, each with the keys that it sees */
static void
tile_values(const Walk *walk, int row, int n_rows, int64_t first)
{
	/* what all rows see: the last one begins last, the first one ends first */
	int			common_begin = (int) (block_keys(walk, row + n_rows - 1,
												 first).begin - first);
	int			common_end = (int) (block_keys(walk, row, first).end - first);
	const float *c = walk->c + row;

	if (common_begin >= common_end)
		common_begin = common_end = ATTENTION_BLOCK;
	if (common_begin > block_keys(walk, row, first).begin - first)
	{
		for (int r = 0; r < n_rows; r++)
		{
			KeyRange	keys = block_keys(walk, row + r, first);
			int			end = (int) (keys.end - first);

			add_values(walk, row + r, 1, first, (int) (keys.begin - first),
					   end < common_begin ? end : common_begin, c + r);
		}
		c = unit_start;
	}
	if (common_begin >= common_end)
		return;
	add_values(walk, row, n_rows, first, common_begin, common_end, c);
	for (int r = 0; r < n_rows; r++)
	{
		int			end = (int) (block_keys(walk, row + r, first).end - first);

		if (end > common_end)
			add_values(walk, row + r, 1, first, common_end, end, unit_start);
	}
}

/* Rows for the next tile when left remain: as even as possible */
static int
tile_rows(int left)
{
	int			tiles = (left + TILE_ROWS - 1) / TILE_ROWS;

	return (left + tiles - 1) / tiles;
}

/* One block of keys for all rows that see some of it */
static void
walk_block(const Walk *walk, int64_t first, bool with_values)
{
	int			row = 0;
	int			end = walk->n_rows;
	int			n;

	while (row < end && row_keys(walk, row).end <= first)
		row++;
	while (end > row &&
		   row_keys(walk, end - 1).begin >= first + ATTENTION_BLOCK)
		end--;
	if (row == end)
		return;
	if (!walk->direct)
		convert_block(walk, row, end - row, first);
	for (int r = row; r < end; r += n)
	{
		n = tile_rows(end - r);
		tile_scores(walk, r, n, first);
		tile_softmax(walk, r, n, first);
		if (with_values)
			tile_values(walk, r, n, first);
	}
}

/* out[n] = fma(next[n], b, sum[n] * a) in whole lanes, into sum */
static void
merge_lanes(float *sum, const float *next, float a, float b, size_t n)
{
	for (size_t i = 0; i < n; i += LANES)
	{
		Lanes		before = lanes_mul(lanes_load(sum + i), lanes_set(a));

		lanes_store(sum + i, lanes_fma(lanes_load(next + i), lanes_set(b),
									   before));
	}
}

/* The segment that starts at first is complete: take or fold it. */
static void
end_segment(const Walk *walk, int64_t first)
{
	for (int row = 0; row < walk->n_rows; row++)
	{
		KeyRange	all = row_keys(walk, row);
		KeyRange	keys = keys_within(all, first, ATTENTION_SEGMENT);
		float	   *sum_o = walk->sum_o + row * walk->value_stride;
		const float *o = walk->o + row * walk->value_stride;
		float		m,
					a,
					b;

		if (keys.begin >= keys.end)
			continue;
		if (keys.begin == all.begin)
		{
			walk->sum_m[row] = walk->m[row];
			walk->sum_l[row] = walk->l[row];
			memcpy(sum_o, o, walk->value_stride * sizeof(float));
			continue;
		}
		m = walk->sum_m[row] > walk->m[row] ? walk->sum_m[row] : walk->m[row];
		a = f32_exp(walk->sum_m[row] - m);
		b = f32_exp(walk->m[row] - m);
		walk->sum_m[row] = m;
		walk->sum_l[row] = f32_fma(walk->l[row], b, walk->sum_l[row] * a);
		merge_lanes(sum_o, o, a, b, walk->value_stride);
	}
}

static void
begin_segment(const Walk *walk)
{
	for (int row = 0; row < walk->n_rows; row++)
	{
		walk->m[row] = -F32_INFINITY;
		walk->l[row] = 0.0f;
	}
	memset(walk->o, 0, walk->n_rows * walk->value_stride * sizeof(float));
}

/* All segments, into sum_m, sum_l and sum_o */
static void
walk_keys(const Walk *walk, bool with_values)
{
	int64_t		begin = row_keys(walk, 0).begin;
	int64_t		end = row_keys(walk, walk->n_rows - 1).end;
	int64_t		segment = begin - begin % ATTENTION_SEGMENT;

	for (; segment < end; segment += ATTENTION_SEGMENT)
	{
		KeyRange	keys = {begin, end};

		keys = keys_within(keys, segment, ATTENTION_SEGMENT);
		begin_segment(walk);
		for (int64_t first = keys.begin - keys.begin % ATTENTION_BLOCK;
			 first < keys.end; first += ATTENTION_BLOCK)
			walk_block(walk, first, with_values);
		end_segment(walk, segment);
	}
}

/* out = o / l, or poison */
static void
write_row(const Walk *walk, int row)
{
	const AttentionTask *task = walk->task;
	const float *o = walk->sum_o + row * walk->value_stride;
	float	   *out = task->out +
		(walk->first_query + walk->query[row]) * task->out_stride +
		(size_t) (row % task->group) * task->value_dim;
	bool		bad = walk->finite[row] != 0.0f;
	Lanes		l = lanes_set(walk->sum_l[row]);

	for (int d = 0; d < task->value_dim; d += LANES)
	{
		int			n = task->value_dim - d;
		Lanes		value = bad ? lanes_set(ATTENTION_POISON) :
			lanes_div(lanes_load(o + d), l);

		if (n >= LANES)
			lanes_store(out + d, value);
		else
			lanes_store_n(out + d, value, n);
	}
}

void
KERNEL(attention) (const AttentionTask *task)
{
	Walk		walk;

	for (int i = 0; i < task->n_queries; i += ATTENTION_QUERIES)
	{
		int			n = task->n_queries - i;

		walk_begin(&walk, task, i,
				   n < ATTENTION_QUERIES ? n : ATTENTION_QUERIES);
		walk_keys(&walk, true);
		for (int row = 0; row < walk.n_rows; row++)
			write_row(&walk, row);
	}
}

void
KERNEL(attention_row) (const AttentionTask *task, int i, int g, float *score,
					   float *weight)
{
	AttentionTask single = *task;
	Walk		walk;
	KeyRange	keys;
	float		slope = task->slopes != NULL ? task->slopes[g] : 0.0f;

	single.q = task->q + i * task->q_stride + (size_t) g * task->head_dim;
	single.group = 1;
	single.first_position = task->first_position + i;
	single.slopes = task->slopes != NULL ? &slope : NULL;
	walk_begin(&walk, &single, 0, 1);
	walk_keys(&walk, false);
	keys = walk.keys[0];

	for (int64_t j = 0; j < task->n_keys; j++)
		score[j] = -F32_INFINITY;
	for (int64_t first = keys.begin - keys.begin % ATTENTION_BLOCK;
		 first < keys.end; first += ATTENTION_BLOCK)
	{
		KeyRange	seen = keys_within(keys, first, ATTENTION_BLOCK);
		Lanes		s[BLOCK_PAGES];

		if (!walk.direct)
			convert_block(&walk, 0, 1, first);
		tile_scores(&walk, 0, 1, first);
		finish_scores(&walk, 0, first, s);
		for (int page = 0; page < BLOCK_PAGES; page++)
			lanes_store(walk.p + page * LANES, s[page]);
		memcpy(score + seen.begin, walk.p + (seen.begin - first),
			   (seen.end - seen.begin) * sizeof(float));
	}
	for (int64_t j = 0; j < task->n_keys; j += LANES)
	{
		int			n = task->n_keys - j < LANES ? (int) (task->n_keys - j) :
			LANES;
		Lanes		s = lanes_sub(lanes_load_n(score + j, n),
								  lanes_set(walk.sum_m[0]));

		lanes_store_n(weight + j, lanes_div(lanes_exp_not_positive(s),
											lanes_set(walk.sum_l[0])), n);
	}
}
