# A backend is killed while it loads: PostgreSQL restarts all of them with new
# shared memory, and everything works again.
#
# Locking pg_largeobject stops a loader where we want it, without waiting for
# any time to pass.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('crash');

sub pid_of
{
	my ($application) = @_;

	return $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE application_name = '$application'"
	);
}

sub wait_for_lock
{
	my ($application) = @_;

	return $node->poll_query_until('postgres',
		"SELECT wait_event_type = 'Lock' FROM pg_stat_activity"
		  . " WHERE application_name = '$application'");
}

# A session that holds the lock until the crash ends it
sub close_gate
{
	my $gate = running($node, 'gate',
		'BEGIN; LOCK TABLE pg_largeobject IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)'
	);

	$node->poll_query_until('postgres',
		"SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE application_name = 'gate'"
	);
	return $gate;
}

sub crash
{
	my ($application, @sessions) = @_;

	# When this one ends, the server has noticed
	my $bystander = running($node, 'bystander', 'SELECT pg_sleep(600)');

	$node->poll_query_until('postgres',
		"SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE application_name = 'bystander'"
	);
	kill 'KILL', pid_of($application);
	finish($_) for @sessions, $bystander;
	ok(answered($node), "$application: the server is back");
}

load($node, 'model', tiny('llama'));
my $before = next_tokens($node, 'model');
$node->safe_psql('postgres', "SELECT llm.evict('model')");

# while it loads into the cache, with another session waiting for it
my $gate = close_gate();
my $loader = running($node, 'loader', "SELECT llm.preload('model')");
ok(wait_for_state($node, 'model', 'loading'), 'a backend is loading');
my $waiter = running($node, 'waiter', "SELECT llm.preload('model')");
ok( $node->poll_query_until('postgres',
		"SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE application_name = 'waiter'"
	),
	'another waits for it');
crash('loader', $gate, $loader, $waiter);
like($loader->{err}, qr/server closed the connection/, 'the loader is gone');
is($node->safe_psql('postgres', 'SELECT count(*) FROM llm.stat_cache'),
	'0', 'the cache is empty');
is(next_tokens($node, 'model'), $before, 'the model gives the same result');
is( $node->safe_psql('postgres', 'SELECT state, pins FROM llm.stat_cache'),
	'ready|0', 'and is in the cache');

# while a file is imported
$gate = close_gate();
my $path = tiny('gpt2');
$loader = running($node, 'importer', "SELECT llm.load_model('half', '$path')");
ok(wait_for_lock('importer'), 'a backend is importing');
crash('importer', $gate, $loader);
is($node->safe_psql('postgres', 'SELECT string_agg(name, $$,$$) FROM llm.models'),
	'model', 'nothing is left of the model');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_largeobject_metadata'),
	'1', 'and nothing of its bytes');
is(load($node, 'half', $path), 'half', 'it can be loaded again');

# while pins are held
my $user = running($node, 'user',
	q{SELECT count(llm.generate('model', 'Once', '{"max_tokens": 400, "ignore_eos": true, "temperature": 2}')) FROM generate_series(1, 1000000)}
);
ok( $node->poll_query_until('postgres',
		q{SELECT pins > 0 FROM llm.stat_cache WHERE model = 'model'}),
	'a model is in use');
crash('user', $user);
is(next_tokens($node, 'model'), $before, 'the model gives the same result');
is($node->safe_psql('postgres', "SELECT llm.evict('model')"),
	't', 'no pin is left');

$node->stop;
done_testing();
