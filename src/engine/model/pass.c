/*-------------------------------------------------------------------------
 *
 * pass.c
 *	  What the files of the forward pass share.
 *
 * A product is cut into work items of some million multiplications, between
 * which the host is asked whether to go on: a layer of a large model takes
 * longer than a user should wait for Ctrl-C.  Items are ranges of panels, so
 * results do not depend on the cut.
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

EngineCode
pass_check_finite(Pass *pass, const Rows *rows, int n_rows, int64_t columns,
				  const char *what)
{
	for (int i = 0; i < n_rows; i++)
	{
		if (pass->kernels->finite(rows_at(rows, i), columns))
			continue;
		if (pass->layer < 0)
			engine_fail(pass->status, ENGINE_NOT_FINITE,
						"%s became infinite or NaN", what);
		else
			engine_fail(pass->status, ENGINE_NOT_FINITE,
						"%s of layer %d became infinite or NaN",
						what, pass->layer);
		engine_detail(pass->status,
					  pass->probe == NULL ?
					  "The model's weights are damaged, or too large for its arithmetic." :
					  "The model's weights, or numbers of an experiment, are too large for its arithmetic, or damaged.");
		return ENGINE_NOT_FINITE;
	}
	return ENGINE_OK;
}

EngineCode
pass_input(Pass *pass, const Rows *rows, int n_rows, int64_t k, bool quantise)
{
	Activations *inputs = &pass->scratch->inputs;

	inputs->n_rows = n_rows;
	inputs->k = k;
	inputs->x = rows->data;
	inputs->x_stride = rows->stride;
	if (!quantise)
		return ENGINE_OK;

	for (int i = 0; i < n_rows; i++)
	{
		if ((i & 15) == 15 && engine_interrupted(pass->transformer->host))
			return engine_cancelled(pass->status);
		pass->kernels->quantise(rows_at(rows, i), k, inputs->bits,
								inputs->hi + i * inputs->plane_stride,
								inputs->lo + i * inputs->plane_stride,
								inputs->d + i * inputs->group_stride,
								inputs->sums + 2 * i * inputs->group_stride);
	}
	return ENGINE_OK;
}

bool
matrix_is_quantised(const ImageMatrix *matrix)
{
	return matrix->offset != 0 &&
		tensor_type(matrix->type)->block_values > 1;
}

/* While the outputs of these panels are still in a near cache */
static void
add_bias(Pass *pass, const ImageVector *bias, int64_t panel_begin,
		 int64_t panel_end, const Rows *out)
{
	int64_t		begin = panel_begin * PANEL_ROWS;
	int64_t		end = panel_end * PANEL_ROWS;
	const float *values = image_vector(pass->image, bias);

	end = end < bias->n ? end : bias->n;
	for (int i = 0; i < pass->scratch->inputs.n_rows; i++)
		pass->kernels->add(rows_at(out, i) + begin, values + begin,
						   end - begin);
}

EngineCode
pass_project(Pass *pass, const ImageMatrix *matrix, const ImageVector *bias,
			 const Rows *out)
{
	const Activations *inputs = &pass->scratch->inputs;
	PackedMatrix weights = image_matrix(pass->image, matrix);
	int64_t		n_panels = (matrix->n + PANEL_ROWS - 1) / PANEL_ROWS;
	int64_t		item = pass->kernels->work_item /
		(PANEL_ROWS * matrix->k * (int64_t) inputs->n_rows);

	if (item < 1)
		item = 1;
	for (int64_t begin = 0; begin < n_panels; begin += item)
	{
		int64_t		end = begin + item < n_panels ? begin + item : n_panels;

		if (engine_interrupted(pass->transformer->host))
			return engine_cancelled(pass->status);
		pass->kernels->matmul(&weights, begin, end, inputs, out->data,
							  out->stride);
		if (bias != NULL && bias->offset != 0)
			add_bias(pass, bias, begin, end, out);
	}
	return ENGINE_OK;
}

void
pass_norm(Pass *pass, const Rows *x, int n_rows, const ImageVector *weight,
		  const ImageVector *bias, const Rows *y)
{
	const Hyper *hyper = pass->hyper;
	const float *w = image_vector(pass->image, weight);
	const float *b = image_vector(pass->image, bias);

	for (int i = 0; i < n_rows; i++)
	{
		if (w == NULL)
			memcpy(rows_at(y, i), rows_at(x, i), x->stride * sizeof(float));
		else if (hyper->norm == NORM_RMS)
			pass->kernels->rms_norm(rows_at(x, i), w, hyper->norm_epsilon,
									rows_at(y, i), hyper->embedding_length);
		else
			pass->kernels->layer_norm(rows_at(x, i), w, b,
									  hyper->norm_epsilon, rows_at(y, i),
									  hyper->embedding_length);
	}
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
