/*-------------------------------------------------------------------------
 *
 * rope.c
 *	  Rotary position embedding: cosines and sines of a step's positions.
 *
 * Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding"
 * (2021).  The angle of pair i at position p is p * frequency[i] / divisor[i],
 * in double precision; only the finished cosine and sine are rounded to f32.
 * All layers and heads of a step share the tables.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "base/math64.h"
#include "model/pass.h"

void
rope_tables(Pass *pass)
{
	const ImageHeader *image = pass->image;
	const double *frequency = image_at(image, image->rope_frequency);
	const double *divisor = image_at(image, image->rope_divisor);
	double		magnitude = pass->hyper->rope_magnitude;

	for (int i = 0; i < pass->n_rows; i++)
	{
		float	   *cosine = rows_at(&pass->scratch->cosine, i);
		float	   *sine = rows_at(&pass->scratch->sine, i);
		double		position = (double) pass->rows[i].position;

		for (int pair = 0; pair < pass->hyper->n_rot / 2; pair++)
		{
			double		s,
						c;

			math_sincos(position * frequency[pair] / divisor[pair], &s, &c);
			cosine[pair] = (float) (c * magnitude);
			sine[pair] = (float) (s * magnitude);
		}
	}
}
