/*-------------------------------------------------------------------------
 *
 * llm.c
 *	  Entry point of the library.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"

#include "serving/preload.h"
#include "serving/ring.h"
#include "serving/usage.h"
#include "serving/worker.h"
#include "settings.h"
#include "weights/cache.h"

LLM_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	settings_init();
	if (process_shared_preload_libraries_in_progress)
	{
		weights_init();
		ring_init();
		usage_init();
		preload_init();
		workers_init();
	}
}
