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

/* Without a tokenizer no text gets in or out: such a model can do nothing. */
static int
capabilities(const ImagePlan *plan)
{
	const Hyper *hyper = &plan->header.hyper;

	if (plan->tokenizer == NULL)
		return 0;
	switch ((PoolingKind) hyper->pooling)
	{
		case POOLING_NONE:
			return hyper->causal ? MODEL_GENERATE : 0;
		case POOLING_MEAN:
		case POOLING_CLS:
		case POOLING_LAST:
			return MODEL_EMBED;
		case POOLING_RANK:
			return MODEL_RERANK;
	}
	return 0;
}

void
describe_model(const ImagePlan *plan, ModelRow *row)
{
	const Hyper *hyper = &plan->header.hyper;

	row->architecture = pstrdup(hyper->architecture);
	row->parameters = hyper->parameters;
	row->quantization = pstrdup(main_type(&plan->file));
	row->context_length = hyper->context_length;
	row->embedding_length = hyper->embedding_length;
	row->layers = hyper->n_layers;
	row->heads = hyper->n_heads;
	row->kv_heads = hyper->n_kv_heads;
	row->vocabulary = hyper->vocabulary;
	row->capabilities = capabilities(plan);
}
