/*-------------------------------------------------------------------------
 *
 * hugging_face_read.c
 *	  Typed members of the JSON files of a folder.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "formats/hugging_face_read.h"

#include <inttypes.h>
#include <string.h>

const JsonNode *
hf_member(const HfObject *object, const char *key)
{
	const JsonNode *node = json_member(object->node, key);

	return node == NULL || node->type == JSON_NULL ? NULL : node;
}

bool
hf_same(const JsonNode *node, const char *text)
{
	return json_is_text(node, text);
}

EngineCode
hf_wrong_type(const HfObject *object, const char *key, const char *wanted)
{
	return engine_fail(object->status, ENGINE_CORRUPT,
					   "\"%s\" in %s is not %s", key, object->file, wanted);
}

EngineCode
hf_unsupported(const HfObject *object, const char *key, const char *text)
{
	char		buf[64];

	return engine_fail(object->status, ENGINE_UNSUPPORTED,
					   "\"%s\" with value \"%s\" in %s is not supported",
					   key, engine_printable(text, strlen(text), buf,
											 sizeof(buf)), object->file);
}

EngineCode
hf_get_int(const HfObject *object, const char *key, int64_t min, int64_t max,
		   int64_t *value)
{
	const JsonNode *node = hf_member(object, key);
	int64_t		found;

	if (node == NULL)
		return ENGINE_OK;
	if (!json_integer(node, &found))
		return hf_wrong_type(object, key, "a whole number");
	if (found < min || found > max)
	{
		engine_fail(object->status, ENGINE_CORRUPT,
					"\"%s\" in %s is %" PRId64 ", which is out of range",
					key, object->file, found);
		engine_detail(object->status,
					  "The value must be between %" PRId64 " and %" PRId64
					  ".", min, max);
		return ENGINE_CORRUPT;
	}
	*value = found;
	return ENGINE_OK;
}

EngineCode
hf_get_float(const HfObject *object, const char *key, double min, double max,
			 double *value)
{
	const JsonNode *node = hf_member(object, key);
	double		found;

	if (node == NULL)
		return ENGINE_OK;
	if (!json_double(node, &found))
		return hf_wrong_type(object, key, "a number");
	if (!(found >= min && found <= max))
	{
		engine_fail(object->status, ENGINE_CORRUPT,
					"\"%s\" in %s is %g, which is out of range", key,
					object->file, found);
		engine_detail(object->status,
					  "The value must be between %g and %g.", min, max);
		return ENGINE_CORRUPT;
	}
	*value = found;
	return ENGINE_OK;
}

EngineCode
hf_get_bool(const HfObject *object, const char *key, bool *value)
{
	const JsonNode *node = hf_member(object, key);

	if (node == NULL)
		return ENGINE_OK;
	if (!json_bool(node, value))
		return hf_wrong_type(object, key, "true or false");
	return ENGINE_OK;
}

EngineCode
hf_get_text(const HfObject *object, const char *key, const char **value)
{
	const JsonNode *node = hf_member(object, key);

	if (node == NULL)
		return ENGINE_OK;
	if (node->type != JSON_STRING ||
		memchr(node->text, 0, node->length) != NULL)
		return hf_wrong_type(object, key, "a text");
	*value = node->text;
	return ENGINE_OK;
}

EngineCode
hf_get_object(const HfObject *object, const char *key, HfObject *child)
{
	const JsonNode *node = hf_member(object, key);

	child->node = node;
	child->file = object->file;
	child->status = object->status;
	if (node != NULL && node->type != JSON_OBJECT)
		return hf_wrong_type(object, key, "an object");
	return ENGINE_OK;
}

EngineCode
hf_get_array(const HfObject *object, const char *key, const JsonNode **value)
{
	*value = hf_member(object, key);
	if (*value != NULL && (*value)->type != JSON_ARRAY)
		return hf_wrong_type(object, key, "an array");
	return ENGINE_OK;
}

EngineCode
hf_refuse_bool(const HfObject *object, const char *key, bool neutral)
{
	bool		value = neutral;

	ENGINE_TRY(hf_get_bool(object, key, &value));
	if (value == neutral)
		return ENGINE_OK;
	return hf_unsupported(object, key, value ? "true" : "false");
}

EngineCode
hf_open_object(HfModel *model, const char *name, bool required,
			   HfObject *object)
{
	object->file = name;
	object->status = model->status;
	ENGINE_TRY(folder_json(model->folder, name, required, HF_LONGEST_JSON,
						   model->arena, model->host, &object->node,
						   model->status));
	if (object->node != NULL && object->node->type != JSON_OBJECT)
		return engine_fail(model->status, ENGINE_CORRUPT,
						   "%s is not a JSON object", name);
	return ENGINE_OK;
}
