# What a session keeps does not grow with the number of its calls, whether
# they end well or not.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wire;

my $node = new_server('memory');
my $client = Wire->connect($node);
my $MB = 1024 * 1024;

load($node, 'llama', tiny('llama'));

my $options = q{jsonb_build_object('max_tokens', 3, 'seed', i, 'temperature', 1,
	'top_p', 0.9, 'stop', 'zz')};

# Expressions of i, and how often they are computed
my %calls = (
	'generate' => [
		2000,
		"llm.generate('llama', 'the ' || i, $options)"
	],
	'completion' => [
		1000,
		"llm.completion('llama', 'the ' || i, $options || '{\"logprobs\": 2}')"
	],
	'next_token' => [
		2000,
		"(SELECT token FROM llm.next_token('llama', 'the ' || i, 3) LIMIT 1)"
	],
	'stream, to its end' => [
		1000,
		"(SELECT count(*) FROM llm.generate_stream('llama', 'the ' || i, $options))"
	],
	'stream, left' => [
		2000,
		"(SELECT token FROM llm.generate_stream('llama', 'the ' || i, $options) LIMIT 1)"
	],
	'batch' => [
		300,
		"(SELECT count(*) FROM llm.generate_batch('llama', array_fill('the ' || i, ARRAY[20]), $options))"
	],
	'tokenize and back' => [
		5000,
		"llm.detokenize('llama', llm.tokenize('llama', repeat('the ' || i, 100)))"
	],
	'attention' => [
		500,
		"(SELECT count(*) FROM llm.attention('llama', 'the model ' || i))"
	],
	'attention, averaged and as a matrix' => [
		500,
		"(SELECT max(llm.attention_matrix('llama', 'the ' || i, layer, head)) FROM llm.attention_heads('llama', 'the ' || i))"
	],
	'chat' => [
		2000,
		"llm.apply_chat_template('llama', jsonb_build_array(jsonb_build_object('role', 'user', 'content', 'text ' || i)))"
	],
	'metadata' => [
		100,
		"(SELECT count(*) FROM llm.model_metadata('llama'), generate_series(i, i))"
	],
	'load, and the cache' => [
		20,
		"llm.evict('llama')::text || llm.preload('llama')::text || i"
	]);

sub value
{
	my ($sql) = @_;
	my $result = $client->query("SELECT $sql");

	die "$sql: $result->{error}{M}" if $result->{error};
	return $result->{rows}[0][0];
}

# Bytes of PostgreSQL's own accounts, but for caches of catalogs and what the
# message from the client takes
sub contexts
{
	return value(<<SQL);
sum(total_bytes) FROM pg_backend_memory_contexts
WHERE name NOT IN ('CacheMemoryContext', 'index info', 'MessageContext')
SQL
}

# Bytes that the system gave to the process alone
sub private_memory
{
	my ($kb) =
	  slurp_file("/proc/$client->{pid}/status") =~ /^RssAnon:\s+(\d+) kB/m;

	return 1024 * $kb;
}

sub run
{
	my ($sql) = @_;
	my $result = $client->query($sql);

	die "$sql: $result->{error}{M}" if $result->{error};
	return;
}

# Observed: 0 bytes of contexts, and up to 1 MB that the C library keeps.
sub flat
{
	my ($what, $contexts, $private) = @_;
	my $grown = contexts() - $contexts;

	cmp_ok($grown, '<=', 8192, "$what: memory contexts grow by $grown bytes");
	return unless defined $private;
	$grown = private_memory() - $private;
	cmp_ok($grown, '<', 3 * $MB, "$what: the process grows by $grown bytes");
	return;
}

my $has_proc = -r '/proc/self/status';

for my $name (sort keys %calls)
{
	my ($n, $expression) = @{ $calls{$name} };
	my $cursor =
	  "DECLARE c CURSOR FOR SELECT $expression FROM generate_series(1, $n) AS i";

	# within a statement, which keeps its memory to its end
	run("BEGIN; $cursor");
	run('FETCH ' . $n / 4 . ' FROM c');
	my $contexts = contexts();
	run('FETCH ' . $n / 2 . ' FROM c');
	flat("$name, in one statement", $contexts);
	run('COMMIT');

	# from one statement to the next
	$contexts = contexts();
	my $private = $has_proc ? private_memory() : undef;
	run("BEGIN; $cursor; FETCH ALL FROM c; COMMIT");
	flat($name, $contexts, $private);
}

# Errors, each in a subtransaction
my $errors = <<'SQL';
DO $$
DECLARE
	n int := 0;
BEGIN
	FOR i IN 1 .. 3000 LOOP
		BEGIN
			PERFORM CASE i % 6
				WHEN 0 THEN llm.generate('llama', repeat('the ', 1000), NULL)
				WHEN 1 THEN llm.generate('llama', 'x', '{"top_k": -1}')
				WHEN 2 THEN llm.detokenize('llama', ARRAY[1, 2, NULL])
				WHEN 3 THEN llm.generate('llama', 'x', '{"logit_bias": {"99999": 1}}')
				WHEN 4 THEN (SELECT token || 1 / (i - i) FROM
					llm.generate_stream('llama', 'the', '{"max_tokens": 9}') LIMIT 1)
				ELSE llm.tensor('llama', 'none')::text
			END;
		EXCEPTION WHEN OTHERS THEN
			n := n + 1;
		END;
	END LOOP;
	IF n <> 3000 THEN
		RAISE EXCEPTION '% errors', n;
	END IF;
END $$
SQL

run($errors);
my $contexts = contexts();
my $private = $has_proc ? private_memory() : undef;
run($errors);
flat('errors', $contexts, $private);
is(value('sum(pins) FROM llm.stat_cache'), '0', 'no pin is left');

$node->stop;
done_testing();
