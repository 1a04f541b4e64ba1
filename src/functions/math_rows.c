/*-------------------------------------------------------------------------
 *
 * math_rows.c
 *	  Softmax, activations and rotation of rows, for functions of arrays.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/float.h"

#include "engine/base/math64.h"
#include "functions/math_rows.h"
#include "settings.h"

static const char *const activations[] = {
	[ACTIVATION_GELU] = "gelu",
	[ACTIVATION_GELU_TANH] = "gelu_tanh",
	[ACTIVATION_RELU] = "relu",
	[ACTIVATION_SILU] = "silu",
};

Activation
activation_named(const text *name)
{
	char	   *wanted = text_to_cstring(name);

	for (size_t i = 0; i < lengthof(activations); i++)
	{
		if (strcmp(wanted, activations[i]) == 0)
			return (Activation) i;
	}
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("unknown activation \"%s\"", wanted),
			errhint("Known are \"gelu\", \"gelu_tanh\", \"relu\" and "
					"\"silu\"."));
	pg_unreachable();
}

/* Infinity and NaN, of which kernels know nothing */
static void
put_limits(const float *x, float *y, int64 n)
{
	for (int64 i = 0; i < n; i++)
	{
		if (isnan(x[i]))
			y[i] = x[i];
		else if (isinf(x[i]))
			y[i] = x[i] > 0 ? x[i] : -0.0f;
	}
}

static void
relu(const float *x, float *y, int64 n)
{
	for (int64 i = 0; i < n; i++)
		y[i] = x[i] < 0 ? 0 : x[i];
}

void
activation_row(void *arg, const float *x, float *y, int64 n)
{
	const KernelSet *kernels = settings_kernels();

	switch (*(const Activation *) arg)
	{
		case ACTIVATION_GELU:
			kernels->gelu_erf(x, NULL, y, n);
			break;
		case ACTIVATION_GELU_TANH:
			kernels->gelu_tanh(x, NULL, y, n);
			break;
		case ACTIVATION_SILU:
			kernels->silu(x, NULL, y, n);
			break;
		case ACTIVATION_RELU:
			relu(x, y, n);
			return;
	}
	if (!kernels->finite(x, n))
		put_limits(x, y, n);
}

/* Has a row that is not finite a softmax?  -infinity alone is no obstacle. */
static bool
has_softmax(const float *x, int64 n)
{
	bool		any = false;

	for (int64 i = 0; i < n; i++)
	{
		if (isnan(x[i]) || x[i] == get_float4_infinity())
			return false;
		any |= !isinf(x[i]);
	}
	return any;
}

void
softmax_row(void *arg, const float *x, float *y, int64 n)
{
	const KernelSet *kernels = settings_kernels();

	if (kernels->finite(x, n) || has_softmax(x, n))
		kernels->softmax(x, y, n);
	else
	{
		for (int64 i = 0; i < n; i++)
			y[i] = get_float4_nan();
	}
}

static RopeLayout
rope_layout(const text *name)
{
	char	   *wanted = text_to_cstring(name);

	if (strcmp(wanted, "neighbours") == 0)
		return ROPE_NORM;
	if (strcmp(wanted, "halves") == 0)
		return ROPE_NEOX;
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("unknown layout \"%s\"", wanted),
			errhint("Known are \"neighbours\" and \"halves\"."));
	pg_unreachable();
}

Rope *
rope_prepare(float base, const text *layout, const RealArray *matrix,
			 const char *what, int64 n, int64 heads)
{
	Rope	   *rope = palloc(sizeof(Rope));

	if (!(base >= 1) || isinf(base))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("base must be at least 1, and finite"));
	rope->layout = rope_layout(layout);
	rope->head_dim = n / heads;
	if (n % heads != 0)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("the %lld %s of %s are not %lld heads", (long long) n,
					   what, matrix->name, (long long) heads));
	if (rope->head_dim % 2 != 0)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("a head of %s has an odd number of %s", matrix->name,
					   what));
	rope->cosine = kernel_row(rope->head_dim / 2);
	rope->sine = kernel_row(rope->head_dim / 2);
	rope->frequency = MemoryContextAllocHuge(CurrentMemoryContext,
											 rope->head_dim / 2 *
											 sizeof(double));
	for (int64 i = 0; i < rope->head_dim / 2; i++)
		rope->frequency[i] = math_pow(base, -(2.0 * i) / rope->head_dim);
	return rope;
}

static void
turn_to(const Rope *rope, int64 position)
{
	for (int64 i = 0; i < rope->head_dim / 2; i++)
	{
		double		sine,
					cosine;

		math_sincos(position * rope->frequency[i], &sine, &cosine);
		rope->cosine[i] = (float) cosine;
		rope->sine[i] = (float) sine;
	}
}

/* The next row, all heads of it */
static void
rope_row(void *arg, const float *x, float *y, int64 n)
{
	Rope	   *rope = arg;

	turn_to(rope, rope->position++);
	memcpy(y, x, n * sizeof(float));
	for (int64 head = 0; head < n; head += rope->head_dim)
		settings_kernels()->rope(y + head, rope->cosine, rope->sine,
								 (int) rope->head_dim, rope->layout);
}

void
rope_rows(Rope *rope, float *x, int64 rows, int64 columns)
{
	rope->position = 0;
	map_rows(x, x, rows, columns, rope_row, rope);
}
