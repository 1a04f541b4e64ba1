/*-------------------------------------------------------------------------
 *
 * hugging_face_pieces.c
 *	  Vocabularies without merges: WordPiece (BERT) and Unigram (XLM-RoBERTa).
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/hugging_face_tokenizer.h"

#include <string.h>

#define MAX_WORD 100			/* characters, as in BERT's own code */
#define LONGEST_CHARSMAP ((size_t) 16 * 1024 * 1024)

/* BertNormalizer's settings */
typedef struct Cleaning
{
	bool		clean_text;
	bool		chinese_chars;
	bool		lowercase;
	bool		strip_accents;
} Cleaning;

/* strip_accents goes with lowercase unless it is said. */
static EngineCode
read_cleaning(const HfObject *object, const char *chinese,
			  const char *lowercase, Cleaning *cleaning)
{
	cleaning->clean_text = cleaning->chinese_chars = true;
	cleaning->lowercase = true;
	ENGINE_TRY(hf_get_bool(object, "clean_text", &cleaning->clean_text));
	ENGINE_TRY(hf_get_bool(object, chinese, &cleaning->chinese_chars));
	ENGINE_TRY(hf_get_bool(object, lowercase, &cleaning->lowercase));
	cleaning->strip_accents = cleaning->lowercase;
	return hf_get_bool(object, "strip_accents", &cleaning->strip_accents);
}

static EngineCode
read_normalizer(HfTokenizer *self, Cleaning *cleaning)
{
	HfSteps		steps;

	memset(cleaning, 0, sizeof(*cleaning));
	if (self->file.node == NULL)
		return read_cleaning(&self->config, "tokenize_chinese_chars",
							 "do_lower_case", cleaning);
	ENGINE_TRY(hf_read_steps(self, "normalizer", "normalizers", &steps));
	for (int i = 0; i < steps.n; i++)
	{
		if (strcmp(steps.type[i], "BertNormalizer") != 0 || i > 0)
			return hf_step_unsupported(self, "normalizer", steps.type[i]);
		ENGINE_TRY(read_cleaning(&steps.step[i], "handle_chinese_chars",
								 "lowercase", cleaning));
	}
	ENGINE_TRY(hf_read_steps(self, "pre_tokenizer", "pretokenizers",
							 &steps));
	if (steps.n != 1 || strcmp(steps.type[0], "BertPreTokenizer") != 0)
		return hf_step_unsupported(self, "pre-tokenizer",
								   steps.n == 0 ? "null" : steps.type[0]);
	return ENGINE_OK;
}

EngineCode
hf_put_wordpiece(HfTokenizer *self)
{
	GgufWriter *writer = self->writer;
	Cleaning	cleaning;
	const char *prefix = "##";
	const char *unknown = "[UNK]";
	int64_t		max_word = MAX_WORD;
	HfObject	words;

	ENGINE_TRY(read_normalizer(self, &cleaning));
	ENGINE_TRY(hf_get_text(&self->algorithm, "continuing_subword_prefix",
						   &prefix));
	if (strcmp(prefix, "##") != 0)
		return hf_unsupported(&self->algorithm, "continuing_subword_prefix",
							  prefix);
	ENGINE_TRY(hf_get_text(&self->algorithm, "unk_token", &unknown));
	ENGINE_TRY(hf_get_int(&self->algorithm, "max_input_chars_per_word", 1,
						  INT32_MAX, &max_word));
	if (self->file.node != NULL)
	{
		ENGINE_TRY(hf_get_object(&self->algorithm, "vocab", &words));
		ENGINE_TRY(hf_vocabulary_object(&self->vocabulary, &words));
	}
	ENGINE_TRY(hf_read_added_tokens(self));
	self->lowercase = cleaning.lowercase;
	if (self->normalized != NULL && (cleaning.lowercase ||
									 cleaning.strip_accents))
		return hf_unsupported(&self->file, "added_tokens", self->normalized);
	self->unknown = hf_vocabulary_find(&self->vocabulary, unknown,
									   strlen(unknown));
	if (self->unknown < 0)
		return engine_fail(self->model->status, ENGINE_CORRUPT,
						   "the tokenizer has no token for unknown words");
	gguf_put_text(writer, HF_PREFIX "model", "bert");
	gguf_put_text(writer, HF_PREFIX "pre", "default");
	gguf_put_bool(writer, "tokenizer.llm.clean_text", cleaning.clean_text);
	gguf_put_bool(writer, "tokenizer.llm.chinese_chars",
				  cleaning.chinese_chars);
	gguf_put_bool(writer, "tokenizer.llm.lowercase", cleaning.lowercase);
	gguf_put_bool(writer, "tokenizer.llm.strip_accents",
				  cleaning.strip_accents);
	gguf_put_u32(writer, "tokenizer.llm.max_word", (uint32_t) max_word);
	return hf_vocabulary_put(&self->vocabulary, HF_WORDPIECE, false, writer);
}

/* [["piece", score], ...] */
static EngineCode
read_unigram_vocabulary(HfTokenizer *self)
{
	const JsonNode *list;
	const JsonNode *at;
	int64_t		unknown = -1;

	ENGINE_TRY(hf_get_array(&self->algorithm, "vocab", &list));
	if (list == NULL || list->count == 0)
		return engine_fail(self->model->status, ENGINE_CORRUPT,
						   "\"vocab\" in %s is missing or empty",
						   self->file.file);
	at = json_first(list);
	for (uint32_t i = 0; i < list->count; i++, at = json_after(at))
	{
		const JsonNode *text = json_element(at, 0);
		double		score;

		if (text == NULL || text->type != JSON_STRING || at->count != 2 ||
			!json_double(json_element(at, 1), &score) ||
			!(score > -1e30 && score < 1e30))
			return hf_wrong_type(&self->algorithm, "vocab",
								 "an array of pieces and scores");
		ENGINE_TRY(hf_vocabulary_add(&self->vocabulary, i, text->text,
									 text->length, HF_NORMAL));
		self->vocabulary.tokens[i].score = (float) score;
	}
	ENGINE_TRY(hf_get_int(&self->algorithm, "unk_id", 0, list->count - 1,
						  &unknown));
	if (unknown < 0)
		return engine_fail(self->model->status, ENGINE_UNSUPPORTED,
						   "a Unigram tokenizer without \"unk_id\" is not "
						   "supported");
	self->unknown = (int32_t) unknown;
	return ENGINE_OK;
}

static int
base64_value(char c)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *found = c == '\0' ? NULL : strchr(alphabet, c);

	return found == NULL ? -1 : (int) (found - alphabet);
}

/* Source: RFC 4648, section 4; with padding, without line ends. */
static EngineCode
decode_base64(HfTokenizer *self, const char *text, uint8_t **bytes, size_t *n)
{
	size_t		length = strlen(text);
	size_t		padding = 0;
	uint32_t	bits = 0;

	while (padding < 2 && padding < length &&
		   text[length - 1 - padding] == '=')
		padding++;
	if (length % 4 != 0 || length / 4 * 3 > LONGEST_CHARSMAP)
		return engine_fail(self->model->status, ENGINE_CORRUPT,
						   "\"precompiled_charsmap\" in %s has a wrong length",
						   self->file.file);
	*n = 0;
	*bytes = engine_alloc_raw(self->model->arena, length / 4 * 3 + 1, 1,
							  self->model->status);
	if (*bytes == NULL)
		return self->model->status->code;
	for (size_t i = 0; i < length; i++)
	{
		int			value = i < length - padding ? base64_value(text[i]) : 0;

		if (value < 0)
			return engine_fail(self->model->status, ENGINE_CORRUPT,
							   "\"precompiled_charsmap\" in %s is not "
							   "base64", self->file.file);
		bits = bits << 6 | (uint32_t) value;
		if (i % 4 != 3)
			continue;
		for (int shift = 16; shift >= 0; shift -= 8)
			(*bytes)[(*n)++] = (uint8_t) (bits >> shift);
	}
	*n -= padding;
	return ENGINE_OK;
}

/* What normaliser and pre-tokenizer do */
typedef struct UnigramSteps
{
	const char *charsmap;		/* base64; NULL: none */
	bool		strips;			/* spaces behind a text */
	bool		collapses;		/* runs of spaces */
	bool		words;			/* splits at white space */
	bool		prefix;			/* a mark before each */
} UnigramSteps;

/* Runs of spaces become one, as it is or as a mark. */
static EngineCode
read_collapse(HfTokenizer *self, const HfObject *step)
{
	HfObject	pattern;
	const char *regex = "";
	const char *content = "";

	ENGINE_TRY(hf_get_object(step, "pattern", &pattern));
	ENGINE_TRY(hf_get_text(&pattern, "Regex", &regex));
	ENGINE_TRY(hf_get_text(step, "content", &content));
	if (strcmp(regex, " {2,}") != 0 || (strcmp(content, " ") != 0 &&
										strcmp(content, HF_WORD_MARK) != 0))
		return hf_step_unsupported(self, "normalizer", "Replace");
	return ENGINE_OK;
}

static EngineCode
read_unigram_normalizer(HfTokenizer *self, UnigramSteps *result)
{
	HfSteps		steps;

	ENGINE_TRY(hf_read_steps(self, "normalizer", "normalizers", &steps));
	for (int i = 0; i < steps.n; i++)
	{
		if (strcmp(steps.type[i], "Precompiled") == 0 && i == 0)
			ENGINE_TRY(hf_get_text(&steps.step[i], "precompiled_charsmap",
								   &result->charsmap));
		else if (strcmp(steps.type[i], "Strip") == 0)
			ENGINE_TRY(hf_get_bool(&steps.step[i], "strip_right",
								   &result->strips));
		else if (strcmp(steps.type[i], "Replace") == 0)
		{
			ENGINE_TRY(read_collapse(self, &steps.step[i]));
			result->collapses = true;
		}
		else
			return hf_step_unsupported(self, "normalizer", steps.type[i]);
	}
	return ENGINE_OK;
}

static EngineCode
read_mark(const HfObject *step, UnigramSteps *result)
{
	const char *mark = HF_WORD_MARK;
	const char *scheme = NULL;
	bool		prefix = true;

	ENGINE_TRY(hf_get_text(step, "replacement", &mark));
	if (strcmp(mark, HF_WORD_MARK) != 0)
		return hf_unsupported(step, "replacement", mark);
	ENGINE_TRY(hf_get_bool(step, "add_prefix_space", &prefix));
	ENGINE_TRY(hf_get_text(step, "prepend_scheme", &scheme));
	if (scheme == NULL)
		scheme = prefix ? "always" : "never";
	if (strcmp(scheme, "always") != 0)
		return hf_unsupported(step, "prepend_scheme", scheme);
	result->prefix = true;
	return ENGINE_OK;
}

/*
 * Text is split at white space, which is gone then, or spaces become marks;
 * before that, runs may be collapsed and the end stripped.
 */
static EngineCode
read_unigram_steps(HfTokenizer *self, UnigramSteps *result)
{
	HfSteps		steps;

	memset(result, 0, sizeof(*result));
	ENGINE_TRY(read_unigram_normalizer(self, result));
	ENGINE_TRY(hf_read_steps(self, "pre_tokenizer", "pretokenizers",
							 &steps));
	for (int i = 0; i < steps.n; i++)
	{
		if (strcmp(steps.type[i], "WhitespaceSplit") == 0 && i == 0)
			result->words = true;
		else if (strcmp(steps.type[i], "Metaspace") == 0 && !result->prefix)
			ENGINE_TRY(read_mark(&steps.step[i], result));
		else
			return hf_step_unsupported(self, "pre-tokenizer", steps.type[i]);
	}
	if (!result->prefix)
		return engine_fail(self->model->status, ENGINE_UNSUPPORTED,
						   "a Unigram tokenizer without Metaspace is not "
						   "supported");
	return ENGINE_OK;
}

EngineCode
hf_put_unigram(HfTokenizer *self)
{
	GgufWriter *writer = self->writer;
	UnigramSteps steps;
	uint8_t    *charsmap = NULL;
	size_t		n = 0;

	ENGINE_TRY(read_unigram_steps(self, &steps));
	ENGINE_TRY(hf_refuse_bool(&self->algorithm, "byte_fallback", false));
	ENGINE_TRY(read_unigram_vocabulary(self));
	ENGINE_TRY(hf_read_added_tokens(self));
	if (self->normalized != NULL)
		return hf_unsupported(&self->file, "added_tokens", self->normalized);
	self->vocabulary.tokens[self->unknown].type = HF_UNKNOWN;
	gguf_put_text(writer, HF_PREFIX "model", "t5");
	gguf_put_text(writer, HF_PREFIX "pre", "default");
	gguf_put_bool(writer, HF_PREFIX "add_space_prefix", true);
	gguf_put_bool(writer, HF_PREFIX "remove_extra_whitespaces", true);
	if (!steps.words)
	{
		gguf_put_bool(writer, "tokenizer.llm.spaces_only", true);
		gguf_put_bool(writer, "tokenizer.llm.keep_end", !steps.strips);
		gguf_put_bool(writer, "tokenizer.llm.keep_runs", !steps.collapses);
	}
	if (steps.charsmap != NULL && steps.charsmap[0] != '\0')
	{
		ENGINE_TRY(decode_base64(self, steps.charsmap, &charsmap, &n));
		gguf_begin_array(writer, HF_PREFIX "precompiled_charsmap", GGUF_U8);
		gguf_add_u8s(writer, charsmap, n);
		gguf_end_array(writer);
	}
	return hf_vocabulary_put(&self->vocabulary, HF_AS_IT_IS, true, writer);
}
