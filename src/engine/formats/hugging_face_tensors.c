/*-------------------------------------------------------------------------
 *
 * hugging_face_tensors.c
 *	  Which tensors the GGUF file of a folder has: order, shapes and types.
 *
 * Every tensor that a family can have has a slot of its own, in the order of
 * the computation: what precedes the layers, the layers, what follows them.
 * Two tensors of the folder for one slot are an error, so nothing has to be
 * sorted.
 *
 * Types: vectors are F32.  Matrices keep their type or get the chosen one;
 * when rows do not consist of whole blocks of it, the next best type with
 * smaller blocks, or F16 (formats.md 2.2).  Tables that are only looked up
 * beside the tokens, and the last layer of a classifier, are never
 * quantised to blocks: they are small, and other engines expect them so.
 *
 * Shapes are checked where a transform or a type depends on them; whether they
 * fit the hyper-parameters is checked by whoever reads the GGUF file.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/hugging_face_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tensor/quantise.h"

/* Values of a row or of the rows of a head: they are in memory at once. */
#define MAX_ROW_VALUES (INT64_C(16) << 20)
#define MAX_HEAD_VALUES (INT64_C(64) << 20)

/* A tensor to transpose is in memory as a whole, as f32. */
#define MAX_TRANSPOSED_VALUES (INT64_C(1) << 28)

/* Tensors between two polls of the host. */
#define POLL_INTERVAL 1024

/* Modules in the order of the file */
static const char *const before_layers[] = {
	"token_embd", "position_embd", "token_types", "token_embd_norm",
	"rope_freqs"
};

static const char *const in_layer[] = {
	"attn_norm", "attn_qkv", "attn_q", "attn_k", "attn_v", "attn_q_norm",
	"attn_k_norm", "attn_output", "post_attention_norm", "attn_output_norm",
	"ffn_norm", "ffn_gate", "ffn_up", "ffn_down", "post_ffw_norm",
	"layer_output_norm"
};

static const char *const behind_layers[] = {
	"output_norm", "output", "cls", "cls.norm", "cls.output", "dense_2",
	"dense_3"
};

/*
 * Always F32, as other converters have them: llama.cpp adds rows of the first
 * two to F32 without converting them, and stops when they have another type.
 */
static const char *const fine_modules[] = {
	"position_embd", "token_types", "cls.output"
};

#define LENGTH(array) ((int) (sizeof(array) / sizeof((array)[0])))

typedef struct TensorList
{
	HfModel    *model;
	int			quantization;
	HfTensor   *slots;			/* name[0] is 0: empty */
	uint32_t	n_slots;
} TensorList;

static int
find_text(const char *text, const char *const *list, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(list[i], text) == 0)
			return i;
	}
	return -1;
}

static EngineCode
tensor_error(const TensorList *list, EngineCode code, const SafeTensor *from,
			 const char *problem)
{
	char		name[96];

	return engine_fail(list->model->status, code,
					   "tensor \"%s\" of the model folder %s",
					   engine_printable(from->name, strlen(from->name), name,
										sizeof(name)), problem);
}

static EngineCode
no_place(const TensorList *list, const SafeTensor *from)
{
	char		name[96];

	return engine_fail(list->model->status, ENGINE_UNSUPPORTED,
					   "tensor \"%s\" of the model folder has no place in "
					   "architecture \"%s\"",
					   engine_printable(from->name, strlen(from->name), name,
										sizeof(name)),
					   list->model->architecture);
}

/*
 * Slots.
 */

/* Number of the slot of a place; the weight comes before the bias. */
static uint32_t
slot_number(const TensorList *list, const HfPlace *place)
{
	int32_t		n_layers = list->model->n_layers;
	int			module;

	if (place->layer >= 0)
		module = LENGTH(before_layers) + place->layer * LENGTH(in_layer) +
			find_text(place->module, in_layer, LENGTH(in_layer));
	else
	{
		module = find_text(place->module, before_layers,
						   LENGTH(before_layers));
		if (module < 0)
			module = LENGTH(before_layers) + n_layers * LENGTH(in_layer) +
				find_text(place->module, behind_layers,
						  LENGTH(behind_layers));
	}
	return (uint32_t) module * 2 + place->bias;
}

static EngineCode
open_list(TensorList *list)
{
	size_t		modules = LENGTH(before_layers) + LENGTH(behind_layers) +
		(size_t) list->model->n_layers * LENGTH(in_layer);

	list->n_slots = (uint32_t) (2 * modules);
	list->slots = engine_alloc(list->model->arena, list->n_slots,
							   sizeof(HfTensor), list->model->status);
	return list->slots == NULL ? list->model->status->code : ENGINE_OK;
}

/* The empty slot of a place, named; NULL: it is taken already. */
static HfTensor *
take_slot(TensorList *list, const HfPlace *place)
{
	HfTensor   *slot = &list->slots[slot_number(list, place)];
	const char *ending = place->bias ? "bias" : "weight";

	if (slot->name[0] != '\0')
		return NULL;
	if (place->layer >= 0)
		snprintf(slot->name, sizeof(slot->name), "blk.%d.%s.%s",
				 (int) place->layer, place->module, ending);
	else
		snprintf(slot->name, sizeof(slot->name), "%s.%s", place->module,
				 ending);
	slot->transform = place->transform;
	return slot;
}

/*
 * Shapes.
 */

/* Rows and columns as the folder has them */
static EngineCode
read_shape(const TensorList *list, HfTensor *tensor)
{
	const SafeTensor *from = tensor->from;

	if (from->n_dims < 1 || from->n_dims > 2)
		return tensor_error(list, ENGINE_UNSUPPORTED, from,
							"is neither a vector nor a matrix");
	for (int i = 0; i < from->n_dims; i++)
	{
		if (from->dims[i] < 1)
			return tensor_error(list, ENGINE_CORRUPT, from, "is empty");
	}
	tensor->n_dims = from->n_dims;
	tensor->rows = from->n_dims == 2 ? from->dims[0] : 1;
	tensor->columns = from->dims[from->n_dims - 1];
	return ENGINE_OK;
}

/* Do the rows (the values of a bias) consist of that many heads? */
static EngineCode
check_heads(const TensorList *list, const HfTensor *tensor, int32_t n_heads)
{
	int64_t		key_length = list->model->key_length;
	int64_t		rows = tensor->n_dims == 2 ? tensor->rows : tensor->columns;
	int64_t		columns = tensor->n_dims == 2 ? tensor->columns : 1;

	if (rows == n_heads * key_length && key_length % 2 == 0)
	{
		if (columns > MAX_HEAD_VALUES / key_length)
			return tensor_error(list, ENGINE_LIMIT, tensor->from,
								"has too large heads");
		return ENGINE_OK;
	}
	tensor_error(list, ENGINE_CORRUPT, tensor->from,
				 "does not consist of the heads of config.json");
	engine_detail(list->model->status, "It has %" PRId64 " rows; %" PRId32
				  " heads of %" PRId64 " were expected.", rows, n_heads,
				  key_length);
	return ENGINE_CORRUPT;
}

static EngineCode
transpose_shape(const TensorList *list, HfTensor *tensor)
{
	int64_t		rows = tensor->rows;

	if (tensor->n_dims != 2)
		return tensor_error(list, ENGINE_CORRUPT, tensor->from,
							"is not a matrix");
	if (tensor->from->n > MAX_TRANSPOSED_VALUES)
		return tensor_error(list, ENGINE_LIMIT, tensor->from,
							"is larger than 1 GB and has to be transposed");
	tensor->rows = tensor->columns;
	tensor->columns = rows;
	return ENGINE_OK;
}

static EngineCode
skip_shape(const TensorList *list, HfTensor *tensor)
{
	int64_t		skip = list->model->first_position;

	if (tensor->n_dims != 2 || tensor->rows <= skip)
		return tensor_error(list, ENGINE_CORRUPT, tensor->from,
							"has no row for the first position");
	tensor->rows -= skip;
	return ENGINE_OK;
}

/* The shape that the transform makes */
static EngineCode
set_shape(const TensorList *list, HfTensor *tensor)
{
	const HfModel *model = list->model;

	ENGINE_TRY(read_shape(list, tensor));
	switch (tensor->transform)
	{
		case HF_PERMUTE_Q:
			ENGINE_TRY(check_heads(list, tensor, model->n_heads));
			break;
		case HF_PERMUTE_K:
			ENGINE_TRY(check_heads(list, tensor, model->n_kv_heads));
			break;
		case HF_TRANSPOSE:
			ENGINE_TRY(transpose_shape(list, tensor));
			break;
		case HF_SKIP_ROWS:
			ENGINE_TRY(skip_shape(list, tensor));
			break;
		case HF_ADD_ONE:
			if (tensor->n_dims != 1)
				return tensor_error(list, ENGINE_CORRUPT, tensor->from,
									"is not a vector");
			break;
		case HF_PLAIN:
		case HF_CONSTANT:
			break;
	}
	if (tensor->columns > MAX_ROW_VALUES)
		return tensor_error(list, ENGINE_LIMIT, tensor->from,
							"has too long rows");
	return ENGINE_OK;
}

/*
 * Types.
 */

static bool
plain_type(int type)
{
	return type == TYPE_F32 || type == TYPE_F16 || type == TYPE_BF16;
}

/* What the folder has; -1: nothing that weights are made of */
static int
folder_type(SafeType type)
{
	switch (type)
	{
		case SAFE_F32:
		case SAFE_F64:
			return TYPE_F32;
		case SAFE_F16:
			return TYPE_F16;
		case SAFE_BF16:
			return TYPE_BF16;
		default:
			return -1;
	}
}

/* What comes after a type whose blocks do not fit; F16 ends the chain. */
static TensorType
fallback_type(TensorType type)
{
	switch (type)
	{
		case TYPE_Q2_K:
		case TYPE_Q3_K:
		case TYPE_IQ4_XS:
			return TYPE_IQ4_NL;
		case TYPE_IQ4_NL:
		case TYPE_Q4_K:
			return TYPE_Q5_0;
		case TYPE_Q5_K:
			return TYPE_Q5_1;
		case TYPE_Q6_K:
		case TYPE_Q5_0:
		case TYPE_Q5_1:
			return TYPE_Q8_0;
		default:
			return TYPE_F16;
	}
}

static TensorType
fitting_type(TensorType type, int64_t columns)
{
	while (!plain_type(type) &&
		   (!quantise_knows(type) ||
			columns % tensor_type(type)->block_values != 0))
		type = fallback_type(type);
	return type;
}

static EngineCode
set_type(const TensorList *list, const HfPlace *place, HfTensor *tensor)
{
	int			kept = folder_type(tensor->from->type);
	char		problem[96];

	snprintf(problem, sizeof(problem),
			 "has type %s, which is not supported for weights",
			 safetensors_type_name(tensor->from->type));
	if (kept < 0)
		return tensor_error(list, ENGINE_UNSUPPORTED, tensor->from, problem);
	if (tensor->n_dims == 1 ||
		find_text(place->module, fine_modules, LENGTH(fine_modules)) >= 0)
		tensor->type = TYPE_F32;
	else if (list->quantization == HF_KEEP)
		tensor->type = (TensorType) kept;
	else
		tensor->type = fitting_type((TensorType) list->quantization,
									tensor->columns);
	return ENGINE_OK;
}

/*
 * Tensors.
 */

static EngineCode
put_tensor(TensorList *list, const HfPlace *place, const SafeTensor *from)
{
	HfTensor   *tensor = take_slot(list, place);

	if (tensor == NULL)
		return tensor_error(list, ENGINE_CORRUPT, from,
							"is there twice, with another name");
	tensor->from = from;
	if (tensor->transform == HF_SKIP_ROWS &&
		list->model->first_position == 0)
		tensor->transform = HF_PLAIN;
	ENGINE_TRY(set_shape(list, tensor));
	return set_type(list, place, tensor);
}

static EngineCode
put_all(TensorList *list, const SafeTensors *from)
{
	for (uint32_t i = 0; i < from->n; i++)
	{
		HfPlace		place;

		if (i % POLL_INTERVAL == 0 && engine_interrupted(list->model->host))
			return engine_cancelled(list->model->status);
		if (!hf_find_place(list->model, from->tensors[i].name, &place))
			return no_place(list, &from->tensors[i]);
		if (place.module == NULL)
			continue;
		if (place.layer >= list->model->n_layers)
			return no_place(list, &from->tensors[i]);
		ENGINE_TRY(put_tensor(list, &place, &from->tensors[i]));
	}
	return ENGINE_OK;
}

static EngineCode
put_rope_divisors(TensorList *list)
{
	const HfPlace place = {.module = "rope_freqs", .layer = -1,
	.transform = HF_CONSTANT};
	const float *divisors;
	int32_t		n;
	HfTensor   *tensor;

	ENGINE_TRY(hf_rope_divisors(list->model, &divisors, &n));
	if (divisors == NULL)
		return ENGINE_OK;
	tensor = take_slot(list, &place);
	if (tensor == NULL)
		return ENGINE_OK;		/* no rule gives it another tensor */
	tensor->type = TYPE_F32;
	tensor->values = divisors;
	tensor->n_dims = 1;
	tensor->rows = 1;
	tensor->columns = n;
	return ENGINE_OK;
}

/* A part of a Dense module, whose shape its config.json says */
static EngineCode
put_dense_part(TensorList *list, const HfDense *dense, const HfPlace *place,
			   const SafeTensors *from)
{
	const char *name = place->bias ? "linear.bias" : "linear.weight";
	const SafeTensor *part = safetensors_find(from, name);
	bool		right;

	if (part == NULL)
		return engine_fail(list->model->status, ENGINE_CORRUPT,
						   "module \"%s\" of the model folder has no tensor "
						   "\"%s\"", dense->prefix, name);
	right = part->n_dims == (place->bias ? 1 : 2) &&
		part->dims[0] == dense->out_features &&
		(place->bias || part->dims[1] == dense->in_features);
	if (!right)
		return engine_fail(list->model->status, ENGINE_CORRUPT,
						   "tensor \"%s\" of module \"%s\" does not have the "
						   "shape that config.json says", name,
						   dense->prefix);
	return put_tensor(list, place, part);
}

static EngineCode
put_dense(TensorList *list, int number)
{
	HfModel    *model = list->model;
	const HfDense *dense = &model->dense[number];
	HfPlace		place = {.module = number == 0 ? "dense_2" : "dense_3",
	.layer = -1, .transform = HF_PLAIN};
	SafeTensors from;

	ENGINE_TRY(safetensors_open(model->folder, dense->prefix, model->arena,
								model->host, &from, model->status));
	ENGINE_TRY(put_dense_part(list, dense, &place, &from));
	if (dense->bias)
	{
		place.bias = true;
		ENGINE_TRY(put_dense_part(list, dense, &place, &from));
	}
	if (from.n != (dense->bias ? 2 : 1))
		return engine_fail(model->status, ENGINE_UNSUPPORTED,
						   "module \"%s\" of the model folder has more "
						   "tensors than a Dense module", dense->prefix);
	return ENGINE_OK;
}

/* Close the gaps between the slots. */
static uint32_t
compact(TensorList *list)
{
	uint32_t	n = 0;

	for (uint32_t i = 0; i < list->n_slots; i++)
	{
		if (list->slots[i].name[0] != '\0')
			list->slots[n++] = list->slots[i];
	}
	return n;
}

static EngineCode
check_quantization(const HfModel *model, int quantization)
{
	if (quantization == HF_KEEP || plain_type(quantization) ||
		(quantization >= 0 && quantization < TYPE_LIMIT &&
		 quantise_knows((TensorType) quantization)))
		return ENGINE_OK;
	return engine_fail(model->status, ENGINE_INVALID,
					   "weights cannot be converted to type %d",
					   quantization);
}

EngineCode
hf_list_tensors(HfModel *model, const SafeTensors *from, int quantization,
				HfTensor **tensors, uint32_t *n)
{
	TensorList	list = {.model = model, .quantization = quantization};

	ENGINE_TRY(check_quantization(model, quantization));
	ENGINE_TRY(open_list(&list));
	ENGINE_TRY(put_all(&list, from));
	ENGINE_TRY(put_rope_divisors(&list));
	for (int i = 0; i < model->n_dense; i++)
		ENGINE_TRY(put_dense(&list, i));
	*tensors = list.slots;
	*n = compact(&list);
	return ENGINE_OK;
}
