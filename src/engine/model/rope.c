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

/* One row; divisor may be NULL. */
static void
fill_row(const Hyper *hyper, double position, const double *frequency,
		 const double *divisor, double magnitude, float *cosine, float *sine)
{
	for (int pair = 0; pair < hyper->n_rot / 2; pair++)
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

static bool
fill_rows(Pass *pass, const RowWork *work, int first, int end, int thread)
{
	const ImageHeader *image = pass->image;
	const Hyper *hyper = pass->hyper;
	TransformerScratch *s = pass->scratch;
	const double *frequency = image_at(image, image->rope_frequency);
	const double *divisor = image_at(image, image->rope_divisor);
	const double *local = image_at(image, image->rope_local_frequency);

	(void) work;
	(void) thread;
	for (int i = first; i < end; i++)
	{
		double		position = (double) pass->rows[i].position;

		fill_row(hyper, position, frequency, divisor, hyper->rope_magnitude,
				 rows_at(&s->cosine, i), rows_at(&s->sine, i));
		if (local != NULL)
			fill_row(hyper, position, local, NULL, 1,
					 rows_at(&s->local_cosine, i), rows_at(&s->local_sine, i));
	}
	return true;
}

EngineCode
rope_tables(Pass *pass)
{
	RowWork		work = {.run = fill_rows, .n_rows = pass->n_rows};

	return pass_note(pass, &work);
}
