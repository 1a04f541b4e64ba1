/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  Continuous batching: many sequences of one model, one step at a time.
 *
 * A step is planned (plan.c), computed, and then a token is picked for every
 * row that was the last of its sequence's history.  If a value becomes
 * infinite or NaN, the step is repeated for each of its sequences alone, so
 * that only the one fails that made it so.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "batch/sequence.h"

#include <inttypes.h>

/*
 * The batch
 */

static EngineCode
list_end_tokens(Batch *batch, EngineStatus *status)
{
	const Tokenizer *tokenizer = &batch->tokenizer;
	int			n = 0;

	for (int32_t i = 0; i < tokenizer->n_tokens; i++)
		n += tokenizer_is_end(tokenizer, i);
	batch->end_tokens = engine_alloc(batch->arena, n, sizeof(int32_t),
									 status);
	if (batch->end_tokens == NULL)
		return status->code;
	for (int32_t i = 0; i < tokenizer->n_tokens; i++)
		if (tokenizer_is_end(tokenizer, i))
			batch->end_tokens[batch->n_end_tokens++] = i;
	return ENGINE_OK;
}

/* One sampler whose scratch is enough for any options. */
static EngineCode
open_sampler(Batch *batch, EngineStatus *status)
{
	SamplerOptions any = {
		.temperature = 1.0,
		.typical_p = 1.0,
		.top_p = 1.0,
		.repeat_penalty = 1.0,
	};

	ENGINE_TRY(list_end_tokens(batch, status));
	return sampler_open(&batch->sampler, &any, batch->image->hyper.vocabulary,
						batch->tokenizer.n_tokens, batch->end_tokens,
						batch->n_end_tokens, batch->arena, status);
}

static EngineCode
open_plan(Batch *batch, EngineStatus *status)
{
	EngineArena *arena = batch->arena;

	batch->rows = engine_alloc(arena, batch->max_rows, sizeof(StepRow),
							   status);
	batch->kv = engine_alloc(arena, batch->max_rows, sizeof(KvSequence *),
							 status);
	batch->members = engine_alloc(arena, batch->max_rows,
								  sizeof(BatchSequence *), status);
	batch->top = engine_alloc(arena, BATCH_TOP, sizeof(TokenLogit), status);
	if (batch->rows == NULL || batch->kv == NULL || batch->members == NULL ||
		batch->top == NULL)
		return status->code;
	return ENGINE_OK;
}

EngineCode
batch_open(Batch **result, const ImageHeader *image, const KernelSet *kernels,
		   int bits, int max_rows, PagePool *pool,
		   const BatchListener *listener, EngineArena *arena,
		   const EngineAllocator *allocator, const EngineHost *host,
		   EngineStatus *status)
{
	Batch	   *batch;

	if (max_rows < BATCH_OUTPUTS || image->tokenizer == 0)
		return engine_fail(status, ENGINE_INVALID,
						   "a batch of %d rows is not possible", max_rows);
	batch = engine_alloc(arena, 1, sizeof(*batch), status);
	if (batch == NULL)
		return status->code;
	batch->image = image;
	batch->pool = pool;
	batch->listener = *listener;
	batch->allocator = allocator;
	batch->arena = arena;
	batch->max_rows = max_rows;
	batch->prompt_rows = BATCH_PROMPT_ROWS;
	tokenizer_open(image_at(image, image->tokenizer), &batch->tokenizer);
	ENGINE_TRY(transformer_open(&batch->transformer, image, kernels, bits,
								max_rows, BATCH_OUTPUTS, arena, host,
								status));
	ENGINE_TRY(open_sampler(batch, status));
	ENGINE_TRY(open_plan(batch, status));
	*result = batch;
	return ENGINE_OK;
}

void
batch_close(Batch *batch)
{
	while (batch->oldest != NULL)
		batch_remove(batch, batch->oldest);
}

void
batch_set_prompt_rows(Batch *batch, int rows)
{
	batch->prompt_rows = rows < 1 ? 1 : rows;
}

int64_t
batch_preemptions(const Batch *batch)
{
	return batch->preemptions;
}

/*
 * Sequences
 */

static void
link_sequence(Batch *batch, BatchSequence *sequence)
{
	BatchSequence *older = batch->youngest;

	while (older != NULL && older->order > sequence->order)
		older = older->older;
	sequence->older = older;
	sequence->younger = older == NULL ? batch->oldest : older->younger;
	if (sequence->older == NULL)
		batch->oldest = sequence;
	else
		sequence->older->younger = sequence;
	if (sequence->younger == NULL)
		batch->youngest = sequence;
	else
		sequence->younger->older = sequence;
}

static void
unlink_sequence(Batch *batch, BatchSequence *sequence)
{
	if (sequence->older == NULL)
		batch->oldest = sequence->younger;
	else
		sequence->older->younger = sequence->younger;
	if (sequence->younger == NULL)
		batch->youngest = sequence->older;
	else
		sequence->younger->older = sequence->older;
}

/* A group's turn does not begin anew with a sequence more. */
static uint64_t
turn_of(const Batch *batch, uint64_t group)
{
	uint64_t	first = UINT64_MAX;

	for (const BatchSequence *other = batch->oldest; other != NULL;
		 other = other->younger)
	{
		if (other->group == group)
			return other->served;
		if (other->served < first)
			first = other->served;
	}
	return first == UINT64_MAX ? 0 : first;
}

static EngineCode
check_request(const Batch *batch, const BatchRequest *request,
			  EngineStatus *status)
{
	const Hyper *hyper = &batch->image->hyper;
	int64_t		pages = (request->max_history - 1 + KV_PAGE_POSITIONS - 1) /
		KV_PAGE_POSITIONS;

	if (request->n_prompt < 1 || request->n_history < request->n_prompt ||
		request->max_history <= request->n_history ||
		request->max_history - 1 > hyper->context_length ||
		request->top > BATCH_TOP)
		return engine_fail(status, ENGINE_INVALID,
						   "a sequence of %" PRId64 " to %" PRId64 " tokens is not possible",
						   request->n_history, request->max_history);
	for (int64_t i = 0; i < request->n_history; i++)
		if (request->history[i] < 0 ||
			request->history[i] >= hyper->vocabulary)
			return engine_fail(status, ENGINE_INVALID,
							   "token id %d is out of range",
							   request->history[i]);
	if (pages > page_pool_counts(batch->pool).total)
	{
		engine_fail(status, ENGINE_LIMIT,
					"keys and values of %" PRId64 " tokens do not fit the memory for them",
					request->max_history - 1);
		engine_detail(status, "They need %" PRIu64 " bytes.",
					  (uint64_t) pages * batch->transformer.kv.page_bytes);
		return ENGINE_LIMIT;
	}
	return ENGINE_OK;
}

EngineCode
batch_add(Batch *batch, const BatchRequest *request,
		  BatchSequence **sequence, EngineStatus *status)
{
	ENGINE_TRY(check_request(batch, request, status));
	ENGINE_TRY(sequence_open(batch, request, sequence, status));
	(*sequence)->served = turn_of(batch, request->group);
	link_sequence(batch, *sequence);
	return ENGINE_OK;
}

void
batch_remove(Batch *batch, BatchSequence *sequence)
{
	unlink_sequence(batch, sequence);
	sequence_close(sequence);
}

void
batch_credit(Batch *batch, BatchSequence *sequence, int64_t credit)
{
	(void) batch;
	sequence->credit = credit;
}

BatchPhase
batch_phase(const BatchSequence *sequence)
{
	if (sequence->ended)
		return BATCH_ENDED;
	if (!sequence_can_run(sequence))
		return BATCH_PAUSED;
	if (sequence->kv.n_pages == 0)
		return BATCH_WAITING;
	return sequence_pending(sequence) == 1 ? BATCH_GENERATING : BATCH_PROMPT;
}

int64_t
batch_cached(const BatchSequence *sequence)
{
	return sequence->cached;
}

bool
batch_can_step(const Batch *batch)
{
	for (const BatchSequence *sequence = batch->oldest; sequence != NULL;
		 sequence = sequence->younger)
		if (sequence_can_run(sequence))
			return true;
	return false;
}

/*
 * Steps
 */

static void
end_sequence(BatchSequence *sequence)
{
	sequence->ended = true;
	sequence_release(sequence);
}

static void
fail_sequence(BatchSequence *sequence, const EngineStatus *status)
{
	const BatchListener *listener = &sequence->batch->listener;

	end_sequence(sequence);
	listener->failed(listener->arg, sequence->owner, status);
}

/* Take in a token, and see whether it is the last. */
static EngineCode
accept_token(BatchSequence *sequence, int32_t token, FinishReason *finish,
			 EngineStatus *status)
{
	sequence->history[sequence->n_history++] = token;
	sequence->generated++;
	*finish = FINISH_NONE;
	if (tokenizer_is_end(&sequence->batch->tokenizer, token))
	{
		*finish = FINISH_STOP;
		return ENGINE_OK;
	}
	if (sequence->n_stops > 0)
	{
		ENGINE_TRY(text_stream_add(&sequence->stream, token, status));
		if (sequence->stream.stopped)
			*finish = FINISH_STOP;
	}
	if (*finish == FINISH_NONE && sequence->n_history == sequence->max_history)
		*finish = FINISH_LENGTH;
	return ENGINE_OK;
}

static void
report_logprobs(BatchSequence *sequence, const float *logits,
				BatchToken *token)
{
	const Batch *batch = sequence->batch;
	int32_t		n_tokens = batch->sampler.n_tokens;

	token->base = logprob_base(logits, n_tokens);
	token->logprob = logprob_of(token->base, logits[token->token]);
	token->n_top = sequence->top < n_tokens ? sequence->top : n_tokens;
	token->top = batch->top;
	if (token->n_top > 0)
		top_tokens(logits, n_tokens, token->n_top, batch->top);
}

static EngineCode
pick_token(BatchSequence *sequence, const float *logits, BatchToken *token,
		   EngineStatus *status)
{
	const Batch *batch = sequence->batch;

	*token = (BatchToken) {0};
	ENGINE_TRY(sampler_pick(&sequence->sampler, batch->transformer.kernels,
							logits, sequence->history, sequence->n_history,
							sequence->n_prompt,
							sequence->n_history - sequence->n_prompt,
							&token->token, status));
	if (sequence->top >= 0)
		report_logprobs(sequence, logits, token);
	return accept_token(sequence, token->token, &token->finish, status);
}

static void
next_token(BatchSequence *sequence, const float *logits)
{
	const BatchListener *listener = &sequence->batch->listener;
	BatchToken	token;
	EngineStatus status;

	if (pick_token(sequence, logits, &token, &status) != ENGINE_OK)
	{
		fail_sequence(sequence, &status);
		return;
	}
	if (token.finish != FINISH_NONE)
		end_sequence(sequence);
	listener->token(listener->arg, sequence->owner, &token);
}

/* Compute n rows of the plan from first on, and what follows from them. */
static EngineCode
run_rows(Batch *batch, int first, int n, EngineStatus *status)
{
	const StepRow *rows = batch->rows + first;
	float	   *const *logits;
	int			output = 0;

	ENGINE_TRY(transformer_step(&batch->transformer, rows, n, batch->kv, NULL,
								&logits, status));
	for (int i = 0; i < n; i++)
	{
		BatchSequence *sequence = batch->members[rows[i].sequence];

		if (i + 1 == n || rows[i + 1].sequence != rows[i].sequence)
			sequence_publish(sequence);
		if (rows[i].output)
			next_token(sequence, logits[output++]);
	}
	return ENGINE_OK;
}

/* Find the sequence whose values are not finite, and go on without it. */
static EngineCode
run_separately(Batch *batch, EngineStatus *status)
{
	for (int first = 0, n; first < batch->n_rows; first += n)
	{
		int			member = batch->rows[first].sequence;
		EngineCode	code;

		for (n = 1; first + n < batch->n_rows &&
			 batch->rows[first + n].sequence == member; n++)
			continue;
		code = run_rows(batch, first, n, status);
		if (code == ENGINE_NOT_FINITE)
			fail_sequence(batch->members[member], status);
		else if (code != ENGINE_OK)
			return code;
	}
	return ENGINE_OK;
}

EngineCode
batch_step(Batch *batch, BatchStep *step, EngineStatus *status)
{
	EngineCode	code;

	plan_step(batch);
	step->rows = batch->n_rows;
	step->outputs = batch->n_outputs;
	step->prompt_rows = batch->n_prompt_rows;
	if (batch->n_rows == 0)
		return ENGINE_OK;
	code = run_rows(batch, 0, batch->n_rows, status);
	if (code == ENGINE_NOT_FINITE)
		code = run_separately(batch, status);
	return code;
}
