"""The vocabulary that all tiny models share, and its GGUF metadata.

Byte-level BPE: N_SPECIAL control tokens, then the 256 byte tokens in byte
order, then the merges.  The merges are learned here, from a paragraph of
English, by the textbook procedure, so that the models depend on no package
version.
"""

from collections import Counter

TEXT = """
The database keeps the weights of the model, and the model answers from the
memory that it shares. The first token attends to nothing but itself; the last
one can attend to all the others. When the weights are frozen, the same text
gives the same numbers, on the same machine and on another. Then the text is
the index of the answer, and the answer can be stored, sorted and searched.
"""

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>",
           "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>",
           "<|unused|>"]
END_OF_TEXT, IM_START, IM_END, PAD, EOT = range(5)
N_SPECIAL = len(SPECIAL)
N_MERGES = 36
SIZE = N_SPECIAL + 256 + N_MERGES

CHATML = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def byte_characters():
    """GPT-2's table: the printable character that stands for each byte."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {}, 0
    for byte in range(256):
        if byte in kept:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(256 + extra)
            extra += 1
    return table


def learn_merges(text=TEXT, count=N_MERGES):
    """The most frequent pair is joined, again and again; ties by text."""
    table = byte_characters()
    words = Counter()
    for number, word in enumerate(text.split()):
        prefix = " " if number else ""
        words[tuple(table[b] for b in (prefix + word).encode())] += 1
    merges = []
    while len(merges) < count:
        pairs = Counter()
        for word, times in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += times
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        joined = Counter()
        for word, times in words.items():
            out, i = [], 0
            while i < len(word):
                if word[i:i + 2] == best:
                    out.append(best[0] + best[1])
                    i += 2
                else:
                    out.append(word[i])
                    i += 1
            joined[tuple(out)] += times
        words = joined
    return merges


def add_to(writer, pre, eos=IM_END, bos=END_OF_TEXT, chat_template=CHATML):
    """Write tokenizer.* metadata of this vocabulary into a GGUFWriter."""
    merges = learn_merges()
    tokens = (SPECIAL + list(byte_characters().values()) +
              [a + b for a, b in merges])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3] * N_SPECIAL + [1] * (len(tokens) - N_SPECIAL))
    writer.add_token_merges([a + " " + b for a, b in merges])
    writer.add_bos_token_id(bos)
    writer.add_eos_token_id(eos)
    writer.add_pad_token_id(PAD)
    writer.add_add_bos_token(False)
    if chat_template:
        writer.add_chat_template(chat_template)
