/*-------------------------------------------------------------------------
 *
 * embedding_bench.c
 *	  Speed of the engine alone: vectors of many texts.
 *
 *	  embedding_bench MODEL TEXTS [type=keep|f32|q8_0|...] [bits=16|8]
 *		[set=NAME] [rows=N] [threads=N] [repeat=N] [write=FILE]
 *
 * MODEL is a GGUF file or a Hugging Face folder, which is imported with that
 * type; TEXTS a file with one text per line.  Prints one line of JSON: the
 * least time of all repetitions, after one that does not count, from texts
 * to normalised vectors, tokenizer included and loading not.  Texts are
 * ordered by length and packed into passes of at most rows tokens, as the
 * functions in SQL do it.
 *
 * write=FILE writes the folder as a GGUF file, for other engines, and the
 * program ends.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include "base/team.h"
#include "folder_fixture.h"
#include "model/encoder.h"
#include "model_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

typedef struct BenchOptions
{
	const char *model;
	const char *texts;
	const char *set;
	const char *write;
	int			type;			/* HF_KEEP, or a TensorType */
	int			bits;
	int			rows;
	int			threads;
	int			repeat;
} BenchOptions;

typedef struct BenchText
{
	char	   *text;
	size_t		length;
	int32_t    *ids;
	int64_t		n;
} BenchText;

typedef struct Bench
{
	BenchOptions options;
	EngineHost	host;
	ModelFixture model;
	Encoder		encoder;
	BenchText  *texts;
	EncoderText *pass;			/* room for all of them */
	int			n_texts;
	int64_t		n_tokens;
	double		checksum;		/* so that all engines do the same */
} Bench;

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "embedding_bench: %s: %s\n", what, why);
	exit(2);
}

static void
must(EngineCode code, const EngineStatus *status)
{
	if (code != ENGINE_OK)
		die("failed", status->message);
}

static int
type_of(const char *name)
{
	int			type = tensor_type_by_name(name);

	if (strcmp(name, "keep") == 0)
		return HF_KEEP;
	if (type < 0)
		die(name, "no such type");
	return type;
}

static bool
read_options(int argc, char **argv, BenchOptions *options)
{
	if (argc < 3)
		return false;
	memset(options, 0, sizeof(*options));
	options->model = argv[1];
	options->texts = argv[2];
	options->type = HF_KEEP;
	options->bits = 16;
	options->rows = ENCODER_ROWS;
	options->threads = 1;
	options->repeat = 3;
	for (int i = 3; i < argc; i++)
	{
		const char *value = strchr(argv[i], '=');

		if (value++ == NULL)
			return false;
		if (strncmp(argv[i], "type=", 5) == 0)
			options->type = type_of(value);
		else if (strncmp(argv[i], "bits=", 5) == 0)
			options->bits = atoi(value);
		else if (strncmp(argv[i], "set=", 4) == 0)
			options->set = value;
		else if (strncmp(argv[i], "rows=", 5) == 0)
			options->rows = atoi(value);
		else if (strncmp(argv[i], "threads=", 8) == 0)
			options->threads = atoi(value);
		else if (strncmp(argv[i], "repeat=", 7) == 0)
			options->repeat = atoi(value);
		else if (strncmp(argv[i], "write=", 6) == 0)
			options->write = value;
		else
			return false;
	}
	return (options->bits == 8 || options->bits == 16) &&
		options->rows > 0 && options->repeat > 0;
}

static void
read_texts(Bench *bench)
{
	FILE	   *file = fopen(bench->options.texts, "rb");
	char	   *line = NULL;
	size_t		room = 0;
	ssize_t		length;

	if (file == NULL)
		die(bench->options.texts, "cannot be opened");
	while ((length = getline(&line, &room, file)) >= 0)
	{
		BenchText  *text;

		if (length > 0 && line[length - 1] == '\n')
			line[--length] = '\0';
		bench->texts = realloc(bench->texts, (bench->n_texts + 1) *
							   sizeof(BenchText));
		text = &bench->texts[bench->n_texts++];
		text->text = strndup(line, length);
		text->length = length;
	}
	free(line);
	fclose(file);
	if (bench->n_texts == 0)
		die(bench->options.texts, "has no texts");
	bench->pass = calloc(bench->n_texts, sizeof(EncoderText));
}

static void
write_source(ByteSource *source, const char *path)
{
	FILE	   *file = fopen(path, "wb");
	size_t		room = 1 << 20;
	char	   *piece = malloc(room);
	EngineStatus status;

	if (file == NULL)
		die(path, "cannot be written");
	for (uint64_t at = 0; at < source->size; at += room)
	{
		size_t		n = source->size - at < room ? source->size - at : room;

		must(source->read(source, at, piece, n, &status), &status);
		if (fwrite(piece, 1, n, file) != n)
			die(path, "cannot be written");
	}
	free(piece);
	if (fclose(file) != 0)
		die(path, "cannot be written");
}

static void
write_folder(const BenchOptions *options)
{
	FolderFixture folder;
	EngineArena arena;
	EngineStatus status;
	ByteSource *source;

	folder_fixture_open(&folder, options->model);
	engine_arena_init(&arena, &engine_malloc, 0);
	must(hugging_face_open(&folder.folder, options->type, &arena, NULL,
						   &source, &status), &status);
	write_source(source, options->write);
	engine_arena_free(&arena);
	folder_fixture_close(&folder);
}

static void
open_model(Bench *bench)
{
	const BenchOptions *options = &bench->options;
	FolderFixture folder;
	struct stat info;

	if (stat(options->model, &info) != 0)
		die(options->model, "does not exist");
	if (!S_ISDIR(info.st_mode))
	{
		model_fixture_open(&bench->model, options->model);
		return;
	}
	folder_fixture_open(&folder, options->model);
	model_fixture_open_folder(&bench->model, &folder.folder, options->type);
	folder_fixture_close(&folder);
}

static int
by_length(const void *a, const void *b)
{
	int64_t		left = ((const BenchText *) a)->n;
	int64_t		right = ((const BenchText *) b)->n;

	return left < right ? -1 : left > right;
}

static void
tokenize_all(Bench *bench, EngineArena *arena)
{
	int64_t		context = bench->model.image->hyper.context_length;
	EngineStatus status;

	bench->n_tokens = 0;
	for (int i = 0; i < bench->n_texts; i++)
	{
		BenchText  *text = &bench->texts[i];
		TokenList	list = {0};

		must(tokenizer_encode(&bench->model.tokenizer, text->text,
							  text->length, NULL, TOKENIZE_ADD_SPECIAL, arena,
							  NULL, &list, &status), &status);
		text->ids = list.ids;
		text->n = (int64_t) list.n;
		if (text->n < 1 || text->n > context || text->n > bench->options.rows)
			die(text->text, "has too few or too many tokens");
		bench->n_tokens += text->n;
	}
}

/* Texts [first, end) in one pass. */
static void
run_pass(Bench *bench, int first, int end)
{
	const Hyper *hyper = &bench->model.image->hyper;
	_Alignas(64) float vector[8192];
	EngineStatus status;

	for (int i = first; i < end; i++)
	{
		EncoderText *text = &bench->pass[i - first];

		text->ids = bench->texts[i].ids;
		text->n = text->second = bench->texts[i].n;
	}
	must(encoder_run(&bench->encoder, bench->pass, end - first, NULL,
					 &status), &status);
	for (int i = 0; i < end - first; i++)
	{
		must(encoder_pool(&bench->encoder, i, (PoolingKind) hyper->pooling,
						  vector, &status), &status);
		vector_normalise(vector, hyper->output_length);
		bench->checksum += vector[0];
	}
}

/* Seconds for all texts. */
static double
run(Bench *bench)
{
	EngineArena arena;
	double		begin = now();
	int			first = 0;

	engine_arena_init(&arena, &engine_malloc, 0);
	bench->checksum = 0;
	tokenize_all(bench, &arena);
	qsort(bench->texts, bench->n_texts, sizeof(BenchText), by_length);
	while (first < bench->n_texts)
	{
		int			end = first;
		int64_t		rows = 0;

		while (end < bench->n_texts &&
			   rows + bench->texts[end].n <= bench->options.rows)
			rows += bench->texts[end++].n;
		run_pass(bench, first, end);
		first = end;
	}
	engine_arena_free(&arena);
	return now() - begin;
}

int
main(int argc, char **argv)
{
	Bench		bench = {0};
	const KernelSet *kernels;
	EngineStatus status;
	double		best;

	if (!read_options(argc, argv, &bench.options))
	{
		fprintf(stderr, "usage: embedding_bench MODEL TEXTS "
				"[type=keep|f32|q8_0|...] [bits=16|8] [set=NAME] [rows=N] "
				"[threads=N] [repeat=N] [write=FILE]\n");
		return 2;
	}
	if (bench.options.write != NULL)
	{
		write_folder(&bench.options);
		return 0;
	}
	kernels = kernels_select(bench.options.set);
	if (kernels == NULL)
		die(bench.options.set, "this processor has no such set");
	read_texts(&bench);
	open_model(&bench);
	if (bench.model.image->hyper.output_length > 8192)
		die(bench.options.model, "has vectors that are too long");
	must(team_open(&bench.host.team, bench.options.threads, &engine_malloc,
				   &status), &status);
	must(encoder_open(&bench.encoder, bench.model.image, kernels,
					  bench.options.bits, bench.options.rows,
					  &bench.model.arena, &bench.host, &status), &status);
	run(&bench);				/* warm up */
	best = run(&bench);
	for (int i = 1; i < bench.options.repeat; i++)
	{
		double		seconds = run(&bench);

		best = seconds < best ? seconds : best;
	}
	printf("{\"texts\": %d, \"tokens\": %lld, \"set\": \"%s\", \"bits\": %d, "
		   "\"threads\": %d, "
		   "\"texts_per_second\": %.2f, \"tokens_per_second\": %.1f, "
		   "\"checksum\": %.6f}\n",
		   bench.n_texts, (long long) bench.n_tokens, kernels->name,
		   bench.options.bits, bench.options.threads, bench.n_texts / best,
		   bench.n_tokens / best, bench.checksum);
	team_close(bench.host.team);
	model_fixture_close(&bench.model);
	return 0;
}
