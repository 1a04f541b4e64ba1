/*-------------------------------------------------------------------------
 *
 * line.c
 *	  The line of sessions that wait for a slot of the ring.
 *
 * Sessions stand in the order of their arrival, newcomers at the end, and
 * nobody is given a slot: a session takes one itself when it is its turn.  It
 * is when a slot is free, its role may have one more, and nobody stands before
 * it who could take the slot.  Only those whose role has its limit are passed
 * over.
 *
 * A session that took a slot stays in the line until it has room for its
 * payload too, and meanwhile nobody passes it: small requests cannot keep a
 * large one out.
 *
 * Waking is a chain.  Whoever makes a slot or payload free, or leaves the
 * line, wakes the first who could go on; that one does the same when it leaves
 * in turn, so several free slots wake several sessions, one after the other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "serving/ring_memory.h"

/* Slots of a role; NULL: none. */
static RoleSlots *
find_role(Oid role)
{
	for (int i = 0; i < ring->n_roles; i++)
		if (ring_roles[i].role == role)
			return &ring_roles[i];
	return NULL;
}

void
line_count(Oid role, int slots)
{
	RoleSlots  *entry = find_role(role);

	if (entry == NULL)
	{
		entry = &ring_roles[ring->n_roles++];
		entry->role = role;
		entry->slots = 0;
	}
	entry->slots += slots;
	Assert(entry->slots >= 0);
	if (entry->slots == 0)
		*entry = ring_roles[--ring->n_roles];
}

static bool
below_limit(const LinePlace *place)
{
	const RoleSlots *entry;

	if (place->limit == 0)
		return true;
	entry = find_role(place->role);
	return entry == NULL || entry->slots < place->limit;
}

void
line_enter(int procno, Oid role, int limit)
{
	LinePlace  *place = &ring_line[procno];

	Assert(procno >= 0 && procno < ring->n_places && !place->waiting);
	place->waiting = true;
	place->role = role;
	place->limit = limit;
	place->slot = -1;
	place->next = -1;
	place->previous = ring->line_tail;
	if (ring->line_tail >= 0)
		ring_line[ring->line_tail].next = procno;
	else
		ring->line_head = procno;
	ring->line_tail = procno;
	ring->waiting++;
}

void
line_leave(int procno)
{
	LinePlace  *place = &ring_line[procno];

	Assert(place->waiting);
	if (place->previous >= 0)
		ring_line[place->previous].next = place->next;
	else
		ring->line_head = place->next;
	if (place->next >= 0)
		ring_line[place->next].previous = place->previous;
	else
		ring->line_tail = place->previous;
	place->waiting = false;
	place->slot = -1;
	ring->waiting--;
}

/* Could it go on?  One that has a slot tries to get payload. */
static bool
could_go_on(const LinePlace *place)
{
	return place->slot >= 0 || (ring->free_head >= 0 && below_limit(place));
}

int
line_first(void)
{
	for (int i = ring->line_head; i >= 0; i = ring_line[i].next)
		if (could_go_on(&ring_line[i]))
			return i;
	return -1;
}

bool
line_turn(int procno)
{
	return ring_line[procno].slot < 0 && line_first() == procno;
}
