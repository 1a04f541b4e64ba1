/*-------------------------------------------------------------------------
 *
 * target_end.h
 *	  Last line of a file that is compiled for an instruction set; clang
 *	  wants the target that such files push to be popped.
 *
 *-------------------------------------------------------------------------
 */
#if defined(__clang__) && defined(__x86_64__) && defined(MATHF_HARDWARE_FMA)
#pragma clang attribute pop
#endif
