/*-------------------------------------------------------------------------
 *
 * lattice.c
 *	  The best way to cut a word into Unigram's pieces.
 *
 * Viterbi's algorithm: positions in ascending order, at each every piece that
 * begins there.  Of paths with the same score the one whose last piece is
 * longer wins, as in Hugging Face's tokenizers, and sums are double and run
 * from the beginning of the word, so that they round alike.
 *
 * Only positions that a piece which is still to come can begin at matter, the
 * live ones.  Where their paths have run together, the path before is certain:
 * it is looked for whenever the text has doubled, and text and paths before go.
 *
 * Source: Kudo, "Subword Regularization" (2018), section 3.2.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "base/utf8.h"
#include "tokenizer/lattice.h"

#define LONGEST_WORD ((size_t) 16 * 1024 * 1024)	/* bytes without ids */
#define COMMIT_STEP ((size_t) 8192)
#define POLL_EVERY 65536		/* steps through the trie */

/* Bits of Lattice.back above the length, at most TOKENIZER_LONGEST */
#define BACK_LENGTH		0x1FFF
#define BACK_UNKNOWN	0x4000
#define BACK_LIVE		0x8000	/* while live paths are followed */

static EngineCode
poll_work(Encoder *encoder, size_t work)
{
	Lattice    *self = encoder->lattice;

	self->work += work;
	if (self->work < POLL_EVERY)
		return ENGINE_OK;
	self->work = 0;
	if (engine_interrupted(encoder->host))
		return engine_cancelled(encoder->status);
	return ENGINE_OK;
}

/* How many bytes after a position may decide about it */
static inline size_t
reach(const Encoder *encoder)
{
	uint32_t	longest = encoder->section->unigram.longest;

	return longest < UTF8_LONGEST ? UTF8_LONGEST : longest;
}

/* NULL when there is no memory */
static Lattice *
lattice_create(Encoder *encoder)
{
	Lattice    *self = engine_alloc(encoder->arena, 1, sizeof(Lattice),
									encoder->status);
	size_t		ring = 16;

	if (self == NULL)
		return NULL;
	while (ring <= reach(encoder))
		ring *= 2;
	self->scores = engine_alloc(encoder->arena, ring, sizeof(double),
								encoder->status);
	if (self->scores == NULL)
		return NULL;
	self->mask = ring - 1;
	self->commit_at = COMMIT_STEP;
	encoder->lattice = self;
	return self;
}

/* Room for length more bytes */
static EngineCode
lattice_reserve(Encoder *encoder, size_t length)
{
	Lattice    *self = encoder->lattice;
	size_t		capacity = (self->n + length) * 2 + 256;
	char	   *text;
	uint16_t   *back;

	if (self->n + length > LONGEST_WORD)
		return engine_fail(encoder->status, ENGINE_LIMIT,
						   "a word of %zu bytes is too long to tokenize",
						   self->n + length);
	if (capacity > LONGEST_WORD)
		capacity = LONGEST_WORD;
	text = engine_alloc_raw(encoder->arena, capacity, 1, encoder->status);
	if (text == NULL)
		return encoder->status->code;
	back = engine_alloc_raw(encoder->arena, capacity + 1, sizeof(uint16_t),
							encoder->status);
	if (back == NULL)
		return encoder->status->code;
	if (self->n > 0)
	{
		memcpy(text, self->text, self->n);
		memcpy(back, self->back, (self->n + 1) * sizeof(uint16_t));
	}
	else
		back[0] = 0;
	self->text = text;
	self->back = back;
	self->capacity = capacity;
	return ENGINE_OK;
}

/* A path to position start goes on with length bytes. */
static inline void
lattice_offer(Lattice *self, size_t start, size_t length, uint16_t flag,
			  double score)
{
	size_t		end = start + length;
	double	   *best = &self->scores[(self->origin + end) & self->mask];

	if (self->back[end] == 0 || score > *best)
	{
		self->back[end] = (uint16_t) length | flag;
		*best = score;
	}
}

/* Offer every piece that begins at start; returns the steps taken. */
static size_t
begin_at(const TokenizerSection *section, Lattice *self, size_t start)
{
	const UnigramUnit *units = section_at(section, section->unigram.units);
	double		so_far = self->scores[(self->origin + start) & self->mask];
	size_t		left = self->n - start;
	uint32_t	base = 0;
	bool		single = false;
	uint32_t	code;
	size_t		i;
	int			character = utf8_decode(self->text + start, left, &code);

	if (character <= 0)
		character = 1;
	for (i = 0; i < left; i++)
	{
		uint8_t		byte = (uint8_t) self->text[start + i];
		const UnigramUnit *unit = &units[base ^ byte];

		if ((unit->link & 0xFF) != byte)
			break;
		base = unit->link >> 8;
		if (unit->score == -__builtin_inff())
			continue;
		lattice_offer(self, start, i + 1, 0, unit->score + so_far);
		single = single || i + 1 == (size_t) character;
	}
	if (!single)
		lattice_offer(self, start, (size_t) character, BACK_UNKNOWN,
					  section->unigram.unknown_score + so_far);
	self->done = start + (size_t) character;
	return i + 1;
}

/* Go on to where text is missing, or to the end of the word. */
static EngineCode
lattice_advance(Encoder *encoder, size_t missing)
{
	Lattice    *self = encoder->lattice;

	if (self->origin == 0 && self->done == 0)
		self->scores[0] = 0;
	while (self->done + missing <= self->n && self->done < self->n)
		ENGINE_TRY(poll_work(encoder, begin_at(encoder->section, self,
											   self->done)));
	return ENGINE_OK;
}

/* The position that all live paths pass last, 0 if there is none. */
static size_t
lattice_certain(const Encoder *encoder)
{
	Lattice    *self = encoder->lattice;
	size_t		position = self->done + reach(encoder);
	size_t		n_paths = 0;

	if (position > self->n)
		position = self->n;
	for (size_t i = self->done; i <= position; i++)
	{
		if (self->back[i] != 0)
		{
			self->back[i] |= BACK_LIVE;
			n_paths++;
		}
	}
	for (; position > 0; position--)
	{
		uint16_t	back = self->back[position];
		size_t		before = position - (back & BACK_LENGTH);

		if (!(back & BACK_LIVE))
			continue;
		self->back[position] = back & ~BACK_LIVE;
		if (n_paths == 1)
			return position;
		if (before == 0 || (self->back[before] & BACK_LIVE))
			n_paths--;
		else
			self->back[before] |= BACK_LIVE;
		if (before == 0)
			break;
	}
	for (; position > 0; position--)
		self->back[position] &= (uint16_t) ~BACK_LIVE;
	return 0;
}

/* Lengths of the pieces on the path to end, now where the pieces begin. */
static void
turn_around(uint16_t *back, size_t end)
{
	uint16_t	length = back[end];

	while (end > 0)
	{
		size_t		start = end - (length & BACK_LENGTH);
		uint16_t	next = back[start];

		back[start] = length;
		length = next;
		end = start;
	}
}

/* Append the ids of the path to end, and forget what was before. */
static EngineCode
lattice_commit(Encoder *encoder, size_t end)
{
	Lattice    *self = encoder->lattice;
	size_t		length;

	turn_around(self->back, end);
	for (size_t i = 0; i < end; i += length)
	{
		const char *piece = self->text + i;
		int32_t		id = -1;

		length = self->back[i] & BACK_LENGTH;
		ENGINE_TRY(poll_work(encoder, 1));
		if (!(self->back[i] & BACK_UNKNOWN))
			id = section_find(encoder->section, piece, length, true);
		if (id < 0)
		{
			ENGINE_TRY(encoder_emit_bytes(encoder, piece, length));
			continue;
		}
		encoder->after_unknown = false;
		ENGINE_TRY(encoder_emit(encoder, id));
	}
	self->n -= end;
	self->done -= end;
	self->origin += end;
	memmove(self->text, self->text + end, self->n);
	memmove(self->back, self->back + end,
			(self->n + 1) * sizeof(uint16_t));
	self->back[0] = 0;
	return ENGINE_OK;
}

EngineCode
lattice_append(Encoder *encoder, const char *bytes, size_t length)
{
	Lattice    *self = encoder->lattice;

	if (self == NULL)
		self = lattice_create(encoder);
	if (self == NULL)
		return encoder->status->code;
	if (length > self->capacity - self->n)
		ENGINE_TRY(lattice_reserve(encoder, length));
	for (size_t i = 0; i < length; i++)
	{
		self->text[self->n++] = bytes[i];
		self->back[self->n] = 0;
	}
	if (self->n < self->commit_at)
		return ENGINE_OK;
	ENGINE_TRY(lattice_advance(encoder, reach(encoder)));
	ENGINE_TRY(lattice_commit(encoder, lattice_certain(encoder)));
	self->commit_at = self->n * 2 + COMMIT_STEP;
	return ENGINE_OK;
}

EngineCode
lattice_finish(Encoder *encoder)
{
	Lattice    *self = encoder->lattice;

	if (self == NULL)
		return ENGINE_OK;
	ENGINE_TRY(lattice_advance(encoder, 0));
	ENGINE_TRY(lattice_commit(encoder, self->n));
	self->origin = 0;
	self->commit_at = COMMIT_STEP;
	return ENGINE_OK;
}
