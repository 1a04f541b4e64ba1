/*-------------------------------------------------------------------------
 *
 * dense_simd.h
 *	  dense_reference.c on sixteen lanes; included by dense_*.c.
 *
 * A group of panels is taken through all rows before the next: its weights
 * stay in the second-level cache.  With a single row everything comes out of
 * memory once, and is prefetched.
 *
 *-------------------------------------------------------------------------
 */
#include "kernels/tile.h"

/* Bytes of a panel to prefetch ahead of its use; measured, see kernels.md. */
#define PREFETCH_DISTANCE 4096

static TileType
dense_type(TensorType type)
{
	return type == TYPE_F32 ? TILE_F32 :
		type == TYPE_F16 ? TILE_F16 : TILE_BF16;
}

/* Rows for the next tile when left remain: as even as possible */
static int
tile_rows(int left)
{
	int			tiles = (left + TILE_ROWS - 1) / TILE_ROWS;

	return (left + tiles - 1) / tiles;
}

/* The largest shape that has code and is not larger than left */
static int
tile_panels(int rows, int64_t left)
{
	int			panels = TILE_PANELS(rows);

	while (panels > left)
		panels /= 2;
	return panels;
}

/* The last panel when its matrix has not all of its rows */
static void
cut_panel(Tile *tile, int rows, float *out, size_t out_stride, int n)
{
	float		whole[TILE_ROWS * LANES];

	tile->out = whole;
	tile->out_stride = LANES;
	KERNEL(tile) (tile, rows, 1);
	for (int r = 0; r < rows; r++)
		memcpy(out + r * out_stride, whole + r * LANES, n * sizeof(float));
}

/* rows rows of activations times panels panel_begin .. panel_end - 1 */
static void
dense_rows(const PackedMatrix *w, int64_t panel_begin, int64_t panel_end,
		   Tile *tile, int rows, float *out, size_t out_stride)
{
	int64_t		n_whole = w->n / LANES;
	int64_t		panel = panel_begin;

	while (panel < panel_end)
	{
		int64_t		left = (panel_end < n_whole ? panel_end : n_whole) - panel;
		int			panels = left > 0 ? tile_panels(rows, left) : 1;

		for (int p = 0; p < panels; p++)
		{
			tile->w[p] = w->panels + (panel + p) * w->panel_bytes;
			tile->ahead[p] = tile->w[p] + PREFETCH_DISTANCE;
		}
		if (left > 0)
		{
			tile->out = out + panel * LANES;
			tile->out_stride = out_stride;
			KERNEL(tile) (tile, rows, panels);
		}
		else
			cut_panel(tile, rows, out + panel * LANES, out_stride,
					  (int) (w->n - panel * LANES));
		panel += panels;
	}
}

void
KERNEL(dense_matmul) (const PackedMatrix *w, int64_t panel_begin,
					  int64_t panel_end, const Activations *a, float *out,
					  size_t out_stride)
{
	Tile		tile = {.type = dense_type(w->type), .k = w->k};
	int64_t		group = a->n_rows > 1 ? 4 : panel_end - panel_begin;

	tile.w_step = LANES * (tile.type == TILE_F32 ? 4 : 2);
	tile.x_stride = a->x_stride;
	for (int64_t panel = panel_begin; panel < panel_end; panel += group)
	{
		int64_t		end = panel + group < panel_end ? panel + group : panel_end;
		int			rows;

		for (int row = 0; row < a->n_rows; row += rows)
		{
			rows = tile_rows(a->n_rows - row);
			tile.x = a->x + row * a->x_stride;
			dense_rows(w, panel, end, &tile, rows, out + row * out_stride,
					   out_stride);
		}
	}
}
