/*-------------------------------------------------------------------------
 *
 * kernels_float_bench.c
 *	  Speed of dense products, attention and vector operations, one thread.
 *
 * Prints GFLOPS (a multiply and an add count two) of every SIMD set as the
 * minimum over repetitions.  With an argument, only that set.
 *
 *-------------------------------------------------------------------------
 */
#define _DEFAULT_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/kernels.h"

#define REPETITIONS 7

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

static void *
allocate(size_t size)
{
	void	   *p = aligned_alloc(64, (size + 63) / 64 * 64);

	if (p == NULL)
		abort();
	memset(p, 0, (size + 63) / 64 * 64);
	return p;
}

static float *
random_floats(size_t n)
{
	float	   *x = allocate(n * sizeof(float));

	for (size_t i = 0; i < n; i++)
		x[i] = (float) (random() % 2001 - 1000) / 1000.0f;
	return x;
}

/* Seconds of one call: best of some repetitions of about 20 ms */
static double
seconds(void (*run) (void *arg), void *arg)
{
	double		best = 1e9;
	double		start = now();
	int			calls;

	run(arg);
	calls = 1 + (int) (0.02 / (now() - start + 1e-9));
	for (int i = 0; i < REPETITIONS; i++)
	{
		double		time;

		start = now();
		for (int c = 0; c < calls; c++)
			run(arg);
		time = (now() - start) / calls;
		best = time < best ? time : best;
	}
	return best;
}

typedef struct DenseRun
{
	const KernelSet *set;
	PackedMatrix w;
	Activations a;
	float	   *out;
} DenseRun;

static void
run_dense(void *arg)
{
	DenseRun   *run = arg;

	run->set->matmul(&run->w, 0, (run->w.n + 15) / 16, &run->a, run->out,
					 (size_t) run->w.n);
}

static void
bench_dense(const KernelSet *set, TensorType type, const char *name,
			int64_t n, int64_t k)
{
	static const int rows[] = {1, 2, 3, 4, 6, 8, 16, 128};
	size_t		element = type == TYPE_F32 ? 4 : 2;
	DenseRun	run = {.set = set};

	run.w.type = type;
	run.w.n = n;
	run.w.k = k;
	run.w.panel_bytes = (size_t) k * 16 * element;
	run.w.panels = allocate(run.w.panel_bytes * (size_t) (n / 16));
	run.a.k = k;
	run.a.x = random_floats((size_t) k * 128);
	run.a.x_stride = (size_t) k;
	run.out = allocate((size_t) n * 128 * sizeof(float));
	printf("%-7s %s %ldx%ld:", set->name, name, (long) k, (long) n);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		double		time;

		run.a.n_rows = rows[i];
		time = seconds(run_dense, &run);
		printf("  n=%d %.0f", rows[i],
			   2e-9 * (double) n * (double) k * rows[i] / time);
		if (rows[i] == 1)
			printf(" (%.1f GB/s)", 1e-9 * (double) (run.w.panel_bytes *
													(size_t) (n / 16)) / time);
	}
	printf("\n");
	free((void *) (uintptr_t) run.w.panels);
	free((void *) (uintptr_t) run.a.x);
	free(run.out);
}

typedef struct AttentionRun
{
	const KernelSet *set;
	AttentionTask task;
	int64_t		first;			/* positions of the queries */
	int64_t		count;
	int			kv_heads;
} AttentionRun;

/* As the transformer does: tasks of ATTENTION_QUERIES rows for each kv head */
static void
run_attention(void *arg)
{
	AttentionRun *run = arg;
	size_t		head_bytes = (size_t) (run->task.head_dim +
									   run->task.value_dim) * 16 *
		(run->task.type == KV_F32 ? 4 : 2);

	for (int64_t i = 0; i < run->count; i += ATTENTION_QUERIES)
	{
		int64_t		n = run->count - i;

		for (int h = 0; h < run->kv_heads; h++)
		{
			AttentionTask task = run->task;

			task.n_queries = (int) (n < ATTENTION_QUERIES ? n :
									ATTENTION_QUERIES);
			task.first_position = run->first + i;
			task.k_offset = (size_t) h * head_bytes;
			task.v_offset = task.k_offset + head_bytes / 2;
			task.q += (size_t) i * task.q_stride +
				(size_t) (h * task.group * task.head_dim);
			task.out += (size_t) i * task.out_stride +
				(size_t) (h * task.group * task.value_dim);
			run->set->attention(&task);
		}
	}
}

static void
bench_attention(const KernelSet *set, KvType type, int head_dim, int group,
				int kv_heads, int64_t first, int64_t count)
{
	int64_t		n_keys = first + count;
	int			n_pages = (int) ((n_keys + 15) / 16);
	size_t		element = type == KV_F32 ? 4 : 2;
	size_t		page_bytes = (size_t) (2 * head_dim * 16 * kv_heads) * element;
	uint8_t   **pages = allocate((size_t) n_pages * sizeof(*pages));
	size_t		q_size = (size_t) (head_dim * group * kv_heads);
	AttentionRun run = {.set = set, .first = first, .count = count,
	.kv_heads = kv_heads};
	double		keys = 0;
	double		time;
	float	   *key = random_floats((size_t) head_dim);

	for (int p = 0; p < n_pages; p++)
	{
		pages[p] = allocate(page_bytes);
		for (int lane = 0; lane < 16 * kv_heads; lane++)
		{
			uint8_t    *page = pages[p] + (size_t) (lane / 16) *
				(page_bytes / (size_t) kv_heads);

			set->kv_store(type, key, head_dim, key, head_dim, lane % 16, page,
						  page + (size_t) head_dim * 16 * element);
		}
	}
	run.task.type = type;
	run.task.head_dim = run.task.value_dim = head_dim;
	run.task.group = group;
	run.task.pages = (const uint8_t *const *) pages;
	run.task.n_keys = n_keys;
	run.task.q = random_floats((size_t) count * q_size);
	run.task.q_stride = run.task.out_stride = q_size;
	run.task.out = allocate((size_t) count * q_size * sizeof(float));
	run.task.scale = 0.125f;
	run.task.causal = true;
	run.task.scratch = allocate(attention_scratch(head_dim, head_dim, group,
												  ATTENTION_QUERIES) * 4);
	for (int64_t i = 0; i < count; i++)
		keys += (double) (first + i + 1);
	time = seconds(run_attention, &run);
	printf("%-7s %s head_dim %d group %d, %ld queries after %ld:"
		   " %.1f GFLOPS, %.2f ms", set->name,
		   type == KV_F32 ? "f32" : "f16", head_dim, group, (long) count,
		   (long) first,
		   4e-9 * keys * head_dim * group * kv_heads / time, time * 1e3);
	if (count == 1)
		printf(", %.1f GB/s", 1e-9 * (double) page_bytes * n_pages / time);
	printf("\n");
	for (int p = 0; p < n_pages; p++)
		free(pages[p]);
	free(pages);
	free(key);
	free((void *) (uintptr_t) run.task.q);
	free(run.task.out);
	free(run.task.scratch);
}

typedef struct VectorRun
{
	const KernelSet *set;
	float	   *x;
	float	   *y;
	int64_t		n;
	int			which;
} VectorRun;

static const char *const vector_names[] = {
	"rms_norm", "layer_norm", "silu", "gelu_tanh", "gelu_erf", "softmax",
	"rope norm", "rope neox", "argmax"
};

#define N_VECTOR_NAMES \
	((int) (sizeof(vector_names) / sizeof(vector_names[0])))

static void
run_vector(void *arg)
{
	VectorRun  *run = arg;
	const KernelSet *set = run->set;

	switch (run->which)
	{
		case 0:
			set->rms_norm(run->x, run->x, 1e-5f, run->y, run->n);
			break;
		case 1:
			set->layer_norm(run->x, run->x, run->x, 1e-5f, run->y, run->n);
			break;
		case 2:
			set->silu(run->x, run->x, run->y, run->n);
			break;
		case 3:
			set->gelu_tanh(run->x, run->x, run->y, run->n);
			break;
		case 4:
			set->gelu_erf(run->x, run->x, run->y, run->n);
			break;
		case 5:
			set->softmax(run->x, run->y, run->n);
			break;
		case 6:
			set->rope(run->y, run->x, run->x, (int) run->n, ROPE_NORM);
			break;
		case 7:
			set->rope(run->y, run->x, run->x, (int) run->n, ROPE_NEOX);
			break;
		default:
			set->argmax(run->x, run->n);
			break;
	}
}

static void
bench_vectors(const KernelSet *set, int64_t n)
{
	VectorRun	run = {.set = set, .n = n};

	run.x = random_floats((size_t) n);
	run.y = allocate((size_t) n * sizeof(float));
	printf("%-7s ns per element, n = %ld:", set->name, (long) n);
	for (run.which = 0; run.which < N_VECTOR_NAMES; run.which++)
		printf(" %s %.3f", vector_names[run.which],
			   seconds(run_vector, &run) * 1e9 / (double) n);
	printf("\n");
	free(run.x);
	free(run.y);
}

static void
bench_set(const KernelSet *set)
{
	bench_dense(set, TYPE_F32, "f32 ", 1536, 576);
	bench_dense(set, TYPE_F16, "f16 ", 1536, 576);
	bench_dense(set, TYPE_BF16, "bf16", 1536, 576);
	bench_dense(set, TYPE_F32, "f32 ", 49152, 576);
	bench_attention(set, KV_F16, 64, 3, 3, 0, 512);
	bench_attention(set, KV_F16, 64, 3, 3, 2048, 128);
	bench_attention(set, KV_F16, 64, 1, 12, 0, 512);
	bench_attention(set, KV_F16, 128, 4, 8, 0, 512);
	bench_attention(set, KV_F32, 64, 1, 12, 0, 512);
	bench_attention(set, KV_F16, 64, 3, 3, 511, 1);
	bench_attention(set, KV_F16, 64, 3, 3, 8191, 1);
	bench_attention(set, KV_F16, 128, 4, 8, 32767, 1);
	bench_attention(set, KV_F16, 64, 1, 12, 32767, 1);
	bench_vectors(set, 1536);
}

int
main(int argc, char **argv)
{
	for (int i = 2; kernels_nth(i) != NULL; i++)
	{
		const KernelSet *set = kernels_nth(i);

		if (argc < 2 || strcmp(argv[1], set->name) == 0)
			bench_set(set);
	}
	return 0;
}
