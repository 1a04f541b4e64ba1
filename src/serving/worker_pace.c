/*-------------------------------------------------------------------------
 *
 * worker_pace.c
 *	  How much of a prompt a step takes while others generate.
 *
 * Sequences that generate shall hardly notice that another one reads a long
 * prompt: a step with rows of it may take PACE_STRETCH times as long as one
 * without.  Both are measured all the time: steps without such rows by how
 * many sequences generate, and what each row of a prompt adds.  More
 * sequences make longer steps, so that prompts get more rows.
 *
 * When many prompts wait, the sessions that wait for their first token count
 * as well: each further prompt stretches steps by PACE_MORE, up to PACE_LAST.
 * Otherwise few would generate in steps too small for full speed.
 *
 * Under load there may never be a step without a prompt.  Now and then one
 * therefore takes a single row, which adds next to nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "serving/worker_state.h"

#define PACE_STRETCH 2.0
#define PACE_MORE 1.0
#define PACE_LAST 5.0
#define PACE_MOST 128
#define PACE_TILE 8

/* So many steps with prompts in a row, in a class not yet known or known. */
#define PACE_NEW 4
#define PACE_STALE 64

/* How far one measurement moves an estimate. */
#define PACE_WEIGHT 0.125

/* A step that took longer was interrupted by something else. */
#define PACE_OUTLIER 2.0

static void
learn(double *estimate, double seconds)
{
	if (*estimate == 0)
		*estimate = seconds;
	else
		*estimate += PACE_WEIGHT *
			(Min(seconds, PACE_OUTLIER * *estimate) - *estimate);
}

/* 0 to 3 sequences each, then four at a time */
static int
pace_class(int generating)
{
	int			class = generating < 4 ? generating : 3 + generating / 4;

	return Min(class, PACE_CLASSES - 1);
}

/* Of the nearest class that is known, smaller ones first; 0: none is. */
static double
alone(const Pace *pace, int generating)
{
	int			class = pace_class(generating);

	for (int i = class; i >= 0; i--)
		if (pace->alone[i] > 0)
			return pace->alone[i];
	for (int i = class + 1; i < PACE_CLASSES; i++)
		if (pace->alone[i] > 0)
			return pace->alone[i];
	return 0;
}

void
pace_note(Pace *pace, const BatchStep *step, double seconds)
{
	int			generating = step->rows - step->prompt_rows;
	double		base = alone(pace, generating);

	if (generating == 0)
		return;
	pace->mixed++;
	if (step->prompt_rows <= 1)
	{
		learn(&pace->alone[pace_class(generating)], seconds);
		pace->mixed = 0;
	}
	else if (base > 0)
		learn(&pace->row,
			  Max(seconds - base, 0.01 * base) / step->prompt_rows);
}

/* Kernels take rows by PACE_TILE: the nearest number that fills them. */
static int
whole_tiles(int rows, int generating)
{
	int			total = (rows + generating + PACE_TILE / 2 - 1) /
		PACE_TILE * PACE_TILE;

	return total > generating ? total - generating : rows;
}

int
pace_rows(const Pace *pace, int generating, int prompts)
{
	double		base = alone(pace, generating);
	double		stretch = PACE_STRETCH + PACE_MORE * (prompts - 1);
	double		rows;

	if (pace->mixed >= PACE_STALE ||
		(pace->mixed >= PACE_NEW && pace->alone[pace_class(generating)] == 0))
		return 1;
	if (base == 0 || pace->row == 0)
		return BATCH_PROMPT_ROWS;
	rows = (Min(stretch, PACE_LAST) - 1) * base / pace->row;
	return whole_tiles((int) Max(1, Min(rows, PACE_MOST)), generating);
}
