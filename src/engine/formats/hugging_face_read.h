/*-------------------------------------------------------------------------
 *
 * hugging_face_read.h
 *	  Typed members of the JSON files of a folder: private to
 *	  formats/hugging_face*.
 *
 * A member that is absent or null leaves *value as it is, the caller's
 * default; one of another type or out of range is ENGINE_CORRUPT and names
 * file and member.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_HUGGING_FACE_READ_H
#define ENGINE_HUGGING_FACE_READ_H

#include "formats/hugging_face_model.h"

/* The most that a JSON file may have; tokenizer.json is the longest. */
#define HF_LONGEST_JSON ((size_t) 100 * 1024 * 1024)

typedef struct HfObject
{
	const JsonNode *node;		/* NULL: it has no members */
	const char *file;			/* for messages */
	EngineStatus *status;
} HfObject;

/* The member, or NULL when it is absent or null. */
extern const JsonNode *hf_member(const HfObject *object, const char *key);

extern EngineCode hf_get_int(const HfObject *object, const char *key,
							 int64_t min, int64_t max, int64_t *value);
extern EngineCode hf_get_float(const HfObject *object, const char *key,
							   double min, double max, double *value);
extern EngineCode hf_get_bool(const HfObject *object, const char *key,
							  bool *value);

/* A string without NUL; it lives as long as the JSON text's arena. */
extern EngineCode hf_get_text(const HfObject *object, const char *key,
							  const char **value);

/* An object; child->node is NULL when it is absent or null. */
extern EngineCode hf_get_object(const HfObject *object, const char *key,
								HfObject *child);

/* An array; *value is NULL when it is absent or null. */
extern EngineCode hf_get_array(const HfObject *object, const char *key,
							   const JsonNode **value);

/* "config.json: "hidden_size" must be a number ..." */
extern EngineCode hf_wrong_type(const HfObject *object, const char *key,
								const char *wanted);

/* Something well-formed that we do not act on. */
extern EngineCode hf_unsupported(const HfObject *object, const char *key,
								 const char *text);

/* The member must be absent, null or neutral. */
extern EngineCode hf_refuse_bool(const HfObject *object, const char *key,
								 bool neutral);

/* A JSON file of the folder, an object; node is NULL when there is none. */
extern EngineCode hf_open_object(HfModel *model, const char *name,
								 bool required, HfObject *object);

/* Does a NUL-terminated text equal a JSON string? */
extern bool hf_same(const JsonNode *node, const char *text);

#endif							/* ENGINE_HUGGING_FACE_READ_H */
