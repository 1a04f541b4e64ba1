/*-------------------------------------------------------------------------
 *
 * special.c
 *	  Cutting a text at special tokens.
 *
 * The tokens are sorted by text, so those that begin with the bytes read so
 * far are a range, and each further byte narrows it by binary search: a trie
 * without nodes.  Within a range the token that ends here comes first.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "tokenizer/special.h"

#define POLL_EVERY 65536		/* bytes walked over or compared */

static bool
no_content(const uint8_t *content, size_t length)
{
	for (size_t i = 0; i < length; i++)
	{
		if (content[i] != 0)
			return false;
	}
	return true;
}

/* Is the token allowed to be recognised here? */
static bool
token_allowed(const SpecialScan *scan, int32_t id, size_t start, size_t end)
{
	if ((section_info(scan->section, id) & TOKEN_INFO_KIND) ==
		TOKEN_USER_DEFINED)
		return true;
	if (!scan->parse_special)
		return false;
	return scan->content == NULL ||
		no_content(scan->content + start, end - start);
}

/* The first of ids[low..high) whose byte at depth is >= byte. */
static uint32_t
lower_bound(const TokenizerSection *section, const int32_t *ids,
			uint32_t low, uint32_t high, size_t depth, unsigned int byte)
{
	while (low < high)
	{
		uint32_t	middle = low + (high - low) / 2;
		size_t		length;
		const char *text = section_text(section, ids[middle], &length);

		if ((uint8_t) text[depth] < byte)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The longest allowed token at start, or -1; *walked counts bytes compared. */
static int32_t
longest_at(const SpecialScan *scan, const SpecialIndex *index, size_t start,
		   size_t *end, size_t *walked)
{
	const TokenizerSection *section = scan->section;
	const int32_t *ids = section_at(section, index->ids);
	uint8_t		byte = (uint8_t) scan->text[start];
	uint32_t	low = index->first[byte];
	uint32_t	high = index->first[byte + 1];
	int32_t		found = -1;
	size_t		depth = 1;

	while (low < high)
	{
		size_t		length;

		section_text(section, ids[low], &length);
		if (length == depth)
		{
			if (token_allowed(scan, ids[low], start, start + depth))
			{
				found = ids[low];
				*end = start + depth;
			}
			low++;
		}
		if (low == high || start + depth == scan->length)
			break;
		byte = (uint8_t) scan->text[start + depth];
		low = lower_bound(section, ids, low, high, depth, byte);
		high = lower_bound(section, ids, low, high, depth, byte + 1u);
		depth++;
	}
	*walked += depth;
	return found;
}

EngineCode
special_next(const SpecialScan *scan, size_t position, size_t *start,
			 size_t *end, int32_t *id)
{
	const SpecialIndex *index = scan->parse_special ?
		&scan->section->special : &scan->section->user;
	size_t		walked = 0;

	*id = -1;
	*start = *end = scan->length;
	if (index->count == 0)
		return ENGINE_OK;
	for (; position < scan->length; position++)
	{
		uint8_t		byte = (uint8_t) scan->text[position];

		if (++walked >= POLL_EVERY)
		{
			if (engine_interrupted(scan->host))
				return engine_cancelled(scan->status);
			walked = 0;
		}
		if (index->first[byte] == index->first[byte + 1])
			continue;
		*id = longest_at(scan, index, position, end, &walked);
		if (*id >= 0)
		{
			*start = position;
			return ENGINE_OK;
		}
	}
	return ENGINE_OK;
}

/* Order by text, and by id where texts are equal. */
static int
compare_ids(const TokenizerSection *section, int32_t a, int32_t b)
{
	size_t		a_length,
				b_length;
	const char *a_text = section_text(section, a, &a_length);
	const char *b_text = section_text(section, b, &b_length);
	int			order = memcmp(a_text, b_text,
							   a_length < b_length ? a_length : b_length);

	if (order != 0)
		return order;
	if (a_length != b_length)
		return a_length < b_length ? -1 : 1;
	return a < b ? -1 : a > b;
}

static void
sift_down(const TokenizerSection *section, int32_t *ids, uint32_t n,
		  uint32_t hole)
{
	int32_t		value = ids[hole];

	for (;;)
	{
		uint32_t	child = hole * 2 + 1;

		if (child >= n)
			break;
		if (child + 1 < n &&
			compare_ids(section, ids[child], ids[child + 1]) < 0)
			child++;
		if (compare_ids(section, value, ids[child]) >= 0)
			break;
		ids[hole] = ids[child];
		hole = child;
	}
	ids[hole] = value;
}

/* Heap sort: in place, and never quadratic. */
static EngineCode
sort_ids(const TokenizerSection *section, int32_t *ids, uint32_t n,
		 const EngineHost *host, EngineStatus *status)
{
	for (uint32_t i = n / 2; i-- > 0;)
		sift_down(section, ids, n, i);
	for (uint32_t last = n; last-- > 1;)
	{
		int32_t		largest = ids[0];

		if (last % 1024 == 0 && engine_interrupted(host))
			return engine_cancelled(status);
		ids[0] = ids[last];
		ids[last] = largest;
		sift_down(section, ids, last, 0);
	}
	return ENGINE_OK;
}

static bool
same_text(const TokenizerSection *section, int32_t a, int32_t b)
{
	size_t		a_length,
				b_length;
	const char *a_text = section_text(section, a, &a_length);
	const char *b_text = section_text(section, b, &b_length);

	return a_length == b_length && memcmp(a_text, b_text, a_length) == 0;
}

EngineCode
special_index_build(TokenizerSection *section, SpecialIndex *index,
					uint32_t n, const EngineHost *host, EngineStatus *status)
{
	int32_t    *ids = (int32_t *) ((char *) section + index->ids);
	uint32_t	kept = 0;
	uint32_t	next = 0;

	ENGINE_TRY(sort_ids(section, ids, n, host, status));
	for (uint32_t i = 0; i < n; i++)
	{
		if (i + 1 == n || !same_text(section, ids[i], ids[i + 1]))
			ids[kept++] = ids[i];
	}
	index->count = kept;
	for (int byte = 0; byte <= 256; byte++)
	{
		size_t		length;

		while (next < kept &&
			   (uint8_t) section_text(section, ids[next], &length)[0] < byte)
			next++;
		index->first[byte] = next;
	}
	return ENGINE_OK;
}
