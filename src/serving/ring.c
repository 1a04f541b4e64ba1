/*-------------------------------------------------------------------------
 *
 * ring.c
 *	  The request ring: its shared memory and slots.
 *
 * The payload area is a DSA that was created in place and may not grow, so it
 * never makes a segment in /dev/shm.  The postmaster creates it and lets it go
 * again; other processes attach to it when they first need it, and are
 * counted until they exit.
 *
 * A request and its results are one piece of that area, so a session either
 * has all of its memory or none: two sessions cannot wait for each other with
 * half of it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "access/twophase.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#include "serving/ring_memory.h"
#include "settings.h"
#include "weights/store.h"

#define RING_TRANCHE "llm_ring"

#define PAYLOAD_PAGE 4096
#define RESULTS_ALIGN 64

/*
 * DSA gives whole pages to pieces larger than this, and cuts smaller ones out
 * of blocks of 64 kB, which would lie about in the area for long.
 */
#define PAYLOAD_LEAST (8192 + 1)

Ring	   *ring = NULL;
Slot	   *ring_slots = NULL;
LinePlace  *ring_line = NULL;
RoleSlots  *ring_roles = NULL;

static char *payload_place = NULL;
static dsa_area *payload_area = NULL;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

/*
 * Shared memory
 */

static int
count_places(void)
{
	return MaxBackends + NUM_AUXILIARY_PROCS + max_prepared_xacts;
}

static Size
slots_size(void)
{
	return mul_size(setting_max_requests, sizeof(Slot));
}

static Size
line_size(void)
{
	return mul_size(count_places(), sizeof(LinePlace));
}

static Size
roles_size(void)
{
	return mul_size(setting_max_requests, sizeof(RoleSlots));
}

static Size
payload_size(void)
{
	return mul_size(setting_max_requests, RING_PAYLOAD);
}

static void
request_memory(void)
{
	if (previous_request_hook != NULL)
		previous_request_hook();
	if (setting_workers == 0)
		return;
	RequestAddinShmemSpace(sizeof(Ring));
	RequestAddinShmemSpace(slots_size());
	RequestAddinShmemSpace(line_size());
	RequestAddinShmemSpace(roles_size());
	RequestAddinShmemSpace(payload_size());
	RequestNamedLWLockTranche(RING_TRANCHE, 1);
}

static LWLock *
ring_lwlock(void)
{
	static LWLock *lock = NULL;

	if (lock == NULL)
		lock = &GetNamedLWLockTranche(RING_TRANCHE)->lock;
	return lock;
}

static bool
fits(dsa_area *area, Size size)
{
	dsa_pointer piece;

	piece = dsa_allocate_extended(area, size,
								  DSA_ALLOC_HUGE | DSA_ALLOC_NO_OOM);
	if (!DsaPointerIsValid(piece))
		return false;
	dsa_free(area, piece);
	dsa_trim(area);
	return true;
}

/* The largest piece that an empty area has: some of it is DSA's own. */
static Size
measure_payload(dsa_area *area)
{
	Size		low = 0;
	Size		high = payload_size() / PAYLOAD_PAGE;

	while (low + 1 < high)
	{
		Size		middle = low + (high - low) / 2;

		if (fits(area, middle * PAYLOAD_PAGE))
			low = middle;
		else
			high = middle;
	}
	return low * PAYLOAD_PAGE;
}

static void
init_payload(void)
{
	dsa_area   *area;

	area = dsa_create_in_place(payload_place, payload_size(),
							   ring_lwlock()->tranche, NULL);
	dsa_pin(area);
	dsa_set_size_limit(area, payload_size());
	ring->largest = measure_payload(area);
	dsa_detach(area);
}

static void
init_slots(void)
{
	for (int i = 0; i < ring->n_slots; i++)
	{
		Slot	   *slot = &ring_slots[i];

		memset(slot, 0, sizeof(Slot));
		slot->next = i + 1 < ring->n_slots ? i + 1 : -1;
		slot->previous = -1;
		slot->pin = -1;
		slot->worker = -1;
		pg_atomic_init_u32(&slot->n_tokens, 0);
		pg_atomic_init_u32(&slot->wake_at, 0);
		pg_atomic_init_u32(&slot->credit, 0);
		pg_atomic_init_u32(&slot->cached_tokens, 0);
		pg_atomic_init_u32(&slot->phase, PHASE_QUEUED);
		pg_atomic_init_u32(&slot->abandoned, 0);
	}
}

static void
init_worker(WorkerEntry *entry)
{
	pg_atomic_init_u32(&entry->running, 0);
	pg_atomic_init_u32(&entry->idle, 0);
	pg_atomic_init_u64(&entry->rows_last_step, 0);
	pg_atomic_init_u64(&entry->kv_pages_used, 0);
	pg_atomic_init_u64(&entry->kv_pages_total, 0);
	pg_atomic_init_u64(&entry->kv_references, 0);
	pg_atomic_init_u64(&entry->steps, 0);
	pg_atomic_init_u64(&entry->tokens, 0);
	pg_atomic_init_u64(&entry->preemptions, 0);
}

static void
init_ring(void)
{
	memset(ring, 0, sizeof(Ring));
	ring->n_slots = setting_max_requests;
	ring->n_places = count_places();
	ring->free_head = 0;
	ring->queue_head = ring->queue_tail = -1;
	ring->line_head = ring->line_tail = -1;
	pg_atomic_init_u64(&ring->payload, 0);
	pg_atomic_init_u32(&ring->unread, 0);
	init_slots();
	memset(ring_line, 0, line_size());
	for (int i = 0; i < MAX_WORKERS; i++)
		init_worker(&ring->workers[i]);
	init_payload();
}

static void
startup_memory(void)
{
	bool		found;

	if (previous_startup_hook != NULL)
		previous_startup_hook();
	if (setting_workers == 0)
		return;
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	ring_slots = ShmemInitStruct("llm request slots", slots_size(), &found);
	ring_line = ShmemInitStruct("llm request line", line_size(), &found);
	ring_roles = ShmemInitStruct("llm request roles", roles_size(), &found);
	payload_place = ShmemInitStruct("llm request payload", payload_size(),
									&found);
	ring = ShmemInitStruct("llm request ring", sizeof(Ring), &found);
	if (!found)
		init_ring();
	LWLockRelease(AddinShmemInitLock);
}

void
ring_init(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_memory;
}

bool
ring_exists(void)
{
	return ring != NULL;
}

int
ring_size(void)
{
	return ring->n_slots;
}

Slot *
ring_slot(int slot)
{
	return &ring_slots[slot];
}

WorkerEntry *
ring_worker(int worker)
{
	return &ring->workers[worker];
}

void
ring_lock(LWLockMode mode)
{
	LWLockAcquire(ring_lwlock(), mode);
}

void
ring_unlock(void)
{
	LWLockRelease(ring_lwlock());
}

#define AssertRingLocked() \
	Assert(LWLockHeldByMeInMode(ring_lwlock(), LW_EXCLUSIVE))

void
ring_wake(int procno)
{
	if (procno >= 0)
		SetLatch(&GetPGProcByNumber(procno)->procLatch);
}

void
ring_unlock_waking(void)
{
	int			first = line_first();

	ring_unlock();
	ring_wake(first);
}

RingCounts
ring_counts(void)
{
	RingCounts	counts;

	ring_lock(LW_SHARED);
	counts.slots = ring->held;
	counts.waiting = ring->waiting;
	counts.payload = pg_atomic_read_u64(&ring->payload);
	ring_unlock();
	return counts;
}

/*
 * Payload
 */

static void
let_payload_go(int code, Datum arg)
{
	dsa_detach(payload_area);
	payload_area = NULL;
	/* without a segment of its own, detaching does not count down */
	dsa_release_in_place(payload_place);
}

dsa_area *
ring_payload(void)
{
	MemoryContext context;

	if (payload_area != NULL)
		return payload_area;
	context = MemoryContextSwitchTo(TopMemoryContext);
	payload_area = dsa_attach_in_place(payload_place, NULL);
	dsa_pin_mapping(payload_area);
	on_shmem_exit(let_payload_go, (Datum) 0);
	MemoryContextSwitchTo(context);
	return payload_area;
}

Size
ring_payload_size(Size request, Size results)
{
	Size		size = add_size(TYPEALIGN(RESULTS_ALIGN, request), results);

	return Max(size, PAYLOAD_LEAST);
}

static dsa_pointer
allocate_payload(Size size)
{
	dsa_area   *area = ring_payload();
	int			flags = DSA_ALLOC_HUGE | DSA_ALLOC_NO_OOM;
	dsa_pointer piece = dsa_allocate_extended(area, size, flags);

	if (DsaPointerIsValid(piece))
		return piece;
	/* what DSA keeps for itself may lie in the way */
	dsa_trim(area);
	return dsa_allocate_extended(area, size, flags);
}

RingFill
ring_fill(int number, Size request, Size results)
{
	Slot	   *slot = &ring_slots[number];
	Size		size = ring_payload_size(request, results);
	dsa_pointer piece;
	uint64		before;

	/* counted first: whoever counts nobody else is alone with the area */
	before = pg_atomic_fetch_add_u64(&ring->payload, size);
	piece = allocate_payload(size);
	if (!DsaPointerIsValid(piece))
	{
		pg_atomic_fetch_sub_u64(&ring->payload, size);
		return before == 0 ? RING_NEVER : RING_LATER;
	}
	slot->request = piece;
	slot->results = piece + TYPEALIGN(RESULTS_ALIGN, request);
	slot->payload = size;
	return RING_FILLED;
}

/*
 * Slots
 */

int
ring_take_slot(Oid role)
{
	int			number = ring->free_head;
	Slot	   *slot = &ring_slots[number];

	AssertRingLocked();
	Assert(slot->state == SLOT_FREE);
	ring->free_head = slot->next;
	ring->held++;
	line_count(role, 1);
	ring_line[MyProcNumber].slot = number;

	slot->state = SLOT_FILLING;
	slot->next = -1;
	slot->pid = MyProcPid;
	slot->procno = MyProcNumber;
	slot->database = MyDatabaseId;
	slot->role = role;
	slot->worker = -1;
	slot->pin = -1;
	slot->payload = 0;
	slot->request = slot->results = InvalidDsaPointer;
	slot->paused_at = 0;
	slot->error.sqlstate = 0;
	pg_atomic_write_u32(&slot->n_tokens, 0);
	pg_atomic_write_u32(&slot->wake_at, 0);
	pg_atomic_write_u32(&slot->cached_tokens, 0);
	pg_atomic_write_u32(&slot->phase, PHASE_QUEUED);
	pg_atomic_write_u32(&slot->abandoned, 0);
	return number;
}

static void
enqueue(int number)
{
	Slot	   *slot = &ring_slots[number];

	slot->next = -1;
	slot->previous = ring->queue_tail;
	if (ring->queue_tail >= 0)
		ring_slots[ring->queue_tail].next = number;
	else
		ring->queue_head = number;
	ring->queue_tail = number;
}

void
ring_dequeue(const Slot *slot)
{
	if (slot->previous >= 0)
		ring_slots[slot->previous].next = slot->next;
	else
		ring->queue_head = slot->next;
	if (slot->next >= 0)
		ring_slots[slot->next].previous = slot->previous;
	else
		ring->queue_tail = slot->previous;
}

/* Is it a stream that is over, but that its session has not given back? */
static bool
is_unread(const Slot *slot)
{
	return slot->stream &&
		(slot->state == SLOT_DONE || slot->state == SLOT_FAILED);
}

/* The first step to FREE, under the lock. */
static void
begin_emptying(Slot *slot)
{
	AssertRingLocked();
	if (is_unread(slot))
		pg_atomic_fetch_sub_u32(&ring->unread, 1);
	if (slot->state == SLOT_QUEUED)
		ring_dequeue(slot);
	slot->state = SLOT_EMPTYING;
	slot->generation++;
}

/*
 * The rest of the way, without the lock.  Nothing here may throw: there would
 * be nobody to go on.
 */
static void
empty(int number)
{
	Slot	   *slot = &ring_slots[number];

	Assert(slot->state == SLOT_EMPTYING);
	if (DsaPointerIsValid(slot->request))
	{
		dsa_free(ring_payload(), slot->request);
		pg_atomic_fetch_sub_u64(&ring->payload, slot->payload);
	}
	if (slot->pin >= 0)
		cache_release(slot->pin);

	ring_lock(LW_EXCLUSIVE);
	slot->request = slot->results = InvalidDsaPointer;
	slot->payload = 0;
	slot->pin = -1;
	slot->worker = -1;
	slot->pid = 0;
	slot->state = SLOT_FREE;
	slot->next = ring->free_head;
	slot->previous = -1;
	ring->free_head = number;
	ring->held--;
	line_count(slot->role, -1);
	ring_unlock_waking();
}

bool
ring_queue(int number)
{
	Slot	   *slot = &ring_slots[number];
	bool		queued = false;

	slot->queued_at = GetCurrentTimestamp();
	ring_lock(LW_EXCLUSIVE);
	Assert(slot->state == SLOT_FILLING);
	if (ring_workers_running() > 0)
	{
		slot->state = SLOT_QUEUED;
		slot->arrival = ++ring->arrivals;
		enqueue(number);
		queued = true;
	}
	ring_unlock();
	return queued;
}

void
ring_give_up(int number, uint32 generation)
{
	Slot	   *slot = &ring_slots[number];
	int			worker = -1;
	bool		emptying = false;

	ring_lock(LW_EXCLUSIVE);
	if (slot->generation == generation)
	{
		if (slot->state == SLOT_RUNNING)
		{
			pg_atomic_write_u32(&slot->abandoned, 1);
			worker = ring->workers[slot->worker].procno;
		}
		else
		{
			begin_emptying(slot);
			emptying = true;
		}
	}
	ring_unlock();
	if (emptying)
		empty(number);
	ring_wake(worker);
}

int
ring_claim(int worker, bool (*accepts) (void *arg, const Slot *slot),
		   void *arg)
{
	int			number;

	ring_lock(LW_EXCLUSIVE);
	for (number = ring->queue_head; number >= 0;
		 number = ring_slots[number].next)
		if (accepts(arg, &ring_slots[number]))
			break;
	if (number >= 0)
	{
		Slot	   *slot = &ring_slots[number];

		ring_dequeue(slot);
		slot->next = slot->previous = -1;
		slot->state = SLOT_RUNNING;
		slot->worker = worker;
		pg_atomic_write_u32(&slot->phase, PHASE_WAITING);
	}
	ring_unlock();
	return number;
}

void
ring_publish(int number, uint32 n_tokens)
{
	Slot	   *slot = &ring_slots[number];
	uint32		previous = pg_atomic_read_u32(&slot->n_tokens);
	uint32		wake_at;

	/* the results first, then their number */
	pg_write_barrier();
	pg_atomic_write_u32(&slot->n_tokens, n_tokens);

	/* the number first, then whether it is waited for; see look() */
	pg_memory_barrier();
	wake_at = pg_atomic_read_u32(&slot->wake_at);
	if (wake_at > previous && wake_at <= n_tokens)
		ring_wake(slot->procno);
}

void
ring_note_unread(Slot *slot)
{
	if (!is_unread(slot))
		return;
	slot->paused_at = GetCurrentTimestamp();
	pg_atomic_fetch_add_u32(&ring->unread, 1);
}

/* RUNNING -> state, or FREE. */
static void
end_running(int number, SlotState state, const SlotError *error)
{
	Slot	   *slot = &ring_slots[number];
	int			owner = slot->procno;
	bool		abandoned;

	ring_lock(LW_EXCLUSIVE);
	Assert(slot->state == SLOT_RUNNING);
	abandoned = pg_atomic_read_u32(&slot->abandoned) != 0;
	if (abandoned)
		begin_emptying(slot);
	else
	{
		if (error != NULL)
			slot->error = *error;
		slot->state = state;
		ring_note_unread(slot);
	}
	ring_unlock();
	if (abandoned)
		empty(number);
	else
		ring_wake(owner);
}

void
ring_done(int number)
{
	end_running(number, SLOT_DONE, NULL);
}

void
ring_failed(int number, const SlotError *error)
{
	end_running(number, SLOT_FAILED, error);
}

void
ring_take_back(int number)
{
	Slot	   *slot = &ring_slots[number];
	int			owner = slot->procno;

	ring_lock(LW_EXCLUSIVE);
	Assert(slot->state == SLOT_RUNNING && slot->stream);
	begin_emptying(slot);
	ring_unlock();
	empty(number);
	ring_wake(owner);
}

/* Milliseconds until a slot is to be taken back; -1: never. */
static long
unread_patience(const Slot *slot, int timeout)
{
	TimestampTz until;

	if (!is_unread(slot))
		return -1;
	until = TimestampTzPlusMilliseconds(slot->paused_at, timeout);
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);
}

static long
take_back_unread(int number, int timeout)
{
	Slot	   *slot = &ring_slots[number];
	long		patience;

	ring_lock(LW_EXCLUSIVE);
	patience = unread_patience(slot, timeout);
	if (patience == 0)
		begin_emptying(slot);
	ring_unlock();
	if (patience != 0)
		return patience;
	empty(number);
	return -1;
}

long
ring_take_back_unread(int timeout)
{
	long		least = -1;

	if (timeout == 0 || pg_atomic_read_u32(&ring->unread) == 0)
		return -1;
	for (int i = 0; i < ring->n_slots; i++)
	{
		long		patience = take_back_unread(i, timeout);

		if (patience >= 0 && (least < 0 || patience < least))
			least = patience;
	}
	return least;
}
