/*-------------------------------------------------------------------------
 *
 * tokenizer_pair.c
 *	  Two texts as one sequence, for models that compare them.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "tokenizer/section.h"

/*
 * What stands before, between and after the texts: BOS, what ends a text,
 * what separates two, and what ends a text again, each if the model has it.
 */
typedef struct PairFrame
{
	int32_t		before;			/* -1: none */
	int32_t		between[2];
	int			n_between;
	int32_t		after;
} PairFrame;

static PairFrame
frame_of(const Tokenizer *tokenizer)
{
	PairFrame	frame = {.before = -1, .after = -1};
	int32_t		separator = tokenizer->separator;

	if (tokenizer->add_bos)
		frame.before = tokenizer->bos;
	if (tokenizer->add_eos)
		frame.after = tokenizer->eos;
	if (separator < 0)
		separator = tokenizer->eos;
	if (tokenizer->add_eos && separator >= 0)
		frame.between[frame.n_between++] = separator;
	if (tokenizer->add_separator && separator >= 0)
		frame.between[frame.n_between++] = separator;
	return frame;
}

int
tokenizer_pair_specials(const Tokenizer *tokenizer)
{
	PairFrame	frame = frame_of(tokenizer);

	return (frame.before >= 0) + frame.n_between + (frame.after >= 0);
}

/* ids is NULL when n is 0. */
static void
append(TokenList *list, const int32_t *ids, size_t n)
{
	if (n > 0)
		memcpy(list->ids + list->n, ids, n * sizeof(int32_t));
	list->n += n;
}

EngineCode
tokenizer_pair(const Tokenizer *tokenizer, const TokenList *a,
			   const TokenList *b, EngineArena *arena, TokenList *pair,
			   size_t *second, EngineStatus *status)
{
	PairFrame	frame = frame_of(tokenizer);
	size_t		n = a->n + b->n + (size_t) tokenizer_pair_specials(tokenizer);

	if (pair->max_tokens > 0 && n > pair->max_tokens)
		return engine_fail(status, ENGINE_LIMIT,
						   "pair of texts has %zu tokens, the limit is %zu",
						   n, pair->max_tokens);
	pair->ids = engine_alloc_raw(arena, n, sizeof(int32_t), status);
	if (pair->ids == NULL)
		return status->code;
	pair->n = 0;
	pair->capacity = n;
	append(pair, &frame.before, frame.before >= 0);
	append(pair, a->ids, a->n);
	append(pair, frame.between, (size_t) frame.n_between);
	*second = tokenizer->add_separator ? n : pair->n;
	append(pair, b->ids, b->n);
	append(pair, &frame.after, frame.after >= 0);
	return ENGINE_OK;
}
