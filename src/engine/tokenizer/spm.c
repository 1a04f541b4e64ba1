/*-------------------------------------------------------------------------
 *
 * spm.c
 *	  SentencePiece's byte pair encoding: pairs join by the score of the token
 *	  that they make.
 *
 * There is no pre-tokenizer, a text is one word.  But symbols only ever join
 * to a token, so a text may be cut between two characters whose bytes there are
 * neighbours in no token (before most spaces, at line ends): the result is the
 * same, and memory is bounded by the longest word.
 *
 * Vocabularies that come from tokenizer.json have merges too, and keys of ours
 * (see read_own_flags()) say to go by these.
 *
 * Characters without a token become the tokens of their bytes, or the unknown
 * token when the model lacks one of these.
 *
 * Source: Kudo, Richardson, "SentencePiece" (2018).
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "base/utf8.h"
#include "tokenizer/encoder.h"

#define LOWER_BLOCK "\xE2\x96\x81"	/* U+2581, SentencePiece's space */
#define LOWER_BLOCK_LENGTH 3
#define POLL_EVERY 16384		/* bytes */

static uint32_t
spm_pair_rank(const Merger *merger, const Symbol *left, const Symbol *right,
			  int32_t *merged)
{
	const TokenizerSection *section = merger->section;
	const uint32_t *ranks = section_at(section, section->ranks);
	size_t		length = right->end - left->start;
	int32_t		id;

	if (length > section->longest)
		return MERGE_NONE;
	id = section_find(section, merger->text + left->start, length, true);
	if (id < 0)
		return MERGE_NONE;
	*merged = id;
	return ranks[id];
}

/* The same by merges, which only tokens have. */
static uint32_t
spm_merge_rank(const Merger *merger, const Symbol *left, const Symbol *right,
			   int32_t *merged)
{
	const MergeSlot *merge;

	if (left->id < 0 || right->id < 0)
		return MERGE_NONE;
	merge = section_merge(merger->section, left->id, right->id);
	if (merge == NULL)
		return MERGE_NONE;
	*merged = merge->merged;
	return merge->rank;
}

/* Length of the space at position in its two spellings, or 0. */
static inline size_t
space_at(const char *text, size_t length, size_t position)
{
	if (text[position] == ' ')
		return 1;
	if (length - position >= LOWER_BLOCK_LENGTH &&
		memcmp(text + position, LOWER_BLOCK, LOWER_BLOCK_LENGTH) == 0)
		return LOWER_BLOCK_LENGTH;
	return 0;
}

static EngineCode
word_reserve(Encoder *encoder, size_t length)
{
	char	   *word;
	size_t		capacity = length * 2 + 256;

	if (length <= encoder->word_capacity)
		return ENGINE_OK;
	word = engine_alloc(encoder->arena, capacity, 1, encoder->status);
	if (word == NULL)
		return encoder->status->code;
	if (encoder->word_capacity > 0)
		memcpy(word, encoder->word, encoder->word_capacity);
	encoder->word = word;
	encoder->word_capacity = capacity;
	return ENGINE_OK;
}

EngineCode
encoder_emit_bytes(Encoder *encoder, const char *text, size_t length)
{
	const TokenizerSection *section = encoder->section;
	bool		complete = true;

	if (length == 1 && text[0] == ' ')
	{
		text = LOWER_BLOCK;
		length = LOWER_BLOCK_LENGTH;
	}
	for (size_t i = 0; i < length; i++)
		complete = complete && section->bytes[(uint8_t) text[i]] >= 0;
	if (!complete)
	{
		bool		repeated = encoder->after_unknown;

		encoder->after_unknown = true;
		if (repeated || section->unknown < 0)
			return ENGINE_OK;
		return encoder_emit(encoder, section->unknown);
	}
	encoder->after_unknown = false;
	for (size_t i = 0; i < length; i++)
		ENGINE_TRY(encoder_emit(encoder, section->bytes[(uint8_t) text[i]]));
	return ENGINE_OK;
}

/* Cut the word into characters. */
static EngineCode
word_symbols(Encoder *encoder, size_t length)
{
	Merger	   *merger = &encoder->merger;
	size_t		position = 0;
	size_t		poll = POLL_EVERY;

	ENGINE_TRY(merger_reserve(merger, length, encoder->word_capacity));
	merger->n = 0;
	merger->text = encoder->word;
	while (position < length)
	{
		Symbol	   *symbol = &merger->symbols[merger->n++];
		uint32_t	code;
		int			n = utf8_decode(encoder->word + position,
									length - position, &code);

		if (position >= poll)
		{
			if (engine_interrupted(encoder->host))
				return engine_cancelled(encoder->status);
			poll = position + POLL_EVERY;
		}
		if (n <= 0)
			n = 1;
		symbol->start = (uint32_t) position;
		position += (size_t) n;
		symbol->end = (uint32_t) position;
		symbol->id = section_find(encoder->section,
								  encoder->word + symbol->start, (size_t) n,
								  true);
	}
	return ENGINE_OK;
}

static EngineCode
encode_word(Encoder *encoder, size_t length)
{
	Merger	   *merger = &encoder->merger;

	ENGINE_TRY(word_symbols(encoder, length));
	ENGINE_TRY(merger_run(merger));
	for (int32_t i = 0; i >= 0; i = merger->symbols[i].next)
	{
		const Symbol *symbol = &merger->symbols[i];

		if (symbol->id < 0)
			ENGINE_TRY(encoder_emit_bytes(encoder,
										  encoder->word + symbol->start,
										  symbol->end - symbol->start));
		else
		{
			encoder->after_unknown = false;
			ENGINE_TRY(encoder_emit(encoder, symbol->id));
		}
	}
	return ENGINE_OK;
}

/* Does a space go before the stretch? */
static bool
wants_prefix(const Encoder *encoder, const char *text, size_t length)
{
	uint32_t	flags = encoder->section->flags;

	if (!(flags & TOKENIZER_SPACE_PREFIX) ||
		(encoder->continues && encoder->at_start))
		return false;
	if ((flags & TOKENIZER_PREFIX_FIRST) && !encoder->at_start)
		return false;
	return !(flags & TOKENIZER_PREFIX_ONCE) || space_at(text, length, 0) == 0;
}

EngineCode
spm_encode(Encoder *encoder, const char *text, size_t length)
{
	const TokenizerSection *section = encoder->section;
	size_t		position = 0;
	size_t		n = 0;			/* bytes of the word so far */
	size_t		poll = 0;

	encoder->merger.pair_rank = section->flags & TOKENIZER_BY_MERGES ?
		spm_merge_rank : spm_pair_rank;
	encoder->after_unknown = false;
	if (wants_prefix(encoder, text, length))
	{
		ENGINE_TRY(word_reserve(encoder, 1));
		encoder->word[n++] = ' ';
	}
	while (position < length)
	{
		size_t		space = space_at(text, length, position);
		char		byte = space > 0 ? ' ' : text[position];

		if (n > 0 && !utf8_continues(byte) &&
			!section_joins(section, encoder->word[n - 1], byte))
		{
			ENGINE_TRY(encode_word(encoder, n));
			n = 0;
		}
		if (position >= poll)
		{
			if (engine_interrupted(encoder->host))
				return engine_cancelled(encoder->status);
			poll = position + POLL_EVERY;
		}
		ENGINE_TRY(word_reserve(encoder, n + 1));
		encoder->word[n++] = byte;
		position += space > 0 ? space : 1;
	}
	return encode_word(encoder, n);
}
