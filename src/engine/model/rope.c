/*-------------------------------------------------------------------------
 *
 * rope.c
 *	  Rotary position embedding: cosines and sines of a step's positions.
 *
 * Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding"
 * (2021).  The angle of pair i at position p is p * frequency[i] / divisor[i],
 * in double precision; only the finished cosine and sine are rounded to f32.
 * All heads of a step share the tables, and all layers, but for models whose
 * layers with a window have a base of their own.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "base/math64.h"
#include "model/pass.h"

/* divisor may be NULL */
static void
fill_tables(Pass *pass, const double *frequency, const double *divisor,
			double magnitude, const Rows *cosines, const Rows *sines)
{
	for (int i = 0; i < pass->n_rows; i++)
	{
		float	   *cosine = rows_at(cosines, i);
		float	   *sine = rows_at(sines, i);
		double		position = (double) pass->rows[i].position;

		for (int pair = 0; pair < pass->hyper->n_rot / 2; pair++)
		{
			double		angle = position * frequency[pair];
			double		s,
						c;

			if (divisor != NULL)
				angle /= divisor[pair];
			math_sincos(angle, &s, &c);
			cosine[pair] = (float) (c * magnitude);
			sine[pair] = (float) (s * magnitude);
		}
	}
}

void
rope_tables(Pass *pass)
{
	const ImageHeader *image = pass->image;
	TransformerScratch *scratch = pass->scratch;
	const double *local = image_at(image, image->rope_local_frequency);

	fill_tables(pass, image_at(image, image->rope_frequency),
				image_at(image, image->rope_divisor),
				pass->hyper->rope_magnitude, &scratch->cosine,
				&scratch->sine);
	if (local != NULL)
		fill_tables(pass, local, NULL, 1, &scratch->local_cosine,
					&scratch->local_sine);
}
