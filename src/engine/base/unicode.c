/*-------------------------------------------------------------------------
 *
 * unicode.c
 *	  The canonical normalisation forms, NFC and NFD, and lower case.
 *
 * A text is taken apart into runs: a starter (combining class 0) and the
 * marks after it.  A run is decomposed, its marks are ordered, and for NFC
 * composed again; the next starter may compose with a starter that has no
 * marks left.  Every step is linear in the length of a run, because a text
 * may be one run: marks are ordered by counting their classes.
 *
 * Ill-formed bytes travel as codes above 0x10FFFF.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "base/unicode.h"
#include "base/utf8.h"

#include <string.h>

#define ILL_FORMED 0x110000		/* + the byte */
#define POLL_EVERY 65536		/* bytes of text */

/* Hangul syllables are computed (Unicode section 3.12) */
#define HANGUL_S 0xAC00
#define HANGUL_L 0x1100
#define HANGUL_V 0x1161
#define HANGUL_T 0x11A7
#define HANGUL_N_L 19
#define HANGUL_N_V 21
#define HANGUL_N_T 28
#define HANGUL_N_S (HANGUL_N_L * HANGUL_N_V * HANGUL_N_T)

uint32_t
unicode8_class(uint32_t code)
{
	uint8_t		kind;

	switch (code)
	{
		case 0x166D:
		case 0x111C9:
			return UNICODE_BIT(CATEGORY_PO);
		case 0x1734:
			return UNICODE_BIT(CATEGORY_MN);
		case 0x1885:
		case 0x1886:
			return UNICODE_BIT(CATEGORY_LO);
		case 0xA9BD:
			return UNICODE_BIT(CATEGORY_MC);
	}
	kind = unicode_kind_blocks[unicode_kind_index[code / UNICODE_BLOCK] *
							   UNICODE_BLOCK + code % UNICODE_BLOCK];
	return kind & UNICODE_LATER_BIT ? UNICODE_BIT(CATEGORY_CN) :
		unicode_class(code);
}

int
unicode_lower_long(uint32_t code, uint32_t *lower)
{
	int			low = 0;
	int			high = UNICODE_N_LOWERS;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (unicode_lowers[middle].last < code)
			low = middle + 1;
		else
			high = middle;
	}
	lower[0] = code;
	if (low < UNICODE_N_LOWERS && unicode_lowers[low].first <= code &&
		(code - unicode_lowers[low].first) % unicode_lowers[low].step == 0)
		lower[0] = (uint32_t) ((int32_t) code + unicode_lowers[low].delta);

	/* I with dot above: the only one with two */
	if (code != 0x0130)
		return 1;
	lower[1] = 0x0307;
	return 2;
}

typedef struct Normaliser
{
	UnicodeForm form;
	EngineArena *arena;
	EngineStatus *status;
	uint32_t   *run;			/* a starter, if there is one, and its marks */
	uint32_t   *sorted;
	size_t		n,
				capacity;
	bool		has_starter;	/* run[0] has combining class 0 */
	char	   *out;			/* NULL: only count */
	size_t		out_length;
} Normaliser;

static inline const UnicodeNorm *
norm_of(uint32_t code)
{
	uint32_t	block;

	if (code >= ILL_FORMED)
		return &unicode_norms[0];
	block = unicode_norm_index[code / UNICODE_BLOCK];
	return &unicode_norms[unicode_norm_blocks[block * UNICODE_BLOCK +
											  code % UNICODE_BLOCK]];
}

/* The primary composite of two characters, or 0. */
static uint32_t
compose_pair(uint32_t first, uint32_t second)
{
	int			low = 0;
	int			high = UNICODE_N_PAIRS;

	if (first - HANGUL_L < HANGUL_N_L && second - HANGUL_V < HANGUL_N_V)
		return HANGUL_S + ((first - HANGUL_L) * HANGUL_N_V +
						   (second - HANGUL_V)) * HANGUL_N_T;
	if (first - HANGUL_S < HANGUL_N_S &&
		(first - HANGUL_S) % HANGUL_N_T == 0 &&
		second - HANGUL_T - 1 < HANGUL_N_T - 1)
		return first + (second - HANGUL_T);
	while (low < high)
	{
		int			middle = (low + high) / 2;
		const UnicodePair *pair = &unicode_pairs[middle];

		if (pair->first == first && pair->second == second)
			return pair->composed;
		if (pair->first < first ||
			(pair->first == first && pair->second < second))
			low = middle + 1;
		else
			high = middle;
	}
	return 0;
}

/* Stable order by combining class of n marks. */
static void
order_marks(uint32_t *marks, uint32_t *sorted, size_t n)
{
	size_t		position[256] = {0};
	size_t		sum = 0;
	bool		ordered = true;

	for (size_t i = 1; i < n && ordered; i++)
		ordered = norm_of(marks[i - 1])->combining <=
			norm_of(marks[i])->combining;
	if (ordered)
		return;
	for (size_t i = 0; i < n; i++)
		position[norm_of(marks[i])->combining]++;
	for (int class = 0; class < 256; class++)
	{
		size_t		count = position[class];

		position[class] = sum;
		sum += count;
	}
	for (size_t i = 0; i < n; i++)
		sorted[position[norm_of(marks[i])->combining]++] = marks[i];
	memcpy(marks, sorted, n * sizeof(uint32_t));
}

/* Order the marks of the run and, for NFC, join them to the starter. */
static void
settle_run(Normaliser *self)
{
	size_t		first = self->has_starter ? 1 : 0;
	size_t		kept = first;
	int			last = -1;		/* class of the last mark that stayed */

	if (self->n == 0)
		return;
	order_marks(self->run + first, self->sorted, self->n - first);
	if (self->form != UNICODE_NFC || !self->has_starter)
		return;
	for (size_t i = 1; i < self->n; i++)
	{
		uint32_t	mark = self->run[i];
		int			class = norm_of(mark)->combining;
		uint32_t	composed = 0;

		if (last < class)
			composed = compose_pair(self->run[0], mark);
		if (composed != 0)
			self->run[0] = composed;
		else
		{
			self->run[kept++] = mark;
			last = class;
		}
	}
	self->n = kept;
}

static void
write_run(Normaliser *self)
{
	char		buf[UTF8_LONGEST] = {0};

	for (size_t i = 0; i < self->n; i++)
	{
		uint32_t	code = self->run[i];
		char	   *to = self->out ? self->out + self->out_length : buf;

		if (code >= ILL_FORMED)
		{
			*to = (char) (code - ILL_FORMED);
			self->out_length++;
		}
		else
			self->out_length += (size_t) utf8_encode(code, to);
	}
	self->n = 0;
	self->has_starter = false;
}

static EngineCode
push_code(Normaliser *self, uint32_t code)
{
	if (self->n == self->capacity)
	{
		size_t		capacity = self->capacity * 2 + 64;
		uint32_t   *run;

		run = engine_alloc(self->arena, capacity, sizeof(uint32_t),
						   self->status);
		self->sorted = engine_alloc(self->arena, capacity, sizeof(uint32_t),
									self->status);
		if (run == NULL || self->sorted == NULL)
			return self->status->code;
		if (self->n > 0)
			memcpy(run, self->run, self->n * sizeof(uint32_t));
		self->run = run;
		self->capacity = capacity;
	}
	self->run[self->n++] = code;
	return ENGINE_OK;
}

/* Add one character that has no decomposition. */
static EngineCode
add_code(Normaliser *self, uint32_t code)
{
	if (norm_of(code)->combining == 0 && self->n > 0)
	{
		uint32_t	composed = 0;

		settle_run(self);
		if (self->form == UNICODE_NFC && self->n == 1 && self->has_starter)
			composed = compose_pair(self->run[0], code);
		if (composed != 0)
		{
			self->run[0] = composed;
			return ENGINE_OK;
		}
		write_run(self);
	}
	if (self->n == 0)
		self->has_starter = norm_of(code)->combining == 0;
	return push_code(self, code);
}

static EngineCode
add_decomposed(Normaliser *self, uint32_t code)
{
	const UnicodeNorm *norm = norm_of(code);

	if (code - HANGUL_S < HANGUL_N_S)
	{
		uint32_t	index = code - HANGUL_S;

		ENGINE_TRY(add_code(self, HANGUL_L +
							index / (HANGUL_N_V * HANGUL_N_T)));
		ENGINE_TRY(add_code(self, HANGUL_V +
							index / HANGUL_N_T % HANGUL_N_V));
		if (index % HANGUL_N_T != 0)
			ENGINE_TRY(add_code(self, HANGUL_T + index % HANGUL_N_T));
		return ENGINE_OK;
	}
	if (norm->length == 0)
		return add_code(self, code);
	for (int i = 0; i < norm->length; i++)
		ENGINE_TRY(add_code(self, unicode_decompositions[norm->offset + i]));
	return ENGINE_OK;
}

static EngineCode
normalise_pass(Normaliser *self, const char *text, size_t length,
			   const EngineHost *host)
{
	size_t		position = 0;
	size_t		poll = POLL_EVERY;

	self->out_length = 0;
	while (position < length)
	{
		uint32_t	code;
		int			n;

		if (position >= poll)
		{
			if (engine_interrupted(host))
				return engine_cancelled(self->status);
			poll = position + POLL_EVERY;
		}
		n = utf8_decode(text + position, length - position, &code);
		if (n <= 0)
		{
			code = ILL_FORMED + (uint8_t) text[position];
			n = 1;
		}
		ENGINE_TRY(add_decomposed(self, code));
		position += (size_t) n;
	}
	settle_run(self);
	write_run(self);
	return ENGINE_OK;
}

static bool
is_decomposed(uint32_t code, const UnicodeNorm *norm)
{
	return norm->length == 0 && code - HANGUL_S >= HANGUL_N_S;
}

/* The quick check: *normal is false also where only a full pass can tell. */
static EngineCode
quick_check(UnicodeForm form, const char *text, size_t length,
			const EngineHost *host, bool *normal, EngineStatus *status)
{
	size_t		position = 0;
	size_t		poll = POLL_EVERY;
	int			last = 0;

	*normal = false;
	while (position < length)
	{
		uint32_t	code;
		int			n = utf8_decode(text + position, length - position, &code);
		const UnicodeNorm *norm;

		if (position >= poll)
		{
			if (engine_interrupted(host))
				return engine_cancelled(status);
			poll = position + POLL_EVERY;
		}
		if (n <= 0)
		{
			last = 0;
			position++;
			continue;
		}
		position += (size_t) n;
		if (code < 0x80)
		{
			last = 0;
			continue;
		}
		norm = norm_of(code);
		if ((norm->combining != 0 && norm->combining < last) ||
			(form == UNICODE_NFC ? norm->nfc_check != 0 :
			 !is_decomposed(code, norm)))
			return ENGINE_OK;
		last = norm->combining;
	}
	*normal = true;
	return ENGINE_OK;
}

EngineCode
unicode_normalise(UnicodeForm form, const char *text, size_t length,
				  EngineArena *arena, const EngineHost *host,
				  const char **out, size_t *out_length, EngineStatus *status)
{
	Normaliser	self = {.form = form, .arena = arena, .status = status};
	bool		normal;

	*out = text;
	*out_length = length;
	ENGINE_TRY(quick_check(form, text, length, host, &normal, status));
	if (normal)
		return ENGINE_OK;

	ENGINE_TRY(normalise_pass(&self, text, length, host));
	self.out = engine_alloc_raw(arena, self.out_length, 1, status);
	if (self.out == NULL)
		return status->code;
	ENGINE_TRY(normalise_pass(&self, text, length, host));
	*out = self.out;
	*out_length = self.out_length;
	return ENGINE_OK;
}
