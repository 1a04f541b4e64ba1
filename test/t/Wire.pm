# A client that speaks the protocol itself, to see when each message of the
# server arrives: what libpq in single-row mode sees, without its buffers.

package Wire;

use strict;
use warnings FATAL => 'all';

use IO::Select;
use IO::Socket::UNIX;
use Time::HiRes qw(time);

sub connect
{
	my ($class, $node, $database) = @_;
	my $path = $node->host . '/.s.PGSQL.' . $node->port;
	my $socket = IO::Socket::UNIX->new(Peer => $path)
	  or die "could not connect to $path: $!";
	my $self = bless { socket => $socket, buffer => '' }, $class;
	my $user = getpwuid($>);
	my $startup = pack('N Z* Z* Z* Z* x', 196608, 'user', $user, 'database',
		$database // 'postgres');

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

	while (length $bytes)
	{
		my $n = syswrite($self->{socket}, $bytes);

		die "could not write: $!" unless $n;
		substr($bytes, 0, $n, '');
	}
	return;
}

# Type, body and time of arrival of the next message.
sub message
{
	my ($self) = @_;

	while (1)
	{
		if (length $self->{buffer} >= 5)
		{
			my ($type, $size) = unpack('a N', $self->{buffer});

			if (length $self->{buffer} > $size)
			{
				my $message = substr($self->{buffer}, 0, $size + 1, '');

				return ($type, substr($message, 5), $self->{arrived});
			}
		}
		my $n =
		  sysread($self->{socket}, $self->{buffer}, 65536,
			length $self->{buffer});
		die 'server closed the connection' unless $n;
		$self->{arrived} = time;
	}
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
	my $result = { rows => [], times => [], notices => [] };

	while (1)
	{
		my ($type, $body, $at) = $self->message;

		if ($type eq 'D')
		{
			push @{ $result->{rows} }, row($body);
			push @{ $result->{times} }, $at;
		}
		elsif ($type eq 'N')
		{
			push @{ $result->{notices} },
			  { map { /^(.)(.*)/s } split(/\0/, $body) };
		}
		elsif ($type eq 'E')
		{
			$result->{error} = { map { /^(.)(.*)/s } split(/\0/, $body) };
			$result->{error_at} = $at;
			return $result if $result->{error}{V} eq 'FATAL';
		}
		elsif ($type eq 'Z')
		{
			$result->{end} = $at;
			return $result;
		}
	}
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

1;
