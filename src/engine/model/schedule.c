/*-------------------------------------------------------------------------
 *
 * schedule.c
 *	  What a pass computes, cut into items for all threads.
 *
 * An item is a few rows, or a range of panels with some rows of a product, or
 * what attention makes of it; the numerics contract makes results independent
 * of the cut and of who computes an item.  Sums over K are never cut.
 *
 * Between items the host is asked whether to go on: a layer of a large model
 * takes longer than a user should wait for Ctrl-C.  So an item is some million
 * multiplications at most.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "model/pass.h"

#include <string.h>

/* So few rows are done with before another thread has heard of them. */
#define ROWS_ALONE 3

/* Rows that stay in a near cache from note to note. */
#define ROWS_NEAR 16

/* Kernels are at full speed from so many rows on, ... */
#define ROWS_TILE 8

/* ... and read weights often enough to cut rows rather than panels. */
#define ROWS_LEAST 16

/*
 * Items per thread: more make up for a thread that is late, but cost a little,
 * which many rows do not feel.
 */
#define ITEMS_EACH 2
#define ROWS_MANY 64

static int64_t
quotient_up(int64_t a, int64_t b)
{
	return (a + b - 1) / b;
}

static EngineCode
run_items(Pass *pass, int64_t n_items, TeamWork work, void *arg)
{
	if (team_run(pass->scratch->team, n_items, work, arg,
				 pass->transformer->host))
		return ENGINE_OK;
	return engine_cancelled(pass->status);
}

/*
 * Notes
 */

typedef struct NotedRows
{
	Pass	   *pass;
	int			rows_each;		/* of an item */
} NotedRows;

/* Every note with rows first .. end - 1, as far as they are finite */
static void
do_notes(Pass *pass, int first, int end, int thread)
{
	for (int i = 0; i < pass->n_notes; i++)
	{
		const RowWork *note = &pass->notes[i];

		if (note->run(pass, note, first, end, thread))
			continue;
		atomic_fetch_or(&pass->bad_notes, 1u << i);
		return;
	}
}

static void
do_rows_item(void *arg, int64_t item, int thread)
{
	NotedRows  *rows = arg;
	int			n_rows = rows->pass->notes[0].n_rows;
	int			first = (int) item * rows->rows_each;
	int			end = first + rows->rows_each;

	do_notes(rows->pass, first, end < n_rows ? end : n_rows, thread);
}

static EngineCode
report_bad_note(Pass *pass)
{
	unsigned int bad = atomic_load(&pass->bad_notes);
	const RowWork *note = &pass->notes[__builtin_ctz(bad)];

	if (note->layer < 0)
		engine_fail(pass->status, ENGINE_NOT_FINITE,
					"%s became infinite or NaN", note->what);
	else
		engine_fail(pass->status, ENGINE_NOT_FINITE,
					"%s of layer %d became infinite or NaN",
					note->what, note->layer);
	if (pass->probe == NULL)
		engine_detail(pass->status, "The model's weights are damaged, or too "
					  "large for its arithmetic.");
	else
		engine_detail(pass->status, "The model's weights, or numbers of an "
					  "experiment, are too large for its arithmetic, or "
					  "damaged.");
	return ENGINE_NOT_FINITE;
}

EngineCode
pass_note(Pass *pass, const RowWork *work)
{
	if (pass->n_notes == PASS_NOTES ||
		(pass->n_notes > 0 && pass->notes[0].n_rows != work->n_rows))
		ENGINE_TRY(pass_finish(pass));
	pass->notes[pass->n_notes] = *work;
	pass->notes[pass->n_notes++].layer = pass->layer;
	return ENGINE_OK;
}

EngineCode
pass_finish(Pass *pass)
{
	int			n_rows = pass->n_notes > 0 ? pass->notes[0].n_rows : 0;
	int			threads = team_threads(pass->scratch->team);

	if (n_rows <= ROWS_ALONE)
		do_notes(pass, 0, n_rows, 0);
	else
	{
		int64_t		each = quotient_up(n_rows, ITEMS_EACH * threads);
		NotedRows	rows = {pass, each < ROWS_NEAR ? (int) each : ROWS_NEAR};

		ENGINE_TRY(run_items(pass, quotient_up(n_rows, rows.rows_each),
							 do_rows_item, &rows));
	}
	if (atomic_load_explicit(&pass->bad_notes, memory_order_relaxed) != 0)
		return report_bad_note(pass);
	pass->n_notes = 0;
	return ENGINE_OK;
}

EngineCode
pass_run(Pass *pass, int64_t n_items, TeamWork work, void *arg)
{
	ENGINE_TRY(pass_finish(pass));
	return run_items(pass, n_items, work, arg);
}

/*
 * Products
 */

/*
 * Products of one input as if their matrices lay one below the other: panels
 * are counted through all of them.
 */
typedef struct ProductItems
{
	Pass	   *pass;
	const Product *products;
	int			n_products;
	int64_t		n_panels;
	int64_t		panels_each;
	int			rows_each;
	int64_t		n_blocks;		/* of rows; they are the inner loop */
} ProductItems;

static int64_t
matrix_panels(const ImageMatrix *matrix)
{
	return quotient_up(matrix->n, PANEL_ROWS);
}

/* Rows first .. first + n - 1 of the input */
static Activations
input_rows(const Activations *inputs, int first, int n)
{
	Activations rows = *inputs;

	rows.n_rows = n;
	rows.x += first * rows.x_stride;
	rows.hi += first * rows.plane_stride;
	rows.lo += first * rows.plane_stride;
	rows.d += first * rows.group_stride;
	rows.sums += 2 * first * rows.group_stride;
	return rows;
}

/* While the outputs of these panels are still in a near cache */
static void
add_bias(const Pass *pass, const ImageVector *bias, int64_t panel_begin,
		 int64_t panel_end, const Rows *out, int n_rows)
{
	int64_t		begin = panel_begin * PANEL_ROWS;
	int64_t		end = panel_end * PANEL_ROWS;
	const float *values = image_vector(pass->image, bias);

	end = end < bias->n ? end : bias->n;
	for (int i = 0; i < n_rows; i++)
		pass->kernels->add(rows_at(out, i) + begin, values + begin,
						   end - begin);
}

static void
multiply(const Pass *pass, const Product *product, int64_t panel_begin,
		 int64_t panel_end, const Activations *input, int first_row)
{
	PackedMatrix weights = image_matrix(pass->image, product->matrix);
	Rows		out = *product->out;

	out.data = rows_at(&out, first_row);
	pass->kernels->matmul(&weights, panel_begin, panel_end, input, out.data,
						  out.stride);
	if (product->bias != NULL && product->bias->offset != 0)
		add_bias(pass, product->bias, panel_begin, panel_end, &out,
				 input->n_rows);
}

static void
multiply_item(void *arg, int64_t item, int thread)
{
	const ProductItems *items = arg;
	const Activations *inputs = &items->pass->scratch->inputs;
	int64_t		begin = item / items->n_blocks * items->panels_each;
	int64_t		end = begin + items->panels_each;
	int			first = (int) (item % items->n_blocks) * items->rows_each;
	int			n = inputs->n_rows - first;
	Activations input;

	(void) thread;
	input = input_rows(inputs, first,
					   n < items->rows_each ? n : items->rows_each);
	for (int i = 0; i < items->n_products; i++)
	{
		int64_t		n_panels = matrix_panels(items->products[i].matrix);
		int64_t		until = end < n_panels ? end : n_panels;

		if (begin < until)
			multiply(items->pass, &items->products[i], begin, until, &input,
					 first);
		begin = begin > n_panels ? begin - n_panels : 0;
		end -= n_panels;
	}
}

/*
 * With many rows threads share those, as each prepares its own for the
 * kernels; with few they share panels.
 */
static void
cut_products(ProductItems *items, int n_rows, int64_t k, int64_t work_item,
			 int threads)
{
	int64_t		wanted = threads == 1 ? 1 :
		n_rows < ROWS_MANY ? threads : ITEMS_EACH * threads;
	int64_t		blocks = n_rows / ROWS_LEAST;
	int64_t		most;

	blocks = blocks > wanted ? wanted : blocks < 1 ? 1 : blocks;
	if (threads == 1)
		blocks = 1;
	items->rows_each = (int) quotient_up(quotient_up(n_rows, blocks),
										 ROWS_TILE) * ROWS_TILE;
	items->n_blocks = quotient_up(n_rows, items->rows_each);

	most = work_item / (PANEL_ROWS * k * (n_rows < items->rows_each ? n_rows :
										  items->rows_each));
	items->panels_each = quotient_up(items->n_panels,
									 quotient_up(wanted, items->n_blocks));
	if (items->panels_each > most)
		items->panels_each = most;
	if (items->panels_each < 1)
		items->panels_each = 1;
}

EngineCode
pass_project(Pass *pass, const Product *products, int n)
{
	const Activations *inputs = &pass->scratch->inputs;
	ProductItems items = {pass, products, n, 0, 0, 0, 0};

	for (int i = 0; i < n; i++)
		items.n_panels += matrix_panels(products[i].matrix);
	cut_products(&items, inputs->n_rows, inputs->k, pass->kernels->work_item,
				 team_threads(pass->scratch->team));
	return pass_run(pass, items.n_blocks *
					quotient_up(items.n_panels, items.panels_each),
					multiply_item, &items);
}
