/*-------------------------------------------------------------------------
 *
 * report_page.h
 *	  The parts of an attention report that are always the same.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_REPORT_PAGE_H
#define LLM_REPORT_PAGE_H

/* Of <style>; colours of the levels, --c0 and so on, are to be added. */
extern const char report_style[];

/*
 * Of <script>.  It reads the JSON of the element "data":
 *
 *		tokens		array of strings
 *		layers, heads
 *		causal		whether queries see themselves and what is before them
 *		levels, inverse		PICTURE_LEVELS, PICTURE_INVERSE
 *		weights		base64 of two bytes for each weight, the lower one first:
 *					1 .. 65535 for 0 .. 1, and 0 for a key that is not seen; by
 *					layer, head, query and key, with causal without the keys
 *					behind the query
 *
 * and fills the elements "grid" and, in the dialog "view", "name", "picture"
 * and "summary".
 */
extern const char report_script[];

#endif							/* LLM_REPORT_PAGE_H */
