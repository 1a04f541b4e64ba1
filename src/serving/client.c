/*-------------------------------------------------------------------------
 *
 * client.c
 *	  A session's side of the request ring.
 *
 * All calls of this process stand in a list, each with the resource owner that
 * was current when it began.  A call ends with served_end() or with its
 * resource owner: at the end of the query, subtransaction or transaction, with
 * or without error.  A process that exits aborts its transaction first.  So
 * places in the line and slots are never left behind, and no code that waits
 * needs a cleanup of its own.
 *
 * The role of a call is the outer user: a SECURITY DEFINER function does not
 * make its callers one role, for limits or for the prefix cache.
 *
 * Waiting is: look, sleep on the latch, reset it, look again.  Before it looks
 * at n_tokens a session says in wake_at what it waits for, and a worker looks
 * at wake_at after it has raised n_tokens, so one of them sees the other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "lib/ilist.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "host.h"
#include "serving/client.h"
#include "serving/ring_memory.h"
#include "settings.h"
#include "weights/store.h"

/* Tokens of a stream that are computed before they are asked for. */
#define STREAM_AHEAD 64

/* Latches are set when something happens; this is only a safety net. */
#define SLEEP_MS 1000

struct ServedCall
{
	dlist_node	node;
	ResourceOwner owner;
	MemoryContext context;		/* of this struct and what hangs on it */
	const char *model;
	bool		in_line;
	int			slot;			/* -1: none */
	uint32		generation;		/* of the slot */
	bool		stream;
	Size		token_size;
	uint32		taken;			/* tokens that the caller has had */
	char	   *copy;			/* of a stream's tokens */
	uint32		copy_size;		/* tokens that fit */
};

/* What a call is at. */
typedef struct CallView
{
	bool		taken_back;		/* the rest is not set then */
	SlotState	state;
	uint32		tokens;			/* that were not taken yet */
} CallView;

static dlist_head calls = DLIST_STATIC_INIT(calls);

/*
 * The list of calls
 */

static void
leave_line(ServedCall *call)
{
	ring_lock(LW_EXCLUSIVE);
	line_leave(MyProcNumber);
	call->in_line = false;
	ring_unlock_waking();
}

static void
end_call(ServedCall *call)
{
	dlist_delete(&call->node);
	if (call->in_line)
		leave_line(call);
	if (call->slot >= 0)
		ring_give_up(call->slot, call->generation);
	MemoryContextDelete(call->context);
}

static void
release_with_owner(ResourceReleasePhase phase, bool isCommit, bool isTopLevel,
				   void *arg)
{
	dlist_mutable_iter i;

	if (phase != RESOURCE_RELEASE_BEFORE_LOCKS)
		return;
	dlist_foreach_modify(i, &calls)
	{
		ServedCall *call = dlist_container(ServedCall, node, i.cur);

		if (call->owner == CurrentResourceOwner)
			end_call(call);
	}
}

static ServedCall *
begin_call(const ModelRef *model)
{
	static bool registered = false;
	MemoryContext context;
	ServedCall *call;

	if (!registered)
	{
		RegisterResourceReleaseCallback(release_with_owner, NULL);
		registered = true;
	}
	context = AllocSetContextCreate(TopMemoryContext, "llm served call",
									ALLOCSET_SMALL_SIZES);
	call = MemoryContextAllocZero(context, sizeof(ServedCall));
	call->context = context;
	call->model = MemoryContextStrdup(context, model->name);
	call->owner = CurrentResourceOwner;
	call->slot = -1;
	dlist_push_tail(&calls, &call->node);
	return call;
}

bool
served_any(void)
{
	return !dlist_is_empty(&calls);
}

void
served_end(ServedCall *call)
{
	end_call(call);
}

/*
 * Errors
 */

static void
raise_error(const ServedCall *call, const SlotError *error)
{
	const char *message = engine_text(error->message, strlen(error->message));
	const char *detail = engine_text(error->detail, strlen(error->detail));
	const char *hint = engine_text(error->hint, strlen(error->hint));

	ereport(ERROR,
			errcode(error->sqlstate),
			errmsg_internal("%s", message),
			detail[0] != '\0' ? errdetail_internal("%s", detail) : 0,
			hint[0] != '\0' ? errhint("%s", hint) : 0,
			errcontext("model \"%s\"", call->model));
}

/* The slot is FAILED, or was until it was taken back. */
static void
raise_failure(const ServedCall *call)
{
	const Slot *slot = ring_slot(call->slot);
	SlotError	error = ring_worker_stopped;

	ring_lock(LW_SHARED);
	if (slot->generation == call->generation)
		error = slot->error;
	ring_unlock();
	raise_error(call, &error);
}

static void
raise_no_worker(void)
{
	const char *detail;
	const char *hint;

	if (!ring_exists() && !cache_available())
	{
		detail = "llm is not in shared_preload_libraries.";
		hint = "Add it there and restart the server.";
	}
	else if (!ring_exists())
	{
		detail = "llm.workers is 0.";
		hint = "Raise it and restart the server.";
	}
	else
	{
		detail = "No worker of llm runs.";
		hint = "The server log says why one could not start; "
			"max_worker_processes may be too low.";
	}
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("no background worker can compute this call"),
			errdetail_internal("%s", detail),
			errhint("%s", hint));
}

bool
serving_wanted(const WeightsPin *pin)
{
	if (setting_execution == EXECUTION_BACKEND)
		return false;
	if (ring_exists() && IsUnderPostmaster && pin->slot >= 0 &&
		ring_workers_running() > 0)
		return true;
	if (setting_execution == EXECUTION_WORKER)
		raise_no_worker();
	return false;
}

/*
 * Waiting
 */

static void
sleep_on_latch(uint32 wait_event)
{
	(void) WaitLatch(MyLatch,
					 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 SLEEP_MS, wait_event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

static uint32
queue_event(void)
{
	static uint32 event = 0;

	if (event == 0)
		event = compat_wait_event("LlmQueue");
	return event;
}

static uint32
generate_event(void)
{
	static uint32 event = 0;

	if (event == 0)
		event = compat_wait_event("LlmGenerate");
	return event;
}

static uint32
encode_event(void)
{
	static uint32 event = 0;

	if (event == 0)
		event = compat_wait_event("LlmEncode");
	return event;
}

void
serving_wait(void)
{
	sleep_on_latch(generate_event());
}

/*
 * A slot and memory for it
 */

static void
raise_too_large(Size size)
{
	ereport(ERROR,
			errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			errmsg("call is too large for the request ring"),
			errdetail("With its results it takes %zu kB, and there is room "
					  "for %zu kB.", size / 1024 + 1, ring->largest / 1024),
			errhint("Raise llm.max_requests: each gives %zu kB.",
					RING_PAYLOAD / 1024));
}

/* Memory for the call's slot; false: not yet. */
static bool
fill(const ServedCall *call, Size request, Size results)
{
	RingFill	fill = ring_fill(call->slot, request, results);

	if (fill == RING_NEVER)
		raise_too_large(ring_payload_size(request, results));
	return fill == RING_FILLED;
}

/* Take a slot if it is this session's turn. */
static void
try_take(ServedCall *call, Oid role)
{
	ring_lock(LW_EXCLUSIVE);
	if (line_turn(MyProcNumber))
	{
		call->slot = ring_take_slot(role);
		call->generation = ring_slot(call->slot)->generation;
	}
	ring_unlock();
}

static bool
get_slot(ServedCall *call, Size request, Size results, bool wait)
{
	Oid			role = GetOuterUserId();
	Size		size = ring_payload_size(request, results);

	if (size > ring->largest)
		raise_too_large(size);
	ring_lock(LW_EXCLUSIVE);
	line_enter(MyProcNumber, role, setting_max_requests_per_role);
	call->in_line = true;
	ring_unlock();
	for (;;)
	{
		if (call->slot < 0)
			try_take(call, role);
		if (call->slot >= 0 && fill(call, request, results))
			break;
		if (!wait)
			return false;
		sleep_on_latch(queue_event());
	}
	leave_line(call);
	return true;
}

/* The slot is FILLING: nobody else looks at these. */
static void
describe(Slot *slot, const ModelRef *model, const WeightsPin *pin)
{
	cache_pin_again(pin->slot);
	slot->pin = pin->slot;
	slot->large_object = model->large_object;
	memcpy(slot->digest, model->digest, MODEL_DIGEST_BYTES);
	slot->activation_bits = model->activation_bits;
}

static void
queue(const ServedCall *call)
{
	if (!ring_queue(call->slot))
		raise_error(call, &ring_worker_stopped);
	ring_wake_worker();
}

ServedCall *
serving_generate(const ModelRef *model, const WeightsPin *pin,
				 const GenerateRequest *request, bool wait)
{
	ServedCall *call = begin_call(model);
	int64		max_tokens = request->max_history - request->n_history;
	Slot	   *slot;

	call->stream = request->stream;
	call->token_size = served_token_size(request->top);
	if (!get_slot(call, generate_request_size(request),
				  mul_size(max_tokens, call->token_size), wait))
	{
		end_call(call);
		return NULL;
	}
	slot = ring_slot(call->slot);
	describe(slot, model, pin);
	slot->kind = REQUEST_GENERATE;
	slot->stream = request->stream;
	slot->prompt_tokens = request->n_prompt;
	slot->max_tokens = max_tokens;
	pg_atomic_write_u32(&slot->credit,
						request->stream ? STREAM_AHEAD : PG_UINT32_MAX);
	generate_request_write(request,
						   dsa_get_address(ring_payload(), slot->request));
	queue(call);
	return call;
}

ServedCall *
serving_encode(const ModelRef *model, const WeightsPin *pin,
			   const EncodeRequest *request, bool wait)
{
	ServedCall *call = begin_call(model);
	Size		width = encode_width(&pin->image->hyper, request->pooling);
	Slot	   *slot;

	if (!get_slot(call, encode_request_size(request),
				  mul_size(request->n_texts, mul_size(width, sizeof(float))),
				  wait))
	{
		end_call(call);
		return NULL;
	}
	slot = ring_slot(call->slot);
	describe(slot, model, pin);
	slot->kind = REQUEST_ENCODE;
	slot->stream = false;
	slot->prompt_tokens = 0;
	for (int i = 0; i < request->n_texts; i++)
		slot->prompt_tokens += request->texts[i].n;
	slot->max_tokens = 0;
	pg_atomic_write_u32(&slot->credit, PG_UINT32_MAX);
	encode_request_write(request,
						 dsa_get_address(ring_payload(), slot->request));
	queue(call);
	return call;
}

/*
 * Results
 */

static bool
ended(SlotState state)
{
	return state == SLOT_DONE || state == SLOT_FAILED;
}

/*
 * Let a stream go on, n tokens or more ahead of the caller; returns its
 * worker, if that has paused it, or -1.  Under the lock.
 */
static int
give_credit(const ServedCall *call, Slot *slot, uint32 n)
{
	uint32		credit = call->taken + Max(n, STREAM_AHEAD);

	if (credit <= pg_atomic_read_u32(&slot->credit))
		return -1;
	pg_atomic_write_u32(&slot->credit, credit);
	pg_memory_barrier();
	if (slot->state != SLOT_RUNNING ||
		pg_atomic_read_u32(&slot->phase) != PHASE_PAUSED)
		return -1;
	return ring_worker(slot->worker)->procno;
}

/*
 * What the call is at; the session will be woken at n tokens that were not
 * taken yet (0: only at its end).  Under the lock, because a stream's slot may
 * be somebody else's already.
 */
static CallView
look(const ServedCall *call, uint32 n)
{
	Slot	   *slot = ring_slot(call->slot);
	CallView	view = {0};
	int			paused_by = -1;

	ring_lock(LW_SHARED);
	view.taken_back = slot->generation != call->generation;
	if (!view.taken_back)
	{
		pg_atomic_write_u32(&slot->wake_at, n > 0 ? call->taken + n : 0);
		if (call->stream)
			paused_by = give_credit(call, slot, n);
		pg_memory_barrier();
		view.tokens = pg_atomic_read_u32(&slot->n_tokens) - call->taken;
		view.state = slot->state;
	}
	ring_unlock();
	ring_wake(paused_by);
	return view;
}

/* Until there are n tokens (0: never), or the call has ended. */
static CallView
wait_for(const ServedCall *call, uint32 n, uint32 wait_event)
{
	for (;;)
	{
		CallView	view = look(call, n);

		if (view.taken_back)
			return view;
		if (view.state == SLOT_FAILED)
			raise_failure(call);
		if (view.state == SLOT_DONE || (n > 0 && view.tokens >= n))
			return view;
		sleep_on_latch(wait_event);
	}
}

static const char *
first_token(const ServedCall *call, const Slot *slot)
{
	const char *results = dsa_get_address(ring_payload(), slot->results);

	return results + call->taken * call->token_size;
}

/* Copy n tokens of a stream, unless it was taken back meanwhile. */
static bool
copy_tokens(ServedCall *call, uint32 n)
{
	Slot	   *slot = ring_slot(call->slot);
	bool		there;

	if (call->copy_size < n)
	{
		if (call->copy != NULL)
			pfree(call->copy);
		call->copy = MemoryContextAlloc(call->context,
										mul_size(n, call->token_size));
		call->copy_size = n;
	}
	ring_lock(LW_SHARED);
	there = slot->generation == call->generation;
	if (there)
		memcpy(call->copy, first_token(call, slot), n * call->token_size);
	/* it is read, so the patience with it begins anew */
	if (there && slot->state == SLOT_DONE)
		slot->paused_at = GetCurrentTimestamp();
	ring_unlock();
	return there;
}

int
served_tokens(ServedCall *call, int n, const ServedToken **tokens)
{
	CallView	view = wait_for(call, n, generate_event());

	if (view.taken_back)
		return -1;
	if (call->stream)
	{
		/* bounds what is copied under the lock */
		view.tokens = Min(view.tokens, (uint32) Max(n, STREAM_AHEAD));
		if (!copy_tokens(call, view.tokens))
			return -1;
		*tokens = (const ServedToken *) call->copy;
	}
	else
		*tokens = (const ServedToken *)
			first_token(call, ring_slot(call->slot));
	call->taken += view.tokens;
	return view.tokens;
}

const float *
served_vectors(ServedCall *call)
{
	wait_for(call, 0, encode_event());
	return dsa_get_address(ring_payload(), ring_slot(call->slot)->results);
}

bool
served_ready(const ServedCall *call, int n)
{
	CallView	view = look(call, n);

	return view.taken_back || ended(view.state) || view.tokens >= (uint32) n;
}

int64
served_cached_tokens(const ServedCall *call)
{
	Slot	   *slot = ring_slot(call->slot);
	int64		tokens = 0;

	ring_lock(LW_SHARED);
	if (slot->generation == call->generation)
		tokens = pg_atomic_read_u32(&slot->cached_tokens);
	ring_unlock();
	return tokens;
}
