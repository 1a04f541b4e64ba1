/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  Which rows the next step of a batch computes.
 *
 * First one row of every sequence that waits for its next token, then parts of
 * prompts: of the group that was served longest ago, and in it of the oldest
 * sequence, but for a share that a very long prompt leaves to the others.  A
 * sequence whose next page is being computed by another one waits for it, and
 * one that has not begun waits until there is room for all of it, unless
 * nothing else has begun: to begin and be preempted helps nobody.
 *
 * When there is no page, a sequence takes those of the youngest: of a paused
 * stream first, else of one that is younger than itself and has no row in the
 * step.  The oldest sequence therefore always gets on.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "batch/sequence.h"

static void
preempt(BatchSequence *sequence)
{
	sequence_release(sequence);
	sequence->preempted = true;
	sequence->batch->preemptions++;
}

/* Who loses pages for the sake of another; NULL: nobody. */
static BatchSequence *
find_victim(const BatchSequence *sequence)
{
	Batch	   *batch = sequence->batch;
	BatchSequence *victim;

	for (victim = batch->youngest; victim != NULL; victim = victim->older)
		if (victim->kv.n_pages > 0 && !sequence_can_run(victim))
			return victim;
	for (victim = batch->youngest; victim != NULL && victim != sequence;
		 victim = victim->older)
		if (victim->kv.n_pages > 0 && victim->step_index < 0)
			return victim;
	return NULL;
}

static bool
reserve(BatchSequence *sequence, int64_t n)
{
	while (!sequence_reserve(sequence, n))
	{
		BatchSequence *victim = find_victim(sequence);

		if (victim == NULL)
			return false;
		preempt(victim);
	}
	return true;
}

static void
add_rows(BatchSequence *sequence, int n)
{
	Batch	   *batch = sequence->batch;

	sequence->begun = true;
	sequence->step_index = batch->n_members;
	batch->members[batch->n_members] = sequence;
	batch->kv[batch->n_members] = &sequence->kv;
	batch->n_members++;
	for (int i = 0; i < n; i++)
	{
		StepRow    *row = &batch->rows[batch->n_rows++];

		row->position = sequence->kv.n_positions + i;
		row->token = sequence->history[row->position];
		row->sequence = sequence->step_index;
		row->type = 0;
		row->output = row->position == sequence->n_history - 1;
		batch->n_outputs += row->output ? 1 : 0;
	}
}

/* Sequences that need one row for their next token. */
static void
plan_tokens(Batch *batch)
{
	for (BatchSequence *sequence = batch->oldest; sequence != NULL;
		 sequence = sequence->younger)
	{
		if (batch->n_outputs == BATCH_OUTPUTS)
			break;
		if (!sequence_can_run(sequence) || sequence->kv.n_pages == 0 ||
			sequence_pending(sequence) != 1)
			continue;
		if (reserve(sequence, 1))
			add_rows(sequence, 1);
		else
			preempt(sequence);
	}
}

/*
 * Prompts
 */

/* That a sequence lacks for all of its history and the next token. */
static int64_t
pages_wanted(const BatchSequence *sequence)
{
	return sequence->n_history / KV_PAGE_POSITIONS + 1 -
		sequence->kv.n_pages;
}

/*
 * Is there room for all of a sequence, and for those that run?  Pages that are
 * free or could be count, and those of paused streams.
 */
static bool
may_begin(const BatchSequence *sequence)
{
	const Batch *batch = sequence->batch;
	PageCounts	counts = page_pool_counts(batch->pool);
	int64_t		room = (int64_t) counts.total - counts.held;
	int64_t		wanted = pages_wanted(sequence);
	bool		alone = true;

	for (const BatchSequence *other = batch->oldest; other != NULL;
		 other = other->younger)
	{
		if (!sequence_can_run(other))
			room += other->kv.n_pages;
		else if (other->begun)
		{
			wanted += pages_wanted(other);
			alone = false;
		}
	}
	return alone || room >= wanted;
}

/*
 * Of those that this step has not looked at: the group that was served
 * longest ago, and its oldest.
 */
static BatchSequence *
next_prompt(Batch *batch)
{
	BatchSequence *next = NULL;

	for (BatchSequence *sequence = batch->oldest; sequence != NULL;
		 sequence = sequence->younger)
		if (sequence->planned != batch->clock && sequence->step_index < 0 &&
			sequence_can_run(sequence) &&
			(next == NULL || sequence->served < next->served))
			next = sequence;
	return next;
}

static void
served(Batch *batch, uint64_t group)
{
	uint64_t	latest = 0;

	for (BatchSequence *sequence = batch->oldest; sequence != NULL;
		 sequence = sequence->younger)
		if (sequence->served > latest)
			latest = sequence->served;
	for (BatchSequence *sequence = batch->oldest; sequence != NULL;
		 sequence = sequence->younger)
		if (sequence->group == group)
			sequence->served = latest + 1;
}

/*
 * May a prompt go on in this step, and if so, take pages for so many rows:
 * others that begin alike then wait for them.
 */
static bool
begin_prompt(BatchSequence *sequence, int64_t rows)
{
	if (sequence_find_prefix(sequence) == PREFIX_CLAIMED)
		return false;
	if (!sequence->begun && !may_begin(sequence))
		return false;
	if (rows > sequence_pending(sequence))
		rows = sequence_pending(sequence);
	if (!reserve(sequence, rows) && sequence_room(sequence) == 0)
		return false;
	served(sequence->batch, sequence->group);
	return true;
}

/* Rows of one prompt, at most budget; how many. */
static int
add_prompt(BatchSequence *sequence, int64_t budget)
{
	Batch	   *batch = sequence->batch;
	int64_t		n = sequence_pending(sequence);

	if (n > budget)
		n = budget;
	if (n == sequence_pending(sequence) && batch->n_outputs == BATCH_OUTPUTS)
		n--;
	if (!reserve(sequence, n))
		n = sequence_room(sequence);
	if (n > 0)
		add_rows(sequence, (int) n);
	batch->n_prompt_rows += (int) n;
	return (int) n;
}

/*
 * A prompt that takes many steps leaves half of each to those behind it, so
 * that a short one need not wait for all of it; what they cannot use is its.
 */
static void
plan_prompts(Batch *batch)
{
	int			budget = batch->max_rows - batch->n_rows;
	int			kept = 0;
	BatchSequence *long_one = NULL;
	BatchSequence *sequence;

	if (batch->n_rows > 0 && budget > batch->prompt_rows)
		budget = batch->prompt_rows;
	while (budget > 0 && (sequence = next_prompt(batch)) != NULL)
	{
		bool		is_long = long_one == NULL &&
			sequence_pending(sequence) > batch->max_rows;
		int			share = is_long ? (budget + 1) / 2 : budget;

		sequence->planned = batch->clock;
		if (!begin_prompt(sequence, share))
			continue;
		if (!is_long)
			budget -= add_prompt(sequence, budget);
		else
		{
			long_one = sequence;
			kept = share;
			budget -= share;
		}
	}
	if (long_one != NULL)
		add_prompt(long_one, budget + kept);
}

void
plan_step(Batch *batch)
{
	batch->clock++;
	batch->n_rows = 0;
	batch->n_prompt_rows = 0;
	batch->n_outputs = 0;
	batch->n_members = 0;
	for (BatchSequence *sequence = batch->oldest; sequence != NULL;
		 sequence = sequence->younger)
		sequence->step_index = -1;
	plan_tokens(batch);
	plan_prompts(batch);
}
