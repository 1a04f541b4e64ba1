/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  Every setting of the extension, in one table.
 *
 * llm.cache_size sizes shared memory, so it can only be a start-up setting
 * when the library is preloaded.  Without preloading the same value bounds
 * the private cache of a session and is read from the configuration file.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "serving/preload_list.h"
#include "settings.h"

int			setting_cache_size = 1024;
int			setting_execution = EXECUTION_AUTO;
int			setting_workers = 1;
int			setting_max_requests = 256;
int			setting_kv_cache_size = 512;
int			setting_worker_threads = 0;
int			setting_batch_tokens = 256;
int			setting_prefix_cache = PREFIX_CACHE_ROLE;
int			setting_stream_idle_timeout = 30000;
int			setting_max_requests_per_role = 0;
char	   *setting_preload_models = NULL;
int			setting_max_tokens_per_call = 0;
int			setting_max_context = 0;
char	   *setting_default_model = NULL;
char	   *setting_default_embedding_model = NULL;
char	   *setting_kernel_set = NULL;

static const KernelSet *kernel_set = NULL;

static bool check_kernel_set(char **newval, void **extra, GucSource source);
static void assign_kernel_set(const char *newval, void *extra);

static const struct config_enum_entry execution_modes[] = {
	{"auto", EXECUTION_AUTO, false},
	{"backend", EXECUTION_BACKEND, false},
	{"worker", EXECUTION_WORKER, false},
	{NULL, 0, false}
};

static const struct config_enum_entry prefix_cache_modes[] = {
	{"role", PREFIX_CACHE_ROLE, false},
	{"database", PREFIX_CACHE_DATABASE, false},
	{"off", PREFIX_CACHE_OFF, false},
	{NULL, 0, false}
};

typedef enum SettingKind
{
	SETTING_INT,
	SETTING_ENUM,
	SETTING_STRING
} SettingKind;

typedef struct Setting
{
	SettingKind kind;
	const char *name;
	const char *short_desc;
	const char *long_desc;
	GucContext	context;
	int			flags;
	int		   *number;			/* int and enum */
	int			min,
				max;
	const struct config_enum_entry *values;
	char	  **string;
	GucStringCheckHook check;
	GucStringAssignHook assign;
} Setting;

/* Ordered by name. */
static const Setting settings[] = {
	{
		.kind = SETTING_INT,
		.name = "llm.batch_tokens",
		.short_desc = "Sets how many tokens a worker computes in one step.",
		.long_desc = "Less when calls wait for their next token: prompts "
		"then are read in small parts.",
		.context = PGC_SIGHUP,
		.number = &setting_batch_tokens,
		.min = 64,
		.max = 4096,
	},
	{
		.kind = SETTING_INT,
		.name = "llm.cache_size",
		.short_desc = "Sets the size of the cache of model weights.",
		.long_desc = "In shared memory when llm is in "
		"shared_preload_libraries, else in the memory of each session that "
		"uses models. Memory is only touched when it is used.",
		.context = PGC_POSTMASTER,
		.flags = GUC_UNIT_MB,
		.number = &setting_cache_size,
		.min = 1,
		.max = 16 * 1024 * 1024,
	},
	{
		.kind = SETTING_STRING,
		.name = "llm.default_embedding_model",
		.short_desc = "Sets the model that embeds when none is named.",
		.long_desc = "Empty: the only model that can embed, if there is "
		"exactly one.",
		.context = PGC_USERSET,
		.string = &setting_default_embedding_model,
	},
	{
		.kind = SETTING_STRING,
		.name = "llm.default_model",
		.short_desc = "Sets the model that generates when none is named.",
		.long_desc = "Empty: the only model that can generate, if there is "
		"exactly one.",
		.context = PGC_USERSET,
		.string = &setting_default_model,
	},
	{
		.kind = SETTING_ENUM,
		.name = "llm.execution",
		.short_desc = "Sets where models are computed.",
		.long_desc = "\"backend\": always in the session itself; "
		"\"worker\": in a background worker; \"auto\": in a worker, if one "
		"runs, where that is of use. The results are the same. Experiments "
		"and functions that look inside always compute in the session.",
		.context = PGC_USERSET,
		.number = &setting_execution,
		.values = execution_modes,
	},
	{
		.kind = SETTING_STRING,
		.name = "llm.kernel_set",
		.short_desc = "Forces the instruction set of the computation.",
		.long_desc = "Empty: the best that the processor has. All give the "
		"same results; this is for testing and measuring.",
		.context = PGC_SUSET,
		.flags = GUC_NOT_IN_SAMPLE,
		.string = &setting_kernel_set,
		.check = check_kernel_set,
		.assign = assign_kernel_set,
	},
	{
		.kind = SETTING_INT,
		.name = "llm.kv_cache_size",
		.short_desc = "Sets the memory of each worker for keys and values.",
		.long_desc = "It bounds how many tokens can be in work at a time, "
		"and how many prefixes are remembered. Memory is only "
		"touched when it is used.",
		.context = PGC_POSTMASTER,
		.flags = GUC_UNIT_MB,
		.number = &setting_kv_cache_size,
		.min = 1,
		.max = 16 * 1024 * 1024,
	},
	{
		.kind = SETTING_INT,
		.name = "llm.max_context",
		.short_desc = "Limits the tokens of one sequence, prompt and output.",
		.long_desc = "0: the limit is the context length of the model.",
		.context = PGC_SUSET,
		.number = &setting_max_context,
		.max = INT_MAX,
	},
	{
		.kind = SETTING_INT,
		.name = "llm.max_requests",
		.short_desc = "Sets how many calls can be with the workers at a time.",
		.long_desc = "Further ones wait in order of their arrival.",
		.context = PGC_POSTMASTER,
		.number = &setting_max_requests,
		.min = 1,
		.max = 65536,
	},
	{
		.kind = SETTING_INT,
		.name = "llm.max_requests_per_role",
		.short_desc = "Limits the calls of one role that are with the workers "
		"at a time.",
		.long_desc = "Further ones wait. 0: no limit.",
		.context = PGC_SUSET,
		.number = &setting_max_requests_per_role,
		.max = INT_MAX,
	},
	{
		.kind = SETTING_INT,
		.name = "llm.max_tokens_per_call",
		.short_desc = "Limits the tokens that one call may read and write.",
		.long_desc = "0: no limit.",
		.context = PGC_SUSET,
		.number = &setting_max_tokens_per_call,
		.max = INT_MAX,
	},
	{
		.kind = SETTING_ENUM,
		.name = "llm.prefix_cache",
		.short_desc = "Sets who may share what was computed for the beginning "
		"of a prompt.",
		.long_desc = "Calls of the same role in the same database, all calls "
		"of a database, or nobody. How fast a call is shows "
		"whether the beginning of its prompt was seen before.",
		.context = PGC_SIGHUP,
		.number = &setting_prefix_cache,
		.values = prefix_cache_modes,
	},
	{
		.kind = SETTING_STRING,
		.name = "llm.preload_models",
		.short_desc = "Lists the models to put into the weights cache at "
		"start.",
		.long_desc = "As database.model, separated by commas.",
		.context = PGC_POSTMASTER,
		.flags = GUC_LIST_INPUT,
		.string = &setting_preload_models,
		.check = preload_list_check,
	},
	{
		.kind = SETTING_INT,
		.name = "llm.stream_idle_timeout",
		.short_desc = "Sets how long a stream that is not read keeps its "
		"place.",
		.long_desc = "After that it is computed again when it is read on, "
		"with the same result. 0: for ever.",
		.context = PGC_SUSET,
		.flags = GUC_UNIT_MS,
		.number = &setting_stream_idle_timeout,
		.max = INT_MAX,
	},
	{
		.kind = SETTING_INT,
		.name = "llm.worker_threads",
		.short_desc = "Sets the threads with which each worker computes.",
		.long_desc = "0: as many as there are cores.",
		.context = PGC_SIGHUP,
		.number = &setting_worker_threads,
		.max = 64,
	},
	{
		.kind = SETTING_INT,
		.name = "llm.workers",
		.short_desc = "Sets how many background workers compute for all "
		"sessions.",
		.long_desc = "They count against max_worker_processes. 0: every "
		"session computes for itself.",
		.context = PGC_POSTMASTER,
		.number = &setting_workers,
		.max = 64,
	},
};

static void
list_kernel_sets(StringInfo buf)
{
	const KernelSet *set;

	for (int i = 0; (set = kernels_nth(i)) != NULL; i++)
		appendStringInfo(buf, "%s\"%s\"", i > 0 ? ", " : "", set->name);
}

static bool
check_kernel_set(char **newval, void **extra, GucSource source)
{
	StringInfoData names;

	if (*newval[0] == '\0' || kernels_select(*newval) != NULL)
		return true;
	initStringInfo(&names);
	list_kernel_sets(&names);
	GUC_check_errdetail("This processor has %s.", names.data);
	pfree(names.data);
	return false;
}

static void
assign_kernel_set(const char *newval, void *extra)
{
	kernel_set = kernels_select(newval[0] == '\0' ? NULL : newval);
}

const KernelSet *
settings_kernels(void)
{
	return kernel_set;
}

static void
define_setting(const Setting *s)
{
	GucContext	context = s->context;

	/* PostgreSQL refuses start-up settings of libraries loaded later */
	if (context == PGC_POSTMASTER &&
		!process_shared_preload_libraries_in_progress)
		context = PGC_SIGHUP;

	switch (s->kind)
	{
		case SETTING_INT:
			DefineCustomIntVariable(s->name, s->short_desc, s->long_desc,
									s->number, *s->number, s->min, s->max,
									context, s->flags, NULL, NULL, NULL);
			break;
		case SETTING_ENUM:
			DefineCustomEnumVariable(s->name, s->short_desc, s->long_desc,
									 s->number, *s->number, s->values,
									 context, s->flags, NULL, NULL, NULL);
			break;
		case SETTING_STRING:
			DefineCustomStringVariable(s->name, s->short_desc, s->long_desc,
									   s->string, "", context, s->flags,
									   s->check, s->assign, NULL);
			break;
	}
}

void
settings_init(void)
{
	for (size_t i = 0; i < lengthof(settings); i++)
		define_setting(&settings[i]);
	MarkGUCPrefixReserved("llm");
}
