# Without shared_preload_libraries everything works in the memory of each
# session, which is told once what to set.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $preloaded = new_server('preloaded');
my $node = new_server('private', "shared_preload_libraries = ''");
my $notice = 'this session loads models into its own memory';

load($_, 'llama', tiny('llama')) for $preloaded, $node;
is(next_tokens($node, 'llama'), next_tokens($preloaded, 'llama'),
	'the same bits as with the shared cache');

my ($code, $out, $err) = $node->psql('postgres', <<'SQL');
SELECT count(*) FROM llm.next_token('llama', 'Once', 3);
SELECT count(*) FROM llm.next_token('llama', 'Once', 4);
SELECT model, state, pins, hits FROM llm.stat_cache;
SELECT llm.evict('llama');
SELECT count(*) FROM llm.stat_cache;
SELECT count(*) FROM llm.next_token('llama', 'Once', 5);
SELECT value FROM llm.system_info() WHERE name = 'cache';
SHOW llm.cache_size;
SQL
is($code, 0, 'the session works');
is($out, "3\n4\nllama|private|0|1\nt\n0\n5\nmemory of this session\n512MB",
	'with a cache of its own');
is(() = $err =~ /$notice/g, 1, 'and is told once');
like($err, qr/HINT:  Add llm to shared_preload_libraries/, 'what to set');
unlike($err, qr/WARNING/, 'nothing else is said');
is($node->safe_psql('postgres', 'SELECT count(*) FROM llm.stat_cache'),
	'0', 'another session has none of it');

# damage is known to the session
($code, $out, $err) = $node->psql('postgres', <<'SQL', on_error_stop => 0);
SELECT lo_put(large_object, 0, 'GGML') FROM llm.models;
SELECT llm.preload('llama');
SELECT state FROM llm.models;
SQL
like($err, qr/has other bytes than were loaded/, 'changed bytes are an error');
like($out, qr/damaged$/, 'and a state');
$node->safe_psql('postgres', "SELECT lo_put(large_object, 0, 'GGUF') FROM llm.models");

# room
load($node, $_, tiny($_)) for qw(gpt2 llama3 llama-yarn);
$node->adjust_conf('postgresql.conf', 'llm.cache_size', "'1MB'");
$node->reload;
($code, $out, $err) = $node->psql('postgres', <<'SQL');
SHOW llm.cache_size;
SELECT count(llm.preload(name)) FROM unnest('{llama,gpt2,llama3,llama-yarn}'::text[]) AS name;
SELECT string_agg(model, ',' ORDER BY model) FROM llm.stat_cache;
SQL
is($out, "1MB\n4\ngpt2,llama-yarn,llama3",
	'the least recently used makes room');
load($node, 'big', smollm2());
($code, $out, $err) = $node->psql('postgres', "SELECT llm.preload('big')");
like($err, qr/no room for model "big".*\n.*\nHINT:  Set llm.cache_size to at least \d+MB/,
	'too large for the cache');

# an error in the middle leaves nothing behind
$node->adjust_conf('postgresql.conf', 'llm.cache_size', "'512MB'");
$node->reload;
($code, $out, $err) = $node->psql('postgres', <<'SQL', on_error_stop => 0);
SET statement_timeout = 60;
SELECT llm.preload('big');
RESET statement_timeout;
SELECT count(*) FROM llm.stat_cache;
SELECT sum(total_bytes) < 50000000 FROM pg_backend_memory_contexts;
SELECT llm.preload('big');
SELECT model FROM llm.stat_cache;
SQL
like($err, qr/canceling statement due to statement timeout/, 'cancelled');
is($out, "0\nt\n\nbig", 'and loaded');

$_->stop for $preloaded, $node;
done_testing();
