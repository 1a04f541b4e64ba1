/*-------------------------------------------------------------------------
 *
 * attention_test.c
 *	  Attention of every kernel set, by memcmp against the reference, and the
 *	  reference against a plain softmax in double precision.
 *
 * Pages that no query of a task sees are NULL, and slots that hold no key are
 * NaN: touching the one crashes, using the other shows.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "numbers.h"

#include "kernels/attention.h"
#include "kernels/half.h"
#include "kernels/kernels.h"

#define MOST_WORK 1500000		/* queries * heads * keys * dimensions */

static const KernelSet *reference;

/* A task with memory of its own */
typedef struct Bed
{
	AttentionTask task;
	uint8_t   **pages;			/* all of them */
	const uint8_t **visible;	/* those that a query sees, else NULL */
	int			n_pages;
	float	   *q;
	float	   *slopes;
	size_t		out_size;
	size_t		scratch_size;
} Bed;

typedef struct Shape
{
	KvType		type;
	int			head_dim;
	int			value_dim;
	int			group;
	int64_t		n_keys;
	int64_t		first_position;
	int			n_queries;
	bool		causal;
	int64_t		window;
	float		softcap;
	bool		alibi;
	float		amplitude;		/* of queries */
} Shape;

static void
fill_pages(Bed *bed, const Shape *shape)
{
	size_t		element = shape->type == KV_F32 ? 4 : 2;
	size_t		k_bytes = (size_t) shape->head_dim * 16 * element;
	size_t		v_bytes = (size_t) shape->value_dim * 16 * element;

	bed->task.k_offset = 64;	/* as if other layers stood before */
	bed->task.v_offset = (64 + k_bytes + 63) / 64 * 64;
	bed->n_pages = (int) ((shape->n_keys + 15) / 16);
	bed->pages = calloc((size_t) bed->n_pages, sizeof(*bed->pages));
	for (int p = 0; p < bed->n_pages; p++)
	{
		size_t		size = bed->task.v_offset + v_bytes;

		bed->pages[p] = aligned_alloc(64, (size + 63) / 64 * 64);
		memset(bed->pages[p], 0xff, (size + 63) / 64 * 64);
	}
	for (int64_t j = 0; j < shape->n_keys; j++)
	{
		float	   *key = numbers((size_t) shape->head_dim, NUMBERS_PLAIN);
		float	   *value = numbers((size_t) shape->value_dim, NUMBERS_PLAIN);
		uint8_t    *page = bed->pages[j / 16];

		reference->kv_store(shape->type, key, shape->head_dim, value,
							shape->value_dim, (int) (j % 16),
							page + bed->task.k_offset,
							page + bed->task.v_offset);
		free(key);
		free(value);
	}
}

static void
show_visible_pages(Bed *bed)
{
	memset(bed->visible, 0, (size_t) bed->n_pages * sizeof(*bed->visible));
	for (int i = 0; i < bed->task.n_queries; i++)
	{
		KeyRange	keys = visible_keys(&bed->task, i);

		for (int64_t p = keys.begin / 16; p * 16 < keys.end; p++)
			bed->visible[p] = bed->pages[p];
	}
}

static void
make_bed(Bed *bed, const Shape *shape)
{
	AttentionTask *task = &bed->task;
	size_t		q_size;

	memset(bed, 0, sizeof(*bed));
	task->type = shape->type;
	task->head_dim = shape->head_dim;
	task->value_dim = shape->value_dim;
	task->group = shape->group;
	task->n_keys = shape->n_keys;
	task->first_position = shape->first_position;
	task->n_queries = shape->n_queries;
	task->causal = shape->causal;
	task->window = shape->window;
	task->softcap = shape->softcap;
	task->scale = 1.0f / sqrtf((float) shape->head_dim);
	fill_pages(bed, shape);
	task->q_stride = (size_t) (shape->group * shape->head_dim + 3);
	task->out_stride = (size_t) (shape->group * shape->value_dim + 5);
	q_size = task->q_stride * (size_t) shape->n_queries;
	bed->q = numbers(q_size, NUMBERS_PLAIN);
	for (size_t i = 0; i < q_size; i++)
		bed->q[i] *= shape->amplitude;
	bed->slopes = numbers((size_t) shape->group, NUMBERS_PLAIN);
	task->q = bed->q;
	task->slopes = shape->alibi ? bed->slopes : NULL;
	bed->scratch_size = attention_scratch(shape->head_dim, shape->value_dim,
										  shape->group, shape->n_queries);
	task->scratch = numbers_blank(bed->scratch_size);
	bed->out_size = task->out_stride * (size_t) shape->n_queries;
	bed->visible = calloc((size_t) bed->n_pages, sizeof(*bed->visible));
	task->pages = bed->visible;
	show_visible_pages(bed);
}

static void
free_bed(Bed *bed)
{
	for (int p = 0; p < bed->n_pages; p++)
		free(bed->pages[p]);
	free(bed->pages);
	free(bed->visible);
	free(bed->q);
	free(bed->slopes);
	free(bed->task.scratch);
}

/* What the set makes of the task; canaries where nothing is written */
static float *
attend(Bed *bed, const KernelSet *set)
{
	float	   *out = numbers_blank(bed->out_size);

	bed->task.out = out;
	set->attention(&bed->task);
	return out;
}

/* The same, in several calls */
static float *
attend_in_parts(Bed *bed, const KernelSet *set)
{
	float	   *out = numbers_blank(bed->out_size);
	AttentionTask whole = bed->task;

	for (int i = 0; i < whole.n_queries; i += bed->task.n_queries)
	{
		bed->task.n_queries = 1 + number_below(whole.n_queries - i);
		bed->task.first_position = whole.first_position + i;
		bed->task.q = whole.q + (size_t) i * whole.q_stride;
		bed->task.out = out + (size_t) i * whole.out_stride;
		show_visible_pages(bed);
		set->attention(&bed->task);
	}
	bed->task = whole;
	show_visible_pages(bed);
	return out;
}

static void
describe(const Shape *shape, const char *set, const char *what)
{
	fail_msg("%s: %s differs: type %d, dims %d %d, group %d, keys %d, position"
			 " %d, queries %d, causal %d, window %d, softcap %g, alibi %d",
			 set, what, shape->type, shape->head_dim, shape->value_dim,
			 shape->group, (int) shape->n_keys, (int) shape->first_position,
			 shape->n_queries, shape->causal, (int) shape->window,
			 shape->softcap, shape->alibi);
}

/* Scores and weights of one row, n_keys of each */
static float *
attend_row(Bed *bed, const KernelSet *set, int i, int g)
{
	size_t		n = (size_t) bed->task.n_keys;
	float	   *result = numbers_blank(2 * n);

	set->attention_row(&bed->task, i, g, result, result + n);
	return result;
}

static void
check_rows(Bed *bed, const Shape *shape)
{
	size_t		size = 2 * (size_t) shape->n_keys * sizeof(float);
	int			i = number_below(shape->n_queries);
	int			g = number_below(shape->group);
	float	   *want = attend_row(bed, reference, i, g);
	const KernelSet *set;

	for (int s = 1; (set = kernels_nth(s)) != NULL; s++)
	{
		float	   *got = attend_row(bed, set, i, g);

		if (memcmp(want, got, size) != 0)
			describe(shape, set->name, "row");
		free(got);
	}
	free(want);
}

static void
check_sets(const Shape *shape)
{
	Bed			bed;
	size_t		size;
	float	   *want;
	const KernelSet *set;

	make_bed(&bed, shape);
	size = (bed.out_size + 16) * sizeof(float);
	want = attend(&bed, reference);
	for (int i = 0; (set = kernels_nth(i)) != NULL; i++)
	{
		float	   *whole = attend(&bed, set);
		float	   *parts = attend_in_parts(&bed, set);

		if (memcmp(want, whole, size) != 0)
			describe(shape, set->name, "attention");
		if (memcmp(want, parts, size) != 0)
			describe(shape, set->name, "attention in parts");
		free(whole);
		free(parts);
	}
	check_rows(&bed, shape);
	assert_memory_equal(bed.task.scratch + bed.scratch_size, numbers_canaries,
						sizeof(numbers_canaries));
	free(want);
	free_bed(&bed);
}

/* Positions around the borders of pages, blocks and segments */
static const int borders[] = {
	0, 1, 15, 16, 17, 63, 64, 65, 100, 500, 511, 512, 513, 575, 1023, 1030
};

static const int dims[] = {1, 7, 16, 64, 80, 128, 256};

#define N_BORDERS ((int) (sizeof(borders) / sizeof(borders[0])))
#define N_DIMS ((int) (sizeof(dims) / sizeof(dims[0])))

static void
random_options(Shape *shape)
{
	static const int windows[] = {1, 3, 20, 64, 100, 600};

	shape->type = number_below(3) == 0 ? KV_F32 : KV_F16;
	shape->causal = number_below(3) != 0;
	shape->window = number_below(2) ? 0 : windows[number_below(6)];
	shape->softcap = number_below(3) == 0 ? 5.0f : 0.0f;
	shape->alibi = number_below(3) == 0;
	shape->amplitude = number_below(4) == 0 ? 30.0f : 1.0f;
	shape->first_position = borders[number_below(N_BORDERS)];
	shape->n_queries = 1 + number_below(number_below(2) ? 3 : 40);
	shape->n_keys = shape->first_position + shape->n_queries;
	if (!shape->causal && number_below(2))
		shape->n_keys += number_below(100);
}

static void
bound_work(Shape *shape)
{
	while (shape->n_queries > 1 &&
		   (double) shape->n_queries * shape->group *
		   (double) shape->n_keys * shape->head_dim > MOST_WORK)
	{
		shape->n_queries--;
		shape->n_keys--;
	}
}

static void
all_dimensions_and_groups(void **state)
{
	(void) state;
	numbers_seed(1);
	for (int d = 0; d < N_DIMS; d++)
	{
		for (int group = 1; group <= 8; group++)
		{
			Shape		shape = {.group = group};

			shape.head_dim = dims[d];
			shape.value_dim = number_below(4) == 0 ?
				dims[number_below(N_DIMS)] : dims[d];
			random_options(&shape);
			bound_work(&shape);
			check_sets(&shape);
		}
	}
}

static void
all_borders(void **state)
{
	(void) state;
	numbers_seed(2);
	for (int turn = 0; turn < 4 * N_BORDERS; turn++)
	{
		Shape		shape = {.head_dim = 16, .value_dim = 16};

		random_options(&shape);
		shape.first_position = borders[turn % N_BORDERS];
		shape.n_queries = 1 + number_below(20);
		shape.n_keys = shape.first_position + shape.n_queries;
		shape.group = 1 + number_below(3);
		check_sets(&shape);
	}
}

/* Every option on and off, with and without each other */
static void
all_options(void **state)
{
	(void) state;
	numbers_seed(3);
	for (int bits = 0; bits < 64; bits++)
	{
		Shape		shape = {.head_dim = 32, .value_dim = 48, .group = 2,
		.first_position = 530, .n_queries = 9, .amplitude = 1.0f};

		shape.type = bits & 1 ? KV_F32 : KV_F16;
		shape.causal = (bits & 2) != 0;
		shape.window = bits & 4 ? 40 : 0;
		shape.softcap = bits & 8 ? 2.0f : 0.0f;
		shape.alibi = (bits & 16) != 0;
		shape.n_keys = shape.first_position + (bits & 32 ? 9 : 70);
		check_sets(&shape);
	}
}

/* Every head a row of its own: more rows than tiles, many queries */
static void
many_rows(void **state)
{
	Shape		shape = {.head_dim = 8, .value_dim = 8, .group = 71,
		.n_keys = 50, .first_position = 17, .n_queries = 33, .causal = true,
	.amplitude = 2.0f};

	(void) state;
	numbers_seed(4);
	check_sets(&shape);
}

/* Softmax(QK) V in double precision, without blocks or segments */
static void
plain_attention(const Bed *bed, int i, int g, double *out)
{
	const AttentionTask *task = &bed->task;
	KeyRange	keys = visible_keys(task, i);
	double		sum = 0;

	memset(out, 0, (size_t) task->value_dim * sizeof(*out));
	for (int64_t j = keys.begin; j < keys.end; j++)
	{
		const uint8_t *k = bed->pages[j / 16] + task->k_offset;
		const uint8_t *v = bed->pages[j / 16] + task->v_offset;
		double		s = 0;

		for (int d = 0; d < task->head_dim; d++)
		{
			int64_t		at = d * 16 + j % 16;

			s += (double) task->q[(size_t) i * task->q_stride +
								  (size_t) (g * task->head_dim + d)] *
				(double) (task->type == KV_F32 ? ((const float *) k)[at] :
						  f16_to_f32(((const uint16_t *) k)[at]));
		}
		s *= task->scale;
		if (task->softcap > 0)
			s = task->softcap * tanh(s / task->softcap);
		if (task->slopes != NULL)
			s -= task->slopes[g] * fabs((double) (task->first_position + i -
												  j));
		s = exp(s);
		sum += s;
		for (int d = 0; d < task->value_dim; d++)
		{
			int64_t		at = j % 16 * task->value_dim + d;

			out[d] += s * (double) (task->type == KV_F32 ?
									((const float *) v)[at] :
									f16_to_f32(((const uint16_t *) v)[at]));
		}
	}
	for (int d = 0; d < task->value_dim; d++)
		out[d] /= sum;
}

static void
reference_is_attention(void **state)
{
	double		worst = 0;

	(void) state;
	numbers_seed(5);
	for (int turn = 0; turn < 100; turn++)
	{
		Shape		shape = {.head_dim = 24, .value_dim = 20, .group = 2};
		Bed			bed;
		double		plain[20];
		float	   *out;

		random_options(&shape);
		shape.amplitude = 1.0f;
		shape.alibi = shape.alibi && shape.window > 0;
		bound_work(&shape);
		make_bed(&bed, &shape);
		for (int g = 0; g < shape.group; g++)
			bed.slopes[g] = fabsf(bed.slopes[g]) / 100;
		out = attend(&bed, reference);
		for (int i = 0; i < shape.n_queries; i++)
		{
			for (int g = 0; g < shape.group; g++)
			{
				const float *o = out + (size_t) i * bed.task.out_stride +
					g * 20;

				plain_attention(&bed, i, g, plain);
				for (int d = 0; d < 20; d++)
					worst = fmax(worst, fabs(o[d] - plain[d]));
			}
		}
		free(out);
		free_bed(&bed);
	}
	/* values are below 4; observed 2e-6 */
	if (!(worst < 4e-6))
		fail_msg("attention is off by %g", worst);
}

/* weights of a row are those that give its result */
static void
rows_explain_results(void **state)
{
	Shape		shape = {.head_dim = 24, .value_dim = 16, .group = 3,
		.n_keys = 700, .first_position = 690, .n_queries = 10, .causal = true,
	.amplitude = 1.0f};
	Bed			bed;
	float	   *out;
	float	   *row;

	(void) state;
	numbers_seed(6);
	make_bed(&bed, &shape);
	out = attend(&bed, reference);
	row = attend_row(&bed, reference, 4, 2);
	for (int d = 0; d < 16; d++)
	{
		double		sum = 0;

		for (int64_t j = 0; j < 700; j++)
		{
			const uint16_t *v = (const uint16_t *)
				(bed.pages[j / 16] + bed.task.v_offset);

			if (j > 694)
			{
				assert_true(row[j] == -INFINITY);
				assert_true(row[700 + j] == 0.0f);
			}
			else
				sum += (double) row[700 + j] *
					(double) f16_to_f32(v[j % 16 * 16 + d]);
		}
		/* observed 5e-7 */
		assert_true(fabs(sum - out[4 * bed.task.out_stride +
								   2 * 16 + (size_t) d]) < 2e-6);
	}
	free(out);
	free(row);
	free_bed(&bed);
}

/* A visible score that is not finite shows in its row, and in no other. */
static void
bad_scores_poison_their_row(void **state)
{
	const KernelSet *set;

	(void) state;
	numbers_seed(7);
	for (int turn = 0; turn < 30; turn++)
	{
		Shape		shape = {.type = turn % 2 ? KV_F16 : KV_F32, .head_dim = 20,
			.value_dim = 16, .group = 2, .n_keys = 600, .first_position = 560,
		.n_queries = 40, .causal = true, .amplitude = 1.0f};
		Bed			bed;
		int			row = number_below(40);
		float	   *want;

		make_bed(&bed, &shape);
		for (int d = 0; d < 20; d++)
			bed.q[(size_t) row * bed.task.q_stride + (size_t) (20 + d)] =
				turn % 3 == 0 ? -INFINITY : turn % 3 == 1 ? NAN : 3e38f;
		want = attend(&bed, reference);
		for (int i = 0; (set = kernels_nth(i)) != NULL; i++)
		{
			float	   *got = attend(&bed, set);

			assert_memory_equal(want, got, bed.out_size * sizeof(float));
			for (int r = 0; r < 40; r++)
			{
				for (int g = 0; g < 2; g++)
					assert_int_equal(set->finite(got + (size_t) r *
												 bed.task.out_stride + g * 16,
												 16),
									 r != row || g != 1);
			}
			free(got);
		}
		free(want);
		free_bed(&bed);
	}
}

/*
 * The reference, bit by bit: the same with every compiler and processor.  When
 * this changes on purpose, NUMERICS_VERSION must be raised.
 */
static void
bits_are_those_of_the_version(void **state)
{
	uint64_t	hash = 0;

	(void) state;
	numbers_seed(8);
	for (int turn = 0; turn < 20; turn++)
	{
		Shape		shape = {.head_dim = 24, .value_dim = 20, .group = 2};
		Bed			bed;
		float	   *out;

		random_options(&shape);
		bound_work(&shape);
		make_bed(&bed, &shape);
		out = attend(&bed, reference);
		hash = numbers_hash(hash, out, bed.out_size * sizeof(float));
		free(out);
		free_bed(&bed);
	}
	assert_int_equal(NUMERICS_VERSION, 1);
	assert_true(hash == UINT64_C(0xd47e88544565ed87));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_dimensions_and_groups),
		cmocka_unit_test(all_borders),
		cmocka_unit_test(all_options),
		cmocka_unit_test(many_rows),
		cmocka_unit_test(reference_is_attention),
		cmocka_unit_test(rows_explain_results),
		cmocka_unit_test(bad_scores_poison_their_row),
		cmocka_unit_test(bits_are_those_of_the_version),
	};

	reference = kernels_nth(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
