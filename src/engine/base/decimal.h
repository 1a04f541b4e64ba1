/*-------------------------------------------------------------------------
 *
 * decimal.h
 *	  Decimal numbers as texts to binary floating point.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_DECIMAL_H
#define ENGINE_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The double nearest to a number as JSON writes it (-12.5e-3), ties to even,
 * whatever the locale.  The caller has checked the grammar.  False when it is
 * beyond the largest double; too small a number is a zero.
 */
extern bool decimal_to_double(const char *text, size_t length,
							  double *value);

/* Would it?  Cheaper than the number itself. */
extern bool decimal_fits(const char *text, size_t length);

#endif							/* ENGINE_DECIMAL_H */
