/*-------------------------------------------------------------------------
 *
 * wordpiece.c
 *	  WordPiece: every word is covered by the longest pieces from left to
 *	  right, or it is unknown.
 *
 * Words are what lies between white space, and every punctuation character;
 * both by the normalised text.  A word is put together behind a space, so that
 * its first piece is found with the space that word-initial pieces have, and
 * the others without.
 *
 * Sources: Devlin et al., "BERT" (2018); Schuster, Nakajima, "Japanese and
 * Korean Voice Search" (2012).
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "base/unicode.h"
#include "base/utf8.h"
#include "tokenizer/wordpiece.h"

#define POLL_EVERY 16384		/* bytes of text, or texts looked up */

typedef struct Word
{
	Encoder    *encoder;
	size_t		length;			/* bytes in encoder->word, with the space */
	uint32_t	characters;		/* above max_word they are not kept */
	size_t		poll;			/* work to do before the host is asked */
} Word;

static EngineCode
work(Word *self, size_t amount)
{
	if (amount < self->poll)
	{
		self->poll -= amount;
		return ENGINE_OK;
	}
	self->poll = POLL_EVERY;
	if (engine_interrupted(self->encoder->host))
		return engine_cancelled(self->encoder->status);
	return ENGINE_OK;
}

/* Room for a word of length bytes, and for as many pieces */
static EngineCode
reserve(Encoder *encoder, size_t length)
{
	size_t		capacity = length * 2 + 512;
	char	   *word;

	if (length <= encoder->word_capacity)
		return ENGINE_OK;
	word = engine_alloc_raw(encoder->arena, capacity, 1, encoder->status);
	encoder->pieces = engine_alloc_raw(encoder->arena, capacity,
									   sizeof(int32_t), encoder->status);
	if (word == NULL || encoder->pieces == NULL)
		return encoder->status->code;
	if (encoder->word_capacity > 0)
		memcpy(word, encoder->word, encoder->word_capacity);
	encoder->word = word;
	encoder->word_capacity = capacity;
	return ENGINE_OK;
}

/*
 * The longest piece at position: -1 if there is none.  Ends are tried from
 * the far one, only where characters end.
 */
static EngineCode
longest_piece(Word *self, size_t position, size_t *end, int32_t *id)
{
	const TokenizerSection *section = self->encoder->section;
	const char *word = self->encoder->word;
	size_t		last = self->length;
	size_t		shortest = position == 0 ? 2 : 1;	/* not the space alone */

	*id = -1;
	if (last - position > section->longest)
		last = position + section->longest;
	for (; last >= position + shortest; last--)
	{
		if (last < self->length && utf8_continues(word[last]))
			continue;
		ENGINE_TRY(work(self, 1 + (last - position) / 64));
		*id = section_find(section, word + position, last - position, true);
		if (*id >= 0)
		{
			*end = last;
			return ENGINE_OK;
		}
	}
	return ENGINE_OK;
}

/* The pieces that cover the word, *n of them; 0 when it is unknown. */
static EngineCode
cover_word(Word *self, size_t *n)
{
	size_t		position = 0;

	*n = 0;
	if (self->characters > self->encoder->section->max_word)
		return ENGINE_OK;
	while (position < self->length)
	{
		int32_t		id;

		ENGINE_TRY(longest_piece(self, position, &position, &id));
		if (id < 0)
		{
			*n = 0;
			return ENGINE_OK;
		}
		self->encoder->pieces[(*n)++] = id;
	}
	return ENGINE_OK;
}

static EngineCode
emit_word(Word *self)
{
	Encoder    *encoder = self->encoder;
	size_t		n;

	if (self->characters == 0)
		return ENGINE_OK;
	ENGINE_TRY(cover_word(self, &n));
	for (size_t i = 0; i < n; i++)
		ENGINE_TRY(encoder_emit(encoder, encoder->pieces[i]));
	if (n == 0 && encoder->section->unknown >= 0)
		ENGINE_TRY(encoder_emit(encoder, encoder->section->unknown));
	self->length = 1;
	self->characters = 0;
	return ENGINE_OK;
}

static EngineCode
add_character(Word *self, uint32_t code)
{
	Encoder    *encoder = self->encoder;

	if (self->characters > encoder->section->max_word ||
		++self->characters > encoder->section->max_word)
		return ENGINE_OK;
	ENGINE_TRY(reserve(encoder, self->length + UTF8_LONGEST));
	self->length += (size_t) utf8_encode(code, encoder->word + self->length);
	return ENGINE_OK;
}

/* ASCII's symbols are punctuation as well. */
static bool
is_punctuation(uint32_t code)
{
	if (code < 0x80)
		return (unicode_class(code) & (UNICODE_P | UNICODE_S)) != 0;
	return (unicode8_class(code) & UNICODE_P) != 0;
}

/* A character of the normalised text, which may end a word or be one. */
static EngineCode
take_character(Word *self, uint32_t code)
{
	bool		punctuation;

	if (unicode_class(code) & UNICODE_SPACE)
		return emit_word(self);
	punctuation = is_punctuation(code);
	if (punctuation)
		ENGINE_TRY(emit_word(self));
	ENGINE_TRY(add_character(self, code));
	return punctuation ? emit_word(self) : ENGINE_OK;
}

/* The last steps of the normaliser: marks and case */
static EngineCode
fold_character(Word *self, uint32_t code)
{
	uint32_t	flags = self->encoder->section->flags;
	uint32_t	lower[UNICODE_LOWER_LONGEST];
	int			n;

	if ((flags & TOKENIZER_STRIP_ACCENTS) && code >= 0x80 &&
		(unicode8_class(code) & UNICODE_BIT(CATEGORY_MN)))
		return ENGINE_OK;
	if (!(flags & TOKENIZER_LOWERCASE))
		return take_character(self, code);
	n = unicode_lower(code, lower);
	for (int i = 0; i < n; i++)
		ENGINE_TRY(take_character(self, lower[i]));
	return ENGINE_OK;
}

EngineCode
wordpiece_encode(Encoder *encoder, const char *text, size_t length)
{
	Word		self = {.encoder = encoder, .length = 1, .poll = POLL_EVERY};
	size_t		position = 0;

	ENGINE_TRY(bert_normalise(encoder, text, length, &text, &length));
	ENGINE_TRY(reserve(encoder, 1));
	encoder->word[0] = ' ';
	while (position < length)
	{
		uint32_t	code;
		int			n = utf8_decode(text + position, length - position, &code);

		if (n <= 0)
		{
			code = UTF8_REPLACEMENT;
			n = 1;
		}
		ENGINE_TRY(work(&self, (size_t) n));
		ENGINE_TRY(fold_character(&self, code));
		position += (size_t) n;
	}
	return emit_word(&self);
}
