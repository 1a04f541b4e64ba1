/*-------------------------------------------------------------------------
 *
 * metadata.c
 *	  What a model file says: llm.model_metadata(), llm.model_tensors(),
 *	  llm.tensor().
 *
 * All three read the header of the file from the large object, and of tensor
 * data only the rows asked for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "engine/formats/gguf.h"
#include "host.h"
#include "models/large_object.h"
#include "models/registry.h"

PG_FUNCTION_INFO_V1(llm_model_metadata);
PG_FUNCTION_INFO_V1(llm_model_tensors);
PG_FUNCTION_INFO_V1(llm_tensor);

#define HEADER_BUDGET ((size_t) 256 * 1024 * 1024)
#define ITEMS_SHOWN 8			/* of a long array */
#define STRING_SHOWN (1024 * 1024)	/* longest string that is shown */

/* The file of a model, its header read. */
typedef struct ModelFile
{
	ModelRef   *model;
	LargeObjectReader *reader;
	ByteSource *source;
	EngineArena arena;
	GgufFile	gguf;
} ModelFile;

static ModelFile *
open_model_file(text *name)
{
	ModelFile  *file = palloc0(sizeof(ModelFile));
	EngineStatus status;

	file->model = model_lookup(text_to_cstring(name), MODEL_ANY);
	file->reader = reader_open(file->model->large_object);
	file->source = reader_source(file->reader);
	engine_arena_init(&file->arena, engine_allocator(CurrentMemoryContext),
					  HEADER_BUDGET);
	engine_check(gguf_read(file->source, &file->arena, engine_host(),
						   &file->gguf, &status),
				 &status, file->model->name);
	return file;
}

static void
close_model_file(ModelFile *file)
{
	engine_arena_free(&file->arena);
	reader_close(file->reader);
}

/*
 * Metadata
 */

static void
json_text(JsonbValue *value, const char *bytes, size_t length)
{
	value->type = jbvString;
	value->val.string.val = engine_text(bytes, length);
	value->val.string.len = strlen(value->val.string.val);
}

static void
json_integer(JsonbValue *value, int64 number)
{
	value->type = jbvNumeric;
	value->val.numeric = int64_to_numeric(number);
}

static void
json_unsigned(JsonbValue *value, uint64 number)
{
	char		digits[24];

	snprintf(digits, sizeof(digits), "%llu", (unsigned long long) number);
	value->type = jbvNumeric;
	value->val.numeric =
		DatumGetNumeric(DirectFunctionCall3(numeric_in,
											CStringGetDatum(digits),
											ObjectIdGetDatum(InvalidOid),
											Int32GetDatum(-1)));
}

/* JSON has no NaN and no infinity: those are texts, as in to_jsonb(). */
static void
json_double(JsonbValue *value, double number, bool single)
{
	char	   *digits = single ?
		DatumGetCString(DirectFunctionCall1(float4out,
											Float4GetDatum((float4) number))) :
		DatumGetCString(DirectFunctionCall1(float8out,
											Float8GetDatum(number)));

	if (isnan(number) || isinf(number))
	{
		value->type = jbvString;
		value->val.string.val = digits;
		value->val.string.len = strlen(digits);
		return;
	}
	value->type = jbvNumeric;
	value->val.numeric =
		DatumGetNumeric(DirectFunctionCall3(numeric_in,
											CStringGetDatum(digits),
											ObjectIdGetDatum(InvalidOid),
											Int32GetDatum(-1)));
}

static float
float_of_bits(uint32 bits)
{
	float		number;

	memcpy(&number, &bits, sizeof(number));
	return number;
}

static double
double_of_bits(uint64 bits)
{
	double		number;

	memcpy(&number, &bits, sizeof(number));
	return number;
}

/* A scalar from its bits. */
static void
json_scalar(JsonbValue *value, GgufValueType type, uint64 bits)
{
	switch (type)
	{
		case GGUF_BOOL:
			value->type = jbvBool;
			value->val.boolean = bits != 0;
			break;
		case GGUF_I8:
			json_integer(value, (int8) bits);
			break;
		case GGUF_I16:
			json_integer(value, (int16) bits);
			break;
		case GGUF_I32:
			json_integer(value, (int32) bits);
			break;
		case GGUF_I64:
			json_integer(value, (int64) bits);
			break;
		case GGUF_F32:
			json_double(value, float_of_bits((uint32) bits), true);
			break;
		case GGUF_F64:
			json_double(value, double_of_bits(bits), false);
			break;
		case GGUF_U8:
		case GGUF_U16:
		case GGUF_U32:
		case GGUF_U64:
			json_unsigned(value, bits);
			break;
		case GGUF_STRING:
		case GGUF_ARRAY:
			value->type = jbvNull;
			break;
	}
}

/* The first n items of an array, pushed as a JSON array. */
static JsonbValue *
push_items(JsonbParseState **state, ModelFile *file, const GgufKey *key,
		   uint64 n)
{
	GgufCursor	cursor;
	EngineStatus status;
	const char *model = file->model->name;

	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	engine_check(gguf_cursor_open(file->source, key, key->element,
								  &file->arena, &cursor, &status),
				 &status, model);
	for (uint64 i = 0; i < n; i++)
	{
		JsonbValue	value;

		if (key->element == GGUF_STRING)
		{
			const char *text;
			size_t		length;

			engine_check(gguf_next_string(&cursor, STRING_SHOWN, &text,
										  &length, &status),
						 &status, model);
			json_text(&value, text, length);
		}
		else
		{
			uint64_t	bits;

			engine_check(gguf_next_scalar(&cursor, &bits, &status),
						 &status, model);
			json_scalar(&value, key->element, bits);
		}
		pushJsonbValue(state, WJB_ELEM, &value);
	}
	return pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

static void
push_key(JsonbParseState **state, const char *name)
{
	JsonbValue	key;

	json_text(&key, name, strlen(name));
	pushJsonbValue(state, WJB_KEY, &key);
}

/* {"count": n, "first": [...]} */
static JsonbValue *
push_long_array(JsonbParseState **state, ModelFile *file, const GgufKey *key)
{
	JsonbValue	count;

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_key(state, "count");
	json_unsigned(&count, key->count);
	pushJsonbValue(state, WJB_VALUE, &count);
	push_key(state, "first");
	push_items(state, file, key, ITEMS_SHOWN);
	return pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static Jsonb *
key_value(ModelFile *file, const GgufKey *key)
{
	JsonbParseState *state = NULL;
	JsonbValue	scalar;

	if (key->type == GGUF_ARRAY && key->count <= ITEMS_SHOWN)
		return JsonbValueToJsonb(push_items(&state, file, key, key->count));
	if (key->type == GGUF_ARRAY)
		return JsonbValueToJsonb(push_long_array(&state, file, key));
	if (key->type != GGUF_STRING)
		json_scalar(&scalar, key->type, key->bits);
	else if (key->string != NULL)
		json_text(&scalar, key->string, key->length);
	else
		scalar.type = jbvNull;	/* a text above 1 MiB */
	return JsonbValueToJsonb(&scalar);
}

Datum
llm_model_metadata(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ModelFile  *file = open_model_file(PG_GETARG_TEXT_PP(0));

	InitMaterializedSRF(fcinfo, 0);
	for (uint32 i = 0; i < file->gguf.n_keys; i++)
	{
		const GgufKey *key = &file->gguf.keys[i];
		Datum		v[2];
		bool		isnull[2] = {false, false};

		CHECK_FOR_INTERRUPTS();
		v[0] = CStringGetTextDatum(engine_text(key->name, strlen(key->name)));
		v[1] = JsonbPGetDatum(key_value(file, key));
		tuplestore_putvalues(result->setResult, result->setDesc, v, isnull);
	}
	close_model_file(file);
	return (Datum) 0;
}

/*
 * Tensors
 */

/* Rows first, as papers and PyTorch write them; the file has it reversed. */
static Datum
shape_array(const GgufTensor *tensor)
{
	Datum		dims[4];

	for (int i = 0; i < tensor->n_dims; i++)
		dims[i] = Int64GetDatum(tensor->dims[tensor->n_dims - 1 - i]);
	return PointerGetDatum(construct_array(dims, tensor->n_dims, INT8OID,
										   sizeof(int64), true,
										   TYPALIGN_DOUBLE));
}

Datum
llm_model_tensors(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ModelFile  *file = open_model_file(PG_GETARG_TEXT_PP(0));

	InitMaterializedSRF(fcinfo, 0);
	for (uint32 i = 0; i < file->gguf.n_tensors; i++)
	{
		const GgufTensor *tensor = &file->gguf.tensors[i];
		Datum		v[4];
		bool		isnull[4] = {false, false, false, false};

		CHECK_FOR_INTERRUPTS();
		v[0] = CStringGetTextDatum(engine_text(tensor->name,
											   strlen(tensor->name)));
		v[1] = CStringGetTextDatum(tensor_type(tensor->type)->name);
		v[2] = shape_array(tensor);
		v[3] = Int64GetDatum(tensor->bytes);
		tuplestore_putvalues(result->setResult, result->setDesc, v, isnull);
	}
	close_model_file(file);
	return (Datum) 0;
}

static const GgufTensor *
find_tensor(ModelFile *file, char *name)
{
	char	   *utf8 = pg_server_to_any(name, strlen(name), PG_UTF8);
	const GgufTensor *tensor = gguf_find_tensor(&file->gguf, utf8);

	if (tensor == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("model \"%s\" has no tensor \"%s\"",
					   file->model->name, name),
				errhint("llm.model_tensors lists them."));
	return tensor;
}

/* Rows that exist, from those asked for. */
static int64
count_rows(const GgufTensor *tensor, int64 first, bool all, int64 wanted)
{
	int64		rows = tensor->dims[1] * tensor->dims[2] * tensor->dims[3];

	if (first < 0 || first >= rows)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("first_row %lld is out of range: tensor \"%s\" has rows 0 to %lld",
					   (long long) first, tensor->name,
					   (long long) rows - 1));
	if (!all && wanted < 1)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("row_count must be at least 1"));
	return all ? rows - first : Min(wanted, rows - first);
}

static ArrayType *
make_matrix(int64 rows, int64 columns)
{
	Size		header = ARR_OVERHEAD_NONULLS(2);
	Size		most = MaxArraySize;
	Size		size;
	ArrayType  *matrix;

	if (columns > (int64) most || rows > (int64) most / columns)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("%lld rows of %lld values do not fit in one array",
					   (long long) rows, (long long) columns),
				errhint("Ask for fewer rows with row_count."));
	size = header + rows * columns * sizeof(float4);

	/* not palloc0(): half a second of zeroes that nobody can interrupt */
	matrix = palloc(size);
	memset(matrix, 0, header);
	SET_VARSIZE(matrix, size);
	matrix->ndim = 2;
	matrix->elemtype = FLOAT4OID;
	ARR_DIMS(matrix)[0] = rows;
	ARR_DIMS(matrix)[1] = columns;
	ARR_LBOUND(matrix)[0] = 1;
	ARR_LBOUND(matrix)[1] = 1;
	return matrix;
}

static ArrayType *
read_rows(ModelFile *file, const GgufTensor *tensor, int64 first, int64 rows)
{
	int64		columns = tensor->dims[0];
	ArrayType  *matrix = make_matrix(rows, columns);
	float	   *out = (float *) ARR_DATA_PTR(matrix);
	uint64		row_bytes = tensor_row_bytes(tensor->type, columns);
	char	   *blocks = MemoryContextAllocHuge(CurrentMemoryContext,
												row_bytes);

	for (int64 r = 0; r < rows; r++)
	{
		EngineStatus status;

		CHECK_FOR_INTERRUPTS();
		engine_check(file->source->read(file->source,
										tensor->offset +
										(first + r) * row_bytes,
										blocks, row_bytes, &status),
					 &status, file->model->name);
		tensor_type(tensor->type)->dequantise(blocks, out + r * columns,
											  columns);
	}
	pfree(blocks);
	return matrix;
}

Datum
llm_tensor(PG_FUNCTION_ARGS)
{
	ModelFile  *file;
	const GgufTensor *tensor;
	int64		first = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2);
	int64		rows;
	ArrayType  *matrix;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	file = open_model_file(PG_GETARG_TEXT_PP(0));
	tensor = find_tensor(file, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	rows = count_rows(tensor, first, PG_ARGISNULL(3),
					  PG_ARGISNULL(3) ? 0 : PG_GETARG_INT32(3));
	matrix = read_rows(file, tensor, first, rows);
	close_model_file(file);
	PG_RETURN_ARRAYTYPE_P(matrix);
}
