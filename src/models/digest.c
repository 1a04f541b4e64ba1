/*-------------------------------------------------------------------------
 *
 * digest.c
 *	  SHA-256 of a model file, added up piece by piece.
 *
 * Through PostgreSQL's own interface, which is OpenSSL where the server has
 * it and then uses the processor's SHA instructions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "common/cryptohash.h"
#include "utils/builtins.h"

#include "models/digest.h"

static void
digest_failed(Digest *digest)
{
	ereport(ERROR,
			errcode(ERRCODE_INTERNAL_ERROR),
			errmsg("could not compute SHA-256 digest: %s",
				   pg_cryptohash_error(digest)));
}

Digest *
digest_begin(void)
{
	Digest	   *digest = pg_cryptohash_create(PG_SHA256);

	if (digest == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("out of memory"));
	if (pg_cryptohash_init(digest) < 0)
		digest_failed(digest);
	return digest;
}

void
digest_add(Digest *digest, const void *data, size_t length)
{
	if (pg_cryptohash_update(digest, data, length) < 0)
		digest_failed(digest);
}

void
digest_finish(Digest *digest, uint8 *result)
{
	if (pg_cryptohash_final(digest, result, MODEL_DIGEST_BYTES) < 0)
		digest_failed(digest);
	pg_cryptohash_free(digest);
}

char *
digest_text(const uint8 *digest)
{
	char	   *digits = palloc(2 * MODEL_DIGEST_BYTES + 1);

	hex_encode((const char *) digest, MODEL_DIGEST_BYTES, digits);
	digits[2 * MODEL_DIGEST_BYTES] = '\0';
	return digits;
}
