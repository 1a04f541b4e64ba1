/*-------------------------------------------------------------------------
 *
 * hugging_face_tokenizer.c
 *	  The tokenizer of a Hugging Face folder as keys of a GGUF file.
 *
 * tokenizer.json is the source; older folders have only the vocabulary files
 * of BERT and GPT-2, which suffice for these.  Its truncation and padding
 * blocks are left alone: they are somebody's last settings, not the model's.
 * A step that we do not know is refused by name, never skipped.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/hugging_face_tokenizer.h"

#include <string.h>

#define LONGEST_FILE ((size_t) 64 * 1024 * 1024)

EngineCode
hf_step_unsupported(const HfTokenizer *self, const char *what,
					const char *type)
{
	char		text[64];

	return engine_fail(self->model->status, ENGINE_UNSUPPORTED,
					   "%s of type \"%s\" in %s is not supported", what,
					   engine_printable(type, strlen(type), text,
										sizeof(text)), self->file.file);
}

static EngineCode
add_step(HfTokenizer *self, const char *key, const JsonNode *node,
		 HfSteps *steps)
{
	HfObject   *step = &steps->step[steps->n];

	if (steps->n == HF_MOST_STEPS)
		return engine_fail(self->model->status, ENGINE_UNSUPPORTED,
						   "\"%s\" in %s with more than %d steps is not "
						   "supported", key, self->file.file, HF_MOST_STEPS);
	if (node->type != JSON_OBJECT)
		return hf_wrong_type(&self->file, key, "an object");
	*step = self->file;
	step->node = node;
	steps->type[steps->n] = "";
	ENGINE_TRY(hf_get_text(step, "type", &steps->type[steps->n]));
	if (strcmp(steps->type[steps->n], "Sequence") == 0)
		return hf_step_unsupported(self, key, "Sequence in a Sequence");
	steps->n++;
	return ENGINE_OK;
}

EngineCode
hf_read_steps(HfTokenizer *self, const char *key, const char *list,
			  HfSteps *steps)
{
	HfObject	object;
	const JsonNode *array;
	const JsonNode *at;

	steps->n = 0;
	ENGINE_TRY(hf_get_object(&self->file, key, &object));
	if (object.node == NULL)
		return ENGINE_OK;
	if (!hf_same(json_member(object.node, "type"), "Sequence"))
		return add_step(self, key, object.node, steps);
	ENGINE_TRY(hf_get_array(&object, list, &array));
	if (array == NULL)
		return hf_wrong_type(&self->file, key, "a list of steps");
	at = json_first(array);
	for (uint32_t i = 0; i < array->count; i++, at = json_after(at))
		ENGINE_TRY(add_step(self, key, at, steps));
	return ENGINE_OK;
}

/*
 * Flags that widen where a token is found.  Control tokens are never looked
 * for in texts that are embedded, so there they do not matter; the mask is
 * in no chat.
 */
static EngineCode
check_added_token(HfTokenizer *self, const HfObject *object,
				  const char *content, bool special)
{
	static const char *const flags[] = {"lstrip", "rstrip", "single_word"};
	bool		normalized = false;

	ENGINE_TRY(hf_get_bool(object, "normalized", &normalized));
	if (normalized && !special)
		self->normalized = content;
	if (special && (!self->model->causal ||
					(self->mask_text != NULL &&
					 strcmp(self->mask_text, content) == 0)))
		return ENGINE_OK;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
	{
		bool		set = false;

		ENGINE_TRY(hf_get_bool(object, flags[i], &set));
		if (set)
			return hf_unsupported(object, flags[i], content);
	}
	return ENGINE_OK;
}

static EngineCode
add_added_token(HfTokenizer *self, const HfObject *object)
{
	int64_t		id = -1;
	int32_t		known;
	const char *content = NULL;
	bool		special = false;

	ENGINE_TRY(hf_get_int(object, "id", 0, INT32_MAX, &id));
	ENGINE_TRY(hf_get_text(object, "content", &content));
	ENGINE_TRY(hf_get_bool(object, "special", &special));
	if (id < 0 || content == NULL || content[0] == '\0')
		return engine_fail(self->model->status, ENGINE_CORRUPT,
						   "an element of \"added_tokens\" in %s has no id or "
						   "no content", object->file);
	known = hf_vocabulary_find(&self->vocabulary, content, strlen(content));
	if (known >= 0 && known != id)
		return engine_fail(self->model->status, ENGINE_CORRUPT,
						   "element %d of \"added_tokens\" in %s has another "
						   "id in the vocabulary", (int) id, object->file);
	ENGINE_TRY(check_added_token(self, object, content, special));
	return hf_vocabulary_add(&self->vocabulary, id, content, strlen(content),
							 special ? HF_CONTROL : HF_USER_DEFINED);
}

EngineCode
hf_read_added_tokens(HfTokenizer *self)
{
	const JsonNode *list;
	const JsonNode *at;

	ENGINE_TRY(hf_get_array(&self->file, "added_tokens", &list));
	if (list == NULL)
		return ENGINE_OK;
	ENGINE_TRY(hf_special_text(self, "mask_token", &self->mask_text));
	at = json_first(list);
	for (uint32_t i = 0; i < list->count; i++, at = json_after(at))
	{
		HfObject	object = {at, self->file.file, self->file.status};

		ENGINE_TRY(add_added_token(self, &object));
	}
	return ENGINE_OK;
}

/* Does the pre_tokenizer end with the byte alphabet? */
static EngineCode
has_byte_alphabet(HfTokenizer *self, bool *found)
{
	HfSteps		steps;

	*found = false;
	ENGINE_TRY(hf_read_steps(self, "pre_tokenizer", "pretokenizers",
							 &steps));
	for (int i = 0; i < steps.n; i++)
		*found = *found || strcmp(steps.type[i], "ByteLevel") == 0;
	return ENGINE_OK;
}

static EngineCode
put_bpe(HfTokenizer *self)
{
	bool		fallback = false;
	bool		alphabet;

	ENGINE_TRY(hf_get_bool(&self->algorithm, "byte_fallback", &fallback));
	ENGINE_TRY(has_byte_alphabet(self, &alphabet));
	if (alphabet && !fallback)
		return hf_put_byte_bpe(self);
	if (fallback && !alphabet)
		return hf_put_spm(self);
	return engine_fail(self->model->status, ENGINE_UNSUPPORTED,
					   "a BPE tokenizer that has neither the byte alphabet "
					   "nor byte_fallback is not supported");
}

/* The kind of the model; older files do not name it. */
static EngineCode
put_model(HfTokenizer *self)
{
	const JsonNode *model = self->algorithm.node;
	const char *type = NULL;

	ENGINE_TRY(hf_get_text(&self->algorithm, "type", &type));
	if (type == NULL)
		type = json_member(model, "merges") != NULL ? "BPE" :
			json_member(model, "unk_id") != NULL ? "Unigram" :
			json_member(model, "max_input_chars_per_word") != NULL ?
			"WordPiece" : "";
	if (strcmp(type, "BPE") == 0)
		return put_bpe(self);
	if (strcmp(type, "WordPiece") == 0)
		return hf_put_wordpiece(self);
	if (strcmp(type, "Unigram") == 0)
		return hf_put_unigram(self);
	return hf_step_unsupported(self, "tokenizer model", type);
}

/* Special tokens of the classes that read vocabulary files */
static const struct
{
	const char *role;
	const char *bert;
	const char *roberta;
	const char *gpt2;
}			usual_tokens[] =

{
	{"unk_token", "[UNK]", "<unk>", NULL},
	{"sep_token", "[SEP]", "</s>", NULL},
	{"pad_token", "[PAD]", "<pad>", NULL},
	{"cls_token", "[CLS]", "<s>", NULL},
	{"mask_token", "[MASK]", "<mask>", NULL},
	{"bos_token", NULL, "<s>", "<|endoftext|>"},
	{"eos_token", NULL, "</s>", "<|endoftext|>"}
};

/* Control tokens, and their ids where the files name none */
static EngineCode
set_usual_specials(HfTokenizer *self)
{
	int32_t    *ids[] = {
		&self->unknown, &self->separator, &self->padding, &self->class,
		&self->mask, &self->bos, &self->eos
	};

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
	{
		const char *text;

		ENGINE_TRY(hf_special_text(self, usual_tokens[i].role, &text));
		if (text == NULL)
			text = self->model->family == HF_GPT2 ? usual_tokens[i].gpt2 :
				self->model->family == HF_ROBERTA ? usual_tokens[i].roberta :
				usual_tokens[i].bert;
		if (text == NULL)
			continue;
		*ids[i] = hf_vocabulary_find(&self->vocabulary, text, strlen(text));
		if (*ids[i] >= 0)
			self->vocabulary.tokens[*ids[i]].type = HF_CONTROL;
	}
	if (self->model->family == HF_GPT2)
		return ENGINE_OK;
	if (self->class < 0 || self->separator < 0)
		return engine_fail(self->model->status, ENGINE_CORRUPT,
						   "the vocabulary has no tokens to put around a "
						   "text");
	self->bos = self->class;
	self->eos = self->separator;
	self->add_bos = self->add_eos = true;
	self->add_separator = self->model->family == HF_ROBERTA;
	return ENGINE_OK;
}

/* One token a line */
static EngineCode
read_vocab_txt(HfTokenizer *self, const char *text)
{
	int64_t		id = 0;

	while (*text != '\0')
	{
		size_t		n = strcspn(text, "\n");
		size_t		length = n > 0 && text[n - 1] == '\r' ? n - 1 : n;
		char	   *copy = engine_strndup(self->model->arena, text, length,
										  self->model->status);

		if (copy == NULL)
			return self->model->status->code;
		ENGINE_TRY(hf_vocabulary_add(&self->vocabulary, id++, copy, length,
									 HF_NORMAL));
		text += n + (text[n] == '\n');
	}
	return ENGINE_OK;
}

/* {"text": id, ...} beside the vocabulary */
static EngineCode
read_added_file(HfTokenizer *self)
{
	HfObject	file;
	int32_t		before = self->vocabulary.n;

	ENGINE_TRY(hf_open_object(self->model, "added_tokens.json", false,
							  &file));
	if (file.node == NULL || file.node->count == 0)
		return ENGINE_OK;
	ENGINE_TRY(hf_vocabulary_object(&self->vocabulary, &file));
	for (int32_t id = before; id < self->vocabulary.n; id++)
	{
		if (self->vocabulary.tokens[id].type == HF_NORMAL)
			self->vocabulary.tokens[id].type = HF_USER_DEFINED;
	}
	return ENGINE_OK;
}

static EngineCode
no_tokenizer(HfTokenizer *self)
{
	engine_fail(self->model->status, ENGINE_UNSUPPORTED,
				"model folder has no tokenizer.json");
	engine_hint(self->model->status,
				"AutoTokenizer.from_pretrained(folder)"
				".save_pretrained(folder) of transformers writes one.");
	return ENGINE_UNSUPPORTED;
}

/* A folder from before tokenizer.json */
static EngineCode
put_old_files(HfTokenizer *self)
{
	HfFamily	family = self->model->family;
	const char *text = NULL;
	size_t		length;
	ByteSource *merges;
	HfObject	vocabulary;

	if (family == HF_BERT || family == HF_DISTILBERT ||
		family == HF_NOMIC_BERT)
	{
		ENGINE_TRY(folder_text(self->model->folder, "vocab.txt",
							   LONGEST_FILE, self->model->arena, &text,
							   &length, self->model->status));
		if (text == NULL)
			return no_tokenizer(self);
		ENGINE_TRY(read_vocab_txt(self, text));
		ENGINE_TRY(read_added_file(self));
		ENGINE_TRY(set_usual_specials(self));
		return hf_put_wordpiece(self);
	}
	if (family != HF_GPT2 && family != HF_ROBERTA)
		return no_tokenizer(self);
	ENGINE_TRY(hf_open_object(self->model, "vocab.json", false,
							  &vocabulary));
	ENGINE_TRY(folder_open(self->model->folder, "merges.txt", &merges,
						   self->model->status));
	if (vocabulary.node == NULL || merges == NULL)
		return no_tokenizer(self);
	ENGINE_TRY(hf_vocabulary_object(&self->vocabulary, &vocabulary));
	ENGINE_TRY(read_added_file(self));
	ENGINE_TRY(set_usual_specials(self));
	return hf_put_byte_bpe(self);
}

EngineCode
hf_put_tokenizer(HfModel *model, int32_t n_rows, GgufWriter *writer)
{
	HfTokenizer self = {
		.model = model, .writer = writer, .n_rows = n_rows,
		.bos = -1, .eos = -1, .unknown = -1, .separator = -1, .padding = -1,
		.class = -1, .mask = -1
	};

	if (n_rows < 1)
		return engine_fail(model->status, ENGINE_CORRUPT,
						   "the token embedding has no rows");
	ENGINE_TRY(hf_open_object(model, "tokenizer.json", false, &self.file));
	ENGINE_TRY(hf_open_object(model, "tokenizer_config.json", false,
							  &self.config));
	ENGINE_TRY(hf_open_object(model, "special_tokens_map.json", false,
							  &self.special));
	ENGINE_TRY(hf_vocabulary_init(&self.vocabulary, model, n_rows));
	ENGINE_TRY(hf_get_object(&self.file, "model", &self.algorithm));
	if (self.file.node == NULL)
		ENGINE_TRY(put_old_files(&self));
	else
	{
		ENGINE_TRY(put_model(&self));
		ENGINE_TRY(hf_read_specials(&self));
	}
	if (model->lower_first && !self.lowercase)
		return engine_fail(model->status, ENGINE_UNSUPPORTED,
						   "\"do_lower_case\" of sentence-transformers with a "
						   "tokenizer that keeps the case is not supported");
	return hf_put_specials(&self);
}
