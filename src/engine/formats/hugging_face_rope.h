/*-------------------------------------------------------------------------
 *
 * hugging_face_rope.h
 *	  Rotary position embedding as config.json describes it: private to
 *	  formats/hugging_face*.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_HUGGING_FACE_ROPE_H
#define ENGINE_HUGGING_FACE_ROPE_H

#include "formats/hugging_face_read.h"

typedef enum HfRopeScaling
{
	HF_ROPE_PLAIN, HF_ROPE_LINEAR, HF_ROPE_YARN, HF_ROPE_LLAMA3
} HfRopeScaling;

typedef struct HfRope
{
	HfRopeScaling scaling;
	int32_t		n_rot;			/* rotated values of each head */
	double		base;
	double		local_base;		/* layers with a window; 0: the same */
	double		factor;
	double		original;		/* context before scaling (yarn, llama3) */
	double		beta_fast,
				beta_slow;
	double		attention_factor;	/* yarn: the whole of it; 0: by formula */
	double		low_factor,		/* llama3 */
				high_factor;
} HfRope;

/* Does the family rotate at all? */
extern bool hf_rotates(HfFamily family);

/* Only for families that do; sizes of model are filled. */
extern EngineCode hf_read_rope(HfModel *model, HfRope *rope);

#endif							/* ENGINE_HUGGING_FACE_ROPE_H */
