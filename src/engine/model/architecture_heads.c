/*-------------------------------------------------------------------------
 *
 * architecture_heads.c
 *	  What follows the blocks of models that embed or rank.
 *
 * GGUF has keys for the kind of pooling and the sizes of Dense layers; sizes
 * are taken from the tensors themselves, as that of the vocabulary is.  What
 * other engines have no key for is in keys of ours ("llm."), whose defaults
 * are what BERT does.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "model/architecture_table.h"

#include <inttypes.h>
#include <string.h>

#define MAX_OUTPUT 65536
#define MAX_LABELS 65536
#define MAX_TOKEN_TYPES 65536

/* Rows of the matrix in a slot, 0 when the file has none. */
static EngineCode
slot_rows(const GgufFile *file, SlotId slot, int64_t max, int32_t *rows,
		  EngineStatus *status)
{
	const GgufTensor *tensor = gguf_find_tensor(file,
												tensor_slots[slot].name);

	*rows = 0;
	if (tensor == NULL)
		return ENGINE_OK;
	if (tensor->dims[1] > max)
		return engine_fail(status, ENGINE_LIMIT,
						   "GGUF tensor \"%s\" has %" PRId64
						   " rows, the limit is %" PRId64, tensor->name,
						   tensor->dims[1], max);
	*rows = (int32_t) tensor->dims[1];
	return ENGINE_OK;
}

/* One of some words, NULL at their end; *choice is the default. */
static EngineCode
read_choice(const GgufFile *file, const char *name,
			const char *const *words, int32_t *choice, EngineStatus *status)
{
	const char *text = NULL;
	size_t		length = 0;
	char		shown[64];

	ENGINE_TRY(gguf_get_string(file, name, &text, &length, status));
	if (text == NULL)
		return ENGINE_OK;
	for (int i = 0; words[i] != NULL; i++)
	{
		if (strlen(words[i]) == length && memcmp(words[i], text, length) == 0)
		{
			*choice = i;
			return ENGINE_OK;
		}
	}
	return engine_fail(status, ENGINE_UNSUPPORTED,
					   "\"%s\" of GGUF key \"%s\" is not supported",
					   engine_printable(text, length, shown, sizeof(shown)),
					   name);
}

static EngineCode
read_pooling(const GgufFile *file, const Architecture *architecture,
			 Hyper *hyper, EngineStatus *status)
{
	char		name[96];
	int64_t		pooling = POOLING_NONE;

	architecture_key(architecture, "pooling_type", name, sizeof(name));
	ENGINE_TRY(gguf_get_int(file, name, POOLING_NONE, POOLING_RANK, &pooling,
							status));
	if (pooling == POOLING_NONE && !hyper->causal)
		pooling = hyper->n_labels > 0 ? POOLING_RANK : POOLING_MEAN;
	if (pooling == POOLING_RANK && hyper->n_labels == 0)
		return engine_fail(status, ENGINE_UNSUPPORTED,
						   "a reranker without the tensor \"%s\" is not "
						   "supported", tensor_slots[SLOT_CLS_OUTPUT].name);
	hyper->pooling = (int32_t) pooling;
	return ENGINE_OK;
}

static EngineCode
read_dense(const GgufFile *file, Hyper *hyper, EngineStatus *status)
{
	static const char *const words[] = {"identity", "tanh", NULL};

	ENGINE_TRY(slot_rows(file, SLOT_DENSE_2, MAX_OUTPUT,
						 &hyper->dense_2_length, status));
	ENGINE_TRY(slot_rows(file, SLOT_DENSE_3, MAX_OUTPUT,
						 &hyper->dense_3_length, status));
	if (hyper->dense_3_length > 0 && hyper->dense_2_length == 0)
		return engine_fail(status, ENGINE_CORRUPT,
						   "GGUF tensor \"%s\" is missing",
						   tensor_slots[SLOT_DENSE_2].name);
	ENGINE_TRY(read_choice(file, "llm.dense_2.activation", words,
						   &hyper->dense_2_tanh, status));
	ENGINE_TRY(read_choice(file, "llm.dense_3.activation", words,
						   &hyper->dense_3_tanh, status));
	hyper->output_length = hyper->embedding_length;
	if (hyper->dense_2_length > 0)
		hyper->output_length = hyper->dense_2_length;
	if (hyper->dense_3_length > 0)
		hyper->output_length = hyper->dense_3_length;
	return ENGINE_OK;
}

static EngineCode
read_classifier(const GgufFile *file, Hyper *hyper, EngineStatus *status)
{
	static const char *const activations[] = {"tanh", "relu", "gelu", NULL};
	static const char *const poolings[] = {"cls", "mean", NULL};
	int32_t		mean = 0;

	ENGINE_TRY(slot_rows(file, SLOT_CLS_OUTPUT, MAX_LABELS, &hyper->n_labels,
						 status));
	ENGINE_TRY(read_choice(file, "llm.classifier.activation", activations,
						   &hyper->classifier, status));
	ENGINE_TRY(read_choice(file, "llm.classifier.pooling", poolings, &mean,
						   status));
	hyper->classifier_pooling = mean ? POOLING_MEAN : POOLING_CLS;
	return ENGINE_OK;
}

/* The files of other engines mean the exact form and have no key for it. */
static EngineCode
read_activation(const GgufFile *file, const Architecture *architecture,
				Hyper *hyper, EngineStatus *status)
{
	static const char *const forms[] = {"gelu", "gelu_tanh", NULL};
	int32_t		tanh_form = 0;

	hyper->feed_forward = architecture->feed_forward;
	if (architecture->feed_forward != FFN_GELU_ERF)
		return ENGINE_OK;
	ENGINE_TRY(read_choice(file, "llm.feed_forward.activation", forms,
						   &tanh_form, status));
	if (tanh_form)
		hyper->feed_forward = FFN_GELU_TANH;
	return ENGINE_OK;
}

EngineCode
architecture_heads(const GgufFile *file, const Architecture *architecture,
				   Hyper *hyper, EngineStatus *status)
{
	ENGINE_TRY(slot_rows(file, SLOT_TOKEN_TYPES, MAX_TOKEN_TYPES,
						 &hyper->token_types, status));
	ENGINE_TRY(read_activation(file, architecture, hyper, status));
	ENGINE_TRY(read_dense(file, hyper, status));
	ENGINE_TRY(read_classifier(file, hyper, status));
	return read_pooling(file, architecture, hyper, status);
}
