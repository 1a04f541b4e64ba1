# The counters of llm.stat_usage over restarts and crashes, and with a file
# that is damaged; the views while calls are with the workers.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('usage', 'llm.max_requests = 1', 'llm.workers = 1');
my $file = $node->data_dir . '/pg_stat/llm_usage.stat';

sub usage
{
	return $node->safe_psql('postgres',
		'SELECT role, model, calls, prompt_tokens, output_tokens, errors, seconds > 0 FROM llm.stat_usage'
	);
}

sub use_model
{
	$node->safe_psql('postgres',
		q{SELECT llm.generate('model', 'Once upon', '{"max_tokens": 5, "ignore_eos": true}')}
	);
}

load($node, 'model', tiny('llama'));
is(usage(), '', 'nothing was used');
use_model();
use_model();
my $counted = usage();
like($counted, qr/^[^|]+\|model\|2\|\d+\|10\|0\|t$/, 'calls are counted');

#
# Restart
#
$node->stop;
ok(-s $file, 'a server that has stopped has left a file');
$node->start;
ok(!-e $file, 'one that runs has none');
is(usage(), $counted, 'counters are kept over a restart');
$node->restart;
is(usage(), $counted, 'and over the next one');
use_model();
like(usage(), qr/\|model\|3\|\d+\|15\|0\|t$/, 'and go on');

#
# Damage: every byte counts, and so does the length
#
sub stopped_with
{
	my ($name, $damage) = @_;

	use_model();
	$node->stop;
	my $bytes = slurp_file($file);

	$damage->(\$bytes);
	open my $out, '>:raw', $file or die "$file: $!";
	print $out $bytes;
	close $out;
	my $offset = -s $node->logfile;

	$node->start;
	is(usage(), '', "$name: counters start from zero");
	like(
		slurp_file($node->logfile, $offset),
		qr/LOG:  ignoring file "pg_stat\/llm_usage\.stat", which is damaged or of another version/,
		"$name: the log says so");
	ok(!-e $file, "$name: the file is gone");
}

stopped_with('empty', sub { ${ $_[0] } = '' });
stopped_with('magic', sub { substr(${ $_[0] }, 0, 1) ^= "\x01" });
stopped_with('version', sub { substr(${ $_[0] }, 4, 1) ^= "\x02" });
stopped_with('server', sub { substr(${ $_[0] }, 8, 1) ^= "\x40" });
stopped_with('count', sub { substr(${ $_[0] }, 12, 4) = "\xff\xff\xff\xff" });
stopped_with('checksum', sub { substr(${ $_[0] }, 16, 1) ^= "\x01" });
stopped_with('last byte', sub { substr(${ $_[0] }, -1, 1) ^= "\x80" });
stopped_with('short', sub { chop ${ $_[0] } });
stopped_with('long', sub { ${ $_[0] } .= 'x' });

#
# Crash: nothing is kept, and nothing old comes back
#
use_model();
$node->restart;
isnt(usage(), '', 'before a crash there are some');
my $victim = running($node, 'victim', 'SELECT pg_sleep(600)');
$node->poll_query_until('postgres',
	"SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE application_name = 'victim'"
);
kill 'KILL',
  $node->safe_psql('postgres',
	"SELECT pid FROM pg_stat_activity WHERE application_name = 'victim'");
finish($victim);
ok(answered($node), 'the server is back');
is(usage(), '', 'after a crash counters start from zero');

#
# Calls in progress.  There is one place: the second session waits for it.
#
sub wait_for
{
	my ($query, $expected, $name) = @_;

	ok($node->poll_query_until('postgres', $query, $expected), $name)
	  or diag $node->safe_psql('postgres', 'SELECT * FROM llm.stat_requests');
}

my $stream = running($node, 'stream', <<'SQL');
BEGIN;
SET LOCAL llm.execution = 'worker';
DECLARE pieces CURSOR FOR SELECT llm._stream('model', 'Once upon', '{"max_tokens": 200, "ignore_eos": true}');
FETCH 1 FROM pieces;
SELECT pg_sleep(600);
SQL
wait_for(
	'SELECT database, role = current_user, model, prompt_tokens > 0, output_tokens > 0, max_tokens, age > interval \'0\' FROM llm.stat_requests',
	'postgres|t|model|t|t|200|t',
	'a call in progress');
my $second = running($node, 'second',
	q{SET llm.execution = 'worker'; SELECT llm.generate('model', 'Once', '{"max_tokens": 1}')});
wait_for(
	q{SELECT application_name, model, prompt_tokens FROM llm.stat_requests JOIN pg_stat_activity USING (pid) WHERE phase = 'waiting for a slot'},
	'second||',
	'and one that waits for a place');
is( $node->safe_psql('postgres',
		q{SELECT value FROM llm._debug_serving() WHERE name IN ('slots', 'waiting')}),
	"1\n1",
	'both are counted');
is( $node->safe_psql('postgres',
		'SELECT w.pid = a.pid, threads > 0, instruction_set <> \'\', model, steps > 0, tokens > 0 FROM llm.stat_workers w, pg_stat_activity a WHERE backend_type LIKE \'llm worker%\''
	),
	't|t|t|model|t|t',
	'the worker');

$node->safe_psql('postgres',
	"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'stream'"
);
finish($stream);
finish($second);
is($second->{err}, '', 'the second call has its turn');
wait_for('SELECT sum(value) FROM llm._debug_serving()',
	'0', 'nothing is held any more');
is( $node->safe_psql('postgres',
		'SELECT calls, errors FROM llm.stat_usage'),
	'2|1',
	'the call whose session was terminated is an error');
is( $node->safe_psql('postgres',
		q{SELECT value FROM llm.system_info() WHERE name LIKE 'workers%' ORDER BY name}),
	"1\n1",
	'the worker still runs');

$node->stop;
done_testing();
