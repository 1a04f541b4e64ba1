/*-------------------------------------------------------------------------
 *
 * tile_simd.h
 *	  The tile of tile.h on sixteen lanes; included by tile_*.c.
 *
 * run_tile() is expanded for every shape that fits the registers, so that
 * the accumulators never leave them: all of its loops over rows and panels
 * must be unrolled by the compiler.
 *
 *-------------------------------------------------------------------------
 */
#include "kernels/tile.h"

/*
 * Shapes that memory may bound, or that read one panel at a time, which the
 * hardware does not run ahead of; elsewhere prefetching takes slots of loads.
 */
#define TILE_PREFETCHES(type, rows) \
	((rows) == 1 || (type) != TILE_F32 || TILE_PANELS(rows) == 1)

LANES_INLINE Lanes
tile_weights(TileType type, const uint8_t *p)
{
	if (type == TILE_F32)
		return lanes_load((const float *) p);
	if (type == TILE_F16)
		return lanes_load_f16((const uint16_t *) p);
	return lanes_load_bf16((const uint16_t *) p);
}

LANES_INLINE void
run_tile(const Tile *tile, const TileType type, const int rows,
		 const int panels)
{
	Lanes		acc[TILE_ROWS][TILE_MAX_PANELS];
	const uint8_t *w[TILE_MAX_PANELS];
	const float *x[TILE_ROWS];
	size_t		step = 0;

#pragma GCC unroll 8
	for (int p = 0; p < panels; p++)
		w[p] = tile->w[p];
#pragma GCC unroll 8
	for (int r = 0; r < rows; r++)
	{
		x[r] = tile->x + r * tile->x_stride;
#pragma GCC unroll 8
		for (int p = 0; p < panels; p++)
			acc[r][p] = tile->start == NULL ? lanes_zero() :
				lanes_mul(lanes_load(tile->out + r * tile->out_stride +
									 p * LANES),
						  lanes_set(tile->start[r]));
	}

	for (int64_t j = 0; j < tile->k; j++)
	{
		Lanes		weights[TILE_MAX_PANELS];

#pragma GCC unroll 8
		for (int p = 0; p < panels; p++)
		{
			if (TILE_PREFETCHES(type, rows))
				_mm_prefetch((const char *) tile->ahead[p] + step,
							 _MM_HINT_T1);
			weights[p] = tile_weights(type, w[p] + step);
		}
#pragma GCC unroll 8
		for (int r = 0; r < rows; r++)
		{
			Lanes		value = lanes_set(x[r][j]);

#pragma GCC unroll 8
			for (int p = 0; p < panels; p++)
				acc[r][p] = lanes_fma(weights[p], value, acc[r][p]);
		}
		step += tile->w_step;
	}

#pragma GCC unroll 8
	for (int r = 0; r < rows; r++)
	{
#pragma GCC unroll 8
		for (int p = 0; p < panels; p++)
			lanes_store(tile->out + r * tile->out_stride + p * LANES,
						acc[r][p]);
	}
}

#define TILE_SHAPE(rows, panels) \
	case (rows) * 16 + (panels): \
		if (panels <= TILE_PANELS(rows)) \
			run_tile(tile, type, rows, panels); \
		break

/* One instance for each type; the shapes that are not in use vanish. */
LANES_INLINE void
select_tile(const Tile *tile, const TileType type, int rows, int panels)
{
	switch (rows * 16 + panels)
	{
			TILE_SHAPE(1, 1);
			TILE_SHAPE(1, 2);
			TILE_SHAPE(1, 4);
			TILE_SHAPE(1, 8);
			TILE_SHAPE(2, 1);
			TILE_SHAPE(2, 2);
			TILE_SHAPE(2, 4);
			TILE_SHAPE(3, 1);
			TILE_SHAPE(3, 2);
			TILE_SHAPE(3, 4);
			TILE_SHAPE(4, 1);
			TILE_SHAPE(4, 2);
			TILE_SHAPE(4, 4);
			TILE_SHAPE(5, 1);
			TILE_SHAPE(5, 2);
			TILE_SHAPE(5, 4);
			TILE_SHAPE(6, 1);
			TILE_SHAPE(6, 2);
			TILE_SHAPE(6, 4);
	}
}

static __attribute__((noinline))
void
tile_f32(const Tile *tile, int rows, int panels)
{
	select_tile(tile, TILE_F32, rows, panels);
}

static __attribute__((noinline))
void
tile_f16(const Tile *tile, int rows, int panels)
{
	select_tile(tile, TILE_F16, rows, panels);
}

static __attribute__((noinline))
void
tile_bf16(const Tile *tile, int rows, int panels)
{
	select_tile(tile, TILE_BF16, rows, panels);
}

void
KERNEL(tile) (const Tile *tile, int rows, int panels)
{
	if (tile->type == TILE_F32)
		tile_f32(tile, rows, panels);
	else if (tile->type == TILE_F16)
		tile_f16(tile, rows, panels);
	else
		tile_bf16(tile, rows, panels);
}
