/*-------------------------------------------------------------------------
 *
 * describe.c
 *	  What a checked model file is, as columns of llm.model.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "models/describe.h"
#include "models/embedding_options.h"
#include "models/registry.h"

/*
 * Files mix types: norms are f32, the output often has more bits.  The type
 * that holds most bytes is what people call the file's quantization.
 */
static const char *
main_type(const GgufFile *file)
{
	uint64		bytes[TYPE_LIMIT] = {0};
	int			best = TYPE_F32;

	for (uint32 i = 0; i < file->n_tensors; i++)
		bytes[file->tensors[i].type] += file->tensors[i].bytes;
	for (int type = 0; type < TYPE_LIMIT; type++)
		if (bytes[type] > bytes[best])
			best = type;
	return tensor_type(best)->name;
}

/*
 * Without a tokenizer no text gets in or out: such a model can do nothing.  A
 * decoder embeds when the file or the options say how to pool.
 */
static int
capabilities(const ImagePlan *plan, const Jsonb *options)
{
	const Hyper *hyper = &plan->header.hyper;
	int			result = 0;

	if (plan->tokenizer == NULL)
		return 0;
	if (hyper->causal && plan->header.output.offset != 0)
		result |= MODEL_GENERATE;
	if (hyper->pooling == POOLING_RANK && hyper->n_labels == 1)
		result |= MODEL_RERANK;
	switch (model_pooling(hyper, options))
	{
		case POOLING_MEAN:
		case POOLING_CLS:
		case POOLING_LAST:
			result |= MODEL_EMBED;
			break;
		case POOLING_NONE:
		case POOLING_RANK:
			break;
	}
	return result;
}

void
describe_model(const ImagePlan *plan, ModelRow *row)
{
	const Hyper *hyper = &plan->header.hyper;

	row->architecture = pstrdup(hyper->architecture);
	row->parameters = hyper->parameters;
	row->quantization = pstrdup(main_type(&plan->file));
	row->context_length = hyper->context_length;
	row->embedding_length = hyper->output_length;
	row->layers = hyper->n_layers;
	row->heads = hyper->n_heads;
	row->kv_heads = hyper->n_kv_heads;
	row->vocabulary = hyper->vocabulary;
	row->capabilities = capabilities(plan, row->options);
}
