/*-------------------------------------------------------------------------
 *
 * picture.c
 *	  What the pictures of a model's inside share: text and colours.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <math.h>

#include "mb/pg_wchar.h"

#include "engine/base/utf8.h"
#include "functions/picture.h"

#define ELLIPSIS 0x2026

PictureToken
picture_token(const ModelUse *use, int32 token)
{
	size_t		longest = tokenizer_longest_piece(&use->tokenizer);
	PictureToken result;

	result.utf8 = palloc(6 * longest + 1);
	result.length = token_display(&use->tokenizer, token, result.utf8);
	return result;
}

PictureToken *
picture_tokens(const Inspection *inspection)
{
	PictureToken *tokens = palloc(inspection->n * sizeof(PictureToken));

	for (int i = 0; i < inspection->n; i++)
	{
		PictureToken token = picture_token(inspection->use,
										   inspection->tokens.ids[i]);

		/* of a vocabulary's longest token, most have a small part */
		tokens[i].utf8 = pnstrdup(token.utf8, token.length);
		tokens[i].length = token.length;
		pfree(token.utf8);
	}
	return tokens;
}

PictureToken
picture_model_name(const ModelUse *use)
{
	const char *name = use->model->name;
	PictureToken result;

	result.utf8 = pg_server_to_any(name, (int) strlen(name), PG_UTF8);
	result.length = strlen(result.utf8);
	return result;
}

/*
 * What is drawn for a character: white space and control characters as the
 * signs that stand for them; what XML does not allow, and what would change
 * the direction of the text around it, as the replacement character.
 */
static uint32
visible(uint32 code)
{
	switch (code)
	{
		case ' ':
			return 0x2423;		/* open box */
		case '\n':
			return 0x21B5;		/* return */
		case '\t':
			return 0x21E5;		/* tabulator */
		case 0x7F:
			return 0x2421;
		case 0xA0:
			return 0x237D;		/* shouldered open box */
	}
	if (code < 0x20)
		return 0x2400 + code;
	if ((code >= 0x80 && code < 0xA0) ||
		(code >= 0x200E && code <= 0x200F) ||
		(code >= 0x2028 && code <= 0x202E) ||
		(code >= 0x2066 && code <= 0x2069) ||
		(code >= 0xFDD0 && code <= 0xFDEF) || (code & 0xFFFE) == 0xFFFE)
		return UTF8_REPLACEMENT;
	return code;
}

/* The next character to draw, of a text that goes on; *at moves behind it. */
static uint32
next_visible(const PictureToken *token, size_t *at)
{
	uint32_t	code;
	size_t		left = token->length - *at;
	int			length = utf8_decode(token->utf8 + *at, left, &code);

	if (length > 0)
	{
		*at += (size_t) length;
		return visible(code);
	}
	*at += length == 0 ? left : (size_t) -length;
	return UTF8_REPLACEMENT;
}

static void
append_markup(StringInfo out, uint32 code)
{
	if (code >= 0x7F || strchr("&<>\"'", (int) code) != NULL)
		appendStringInfo(out, "&#x%X;", code);
	else
		appendStringInfoChar(out, (char) code);
}

/* The characters to draw, the last of which stands for what was cut. */
typedef struct Clipped
{
	const PictureToken *token;
	size_t		at;
	int			left;			/* characters that may still be drawn */
} Clipped;

static bool
clipped_next(Clipped *clipped, uint32 *code)
{
	if (clipped->left == 0 || clipped->at >= clipped->token->length)
		return false;
	*code = next_visible(clipped->token, &clipped->at);
	clipped->left--;
	if (clipped->left == 0 && clipped->at < clipped->token->length)
		*code = ELLIPSIS;
	return true;
}

void
picture_text(StringInfo out, const PictureToken *token, int characters)
{
	Clipped		clipped = {token, 0, characters};
	uint32		code;

	while (clipped_next(&clipped, &code))
		append_markup(out, code);
}

int
picture_text_width(const PictureToken *token, int characters)
{
	Clipped		clipped = {token, 0, characters};
	uint32		code;
	int			width = 0;

	while (clipped_next(&clipped, &code))
		width += code < 0x1100 || (code >= 0x2000 && code < 0x2E80) ? 62 : 105;
	return width;
}

/* UTF-16, as JSON counts; of ASCII, what may end or begin markup as well. */
static void
append_json(StringInfo out, uint32 code)
{
	if (code >= 0x10000)
		appendStringInfo(out, "\\u%04x\\u%04x",
						 0xD7C0 + (code >> 10), 0xDC00 + (code & 0x3FF));
	else if (code >= 0x7F || strchr("&<>\"'\\", (int) code) != NULL)
		appendStringInfo(out, "\\u%04x", code);
	else
		appendStringInfoChar(out, (char) code);
}

void
picture_json(StringInfo out, const PictureToken *token)
{
	size_t		at = 0;

	appendStringInfoChar(out, '"');
	while (at < token->length)
		append_json(out, next_visible(token, &at));
	appendStringInfoChar(out, '"');
}

int
picture_level(double weight)
{
	double		level = sqrt(Max(weight, 0.0)) * (PICTURE_LEVELS - 1) + 0.5;

	return Min((int) level, PICTURE_LEVELS - 1);
}

/*
 * From what hardly differs from the paper to what differs most, so that the
 * eye goes to large weights on either paper.
 */
#define PALETTE_STOPS 6

static const uint8 light_stops[PALETTE_STOPS][3] = {
	{0xF3, 0xF6, 0xFA}, {0xC9, 0xDD, 0xF0}, {0x8F, 0xBA, 0xE0},
	{0x4C, 0x8C, 0xC9}, {0x1F, 0x56, 0x9B}, {0x0A, 0x22, 0x4A}
};

static const uint8 dark_stops[PALETTE_STOPS][3] = {
	{0x1C, 0x22, 0x2C}, {0x22, 0x3F, 0x5C}, {0x23, 0x66, 0x86},
	{0x33, 0x96, 0x9A}, {0x7C, 0xCB, 0x92}, {0xF6, 0xF0, 0x9B}
};

static uint32
palette_colour(const uint8 stops[PALETTE_STOPS][3], int level)
{
	double		at = (double) level / (PICTURE_LEVELS - 1) *
		(PALETTE_STOPS - 1);
	int			stop = Min((int) at, PALETTE_STOPS - 2);
	double		part = at - stop;
	uint32		colour = 0;

	for (int i = 0; i < 3; i++)
		colour = colour << 8 |
			(uint32) (stops[stop][i] * (1 - part) +
					  stops[stop + 1][i] * part + 0.5);
	return colour;
}

void
picture_palette(StringInfo out, bool dark, const char *before,
				const char *between, const char *after)
{
	for (int level = 0; level < PICTURE_LEVELS; level++)
		appendStringInfo(out, "%s%d%s#%06x%s", before, level, between,
						 palette_colour(dark ? dark_stops : light_stops,
										level),
						 after);
}

/* Colours stand at the square roots of their weights: ticks say so. */
void
picture_legend(StringInfo out, int x, int y)
{
	static const struct
	{
		const char *name;
		double		root;
	}			ticks[] = {
		{"0", 0}, {".01", 0.1}, {".1", 0.3162}, {".25", 0.5}, {".5", 0.7071},
		{"1", 1}
	};
	int			step = PICTURE_LEGEND / PICTURE_LEVELS;

	appendStringInfo(out,
					 "<g class=\"legend\" font-size=\"11\" text-anchor=\"middle\" transform=\"translate(%d %d)\">\n",
					 x, y);
	for (int level = 0; level < PICTURE_LEVELS; level++)
		appendStringInfo(out,
						 "<rect class=\"c%d\" x=\"%d\" width=\"%d\" height=\"12\"/>\n",
						 level, level * step, step);
	for (int i = 0; i < (int) lengthof(ticks); i++)
		appendStringInfo(out,
						 "<text class=\"quiet\" x=\"%d\" y=\"25\">%s</text>\n",
						 (int) (ticks[i].root * PICTURE_LEGEND + 0.5),
						 ticks[i].name);
	appendStringInfoString(out,
						   "<text class=\"quiet\" text-anchor=\"end\" x=\"-8\" y=\"10\">weight</text>\n</g>\n");
}
