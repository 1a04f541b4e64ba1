/*-------------------------------------------------------------------------
 *
 * packed_reference_body.h
 *	  The definition of packed products and of quantised activations, in plain
 *	  C.  packed_reference.c includes this twice, with
 *
 *		SET(name)		name of a function of this set
 *		TARGET			attribute of functions that call FMA
 *		FMA(a, b, c)	correctly rounded a * b + c
 *
 *-------------------------------------------------------------------------
 */

/* One group of 32 activations: m = max |x|, d = m / R, q = round(x * R / m). */
static void
SET(quantise_group) (const float *x, float range, int32_t *q, float *d)
{
	uint32_t	largest = 0;
	float		max;
	float		inverse;

	for (int i = 0; i < 32; i++)
	{
		uint32_t	bits = f32_bits(x[i]) & 0x7fffffffu;

		largest = bits > largest ? bits : largest;
	}
	max = f32_from_bits(largest);
	*d = 0.0f;
	memset(q, 0, 32 * sizeof(*q));
	if (max < ACTIVATION_TINY)
		return;

	*d = max / range;
	inverse = range / max;
	for (int i = 0; i < 32; i++)
	{
		float		shifted = x[i] * inverse + ROUNDING_SHIFT;

		q[i] = (int32_t) (f32_bits(shifted) - ROUNDING_SHIFT_BITS);
	}
}

void
SET(packed_quantise) (const float *x, int64_t k, int bits, int8_t *hi,
					  int8_t *lo, float *d, int32_t *sums)
{
	float		range = bits == 8 ? ACTIVATION_RANGE_8 : ACTIVATION_RANGE_16;

	for (int64_t group = 0; group < k / 32; group++)
	{
		int32_t		q[32];

		SET(quantise_group) (x + 32 * group, range, q, &d[group]);
		sums[2 * group] = 0;
		sums[2 * group + 1] = 0;
		for (int i = 0; i < 32; i++)
		{
			int64_t		at = 32 * group + i;

			sums[2 * group + i / 16] += q[i];
			if (bits == 8)
				hi[at] = (int8_t) q[i];
			else
			{
				hi[at] = (int8_t) ((q[i] + 128) >> 8);
				lo[at] = (int8_t) (q[i] - 256 * hi[at]);
			}
		}
	}
}

/*
 * Add one group of size weights to the accumulator of one output.  q0 is the
 * index of the group's first activation in the row.
 */
TARGET static float
SET(add_group) (float acc, const int32_t *u, float s, float t, int size,
				bool has_minimum, const Activations *a, int row, int64_t q0)
{
	size_t		plane = row * a->plane_stride + q0;
	float		d = a->d[row * a->group_stride + q0 / 32];
	int32_t		idot = 0;
	int32_t		sum = 0;

	for (int i = 0; i < size; i++)
	{
		int32_t		q = a->hi[plane + i];

		if (a->bits == 16)
			q = q * 256 + a->lo[plane + i];
		idot += u[i] * q;
		sum += q;
	}
	acc = FMA(s * d, (float) idot, acc);
	if (has_minimum)
		acc = FMA(t, d * (float) sum, acc);
	return acc;
}

/* Weights of one row (output) and sub-block, times every activation row. */
TARGET static void
SET(add_block) (const BlockValues *v, int group, bool has_minimum,
				const Activations *a, int64_t q0, float *out,
				size_t out_stride)
{
	for (int row = 0; row < a->n_rows; row++)
	{
		float		acc = out[row * out_stride];

		for (int begin = 0; begin < 32; begin += group)
			acc = SET(add_group) (acc, v->u + begin, v->s[begin / 16],
								  v->t[begin / 16], group, has_minimum, a,
								  row, q0 + begin);
		out[row * out_stride] = acc;
	}
}

void
SET(packed_matmul) (const PackedMatrix *w, int64_t panel_begin,
					int64_t panel_end, const Activations *a, float *out,
					size_t out_stride)
{
	const TensorTypeInfo *info = tensor_type(w->type);
	int			group = panel_group(w->type);
	bool		has_minimum = panel_has_minimum(w->type);

	for (int64_t r = panel_begin * PANEL_ROWS; r < panel_end * PANEL_ROWS; r++)
	{
		const uint8_t *panel = w->panels + r / PANEL_ROWS * w->panel_bytes;

		for (int row = 0; row < a->n_rows; row++)
			out[row * out_stride + r] = 0.0f;

		for (int64_t q0 = 0; q0 < w->k; q0 += 32)
		{
			int64_t		block = q0 / info->panel_block_values;
			int			sub = q0 % info->panel_block_values / 32;
			BlockValues v;

			panel_block_values(w->type,
							   panel + block * info->panel_block_bytes, sub,
							   r % PANEL_ROWS, &v);
			SET(add_block) (&v, group, has_minimum, a, q0, out + r,
							out_stride);
		}
	}
}
