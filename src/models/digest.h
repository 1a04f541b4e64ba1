/*-------------------------------------------------------------------------
 *
 * digest.h
 *	  SHA-256 of a model file, added up piece by piece.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_DIGEST_H
#define LLM_DIGEST_H

#define MODEL_DIGEST_BYTES 32

/* Freed by digest_finish(), or with the current resource owner. */
typedef struct pg_cryptohash_ctx Digest;

extern Digest *digest_begin(void);
extern void digest_add(Digest *digest, const void *data, size_t length);
extern void digest_finish(Digest *digest, uint8 *result);

/* As hexadecimal digits, palloc'd. */
extern char *digest_text(const uint8 *digest);

#endif							/* LLM_DIGEST_H */
