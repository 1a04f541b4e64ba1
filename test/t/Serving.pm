# A server with workers, as the tests of serving see it: sessions in the phases
# of a call, what the ring and the workers hold, and results to compare with.
#
# Nothing here waits for a time to pass: a worker that is stopped (SIGSTOP)
# leaves calls in the queue for as long as a test likes.

package Serving;

use strict;
use warnings FATAL => 'all';

use LlmTest;
use Test::More;
use Time::HiRes qw(time usleep);
use Wire;

our $DATABASE = 'postgres';

# Calls that are right when a worker gives what a session computes by itself
my %checks = (
	small => [ 'the small model says', '{"max_tokens": 60}' ],
	big => [ 'The capital of France is', '{"max_tokens": 12}' ]);

# Serving->start(name, { model => file }, line of configuration...)
sub start
{
	my ($class, $name, $models, @settings) = @_;
	my $node = new_server($name, "llm.execution = 'worker'", @settings);
	my $self = bless { node => $node, expected => {} }, $class;

	load($node, $_, $models->{$_}) for sort keys %$models;
	$self->watch;
	$self->has_workers;
	for my $model (grep { $checks{$_} } sort keys %$models)
	{
		$self->{expected}{$model} = $self->alone(
			"llm.generate('$model', '$checks{$model}[0]', '$checks{$model}[1]')"
		);
	}
	return $self;
}

sub node { return $_[0]{node}; }

# Watch with a new connection, as soon as there can be one.
sub watch
{
	my ($self) = @_;
	my $until = time + $Wire::TIMEOUT;
	my $client;

	until ($client = eval { Wire->connect($self->{node}, $DATABASE) })
	{
		die "no connection: $@" if time > $until;
		usleep(10_000);
	}
	$self->{watch} = $client;
	return;
}

# The server has noticed a crash when it ends all sessions.
sub crashed
{
	my ($self) = @_;

	eval { $self->{watch}->start('SELECT pg_sleep(600)'); };
	return ended($self->{watch}) eq 'closed';
}

sub client
{
	my ($self, %parameters) = @_;

	return Wire->connect($self->{node}, $DATABASE, %parameters);
}

sub value
{
	my ($self, $expression) = @_;

	return $self->{watch}->value("SELECT $expression");
}

# Until the expression has that value (true); false when it never has.
sub wait_for
{
	my ($self, $expression, $wanted, $seconds) = @_;
	my $until = time + ($seconds // $Wire::TIMEOUT);
	my $value;

	$wanted //= 't';
	while (($value = $self->value($expression) // '') ne $wanted)
	{
		if (time > $until)
		{
			diag("$expression: is $value, not $wanted");
			return 0;
		}
		usleep(2_000);
	}
	return 1;
}

# As a session computes it without a worker
sub alone
{
	my ($self, $expression) = @_;

	$self->{watch}->query("SET llm.execution = 'backend'");
	my $value = $self->value($expression);
	$self->{watch}->query('RESET llm.execution');
	return $value;
}

sub workers
{
	my ($self) = @_;

	return $self->{watch}->column(
		'SELECT pid FROM llm.stat_workers WHERE pid IS NOT NULL ORDER BY pid');
}

sub has_workers
{
	my ($self) = @_;

	return $self->wait_for(
		"count(pid) = current_setting('llm.workers')::int FROM llm.stat_workers"
	);
}

# Of what a client does: a condition on its row of llm.stat_requests
sub wait_for_request
{
	my ($self, $client, $condition) = @_;

	return $self->wait_for(
		"EXISTS (SELECT FROM llm.stat_requests WHERE pid = $client->{pid} AND $condition)"
	);
}

# What is held although nothing runs, after giving workers the time that they
# need for a step
sub left
{
	my ($self) = @_;
	my $held = <<'SQL';
coalesce(string_agg(name || ' ' || value, ', ' ORDER BY name), '') FROM (
	SELECT name, value FROM llm._debug_serving()
	UNION ALL SELECT 'pins of ' || model, pins FROM llm.stat_cache
	UNION ALL SELECT 'requests', count(*) FROM llm.stat_requests) AS held
WHERE value <> 0
SQL

	$self->wait_for($held, '', 30);
	return $self->value($held);
}

sub nothing_left
{
	my ($self, $name) = @_;

	is($self->left, '', "$name: nothing is left");
	return;
}

# Do workers give what they should, and hold nothing then?  A client that is
# named must be able to go on.
sub right
{
	my ($self, $name, $client) = @_;

	$self->calls_right($name, $client);
	$self->nothing_left($name);
	return;
}

# The same while others hold something
sub calls_right
{
	my ($self, $name, $client) = @_;
	my %got;

	$client //= $self->client;
	for my $model (sort keys %{ $self->{expected} })
	{
		my $result = $client->query(
			"SELECT llm.generate('$model', '$checks{$model}[0]', '$checks{$model}[1]')"
		);

		$got{$model} =
		  $result->{error} ? $result->{error}{M} : $result->{rows}[0][0];
	}
	is_deeply(\%got, $self->{expected}, "$name: calls are right");
	return;
}

# How a query ended: '' well, 'closed' with the connection, else its SQLSTATE.
# The whole result as well, if the caller wants it.
sub ended
{
	my ($client) = @_;
	my $result = eval { $client->rest };

	die $@ unless $result || $@ =~ /closed the connection/;
	my $end = $result ? $result->{error} ? $result->{error}{C} : '' : 'closed';
	return wantarray ? ($end, $result) : $end;
}

# Send a signal to all workers.
sub signal_workers
{
	my ($self, $signal) = @_;

	$self->{stopped} //= [ $self->workers ];
	kill $signal, @{ $self->{stopped} };
	delete $self->{stopped} unless $signal eq 'STOP';
	return;
}

1;
