/*-------------------------------------------------------------------------
 *
 * image.h
 *	  A model prepared for computing, as one relocatable block.
 *
 *	  +--------------+ 0
 *	  | ImageHeader  |  magic, versions, size, digest, hyper-parameters,
 *	  |              |  offsets of everything below
 *	  +--------------+
 *	  | ImageLayer[] |  n_layers
 *	  +--------------+
 *	  | RoPE tables  |  double frequency[n_rot/2], divisor[n_rot/2], and
 *	  |              |  perhaps local_frequency[n_rot/2]
 *	  +--------------+
 *	  | tokenizer    |  tokenizer.h; its own offsets are from its own start
 *	  +--------------+
 *	  | chat template|  UTF-8 text, as the file has it
 *	  +--------------+
 *	  | weights      |  panels and f32 vectors, each 64-byte aligned
 *	  +--------------+ size
 *
 * Offsets instead of pointers: every process uses the image where it lies.
 * An image is a function of the file's bytes, of nothing else.  After
 * publishing it is only ever read.  Offset 0 means: the tensor is absent.
 *
 * Building is two steps so that the host can find room in between:
 * image_plan() reads and checks the header of an untrusted file and knows the
 * size; image_build() streams the tensor data, in file order, each byte once,
 * panel by panel.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_IMAGE_H
#define ENGINE_IMAGE_H

#include "model/architecture.h"
#include "tokenizer/tokenizer.h"

#define IMAGE_MAGIC UINT64_C(0x31304547414D494C)
#define IMAGE_FORMAT 2			/* raised when the layout changes */

typedef struct ImageMatrix
{
	uint64_t	offset;			/* 0: absent */
	uint64_t	bytes;
	int64_t		n;				/* rows = outputs */
	int64_t		k;				/* columns = inputs */
	uint64_t	panel_bytes;	/* stride of panels; file order: of rows */
	int32_t		type;			/* TensorType */
	int32_t		file_order;		/* 1: rows as in the file (lookup only) */
} ImageMatrix;

typedef struct ImageVector		/* always f32 */
{
	uint64_t	offset;			/* 0: absent */
	int64_t		n;
} ImageVector;

typedef struct ImageLayer
{
	ImageVector attn_norm,
				attn_norm_bias;
	ImageMatrix attn_qkv;		/* fused, or q, k, v apart */
	ImageVector attn_qkv_bias;
	ImageMatrix attn_q,
				attn_k,
				attn_v,
				attn_output;
	ImageVector attn_q_bias,
				attn_k_bias,
				attn_v_bias,
				attn_output_bias;
	ImageVector attn_q_norm,	/* [key_length], per head */
				attn_k_norm;
	ImageVector attn_post_norm, /* bert: attn_output_norm; gemma2 */
				attn_post_norm_bias;
	ImageVector ffn_norm,
				ffn_norm_bias;
	ImageMatrix ffn_gate,
				ffn_up,			/* fused: gate and up */
				ffn_down;
	ImageVector ffn_gate_bias,
				ffn_up_bias,
				ffn_down_bias;
	ImageVector ffn_post_norm,	/* bert: layer_output_norm; gemma2 */
				ffn_post_norm_bias;
} ImageLayer;

typedef struct ImageHeader
{
	uint64_t	magic;
	uint32_t	format;
	uint32_t	numerics;		/* NUMERICS_VERSION */
	uint64_t	size;			/* of the whole image */
	uint8_t		digest[32];		/* SHA-256 of the file; set by the host */
	Hyper		hyper;
	uint64_t	layers;			/* offset of ImageLayer[n_layers] */
	uint64_t	rope_frequency; /* offset of double[n_rot / 2], or 0 */
	uint64_t	rope_divisor;
	uint64_t	rope_local_frequency;	/* or 0 */
	uint64_t	tokenizer;		/* offset, or 0: the file has none */
	uint64_t	tokenizer_size;
	uint64_t	chat_template;	/* offset, or 0 */
	uint64_t	chat_template_length;
	ImageMatrix token_embd;		/* panels when tied, else file order */
	ImageMatrix output;			/* equals token_embd when tied */
	ImageVector output_bias;
	ImageMatrix position_embd;	/* file order */
	ImageMatrix token_types;	/* file order */
	ImageVector token_embd_norm,
				token_embd_norm_bias;
	ImageVector output_norm,
				output_norm_bias;
	ImageMatrix dense_2,		/* after pooling */
				dense_3;
	ImageVector dense_2_bias,
				dense_3_bias;
	ImageMatrix cls,			/* of a classifier, may be absent */
				cls_output;
	ImageVector cls_bias,
				cls_norm,
				cls_norm_bias,
				cls_output_bias;
} ImageHeader;

typedef struct ImagePlan
{
	GgufFile	file;
	ImageHeader header;			/* complete but for the digest */
	ImageLayer *layers;
	RopeTables	rope;
	TokenizerPlan *tokenizer;	/* NULL: none */
	struct ImageTarget *targets;	/* per file tensor: where it goes */
	uint64_t	weights;		/* offset of the first one */
	uint64_t	size;			/* bytes the image needs */
} ImagePlan;

/*
 * Read and check the header of a file: GGUF, architecture, shapes, tokenizer.
 * Also all that load_model checks before it accepts a file, but for the
 * finiteness of weights, which image_check_data() or image_build() see.
 */
extern EngineCode image_plan(ByteSource *source, EngineArena *arena,
							 const EngineHost *host, ImagePlan *plan,
							 EngineStatus *status);

/* Progress in bytes of the file; may be NULL. */
typedef void (*ImageProgress) (void *arg, uint64_t done, uint64_t total);

/*
 * Fill image (plan->size bytes, 64-byte aligned, any content) from source.
 * Scales and f16/bf16/f32 values are checked to be finite on the way
 * (ENGINE_NOT_FINITE names the tensor).  All bytes of the image are written.
 *
 * After the tokenizer has walked its arrays, the whole file passes from byte
 * 0 to its end in pieces of 1 MB, ascending, without gaps, each byte once:
 * a source that hashes needs only to follow those reads that continue where
 * it stopped, starting over when image_build() is called.
 */
extern EngineCode image_build(const ImagePlan *plan, ByteSource *source,
							  EngineArena *arena, const EngineHost *host,
							  ImageProgress progress, void *progress_arg,
							  void *image, EngineStatus *status);

/*
 * The data checks of image_build() for one piece of a file that an importer
 * streams anyway: bytes [offset, offset + length) of the file, called with
 * ascending, gapless pieces of any size from 0 to the end.  State in check.
 */
typedef struct ImageCheck
{
	const ImagePlan *plan;
	uint32_t	tensor;			/* being read */
	uint64_t	position;		/* file offset of the next byte */
	uint8_t		partial[512];	/* an unfinished block */
	size_t		partial_bytes;
} ImageCheck;

extern void image_check_init(ImageCheck *check, const ImagePlan *plan);
extern EngineCode image_check_data(ImageCheck *check, uint64_t offset,
								   const void *data, size_t length,
								   EngineStatus *status);

/* Access in a finished image. */
static inline const void *
image_at(const ImageHeader *image, uint64_t offset)
{
	return offset == 0 ? NULL : (const char *) image + offset;
}

static inline const ImageLayer *
image_layer(const ImageHeader *image, int layer)
{
	return (const ImageLayer *) image_at(image, image->layers) + layer;
}

static inline PackedMatrix
image_matrix(const ImageHeader *image, const ImageMatrix *matrix)
{
	PackedMatrix packed;

	packed.panels = image_at(image, matrix->offset);
	packed.type = (TensorType) matrix->type;
	packed.n = matrix->n;
	packed.k = matrix->k;
	packed.panel_bytes = (size_t) matrix->panel_bytes;
	return packed;
}

static inline const float *
image_vector(const ImageHeader *image, const ImageVector *vector)
{
	return image_at(image, vector->offset);
}

/* Row r of a panel or file-order matrix as exact f32: out[k]. */
extern void image_row(const ImageHeader *image, const ImageMatrix *matrix,
					  int64_t r, float *out);

#endif							/* ENGINE_IMAGE_H */
