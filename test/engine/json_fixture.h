/*-------------------------------------------------------------------------
 *
 * json_fixture.h
 *	  Files of test/data that are JSON, for tests.
 *
 * What is missing or of another type fails the test that asks for it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JSON_FIXTURE_H
#define JSON_FIXTURE_H

#include "base/json.h"

typedef struct JsonFixture
{
	EngineArena arena;
	char	   *text;			/* nodes point into it */
	const JsonNode *root;
} JsonFixture;

/* Prints what is wrong and exits on failure. */
extern void json_fixture_open(JsonFixture *fixture, const char *path);
extern void json_fixture_close(JsonFixture *fixture);

extern const JsonNode *json_need(const JsonNode *object, const char *key);
extern int64_t json_need_integer(const JsonNode *node);
extern double json_need_double(const JsonNode *node);

/* A copy with a NUL behind it; lives as long as the fixture. */
extern const char *json_need_text(JsonFixture *fixture,
								  const JsonNode *node);

/* Integers of an array into values; returns how many. */
extern size_t json_integers(const JsonNode *array, int32_t *values,
							size_t room);

#endif							/* JSON_FIXTURE_H */
