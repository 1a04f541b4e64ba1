# Logical replication: a subscriber embeds the rows that come from a publisher
# which has no vectors, by a trigger that is enabled for replicas.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = new_server('publisher', 'wal_level = logical',
	'max_wal_senders = 5', 'max_replication_slots = 5');
my $subscriber = new_server('subscriber');

sub caught_up
{
	$publisher->wait_for_catchup('docs');
}

# Rows of the subscriber, and whether each has the vector of its text
sub rows
{
	my ($table) = @_;

	return $subscriber->safe_psql('postgres', <<"SQL");
SELECT id, body, embedding IS NOT DISTINCT FROM llm.embed('m', body)
FROM $table ORDER BY id
SQL
}

load($subscriber, 'm', "$ENV{LLM_TEST_DATA}/hf/bert");
$publisher->safe_psql('postgres', <<'SQL');
CREATE TABLE docs (id integer PRIMARY KEY, body text, note text);
CREATE TABLE ready (id integer PRIMARY KEY, body text, embedding real[]);
INSERT INTO docs VALUES (1, 'the first text'), (2, NULL);
CREATE PUBLICATION docs FOR TABLE docs, ready;
SQL
$subscriber->safe_psql('postgres', <<'SQL');
CREATE TABLE docs (id integer PRIMARY KEY, embedding real[], body text,
	note text);
CREATE TABLE ready (id integer PRIMARY KEY, body text, embedding real[]);
CREATE TRIGGER embed BEFORE INSERT OR UPDATE ON docs
	FOR EACH ROW EXECUTE FUNCTION llm.embed_trigger('embedding', 'm', 'body');
CREATE TRIGGER embed BEFORE INSERT OR UPDATE ON ready
	FOR EACH ROW EXECUTE FUNCTION llm.embed_trigger('embedding', 'm', 'body');
ALTER TABLE docs ENABLE ALWAYS TRIGGER embed;
ALTER TABLE ready ENABLE ALWAYS TRIGGER embed;
SQL
my $connection = $publisher->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres',
	"CREATE SUBSCRIPTION docs CONNECTION '$connection' PUBLICATION docs");
$subscriber->wait_for_subscription_sync($publisher, 'docs');
is(rows('docs'), "1|the first text|t\n2||t",
	'the first copy is embedded');

$publisher->safe_psql('postgres', <<'SQL');
INSERT INTO docs VALUES (3, 'stored'), (4, NULL);
UPDATE docs SET body = 'another answer' WHERE id = 2;
UPDATE docs SET body = NULL WHERE id = 1;
SQL
caught_up();
is( rows('docs'),
	"1||t\n2|another answer|t\n3|stored|t\n4||t",
	'the apply worker embeds what it writes');

# a row that comes with a vector keeps it; an untouched text is not embedded
my $before = $subscriber->safe_psql('postgres',
	'SELECT sum(hits) FROM llm.stat_cache');
$publisher->safe_psql('postgres', <<'SQL');
INSERT INTO ready VALUES (1, 'the model', '{1,2}');
UPDATE docs SET note = 'x';
SQL
caught_up();
is( $subscriber->safe_psql('postgres', 'SELECT embedding FROM ready'),
	'{1,2}', 'a vector of the publisher is kept');
is( $subscriber->safe_psql('postgres', 'SELECT count(note) FROM docs'),
	'4', 'another column is replicated');
is( $subscriber->safe_psql('postgres', 'SELECT sum(hits) FROM llm.stat_cache'),
	$before,
	'and nothing was embedded');

# an error stops the worker until its cause is gone
my $log = -s $subscriber->logfile;
$subscriber->safe_psql('postgres', "SELECT llm.rename_model('m', 'away')");
$publisher->safe_psql('postgres', "INSERT INTO docs VALUES (5, 'search')");
ok( $subscriber->poll_query_until('postgres',
		"SELECT apply_error_count > 0 FROM pg_stat_subscription_stats"),
	'a missing model stops the worker');
like(
	slurp_file($subscriber->logfile, $log),
	qr/model "m" does not exist/,
	'and says so in the log');
$subscriber->safe_psql('postgres', "SELECT llm.rename_model('away', 'm')");
caught_up();
is( $subscriber->safe_psql('postgres',
		"SELECT embedding = llm.embed('m', body) FROM docs WHERE id = 5"),
	't',
	'with it the row is written');

$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION docs');
$subscriber->stop;
$publisher->stop;
done_testing();
