/*-------------------------------------------------------------------------
 *
 * grapheme.c
 *	  Extended grapheme clusters.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "tokenizer/grapheme.h"

static bool
is_extend(uint8_t class)
{
	return class >= GRAPHEME_EXTEND && class <= GRAPHEME_ZWJ;
}

/* Rules for Hangul syllables: GB6, GB7 and GB8 */
static bool
joins_hangul(uint8_t last, uint8_t class)
{
	switch (last)
	{
		case GRAPHEME_L:
			return class == GRAPHEME_L || class == GRAPHEME_V ||
				class == GRAPHEME_LV || class == GRAPHEME_LVT;
		case GRAPHEME_LV:
		case GRAPHEME_V:
			return class == GRAPHEME_V || class == GRAPHEME_T;
		case GRAPHEME_LVT:
		case GRAPHEME_T:
			return class == GRAPHEME_T;
		default:
			return false;
	}
}

static bool
joins(const Grapheme *grapheme, uint8_t class)
{
	uint8_t		last = grapheme->last;

	if (last >= GRAPHEME_CR && last <= GRAPHEME_CONTROL)
		return last == GRAPHEME_CR && class == GRAPHEME_LF;
	if (class >= GRAPHEME_CR && class <= GRAPHEME_CONTROL)
		return false;
	if (is_extend(class) || class == GRAPHEME_SPACINGMARK ||
		last == GRAPHEME_PREPEND)
		return true;
	if (class == GRAPHEME_CONSONANT)
		return grapheme->linked;
	if (class == GRAPHEME_PICTOGRAPHIC)
		return grapheme->pictograph && last == GRAPHEME_ZWJ;
	if (class == GRAPHEME_REGIONAL_INDICATOR)
		return last == GRAPHEME_REGIONAL_INDICATOR && !grapheme->paired;
	return joins_hangul(last, class);
}

/* Remember what later rules look back to. */
static void
take_in(Grapheme *grapheme, uint8_t class)
{
	bool		sign = is_extend(class);

	grapheme->linked = grapheme->conjunct && (class == GRAPHEME_LINKER ||
											  (grapheme->linked && sign &&
											   class != GRAPHEME_NON_JOINER));
	grapheme->conjunct = class == GRAPHEME_CONSONANT ||
		(grapheme->conjunct && sign && class != GRAPHEME_NON_JOINER);
	grapheme->pictograph = class == GRAPHEME_PICTOGRAPHIC ||
		(grapheme->pictograph && sign && grapheme->last != GRAPHEME_ZWJ);
	grapheme->paired = class == GRAPHEME_REGIONAL_INDICATOR &&
		grapheme->last == GRAPHEME_REGIONAL_INDICATOR && !grapheme->paired;
	grapheme->last = class;
}

void
grapheme_begin(Grapheme *grapheme, uint8_t class)
{
	*grapheme = (Grapheme) {.last = GRAPHEME_OTHER};
	take_in(grapheme, class);
}

bool
grapheme_continues(Grapheme *grapheme, uint8_t class)
{
	if (!joins(grapheme, class))
		return false;
	take_in(grapheme, class);
	return true;
}
