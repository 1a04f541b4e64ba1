/*-------------------------------------------------------------------------
 *
 * dense_reference.c
 *	  Matrix products with weights that are not quantised (F32, F16, BF16).
 *	  Plain C, the definition.
 *
 * A panel of these types is k groups of 16 elements: element r of group j is
 * column j of the panel's row r.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "kernels/reference.h"

static inline float
panel_element(TensorType type, const uint8_t *panel, int64_t i)
{
	uint16_t	half;
	float		x;

	if (type == TYPE_F32)
	{
		memcpy(&x, panel + i * sizeof(x), sizeof(x));
		return x;
	}
	memcpy(&half, panel + i * sizeof(half), sizeof(half));
	return type == TYPE_F16 ? f16_to_f32(half) : bf16_to_f32(half);
}

/* The products of one panel with one row of activations */
static void
panel_row(TensorType type, const uint8_t *panel, const float *x, int64_t k,
		  float *out, int n_rows)
{
	float		acc[PANEL_ROWS] = {0};

	for (int64_t j = 0; j < k; j++)
	{
		for (int r = 0; r < PANEL_ROWS; r++)
		{
			float		w = panel_element(type, panel, j * PANEL_ROWS + r);

			acc[r] = f32_fma(w, x[j], acc[r]);
		}
	}
	memcpy(out, acc, n_rows * sizeof(float));
}

void
KERNEL(dense_matmul) (const PackedMatrix *w, int64_t panel_begin,
					  int64_t panel_end, const Activations *a, float *out,
					  size_t out_stride)
{
	for (int64_t panel = panel_begin; panel < panel_end; panel++)
	{
		int64_t		first = panel * PANEL_ROWS;
		int64_t		n_rows = w->n - first;

		for (int row = 0; row < a->n_rows; row++)
			panel_row(w->type, w->panels + panel * w->panel_bytes,
					  a->x + row * a->x_stride, w->k,
					  out + row * out_stride + first,
					  n_rows < PANEL_ROWS ? (int) n_rows : PANEL_ROWS);
	}
}

#include "kernels/target_end.h"
