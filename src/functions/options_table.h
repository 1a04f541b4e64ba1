/*-------------------------------------------------------------------------
 *
 * options_table.h
 *	  The table of options.
 *
 * The table is all that there is to know about an option: the parser
 * (options.c), the texts of errors and the view llm.options are made from it.
 * A new option is a new row, and a field of Options.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_OPTIONS_TABLE_H
#define LLM_OPTIONS_TABLE_H

#include "functions/options.h"

typedef enum OptionKind
{
	OPTION_BOOLEAN,				/* bool */
	OPTION_TRISTATE,			/* Tristate */
	OPTION_INTEGER,				/* int32 */
	OPTION_BIGINT,				/* int64 */
	OPTION_NUMBER,				/* double */
	OPTION_TEXT,				/* char *, UTF-8 */
	OPTION_CHOICE,				/* int, index into choices */
	OPTION_STOP,				/* stops and n_stops */
	OPTION_BIAS,				/* sampler.bias and n_bias */
	OPTION_PROMPTS,				/* prompts and n_prompts */
	OPTION_ABLATE,				/* edits and n_edits, as the next two */
	OPTION_PATCH,
	OPTION_STEER
} OptionKind;

typedef struct OptionRow
{
	const char *name;
	OptionKind	kind;
	int			scopes;			/* OptionScope bits */
	size_t		offset;			/* of the field in Options */
	double		min,
				max;
	const char *const *choices;
	const char *default_text;	/* as the view shows it */
	const char *range_text;		/* NULL: made from min and max */
	const char *description;
} OptionRow;

/* Functions that generate. */
#define OPTIONS_GENERATION (OPTIONS_GENERATE | OPTIONS_COMPLETION | \
							OPTIONS_ASK | OPTIONS_CHAT)

extern const OptionRow option_table[];
extern const size_t n_options;

/* Does the option apply to a function of that scope? */
extern bool option_applies(const OptionRow *row, int scope);

/* Does the option edit the forward pass?  No model keeps such options. */
extern bool option_is_experiment(const OptionRow *row);

/* The error (22023) of a value of the wrong type. */
extern void option_wrong_type(const OptionRow *row)
			__attribute__((noreturn));

/* Texts of errors and of the view. */
extern const char *option_kind_text(const OptionRow *row);
extern char *option_range_text(const OptionRow *row);
extern char *option_functions_text(int scopes);
extern char *option_names_text(int scope);

#endif							/* LLM_OPTIONS_TABLE_H */
