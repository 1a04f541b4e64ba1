/*-------------------------------------------------------------------------
 *
 * attention_reference.c
 *	  softmax(Q K^T * scale) V of one kv head.  Plain C, the definition.
 *
 * Each query walks over its keys in blocks of 64 within segments of 512,
 * both aligned to absolute positions, so that the same operations happen in
 * the same order however queries are cut into tasks.  A segment keeps a
 * running maximum m, the sum l of exp(s - m) and o, the sum of exp(s - m) * v
 * (Milakov & Gimelshein, "Online normalizer calculation for softmax", 2018);
 * segments are merged in ascending order.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "kernels/reference.h"

#include "kernels/attention.h"

/* A softmax-weighted sum that is under way */
typedef struct Running
{
	float		m;				/* maximum of the scores so far */
	float		l;				/* sum of exp(s - m) */
	float	   *o;				/* [value_dim] sum of exp(s - m) * v */
	bool		finite;			/* all visible scores were */
} Running;

/* Element i of the keys (offset k_offset) or values of position j's page */
static inline float
page_element(const AttentionTask *task, int64_t j, size_t offset, size_t i)
{
	const uint8_t *base = task->pages[j / KV_PAGE_POSITIONS] + offset;
	uint16_t	half;
	float		x;

	if (task->type == KV_F32)
	{
		memcpy(&x, base + i * sizeof(x), sizeof(x));
		return x;
	}
	memcpy(&half, base + i * sizeof(half), sizeof(half));
	return f16_to_f32(half);
}

/* The score of query row i of head g and key j */
static float
attention_score(const AttentionTask *task, int i, int g, int64_t j)
{
	const float *q = task->q + i * task->q_stride +
		(size_t) g * task->head_dim;
	size_t		lane = j % KV_PAGE_POSITIONS;
	float		s = 0.0f;

	for (int d = 0; d < task->head_dim; d++)
		s = f32_fma(q[d],
					page_element(task, j, task->k_offset,
								 (size_t) d * KV_PAGE_POSITIONS + lane), s);
	s = s * task->scale;
	if (task->softcap > 0.0f)
		s = task->softcap * f32_tanh(s / task->softcap);
	if (task->slopes != NULL)
	{
		int64_t		distance = task->first_position + i - j;

		s = s - task->slopes[g] * (float) (distance < 0 ? -distance : distance);
	}
	return s;
}

/* Take the visible keys of one block into a running segment. */
static void
attention_block(const AttentionTask *task, int i, int g, KeyRange keys,
				Running *run)
{
	int64_t		first = keys.begin - keys.begin % ATTENTION_BLOCK;
	float		p[ATTENTION_BLOCK] = {0};
	float		m = run->m;
	float		c;

	for (int64_t j = keys.begin; j < keys.end; j++)
	{
		float		s = attention_score(task, i, g, j);

		run->finite = run->finite && f32_is_finite(s);
		p[j - first] = s;
		m = s > m ? s : m;
	}
	c = f32_exp(run->m - m);
	for (int64_t j = keys.begin; j < keys.end; j++)
		p[j - first] = f32_exp(p[j - first] - m);

	run->m = m;
	run->l = f32_fma(run->l, c, KERNEL(vector_sum) (p, ATTENTION_BLOCK));
	for (int d = 0; d < task->value_dim; d++)
	{
		float		o = run->o[d] * c;

		for (int64_t j = keys.begin; j < keys.end; j++)
		{
			size_t		lane = j % KV_PAGE_POSITIONS;

			o = f32_fma(p[j - first],
						page_element(task, j, task->v_offset,
									 lane * task->value_dim + d), o);
		}
		run->o[d] = o;
	}
}

/* One segment, from nothing */
static void
attention_segment(const AttentionTask *task, int i, int g, KeyRange keys,
				  Running *run)
{
	int64_t		first = keys.begin - keys.begin % ATTENTION_BLOCK;

	run->m = -F32_INFINITY;
	run->l = 0.0f;
	for (int d = 0; d < task->value_dim; d++)
		run->o[d] = 0.0f;
	for (; first < keys.end; first += ATTENTION_BLOCK)
		attention_block(task, i, g, keys_within(keys, first, ATTENTION_BLOCK),
						run);
}

/* Fold a later segment into the sum of the earlier ones. */
static void
attention_merge(Running *sum, const Running *next, int value_dim)
{
	float		m = sum->m > next->m ? sum->m : next->m;
	float		a = f32_exp(sum->m - m);
	float		b = f32_exp(next->m - m);

	sum->m = m;
	sum->l = f32_fma(next->l, b, sum->l * a);
	for (int d = 0; d < value_dim; d++)
		sum->o[d] = f32_fma(next->o[d], b, sum->o[d] * a);
}

/* All keys of one query; sum->o and scratch have value_dim floats each. */
static void
attention_query(const AttentionTask *task, int i, int g, float *scratch,
				Running *sum)
{
	KeyRange	keys = visible_keys(task, i);
	int64_t		first = keys.begin - keys.begin % ATTENTION_SEGMENT;
	Running		next = {.o = scratch, .finite = true};

	sum->finite = true;
	attention_segment(task, i, g, keys_within(keys, first, ATTENTION_SEGMENT),
					  sum);
	for (first += ATTENTION_SEGMENT; first < keys.end;
		 first += ATTENTION_SEGMENT)
	{
		attention_segment(task, i, g,
						  keys_within(keys, first, ATTENTION_SEGMENT), &next);
		attention_merge(sum, &next, task->value_dim);
	}
	sum->finite = sum->finite && next.finite;
}

void
KERNEL(attention) (const AttentionTask *task)
{
	for (int i = 0; i < task->n_queries; i++)
	{
		for (int g = 0; g < task->group; g++)
		{
			float	   *out = task->out + i * task->out_stride +
				(size_t) g * task->value_dim;
			Running		sum = {.o = task->scratch};

			attention_query(task, i, g, task->scratch + task->value_dim,
							&sum);
			for (int d = 0; d < task->value_dim; d++)
				out[d] = sum.finite ? sum.o[d] / sum.l : ATTENTION_POISON;
		}
	}
}

void
KERNEL(attention_row) (const AttentionTask *task, int i, int g, float *score,
					   float *weight)
{
	AttentionTask without_values = *task;
	KeyRange	keys = visible_keys(task, i);
	Running		sum = {.o = NULL};

	without_values.value_dim = 0;
	attention_query(&without_values, i, g, NULL, &sum);
	for (int64_t j = 0; j < task->n_keys; j++)
	{
		bool		visible = j >= keys.begin && j < keys.end;

		score[j] = visible ? attention_score(task, i, g, j) : -F32_INFINITY;
		weight[j] = visible ? f32_exp(score[j] - sum.m) / sum.l : 0.0f;
	}
}

#include "kernels/target_end.h"
