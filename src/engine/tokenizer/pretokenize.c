/*-------------------------------------------------------------------------
 *
 * pretokenize.c
 *	  Names of pre-tokenizers, and applying their scanners in sequence.
 *
 * Every stage holds the piece of the stage before that it splits just now; the
 * last one gives the words.  The text before a match is a gap, a piece too.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "tokenizer/pretokenize.h"

#include <string.h>

#include "tokenizer/scanners.h"
#include "tokenizer/section.h"

#define BOS TOKENIZER_ADD_BOS
#define SEPARATOR TOKENIZER_ADD_SEPARATOR
#define WHOLE TOKENIZER_IGNORE_MERGES
#define NFC TOKENIZER_NFC

static const PretokenizerName names[] = {
	{"llama3", GROUP_LLAMA3, BOS | WHOLE},
	{"llama-v3", GROUP_LLAMA3, BOS | WHOLE},
	{"llama-bpe", GROUP_LLAMA3, BOS | WHOLE},
	{"falcon3", GROUP_LLAMA3, BOS | WHOLE},
	{"falcon-h1", GROUP_LLAMA3, BOS | WHOLE},
	{"pixtral", GROUP_LLAMA3, BOS | WHOLE},
	{"midm-2.0", GROUP_LLAMA3, BOS | WHOLE},
	{"lfm2", GROUP_LLAMA3, BOS | WHOLE},
	{"jina-v5-nano", GROUP_LLAMA3, BOS | WHOLE},
	{"laguna", GROUP_LLAMA3, BOS | WHOLE},
	{"dbrx", GROUP_LLAMA3, 0},
	{"smaug-bpe", GROUP_LLAMA3, 0},
	{"glm4", GROUP_LLAMA3, 0},
	{"chatglm-bpe", GROUP_LLAMA3, 0},
	{"qwen2", GROUP_QWEN2, NFC},
	{"deepseek-r1-qwen", GROUP_QWEN2, NFC},
	{"kormo", GROUP_QWEN2, NFC},
	{"openpangu", GROUP_QWEN2, NFC},
	{"f2llmv2", GROUP_QWEN2, NFC},
	{"megrez", GROUP_QWEN2, NFC},
	{"stablelm2", GROUP_QWEN2, NFC},
	{"hunyuan", GROUP_QWEN2, NFC},
	{"solar-open", GROUP_QWEN2, NFC},
	{"grok-2", GROUP_QWEN2, NFC},
	{"qwen35", GROUP_QWEN35, 0},
	{"gpt-2", GROUP_GPT2, 0},
	{"phi-2", GROUP_GPT2, 0},
	{"mpt", GROUP_GPT2, 0},
	{"olmo", GROUP_GPT2, 0},
	{"jais", GROUP_GPT2, 0},
	{"trillion", GROUP_GPT2, 0},
	{"granite-docling", GROUP_GPT2, 0},
	{"jina-es", GROUP_GPT2, 0},
	{"jina-de", GROUP_GPT2, 0},
	{"jina-v2-es", GROUP_GPT2, 0},
	{"jina-v2-de", GROUP_GPT2, 0},
	{"gigachat", GROUP_GPT2, 0},
	{"a.x-4.0", GROUP_GPT2, 0},
	{"mellum", GROUP_GPT2, 0},
	{"modern-bert", GROUP_GPT2, 0},
	{"exaone4", GROUP_GPT2, 0},
	{"jina-v1-en", GROUP_GPT2, SEPARATOR},
	{"jina-v2-code", GROUP_GPT2, SEPARATOR},
	{"roberta-bpe", GROUP_GPT2, SEPARATOR},
	{"starcoder", GROUP_DIGITS_GPT2, 0},
	{"refact", GROUP_DIGITS_GPT2, 0},
	{"command-r", GROUP_DIGITS_GPT2, 0},
	{"cohere2_moe", GROUP_DIGITS_GPT2, 0},
	{"smollm", GROUP_DIGITS_GPT2, 0},
	{"codeshell", GROUP_DIGITS_GPT2, 0},
	{"exaone", GROUP_DIGITS_GPT2, 0},
	{"minerva-7b", GROUP_DIGITS_GPT2, 0},
	{"mellum2", GROUP_DIGITS_GPT2, 0},
	{"falcon", GROUP_FALCON, 0},
	{"deepseek-coder", GROUP_DEEPSEEK_CODER, 0},
	{"deepseek-llm", GROUP_DEEPSEEK_LLM, 0},
	{"deepseek-v3", GROUP_DEEPSEEK3, 0},
	{"hunyuan-dense", GROUP_DEEPSEEK3, 0},
	{"joyai-llm", GROUP_DEEPSEEK3, 0},
	{"tekken", GROUP_TEKKEN, BOS | WHOLE},
	{"gpt-4o", GROUP_GPT4O, 0},
	{"llama4", GROUP_GPT4O, 0},
	{"kanana2", GROUP_GPT4O, 0},
	{"minimax-m2", GROUP_GPT4O, 0},
	{"bloom", GROUP_BLOOM, 0},
	{"poro-chat", GROUP_BLOOM, 0},
	{"gpt3-finnish", GROUP_BLOOM, 0},
	{"viking", GROUP_VIKING, 0},

	/* \s*[\r\n] instead of \s*[\r\n]+ : the same, as \s* takes the others */
	{"bailingmoe", GROUP_QWEN2, 0},
	{"bailingmoe2", GROUP_QWEN2, 0},
	{"llada-moe", GROUP_QWEN2, 0},
	{"default", GROUP_DEFAULT, 0}
};

const PretokenizerName *
pretokenizer_by_name(const char *name, size_t length)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (strlen(names[i].name) == length &&
			memcmp(names[i].name, name, length) == 0)
			return &names[i];
	}
	return NULL;
}

void
pretokenize_open(Pretokenizer *self, int group, const char *text,
				 size_t length, const EngineHost *host)
{
	memset(self, 0, sizeof(*self));
	self->group = group;
	self->text = text;
	self->host = host;
	self->poll = SCAN_POLL_EVERY;
	self->stages[0].end = length;
}

/* Find the stage's next match; without one, it is empty at the end. */
static void
find_match(Pretokenizer *self, ScanStage *stage, Scanner scanner)
{
	size_t		position = stage->position;

	while (position < stage->end)
	{
		size_t		to;
		int			length;

		self->skip = 0;
		to = scanner(self, position, stage->end);
		if (self->cancelled)
			break;
		if (to > position)
		{
			stage->from = position;
			stage->to = to;
			return;
		}
		class_at(self, position, stage->end, &length);
		if (walk_stops(self, (size_t) length))
			break;
		position = self->skip > position ? self->skip :
			position + (size_t) length;
	}
	stage->from = stage->to = stage->end;
}

/* The stage's next piece: the gap before the match ahead, or the match. */
static void
next_piece(Pretokenizer *self, ScanStage *stage, Scanner scanner,
		   size_t *start, size_t *end)
{
	if (stage->position >= stage->to)
		find_match(self, stage, scanner);
	*start = stage->position;
	*end = stage->position < stage->from ? stage->from : stage->to;
	stage->position = *end;
}

bool
pretokenize_next(Pretokenizer *self, size_t *start, size_t *end)
{
	const Scanner *scanners = scanner_groups[self->group];
	int			last = 0;
	int			level;

	while (last + 1 < PRETOKENIZE_STAGES && scanners[last + 1] != NULL)
		last++;
	level = last;
	for (;;)
	{
		ScanStage  *stage = &self->stages[level];

		if (stage->position == stage->end)
		{
			if (level-- == 0)
				return false;
			continue;
		}
		next_piece(self, stage, scanners[level], start, end);
		if (self->cancelled)
			return false;
		if (level == last)
			return true;
		stage = &self->stages[++level];
		stage->position = stage->from = stage->to = *start;
		stage->end = *end;
	}
}
