/*-------------------------------------------------------------------------
 *
 * report.c
 *	  llm.attention_report(): all heads of a model on one page.
 *
 * The page stands alone and forbids itself to load anything.  Weights are in
 * it once, as numbers, from which its script draws small pictures of all
 * heads and a large one of the head that somebody looks at; what the layers
 * would predict (see logit_lens.c) is a table that needs no script.
 *
 * Weights are kept and written as 16-bit numbers: the tooltips show four
 * digits, and 270 heads of 20 tokens take 150 kB.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "common/base64.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/float.h"

#include "engine/base/math64.h"
#include "engine/decode/sampler.h"
#include "functions/call_cache.h"
#include "functions/picture.h"
#include "functions/report_page.h"

PG_FUNCTION_INFO_V1(llm_attention_report);

#define REPORT_TOKENS 128
#define LABEL_CHARACTERS 16
#define WEIGHT_BYTES 2
#define WEIGHT_ONE 65534		/* of a weight of 1, to which 1 is added */

/* What a layer would predict at a position. */
typedef struct Prediction
{
	int32		token;
	double		probability;
} Prediction;

typedef struct Report
{
	Inspection *inspection;
	const Hyper *hyper;
	PictureToken *tokens;
	int			n;
	size_t		n_cells;		/* of a head */
	uint8	   *weights;		/* [n_layers][n_heads][n_cells][2] */
	size_t		n_weight_bytes;
	bool		predicts;
	Prediction *predictions;	/* [n_layers + 1][n], from layer -1 on */
	StringInfoData out;
} Report;

/* The first weight of a query in its head's. */
static size_t
first_cell(const Report *report, size_t query)
{
	return report->hyper->causal ? query * (query + 1) / 2 :
		query * report->n;
}

static void
see_weights(Report *report, const ProbeEvent *event)
{
	const float *scores = event->data;
	const float *weights = event->data + event->stride;
	int			query = event->first_row;
	int64		n_keys = report->hyper->causal ? query + 1 : report->n;
	size_t		head = (size_t) event->layer * report->hyper->n_heads +
		event->head;
	uint8	   *out = report->weights + WEIGHT_BYTES *
		(head * report->n_cells + first_cell(report, query));

	n_keys = Min(n_keys, event->n_columns);
	for (int64 key = 0; key < n_keys; key++)
	{
		int			value = (int) (weights[key] * WEIGHT_ONE + 0.5f) + 1;

		if (scores[key] == -get_float4_infinity())
			continue;
		out[WEIGHT_BYTES * key] = value & 0xFF;
		out[WEIGHT_BYTES * key + 1] = value >> 8;
	}
}

static void
predict(Report *report, int layer, int position, const float *logits)
{
	int32		n_tokens = report->inspection->use->tokenizer.n_tokens;
	Prediction *prediction = report->predictions +
		(size_t) (layer + 1) * report->n + position;
	TokenLogit	top;

	top_tokens(logits, n_tokens, 1, &top);
	prediction->token = top.token;
	prediction->probability =
		math_exp(logprob_of(logprob_base(logits, n_tokens), top.logit));
}

static void
see_states(Report *report, const ProbeEvent *event)
{
	int			n;

	for (int first = 0; first < event->n_rows; first += n)
	{
		float	   *const *logits;

		n = Min(event->n_rows - first, INSPECT_OUTPUTS);
		logits = inspect_logits(report->inspection,
								event->data + first * event->stride,
								event->stride, n, false);
		for (int i = 0; i < n; i++)
			predict(report, event->layer, event->first_row + first + i,
					logits[i]);
	}
}

static void
see(void *arg, const ProbeEvent *event)
{
	if (event->stage == PROBE_ATTENTION)
		see_weights(arg, event);
	else
		see_states(arg, event);
}

static void
collect(Report *report)
{
	const Hyper *hyper = report->hyper;
	uint32		stages = PROBE_BIT(PROBE_ATTENTION) | PROBE_ENDS_PASS;

	report->n_cells = first_cell(report, report->n);
	report->n_weight_bytes = WEIGHT_BYTES * report->n_cells *
		hyper->n_layers * hyper->n_heads;
	report->weights = palloc0(report->n_weight_bytes);
	report->predictions = palloc0((size_t) (hyper->n_layers + 1) * report->n *
								  sizeof(Prediction));
	if (report->predicts)
		stages |= PROBE_BIT(PROBE_EMBEDDING) | PROBE_BIT(PROBE_BLOCK);
	inspect_run(report->inspection, stages, INSPECT_ALL, INSPECT_ALL, see,
				report);
}

static void
put(Report *report, const char *markup)
{
	appendStringInfoString(&report->out, markup);
}

static void
put_palette(Report *report, bool dark)
{
	put(report, ":root{");
	picture_palette(&report->out, dark, "--c", ":", ";");
	put(report, "}\n");
}

static void
put_style(Report *report)
{
	put(report, "<style>\n");
	put(report, report_style);
	put_palette(report, false);
	put(report, "@media (prefers-color-scheme:dark){\n");
	put_palette(report, true);
	put(report, "}\n");
	for (int level = 0; level < PICTURE_LEVELS; level++)
		appendStringInfo(&report->out,
						 ".c%d{fill:var(--c%d);background:var(--c%d)}\n",
						 level, level, level);
	put(report, "</style>\n");
}

/* The page may run its own script and style, and load nothing. */
static void
put_head(Report *report)
{
	PictureToken name = picture_model_name(report->inspection->use);

	put(report,
		"<!DOCTYPE html>\n"
		"<html lang=\"en\">\n"
		"<head>\n"
		"<meta charset=\"utf-8\">\n"
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
		"<meta name=\"viewport\" content=\"width=device-width\">\n"
		"<title>Attention in ");
	picture_text(&report->out, &name, PICTURE_WHOLE);
	put(report, "</title>\n");
	put_style(report);
	put(report, "</head>\n<body>\n<h1>Attention in ");
	picture_text(&report->out, &name, PICTURE_WHOLE);
	appendStringInfo(&report->out,
					 "</h1>\n"
					 "<p>%d layers, %d heads in each, %d tokens:</p>\n"
					 "<ol class=\"tokens\">\n",
					 report->hyper->n_layers, report->hyper->n_heads,
					 report->n);
	for (int i = 0; i < report->n; i++)
	{
		appendStringInfo(&report->out, "<li><small>%d</small>", i);
		picture_text(&report->out, &report->tokens[i], PICTURE_WHOLE);
		put(report, "</li>\n");
	}
	put(report, "</ol>\n<p><a href=\"#heads\">Heads</a> &#xB7; <a href=\"#logit-lens\">Logit lens</a></p>\n");
}

static void
put_heads(Report *report)
{
	put(report,
		"<h2 id=\"heads\">Heads</h2>\n"
		"<p>Rows are queries, columns are keys; colours tell the weights. Choose a head to enlarge it.</p>\n"
		"<noscript><p>The pictures need JavaScript.</p></noscript>\n");
	appendStringInfo(&report->out,
					 "<svg width=\"%d\" height=\"40\" aria-hidden=\"true\">\n",
					 PICTURE_LEGEND + 80);
	picture_legend(&report->out, 60, 4);
	put(report,
		"</svg>\n"
		"<div id=\"grid\"></div>\n"
		"<dialog id=\"view\" aria-labelledby=\"name\">\n"
		"<header><h2 id=\"name\"></h2><button id=\"close\" type=\"button\">Close</button></header>\n"
		"<div id=\"picture\"></div>\n"
		"<p id=\"summary\"></p>\n"
		"</dialog>\n");
}

/* last: what the last layer predicts there. */
static void
put_prediction(Report *report, const Prediction *prediction,
			   const Prediction *last)
{
	PictureToken token = picture_token(report->inspection->use,
									   prediction->token);
	int			level = picture_level(prediction->probability);

	appendStringInfo(&report->out, "<td class=\"c%d%s%s\" title=\"", level,
					 level >= PICTURE_INVERSE ? " inverse" : "",
					 prediction->token == last->token ? " last" : "");
	picture_text(&report->out, &token, PICTURE_WHOLE);
	appendStringInfo(&report->out, ": %.4f\">", prediction->probability);
	picture_text(&report->out, &token, LABEL_CHARACTERS);
	appendStringInfo(&report->out, "<small>%.2f</small></td>\n",
					 prediction->probability);
	pfree(token.utf8);
}

static void
put_lens_row(Report *report, int layer)
{
	const Prediction *row = report->predictions +
		(size_t) (layer + 1) * report->n;
	const Prediction *last = report->predictions +
		(size_t) report->hyper->n_layers * report->n;

	CHECK_FOR_INTERRUPTS();
	if (layer < 0)
		put(report, "<tr><th scope=\"row\">embedding</th>\n");
	else
		appendStringInfo(&report->out, "<tr><th scope=\"row\">layer %d</th>\n",
						 layer);
	for (int i = 0; i < report->n; i++)
		put_prediction(report, &row[i], &last[i]);
	put(report, "</tr>\n");
}

static void
put_lens(Report *report)
{
	put(report, "<h2 id=\"logit-lens\">Logit lens</h2>\n");
	if (!report->predicts)
	{
		put(report, "<p>The model sees the whole text and predicts no tokens.</p>\n");
		return;
	}
	put(report,
		"<p>The token that each layer would predict to follow, and its probability; bold where the last layer predicts the same.</p>\n"
		"<div class=\"scroll\"><table id=\"lens\">\n<thead><tr><th></th>\n");
	for (int i = 0; i < report->n; i++)
	{
		appendStringInfo(&report->out, "<th scope=\"col\" title=\"%d ", i);
		picture_text(&report->out, &report->tokens[i], PICTURE_WHOLE);
		put(report, "\">");
		picture_text(&report->out, &report->tokens[i], LABEL_CHARACTERS);
		put(report, "</th>\n");
	}
	put(report, "</tr></thead>\n<tbody>\n");
	for (int layer = -1; layer < report->hyper->n_layers; layer++)
		put_lens_row(report, layer);
	put(report, "</tbody>\n</table></div>\n");
}

/* The weights as base64. */
static void
put_weights(Report *report)
{
	int			length = pg_b64_enc_len((int) report->n_weight_bytes);
	void	   *bytes = report->weights;	/* 18 has them unsigned */

	enlargeStringInfo(&report->out, length);
	length = pg_b64_encode(bytes, (int) report->n_weight_bytes,
						   report->out.data + report->out.len, length);
	Assert(length >= 0);
	report->out.len += length;
	report->out.data[report->out.len] = '\0';
}

static void
put_data(Report *report)
{
	put(report, "<script type=\"application/json\" id=\"data\">\n{\"tokens\": [");
	for (int i = 0; i < report->n; i++)
	{
		put(report, i > 0 ? ", " : "");
		picture_json(&report->out, &report->tokens[i]);
	}
	appendStringInfo(&report->out,
					 "],\n\"layers\": %d, \"heads\": %d, \"causal\": %s, \"levels\": %d, \"inverse\": %d,\n\"weights\": \"",
					 report->hyper->n_layers, report->hyper->n_heads,
					 report->hyper->causal ? "true" : "false",
					 PICTURE_LEVELS, PICTURE_INVERSE);
	put_weights(report);
	put(report, "\"}\n</script>\n");
}

static text *
write_page(Report *report)
{
	initStringInfo(&report->out);
	put_head(report);
	put_heads(report);
	put_lens(report);
	put_data(report);
	put(report, "<script>\n");
	put(report, report_script);
	put(report, "</script>\n</body>\n</html>\n");
	return cstring_to_text_with_len(report->out.data, report->out.len);
}

static void
check_size(int n)
{
	if (n > REPORT_TOKENS)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("text of %d tokens is too long for a report", n),
				errdetail("A report has at most %d tokens.", REPORT_TOKENS),
				errhint("llm.attention_plot() draws one head, llm.attention() gives the weights as rows."));
}

/* llm.attention_report(model, input) */
Datum
llm_attention_report(PG_FUNCTION_ARGS)
{
	ModelRef   *model;
	CallKey		key;
	Report		report = {0};
	Datum		result;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	model = model_lookup(ARG_CSTRING(0), MODEL_ANY);
	key = call_key(fcinfo, "vv", model);
	if (call_cache_get(fcinfo, &key, &result))
		return result;
	report.predicts = (model->capabilities & MODEL_GENERATE) != 0;
	report.inspection = inspect_begin(model, PG_GETARG_TEXT_PP(1),
									  report.predicts, NULL);
	report.hyper = report.inspection->use->hyper;
	report.n = report.inspection->n;
	check_size(report.n);
	report.tokens = picture_tokens(report.inspection);
	collect(&report);
	result = PointerGetDatum(write_page(&report));
	inspect_end(report.inspection);
	call_cache_put(fcinfo, &key, result, false);
	return result;
}
