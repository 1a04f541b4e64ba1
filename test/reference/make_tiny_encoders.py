"""Tiny random models as Hugging Face folders, with results of `transformers`.

    python make_tiny_encoders.py [name ...]

Writes ../data/hf/<name>/ (config.json, safetensors, tokenizer.json and the
files of sentence-transformers) and ../data/hf-<name>.json: token ids, hidden
states, attention weights, embeddings, scores and logits of a few texts.
README.md here describes both.

`transformers` computes in float32 with eager attention, and again in float64
("float64_difference" is the largest distance).  Embeddings are those of
sentence-transformers, which opens the folder itself.
"""

import copy
import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import sentence_transformers
import torch
import transformers
from safetensors.torch import save_file

import tiny_tokenizers

DATA = Path(__file__).resolve().parent.parent / "data"
LARGEST_DIFFERENCE = 4e-5
LONG = 60                  # tokens of the text of one repeated word

PLAIN = ["", "model",
         "The database keeps the weights. Then the text is the index of the "
         "answer, and it can be stored!",
         None,             # one word, LONG times: see texts_of()
         "\u00dcn\u00efcode na\u00efve \u2014 \u6570\u636e\u5e93 \ufb01ne "
         "\u00bd\u202f\U0001f600 Cafe\u0301 Caf\u00e9 "
         "\u043c\u043e\u0434\u0435\u043b\u044c",
         "the first token\nattends  to it (x=3)"]
INSIDE = 5                 # the text whose attention weights are kept
INSIDE_PAIR = 2

PAIRS = [("", "the answer"), ("model", "?"), ("model", "memory"),
         ("Where are the weights?", "The database keeps the weights of the "
          "model. The first token attends to nothing but itself."),
         ("memory " * 12, "answer " * 10),
         ("Caf\u00e9 \u2014 \u6570\u636e\u5e93?", "Na\u00efve \U0001f600 "
          "donn\u00e9es, the index")]

WIDTH = 32


def bert_sizes(layers=2, **options):
    return dict(hidden_size=WIDTH, intermediate_size=32,
                num_hidden_layers=layers, num_attention_heads=2, **options)


def decoder_sizes(layers=2, **options):
    return {**dict(hidden_size=WIDTH, intermediate_size=40,
                   num_hidden_layers=layers, num_attention_heads=4,
                   num_key_value_heads=2, max_position_embeddings=256,
                   rms_norm_eps=1e-6, tie_word_embeddings=True), **options}


def theta(value, **extra):
    return {"rope_parameters": {"rope_type": "default", "rope_theta": value,
                                **extra}}


def two_thetas(full, sliding):
    return {"rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": full},
        "sliding_attention": {"rope_type": "default", "rope_theta": sliding}}}


BERT_PROMPTS = {"query": "query: ", "passage": "passage: "}
GEMMA_PROMPTS = {"query": "task: search result | query: ",
                 "document": "title: none | text: "}

# name: tokenizer, class, configuration, how the folder is written
#   pooling, dense [(in, out, bias, activation)], normalize, prompts,
#   max_length: files of sentence-transformers
#   dtype: of the weights in the file; shards: number of safetensors files
#   rewrite: change of config.json to the form of older or other writers
MODELS = {
    "bert": dict(
        tokenizer=tiny_tokenizers.word_piece,
        model="BertModel", config=lambda **v: transformers.BertConfig(
            **bert_sizes(max_position_embeddings=96, **v)),
        pooling="mean", normalize=True, prompts=BERT_PROMPTS, max_length=64),
    "bert-cls-dense": dict(
        tokenizer=lambda: tiny_tokenizers.word_piece(lowercase=False),
        model="BertModel", config=lambda **v: transformers.BertConfig(
            **bert_sizes(max_position_embeddings=96, layer_norm_eps=1e-6,
                         hidden_act="gelu_new", **v)),
        pooling="cls", dense=[(WIDTH, 24, True, "Tanh")], shards=2,
        dtype=torch.float16, max_length=96),
    "distilbert": dict(
        tokenizer=tiny_tokenizers.word_piece, dtype=torch.float16,
        model="DistilBertModel", config=lambda **v:
        transformers.DistilBertConfig(
            dim=WIDTH, hidden_dim=32, n_layers=2, n_heads=4,
            max_position_embeddings=96, **v),
        pooling="mean", max_length=96),
    "roberta": dict(
        tokenizer=tiny_tokenizers.roberta, dtype=torch.float16,
        model="RobertaModel", config=lambda **v: transformers.RobertaConfig(
            **bert_sizes(max_position_embeddings=130, type_vocab_size=1,
                         layer_norm_eps=1e-5, **v)),
        pooling="mean", normalize=True, max_length=128),
    "xlm-roberta": dict(
        tokenizer=tiny_tokenizers.unigram,
        model="XLMRobertaModel", config=lambda **v:
        transformers.XLMRobertaConfig(
            **bert_sizes(max_position_embeddings=130, type_vocab_size=1,
                         layer_norm_eps=1e-5, **v)),
        pooling="cls", normalize=True, prompts=BERT_PROMPTS,
        default_prompt="query", max_length=128),
    "nomic-bert": dict(
        tokenizer=tiny_tokenizers.word_piece,
        model="NomicBertModel", config=lambda **v:
        transformers.NomicBertConfig(
            **bert_sizes(max_position_embeddings=512, **theta(1000.0), **v)),
        pooling="mean", max_length=256, prompts={
            "search_query": "search_query: ",
            "search_document": "search_document: "}),
    "modern-bert": dict(
        tokenizer=tiny_tokenizers.modern_bert,
        model="ModernBertModel", config=lambda **v:
        transformers.ModernBertConfig(
            **{**bert_sizes(layers=6, max_position_embeddings=1024,
                            local_attention=8, **v),
               "intermediate_size": 20}),
        pooling="mean", normalize=True, max_length=1024),
    "cross-encoder": dict(
        tokenizer=tiny_tokenizers.word_piece,
        model="BertForSequenceClassification", config=lambda **v:
        transformers.BertConfig(
            **bert_sizes(max_position_embeddings=128, **v), num_labels=1)),
    "cross-roberta": dict(
        tokenizer=tiny_tokenizers.roberta, dtype=torch.float16,
        model="RobertaForSequenceClassification", config=lambda **v:
        transformers.RobertaConfig(
            **bert_sizes(max_position_embeddings=130, type_vocab_size=1,
                         layer_norm_eps=1e-5, **v), num_labels=1)),
    "llama": dict(
        tokenizer=tiny_tokenizers.llama3, dtype=torch.bfloat16,
        model="LlamaForCausalLM", config=lambda **v: transformers.LlamaConfig(
            **decoder_sizes(max_position_embeddings=512, **theta(
                500.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                original_max_position_embeddings=64, rope_type="llama3")),
            **v)),
    "qwen2": dict(
        tokenizer=tiny_tokenizers.qwen,
        model="Qwen2ForCausalLM", config=lambda **v: transformers.Qwen2Config(
            **decoder_sizes(tie_word_embeddings=False, **theta(1000000.0)),
            **v)),
    "qwen3": dict(
        tokenizer=lambda: tiny_tokenizers.qwen(end_of_embedding=True),
        model="Qwen3ForCausalLM", config=lambda **v: transformers.Qwen3Config(
            **decoder_sizes(head_dim=16, **theta(1000000.0)), **v),
        pooling="lasttoken", normalize=True, max_length=128, prompts={
            "query": "Instruct: find the answer\nQuery:", "document": ""}),
    "gpt2": dict(
        tokenizer=tiny_tokenizers.gpt2,
        model="GPT2LMHeadModel", config=lambda **v: transformers.GPT2Config(
            n_positions=128, n_embd=24, n_layer=2, n_head=2, **v)),
    "gemma": dict(
        tokenizer=tiny_tokenizers.gemma,
        model="GemmaForCausalLM", config=lambda **v: transformers.GemmaConfig(
            **decoder_sizes(layers=1, head_dim=16, num_key_value_heads=1,
                            **theta(10000.0)), **v)),
    "gemma2": dict(
        tokenizer=tiny_tokenizers.gemma,
        model="Gemma2ForCausalLM", config=lambda **v:
        transformers.Gemma2Config(
            **decoder_sizes(head_dim=16, num_attention_heads=2,
                            num_key_value_heads=1, **theta(10000.0)),
            query_pre_attn_scalar=24, sliding_window=8,
            attn_logit_softcapping=2.0, final_logit_softcapping=5.0, **v)),
    "gemma3": dict(
        tokenizer=tiny_tokenizers.gemma,
        model="Gemma3ForCausalLM", config=lambda **v:
        transformers.Gemma3TextConfig(
            **decoder_sizes(layers=6, head_dim=8, num_attention_heads=2,
                            num_key_value_heads=1, intermediate_size=32,
                            **two_thetas(1000000.0, 10000.0)),
            query_pre_attn_scalar=8, sliding_window=8, **v)),
    "gemma-embedding": dict(
        tokenizer=lambda: tiny_tokenizers.gemma(end=True),
        model="Gemma3TextModel", config=lambda **v:
        transformers.Gemma3TextConfig(
            **decoder_sizes(layers=6, head_dim=8, num_attention_heads=2,
                            num_key_value_heads=1, intermediate_size=32,
                            **two_thetas(1000000.0, 10000.0)),
            query_pre_attn_scalar=8, sliding_window=8,
            use_bidirectional_attention=True, **v),
        pooling="mean", normalize=True, max_length=256,
        dense=[(WIDTH, 48, False, "Identity"), (48, WIDTH, False, "Identity")],
        prompts=GEMMA_PROMPTS),
}


# -- weights ---------------------------------------------------------------

def scale_of(name, shape):
    """(offset, factor) of a parameter's normal numbers."""
    part = name.rsplit(".", 2)[-2] if "." in name else name
    if name.endswith(".bias"):
        return 0.0, 0.2
    if "norm" in part.lower() or part.startswith("ln_") or part == "emb_ln":
        # gemma stores the distance from one
        return (1.0, 0.2)
    if "position" in part or part == "wpe" or "token_type" in part:
        return 0.0, 0.3
    if part in ("embed_tokens", "wte", "word_embeddings", "tok_embeddings"):
        return 0.0, 0.4
    if part == "lm_head":
        return 0.0, 3 / math.sqrt(shape[1])
    fan_in = shape[0] if part.startswith("c_") else shape[1]
    sharp = ("query", "key", "q_proj", "k_proj", "q_lin", "k_lin", "Wqkv")
    return 0.0, (1.6 if part in sharp else 1.3) / math.sqrt(fan_in)


def fill(module, seed, dtype, minus_one=False):
    """Random weights, representable in dtype."""
    rng = np.random.default_rng(seed)
    for name, parameter in module.named_parameters():
        offset, factor = scale_of(name, parameter.shape)
        if offset and minus_one:
            offset = 0.0
        x = offset + factor * rng.standard_normal(tuple(parameter.shape))
        with torch.no_grad():
            x = torch.from_numpy(x.astype(np.float32)).to(dtype)
            parameter.copy_(x.to(torch.float32))


def build(what, tokenizer, roles, seed):
    def token(role):
        return tokenizer.token_to_id(roles[role]) if role in roles else None

    ids = dict(vocab_size=tokenizer.get_vocab_size(),
               pad_token_id=token("pad_token"))
    if "cls_token" not in roles or what["model"].startswith(("Rob", "XLM")):
        ids |= dict(bos_token_id=token("bos_token"),
                    eos_token_id=token("eos_token"))
    if what["model"] == "ModernBertModel":
        ids |= dict(cls_token_id=token("cls_token"),
                    sep_token_id=token("sep_token"),
                    bos_token_id=token("cls_token"),
                    eos_token_id=token("sep_token"))
    config = what["config"](**ids)
    config._attn_implementation = "eager"
    kind = getattr(transformers, what["model"])
    # encoders without the pooler that sentence-transformers never uses, but
    # for the first, whose files have one as real files do
    try:
        model = kind(config, add_pooling_layer=what is MODELS["bert"])
    except TypeError:
        model = kind(config)
    model.config.architectures = [what["model"]]
    fill(model, seed, what.get("dtype", torch.float32),
         minus_one="gemma" in config.model_type)
    return model.float().eval()


# -- the folder ------------------------------------------------------------

def nomic_tensors(state):
    """The names of the published files, whose q, k and v are one matrix."""
    names = {"self_attn.o_proj": "attn.out_proj", "mlp.up_proj": "mlp.fc11",
             "mlp.gate_proj": "mlp.fc12", "mlp.down_proj": "mlp.fc2",
             "post_attention_layernorm": "norm1",
             "post_mlp_layernorm": "norm2", "embeddings.LayerNorm": "emb_ln"}
    out = {}
    for name, tensor in state.items():
        if name.startswith("layers."):
            name = "encoder." + name
        if ".k_proj" in name or ".v_proj" in name:
            continue
        if ".q_proj" in name:
            at = name.removeprefix("encoder.")
            tensor = torch.cat([state[at.replace("q_proj", p)]
                                for p in ("q_proj", "k_proj", "v_proj")])
            name = name.replace("self_attn.q_proj", "attn.Wqkv")
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        out[name] = tensor
    return out


def nomic_config(config):
    """config.json as the published models have it."""
    return {
        "activation_function": "swiglu", "architectures": ["NomicBertModel"],
        "attn_pdrop": 0.0, "causal": False, "layer_norm_epsilon": 1e-12,
        "max_trained_positions": 512, "mlp_fc1_bias": False,
        "mlp_fc2_bias": False, "model_type": "nomic_bert",
        "n_embd": config["hidden_size"], "n_head": 2,
        "n_inner": config["intermediate_size"], "n_layer": 2,
        "n_positions": 512, "pad_vocab_size_multiple": 1,
        "parallel_block": False, "prenorm": False, "qkv_proj_bias": False,
        "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0,
        "rotary_emb_interleaved": False, "rotary_emb_scale_base": None,
        "rotary_scaling_factor": None, "torch_dtype": "float32",
        "type_vocab_size": 2, "use_rms_norm": False,
        "vocab_size": config["vocab_size"],
        # what transformers' own class reads
        "hidden_size": config["hidden_size"], "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "intermediate_size": config["intermediate_size"],
        "max_position_embeddings": 512}


def older_names(config):
    """The form of transformers 4, in which most published files are."""
    config = dict(config)
    config["torch_dtype"] = config.pop("dtype", "float32")
    config["transformers_version"] = "4.51.3"
    rope = config.pop("rope_parameters", None)
    config.pop("layer_types", None)
    if rope and "full_attention" in rope:
        full = rope["full_attention"]["rope_theta"]
        local = rope["sliding_attention"]["rope_theta"]
        if config["model_type"] == "modernbert":
            config |= dict(global_rope_theta=full, local_rope_theta=local,
                           global_attn_every_n_layers=3)
        else:
            config |= dict(rope_theta=full, rope_local_base_freq=local,
                           sliding_window_pattern=6, rope_scaling=None)
    elif rope:
        rope = dict(rope)
        config["rope_theta"] = rope.pop("rope_theta")
        config["rope_scaling"] = (rope if rope["rope_type"] != "default"
                                  else None)
    return config


OLDER = ("bert", "roberta", "modern-bert", "llama", "qwen3", "gemma",
         "gemma3")


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=True) + "\n")


def write_config(folder, name, model):
    config = model.config.to_dict()
    config["dtype"] = str(MODELS[name].get("dtype", torch.float32)).replace(
        "torch.", "")
    config.pop("_attn_implementation", None)
    if name == "nomic-bert":
        config = nomic_config(config)
    elif name in OLDER:
        config = older_names(config)
    write_json(folder / "config.json", config)


def write_weights(folder, name, model):
    what = MODELS[name]
    state = {k: v.to(what.get("dtype", torch.float32)).contiguous()
             for k, v in model.state_dict().items()
             if not k.endswith(("position_ids", "inv_freq"))}
    if model.config.tie_word_embeddings:
        state.pop("lm_head.weight", None)
    if name == "nomic-bert":
        state = nomic_tensors(state)
    if name == "gpt2":          # as its published file
        state = {k.removeprefix("transformer."): v for k, v in state.items()}
    shards = what.get("shards", 1)
    names = sorted(state)
    index, total = {}, 0
    for s in range(shards):
        file = ("model.safetensors" if shards == 1 else
                f"model-{s + 1:05}-of-{shards:05}.safetensors")
        part = {k: state[k] for k in names[s::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(part, file)
        total += sum(t.numel() * t.element_size() for t in part.values())
    if shards > 1:
        write_json(folder / "model.safetensors.index.json",
                   {"metadata": {"total_size": total}, "weight_map": index})


def write_tokenizer(folder, name, tokenizer, roles, extra):
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {**roles, **extra,
              "model_max_length": MODELS[name].get("max_length", 512)}
    config["added_tokens_decoder"] = {
        str(i): token.__getstate__()
        for i, token in sorted(tokenizer.get_added_tokens_decoder().items())}
    write_json(folder / "tokenizer_config.json", config)
    write_json(folder / "special_tokens_map.json", roles)


def write_modules(folder, name):
    """The files of sentence-transformers."""
    what = MODELS[name]
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    kinds += [(f"{i + 2}_Dense", "Dense")
              for i in range(len(what.get("dense", [])))]
    if what.get("normalize"):
        kinds.append((f"{len(kinds)}_Normalize", "Normalize"))
    write_json(folder / "modules.json", [
        {"idx": i, "name": str(i), "path": path,
         "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)])
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens",
             "weightedmean_tokens", "lasttoken")
    wanted = {"cls": "cls_token", "mean": "mean_tokens"}.get(
        what["pooling"], what["pooling"])
    write_json(folder / "1_Pooling" / "config.json", {
        "word_embedding_dimension": WIDTH,
        **{f"pooling_mode_{mode}": mode == wanted for mode in modes},
        "include_prompt": True})
    write_json(folder / "sentence_bert_config.json", {
        "max_seq_length": what["max_length"], "do_lower_case": False})
    write_json(folder / "config_sentence_transformers.json", {
        "__version__": {"sentence_transformers": "3.0.1",
                        "transformers": "4.41.2", "pytorch": "2.3.0"},
        "prompts": what.get("prompts", {}),
        "default_prompt_name": what.get("default_prompt"),
        "similarity_fn_name": "cosine"})
    if what.get("normalize"):
        (folder / kinds[-1][0]).mkdir(exist_ok=True)
        # an empty folder cannot be kept
        (folder / kinds[-1][0] / "config.json").write_text("{}\n")
    for i, dense in enumerate(what.get("dense", [])):
        write_dense(folder / f"{i + 2}_Dense", dense, 77 + i)


def write_dense(folder, dense, seed):
    n_in, n_out, bias, activation = dense
    linear = torch.nn.Linear(n_in, n_out, bias=bias)
    holder = torch.nn.Module()
    holder.linear = linear
    fill(holder, seed, torch.float32)
    kind = getattr(torch.nn, activation)
    write_json(folder / "config.json", {
        "in_features": n_in, "out_features": n_out, "bias": bias,
        "activation_function": f"{kind.__module__}.{activation}"})
    save_file({k: v.contiguous() for k, v in holder.state_dict().items()},
              folder / "model.safetensors", metadata={"format": "pt"})


def write_folder(name, model, tokenizer, roles, extra):
    folder = DATA / "hf" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_config(folder, name, model)
    write_weights(folder, name, model)
    write_tokenizer(folder, name, tokenizer, roles, extra)
    if "pooling" in MODELS[name]:
        write_modules(folder, name)
    if "CausalLM" in MODELS[name]["model"] or "LMHead" in MODELS[name]["model"]:
        ends = model.config.eos_token_id
        write_json(folder / "generation_config.json", {
            "bos_token_id": model.config.bos_token_id,
            "eos_token_id": [ends], "do_sample": False})
    return folder


# -- results ---------------------------------------------------------------

def numbers(array):
    """Nested lists of decimal text with seven digits."""
    array = np.asarray(array, dtype=np.float64)
    if array.ndim > 1:
        return [numbers(row) for row in array]
    return [float(f"{x:.7g}") for x in np.atleast_1d(array).tolist()]


def run(model, ids, types=None, **options):
    more = {}
    if types is not None and model.config.model_type == "bert":
        more["token_type_ids"] = torch.tensor([types])
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), **more,
                     **({"use_cache": False} if
                        hasattr(model.config, "use_cache") and
                        "num_key_value_heads" in model.config.to_dict()
                        else {}),
                     output_hidden_states=True, **options)


def last_hidden(model, result):
    state = getattr(result, "last_hidden_state", None)
    return (result.hidden_states[-1] if state is None else state)[0]


def kept_rows(n):
    """All rows of a short text; of a longer one the ends and some between."""
    if n <= 8:
        return list(range(n))
    return sorted({0, 1, n // 3, n // 2, n - 2, n - 1})


def texts_of(name, tokenizer):
    """(text, second text or None) of a model."""
    if MODELS[name]["model"].endswith("SequenceClassification"):
        return PAIRS
    word, times = "memory", 1
    while len(tokenizer.encode(" ".join([word] * times))) < LONG:
        times += 1
    return [(" ".join([word] * times) if text is None else text, None)
            for text in PLAIN]


def one(name, model, wide, text, second, encoded):
    """What is kept of one text, and how far float64 is away."""
    ids, types = encoded.ids, encoded.type_ids
    case = {"text": text, "ids": ids}
    if second is not None:
        case |= {"second": second, "types": types}
    if not ids:                 # gpt2, qwen2: nothing to compute
        return case, 0.0
    narrow, exact = run(model, ids, types), run(wide, ids, types)
    hidden = last_hidden(model, narrow)
    worst = float((hidden - last_hidden(wide, exact)).abs().max())
    case["rows"] = kept_rows(len(ids))
    case["hidden"] = numbers(hidden[case["rows"]])
    logits = getattr(narrow, "logits", None)
    if logits is not None:
        worst = max(worst, float((logits - exact.logits).abs().max()))
        if second is not None:
            case["logit"] = numbers(logits[0])[0]
        else:
            case["logits"] = numbers(logits[0, -1])
    return case, worst


def check_tokenizer(folder, cases, tokenizer):
    """AutoTokenizer reads the folder and agrees, where it knows the files."""
    auto = transformers.AutoTokenizer.from_pretrained(folder)
    for case in cases:
        pair = (case["text"],) + ((case["second"],) if "second" in case
                                  else ())
        ids = auto(*pair)["input_ids"]
        if ids != case["ids"]:
            print(f"  {folder.name}: AutoTokenizer differs for {pair}:\n"
                  f"    {ids}\n    {case['ids']}")


def embed(folder, cases, name, tokenizer):
    """Embeddings by sentence-transformers; more cases: prompts, truncation."""
    what = MODELS[name]
    st = sentence_transformers.SentenceTransformer(
        str(folder), device="cpu",
        model_kwargs={"attn_implementation": "eager",
                      "dtype": torch.float32})
    tokenizer.no_truncation()
    for case in cases:
        # as it is, without the default prompt
        case["embedding"] = numbers(st.encode(case["text"], prompt=""))
    text = PLAIN[2]
    for prompt, prefix in what.get("prompts", {}).items():
        case = {"text": text, "prompt": prompt, "prefix": prefix,
                "ids": tokenizer.encode(prefix + text).ids,
                "embedding": numbers(st.encode(text, prompt_name=prompt))}
        cases.append(case)
    if name == "bert":
        text = " ".join([text] * 4)
        full = tokenizer.encode(text).ids
        case = {"text": text, "truncate": True,
                "ids": full[:what["max_length"] - 1] + full[-1:],
                "embedding": numbers(st.encode(text))}
        cases.append(case)
    return st


def check_embeddings(model, cases, st, name):
    """sentence-transformers' modules over our own hidden states."""
    modules = [m for m in st if type(m).__name__ != "Transformer"]
    for case in cases:
        hidden = last_hidden(model, run(model, case["ids"]))[None]
        features = {"token_embeddings": hidden, "attention_mask":
                    torch.ones(1, len(case["ids"]), dtype=torch.long)}
        with torch.no_grad():
            for module in modules:
                features = module(features)
        got = features["sentence_embedding"][0].numpy()
        far = float(np.abs(got - np.array(case["embedding"])).max())
        if far > 2e-5:
            raise SystemExit(f"{name}: embeddings differ by {far}: "
                             f"{case['text']!r}")


def attention(model, cases):
    text = INSIDE_PAIR if "second" in cases[0] else INSIDE
    case = cases[text]
    result = run(model, case["ids"], case.get("types"),
                 output_attentions=True)
    last = len(result.attentions) - 1
    return {"text": text, "layers": {
        str(layer): numbers(result.attentions[layer][0])
        for layer in (0, last)}}


def dump(path, value):
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    path.write_text(text.replace("],[", "],\n[").replace("},{", "},\n{")
                    .replace(",\"", ",\n\"") + "\n")


def make(name):
    what = MODELS[name]
    tokenizer, roles, extra = what["tokenizer"]()
    texts = texts_of(name, tokenizer)
    for seed in range(1, 50):
        model = build(what, tokenizer, roles, seed)
        wide = copy.deepcopy(model).double()
        cases, worst = [], 0.0
        for text, second in texts:
            encoded = (tokenizer.encode(text) if second is None
                       else tokenizer.encode(text, second))
            case, far = one(name, model, wide, text, second, encoded)
            cases.append(case)
            worst = max(worst, far)
        if worst < LARGEST_DIFFERENCE:
            break
    else:
        raise SystemExit(f"{name}: no seed fits ({worst})")
    folder = write_folder(name, model, tokenizer, roles, extra)
    check_tokenizer(folder, cases, tokenizer)
    inside = attention(model, cases)
    if "pooling" in what:
        st = embed(folder, cases, name, tokenizer)
        check_embeddings(model, cases, st, name)
    result = {
        "folder": name, "seed": seed, "normalize": what.get("normalize", False),
        "made_with": f"transformers {transformers.__version__}, "
                     f"sentence-transformers "
                     f"{sentence_transformers.__version__}, "
                     f"torch {torch.__version__.split('+')[0]}",
        "float64_difference": float(f"{worst:.3g}"),
        "texts": cases, "attention": inside}
    dump(DATA / f"hf-{name}.json", result)
    return folder, cases, worst


def describe(name, folder, cases, worst):
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    spread = np.std([row for case in cases for row in case.get("hidden", [])])
    line = (f"{name}: {size} bytes, golden "
            f"{(DATA / f'hf-{name}.json').stat().st_size}, float64 "
            f"{worst:.1e}, hidden std {spread:.2f}")
    vectors = [c["embedding"] for c in cases if "embedding" in c]
    if vectors:
        x = np.array(vectors)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        line += f", cosines {(x @ x.T).min():.2f}.."
    scores = [round(c["logit"], 3) for c in cases if "logit" in c]
    if scores:
        line += f", logits {scores}"
    print(line, flush=True)


def main(names):
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    for name in names or MODELS:
        describe(name, *make(name))


if __name__ == "__main__":
    main(sys.argv[1:])
