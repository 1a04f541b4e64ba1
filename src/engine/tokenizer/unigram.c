/*-------------------------------------------------------------------------
 *
 * unigram.c
 *	  Normalising text for the unigram model, and cutting it into words.
 *
 * The rules of the charsmap are applied as Hugging Face's tokenizers apply
 * them, whose vectors users compare with, and not as SentencePiece does, which
 * takes the longest rule at each position.  A grapheme cluster of less than
 * six bytes that begins with what a rule replaces is replaced as a whole, by
 * the shortest such rule; in other clusters each character is looked up
 * alone.  So CR LF becomes one space, and a mark may be lost with its letter
 * (two marks on a letter that composes with the first one).
 *
 * With TOKENIZER_TRIM_SPACES, text is cut at white space, which is dropped,
 * and before each U+2581; every word gets a space in front unless it has one
 * (WhitespaceSplit and Metaspace, prepend "always").  Without
 * TOKENIZER_SPACE_PREFIX the first word of a stretch gets none.  Without
 * TOKENIZER_TRIM_SPACES a stretch is one word, as in SentencePiece.  With
 * TOKENIZER_SPACES_ONLY too, white space at the end is stripped, unless
 * TOKENIZER_KEEP_END says otherwise, and of the rest only U+0020 counts, a run
 * of which is one U+2581, or with TOKENIZER_KEEP_RUNS as many (Strip, Replace
 * " {2,}" and Metaspace).
 *
 * Ill-formed bytes are U+FFFD.
 *
 * Source: Kudo, Richardson, "SentencePiece" (2018); behaviour of tokenizers
 * 0.23 and sentencepiece 0.2.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "base/unicode.h"
#include "base/utf8.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/grapheme.h"
#include "tokenizer/lattice.h"
#include "tokenizer/unigram.h"

#define LOWER_BLOCK "\xE2\x96\x81"	/* U+2581, SentencePiece's space */
#define LOWER_BLOCK_LENGTH 3
#define SHORT_CLUSTER 6			/* bytes; shorter ones are looked up whole */
#define POLL_EVERY 65536		/* bytes */

typedef struct WordCutter
{
	Encoder    *encoder;
	bool		trim;
	bool		any_space;		/* drops all white space */
	bool		keep_runs;
	bool		after_space;
	bool		prefix;			/* the next word gets a space in front */
	bool		in_word;
} WordCutter;

static EngineCode
end_word(WordCutter *cutter)
{
	cutter->in_word = false;
	cutter->prefix = true;
	ENGINE_TRY(lattice_finish(cutter->encoder));
	cutter->encoder->after_unknown = false;
	return ENGINE_OK;
}

/* A character after normalisation; code is what its bytes are, if anything. */
static EngineCode
put_character(WordCutter *cutter, const char *bytes, size_t length,
			  uint32_t code)
{
	bool		space = length == LOWER_BLOCK_LENGTH &&
		memcmp(bytes, LOWER_BLOCK, LOWER_BLOCK_LENGTH) == 0;

	if (cutter->trim && cutter->any_space &&
		(unicode_class(code) & UNICODE_SPACE))
		return cutter->in_word ? end_word(cutter) : ENGINE_OK;
	if (!cutter->any_space && code == ' ')
	{
		if (cutter->after_space && !cutter->keep_runs)
			return ENGINE_OK;
		space = true;			/* Metaspace */
	}
	cutter->after_space = code == ' ';
	if (cutter->trim && space && cutter->in_word)
		ENGINE_TRY(end_word(cutter));
	if (!cutter->in_word && cutter->prefix && !(cutter->trim && space))
		ENGINE_TRY(lattice_append(cutter->encoder, " ", 1));
	cutter->in_word = true;
	return space ? lattice_append(cutter->encoder, " ", 1) :
		lattice_append(cutter->encoder, bytes, length);
}

/* What a rule puts in: text of the file, which may be ill-formed. */
static EngineCode
put_replacement(WordCutter *cutter, const char *text, size_t length)
{
	size_t		n;

	for (size_t i = 0; i < length; i += n)
	{
		uint32_t	code = UTF8_REPLACEMENT;
		int			found = utf8_decode(text + i, length - i, &code);

		n = found > 0 ? (size_t) found : 1;
		ENGINE_TRY(put_character(cutter, text + i, n, code));
	}
	return ENGINE_OK;
}

/*
 * Text that is looked up as a whole; *replaced says whether there was a rule.
 */
static EngineCode
put_by_rule(WordCutter *cutter, const char *text, size_t length,
			bool *replaced)
{
	size_t		n;
	const char *replacement = charsmap_find(cutter->encoder->section, text,
											length, &n);

	*replaced = replacement != NULL;
	return *replaced ? put_replacement(cutter, replacement, n) : ENGINE_OK;
}

static EngineCode
put_looked_up(WordCutter *cutter, const char *text, size_t length,
			  uint32_t code)
{
	bool		replaced;

	ENGINE_TRY(put_by_rule(cutter, text, length, &replaced));
	return replaced ? ENGINE_OK : put_character(cutter, text, length, code);
}

/*
 * The character at text: its length there, its code, and its bytes, which are
 * those of U+FFFD when it is ill-formed.
 */
static inline size_t
next_character(const char *text, size_t left, const char **bytes, size_t *n,
			   uint32_t *code)
{
	int			length = utf8_decode(text, left, code);

	*bytes = text;
	*n = (size_t) length;
	if (length > 0)
		return (size_t) length;
	*code = UTF8_REPLACEMENT;
	*bytes = UTF8_REPLACEMENT_TEXT;
	*n = sizeof(UTF8_REPLACEMENT_TEXT) - 1;
	return length == 0 ? left : (size_t) -length;
}

/* Characters of a cluster one by one, from text to end. */
static EngineCode
put_characters(WordCutter *cutter, const char *text, const char *end)
{
	while (text < end)
	{
		const char *bytes;
		size_t		n;
		uint32_t	code;

		text += next_character(text, (size_t) (end - text), &bytes, &n,
							   &code);
		ENGINE_TRY(put_looked_up(cutter, bytes, n, code));
	}
	return ENGINE_OK;
}

/*
 * The end of the cluster at text, or the first place after it that is not
 * within limit bytes; state goes along.
 */
static const char *
cluster_end(Grapheme *state, const char *text, const char *end, size_t limit)
{
	const char *position = text;

	while (position < end && (size_t) (position - text) < limit)
	{
		const char *bytes;
		size_t		n;
		uint32_t	code;
		size_t		step = next_character(position,
										  (size_t) (end - position), &bytes,
										  &n, &code);

		if (!grapheme_continues(state, grapheme_class(code)))
			break;
		position += step;
	}
	return position;
}

/* One cluster, or a part of a long one; *text moves to its end. */
static EngineCode
put_cluster(WordCutter *cutter, const char **text, const char *end)
{
	const char *start = *text;
	const char *bytes;
	size_t		n;
	uint32_t	code;
	Grapheme	state;
	bool		replaced = false;

	*text += next_character(start, (size_t) (end - start), &bytes, &n, &code);
	if (n == 1 && code != '\r' && (*text == end || (**text & 0x80) == 0))
		return put_looked_up(cutter, bytes, n, code);
	grapheme_begin(&state, grapheme_class(code));
	*text = cluster_end(&state, *text, end, SHORT_CLUSTER);
	if (*text - start < SHORT_CLUSTER)
		ENGINE_TRY(put_by_rule(cutter, start, (size_t) (*text - start),
							   &replaced));
	if (replaced)
		return ENGINE_OK;
	ENGINE_TRY(put_characters(cutter, start, *text));
	for (;;)
	{
		start = *text;
		*text = cluster_end(&state, start, end, POLL_EVERY);
		if (*text == start)
			return ENGINE_OK;
		if (engine_interrupted(cutter->encoder->host))
			return engine_cancelled(cutter->encoder->status);
		ENGINE_TRY(put_characters(cutter, start, *text));
	}
}

/* Length without the white space at the end (Strip) */
static size_t
stripped_length(const char *text, size_t length)
{
	while (length > 0)
	{
		size_t		start = length - 1;
		uint32_t	code;

		while (start > 0 && length - start < UTF8_LONGEST &&
			   utf8_continues(text[start]))
			start--;
		if (utf8_decode(text + start, length - start, &code) <= 0 ||
			!(unicode_class(code) & UNICODE_SPACE))
			break;
		length = start;
	}
	return length;
}

EngineCode
unigram_encode(Encoder *encoder, const char *text, size_t length)
{
	uint32_t	flags = encoder->section->flags;
	WordCutter	cutter = {
		.encoder = encoder,
		.trim = (flags & TOKENIZER_TRIM_SPACES) != 0,
		.any_space = (flags & TOKENIZER_SPACES_ONLY) == 0,
		.keep_runs = (flags & TOKENIZER_KEEP_RUNS) != 0,
		.prefix = (flags & TOKENIZER_SPACE_PREFIX) != 0
	};
	bool		keep_end = cutter.any_space || (flags & TOKENIZER_KEEP_END);
	const char *end = text + (keep_end ? length :
							  stripped_length(text, length));
	const char *poll = text;

	encoder->after_unknown = false;
	while (text < end)
	{
		if (text >= poll)
		{
			if (engine_interrupted(encoder->host))
				return engine_cancelled(encoder->status);
			poll = end - text > POLL_EVERY ? text + POLL_EVERY : end;
		}
		ENGINE_TRY(put_cluster(&cutter, &text, end));
	}
	return end_word(&cutter);
}
