/*-------------------------------------------------------------------------
 *
 * hugging_face_pretokenizer.c
 *	  The name of a pre-tokenizer, from the regular expressions that
 *	  tokenizer.json spells out.
 *
 * The expressions are never run.  A pre_tokenizer becomes a list of texts, one
 * for each step that splits, and the list must be one that we have scanners
 * for (tokenizer/scanners.c).  Where two names split alike, the one whose
 * other properties fit is taken, so that other engines read the file right
 * too; what no name has is said by keys of ours.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/hugging_face_tokenizer.h"

#include <string.h>

#define MOST_SPLITS 6

/* Parts that expressions share */
#define SHORT_FORMS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define GPT2 \
	"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+" \
	"|\\s+(?!\\S)|\\s+"
#define SPACES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SIGNS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
#define WORD "[^\\r\\n\\p{L}\\p{N}]?"
#define UPPER "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}"
#define LOWER "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}"
#define CAPITALISED WORD "[" UPPER "]*[" LOWER "]+"
#define CAPITALS WORD "[" UPPER "]+[" LOWER "]*"
#define SIGNS_AND_SLASH "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|"

/* Characters outside ASCII, as UTF-8: ideographs, then what DeepSeek lists */
#define HAN_AND_MORE \
	"[\xE4\xB8\x80-\xE9\xBE\xA5\xE0\xA0\x80-\xE4\xB8\x80\xEA\xB0\x80-\xED\x9F\xBF]+"
#define HAN_AND_KANA \
	"[\xE4\xB8\x80-\xE9\xBE\xA5\xE3\x81\x80-\xE3\x82\x9F\xE3\x82\xA0-\xE3\x83\xBF]+"
#define DEEPSEEK_SIGNS \
	"\\s?[!-/:-~\xEF\xBC\x81-\xEF\xBC\x8F\xEF\xBC\x9A-\xEF\xBD\x9E\xE2\x80" \
	"\x98-\xE2\x80\x9F\xE3\x80\x80-\xE3\x80\x82]+"
#define BLOOM_WORDS \
	" ?[^(\\s|.,!?\xE2\x80\xA6\xE3\x80\x82\xEF\xBC\x8C\xE3\x80\x81\xE0\xA5" \
	"\xA4\xDB\x94\xD8\x8C)]+"
#define DEEPSEEK_LETTERS \
	"A-Za-z\xC2\xB5\xC3\x80-\xC3\x96\xC3\x98-\xC3\xB6\xC3\xB8-\xC6\xBA\xC6" \
	"\xBC-\xC6\xBF\xC7\x84-\xCA\x93\xCA\x95-\xCA\xAF\xCD\xB0-\xCD\xB3\xCD" \
	"\xB6\xCD\xB7\xCD\xBB-\xCD\xBD\xCD\xBF\xCE\x86\xCE\x88-\xCE\x8A\xCE" \
	"\x8C\xCE\x8E-\xCE\xA1\xCE\xA3-\xCF\xB5\xCF\xB7-\xD2\x81\xD2\x8A-\xD4" \
	"\xAF\xD4\xB1-\xD5\x96\xE1\x82\xA0-\xE1\x83\x85\xE1\x8E\xA0-\xE1\x8F" \
	"\xB5\xE1\x8F\xB8-\xE1\x8F\xBD\xE1\xB2\x90-\xE1\xB2\xBA\xE1\xB2\xBD" \
	"-\xE1\xB2\xBF\xE1\xB4\x80-\xE1\xB4\xAB\xE1\xB5\xAB-\xE1\xB5\xB7\xE1" \
	"\xB5\xB9-\xE1\xB6\x9A\xE1\xB8\x80-\xE1\xBC\x95\xE1\xBC\x98-\xE1\xBC" \
	"\x9D\xE1\xBC\xA0-\xE1\xBD\x85\xE1\xBD\x88-\xE1\xBD\x8D\xE1\xBD\x90" \
	"-\xE1\xBD\x97\xE1\xBD\x99\xE1\xBD\x9B\xE1\xBD\x9D\xE1\xBD\x9F-\xE1" \
	"\xBD\xBD\xE1\xBE\x80-\xE1\xBE\xB4\xE1\xBE\xB6-\xE1\xBE\xBC\xE1\xBE" \
	"\xBE\xE1\xBF\x82-\xE1\xBF\x84\xE1\xBF\x86-\xE1\xBF\x8C\xE1\xBF\x90" \
	"-\xE1\xBF\x93\xE1\xBF\x96-\xE1\xBF\x9B\xE1\xBF\xA0-\xE1\xBF\xAC\xE1" \
	"\xBF\xB2-\xE1\xBF\xB4\xE1\xBF\xB6-\xE1\xBF\xBC\xE2\x84\x82\xE2\x84" \
	"\x87\xE2\x84\x8A-\xE2\x84\x93\xE2\x84\x95\xE2\x84\x99-\xE2\x84\x9D" \
	"\xE2\x84\xA4\xE2\x84\xA6\xE2\x84\xA8\xE2\x84\xAA-\xE2\x84\xAD\xE2\x84" \
	"\xAF-\xE2\x84\xB4\xE2\x84\xB9\xE2\x84\xBC-\xE2\x84\xBF\xE2\x85\x85" \
	"-\xE2\x85\x89\xE2\x85\x8E\xE2\x86\x83\xE2\x86\x84\xE2\xB0\x80-\xE2" \
	"\xB1\xBB\xE2\xB1\xBE-\xE2\xB3\xA4\xE2\xB3\xAB-\xE2\xB3\xAE\xE2\xB3" \
	"\xB2\xE2\xB3\xB3\xEA\x99\x80-\xEA\x99\xAD\xEA\x9A\x80-\xEA\x9A\x9B" \
	"\xEA\x9C\xA2-\xEA\x9D\xAF\xEA\x9D\xB1-\xEA\x9E\x87\xEA\x9E\x8B-\xEA" \
	"\x9E\x8E\xEA\xAD\xB0-\xEA\xAE\xBF\xEF\xAC\x80-\xEF\xAC\x86\xEF\xAC" \
	"\x93-\xEF\xAC\x97\xEF\xBC\xA1-\xEF\xBC\xBA\xEF\xBD\x81-\xEF\xBD\x9A" \
	"\xF0\x90\x90\x80-\xF0\x90\x91\x8F\xF0\x90\x92\xB0-\xF0\x90\x93\x93" \
	"\xF0\x90\x93\x98-\xF0\x90\x93\xBB\xF0\x90\xB2\x80-\xF0\x90\xB2\xB2" \
	"\xF0\x90\xB3\x80-\xF0\x90\xB3\xB2\xF0\x91\xA2\xA0-\xF0\x91\xA3\x9F" \
	"\xF0\x9E\xA4\x80-\xF0\x9E\xA5\x83"
#define DEEPSEEK_WORDS "\\s?[" DEEPSEEK_LETTERS "]+"
#define DEEPSEEK3_WORDS \
	"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+" \
	"|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+" \
	"| ?[\\p{P}\\p{S}]+[\\r\\n]*|" SPACES

typedef struct KnownSplits
{
	const char *name;			/* of tokenizer.ggml.pre */
	bool		nfc;			/* what readers do with that name */
	bool		whole;			/* ignore_merges */
	const char *splits[MOST_SPLITS];
} KnownSplits;

/* Of names with the same splits the first one is the usual one. */
static const KnownSplits known_splits[] = {
	{"gpt-2", false, false, {GPT2}},
	{"smollm", false, false, {"\\p{N}", GPT2}},
	{"llama-bpe", false, true,
	{SHORT_FORMS "|" WORD "\\p{L}+|\\p{N}{1,3}" SIGNS SPACES}},
	{"smaug-bpe", false, false,
	{SHORT_FORMS "|" WORD "\\p{L}+|\\p{N}{1,3}" SIGNS SPACES}},
	{"qwen2", true, false,
	{SHORT_FORMS "|" WORD "\\p{L}+|\\p{N}" SIGNS SPACES}},
	{"bailingmoe", false, false,
		{SHORT_FORMS "|" WORD "\\p{L}+|\\p{N}" SIGNS
	"\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}},
	{"qwen35", false, false,
		{SHORT_FORMS "|" WORD "[\\p{L}\\p{M}]+|\\p{N}"
	"| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES}},
	{"tekken", false, true,
	{CAPITALISED "|" CAPITALS "|\\p{N}" SIGNS_AND_SLASH SPACES}},
	{"gpt-4o", false, false,
		{CAPITALISED SHORT_FORMS "?|" CAPITALS SHORT_FORMS "?|\\p{N}{1,3}"
	SIGNS_AND_SLASH SPACES}},
	{"falcon", false, false,
	{"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"}},
	{"deepseek-coder", false, false,
	{"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", HAN_AND_MORE, "\\p{N}"}},
	{"deepseek-llm", false, false,
		{"[\\r\\n]", DEEPSEEK_WORDS, DEEPSEEK_SIGNS, "\\s+$", HAN_AND_MORE,
	"\\p{N}+"}},
	{"deepseek-v3", false, false,
	{"\\p{N}{1,3}", HAN_AND_KANA, DEEPSEEK3_WORDS}},
	{"bloom", false, false, {BLOOM_WORDS}}
};

#define N_KNOWN (sizeof(known_splits) / sizeof(known_splits[0]))

/* The list that a pre_tokenizer becomes */
typedef struct Splits
{
	int			n;
	const char *text[MOST_SPLITS];
	bool		bytes;			/* ends with the byte alphabet */
} Splits;

static EngineCode
add_split(HfTokenizer *self, Splits *splits, const char *text)
{
	if (splits->n == MOST_SPLITS)
		return engine_fail(self->model->status, ENGINE_UNSUPPORTED,
						   "a pre-tokenizer of more than %d steps is not "
						   "supported", MOST_SPLITS);
	splits->text[splits->n++] = text;
	return ENGINE_OK;
}

/*
 * Matches and gaps both become words.  Written the other way round, matches
 * are kept and gaps removed: the same when there are no gaps.
 */
static EngineCode
read_split(HfTokenizer *self, const HfObject *step, Splits *splits)
{
	HfObject	pattern;
	const char *regex = NULL;
	const char *behavior = "";
	bool		invert = false;

	ENGINE_TRY(hf_get_object(step, "pattern", &pattern));
	ENGINE_TRY(hf_get_text(&pattern, "Regex", &regex));
	ENGINE_TRY(hf_get_text(step, "behavior", &behavior));
	ENGINE_TRY(hf_get_bool(step, "invert", &invert));
	if (regex == NULL)
		return hf_step_unsupported(self, "pre-tokenizer", "Split by a text");
	if (strcmp(behavior, "Isolated") == 0 && !invert)
		return add_split(self, splits, regex);
	if (strcmp(behavior, "Removed") == 0 && invert && strlen(regex) > 4 &&
		strcmp(regex + strlen(regex) - 4, "|\\s+") == 0)
		return add_split(self, splits, regex);
	return hf_unsupported(step, "behavior", behavior);
}

/*
 * transformers lets tokenizer_config.json decide about the space before a
 * text when the byte alphabet is the only step.
 */
static EngineCode
read_byte_level(HfTokenizer *self, const HfObject *step, bool alone,
				Splits *splits)
{
	const HfObject *decides = alone &&
		hf_member(&self->config, "add_prefix_space") != NULL ?
		&self->config : step;
	bool		regex = true;

	ENGINE_TRY(hf_refuse_bool(decides, "add_prefix_space", false));
	ENGINE_TRY(hf_get_bool(step, "use_regex", &regex));
	splits->bytes = true;
	return regex ? add_split(self, splits, GPT2) : ENGINE_OK;
}

static EngineCode
read_step(HfTokenizer *self, const HfObject *step, const char *type,
		  bool alone, Splits *splits)
{
	bool		one_by_one = false;
	const char *behavior = "";

	if (strcmp(type, "Split") == 0)
		return read_split(self, step, splits);
	if (strcmp(type, "ByteLevel") == 0)
		return read_byte_level(self, step, alone, splits);
	if (strcmp(type, "Digits") == 0)
	{
		ENGINE_TRY(hf_get_bool(step, "individual_digits", &one_by_one));
		return add_split(self, splits, one_by_one ? "\\p{N}" : "\\p{N}+");
	}
	if (strcmp(type, "Punctuation") == 0)
	{
		ENGINE_TRY(hf_get_text(step, "behavior", &behavior));
		if (strcmp(behavior, "Contiguous") == 0)
			return add_split(self, splits, "[\\p{P}\\$\\+<=>\\^~\\|`]+");
		return hf_unsupported(step, "behavior", behavior);
	}
	return hf_step_unsupported(self, "pre-tokenizer", type);
}

/*
 * The next character of an expression: line ends may stand there as such or
 * escaped, and a quotation mark with a needless backslash.
 */
static char
next_character(const char **text)
{
	char		c = *(*text)++;

	if (c == '\\' && **text == 'n')
		c = '\n';
	else if (c == '\\' && **text == 'r')
		c = '\r';
	else if (c == '\\' && **text == '"')
		c = '"';
	else
		return c;
	(*text)++;
	return c;
}

static bool
same_expression(const char *a, const char *b)
{
	while (*a != '\0' && *b != '\0')
	{
		/* an escaped backslash is not the beginning of another escape */
		if (a[0] == '\\' && a[1] == '\\')
		{
			if (b[0] != '\\' || b[1] != '\\')
				return false;
			a += 2;
			b += 2;
			continue;
		}
		if (next_character(&a) != next_character(&b))
			return false;
	}
	return *a == *b;
}

static bool
same_splits(const Splits *splits, const KnownSplits *known)
{
	for (int i = 0; i < MOST_SPLITS; i++)
	{
		if ((i < splits->n) != (known->splits[i] != NULL))
			return false;
		if (i < splits->n &&
			!same_expression(splits->text[i], known->splits[i]))
			return false;
	}
	return true;
}

/* The best name: one that ignores merges as the model does, if there is. */
static const KnownSplits *
find_name(const Splits *splits, bool whole)
{
	const KnownSplits *found = NULL;

	for (size_t i = 0; i < N_KNOWN; i++)
	{
		if (same_splits(splits, &known_splits[i]) &&
			(found == NULL || (found->whole != whole &&
							   known_splits[i].whole == whole)))
			found = &known_splits[i];
	}
	return found;
}

static EngineCode
unknown_splits(HfTokenizer *self, const Splits *splits)
{
	char		buf[200];

	engine_fail(self->model->status, ENGINE_UNSUPPORTED,
				"the way in which %s splits text is not supported",
				self->file.file);
	if (splits->n == 0)
		engine_detail(self->model->status, "It does not split text at all.");
	else
		engine_detail(self->model->status,
					  "It has %d expressions, the first is %s", splits->n,
					  engine_printable(splits->text[0],
									   strlen(splits->text[0]), buf,
									   sizeof(buf)));
	return ENGINE_UNSUPPORTED;
}

/* Names that mean GPT-2's splitting in certain families */
static const char *
name_in_family(const HfTokenizer *self, const char *name)
{
	if (strcmp(name, "gpt-2") == 0 && self->model->family == HF_ROBERTA)
		return "roberta-bpe";
	if (strcmp(name, "gpt-2") == 0 && self->model->family == HF_MODERN_BERT)
		return "modern-bert";
	return name;
}

EngineCode
hf_put_pretokenizer(HfTokenizer *self, bool nfc, bool ignore_merges)
{
	HfSteps		steps;
	Splits		splits = {0};
	const KnownSplits *known;

	/* vocab.json and merges.txt alone are GPT-2's */
	if (self->file.node == NULL)
	{
		splits.text[splits.n++] = GPT2;
		splits.bytes = true;
	}
	else
	{
		ENGINE_TRY(hf_read_steps(self, "pre_tokenizer", "pretokenizers",
								 &steps));
		for (int i = 0; i < steps.n; i++)
			ENGINE_TRY(read_step(self, &steps.step[i], steps.type[i],
								 steps.n == 1, &splits));
	}
	known = find_name(&splits, ignore_merges);
	if (known == NULL || !splits.bytes)
		return unknown_splits(self, &splits);
	gguf_put_text(self->writer, HF_PREFIX "pre",
				  name_in_family(self, known->name));
	if (known->nfc != nfc)
		gguf_put_bool(self->writer, "tokenizer.llm.nfc", nfc);
	if (known->whole != ignore_merges)
		gguf_put_bool(self->writer, "tokenizer.llm.ignore_merges",
					  ignore_merges);
	return self->writer->code;
}
