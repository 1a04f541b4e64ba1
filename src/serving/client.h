/*-------------------------------------------------------------------------
 *
 * client.h
 *	  A session's side of the request ring.
 *
 * A ServedCall is one request.  It belongs to CurrentResourceOwner: whatever
 * ends that (error, cancel, end of a portal or transaction, exit) also gives
 * the request up, and the worker drops it at its next step.  served_end() is
 * the normal way.
 *
 * All functions that wait can be interrupted, and throw the worker's error.
 * When a worker dies, the calls that it had fail with
 * ERRCODE_T_R_SERIALIZATION_FAILURE, which says "try again" to drivers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LLM_CLIENT_H
#define LLM_CLIENT_H

#include "serving/request.h"
#include "weights/cache.h"

typedef struct ServedCall ServedCall;

/*
 * Shall a call of this session go to the workers?  By llm.execution, whether
 * there are workers that run, and whether the pinned image is in shared
 * memory.  With "worker" an error (55000) says what is missing.
 */
extern bool serving_wanted(const WeightsPin *pin);

/* Has this session a request on the ring?  A further one must not wait. */
extern bool served_any(void);

/*
 * Put a request on the ring.  With wait a session stands in line until there
 * is a slot and room for the payload, in order of arrival; without, NULL is
 * returned when there is none at once.  Only a session's first request at a
 * time may wait: holding slots while waiting for more could last for ever.
 * The call holds a pin of its own on the image.
 */
extern ServedCall *serving_generate(const ModelRef *model,
									const WeightsPin *pin,
									const GenerateRequest *request, bool wait);
extern ServedCall *serving_encode(const ModelRef *model,
								  const WeightsPin *pin,
								  const EncodeRequest *request, bool wait);

/*
 * Tokens that were not taken yet: waits until there are at least n more, or
 * the request has ended; returns how many there are, 0 when it has ended and
 * all were taken.  *tokens: the first, valid until the next call; the next
 * ones follow with a stride of served_token_size(top).
 *
 * A stream that was not read for long has been taken back by its worker:
 * -1 then, and the call is over.  What was taken is right; the rest comes from
 * a new request with it as history.
 */
extern int	served_tokens(ServedCall *call, int n, const ServedToken **tokens);

/* The results of serving_encode(), waiting for them: until served_end(). */
extern const float *served_vectors(ServedCall *call);

/* Does served_tokens(call, n) return at once? */
extern bool served_ready(const ServedCall *call, int n);

/*
 * Sleep until something has happened to one of the session's calls; for
 * sessions with several, which look at them with served_ready().
 */
extern void serving_wait(void);

/* Tokens of the prompt that came from the prefix cache. */
extern int64 served_cached_tokens(const ServedCall *call);

/* Give the slot back, or the request up. */
extern void served_end(ServedCall *call);

#endif							/* LLM_CLIENT_H */
