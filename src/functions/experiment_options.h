/*-------------------------------------------------------------------------
 *
 * experiment_options.h
 *	  The options ablate, patch and steer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_EXPERIMENT_OPTIONS_H
#define LLM_EXPERIMENT_OPTIONS_H

#include "functions/options_table.h"

/* Edits of one call, all three options together. */
#define MAX_EDITS 10000

/*
 * Append the entries of a value, an array of objects, to options->edits.
 * What the model must have is checked later, by experiment_check().
 */
extern void read_edits(const OptionRow *row, Options *options,
					   const JsonbValue *value);

#endif							/* LLM_EXPERIMENT_OPTIONS_H */
