"""Compares the engine's speed of embedding with its peers' on one folder.

    compare_embedding.py --bench PATH --work DIRECTORY [--rounds N]
        [--words N]... MODEL

MODEL is a Hugging Face folder of a BERT with mean pooling (all-MiniLM-L6-v2).
All engines embed the same texts with one thread, tokenizer included:

    sentence-transformers   PyTorch, F32, batches of 32
    onnxruntime             int8, exported and quantised here; the best of
                            batches of 1, 8 and 32
    llama.cpp               F32 and Q8_0, GGUF files that our importer wrote
    llm                     F32; Q8_0 and Q4_0 with activations of 16 and 8 bits

Each peer is a process of its own that loads once and measures when it is
asked to; ours is started anew each time.  They take turns, each round in the
same order, and the best of all rounds counts, for a shared machine wanders by
tens of per cent within minutes.  What is left is the ratio.

ik_llama.cpp cannot be installed with pip.  Its Q8_0 figure is estimated as
38/28 of llama.cpp's, the ratio that was measured side by side once.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time

WORDS = """the time people water house work night hand world school country
city family group state story point home room money book eye job word business
issue side kind head service friend father power hour game line end member law
car company market child day week month year way thing man woman life part
place case system program question government number area mother result change
morning reason research girl guy moment air teacher force education""".split()
TEXTS = {16: 256, 126: 48}
BATCH = 32
IK_LLAMA = 38 / 28
READY = "vector: "


def texts_of(words):
    """Different texts of so many words, each of which is one token."""
    generator = random.Random(words)
    count = TEXTS.get(words, max(8, 6000 // words))
    return [" ".join(generator.choices(WORDS, k=words)) for _ in range(count)]


class SentenceTransformers:
    def __init__(self, model, work):
        import torch
        from sentence_transformers import SentenceTransformer
        torch.set_num_threads(1)
        self.model = SentenceTransformer(model, device="cpu")

    def embed(self, texts):
        return self.model.encode(texts, batch_size=BATCH,
                                 normalize_embeddings=True,
                                 show_progress_bar=False)


class OnnxRuntime:
    """An int8 model, dynamically quantised, as optimum would make it."""

    def __init__(self, model, work):
        import onnxruntime
        from tokenizers import Tokenizer
        path = os.path.join(work, "minilm-int8.onnx")
        if not os.path.exists(path):
            self.export(model, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(
            os.path.join(model, "tokenizer.json"))
        self.tokenizer.enable_padding()
        self.tokenizer.no_truncation()

    def export(self, model, path):
        import torch
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.quantization.shape_inference import quant_pre_process
        from transformers import AutoModel
        network = AutoModel.from_pretrained(
            model, dtype=torch.float32, attn_implementation="eager").eval()
        # three tensors: one that is passed twice is one input
        example = tuple(torch.full((2, 16), value, dtype=torch.long)
                        for value in (1996, 1, 0))
        names = ["input_ids", "attention_mask", "token_type_ids"]

        class Hidden(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.network = network

            def forward(self, input_ids, attention_mask, token_type_ids):
                return self.network(
                    input_ids=input_ids, attention_mask=attention_mask,
                    token_type_ids=token_type_ids).last_hidden_state

        batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
        torch.onnx.export(
            Hidden(), example, path + ".f32",
            input_names=names, output_names=["hidden"], dynamo=True,
            dynamic_shapes=({0: batch, 1: tokens},) * 3,
            external_data=False)
        quant_pre_process(path + ".f32", path + ".ready",
                          skip_symbolic_shape=True)
        quantize_dynamic(path + ".ready", path + ".new",
                         weight_type=QuantType.QInt8, per_channel=True)
        os.rename(path + ".new", path)

    def run_batches(self, texts, size):
        import numpy
        out = []
        texts = sorted(texts, key=len)
        for first in range(0, len(texts), size):
            encoded = self.tokenizer.encode_batch(texts[first:first + size])
            ids = numpy.array([e.ids for e in encoded], numpy.int64)
            mask = numpy.array([e.attention_mask for e in encoded],
                               numpy.int64)
            hidden, = self.session.run(None, {
                "input_ids": ids, "attention_mask": mask,
                "token_type_ids": numpy.zeros_like(ids)})
            sums = (hidden * mask[:, :, None]).sum(axis=1)
            mean = sums / mask.sum(axis=1, keepdims=True)
            out.append(mean / numpy.linalg.norm(mean, axis=1, keepdims=True))
        return numpy.concatenate(out)

    def seconds(self, texts):
        best = float("inf")
        for size in (1, 8, 32):
            start = time.perf_counter()
            self.run_batches(texts, size)
            best = min(best, time.perf_counter() - start)
        return best

    def embed(self, texts):
        return self.run_batches(texts, BATCH)


class LlamaCpp:
    """The low-level interface: sequences packed into batches of 512."""

    TOKENS = 512
    SEQUENCES = 64

    def __init__(self, model, work):
        import ctypes
        import llama_cpp
        self.c = llama_cpp

        @llama_cpp.llama_log_callback
        def silent(level, text, user_data):
            """llama.cpp tells its whole life otherwise."""

        self.silent = silent
        llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = 0
        self.model = llama_cpp.llama_model_load_from_file(model.encode(),
                                                          params)
        if not self.model:
            sys.exit(f"llama.cpp cannot load {model}")
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.length = llama_cpp.llama_model_n_embd(self.model)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = self.TOKENS
        params.n_seq_max = self.SEQUENCES
        params.n_threads = params.n_threads_batch = 1
        params.embeddings = True
        params.kv_unified = True
        params.pooling_type = llama_cpp.LLAMA_POOLING_TYPE_MEAN
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        if not self.context:
            sys.exit(f"llama.cpp cannot make a context for {model}")
        self.batch = llama_cpp.llama_batch_init(self.TOKENS, 0, 1)
        self.room = (llama_cpp.llama_token * self.TOKENS)()

    def tokens(self, text):
        raw = text.encode()
        n = self.c.llama_tokenize(self.vocab, raw, len(raw), self.room,
                                  self.TOKENS, True, False)
        return self.room[:n]

    def flush(self, group, out):
        import numpy
        batch, n = self.batch, 0
        for sequence, tokens in enumerate(group):
            for position, token in enumerate(tokens):
                batch.token[n] = token
                batch.pos[n] = position
                batch.n_seq_id[n] = 1
                batch.seq_id[n][0] = sequence
                batch.logits[n] = 1
                n += 1
        batch.n_tokens = n
        if self.c.llama_encode(self.context, batch) != 0:
            sys.exit("llama_encode failed")
        for sequence in range(len(group)):
            row = numpy.ctypeslib.as_array(
                self.c.llama_get_embeddings_seq(self.context, sequence),
                shape=(self.length,))
            out.append(row / numpy.linalg.norm(row))

    def embed(self, texts):
        out, group, used = [], [], 0
        for text in texts:
            tokens = self.tokens(text)
            if used + len(tokens) > self.TOKENS or \
                    len(group) == self.SEQUENCES:
                self.flush(group, out)
                group, used = [], 0
            group.append(tokens)
            used += len(tokens)
        self.flush(group, out)
        return out


WORKERS = {"sentence-transformers": SentenceTransformers,
           "onnxruntime": OnnxRuntime, "llama.cpp": LlamaCpp}


def work(kind, model, directory):
    """A peer's process: a line with a number of words in, seconds out."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    engine = WORKERS[kind](model, directory)
    vector = engine.embed(["the people of the city"])[0]
    print(READY + json.dumps([float(x) for x in vector]), flush=True)
    for line in sys.stdin:
        texts = texts_of(int(line))
        engine.embed(texts[:BATCH])
        if hasattr(engine, "seconds"):
            print(engine.seconds(texts), flush=True)
            continue
        start = time.perf_counter()
        engine.embed(texts)
        print(time.perf_counter() - start, flush=True)


class Peer:
    def __init__(self, kind, model, directory, log=None):
        environment = {**os.environ, "OMP_NUM_THREADS": "1",
                       "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM":
                       "false", "RAYON_NUM_THREADS": "1"}
        log = os.path.join(directory, f"{log or kind}.log")
        with open(log, "w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), "--worker", kind,
                 "--work", directory, model], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=errors, text=True,
                env=environment, cwd=directory)     # converters litter it
        while True:             # exporters print to the output
            line = self.process.stdout.readline()
            if not line:
                sys.exit(f"{kind} does not start; {log} says why")
            if line.startswith(READY):
                self.vector = json.loads(line.removeprefix(READY))
                return

    def seconds(self, words):
        self.process.stdin.write(f"{words}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


class Ours:
    def __init__(self, program, model, directory, kind, bits):
        self.command = [program, model, None, f"type={kind}", f"bits={bits}",
                        "repeat=1"]
        self.directory = directory

    def seconds(self, words):
        texts = texts_of(words)
        path = os.path.join(self.directory, f"texts-{words}")
        with open(path, "w") as file:
            file.write("\n".join(texts) + "\n")
        self.command[2] = path
        return len(texts) / json.loads(run(self.command))["texts_per_second"]

    def close(self):
        pass


def engines(arguments):
    """Those of a run, in the order of their turns."""
    def gguf(kind):
        path = os.path.join(arguments.work, f"minilm-{kind}.gguf")
        run([arguments.bench, arguments.model, "-", f"type={kind}",
             f"write={path}"])
        return path

    all_engines = {
        "sentence-transformers": lambda: Peer(
            "sentence-transformers", arguments.model, arguments.work),
        "onnxruntime int8": lambda: Peer(
            "onnxruntime", arguments.model, arguments.work),
        "llama.cpp F32": lambda: Peer(
            "llama.cpp", gguf("f32"), arguments.work, "llama.cpp-f32"),
        "llama.cpp Q8_0": lambda: Peer(
            "llama.cpp", gguf("q8_0"), arguments.work, "llama.cpp-q8_0"),
    }
    for kind, bits in (("f32", 16), ("q8_0", 16), ("q8_0", 8), ("q4_0", 16),
                       ("q4_0", 8)):
        name = f"llm {kind.upper()}" + (
            f", {bits} bits" if kind != "f32" else "")
        all_engines[name] = lambda kind=kind, bits=bits: Ours(
            arguments.bench, arguments.model, arguments.work, kind, bits)
    return {name: start() for name, start in all_engines.items()}


def check_peers(running):
    """Who does not compute the same is no peer."""
    peers = {name: engine.vector for name, engine in running.items()
             if isinstance(engine, Peer)}
    first = next(iter(peers.values()))
    for name, vector in peers.items():
        cosine = sum(a * b for a, b in zip(first, vector))
        if cosine < 0.98:
            sys.exit(f"{name} gives another vector: cosine {cosine:.4f}")


def report(words, best):
    count = len(texts_of(words))
    speed = {name: count / seconds for name, seconds in best.items()}
    speed["ik_llama.cpp Q8_0 (estimate)"] = \
        speed["llama.cpp Q8_0"] * IK_LLAMA
    others = ["sentence-transformers", "onnxruntime int8", "llama.cpp Q8_0",
              "ik_llama.cpp Q8_0 (estimate)"]
    print(f"\ntexts of {words} words: texts per second, and ratios to")
    print(f"{'':30} {'':>8} {'s.-tr.':>8} {'onnx':>8} {'llama':>8}"
          f" {'ik (est)':>8}")
    for name, value in speed.items():
        ratios = " ".join(f"{value / speed[other]:7.2f}x"
                          for other in others)
        print(f"{name:30} {value:8.1f} {ratios}", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description="texts per second, ours and others'")
    parser.add_argument("--bench", help="embedding_bench")
    parser.add_argument("--work", required=True,
                        help="directory for converted models")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--words", type=int, action="append")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    parser.add_argument("model")
    arguments = parser.parse_args()
    arguments.work = os.path.abspath(arguments.work)
    arguments.model = os.path.abspath(arguments.model)
    if arguments.worker:
        work(arguments.worker, arguments.model, arguments.work)
        return
    if not arguments.bench:
        parser.error("--bench is missing")
    running = engines(arguments)
    check_peers(running)
    print(f"one thread, best of {arguments.rounds} rounds")
    for words in arguments.words or TEXTS:
        best = dict.fromkeys(running, float("inf"))
        for _ in range(arguments.rounds):
            for name, engine in running.items():
                best[name] = min(best[name], engine.seconds(words))
        report(words, best)
    for engine in running.values():
        engine.close()


if __name__ == "__main__":
    main()
