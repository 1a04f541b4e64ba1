/*-------------------------------------------------------------------------
 *
 * scanners.h
 *	  One function per regular expression of the pre-tokenizers; private to
 *	  pretokenize.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_TOKENIZER_SCANNERS_H
#define ENGINE_TOKENIZER_SCANNERS_H

#include "base/unicode.h"
#include "base/utf8.h"
#include "tokenizer/pretokenize.h"

#define SCAN_POLL_EVERY 262144	/* bytes walked over, well below 10 ms */

/*
 * The end of the match that begins exactly at position (< end), or position
 * when there is none.  A scanner that finds a longer stretch without a match
 * sets self->skip to its end, so that no text is read again and again for
 * nothing.
 */
typedef size_t (*Scanner) (Pretokenizer *self, size_t position, size_t end);

/* Numbers are kept in images, so new groups are added at the end. */
enum
{
	GROUP_LLAMA3, GROUP_QWEN2, GROUP_QWEN35, GROUP_GPT2, GROUP_DIGITS_GPT2,
	GROUP_FALCON, GROUP_DEEPSEEK_CODER, GROUP_DEEPSEEK_LLM, GROUP_DEEPSEEK3,
	GROUP_TEKKEN, GROUP_GPT4O, GROUP_BLOOM, GROUP_VIKING, GROUP_DEFAULT
};

/* The scanners of each group, applied in sequence; NULL after the last */
extern const Scanner scanner_groups[][PRETOKENIZE_STAGES];

/*
 * The class of the character at position, or 0 at the end; its length in
 * *length.
 */
static inline uint32_t
class_at(const Pretokenizer *self, size_t position, size_t end, int *length)
{
	uint32_t	code;

	*length = 0;
	if (position >= end)
		return 0;
	*length = utf8_decode(self->text + position, end - position, &code);
	if (*length > 0)
		return unicode_class(code);
	*length = 1;
	return UNICODE_NONE;
}

/* Account for a walk; true when the host wants us to stop. */
static inline bool
walk_stops(Pretokenizer *self, size_t bytes)
{
	if (bytes < self->poll)
	{
		self->poll -= bytes;
		return false;
	}
	self->poll = SCAN_POLL_EVERY;
	if (engine_interrupted(self->host))
		self->cancelled = true;
	return self->cancelled;
}

#endif							/* ENGINE_TOKENIZER_SCANNERS_H */
