/*-------------------------------------------------------------------------
 *
 * worker_encode.c
 *	  Requests that encode texts, in passes of bounded size.
 *
 * A turn is one pass, of one request; the requests of a lane take turns, so
 * that a short one does not wait for all of a long one.  Texts stand in the
 * order in which the session wants them computed, by length usually.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "portability/instr_time.h"
#include "utils/memutils.h"

#include "serving/worker_state.h"

/* Scratch for more rows than this is not kept after a pass. */
#define KEPT_ROWS 4096

/* A pass needs a text, and every text a token. */
static bool
encode_check(Job *job)
{
	const EncodeRequest *request = &job->encode;
	bool		good = request->n_texts > 0;

	for (int i = 0; good && i < request->n_texts; i++)
		good = request->texts[i].n > 0;
	if (good)
		return true;
	job->failed = true;
	job->error.sqlstate = ERRCODE_INVALID_PARAMETER_VALUE;
	strlcpy(job->error.message, "there is nothing to encode",
			sizeof(job->error.message));
	return false;
}

bool
encode_begin(Job *job)
{
	MemoryContext old = MemoryContextSwitchTo(job->context);
	void	   *block = dsa_get_address(ring_payload(), job->slot->request);

	encode_request_read(block, &job->encode);
	MemoryContextSwitchTo(old);
	job_set_phase(job, PHASE_ENCODING);
	return encode_check(job);
}

/* How many texts the next pass takes and, in *rows, how many tokens. */
static int
plan_pass(const Job *job, int64 *rows)
{
	const EncodeRequest *request = &job->encode;
	int			first = job->next_text;
	int			n = 1;

	*rows = request->texts[first].n;
	while (first + n < request->n_texts &&
		   *rows + request->texts[first + n].n <= ENCODER_ROWS)
		*rows += request->texts[first + n++].n;
	return n;
}

/* What the texts of a pass have given. */
static EngineCode
take_results(Job *job, int n, EngineStatus *status)
{
	Lane	   *lane = job->lane;
	PoolingKind pooling = job->encode.pooling;
	int			width = encode_width(&lane->image->hyper, pooling);
	float	   *results = (float *) job->results;

	for (int i = 0; i < n; i++)
	{
		EngineCode	code;

		if (pooling == POOLING_RANK)
			code = encoder_score(&lane->encoder, i, lane->pooled, status);
		else
			code = encoder_pool(&lane->encoder, i, pooling, lane->pooled,
								status);
		if (code != ENGINE_OK)
			return code;
		memcpy(results + (Size) (job->next_text + i) * width, lane->pooled,
			   width * sizeof(float));
	}
	return ENGINE_OK;
}

static EngineCode
run_pass(Job *job, int n, int64 rows, EngineStatus *status)
{
	Lane	   *lane = job->lane;
	EngineCode	code = lane_open_encoder(lane, rows, status);

	if (code == ENGINE_OK)
		code = encoder_run(&lane->encoder,
						   job->encode.texts + job->next_text, n, NULL,
						   status);
	if (code == ENGINE_OK)
		code = take_results(job, n, status);
	return code;
}

/* The first job goes to the end of its lane's line. */
static Job *
next_job(Lane *lane)
{
	dlist_node *node = dlist_pop_head_node(&lane->jobs[REQUEST_ENCODE]);

	dlist_push_tail(&lane->jobs[REQUEST_ENCODE], node);
	return dlist_container(Job, node, node);
}

static void
pass_done(Job *job, int n, int64 rows)
{
	job->next_text += n;
	job->n_tokens = job->next_text;
	job->ended = job->next_text == job->encode.n_texts;
	report_step(job->lane, job, rows, 0);
}

static void
pass_failed(Job *job, const EngineStatus *status)
{
	job->failed = true;
	slot_error_from_status(&job->error, status);
}

bool
encode_pass(Lane *lane)
{
	Job		   *job = next_job(lane);
	EngineStatus status;
	EngineCode	code;
	instr_time	start;
	instr_time	end;
	int64		rows;
	int			n = plan_pass(job, &rows);

	INSTR_TIME_SET_CURRENT(start);
	code = run_pass(job, n, rows, &status);
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	lane_used(lane, REQUEST_ENCODE, INSTR_TIME_GET_DOUBLE(end));
	if (worker_cancelled(code, &status))
		return true;
	if (code == ENGINE_OK)
		pass_done(job, n, rows);
	else
		pass_failed(job, &status);
	if (lane->encoder_rows > KEPT_ROWS || code == ENGINE_NO_MEMORY)
		lane_close_encoder(lane);
	return true;
}
