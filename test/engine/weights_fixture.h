/*-------------------------------------------------------------------------
 *
 * weights_fixture.h
 *	  Random weights of every type and random activations, for the tests and
 *	  the benchmark of packed products.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEIGHTS_FIXTURE_H
#define WEIGHTS_FIXTURE_H

#include "kernels/kernels.h"

/* Types that panels know; unquantised ones come last. */
extern const TensorType fixture_types[];

#define FIXTURE_TYPES 16
#define FIXTURE_QUANTISED 13

typedef enum BlockKind
{
	BLOCKS_USUAL,				/* random codes, scales of usual size */
	BLOCKS_EXTREME,				/* scales: largest, subnormal, zero, negative */
	BLOCKS_HIGHEST,				/* largest values, scales 1 */
	BLOCKS_LOWEST				/* no code bit set, scales 1 */
} BlockKind;

typedef enum RowKind
{
	ROWS_USUAL,					/* roughly normal, with outliers */
	ROWS_ZERO,
	ROWS_TINY,					/* around the limit that counts as zero */
	ROWS_FULL,					/* all of the same magnitude: largest q */
	ROWS_MIXED					/* kinds and magnitudes change by group */
} RowKind;

#define ROW_KINDS 5

extern uint32_t fixture_random(uint32_t *state);
extern float fixture_uniform(uint32_t *state);	/* -1 .. 1 */

/* n weights of a type as a file holds them, all finite. */
extern void fixture_blocks(TensorType type, BlockKind kind, uint32_t *state,
						   void *blocks, int64_t n);

/* n rows of k, packed in memory of exactly the size they need. */
extern PackedMatrix fixture_matrix(TensorType type, BlockKind kind,
								   uint32_t *state, int64_t n, int64_t k);
extern void fixture_matrix_free(PackedMatrix *matrix);

extern void fixture_row(RowKind kind, uint32_t *state, float *x, int64_t k);

/* Buffers of exactly the size that kernels.h asks for; x is filled. */
extern Activations fixture_activations(RowKind kind, uint32_t *state,
									   int n_rows, int64_t k, int bits);
extern void fixture_activations_free(Activations *a);

/* Quantise all rows. */
extern void fixture_quantise(const KernelSet *set, Activations *a);

/* Row row of a alone. */
extern Activations fixture_one_row(const Activations *a, int row);

#endif							/* WEIGHTS_FIXTURE_H */
