/*-------------------------------------------------------------------------
 *
 * pack.h
 *	  Panels: how matrices lie in an image.
 *
 * A matrix of N rows (outputs) and K columns (inputs) is cut into panels of
 * 16 rows; every row is one SIMD lane, so kernels need no horizontal sums.
 * N is padded to a multiple of 16 with zero rows.  A panel holds its K values
 * block after block (kernels.md has the measured layouts; pack.c draws ours),
 * in one stream that is as large as the file's own rows, or nearly so.
 *
 * Panels start at multiples of 64 bytes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TENSOR_PACK_H
#define ENGINE_TENSOR_PACK_H

#include "tensor/types.h"

#define PANEL_ROWS 16

/* A matrix in memory; pointers are made from image offsets at run time. */
typedef struct PackedMatrix
{
	const uint8_t *panels;		/* [(n + 15) / 16][panel_bytes] */
	TensorType	type;
	int64_t		n;				/* rows = outputs, without padding */
	int64_t		k;				/* columns = inputs */
	size_t		panel_bytes;	/* stride between panels, multiple of 64 */
} PackedMatrix;

/* Bytes of one panel of 16 rows x k, rounded up to 64; 0 if k does not fit. */
extern uint64_t panel_bytes(TensorType type, int64_t k);

/*
 * Pack up to 16 rows of a file into one panel.  rows points to n_rows rows of
 * tensor_row_bytes(type, k) bytes each, back to back; missing rows become
 * rows of zero weights.  panel has panel_bytes(type, k) bytes.
 */
extern void pack_panel(TensorType type, int64_t k, const void *rows,
					   int n_rows, void *panel);

/* Row r of a packed matrix, dequantised exactly: out[k]. */
extern void packed_row(const PackedMatrix *matrix, int64_t r, float *out);

#endif							/* ENGINE_TENSOR_PACK_H */
