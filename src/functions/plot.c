/*-------------------------------------------------------------------------
 *
 * plot.c
 *	  llm.attention_plot(): what a head looks at, as an SVG heat map.
 *
 * A row for each query, a column for each key, and a cell for each key that
 * the query can see.  The picture stands alone: fonts are those of who looks
 * at it, colours follow their choice of light or dark, and names of classes
 * begin below one of our own, so that it can become a part of a page.
 *
 * Sizes adapt to the number of tokens: few have large cells with the number
 * in it, many have small ones and a label for every second or tenth of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/float.h"

#include "functions/call_cache.h"
#include "functions/picture.h"

PG_FUNCTION_INFO_V1(llm_attention_plot);

/* A cell takes about 120 bytes: this many tokens make a picture of 16 MB. */
#define PLOT_TOKENS 512

#define LABEL_CHARACTERS 14
#define MARGIN 16
#define HEADER 26				/* the heading, above the labels of keys */
#define LEGEND 56				/* below the cells */
#define NUMBER_CELL 38			/* pixels that a number needs */
#define SLANTED_CELL 24			/* pixels that let labels be slanted */

typedef struct Plot
{
	Inspection *inspection;
	PictureToken *tokens;
	int			n;
	int			layer;			/* or INSPECT_ALL */
	int			head;
	bool		single;			/* one head of one layer */
	float	   *scores;			/* [n][n] */
	float	   *weights;		/* [n][n], -1 what the query cannot see */
	/* pixels */
	int			cell;
	int			font;			/* of labels */
	int			step;			/* one label for so many tokens */
	int			left;			/* of the first cell */
	int			top;
	int			width;
	int			height;
	StringInfoData out;
} Plot;

/* One query of one head: its scores, then its weights. */
static void
see_weights(void *arg, const ProbeEvent *event)
{
	Plot	   *plot = arg;
	const float *scores = event->data;
	const float *weights = event->data + event->stride;
	size_t		row = (size_t) event->first_row * plot->n;

	for (int64 key = 0; key < event->n_columns; key++)
	{
		if (scores[key] == -get_float4_infinity())
			continue;
		plot->scores[row + key] = scores[key];
		plot->weights[row + key] = Max(plot->weights[row + key], 0) +
			weights[key];
	}
}

/* The weights of the head, or the mean of those that were asked for. */
static void
collect(Plot *plot)
{
	const Hyper *hyper = plot->inspection->use->hyper;
	size_t		n_cells = (size_t) plot->n * plot->n;
	int			n_heads = (plot->layer == INSPECT_ALL ? hyper->n_layers : 1) *
		(plot->head == INSPECT_ALL ? hyper->n_heads : 1);

	plot->single = plot->layer != INSPECT_ALL && plot->head != INSPECT_ALL;
	plot->scores = palloc0(n_cells * sizeof(float));
	plot->weights = palloc(n_cells * sizeof(float));
	for (size_t i = 0; i < n_cells; i++)
		plot->weights[i] = -1;
	inspect_run(plot->inspection,
				PROBE_BIT(PROBE_ATTENTION) | PROBE_ENDS_PASS, plot->layer,
				plot->head, see_weights, plot);
	for (size_t i = 0; i < n_cells; i++)
		if (plot->weights[i] > 0)
			plot->weights[i] /= (float) n_heads;
}

/* The longest label in pixels. */
static int
label_length(const Plot *plot)
{
	int			longest = 0;

	for (int i = 0; i < plot->n; i += plot->step)
		longest = Max(longest, picture_text_width(&plot->tokens[i],
												  LABEL_CHARACTERS));
	return longest * plot->font / 100 + 1;
}

static bool
slanted(const Plot *plot)
{
	return plot->cell >= SLANTED_CELL;
}

static void
measure(Plot *plot)
{
	int			size;
	int			label;

	plot->cell = Max(2, Min(48, 800 / plot->n));
	plot->font = Max(9, Min(13, plot->cell - 2));
	plot->step = (plot->font + plot->cell) / plot->cell;
	if (plot->step > 2)
		plot->step = (plot->step + 4) / 5 * 5;
	size = plot->cell * plot->n;
	label = label_length(plot);
	plot->left = MARGIN + Max(label, 7 * plot->font) + 8;
	plot->top = MARGIN + HEADER + 8 + plot->font +
		(slanted(plot) ? label * 3 / 4 : label);
	/* slanted labels reach beyond the last cell */
	plot->width = plot->left + MARGIN +
		Max(size + (slanted(plot) ? label * 3 / 4 : 0),
			PICTURE_LEGEND + 48);
	plot->height = plot->top + size + LEGEND + MARGIN;
}

static void
append_number(StringInfo out, int number)
{
	if (number == INSPECT_ALL)
		appendStringInfoString(out, "all");
	else
		appendStringInfo(out, "%d", number);
}

/* Which weights the picture shows */
static void
append_heads(Plot *plot)
{
	StringInfo	out = &plot->out;

	if (plot->single)
		appendStringInfo(out, "layer %d, head %d", plot->layer, plot->head);
	else if (plot->layer != INSPECT_ALL)
		appendStringInfo(out, "layer %d, mean of its heads", plot->layer);
	else if (plot->head != INSPECT_ALL)
		appendStringInfo(out, "head %d, mean of the layers", plot->head);
	else
		appendStringInfoString(out, "mean of all heads");
}

/* An id of layer and head; kind tells those of a picture apart. */
static void
append_id(Plot *plot, const char *kind)
{
	appendStringInfoString(&plot->out, "llm-attention-");
	append_number(&plot->out, plot->layer);
	appendStringInfoChar(&plot->out, '-');
	append_number(&plot->out, plot->head);
	appendStringInfo(&plot->out, "-%s", kind);
}

static void
append_token(Plot *plot, int i)
{
	appendStringInfo(&plot->out, "%d ", i);
	picture_text(&plot->out, &plot->tokens[i], PICTURE_WHOLE);
}

/* What the picture shows, for those who do not see it. */
static void
draw_description(Plot *plot)
{
	PictureToken name = picture_model_name(plot->inspection->use);

	/* a first query that sees itself only says nothing */
	size_t		strongest = plot->n > 1 ? plot->n : 0;

	for (size_t i = strongest; i < (size_t) plot->n * plot->n; i++)
		if (plot->weights[i] > plot->weights[strongest])
			strongest = i;
	appendStringInfoString(&plot->out, "<title id=\"");
	append_id(plot, "title");
	appendStringInfoString(&plot->out, "\">Attention in ");
	picture_text(&plot->out, &name, PICTURE_WHOLE);
	appendStringInfoString(&plot->out, ", ");
	append_heads(plot);
	appendStringInfoString(&plot->out, "</title>\n<desc id=\"");
	append_id(plot, "desc");
	appendStringInfo(&plot->out,
					 "\">A heat map of %d tokens: rows are queries, columns are keys. The largest weight is %.4f, of query ",
					 plot->n, plot->weights[strongest]);
	append_token(plot, (int) (strongest / plot->n));
	appendStringInfoString(&plot->out, " and key ");
	append_token(plot, (int) (strongest % plot->n));
	appendStringInfoString(&plot->out, ".</desc>\n");
}

static void
draw_style(Plot *plot)
{
	appendStringInfoString(&plot->out,
						   "<style>\n"
						   ".llm-attention{font-family:ui-monospace,Menlo,Consolas,\"DejaVu Sans Mono\",monospace}\n"
						   ".llm-attention .paper{fill:#fff}\n"
						   ".llm-attention text{fill:#1a2029}\n"
						   ".llm-attention .quiet{fill:#5b6573}\n"
						   ".llm-attention .value{font-size:11px;text-anchor:middle;pointer-events:none}\n"
						   ".llm-attention .inverse{fill:#fff}\n"
						   ".llm-attention .cell:hover{stroke:#e8590c;stroke-width:2}\n");
	picture_palette(&plot->out, false, ".llm-attention .c", "{fill:", "}\n");
	appendStringInfoString(&plot->out,
						   "@media (prefers-color-scheme:dark){\n"
						   ".llm-attention .paper{fill:#12161d}\n"
						   ".llm-attention text{fill:#e4e8ee}\n"
						   ".llm-attention .quiet{fill:#98a3b2}\n"
						   ".llm-attention .inverse{fill:#12161d}\n");
	picture_palette(&plot->out, true, ".llm-attention .c", "{fill:", "}\n");
	appendStringInfoString(&plot->out, "}\n</style>\n");
}

static void
draw_heading(Plot *plot)
{
	PictureToken name = picture_model_name(plot->inspection->use);

	appendStringInfo(&plot->out,
					 "<rect class=\"paper\" width=\"%d\" height=\"%d\"/>\n"
					 "<text x=\"%d\" y=\"%d\" font-size=\"14\">",
					 plot->width, plot->height, MARGIN, MARGIN + 12);
	picture_text(&plot->out, &name, 24);
	appendStringInfoString(&plot->out, " <tspan class=\"quiet\">");
	append_heads(plot);
	appendStringInfo(&plot->out,
					 "</tspan></text>\n"
					 "<g class=\"axes\" font-size=\"%d\" text-anchor=\"end\">"
					 "<text class=\"quiet\" x=\"%d\" y=\"%d\">key &#x2192;</text>"
					 "<text class=\"quiet\" x=\"%d\" y=\"%d\">query &#x2193;</text></g>\n",
					 plot->font, plot->left - 8, plot->top - 8 - plot->font,
					 plot->left - 8, plot->top - 6);
}

static void
draw_label(Plot *plot, int i)
{
	appendStringInfoString(&plot->out, "<title>");
	append_token(plot, i);
	appendStringInfoString(&plot->out, "</title>");
	picture_text(&plot->out, &plot->tokens[i], LABEL_CHARACTERS);
	appendStringInfoString(&plot->out, "</text>\n");
}

static void
draw_labels(Plot *plot)
{
	int			third = plot->font / 3; /* centres a line on its base line */

	appendStringInfo(&plot->out, "<g class=\"queries\" font-size=\"%d\" text-anchor=\"end\">\n",
					 plot->font);
	for (int i = 0; i < plot->n; i += plot->step)
	{
		appendStringInfo(&plot->out, "<text x=\"%d\" y=\"%d\">", plot->left - 8,
						 plot->top + i * plot->cell + plot->cell / 2 + third);
		draw_label(plot, i);
	}
	appendStringInfo(&plot->out, "</g>\n<g class=\"keys\" font-size=\"%d\">\n",
					 plot->font);
	for (int i = 0; i < plot->n; i += plot->step)
	{
		appendStringInfo(&plot->out,
						 "<text transform=\"translate(%d %d) rotate(%d)\">",
						 plot->left + i * plot->cell + plot->cell / 2 +
						 (slanted(plot) ? 0 : third),
						 plot->top - 6, slanted(plot) ? -45 : -90);
		draw_label(plot, i);
	}
	appendStringInfoString(&plot->out, "</g>\n");
}

static void
draw_cell(Plot *plot, int query, int key)
{
	size_t		i = (size_t) query * plot->n + key;
	double		weight = plot->weights[i];
	int			gap = plot->cell >= 8 ? 1 : 0;

	appendStringInfo(&plot->out,
					 "<rect class=\"cell c%d\" x=\"%d\" width=\"%d\" height=\"%d\"><title>",
					 picture_level(weight), key * plot->cell,
					 plot->cell - gap, plot->cell - gap);
	append_token(plot, query);
	appendStringInfoString(&plot->out, " &#x2192; ");
	append_token(plot, key);
	appendStringInfo(&plot->out, ": %.4f", weight);
	if (plot->single)
		appendStringInfo(&plot->out, " (score %.3f)", plot->scores[i]);
	appendStringInfoString(&plot->out, "</title></rect>\n");
}

static void
draw_value(Plot *plot, int query, int key)
{
	double		weight = plot->weights[(size_t) query * plot->n + key];

	appendStringInfo(&plot->out,
					 "<text class=\"value%s\" x=\"%d\" y=\"%d\">%.2f</text>\n",
					 picture_level(weight) >= PICTURE_INVERSE ? " inverse" : "",
					 key * plot->cell + plot->cell / 2, plot->cell / 2 + 4,
					 weight);
}

static void
draw_cells(Plot *plot)
{
	for (int query = 0; query < plot->n; query++)
	{
		const float *weights = plot->weights + (size_t) query * plot->n;

		CHECK_FOR_INTERRUPTS();
		appendStringInfo(&plot->out, "<g transform=\"translate(%d %d)\">\n",
						 plot->left, plot->top + query * plot->cell);
		for (int key = 0; key < plot->n; key++)
			if (weights[key] >= 0)
				draw_cell(plot, query, key);
		for (int key = 0; key < plot->n && plot->cell >= NUMBER_CELL; key++)
			if (weights[key] >= 0)
				draw_value(plot, query, key);
		appendStringInfoString(&plot->out, "</g>\n");
	}
}

static text *
draw(Plot *plot)
{
	measure(plot);
	initStringInfo(&plot->out);
	appendStringInfo(&plot->out,
					 "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"llm-attention\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"",
					 plot->width, plot->height, plot->width, plot->height);
	append_id(plot, "title");
	appendStringInfoChar(&plot->out, ' ');
	append_id(plot, "desc");
	appendStringInfoString(&plot->out, "\">\n");
	draw_description(plot);
	draw_style(plot);
	draw_heading(plot);
	draw_labels(plot);
	draw_cells(plot);
	picture_legend(&plot->out, plot->left,
				   plot->top + plot->cell * plot->n + 24);
	appendStringInfoString(&plot->out, "</svg>\n");
	return cstring_to_text_with_len(plot->out.data, plot->out.len);
}

static void
check_size(int n)
{
	if (n > PLOT_TOKENS)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("text of %d tokens is too long for a picture", n),
				errdetail("A picture has at most %d tokens.", PLOT_TOKENS),
				errhint("llm.attention() gives the weights as rows."));
}

/* llm.attention_plot(model, input, layer, head) */
Datum
llm_attention_plot(PG_FUNCTION_ARGS)
{
	ModelRef   *model;
	CallKey		key;
	Plot		plot = {0};
	Datum		result;
	const Hyper *hyper;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	model = model_lookup(ARG_CSTRING(0), MODEL_ANY);
	key = call_key(fcinfo, "vvii", model);
	if (call_cache_get(fcinfo, &key, &result))
		return result;
	plot.inspection = inspect_begin(model, PG_GETARG_TEXT_PP(1), false,
									NULL);
	hyper = plot.inspection->use->hyper;
	plot.layer = inspect_number(fcinfo, 2, "layer", 0, hyper->n_layers);
	plot.head = inspect_number(fcinfo, 3, "head", 0, hyper->n_heads);
	plot.n = plot.inspection->n;
	check_size(plot.n);
	plot.tokens = picture_tokens(plot.inspection);
	collect(&plot);
	result = PointerGetDatum(draw(&plot));
	inspect_end(plot.inspection);
	call_cache_put(fcinfo, &key, result, false);
	return result;
}
