"""Texts that tokenizers stumble over, used for every tokenizer golden.

Characters are written as escapes where an editor could change or hide them.
All of them mean the same in every Unicode version since 9.0, so that the
tables of two libraries cannot disagree about them.
"""

TEXTS = [
    # nothing, and white space
    "", " ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", "\n\n\n", " \n", "\n ",
    "\t\t\n \r\n\r\r \n\t", " a", "a ", "  a  ", "   a   b    c     ",
    "a\nb", "a \n b", "a\n\n\nb", "a\r\n\r\nb", "\ta\tb\t", "a  \t \n  b",
    "hello\n", "hello   \n   world", "\n\n  indented\n\n\n    more",
    # U+0085, U+00A0, em space, ideographic space, line and paragraph breaks
    "a\u0085b", "a\u00a0b\u00a0\u00a0c", "a\u2003b \u2003 c", "\u3000全角\u3000",
    "a\u2028b\u2029c", "a\u1680b\u202f c\u205fd",
    # not white space, though they look it
    "a\u200bb\u200b", "a\u180eb \u180e", "a\u200d\u200cb\u2060c", "\ufeffBOM\ufeff",
    "a\x1cb\x1d \x1e\x1fc", "a\x0bb\x0c c",
    # contractions
    "I'm you're he's they've we'll I'd don't", "I'M YOU'RE HE'S THEY'VE WE'LL I'D",
    "'s't're've'm'll'd", "'S'T'RE'VE'M'LL'D", "'Re 'vE 'lL 'D", "'\u017f '\u017fa x'\u017f",
    "'sx 'tx 'rex 'dx", "it\u2019s they\u2019re", "' s ''s '''s", "can''t'", "l'l 'l 'lll",
    # digits and letters
    "1", "12", "123", "1234", "12345678901234567890", " 1 22 333 4444 55555",
    "a1b22c333d4444", "3.14159, -2.5e-10", "1,000,000.00", "2024-02-30T23:59:60Z",
    "0xDEADBEEF 0b1010 1_000", "v1.2.3-rc4+build567", "x2y3z", "12ab34", "A1B2-C3",
    # numbers that are not 0-9
    "x\u00b2 y\u00b3 \u00b9\u2070\u2074", "\u2160\u2161\u216b \u2170\u2171", "\u00bd \u00be \u2153 1\u00bd",
    "\u0661\u0662\u0663\u0664", "\u0967\u0968\u0969\u096a\u096b", "\uff11\uff12\uff13\uff14", "\u2460\u2461\u2462", "\u3007\u4e00\u4e8c",
    "\U0001d7ce\U0001d7cf\U0001d7d0\U0001d7d1",
    # scripts
    "你好，世界。", "中文abc中文123中文", "漢字とかな、カタカナ。ｶﾀｶﾅ", "ーーーラーメン",
    "안녕하세요 세계", "\u1112\u1161\u11ab\u1100\u1173\u11af", "\u1100\u1100\u1161",
    "مرحبا بالعالم، كيف حالك؟", "\u0645\u064e\u0631\u0652\u062d\u064e\u0628\u064b\u0627", "שלום עולם", "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd",
    "नमस्ते दुनिया। क्षत्रिय", "สวัสดีชาวโลก", "ภาษาไทย๑๒๓", "Здравствуй, мир! Ёж",
    "Γειά σου Κόσμε", "Ὀδυσσεύς", "გამარჯობა", "Բարեւ", "Tiếng Việt: Cửa Việt", "ꙮ ⰀⰁ \U00010400\U00010428",
    "İstanbul ıI ﬁ ﬂ ǅ ǈ", "straße STRASSE ẞ", "MixedCASEWordsAndCamelCaseHTTPServer",
    "HELLO World hELLO wORLD", "ÀÉÎÕÜ àéîõü ÀÉÎÕÜaéî", "\u02b0\u02b7 ʼn\u02bcn",
    # composed and decomposed
    "caf\u00e9 cafe\u0301", "\u00c5 A\u030a \u212b", "\u1e69 s\u0323\u0307 s\u0307\u0323 \u1e61\u0323", "e\u0301\u0327\u0323x", "\u0301 \u0301a",
    "\u0958 \u0915\u093c", "\ufb1d \u05d9\u05b4", "\u2126 \u03a9 \u212a K", "\u0344 \u0308\u0301", "\uf900 \u8c48 \U0002f800",
    "\u0f43 \u0f42\u0fb7", "a\u0315\u0300\u05ae\u0062", "\uac00\u11a8 \uac01 \u1100\u1161\u11a8",
    # emoji
    "😀", "😀😃😄 ok 😁", "👨\u200d👩\u200d👧\u200d👦", "👍🏽👍🏿 👩🏻\u200d💻", "🇩🇪🇫🇷🇯🇵 🇺", "❤\ufe0f ☺ ✈\ufe0e", "1\ufe0f\u20e3#\ufe0f\u20e3",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", " 😀 a😀b😀1",
    # ends of the code space
    "\u0000", "a\u0000b", "\u0001\u0002\u0007\u001b[31m\u007f\u0080\u009f", "\ud7ff\ue000", "\ue123\uf8ff\U000f0000",
    "\uffff\ufffe \ufdd0", "\ufffd\ufffd", "\U0010ffff\U0010fffe", "\u0378 \U000e0fff\U00050000", "\U00010000\U0001f9ff",
    # punctuation and symbols
    "!!!???...", "\"quoted\" 'single' «guillemets» „low“", "a-b–c—d…e", "#hash @at $100 50% a&b a*b (c) [d] {e}",
    "~`^|\\/<>=+_", " ! @ # $", "!a ?b .c ,d", "$a +b <c >d ^e |f ~g `h", "。，、；：？！", "€£¥₿ ©®™ ±×÷ ∑∏∫√∞",
    "\U0001d400\U0001d41a \U0001d538 \U0001d504", "¡Hola! ¿Qué?", "a.b,c;d:e!f?g", "....   ....", "a/b//c\n//d/\n", "- [ ] x\n- [x] y\n",
    "।॥ ۔ ،", "\u0f3a\u0f3b \u2983", "x\n\n\n!\n\n?\r\n/",
    # program text and addresses
    "int main(void)\n{\n\treturn 0;\n}\n", "    def f(self, x):\n        return x ** 2  # square\n\n",
    "SELECT * FROM \"T\" WHERE a->>'b' = $1 AND c <> 'it''s';", "if(a&&b||!c){x+=1;y--;}", "https://example.org/a/b?c=1&d=%20#e",
    "user.name+tag@mail.example.com", "C:\\Users\\x\\y.txt /usr/lib/x86_64", "<div class=\"a\">&nbsp;</div><!-- x -->",
    "{\"a\": [1, 2.5, null], \"b\": \"\\u00e9\\n\"}", "$x^{2}_{i}\\frac{1}{2}$", "```c\n/* x */\n```",
    "a        b", "x" + " " * 17 + "y" + "\t" * 5 + "\n" * 6 + "z",
    # long
    "a" * 200, "ab" * 90, "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "the " * 40, "!" * 70, "9" * 65, "\n" * 50, " " * 90, "é" * 40, "哈" * 40, "-=" * 30, "a1" * 40,
    # language as it is
    "The quick brown fox jumps over the lazy dog.",
    "This program is distributed in the hope that it will be useful, but WITHOUT ANY WARRANTY; without even the implied warranty.",
    "unreachable unreachable, Unreachable unreachables", " unreachable", "Ġunreachable Ġ Ċ ĉ", "\u2581a \u2581 \u2581\u2581b", "<0x0A> <0xZZ> <unk>",
]

# For WordPiece: cleaning, case, accents and what is a word.
WORDPIECE_TEXTS = [
    # marks that go, marks that are no Mn (U+0488, U+0903), and Hangul, which NFD takes apart
    "\u00e9\u0301\u0327 \u1e69\u0323 o\u0302\u0301\u0300n", "\u0301\u0302 \u0301x \u0301 x", "a\u0488b \u0915\u0903\u093f \u0b94",
    "\ud55c\uae00 \ud55c\uad6d\uc5b4 \u1112\u1161\u11ab", "\u0e01\u0e33\u0e49\u0e27 \u0e19\u0e49\u0e33", "\u0628\u0650\u0633\u0652\u0645\u0650 \u0671\u0644\u0644\u0651\u0640\u0647\u0650",
    "\u05d1\u05bc\u05b0\u05e8\u05b5\u05d0\u05e9\u05c1", "Vi\u1ec7t \u01a0\u01b0\u1edbc \u0110\u00e0",
    # case: dotted I, sharp s, final sigma, titlecase digraphs, Cherokee, Georgian, circled and Roman
    "\u0130stanbul \u0130\u0130 I\u0307 DI\u015e", "\u1e9e \u00df STRASSE", "\u039f\u0394\u039f\u03a3 \u03a3 \u03a3\u0391\u03a3 \u03c3\u03c2", "\u01c4\u01c5\u01c6 \u01f1\u01f2",
    "\u13a0\u13f5\uab70 \u10d0\u1c90 \u10a0", "\u24b6\u24d0 \u2160\u216f\u2170", "\U00010400 \U0001e900 \uff21\uff41", "\u1fbc \u1fcc\u1f88 \u2126 \u212b \u212a",
    "\ufb00 \ufb03 \ufb05 \u0133 \u0132", "\u0149 \u01f0 \u1e96 \u1f50",
    # what cleaning removes within a word, and what is white space to it
    "so\u00adft hy\u00adphen", "a\ufffdb \ufffd", "a\u0000b\u0001c\u007fd\u0080e\u0085f\u009fg", "a\u200bb\u200cc\u200dd\u2060e\ufefff", "a\u202eb\u202c\u2066c\u2069",
    "a\ue000b\uf8ffc\U000f0000d\U0010fffde", "a\u000bb\u000cc\u001cd\u001de\u001ef\u001fg", "a\tb\nc\rd\u00a0e\u1680f\u2028g\u2029h\u3000i", "a\u0600b\u06dd\u070f\U000110bdc\U000e0041d",
    "\ufdd0a\uffff b\u0378 \U0001fffe",
    # Chinese characters of all the blocks and beside them, and two that NFD replaces
    "a\u4e00b\u9fff\u3400c\u4dbf d", "x\U00020000y\U0002a6dfz", "\U0002a700\U0002b73f\U0002b740\U0002b81f\U0002b920\U0002ceafa", "a\U0002b820b \U0002ceb0 \U00030000c",
    "a\u3007b\u3005c \u3042\u30a2\u3131 \u2f00\u2e80", "a\uf900b\ufaffc\U0002f800d\U0002fa1f", "\u4e2d\u0301\u6587", "\u6211\u7231Python\u7f16\u7a0b3\u5e74",
    # punctuation of Unicode 8.0, symbols that are none, and what later versions added or moved
    "a$b+c<d=e>f^g`h|i~j", "a\u20acb\u00d7c\u00a9d\u00b0e\u2122", "a\u00a7b\u00b6c\u00b7d\u2030e\u203bf", "a\u2e42b\u2e43c\u2e4fd", "a\u166db \u1734 x\u1734 \u1885a \ua9bd", "a\u08e2b\u0890c",
    "a\u1df6b x\u0afa", "_a_ __init__ a-b \u2014 '", "\u05be\u05f3\u061f\u06d4 \u0964 \u0e5a", "\uff01\uff04\uff0b\uff3b\uff5e", "...!? ***",
    # words of 50, 51, 100 and 101 characters, before and after marks are gone
    "a" * 50, "a" * 51, "a" * 99, "a" * 100, "a" * 101, "\u00e9" * 100 + " " + "\u00e9" * 101, "e\u0301" * 100, "e\u0301" * 101, "\ud55c" * 33 + " " + "\ud55c" * 34,
    "x" * 400 + " y", "a" * 100 + "," + "b" * 101 + ".c",
    # pieces: hash marks, U+2581 and what only looks like a token
    "##ing ## # ing##", "\u2581the \u2581 the\u2581 \u2581\u2581x", "[mask] [ MASK ] [MASK", "unaffable unaffableness", "THE The the tHE", "licensed sublicensable re-licensing",
    "[MASK]", "a[MASK]b", " [MASK]  [SEP] ", "[CLS][CLS]", "[UNK] [PAD] [unk]", "[MASK\u0301] [MA\u00adSK]", "<ent>x <ent> <ENT>", "e<ent>\u0301", "\u4e2d[SEP]\u6587",
]

# Whole, cut and nested control and user-defined tokens of the vocabularies.
SPECIAL_TEXTS = [
    "<|im_start|>user\nhello<|im_end|>\n", "<|im_end|>", "<|im_en", "<|im_end|", "|im_end|>", "<<|im_end|>>", " <|im_end|> ",
    "<|im_start|><|im_end|><|im_end|>", "a<|endoftext|>b", "x <|endoftext|>\n\n y", "<|ENDOFTEXT|>", "<|endoftext|",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>", "<s>[INST] a [/INST] b </s>", "<s> a</s>b",
    "</s><s>", "<s", "s>", "<unk>", "<tool_call>x</tool_call>", "a <tool_call> b", "==>>>", "===>>>> ==> =>>>",
    "<|im_start|>é\u0301<|im_end|>e\u0301", "<|im_\u200bend|>", "a\n<|eot_id|>\n\n<|eot_id|>",
]

# For rules that replace characters, and for white space between words.
UNIGRAM_TEXTS = [
    # compatibility characters
    "\ufb03ne \u2460\u2474\u3251 \u33a5 \u2122 \u00aa\u00ba \u1d2c\u1d47", "\uff21\uff42\uff23 \uff11\uff12\uff13 \uff01\uff1f",
    "\uff76\uff9e\uff77\uff9e \uff8a\uff9f \u30ab\u3099 \u304b\u3099\u306f\u309a", "\ufdfa \ufdfb \ufef5\ufef7", "\u3300\u3349\u337f", "\u2025\u2026\u2057 \u203c\u2048",
    "\U0001d4d0\U0001d4d1\U0001d4d2 \U0001d7d8\U0001d7d9", "\u2153\u215e \u00bc\u00bd \u2080\u2081\u2082 x\u207b\u00b9", "\u01c4\u01c5\u01c6 \u0132\u0133 \u0149", "\u2f00\u2f64 \uf905",
    # marks: several on a letter, on a replaced letter, alone, after nothing
    "a\u0306\u0301 \u0103\u0301 \u1eaf", "o\u0302\u0323 o\u0323\u0302 \u1ed9", "\uff21\u0301 \uff41\u0308\u0301", "\u00aa\u0300 \u00b2\u0301", "\u0301\u0301a \u0308 \u0327",
    "u\u0308\u0304\u0301\u0300\u0306x", "\u0438\u0306 \u0439 \u0415\u0308", "\u0915\u093c \u0958 \u0928\u093c \u0915\u094d\u0937\u0301", "\u09a1\u09bc \u09dc", "\u05d0\u05b7 \ufb2e \u05e9\u05c1",
    "\u1112\u1161\u11ab\uae00 \u1112\u1161 \ud55c\u11ab", "\u0e33 \u0eb3 \u0e4d\u0e32", "\u0600\u0661 \u06dd\u0662", "\u0f77 \u0f79 \u0f0c",
    "Tie\u0302\u0301ng Vie\u0323\u0302t", "\u2126\u0301 \u212b\u0301 \u1e9b\u0323", "a" + "\u0301" * 40 + "b",
    # what is dropped or becomes a space, and where
    "\r\n", "\r\na\r\n\nb\r", "a\r\u0301b", "\x01\x02 a\x01b \x7f\x1f", "\x85a\x85 \x85b", "\u200b\u200c\u200d\u200e\u200f a\u200db", "\ufeff\ufeffa\ufffdb\ufffd",
    "\u00ada\u00adb", "\u2028a\u2029", "\u3000a\u3000\u3000b\u3000", "\u00a0\u00a0a\u00a0", "\u2581", "\u2581\u2581a\u2581", "a\u2581 b \u2581c", " \u2581 ", "\u180e\u2060a",
    # sequences of pictographs and flags
    "\u2764\ufe0f\u200d\U0001f525", "\u00a9\ufe0f\u2122\ufe0f1\ufe0f\u20e3", "\U0001f1e6\U0001f1e7\U0001f1e8", "\U0001f44d\U0001f3fd\u200d\u2642\ufe0f a\u200d\u2764",
    # unknown characters in a row, with spaces between, beside known ones
    "\u4e00\u4e01\u4e02\u4e03", "\u4e00 \u4e01 \u4e02", "a\u4e00b\u4e01c", "\u4e00", "\U00020000\U00020001 \U00020002", "\ue000\ue001",
    # one word
    "license" * 30, "\u6f22\u5b57" * 60, "aaaaaaaaaaaaaaab" * 12, "the" * 25 + "\u3000" + "of" * 31, "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35" * 12,
]
