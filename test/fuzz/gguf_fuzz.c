/*-------------------------------------------------------------------------
 *
 * gguf_fuzz.c
 *	  Any bytes as a model file: plan, build, look up rows, tokenize.
 *
 * Memory is bounded: the arena by its budget, the image by a cap, beyond
 * which a plan is only made.  The file and the image have exactly the size
 * that they claim, so that the sanitiser sees every access beyond.
 *
 * To get past the checks more often, a file whose first byte is not that of
 * the magic is a list of patches to a small valid model: a byte that chooses
 * the model, then for each patch two bytes of offset and one of value.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf_builder.h"
#include "model/image.h"

#define ARENA_BUDGET ((size_t) 64 << 20)
#define IMAGE_CAP ((uint64_t) 64 << 20)

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

/* An error has a code and a text, and texts are printable. */
static void
check_status(EngineCode code, const EngineStatus *status)
{
	if (code != status->code || status->message[0] == '\0')
		fail("an error without code or message");
	for (const char *c = status->message; *c != '\0'; c++)
	{
		if ((unsigned char) *c < 0x20 || (unsigned char) *c > 0x7E)
			fail("a message that is not printable");
	}
}

static void
touch_matrix(const ImageHeader *image, const ImageMatrix *matrix)
{
	float	   *row;

	if (matrix->offset == 0)
		return;
	row = malloc((size_t) matrix->k * sizeof(float));
	if (row == NULL)
		return;
	image_row(image, matrix, 0, row);
	image_row(image, matrix, matrix->n - 1, row);
	free(row);
}

static void
touch_tokenizer(const ImageHeader *image, EngineArena *arena)
{
	static const char text[] = "Hello, <|im_start|> w\xC3\xB6rld 123 \xFF";
	Tokenizer	tokenizer;
	TokenList	list;
	EngineStatus status;

	if (image->tokenizer == 0)
		return;
	memset(&list, 0, sizeof(list));
	tokenizer_open(image_at(image, image->tokenizer), &tokenizer);
	if (tokenizer_encode(&tokenizer, text, sizeof(text) - 1, NULL,
						 TOKENIZE_ADD_SPECIAL | TOKENIZE_PARSE_SPECIAL, arena,
						 NULL, &list, &status) != ENGINE_OK)
		return;
	for (size_t i = 0; i < list.n; i++)
	{
		char		scratch[1];
		size_t		length;

		if (list.ids[i] < 0 || list.ids[i] >= image->hyper.vocabulary)
			fail("a token id outside the vocabulary");
		(void) tokenizer_piece(&tokenizer, list.ids[i], true, scratch,
							   &length);
	}
}

static void
use_image(const ImagePlan *plan, ByteSource *source, EngineArena *arena)
{
	ImageHeader *image = aligned_alloc(64, plan->size);
	EngineStatus status;
	EngineCode	code;

	if (image == NULL)
		return;
	code = image_build(plan, source, arena, NULL, NULL, NULL, image, &status);
	if (code == ENGINE_OK)
	{
		touch_matrix(image, &image->token_embd);
		touch_matrix(image, &image->position_embd);
		touch_matrix(image, &image->output);
		touch_matrix(image, &image_layer(image, 0)->attn_output);
		touch_tokenizer(image, arena);
	}
	else
		check_status(code, &status);
	free(image);
}

static void
check_data(const ImagePlan *plan, const uint8_t *data, size_t size)
{
	ImageCheck	check;
	EngineStatus status;
	size_t		half = size / 2;

	image_check_init(&check, plan);
	if (image_check_data(&check, 0, data, half, &status) == ENGINE_OK)
		(void) image_check_data(&check, half, data + half, size - half,
								&status);
}

static void
try_file(const uint8_t *data, size_t size)
{
	ByteSource	source;
	EngineArena arena;
	EngineStatus status;
	ImagePlan	plan;
	EngineCode	code;

	engine_arena_init(&arena, &engine_malloc, ARENA_BUDGET);
	memory_source(&source, data, size);
	code = image_plan(&source, &arena, NULL, &plan, &status);
	if (code != ENGINE_OK)
		check_status(code, &status);
	else
	{
		check_data(&plan, data, size);
		if (plan.size <= IMAGE_CAP)
			use_image(&plan, &source, &arena);
	}
	engine_arena_free(&arena);
}

static void
add_tokenizer(GgufBuilder *b)
{
	static const char *const tokens[] = {
		"H", "e", "l", "o", "He", "ll", "<|im_start|>", "\xC4\xA0", ",", "w",
		"r", "d", "1", "2", "3", "ello"
	};
	static const char *const merges[] = {"H e", "l l"};
	static const uint32_t types[] = {1, 1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1, 1, 1,
	1, 1};

	builder_text(b, "tokenizer.ggml.model", "gpt2");
	builder_text(b, "tokenizer.ggml.pre", "smollm");
	builder_text_array(b, "tokenizer.ggml.tokens", 16, tokens);
	if (builder_key(b, "tokenizer.ggml.token_type", GGUF_ARRAY))
	{
		bytes_number(&b->keys, GGUF_I32, 4);
		bytes_number(&b->keys, 16, 8);
		for (int i = 0; i < 16; i++)
			bytes_number(&b->keys, types[i], 4);
	}
	builder_text_array(b, "tokenizer.ggml.merges", 2, merges);
	builder_u32(b, "tokenizer.ggml.bos_token_id", 6);
	builder_text(b, "tokenizer.chat_template", "{{ messages }}");
}

/* The valid models that patches go to */
static void
make_model(int choice, Bytes *file)
{
	static const char *const names[] = {"llama", "gpt2", "qwen2", "qwen3"};
	ModelShape	shape = small_llama;
	GgufBuilder builder;

	shape.architecture = names[choice % 4];
	shape.output = (choice & 4) != 0;
	shape.type = (choice & 8) != 0 ? TYPE_F16 : TYPE_Q4_1;
	builder_init(&builder);
	builder_model(&builder, &shape);
	if ((choice & 16) != 0)
		add_tokenizer(&builder);
	if ((choice & 32) != 0 && choice % 4 == 0)
	{
		builder_text(&builder, "llama.rope.scaling.type", "yarn");
		builder_f32(&builder, "llama.rope.scaling.factor", 4);
	}
	builder_finish(&builder, file);
	builder_free(&builder);
}

static void
try_patches(const uint8_t *data, size_t size)
{
	Bytes		file;

	make_model(data[0], &file);
	for (size_t i = 1; i + 3 <= size; i += 3)
	{
		size_t		at = ((size_t) data[i] << 8 | data[i + 1]) % file.size;

		file.data[at] = data[i + 2];
	}
	/* exactly as large as the file is */
	file.data = realloc(file.data, file.size);
	if (file.data != NULL)
		try_file(file.data, file.size);
	bytes_free(&file);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 0 && data[0] != 'G')
		try_patches(data, size);
	else
		try_file(data, size);
	return 0;
}
