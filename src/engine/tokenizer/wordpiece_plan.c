/*-------------------------------------------------------------------------
 *
 * wordpiece_plan.c
 *	  What a GGUF file says about a WordPiece vocabulary.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "tokenizer/wordpiece.h"

#define WORD_MARK "\xE2\x96\x81"	/* U+2581 */
#define WORD_MARK_LENGTH 3
#define MAX_WORD 100			/* as in BERT's own code */

/* Ids of bert-base-uncased, which files of other makers leave out */
#define BERT_PADDING 0
#define BERT_UNKNOWN 100
#define BERT_CLASS 101
#define BERT_SEPARATOR 102

static size_t
mark_length(const char *text, size_t length)
{
	return length > WORD_MARK_LENGTH &&
		memcmp(text, WORD_MARK, WORD_MARK_LENGTH) == 0 ?
		WORD_MARK_LENGTH : 0;
}

bool
wordpiece_cased(const char *text, size_t length)
{
	size_t		mark = mark_length(text, length);

	return length - mark == 1 && text[mark] >= 'A' && text[mark] <= 'Z';
}

/* The first that is an id, or the default if the vocabulary has it. */
static int32_t
choose_id(int32_t first, int32_t second, int32_t preset, int32_t n_tokens)
{
	if (first >= 0)
		return first;
	if (second >= 0)
		return second;
	return preset < n_tokens ? preset : -1;
}

void
wordpiece_ids(TokenizerSection *layout, int32_t class)
{
	int32_t		n = layout->n_tokens;

	layout->bos = choose_id(class, layout->bos, BERT_CLASS, n);
	layout->separator = choose_id(layout->separator, layout->eos,
								  BERT_SEPARATOR, n);
	layout->eos = layout->separator;
	layout->unknown = choose_id(layout->unknown, -1, BERT_UNKNOWN, n);
	layout->padding = choose_id(layout->padding, -1, BERT_PADDING, n);
}

EngineCode
wordpiece_read_keys(const GgufFile *file, TokenizerPlan *plan,
					EngineStatus *status)
{
	const struct
	{
		const char *name;
		uint32_t	flag;
		bool		preset;
	}			keys[] =
	{
		{"tokenizer.llm.clean_text", TOKENIZER_CLEAN_TEXT, true},
		{"tokenizer.llm.chinese_chars", TOKENIZER_CHINESE_CHARS, true},
		{"tokenizer.llm.lowercase", TOKENIZER_LOWERCASE, !plan->cased},
		{"tokenizer.llm.strip_accents", TOKENIZER_STRIP_ACCENTS, !plan->cased}
	};
	int64_t		max_word = MAX_WORD;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
	{
		bool		value = keys[i].preset;

		ENGINE_TRY(gguf_get_bool(file, keys[i].name, &value, status));
		if (value)
			plan->layout.flags |= keys[i].flag;
	}
	ENGINE_TRY(gguf_get_int(file, "tokenizer.llm.max_word", 1, INT32_MAX,
							&max_word, status));
	plan->layout.max_word = (uint32_t) max_word;
	return ENGINE_OK;
}

TokenKind
wordpiece_kind(TokenKind kind, const char *text, size_t length)
{
	static const char *const names[] = {"[CLS]", "[SEP]", "[PAD]", "[MASK]"};

	if (kind != TOKEN_NORMAL)
		return kind;
	if (length == 5 && memcmp(text, "[UNK]", 5) == 0)
		return TOKEN_UNKNOWN;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (length == strlen(names[i]) && memcmp(text, names[i], length) == 0)
			return TOKEN_CONTROL;
	}
	return TOKEN_NORMAL;
}

size_t
wordpiece_store(const char *text, size_t length, char *to)
{
	size_t		mark = mark_length(text, length);

	if (mark > 0)
		*to++ = ' ';
	memcpy(to, text + mark, length - mark);
	return length - mark + (mark > 0);
}
