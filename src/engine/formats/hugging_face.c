/*-------------------------------------------------------------------------
 *
 * hugging_face.c
 *	  Opens a Hugging Face folder as one GGUF file.
 *
 * Everything small is read here and checked: config.json says what the model
 * is, the headers of the safetensors files which weights there are, the rest
 * how to tokenize and what to do with the vectors.  The header of the GGUF
 * file follows from that; hugging_face_data.c makes the rest when it is read.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/hugging_face_model.h"

#include <string.h>

/* general.file_type of a file whose matrices have that type */
static int32_t
file_type_of(TensorType type)
{
	switch (type)
	{
		case TYPE_F16:
			return 1;
		case TYPE_Q4_0:
			return 2;
		case TYPE_Q4_1:
			return 3;
		case TYPE_Q8_0:
			return 7;
		case TYPE_Q5_0:
			return 8;
		case TYPE_Q5_1:
			return 9;
		case TYPE_Q2_K:
			return 10;
		case TYPE_Q3_K:
			return 11;
		case TYPE_Q4_K:
			return 14;
		case TYPE_Q5_K:
			return 16;
		case TYPE_Q6_K:
			return 18;
		case TYPE_IQ4_NL:
			return 25;
		case TYPE_IQ4_XS:
			return 30;
		case TYPE_BF16:
			return 32;
		case TYPE_MXFP4:
			return 38;
		default:
			return 0;			/* F32 */
	}
}

/* The token embedding comes first, and every model has one. */
static EngineCode
check_embedding(HfModel *model, const HfTensor *tensors, uint32_t n)
{
	if (n > 0 && strcmp(tensors[0].name, "token_embd.weight") == 0 &&
		tensors[0].n_dims == 2 && tensors[0].rows <= INT32_MAX)
		return ENGINE_OK;
	return engine_fail(model->status, ENGINE_CORRUPT,
					   "model folder has no matrix of token embeddings");
}

static void
put_tensors(GgufWriter *writer, const HfTensor *tensors, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
	{
		int64_t		dims[2] = {tensors[i].columns, tensors[i].rows};

		gguf_put_tensor(writer, tensors[i].name, tensors[i].type,
						tensors[i].n_dims, dims);
	}
}

static EngineCode
make_header(HfModel *model, const HfTensor *tensors, uint32_t n,
			const uint8_t **header, uint64_t *data_offset)
{
	GgufWriter	writer;

	gguf_writer_init(&writer, model->arena, model->status);
	ENGINE_TRY(hf_put_config(model, &writer));
	ENGINE_TRY(hf_put_embedding(model, &writer));
	ENGINE_TRY(hf_put_tokenizer(model, (int32_t) tensors[0].rows, &writer));
	put_tensors(&writer, tensors, n);
	return gguf_writer_finish(&writer, header, data_offset);
}

EngineCode
hugging_face_open(ModelFolder *folder, int quantization, EngineArena *arena,
				  const EngineHost *host, ByteSource **gguf,
				  EngineStatus *status)
{
	HfModel		model;
	SafeTensors from;
	HfTensor   *tensors;
	uint32_t	n;
	const uint8_t *header;
	uint64_t	data_offset;

	memset(&model, 0, sizeof(model));
	model.folder = folder;
	model.arena = arena;
	model.host = host;
	model.status = status;
	ENGINE_TRY(hf_read_config(&model));
	ENGINE_TRY(hf_read_modules(&model));
	ENGINE_TRY(safetensors_open(folder, "", arena, host, &from, status));
	ENGINE_TRY(hf_list_tensors(&model, &from, quantization, &tensors, &n));
	ENGINE_TRY(check_embedding(&model, tensors, n));
	model.file_type = file_type_of(quantization == HF_KEEP ?
								   tensors[0].type :
								   (TensorType) quantization);
	ENGINE_TRY(make_header(&model, tensors, n, &header, &data_offset));
	return hf_open_data(&model, tensors, n, header, data_offset, gguf);
}
