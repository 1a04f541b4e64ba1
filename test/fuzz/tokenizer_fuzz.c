/*-------------------------------------------------------------------------
 *
 * tokenizer_fuzz.c
 *	  Any bytes as a text for every vocabulary of test/data.
 *
 * The first byte of the input chooses vocabulary and flags, the second where
 * message content begins and ends.  Besides crashes it looks for texts that do
 * not come back from their tokens, and for control tokens in content.
 *
 * Run it from the top of the tree: it reads test/data/tok-*.gguf.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/unicode.h"
#include "tokenizer/tokenizer.h"

extern int	LLVMFuzzerInitialize(int *argc, char ***argv);
extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {
	"gpt2", "llama3", "qwen2", "smollm", "spm", "spm-no-prefix", "wordpiece",
	"wordpiece-cased", "unigram", "unigram-spm"
};

#define N_NAMES (int) (sizeof(names) / sizeof(names[0]))
#define QWEN2 2
#define FIRST_SPM 4				/* from here on texts do not come back */

static Tokenizer tokenizers[N_NAMES];

static void
demand(int condition, const char *what)
{
	if (!condition)
	{
		fprintf(stderr, "%s\n", what);
		abort();
	}
}

static void
open_vocabulary(const char *name, Tokenizer *tokenizer)
{
	char		path[100];
	char	   *bytes = malloc(1 << 20);
	FILE	   *stream;
	EngineArena arena;
	EngineStatus status;
	ByteSource	source;
	GgufFile	file;
	TokenizerPlan *plan;
	uint64_t	size;
	void	   *section;

	snprintf(path, sizeof(path), "test/data/tok-%s.gguf", name);
	stream = fopen(path, "rb");
	demand(stream != NULL, path);
	memory_source(&source, bytes, fread(bytes, 1, 1 << 20, stream));
	fclose(stream);
	engine_arena_init(&arena, &engine_malloc, 0);
	demand(gguf_read(&source, &arena, NULL, &file, &status) == ENGINE_OK,
		   path);
	demand(tokenizer_plan(&file, &source, 1 << 20, &arena, NULL, &plan, &size,
						  &status) == ENGINE_OK, path);
	section = aligned_alloc(64, size);
	demand(tokenizer_build(plan, &source, &arena, NULL, section,
						   &status) == ENGINE_OK, path);
	tokenizer_open(section, tokenizer);
	engine_arena_free(&arena);
	free(bytes);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void) argc;
	(void) argv;
	for (int i = 0; i < N_NAMES; i++)
		open_vocabulary(names[i], &tokenizers[i]);
	return 0;
}

/* Do the bytes of the tokens make the text?  SPM has two spaces for one. */
static void
check_round_trip(const Tokenizer *tokenizer, int number,
				 const TokenList *list, const char *text, size_t length,
				 EngineArena *arena)
{
	EngineStatus status;
	char	   *back = engine_alloc(arena, list->n + 1,
									tokenizer_longest_piece(tokenizer),
									&status);
	size_t		n = 0;

	for (size_t i = 0; i < list->n; i++)
		n += tokenizer_piece_copy(tokenizer, list->ids[i], false, back + n);
	if (number >= FIRST_SPM)
		return;
	if (number == QWEN2)
		demand(unicode_normalise(UNICODE_NFC, text, length, arena, NULL,
								 &text, &length, &status) == ENGINE_OK,
			   "normalisation failed");
	demand(n == length && memcmp(back, text, n) == 0, "text is not the same");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	EngineArena arena;
	EngineStatus status;
	TokenList	list = {0};
	const Tokenizer *tokenizer;
	const char *text;
	uint8_t    *content = NULL;
	int			number;
	int			flags;
	EngineCode	code;

	if (size < 2)
		return 0;
	number = data[0] % N_NAMES;
	flags = data[0] / N_NAMES & 0x0F;
	list.max_tokens = data[0] >= 240 ? data[1] : 0;
	tokenizer = &tokenizers[number];
	text = (const char *) data + 2;
	size -= 2;
	engine_arena_init(&arena, &engine_malloc, (size_t) 256 << 20);
	if (data[1] != 0)
	{
		content = engine_alloc(&arena, size, 1, &status);
		for (size_t i = 0; i < size; i++)
			content[i] = (i / data[1]) & 1;
	}
	code = tokenizer_encode(tokenizer, text, size, content, flags, &arena,
							NULL, &list, &status);
	demand(code == ENGINE_OK || code == ENGINE_LIMIT, "unexpected code");
	for (size_t i = 0; i < list.n; i++)
	{
		demand(list.ids[i] >= 0 && list.ids[i] < tokenizer->n_tokens,
			   "id out of range");
		if (flags == 0)
			demand(tokenizer_kind(tokenizer, list.ids[i]) != TOKEN_CONTROL,
				   "control token out of nothing");
	}
	if (code == ENGINE_OK && flags == 0)
		check_round_trip(tokenizer, number, &list, text, size, &arena);
	engine_arena_free(&arena);
	return 0;
}
