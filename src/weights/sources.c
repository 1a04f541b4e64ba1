/*-------------------------------------------------------------------------
 *
 * sources.c
 *	  Large objects that are known to hold the bytes of an image.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"

#include "weights/sources.h"

static bool
is_source(const WeightsSource *source, const ModelRef *model)
{
	return source->database == MyDatabaseId &&
		source->large_object == model->large_object &&
		source->xmin == model->large_object_xmin;
}

bool
sources_have(const WeightsSources *sources, const ModelRef *model)
{
	for (uint32 i = 0; i < Min(sources->n, SOURCES_KEPT); i++)
		if (is_source(&sources->items[i], model))
			return true;
	return false;
}

void
sources_add(WeightsSources *sources, const ModelRef *model)
{
	WeightsSource *source;

	if (sources_have(sources, model))
		return;
	source = &sources->items[sources->n++ % SOURCES_KEPT];
	source->database = MyDatabaseId;
	source->large_object = model->large_object;
	source->xmin = model->large_object_xmin;
}
