/*-------------------------------------------------------------------------
 *
 * tile.h
 *	  The inner loop of dense products and of attention: a few rows times a
 *	  few panels, accumulated in registers.
 *
 * With w[p][j] the 16 weights of panel p at step j, for rows r and panels p
 *
 *		out[r][p] = fma(w[p][j], x[r][j], out[r][p]),	j = 0 .. k - 1
 *
 * from +0, or from out[r][p] * start[r].  Keys of a page are a panel, with a
 * query as row; so are 16 columns of the values, with a query's exp(s - m) as
 * row and positions as steps.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_KERNEL_TILE_H
#define ENGINE_KERNEL_TILE_H

#include "kernels/kernels.h"

#define TILE_MAX_PANELS 8

typedef enum TileType
{
	TILE_F32, TILE_F16, TILE_BF16
} TileType;

typedef struct Tile
{
	TileType	type;
	const uint8_t *w[TILE_MAX_PANELS];
	size_t		w_step;			/* bytes from step to step of a panel */

	/*
	 * What to prefetch in the same step, at the same distance from the start;
	 * w itself if nothing.
	 */
	const uint8_t *ahead[TILE_MAX_PANELS];
	const float *x;				/* [rows][x_stride] */
	size_t		x_stride;		/* floats */
	int64_t		k;
	float	   *out;			/* [rows][out_stride], 16 for each panel */
	size_t		out_stride;		/* floats */
	const float *start;			/* [rows], or NULL: from +0 */
} Tile;

/*
 * rows: 1 .. TILE_ROWS; panels: TILE_PANELS(rows), 4, 2 or 1, whatever is
 * not larger than TILE_PANELS(rows) (lanes_*.h).
 */
extern void tile_avx2(const Tile *tile, int rows, int panels);
extern void tile_avx512(const Tile *tile, int rows, int panels);

#endif							/* ENGINE_KERNEL_TILE_H */
