# A client that speaks the protocol itself, to see when each message of the
# server arrives: what libpq in single-row mode sees, without its buffers.

package Wire;

use strict;
use warnings FATAL => 'all';

use IO::Select;
use IO::Socket::UNIX;
use Time::HiRes qw(time);

# An answer that takes longer never comes
our $TIMEOUT = $ENV{PG_TEST_TIMEOUT_DEFAULT} || 180;

# connect(node, database, parameter of the session => value...)
sub connect
{
	my ($class, $node, $database, %more) = @_;
	my $path = $node->host . '/.s.PGSQL.' . $node->port;
	my $socket = IO::Socket::UNIX->new(Peer => $path)
	  or die "could not connect to $path: $!";
	my $self = bless { socket => $socket, buffer => '' }, $class;
	my %startup = (
		user => scalar getpwuid($>),
		database => $database // 'postgres',
		%more);
	my $startup =
	  pack('N (Z*)* x', 196608, map { ($_, $startup{$_}) } sort keys %startup);

	$self->send_bytes(pack('N', 4 + length $startup) . $startup);
	while (1)
	{
		my ($type, $body) = $self->message;

		$self->{pid} = unpack('N', $body) if $type eq 'K';
		die "could not log in: $body" if $type eq 'E';
		last if $type eq 'Z';
	}
	return $self;
}

sub send_bytes
{
	my ($self, $bytes) = @_;
	local $SIG{PIPE} = 'IGNORE';

	while (length $bytes)
	{
		my $n = syswrite($self->{socket}, $bytes);

		die "could not write: $!" unless $n;
		substr($bytes, 0, $n, '');
	}
	return;
}

# Type, body and time of arrival of the next message, if it has arrived.
sub buffered
{
	my ($self) = @_;
	return if length $self->{buffer} < 5;
	my ($type, $size) = unpack('a N', $self->{buffer});

	return if length $self->{buffer} <= $size;
	my $message = substr($self->{buffer}, 0, $size + 1, '');

	return ($type, substr($message, 5), $self->{arrived});
}

# Wait for more.
sub receive
{
	my ($self) = @_;

	die 'the server does not answer'
	  unless IO::Select->new($self->{socket})->can_read($TIMEOUT);
	my $n = sysread($self->{socket}, $self->{buffer}, 65536,
		length $self->{buffer});

	die 'server closed the connection' unless $n;
	$self->{arrived} = time;
	return;
}

# The next message, waiting for it.
sub message
{
	my ($self) = @_;
	my @message;

	$self->receive until @message = $self->buffered;
	return @message;
}

sub start
{
	my ($self, $query) = @_;

	$self->send_bytes('Q' . pack('N Z*', 5 + length $query, $query));
	return;
}

# Has the server sent something that was not read yet?
sub waiting
{
	my ($self) = @_;

	return length $self->{buffer}
	  || IO::Select->new($self->{socket})->can_read(0);
}

# The rest of a query: rows and their arrival times, fields of notices and of an
# error; a fatal one ends the connection.
sub rest
{
	my ($self) = @_;
	my $result;

	$self->receive until $result = $self->collect;
	return $result;
}

# The same without waiting: nothing until all has been received.
sub collect
{
	my ($self) = @_;
	my $result = $self->{result} //= { rows => [], times => [], notices => [] };

	while (my ($type, $body, $at) = $self->buffered)
	{
		if ($type eq 'D')
		{
			push @{ $result->{rows} }, row($body);
			push @{ $result->{times} }, $at;
		}
		elsif ($type eq 'N')
		{
			push @{ $result->{notices} }, fields($body);
		}
		elsif ($type eq 'E')
		{
			$result->{error} = fields($body);
			$result->{error_at} = $at;
			return delete $self->{result} if $result->{error}{V} eq 'FATAL';
		}
		elsif ($type eq 'Z')
		{
			$result->{end} = $at;
			return delete $self->{result};
		}
	}
	return;
}

# Of an error or a notice
sub fields
{
	my ($body) = @_;

	return { map { /^(.)(.*)/s } split(/\0/, $body) };
}

sub row
{
	my ($body) = @_;
	my $columns = unpack('n', $body);
	my $at = 2;
	my @values;

	for (1 .. $columns)
	{
		my $size = unpack('l>', substr($body, $at, 4));

		$at += 4;
		push @values, $size < 0 ? undef : substr($body, $at, $size);
		$at += $size if $size > 0;
	}
	return \@values;
}

sub query
{
	my ($self, $query) = @_;

	$self->start($query);
	return $self->rest;
}

# A column of all rows, or the value of one; an error of the server is one here.
sub column
{
	my ($self, $query) = @_;
	my $result = $self->query($query);

	die "$query: $result->{error}{M}" if $result->{error};
	return map { $_->[0] } @{ $result->{rows} };
}

sub value
{
	my ($self, $query) = @_;

	return ($self->column($query))[0];
}

# Gone without a word, as a client that crashes
sub drop
{
	my ($self) = @_;

	close $self->{socket};
	return;
}

1;
