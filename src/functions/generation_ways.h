/*-------------------------------------------------------------------------
 *
 * generation_ways.h
 *	  The two ways in which generation.c gets tokens: computed here
 *	  (generation_local.c), or by a worker (generation_served.c).
 *
 * Either fills an output's fields of the last token and then calls
 * generation_accept(), so that text and end are found by the same code.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_GENERATION_WAYS_H
#define LLM_GENERATION_WAYS_H

#include "functions/generation.h"

/* Take in output->token, and see whether it was the last. */
extern void generation_accept(Generation *generation, Output *output);

/* Opens what a Generation needs to compute here, if it is not open yet. */
extern void generation_local_open(Generation *generation);

/* Nothing is computed yet; of the history nothing is known. */
extern void generation_local_start(Generation *generation, Output *output);
extern void generation_local_advance(Generation *generation,
									 Output *const *outputs, int n);
extern void generation_local_stop(Output *output);

/* False: there is no place, and without wait or with others held none came. */
extern bool generation_served_start(Generation *generation, Output *output,
									bool wait);
extern void generation_served_advance(Generation *generation,
									  Output *output);
extern void generation_served_stop(Output *output);
extern void generation_served_finish(Output *output);

#endif							/* LLM_GENERATION_WAYS_H */
