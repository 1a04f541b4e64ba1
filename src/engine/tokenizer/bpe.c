/*-------------------------------------------------------------------------
 *
 * bpe.c
 *	  Byte-level byte pair encoding.
 *
 * A word is its bytes, one token each, and pairs of tokens join by the rank of
 * their merge.  Ids are looked up by pairs of ids, so no text is built on the
 * way.  A byte without a token (some vocabularies lack bytes that UTF-8 never
 * has) is left out and its neighbours meet, as in Hugging Face's tokenizers.
 *
 * Source: Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words
 * with Subword Units" (2016); byte-level since GPT-2 (Radford et al., 2019).
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "base/unicode.h"
#include "tokenizer/encoder.h"
#include "tokenizer/pretokenize.h"

static uint32_t
bpe_pair_rank(const Merger *merger, const Symbol *left, const Symbol *right,
			  int32_t *merged)
{
	const MergeSlot *slot = section_merge(merger->section, left->id,
										  right->id);

	if (slot == NULL)
		return MERGE_NONE;
	*merged = slot->merged;
	return slot->rank;
}

/* left: bytes of the text from here on */
static EngineCode
encode_word(Encoder *encoder, const char *word, size_t length, size_t left)
{
	const TokenizerSection *section = encoder->section;
	Merger	   *merger = &encoder->merger;

	if (section->flags & TOKENIZER_IGNORE_MERGES)
	{
		int32_t		id = -1;

		if (length <= section->longest)
			id = section_find(section, word, length, true);
		if (id >= 0)
			return encoder_emit(encoder, id);
	}

	ENGINE_TRY(merger_reserve(merger, length, left));
	merger->n = 0;
	for (size_t i = 0; i < length; i++)
	{
		int32_t		id = section->bytes[(uint8_t) word[i]];

		if (id >= 0)
			merger->symbols[merger->n++].id = id;
	}
	if (merger->n == 0)
		return ENGINE_OK;
	ENGINE_TRY(merger_run(merger));
	for (int32_t i = 0; i >= 0; i = merger->symbols[i].next)
		ENGINE_TRY(encoder_emit(encoder, merger->symbols[i].id));
	return ENGINE_OK;
}

EngineCode
bpe_encode(Encoder *encoder, const char *text, size_t length)
{
	Pretokenizer words;
	size_t		start,
				end;

	encoder->merger.pair_rank = bpe_pair_rank;
	if (encoder->section->flags & TOKENIZER_NFC)
		ENGINE_TRY(unicode_normalise(UNICODE_NFC, text, length,
									 encoder->arena, encoder->host,
									 &text, &length, encoder->status));
	pretokenize_open(&words, encoder->section->group, text, length,
					 encoder->host);
	while (pretokenize_next(&words, &start, &end))
		ENGINE_TRY(encode_word(encoder, text + start, end - start,
							   length - start));
	return words.cancelled ? engine_cancelled(encoder->status) : ENGINE_OK;
}
