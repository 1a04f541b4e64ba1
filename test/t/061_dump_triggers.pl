# Restoring a database whose rows are embedded: triggers and indexes are made
# after the large objects, so they work, as plain script and as archive.  What
# is evaluated when the rows are loaded, a generated column or a CHECK, finds no
# model yet: the reason why the documentation warns of both.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('dump_triggers');
my $directory = PostgreSQL::Test::Utils::tempdir;

# An IMMUTABLE wrapper, as the documentation shows it
my $wrapper = <<'SQL';
CREATE FUNCTION embedding_of(input text) RETURNS real[]
IMMUTABLE PARALLEL SAFE RETURN llm.embed('m', input);
SQL

sub sql
{
	my ($database, $query) = @_;

	return $node->safe_psql($database, $query);
}

sub new_database
{
	my ($database) = @_;

	sql('postgres', "CREATE DATABASE $database TEMPLATE template0");
	return $database;
}

sub with_model
{
	my ($database) = @_;

	new_database($database);
	sql($database, <<"SQL");
CREATE EXTENSION llm;
SELECT llm.load_model('m', '$ENV{LLM_TEST_DATA}/hf/bert');
$wrapper
SQL
	return $database;
}

sub dump_database
{
	my ($database, @options) = @_;
	my $file = "$directory/$database.dump";

	command_ok(
		[
			'pg_dump', @options, '-f', $file, '-d',
			$node->connstr($database)
		],
		"$database: dump");
	return $file;
}

with_model('source');
sql('source', <<'SQL');
CREATE TABLE docs (id integer PRIMARY KEY, title text, body text,
	embedding real[]);
CREATE TRIGGER embed BEFORE INSERT OR UPDATE ON docs
	FOR EACH ROW EXECUTE FUNCTION
	llm.embed_trigger('embedding', 'm', 'title', 'body');
CREATE INDEX docs_embedding ON docs USING hash (embedding_of(title));
CREATE TABLE statements (id integer PRIMARY KEY, body text, embedding real[]);
CREATE TRIGGER embed AFTER INSERT ON statements
	REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION
	llm.embed_statement_trigger('embedding', 'm', 'body');
CREATE MATERIALIZED VIEW vectors AS
	SELECT id, embedding_of(title) AS embedding FROM docs;
INSERT INTO docs (id, title, body)
	SELECT i, 'text ' || translate(i::text, '0123456789', 'abcdfgiklm'),
		'the model' FROM generate_series(1, 50) AS i;
INSERT INTO docs VALUES (51, 'weights', NULL, '{1,2,3}');
INSERT INTO statements SELECT id, body FROM docs;
REFRESH MATERIALIZED VIEW vectors;
SQL

sub contents
{
	my ($database) = @_;

	return sql($database,
		'SELECT * FROM docs ORDER BY id; SELECT * FROM statements ORDER BY id;
		 SELECT * FROM vectors ORDER BY id');
}

# What was restored is the same, and goes on working
sub check_restored
{
	my ($database) = @_;

	is(contents($database), contents('source'), "$database: the same rows");
	is( sql($database, <<'SQL'), '7', "$database: the index works");
SET enable_seqscan = off;
SELECT id FROM docs WHERE embedding_of(title) = embedding_of('text k')
SQL
	like(
		sql($database, <<'SQL'),
SET enable_seqscan = off;
EXPLAIN (COSTS OFF)
SELECT id FROM docs WHERE embedding_of(title) = embedding_of('text k')
SQL
		qr/Scan (using|on) docs_embedding/,
		"$database: and is used");
	is( sql($database, <<'SQL'), 't|t', "$database: the triggers work");
INSERT INTO docs (id, title) VALUES (100, 'numbers');
INSERT INTO statements VALUES (100, 'numbers');
SELECT docs.embedding = llm.embed('m', 'numbers'),
	statements.embedding = docs.embedding
FROM docs JOIN statements USING (id) WHERE id = 100
SQL
	sql($database, 'DELETE FROM docs WHERE id = 100;
		DELETE FROM statements WHERE id = 100');
}

my $plain = dump_database('source');
new_database('plain');
command_ok(
	[
		'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $plain, '-d',
		$node->connstr('plain')
	],
	'plain: restore');
check_restored('plain');

my $custom = dump_database('source', '--format=custom');
new_database('custom');
command_ok(
	[
		'pg_restore', '--exit-on-error', '-d', $node->connstr('custom'),
		$custom
	],
	'custom: restore');
check_restored('custom');

# Several jobs know of dependencies between objects, and an index does not
# depend on large objects: they need one section after the other.
new_database('jobs');
for my $section (qw(pre-data data post-data))
{
	command_ok(
		[
			'pg_restore', '--exit-on-error', '--jobs=2',
			"--section=$section", '-d', $node->connstr('jobs'), $custom
		],
		"jobs: restore of $section");
}
check_restored('jobs');

# Rows alone, into tables whose triggers are there: vectors that come with the
# rows are kept, and made where they are missing
new_database('rows');
command_ok(
	[
		'pg_restore', '--exit-on-error', '-d', $node->connstr('rows'),
		$custom
	],
	'rows: restore');
sql('rows', 'TRUNCATE docs, statements; DROP INDEX docs_embedding');
my $before = sql('rows', 'SELECT sum(hits) FROM llm.stat_cache');
command_ok(
	[
		'pg_restore', '--exit-on-error', '--data-only', '--table=docs',
		'--table=statements', '-d', $node->connstr('rows'), $custom
	],
	'rows: restore of rows only');
is( sql('rows', 'SELECT sum(hits) FROM llm.stat_cache'),
	$before, 'rows: nothing is embedded again');
is(contents('rows'), contents('source'), 'rows: the same rows');

# The traps.  Each works in the database where it was made, and cannot be
# restored: its rows are loaded before the large objects.
my %traps = (
	check => <<'SQL',
CREATE TABLE trap (body text CHECK (cardinality(embedding_of(body)) > 0));
SQL
	generated => <<'SQL',
CREATE TABLE trap (body text,
	embedding real[] GENERATED ALWAYS AS (embedding_of(body)) STORED);
SQL
	domain => <<'SQL',
CREATE DOMAIN embeddable AS text
	CHECK (cardinality(embedding_of(VALUE)) > 0);
CREATE TABLE trap (body embeddable);
SQL
);

for my $trap (sort keys %traps)
{
	my $source = with_model("trap_$trap");

	sql($source, "$traps{$trap}; INSERT INTO trap (body) VALUES ('x')");
	my $file = dump_database($source);
	my $target = new_database("restored_$trap");
	my ($out, $err);

	PostgreSQL::Test::Utils::run_log(
		[ 'psql', '-Xq', '-f', $file, '-d', $node->connstr($target) ],
		'>', \$out, '2>', \$err);
	like(
		$err,
		qr/ERROR: .*model "m" (does not exist|has (no large object|other bytes))/,
		"$trap: the model is missing when rows are loaded");
	is(sql($target, 'SELECT count(*) FROM trap'),
		'0', "$trap: the rows are lost");
}

$node->stop;
done_testing();
