# The demo model of embedding against results of transformers and
# sentence-transformers in float32 (test/data/minilm-f32.json): token ids and
# vectors; then that batches give the same bytes and keep memory flat.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP;
use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wire;

plan skip_all => 'LLM_MINILM is not set' unless $ENV{LLM_MINILM};

my $ROOM = 256;    # tokens, the model's own limit
my $MB = 1024 * 1024;
my $texts = decode_json(slurp_file("$ENV{LLM_TEST_DATA}/minilm-f32.json"));
my $node = new_server('minilm');
my $client = Wire->connect($node);

load($node, 'minilm', $ENV{LLM_MINILM});
for my $more (
	[ 'q8_0', '{"quantization": "q8_0"}' ],
	[ 'q8_0_8', '{"quantization": "q8_0", "activation_bits": 8}' ],
	[ 'f16', '{"quantization": "f16"}' ])
{
	$node->safe_psql('postgres',
		"SELECT llm.load_model('$more->[0]', '$ENV{LLM_MINILM}', '$more->[1]')"
	);
}

sub value
{
	my ($sql) = @_;
	my $result = $client->query("SELECT $sql");

	die "$sql: $result->{error}{M}" if $result->{error};
	return $result->{rows}[0][0];
}

# The text of a reference as SQL.
sub literal
{
	my ($text) = @_;

	return "repeat('hello ', $text->{repeat})" if $text->{repeat} > 1;
	my $bytes = $text->{text};
	utf8::encode($bytes);
	$bytes =~ s/'/''/g;
	return "'$bytes'";
}

# The smallest cosine of our vectors and those of the reference.
sub smallest_cosine
{
	my ($model) = @_;
	my @sorted = sort { $a <=> $b } map {
		value("llm.cosine_similarity(llm.embed('$model', "
			  . literal($_)
			  . q{, '{"truncate": "end"}'), '}
			  . '{'
			  . join(',', @{ $_->{embedding} })
			  . q[}')])
	} @$texts;

	return $sorted[0];
}

# Ids; of a text that is too long those that stay
my $same = 0;

for my $text (@$texts)
{
	my @expected = @{ $text->{ids} };
	my $ids = value("llm.tokenize('minilm', " . literal($text) . ')');
	my @ids = $ids =~ /(\d+)/g;

	splice @ids, $ROOM - 1, @ids - $ROOM if @ids > $ROOM;
	$same++ if "@ids" eq "@expected";
}
is(scalar @$texts, 7, 'seven texts');
is($same, 7, 'token ids are equal');

for my $bound (
	[ 'minilm', 0.99999 ],    # observed: 1 - 2.4e-12
	[ 'f16', 0.99999 ],       # observed: 1 - 3.3e-7
	[ 'q8_0', 0.999 ],        # observed: 0.99943
	[ 'q8_0_8', 0.997 ])      # observed: 0.99830
{
	my ($model, $least) = @$bound;
	my $cosine = smallest_cosine($model);

	note("$model: smallest cosine $cosine");
	cmp_ok($cosine, '>=', $least, "$model: vectors");
}

# The model's own settings
is(value(q{options->>'max_length' FROM llm.models WHERE name = 'minilm'}),
	$ROOM, 'the limit of sentence-transformers');
is(value(q{array_length(llm.embed('minilm', ''), 1)}),
	384, 'the empty text has a vector');
my $sum = value(
	q{sum(x::float8 * x) FROM unnest(llm.embed('minilm', 'a text')) AS x});
cmp_ok(abs($sum - 1), '<', 1e-6, 'vectors have length 1');

my ($code, $out, $error) = $node->psql('postgres',
	q{SELECT llm.embed('minilm', repeat('hello ', 600))});
like($error, qr/text has 602 tokens, but only 256 fit/, 'a text of 600 words');
is( value(
		q{llm.embed('minilm', repeat('hello ', 600), '{"truncate": "end"}') =
			llm.embed('minilm', repeat('hello ', 254))}),
	't',
	'what is cut at the end does not count');

# One text and many
my $array = 'ARRAY[' . join(',', map { literal($_) } @$texts) . ']';
is( value(<<"SQL"), 0, 'a batch gives the same bytes');
count(*) FROM unnest($array) WITH ORDINALITY AS t(input, n)
JOIN llm.embed_batch('minilm', $array, '{"truncate": "end"}') AS b ON b."position" = n - 1
WHERE embedding IS DISTINCT FROM llm.embed('minilm', input, '{"truncate": "end"}')
SQL
is( value(<<'SQL'), 't', 'what is alike is near');
llm.similarity('minilm', 'The cat sat on the mat.', 'A feline rested on a rug.') >
	llm.similarity('minilm', 'The cat sat on the mat.', 'PostgreSQL is a relational database.') + 0.3
SQL
is( value(<<'SQL'), 'bread', 'a search finds what is meant');
title FROM (VALUES ('bread', 'Mix flour, water, yeast and salt, and put the dough into the oven.'),
	('bicycle', 'Turn it upside down and take the wheel off.'),
	('tax', 'The form is due at the end of May.')) AS docs(title, body)
ORDER BY llm.cosine_similarity(llm.embed('minilm', body), llm.embed('minilm', 'how do I bake?')) DESC LIMIT 1
SQL

# Memory
sub contexts
{
	return value(<<'SQL');
sum(total_bytes) FROM pg_backend_memory_contexts
WHERE name NOT IN ('CacheMemoryContext', 'index info', 'MessageContext')
SQL
}

sub private_memory
{
	my ($kb) =
	  slurp_file("/proc/$client->{pid}/status") =~ /^RssAnon:\s+(\d+) kB/m;

	return 1024 * $kb;
}

sub embed_many
{
	my ($n) = @_;

	return value("count(v) FROM (SELECT llm.embed('q8_0', 'text ' || i)"
		  . " AS v FROM generate_series(1, $n) AS i OFFSET 0) AS t");
}

sub embed_batch
{
	my ($n) = @_;

	return value("count(embedding) FROM llm.embed_batch('minilm',"
		  . " ARRAY(SELECT 'text ' || i FROM generate_series(1, $n) AS i))");
}

my $has_proc = -r '/proc/self/status';

# It takes 9 MB of its own, once
$client->query('SET jit = off');

for my $case (
	[ 'embed', \&embed_many, 500 ],
	[ 'embed_batch', \&embed_batch, 5000 ])
{
	my ($name, $run, $before) = @$case;

	$run->($before);
	my $contexts = contexts();
	my $private = $has_proc ? private_memory() : 0;
	is($run->(10000), 10000, "$name: 10,000 texts");

	# observed: 0 bytes of contexts, and up to 1 MB that the C library keeps
	my $grown = contexts() - $contexts;
	cmp_ok($grown, '<=', 8192, "$name: memory contexts grow by $grown bytes");
	next unless $has_proc;
	$grown = private_memory() - $private;
	cmp_ok($grown, '<', 3 * $MB, "$name: the process grows by $grown bytes");
}

$node->stop;
done_testing();
