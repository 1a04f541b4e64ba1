/*-------------------------------------------------------------------------
 *
 * model_fixture.h
 *	  A model as an image in memory, for tests and the benchmark.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODEL_FIXTURE_H
#define MODEL_FIXTURE_H

#include "formats/hugging_face.h"
#include "model/kv.h"
#include "model/transformer.h"

typedef struct ModelFixture
{
	EngineArena arena;
	ImageHeader *image;
	size_t		mapped;			/* bytes */
	Tokenizer	tokenizer;
} ModelFixture;

/*
 * Map the file at path, build its image in anonymous shared memory, as a
 * server keeps it.  Prints the status and exits on failure.
 */
extern void model_fixture_open(ModelFixture *fixture, const char *path);

/* The same of a Hugging Face folder; quantization as hugging_face_open(). */
extern void model_fixture_open_folder(ModelFixture *fixture,
									  ModelFolder *folder, int quantization);
extern void model_fixture_close(ModelFixture *fixture);

/* A pool of pages over malloc, counting those in use. */
typedef struct TestPool
{
	KvPool		pool;
	int			in_use;
	int			limit;			/* pages, 0: no limit */
} TestPool;

extern void test_pool_init(TestPool *pool);

#endif							/* MODEL_FIXTURE_H */
