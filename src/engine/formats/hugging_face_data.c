/*-------------------------------------------------------------------------
 *
 * hugging_face_data.c
 *	  The bytes of the GGUF file of a folder, made when they are asked for.
 *
 * A tensor that changes neither type nor values is read from the folder as it
 * is.  All others are made in pieces of whole rows, about 1 MB of f32: the
 * last piece is kept, so that a reader in ascending order has every row
 * converted once, whatever the lengths it asks for, and a reader that jumps
 * gets the same bytes.  A piece of rows that change places is a whole head.
 *
 * Only a tensor to be transposed is in memory as a whole.
 *
 * Values that are made are checked to be finite; what passes is checked by
 * whoever reads the GGUF file.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/hugging_face_model.h"

#include <inttypes.h>
#include <string.h>

#include "tensor/quantise.h"

#define ALIGNMENT 32

/* Values of a piece, if a row is not longer */
#define PIECE_VALUES (INT64_C(1) << 18)

/* Bytes that are passed between two polls of the host */
#define PASS_BYTES ((size_t) 1 << 20)

typedef struct HfData
{
	ByteSource	source;
	const EngineHost *host;
	int64_t		key_length;
	int64_t		first_position;
	const uint8_t *header;
	uint64_t	data_offset;	/* bytes of header */
	uint32_t	n;
	const HfTensor *tensors;
	uint64_t   *offsets;		/* of each tensor in the file; [n]: its size */

	/* the piece: rows [piece_first, piece_first + piece_rows) */
	uint32_t	piece_tensor;
	int64_t		piece_first;
	int64_t		piece_rows;		/* 0: there is none */
	uint8_t    *piece;			/* as stored */
	float	   *values;			/* before that */
	void	   *scratch;		/* of safetensors_values() */

	/* the tensor that is being transposed */
	uint32_t	whole_tensor;	/* n: none */
	float	   *whole;			/* [rows][columns] of the result */
} HfData;

/* Rows as they are converted: values of a bias that change places are rows */
typedef struct RowShape
{
	int64_t		rows;
	int64_t		columns;
	uint64_t	row_bytes;
	int64_t		piece_rows;		/* that are made at once */
} RowShape;

static bool
permutes(const HfTensor *tensor)
{
	return tensor->transform == HF_PERMUTE_Q ||
		tensor->transform == HF_PERMUTE_K;
}

static RowShape
row_shape(const HfData *data, const HfTensor *tensor)
{
	bool		vector = permutes(tensor) && tensor->n_dims == 1;
	RowShape	shape;

	shape.rows = vector ? tensor->columns : tensor->rows;
	shape.columns = vector ? 1 : tensor->columns;
	shape.row_bytes = tensor_row_bytes(tensor->type,
									   (uint64_t) shape.columns);
	if (permutes(tensor))
		shape.piece_rows = data->key_length;
	else if (shape.columns >= PIECE_VALUES)
		shape.piece_rows = 1;
	else
		shape.piece_rows = PIECE_VALUES / shape.columns;
	return shape;
}

static uint64_t
tensor_bytes(const HfTensor *tensor)
{
	return (uint64_t) tensor->rows *
		tensor_row_bytes(tensor->type, (uint64_t) tensor->columns);
}

/* Are the bytes those of the folder? */
static bool
passes(const HfTensor *tensor)
{
	if (tensor->transform != HF_PLAIN && tensor->transform != HF_SKIP_ROWS)
		return false;
	return (tensor->type == TYPE_F32 && tensor->from->type == SAFE_F32) ||
		(tensor->type == TYPE_F16 && tensor->from->type == SAFE_F16) ||
		(tensor->type == TYPE_BF16 && tensor->from->type == SAFE_BF16);
}

/* Values of the folder's tensor before the first that is used */
static int64_t
skipped_values(const HfData *data, const HfTensor *tensor)
{
	return tensor->transform == HF_SKIP_ROWS ?
		data->first_position * tensor->columns : 0;
}

/*
 * Making a piece.
 */

/* Read the whole tensor, each row of the folder into a column of ours. */
static EngineCode
read_transposed(HfData *data, uint32_t number, EngineStatus *status)
{
	const HfTensor *tensor = &data->tensors[number];
	int64_t		n = tensor->rows;	/* of a row of the folder */
	int64_t		step = n >= PIECE_VALUES ? 1 : PIECE_VALUES / n;

	data->whole_tensor = data->n;
	for (int64_t first = 0; first < tensor->columns; first += step)
	{
		int64_t		left = tensor->columns - first;
		int64_t		count = left < step ? left : step;

		if (engine_interrupted(data->host))
			return engine_cancelled(status);
		ENGINE_TRY(safetensors_values(tensor->from, first * n, count * n,
									  data->values, data->scratch, status));
		for (int64_t i = 0; i < count; i++)
		{
			for (int64_t j = 0; j < n; j++)
				data->whole[j * tensor->columns + first + i] =
					data->values[i * n + j];
		}
	}
	data->whole_tensor = number;
	return ENGINE_OK;
}

/* Values of count rows from first, as f32, but not yet in their places */
static EngineCode
read_rows(HfData *data, uint32_t number, const RowShape *shape,
		  int64_t first, int64_t count, const float **values,
		  EngineStatus *status)
{
	const HfTensor *tensor = &data->tensors[number];
	int64_t		at = first * shape->columns;
	int64_t		n = count * shape->columns;

	*values = data->values;
	if (tensor->transform == HF_CONSTANT)
		*values = tensor->values + at;
	else if (tensor->transform == HF_TRANSPOSE)
	{
		if (data->whole_tensor != number)
			ENGINE_TRY(read_transposed(data, number, status));
		*values = data->whole + at;
	}
	else
		ENGINE_TRY(safetensors_values(tensor->from,
									  skipped_values(data, tensor) + at, n,
									  data->values, data->scratch, status));
	if (tensor->transform == HF_ADD_ONE)
	{
		for (int64_t i = 0; i < n; i++)
			data->values[i] += 1.0f;
	}
	return ENGINE_OK;
}

/* A quantiser would hide a weight that is no number behind its blocks. */
static EngineCode
check_finite(const HfTensor *tensor, const float *x, int64_t n, int64_t row,
			 EngineStatus *status)
{
	uint32_t	worst = 0;

	for (int64_t i = 0; i < n; i++)
	{
		uint32_t	bits;

		memcpy(&bits, &x[i], sizeof(bits));
		bits &= 0x7fffffff;
		worst = bits > worst ? bits : worst;
	}
	if (worst < 0x7f800000)
		return ENGINE_OK;
	return engine_fail(status, ENGINE_NOT_FINITE,
					   "tensor \"%s\" has a value that is not finite in row "
					   "%" PRId64, tensor->name, row);
}

static EngineCode
store_row(const HfTensor *tensor, const float *x, int64_t n, int64_t row,
		  uint8_t *out, EngineStatus *status)
{
	ENGINE_TRY(check_finite(tensor, x, n, row, status));
	if (tensor->type == TYPE_F32)
		memcpy(out, x, (size_t) n * sizeof(float));
	else
		quantise_row(tensor->type, x, n, out);
	return ENGINE_OK;
}

/*
 * Where row i of a head was: neighbours 2j and 2j + 1 come from j in the
 * lower and the upper half (formats.md 4).
 */
static int64_t
row_before(const HfData *data, int64_t row)
{
	return row / 2 + (row % 2) * (data->key_length / 2);
}

/* Make the piece that has row of a tensor. */
static EngineCode
make_piece(HfData *data, uint32_t number, const RowShape *shape,
		   int64_t row, EngineStatus *status)
{
	const HfTensor *tensor = &data->tensors[number];
	int64_t		first = row - row % shape->piece_rows;
	int64_t		left = shape->rows - first;
	int64_t		count = left < shape->piece_rows ? left : shape->piece_rows;
	const float *values;

	data->piece_rows = 0;
	if (engine_interrupted(data->host))
		return engine_cancelled(status);
	ENGINE_TRY(read_rows(data, number, shape, first, count, &values,
						 status));
	for (int64_t i = 0; i < count; i++)
	{
		int64_t		from = permutes(tensor) ? row_before(data, i) : i;

		ENGINE_TRY(store_row(tensor, values + from * shape->columns,
							 shape->columns, first + i,
							 data->piece + (uint64_t) i * shape->row_bytes,
							 status));
	}
	data->piece_tensor = number;
	data->piece_first = first;
	data->piece_rows = count;
	return ENGINE_OK;
}

/*
 * Reading.
 */

/* Bytes from at of a tensor that has to be made: as many as the piece has */
static EngineCode
read_made(HfData *data, uint32_t number, uint64_t at, void *buf,
		  size_t *length, EngineStatus *status)
{
	RowShape	shape = row_shape(data, &data->tensors[number]);
	int64_t		row = (int64_t) (at / shape.row_bytes);
	uint64_t	start;
	uint64_t	left;

	if (data->piece_rows == 0 || data->piece_tensor != number ||
		row < data->piece_first ||
		row - data->piece_first >= data->piece_rows)
		ENGINE_TRY(make_piece(data, number, &shape, row, status));
	start = at - (uint64_t) data->piece_first * shape.row_bytes;
	left = (uint64_t) data->piece_rows * shape.row_bytes - start;
	if (*length > left)
		*length = (size_t) left;
	memcpy(buf, data->piece + start, *length);
	return ENGINE_OK;
}

static EngineCode
read_passed(HfData *data, const HfTensor *tensor, uint64_t at, void *buf,
			size_t *length, EngineStatus *status)
{
	const SafeTensor *from = tensor->from;
	uint64_t	skipped = (uint64_t) skipped_values(data, tensor) *
		tensor_row_bytes(tensor->type, 1);

	if (*length > PASS_BYTES)
		*length = PASS_BYTES;
	if (engine_interrupted(data->host))
		return engine_cancelled(status);
	return from->source->read(from->source, from->offset + skipped + at, buf,
							  *length, status);
}

/* The tensor whose data or padding has the byte at offset */
static uint32_t
find_tensor(const HfData *data, uint64_t offset)
{
	uint32_t	low = 0;
	uint32_t	high = data->n;

	while (high - low > 1)
	{
		uint32_t	middle = low + (high - low) / 2;

		if (offset < data->offsets[middle])
			high = middle;
		else
			low = middle;
	}
	return low;
}

/* At least one byte from offset; *length becomes how many. */
static EngineCode
read_some(HfData *data, uint64_t offset, void *buf, size_t *length,
		  EngineStatus *status)
{
	const HfTensor *tensor;
	uint32_t	number;
	uint64_t	at;
	uint64_t	end;

	if (offset < data->data_offset)
	{
		if (*length > data->data_offset - offset)
			*length = (size_t) (data->data_offset - offset);
		memcpy(buf, data->header + offset, *length);
		return ENGINE_OK;
	}
	number = find_tensor(data, offset);
	tensor = &data->tensors[number];
	at = offset - data->offsets[number];
	end = tensor_bytes(tensor);
	if (at >= end)				/* padding */
	{
		if (*length > data->offsets[number + 1] - offset)
			*length = (size_t) (data->offsets[number + 1] - offset);
		memset(buf, 0, *length);
		return ENGINE_OK;
	}
	if (*length > end - at)
		*length = (size_t) (end - at);
	return passes(tensor) ?
		read_passed(data, tensor, at, buf, length, status) :
		read_made(data, number, at, buf, length, status);
}

static EngineCode
data_read(ByteSource *source, uint64_t offset, void *buf, size_t length,
		  EngineStatus *status)
{
	HfData	   *data = source->arg;
	uint8_t    *to = buf;

	if (offset > source->size || length > source->size - offset)
		return engine_fail(status, ENGINE_CORRUPT,
						   "file ends at byte %" PRIu64
						   " inside data that begins at byte %" PRIu64,
						   source->size, offset);
	while (length > 0)
	{
		size_t		n = length;

		ENGINE_TRY(read_some(data, offset, to, &n, status));
		offset += n;
		to += n;
		length -= n;
	}
	return ENGINE_OK;
}

/*
 * Opening.
 */

static EngineCode
place_tensors(HfData *data, EngineArena *arena, EngineStatus *status)
{
	uint64_t	next = data->data_offset;

	data->offsets = engine_alloc(arena, (size_t) data->n + 1,
								 sizeof(uint64_t), status);
	if (data->offsets == NULL)
		return status->code;
	for (uint32_t i = 0; i < data->n; i++)
	{
		data->offsets[i] = next;
		if (!checked_add(next, tensor_bytes(&data->tensors[i]), &next) ||
			!checked_align(next, ALIGNMENT, &next))
			return engine_fail(status, ENGINE_LIMIT,
							   "model folder has too many weights");
	}
	data->offsets[data->n] = next;
	return ENGINE_OK;
}

/* Memory that the tensors need which do not pass: the most of each kind. */
static EngineCode
allocate(HfData *data, EngineArena *arena, EngineStatus *status)
{
	int64_t		values = 0;
	int64_t		whole = 0;
	uint64_t	bytes = 0;

	for (uint32_t i = 0; i < data->n; i++)
	{
		const HfTensor *tensor = &data->tensors[i];
		RowShape	shape = row_shape(data, tensor);
		int64_t		rows = shape.piece_rows < shape.rows ?
			shape.piece_rows : shape.rows;
		int64_t		needed = rows * shape.columns;

		if (passes(tensor))
			continue;
		if (tensor->transform == HF_TRANSPOSE)
		{
			if (whole < tensor->from->n)
				whole = tensor->from->n;
			needed = tensor->rows > PIECE_VALUES ? tensor->rows :
				PIECE_VALUES;
		}
		if (values < needed)
			values = needed;
		if (bytes < (uint64_t) rows * shape.row_bytes)
			bytes = (uint64_t) rows * shape.row_bytes;
	}
	data->values = engine_alloc_raw(arena, (size_t) values, sizeof(float),
									status);
	data->scratch = engine_alloc_raw(arena, (size_t) values, 8, status);
	data->piece = engine_alloc_raw(arena, (size_t) bytes, 1, status);
	data->whole = engine_alloc_raw(arena, (size_t) whole, sizeof(float),
								   status);
	return data->values == NULL || data->scratch == NULL ||
		data->piece == NULL || data->whole == NULL ? status->code : ENGINE_OK;
}

EngineCode
hf_open_data(HfModel *model, const HfTensor *tensors, uint32_t n,
			 const uint8_t *header, uint64_t data_offset,
			 ByteSource **source)
{
	EngineStatus *status = model->status;
	HfData	   *data = engine_alloc(model->arena, 1, sizeof(HfData), status);

	if (data == NULL)
		return status->code;
	data->host = model->host;
	data->key_length = model->key_length;
	data->first_position = model->first_position;
	data->header = header;
	data->data_offset = data_offset;
	data->n = n;
	data->tensors = tensors;
	data->whole_tensor = n;
	ENGINE_TRY(place_tensors(data, model->arena, status));
	ENGINE_TRY(allocate(data, model->arena, status));
	data->source.size = data->offsets[n];
	data->source.read = data_read;
	data->source.arg = data;
	*source = &data->source;
	return ENGINE_OK;
}
