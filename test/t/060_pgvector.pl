# With a real pgvector: vectors written by both triggers, an HNSW index for
# search, and the vector of the query computed once.
#
# How often a model was used is counted by the cache of weights: each use that
# computes something is a hit.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('pgvector');

if ($node->safe_psql('postgres',
		"SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'")
	eq '0')
{
	$node->stop;
	plan skip_all =>
	  'pgvector is not installed (scripts/fetch-pgvector says why)';
}

load($node, 'm', "$ENV{LLM_TEST_DATA}/hf/bert");
$node->safe_psql('postgres', 'CREATE EXTENSION vector');

my $n = $node->safe_psql('postgres',
	"SELECT cardinality(llm.embed('m', 'text'))");

sub sql
{
	return $node->safe_psql('postgres', join(";\n", @_));
}

sub uses
{
	return sql("SELECT coalesce(sum(hits), 0) FROM llm.stat_cache");
}

# Rows of a query, and how often it used the model
sub rows_and_uses
{
	my (@query) = @_;
	my $before = uses();
	my $rows = sql(@query);

	return ($rows, uses() - $before);
}

# A text of its own for each row, of letters that are in the tiny vocabulary
my $body = "'text ' || translate(i::text, '0123456789', 'abcdfgiklm')";

sql("CREATE TABLE docs (id integer PRIMARY KEY, body text,
		embedding vector($n))",
	"CREATE TRIGGER embed BEFORE INSERT OR UPDATE ON docs
		FOR EACH ROW EXECUTE FUNCTION
		llm.embed_trigger('embedding', 'm', 'body')",
	"INSERT INTO docs SELECT i, $body FROM generate_series(1, 500) AS i");
is( sql("SELECT count(*) FROM docs
		WHERE embedding = llm.embed('m', body)::vector"),
	'500',
	'the trigger assigns to vector(n)');

# other types, all rows of a statement
for my $type ("halfvec($n)", "sparsevec($n)", "vector($n)")
{
	sql('CREATE TABLE other (LIKE docs INCLUDING INDEXES)',
		"ALTER TABLE other ALTER embedding TYPE $type
			USING NULL",
		"CREATE TRIGGER embed AFTER INSERT ON other
			REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION
			llm.embed_statement_trigger('embedding', 'm', 'body')");
	my (undef, $uses) = rows_and_uses(
		"INSERT INTO other SELECT i, $body FROM generate_series(1, 100) AS i");

	is($uses, 1, "$type: all rows of a statement are one use");
	is( sql("SELECT count(*) FROM other
			WHERE embedding = llm.embed('m', body)::$type"),
		'100',
		"$type: are written");
	sql('DROP TABLE other');
}

# a column of another length
my $longer = $n + 1;
sql("CREATE TABLE longer (body text, embedding vector($longer))",
	"CREATE TRIGGER embed BEFORE INSERT OR UPDATE ON longer
		FOR EACH ROW EXECUTE FUNCTION
		llm.embed_trigger('embedding', 'm', 'body')");
my ($code, $out, $err) =
  $node->psql('postgres', "INSERT INTO longer VALUES ('x')");
isnt($code, 0, 'a column of another length is refused');
like($err, qr/expected $longer dimensions, not $n/, 'and says so');

# the search: what README shows
my $wanted = sql("SELECT body FROM docs WHERE id = 42");
my $search = "SELECT id FROM docs
	ORDER BY embedding <=> llm.embed('m', '$wanted')::vector LIMIT 5";
my ($sequential, $uses) =
  rows_and_uses('SET enable_indexscan = off', $search);

like($sequential, qr/^42\n/, 'a sequential scan finds the text');
is($uses, 1, 'and computes the vector of the query once');

sql('CREATE INDEX ON docs USING hnsw (embedding vector_cosine_ops)');
like(
	sql('SET enable_seqscan = off', "EXPLAIN (COSTS OFF) $search"),
	qr/Limit\n\s*->\s*Index Scan using docs_embedding_idx on docs\n\s*Order By:/,
	'the index is used');
my $indexed;
($indexed, $uses) = rows_and_uses('SET enable_seqscan = off', $search);
like($indexed, qr/^42\n/, 'the index finds the text');
is(scalar(split /\n/, $indexed), 5, 'and four others');
is($uses, 1, 'and the vector of the query is computed once');

# planning does not run the model
(undef, $uses) =
  rows_and_uses('SET enable_seqscan = off', "EXPLAIN $search");
is($uses, 0, 'EXPLAIN does not run the model');

# by parameter, with a plan that is kept
my $prepared = "PREPARE search (text) AS SELECT id FROM docs
	ORDER BY embedding <=> llm.embed('m', \$1)::vector LIMIT 1";
my @kept = (
	'SET enable_seqscan = off',
	'SET plan_cache_mode = force_generic_plan', $prepared);
like(
	sql(@kept, "EXPLAIN (COSTS OFF) EXECUTE search('x')"),
	qr/Index Scan using docs_embedding_idx/,
	'a generic plan uses the index');
my $other = sql("SELECT body FROM docs WHERE id = 7");
is( sql(@kept, "EXECUTE search('$wanted')", "EXECUTE search('$other')"),
	"42\n7",
	'and computes a vector for each value');

# a nested search: one vector for each row of the outer table
is( sql('SET enable_seqscan = off',
		"SELECT q.id, d.id FROM docs AS q CROSS JOIN LATERAL
			(SELECT id FROM docs ORDER BY
			embedding <=> llm.embed('m', q.body)::vector LIMIT 1) AS d
			WHERE q.id IN (3, 4) ORDER BY q.id"),
	"3|3\n4|4",
	'a lateral search');

# rows that the trigger writes after the index was made
sql("UPDATE docs SET body = 'another answer' WHERE id = 99");
is( sql('SET enable_seqscan = off',
		"SELECT id FROM docs
			ORDER BY embedding <=> llm.embed('m', 'another answer')::vector
			LIMIT 1"),
	'99',
	'a changed text is found');

# Without the cast pgvector has no operator: its cast from real[] is for
# assignments only.  An operator of one's own, inlined, also uses the index.
my $plain = "SELECT id FROM docs
	ORDER BY embedding <=> llm.embed('m', '$wanted') LIMIT 5";

($code, $out, $err) = $node->psql('postgres', $plain);
like(
	$err,
	qr/operator does not exist: (\w+\.)?vector <=> real\[\]/,
	'without the cast there is no such operator');
sql("CREATE FUNCTION cosine_distance(vector, real[]) RETURNS float8
		IMMUTABLE PARALLEL SAFE RETURN \$1 <=> \$2::vector",
	"CREATE OPERATOR <=> (LEFTARG = vector, RIGHTARG = real[],
		FUNCTION = cosine_distance)");
like(
	sql('SET enable_seqscan = off', "EXPLAIN (COSTS OFF) $plain"),
	qr/Index Scan using docs_embedding_idx/,
	'an operator for real[] uses the index');
is(sql('SET enable_seqscan = off', $plain), $indexed, 'with the same rows');

$node->stop;
done_testing();
