/*-------------------------------------------------------------------------
 *
 * image_target.h
 *	  Where the data of each tensor of a file goes: private to image*.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_IMAGE_TARGET_H
#define ENGINE_IMAGE_TARGET_H

#include "model/architecture_table.h"

typedef struct ImageTarget
{
	SlotForm	form;			/* never FORM_EMBEDDING: that is decided */
	uint64_t	offset;			/* in the image; FORM_DIVISORS: 0 */
	uint64_t	bytes;			/* in the image, multiple of 64 */
	int64_t		n;				/* rows */
	int64_t		k;				/* columns */
	uint64_t	row_bytes;		/* of one row in the file */
	uint64_t	panel_bytes;	/* FORM_PANELS: of one panel in the image */
} ImageTarget;

/* Everything in an image begins at a multiple of this. */
#define IMAGE_ALIGN 64

/* ENGINE_NOT_FINITE for a row of a tensor. */
extern EngineCode image_not_finite(const GgufTensor *tensor, int64_t row,
								   EngineStatus *status);

#endif							/* ENGINE_IMAGE_TARGET_H */
