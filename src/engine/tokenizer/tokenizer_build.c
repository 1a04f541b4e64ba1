/*-------------------------------------------------------------------------
 *
 * tokenizer_build.c
 *	  Filling the tokenizer's section of an image.
 *
 * The arrays were checked by tokenizer_plan(); they are read again here, and
 * nothing is written outside the planned section even if the source now says
 * something else.  The section depends on the file's bytes only.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "tokenizer/plan.h"
#include "tokenizer/special.h"
#include "tokenizer/unigram.h"
#include "tokenizer/wordpiece.h"

#define POLL_EVERY 256			/* elements: hashes of hostile texts collide */

typedef struct Builder
{
	const TokenizerPlan *plan;
	ByteSource *source;
	EngineArena *arena;
	const EngineHost *host;
	EngineStatus *status;
	TokenizerSection *section;
	uint32_t   *starts;
	char	   *texts;
	uint8_t    *infos;
	uint32_t   *slots;
} Builder;

/* With full-width bars and U+2581 for spaces */
static const char deepseek_end[] =
"<\xEF\xBD\x9C" "end\xE2\x96\x81of\xE2\x96\x81" "sentence\xEF\xBD\x9C>";

/* Texts of tokens that end a turn or a text, in models of all makers. */
static const char *const end_texts[] = {
	"<|eot_id|>",
	"<|im_end|>",
	"<|end|>",
	"<end_of_turn>",
	"<|endoftext|>",
	"<|end_of_text|>",
	"<|eom_id|>",
	"<|return|>",
	"<|call|>",
	"< EOT >",
	"<EOT>",
	"_<EOT>",
	deepseek_end
};

/* How many of these, from the first, can be what ends a turn (eot) */
#define N_TURN_TEXTS 4

static EngineCode
poll_host(const Builder *builder, uint64_t i)
{
	if (i % POLL_EVERY == 0 && engine_interrupted(builder->host))
		return engine_cancelled(builder->status);
	return ENGINE_OK;
}

static EngineCode
source_changed(const Builder *builder)
{
	return engine_fail(builder->status, ENGINE_IO,
					   "model file changed while it was read");
}

static bool
is_end_text(const char *text, size_t length)
{
	for (size_t i = 0; i < sizeof(end_texts) / sizeof(end_texts[0]); i++)
	{
		if (strlen(end_texts[i]) == length &&
			memcmp(end_texts[i], text, length) == 0)
			return true;
	}
	return false;
}

/* The type of a token when the file has no types. */
static TokenKind
guess_kind(const TokenizerSection *section, int32_t id, const char *text,
		   size_t length)
{
	if (section->model == TOKENIZER_BPE)
		return TOKEN_NORMAL;
	if (section->model == TOKENIZER_WORDPIECE)
		return wordpiece_kind(TOKEN_NORMAL, text, length);
	if (byte_token_value(text, length) >= 0)
		return TOKEN_BYTE;
	if (id == section->unknown)
		return TOKEN_UNKNOWN;
	if (id == section->bos || id == section->eos)
		return TOKEN_CONTROL;
	return TOKEN_NORMAL;
}

TokenKind
token_kind(const TokenizerSection *layout, int32_t id, uint64_t type,
		   const char *text, size_t length)
{
	TokenKind	kind = type != 0 ? (TokenKind) type :
		guess_kind(layout, id, text, length);

	if (layout->model == TOKENIZER_WORDPIECE)
		kind = wordpiece_kind(kind, text, length);
	return is_end_text(text, length) ? TOKEN_CONTROL : kind;
}

size_t
restore_spaces(char *text, size_t length)
{
	size_t		to = 0;

	for (size_t i = 0; i < length; to++)
	{
		if (length - i >= 3 && memcmp(text + i, "\xE2\x96\x81", 3) == 0)
		{
			text[to] = ' ';
			i += 3;
		}
		else
			text[to] = text[i++];
	}
	return to;
}

/*
 * Write the text of a piece to to as the bytes that it stands for, *n of them;
 * false when it is none.
 */
static bool
store_piece(int32_t model, const char *text, size_t length, char *to,
			size_t *n)
{
	switch (model)
	{
		case TOKENIZER_BPE:
			return byte_alphabet_decode(text, length, to, n);
		case TOKENIZER_WORDPIECE:
			*n = wordpiece_store(text, length, to);
			return true;
		default:
			memcpy(to, text, length);
			*n = restore_spaces(to, length);
			return true;
	}
}

/*
 * Store the text of one token at to, which has room for length bytes, as the
 * bytes that it stands for; returns their number.
 */
static size_t
store_text(Builder *builder, int32_t id, TokenKind kind, const char *text,
		   size_t length, char *to)
{
	int32_t		model = builder->section->model;
	uint8_t		info = (uint8_t) kind;
	size_t		n = length;

	if (is_end_text(text, length))
		info |= TOKEN_INFO_END;
	if (kind == TOKEN_NORMAL && store_piece(model, text, length, to, &n))
		info |= TOKEN_INFO_PIECE;
	else
	{
		n = length;
		memcpy(to, text, length);
		if (kind == TOKEN_USER_DEFINED &&
			(model == TOKENIZER_SPM || model == TOKENIZER_UNIGRAM))
			n = restore_spaces(to, length);
	}
	builder->infos[id] = info;
	return n;
}

static EngineCode
build_texts(Builder *builder)
{
	const TokenizerPlan *plan = builder->plan;
	GgufCursor	texts,
				types;
	uint32_t	used = 0;

	ENGINE_TRY(gguf_cursor_open(builder->source, plan->tokens, GGUF_STRING,
								builder->arena, &texts, builder->status));
	if (plan->types != NULL)
		ENGINE_TRY(gguf_cursor_open(builder->source, plan->types, GGUF_I32,
									builder->arena, &types,
									builder->status));
	for (int32_t id = 0; id < builder->section->n_tokens; id++)
	{
		const char *text;
		size_t		length;
		uint64_t	type = 0;
		TokenKind	kind;

		ENGINE_TRY(poll_host(builder, (uint64_t) id));
		ENGINE_TRY(gguf_next_string(&texts, TOKENIZER_LONGEST, &text,
									&length, builder->status));
		if (length > plan->text_bytes - used)
			return source_changed(builder);
		if (plan->types != NULL)
		{
			ENGINE_TRY(gguf_next_scalar(&types, &type, builder->status));
			if (type < TOKEN_NORMAL || type > TOKEN_BYTE)
				return source_changed(builder);
		}
		kind = token_kind(builder->section, id, type, text, length);
		if (kind == TOKEN_BYTE && byte_token_value(text, length) < 0)
			return source_changed(builder);
		builder->starts[id] = used;
		length = store_text(builder, id, kind, text, length,
							builder->texts + used);
		used += (uint32_t) length;
		builder->starts[id + 1] = used;
		if (length > builder->section->longest)
			builder->section->longest = (uint32_t) length;
	}
	return ENGINE_OK;
}

/* Later tokens take the place of earlier ones with the same text. */
static EngineCode
build_hash(Builder *builder)
{
	const TokenizerSection *section = builder->section;

	for (int32_t id = 0; id < section->n_tokens; id++)
	{
		size_t		length;
		const char *text = section_text(section, id, &length);
		bool		piece = (builder->infos[id] & TOKEN_INFO_PIECE) != 0;
		uint64_t	slot = hash_bytes(text, length) & section->slot_mask;

		ENGINE_TRY(poll_host(builder, (uint64_t) id));
		if (length == 0)
			continue;
		for (; builder->slots[slot] != 0;
			 slot = (slot + 1) & section->slot_mask)
		{
			int32_t		other = (int32_t) builder->slots[slot] - 1;
			size_t		n;
			const char *other_text = section_text(section, other, &n);

			if (n == length && memcmp(text, other_text, n) == 0 &&
				((builder->infos[other] & TOKEN_INFO_PIECE) != 0) == piece)
				break;
		}
		builder->slots[slot] = (uint32_t) id + 1;
	}
	return ENGINE_OK;
}

/* Which token stands for each single byte */
static void
build_bytes(Builder *builder)
{
	TokenizerSection *section = builder->section;

	for (int byte = 0; byte < 256; byte++)
	{
		char		c = (char) byte;

		section->bytes[byte] = section->model == TOKENIZER_BPE ?
			section_find(section, &c, 1, true) : -1;
	}
	if (section->model == TOKENIZER_BPE)
		return;
	for (int32_t id = 0; id < section->n_tokens; id++)
	{
		size_t		length;
		const char *text = section_text(section, id, &length);

		if ((builder->infos[id] & TOKEN_INFO_KIND) == TOKEN_BYTE)
			section->bytes[byte_token_value(text, length)] = id;
	}
}

/* The ids that end a generation, and eot by its text when no key names it */
static void
build_ends(Builder *builder)
{
	TokenizerSection *section = builder->section;
	int32_t		ids[3];

	for (int i = 0; i < N_TURN_TEXTS && section->eot < 0; i++)
		section->eot = section_find(section, end_texts[i],
									strlen(end_texts[i]), false);
	ids[0] = section->eos;
	ids[1] = section->eot;
	ids[2] = builder->plan->end_of_message;
	for (int i = 0; i < 3; i++)
	{
		if (ids[i] >= 0)
			builder->infos[ids[i]] |= TOKEN_INFO_END;
	}
}

/*
 * A score as a rank: bits of floats order like integers once negative ones are
 * turned around; high scores get low ranks.
 */
static uint32_t
rank_of_score(uint32_t bits)
{
	if (bits == 0x80000000)		/* -0 equals 0 */
		bits = 0;
	return bits & 0x80000000 ? bits : 0x7FFFFFFF - bits;
}

static EngineCode
build_ranks(Builder *builder)
{
	TokenizerSection *section = builder->section;
	uint32_t   *ranks = (uint32_t *) ((char *) section + section->ranks);
	GgufCursor	cursor;

	ENGINE_TRY(gguf_cursor_open(builder->source, builder->plan->scores,
								GGUF_F32, builder->arena, &cursor,
								builder->status));
	for (int32_t id = 0; id < section->n_tokens; id++)
	{
		uint64_t	bits;

		ENGINE_TRY(gguf_next_scalar(&cursor, &bits, builder->status));
		if ((bits & 0x7FFFFFFF) > 0x7F800000)
			return source_changed(builder);
		ranks[id] = rank_of_score((uint32_t) bits);
	}
	return ENGINE_OK;
}

/* Which bytes are neighbours within a piece */
static void
build_joins(Builder *builder)
{
	TokenizerSection *section = builder->section;

	for (int32_t id = 0; id < section->n_tokens; id++)
	{
		size_t		length;
		const char *text = section_text(section, id, &length);

		if (!(builder->infos[id] & TOKEN_INFO_PIECE))
			continue;
		for (size_t i = 1; i < length; i++)
		{
			uint32_t	pair = (uint32_t) (uint8_t) text[i - 1] << 8 |
				(uint8_t) text[i];

			section->joins[pair >> 6] |= UINT64_C(1) << (pair & 63);
		}
	}
}

/*
 * The tokens that "left right" names and the one they make.  A merge that
 * names something that is no piece can never apply, and is left out.
 */
static bool
resolve_merge(const TokenizerSection *section, const char *text,
			  size_t length, MergeSlot *merge)
{
	char		bytes[2 * TOKENIZER_LONGEST + 1];
	size_t		space = merge_space(text, length);
	size_t		n_left,
				n_right;

	if (space == 0 ||
		!store_piece(section->model, text, space, bytes, &n_left) ||
		!store_piece(section->model, text + space + 1, length - space - 1,
					 bytes + n_left, &n_right))
		return false;
	merge->left = section_find(section, bytes, n_left, true);
	merge->right = section_find(section, bytes + n_left, n_right, true);
	merge->merged = section_find(section, bytes, n_left + n_right, true);
	return merge->left >= 0 && merge->right >= 0 && merge->merged >= 0;
}

/* A pair that is listed twice has its last rank. */
static EngineCode
build_merges(Builder *builder)
{
	TokenizerSection *section = builder->section;
	const GgufKey *key = builder->plan->merges;
	MergeSlot  *slots = (MergeSlot *) ((char *) section + section->merges);
	GgufCursor	cursor;

	for (uint64_t i = 0; i <= section->merge_mask; i++)
		slots[i].left = -1;
	ENGINE_TRY(gguf_cursor_open(builder->source, key, GGUF_STRING,
								builder->arena, &cursor, builder->status));
	for (uint64_t rank = 0; rank < key->count; rank++)
	{
		const char *text;
		size_t		length;
		MergeSlot	merge = {.rank = (uint32_t) rank};
		uint64_t	slot;

		ENGINE_TRY(poll_host(builder, rank));
		ENGINE_TRY(gguf_next_string(&cursor, 2 * TOKENIZER_LONGEST + 1,
									&text, &length, builder->status));
		if (!resolve_merge(section, text, length, &merge))
			continue;
		slot = hash_pair(merge.left, merge.right) & section->merge_mask;
		while (slots[slot].left >= 0 &&
			   (slots[slot].left != merge.left ||
				slots[slot].right != merge.right))
			slot = (slot + 1) & section->merge_mask;
		slots[slot] = merge;
	}
	return ENGINE_OK;
}

/* Tokens that are cut out of the text: all of them, and user-defined ones. */
static EngineCode
build_specials(Builder *builder)
{
	TokenizerSection *section = builder->section;
	int32_t    *special = (int32_t *) ((char *) section +
									   section->special.ids);
	int32_t    *user = (int32_t *) ((char *) section + section->user.ids);
	uint32_t	n_special = 0;
	uint32_t	n_user = 0;

	for (int32_t id = 0; id < section->n_tokens; id++)
	{
		int			kind = builder->infos[id] & TOKEN_INFO_KIND;
		size_t		length;

		section_text(section, id, &length);
		if (length == 0)
			continue;
		if (kind == TOKEN_CONTROL || kind == TOKEN_UNKNOWN ||
			kind == TOKEN_USER_DEFINED)
			special[n_special++] = id;
		if (kind == TOKEN_USER_DEFINED)
			user[n_user++] = id;
	}
	ENGINE_TRY(special_index_build(section, &section->special, n_special,
								   builder->host, builder->status));
	return special_index_build(section, &section->user, n_user,
							   builder->host, builder->status);
}

EngineCode
tokenizer_build(const TokenizerPlan *plan, ByteSource *source,
				EngineArena *arena, const EngineHost *host, void *section,
				EngineStatus *status)
{
	TokenizerSection *self = section;
	Builder		builder = {
		.plan = plan, .source = source, .arena = arena, .host = host,
		.status = status, .section = self
	};

	memset(section, 0, plan->layout.size);
	memcpy(section, &plan->layout, sizeof(TokenizerSection));
	builder.starts = (uint32_t *) ((char *) section + self->text_starts);
	builder.texts = (char *) section + self->texts;
	builder.infos = (uint8_t *) section + self->infos;
	builder.slots = (uint32_t *) ((char *) section + self->slots);

	ENGINE_TRY(build_texts(&builder));
	ENGINE_TRY(build_hash(&builder));
	build_bytes(&builder);
	build_ends(&builder);
	if (self->model == TOKENIZER_SPM)
	{
		ENGINE_TRY(build_ranks(&builder));
		build_joins(&builder);
	}
	if (self->model == TOKENIZER_UNIGRAM)
		unigram_build(plan, self);
	if (self->model == TOKENIZER_BPE || (self->flags & TOKENIZER_BY_MERGES))
		ENGINE_TRY(build_merges(&builder));
	return build_specials(&builder);
}
