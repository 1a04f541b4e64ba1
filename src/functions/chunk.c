/*-------------------------------------------------------------------------
 *
 * chunk.c
 *	  llm.chunk(): a text in pieces that fit a model.
 *
 * How many tokens a piece has is known by tokenizing it, as tokens depend on
 * their neighbours.  The end of a chunk is therefore searched: guessed from
 * the bytes that a token had so far, then by halving.  The tokenizer stops
 * after as many tokens as may be, and a guess is at most a small multiple of
 * what fits, so that the whole takes time in proportion to the text.
 *
 * Everything happens in UTF-8; two cursors, which only move forward, know
 * what offsets mean in characters of the database.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "functions/model_use.h"
#include "functions/text_borders.h"

PG_FUNCTION_INFO_V1(llm_chunk);

#define TOO_MANY (-1)
#define FIRST_BYTES_PER_TOKEN 4.0	/* of English */

/* A place in the text. */
typedef struct Cursor
{
	size_t		offset;			/* UTF-8 */
	size_t		server;			/* bytes in the encoding of the database */
	int64		characters;
} Cursor;

typedef struct Chunker
{
	ModelUse   *use;
	Utf8Text text;
	const char *server;			/* the text in the database's encoding */
	int32		max_tokens;
	int32		overlap;
	double		bytes_per_token;
	MemoryContext scratch;
	Cursor		start;
	Cursor		stop;
} Chunker;

typedef struct Chunk
{
	size_t		start;
	size_t		stop;
	int64		tokens;
	BorderKind	border;			/* that it ends at */
} Chunk;

/* Tokens of a piece, or TOO_MANY when there are more than max. */
static int64
count_tokens(Chunker *chunker, size_t start, size_t stop, int32 max)
{
	TokenList	list = {.max_tokens = (size_t) max};
	EngineArena arena;
	EngineStatus status;
	EngineCode	code;

	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(chunker->scratch);
	engine_arena_init(&arena, engine_allocator(chunker->scratch), 0);
	code = tokenizer_encode(&chunker->use->tokenizer,
							chunker->text.data + start, stop - start, NULL,
							0, &arena, engine_host(), &list, &status);
	if (code == ENGINE_LIMIT)
		return TOO_MANY;
	model_use_check(chunker->use, code, &status);
	return (int64) list.n;
}

/*
 * The end of a chunk
 */

/* The last border of at least that kind in (low, high], or low. */
static size_t
last_border(const Utf8Text *text, size_t low, size_t high, BorderKind kind)
{
	for (size_t i = high; i > low; i--)
		if (i == text->length || border_kind(text, i) >= kind)
			return i;
	return low;
}

/* Does halving further change nothing, as it would end inside a word? */
static bool
inside_word(const Utf8Text *text, size_t after, size_t fits, size_t too_far)
{
	return last_border(text, fits, too_far - 1, BORDER_WORD) == fits &&
		last_border(text, after, fits, BORDER_WORD) > after;
}

/* Where to look next between what fits and what does not. */
static size_t
next_probe(const Chunker *chunker, size_t start, size_t fits, int64 tokens,
		   size_t too_far, int round)
{
	double		expected = (chunker->max_tokens - tokens) *
		chunker->bytes_per_token;
	size_t		step;

	if (too_far > chunker->text.length) /* not known yet: twice at most */
	{
		size_t		most = Max(fits - start, 64);

		step = round == 0 || expected > most ? (size_t) Min(expected, 1e9) :
			(size_t) expected + (most >> 3);
		if (round > 0)
			step = Min(step, most);
		return Min(fits + Max(step, 4), chunker->text.length);
	}
	step = (too_far - fits) / 2;
	if (round % 2 == 1 && expected < step)
		step = (size_t) expected;
	return fits + Max(step, 1);
}

/*
 * The farthest place, between characters, up to which the text from start on
 * fits; start when nothing does.  Close enough when the next word border does
 * not fit and there is one after the offset after.
 */
static size_t
farthest(Chunker *chunker, size_t start, size_t after, bool joined)
{
	const Utf8Text *text = &chunker->text;
	size_t		fits = start;
	size_t		too_far = text->length + 1;
	int64		fitting = 0;

	for (int round = 0;; round++)
	{
		size_t		probe = next_probe(chunker, start, fits, fitting, too_far,
									   round);
		int64		tokens;

		probe = border_at_or_before(text, probe, fits, joined);
		if (probe <= fits)
			probe = border_after(text, fits, joined);
		if (probe >= too_far)
			return fits;
		tokens = count_tokens(chunker, start, border_trim(text, start, probe),
							  chunker->max_tokens);
		if (tokens == TOO_MANY)
			too_far = probe;
		else
		{
			fits = probe;
			fitting = tokens;
			if (fits == text->length)
				return fits;
		}
		if (too_far <= text->length &&
			inside_word(text, Max(start, after), fits, too_far))
			return fits;
	}
}

static void
character_too_long(const Chunker *chunker, size_t start)
{
	size_t		end = border_after(&chunker->text, start, false);

	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("character \"%s\" has more than %d tokens",
				   engine_text(chunker->text.data + start, end - start),
				   chunker->max_tokens),
			errhint("Use a larger max_tokens."));
}

/* End the chunk at a border; false when its tokens are too many after all. */
static bool
end_at(Chunker *chunker, Chunk *chunk, size_t place, BorderKind border)
{
	size_t		stop = border_trim(&chunker->text, chunk->start, place);
	int64		tokens = count_tokens(chunker, chunk->start, stop,
									  chunker->max_tokens);

	if (tokens == TOO_MANY)
		return false;
	chunk->stop = stop;
	chunk->tokens = tokens;
	chunk->border = border;
	return true;
}

/*
 * A border between words in (after, high], the best one: a paragraph's or a
 * sentence's that does not make the chunk shorter than half.
 */
static bool
end_between_words(Chunker *chunker, Chunk *chunk, size_t after, size_t high)
{
	const Utf8Text *text = &chunker->text;
	size_t		low = Max(chunk->start, after);
	size_t		half = chunk->start + (high - chunk->start) / 2;

	while (high > low)
	{
		BorderKind	kind = BORDER_PARAGRAPH;
		size_t		place = low;

		for (; kind >= BORDER_WORD; kind--)
		{
			size_t		least = kind > BORDER_WORD ? Max(low, half) : low;

			place = last_border(text, Min(least, high), high, kind);
			if (place > least)
				break;
			place = low;
		}
		if (place == low)
			return false;
		if (end_at(chunker, chunk, place, kind))
			return true;
		high = place - 1;
	}
	return false;
}

/*
 * The chunk that begins at chunk->start, and ends after the offset after, where
 * the one before it ended.  False when it would have to begin later to do that:
 * words are only cut when they do not fit alone, or go on from that chunk.
 */
static bool
find_chunk(Chunker *chunker, Chunk *chunk, size_t after)
{
	bool		goes_on = chunk->border == BORDER_CHARACTER;
	size_t		high = farthest(chunker, chunk->start, after, true);

	if (high == chunker->text.length &&
		end_at(chunker, chunk, high, BORDER_PARAGRAPH))
		return true;
	if (end_between_words(chunker, chunk, after, high))
		return true;
	if (chunk->start < after && (!goes_on || high <= after))
		return false;
	if (high == chunk->start)
		high = farthest(chunker, chunk->start, after, false);
	if (high == chunk->start ||
		!end_at(chunker, chunk, high, BORDER_CHARACTER))
		character_too_long(chunker, chunk->start);
	return true;
}

/*
 * The beginning of the next chunk
 */

/* The first place in [low, high) where a chunk may begin, or high. */
static size_t
first_beginning(const Utf8Text *text, size_t low, size_t high, bool words)
{
	for (size_t i = low; i < high; i++)
		if (words ? border_begins_word(text, i) :
			border_kind(text, i) != BORDER_NONE)
			return i;
	return high;
}

/*
 * As early as the overlap allows: between words, or between characters when
 * the chunk had to end inside a word.
 */
static size_t
next_start(Chunker *chunker, const Chunk *chunk)
{
	const Utf8Text *text = &chunker->text;
	bool		words = chunk->border != BORDER_CHARACTER;
	size_t		low = chunk->start + 1;
	size_t		high = chunk->stop;
	size_t		best = chunk->stop;
	size_t		back = (size_t) (chunker->overlap * chunker->bytes_per_token);
	size_t		middle = high - Min(back, high - low);

	if (chunker->overlap == 0)
		return chunk->stop;
	while (low < high)
	{
		size_t		place = first_beginning(text, middle, high, words);

		if (place == high)
			high = middle;
		else if (count_tokens(chunker, place, chunk->stop,
							  chunker->overlap) == TOO_MANY)
			low = place + 1;
		else
		{
			best = place;
			high = middle;
		}
		middle = low + (high - low) / 2;
	}
	return best;
}

/*
 * Characters of the database
 */

static void
advance(const Chunker *chunker, Cursor *cursor, size_t offset)
{
	if (chunker->server == chunker->text.data)
	{
		int			bytes = (int) (offset - cursor->offset);

		cursor->characters += pg_mbstrlen_with_len(chunker->server +
												   cursor->offset, bytes);
		cursor->offset = cursor->server = offset;
		return;
	}
	while (cursor->offset < offset)
	{
		const char *character = chunker->server + cursor->server;
		int			size = pg_mblen(character);
		char	   *utf8 = pg_server_to_any(character, size, PG_UTF8);

		cursor->offset += utf8 == character ? (size_t) size : strlen(utf8);
		if (utf8 != character)
			pfree(utf8);
		cursor->server += size;
		cursor->characters++;
	}
}

static void
put_chunk(ReturnSetInfo *rsinfo, Chunker *chunker, const Chunk *chunk,
		  int number)
{
	Datum		values[5];
	bool		nulls[5] = {false};
	const char *piece;
	int			bytes;

	advance(chunker, &chunker->start, chunk->start);
	advance(chunker, &chunker->stop, chunk->stop);
	piece = chunker->server + chunker->start.server;
	bytes = (int) (chunker->stop.server - chunker->start.server);
	values[0] = Int32GetDatum(number);
	values[1] = PointerGetDatum(cstring_to_text_with_len(piece, bytes));
	values[2] = Int32GetDatum((int32) chunk->tokens);
	values[3] = Int32GetDatum((int32) chunker->start.characters);
	values[4] = Int32GetDatum((int32) chunker->stop.characters);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	pfree(DatumGetPointer(values[1]));
}

static void
put_chunks(ReturnSetInfo *rsinfo, Chunker *chunker)
{
	const Utf8Text *text = &chunker->text;
	size_t		end = border_trim(text, 0, text->length);
	size_t		after = 0;
	Chunk		chunk = {0};
	int			number = 0;

	chunk.start = border_skip_space(text, 0);
	while (chunk.start < end)
	{
		if (!find_chunk(chunker, &chunk, after))
		{
			/* the overlap leaves no room for the next word */
			chunk.start = border_skip_space(text, after);
			continue;
		}
		put_chunk(rsinfo, chunker, &chunk, number++);
		if (chunk.stop >= end)
			break;
		if (chunk.tokens > 0)
			chunker->bytes_per_token =
				(double) (chunk.stop - chunk.start) / chunk.tokens;
		after = chunk.stop;
		chunk.start = border_skip_space(text, next_start(chunker, &chunk));
	}
}

static void
check_limits(FunctionCallInfo fcinfo, Chunker *chunker)
{
	if (PG_ARGISNULL(2))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("max_tokens must not be NULL"));
	chunker->max_tokens = PG_GETARG_INT32(2);
	chunker->overlap = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT32(3);
	if (chunker->max_tokens < 1)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("max_tokens must be at least 1"));
	if (chunker->overlap < 0 || chunker->overlap >= chunker->max_tokens)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("overlap must be at least 0 and less than max_tokens"));
}

/* llm.chunk(model, input, max_tokens, overlap) */
Datum
llm_chunk(PG_FUNCTION_ARGS)
{
	Chunker		chunker = {.bytes_per_token = FIRST_BYTES_PER_TOKEN};
	const ModelRef *model;
	text	   *input;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	model = model_lookup(ARG_CSTRING(0), MODEL_ANY);
	check_limits(fcinfo, &chunker);
	input = PG_GETARG_TEXT_PP(1);
	chunker.server = VARDATA_ANY(input);
	chunker.text.data = text_to_utf8(input, &chunker.text.length);
	chunker.use = model_use_tokenizer(model);
	chunker.scratch = AllocSetContextCreate(chunker.use->context,
											"llm tokenizer",
											ALLOCSET_DEFAULT_SIZES);
	put_chunks((ReturnSetInfo *) fcinfo->resultinfo, &chunker);
	model_use_end(chunker.use);
	return (Datum) 0;
}
