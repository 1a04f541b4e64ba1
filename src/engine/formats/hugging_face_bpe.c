/*-------------------------------------------------------------------------
 *
 * hugging_face_bpe.c
 *	  Byte pair encoding: over the byte alphabet (GPT-2, Llama 3, Qwen), and
 *	  SentencePiece's with bytes as a last resort (Llama 2, Mistral, Gemma).
 *
 * GGUF keeps SentencePiece's vocabularies with a score for each token, and
 * readers join the pair whose result has the best score.  tokenizer.json has
 * merges instead, by rank.  Where each token's merges stand together both
 * are one order; so it is in files that were converted from SentencePiece,
 * but for ties, and not where merges were learned directly.  So scores, minus
 * the rank of the first merge that makes the token, are for other engines,
 * and our own tokenizer is told by tokenizer.llm.merges to go by the merges,
 * which are in the file as well: that gives the ids of the original always.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/hugging_face_tokenizer.h"

#include <string.h>

#define LONGEST_FILE ((size_t) 64 * 1024 * 1024)
#define POLL_EVERY 16			/* merges: hashes of hostile texts collide */
#define MARK_LENGTH (sizeof(HF_WORD_MARK) - 1)

/* Merges in one of three forms: "a b", ["a", "b"], lines of merges.txt */
typedef struct MergeReader
{
	HfTokenizer *self;
	const JsonNode *at;
	uint32_t	left_over;		/* elements of the array */
	const char *text;			/* NULL: the array */
	uint32_t	rank;
} MergeReader;

typedef struct Merge
{
	const char *left;
	size_t		n_left;
	const char *right;
	size_t		n_right;
	int32_t		merged;
} Merge;

static EngineCode
bad_merge(const MergeReader *reader, const char *problem)
{
	return engine_fail(reader->self->model->status, ENGINE_CORRUPT,
					   "merge %u of the tokenizer %s", reader->rank, problem);
}

static EngineCode
merges_open(HfTokenizer *self, MergeReader *reader)
{
	const JsonNode *array = NULL;
	size_t		length;

	memset(reader, 0, sizeof(*reader));
	reader->self = self;
	if (self->file.node == NULL)
		return folder_text(self->model->folder, "merges.txt", LONGEST_FILE,
						   self->model->arena, &reader->text, &length,
						   self->model->status);
	ENGINE_TRY(hf_get_array(&self->algorithm, "merges", &array));
	if (array == NULL)
		return engine_fail(self->model->status, ENGINE_CORRUPT,
						   "\"merges\" in %s is missing", self->file.file);
	if (array->count > HF_MOST_MERGES)
		return engine_fail(self->model->status, ENGINE_LIMIT,
						   "tokenizer has %u merges, the limit is %d",
						   array->count, HF_MOST_MERGES);
	reader->at = json_first(array);
	reader->left_over = array->count;
	return ENGINE_OK;
}

/* "a b": exactly one space, and not at an end */
static EngineCode
split_merge(const MergeReader *reader, const char *text, size_t length,
			Merge *merge)
{
	const char *space = memchr(text, ' ', length);

	if (space == NULL || space == text || space == text + length - 1 ||
		memchr(space + 1, ' ', length - (size_t) (space + 1 - text)) != NULL)
		return bad_merge(reader, "is not two tokens with a space between");
	merge->left = text;
	merge->n_left = (size_t) (space - text);
	merge->right = space + 1;
	merge->n_right = length - merge->n_left - 1;
	return ENGINE_OK;
}

/* The next line of merges.txt that is neither empty nor its heading */
static bool
next_line(MergeReader *reader, const char **line, size_t *length)
{
	while (*reader->text != '\0')
	{
		const char *start = reader->text;
		size_t		n = strcspn(start, "\n");

		reader->text += n + (start[n] == '\n');
		if (n > 0 && start[n - 1] == '\r')
			n--;
		if (n == 0 || (reader->rank == 0 &&
					   strncmp(start, "#version", 8) == 0))
			continue;
		*line = start;
		*length = n;
		return true;
	}
	return false;
}

static EngineCode
next_pair(MergeReader *reader, Merge *merge, bool *more)
{
	const JsonNode *node = reader->at;
	const char *line;
	size_t		length;

	*more = false;
	if (reader->text != NULL)
	{
		if (!next_line(reader, &line, &length))
			return ENGINE_OK;
		*more = true;
		return split_merge(reader, line, length, merge);
	}
	if (reader->left_over == 0)
		return ENGINE_OK;
	*more = true;
	reader->left_over--;
	reader->at = json_after(node);
	if (node->type == JSON_STRING)
		return split_merge(reader, node->text, node->length, merge);
	if (node->type != JSON_ARRAY || node->count != 2 ||
		node[1].type != JSON_STRING || node[2].type != JSON_STRING ||
		node[1].length == 0 || node[2].length == 0 ||
		memchr(node[1].text, ' ', node[1].length) != NULL ||
		memchr(node[2].text, ' ', node[2].length) != NULL)
		return bad_merge(reader, "is not two tokens without spaces");
	merge->left = node[1].text;
	merge->n_left = node[1].length;
	merge->right = node[2].text;
	merge->n_right = node[2].length;
	return ENGINE_OK;
}

/* The next merge, of tokens that exist */
static EngineCode
next_merge(MergeReader *reader, Merge *merge, bool *more)
{
	const HfVocabulary *vocabulary = &reader->self->vocabulary;
	char		text[2 * HF_LONGEST_TOKEN];

	if (reader->rank % POLL_EVERY == 0 &&
		engine_interrupted(reader->self->model->host))
		return engine_cancelled(reader->self->model->status);
	ENGINE_TRY(next_pair(reader, merge, more));
	if (!*more)
		return ENGINE_OK;
	if (reader->rank >= HF_MOST_MERGES)
		return engine_fail(reader->self->model->status, ENGINE_LIMIT,
						   "tokenizer has more than %d merges",
						   HF_MOST_MERGES);
	if (hf_vocabulary_find(vocabulary, merge->left, merge->n_left) < 0 ||
		hf_vocabulary_find(vocabulary, merge->right, merge->n_right) < 0)
		return bad_merge(reader, "names a token that does not exist");
	memcpy(text, merge->left, merge->n_left);
	memcpy(text + merge->n_left, merge->right, merge->n_right);
	merge->merged = hf_vocabulary_find(vocabulary, text,
									   merge->n_left + merge->n_right);
	if (merge->merged < 0)
		return bad_merge(reader, "makes a token that does not exist");
	reader->rank++;
	return ENGINE_OK;
}

static EngineCode
put_merges(HfTokenizer *self)
{
	MergeReader reader;
	char		text[2 * HF_LONGEST_TOKEN + 1];

	ENGINE_TRY(merges_open(self, &reader));
	gguf_begin_array(self->writer, HF_PREFIX "merges", GGUF_STRING);
	for (;;)
	{
		Merge		merge;
		bool		more = false;

		ENGINE_TRY(next_merge(&reader, &merge, &more));
		if (!more)
			break;
		memcpy(text, merge.left, merge.n_left);
		text[merge.n_left] = ' ';
		memcpy(text + merge.n_left + 1, merge.right, merge.n_right);
		gguf_add_string(self->writer, text,
						merge.n_left + 1 + merge.n_right);
	}
	gguf_end_array(self->writer);
	return self->writer->code;
}

/* A text that must be absent or empty */
static EngineCode
refuse_text(const HfObject *object, const char *key)
{
	const char *text = "";

	ENGINE_TRY(hf_get_text(object, key, &text));
	return text[0] == '\0' ? ENGINE_OK : hf_unsupported(object, key, text);
}

/* What both kinds have in common */
static EngineCode
read_model(HfTokenizer *self)
{
	double		dropout = 0;
	HfObject	words;

	ENGINE_TRY(hf_get_float(&self->algorithm, "dropout", 0, 1, &dropout));
	if (dropout != 0)
		return hf_unsupported(&self->algorithm, "dropout", "above 0");
	ENGINE_TRY(refuse_text(&self->algorithm, "continuing_subword_prefix"));
	ENGINE_TRY(refuse_text(&self->algorithm, "end_of_word_suffix"));
	if (self->file.node != NULL)
	{
		ENGINE_TRY(hf_get_object(&self->algorithm, "vocab", &words));
		ENGINE_TRY(hf_vocabulary_object(&self->vocabulary, &words));
	}
	return hf_read_added_tokens(self);
}

EngineCode
hf_put_byte_bpe(HfTokenizer *self)
{
	HfSteps		steps;
	bool		nfc = false;
	bool		whole = false;

	ENGINE_TRY(hf_read_steps(self, "normalizer", "normalizers", &steps));
	for (int i = 0; i < steps.n; i++)
	{
		if (strcmp(steps.type[i], "NFC") != 0)
			return hf_step_unsupported(self, "normalizer", steps.type[i]);
		nfc = true;
	}
	ENGINE_TRY(hf_get_bool(&self->algorithm, "ignore_merges", &whole));
	ENGINE_TRY(read_model(self));
	gguf_put_text(self->writer, HF_PREFIX "model", "gpt2");
	ENGINE_TRY(hf_put_pretokenizer(self, nfc, whole));
	ENGINE_TRY(hf_vocabulary_put(&self->vocabulary, HF_AS_IT_IS, false,
								 self->writer));
	return put_merges(self);
}

/* How SentencePiece's spaces are made */
typedef struct Spaces
{
	bool		prefix;			/* one before the text */
	bool		first;			/* only at its beginning */
	bool		once;			/* not if there is one already */
	bool		split;			/* pieces have none inside */
	bool		replaced;		/* by the normaliser */
	bool		marked;			/* at all */
} Spaces;

static bool
is_mark(const char *text)
{
	return strcmp(text, HF_WORD_MARK) == 0;
}

static EngineCode
read_spm_normalizer(HfTokenizer *self, Spaces *spaces)
{
	HfSteps		steps;

	ENGINE_TRY(hf_read_steps(self, "normalizer", "normalizers", &steps));
	for (int i = 0; i < steps.n; i++)
	{
		const HfObject *step = &steps.step[i];
		HfObject	pattern;
		const char *from = "";
		const char *to = "";

		if (strcmp(steps.type[i], "Prepend") == 0 && i == 0)
		{
			ENGINE_TRY(hf_get_text(step, "prepend", &to));
			if (!is_mark(to))
				return hf_unsupported(step, "prepend", to);
			spaces->prefix = true;
			continue;
		}
		if (strcmp(steps.type[i], "Replace") != 0)
			return hf_step_unsupported(self, "normalizer", steps.type[i]);
		ENGINE_TRY(hf_get_object(step, "pattern", &pattern));
		ENGINE_TRY(hf_get_text(&pattern, "String", &from));
		ENGINE_TRY(hf_get_text(step, "content", &to));
		if (strcmp(from, " ") != 0 || !is_mark(to))
			return hf_step_unsupported(self, "normalizer", "Replace");
		spaces->replaced = spaces->marked = true;
	}
	return ENGINE_OK;
}

static EngineCode
read_metaspace(const HfObject *step, Spaces *spaces)
{
	const char *mark = HF_WORD_MARK;
	const char *scheme = NULL;
	bool		prefix = true;

	ENGINE_TRY(hf_get_text(step, "replacement", &mark));
	if (!is_mark(mark))
		return hf_unsupported(step, "replacement", mark);
	ENGINE_TRY(hf_get_bool(step, "add_prefix_space", &prefix));
	ENGINE_TRY(hf_get_text(step, "prepend_scheme", &scheme));
	if (scheme == NULL)
		scheme = prefix ? "always" : "never";
	if (strcmp(scheme, "always") != 0 && strcmp(scheme, "first") != 0 &&
		strcmp(scheme, "never") != 0)
		return hf_unsupported(step, "prepend_scheme", scheme);
	spaces->first = strcmp(scheme, "first") == 0;
	spaces->once = spaces->prefix = strcmp(scheme, "never") != 0;
	spaces->split = spaces->marked = true;
	return hf_get_bool(step, "split", &spaces->split);
}

/* Splitting at spaces does nothing when the normaliser leaves none. */
static EngineCode
read_spm_pretokenizer(HfTokenizer *self, Spaces *spaces)
{
	HfSteps		steps;

	ENGINE_TRY(hf_read_steps(self, "pre_tokenizer", "pretokenizers",
							 &steps));
	for (int i = 0; i < steps.n; i++)
	{
		HfObject	pattern;
		const char *text = "";

		if (strcmp(steps.type[i], "Metaspace") == 0 && !spaces->marked)
		{
			ENGINE_TRY(read_metaspace(&steps.step[i], spaces));
			continue;
		}
		if (strcmp(steps.type[i], "Split") == 0 && spaces->replaced)
		{
			ENGINE_TRY(hf_get_object(&steps.step[i], "pattern", &pattern));
			ENGINE_TRY(hf_get_text(&pattern, "String", &text));
			if (strcmp(text, " ") == 0)
				continue;
		}
		return hf_step_unsupported(self, "pre-tokenizer", steps.type[i]);
	}
	if (!spaces->marked)
		return engine_fail(self->model->status, ENGINE_UNSUPPORTED,
						   "a tokenizer with byte_fallback that does not "
						   "replace spaces is not supported");
	return ENGINE_OK;
}

static bool
is_byte_token(const HfToken *token)
{
	const char *text = token->text;

	return token->type == HF_NORMAL && token->length == 6 &&
		memcmp(text, "<0x", 3) == 0 && text[5] == '>' &&
		strspn(text + 3, "0123456789ABCDEF") == 2;
}

/* Does the mark stand inside? */
static bool
has_inner_mark(const HfToken *token)
{
	for (size_t i = 1; i + MARK_LENGTH <= token->length; i++)
	{
		if (memcmp(token->text + i, HF_WORD_MARK, MARK_LENGTH) == 0)
			return true;
	}
	return false;
}

/*
 * Types of SentencePiece's vocabularies.  Characters that are no tokens need
 * all bytes, or an unknown token that stands for a run of them.
 */
static EngineCode
set_spm_types(HfTokenizer *self, const Spaces *spaces)
{
	const char *unknown = NULL;
	bool		fused = false;
	int			n_bytes = 0;

	for (int32_t id = 0; id < self->vocabulary.n; id++)
	{
		HfToken    *token = &self->vocabulary.tokens[id];

		if (token->type == HF_NORMAL && spaces->split &&
			has_inner_mark(token))
			return engine_fail(self->model->status, ENGINE_UNSUPPORTED,
							   "a tokenizer that splits at spaces and has "
							   "tokens with spaces inside is not supported");
		/* spaces are marks in every text, and would hide the mark's token */
		if (token->type == HF_NORMAL &&
			memchr(token->text, ' ', token->length) != NULL)
			token->type = HF_UNUSED;
		if (is_byte_token(token))
		{
			token->type = HF_BYTE;
			n_bytes++;
		}
	}
	ENGINE_TRY(hf_get_text(&self->algorithm, "unk_token", &unknown));
	ENGINE_TRY(hf_get_bool(&self->algorithm, "fuse_unk", &fused));
	if (unknown != NULL)
		self->unknown = hf_vocabulary_find(&self->vocabulary, unknown,
										   strlen(unknown));
	if (self->unknown >= 0)
		self->vocabulary.tokens[self->unknown].type = HF_UNKNOWN;
	if (n_bytes < 256 && (self->unknown < 0 || !fused))
		return engine_fail(self->model->status, ENGINE_UNSUPPORTED,
						   "a tokenizer with byte_fallback needs all byte "
						   "tokens, or \"unk_token\" and \"fuse_unk\"");
	return ENGINE_OK;
}

/* Is a text nothing but marks? */
static bool
only_marks(const HfToken *token)
{
	if (token->length % MARK_LENGTH != 0)
		return false;
	for (size_t i = 0; i < token->length; i += MARK_LENGTH)
	{
		if (memcmp(token->text + i, HF_WORD_MARK, MARK_LENGTH) != 0)
			return false;
	}
	return true;
}

/*
 * Scores as said above; what no merge makes, single characters above all, is
 * below.  Gemma has runs of spaces as added tokens: written with marks they
 * are in no text, and come about by merging.
 */
static EngineCode
set_scores(HfTokenizer *self)
{
	MergeReader reader;
	Merge		merge;
	bool		more = false;

	ENGINE_TRY(merges_open(self, &reader));
	for (;;)
	{
		uint32_t	rank = reader.rank;
		HfToken    *token;

		ENGINE_TRY(next_merge(&reader, &merge, &more));
		if (!more)
			break;
		token = &self->vocabulary.tokens[merge.merged];
		if (token->type == HF_USER_DEFINED && only_marks(token))
			token->type = HF_NORMAL;
		if (token->type == HF_NORMAL && token->score == 0)
			token->score = -(float) (rank + 1);
	}
	for (int32_t id = 0; id < self->vocabulary.n; id++)
	{
		HfToken    *token = &self->vocabulary.tokens[id];

		if (token->type == HF_NORMAL && token->score == 0)
			token->score = -(float) (reader.rank + 1);
	}
	return ENGINE_OK;
}

EngineCode
hf_put_spm(HfTokenizer *self)
{
	Spaces		spaces = {0};
	GgufWriter *writer = self->writer;

	ENGINE_TRY(read_spm_normalizer(self, &spaces));
	ENGINE_TRY(read_spm_pretokenizer(self, &spaces));
	ENGINE_TRY(hf_refuse_bool(&self->algorithm, "ignore_merges", false));
	ENGINE_TRY(read_model(self));
	if (self->normalized != NULL && spaces.prefix && spaces.replaced)
		return hf_unsupported(&self->file, "added_tokens", self->normalized);
	ENGINE_TRY(set_spm_types(self, &spaces));
	ENGINE_TRY(set_scores(self));
	gguf_put_text(writer, HF_PREFIX "model", "llama");
	gguf_put_text(writer, HF_PREFIX "pre", "default");
	gguf_put_bool(writer, HF_PREFIX "add_space_prefix", spaces.prefix);
	if (spaces.first)
		gguf_put_bool(writer, "tokenizer.llm.prefix_first", true);
	if (spaces.once)
		gguf_put_bool(writer, "tokenizer.llm.prefix_once", true);
	gguf_put_bool(writer, "tokenizer.llm.merges", true);
	ENGINE_TRY(hf_vocabulary_put(&self->vocabulary, HF_AS_IT_IS, true,
								 writer));
	return put_merges(self);
}
