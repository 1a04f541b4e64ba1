# Documents that run: Markdown whose SQL is executed and whose outputs are
# compared.
#
# A block "```sql" is executed by psql, all of them in one session, in order.
# The block "```text" that follows it, if any, is what psql prints, without
# footers and spaces at line ends; a block without one must print nothing.  Of
# "```sql volatile" the numbers may differ, and the layout that depends on
# them.  Other blocks are not looked at.

package Document;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IPC::Run;

our @EXPORT = qw(document_read document_run document_same document_updated);

my @PSQL = qw(psql -XAq -v ON_ERROR_STOP=1 -P format=aligned -P footer=off);

sub trimmed
{
	my ($text) = @_;

	$text =~ s/[ \t]+$//mg;
	$text =~ s/\n+\z//;
	return $text eq '' ? '' : "$text\n";
}

# document_read(path): a document; its blocks of SQL have line, sql, volatile,
# expected (undef: not shown) and the range of lines of what is shown.
sub document_read
{
	my ($path) = @_;
	my $document = { path => $path, blocks => [] };
	my ($block, $kind, $first);

	open my $file, '<:raw', $path or die "could not open \"$path\": $!";
	my @lines = <$file>;
	close $file;
	$document->{lines} = \@lines;
	for my $i (0 .. $#lines)
	{
		if (!defined $kind)
		{
			next unless $lines[$i] =~ /^```(.*?)\s*$/;
			($kind, $first) = ($1, $i + 1);
		}
		elsif ($lines[$i] =~ /^```\s*$/)
		{
			my $content = join '', @lines[ $first .. $i - 1 ];

			if ($kind =~ /^sql( volatile)?$/)
			{
				$block = {
					line => $first + 1,
					sql => $content,
					volatile => defined $1
				};
				push @{ $document->{blocks} }, $block;
			}
			elsif ($kind eq 'text')
			{
				die "$path:$first: no SQL before this output"
				  unless $block && !defined $block->{expected};
				$block->{expected} = trimmed($content);
				$block->{shown} = [ $first, $i - 1 ];
			}
			else
			{
				$block = undef;
			}
			$kind = undef;
		}
	}
	die "$path: a block has no end" if defined $kind;
	return $document;
}

# document_run(document, argument of psql...): sets each block's output.  Dies
# where a statement fails.
sub document_run
{
	my ($document, @arguments) = @_;
	my $blocks = $document->{blocks};
	my ($script, $out, $err, $mark) = ('', '', '', '=== end of block');

	$script .= "$_->{sql}\n\\echo '$mark'\n" for @$blocks;
	IPC::Run::run([ @PSQL, @arguments ],
		'<', \$script, '>', \$out, '2>', \$err);
	my @outputs = split /^\Q$mark\E\n/m, $out, -1;

	pop @outputs;
	$blocks->[$_]{output} = trimmed($outputs[$_]) for 0 .. $#outputs;
	die "$document->{path}:$blocks->[@outputs]{line}: $err"
	  if @outputs < @$blocks;
	return;
}

# Words without numbers and layout
sub words
{
	my ($text) = @_;

	$text =~ s/[\d.]+/#/g;
	$text =~ s/[-+|\s]+/ /g;
	return $text;
}

# Does a block print what is shown?
sub document_same
{
	my ($block) = @_;
	my ($output, $expected) = ($block->{output}, $block->{expected} // '');

	return words($output) eq words($expected) if $block->{volatile};
	return $output eq $expected;
}

# The text of the document with the outputs of this run.  Those that are still
# right are kept as they are.
sub document_updated
{
	my ($document) = @_;
	my @lines = @{ $document->{lines} };

	for my $block (reverse @{ $document->{blocks} })
	{
		next if document_same($block);
		if ($block->{shown})
		{
			my ($first, $last) = @{ $block->{shown} };

			splice @lines, $first, $last - $first + 1, $block->{output};
		}
		else
		{
			my $end = $block->{line} - 1 + ($block->{sql} =~ tr/\n//) + 1;

			splice @lines, $end, 0, "\n```text\n$block->{output}```\n";
		}
	}
	return join '', @lines;
}

1;
