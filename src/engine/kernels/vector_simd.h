/*-------------------------------------------------------------------------
 *
 * vector_simd.h
 *	  vector_reference.c on sixteen lanes.
 *
 * Included once by vector_avx2.c and vector_avx512.c, after the lanes.  The
 * elements behind the last multiple of 16 are loaded as +0 and stored only
 * where they exist.
 *
 *-------------------------------------------------------------------------
 */
#include "kernels/mathf_lanes.h"

/* How many of the lanes at i exist, at most 16 */
#define LANES_AT(i, n) ((n) - (i) < LANES ? (int) ((n) - (i)) : LANES)

/* Lanes at x + i of n: whole, or the rest */
LANES_INLINE Lanes
load_at(const float *x, int64_t i, int64_t n)
{
	return n - i >= LANES ? lanes_load(x + i) :
		lanes_load_n(x + i, (int) (n - i));
}

LANES_INLINE void
store_at(float *x, int64_t i, int64_t n, Lanes value)
{
	if (n - i >= LANES)
		lanes_store(x + i, value);
	else
		lanes_store_n(x + i, value, (int) (n - i));
}

float
KERNEL(vector_sum) (const float *x, int64_t n)
{
	Lanes		sum = lanes_zero();

	for (int64_t i = 0; i < n; i += LANES)
		sum = lanes_add(sum, load_at(x, i, n));
	return lanes_sum(sum);
}

/* Sum16 of (x - shift)^2 */
static float
sum_squares(const float *x, float shift, int64_t n)
{
	Lanes		sum = lanes_zero();
	int64_t		i;

	for (i = 0; i < n; i += LANES)
	{
		Lanes		c = lanes_sub(load_at(x, i, n), lanes_set(shift));

		if (n - i < LANES)		/* lanes that do not exist add +0 */
			c = lanes_select(lane_range(0, (int) (n - i)), c, lanes_zero());
		sum = lanes_fma(c, c, sum);
	}
	return lanes_sum(sum);
}

void
KERNEL(rms_norm) (const float *x, const float *w, float eps, float *y,
				  int64_t n)
{
	float		mean = sum_squares(x, 0.0f, n) / (float) n;
	Lanes		r = lanes_set(1.0f / __builtin_sqrtf(mean + eps));

	for (int64_t i = 0; i < n; i += LANES)
	{
		Lanes		value = lanes_mul(load_at(x, i, n), r);

		if (w != NULL)
			value = lanes_mul(value, load_at(w, i, n));
		store_at(y, i, n, value);
	}
}

void
KERNEL(layer_norm) (const float *x, const float *w, const float *b, float eps,
					float *y, int64_t n)
{
	float		mean = KERNEL(vector_sum) (x, n) / (float) n;
	float		variance = sum_squares(x, mean, n) / (float) n;
	Lanes		r = lanes_set(1.0f / __builtin_sqrtf(variance + eps));

	for (int64_t i = 0; i < n; i += LANES)
	{
		Lanes		c = lanes_sub(load_at(x, i, n), lanes_set(mean));

		c = lanes_mul(c, r);
		if (w != NULL)
			c = lanes_mul(c, load_at(w, i, n));
		if (b != NULL)
			c = lanes_add(c, load_at(b, i, n));
		store_at(y, i, n, c);
	}
}

/* Pairs of neighbours */
static void
rope_neighbours(float *x, const float *cos, const float *sin, int n_rot)
{
	for (int i = 0; i < n_rot; i += LANES)
	{
		int			n = LANES_AT(i, n_rot);
		Lanes		c = lanes_load_twice(cos + i / 2, n);
		Lanes		s = lanes_load_twice(sin + i / 2, n);

		store_at(x, i, n_rot, lanes_rotate_pairs(load_at(x, i, n_rot), c, s));
	}
}

/* Pairs that are half of the vector apart */
static void
rope_halves(float *x, const float *cos, const float *sin, int half)
{
	for (int i = 0; i < half; i += LANES)
	{
		Lanes		c = load_at(cos, i, half);
		Lanes		s = load_at(sin, i, half);
		Lanes		x0 = load_at(x, i, half);
		Lanes		x1 = load_at(x + half, i, half);

		store_at(x, i, half,
				 lanes_fma(x0, c, lanes_negate(lanes_mul(x1, s))));
		store_at(x + half, i, half, lanes_fma(x0, s, lanes_mul(x1, c)));
	}
}

void
KERNEL(rope) (float *x, const float *cos, const float *sin, int n_rot,
			  RopeLayout layout)
{
	if (layout == ROPE_NORM)
		rope_neighbours(x, cos, sin, n_rot);
	else if (layout == ROPE_NEOX)
		rope_halves(x, cos, sin, n_rot / 2);
}

void
KERNEL(add) (float *x, const float *y, int64_t n)
{
	for (int64_t i = 0; i < n; i += LANES)
		store_at(x, i, n, lanes_add(load_at(x, i, n), load_at(y, i, n)));
}

void
KERNEL(scale) (float *x, float factor, int64_t n)
{
	for (int64_t i = 0; i < n; i += LANES)
		store_at(x, i, n, lanes_mul(load_at(x, i, n), lanes_set(factor)));
}

#define DEFINE_ACTIVATION(name, function) \
void \
KERNEL(name) (const float *gate, const float *up, float *out, int64_t n) \
{ \
	for (int64_t i = 0; i < n; i += LANES) \
	{ \
		Lanes		y = function(load_at(gate, i, n)); \
\
		if (up != NULL) \
			y = lanes_mul(y, load_at(up, i, n)); \
		store_at(out, i, n, y); \
	} \
}

DEFINE_ACTIVATION(silu, lanes_silu)
DEFINE_ACTIVATION(gelu_tanh, lanes_gelu_tanh)
DEFINE_ACTIVATION(gelu_erf, lanes_gelu_erf)

void
KERNEL(softcap) (float *x, float cap, int64_t n)
{
	Lanes		caps = lanes_set(cap);

	for (int64_t i = 0; i < n; i += LANES)
	{
		Lanes		t = lanes_tanh(lanes_div(load_at(x, i, n), caps));

		store_at(x, i, n, lanes_mul(caps, t));
	}
}

static float
largest(const float *x, int64_t n)
{
	Lanes		max = lanes_set(-F32_INFINITY);
	int64_t		i;

	for (i = 0; i + LANES <= n; i += LANES)
		max = lanes_max(lanes_load(x + i), max);
	if (i < n)
		max = lanes_select(lane_range(0, (int) (n - i)),
						   lanes_max(lanes_load_n(x + i, (int) (n - i)), max),
						   max);
	return lanes_largest(max);
}

void
KERNEL(softmax) (const float *x, float *p, int64_t n)
{
	Lanes		max = lanes_set(largest(x, n));
	Lanes		sum;

	for (int64_t i = 0; i < n; i += LANES)
		store_at(p, i, n, lanes_exp(lanes_sub(load_at(x, i, n), max)));
	sum = lanes_set(KERNEL(vector_sum) (p, n));
	for (int64_t i = 0; i < n; i += LANES)
		store_at(p, i, n, lanes_div(load_at(p, i, n), sum));
}

bool
KERNEL(finite) (const float *x, int64_t n)
{
	Lanes		max = lanes_zero();
	LaneMask	bad;

	for (int64_t i = 0; i < n; i += LANES)
		max = lanes_max_bits(max, lanes_abs(load_at(x, i, n)));

	/* not at most the largest float: infinity or NaN */
	bad = lanes_not_at_most(max, lanes_set(0x1.fffffep127f));
	return lane_bits(bad) == 0;
}

int64_t
KERNEL(argmax) (const float *x, int64_t n)
{
	Lanes		max = lanes_set(largest(x, n));

	for (int64_t i = 0; i < n; i += LANES)
	{
		unsigned int equal = lane_bits(lanes_equal(load_at(x, i, n), max));

		if (n - i < LANES)
			equal &= (1u << (n - i)) - 1;
		if (equal != 0)
			return i + __builtin_ctz(equal);
	}
	return 0;
}

/* 16 halves of x, the rest of them unspecified */
LANES_INLINE void
halves_at(uint16_t *halves, const float *x, int i, int n)
{
	lanes_store_f16(halves, load_at(x, i, n));
}

static void
kv_store_f16(const float *key, int head_dim, const float *value,
			 int value_dim, uint16_t *k, uint16_t *v)
{
	uint16_t	halves[LANES];

	for (int d = 0; d < head_dim; d += LANES)
	{
		int			n = LANES_AT(d, head_dim);

		halves_at(halves, key, d, head_dim);
		for (int i = 0; i < n; i++)
			k[(d + i) * KV_PAGE_POSITIONS] = halves[i];
	}
	for (int d = 0; d < value_dim; d += LANES)
	{
		halves_at(halves, value, d, value_dim);
		memcpy(v + d, halves, LANES_AT(d, value_dim) * sizeof(*v));
	}
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
		kv_store_f16(key, head_dim, value, value_dim,
					 (uint16_t *) k_page + lane, (uint16_t *) v_page + row);
}
