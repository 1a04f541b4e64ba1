/*-------------------------------------------------------------------------
 *
 * pass.c
 *	  What the files of the forward pass share.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "model/pass.h"

#include <string.h>

EngineCode
rows_alloc(Rows *rows, int n, int64_t columns, EngineArena *arena,
		   EngineStatus *status)
{
	rows->stride = ((size_t) columns + 15) & ~(size_t) 15;
	rows->data = engine_alloc(arena, (size_t) n * rows->stride, sizeof(float),
							  status);
	return rows->data == NULL ? status->code : ENGINE_OK;
}

void
pass_open(Pass *pass, Transformer *transformer, KvSequence *const *sequences,
		  const Probe *probe, EngineStatus *status)
{
	memset(pass, 0, sizeof(*pass));
	pass->transformer = transformer;
	pass->image = transformer->image;
	pass->hyper = &transformer->image->hyper;
	pass->kernels = transformer->kernels;
	pass->scratch = transformer->scratch;
	pass->sequences = sequences;
	pass->probe = probe != NULL && probe->stages != 0 ? probe : NULL;
	pass->layer = -1;
	pass->status = status;
}

static bool
check_rows(Pass *pass, const RowWork *work, int first, int end, int thread)
{
	(void) thread;
	for (int i = first; i < end; i++)
		if (!pass->kernels->finite(rows_at(&work->x, i), work->columns))
			return false;
	return true;
}

EngineCode
pass_check_finite(Pass *pass, const Rows *rows, int n_rows, int64_t columns,
				  const char *what)
{
	RowWork		work = {
		.run = check_rows, .n_rows = n_rows, .x = *rows, .columns = columns,
		.what = what
	};

	return pass_note(pass, &work);
}

static bool
quantise_rows(Pass *pass, const RowWork *work, int first, int end, int thread)
{
	Activations *inputs = &pass->scratch->inputs;

	(void) thread;
	for (int i = first; i < end; i++)
		pass->kernels->quantise(rows_at(&work->x, i), work->columns,
								inputs->bits,
								inputs->hi + i * inputs->plane_stride,
								inputs->lo + i * inputs->plane_stride,
								inputs->d + i * inputs->group_stride,
								inputs->sums + 2 * i * inputs->group_stride);
	return true;
}

EngineCode
pass_input(Pass *pass, const Rows *rows, int n_rows, int64_t k, bool quantise)
{
	Activations *inputs = &pass->scratch->inputs;
	RowWork		work = {
		.run = quantise_rows, .n_rows = n_rows, .x = *rows, .columns = k
	};

	inputs->n_rows = n_rows;
	inputs->k = k;
	inputs->x = rows->data;
	inputs->x_stride = rows->stride;
	return quantise ? pass_note(pass, &work) : ENGINE_OK;
}

bool
matrix_is_quantised(const ImageMatrix *matrix)
{
	return matrix->offset != 0 &&
		tensor_type(matrix->type)->block_values > 1;
}

static bool
norm_rows(Pass *pass, const RowWork *work, int first, int end, int thread)
{
	const Hyper *hyper = pass->hyper;
	int64_t		d = hyper->embedding_length;
	const float *w = image_vector(pass->image, work->weight);
	const float *b = image_vector(pass->image, work->bias);

	(void) thread;
	for (int i = first; i < end; i++)
	{
		const float *x = rows_at(&work->x, i);
		float	   *y = rows_at(&work->y, i);

		if (w == NULL)
			memcpy(y, x, work->x.stride * sizeof(float));
		else if (hyper->norm == NORM_RMS)
			pass->kernels->rms_norm(x, w, hyper->norm_epsilon, y, d);
		else
			pass->kernels->layer_norm(x, w, b, hyper->norm_epsilon, y, d);
	}
	return true;
}

EngineCode
pass_norm(Pass *pass, const Rows *x, int n_rows, const ImageVector *weight,
		  const ImageVector *bias, const Rows *y)
{
	RowWork		work = {
		.run = norm_rows, .n_rows = n_rows, .x = *x, .y = *y,
		.weight = weight, .bias = bias
	};

	return pass_note(pass, &work);
}

bool
pass_is_probed(const Pass *pass, ProbeStage stage)
{
	const Probe *probe = pass->probe;

	return probe != NULL && (probe->stages & PROBE_BIT(stage)) != 0 &&
		(probe->layer < 0 || pass->layer < 0 || probe->layer == pass->layer);
}

EngineCode
pass_probe(Pass *pass, ProbeStage stage, const Rows *rows, int n_rows,
		   int64_t columns)
{
	ProbeEvent	event;

	if (!pass_is_probed(pass, stage))
		return ENGINE_OK;
	ENGINE_TRY(pass_finish(pass));
	event.stage = stage;
	event.layer = pass->layer;
	event.head = -1;
	event.first_row = pass->first_row;
	event.n_rows = n_rows;
	event.rows = stage == PROBE_FINAL_NORM || stage == PROBE_LOGITS ? NULL :
		pass->rows;
	event.n_columns = columns;
	event.stride = rows->stride;
	event.data = rows->data;
	return pass->probe->see(pass->probe->arg, &event, pass->status);
}

bool
pass_has_shown_all(const Pass *pass, ProbeStage stage)
{
	const Probe *probe = pass->probe;
	uint32_t	wanted;
	int			last;

	if (probe == NULL || (probe->stages & PROBE_ENDS_PASS) == 0)
		return false;
	wanted = probe->stages & ~PROBE_ENDS_PASS;
	if (wanted >= PROBE_BIT(PROBE_FINAL_NORM))
		return false;
	if (wanted < PROBE_BIT(PROBE_EMBEDDING + 1))
		last = -1;
	else
		last = probe->layer < 0 ? pass->hyper->n_layers - 1 : probe->layer;
	return pass->layer > last ||
		(pass->layer == last && wanted < PROBE_BIT(stage + 1));
}
