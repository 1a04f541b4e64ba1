/*-------------------------------------------------------------------------
 *
 * tokenizer_plan.c
 *	  Reading and checking the tokenizer keys of an untrusted GGUF file.
 *
 * Everything that a file can get wrong is found here, before an image exists:
 * arrays walked to their ends, lengths compared, ids in range.  Ids that the
 * file does not give but the format has defaults for count as missing when the
 * vocabulary is too small for them.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "tokenizer/plan.h"

#include "base/utf8.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/unigram.h"
#include "tokenizer/wordpiece.h"

#define PREFIX "tokenizer.ggml."
#define POLL_EVERY 4096			/* elements of an array */
#define ALIGNMENT 64			/* of each table of the section */

static EngineCode
poll_host(const EngineHost *host, uint64_t i, EngineStatus *status)
{
	if (i % POLL_EVERY == 0 && engine_interrupted(host))
		return engine_cancelled(status);
	return ENGINE_OK;
}

int
byte_token_value(const char *text, size_t length)
{
	int			value = 0;

	if (length != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
		return -1;
	for (int i = 3; i < 5; i++)
	{
		char		c = text[i];

		if (c >= '0' && c <= '9')
			value = value * 16 + (c - '0');
		else if (c >= 'A' && c <= 'F')
			value = value * 16 + (c - 'A' + 10);
		else if (c >= 'a' && c <= 'f')
			value = value * 16 + (c - 'a' + 10);
		else
			return -1;
	}
	return value;
}

/*
 * The byte for which a character stands, or -1.  Bytes 33..126, 161..172 and
 * 174..255 stand for themselves, the others follow from U+0100 in order.
 */
static int
byte_of_character(uint32_t code)
{
	if ((code >= 33 && code <= 126) || (code >= 161 && code <= 172) ||
		(code >= 174 && code <= 255))
		return (int) code;
	if (code < 256 || code >= 256 + 68)
		return -1;
	code -= 256;
	if (code < 33)
		return (int) code;
	if (code < 33 + 34)
		return (int) code - 33 + 127;
	return 173;
}

bool
byte_alphabet_decode(const char *text, size_t length, char *bytes, size_t *n)
{
	size_t		position = 0;

	*n = 0;
	while (position < length)
	{
		uint32_t	code;
		int			step = utf8_decode(text + position, length - position,
									   &code);
		int			byte = step > 0 ? byte_of_character(code) : -1;

		if (byte < 0)
			return false;
		bytes[(*n)++] = (char) byte;
		position += (size_t) step;
	}
	return true;
}

size_t
merge_space(const char *text, size_t length)
{
	const char *space;

	if (length < 3)
		return 0;
	space = memchr(text + 1, ' ', length - 2);
	return space == NULL ? 0 : (size_t) (space - text);
}

/*
 * An array of the tokenizer; *key is NULL when it is absent.  n_tokens > 0:
 * it must have exactly so many elements.
 */
static EngineCode
find_array(const GgufFile *file, const char *name, GgufValueType element,
		   uint64_t n_tokens, const GgufKey **key, EngineStatus *status)
{
	*key = gguf_find_key(file, name);
	if (*key == NULL)
		return ENGINE_OK;
	if ((*key)->type != GGUF_ARRAY || (*key)->element != element)
	{
		engine_fail(status, ENGINE_CORRUPT,
					"GGUF key \"%s\" has the wrong type", name);
		engine_detail(status, "It must be an array of %s.",
					  element == GGUF_STRING ? "strings" :
					  element == GGUF_F32 ? "f32" : "i32");
		return ENGINE_CORRUPT;
	}
	if (n_tokens > 0 && (*key)->count != n_tokens)
	{
		engine_fail(status, ENGINE_CORRUPT,
					"GGUF key \"%s\" has the wrong length", name);
		engine_detail(status, "It has %llu elements for %llu tokens.",
					  (unsigned long long) (*key)->count,
					  (unsigned long long) n_tokens);
		return ENGINE_CORRUPT;
	}
	return ENGINE_OK;
}

static EngineCode
unsupported(const char *what, const char *name, size_t length,
			EngineStatus *status)
{
	char		buf[64];

	return engine_fail(status, ENGINE_UNSUPPORTED,
					   "%s \"%s\" is not supported", what,
					   engine_printable(name, length, buf, sizeof(buf)));
}

/* The algorithm; *model is -1 when the file has no tokenizer. */
static EngineCode
read_model(const GgufFile *file, int32_t *model, EngineStatus *status)
{
	static const struct
	{
		const char *name;
		int32_t		model;
	}			models[] =
	{
		{"gpt2", TOKENIZER_BPE}, {"llama", TOKENIZER_SPM},
		{"bert", TOKENIZER_WORDPIECE}, {"t5", TOKENIZER_UNIGRAM},
		{"none", -1}, {"no_vocab", -1}
	};
	const char *name = "none";
	size_t		length = 4;

	ENGINE_TRY(gguf_get_string(file, PREFIX "model", &name, &length, status));
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
	{
		if (strlen(models[i].name) == length &&
			memcmp(models[i].name, name, length) == 0)
		{
			*model = models[i].model;
			return ENGINE_OK;
		}
	}
	return unsupported("tokenizer model", name, length, status);
}

static EngineCode
read_pretokenizer(const GgufFile *file, TokenizerSection *layout,
				  EngineStatus *status)
{
	const char *name = "default";
	size_t		length = 7;
	const PretokenizerName *found;

	ENGINE_TRY(gguf_get_string(file, PREFIX "pre", &name, &length, status));
	found = pretokenizer_by_name(name, length);
	if (found == NULL)
		return unsupported("pre-tokenizer", name, length, status);
	layout->group = found->group;
	layout->flags |= found->flags;
	return ENGINE_OK;
}

static EngineCode
read_flag(const GgufFile *file, const char *name, uint32_t bit,
		  TokenizerSection *layout, EngineStatus *status)
{
	bool		value = (layout->flags & bit) != 0;

	ENGINE_TRY(gguf_get_bool(file, name, &value, status));
	layout->flags = value ? layout->flags | bit : layout->flags & ~bit;
	return ENGINE_OK;
}

/*
 * Keys of ours, for what tokenizer.json can say and the keys of other engines
 * cannot: normalising and merging other than the name of the pre-tokenizer
 * means, how SPM goes about merges and the space before a text, and what white
 * space is to Unigram.
 */
static EngineCode
read_own_flags(const GgufFile *file, TokenizerSection *layout,
			   EngineStatus *status)
{
	if (layout->model == TOKENIZER_BPE)
	{
		ENGINE_TRY(read_flag(file, "tokenizer.llm.nfc", TOKENIZER_NFC,
							 layout, status));
		return read_flag(file, "tokenizer.llm.ignore_merges",
						 TOKENIZER_IGNORE_MERGES, layout, status);
	}
	if (layout->model == TOKENIZER_UNIGRAM)
	{
		ENGINE_TRY(read_flag(file, "tokenizer.llm.spaces_only",
							 TOKENIZER_SPACES_ONLY, layout, status));
		ENGINE_TRY(read_flag(file, "tokenizer.llm.keep_end",
							 TOKENIZER_KEEP_END, layout, status));
		return read_flag(file, "tokenizer.llm.keep_runs",
						 TOKENIZER_KEEP_RUNS, layout, status);
	}
	if (layout->model != TOKENIZER_SPM)
		return ENGINE_OK;
	ENGINE_TRY(read_flag(file, "tokenizer.llm.merges", TOKENIZER_BY_MERGES,
						 layout, status));
	ENGINE_TRY(read_flag(file, "tokenizer.llm.prefix_first",
						 TOKENIZER_PREFIX_FIRST, layout, status));
	return read_flag(file, "tokenizer.llm.prefix_once",
					 TOKENIZER_PREFIX_ONCE, layout, status);
}

/* Are there merges in the section? */
static bool
has_merges(const TokenizerSection *layout)
{
	return layout->model == TOKENIZER_BPE ||
		(layout->flags & TOKENIZER_BY_MERGES) != 0;
}

static EngineCode
read_flags(const GgufFile *file, TokenizerSection *layout,
		   EngineStatus *status)
{
	if (layout->model == TOKENIZER_SPM)
		layout->flags |= TOKENIZER_ADD_BOS | TOKENIZER_SPACE_PREFIX;
	if (layout->model == TOKENIZER_WORDPIECE)
		layout->flags |= TOKENIZER_ADD_BOS | TOKENIZER_ADD_EOS;
	if (layout->model == TOKENIZER_UNIGRAM)
		layout->flags |= TOKENIZER_ADD_EOS | TOKENIZER_SPACE_PREFIX |
			TOKENIZER_TRIM_SPACES;
	ENGINE_TRY(read_flag(file, PREFIX "add_bos_token", TOKENIZER_ADD_BOS,
						 layout, status));
	ENGINE_TRY(read_flag(file, PREFIX "add_eos_token", TOKENIZER_ADD_EOS,
						 layout, status));
	ENGINE_TRY(read_flag(file, PREFIX "add_sep_token",
						 TOKENIZER_ADD_SEPARATOR, layout, status));
	ENGINE_TRY(read_flag(file, PREFIX "remove_extra_whitespaces",
						 TOKENIZER_TRIM_SPACES, layout, status));
	ENGINE_TRY(read_flag(file, PREFIX "add_space_prefix",
						 TOKENIZER_SPACE_PREFIX, layout, status));
	return read_own_flags(file, layout, status);
}

/*
 * Ids of special tokens.  llama.cpp gives byte-level models without the keys
 * bos = eos = 11, which is a comma in most of them; here they have none.
 */
static EngineCode
read_ids(const GgufFile *file, TokenizerPlan *plan, EngineStatus *status)
{
	TokenizerSection *layout = &plan->layout;
	bool		spm = layout->model == TOKENIZER_SPM;
	bool		unigram = layout->model == TOKENIZER_UNIGRAM;
	int32_t		unused,
				class;
	const struct
	{
		const char *name;
		int32_t		missing;
		int32_t    *id;
	}			keys[] =
	{
		{PREFIX "bos_token_id", spm ? 1 : -1, &layout->bos},
		{PREFIX "eos_token_id", spm ? 2 : unigram ? 1 : -1,
		&layout->eos},
		{PREFIX "unknown_token_id", spm ? 0 : unigram ? 2 : -1,
		&layout->unknown},
		{PREFIX "padding_token_id", unigram ? 0 : -1, &layout->padding},
		{PREFIX "seperator_token_id", -1, &layout->separator},
		{PREFIX "eot_token_id", -1, &layout->eot},
		{PREFIX "eom_token_id", -1, &plan->end_of_message},
		{PREFIX "cls_token_id", -1, &class},
		{PREFIX "mask_token_id", -1, &unused},
		{PREFIX "fim_pre_token_id", -1, &unused},
		{PREFIX "fim_suf_token_id", -1, &unused},
		{PREFIX "fim_mid_token_id", -1, &unused},
		{PREFIX "fim_pad_token_id", -1, &unused},
		{PREFIX "fim_rep_token_id", -1, &unused},
		{PREFIX "fim_sep_token_id", -1, &unused},
		{PREFIX "prefix_token_id", -1, &unused},
		{PREFIX "suffix_token_id", -1, &unused},
		{PREFIX "middle_token_id", -1, &unused}
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
	{
		int64_t		id = keys[i].missing;

		if (id >= layout->n_tokens)
			id = -1;
		ENGINE_TRY(gguf_get_int(file, keys[i].name, 0, layout->n_tokens - 1,
								&id, status));
		*keys[i].id = (int32_t) id;
	}
	if (layout->model == TOKENIZER_WORDPIECE)
		wordpiece_ids(layout, class);
	return ENGINE_OK;
}

static EngineCode
check_counts(const TokenizerPlan *plan, int32_t n_rows, EngineStatus *status)
{
	uint64_t	n = plan->tokens->count;

	if (n == 0)
		return engine_fail(status, ENGINE_CORRUPT,
						   "GGUF key \"%s\" is empty", PREFIX "tokens");
	if (n > TOKENIZER_MOST_TOKENS)
		return engine_fail(status, ENGINE_LIMIT,
						   "tokenizer has %llu tokens, the limit is %d",
						   (unsigned long long) n, TOKENIZER_MOST_TOKENS);
	if (n_rows < 0 || n > (uint64_t) n_rows)
	{
		engine_fail(status, ENGINE_CORRUPT,
					"tokenizer has more tokens than the embedding has rows");
		engine_detail(status, "There are %llu tokens and %d rows.",
					  (unsigned long long) n, (int) n_rows);
		return ENGINE_CORRUPT;
	}
	if (plan->merges != NULL && plan->merges->count > TOKENIZER_MOST_MERGES)
		return engine_fail(status, ENGINE_LIMIT,
						   "tokenizer has %llu merges, the limit is %d",
						   (unsigned long long) plan->merges->count,
						   TOKENIZER_MOST_MERGES);
	return ENGINE_OK;
}

static EngineCode
find_arrays(const GgufFile *file, TokenizerPlan *plan, int32_t n_rows,
			EngineStatus *status)
{
	int32_t		model = plan->layout.model;
	const char *missing = NULL;

	ENGINE_TRY(find_array(file, PREFIX "tokens", GGUF_STRING, 0,
						  &plan->tokens, status));
	ENGINE_TRY(find_array(file, PREFIX "merges", GGUF_STRING, 0,
						  &plan->merges, status));
	if (plan->tokens == NULL)
		missing = PREFIX "tokens";
	else if (has_merges(&plan->layout) && plan->merges == NULL)
		missing = PREFIX "merges";
	else
	{
		ENGINE_TRY(check_counts(plan, n_rows, status));
		ENGINE_TRY(find_array(file, PREFIX "token_type", GGUF_I32,
							  plan->tokens->count, &plan->types, status));
		ENGINE_TRY(find_array(file, PREFIX "scores", GGUF_F32,
							  plan->tokens->count, &plan->scores, status));
		if ((model == TOKENIZER_SPM || model == TOKENIZER_UNIGRAM) &&
			plan->scores == NULL)
			missing = PREFIX "scores";
	}
	if (missing != NULL)
		return engine_fail(status, ENGINE_CORRUPT,
						   "GGUF key \"%s\" is missing", missing);
	plan->layout.n_tokens = (int32_t) plan->tokens->count;
	return ENGINE_OK;
}

static EngineCode
bad_element(const char *name, uint64_t i, const char *problem,
			EngineStatus *status)
{
	return engine_fail(status, ENGINE_CORRUPT,
					   "element %llu of GGUF key \"%s\" %s",
					   (unsigned long long) i, name, problem);
}

/*
 * Walk token texts together with their types.  Byte tokens must say which
 * byte they are; all texts together are bounded.
 */
static EngineCode
check_tokens(TokenizerPlan *plan, ByteSource *source, EngineArena *arena,
			 const EngineHost *host, EngineStatus *status)
{
	GgufCursor	texts,
				types;

	ENGINE_TRY(gguf_cursor_open(source, plan->tokens, GGUF_STRING, arena,
								&texts, status));
	if (plan->types != NULL)
		ENGINE_TRY(gguf_cursor_open(source, plan->types, GGUF_I32, arena,
									&types, status));
	for (uint64_t i = 0; i < plan->tokens->count; i++)
	{
		const char *text;
		size_t		length;
		uint64_t	bits = TOKEN_NORMAL;

		ENGINE_TRY(poll_host(host, i, status));
		ENGINE_TRY(gguf_next_string(&texts, TOKENIZER_LONGEST, &text,
									&length, status));
		if (plan->types != NULL)
			ENGINE_TRY(gguf_next_scalar(&types, &bits, status));
		if (bits < TOKEN_NORMAL || bits > TOKEN_BYTE)
			return bad_element(PREFIX "token_type", i, "is no token type",
							   status);
		if (bits == TOKEN_BYTE && byte_token_value(text, length) < 0)
			return bad_element(PREFIX "tokens", i,
							   "is a byte token, but not \"<0x00>\" to "
							   "\"<0xFF>\"", status);
		plan->cased = plan->cased ||
			(bits == TOKEN_NORMAL && wordpiece_cased(text, length));
		plan->text_bytes += length;
		if (plan->text_bytes > TOKENIZER_MOST_TEXT)
			return engine_fail(status, ENGINE_LIMIT,
							   "texts of tokens are longer than 256 MB "
							   "together");
	}
	return ENGINE_OK;
}

static EngineCode
check_scores(const TokenizerPlan *plan, ByteSource *source,
			 EngineArena *arena, const EngineHost *host,
			 EngineStatus *status)
{
	GgufCursor	cursor;

	if (plan->scores == NULL)
		return ENGINE_OK;
	ENGINE_TRY(gguf_cursor_open(source, plan->scores, GGUF_F32, arena,
								&cursor, status));
	for (uint64_t i = 0; i < plan->scores->count; i++)
	{
		uint64_t	bits;

		ENGINE_TRY(poll_host(host, i, status));
		ENGINE_TRY(gguf_next_scalar(&cursor, &bits, status));
		if ((bits & 0x7FFFFFFF) > 0x7F800000)
			return bad_element(PREFIX "scores", i, "is not a number", status);
	}
	return ENGINE_OK;
}

static EngineCode
check_merges(const TokenizerPlan *plan, ByteSource *source,
			 EngineArena *arena, const EngineHost *host,
			 EngineStatus *status)
{
	GgufCursor	cursor;

	if (plan->merges == NULL)
		return ENGINE_OK;
	ENGINE_TRY(gguf_cursor_open(source, plan->merges, GGUF_STRING, arena,
								&cursor, status));
	for (uint64_t i = 0; i < plan->merges->count; i++)
	{
		const char *text;
		size_t		length;

		ENGINE_TRY(poll_host(host, i, status));
		ENGINE_TRY(gguf_next_string(&cursor, 2 * TOKENIZER_LONGEST + 1,
									&text, &length, status));
		if (merge_space(text, length) == 0)
			return bad_element(PREFIX "merges", i,
							   "is not two tokens with a space between",
							   status);
	}
	return ENGINE_OK;
}

/* A place for count elements; all counts are bounded, so nothing wraps. */
static uint64_t
place(TokenizerSection *layout, uint64_t count, uint64_t size)
{
	uint64_t	offset = layout->size;

	layout->size += (count * size + ALIGNMENT - 1) & ~(uint64_t)
		(ALIGNMENT - 1);
	return offset;
}

/* Slots for a hash of n entries: a power of two, at most two thirds full */
static uint64_t
hash_slots(uint64_t n)
{
	uint64_t	slots = 16;

	while (slots < n + n / 2 + 1)
		slots *= 2;
	return slots;
}

static void
lay_out(TokenizerPlan *plan)
{
	TokenizerSection *layout = &plan->layout;
	uint64_t	n = (uint64_t) layout->n_tokens;

	layout->size = 0;
	place(layout, 1, sizeof(TokenizerSection));
	layout->text_starts = place(layout, n + 1, sizeof(uint32_t));
	layout->texts = place(layout, plan->text_bytes, 1);
	layout->infos = place(layout, n, 1);
	layout->slot_mask = hash_slots(n) - 1;
	layout->slots = place(layout, layout->slot_mask + 1, sizeof(uint32_t));
	layout->special.ids = place(layout, n, sizeof(int32_t));
	layout->user.ids = place(layout, n, sizeof(int32_t));
	if (layout->model == TOKENIZER_SPM)
		layout->ranks = place(layout, n, sizeof(uint32_t));
	if (layout->model == TOKENIZER_UNIGRAM)
	{
		UnigramTables *tables = &layout->unigram;

		tables->units = place(layout, tables->n_units, sizeof(UnigramUnit));
		tables->rules = place(layout, tables->n_rules, sizeof(uint32_t));
		tables->replacements = place(layout, tables->n_replacements, 1);
	}
	if (has_merges(layout))
	{
		layout->merge_mask = hash_slots(plan->merges->count) - 1;
		layout->merges = place(layout, layout->merge_mask + 1,
							   sizeof(MergeSlot));
	}
}

EngineCode
tokenizer_plan(const GgufFile *file, ByteSource *source, int32_t n_rows,
			   EngineArena *arena, const EngineHost *host,
			   TokenizerPlan **plan, uint64_t *size, EngineStatus *status)
{
	TokenizerPlan *self;

	*plan = NULL;
	*size = 0;
	self = engine_alloc(arena, 1, sizeof(TokenizerPlan), status);
	if (self == NULL)
		return status->code;
	ENGINE_TRY(read_model(file, &self->layout.model, status));
	if (self->layout.model < 0)
		return ENGINE_OK;
	if (self->layout.model == TOKENIZER_BPE)
		ENGINE_TRY(read_pretokenizer(file, &self->layout, status));
	ENGINE_TRY(read_flags(file, &self->layout, status));
	ENGINE_TRY(find_arrays(file, self, n_rows, status));
	ENGINE_TRY(read_ids(file, self, status));
	ENGINE_TRY(check_tokens(self, source, arena, host, status));
	ENGINE_TRY(check_scores(self, source, arena, host, status));
	ENGINE_TRY(check_merges(self, source, arena, host, status));
	if (self->layout.model == TOKENIZER_WORDPIECE)
		ENGINE_TRY(wordpiece_read_keys(file, self, status));
	if (self->layout.model == TOKENIZER_UNIGRAM)
		ENGINE_TRY(unigram_plan(file, source, arena, host, self, status));
	lay_out(self);
	*plan = self;
	*size = self->layout.size;
	return ENGINE_OK;
}
