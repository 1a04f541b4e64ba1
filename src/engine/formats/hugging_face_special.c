/*-------------------------------------------------------------------------
 *
 * hugging_face_special.c
 *	  Special tokens: their ids, what is put around texts, where a generation
 *	  ends, and the chat template.
 *
 * The post_processor decides what is put around a text.  GGUF knows one token
 * before (bos) and one behind (eos), so these become the ids that it names,
 * whatever tokenizer_config.json calls them; an end of generation that is
 * displaced so becomes eot.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/hugging_face_tokenizer.h"

#include "base/utf8.h"

#include <string.h>

#define LONGEST_TEMPLATE ((size_t) 1024 * 1024)
#define MOST_ENDS 8

/* What a post_processor says */
typedef struct Surroundings
{
	bool		found;
	int32_t		before;			/* -1: nothing */
	int32_t		behind;
	bool		doubled;		/* two separators between texts */
} Surroundings;

EngineCode
hf_special_text(HfTokenizer *self, const char *role, const char **text)
{
	const HfObject *files[2] = {&self->config, &self->special};

	*text = NULL;
	for (int i = 0; i < 2 && *text == NULL; i++)
	{
		const JsonNode *node = hf_member(files[i], role);
		HfObject	object = {node, files[i]->file, files[i]->status};

		if (node != NULL && node->type == JSON_OBJECT)
			ENGINE_TRY(hf_get_text(&object, "content", text));
		else
			ENGINE_TRY(hf_get_text(files[i], role, text));
	}
	return ENGINE_OK;
}

/* A role whose text is no token counts as missing. */
static EngineCode
read_role(HfTokenizer *self, const char *role, int32_t *id)
{
	const char *text;

	*id = -1;
	ENGINE_TRY(hf_special_text(self, role, &text));
	if (text != NULL)
		*id = hf_vocabulary_find(&self->vocabulary, text, strlen(text));
	return ENGINE_OK;
}

static EngineCode
bad_processor(const HfTokenizer *self, EngineCode code, const char *problem)
{
	return engine_fail(self->model->status, code,
					   "\"post_processor\" in %s %s", self->file.file,
					   problem);
}

/* An id of the file must be a token. */
static EngineCode
check_id(const HfTokenizer *self, const JsonNode *node, int32_t *id)
{
	int64_t		value;

	if (!json_integer(node, &value) || value < 0 ||
		value >= self->vocabulary.n ||
		self->vocabulary.tokens[value].type == HF_HOLE)
		return bad_processor(self, ENGINE_CORRUPT,
							 "has an id that is no token");
	*id = (int32_t) value;
	return ENGINE_OK;
}

/* ["[CLS]", 101] of BertProcessing and RobertaProcessing */
static EngineCode
read_named_id(const HfTokenizer *self, const HfObject *step, const char *key,
			  int32_t *id)
{
	const JsonNode *pair;

	ENGINE_TRY(hf_get_array(step, key, &pair));
	return check_id(self, json_element(pair, 1), id);
}

static EngineCode
read_fixed(HfTokenizer *self, const HfObject *step, bool doubled,
		   Surroundings *around)
{
	ENGINE_TRY(read_named_id(self, step, "cls", &around->before));
	ENGINE_TRY(read_named_id(self, step, "sep", &around->behind));
	around->doubled = doubled;
	around->found = true;
	return ENGINE_OK;
}

/* One element of a template */
typedef struct Piece
{
	char		sequence;		/* 'A', 'B', or 0: a special token */
	int32_t		id;
	int64_t		type;			/* of tokens: 0 or 1 */
} Piece;

#define MOST_PIECES 8

/* The ids that a special token of the template stands for: just one. */
static EngineCode
read_template_id(const HfTokenizer *self, const HfObject *step,
				 const char *name, int32_t *id)
{
	HfObject	specials;
	HfObject	special;
	const JsonNode *ids;

	ENGINE_TRY(hf_get_object(step, "special_tokens", &specials));
	ENGINE_TRY(hf_get_object(&specials, name, &special));
	ENGINE_TRY(hf_get_array(&special, "ids", &ids));
	if (ids != NULL && ids->count > 1)
		return bad_processor(self, ENGINE_UNSUPPORTED,
							 "has a special token of several ids");
	return check_id(self, json_element(ids, 0), id);
}

static EngineCode
read_piece(const HfTokenizer *self, const HfObject *step,
		   const JsonNode *node, Piece *piece)
{
	HfObject	object = {node, step->file, step->status};
	HfObject	inner;
	const char *name = "";

	memset(piece, 0, sizeof(*piece));
	ENGINE_TRY(hf_get_object(&object, "Sequence", &inner));
	if (inner.node != NULL)
	{
		ENGINE_TRY(hf_get_int(&inner, "type_id", 0, 1, &piece->type));
		ENGINE_TRY(hf_get_text(&inner, "id", &name));
		if (strcmp(name, "A") != 0 && strcmp(name, "B") != 0)
			return bad_processor(self, ENGINE_CORRUPT,
								 "names a sequence that is neither A nor B");
		piece->sequence = name[0];
		return ENGINE_OK;
	}
	ENGINE_TRY(hf_get_object(&object, "SpecialToken", &inner));
	if (inner.node == NULL)
		return bad_processor(self, ENGINE_CORRUPT,
							 "has an element that is no token");
	ENGINE_TRY(hf_get_int(&inner, "type_id", 0, 1, &piece->type));
	ENGINE_TRY(hf_get_text(&inner, "id", &name));
	return read_template_id(self, step, name, &piece->id);
}

/* "single" or "pair"; *n is 0 when it is absent. */
static EngineCode
read_pieces(const HfTokenizer *self, const HfObject *step, const char *key,
			Piece *pieces, int *n)
{
	const JsonNode *list;
	const JsonNode *at;

	*n = 0;
	ENGINE_TRY(hf_get_array(step, key, &list));
	if (list == NULL || list->count == 0)
		return ENGINE_OK;
	if (list->count > MOST_PIECES)
		return bad_processor(self, ENGINE_UNSUPPORTED,
							 "puts too many tokens around a text");
	at = json_first(list);
	for (uint32_t i = 0; i < list->count; i++, at = json_after(at))
		ENGINE_TRY(read_piece(self, step, at, &pieces[i]));
	*n = (int) list->count;
	return ENGINE_OK;
}

/* [before] A [behind] */
static EngineCode
read_single(HfTokenizer *self, const HfObject *step, Surroundings *around)
{
	Piece		pieces[MOST_PIECES];
	int			n;
	int			a = 0;

	around->before = around->behind = -1;
	ENGINE_TRY(read_pieces(self, step, "single", pieces, &n));
	while (a < n && pieces[a].sequence == 0)
		a++;
	if (a == n || pieces[a].sequence != 'A')
		return bad_processor(self, ENGINE_CORRUPT, "has no text A");
	if (a > 1 || n - a > 2 || (n - a == 2 && pieces[n - 1].sequence != 0))
		return bad_processor(self, ENGINE_UNSUPPORTED,
							 "puts more than one token before or behind a "
							 "text");
	if (a == 1)
		around->before = pieces[0].id;
	if (n - a == 2)
		around->behind = pieces[n - 1].id;
	around->found = true;
	return ENGINE_OK;
}

/*
 * before A behind B behind as BERT has it, or with a second one between the
 * texts as RoBERTa; anything else matters to models for pairs only.
 */
static EngineCode
read_pair(HfTokenizer *self, const HfObject *step, Surroundings *around)
{
	Piece		pieces[MOST_PIECES];
	int			n;
	bool		usual;

	ENGINE_TRY(read_pieces(self, step, "pair", pieces, &n));
	around->doubled = n == 6;
	usual = (n == 5 || n == 6) && around->behind >= 0 &&
		around->before >= 0 && pieces[0].sequence == 0 &&
		pieces[0].id == around->before && pieces[1].sequence == 'A' &&
		pieces[2].sequence == 0 && pieces[2].id == around->behind &&
		pieces[n - 2].sequence == 'B' && pieces[n - 1].sequence == 0 &&
		pieces[n - 1].id == around->behind &&
		(n == 5 || (pieces[3].sequence == 0 &&
					pieces[3].id == around->behind));
	if (usual && self->model->family == HF_BERT)
		usual = pieces[1].type == 0 && pieces[n - 2].type == 1;
	if (usual)
		return ENGINE_OK;
	around->doubled = false;
	return self->model->n_labels == 0 ? ENGINE_OK :
		bad_processor(self, ENGINE_UNSUPPORTED,
					  "joins the texts of a pair in another way than BERT "
					  "and RoBERTa");
}

static EngineCode
read_surroundings(HfTokenizer *self, Surroundings *around)
{
	HfSteps		steps;

	memset(around, 0, sizeof(*around));
	ENGINE_TRY(hf_read_steps(self, "post_processor", "processors", &steps));
	for (int i = 0; i < steps.n; i++)
	{
		const HfObject *step = &steps.step[i];

		/* moves offsets only */
		if (strcmp(steps.type[i], "ByteLevel") == 0)
			continue;
		if (around->found)
			return bad_processor(self, ENGINE_UNSUPPORTED,
								 "has several steps");
		if (strcmp(steps.type[i], "BertProcessing") == 0)
			ENGINE_TRY(read_fixed(self, step, false, around));
		else if (strcmp(steps.type[i], "RobertaProcessing") == 0)
			ENGINE_TRY(read_fixed(self, step, true, around));
		else if (strcmp(steps.type[i], "TemplateProcessing") == 0)
		{
			ENGINE_TRY(read_single(self, step, around));
			ENGINE_TRY(read_pair(self, step, around));
		}
		else
			return hf_step_unsupported(self, "post-processor",
									   steps.type[i]);
	}
	return ENGINE_OK;
}

/*
 * transformers makes the post_processor of Llama's and Gemma's own classes
 * anew from these settings, whatever tokenizer.json has.
 */
static bool
class_decides(const char *class)
{
	static const char *const classes[] = {"Llama", "CodeLlama", "Gemma"};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
	{
		if (strncmp(class, classes[i], strlen(classes[i])) == 0)
			return true;
	}
	return false;
}

static EngineCode
read_flags(HfTokenizer *self, const Surroundings *around)
{
	const char *class = "";

	ENGINE_TRY(hf_get_text(&self->config, "tokenizer_class", &class));
	if (around->found)
	{
		self->add_bos = around->before >= 0;
		self->add_eos = around->behind >= 0;
	}
	if (!around->found || class_decides(class))
	{
		ENGINE_TRY(hf_get_bool(&self->config, "add_bos_token",
							   &self->add_bos));
		ENGINE_TRY(hf_get_bool(&self->config, "add_eos_token",
							   &self->add_eos));
	}
	if (self->add_bos && around->found && around->before >= 0)
		self->bos = around->before;
	if (self->add_eos && around->found && around->behind >= 0)
		self->eos = around->behind;
	self->add_bos = self->add_bos && self->bos >= 0;
	self->add_eos = self->add_eos && self->eos >= 0;
	self->add_separator = around->doubled;
	return ENGINE_OK;
}

/* An id of config.json, for models whose tokenizer names none */
static EngineCode
read_config_id(HfTokenizer *self, const char *key, int32_t *id)
{
	HfObject	config = {self->model->config, "config.json",
	self->model->status};
	const JsonNode *node = hf_member(&config, key);
	int64_t		value;

	if (*id >= 0 || node == NULL)
		return ENGINE_OK;
	if (node->type == JSON_ARRAY)
		node = json_element(node, 0);
	if (json_integer(node, &value) && value >= 0 &&
		value < self->vocabulary.n &&
		self->vocabulary.tokens[value].type != HF_HOLE)
		*id = (int32_t) value;
	return ENGINE_OK;
}

EngineCode
hf_read_specials(HfTokenizer *self)
{
	Surroundings around;
	int32_t		unknown;

	ENGINE_TRY(read_role(self, "bos_token", &self->bos));
	ENGINE_TRY(read_role(self, "eos_token", &self->eos));
	ENGINE_TRY(read_role(self, "unk_token", &unknown));
	ENGINE_TRY(read_role(self, "sep_token", &self->separator));
	ENGINE_TRY(read_role(self, "pad_token", &self->padding));
	ENGINE_TRY(read_role(self, "cls_token", &self->class));
	ENGINE_TRY(read_role(self, "mask_token", &self->mask));
	if (self->unknown < 0)
		self->unknown = unknown;
	if (self->model->causal)
	{
		ENGINE_TRY(read_config_id(self, "bos_token_id", &self->bos));
		ENGINE_TRY(read_config_id(self, "eos_token_id", &self->eos));
	}
	else
	{
		if (self->bos < 0)
			self->bos = self->class;
		if (self->eos < 0)
			self->eos = self->separator;
	}
	ENGINE_TRY(read_surroundings(self, &around));
	ENGINE_TRY(read_flags(self, &around));
	if (!self->model->causal && self->separator < 0)
		self->separator = self->eos;
	return ENGINE_OK;
}

/* Ids that end a generation besides eos, each once */
typedef struct Ends
{
	int			n;
	int32_t		ids[MOST_ENDS];
} Ends;

static EngineCode
add_end(HfTokenizer *self, const char *file, const JsonNode *node, Ends *ends)
{
	int64_t		id;

	if (!json_integer(node, &id) || id < 0)
		return engine_fail(self->model->status, ENGINE_CORRUPT,
						   "\"eos_token_id\" in %s is not a token id", file);

	/* some files name an id that only a variant of the model has */
	if (id >= self->vocabulary.n || id == self->eos ||
		self->vocabulary.tokens[id].type == HF_HOLE)
		return ENGINE_OK;
	for (int i = 0; i < ends->n; i++)
	{
		if (ends->ids[i] == id)
			return ENGINE_OK;
	}
	if (ends->n == MOST_ENDS)
		return engine_fail(self->model->status, ENGINE_LIMIT,
						   "\"eos_token_id\" in %s has too many ids", file);
	ends->ids[ends->n++] = (int32_t) id;
	return ENGINE_OK;
}

static EngineCode
add_ends(HfTokenizer *self, const HfObject *object, Ends *ends)
{
	const JsonNode *node = hf_member(object, "eos_token_id");
	const JsonNode *at;

	if (node == NULL)
		return ENGINE_OK;
	if (node->type != JSON_ARRAY)
		return add_end(self, object->file, node, ends);
	at = json_first(node);
	for (uint32_t i = 0; i < node->count; i++, at = json_after(at))
		ENGINE_TRY(add_end(self, object->file, at, ends));
	return ENGINE_OK;
}

static EngineCode
put_ends(HfTokenizer *self)
{
	HfObject	config = {self->model->config, "config.json",
	self->model->status};
	HfObject	generation;
	Ends		ends = {0};
	int32_t		named;

	if (!self->model->causal)
		return ENGINE_OK;
	ENGINE_TRY(hf_open_object(self->model, "generation_config.json", false,
							  &generation));
	ENGINE_TRY(read_role(self, "eos_token", &named));
	if (named >= 0 && named != self->eos)
		ends.ids[ends.n++] = named;
	ENGINE_TRY(add_ends(self, &generation, &ends));
	ENGINE_TRY(add_ends(self, &config, &ends));
	if (ends.n > 2)
		return engine_fail(self->model->status, ENGINE_UNSUPPORTED,
						   "a model with %d tokens that end a text is not "
						   "supported", ends.n + 1);
	if (ends.n > 0)
		gguf_put_u32(self->writer, HF_PREFIX "eot_token_id",
					 (uint32_t) ends.ids[0]);
	if (ends.n > 1)
		gguf_put_u32(self->writer, HF_PREFIX "eom_token_id",
					 (uint32_t) ends.ids[1]);
	return ENGINE_OK;
}

/* Of a list of templates, the one named "default" */
static EngineCode
default_template(const HfObject *config, const JsonNode *list,
				 const char **text)
{
	const JsonNode *at = json_first(list);

	for (uint32_t i = 0; i < list->count; i++, at = json_after(at))
	{
		HfObject	entry = {at, config->file, config->status};

		if (hf_same(json_member(at, "name"), "default"))
			return hf_get_text(&entry, "template", text);
	}
	return ENGINE_OK;
}

static EngineCode
put_template(HfTokenizer *self)
{
	const char *text;
	size_t		length;
	const JsonNode *node = hf_member(&self->config, "chat_template");

	ENGINE_TRY(folder_text(self->model->folder, "chat_template.jinja",
						   LONGEST_TEMPLATE, self->model->arena, &text,
						   &length, self->model->status));
	if (text == NULL && node != NULL && node->type == JSON_ARRAY)
		ENGINE_TRY(default_template(&self->config, node, &text));
	else if (text == NULL)
		ENGINE_TRY(hf_get_text(&self->config, "chat_template", &text));
	if (text == NULL)
		return ENGINE_OK;
	length = strlen(text);
	if (length > LONGEST_TEMPLATE)
		return engine_fail(self->model->status, ENGINE_LIMIT,
						   "chat template is longer than 1 MB");
	if (!utf8_valid(text, length))
		return engine_fail(self->model->status, ENGINE_CORRUPT,
						   "chat template is not UTF-8");
	gguf_put_string(self->writer, "tokenizer.chat_template", text, length);
	return ENGINE_OK;
}

EngineCode
hf_put_specials(HfTokenizer *self)
{
	const struct
	{
		const char *name;
		int32_t		id;
	}			ids[] =
	{
		{HF_PREFIX "bos_token_id", self->bos},
		{HF_PREFIX "eos_token_id", self->eos},
		{HF_PREFIX "unknown_token_id", self->unknown},
		{HF_PREFIX "seperator_token_id", self->separator},
		{HF_PREFIX "padding_token_id", self->padding},
		{HF_PREFIX "cls_token_id", self->class},
		{HF_PREFIX "mask_token_id", self->mask}
	};

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
	{
		if (ids[i].id >= 0)
			gguf_put_u32(self->writer, ids[i].name, (uint32_t) ids[i].id);
	}
	gguf_put_bool(self->writer, HF_PREFIX "add_bos_token", self->add_bos);
	gguf_put_bool(self->writer, HF_PREFIX "add_eos_token", self->add_eos);
	gguf_put_bool(self->writer, HF_PREFIX "add_sep_token",
				  self->add_separator);
	ENGINE_TRY(put_ends(self));
	ENGINE_TRY(put_template(self));
	return self->writer->code;
}
