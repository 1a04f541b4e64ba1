/*-------------------------------------------------------------------------
 *
 * tokenizer.c
 *	  Encoding and decoding over a section that tokenizer_build() made.
 *
 * A text is cut at special tokens first; what lies between two cuts is one
 * stretch, whatever parts of it are message content, because the pieces of a
 * text depend on their neighbours.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "tokenizer/encoder.h"
#include "tokenizer/special.h"
#include "tokenizer/unigram.h"
#include "tokenizer/wordpiece.h"

#define LONGEST_TEXT ((size_t) 64 * 1024 * 1024)
#define POLL_EVERY 16384		/* ids */
#define COPY_PIECE ((size_t) 1024 * 1024)	/* ids */

void
tokenizer_open(const void *section, Tokenizer *tokenizer)
{
	const TokenizerSection *self = section;

	tokenizer->section = self;
	tokenizer->n_tokens = self->n_tokens;
	tokenizer->bos = self->bos;
	tokenizer->eos = self->eos;
	tokenizer->eot = self->eot;
	tokenizer->unknown = self->unknown;
	tokenizer->padding = self->padding;
	tokenizer->separator = self->separator;
	tokenizer->add_bos = (self->flags & TOKENIZER_ADD_BOS) != 0;
	tokenizer->add_eos = (self->flags & TOKENIZER_ADD_EOS) != 0;
	tokenizer->add_separator = (self->flags & TOKENIZER_ADD_SEPARATOR) != 0;
}

/* English has about four bytes a token: start there, and double. */
static EngineCode
list_reserve(TokenList *list, size_t expected, EngineArena *arena,
			 const EngineHost *host, EngineStatus *status)
{
	size_t		capacity = list->n + expected + 16;
	int32_t    *ids;

	if (capacity < list->capacity * 2)
		capacity = list->capacity * 2;
	ids = engine_alloc_raw(arena, capacity, sizeof(int32_t), status);
	if (ids == NULL)
		return status->code;

	/* in pieces: new pages cost more than the copy */
	for (size_t done = 0; done < list->n; done += COPY_PIECE)
	{
		size_t		piece = list->n - done < COPY_PIECE ? list->n - done :
			COPY_PIECE;

		if (engine_interrupted(host))
			return engine_cancelled(status);
		memcpy(ids + done, list->ids + done, piece * sizeof(int32_t));
	}
	list->ids = ids;
	list->capacity = capacity;
	return ENGINE_OK;
}

EngineCode
encoder_emit(Encoder *encoder, int32_t id)
{
	TokenList  *list = encoder->list;

	if (list->max_tokens > 0 && list->n >= list->max_tokens)
		return engine_fail(encoder->status, ENGINE_LIMIT,
						   "text has more than %zu tokens", list->max_tokens);
	if (list->n % POLL_EVERY == 0 && engine_interrupted(encoder->host))
		return engine_cancelled(encoder->status);
	if (list->n == list->capacity)
		ENGINE_TRY(list_reserve(list, list->n, encoder->arena,
								encoder->host, encoder->status));
	list->ids[list->n++] = id;
	return ENGINE_OK;
}

static EngineCode
encode_stretch(Encoder *encoder, const char *text, size_t length)
{
	if (length == 0)
		return ENGINE_OK;
	switch (encoder->section->model)
	{
		case TOKENIZER_SPM:
			return spm_encode(encoder, text, length);
		case TOKENIZER_WORDPIECE:
			return wordpiece_encode(encoder, text, length);
		case TOKENIZER_UNIGRAM:
			return unigram_encode(encoder, text, length);
		default:
			return bpe_encode(encoder, text, length);
	}
}

static EngineCode
encode_text(Encoder *encoder, const SpecialScan *scan)
{
	size_t		position = 0;
	size_t		cuts = 0;

	while (position < scan->length)
	{
		size_t		start,
					end;
		int32_t		id;

		ENGINE_TRY(special_next(scan, position, &start, &end, &id));
		encoder->at_start = position == 0;
		ENGINE_TRY(encode_stretch(encoder, scan->text + position,
								  start - position));
		if (id >= 0)
			ENGINE_TRY(encoder_emit(encoder, id));
		position = end;
		if (++cuts % 1024 == 0 && engine_interrupted(encoder->host))
			return engine_cancelled(encoder->status);
	}
	return ENGINE_OK;
}

EngineCode
tokenizer_encode(const Tokenizer *tokenizer, const char *text, size_t length,
				 const uint8_t *content, int flags, EngineArena *arena,
				 const EngineHost *host, TokenList *list,
				 EngineStatus *status)
{
	const TokenizerSection *section = tokenizer->section;
	bool		add = (flags & TOKENIZE_ADD_SPECIAL) != 0;
	Encoder		encoder = {
		.section = section, .arena = arena, .host = host, .status = status,
		.list = list,
		.continues = (flags & TOKENIZE_CONTINUES) != 0,
		.merger = {
			.section = section, .arena = arena, .host = host,
			.status = status
		}
	};
	SpecialScan scan = {
		.section = section, .text = text, .length = length,
		.content = content,
		.parse_special = (flags & TOKENIZE_PARSE_SPECIAL) != 0,
		.host = host, .status = status
	};

	if (length > LONGEST_TEXT)
	{
		engine_fail(status, ENGINE_LIMIT, "text is too long to tokenize");
		engine_detail(status, "It has %zu bytes; the limit is %zu.", length,
					  LONGEST_TEXT);
		return ENGINE_LIMIT;
	}
	if (list->capacity - list->n < length / 4)
		ENGINE_TRY(list_reserve(list, length / 4, arena, host, status));
	if (tokenizer->bos >= 0 && ((add && tokenizer->add_bos) ||
								(flags & TOKENIZE_FORCE_BOS)))
		ENGINE_TRY(encoder_emit(&encoder, tokenizer->bos));
	ENGINE_TRY(encode_text(&encoder, &scan));
	if (tokenizer->eos >= 0 && add && tokenizer->add_eos &&
		!(flags & TOKENIZE_NO_EOS))
		ENGINE_TRY(encoder_emit(&encoder, tokenizer->eos));
	return ENGINE_OK;
}

TokenKind
tokenizer_kind(const Tokenizer *tokenizer, int32_t id)
{
	if (id < 0 || id >= tokenizer->n_tokens)
		return TOKEN_UNUSED;
	return (TokenKind) (section_info(tokenizer->section, id) &
						TOKEN_INFO_KIND);
}

bool
tokenizer_is_end(const Tokenizer *tokenizer, int32_t id)
{
	return id >= 0 && id < tokenizer->n_tokens &&
		(section_info(tokenizer->section, id) & TOKEN_INFO_END) != 0;
}

/* The byte of a text "<0x41>", which the builder has checked. */
static char
byte_of_text(const char *text)
{
	int			value = 0;

	for (int i = 3; i < 5; i++)
	{
		char		c = text[i];

		value = value * 16 + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return (char) value;
}

const char *
tokenizer_piece(const Tokenizer *tokenizer, int32_t id, bool special,
				char *scratch, size_t *length)
{
	const char *text;

	*length = 0;
	if (id < 0 || id >= tokenizer->n_tokens)
		return "";
	text = section_text(tokenizer->section, id, length);
	switch (tokenizer_kind(tokenizer, id))
	{
		case TOKEN_NORMAL:
		case TOKEN_USER_DEFINED:
			return text;
		case TOKEN_BYTE:
			*scratch = byte_of_text(text);
			*length = 1;
			return scratch;
		case TOKEN_CONTROL:
		case TOKEN_UNKNOWN:
			if (special)
				return text;
			break;
		case TOKEN_UNUSED:
			break;
	}
	*length = 0;
	return "";
}

size_t
tokenizer_longest_piece(const Tokenizer *tokenizer)
{
	return tokenizer->section->longest +
		(tokenizer->section->model == TOKENIZER_WORDPIECE);
}

size_t
tokenizer_piece_copy(const Tokenizer *tokenizer, int32_t id, bool special,
					 char *buf)
{
	char		scratch;
	size_t		length;
	const char *text = tokenizer_piece(tokenizer, id, special, &scratch,
									   &length);

	memcpy(buf, text, length);
	return length;
}

size_t
tokenizer_text_copy(const Tokenizer *tokenizer, int32_t id, bool special,
					char *buf)
{
	size_t		length = tokenizer_piece_copy(tokenizer, id, special, buf);

	if (length == 0 || tokenizer->section->model != TOKENIZER_WORDPIECE ||
		tokenizer_kind(tokenizer, id) == TOKEN_NORMAL)
		return length;
	memmove(buf + 1, buf, length);
	buf[0] = ' ';
	return length + 1;
}

bool
tokenizer_strips_first_space(const Tokenizer *tokenizer)
{
	switch (tokenizer->section->model)
	{
		case TOKENIZER_SPM:
		case TOKENIZER_UNIGRAM:
			return (tokenizer->section->flags & TOKENIZER_SPACE_PREFIX) != 0;
		case TOKENIZER_WORDPIECE:
			return true;
		default:
			return false;
	}
}

int32_t
tokenizer_find(const Tokenizer *tokenizer, const char *text, size_t length)
{
	int32_t		id;

	if (length == 0 || length > tokenizer->section->longest)
		return -1;
	id = section_find(tokenizer->section, text, length, false);
	if (id < 0)
		id = section_find(tokenizer->section, text, length, true);
	return id;
}
