# A standby serves through workers of its own, from what is replicated, and
# goes on after its promotion.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Serving;
use Test::More;

my $path = "$ENV{LLM_TEST_DATA}/hf/bert";
my $serving = Serving->start(
	'primary',
	{ small => tiny('llama') },
	'wal_level = replica',
	'max_wal_senders = 5',
	'hot_standby = on');
my $primary = $serving->node;

$primary->append_conf('pg_hba.conf', 'local replication all trust');
$primary->reload;
load($primary, 'encoder', $path);

my $texts = q{ARRAY(SELECT 'text ' || repeat('word ', n % 8) || n
	FROM generate_series(1, 200) AS n)};
my %calls = (
	generate =>
	  q{llm.generate('small', 'once', '{"max_tokens": 200, "ignore_eos": true, "temperature": 1, "seed": 7}')},
	batch =>
	  qq{string_agg(output, '|' ORDER BY "position") FROM llm.generate_batch('small', ($texts)[1:20], '{"max_tokens": 30}')},
	embed_batch =>
	  qq{md5(string_agg(embedding::text, ',' ORDER BY "position")) FROM llm.embed_batch('encoder', $texts)}
);
my %expected = map { $_ => $serving->alone($calls{$_}) } keys %calls;

$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

my $replica =
  bless { node => $standby, expected => $serving->{expected} }, 'Serving';
$replica->watch;
is($replica->value('pg_is_in_recovery()'), 't', 'it is a standby');
ok($replica->has_workers, 'it has a worker');

sub serves
{
	my ($name) = @_;
	my $steps =
	  'sum(steps) > 0 AND sum(tokens) > 0 FROM llm.stat_workers';

	is($replica->value($calls{$_}), $expected{$_}, "$name: $_")
	  for sort keys %calls;
	is($replica->value($steps), 't', "$name: a worker did it");
	$replica->right($name);
	return;
}

serves('standby');

# what comes by replication later
load($primary, 'new', tiny('qwen2'));
$primary->wait_for_catchup($standby);
my $new =
  q{llm.generate('new', 'once', '{"max_tokens": 50, "ignore_eos": true}')};
is($replica->value($new), $serving->alone($new), 'a model that came later');

# a call runs while the standby is promoted
my ($worker) = $replica->workers;
my $client = $replica->client;
my @texts = map {
	$client->start("SELECT $calls{batch}");
	$standby->promote if $_ == 3;
	$client->rest->{rows}[0][0]
} 1 .. 5;
is_deeply(\@texts, [ ($expected{batch}) x 5 ],
	'calls are right while it is promoted');
is($replica->value('pg_is_in_recovery()'), 'f', 'it is promoted');
is(($replica->workers)[0], $worker, 'with the same worker');
serves('after promotion');
is(load($standby, 'newest', tiny('gpt2')), 'newest', 'models can be loaded');
like(
	$replica->value(
		q{llm.completion('newest', 'once', '{"max_tokens": 3}')}),
	qr/"completion_tokens": \d/,
	'and used');
$replica->nothing_left('after promotion');

$_->stop for $standby, $primary;
done_testing();
