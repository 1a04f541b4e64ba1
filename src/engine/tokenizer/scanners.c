/*-------------------------------------------------------------------------
 *
 * scanners.c
 *	  One function per regular expression of the pre-tokenizers.
 *
 * Regular expressions are tried in order of their alternatives, each as far
 * as it goes: every scanner is written so that this needs no search, and walks
 * a text a constant number of times.  All runs are walked by functions that ask
 * the host now and then; once it wants to stop, they stop walking and the
 * words no longer matter.
 *
 * "Space" means White_Space.  Ill-formed bytes belong to no class.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "tokenizer/scanners.h"

#include <string.h>

#define CLASS_WORD (UNICODE_L | UNICODE_N)
#define CLASS_UPPER (UNICODE_LU | UNICODE_LT | UNICODE_LM | UNICODE_LO | \
					 UNICODE_M)
#define CLASS_LOWER (UNICODE_LL | UNICODE_LM | UNICODE_LO | UNICODE_M)

/* The code of the character at position, UINT32_MAX if there is none. */
static inline uint32_t
code_at(const Pretokenizer *self, size_t position, size_t end, int *length)
{
	uint32_t	code;

	*length = 0;
	if (position >= end)
		return UINT32_MAX;
	*length = utf8_decode(self->text + position, end - position, &code);
	if (*length > 0)
		return code;
	*length = 1;
	return UINT32_MAX;
}

/* The end of the run of characters whose class is (or is not) in classes. */
static size_t
run_of(Pretokenizer *self, size_t position, size_t end, uint32_t classes,
	   bool in)
{
	while (position < end)
	{
		size_t		stop = end - position > 4096 ? position + 4096 : end;
		size_t		start = position;

		while (position < stop)
		{
			int			length;
			uint32_t	class = class_at(self, position, end, &length);

			if (((class & classes) != 0) != in)
				return position;
			position += (size_t) length;
		}
		if (walk_stops(self, position - start))
			return end;
	}
	return position;
}

/* The end of the run of characters that a function accepts. */
static size_t
run_if(Pretokenizer *self, size_t position, size_t end,
	   bool (*accepts) (uint32_t code))
{
	while (position < end)
	{
		int			length;
		uint32_t	code = code_at(self, position, end, &length);

		if (!accepts(code) || walk_stops(self, (size_t) length))
			break;
		position += (size_t) length;
	}
	return position;
}

static inline bool
is_line_end(char c)
{
	return c == '\r' || c == '\n';
}

static size_t
run_of_line_ends(Pretokenizer *self, size_t position, size_t end, bool slash)
{
	while (position < end &&
		   (is_line_end(self->text[position]) ||
			(slash && self->text[position] == '/')) &&
		   !walk_stops(self, 1))
		position++;
	return position;
}

/* At most n numbers: \p{N}{1,n} */
static size_t
run_of_numbers(const Pretokenizer *self, size_t position, size_t end, int n)
{
	int			length;

	while (n-- > 0 && (class_at(self, position, end, &length) & UNICODE_N))
		position += (size_t) length;
	return position;
}

/*
 * English short forms, 's 't 're 've 'm 'll 'd: the length, or 0.  Ignoring
 * case, the long s (U+017F) is an s too.
 */
static size_t
short_form(const Pretokenizer *self, size_t position, size_t end,
		   bool any_case)
{
	const char *text = self->text + position;
	size_t		left = end - position;
	char		a,
				b;

	if (left < 2 || text[0] != '\'')
		return 0;
	a = text[1];
	b = left > 2 ? text[2] : '\0';
	if (any_case)
	{
		if (a == '\xC5' && b == '\xBF')
			return 3;
		if (a >= 'A' && a <= 'Z')
			a |= 0x20;
		if (b >= 'A' && b <= 'Z')
			b |= 0x20;
	}
	if (a == 's' || a == 't' || a == 'm' || a == 'd')
		return 2;
	if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') ||
		(a == 'l' && b == 'l'))
		return 3;
	return 0;
}

/*
 * \s+(?!\S)|\s+ : a run of spaces, without its last character when something
 * follows, unless it has only one.
 */
static size_t
scan_spaces(Pretokenizer *self, size_t position, size_t end)
{
	size_t		to = run_of(self, position, end, UNICODE_SPACE, true);
	size_t		last = to;

	if (to == end || to == position)
		return to;
	do
		last--;
	while (last > position && utf8_continues(self->text[last]));
	return last > position ? last : to;
}

/* \s*[\r\n]+ before that: a run of spaces up to its last line end */
static size_t
scan_lines_and_spaces(Pretokenizer *self, size_t position, size_t end)
{
	size_t		to = run_of(self, position, end, UNICODE_SPACE, true);

	for (size_t last = to; last > position && !walk_stops(self, 1); last--)
	{
		if (is_line_end(self->text[last - 1]))
			return last;
	}
	return scan_spaces(self, position, end);
}

/*
 * GPT-2: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+
 * |\s+(?!\S)|\s+
 */
static size_t
scan_gpt2(Pretokenizer *self, size_t position, size_t end)
{
	size_t		start = position;
	size_t		n = short_form(self, position, end, false);
	int			length;
	uint32_t	class;

	if (n > 0)
		return position + n;
	if (self->text[position] == ' ')
		start++;
	class = class_at(self, start, end, &length);
	if (class & UNICODE_L)
		return run_of(self, start, end, UNICODE_L, true);
	if (class & UNICODE_N)
		return run_of(self, start, end, UNICODE_N, true);
	if (class != 0 && !(class & UNICODE_SPACE))
		return run_of(self, start, end, CLASS_WORD | UNICODE_SPACE, false);
	return scan_spaces(self, position, end);
}

/*
 * Llama 3 and what followed: short forms in any case
 * |[^\r\n\p{L}\p{N}]?LETTERS+|\p{N}{1,digits}
 * | ?[^\s LETTERS \p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 */
static size_t
scan_words(Pretokenizer *self, size_t position, size_t end, uint32_t letters,
		   int digits)
{
	size_t		start = position;
	size_t		n = short_form(self, position, end, true);
	int			length,
				next_length;
	uint32_t	class = class_at(self, position, end, &length);

	if (n > 0)
		return position + n;
	if (class & letters)
		return run_of(self, position, end, letters, true);
	if (class & UNICODE_N)
		return run_of_numbers(self, position, end, digits);
	if (!is_line_end(self->text[position]) &&
		(class_at(self, position + (size_t) length, end, &next_length) &
		 letters))
		return run_of(self, position + (size_t) length, end, letters, true);
	if (self->text[position] == ' ')
		class = class_at(self, ++start, end, &length);
	if (class != 0 && !(class & (UNICODE_SPACE | letters | UNICODE_N)))
	{
		start = run_of(self, start, end, UNICODE_SPACE | letters | UNICODE_N,
					   false);
		return run_of_line_ends(self, start, end, false);
	}
	return scan_lines_and_spaces(self, position, end);
}

static size_t
scan_llama3(Pretokenizer *self, size_t position, size_t end)
{
	return scan_words(self, position, end, UNICODE_L, 3);
}

static size_t
scan_qwen2(Pretokenizer *self, size_t position, size_t end)
{
	return scan_words(self, position, end, UNICODE_L, 1);
}

static size_t
scan_qwen35(Pretokenizer *self, size_t position, size_t end)
{
	return scan_words(self, position, end, UNICODE_L | UNICODE_M, 1);
}

/*
 * UPPER*LOWER+ : as much of UPPER as leaves one of LOWER.  The two classes
 * overlap (letters without case, marks), so when no lower-case letter follows
 * the run of UPPER, its last character that is in both ends the match.
 */
static size_t
scan_capitalised(Pretokenizer *self, size_t position, size_t end)
{
	size_t		both_end = position;	/* after the last one in both */
	size_t		at = position;

	while (at < end)
	{
		int			length;
		uint32_t	class = class_at(self, at, end, &length);

		if (!(class & CLASS_UPPER))
			break;
		if (walk_stops(self, (size_t) length))
			return end;
		at += (size_t) length;
		if (class & CLASS_LOWER)
			both_end = at;
	}
	if (at < end)
	{
		int			length;

		if (class_at(self, at, end, &length) & CLASS_LOWER)
			return run_of(self, at, end, CLASS_LOWER, true);
	}
	return both_end;
}

/* UPPER+LOWER* */
static size_t
scan_upper(Pretokenizer *self, size_t position, size_t end)
{
	size_t		to = run_of(self, position, end, CLASS_UPPER, true);

	return to == position ? to :
		run_of(self, to, end, CLASS_LOWER, true);
}

/*
 * A word in which case matters, behind at most one character that is neither
 * letter nor number:
 * [^\r\n\p{L}\p{N}]?UPPER*LOWER+|[^\r\n\p{L}\p{N}]?UPPER+LOWER*
 */
static size_t
scan_cased_word(Pretokenizer *self, size_t position, size_t end)
{
	static size_t (*const alternatives[]) (Pretokenizer *, size_t, size_t) =
	{
		scan_capitalised, scan_upper
	};
	int			length;
	uint32_t	class = class_at(self, position, end, &length);
	bool		prefix = !(class & CLASS_WORD) &&
		!is_line_end(self->text[position]);
	size_t		after = position + (size_t) length;

	for (int i = 0; i < 2; i++)
	{
		size_t		to;

		if (prefix)
		{
			to = alternatives[i] (self, after, end);
			if (to > after)
				return to;
		}
		to = alternatives[i] (self, position, end);
		if (to > position)
			return to;
	}
	return position;
}

/*
 * Tekken and GPT-4o: the above, with short forms behind it for GPT-4o
 * |\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
 */
static size_t
scan_cased(Pretokenizer *self, size_t position, size_t end, bool short_forms,
		   int digits)
{
	size_t		to = scan_cased_word(self, position, end);
	size_t		start = position;
	int			length;
	uint32_t	class;

	if (to > position)
		return short_forms ? to + short_form(self, to, end, true) : to;
	class = class_at(self, position, end, &length);
	if (class & UNICODE_N)
		return run_of_numbers(self, position, end, digits);
	if (self->text[position] == ' ')
		class = class_at(self, ++start, end, &length);
	if (class != 0 && !(class & (UNICODE_SPACE | CLASS_WORD)))
	{
		start = run_of(self, start, end, UNICODE_SPACE | CLASS_WORD, false);
		return run_of_line_ends(self, start, end, true);
	}
	return scan_lines_and_spaces(self, position, end);
}

static size_t
scan_tekken(Pretokenizer *self, size_t position, size_t end)
{
	return scan_cased(self, position, end, false, 1);
}

static size_t
scan_gpt4o(Pretokenizer *self, size_t position, size_t end)
{
	return scan_cased(self, position, end, true, 3);
}

/* \p{N} */
static size_t
scan_number(Pretokenizer *self, size_t position, size_t end)
{
	return run_of_numbers(self, position, end, 1);
}

/* \p{N}{1,3} */
static size_t
scan_three_numbers(Pretokenizer *self, size_t position, size_t end)
{
	return run_of_numbers(self, position, end, 3);
}

/* \p{N}+ */
static size_t
scan_numbers(Pretokenizer *self, size_t position, size_t end)
{
	return run_of(self, position, end, UNICODE_N, true);
}

/* [0-9][0-9][0-9] */
static size_t
scan_three_digits(Pretokenizer *self, size_t position, size_t end)
{
	if (end - position < 3)
		return position;
	for (size_t i = 0; i < 3; i++)
	{
		char		c = self->text[position + i];

		if (c < '0' || c > '9')
			return position;
	}
	return position + 3;
}

static bool
is_punctuation_or(uint32_t code, const char *others)
{
	if (code > 0x10FFFF)
		return false;
	if (unicode_class(code) & UNICODE_P)
		return true;
	return code < 0x80 && code != 0 && strchr(others, (int) code) != NULL;
}

static bool
is_falcon_punctuation(uint32_t code)
{
	return is_punctuation_or(code, "$+<=>^~|`");
}

static bool
is_default_punctuation(uint32_t code)
{
	return is_punctuation_or(code, "$+<=>^~|");
}

/* [\p{P}\$\+<=>\^~\|`]+ */
static size_t
scan_falcon_punctuation(Pretokenizer *self, size_t position, size_t end)
{
	return run_if(self, position, end, is_falcon_punctuation);
}

/* [\p{P}\$\+<=>\^~\|]+ */
static size_t
scan_default_punctuation(Pretokenizer *self, size_t position, size_t end)
{
	return run_if(self, position, end, is_default_punctuation);
}

/* [\r\n] */
static size_t
scan_line_end(Pretokenizer *self, size_t position, size_t end)
{
	(void) end;
	return is_line_end(self->text[position]) ? position + 1 : position;
}

/* The start of a run behind at most one space: \s? */
static size_t
after_space(const Pretokenizer *self, size_t position, size_t end)
{
	int			length;
	uint32_t	class = class_at(self, position, end, &length);

	return (class & UNICODE_SPACE) ? position + (size_t) length : position;
}

/* \s?CLASS+ */
static size_t
scan_spaced_class(Pretokenizer *self, size_t position, size_t end,
				  uint32_t classes)
{
	size_t		start = after_space(self, position, end);
	size_t		to = run_of(self, start, end, classes, true);

	return to > start ? to : position;
}

static size_t
scan_spaced_letters(Pretokenizer *self, size_t position, size_t end)
{
	return scan_spaced_class(self, position, end, UNICODE_L);
}

static size_t
scan_spaced_punctuation(Pretokenizer *self, size_t position, size_t end)
{
	return scan_spaced_class(self, position, end, UNICODE_P);
}

/* The letters that DeepSeek LLM lists one by one */
static const uint32_t deepseek_letters[][2] = {
	{0x41, 0x5A}, {0x61, 0x7A}, {0xB5, 0xB5}, {0xC0, 0xD6}, {0xD8, 0xF6},
	{0xF8, 0x1BA}, {0x1BC, 0x1BF}, {0x1C4, 0x293}, {0x295, 0x2AF},
	{0x370, 0x373}, {0x376, 0x377}, {0x37B, 0x37D}, {0x37F, 0x37F},
	{0x386, 0x386}, {0x388, 0x38A}, {0x38C, 0x38C}, {0x38E, 0x3A1},
	{0x3A3, 0x3F5}, {0x3F7, 0x481}, {0x48A, 0x52F}, {0x531, 0x556},
	{0x10A0, 0x10C5}, {0x13A0, 0x13F5}, {0x13F8, 0x13FD}, {0x1C90, 0x1CBA},
	{0x1CBD, 0x1CBF}, {0x1D00, 0x1D2B}, {0x1D6B, 0x1D77}, {0x1D79, 0x1D9A},
	{0x1E00, 0x1F15}, {0x1F18, 0x1F1D}, {0x1F20, 0x1F45}, {0x1F48, 0x1F4D},
	{0x1F50, 0x1F57}, {0x1F59, 0x1F59}, {0x1F5B, 0x1F5B}, {0x1F5D, 0x1F5D},
	{0x1F5F, 0x1F7D}, {0x1F80, 0x1FB4}, {0x1FB6, 0x1FBC}, {0x1FBE, 0x1FBE},
	{0x1FC2, 0x1FC4}, {0x1FC6, 0x1FCC}, {0x1FD0, 0x1FD3}, {0x1FD6, 0x1FDB},
	{0x1FE0, 0x1FEC}, {0x1FF2, 0x1FF4}, {0x1FF6, 0x1FFC}, {0x2102, 0x2102},
	{0x2107, 0x2107}, {0x210A, 0x2113}, {0x2115, 0x2115}, {0x2119, 0x211D},
	{0x2124, 0x2124}, {0x2126, 0x2126}, {0x2128, 0x2128}, {0x212A, 0x212D},
	{0x212F, 0x2134}, {0x2139, 0x2139}, {0x213C, 0x213F}, {0x2145, 0x2149},
	{0x214E, 0x214E}, {0x2183, 0x2184}, {0x2C00, 0x2C7B}, {0x2C7E, 0x2CE4},
	{0x2CEB, 0x2CEE}, {0x2CF2, 0x2CF3}, {0xA640, 0xA66D}, {0xA680, 0xA69B},
	{0xA722, 0xA76F}, {0xA771, 0xA787}, {0xA78B, 0xA78E}, {0xAB70, 0xABBF},
	{0xFB00, 0xFB06}, {0xFB13, 0xFB17}, {0xFF21, 0xFF3A}, {0xFF41, 0xFF5A},
	{0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB},
	{0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF},
	{0x1E900, 0x1E943}
};

static bool
is_deepseek_letter(uint32_t code)
{
	int			low = 0;
	int			high = (int) (sizeof(deepseek_letters) /
							  sizeof(deepseek_letters[0]));

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (code > deepseek_letters[middle][1])
			low = middle + 1;
		else
			high = middle;
	}
	return low < (int) (sizeof(deepseek_letters) /
						sizeof(deepseek_letters[0])) &&
		code >= deepseek_letters[low][0];
}

/* [!-/:-~] and the same in full width, quotation marks, U+3000..3002 */
static bool
is_deepseek_punctuation(uint32_t code)
{
	return (code >= '!' && code <= '/') || (code >= ':' && code <= '~') ||
		(code >= 0xFF01 && code <= 0xFF0F) ||
		(code >= 0xFF1A && code <= 0xFF5E) ||
		(code >= 0x2018 && code <= 0x201F) ||
		(code >= 0x3000 && code <= 0x3002);
}

/*
 * \s?ACCEPTED+ : when what follows a space is not accepted, the space itself
 * may be (U+3000 is both).
 */
static size_t
scan_spaced_if(Pretokenizer *self, size_t position, size_t end,
			   bool (*accepts) (uint32_t code))
{
	size_t		start = after_space(self, position, end);
	size_t		to = run_if(self, start, end, accepts);

	if (to > start)
		return to;
	return start > position ? run_if(self, position, end, accepts) : position;
}

static size_t
scan_deepseek_letters(Pretokenizer *self, size_t position, size_t end)
{
	return scan_spaced_if(self, position, end, is_deepseek_letter);
}

static size_t
scan_deepseek_punctuation(Pretokenizer *self, size_t position, size_t end)
{
	return scan_spaced_if(self, position, end, is_deepseek_punctuation);
}

/* \s+$ */
static size_t
scan_final_spaces(Pretokenizer *self, size_t position, size_t end)
{
	size_t		to = run_of(self, position, end, UNICODE_SPACE, true);

	if (to == end)
		return to;
	if (to > position)
		self->skip = to;
	return position;
}

/* U+0800..9FA5 and Hangul: what DeepSeek's pattern covers, by its ends */
static bool
is_deepseek_ideograph(uint32_t code)
{
	return (code >= 0x0800 && code <= 0x9FA5) ||
		(code >= 0xAC00 && code <= 0xD7FF);
}

static size_t
scan_deepseek_ideographs(Pretokenizer *self, size_t position, size_t end)
{
	return run_if(self, position, end, is_deepseek_ideograph);
}

/* Ideographs, Hiragana, Katakana */
static bool
is_cjk(uint32_t code)
{
	return (code >= 0x4E00 && code <= 0x9FA5) ||
		(code >= 0x3040 && code <= 0x30FF);
}

static size_t
scan_cjk(Pretokenizer *self, size_t position, size_t end)
{
	return run_if(self, position, end, is_cjk);
}

static bool
is_ascii_letter(char c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool
is_ascii_punctuation(char c)
{
	return c > ' ' && c < 0x7F && !is_ascii_letter(c) &&
		!(c >= '0' && c <= '9');
}

/*
 * DeepSeek V3: [ASCII punctuation][A-Za-z]+
 * |[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*
 * |\s*[\r\n]+|\s+(?!\S)|\s+
 */
static size_t
scan_deepseek3(Pretokenizer *self, size_t position, size_t end)
{
	const uint32_t letters = UNICODE_L | UNICODE_M;
	const uint32_t signs = UNICODE_P | UNICODE_S;
	size_t		start = position;
	int			length,
				next_length;
	uint32_t	class = class_at(self, position, end, &length);

	if (is_ascii_punctuation(self->text[position]) && end - position > 1 &&
		is_ascii_letter(self->text[position + 1]))
	{
		for (start = position + 1; start < end &&
			 is_ascii_letter(self->text[start]) && !walk_stops(self, 1);)
			start++;
		return start;
	}
	if (class & letters)
		return run_of(self, position, end, letters, true);
	if (!(class & signs) && !is_line_end(self->text[position]) &&
		(class_at(self, position + (size_t) length, end, &next_length) &
		 letters))
		return run_of(self, position + (size_t) length, end, letters, true);
	if (self->text[position] == ' ')
		class = class_at(self, ++start, end, &length);
	if (class & signs)
	{
		start = run_of(self, start, end, signs, true);
		return run_of_line_ends(self, start, end, false);
	}
	return scan_lines_and_spaces(self, position, end);
}

/* Not [(\s|.,!?…。，、।۔،)] */
static bool
is_bloom_word(uint32_t code)
{
	static const uint32_t stops[] = {
		'(', '|', '.', ',', '!', '?', 0x2026, 0x3002, 0xFF0C, 0x3001, 0x0964,
		0x06D4, 0x060C, ')'
	};

	if (code > 0x10FFFF)
		return code == UINT32_MAX;
	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++)
	{
		if (code == stops[i])
			return false;
	}
	return (unicode_class(code) & UNICODE_SPACE) == 0;
}

/*  ?[^(\s|.,!?…。，、।۔،)]+ */
static size_t
scan_bloom(Pretokenizer *self, size_t position, size_t end)
{
	size_t		start = position + (self->text[position] == ' ');
	size_t		to = run_if(self, start, end, is_bloom_word);

	return to > start ? to : position;
}

const Scanner scanner_groups[][PRETOKENIZE_STAGES] = {
	[GROUP_LLAMA3] = {scan_llama3},
	[GROUP_QWEN2] = {scan_qwen2},
	[GROUP_QWEN35] = {scan_qwen35},
	[GROUP_GPT2] = {scan_gpt2},
	[GROUP_DIGITS_GPT2] = {scan_number, scan_gpt2},
	[GROUP_FALCON] = {scan_falcon_punctuation, scan_gpt2, scan_three_digits},
	[GROUP_DEEPSEEK_CODER] = {scan_line_end, scan_spaced_letters,
	scan_spaced_punctuation, scan_deepseek_ideographs, scan_number},
	[GROUP_DEEPSEEK_LLM] = {scan_line_end, scan_deepseek_letters,
		scan_deepseek_punctuation, scan_final_spaces,
	scan_deepseek_ideographs, scan_numbers},
	[GROUP_DEEPSEEK3] = {scan_three_numbers, scan_cjk, scan_deepseek3},
	[GROUP_TEKKEN] = {scan_tekken},
	[GROUP_GPT4O] = {scan_gpt4o},
	[GROUP_BLOOM] = {scan_bloom},
	[GROUP_VIKING] = {scan_bloom, scan_number},
	[GROUP_DEFAULT] = {scan_default_punctuation, scan_gpt2, scan_numbers,
	scan_three_digits}
};
