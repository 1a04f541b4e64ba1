"""Experiments on tiny models, as hooks in `transformers` do them.

    python make_experiment_goldens.py

Writes ../data/experiments.json: for some of the models of make_tiny_models.py
what the next token's log-probabilities and a greedy continuation become when
a head or a neuron is switched off, a state is replaced by that of another
text, or a vector is added; and the states of an encoder.  "options" is what
llm.generate() and others take for it.
"""

import json
import math

import numpy as np
import torch
import transformers

import make_tiny_models as tiny
import tiny_vocabulary

MODELS = ["tiny-llama", "tiny-gpt2", "tiny-qwen3"]
ENCODER = "bert"
GREEDY_TOKENS = 8
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"    # no merge has any of them


def ids_of(text):
    return [tiny_vocabulary.N_SPECIAL + byte for byte in text.encode()]


def parts(model):
    """Blocks, and of a block the projections after heads and neurons."""
    if model.config.model_type == "bert":
        return (model.encoder.layer, lambda b: b.attention.output.dense,
                lambda b: b.output.dense)
    if model.config.model_type == "gpt2":
        return (model.transformer.h, lambda b: b.attn.c_proj,
                lambda b: b.mlp.c_proj)
    return (model.model.layers, lambda b: b.self_attn.o_proj,
            lambda b: b.mlp.down_proj)


def head_width(config):
    return (getattr(config, "head_dim", None) or
            config.hidden_size // config.num_attention_heads)


def hook_residual(blocks, layer, edit):
    """Let edit change the residual after a block; -1: before the first."""
    if layer < 0:
        return blocks[0].register_forward_pre_hook(
            lambda _m, args: (edit(args[0]), *args[1:]))

    def after(_module, _args, out):
        if isinstance(out, tuple):
            return (edit(out[0]), *out[1:])
        return edit(out)

    return blocks[layer].register_forward_hook(after)


def clear(module, first, count):
    def before(_module, args):
        x = args[0].clone()
        x[..., first:first + count] = 0
        return (x, *args[1:])

    return module.register_forward_pre_hook(before)


def replaced(x, position, state):
    x = x.clone()
    x[:, position] = torch.tensor(state, dtype=torch.float32)
    return x


def install(model, options):
    """Hooks that do what the options say."""
    blocks, heads, neurons = parts(model)
    width = head_width(model.config)
    handles = []
    for edit in options.get("ablate", []):
        block = blocks[edit["layer"]]
        if "head" in edit:
            handles.append(clear(heads(block), edit["head"] * width, width))
        else:
            handles.append(clear(neurons(block), edit["neuron"], 1))
    for edit in options.get("patch", []):
        handles.append(hook_residual(
            blocks, edit["layer"], lambda x, e=edit: replaced(
                x, e["position"], e["state"])))
    for edit in options.get("steer", []):
        vector = torch.tensor(edit["vector"], dtype=torch.float32)
        handles.append(hook_residual(
            blocks, edit["layer"],
            lambda x, v=vector, s=edit["scale"]: x + v * s))
    return handles


def residual(model, ids, layer):
    kept = []
    handle = hook_residual(parts(model)[0], layer,
                           lambda x: kept.append(x) or x)
    with torch.no_grad():
        model(torch.tensor([ids]))
    handle.remove()
    return kept[0][0]


def experiments(model, rng, other):
    """Options by name; other: ids of a text that states are taken from."""
    config = model.config
    ff = (config.n_inner if config.model_type == "gpt2"
          else config.intermediate_size)

    def head(layer):
        return {"layer": layer,
                "head": int(rng.integers(config.num_attention_heads))}

    def neuron(layer):
        return {"layer": layer, "neuron": int(rng.integers(ff))}

    def patch(layer, position):
        return {"layer": layer, "position": position,
                "state": tiny.numbers(residual(model, other, layer)
                                      [position])}

    def steer(layer, scale):
        vector = rng.standard_normal(config.hidden_size)
        return {"layer": layer, "vector": tiny.numbers(vector),
                "scale": scale}

    return {
        "a head": {"ablate": [head(0)]},
        "a head of the last layer": {"ablate": [head(1)]},
        "neurons": {"ablate": [neuron(0), neuron(1), neuron(0)]},
        "an embedding": {"patch": [patch(-1, 3)]},
        "a state": {"patch": [patch(0, 5)]},
        "the last state": {"patch": [patch(1, 8)]},
        "a vector": {"steer": [steer(0, 1.5)]},
        "vectors": {"steer": [steer(-1, 0.25), steer(1, -0.75)]},
        "all": {"ablate": [head(0), neuron(1)],
                "patch": [patch(0, 2), patch(0, 4)],
                "steer": [steer(0, 0.5)]},
    }


def greedy(model, ids):
    out, smallest = [], math.inf
    for _ in range(GREEDY_TOKENS):
        best = torch.topk(tiny.run(model, ids + out).logits[0, -1], 2)
        smallest = min(smallest, float(best.values[0] - best.values[1]))
        out.append(int(best.indices[0]))
    return out, smallest


def logprobs(model, ids):
    logits = tiny.run(model, ids).logits[0, -1].double()
    return torch.log_softmax(logits, 0)


def case(model, name):
    """The first random texts whose greedy text is clear and has no end."""
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        text, other = ("".join(rng.choice(list(LETTERS), 9))
                       for _ in range(2))
        options = experiments(model, rng, ids_of(other))[name]
        ids = ids_of(text)
        plain = logprobs(model, ids)
        handles = install(model, options)
        edited = logprobs(model, ids)
        following, gap = greedy(model, ids)
        for handle in handles:
            handle.remove()
        if (gap >= tiny.SMALLEST_GAP and
                min(following) >= tiny_vocabulary.N_SPECIAL and
                float((edited - plain).abs().max()) > 0.1):
            return {"case": name, "text": text, "ids": ids,
                    "options": options, "logprobs": tiny.numbers(edited),
                    "next": following, "smallest_gap": float(f"{gap:.3g}")}
    raise SystemExit(f"{name}: no text fits")


def load(name):
    """The model of the file, which its own golden results show to be it."""
    golden = json.loads((tiny.DATA / f"{name}.json").read_text())
    torch.manual_seed(0)
    model = tiny.build(tiny.MODELS[name][1]())
    tiny.fill(model, golden["seed"])
    prompt = golden["prompts"][0]
    logits = tiny.run(model, prompt["ids"]).logits[0].numpy()
    if np.abs(logits - np.array(prompt["logits"])).max() > 1e-4:
        raise SystemExit(f"{name}: not the model of the file")
    return model


def encoder_cases():
    """States behind the last block of an encoder."""
    model = transformers.AutoModel.from_pretrained(
        tiny.DATA / "hf" / ENCODER, dtype=torch.float32,
        attn_implementation="eager").eval()
    texts = json.loads((tiny.DATA / f"hf-{ENCODER}.json").read_text())
    other, text = sorted((t for t in texts["texts"] if len(t["ids"]) >= 9),
                         key=lambda t: len(t["ids"]))[1::-1]
    last = model.config.num_hidden_layers - 1
    cases = []
    for name, options in experiments(model, np.random.default_rng(1),
                                     other["ids"]).items():
        handles = install(model, options)
        states = residual(model, text["ids"], last)
        for handle in handles:
            handle.remove()
        cases.append({"case": name, "options": options,
                      "states": tiny.numbers(states)})
    return {"model": ENCODER, "text": text["text"], "ids": text["ids"],
            "cases": cases}


def main():
    result = {"made_with": f"transformers {transformers.__version__}, "
                           f"torch {torch.__version__.split('+')[0]}",
              "models": []}
    for name in MODELS:
        model = load(name)
        cases = [case(model, which) for which in
                 experiments(model, np.random.default_rng(0), [8] * 9)]
        result["models"].append({"model": name, "cases": cases})
        print(name, [c["smallest_gap"] for c in cases])
    result["encoder"] = encoder_cases()
    tiny.dump(tiny.DATA / "experiments.json", result)


if __name__ == "__main__":
    main()
