# Sessions that do all kinds of things with workers, for some time.
#
#   soak.pl SOCKET-DIRECTORY PORT SECONDS SESSIONS LOG
#
# Every call is one of a table of calls whose results were computed before, by
# a session alone.  Some are left to end, others are cancelled, terminated,
# disconnected, or are cursors that nobody reads for a while.  Whatever ends
# well must have given the bytes of the table; nothing may be lost; at the end
# nothing may be held, and the workers may not have grown.
#
# All sessions are connections of this one process.  Prints a summary; the exit
# code says whether all was well.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/../t";

use IO::Select;
use Time::HiRes qw(time);
use Wire;

my ($host, $port, $seconds, $n_sessions, $log) = @ARGV;

# The longest that an answer may take, with all that stands in line before
my $LOST = 120;

# A worker may grow by so much after a third of the time, when all has been
# used once: pages of keys and values, scratch, caches.  Observed: 0.
my $GROWTH_MB = 32;

{

	package Address;

	sub host { return $_[0]{host}; }
	sub port { return $_[0]{port}; }
}

my $address = bless { host => $host, port => $port }, 'Address';
my $admin = Wire->connect($address);
my @roles = map { "soak_$_" } 1 .. 3;

srand($ENV{SOAK_SEED} // 1);

#
# The table of calls
#
my @calls;

sub pick
{
	return $_[ rand @_ ];
}

sub literal
{
	my ($text) = @_;

	return "'" . $text =~ s/'/''/gr . "'";
}

sub options
{
	my ($tokens) = @_;
	my @options = ('"max_tokens": ' . int(1 + rand $tokens));

	push @options, '"ignore_eos": true' if rand() < 0.5;
	push @options, '"temperature": 0.8, "seed": ' . int(rand 1e6)
	  if rand() < 0.5;
	push @options, '"top_p": 0.9' if rand() < 0.2;
	push @options, '"repeat_penalty": 1.1' if rand() < 0.2;
	push @options, '"stop": [" the", "."]' if rand() < 0.2;
	return literal('{' . join(', ', @options) . '}');
}

my @shared = ('', 'Answer in one short sentence what is asked. ' x 4,
	'This is a story for children. ' x 3);
my @words = qw(cat river seven green Paris apple number story why how table);

sub prompt
{
	my ($words) = @_;

	return literal(
		pick(@shared) . join ' ', map { pick(@words) } 0 .. rand $words);
}

sub rows
{
	my ($query) = @_;
	my $result = $admin->query($query);

	die "$query: $result->{error}{M}" if $result->{error};
	return text($result);
}

# Rows as one text
sub text
{
	my ($result) = @_;

	return join "\n",
	  map { join '|', map { $_ // 'null' } @$_ } @{ $result->{rows} };
}

sub add_call
{
	my ($query, $cursor) = @_;

	push @calls,
	  { query => $query, expected => rows($query), cursor => $cursor };
	return;
}

sub add_calls
{
	my ($model, $words, $tokens, $n) = @_;

	for (1 .. $n)
	{
		my $arguments =
		  "('$model', " . prompt($words) . ', ' . options($tokens) . ')';

		add_call("SELECT llm.generate$arguments");
		add_call("SELECT c - 'timings' #- '{usage,cached_tokens}' FROM llm.completion$arguments AS c");
		add_call("SELECT token_id, token FROM llm.generate_stream$arguments",
			1);
		next if $_ % 4;
		$arguments = "('$model', ARRAY["
		  . join(', ', map { prompt($words) } 1 .. 5) . '], '
		  . "'{\"max_tokens\": 10}')";
		add_call("SELECT output FROM llm.generate_batch$arguments");
	}
	return;
}

sub add_embeddings
{
	my ($n) = @_;

	for (1 .. $n)
	{
		my $inputs =
		  join ', ', map { prompt(30) } 0 .. rand 40;

		add_call("SELECT embedding FROM llm.embed_batch('encoder',
			ARRAY[$inputs], '{\"truncate\": \"end\"}')");
	}
	return;
}

sub prepare
{
	$admin->query("SET llm.execution = 'backend'");
	add_calls('small', 40, 300, 40);
	add_calls('other', 40, 200, 20);
	add_calls('big', 20, 24, 20);
	add_embeddings(30);
	$admin->query('RESET llm.execution');
	return;
}

#
# Sessions
#
my %ends;
my (@wrong, @lost);
my @sessions;

sub count
{
	my ($what) = @_;

	$ends{$what}++;
	return;
}

# The next call, until the time is over
sub start
{
	my ($session) = @_;
	my $call = pick(@calls);
	my $chance = rand;

	if (time > $session->{until})
	{
		delete($session->{client})->drop if $session->{client};
		return;
	}
	$session->{client} //=
	  Wire->connect($address, 'postgres', user => pick(@roles));
	$session->{call} = $call;
	$session->{started} = time;
	$session->{plan} = 'none';
	if ($call->{cursor} && $chance < 0.4)
	{
		$session->{plan} = 'cursor';
		$session->{stage} = 0;
		$session->{text} = '';
		$session->{client}->start("BEGIN; DECLARE c CURSOR FOR $call->{query}; FETCH 2 FROM c");
		return;
	}
	$session->{plan} = $chance < 0.6 ? 'none' :
	  $chance < 0.85 ? 'cancel' :
	  $chance < 0.93 ? 'terminate' : 'disconnect';
	$session->{act_at} = time + rand() * rand(2)
	  if $session->{plan} ne 'none';
	$session->{client}->start($call->{query});
	return;
}

# What was planned to be done to a call
sub act
{
	my ($session) = @_;
	my $pid = $session->{client}{pid};

	delete $session->{act_at};
	if ($session->{plan} eq 'disconnect')
	{
		count('disconnected');
		delete($session->{client})->drop;
		start($session);
	}
	else
	{
		$admin->value("SELECT pg_$session->{plan}_backend($pid)");
	}
	return;
}

sub judge
{
	my ($session, $text) = @_;

	if ($text eq $session->{call}{expected})
	{
		count('right');
		return;
	}
	count('wrong');
	push @wrong, "$session->{call}{query}\n  gave     $text\n"
	  . "  expected $session->{call}{expected}";
	return;
}

# A cursor is read in three parts, with a pause before each that is longer or
# shorter than llm.stream_idle_timeout; some are left in the middle.
sub next_part
{
	my ($session, $result) = @_;
	my $text = text($result);

	$session->{text} .= ($session->{text} ne '' && $text ne '' ? "\n" : '')
	  . $text;
	if (++$session->{stage} == 3)
	{
		judge($session, $session->{text});
		$session->{stage} = 4;
		$session->{client}->start('COMMIT');
	}
	elsif ($session->{stage} == 5)
	{
		start($session);
	}
	elsif (rand() < 0.2)
	{
		count('cursors left');
		$session->{stage} = 4;
		$session->{client}->start('ROLLBACK');
	}
	else
	{
		$session->{fetch_at} = time + rand(0.6);
	}
	return;
}

sub fetch
{
	my ($session) = @_;

	delete $session->{fetch_at};
	$session->{started} = time;
	$session->{client}
	  ->start('FETCH ' . ($session->{stage} == 1 ? 5 : 'ALL') . ' FROM c');
	return;
}

# How a call may end after what was done to it
my %allowed = (cancel => '57014', terminate => '57P01');

sub ended
{
	my ($session, $result) = @_;
	my $state = $result->{error} ? $result->{error}{C} : '';

	if ($state eq '' && $session->{plan} eq 'cursor')
	{
		next_part($session, $result);
		return;
	}
	delete $session->{client} if ($result->{error}{V} // '') eq 'FATAL';
	if ($state eq '')
	{
		judge($session, text($result));
	}
	elsif ($state eq ($allowed{ $session->{plan} } // ''))
	{
		count($session->{plan} eq 'cancel' ? 'cancelled' : 'terminated');
	}
	else
	{
		count("failed ($state)");
		push @wrong, "$session->{call}{query}\n  $session->{plan}: $state $result->{error}{M}";
		$session->{client}->query('ROLLBACK') if $session->{client};
	}

	# a signal that came too late for the call would hit the next one
	delete($session->{client})->drop
	  if $session->{client}
	  && $allowed{ $session->{plan} }
	  && !$session->{act_at}
	  && $state ne '57014';
	delete $session->{act_at};
	start($session);
	return;
}

# Read what has arrived for a session
sub receive
{
	my ($session) = @_;
	my $client = $session->{client};
	my $result;

	unless (eval { $client->receive; 1 })
	{
		count('connections lost');
		push @wrong, "$session->{call}{query}\n  $session->{plan}: $@";
		delete $session->{client};
		start($session);
		return;
	}
	ended($session, $result) if $result = $client->collect;
	return;
}

# One round: signals and fetches that are due, and what has arrived
sub round
{
	my @busy = grep { $_->{client} } @sessions;
	my %by_socket = map { $_->{client}{socket} => $_ } @busy;
	my $select = IO::Select->new(map { $_->{client}{socket} } @busy);

	receive($by_socket{$_}) for $select->can_read(0.01);
	for my $session (@sessions)
	{
		my $now = time;

		act($session) if $session->{act_at} && $now > $session->{act_at};
		fetch($session) if $session->{fetch_at} && $now > $session->{fetch_at};
		next unless $session->{client} && $now > $session->{started} + $LOST;
		push @lost, "$session->{call}{query}, $session->{plan}";
		delete($session->{client})->drop;
	}
	return;
}

#
# Workers
#
my @memory;

sub sample_memory
{
	my ($at) = @_;
	my %sample = (at => $at);

	for my $pid ($admin->column('SELECT pid FROM llm.stat_workers'))
	{
		open my $status, '<', "/proc/$pid/status" or next;
		my ($kb) = join('', <$status>) =~ /^RssAnon:\s+(\d+)/m;
		close $status;
		$sample{$pid} = $kb / 1024;
	}
	push @memory, \%sample;
	return;
}

# By how many MB did a worker grow after the first third?
sub growth
{
	my @later = grep { $_->{at} > $seconds / 3 } @memory;
	my $most = 0;

	for my $pid (grep { $_ ne 'at' } keys %{ $later[0] })
	{
		my @mb = map { $_->{$pid} // 1e9 } @later;
		my ($first, $last) = @mb[ 0, -1 ];

		printf "worker %d: %.0f MB at first, %.0f MB at the end\n", $pid,
		  $first, $last;
		$most = $last - $first if $last - $first > $most;
	}
	return $most;
}

sub held
{
	return $admin->value(<<'SQL');
SELECT coalesce(string_agg(name || ' ' || value, ', ' ORDER BY name), '') FROM (
	SELECT name, value FROM llm._debug_serving()
	UNION ALL SELECT 'pins of ' || model, pins FROM llm.stat_cache
	UNION ALL SELECT 'requests', count(*) FROM llm.stat_requests) AS held
WHERE value <> 0
SQL
}

# Nothing is held some moments after the last call has ended.
sub still_held
{
	my $until = time + 30;
	my $held;

	while (($held = held()) ne '' && time < $until)
	{
		select undef, undef, undef, 0.1;
	}
	return $held;
}

sub run
{
	my $start = time;
	my $next_sample = 0;

	@sessions = map { { until => $start + $seconds } } 1 .. $n_sessions;
	start($_) for @sessions;
	while (grep { $_->{client} } @sessions)
	{
		my $at = time - $start;

		if ($at > $next_sample)
		{
			sample_memory($at) if $at < $seconds;
			$next_sample += $seconds / 60;
		}
		round();
	}
	return time - $start;
}

sub log_lines
{
	open my $file, '<', $log or die "$log: $!";
	my @lines = grep { /WARNING|PANIC|TRAP|terminated by signal|leak/ } <$file>;
	close $file;
	return @lines;
}

prepare();
printf "%d calls in the table\n", scalar @calls;
my $took = run();
my ($steps, $tokens, $preemptions) = split /\|/,
  rows('SELECT sum(steps), sum(tokens), sum(preemptions) FROM llm.stat_workers');
my $held = still_held();
my @lines = log_lines();
my $growth = growth();

print "$_\n" for splice(@wrong, 0, 5), @lost, @lines;
printf "%d sessions, %.0f s, %d steps, %.0f tokens/s, %d preemptions\n",
  $n_sessions, $took, $steps, $tokens / $took, $preemptions;
print join(', ', map { "$ends{$_} $_" } sort keys %ends), "\n";
printf "%d lost, held at the end: %s; workers grew by %.0f MB\n",
  scalar @lost, $held eq '' ? 'nothing' : $held, $growth;
my $well =
     !grep({ /wrong|failed|lost/ } keys %ends)
  && !@lost
  && $held eq ''
  && !@lines
  && $ends{right}
  && $growth <= $GROWTH_MB;
print $well ? "soak: passed\n" : "soak: failed\n";
exit($well ? 0 : 1);
