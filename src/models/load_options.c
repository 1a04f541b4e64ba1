/*-------------------------------------------------------------------------
 *
 * load_options.c
 *	  The options that are stored with a model.
 *
 * Names, types and ranges are those of functions/options.c; here is what a
 * table cannot say.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "engine/decode/chat_template.h"
#include "engine/formats/hugging_face.h"
#include "functions/options.h"
#include "models/load_options.h"

static const char *const fixed_at_load[] = {
	"activation_bits", "chat_template", "default_prompt", "max_length",
	"normalize", "pooling", "prompts", "quantization",
};

static Jsonb *
without_nulls(Jsonb *options)
{
	/* The second argument exists from version 18 on */
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_strip_nulls,
											  JsonbPGetDatum(options),
											  BoolGetDatum(false)));
}

static void
check_chat_template(const char *template)
{
	if (template == NULL || chat_family_by_name(template) != NULL ||
		chat_family_detect(template, strlen(template)) != NULL)
		return;
	ereport(ERROR,
			errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			errmsg("option \"chat_template\" is of no known family"),
			errdetail("Templates are not run; they are recognised. Known families are %s.",
					  chat_family_names()));
}

Jsonb *
load_options(Jsonb *given)
{
	Options    *options = options_read_load(given);

	check_chat_template(options->chat_template);
	if (given == NULL)
		return DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
												  CStringGetDatum("{}")));
	return without_nulls(given);
}

int
option_quantization(const Jsonb *options)
{
	JsonbContainer *root = unconstify(JsonbContainer *, &options->root);
	JsonbValue	value;
	int			type;

	if (getKeyJsonValueFromContainer(root, "quantization",
									 strlen("quantization"),
									 &value) == NULL ||
		value.type != jbvString)
		return HF_KEEP;
	type = tensor_type_by_name(pnstrdup(value.val.string.val,
										value.val.string.len));
	return type < 0 ? HF_KEEP : type;
}

static void
refuse_fixed(Jsonb *changes)
{
	for (size_t i = 0; i < lengthof(fixed_at_load); i++)
	{
		JsonbValue	buf;

		if (JB_ROOT_IS_OBJECT(changes) &&
			getKeyJsonValueFromContainer(&changes->root, fixed_at_load[i],
										 strlen(fixed_at_load[i]), &buf))
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("option \"%s\" is fixed when a model is loaded",
						   fixed_at_load[i]),
					errhint("Load the model again under another name."));
	}
}

Jsonb *
altered_options(Jsonb *stored, Jsonb *changes)
{
	Datum		merged;

	refuse_fixed(changes);
	options_check_alter(changes);
	merged = DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(stored),
								 JsonbPGetDatum(changes));
	return without_nulls(DatumGetJsonbP(merged));
}
