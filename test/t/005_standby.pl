# On a standby models can be used and not changed; after promotion both.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_server('primary', 'wal_level = replica',
	'max_wal_senders = 5', 'hot_standby = on');
$primary->append_conf('pg_hba.conf', 'local replication all trust');
$primary->reload;

load($primary, 'model', tiny('llama'));
my $before = next_tokens($primary, 'model');

$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;
is(next_tokens($standby, 'model'), $before,
	'the standby gives the same result');
is($standby->safe_psql('postgres', 'SELECT state FROM llm.models'),
	'ready', 'the model is ready');

my $path = tiny('gpt2');
for my $call (
	"load_model('other', '$path')", "drop_model('model')",
	"rename_model('model', 'other')", "alter_model('model', '{}')",
	"attach_model('model', '$path')", "grant_model('model', 'public')")
{
	my ($name) = $call =~ /^(\w+)/;
	my ($code, $out, $err) =
	  $standby->psql('postgres', "SELECT llm.$call");

	like($err,
		qr/ERROR:  cannot execute llm\.$name\(\) in a read-only transaction/,
		"$name is refused");
}
is($standby->safe_psql('postgres', "SELECT llm.evict('model')"),
	't', 'its cache can be managed');

# what comes by replication can be used
load($primary, 'other', $path);
$primary->wait_for_catchup($standby);
is(next_tokens($standby, 'other'), next_tokens($primary, 'other'),
	'a model that was loaded on the primary');
$primary->safe_psql('postgres', "SELECT llm.drop_model('other')");
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', 'SELECT name FROM llm.models'),
	'model', 'and dropped there');

$standby->promote;
is(load($standby, 'new', $path), 'new', 'after promotion models load');
is(next_tokens($standby, 'model'), $before, 'and work');

$_->stop for $standby, $primary;
done_testing();
