/*-------------------------------------------------------------------------
 *
 * vector_reference.c
 *	  Operations on single vectors: sums, norms, rotation, activations,
 *	  softmax, storing keys and values.  Plain C, the definition.
 *
 * Every value is rounded where this file rounds it.  The compiler must not
 * fuse or reorder (-ffp-contract=off, no -ffast-math), so that vectorising
 * loops without a sum over lanes changes nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "kernels/reference.h"

#define LANES 16

/*
 * Sum16: the only sum over a vector.  Lane i has added the elements i, i + 16,
 * ... in this order; here lanes i and i + 8, + 4, + 2, + 1 are added.
 */
static float
sum_lanes(float lane[LANES])
{
	for (int width = LANES / 2; width > 0; width /= 2)
	{
		for (int i = 0; i < width; i++)
			lane[i] += lane[i + width];
	}
	return lane[0];
}

float
KERNEL(vector_sum) (const float *x, int64_t n)
{
	float		lane[LANES] = {0};

	for (int64_t i = 0; i < n; i++)
		lane[i % LANES] += x[i];
	return sum_lanes(lane);
}

/* Sum16 of (x - shift)^2 */
static float
sum_squares(const float *x, float shift, int64_t n)
{
	float		lane[LANES] = {0};

	for (int64_t i = 0; i < n; i++)
	{
		float		c = x[i] - shift;

		lane[i % LANES] = f32_fma(c, c, lane[i % LANES]);
	}
	return sum_lanes(lane);
}

void
KERNEL(rms_norm) (const float *x, const float *w, float eps, float *y,
				  int64_t n)
{
	float		mean = sum_squares(x, 0.0f, n) / (float) n;
	float		r = 1.0f / __builtin_sqrtf(mean + eps);

	for (int64_t i = 0; i < n; i++)
	{
		y[i] = x[i] * r;
		if (w != NULL)
			y[i] = y[i] * w[i];
	}
}

void
KERNEL(layer_norm) (const float *x, const float *w, const float *b, float eps,
					float *y, int64_t n)
{
	float		mean = KERNEL(vector_sum) (x, n) / (float) n;
	float		variance = sum_squares(x, mean, n) / (float) n;
	float		r = 1.0f / __builtin_sqrtf(variance + eps);

	for (int64_t i = 0; i < n; i++)
	{
		float		c = (x[i] - mean) * r;

		if (w != NULL)
			c = c * w[i];
		if (b != NULL)
			c = c + b[i];
		y[i] = c;
	}
}

void
KERNEL(rope) (float *x, const float *cos, const float *sin, int n_rot,
			  RopeLayout layout)
{
	int			half = n_rot / 2;

	if (layout == ROPE_NONE)
		return;
	for (int i = 0; i < half; i++)
	{
		float	   *first = layout == ROPE_NORM ? x + 2 * i : x + i;
		float	   *second = layout == ROPE_NORM ? first + 1 : first + half;
		float		x0 = *first;
		float		x1 = *second;

		*first = f32_fma(x0, cos[i], -(x1 * sin[i]));
		*second = f32_fma(x0, sin[i], x1 * cos[i]);
	}
}

void
KERNEL(add) (float *x, const float *y, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		x[i] = x[i] + y[i];
}

void
KERNEL(scale) (float *x, float factor, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		x[i] = x[i] * factor;
}

void
KERNEL(silu) (const float *gate, const float *up, float *out, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
	{
		float		y = f32_silu(gate[i]);

		out[i] = up != NULL ? y * up[i] : y;
	}
}

void
KERNEL(gelu_tanh) (const float *gate, const float *up, float *out, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
	{
		float		y = f32_gelu_tanh(gate[i]);

		out[i] = up != NULL ? y * up[i] : y;
	}
}

void
KERNEL(gelu_erf) (const float *gate, const float *up, float *out, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
	{
		float		y = f32_gelu_erf(gate[i]);

		out[i] = up != NULL ? y * up[i] : y;
	}
}

void
KERNEL(softcap) (float *x, float cap, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		x[i] = cap * f32_tanh(x[i] / cap);
}

void
KERNEL(softmax) (const float *x, float *p, int64_t n)
{
	float		max = -F32_INFINITY;
	float		sum;

	for (int64_t i = 0; i < n; i++)
		max = x[i] > max ? x[i] : max;
	for (int64_t i = 0; i < n; i++)
		p[i] = f32_exp(x[i] - max);
	sum = KERNEL(vector_sum) (p, n);
	for (int64_t i = 0; i < n; i++)
		p[i] = p[i] / sum;
}

bool
KERNEL(finite) (const float *x, int64_t n)
{
	uint32_t	largest = 0;

	for (int64_t i = 0; i < n; i++)
	{
		uint32_t	bits = f32_bits(x[i]) & 0x7fffffff;

		largest = bits > largest ? bits : largest;
	}
	return largest < 0x7f800000;
}

int64_t
KERNEL(argmax) (const float *x, int64_t n)
{
	int64_t		best = 0;

	for (int64_t i = 1; i < n; i++)
	{
		if (x[i] > x[best])
			best = i;
	}
	return best;
}

void
KERNEL(kv_store) (KvType type, const float *key, int head_dim,
				  const float *value, int value_dim, int lane, void *k_page,
				  void *v_page)
{
	size_t		row = (size_t) lane * value_dim;

	if (type == KV_F32)
	{
		float	   *k = (float *) k_page + lane;

		for (int d = 0; d < head_dim; d++)
			k[d * KV_PAGE_POSITIONS] = key[d];
		memcpy((float *) v_page + row, value, value_dim * sizeof(float));
	}
	else
	{
		uint16_t   *k = (uint16_t *) k_page + lane;
		uint16_t   *v = (uint16_t *) v_page + row;

		for (int d = 0; d < head_dim; d++)
			k[d * KV_PAGE_POSITIONS] = f32_to_f16(key[d]);
		for (int d = 0; d < value_dim; d++)
			v[d] = f32_to_f16(value[d]);
	}
}

#include "kernels/target_end.h"
