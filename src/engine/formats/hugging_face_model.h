/*-------------------------------------------------------------------------
 *
 * hugging_face_model.h
 *	  What the files of the importer share: private to formats/hugging_face*.
 *
 * hugging_face.c			opens a folder, makes the header
 * hugging_face_config.c	config.json -> family, sizes, hyper-parameter keys
 * hugging_face_tokenizer.c	tokenizer.json and its companions -> tokenizer keys
 * hugging_face_embedding.c	files of sentence-transformers -> pooling, prompts
 * hugging_face_tensors.c	shapes and types: which tensors the file gets
 * hugging_face_names.c		names of the families and those of GGUF
 * hugging_face_data.c		tensor data, converted when it is asked for
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_HUGGING_FACE_MODEL_H
#define ENGINE_HUGGING_FACE_MODEL_H

#include "formats/gguf_writer.h"
#include "formats/hugging_face.h"
#include "formats/safetensors.h"

typedef enum HfFamily
{
	HF_LLAMA,					/* Mistral and SmolLM2 too */
	HF_QWEN2,
	HF_QWEN3,
	HF_GPT2,
	HF_GEMMA,
	HF_GEMMA2,
	HF_GEMMA3,					/* decoder, or the text part of one */
	HF_GEMMA_EMBEDDING,			/* bidirectional Gemma3TextModel */
	HF_BERT,
	HF_DISTILBERT,
	HF_ROBERTA,					/* and XLM-RoBERTa */
	HF_NOMIC_BERT,
	HF_MODERN_BERT
} HfFamily;

/* A Dense module of sentence-transformers, after pooling. */
typedef struct HfDense
{
	char		prefix[208];	/* "2_Dense/" */
	int32_t		in_features;
	int32_t		out_features;
	bool		bias;
	bool		tanh;			/* activation: tanh or identity */
} HfDense;

#define HF_MAX_DENSE 2

typedef struct HfModel
{
	ModelFolder *folder;
	EngineArena *arena;
	const EngineHost *host;
	EngineStatus *status;
	const JsonNode *config;		/* config.json, or its text_config */
	HfFamily	family;
	const char *architecture;	/* general.architecture: "llama", "bert", ... */
	int32_t		n_layers;
	int32_t		embedding_length;
	int32_t		feed_forward_length;
	int32_t		n_heads;
	int32_t		n_kv_heads;
	int32_t		key_length;
	int32_t		context_length; /* of the GGUF: without first_position */
	int32_t		vocabulary;		/* vocab_size of config.json */
	int32_t		first_position; /* RoBERTa: rows of the position table before
								 * that of the first token, else 0 */
	bool		causal;
	bool		tied;			/* tie_word_embeddings */
	bool		gelu_tanh;		/* BERT with the tanh form of GELU */
	int32_t		window;			/* attention.sliding_window, 0: none */
	int32_t		window_period;	/* one layer of so many has none, 0: no such */
	int32_t		n_labels;		/* classifier outputs, 0: no classifier */
	const JsonNode **labels;	/* their names, NULL: unknown */
	int32_t		file_type;		/* general.file_type, which hugging_face.c
								 * sets before hf_put_config() */
	bool		has_modules;	/* there is a modules.json */
	bool		normalize;		/* it ends with Normalize */
	bool		lower_first;	/* texts are lower-cased before tokenizing */
	int32_t		pooling;		/* <arch>.pooling_type */
	int64_t		max_length;		/* max_seq_length, 0: unknown */
	int			n_dense;
	HfDense		dense[HF_MAX_DENSE];
} HfModel;

/*
 * hugging_face_config.c: fills all of model but file_type and dense from
 * folder, arena, host and status; checks ranges.
 */
extern EngineCode hf_read_config(HfModel *model);

/* general.* and <architecture>.* keys, but for pooling. */
extern EngineCode hf_put_config(HfModel *model, GgufWriter *writer);

/*
 * RoPE with llama3 scaling: n_rot / 2 divisors for the tensor rope_freqs.weight
 * in arena; *divisors is NULL when there is no such scaling.
 */
extern EngineCode hf_rope_divisors(HfModel *model, const float **divisors,
								   int32_t *n);

/* hugging_face_tokenizer.c: tokenizer.* keys; n_rows bounds the ids. */
extern EngineCode hf_put_tokenizer(HfModel *model, int32_t n_rows,
								   GgufWriter *writer);

/*
 * hugging_face_embedding.c: reads modules.json and what it names, and fills
 * model from has_modules to dense.
 */
extern EngineCode hf_read_modules(HfModel *model);

/*
 * <arch>.pooling_type, <arch>.dense_2_feat_out and the like, and ours:
 *	llm.normalize			bool: the model ends with a Normalize module
 *	llm.max_length			u32: max_seq_length
 *	llm.prompts.names		array of string
 *	llm.prompts.texts		array of string
 *	llm.default_prompt		string: a name of llm.prompts.names
 *	llm.dense_2.activation	string: "tanh" or "identity" (and dense_3)
 *	llm.classifier.activation	string: what follows cls: "tanh" (BERT, RoBERTa;
 *						default), "relu" (DistilBERT), "gelu" (ModernBERT)
 *	llm.classifier.pooling	string: what cls reads: "cls" (default), "mean"
 */
extern EngineCode hf_put_embedding(HfModel *model, GgufWriter *writer);

/* What happens to the values of a tensor on the way. */
typedef enum HfTransform
{
	HF_PLAIN,
	HF_PERMUTE_Q,				/* NEOX rows to NORM, per head (llama) */
	HF_PERMUTE_K,
	HF_ADD_ONE,					/* norms of gemma */
	HF_TRANSPOSE,				/* Conv1D of gpt2 */
	HF_SKIP_ROWS,				/* the first first_position rows are left out */
	HF_CONSTANT					/* values in memory (rope_freqs) */
} HfTransform;

/* One tensor of the GGUF file. */
typedef struct HfTensor
{
	char		name[64];
	TensorType	type;			/* to store */
	HfTransform transform;
	const SafeTensor *from;		/* NULL: HF_CONSTANT */
	const float *values;		/* HF_CONSTANT */
	int			n_dims;
	int64_t		rows;			/* of the result; vectors: 1 */
	int64_t		columns;
} HfTensor;

/*
 * hugging_face_tensors.c: all tensors of the GGUF file, in the order of the
 * layers.  A tensor of the folder that has no place is ENGINE_UNSUPPORTED,
 * but for those that hold nothing learned (position_ids, inv_freq, masks) and
 * heads that are not used (masked-language-model heads, a pooler without
 * classifier).
 */
extern EngineCode hf_list_tensors(HfModel *model, const SafeTensors *from,
								  int quantization, HfTensor **tensors,
								  uint32_t *n);

/* hugging_face_names.c: where the GGUF file has a tensor of the folder. */
typedef struct HfPlace
{
	const char *module;			/* "attn_q"; NULL: the file leaves it out */
	int32_t		layer;			/* -1: outside the layers */
	bool		bias;			/* else the weight */
	HfTransform transform;
} HfPlace;

/* False: no place in a model of that family. */
extern bool hf_find_place(const HfModel *model, const char *name,
						  HfPlace *place);

/*
 * hugging_face_data.c: the source of header, which has data_offset bytes, and
 * the data of tensors, each padded to 32 bytes.  It lives in model->arena, and
 * so must what it is made of; model itself is not needed any more.
 */
extern EngineCode hf_open_data(HfModel *model, const HfTensor *tensors,
							   uint32_t n, const uint8_t *header,
							   uint64_t data_offset, ByteSource **source);

#endif							/* ENGINE_HUGGING_FACE_MODEL_H */
