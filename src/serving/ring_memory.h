/*-------------------------------------------------------------------------
 *
 * ring_memory.h
 *	  What lies in shared memory, for the files of the ring itself.
 *
 * Everything here is guarded by RING_LOCK, and all functions want it held
 * exclusively, unless they say otherwise.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_RING_MEMORY_H
#define LLM_RING_MEMORY_H

#include "serving/ring.h"

/* Slots that a role has: not FREE. */
typedef struct RoleSlots
{
	Oid			role;
	int			slots;
} RoleSlots;

/* Where a process stands in the line. */
typedef struct LinePlace
{
	bool		waiting;
	int			next,
				previous;		/* proc numbers, -1: none */
	Oid			role;
	int			limit;			/* slots of the role, 0: no limit */
	int			slot;			/* that it has, without payload; -1: none */
} LinePlace;

typedef struct Ring
{
	int			n_slots;
	int			n_places;
	int			held;			/* slots that are not FREE */
	int			waiting;		/* places in the line */
	int			n_roles;		/* that have slots */
	int			free_head;		/* FREE slots */
	int			queue_head,		/* QUEUED slots, by arrival */
				queue_tail;
	int			line_head,		/* places, by arrival */
				line_tail;
	uint64		arrivals;
	Size		largest;		/* payload that fits into an empty area */
	pg_atomic_uint64 payload;	/* bytes allocated */
	pg_atomic_uint32 unread;	/* streams that are DONE or FAILED */
	WorkerEntry workers[MAX_WORKERS];
} Ring;

extern Ring *ring;
extern Slot *ring_slots;		/* [n_slots] */
extern LinePlace *ring_line;	/* [n_places] */
extern RoleSlots *ring_roles;	/* [n_slots], the first n_roles are used */

/* ring_unlock(), and wake whoever now is first in the line. */
extern void ring_unlock_waking(void);

/* Set the latch of a process, if there is one; better without the lock. */
extern void ring_wake(int procno);

/*
 * The line (line.c)
 */

/* Stand at the end. */
extern void line_enter(int procno, Oid role, int limit);

/* Leave it; callers then use ring_unlock_waking(). */
extern void line_leave(int procno);

/* May this process in the line have a free slot now? */
extern bool line_turn(int procno);

/* The first process in the line that could go on now, or -1. */
extern int	line_first(void);

/* A slot now is, or no longer is, the role's. */
extern void line_count(Oid role, int slots);

/*
 * Slots (ring.c)
 */

/*
 * FREE -> FILLING for this process, which stands in the line and whose turn
 * it is.
 */
extern int	ring_take_slot(Oid role);

/* Bytes of payload for both. */
extern Size ring_payload_size(Size request, Size results);

/*
 * Memory for a slot of this process that stands in the line.  Without the
 * lock.
 */
typedef enum RingFill
{
	RING_FILLED,
	RING_LATER,					/* others have to free some first */
	RING_NEVER					/* nobody else has any */
} RingFill;

extern RingFill ring_fill(int slot, Size request, Size results);

/* FILLING -> QUEUED, but false when no worker runs.  Takes the lock. */
extern bool ring_queue(int slot);

/*
 * The owner is through with a slot that had that generation, or gives it up:
 * does nothing when it was taken back.  Takes the lock.
 */
extern void ring_give_up(int slot, uint32 generation);

/* Take a slot out of the queue. */
extern void ring_dequeue(const Slot *slot);

/* A slot is DONE or FAILED: if it is a stream's, it may be taken back. */
extern void ring_note_unread(Slot *slot);

/* What sessions are told when their worker is gone. */
extern const SlotError ring_worker_stopped;

#endif							/* LLM_RING_MEMORY_H */
