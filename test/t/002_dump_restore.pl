# Models in dumps: with their large objects they work in the new database;
# without, they can be given their bytes back.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('dump');
my $directory = PostgreSQL::Test::Utils::tempdir;

$node->safe_psql('postgres', 'CREATE ROLE reader');
load($node, 'llama', tiny('llama'));
load($node, 'gpt2', tiny('gpt2'));
$node->safe_psql('postgres',
	q{SELECT llm.alter_model('gpt2', '{"top_k": 7}');
	  SELECT llm.grant_model('llama', 'reader')});
my $before = next_tokens($node, 'llama');

sub dump_and_restore
{
	my ($database, @options) = @_;
	my $file = "$directory/$database.sql";

	command_ok(
		[
			'pg_dump', @options, '-f', $file, '-d',
			$node->connstr('postgres')
		],
		"$database: dump");
	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0");
	command_ok(
		[
			'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $file, '-d',
			$node->connstr($database)
		],
		"$database: restore");
}

sub models
{
	my ($database) = @_;

	return $node->safe_psql($database,
		'SELECT name, state, options FROM llm.models ORDER BY name');
}

dump_and_restore('whole');
is(models('whole'), models('postgres'), 'the same models');
is( $node->safe_psql('whole', 'SELECT m FROM llm.models m ORDER BY name'),
	$node->safe_psql('postgres', 'SELECT m FROM llm.models m ORDER BY name'),
	'in all columns');
is(next_tokens($node, 'llama', 'whole'), $before, 'the same result');
is( $node->safe_psql('whole',
		"SET ROLE reader; SELECT name FROM llm.models"),
	'llama',
	'the same rights');
is( $node->safe_psql('postgres',
		"SELECT count(*), sum(hits) FROM llm.stat_cache"),
	'1|1',
	'both databases share one image');

dump_and_restore('rows', '--no-blobs');
is(models('rows'), "gpt2|missing|{\"top_k\": 7}\nllama|missing|{}",
	'without large objects models are missing');
my ($code, $out, $err) = $node->psql('rows',
	"SELECT llm.generate('llama', 'Once upon')");
isnt($code, 0, 'a missing model cannot be used');
like($err, qr/model "llama" has no large object/, 'and says so');
like($err, qr/llm\.attach_model/, 'and what to do');

($code, $out, $err) = $node->psql('rows',
	"SET ROLE reader; SELECT llm.generate('llama', 'Once upon')");
like($err, qr/model "llama" does not exist/, 'others learn nothing');

my $path = tiny('llama');
my $wrong = tiny('gpt2');
($code, $out, $err) = $node->psql('rows',
	"SELECT llm.attach_model('llama', '$wrong')");
like($err, qr/these are not the bytes of model "llama"/,
	'other bytes are refused');
$node->safe_psql('rows', "SELECT llm.attach_model('llama', '$path')");
$node->safe_psql('rows',
	"SELECT llm.attach_model('gpt2', lo_import('$wrong'))");
is(models('rows'), "gpt2|ready|{\"top_k\": 7}\nllama|ready|{}",
	'with them models are ready');
is(next_tokens($node, 'llama', 'rows'), $before, 'the same result');
is( $node->safe_psql('rows',
		'SELECT count(*) FROM pg_largeobject_metadata'),
	'2',
	'each has one large object');

# a dump of the extension alone
dump_and_restore('extension', '--extension=llm');
is(models('extension'), "gpt2|missing|{\"top_k\": 7}\nllama|missing|{}",
	'a dump of the extension has the rows');

# without the database that loaded the image
$node->safe_psql('postgres', 'DROP DATABASE whole');
is(next_tokens($node, 'llama'), $before, 'the same result');

$node->stop;
done_testing();
