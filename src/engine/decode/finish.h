/*-------------------------------------------------------------------------
 *
 * finish.h
 *	  Why an output ends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_FINISH_H
#define ENGINE_FINISH_H

typedef enum FinishReason
{
	FINISH_NONE,				/* goes on */
	FINISH_STOP,				/* end token or stop text */
	FINISH_LENGTH				/* max_tokens, or the context is full */
} FinishReason;

#endif							/* ENGINE_FINISH_H */
