/*-------------------------------------------------------------------------
 *
 * pooling.c
 *	  From the hidden states of a text to one vector, or one score.
 *
 * Mean: rows are added in ascending order, in f32, and the sum is multiplied
 * by 1/n.  Dense layers as sentence-transformers has them (Reimers and
 * Gurevych, "Sentence-BERT", 2019); the classifier is that of BERT and its
 * relatives: a layer with an activation, then the output.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "model/pooling.h"

#include <string.h>

EngineCode
pooling_open(PoolingScratch *scratch, const Hyper *hyper, EngineArena *arena,
			 EngineStatus *status)
{
	const int32_t lengths[] = {
		hyper->dense_2_length, hyper->dense_3_length, hyper->n_labels
	};
	int64_t		widest = hyper->embedding_length;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		widest = lengths[i] > widest ? lengths[i] : widest;
	ENGINE_TRY(rows_alloc(&scratch->vector, 1, widest, arena, status));
	return rows_alloc(&scratch->next, 1, widest, arena, status);
}

static void
pool(Encoder *encoder, int text, PoolingKind pooling, float *out)
{
	const KernelSet *kernels = encoder->transformer.kernels;
	const EncoderScratch *s = encoder->scratch;
	int64_t		n = s->first[text + 1] - s->first[text];
	int64_t		d = encoder->transformer.image->hyper.embedding_length;
	int64_t		from = pooling == POOLING_LAST ? n - 1 : 0;

	memcpy(out, encoder_hidden(encoder, text, from),
		   s->residual.stride * sizeof(float));
	if (pooling != POOLING_MEAN)
		return;
	for (int64_t i = 1; i < n; i++)
		kernels->add(out, encoder_hidden(encoder, text, i), d);
	kernels->scale(out, 1.0f / (float) n, d);
}

/* vector[k] -> vector[matrix->n] */
static EngineCode
apply_layer(Pass *pass, PoolingScratch *scratch, const ImageMatrix *matrix,
			const ImageVector *bias)
{
	Rows		swap = scratch->vector;
	const Product product = {matrix, bias, &scratch->next};

	if (matrix->offset == 0)
		return ENGINE_OK;
	ENGINE_TRY(pass_input(pass, &scratch->vector, 1, matrix->k,
						  matrix_is_quantised(matrix)));
	ENGINE_TRY(pass_project(pass, &product, 1));
	scratch->vector = scratch->next;
	scratch->next = swap;
	ENGINE_TRY(pass_check_finite(pass, &scratch->vector, 1, matrix->n,
								 "an output of a layer after pooling"));
	return pass_finish(pass);
}

/* x = tanh(x): the softcap with a cap of 1 */
static void
apply_tanh(const Pass *pass, const Rows *rows, int64_t n)
{
	pass->kernels->softcap(rows->data, 1, n);
}

static EngineCode
dense(Pass *pass, PoolingScratch *scratch)
{
	const ImageHeader *image = pass->image;
	const Hyper *hyper = pass->hyper;

	ENGINE_TRY(apply_layer(pass, scratch, &image->dense_2,
						   &image->dense_2_bias));
	if (hyper->dense_2_tanh)
		apply_tanh(pass, &scratch->vector, hyper->dense_2_length);
	ENGINE_TRY(apply_layer(pass, scratch, &image->dense_3,
						   &image->dense_3_bias));
	if (hyper->dense_3_tanh)
		apply_tanh(pass, &scratch->vector, hyper->dense_3_length);
	return ENGINE_OK;
}

static void
activate(const Pass *pass, float *x)
{
	int64_t		n = pass->hyper->embedding_length;

	switch ((ClassifierKind) pass->hyper->classifier)
	{
		case CLASSIFIER_TANH:
			pass->kernels->softcap(x, 1, n);
			break;
		case CLASSIFIER_RELU:
			for (int64_t i = 0; i < n; i++)
				x[i] = x[i] > 0 ? x[i] : 0;
			break;
		case CLASSIFIER_GELU:
			pass->kernels->gelu_erf(x, NULL, x, n);
			break;
	}
}

static EngineCode
classify(Pass *pass, PoolingScratch *scratch)
{
	const ImageHeader *image = pass->image;

	if (image->cls.offset != 0)
	{
		ENGINE_TRY(apply_layer(pass, scratch, &image->cls,
							   &image->cls_bias));
		activate(pass, scratch->vector.data);
		if (image->cls_norm.offset != 0)
			ENGINE_TRY(pass_norm(pass, &scratch->vector, 1, &image->cls_norm,
								 &image->cls_norm_bias, &scratch->vector));
	}
	return apply_layer(pass, scratch, &image->cls_output,
					   &image->cls_output_bias);
}

/* Pool, then let head work on the vector. */
static EngineCode
pool_and_apply(Encoder *encoder, int text, PoolingKind pooling,
			   EngineCode (*head) (Pass *, PoolingScratch *),
			   EngineStatus *status)
{
	EncoderScratch *s = encoder->scratch;
	Pass		pass;
	uint64_t	saved = kernels_enter();
	EngineCode	code;

	pass_open(&pass, &encoder->transformer, s->pointers, NULL, status);
	pool(encoder, text, pooling, s->pooling.vector.data);
	code = head(&pass, &s->pooling);
	kernels_leave(saved);
	return code;
}

EngineCode
encoder_pool(Encoder *encoder, int text, PoolingKind pooling, float *out,
			 EngineStatus *status)
{
	const Hyper *hyper = &encoder->transformer.image->hyper;

	if (pooling != POOLING_MEAN && pooling != POOLING_CLS &&
		pooling != POOLING_LAST)
		return engine_fail(status, ENGINE_INVALID,
						   "this kind of pooling gives no vector");
	ENGINE_TRY(pool_and_apply(encoder, text, pooling, dense, status));
	memcpy(out, encoder->scratch->pooling.vector.data,
		   (size_t) hyper->output_length * sizeof(float));
	return ENGINE_OK;
}

EngineCode
encoder_score(Encoder *encoder, int text, float *logit, EngineStatus *status)
{
	const Hyper *hyper = &encoder->transformer.image->hyper;

	if (hyper->n_labels != 1)
		return engine_fail(status, ENGINE_UNSUPPORTED,
						   "a classifier of %d labels gives no score",
						   hyper->n_labels);
	ENGINE_TRY(pool_and_apply(encoder, text,
							  (PoolingKind) hyper->classifier_pooling,
							  classify, status));
	*logit = encoder->scratch->pooling.vector.data[0];
	return ENGINE_OK;
}

void
vector_normalise(float *x, int64_t n)
{
	double		sum = 0;
	double		length;

	for (int64_t i = 0; i < n; i++)
		sum += (double) x[i] * (double) x[i];
	if (!(sum > 0))
		return;
	length = __builtin_sqrt(sum);
	for (int64_t i = 0; i < n; i++)
		x[i] = (float) ((double) x[i] / length);
}
