--
-- Pictures of attention
--
\getenv data LLM_TEST_DATA
\set llama :data/tiny-llama.gguf
\set bert :data/hf/bert
\set gemma2 :data/hf/gemma2
\pset null '(null)'
SELECT name, layers, heads FROM llm.load_model('plot', :'llama') AS m;
SELECT name, layers, heads FROM llm.load_model('plot_bert', :'bert');
SELECT name, layers, heads FROM llm.load_model('plot_gemma2', :'gemma2');

-- elements of a picture: xpath() reads well-formed XML only
CREATE FUNCTION nodes(picture text, path text) RETURNS bigint
LANGUAGE sql AS $$
SELECT count(*) FROM unnest(xpath(path, picture::xml, '{{s,http://www.w3.org/2000/svg}}'))
$$;
CREATE FUNCTION texts(picture text, path text) RETURNS text[]
LANGUAGE sql AS $$
SELECT array_agg(x::text) FROM unnest(xpath(path, picture::xml, '{{s,http://www.w3.org/2000/svg}}')) AS x
$$;

-- a cell for each key that a query sees: all, those before it, those in the
-- window of 8
CREATE TABLE plots AS
SELECT model, n, words, llm.attention_plot(model, words, 0, 1) AS svg,
	llm.count_tokens(model, words) AS tokens
FROM (SELECT n, trim(repeat('the model ', n)) AS words FROM unnest('{1,3,20}'::int[]) AS n) AS w,
	unnest('{plot,plot_bert,plot_gemma2}'::text[]) AS model;
SELECT model, n, nodes(svg, '//s:rect[contains(@class, "cell")]') =
	CASE WHEN model = 'plot_bert' THEN tokens * tokens
		WHEN model = 'plot_gemma2' AND tokens > 8 THEN 8 * tokens - 28
		ELSE tokens * (tokens + 1) / 2 END AS cells,
	nodes(svg, '//s:rect/s:title') = nodes(svg, '//s:rect[contains(@class, "cell")]') AS tooltips,
	nodes(svg, '/s:svg[@role="img"][s:title][s:desc]') AS titled,
	nodes(svg, '//s:g[@class="legend"]/s:rect') AS legend
FROM plots ORDER BY model, n;

-- with the numbers of llm.attention()
SELECT model, n, count(*) = count(weight) AND count(*) = count(shown) AS rows,
	max(abs(substring(shown, '→ .*: ([0-9.]+) \(')::float8 - weight)) < 5.1e-5 AS weights,
	max(abs(substring(shown, '\(score (-?[0-9.]+)\)')::float8 - score)) < 5.1e-4 AS scores
FROM (SELECT model, n, shown, "row"
		FROM plots, unnest(texts(svg, '//s:rect/s:title/text()')) WITH ORDINALITY AS t(shown, "row")) AS p
FULL JOIN (SELECT model, n, weight, score, row_number() OVER (PARTITION BY model, n ORDER BY query, key) AS "row"
		FROM plots, llm.attention(model, words, 0, 1)) AS a USING (model, n, "row")
GROUP BY model, n ORDER BY model, n;

-- NULL is the mean of all
SELECT title, abs(shown - mean) < 5.1e-5 AS mean
FROM (VALUES (1, NULL), (NULL, 0), (NULL, NULL)) AS v(l, h),
	LATERAL (SELECT (texts(svg, '/s:svg/s:title/text()'))[1] AS title,
		substring((texts(svg, '//s:rect/s:title/text()'))[3], ': ([0-9.]+)$')::float8 AS shown
		FROM llm.attention_plot('plot', 'the model', l, h) AS svg) AS s,
	LATERAL (SELECT avg(weight) AS mean FROM (SELECT dense_rank() OVER (ORDER BY query, key) AS cell, weight
		FROM llm.attention('plot', 'the model', l, h)) AS a WHERE cell = 3) AS m;

-- labels: all of few tokens, some of many
SELECT tokens, nodes(svg, '//s:g[@class="keys"]/s:text') AS labels,
	nodes(svg, '//s:text[contains(@class, "value")]') AS numbers
FROM (SELECT words, llm.count_tokens('plot', words) AS tokens,
	llm.attention_plot('plot', words, 0, 0) AS svg
	FROM (SELECT trim(repeat('the ', n)) AS words FROM unnest('{2,20,60,120}'::int[]) AS n) AS w) AS p;

-- white space and what cannot be seen
SELECT DISTINCT texts(llm.attention_plot('plot', E' a\nb\tc\r\u007f\u00a0\u202e\u0001', 0, 0),
	'//s:g[@class="keys"]/s:text/text()');

-- a text is text, also in the name of the model
SELECT llm.rename_model('plot', '<b>"&''');
SELECT svg LIKE '%<script%' AS script, svg ~ '[^\n -~]' AS beyond_ascii,
	nodes(svg, '//s:script | //s:b') AS elements, (texts(svg, '/s:svg/s:title/text()'))[1] AS title,
	(SELECT string_agg(t, '' ORDER BY i) FROM unnest(texts(svg, '//s:g[@class="queries"]/s:text/text()')) WITH ORDINALITY AS q(t, i)) AS text
FROM llm.attention_plot('<b>"&''', '</svg><script>alert("1 & ''é日😀")</script>]]>', 0, 0) AS svg;
SELECT llm.rename_model('<b>"&''', 'plot');

-- nothing, and what cannot be
SELECT llm.attention_plot('plot', NULL, 0, 0), llm.attention_plot(NULL, 'a', 0, 0);
SELECT llm.attention_plot('plot', 'a', 9, 0);
SELECT llm.attention_plot('plot', 'a', 0, -1);
SELECT nodes(llm.attention_plot('plot', '', 0, 0), '//s:rect/s:title');
SELECT llm.attention_plot('missing', 'a', 0, 0);
SELECT llm.attention_plot('plot_bert', repeat('a ', 5000), 0, 0);

--
-- Reports: the page is HTML, so its parts are looked at
--
CREATE TABLE reports AS
SELECT model, words, report, (xpath('/table', substring(report, '<table id="lens">.*</table>')::xml))[1] AS lens,
	substring(report, '<script type="application/json" id="data">(.*?)</script>')::jsonb AS data,
	llm.count_tokens(model, words) AS tokens
FROM unnest('{plot,plot_bert,plot_gemma2}'::text[]) AS model,
	(SELECT 'the model & </script><script>alert(1)</script> <!--' AS words) AS w,
	llm.attention_report(model, words) AS report;
SELECT model, data->'layers' AS layers, data->'heads' AS heads, data->'causal' AS causal,
	jsonb_array_length(data->'tokens') = tokens AS tokens,
	cardinality(xpath('//td', lens)) = tokens * ((data->>'layers')::int + 1) AS lens,
	regexp_count(report, '<script') AS scripts, regexp_count(report, '<!') AS declarations,
	report ~ '[^\n -~]' AS beyond_ascii, report ~ '(src|href)="[^#]|@import|url\(' AS external
FROM reports ORDER BY model;
SELECT model, string_agg(t, '' ORDER BY i) AS tokens
FROM reports, jsonb_array_elements_text(data->'tokens') WITH ORDINALITY AS e(t, i) GROUP BY model ORDER BY model;

-- the weights of llm.attention(), in 16 bits; 0 is what is not seen
CREATE TABLE weights AS
SELECT model, words, tokens AS n, (data->>'heads')::int AS heads, (data->>'causal')::boolean AS causal,
	decode(data->>'weights', 'base64') AS bytes
FROM reports;
CREATE TABLE numbers AS
SELECT model, place / 2 AS place, get_byte(bytes, place) + 256 * get_byte(bytes, place + 1) AS value
FROM weights, generate_series(0, length(bytes) - 2, 2) AS place;
SELECT model, count(*) = count(value) AS places, count(*) FILTER (WHERE value > 0) = count(weight) AS seen,
	max(abs((value - 1) / 65534.0 - weight)) < 1e-5 AS weights
FROM numbers FULL JOIN (
	SELECT model, weight, CASE WHEN causal
		THEN (a.layer * heads + a.head) * (n * (n + 1) / 2) + a.query * (a.query + 1) / 2 + a.key
		ELSE (a.layer * heads + a.head) * (n * n) + a.query * n + a.key END AS place
	FROM weights, llm.attention(model, words) AS a) AS a USING (model, place)
GROUP BY model ORDER BY model;

-- the predictions of llm.logit_lens(), by layer and position
SELECT count(*) AS cells, count(*) FILTER (WHERE abs(substring(title, ': ([0-9.]+)$')::float8 - probability) < 5.1e-5) AS same,
	count(*) FILTER (WHERE (class LIKE '% last') = (token_id = last)) AS bold
FROM (SELECT row_number() OVER (PARTITION BY model ORDER BY layer, "position") AS cell, l.*,
		last_value(token_id) OVER (PARTITION BY model, "position" ORDER BY layer
			ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS last
	FROM reports, llm.logit_lens(model, words) AS l WHERE model = 'plot') AS l
FULL JOIN (SELECT cell, title::text, class::text
	FROM reports, ROWS FROM (unnest(xpath('//td/@title', lens)), unnest(xpath('//td/@class', lens))) WITH ORDINALITY AS u(title, class, cell)
	WHERE model = 'plot') AS t USING (cell);

SELECT llm.attention_report('plot', NULL), llm.attention_report(NULL, 'a');
SELECT llm.attention_report('missing', 'a');

DROP TABLE plots, reports, weights, numbers;
DROP FUNCTION nodes, texts;
SELECT llm.drop_model(name) FROM llm.models WHERE name LIKE 'plot%' ORDER BY name;
