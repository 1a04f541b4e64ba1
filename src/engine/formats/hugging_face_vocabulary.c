/*-------------------------------------------------------------------------
 *
 * hugging_face_vocabulary.c
 *	  Texts and types of tokens by id, and the way back from text to id.
 *
 * Ids of an untrusted file are bounded by the rows of the embedding, so the
 * arrays can be too.  Texts stay where the JSON text was parsed to.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/hugging_face_tokenizer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define POLL_EVERY 16			/* tokens: hashes of hostile texts collide */
#define MARK_LENGTH (sizeof(HF_WORD_MARK) - 1)

EngineCode
hf_vocabulary_init(HfVocabulary *self, HfModel *model, int32_t n_rows)
{
	uint64_t	slots = 64;

	memset(self, 0, sizeof(*self));
	self->model = model;
	self->n_rows = n_rows;
	/* no more tokens than rows, so there always is an empty slot */
	while (slots < 2 * ((uint64_t) n_rows + 1))
		slots *= 2;
	self->slot_mask = slots - 1;
	self->tokens = engine_alloc(model->arena, (size_t) n_rows + 1,
								sizeof(HfToken), model->status);
	self->slots = engine_alloc(model->arena, slots, sizeof(uint32_t),
							   model->status);
	if (self->tokens == NULL || self->slots == NULL)
		return model->status->code;
	return ENGINE_OK;
}

/* Source: Fowler, Noll, Vo, "FNV-1a", and a mix so that low bits matter. */
static uint64_t
hash_text(const char *text, size_t length)
{
	uint64_t	hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t) text[i]) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 32;
}

/* The slot of a text, or the empty one where it would be */
static uint64_t
find_slot(const HfVocabulary *self, const char *text, size_t length)
{
	uint64_t	slot = hash_text(text, length) & self->slot_mask;

	for (; self->slots[slot] != 0; slot = (slot + 1) & self->slot_mask)
	{
		const HfToken *token = &self->tokens[self->slots[slot] - 1];

		if (token->length == length &&
			memcmp(token->text, text, length) == 0)
			break;
	}
	return slot;
}

int32_t
hf_vocabulary_find(const HfVocabulary *self, const char *text, size_t length)
{
	return (int32_t) self->slots[find_slot(self, text, length)] - 1;
}

static EngineCode
bad_token(const HfVocabulary *self, int64_t id, const char *text,
		  size_t length, const char *problem)
{
	char		buf[64];

	return engine_fail(self->model->status, ENGINE_CORRUPT,
					   "token \"%s\" with id %" PRId64 " %s",
					   engine_printable(text, length, buf, sizeof(buf)), id,
					   problem);
}

EngineCode
hf_vocabulary_add(HfVocabulary *self, int64_t id, const char *text,
				  size_t length, uint8_t type)
{
	HfToken    *token;

	if (id < 0 || id >= self->n_rows)
		return bad_token(self, id, text, length,
						 "has no row in the embedding");
	/* WordPiece puts a mark in front */
	if (length > HF_LONGEST_TOKEN - MARK_LENGTH)
		return bad_token(self, id, text, length, "is too long");
	token = &self->tokens[id];
	if (token->type != HF_HOLE && (token->length != length ||
								   memcmp(token->text, text, length) != 0))
		return bad_token(self, id, text, length,
						 "has the id of another token");
	token->text = text;
	token->length = (uint32_t) length;
	token->type = type;
	self->slots[find_slot(self, text, length)] = (uint32_t) id + 1;
	if (id >= self->n)
		self->n = (int32_t) id + 1;
	if (self->added++ % POLL_EVERY == 0 &&
		engine_interrupted(self->model->host))
		return engine_cancelled(self->model->status);
	return ENGINE_OK;
}

EngineCode
hf_vocabulary_object(HfVocabulary *self, const HfObject *object)
{
	const JsonNode *at;

	if (object->node == NULL || object->node->count == 0)
		return engine_fail(object->status, ENGINE_CORRUPT,
						   "the vocabulary in %s is missing or empty",
						   object->file);
	at = json_first(object->node);
	for (uint32_t i = 0; i < object->node->count; i++)
	{
		int64_t		id;

		if (!json_integer(at + 1, &id))
			return hf_wrong_type(object, "vocab",
								 "an object of whole numbers");
		if (hf_vocabulary_find(self, at->text, at->length) >= 0)
			return bad_token(self, id, at->text, at->length,
							 "is there twice");
		if (id >= 0 && id < self->n_rows &&
			self->tokens[id].type != HF_HOLE)
			return bad_token(self, id, at->text, at->length,
							 "has the id of another token");
		ENGINE_TRY(hf_vocabulary_add(self, id, at->text, at->length,
									 HF_NORMAL));
		at = json_after(at + 1);
	}
	return ENGINE_OK;
}

static void
put_text(const HfToken *token, int32_t id, HfSpelling spelling,
		 GgufWriter *writer)
{
	char		buf[HF_LONGEST_TOKEN + 8];

	if (token->type == HF_HOLE)
	{
		int			n = snprintf(buf, sizeof(buf), "[PAD%d]", (int) id);

		gguf_add_string(writer, buf, (size_t) n);
	}
	else if (spelling == HF_AS_IT_IS || token->type != HF_NORMAL)
		gguf_add_string(writer, token->text, token->length);
	else if (token->length > 2 && memcmp(token->text, "##", 2) == 0)
		gguf_add_string(writer, token->text + 2, token->length - 2);
	else
	{
		memcpy(buf, HF_WORD_MARK, MARK_LENGTH);
		memcpy(buf + MARK_LENGTH, token->text, token->length);
		gguf_add_string(writer, buf, token->length + MARK_LENGTH);
	}
}

EngineCode
hf_vocabulary_put(const HfVocabulary *self, HfSpelling spelling, bool scores,
				  GgufWriter *writer)
{
	gguf_begin_array(writer, HF_PREFIX "tokens", GGUF_STRING);
	for (int32_t id = 0; id < self->n; id++)
	{
		if (id % POLL_EVERY == 0 && engine_interrupted(self->model->host))
			return engine_cancelled(self->model->status);
		put_text(&self->tokens[id], id, spelling, writer);
	}
	gguf_end_array(writer);
	gguf_begin_array(writer, HF_PREFIX "token_type", GGUF_I32);
	for (int32_t id = 0; id < self->n; id++)
		gguf_add_i32(writer, self->tokens[id].type == HF_HOLE ? HF_UNUSED :
					 self->tokens[id].type);
	gguf_end_array(writer);
	if (!scores)
		return writer->code;
	gguf_begin_array(writer, HF_PREFIX "scores", GGUF_F32);
	for (int32_t id = 0; id < self->n; id++)
		gguf_add_f32(writer, self->tokens[id].score);
	gguf_end_array(writer);
	return writer->code;
}
