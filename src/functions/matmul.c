/*-------------------------------------------------------------------------
 *
 * matmul.c
 *	  Products of matrices, and the layers that consist of them: attention
 *	  and the feed-forward network, on arrays.
 *
 * Vaswani et al., "Attention Is All You Need" (2017).  Weights are [outputs]
 * [inputs] as in PyTorch and llm.tensor(): a linear layer is y = x W^T + b.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <math.h>

#include "miscadmin.h"

#include "functions/math_rows.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(llm_matmul);
PG_FUNCTION_INFO_V1(llm_transpose);
PG_FUNCTION_INFO_V1(llm_scaled_dot_product_attention);
PG_FUNCTION_INFO_V1(llm_multi_head_attention);
PG_FUNCTION_INFO_V1(llm_feed_forward);

/* Rows of scores or of hidden values that are in memory at a time */
#define ROWS_AT_ONCE 512
#define VALUES_AT_ONCE (4 * 1024 * 1024)

/* llm.matmul(a, b) */
Datum
llm_matmul(PG_FUNCTION_ARGS)
{
	RealArray	a = real_matrix(fcinfo, 0, "a");
	RealArray	b = real_weights(fcinfo, 1, "b");
	ArrayType  *result;

	if (a.rows == 0)
		PG_RETURN_ARRAYTYPE_P(result_like(&a));
	real_check(&a, "columns", a.columns, &b, "rows", b.rows);
	result = result_matrix(a.rows, b.columns);
	blas_multiply(real_blas(&a), real_blas(&b), false, RESULT_VALUES(result),
				  b.columns);
	PG_RETURN_ARRAYTYPE_P(result);
}

/* llm.transpose(x): in squares, so that both sides stay in the cache */
Datum
llm_transpose(PG_FUNCTION_ARGS)
{
	RealArray	x = real_matrix(fcinfo, 0, "x");
	ArrayType  *result = result_matrix(x.columns, x.rows);
	float	   *y = RESULT_VALUES(result);

	for (int64 first = 0; first < x.columns; first += 16)
	{
		int64		n = Min(16, x.columns - first);

		for (int64 row = 0; row < x.rows; row++)
		{
			if (row % 1024 == 0)
				CHECK_FOR_INTERRUPTS();
			for (int64 i = first; i < first + n; i++)
				y[i * x.rows + row] = x.values[row * x.columns + i];
		}
	}
	PG_RETURN_ARRAYTYPE_P(result);
}

/* Rows of so many values that are computed at a time */
static int64
rows_at_once(int64 values)
{
	return Max(1, Min(ROWS_AT_ONCE, VALUES_AT_ONCE / values));
}

/* out[x.rows][w.rows] = x w^T + bias (NULL: none) */
static void
linear(BlasMatrix x, const RealArray *w, const float *bias, float *out)
{
	int64		n = w->rows;

	blas_multiply(x, real_blas(w), true, out, n);
	for (int64 row = 0; bias != NULL && row < x.rows; row++)
	{
		CHECK_FOR_INTERRUPTS();
		for (int64 i = 0; i < n; i++)
			out[row * n + i] += bias[i];
	}
}

/* Queries, keys and values of one head */
typedef struct Head
{
	BlasMatrix	q;
	BlasMatrix	k;
	BlasMatrix	v;
	bool		causal;			/* row i sees the keys 0 .. i */
} Head;

static int64
visible_keys(const Head *head, int64 row)
{
	return head->causal ? Min(row + 1, head->k.rows) : head->k.rows;
}

/* The weights of one query in place of its scores; invisible keys: 0 */
static void
weigh(const Head *head, int64 row, float *scores, float *scratch,
	  int64 n_scores)
{
	const KernelSet *kernels = settings_kernels();
	int64		n = visible_keys(head, row);
	float		scale = 1.0f / __builtin_sqrtf((float) head->q.columns);
	uint64		rounding = kernels_enter();

	memcpy(scratch, scores, n * sizeof(float));
	kernels->scale(scratch, scale, n);
	softmax_row(NULL, scratch, scratch, n);
	memcpy(scores, scratch, n * sizeof(float));
	memset(scores + n, 0, (n_scores - n) * sizeof(float));
	kernels_leave(rounding);
}

/*
 * The result of one head: out[q.rows][v.columns] = softmax(q k^T / sqrt d) v.
 * Rows of one slice are multiplied with the keys that its last row sees.
 * That may be more than its first one does: 0 times a value is 0, unless the
 * value is infinite or NaN.  Then the slices are single rows.
 */
static void
attend(const Head *head, int64 at_once, float *scores, float *scratch,
	   float *out, int64 out_stride)
{
	for (int64 first = 0; first < head->q.rows; first += at_once)
	{
		BlasMatrix	q = head->q;
		BlasMatrix	k = head->k;
		BlasMatrix	v = head->v;
		BlasMatrix	weights;

		q.values += first * q.stride;
		q.rows = Min(at_once, q.rows - first);
		k.rows = v.rows = visible_keys(head, first + q.rows - 1);
		blas_multiply(q, k, true, scores, k.rows);
		for (int64 i = 0; i < q.rows; i++)
		{
			CHECK_FOR_INTERRUPTS();
			weigh(head, first + i, scores + i * k.rows, scratch, k.rows);
		}
		weights = (BlasMatrix)
		{
			scores, q.rows, k.rows, k.rows
		};
		blas_multiply(weights, v, false, out + first * out_stride,
					  out_stride);
	}
}

static bool
all_finite(const float *values, int64 n)
{
	bool		finite = true;

	for (int64 i = 0; i < n; i++)
		finite &= !isnan(values[i]) && !isinf(values[i]);
	return finite;
}

/* Rows of a slice, for heads whose values all lie in one array */
static int64
queries_at_once(bool causal, const float *values, int64 n_values,
				int64 n_keys)
{
	if (causal && !all_finite(values, n_values))
		return 1;
	return rows_at_once(n_keys);
}

/* llm.scaled_dot_product_attention(q, k, v, causal) */
Datum
llm_scaled_dot_product_attention(PG_FUNCTION_ARGS)
{
	RealArray	q = real_matrix(fcinfo, 0, "q");
	RealArray	k = real_weights(fcinfo, 1, "k");
	RealArray	v = real_weights(fcinfo, 2, "v");
	Head		head = {.causal = PG_GETARG_BOOL(3)};
	int64		at_once;
	ArrayType  *result;

	real_check(&k, "rows", k.rows, &v, "rows", v.rows);
	if (q.rows == 0)
		PG_RETURN_ARRAYTYPE_P(result_like(&q));
	real_check(&q, "columns", q.columns, &k, "columns", k.columns);
	result = result_matrix(q.rows, v.columns);
	head.q = real_blas(&q);
	head.k = real_blas(&k);
	head.v = real_blas(&v);
	at_once = queries_at_once(head.causal, v.values, v.rows * v.columns,
							  k.rows);
	attend(&head, at_once, kernel_row(at_once * k.rows), kernel_row(k.rows),
		   RESULT_VALUES(result), v.columns);
	PG_RETURN_ARRAYTYPE_P(result);
}

/* What llm.multi_head_attention() was given */
typedef struct MultiHead
{
	RealArray	x;
	RealArray	wq,
				wk,
				wv,
				wo;
	RealArray	bq,
				bk,
				bv,
				bo;
	int64		heads;
	int64		kv_heads;
	int64		head_dim;
	int64		value_dim;
	bool		causal;
	Rope	   *rope;			/* NULL: none */
} MultiHead;

/* heads: every query head has a key head, which several may share. */
static void
count_heads(MultiHead *m, int64 heads)
{
	if (heads < 1)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("heads must be at least 1"));
	if (m->wq.rows % heads != 0)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("the %lld rows of wq are not %lld heads",
					   (long long) m->wq.rows, (long long) heads));
	m->heads = heads;
	m->head_dim = m->wq.rows / heads;
	m->kv_heads = m->wk.rows / m->head_dim;
	if (m->wk.rows % m->head_dim != 0 || heads % m->kv_heads != 0)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("the %lld rows of wk are not heads that %lld heads "
					   "of wq can share", (long long) m->wk.rows,
					   (long long) heads),
				errdetail("A head has %lld rows.", (long long) m->head_dim));
	m->value_dim = m->wv.rows / m->kv_heads;
	if (m->wv.rows % m->kv_heads != 0)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("the %lld rows of wv are not the %lld heads of wk",
					   (long long) m->wv.rows, (long long) m->kv_heads));
}

static void
read_weights(FunctionCallInfo fcinfo, MultiHead *m)
{
	const RealArray *x = &m->x;

	m->wq = real_weights(fcinfo, 1, "wq");
	m->wk = real_weights(fcinfo, 2, "wk");
	m->wv = real_weights(fcinfo, 3, "wv");
	m->wo = real_weights(fcinfo, 4, "wo");
	real_check(x, "columns", x->columns, &m->wq, "columns", m->wq.columns);
	real_check(x, "columns", x->columns, &m->wk, "columns", m->wk.columns);
	real_check(x, "columns", x->columns, &m->wv, "columns", m->wv.columns);
	count_heads(m, PG_GETARG_INT32(5));
	if (m->wo.columns != m->heads * m->value_dim)
		ereport(ERROR,
				errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				errmsg("wo has %lld columns, %lld heads of wv have %lld "
					   "values", (long long) m->wo.columns,
					   (long long) m->heads,
					   (long long) (m->heads * m->value_dim)));
	m->bq = real_vector(fcinfo, 7, "bq", &m->wq, "rows", m->wq.rows);
	m->bk = real_vector(fcinfo, 8, "bk", &m->wk, "rows", m->wk.rows);
	m->bv = real_vector(fcinfo, 9, "bv", &m->wv, "rows", m->wv.rows);
	m->bo = real_vector(fcinfo, 10, "bo", &m->wo, "rows", m->wo.rows);
	m->causal = PG_GETARG_BOOL(6);
	if (!PG_ARGISNULL(11))
		m->rope = rope_prepare(PG_GETARG_FLOAT4(11), PG_GETARG_TEXT_PP(12),
							   &m->wq, "rows", m->wq.rows, m->heads);
}

/* Queries, keys or values of all heads: a row for each of x */
static float *
project(const MultiHead *m, const RealArray *w, const RealArray *bias,
		bool turn)
{
	float	   *out = RESULT_VALUES(result_matrix(m->x.rows, w->rows));

	linear(real_blas(&m->x), w, bias->values, out);
	if (turn && m->rope != NULL)
		rope_rows(m->rope, out, m->x.rows, w->rows);
	return out;
}

/* All heads, side by side in rows of out */
static void
attend_heads(const MultiHead *m, float *out)
{
	int64		n = m->x.rows;
	float	   *q = project(m, &m->wq, &m->bq, true);
	float	   *k = project(m, &m->wk, &m->bk, true);
	float	   *v = project(m, &m->wv, &m->bv, false);
	int64		at_once = queries_at_once(m->causal, v, n * m->wv.rows, n);
	float	   *scores = kernel_row(at_once * n);
	float	   *scratch = kernel_row(n);

	for (int64 i = 0; i < m->heads; i++)
	{
		int64		kv = i / (m->heads / m->kv_heads);
		Head		head = {
			.q = {q + i * m->head_dim, n, m->head_dim, m->wq.rows},
			.k = {k + kv * m->head_dim, n, m->head_dim, m->wk.rows},
			.v = {v + kv * m->value_dim, n, m->value_dim, m->wv.rows},
			.causal = m->causal
		};

		attend(&head, at_once, scores, scratch, out + i * m->value_dim,
			   m->wo.columns);
	}
}

/*
 * llm.multi_head_attention(x, wq, wk, wv, wo, heads, causal, bq, bk, bv, bo,
 * rope_base, rope_layout)
 */
Datum
llm_multi_head_attention(PG_FUNCTION_ARGS)
{
	MultiHead	m = {0};
	ArrayType  *result;
	BlasMatrix	heads;
	float	   *out;

	for (int i = 0; i <= 6; i++)
	{
		if (PG_ARGISNULL(i))
			PG_RETURN_NULL();
	}
	if (PG_ARGISNULL(12))
		PG_RETURN_NULL();
	m.x = real_matrix(fcinfo, 0, "x");
	if (m.x.rows == 0)
		PG_RETURN_ARRAYTYPE_P(result_like(&m.x));
	read_weights(fcinfo, &m);
	result = result_matrix(m.x.rows, m.wo.rows);
	out = RESULT_VALUES(result_matrix(m.x.rows, m.wo.columns));
	attend_heads(&m, out);
	heads = (BlasMatrix)
	{
		out, m.x.rows, m.wo.columns, m.wo.columns
	};
	linear(heads, &m.wo, m.bo.values, RESULT_VALUES(result));
	PG_RETURN_ARRAYTYPE_P(result);
}

/* What llm.feed_forward() was given; vectors and w3 may be missing */
typedef struct FeedForward
{
	RealArray	x;
	RealArray	w1,
				w2,
				w3;
	RealArray	b1,
				b2;
	Activation	activation;
} FeedForward;

/* hidden = activation(x w1^T + b1), with w3 times x w3^T */
static void
fill_hidden(FeedForward *f, BlasMatrix x, float *hidden, float *gated)
{
	int64		n = x.rows * f->w1.rows;

	linear(x, &f->w1, f->b1.values, hidden);
	map_values(hidden, hidden, n, activation_row, &f->activation);
	if (f->w3.values == NULL)
		return;
	linear(x, &f->w3, NULL, gated);
	for (int64 i = 0; i < n; i++)
		hidden[i] *= gated[i];
}

static void
feed_rows(FeedForward *f, float *out)
{
	int64		n = f->w1.rows;
	int64		at_once = rows_at_once(n);
	float	   *hidden = kernel_row(at_once * n);
	float	   *gated = f->w3.values != NULL ? kernel_row(at_once * n) : NULL;

	for (int64 first = 0; first < f->x.rows; first += at_once)
	{
		BlasMatrix	x = real_blas(&f->x);
		BlasMatrix	h = {hidden, Min(at_once, x.rows - first), n, n};

		x.values += first * x.stride;
		x.rows = h.rows;
		fill_hidden(f, x, hidden, gated);
		linear(h, &f->w2, f->b2.values, out + first * f->w2.rows);
	}
}

static void
read_feed_forward(FunctionCallInfo fcinfo, FeedForward *f)
{
	const RealArray *x = &f->x;

	f->w1 = real_weights(fcinfo, 1, "w1");
	f->b1 = real_vector(fcinfo, 2, "b1", &f->w1, "rows", f->w1.rows);
	f->w2 = real_weights(fcinfo, 3, "w2");
	f->b2 = real_vector(fcinfo, 4, "b2", &f->w2, "rows", f->w2.rows);
	f->activation = activation_named(PG_GETARG_TEXT_PP(5));
	f->w3 = real_weights(fcinfo, 6, "w3");
	real_check(x, "columns", x->columns, &f->w1, "columns", f->w1.columns);
	real_check(&f->w1, "rows", f->w1.rows, &f->w2, "columns",
			   f->w2.columns);
	if (f->w3.values == NULL)
		return;
	real_check(x, "columns", x->columns, &f->w3, "columns", f->w3.columns);
	real_check(&f->w1, "rows", f->w1.rows, &f->w3, "rows", f->w3.rows);
}

/* llm.feed_forward(x, w1, b1, w2, b2, activation, w3) */
Datum
llm_feed_forward(PG_FUNCTION_ARGS)
{
	FeedForward f = {0};
	ArrayType  *result;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(3) ||
		PG_ARGISNULL(5))
		PG_RETURN_NULL();
	f.x = real_array(fcinfo, 0, "x");
	if (f.x.rows == 0)
		PG_RETURN_ARRAYTYPE_P(result_like(&f.x));
	read_feed_forward(fcinfo, &f);
	result = result_rows(&f.x, f.w2.rows);
	feed_rows(&f, RESULT_VALUES(result));
	PG_RETURN_ARRAYTYPE_P(result);
}
