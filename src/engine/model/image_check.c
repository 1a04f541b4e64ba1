/*-------------------------------------------------------------------------
 *
 * image_check.c
 *	  Are all weights of a file that streams by finite?
 *
 * Pieces end anywhere, also within a block of a quantised type; the start of
 * such a block is kept until the next piece brings its rest.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "model/image_target.h"

#include <string.h>

void
image_check_init(ImageCheck *check, const ImagePlan *plan)
{
	memset(check, 0, sizeof(*check));
	check->plan = plan;
}

/* Fill up the unfinished block; *used bytes of data went into it. */
static bool
finish_block(ImageCheck *check, const TensorTypeInfo *info,
			 const uint8_t *data, size_t length, size_t *used)
{
	size_t		missing = (size_t) info->block_bytes - check->partial_bytes;

	*used = length < missing ? length : missing;
	memcpy(check->partial + check->partial_bytes, data, *used);
	check->partial_bytes += *used;
	if (check->partial_bytes < (size_t) info->block_bytes)
		return true;
	check->partial_bytes = 0;
	return info->finite(check->partial, info->block_values);
}

/* Where in its tensor a bad block lies, to the row. */
static EngineCode
bad_block(const GgufTensor *tensor, uint64_t block, EngineStatus *status)
{
	uint64_t	values = (uint64_t) tensor_type(tensor->type)->block_values;

	return image_not_finite(tensor, (int64_t)
							(block * values / (uint64_t) tensor->dims[0]),
							status);
}

/* length bytes of a tensor, which begin at byte start of its data. */
static EngineCode
check_piece(ImageCheck *check, const GgufTensor *tensor, uint64_t start,
			const uint8_t *data, size_t length, EngineStatus *status)
{
	const TensorTypeInfo *info = tensor_type(tensor->type);
	size_t		bytes = (size_t) info->block_bytes;
	size_t		used = 0;
	size_t		blocks;

	if (check->partial_bytes > 0 &&
		!finish_block(check, info, data, length, &used))
		return bad_block(tensor, start / bytes, status);

	blocks = (length - used) / bytes;
	if (blocks > 0 &&
		!info->finite(data + used, (int64_t) blocks * info->block_values))
	{
		size_t		bad = 0;

		while (bad < blocks - 1 &&
			   info->finite(data + used + bad * bytes, info->block_values))
			bad++;
		return bad_block(tensor, (start + used) / bytes + bad, status);
	}
	used += blocks * bytes;
	if (used < length)
		(void) finish_block(check, info, data + used, length - used, &used);
	return ENGINE_OK;
}

EngineCode
image_check_data(ImageCheck *check, uint64_t offset, const void *data,
				 size_t length, EngineStatus *status)
{
	const GgufFile *file = &check->plan->file;
	const uint8_t *bytes = data;
	uint64_t	end;

	if (offset != check->position || !checked_add(offset, length, &end) ||
		end > file->size)
		return engine_fail(status, ENGINE_INVALID,
						   "pieces of a file must come one after the other");
	check->position = end;
	while (check->tensor < file->n_tensors)
	{
		const GgufTensor *tensor = &file->tensors[check->tensor];
		uint64_t	from = offset > tensor->offset ? offset : tensor->offset;
		uint64_t	tensor_end = tensor->offset + tensor->bytes;
		uint64_t	to = end < tensor_end ? end : tensor_end;

		if (from < to)
			ENGINE_TRY(check_piece(check, tensor, from - tensor->offset,
								   bytes + (from - offset),
								   (size_t) (to - from), status));
		if (tensor_end > end)
			break;
		check->tensor++;
	}
	return ENGINE_OK;
}
