/*-------------------------------------------------------------------------
 *
 * philox.c
 *	  Random numbers by counting.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "decode/philox.h"

void
philox4x32(uint32_t counter[4], uint32_t key0, uint32_t key1)
{
	uint32_t   *c = counter;

	for (int round = 0; round < 10; round++)
	{
		uint64_t	product0 = UINT64_C(0xD2511F53) * c[0];
		uint64_t	product1 = UINT64_C(0xCD9E8D57) * c[2];
		uint32_t	next0 = (uint32_t) (product1 >> 32) ^ c[1] ^ key0;
		uint32_t	next2 = (uint32_t) (product0 >> 32) ^ c[3] ^ key1;

		c[0] = next0;
		c[1] = (uint32_t) product1;
		c[2] = next2;
		c[3] = (uint32_t) product0;
		key0 += UINT32_C(0x9E3779B9);
		key1 += UINT32_C(0xBB67AE85);
	}
}

double
philox_uniform(uint64_t seed, uint32_t index)
{
	uint32_t	c[4] = {index, 0, 0, 0};

	philox4x32(c, (uint32_t) seed, (uint32_t) (seed >> 32));
	return (double) ((((uint64_t) c[0] << 32) | c[1]) >> 11) * 0x1p-53;
}
