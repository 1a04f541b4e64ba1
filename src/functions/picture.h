/*-------------------------------------------------------------------------
 *
 * picture.h
 *	  What the pictures of a model's inside share: text and colours.
 *
 * Pictures are markup of ASCII characters only: everything else stands there
 * as a numeric character reference, so that a picture is a text in a database
 * of any encoding, and looks the same in a file of any encoding.
 *
 * Text from a model or a user is data.  It goes into markup through this file
 * and no other way: what markup means something by is escaped, and characters
 * that cannot be seen, or are not allowed in XML, become visible ones.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_PICTURE_H
#define LLM_PICTURE_H

#include "lib/stringinfo.h"

#include "functions/inspect.h"

/* A token as UTF-8, as columns show it. */
typedef struct PictureToken
{
	char	   *utf8;
	size_t		length;
} PictureToken;

/* PictureToken[inspection->n] of the text; each palloc'd. */
extern PictureToken *picture_tokens(const Inspection *inspection);

/* Any token of the vocabulary. */
extern PictureToken picture_token(const ModelUse *use, int32 token);

/* The model's name, as if it were a token. */
extern PictureToken picture_model_name(const ModelUse *use);

/* Characters that picture_text() writes when nothing is cut. */
#define PICTURE_WHOLE PG_INT32_MAX

/*
 * The token for a text node or an attribute: at most so many characters, of
 * which the last is an ellipsis when something was cut.
 */
extern void picture_text(StringInfo out, const PictureToken *token,
						 int characters);

/* A string of JSON, with its quotes, that may stand inside of <script>. */
extern void picture_json(StringInfo out, const PictureToken *token);

/*
 * The width of what picture_text() writes, in hundredths of the font's size,
 * estimated for fixed-width fonts.
 */
extern int	picture_text_width(const PictureToken *token, int characters);

/*
 * Weights and probabilities have colours by their square roots, as most are
 * small: PICTURE_LEVELS of them.  On those from PICTURE_INVERSE on, text has
 * the colour of the paper.
 */
#define PICTURE_LEVELS 32
#define PICTURE_INVERSE 18

extern int	picture_level(double weight);

/*
 * The colours as CSS, for light or dark paper: for each level its number and
 * colour between these texts.
 */
extern void picture_palette(StringInfo out, bool dark, const char *before,
							const char *between, const char *after);

/*
 * A group of SVG: the colours from 0 to 1 and what they mean, PICTURE_LEGEND
 * pixels wide and 27 high, with a word to the left of x.
 */
#define PICTURE_LEGEND (8 * PICTURE_LEVELS)

extern void picture_legend(StringInfo out, int x, int y);

#endif							/* LLM_PICTURE_H */
