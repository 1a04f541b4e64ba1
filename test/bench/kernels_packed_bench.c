/*-------------------------------------------------------------------------
 *
 * kernels_packed_bench.c
 *	  Speed of packed products, one thread: every type, every kernel set.
 *
 *		kernels_packed_bench [set [type [n k]]]
 *
 * Prints GOPS (2 n k tokens / time) for some numbers of tokens, with weights
 * in the caches as far as they fit; GB/s of weights for one token with
 * matrices that do not fit any cache; GB/s of packing (bytes of the file); and
 * nanoseconds for an activation row of 1536.  Each figure is the lower quartile
 * of its repetitions, in time of the processor and not of the clock: other
 * processes then disturb by what they take from caches and memory only.  (The
 * minimum would not do: after a task switch some virtual machines account for
 * less time than has passed.)
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "weights_fixture.h"

#define DRAM_BYTES ((size_t) 96 * 1024 * 1024)
#define MAX_REPETITIONS 2000

static const int tokens[] = {1, 2, 4, 8, 16, 128, 512};

#define N_TOKENS ((int) (sizeof(tokens) / sizeof(tokens[0])))

/* Seconds that this thread has run. */
static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
}

static int
compare_seconds(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return x < y ? -1 : x > y;
}

/* The lower quartile of n > 0 durations; sorts them. */
static double
lower_quartile(double *seconds, int n)
{
	qsort(seconds, n, sizeof(*seconds), compare_seconds);
	return seconds[n / 4];
}

/* Seconds of one product, from repetitions that take 0.1 s together. */
static double
product_seconds(const KernelSet *set, const PackedMatrix *w,
				const Activations *a, float *out, size_t stride)
{
	double		taken[MAX_REPETITIONS];
	double		begin = now();
	int			n = 0;

	while (n < 5 || (n < MAX_REPETITIONS && now() - begin < 0.1))
	{
		double		before = now();

		set->matmul(w, 0, (w->n + 15) / 16, a, out, stride);
		taken[n++] = now() - before;
	}
	return lower_quartile(taken, n);
}

static void
print_cached(const KernelSet *set, TensorType type, int bits, int64_t n,
			 int64_t k)
{
	uint32_t	seed = 1;
	PackedMatrix w = fixture_matrix(type, BLOCKS_USUAL, &seed, n, k);
	Activations a = fixture_activations(ROWS_USUAL, &seed, 512, k, bits);
	size_t		stride = (n + 15) / 16 * 16;
	float	   *out = aligned_alloc(64, 512 * stride * sizeof(float));

	memset(out, 0, 512 * stride * sizeof(float));
	fixture_quantise(set, &a);
	for (int i = 0; i < N_TOKENS; i++)
	{
		a.n_rows = tokens[i];
		printf(" %5.0f", 2e-9 * n * k * tokens[i] /
			   product_seconds(set, &w, &a, out, stride));
	}
	free(out);
	fixture_matrix_free(&w);
	fixture_activations_free(&a);
}

/* One token through panels that were last read 96 MB ago. */
static void
print_memory(const KernelSet *set, TensorType type, int bits, int64_t k)
{
	uint32_t	seed = 2;
	size_t		bytes = panel_bytes(type, k);
	int64_t		n = DRAM_BYTES / bytes * PANEL_ROWS;
	PackedMatrix one = fixture_matrix(type, BLOCKS_USUAL, &seed, PANEL_ROWS, k);
	PackedMatrix w = {NULL, type, n, k, bytes};
	Activations a = fixture_activations(ROWS_USUAL, &seed, 1, k, bits);
	float	   *out = aligned_alloc(64, n * sizeof(float));
	uint8_t    *panels = aligned_alloc(64, n / PANEL_ROWS * bytes);
	double		seconds;

	for (int64_t panel = 0; panel < n / PANEL_ROWS; panel++)
		memcpy(panels + panel * bytes, one.panels, bytes);
	w.panels = panels;
	fixture_quantise(set, &a);
	seconds = product_seconds(set, &w, &a, out, n);
	printf(" %6.1f", 1e-9 * n / PANEL_ROWS * bytes / seconds);
	free(out);
	free(panels);
	fixture_matrix_free(&one);
	fixture_activations_free(&a);
}

static void
print_packing(TensorType type, int64_t k)
{
	uint32_t	seed = 3;
	size_t		row_bytes = tensor_row_bytes(type, k);
	uint8_t    *rows = malloc(PANEL_ROWS * row_bytes);
	uint8_t    *panel = aligned_alloc(64, panel_bytes(type, k));
	double		taken[200];

	fixture_blocks(type, BLOCKS_USUAL, &seed, rows, PANEL_ROWS * k);
	for (int i = 0; i < 200; i++)
	{
		double		before = now();

		for (int j = 0; j < 32; j++)
			pack_panel(type, k, rows, PANEL_ROWS, panel);
		taken[i] = (now() - before) / 32;
	}
	printf(" %6.2f", 1e-9 * PANEL_ROWS * row_bytes /
		   lower_quartile(taken, 200));
	free(rows);
	free(panel);
}

static void
print_quantise(const KernelSet *set)
{
	for (int bits = 8; bits <= 16; bits += 8)
	{
		uint32_t	seed = 4;
		Activations a = fixture_activations(ROWS_USUAL, &seed, 1, 1536, bits);
		double		taken[200];

		for (int i = 0; i < 200; i++)
		{
			double		before = now();

			for (int j = 0; j < 32; j++)
				fixture_quantise(set, &a);
			taken[i] = (now() - before) / 32;
		}
		printf("quantise %2d bits: %5.0f ns\n", bits,
			   1e9 * lower_quartile(taken, 200));
		fixture_activations_free(&a);
	}
}

int
main(int argc, char **argv)
{
	const KernelSet *set = kernels_select(argc > 1 ? argv[1] : NULL);
	int			wanted = argc > 2 ? tensor_type_by_name(argv[2]) : -1;
	int64_t		n = argc > 4 ? atoll(argv[3]) : 1536;
	int64_t		k = argc > 4 ? atoll(argv[4]) : 576;

	if (set == NULL)
	{
		fprintf(stderr, "this processor has no such kernel set\n");
		return 1;
	}
	printf("%s, n %lld, k %lld (_K: multiple of 256 above)\n", set->name,
		   (long long) n, (long long) k);
	printf("type   bits");
	for (int i = 0; i < N_TOKENS; i++)
		printf(" %5d", tokens[i]);
	printf("   GB/s   pack\n");
	for (int t = 0; t < FIXTURE_TYPES; t++)
	{
		TensorType	type = fixture_types[t];
		int64_t		block = tensor_type(type)->block_values;
		int64_t		depth = (k + block - 1) / block * block;

		for (int bits = 8; bits <= 16 && (wanted < 0 || wanted == (int) type);
			 bits += 8)
		{
			printf("%-6s   %2d", tensor_type(type)->name, bits);
			print_cached(set, type, bits, n, depth);
			print_memory(set, type, bits, depth);
			print_packing(type, depth);
			printf("\n");
			fflush(stdout);
		}
	}
	print_quantise(set);
	return 0;
}
