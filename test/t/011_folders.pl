# The Hugging Face folder of all-MiniLM-L6-v2: from a directory, from tar
# archives, and back as a GGUF file; folders that are broken; what an import
# takes, and what it leaves behind when it is cancelled.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use File::Copy qw(copy);
use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX qw(mkfifo);
use Test::More;
use Wire;

plan skip_all => 'LLM_MINILM is not set' unless $ENV{LLM_MINILM};

my $MB = 1024 * 1024;
my $minilm = $ENV{LLM_MINILM};
my $directory = PostgreSQL::Test::Utils::tempdir;
my $node = new_server('folders');
my $watch = Wire->connect($node);
my @files = map { substr($_, 1 + length $minilm) }
  grep { -f } glob("$minilm/* $minilm/*/*");

sub sql
{
	my ($query) = @_;

	return $node->safe_psql('postgres', $query);
}

# SQLSTATE and message of a query that must fail
sub error_of
{
	my ($query) = @_;
	my $result = $watch->query($query);

	return 'no error' unless $result->{error};
	return "$result->{error}{C} $result->{error}{M}";
}

sub load_error
{
	my ($path) = @_;

	return error_of("SELECT llm.load_model('broken', '$path')");
}

sub objects
{
	return $watch->query('SELECT count(*) FROM pg_largeobject_metadata')
	  ->{rows}[0][0];
}

# A folder like the real one, of links to its files but those left out
sub folder
{
	my ($name, @without) = @_;
	my %without = map { $_ => 1 } @without;
	my $folder = "$directory/$name";

	mkdir $folder or die "$folder: $!";
	for my $file (grep { !$without{$_} } @files)
	{
		mkdir "$folder/$1" if $file =~ m{^(.*)/};
		symlink "$minilm/$file", "$folder/$file" or die "$file: $!";
	}
	return $folder;
}

sub tar
{
	my ($name, @arguments) = @_;

	system_or_bail('tar', '-cf', "$directory/$name", @arguments);
	return "$directory/$name";
}

# From the directory
is(load($node, 'minilm', $minilm), 'minilm', 'a folder is loaded');
is( sql('SELECT architecture, parameters, quantization, context_length,
		embedding_length, layers, heads, kv_heads, vocabulary, capabilities,
		options FROM llm.models'),
	'bert|22565376|F32|512|384|6|12|12|30522|{embed}|'
	  . '{"pooling": "mean", "normalize": true, "max_length": 256}',
	'it is described');
my $digest = sql('SELECT digest FROM llm.models');

sub is_same
{
	my ($name) = @_;

	is(sql("SELECT digest FROM llm.models WHERE name = '$name'"),
		$digest, "$name: the same bytes");
	sql("SELECT llm.drop_model('$name')");
	return;
}

load($node, 'a folder of links', folder('links'));
is_same('a folder of links');

# From archives, as different programs write them
my $tar = tar('gnu.tar', '--format=gnu', '-C', $minilm, '.');
my ($out, $err);
$node->psql(
	'postgres', <<"SQL", stdout => \$out, stderr => \$err);
\\lo_import '$tar'
SELECT m.large_object <> :LASTOID FROM llm.load_model('a large object', :LASTOID::oid) AS m;
SELECT lo_unlink(:LASTOID);
SQL
is($out =~ s/^lo_import \d+\n//r, "t\n1", 'the archive is not the model');
like(
	$err,
	qr/NOTICE: .* holds the folder and is not needed any more/,
	'a notice says so');
is_same('a large object');
sql("SELECT llm.load_model('a value', pg_read_binary_file('$tar'))");
is_same('a value');
load($node, 'a file', $tar);
is_same('a file');
load($node, 'ustar', tar('ustar.tar', '--format=ustar', '-C', $minilm, '.'));
is_same('ustar');
load($node, 'pax',
	tar('pax.tar', '--format=pax', '--dereference', '-C', $directory,
		'links'));
is_same('pax');

# Back as a file
my $exported = "$directory/minilm.gguf";
sql("SELECT llm.export_model('minilm', '$exported')");
is(substr(slurp_file($exported), 0, 4), 'GGUF', 'a GGUF file is exported');
load($node, 'the exported file', $exported);
is_same('the exported file');

# Quantised; the bytes come back from the folder
sql("SELECT llm.load_model('q8_0', '$minilm', '{\"quantization\": \"q8_0\"}')");
is( sql("SELECT quantization, size / $MB, options->>'quantization'
		FROM llm.models WHERE name = 'q8_0'"),
	'Q8_0|24|q8_0',
	'quantised');
sql(q{SELECT lo_unlink(large_object) FROM llm.models WHERE name = 'q8_0'});
is(sql("SELECT state FROM llm.attach_model('q8_0', '$tar')"),
	'ready', 'an archive gives the bytes back');
sql("SELECT llm.drop_model('q8_0')");

# Folders that are broken
my $objects = objects();
my $weights = 'model.safetensors';
my $broken;

like(
	load_error(folder('no_config', 'config.json')),
	qr/^58P01 .*has no file "config.json"/,
	'no config.json');
isnt(load_error(folder('no_weights', $weights)), 'no error', 'no weights');
isnt(load_error(folder('no_tokenizer', 'tokenizer.json', 'vocab.txt')),
	'no error', 'no tokenizer');
isnt(load_error(folder('no_pooling', '1_Pooling/config.json')),
	'no error', 'no module');

$broken = folder('directory', 'config.json');
mkdir "$broken/config.json";
like(load_error($broken), qr/^42809 .*config.json" is not a regular file/,
	'a directory');
$broken = folder('fifo', $weights);
mkfifo("$broken/$weights", 0600);
like(load_error($broken), qr/^42809 .*$weights" is not a regular file/,
	'a pipe');
$broken = folder('device', 'tokenizer.json');
symlink '/dev/zero', "$broken/tokenizer.json";
like(
	load_error($broken),
	qr/^42809 .*tokenizer.json" is not a regular file/,
	'a device');
$broken = folder('dangling', 'config.json');
symlink "$directory/nothing", "$broken/config.json";
like(load_error($broken), qr/^58P01/, 'a link to nothing');
$broken = folder('circle', 'config.json');
symlink 'config.json', "$broken/config.json";
like(load_error($broken), qr/config.json": Too many levels/, 'a circle');
$broken = folder('unreadable', $weights);
copy("$minilm/$weights", "$broken/$weights");
chmod 0, "$broken/$weights";
like(
	load_error($broken),
	qr/^42501 could not open file ".*$weights": Permission denied/,
	'a file that may not be read');
$broken = folder('short', $weights);
copy("$minilm/$weights", "$broken/$weights");
truncate "$broken/$weights", 50 * $MB;
like(load_error($broken), qr/^22P03/, 'weights that were cut short');

for my $size (0, 511, 4096, 50 * $MB, (-s $tar) - 10240)
{
	copy($tar, "$directory/short.tar");
	truncate "$directory/short.tar", $size;
	like(load_error("$directory/short.tar"),
		qr/^22P03/, "an archive of $size bytes");
}
system_or_bail("gzip -1 < $directory/short.tar > $directory/short.tar.gz");
like(
	load_error("$directory/short.tar.gz"),
	qr/^0A000 file is compressed with gzip/,
	'a compressed archive');

is(objects(), $objects, 'nothing is left behind');
is(sql('SELECT count(*) FROM llm.models'), '1', 'no model either');

# While an import runs: from 8 MB on

sub largest_table
{
	return $watch->query("SELECT pg_relation_size('pg_largeobject')")
	  ->{rows}[0][0];
}

sub start_import
{
	my ($client, $source) = @_;
	my $before = largest_table();

	$client->start("SELECT name FROM llm.load_model('running', $source)");
	until (largest_table() > $before + 8 * $MB)
	{
		die 'the import ended too early' if $client->waiting;
	}
	return;
}

my $object = sql("SELECT lo_import('$tar')");
my %sources = (
	'a folder' => "'$minilm'",
	'an archive' => "$object\::oid");
$objects = objects();

for my $what (sort keys %sources)
{
	my $client = Wire->connect($node);

	start_import($client, $sources{$what});
	$watch->query("SELECT pg_cancel_backend($client->{pid})");
	is($client->rest->{error}{C}, '57014', "$what: cancelled");
	is(objects(), $objects, "$what: nothing is left behind");
	is($client->query('SELECT count(*) FROM llm.models')->{rows}[0][0],
		'1', "$what: the session works");
}

# A file that changes meanwhile, though its bytes do not
my $changing = folder('changing', $weights);
copy("$minilm/$weights", "$changing/$weights");
my $client = Wire->connect($node);
start_import($client, "'$changing'");
utime 1, 1, "$changing/$weights";
my $error = $client->rest->{error};
like(
	"$error->{C} $error->{M}",
	qr/^55006 file ".*$weights" was changed while it was read/,
	'a file that is changed');
is(objects(), $objects, 'nothing is left behind');

# Memory: what the process takes above what it had before
sub private_memory
{
	my ($pid) = @_;
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m;

	return 1024 * $kb;
}

sub most_memory
{
	my ($source) = @_;
	my $client = Wire->connect($node);
	my $most = 0;

	$client->query('SELECT name FROM llm.models');
	my $before = private_memory($client->{pid});
	start_import($client, $source);
	until ($client->waiting)
	{
		my $now = private_memory($client->{pid});
		$most = $now if $now > $most;
	}
	my $result = $client->rest;
	die $result->{error}{M} if $result->{error};
	sql("SELECT llm.drop_model('running')");
	return ($most - $before) / $MB;
}

SKIP:
{
	skip 'no /proc here', scalar keys %sources unless -r '/proc/self/status';

	for my $what (sort keys %sources)
	{
		my $mb = sprintf '%.1f', most_memory($sources{$what});

		# observed: 7.5 and 7.8 MB, most of it for the tokenizer
		cmp_ok($mb, '<', 40, "$what of 87 MB takes $mb MB");
	}
}

$node->stop;
done_testing();
