# The beginning of a prompt that is known is not computed again, within a role
# or a database, as llm.prefix_cache says; calls at the same time wait for what
# another of them computes.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Serving;
use Test::More;

my $PAGE = 16;
my $serving = Serving->start(
	'prefix',
	{ small => tiny('llama') },
	'llm.kv_cache_size = 8MB');
my $node = $serving->node;

$serving->{watch}->query($_)
  for 'CREATE ROLE anna LOGIN', 'CREATE ROLE bert LOGIN',
  'CREATE DATABASE another',
  "SELECT llm.grant_model('small', 'public')",
  <<'SQL';
CREATE FUNCTION instruction(text) RETURNS text IMMUTABLE LANGUAGE sql AS $$
	SELECT $1 || repeat(' You read what stands below.', 14) || ' Row '
$$
SQL

# Completions for rows n; what is known of each is a whole number of pages, and
# never all of a prompt, for its last token must be computed.
my $rows = <<'SQL';
FROM (SELECT n, llm.completion('small', instruction('%s') || n,
		'{"max_tokens": 2, "ignore_eos": true}')->'usage' AS usage,
		llm.count_tokens('small', instruction('%s')) AS shared
	FROM generate_series(%d, %d) AS n OFFSET 0) AS s
SQL

sub usage
{
	my ($client, $word, $first, $last) = @_;
	my $result = $client->query(
		"SELECT n, usage->>'prompt_tokens', usage->>'cached_tokens', shared "
		  . sprintf($rows, $word, $word, $first, $last));

	die $result->{error}{M} if $result->{error};
	return @{ $result->{rows} };
}

# Pages that are full of the instruction; its end may join with what follows
sub known
{
	my ($row) = @_;

	return $PAGE * int(($row->[3] - 1) / $PAGE);
}

sub prefix_cache
{
	my ($mode) = @_;

	$node->safe_psql('postgres',
		"ALTER SYSTEM SET llm.prefix_cache = '$mode'");
	$node->reload;
	$serving->wait_for(
		"setting = '$mode' FROM pg_settings WHERE name = 'llm.prefix_cache'");
	# the worker has read it when it has worked
	$serving->value("llm.generate('small', 'mode $mode')");
	return;
}

my $anna = $serving->client(user => 'anna');
my $bert = $serving->client(user => 'bert');

# One row after the other
my @usage = usage($anna, 'one', 1, 100);
is(scalar @usage, 100, 'a hundred rows');
cmp_ok($usage[0][3], '>', 200, 'with a long instruction');
is($usage[0][2], '0', 'nothing is known at first');
my @wrong = grep {
	my $most = $PAGE * int(($_->[1] - 1) / $PAGE);

	$_->[2] % $PAGE != 0 || $_->[2] < known($_) || $_->[2] > $most
} @usage[ 1 .. $#usage ];
is_deeply(\@wrong, [], 'then all pages of the instruction are');

# The same again: all but the last page
@usage = usage($anna, 'one', 7, 7);
is($usage[0][2], $PAGE * int(($usage[0][1] - 1) / $PAGE),
	'all full pages of the same prompt');

# Who shares
@usage = usage($bert, 'one', 1, 2);
is($usage[0][2], '0', 'role: another role shares nothing');
cmp_ok($usage[1][2], '>=', known($usage[1]), 'role: but with itself');

my $elsewhere = Wire->connect($node, 'another', user => 'anna');
$node->safe_psql('another',
	'CREATE EXTENSION llm;'
	  . "SELECT 1 FROM llm.load_model('small', '" . tiny('llama') . "');"
	  . "SELECT llm.grant_model('small', 'public')");
$node->safe_psql('another', <<'SQL');
CREATE FUNCTION instruction(text) RETURNS text IMMUTABLE LANGUAGE sql AS $$
	SELECT $1 || repeat(' You read what stands below.', 14) || ' Row '
$$
SQL
@usage = usage($elsewhere, 'one', 1, 1);
is($usage[0][2], '0', 'role: another database shares nothing');

prefix_cache('database');
usage($anna, 'two', 1, 1);
@usage = usage($bert, 'two', 1, 1);
cmp_ok($usage[0][2], '>=', known($usage[0]), 'database: roles share');
@usage = usage($elsewhere, 'two', 1, 1);
is($usage[0][2], '0', 'database: databases do not');

prefix_cache('off');
@usage = usage($anna, 'three', 1, 3);
is_deeply([ map { $_->[2] } @usage ], [ 0, 0, 0 ], 'off: nobody shares');

prefix_cache('role');
@usage = usage($anna, 'three', 1, 2);
is($usage[0][2], '0', 'what was computed while it was off is not kept');
cmp_ok($usage[1][2], '>=', known($usage[1]), 'again role');

# Options that change nothing of the prompt share, experiments do not
my $cached = "->'usage'->>'cached_tokens'";
my $prompt = "instruction('three') || 2";
cmp_ok(
	$anna->value(
		"SELECT llm.completion('small', $prompt, '{\"max_tokens\": 3, \"temperature\": 1, \"seed\": 3, \"top_k\": 5}')$cached"
	),
	'>', 0, 'sampling shares');
is( $anna->value(
		"SELECT llm.completion('small', $prompt, '{\"max_tokens\": 3, \"ablate\": [{\"layer\": 0, \"head\": 1}]}')$cached"
	) // '0',
	'0', 'an experiment does not');

#
# All at once: a page is computed by one, and the others wait for it
#
my $N = 20;
my @clients = map { $serving->client(user => 'anna') } 1 .. $N;

$serving->signal_workers('STOP');
$clients[ $_ - 1 ]->start("SELECT usage->>'prompt_tokens', usage->>'cached_tokens', shared "
	  . sprintf($rows, 'all', 'all', $_, $_))
  for 1 .. $N;
$serving->wait_for(
	"count(*) FROM llm.stat_requests WHERE phase = 'queued'", $N);
my $tokens = 'sum(tokens) FROM llm.stat_workers';
$serving->signal_workers('CONT');
my @all = map { $_->rest->{rows}[0] } @clients;
my ($prompts, $known, $shared) = (0, 0, 0);
for my $row (@all)
{
	$prompts += $row->[0];
	$known += $row->[1];
	$shared += $PAGE * int(($row->[2] - 1) / $PAGE);
}
note("$known of $prompts tokens were known");
# one of them computes the instruction, in pages, and perhaps not all by itself
cmp_ok($known, '>=', $shared * ($N - 1) / $N,
	'twenty at once: the instruction is computed once');
cmp_ok($known, '<', $prompts - $shared / $N, 'but once it is');
$_->drop for @clients;
$serving->right('prefixes');

# Pages without a use make room for others
my $total = $serving->value('kv_pages_total FROM llm.stat_workers');
note("$total pages");
usage($anna, "text $_", 1, 1) for 1 .. 150;
@usage = usage($anna, 'text 150', 1, 1);
cmp_ok($usage[0][2], '>', 0, 'the newest prefix is known');
@usage = usage($anna, 'text 1', 1, 1);
is($usage[0][2], '0', 'the oldest is forgotten');
$serving->right('many prefixes');

$node->stop;
done_testing();
