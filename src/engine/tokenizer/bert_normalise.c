/*-------------------------------------------------------------------------
 *
 * bert_normalise.c
 *	  BERT's normaliser as Hugging Face's tokenizers has it, up to the
 *	  canonical decomposition.
 *
 * Ill-formed bytes count as U+FFFD, one for each.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "base/unicode.h"
#include "base/utf8.h"
#include "tokenizer/wordpiece.h"

#define POLL_EVERY 65536		/* bytes of text */

#define CONTROL (UNICODE_BIT(CATEGORY_CC) | UNICODE_BIT(CATEGORY_CF) | \
				 UNICODE_BIT(CATEGORY_CO))

/* What becomes of a character */
typedef enum Fate
{
	FATE_STAYS, FATE_GOES, FATE_SPACE, FATE_APART
} Fate;

/* The blocks of ideographs that BERT's own code lists, and no later ones */
static bool
is_chinese(uint32_t code)
{
	static const struct
	{
		uint32_t	first,
					last;
	}			blocks[] =
	{
		{0x3400, 0x4DBF}, {0x4E00, 0x9FFF}, {0xF900, 0xFAFF},
		{0x20000, 0x2A6DF}, {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF},
		{0x2F800, 0x2FA1F}
	};

	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
	{
		if (code < blocks[i].first)
			return false;
		if (code <= blocks[i].last)
			return true;
	}
	return false;
}

static Fate
fate_of(uint32_t code, uint32_t flags)
{
	if (flags & TOKENIZER_CLEAN_TEXT)
	{
		uint32_t	class = unicode_class(code);

		if (code == '\t' || code == '\n' || code == '\r')
			return FATE_SPACE;
		if (code == UTF8_REPLACEMENT || (unicode8_class(code) & CONTROL))
			return FATE_GOES;
		if (class & UNICODE_SPACE)
			return FATE_SPACE;
	}
	if ((flags & TOKENIZER_CHINESE_CHARS) && is_chinese(code))
		return FATE_APART;
	return FATE_STAYS;
}

/* Writes at most UTF8_LONGEST + 2 bytes; returns their number. */
static size_t
write_character(uint32_t code, Fate fate, char *to)
{
	size_t		n = 0;

	switch (fate)
	{
		case FATE_GOES:
			return 0;
		case FATE_SPACE:
			to[0] = ' ';
			return 1;
		case FATE_APART:
			to[n++] = ' ';
			n += (size_t) utf8_encode(code, to + n);
			to[n++] = ' ';
			return n;
		case FATE_STAYS:
			break;
	}
	return (size_t) utf8_encode(code, to);
}

/*
 * One pass over the text: its result has *n bytes, which go to out unless that
 * is NULL.  *same: the result means the same as text, one white space being as
 * good as another.
 */
static EngineCode
clean_pass(const Encoder *encoder, const char *text, size_t length, char *out,
		   size_t *n, bool *same)
{
	uint32_t	flags = encoder->section->flags;
	size_t		position = 0;
	size_t		poll = POLL_EVERY;

	*n = 0;
	*same = true;
	while (position < length)
	{
		char		buf[UTF8_LONGEST + 2];
		uint32_t	code;
		int			step;
		Fate		fate = FATE_STAYS;

		if (position >= poll)
		{
			if (engine_interrupted(encoder->host))
				return engine_cancelled(encoder->status);
			poll = position + POLL_EVERY;
		}
		step = utf8_decode(text + position, length - position, &code);
		if (step <= 0)
		{
			step = 1;
			code = UTF8_REPLACEMENT;
			*same = false;
		}
		if (code < ' ' || code > '~')
			fate = fate_of(code, flags);
		*same = *same && (fate == FATE_STAYS || fate == FATE_SPACE);
		*n += write_character(code, fate, out == NULL ? buf : out + *n);
		position += (size_t) step;
	}
	return ENGINE_OK;
}

static EngineCode
clean(const Encoder *encoder, const char *text, size_t length,
	  const char **out, size_t *out_length)
{
	char	   *copy;
	bool		same;

	ENGINE_TRY(clean_pass(encoder, text, length, NULL, out_length, &same));
	*out = text;
	if (same)
	{
		*out_length = length;
		return ENGINE_OK;
	}
	copy = engine_alloc_raw(encoder->arena, *out_length, 1, encoder->status);
	if (copy == NULL)
		return encoder->status->code;
	*out = copy;
	return clean_pass(encoder, text, length, copy, out_length, &same);
}

EngineCode
bert_normalise(const Encoder *encoder, const char *text, size_t length,
			   const char **out, size_t *out_length)
{
	ENGINE_TRY(clean(encoder, text, length, out, out_length));
	if (!(encoder->section->flags & TOKENIZER_STRIP_ACCENTS))
		return ENGINE_OK;
	return unicode_normalise(UNICODE_NFD, *out, *out_length, encoder->arena,
							 encoder->host, out, out_length, encoder->status);
}
