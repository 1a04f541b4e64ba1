/*-------------------------------------------------------------------------
 *
 * image_build.c
 *	  Filling an image from a file.
 *
 * The file comes from a large object, where a call costs more than the bytes
 * it brings.  So it is read in pieces of 1 MB from beginning to end into one
 * buffer, and rows are packed from there: whatever a piece leaves unfinished
 * is moved to the front of the buffer before the next one is read behind it.
 *
 * Everything was checked by image_plan(); only the weights themselves are new
 * here.  Should the bytes of the header have changed since, the result is a
 * wrong image, which the host's digest reveals, but no access out of bounds.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "model/image_target.h"

#include <string.h>

#define PIECE_BYTES ((size_t) 1 << 20)

/* Rows that are only copied go in steps of about this. */
#define COPY_BYTES ((size_t) 64 * 1024)

typedef struct DataStream
{
	ByteSource *source;
	const EngineHost *host;
	ImageProgress progress;
	void	   *progress_arg;
	EngineStatus *status;
	uint8_t    *buffer;
	size_t		capacity;		/* one piece and the largest item */
	size_t		begin,			/* of the bytes not yet used */
				end;
	uint64_t	position;		/* file offset of buffer[end] */
} DataStream;

/* Rows of a target that are handled at once. */
static int64_t
item_rows(const ImageTarget *target)
{
	int64_t		rows;

	if (target->form == FORM_PANELS)
		return PANEL_ROWS;
	rows = (int64_t) (COPY_BYTES / target->row_bytes);
	return rows > 0 ? rows : 1;
}

static EngineCode
stream_open(DataStream *stream, const ImagePlan *plan, EngineArena *arena)
{
	uint64_t	largest = COPY_BYTES;

	for (uint32_t i = 0; i < plan->file.n_tensors; i++)
	{
		const ImageTarget *target = &plan->targets[i];
		int64_t		rows = item_rows(target);
		uint64_t	bytes;

		if (rows > target->n)
			rows = target->n;
		/* not more than the tensor itself, so it fits */
		bytes = (uint64_t) rows * target->row_bytes;
		if (bytes > largest)
			largest = bytes;
	}
	stream->capacity = (size_t) largest +
		(plan->file.size < PIECE_BYTES ? (size_t) plan->file.size :
		 PIECE_BYTES);
	stream->buffer = engine_alloc(arena, stream->capacity, 1,
								  stream->status);
	return stream->buffer == NULL ? stream->status->code : ENGINE_OK;
}

static EngineCode
stream_read(DataStream *stream)
{
	uint64_t	left = stream->source->size - stream->position;
	size_t		length = left < PIECE_BYTES ? (size_t) left : PIECE_BYTES;

	if (engine_interrupted(stream->host))
		return engine_cancelled(stream->status);
	ENGINE_TRY(stream->source->read(stream->source, stream->position,
									stream->buffer + stream->end, length,
									stream->status));
	stream->end += length;
	stream->position += length;
	if (stream->progress != NULL)
		stream->progress(stream->progress_arg, stream->position,
						 stream->source->size);
	return ENGINE_OK;
}

/*
 * The next length bytes of the file in one piece, valid until the next call.
 * length is at most the room besides one piece, and within the file.
 */
static EngineCode
stream_take(DataStream *stream, size_t length, const uint8_t **bytes)
{
	if (stream->end - stream->begin < length)
	{
		memmove(stream->buffer, stream->buffer + stream->begin,
				stream->end - stream->begin);
		stream->end -= stream->begin;
		stream->begin = 0;
		while (stream->end < length)
			ENGINE_TRY(stream_read(stream));
	}
	*bytes = stream->buffer + stream->begin;
	stream->begin += length;
	return ENGINE_OK;
}

/* Pass over everything before the file offset target. */
static EngineCode
stream_skip_to(DataStream *stream, uint64_t target)
{
	for (;;)
	{
		size_t		ready = stream->end - stream->begin;
		uint64_t	here = stream->position - ready;

		if (target - here <= ready)
		{
			stream->begin += (size_t) (target - here);
			return ENGINE_OK;
		}
		stream->begin = stream->end = 0;
		ENGINE_TRY(stream_read(stream));
	}
}

/* Rows [row, row + n_rows) of a target, as they are in the file. */
static void
put_rows(const GgufTensor *tensor, const ImageTarget *target, int64_t row,
		 int64_t n_rows, const uint8_t *bytes, char *image)
{
	char	   *to = image + target->offset;
	void	   *vector = to;

	switch (target->form)
	{
		case FORM_PANELS:
			to += (uint64_t) row / PANEL_ROWS * target->panel_bytes;
			/* what the last block leaves of the panel's 64 bytes */
			memset(to + target->panel_bytes - IMAGE_ALIGN, 0, IMAGE_ALIGN);
			pack_panel(tensor->type, target->k, bytes, (int) n_rows, to);
			break;
		case FORM_ROWS:
			memcpy(to + (uint64_t) row * target->row_bytes, bytes,
				   (size_t) n_rows * target->row_bytes);
			break;
		case FORM_VECTOR:
			tensor_type(tensor->type)->dequantise(bytes, vector, target->k);
			break;
		default:
			break;
	}
}

static EngineCode
check_rows(const GgufTensor *tensor, const ImageTarget *target, int64_t row,
		   int64_t n_rows, const uint8_t *bytes, EngineStatus *status)
{
	const TensorTypeInfo *info = tensor_type(tensor->type);

	if (info->finite(bytes, n_rows * target->k))
		return ENGINE_OK;
	for (int64_t i = 0; i < n_rows - 1; i++)
	{
		if (!info->finite(bytes + i * target->row_bytes, target->k))
			return image_not_finite(tensor, row + i, status);
	}
	return image_not_finite(tensor, row + n_rows - 1, status);
}

static EngineCode
build_tensor(DataStream *stream, const GgufTensor *tensor,
			 const ImageTarget *target, char *image)
{
	int64_t		step = item_rows(target);

	ENGINE_TRY(stream_skip_to(stream, tensor->offset));
	if (target->form == FORM_DIVISORS)
		return ENGINE_OK;

	/* the end is written over by the last rows, but for padding */
	memset(image + target->offset + target->bytes - IMAGE_ALIGN, 0,
		   IMAGE_ALIGN);
	for (int64_t row = 0; row < target->n; row += step)
	{
		int64_t		n_rows = target->n - row < step ? target->n - row : step;
		const uint8_t *bytes;

		ENGINE_TRY(stream_take(stream, (size_t) n_rows * target->row_bytes,
							   &bytes));
		ENGINE_TRY(check_rows(tensor, target, row, n_rows, bytes,
							  stream->status));
		put_rows(tensor, target, row, n_rows, bytes, image);
	}
	return ENGINE_OK;
}

static EngineCode
build_weights(const ImagePlan *plan, DataStream *stream, EngineArena *arena,
			  char *image)
{
	ENGINE_TRY(stream_open(stream, plan, arena));
	for (uint32_t i = 0; i < plan->file.n_tensors; i++)
		ENGINE_TRY(build_tensor(stream, &plan->file.tensors[i],
								&plan->targets[i], image));
	return stream_skip_to(stream, plan->file.size);
}

/* Everything before the weights. */
static EngineCode
build_front(const ImagePlan *plan, ByteSource *source, EngineArena *arena,
			const EngineHost *host, char *image, EngineStatus *status)
{
	const ImageHeader *header = &plan->header;
	size_t		pairs = (size_t) header->hyper.n_rot / 2;

	memset(image, 0, plan->weights);
	memcpy(image, header, sizeof(*header));
	memcpy(image + header->layers, plan->layers,
		   (size_t) header->hyper.n_layers * sizeof(ImageLayer));
	if (pairs > 0)
	{
		memcpy(image + header->rope_frequency, plan->rope.frequency,
			   pairs * sizeof(double));
		memcpy(image + header->rope_divisor, plan->rope.divisor,
			   pairs * sizeof(double));
	}
	if (header->rope_local_frequency != 0)
		memcpy(image + header->rope_local_frequency,
			   plan->rope.local_frequency, pairs * sizeof(double));
	if (header->chat_template != 0)
	{
		const GgufKey *key = gguf_find_key(&plan->file,
										   "tokenizer.chat_template");

		memcpy(image + header->chat_template, key->string,
			   header->chat_template_length);
	}
	if (header->tokenizer != 0)
		return tokenizer_build(plan->tokenizer, source, arena, host,
							   image + header->tokenizer, status);
	return ENGINE_OK;
}

EngineCode
image_build(const ImagePlan *plan, ByteSource *source, EngineArena *arena,
			const EngineHost *host, ImageProgress progress,
			void *progress_arg, void *image, EngineStatus *status)
{
	DataStream	stream = {
		.source = source,
		.host = host,
		.progress = progress,
		.progress_arg = progress_arg,
		.status = status
	};

	if (source->size != plan->file.size)
		return engine_fail(status, ENGINE_CORRUPT,
						   "file changed its size while it was read");
	ENGINE_TRY(build_front(plan, source, arena, host, image, status));
	return build_weights(plan, &stream, arena, image);
}
