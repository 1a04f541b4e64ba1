/*-------------------------------------------------------------------------
 *
 * sources.h
 *	  Large objects that are known to hold the bytes of an image.
 *
 * An image is found by the digest that a row of llm.model claims, and the
 * right to use it is asked of the row's large object.  The two belong together
 * only if those bytes are in that object: else whoever creates an object with
 * the number of one that is gone could use its model.  An image therefore
 * remembers for which objects the digest was computed; an object that is not
 * among them is read and hashed before the image is given out.  The xmin of
 * its catalog row tells an object from another one of the same number (it
 * also changes with GRANT, which costs reading once more).
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_SOURCES_H
#define LLM_SOURCES_H

#include "models/registry.h"

#define SOURCES_KEPT 16

typedef struct WeightsSource
{
	Oid			database;
	Oid			large_object;
	TransactionId xmin;
} WeightsSource;

typedef struct WeightsSources
{
	uint32		n;				/* ever added; the last SOURCES_KEPT are kept */
	WeightsSource items[SOURCES_KEPT];
} WeightsSources;

extern bool sources_have(const WeightsSources *sources, const ModelRef *model);
extern void sources_add(WeightsSources *sources, const ModelRef *model);

#endif							/* LLM_SOURCES_H */
