/*-------------------------------------------------------------------------
 *
 * candidates.c
 *	  The set of tokens that sampling still considers.
 *
 * Filters that take tokens in an order of their own build a heap in linear
 * time and take from its root until they have enough: a vocabulary of 50,000
 * is never sorted as a whole.  The orders are total (ids break ties), so the
 * heap's layout cannot show in the result.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "decode/candidates.h"

#include "base/math64.h"

#include <string.h>

EngineCode
candidates_open(Candidates *set, int32_t capacity, EngineArena *arena,
				EngineStatus *status)
{
	size_t		n = (size_t) capacity;

	set->n = 0;
	set->id = engine_alloc(arena, n, sizeof(int32_t), status);
	set->x = engine_alloc(arena, n, sizeof(double), status);
	set->p = engine_alloc(arena, n, sizeof(double), status);
	set->key = engine_alloc(arena, n, sizeof(double), status);
	set->heap = engine_alloc(arena, n, sizeof(int32_t), status);
	set->keep = engine_alloc(arena, n, 1, status);
	if (set->id == NULL || set->x == NULL || set->p == NULL ||
		set->key == NULL || set->heap == NULL || set->keep == NULL)
		return status->code;
	return ENGINE_OK;
}

/* Does a come before b?  By key ascending, then by id: index order. */
static inline bool
before(const double *key, int32_t a, int32_t b)
{
	return key[a] < key[b] || (key[a] == key[b] && a < b);
}

/* Let the entry at position i sink until both below it come after it. */
static void
heap_sink(int32_t *heap, int32_t n, const double *key, int32_t i)
{
	int32_t		moving = heap[i];

	for (;;)
	{
		int64_t		child = (int64_t) i * 2 + 1;

		if (child >= n)
			break;
		if (child + 1 < n && before(key, heap[child + 1], heap[child]))
			child++;
		if (!before(key, heap[child], moving))
			break;
		heap[i] = heap[child];
		i = (int32_t) child;
	}
	heap[i] = moving;
}

static void
heap_build(Candidates *set)
{
	for (int32_t i = 0; i < set->n; i++)
		set->heap[i] = i;
	for (int32_t i = set->n / 2 - 1; i >= 0; i--)
		heap_sink(set->heap, set->n, set->key, i);
}

/* Close the gaps that marks leave. */
static void
keep_marked(Candidates *set)
{
	int32_t		kept = 0;

	for (int32_t i = 0; i < set->n; i++)
	{
		if (!set->keep[i])
			continue;
		set->id[kept] = set->id[i];
		set->x[kept] = set->x[i];
		kept++;
	}
	set->n = kept;
}

static double
largest(const Candidates *set)
{
	double		max = set->x[0];

	for (int32_t i = 1; i < set->n; i++)
		max = set->x[i] > max ? set->x[i] : max;
	return max;
}

/* Fill p; returns max, and log(sum of exp(x - max)) in *log_sum. */
static double
probabilities(Candidates *set, double *log_sum)
{
	double		max = largest(set);
	double		sum = 0.0;

	for (int32_t i = 0; i < set->n; i++)
	{
		set->p[i] = math_exp(set->x[i] - max);
		sum += set->p[i];
	}
	for (int32_t i = 0; i < set->n; i++)
		set->p[i] /= sum;
	*log_sum = math_log(sum);
	return max;
}

/*
 * Keep the smallest set, taken by key, whose probability reaches mass.
 * Expects p and key.
 */
static void
keep_mass(Candidates *set, double mass)
{
	int32_t		left = set->n;
	double		sum = 0.0;

	memset(set->keep, 0, (size_t) set->n);
	heap_build(set);
	while (left > 0)
	{
		int32_t		first = set->heap[0];

		set->keep[first] = 1;
		sum += set->p[first];
		if (sum >= mass)
			break;
		set->heap[0] = set->heap[--left];
		if (left > 0)
			heap_sink(set->heap, left, set->key, 0);
	}
	keep_marked(set);
}

/* Is a the less likely of two, by (logit descending, id ascending)? */
static inline bool
less_likely(const double *x, int32_t a, int32_t b)
{
	return x[a] < x[b] || (x[a] == x[b] && a > b);
}

/* The same for a heap whose root is the least likely of what it holds. */
static void
heap_sink_likely(int32_t *heap, int32_t n, const double *x, int32_t i)
{
	int32_t		moving = heap[i];

	for (;;)
	{
		int64_t		child = (int64_t) i * 2 + 1;

		if (child >= n)
			break;
		if (child + 1 < n && less_likely(x, heap[child + 1], heap[child]))
			child++;
		if (!less_likely(x, heap[child], moving))
			break;
		heap[i] = heap[child];
		i = (int32_t) child;
	}
	heap[i] = moving;
}

/*
 * The k largest by (logit descending, id ascending): a heap of k, which most
 * tokens of a large vocabulary never enter.
 */
void
candidates_top_k(Candidates *set, int32_t k)
{
	if (k >= set->n)
		return;
	for (int32_t i = 0; i < k; i++)
		set->heap[i] = i;
	for (int32_t i = k / 2 - 1; i >= 0; i--)
		heap_sink_likely(set->heap, k, set->x, i);
	for (int32_t i = k; i < set->n; i++)
	{
		/* later ids lose ties, so only a larger logit can enter */
		if (set->x[i] > set->x[set->heap[0]])
		{
			set->heap[0] = i;
			heap_sink_likely(set->heap, k, set->x, 0);
		}
	}
	memset(set->keep, 0, (size_t) set->n);
	for (int32_t i = 0; i < k; i++)
		set->keep[set->heap[i]] = 1;
	keep_marked(set);
}

/*
 * Locally typical sampling (Meister et al. 2022, arXiv:2202.00666): tokens
 * whose surprise -ln p is nearest to the entropy come first.
 */
void
candidates_typical(Candidates *set, double mass)
{
	double		log_sum;
	double		max = probabilities(set, &log_sum);
	double		entropy = 0.0;

	for (int32_t i = 0; i < set->n; i++)
	{
		double		log_p = (set->x[i] - max) - log_sum;

		entropy -= set->p[i] * log_p;
		set->key[i] = -log_p;
	}
	for (int32_t i = 0; i < set->n; i++)
		set->key[i] = __builtin_fabs(set->key[i] - entropy);
	keep_mass(set, mass);
}

/* Nucleus sampling (Holtzman et al. 2020, arXiv:1904.09751). */
void
candidates_top_p(Candidates *set, double mass)
{
	double		log_sum;

	(void) probabilities(set, &log_sum);
	for (int32_t i = 0; i < set->n; i++)
		set->key[i] = -set->x[i];
	keep_mass(set, mass);
}

/* All that are at least a fraction of the most likely (arXiv:2407.01082). */
void
candidates_min_p(Candidates *set, double fraction)
{
	double		log_sum;
	double		p_max = 0.0;

	(void) probabilities(set, &log_sum);
	for (int32_t i = 0; i < set->n; i++)
		p_max = set->p[i] > p_max ? set->p[i] : p_max;
	for (int32_t i = 0; i < set->n; i++)
		set->keep[i] = set->p[i] >= fraction * p_max;
	keep_marked(set);
}

int32_t
candidates_draw(Candidates *set, double temperature, double u)
{
	double		max = largest(set);
	double		total = 0.0;
	double		sum = 0.0;
	int32_t		last = 0;

	for (int32_t i = 0; i < set->n; i++)
	{
		set->p[i] = math_exp((set->x[i] - max) / temperature);
		total += set->p[i];
	}
	for (int32_t i = 0; i < set->n; i++)
	{
		if (set->p[i] == 0.0)
			continue;
		sum += set->p[i];
		last = i;
		if (sum > u * total)
			break;
	}
	return set->id[last];
}
