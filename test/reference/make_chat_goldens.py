"""Chats rendered by `transformers` from the models' templates.

    python make_chat_goldens.py SmolLM2-135M-Instruct.Q4_1.gguf

Writes ../data/chat.json.  The first template is the one in the given file,
and its cases carry the token ids of the text too.
"""

import json
import sys
from pathlib import Path

import jinja2
import transformers
from gguf import GGUFReader

import tokenizer_recipes
from chat_templates import TEMPLATES

DATA = Path(__file__).resolve().parent.parent / "data"

SYSTEM = ("system", "You answer in one word.")
FIRST = ("user", "What is the capital of France?")
ANSWER = ("assistant", "Paris.")
SECOND = ("user", "And of Italy,\nplease: \"caf\u00e9\" 😀")
CHATS = [
    [FIRST],
    [SYSTEM, FIRST],
    [FIRST, ANSWER, SECOND],
    [SYSTEM, FIRST, ANSWER, SECOND],
    [SYSTEM, FIRST, ANSWER],
    [FIRST, ANSWER, SECOND, ("assistant", "Rome."), ("user", "")],
]
# Only for templates whose treatment of outer white space is their shape.
SPACED = [[("system", SYSTEM[1]), ("user", "  two spaces \n"),
           ("assistant", "\n\nline breaks\n"), ("user", "\tend\t")]]
KEEPS_OR_TRIMS = {"smollm2", "chatml", "qwen2.5", "llama-3", "gemma",
                  "llama-2 with trimmed content"}
# Refused by templates that want users and assistants to alternate.
WRONG = [[ANSWER, FIRST], [FIRST, SECOND], [SYSTEM, ANSWER]]


def messages(chat):
    return [{"role": role, "content": content} for role, content in chat]


def render(tokenizer, template, chat, prompt):
    """The text, or what the template complains about."""
    case = {"messages": messages(chat), "add_generation_prompt": prompt}
    try:
        case["text"] = tokenizer.apply_chat_template(
            messages(chat), chat_template=template, tokenize=False,
            add_generation_prompt=prompt)
    except jinja2.TemplateError as error:
        case["error"] = str(error)
    return case


def cases_of(tokenizer, name, template):
    chats = list(CHATS)
    if name in KEEPS_OR_TRIMS:
        chats += SPACED
    if "raise_exception" in template:
        chats += WRONG
    for chat in chats:
        for prompt in (True, False):
            yield render(tokenizer, template, chat, prompt)


def plain_tokenizer(bos, eos):
    """Any tokenizer: only its texts of BOS and EOS are used."""
    inner = tokenizer_recipes.build(
        tokenizer_recipes.Vocabulary(DATA / "tok-gpt2.gguf"), False)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token=bos or None, eos_token=eos)


def smollm2(path):
    template = GGUFReader(path).fields["tokenizer.chat_template"].contents()
    vocabulary = tokenizer_recipes.Vocabulary(path)
    inner = tokenizer_recipes.build(vocabulary, parse_special=True)
    bos, eos = (vocabulary.tokens[i] for i in (vocabulary.bos, vocabulary.eos))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token=bos, eos_token=eos)
    cases = list(cases_of(tokenizer, "smollm2", template))
    for case in cases:
        case["ids"] = inner.encode(case["text"], add_special_tokens=False).ids
    return {"name": "smollm2", "family": "chatml", "bos": bos, "eos": eos,
            "template": template, "cases": cases}


def main(path):
    result = [smollm2(path)]
    for name, family, bos, eos, template in TEMPLATES:
        cases = list(cases_of(plain_tokenizer(bos, eos), name, template))
        result.append({"name": name, "family": family, "bos": bos, "eos": eos,
                       "template": template, "cases": cases})
    dumped = [json.dumps(entry, ensure_ascii=True, separators=(",", ":"))
              .replace('{"messages"', '\n{"messages"') for entry in result]
    (DATA / "chat.json").write_text("[\n" + ",\n".join(dumped) + "\n]\n")
    for entry in result:
        errors = sum("error" in case for case in entry["cases"])
        print(f"{entry['name']}: {len(entry['cases'])} cases, {errors} refused")
        print("   ", repr(entry["cases"][6]["text"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
