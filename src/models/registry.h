/*-------------------------------------------------------------------------
 *
 * registry.h
 *	  Models by name, and the right to use one.
 *
 * Data flows one way: functions ask here for a model by name, then pin its
 * weights (weights/cache.h).  The right to use a model is SELECT on its large
 * object, checked at every lookup; a model that does not exist and one that
 * the caller may not use are the same error (42704).
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_REGISTRY_H
#define LLM_REGISTRY_H

#include "utils/jsonb.h"

#include "models/digest.h"

typedef enum ModelCapability
{
	MODEL_ANY = 0,
	MODEL_GENERATE = 1,
	MODEL_EMBED = 2,
	MODEL_RERANK = 4
} ModelCapability;

/* A copy of a row, palloc'd in the caller's context. */
typedef struct ModelRef
{
	char	   *name;
	Oid			large_object;
	TransactionId large_object_xmin;	/* of its catalog row: its identity */
	uint8		digest[MODEL_DIGEST_BYTES]; /* SHA-256 of the file */
	int64		size;			/* bytes of the file */
	int			capabilities;	/* ModelCapability bits */
	int			context_length;
	int			activation_bits;	/* 16 or 8 */
	Jsonb	   *options;		/* this model's defaults, never NULL */
} ModelRef;

/*
 * The model of that name, or the default model when name is NULL
 * (llm.default_model or llm.default_embedding_model by capability; when unset
 * and exactly one visible model has the capability, that one; else an error
 * that names the candidates).  Errors: undefined_object when missing or not
 * permitted (hint about options => when name begins with '{'),
 * wrong_object_type when the model lacks the capability.
 */
extern ModelRef *model_lookup(const char *name, ModelCapability capability);

/*
 * The same, for functions that also have a form without the model: when the
 * model is missing and the argument after it (may be NULL) begins with '{',
 * the hint says how to pass options to that form.
 */
extern ModelRef *model_lookup_before(const char *name,
									 ModelCapability capability,
									 const char *next_argument);

/*
 * The same check of the right again, for a cached result of a call site: the
 * errors of model_lookup(), and false when the name now means another model
 * or other options.
 */
extern bool model_recheck(const ModelRef *model);

/*
 * The error for a model that is missing or not permitted; next_argument as
 * above, or NULL.
 */
extern void model_missing(const char *name, const char *next_argument)
			__attribute__((noreturn));

#endif							/* LLM_REGISTRY_H */
