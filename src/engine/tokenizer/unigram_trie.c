/*-------------------------------------------------------------------------
 *
 * unigram_trie.c
 *	  The trie of Unigram's pieces: made of nodes, packed into a double array.
 *
 * While texts are added, children are found by a hash over parent and byte.
 * Packing gives each node a base such that the places of its children, base
 * xor byte, are free; that is one look-up per byte of text later, 8 bytes a
 * node.  A place's byte tells whether it is a child of the node that one comes
 * from, because no two nodes have the same base, and a place that stays free
 * has the byte of a base that nobody has.  Base 0 is the root's, base 1 that
 * of all nodes without children: nothing else is in the first block.
 *
 * Bases are looked for in the newest MOST_OPEN blocks of 256 places, all 256
 * bases of a block at once: time is linear in the number of nodes, whatever
 * the texts are.
 *
 * Source: Aoe, "An efficient digital search algorithm by using a double-array
 * structure" (1989); the exclusive or is Yata's.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "tokenizer/unigram.h"

#define MOST_NODES (8 * 1024 * 1024)
#define MOST_UNITS (1 << 24)	/* bits of a base in UnigramUnit.link */
#define MOST_OPEN 8				/* blocks */
#define BLOCK 256				/* places */
#define LEAF_BASE 1
#define POLL_EVERY 16384		/* nodes */
#define NO_SCORE (-__builtin_inff())

typedef struct TrieNode
{
	uint32_t	parent;			/* when packed: the node's place */
	uint32_t	child;			/* the first one, 0: none */
	uint32_t	sibling;		/* the next one, 0: none */
	float		score;
	uint8_t		byte;			/* leads from parent to here */
} TrieNode;

/* One bit for each place or base of a block */
typedef struct BlockSet
{
	uint64_t	words[BLOCK / 64];
} BlockSet;

typedef struct OpenBlock
{
	uint32_t	first;			/* place */
	uint32_t	n_free;
	BlockSet	free;			/* places */
	BlockSet	unused;			/* bases */
} OpenBlock;

struct TrieBuilder
{
	EngineArena *arena;
	const EngineHost *host;
	EngineStatus *status;
	TrieNode   *nodes;			/* the root is 0 */
	uint32_t	n_nodes;
	uint32_t	capacity;		/* of nodes, a power of two */
	uint32_t   *slots;			/* 2 * capacity; 0: empty */
	UnigramUnit *units;
	uint32_t	n_units;
	uint32_t	units_capacity;
	OpenBlock	open[MOST_OPEN];	/* oldest first */
	int			n_open;
};

static EngineCode
poll_trie(const TrieBuilder *trie, uint32_t n)
{
	if (n % POLL_EVERY == 0 && engine_interrupted(trie->host))
		return engine_cancelled(trie->status);
	return ENGINE_OK;
}

/* The slot of a child, or the empty one where it belongs. */
static uint32_t
find_slot(const TrieBuilder *trie, uint32_t parent, uint8_t byte)
{
	uint32_t	mask = trie->capacity * 2 - 1;
	uint32_t	slot = (uint32_t) hash_pair((int32_t) parent, byte) & mask;

	for (; trie->slots[slot] != 0; slot = (slot + 1) & mask)
	{
		const TrieNode *node = &trie->nodes[trie->slots[slot]];

		if (node->parent == parent && node->byte == byte)
			break;
	}
	return slot;
}

/* Twice the room for nodes, at first some. */
static EngineCode
grow_nodes(TrieBuilder *trie)
{
	uint32_t	capacity = trie->capacity == 0 ? 1024 : trie->capacity * 2;
	TrieNode   *nodes;

	if (capacity > MOST_NODES)
		return engine_fail(trie->status, ENGINE_LIMIT,
						   "pieces of the tokenizer have more than %d "
						   "beginnings", MOST_NODES);
	nodes = engine_alloc_raw(trie->arena, capacity, sizeof(TrieNode),
							 trie->status);
	if (nodes == NULL)
		return trie->status->code;
	trie->slots = engine_alloc(trie->arena, (size_t) capacity * 2,
							   sizeof(uint32_t), trie->status);
	if (trie->slots == NULL)
		return trie->status->code;
	if (trie->n_nodes > 0)
		memcpy(nodes, trie->nodes, trie->n_nodes * sizeof(TrieNode));
	trie->nodes = nodes;
	trie->capacity = capacity;
	for (uint32_t i = 1; i < trie->n_nodes; i++)
	{
		ENGINE_TRY(poll_trie(trie, i));
		trie->slots[find_slot(trie, nodes[i].parent, nodes[i].byte)] = i;
	}
	return ENGINE_OK;
}

TrieBuilder *
trie_begin(EngineArena *arena, const EngineHost *host, EngineStatus *status)
{
	TrieBuilder *trie = engine_alloc(arena, 1, sizeof(TrieBuilder), status);

	if (trie == NULL)
		return NULL;
	trie->arena = arena;
	trie->host = host;
	trie->status = status;
	if (grow_nodes(trie) != ENGINE_OK)
		return NULL;
	trie->nodes[0] = (TrieNode) {.score = NO_SCORE};
	trie->n_nodes = 1;
	return trie;
}

EngineCode
trie_add(TrieBuilder *trie, const char *text, size_t length, float score)
{
	uint32_t	node = 0;

	for (size_t i = 0; i < length; i++)
	{
		uint8_t		byte = (uint8_t) text[i];
		uint32_t	slot = find_slot(trie, node, byte);
		uint32_t	child = trie->slots[slot];

		if (child == 0)
		{
			if (trie->n_nodes == trie->capacity)
			{
				ENGINE_TRY(grow_nodes(trie));
				slot = find_slot(trie, node, byte);
			}
			child = trie->n_nodes++;
			ENGINE_TRY(poll_trie(trie, child));
			trie->nodes[child] = (TrieNode)
			{
				.parent = node, .sibling = trie->nodes[node].child,
					.score = NO_SCORE, .byte = byte
			};
			trie->nodes[node].child = child;
			trie->slots[slot] = child;
		}
		node = child;
	}
	trie->nodes[node].score = score;
	return ENGINE_OK;
}

static inline void
set_remove(BlockSet *set, uint32_t i)
{
	set->words[i / 64] &= ~(UINT64_C(1) << i % 64);
}

static inline bool
set_has(const BlockSet *set, uint32_t i)
{
	return (set->words[i / 64] >> i % 64 & 1) != 0;
}

/* The lowest member, or -1. */
static int
set_first(const BlockSet *set)
{
	for (int i = 0; i < BLOCK / 64; i++)
	{
		if (set->words[i] != 0)
			return i * 64 + __builtin_ctzll(set->words[i]);
	}
	return -1;
}

/* Bit i of the result is bit i xor byte. */
static uint64_t
xor_bits(uint64_t word, uint8_t byte)
{
	static const uint64_t low[6] = {
		UINT64_C(0x5555555555555555), UINT64_C(0x3333333333333333),
		UINT64_C(0x0F0F0F0F0F0F0F0F), UINT64_C(0x00FF00FF00FF00FF),
		UINT64_C(0x0000FFFF0000FFFF), UINT64_C(0x00000000FFFFFFFF)
	};

	for (int bit = 0; bit < 6; bit++)
	{
		if (byte >> bit & 1)
			word = (word >> (1 << bit) & low[bit]) |
				(word & low[bit]) << (1 << bit);
	}
	return word;
}

/* Keep the bases whose place for byte is free; false when none is left. */
static bool
narrow_bases(BlockSet *bases, const BlockSet *free, uint8_t byte)
{
	uint64_t	left = 0;

	for (uint32_t i = 0; i < BLOCK / 64; i++)
	{
		bases->words[i] &= xor_bits(free->words[i ^ byte >> 6], byte);
		left |= bases->words[i];
	}
	return left != 0;
}

/*
 * The bytes of the places that stay free: those of a base that is unused.  One
 * is, since each base that is used has a child.
 */
static void
close_block(TrieBuilder *trie, int number)
{
	OpenBlock  *block = &trie->open[number];
	int			base = set_first(&block->unused);

	for (uint32_t i = 0; i < BLOCK && block->n_free > 0; i++)
	{
		if (set_has(&block->free, i))
			trie->units[block->first + i].link = i ^ (uint32_t) base;
	}
	trie->n_open--;
	memmove(block, block + 1,
			(size_t) (trie->n_open - number) * sizeof(OpenBlock));
}

static EngineCode
open_block(TrieBuilder *trie)
{
	OpenBlock  *block;

	if (trie->n_units == MOST_UNITS)
		return engine_fail(trie->status, ENGINE_LIMIT,
						   "the trie of the tokenizer's pieces is too large");
	if (trie->n_open == MOST_OPEN)
		close_block(trie, 0);
	if (trie->n_units == trie->units_capacity)
	{
		uint32_t	capacity = trie->units_capacity * 2 + BLOCK * 16;
		UnigramUnit *units = engine_alloc_raw(trie->arena, capacity,
											  sizeof(UnigramUnit),
											  trie->status);

		if (units == NULL)
			return trie->status->code;
		if (trie->n_units > 0)
			memcpy(units, trie->units, trie->n_units * sizeof(UnigramUnit));
		trie->units = units;
		trie->units_capacity = capacity;
	}
	block = &trie->open[trie->n_open++];
	block->first = trie->n_units;
	block->n_free = BLOCK;
	memset(&block->free, 0xFF, sizeof(BlockSet));
	memset(&block->unused, 0xFF, sizeof(BlockSet));
	for (uint32_t i = 0; i < BLOCK; i++)
		trie->units[trie->n_units++] = (UnigramUnit) {0, NO_SCORE};
	return ENGINE_OK;
}

/* The first open block that has a base for the children of node. */
static EngineCode
find_base(TrieBuilder *trie, uint32_t node, int *number, int *base)
{
	uint32_t	n_children = 0;

	for (uint32_t i = trie->nodes[node].child; i > 0;
		 i = trie->nodes[i].sibling)
		n_children++;
	for (*number = 0;; ++*number)
	{
		OpenBlock  *block = &trie->open[*number];
		BlockSet	bases;
		bool		fits;

		if (*number == trie->n_open)
		{
			ENGINE_TRY(open_block(trie));
			*number = trie->n_open - 1;
			block = &trie->open[*number];
		}
		fits = block->n_free >= n_children;
		bases = block->unused;
		for (uint32_t i = trie->nodes[node].child; i > 0 && fits;
			 i = trie->nodes[i].sibling)
			fits = narrow_bases(&bases, &block->free, trie->nodes[i].byte);
		if (fits)
		{
			*base = set_first(&bases);
			return ENGINE_OK;
		}
	}
}

/* Give node a base, and its children their places. */
static EngineCode
place_children(TrieBuilder *trie, uint32_t node)
{
	OpenBlock  *block;
	int			number,
				base;

	if (node == 0)
	{
		ENGINE_TRY(open_block(trie));
		number = base = 0;
		set_remove(&trie->open[0].unused, LEAF_BASE);
	}
	else
	{
		ENGINE_TRY(find_base(trie, node, &number, &base));
		trie->units[trie->nodes[node].parent].link |=
			(trie->open[number].first + (uint32_t) base) << 8;
	}
	block = &trie->open[number];
	set_remove(&block->unused, (uint32_t) base);
	for (uint32_t i = trie->nodes[node].child; i > 0;
		 i = trie->nodes[i].sibling)
	{
		TrieNode   *child = &trie->nodes[i];
		uint32_t	place = (uint32_t) base ^ child->byte;

		set_remove(&block->free, place);
		block->n_free--;
		child->parent = block->first + place;
		trie->units[child->parent] = (UnigramUnit)
		{
			(child->child == 0 ? (uint32_t) LEAF_BASE << 8 : 0) |
				child->byte, child->score
		};
	}
	if (block->n_free == 0 || node == 0)
		close_block(trie, number);
	return ENGINE_OK;
}

/* Depth first, so that nodes that are met together lie together. */
EngineCode
trie_pack(TrieBuilder *trie, const UnigramUnit **units, uint32_t *n_units)
{
	uint32_t   *stack = engine_alloc_raw(trie->arena, trie->n_nodes,
										 sizeof(uint32_t), trie->status);
	uint32_t	n = 1;
	uint32_t	n_placed = 0;

	if (stack == NULL)
		return trie->status->code;
	stack[0] = 0;
	while (n > 0)
	{
		uint32_t	node = stack[--n];

		ENGINE_TRY(poll_trie(trie, ++n_placed));
		ENGINE_TRY(place_children(trie, node));
		for (uint32_t i = trie->nodes[node].child; i > 0;
			 i = trie->nodes[i].sibling)
		{
			if (trie->nodes[i].child > 0)
				stack[n++] = i;
		}
	}
	while (trie->n_open > 0)
		close_block(trie, trie->n_open - 1);
	*units = trie->units;
	*n_units = trie->n_units;
	return ENGINE_OK;
}
