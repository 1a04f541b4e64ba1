/*-------------------------------------------------------------------------
 *
 * safetensors_sort.c
 *	  Sorting the tensors of safetensors files, and finding one.
 *
 * Runs are merged from below, so that no choice of names or offsets makes it
 * slow.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/safetensors_sort.h"

#include <string.h>

bool
safetensors_after_by_name(const SafeTensor *a, const SafeTensor *b)
{
	return strcmp(a->name, b->name) > 0;
}

bool
safetensors_after_by_offset(const SafeTensor *a, const SafeTensor *b)
{
	if (a->offset != b->offset)
		return a->offset > b->offset;
	return a->bytes > b->bytes;
}

static void
merge_runs(const SafeTensor *from, SafeTensor *to, uint32_t begin,
		   uint32_t middle, uint32_t end, SafeAfter after)
{
	uint32_t	left = begin;
	uint32_t	right = middle;

	for (uint32_t i = begin; i < end; i++)
	{
		if (right == end ||
			(left < middle && !after(&from[left], &from[right])))
			to[i] = from[left++];
		else
			to[i] = from[right++];
	}
}

EngineCode
safetensors_sort(SafeTensors *tensors, SafeAfter after, EngineArena *arena,
				 EngineStatus *status)
{
	uint32_t	n = tensors->n;
	SafeTensor *from = tensors->tensors;
	SafeTensor *to = engine_alloc(arena, n, sizeof(SafeTensor), status);

	if (to == NULL)
		return status->code;
	for (uint32_t run = 1; run < n; run *= 2)
	{
		SafeTensor *swap = from;

		for (uint32_t begin = 0; begin < n; begin += 2 * run)
		{
			uint32_t	middle = n - begin > run ? begin + run : n;
			uint32_t	end = n - middle > run ? middle + run : n;

			merge_runs(from, to, begin, middle, end, after);
		}
		from = to;
		to = swap;
	}
	tensors->tensors = from;
	return ENGINE_OK;
}

const SafeTensor *
safetensors_find(const SafeTensors *tensors, const char *name)
{
	uint32_t	low = 0;
	uint32_t	high = tensors->n;

	while (low < high)
	{
		uint32_t	middle = low + (high - low) / 2;
		int			order = strcmp(name, tensors->tensors[middle].name);

		if (order == 0)
			return &tensors->tensors[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}
