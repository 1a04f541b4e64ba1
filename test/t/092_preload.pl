# llm.preload_models fills the cache after a start and after a crash, on a
# standby as well; what cannot be loaded is a warning in the log.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('preload', 'wal_level = replica',
	'max_wal_senders = 5', 'hot_standby = on', 'llm.workers = 0');
$node->append_conf('pg_hba.conf', 'local replication all trust');

# the digests, because names show in their own database only
sub cached
{
	my ($node) = @_;

	return $node->safe_psql('postgres',
		q{SELECT count(*) FROM llm.stat_cache WHERE state = 'ready'});
}

sub wait_for_cached
{
	my ($node, $n, $name) = @_;

	ok( $node->poll_query_until(
			'postgres',
			q{SELECT count(*) FROM llm.stat_cache WHERE state = 'ready'}, $n),
		$name);
}

sub workers
{
	my ($node, $type) = @_;

	return $node->safe_psql('postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type = '$type'");
}

# No worker for a list that is empty
is(workers($node, 'llm preload'), '0', 'an empty list needs no worker');

$node->safe_psql('postgres', 'CREATE DATABASE "Other.Base"');
$node->safe_psql('Other.Base', 'CREATE EXTENSION llm');
$node->safe_psql('postgres', 'CREATE DATABASE bare');
load($node, 'llama', tiny('llama'));
load($node, 'Dotted.model', tiny('gpt2'));
$node->safe_psql('Other.Base',
	"SELECT name FROM llm.load_model('with, comma', '@{[tiny('qwen2')]}')");

$node->append_conf('postgresql.conf',
	q{llm.preload_models = 'postgres.llama, nowhere.model, postgres.absent, "Other.Base"."with, comma", bare.model, postgres.Dotted.model'}
);

#
# Start
#
my $offset = -s $node->logfile;
$node->restart;
wait_for_cached($node, 3, 'after a start the cache has all that exist');
is( $node->safe_psql('postgres',
		q{SELECT string_agg(model, ' ' ORDER BY model COLLATE "C") FROM llm.stat_cache}),
	'Dotted.model llama',
	'those of this database');
is( $node->safe_psql('Other.Base',
		q{SELECT string_agg(model, ' ') FROM llm.stat_cache}),
	'with, comma',
	'and of another one');
is($node->safe_psql('postgres', 'SELECT sum(pins) FROM llm.stat_cache'),
	'0', 'they are not pinned');

# bare comes after Other.Base, and is the last database
$node->wait_for_log(qr/model "model" of database "bare"/, $offset);
my $log = slurp_file($node->logfile, $offset);
like($log,
	qr/WARNING:  could not preload models of database "nowhere": it does not exist/,
	'a missing database is told');
like($log,
	qr/WARNING:  could not preload model "absent" of database "postgres": model "absent" does not exist/,
	'and a missing model');
like($log,
	qr/WARNING:  could not preload model "model" of database "bare": extension "llm" is not in that database/,
	'and a missing extension');
unlike($log, qr/(ERROR|FATAL|PANIC):|llm preload.* exited/,
	'nobody has failed');

ok( $node->poll_query_until('postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'llm preload database'",
		'0'),
	'those that load are gone');
is(workers($node, 'llm preload'), '1', 'the one that waits is left');

#
# Crash: the cache is empty, and filled again, once
#
my $bystander = running($node, 'bystander', 'SELECT pg_sleep(600)');
$node->poll_query_until('postgres',
	"SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE application_name = 'bystander'"
);
$offset = -s $node->logfile;
kill 'KILL',
  $node->safe_psql('postgres',
	"SELECT pid FROM pg_stat_activity WHERE application_name = 'bystander'");
finish($bystander);
ok(answered($node), 'the server is back');
wait_for_cached($node, 3, 'after a crash the cache is filled again');
$node->wait_for_log(qr/model "model" of database "bare"/, $offset);
is(() = slurp_file($node->logfile, $offset) =~ /database "nowhere"/g,
	1, 'the list was read once');

#
# Cancel does not end the one that waits; the server's end does, quietly
#
my $pid = $node->safe_psql('postgres',
	"SELECT pid FROM pg_stat_activity WHERE backend_type = 'llm preload'");
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
is(cached($node), '3', 'the cache is as it was');
is( $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'llm preload'"),
	$pid, 'a cancelled worker stays');

#
# Standby
#
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
# which a standby refuses to sessions
$standby->append_conf('postgresql.conf',
	q{default_transaction_isolation = 'serializable'});
$standby->start;
$ENV{PGOPTIONS} = '-c default_transaction_isolation=repeatable\\ read';
wait_for_cached($standby, 3, 'a standby fills its cache');
is(workers($standby, 'llm preload'), '1', 'and has the worker');
delete $ENV{PGOPTIONS};
$standby->stop;

#
# No process to be had: the other one is PostgreSQL's own
#
$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
$offset = -s $node->logfile;
$node->restart;
$node->wait_for_log(qr/models of database "bare"/, $offset);
like(
	slurp_file($node->logfile, $offset),
	qr/WARNING:  could not preload models of database "postgres": too many background workers\n.*HINT:  Consider increasing max_worker_processes/,
	'without a process for it, it is told what to set');
is(cached($node), '0', 'and the server works without');
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');

#
# Syntax
#
for my $value ('llama', '.llama', 'postgres.', 'postgres.llama,', ',',
	'"postgres.llama', '""."llama"', '"postgres" "llama"',
	'postgres."llama"x')
{
	my ($code, $out, $err) = $node->psql('postgres',
		"ALTER SYSTEM SET llm.preload_models = '$value'");

	like($err,
		qr/invalid value for parameter "llm\.preload_models".*\nDETAIL:  Item \d is not of the form database\.model/,
		"refused: $value");
}
for my $value ('', ' ', 'a.b', ' a . b , "c"".d" . e.f ', 'a.b.c')
{
	my ($code, $out, $err) = $node->psql('postgres',
		"ALTER SYSTEM SET llm.preload_models = '$value'");

	is($code, 0, "accepted: $value");
}

$node->stop;
done_testing();
