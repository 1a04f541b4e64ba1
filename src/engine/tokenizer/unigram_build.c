/*-------------------------------------------------------------------------
 *
 * unigram_build.c
 *	  Unigram's tables of a section: trie of pieces and normalisation rules.
 *
 * They are made when the file is checked, because only then their size is
 * known, and copied when the section is built.  Should the file be another one
 * by then, trie and texts do not fit together; no access depends on that.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/unigram.h"

#define POLL_EVERY 4096			/* tokens */
#define UNKNOWN_PENALTY 10

/* What walks over all tokens */
typedef struct TokenWalk
{
	GgufCursor	texts;
	GgufCursor	types;
	GgufCursor	scores;
	bool		typed;
} TokenWalk;

static EngineCode
walk_open(TokenWalk *walk, const TokenizerPlan *plan, ByteSource *source,
		  EngineArena *arena, EngineStatus *status)
{
	ENGINE_TRY(gguf_cursor_open(source, plan->tokens, GGUF_STRING, arena,
								&walk->texts, status));
	ENGINE_TRY(gguf_cursor_open(source, plan->scores, GGUF_F32, arena,
								&walk->scores, status));
	walk->typed = plan->types != NULL;
	if (walk->typed)
		ENGINE_TRY(gguf_cursor_open(source, plan->types, GGUF_I32, arena,
									&walk->types, status));
	return ENGINE_OK;
}

static EngineCode
walk_next(TokenWalk *walk, const char **text, size_t *length, uint64_t *type,
		  float *score, EngineStatus *status)
{
	uint64_t	bits;
	uint32_t	low;

	*type = 0;
	ENGINE_TRY(gguf_next_string(&walk->texts, TOKENIZER_LONGEST, text,
								length, status));
	ENGINE_TRY(gguf_next_scalar(&walk->scores, &bits, status));
	low = (uint32_t) bits;
	memcpy(score, &low, sizeof(low));
	if (walk->typed)
		ENGINE_TRY(gguf_next_scalar(&walk->types, type, status));
	return ENGINE_OK;
}

static EngineCode
add_pieces(TokenWalk *walk, TokenizerPlan *plan, TrieBuilder *trie,
		   const EngineHost *host, EngineStatus *status)
{
	UnigramTables *tables = &plan->layout.unigram;
	char		piece[TOKENIZER_LONGEST];
	bool		any = false;

	for (int32_t id = 0; id < plan->layout.n_tokens; id++)
	{
		const char *text;
		size_t		length;
		uint64_t	type;
		float		score;

		if (id % POLL_EVERY == 0 && engine_interrupted(host))
			return engine_cancelled(status);
		ENGINE_TRY(walk_next(walk, &text, &length, &type, &score, status));
		if (length == 0 || token_kind(&plan->layout, id, type, text,
									  length) != TOKEN_NORMAL)
			continue;
		if (!(score - score == 0))
			return engine_fail(status, ENGINE_CORRUPT,
							   "element %d of GGUF key "
							   "\"tokenizer.ggml.scores\" is not finite", id);
		memcpy(piece, text, length);
		length = restore_spaces(piece, length);
		if (length > tables->longest)
			tables->longest = (uint32_t) length;
		if (!any || score < tables->unknown_score)
			tables->unknown_score = score;
		any = true;
		ENGINE_TRY(trie_add(trie, piece, length, score));
	}
	tables->unknown_score -= UNKNOWN_PENALTY;
	return ENGINE_OK;
}

EngineCode
unigram_plan(const GgufFile *file, ByteSource *source, EngineArena *arena,
			 const EngineHost *host, TokenizerPlan *plan,
			 EngineStatus *status)
{
	TokenWalk	walk;
	TrieBuilder *trie;

	ENGINE_TRY(charsmap_plan(file, source, arena, host, plan, status));
	ENGINE_TRY(walk_open(&walk, plan, source, arena, status));
	trie = trie_begin(arena, host, status);
	if (trie == NULL)
		return status->code;
	ENGINE_TRY(add_pieces(&walk, plan, trie, host, status));
	return trie_pack(trie, &plan->units, &plan->layout.unigram.n_units);
}

void
unigram_build(const TokenizerPlan *plan, TokenizerSection *section)
{
	const UnigramTables *tables = &section->unigram;
	char	   *base = (char *) section;

	memcpy(base + tables->units, plan->units,
		   tables->n_units * sizeof(UnigramUnit));
	if (tables->n_rules > 0)
		memcpy(base + tables->rules, plan->rules,
			   tables->n_rules * sizeof(uint32_t));
	if (tables->n_replacements > 0)
		memcpy(base + tables->replacements, plan->replacements,
			   tables->n_replacements);
}
