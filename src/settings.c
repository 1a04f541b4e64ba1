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

#include "settings.h"

int			setting_cache_size = 1024;
int			setting_execution = EXECUTION_AUTO;
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
		.long_desc = "With \"backend\" always in the session itself; \"auto\" "
		"chooses. The results are the same.",
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
		.name = "llm.max_context",
		.short_desc = "Limits the tokens of one sequence, prompt and output.",
		.long_desc = "0: the limit is the context length of the model.",
		.context = PGC_SUSET,
		.number = &setting_max_context,
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
