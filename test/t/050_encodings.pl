# Databases that are not UTF-8: texts are converted at the border, so that a
# model sees and gives the same as in any other database.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('encodings');
my %model = (llama => tiny('llama'));
my %cafe = (UTF8 => '\303\251', LATIN1 => '\351', SQL_ASCII => '\303\251');
my %replacement =
  (UTF8 => "\357\277\275", LATIN1 => '?', SQL_ASCII => "\357\277\275");
my %ids;

# Statements are ASCII: other bytes are written as E'\ooo'
sub ask
{
	my ($encoding, $query) = @_;

	return $node->safe_psql("db_\L$encoding",
		"SET client_encoding = SQL_ASCII; $query");
}

for my $encoding (sort keys %cafe)
{
	my $database = "db_\L$encoding";

	$node->safe_psql('postgres',
		"CREATE DATABASE $database ENCODING '$encoding' TEMPLATE template0
			LOCALE 'C'");
	$node->safe_psql($database,
		"CREATE EXTENSION llm; SELECT llm.load_model('tiny', '$model{llama}')"
	);
	my $text = "E'caf$cafe{$encoding}'";

	$ids{$encoding} = ask($encoding, "SELECT llm.tokenize('tiny', $text)");
	is( ask($encoding,
			"SELECT llm.detokenize('tiny', llm.tokenize('tiny', $text)) = $text"
		),
		't',
		"$encoding: there and back");
	is( ask($encoding, <<"SQL"), 't', "$encoding: chat");
SELECT llm.apply_chat_template('tiny',
	jsonb_build_array(jsonb_build_object('role', 'user', 'content', $text)))
	LIKE '%' || $text || '<|im_end|>%'
SQL
	# bias makes the output half a character, which becomes a replacement
	is( ask($encoding, <<"SQL"), $replacement{$encoding}, "$encoding: output");
SELECT llm.generate('tiny', $text, '{"max_tokens": 1, "logit_bias": {"203": 100}}')
SQL
	is( ask($encoding, <<"SQL"), 't', "$encoding: stop text");
SELECT llm.generate('tiny', 'the', jsonb_build_object('max_tokens', 3,
	'logit_bias', '{"105": 100}'::jsonb, 'stop', $text)) = 'aaa'
SQL
}

is($ids{LATIN1}, $ids{UTF8}, 'LATIN1: the same tokens');
is($ids{SQL_ASCII}, $ids{UTF8}, 'SQL_ASCII: the same tokens');

# What an encoding does not have is an error, not another character
my ($ret, $out, $err) = $node->psql('db_latin1', <<'SQL');
SELECT llm.detokenize('tiny', ARRAY[8 + 230, 8 + 151, 8 + 165]);
SQL
like(
	$err,
	qr/has no equivalent in encoding "LATIN1"/,
	'LATIN1: a character that it does not have');
($ret, $out, $err) = $node->psql('db_sql_ascii', <<'SQL');
SELECT llm.tokenize('tiny', E'\351');
SQL
like(
	$err,
	qr/invalid byte sequence for encoding "UTF8"/,
	'SQL_ASCII: bytes that are no UTF-8');
is( $node->safe_psql('db_latin1', "SELECT llm.count_tokens('tiny', 'abc')"),
	'3', 'the next call is right');

$node->stop;
done_testing();
