/*-------------------------------------------------------------------------
 *
 * image.c
 *	  Planning an image, and looking up rows in one.
 *
 * Weights lie in the order of the file, so that building writes the image
 * from front to back while it reads the file from front to back.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "model/image_target.h"

#include <inttypes.h>
#include <string.h>

EngineCode
image_not_finite(const GgufTensor *tensor, int64_t row, EngineStatus *status)
{
	engine_fail(status, ENGINE_NOT_FINITE,
				"GGUF tensor \"%s\" has a weight that is not finite",
				tensor->name);
	engine_detail(status, "It is in row %" PRId64
				  ", which begins at byte %" PRIu64 ".", row, tensor->offset +
				  (uint64_t) row *
				  tensor_row_bytes(tensor->type, (uint64_t) tensor->dims[0]));
	return ENGINE_NOT_FINITE;
}

static EngineCode
too_large(EngineStatus *status)
{
	return engine_fail(status, ENGINE_LIMIT, "image of the model is too large");
}

/* Set room for bytes aside at the end of the image. */
static EngineCode
image_room(ImagePlan *plan, uint64_t bytes, uint64_t *offset,
		   EngineStatus *status)
{
	uint64_t	end;

	if (!checked_add(plan->size, bytes, &end) ||
		!checked_align(end, IMAGE_ALIGN, &end) || end > SIZE_MAX / 2)
		return too_large(status);
	*offset = plan->size;
	plan->size = end;
	return ENGINE_OK;
}

static EngineCode
plan_rope(ImagePlan *plan, EngineStatus *status)
{
	ImageHeader *header = &plan->header;
	uint64_t	bytes = (uint64_t) header->hyper.n_rot / 2 * sizeof(double);

	if (bytes == 0)
		return ENGINE_OK;
	ENGINE_TRY(image_room(plan, bytes, &header->rope_frequency, status));
	ENGINE_TRY(image_room(plan, bytes, &header->rope_divisor, status));
	if (plan->rope.local_frequency == NULL)
		return ENGINE_OK;
	return image_room(plan, bytes, &header->rope_local_frequency, status);
}

static EngineCode
plan_tokenizer(ImagePlan *plan, ByteSource *source, EngineArena *arena,
			   const EngineHost *host, EngineStatus *status)
{
	ImageHeader *header = &plan->header;
	uint64_t	size = 0;

	ENGINE_TRY(tokenizer_plan(&plan->file, source, header->hyper.vocabulary,
							  arena, host, &plan->tokenizer, &size, status));
	if (plan->tokenizer == NULL)
		return ENGINE_OK;
	header->tokenizer_size = size;
	return image_room(plan, size, &header->tokenizer, status);
}

static EngineCode
plan_chat_template(ImagePlan *plan, EngineStatus *status)
{
	ImageHeader *header = &plan->header;
	const char *text = NULL;
	size_t		length = 0;

	ENGINE_TRY(gguf_get_string(&plan->file, "tokenizer.chat_template", &text,
							   &length, status));
	if (length == 0)
		return ENGINE_OK;
	header->chat_template_length = length;
	return image_room(plan, (uint64_t) length + 1, &header->chat_template,
					  status);
}

/* A matrix in panels of 16 rows. */
static EngineCode
plan_panels(const GgufTensor *tensor, ImageTarget *target,
			EngineStatus *status)
{
	uint64_t	panels = ((uint64_t) target->n + PANEL_ROWS - 1) / PANEL_ROWS;

	target->panel_bytes = panel_bytes(tensor->type, target->k);
	if (target->panel_bytes == 0)
		return engine_fail(status, ENGINE_UNSUPPORTED,
						   "GGUF tensor \"%s\" of type %s cannot be a matrix",
						   tensor->name, tensor_type(tensor->type)->name);
	if (!checked_mul(panels, target->panel_bytes, &target->bytes))
		return too_large(status);
	return ENGINE_OK;
}

static EngineCode
plan_target(ImagePlan *plan, const GgufTensor *tensor, SlotForm form,
			ImageTarget *target, EngineStatus *status)
{
	target->form = form;
	if (form == FORM_EMBEDDING)
		target->form = plan->header.hyper.tied_output ?
			FORM_PANELS : FORM_ROWS;
	target->k = tensor->dims[0];
	target->n = tensor->dims[1];
	target->row_bytes = tensor_row_bytes(tensor->type,
										 (uint64_t) target->k);
	switch (target->form)
	{
		case FORM_PANELS:
			ENGINE_TRY(plan_panels(tensor, target, status));
			break;
		case FORM_VECTOR:
			if (!checked_mul((uint64_t) target->k, sizeof(float),
							 &target->bytes))
				return too_large(status);
			break;
		case FORM_ROWS:
			target->bytes = tensor->bytes;
			break;
		default:
			return ENGINE_OK;
	}
	if (!checked_align(target->bytes, IMAGE_ALIGN, &target->bytes))
		return too_large(status);
	return image_room(plan, target->bytes, &target->offset, status);
}

/* Describe a target in the header or in its layer. */
static void
publish_target(ImagePlan *plan, const GgufTensor *tensor,
			   const TensorUse *use, const ImageTarget *target)
{
	const TensorSlot *slot = &tensor_slots[use->slot];
	char	   *base = slot->in_layer ? (char *) &plan->layers[use->layer] :
		(char *) &plan->header;

	if (target->form == FORM_VECTOR)
	{
		ImageVector *vector = (ImageVector *) (base + slot->field);

		vector->offset = target->offset;
		vector->n = target->k;
	}
	else if (target->form != FORM_DIVISORS)
	{
		ImageMatrix *matrix = (ImageMatrix *) (base + slot->field);

		matrix->offset = target->offset;
		matrix->bytes = target->bytes;
		matrix->n = target->n;
		matrix->k = target->k;
		matrix->panel_bytes = target->form == FORM_PANELS ?
			target->panel_bytes : target->row_bytes;
		matrix->type = tensor->type;
		matrix->file_order = target->form == FORM_ROWS;
	}
}

static EngineCode
plan_weights(ImagePlan *plan, EngineArena *arena, EngineStatus *status)
{
	GgufFile   *file = &plan->file;
	TensorUse  *uses;

	ENGINE_TRY(architecture_tensors(file, &plan->header.hyper, arena, &uses,
									status));
	plan->targets = engine_alloc(arena, file->n_tensors, sizeof(ImageTarget),
								 status);
	if (plan->targets == NULL)
		return status->code;
	for (uint32_t i = 0; i < file->n_tensors; i++)
	{
		const GgufTensor *tensor = &file->tensors[i];

		ENGINE_TRY(plan_target(plan, tensor,
							   tensor_slots[uses[i].slot].form,
							   &plan->targets[i], status));
		publish_target(plan, tensor, &uses[i], &plan->targets[i]);
	}
	if (plan->header.hyper.tied_output)
		plan->header.output = plan->header.token_embd;
	return ENGINE_OK;
}

EngineCode
image_plan(ByteSource *source, EngineArena *arena, const EngineHost *host,
		   ImagePlan *plan, EngineStatus *status)
{
	ImageHeader *header = &plan->header;
	uint64_t	start;

	memset(plan, 0, sizeof(*plan));
	ENGINE_TRY(gguf_read(source, arena, host, &plan->file, status));
	ENGINE_TRY(architecture_read(&plan->file, source, arena, &header->hyper,
								 &plan->rope, status));
	plan->layers = engine_alloc(arena, header->hyper.n_layers,
								sizeof(ImageLayer), status);
	if (plan->layers == NULL)
		return status->code;

	ENGINE_TRY(image_room(plan, sizeof(ImageHeader), &start, status));
	ENGINE_TRY(image_room(plan, (uint64_t) header->hyper.n_layers *
						  sizeof(ImageLayer), &header->layers, status));
	ENGINE_TRY(plan_rope(plan, status));
	ENGINE_TRY(plan_tokenizer(plan, source, arena, host, status));
	ENGINE_TRY(plan_chat_template(plan, status));
	plan->weights = plan->size;
	ENGINE_TRY(plan_weights(plan, arena, status));

	header->magic = IMAGE_MAGIC;
	header->format = IMAGE_FORMAT;
	header->numerics = NUMERICS_VERSION;
	header->size = plan->size;
	return ENGINE_OK;
}

void
image_row(const ImageHeader *image, const ImageMatrix *matrix, int64_t r,
		  float *out)
{
	if (matrix->file_order)
	{
		const char *rows = image_at(image, matrix->offset);

		tensor_type(matrix->type)->dequantise(rows + r * matrix->panel_bytes,
											  out, matrix->k);
	}
	else
	{
		PackedMatrix packed = image_matrix(image, matrix);

		packed_row(&packed, r, out);
	}
}
