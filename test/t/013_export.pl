# A folder that was loaded and exported again, read by other software: PyPI's
# gguf finds the tensors of the safetensors file in it.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'LLM_MINILM is not set' unless $ENV{LLM_MINILM};
plan skip_all => 'PyPI\'s gguf is not installed (scripts/fetch-gguf says why)'
  unless $ENV{LLM_PYTHON_GGUF};

my $node = new_server('export');
my $file = PostgreSQL::Test::Utils::tempdir() . '/minilm.gguf';

load($node, 'minilm', $ENV{LLM_MINILM});
ok( $node->safe_psql('postgres',
		"SELECT llm.export_model('minilm', '$file')") > 90_000_000,
	'the file has the weights in it');

local $ENV{PYTHONPATH} = $ENV{LLM_PYTHON_GGUF};
local $ENV{PYTHONDONTWRITEBYTECODE} = 1;
my ($out, $err);
my $ok = IPC::Run::run(
	[
		'python3', "$FindBin::RealBin/../reference/check_export.py",
		$file, $ENV{LLM_MINILM}
	],
	'>' => \$out,
	'2>' => \$err);

ok($ok, 'gguf reads it') or diag($err);
is($out, "101 tensors equal\n", 'and has the same tensors');
$node->stop;
done_testing();
